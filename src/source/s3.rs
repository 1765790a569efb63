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

/// What has become of an object that was named one by one, not found by walking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    /// It is to be read.
    Log(InputObject),
    /// It is no log, or not asked for, or a lake is made of it.
    PassedOver,
    /// It is not there any more.
    Gone,
}

/// Looks at objects, several at a time: those are to be read that a walk of their bucket would find.
pub(super) async fn look(s3: &S3, uris: Vec<S3Uri>, filter: &InputFilter) -> Vec<(S3Uri, Result<Named, S3Error>)> {
    let (mut todo, unwanted): (Vec<_>, Vec<_>) = uris.into_iter().partition(|uri| may_be_wanted(&uri.key, filter));
    let mut seen: Vec<_> = unwanted.into_iter().map(|uri| (uri, Ok(Named::PassedOver))).collect();
    let mut running = JoinSet::new();
    loop {
        while running.len() < LISTS
            && let Some(uri) = todo.pop()
        {
            let s3 = s3.clone();
            running.spawn(async move {
                let named = look_at(&s3, &uri).await;
                (uri, named)
            });
        }
        match running.join_next().await {
            None => return seen,
            Some(Ok(done)) => seen.push(done),
            Some(Err(ended)) => {
                if let Ok(panic) = ended.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
}

/// What the key alone tells, as a walk of the whole bucket sees it.
fn may_be_wanted(key: &str, filter: &InputFilter) -> bool {
    let (folder, name) = key.rsplit_once('/').unwrap_or(("", key));
    // what a lake stages is gone when its notification comes
    if folder.split('/').any(|name| name == "_flowbound") {
        return false;
    }
    let level = folder.split('/').try_fold(Level::Anywhere, |level, name| level.enter(name, filter));
    level.is_some() && !name.is_empty() && named_like_a_log(Path::new(name)) && filter.may_want(name)
}

async fn look_at(s3: &S3, uri: &S3Uri) -> Result<Named, S3Error> {
    match s3.head(uri).await {
        Ok(object) if object.size == 0 => Ok(Named::PassedOver),
        Ok(_) if lies_in_a_lake(s3, uri).await? => Ok(Named::PassedOver),
        Ok(object) => Ok(Named::Log(input_object(uri, object))),
        // asked for its head alone, S3 says the same of a bucket that is not there
        Err(error) if error.kind == S3ErrorKind::NoKey => s3.check(uri).await.map(|()| Named::Gone),
        Err(error) => Err(error),
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
        if lies_in_a_lake(self.s3, place).await? {
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

/// Whether a key is one of those that a lake is made of.
async fn lies_in_a_lake(s3: &S3, place: &S3Uri) -> Result<bool, S3Error> {
    let mut above = String::new();
    for name in place.key.split('/') {
        if LAKE_FOLDERS.contains(&name) && s3.first(&place.with_key(format!("{above}_flowbound/"))).await?.is_some() {
            return Ok(true);
        }
        above.push_str(name);
        above.push('/');
    }
    Ok(false)
}

/// A key as the folder that it names.
fn folder_of(key: &str) -> String {
    if key.is_empty() || key.ends_with('/') { key.to_owned() } else { format!("{key}/") }
}

/// The last part of a subfolder's key.
fn name_in<'k>(folder: &S3Uri, inside: &'k str) -> &'k str {
    inside.strip_prefix(&folder.key).unwrap_or(inside).trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::s3::fake::{Answer, serve};

    const LOG: &str = "123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20261121T1620Z_fe123456.log.gz";

    #[test]
    fn keys_are_wanted_as_a_walk_wants_them() {
        let all = InputFilter::default();
        let one = InputFilter { accounts: vec!["123456789012".to_owned()], ..InputFilter::default() };
        let hive = "AWSLogs/aws-account-id=123456789012/aws-service=vpcflowlogs/aws-region=us-east-1/year=2026";
        for (key, in_all, in_one) in [
            (format!("AWSLogs/123456789012/vpcflowlogs/us-east-1/2026/11/21/{LOG}"), true, true),
            (format!("{hive}/month=11/day=21/{LOG}"), true, true),
            (LOG.to_owned(), true, true),
            ("anywhere/a.log".to_owned(), true, true),
            (format!("AWSLogs/123456789013/vpcflowlogs/us-east-1/2026/11/21/{LOG}"), true, false),
            ("AWSLogs/123456789012/CloudTrail/us-east-1/2026/11/21/x.json.gz".to_owned(), false, false),
            ("AWSLogs/123456789012/vpcflowlogs/".to_owned(), false, false),
            ("AWSLogs/aws-logs-write-test".to_owned(), false, false),
            ("a.png".to_owned(), false, false),
        ] {
            assert_eq!((may_be_wanted(&key, &all), may_be_wanted(&key, &one)), (in_all, in_one), "{key}");
        }
    }

    #[tokio::test]
    async fn named_objects_are_what_a_walk_would_find() {
        let (s3, log) = serve(|asked| {
            let size = |bytes: usize| Answer::new(200, vec![b'x'; bytes]).header("etag", "\"e\"");
            match asked.line.as_str() {
                line if line.contains("list-type") => {
                    let key = if line.contains("prefix=lake%2F_flowbound") {
                        "<Contents><Key>x</Key></Contents>"
                    } else {
                        ""
                    };
                    Answer::new(200, format!("<ListBucketResult>{key}</ListBucketResult>"))
                }
                line if line.contains("gone") => Answer::new(404, ""),
                line if line.contains("secret") => Answer::new(403, ""),
                line if line.contains("empty") => size(0),
                _ => size(7),
            }
        })
        .await;
        let keys = ["a.gz", "b/flows/a.gz", "lake/flows/x.parquet", "gone.gz", "secret.gz", "empty.gz", "a.png"];
        let uris = keys.map(|key| S3Uri { bucket: "logs".to_owned(), key: key.to_owned() }).to_vec();
        let mut seen = look(&s3, uris, &InputFilter::default()).await;
        seen.sort_by(|(one, _), (other, _)| one.cmp(other));
        let seen: Vec<_> = seen
            .into_iter()
            .map(|(uri, named)| {
                let named = named.map(|named| match named {
                    Named::Log(object) => object.identity,
                    other => format!("{other:?}"),
                });
                (uri.key, named.map_err(|error| error.kind))
            })
            .collect();
        let expected = [
            ("a.gz", Ok("7-e")),
            ("a.png", Ok("PassedOver")),
            ("b/flows/a.gz", Ok("7-e")),
            ("empty.gz", Ok("PassedOver")),
            ("gone.gz", Ok("Gone")),
            ("lake/flows/x.parquet", Ok("PassedOver")),
            ("secret.gz", Err(S3ErrorKind::Denied)),
        ];
        let expected = expected.map(|(key, named)| (key.to_owned(), named.map(str::to_owned)));
        assert_eq!(seen, expected);
        assert!(log.lock().unwrap().iter().all(|asked| !asked.line.contains("a.png")), "its name says enough");
    }
}
