//! Flow logs in S3: a prefix is walked folder by folder, several at a time, as far down as accounts, regions or times
//! can be chosen by folder; below, everything is listed at once.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use tokio::task::JoinSet;

use super::delivery::{InputFilter, LAKE_FOLDERS, named_like_a_log};
use super::input::{InputError, InputObject, Inputs, Location};
use super::layout::Level;
use crate::aws::blocking::wait;
use crate::aws::s3::{RangeReader, S3, S3Error, S3ErrorKind, S3Listing, S3Object, S3Uri};

/// Folders that are listed at a time.
const LISTS: usize = 16;
/// Bytes of a log that are asked for at a time: most logs are smaller, and come with one request.
const READ_BYTES: u64 = 8 << 20;

/// Finds the logs of a place: an object's key, or a folder of keys.
pub(super) fn find(
    s3: Option<&S3>,
    place: &str,
    filter: &InputFilter,
    found: &mut Inputs,
    by_uri: &mut BTreeMap<String, InputObject>,
) -> Result<(), InputError> {
    let uri: S3Uri = place.parse()?;
    let refused = |source| InputError::Io { path: place.to_owned(), source };
    let s3 = client(s3).map_err(refused)?;
    let mut finder = Finder { s3, filter, found, by_uri, any: false };
    let done = wait(s3.runtime(), finder.place(&uri)).map_err(refused)?;
    done.map_err(|error| refused(error.into()))?;
    if finder.any { Ok(()) } else { Err(InputError::Missing(place.to_owned())) }
}

/// Opens an object as it was found.
pub(super) fn open(s3: Option<&S3>, uri: &S3Uri, etag: &str, size: u64) -> io::Result<Box<dyn Read + Send>> {
    if size == 0 {
        return Ok(Box::new(io::empty()));
    }
    let reader = RangeReader::start(client(s3)?, uri.clone(), Some(etag.to_owned()), READ_BYTES);
    Ok(Box::new(reader.ready()?))
}

/// The object of a URI as it is now, if it is still there.
pub(super) fn again(s3: Option<&S3>, uri: &str) -> io::Result<Option<InputObject>> {
    let uri: S3Uri = uri.parse().map_err(io::Error::other)?;
    let s3 = client(s3)?;
    match wait(s3.runtime(), s3.head(&uri))? {
        Ok(object) => Ok(Some(input_object(&uri, object))),
        Err(error) if error.kind == S3ErrorKind::NoKey => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn client(s3: Option<&S3>) -> io::Result<&S3> {
    s3.ok_or_else(|| io::Error::other("it lies in S3, and no other input does: name it as an input, too"))
}

fn input_object(bucket: &S3Uri, object: S3Object) -> InputObject {
    let uri = bucket.with_key(object.key);
    InputObject {
        uri: uri.to_string(),
        identity: format!("{}-{}", object.size, object.etag.trim_matches('"')),
        size: object.size,
        location: Location::S3 { uri, etag: object.etag },
    }
}

struct Finder<'f> {
    s3: &'f S3,
    filter: &'f InputFilter,
    found: &'f mut Inputs,
    by_uri: &'f mut BTreeMap<String, InputObject>,
    /// Something is there, wanted or not.
    any: bool,
}

impl Finder<'_> {
    async fn place(&mut self, place: &S3Uri) -> Result<(), S3Error> {
        self.s3.check(place).await?;
        if self.lies_in_a_lake(place).await? {
            self.any = true;
            self.found.lakes.push(place.to_string());
            return Ok(());
        }
        if !place.key.is_empty() && !place.key.ends_with('/') {
            // an object's own key is the first that begins with it; an object that is named is read, whatever its name
            if let Some(object) = self.s3.first(place).await?.filter(|object| object.key == place.key) {
                self.any = true;
                self.object(place, object);
                return Ok(());
            }
        }
        let folder = place.with_key(folder_of(&place.key));
        match Level::of_path(&folder.key, self.filter) {
            Some(level) => self.walk(folder, level).await,
            None => {
                self.any = true;
                self.found.not_asked_for += 1;
                Ok(())
            }
        }
    }

    /// Whether a key is one of those that a lake is made of.
    async fn lies_in_a_lake(&self, place: &S3Uri) -> Result<bool, S3Error> {
        let mut above = String::new();
        for name in place.key.split('/') {
            if LAKE_FOLDERS.contains(&name)
                && self.s3.first(&place.with_key(format!("{above}_flowbound/"))).await?.is_some()
            {
                return Ok(true);
            }
            above.push_str(name);
            above.push('/');
        }
        Ok(false)
    }

    async fn walk(&mut self, root: S3Uri, level: Level) -> Result<(), S3Error> {
        let mut todo = vec![(root, level)];
        let mut running = JoinSet::new();
        loop {
            while running.len() < LISTS
                && let Some((folder, level)) = todo.pop()
            {
                let (s3, whole) = (self.s3.clone(), level.is_whole(self.filter));
                running.spawn(async move { s3.list(&folder, !whole).await.map(|listing| (folder, level, listing)) });
            }
            let Some(done) = running.join_next().await else { return Ok(()) };
            let (folder, level, listing) = done.map_err(S3Error::ended)??;
            self.folder(&folder, level, listing, &mut todo);
        }
    }

    /// Takes what a folder has: its logs now, its subfolders later.
    fn folder(&mut self, folder: &S3Uri, level: Level, listing: S3Listing, todo: &mut Vec<(S3Uri, Level)>) {
        self.any |= !(listing.folders.is_empty() && listing.objects.is_empty());
        let is_lake = listing.folders.iter().any(|inside| name_in(folder, inside) == "_flowbound");
        if is_lake {
            self.found.lakes.push(folder.to_string());
        }
        for inside in listing.folders {
            let name = name_in(folder, &inside);
            if is_lake && LAKE_FOLDERS.contains(&name) {
                continue;
            }
            match level.enter(name, self.filter) {
                Some(level) => todo.push((folder.with_key(inside), level)),
                None => self.found.not_asked_for += 1,
            }
        }
        for object in listing.objects {
            // without content: folders as some tools make them, and logs that nothing is in
            if object.size == 0 || object.key.ends_with('/') {
                continue;
            }
            if named_like_a_log(Path::new(&object.key)) {
                self.object(folder, object);
            } else {
                self.found.passed_over += 1;
            }
        }
    }

    fn object(&mut self, bucket: &S3Uri, object: S3Object) {
        let name = object.key.rsplit('/').next().unwrap_or_default();
        if !self.filter.may_want(name) {
            self.found.not_asked_for += 1;
            return;
        }
        self.found.without_origin += u64::from(self.filter.goes_past(name));
        let object = input_object(bucket, object);
        self.by_uri.insert(object.uri.clone(), object);
    }
}

/// A key as the folder that it names.
fn folder_of(key: &str) -> String {
    if key.is_empty() || key.ends_with('/') { key.to_owned() } else { format!("{key}/") }
}

/// The last part of a subfolder's key.
fn name_in<'k>(folder: &S3Uri, inside: &'k str) -> &'k str {
    inside.strip_prefix(&folder.key).unwrap_or(inside).trim_end_matches('/')
}
