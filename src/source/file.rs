//! Flow logs in local files: a file, a folder, a glob, or standard input.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use super::delivery::{InputFilter, LAKE_FOLDERS, named_like_a_log};
use super::input::{InputError, InputObject, Inputs, Location};

/// Finds the files of the inputs: files, folders, patterns.
pub(super) fn find(
    inputs: &[&String],
    filter: &InputFilter,
    found: &mut Inputs,
    by_uri: &mut BTreeMap<String, InputObject>,
) -> Result<(), InputError> {
    let mut finder = Finder { visited: BTreeSet::new(), filter, found, by_uri };
    inputs.iter().try_for_each(|input| finder.input(input))
}

/// The file of a URI as it is now, if it is still there.
pub(super) fn again(uri: &str) -> Option<InputObject> {
    let path = path_of_uri(uri)?;
    let metadata = fs::metadata(&path).ok().filter(Metadata::is_file)?;
    Some(input_object(path, &metadata))
}

fn input_object(path: PathBuf, metadata: &Metadata) -> InputObject {
    let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let identity = format!("{}-{}", metadata.len(), changed.map_or(0, |time| time.as_nanos()));
    InputObject { uri: file_uri(&path), identity, size: metadata.len(), location: Location::File(path) }
}

struct Finder<'f> {
    visited: BTreeSet<PathBuf>,
    filter: &'f InputFilter,
    found: &'f mut Inputs,
    by_uri: &'f mut BTreeMap<String, InputObject>,
}

fn refused(path: &Path) -> impl FnOnce(io::Error) -> InputError {
    move |source| InputError::Io { path: path.display().to_string(), source }
}

impl Finder<'_> {
    fn input(&mut self, input: &str) -> Result<(), InputError> {
        let path = Path::new(input);
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => self.folder(path),
            Ok(metadata) => self.file(path, &metadata),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(refused(path)(error)),
            Err(_) if input.contains(['*', '?', '[']) => self.pattern(input),
            Err(_) => Err(InputError::Missing(input.to_owned())),
        }
    }

    fn pattern(&mut self, pattern: &str) -> Result<(), InputError> {
        let bad = |error: glob::PatternError| InputError::BadPattern {
            pattern: pattern.to_owned(),
            detail: error.to_string(),
        };
        let mut any = false;
        for path in glob::glob(pattern).map_err(bad)? {
            let path = path.map_err(|error| {
                let path = error.path().to_owned();
                refused(&path)(error.into())
            })?;
            any = true;
            let metadata = fs::metadata(&path).map_err(refused(&path))?;
            if metadata.is_dir() {
                self.folder(&path)?;
            } else {
                self.file(&path, &metadata)?;
            }
        }
        if any { Ok(()) } else { Err(InputError::NoMatch(pattern.to_owned())) }
    }

    fn folder(&mut self, folder: &Path) -> Result<(), InputError> {
        let canonical = fs::canonicalize(folder).map_err(refused(folder))?;
        if is_lake_content(&canonical) {
            self.found.lakes.push(folder.display().to_string());
            return Ok(());
        }
        // links can make a folder its own descendant
        if !self.visited.insert(canonical) {
            return Ok(());
        }
        for entry in fs::read_dir(folder).map_err(refused(folder))? {
            let path = entry.map_err(refused(folder))?.path();
            // one bad entry does not stop the others
            if let Err(error) = self.entry(&path) {
                let why = match error {
                    InputError::Io { source, .. } => source.to_string(),
                    other => other.to_string(),
                };
                self.found.unreadable.push((file_uri(&path), why));
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path) -> Result<(), InputError> {
        let metadata = fs::metadata(path).map_err(refused(path))?;
        if metadata.is_dir() {
            return self.folder(path);
        }
        if metadata.is_file() && named_like_a_log(path) {
            return self.file(path, &metadata);
        }
        self.found.passed_over += 1;
        Ok(())
    }

    fn file(&mut self, path: &Path, metadata: &Metadata) -> Result<(), InputError> {
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        if !self.filter.may_want(&name) {
            self.found.not_asked_for += 1;
            return Ok(());
        }
        self.found.without_origin += u64::from(self.filter.goes_past(&name));
        let canonical = fs::canonicalize(path).map_err(refused(path))?;
        if is_lake_content(&canonical) {
            self.found.lakes.push(path.display().to_string());
            return Ok(());
        }
        let object = input_object(canonical, metadata);
        self.by_uri.insert(object.uri.clone(), object);
        Ok(())
    }
}

/// A file's URI (RFC 8089): every byte of its path that is not unreserved in RFC 3986 is percent-encoded, so that two
/// files never share one.
fn file_uri(path: &Path) -> String {
    let mut uri = String::from("file://");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => uri.push(char::from(*byte)),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

/// The path of a URI that [`file_uri`] made.
fn path_of_uri(uri: &str) -> Option<PathBuf> {
    let mut encoded = uri.strip_prefix("file://")?.bytes();
    let mut path = Vec::with_capacity(encoded.len());
    while let Some(byte) = encoded.next() {
        path.push(match byte {
            b'%' => {
                let digits = [encoded.next()?, encoded.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    Some(std::os::unix::ffi::OsStringExt::from_vec(path)).map(|path: std::ffi::OsString| path.into())
}

/// Whether a path lies in what a lake is made of. (Logs may lie beside that, in the same folder.)
fn is_lake_content(path: &Path) -> bool {
    path.ancestors().any(|folder| {
        let part = folder.file_name().and_then(|name| name.to_str());
        part.is_some_and(|part| LAKE_FOLDERS.contains(&part))
            && folder.parent().is_some_and(|lake| lake.join("_flowbound").is_dir())
    })
}

/// Keeps standard input in a file, so that it has an identity like every other input: its content's.
///
/// # Errors
/// When the input cannot be read or the file not be written.
pub fn spool_standard_input(folder: &Path) -> Result<InputObject, InputError> {
    let path = folder.join("standard-input");
    let refused = |source| InputError::Io { path: "standard input".to_owned(), source };
    fs::create_dir_all(folder).map_err(refused)?;
    let mut file = File::create(&path).map_err(refused)?;
    let mut input = io::stdin().lock();
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = input.read(&mut buffer).map_err(refused)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        hash.update(bytes);
        file.write_all(bytes).map_err(refused)?;
        size += read as u64;
    }
    let digest: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    Ok(InputObject { uri: format!("stdin:{digest}"), identity: digest, size, location: Location::File(path) })
}

#[cfg(test)]
mod tests {
    use super::super::Sources;
    use super::*;

    #[test]
    fn a_uri_is_one_file() {
        use std::os::unix::ffi::OsStrExt as _;
        for bytes in [&b"/a b/%41#?.log"[..], b"/a\xff.log", b"/a\xfe.log"] {
            let path = Path::new(std::ffi::OsStr::from_bytes(bytes));
            assert_eq!(path_of_uri(&file_uri(path)).as_deref(), Some(path));
        }
        assert_eq!(file_uri(Path::new("/a b/%.log")), "file:///a%20b/%25.log");
    }

    #[test]
    fn folders_are_walked_and_lakes_passed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for path in ["a/x.log.gz", "a/b/000000.gz", "a/labels.csv", "a/aws-logs-write-test", "lake/flows/f.parquet"] {
            fs::create_dir_all(at(path).parent().unwrap()).unwrap();
            fs::write(at(path), "x").unwrap();
        }
        fs::create_dir_all(at("lake/_flowbound")).unwrap();
        std::os::unix::fs::symlink(folder.path(), at("a/loop")).unwrap();
        let found = |input: PathBuf| Sources::default().find(&[input.display().to_string()], &InputFilter::default());
        let inputs = found(folder.path().to_owned()).unwrap();
        let mut names: Vec<_> = inputs.objects.iter().map(|object| object.uri.rsplit('/').next().unwrap()).collect();
        names.sort();
        assert_eq!((names.len(), inputs.passed_over), (2, 2), "{names:?}");
        assert!(matches!(found(at("none")), Err(InputError::Missing(_))));
        assert!(matches!(found(at("*.none")), Err(InputError::NoMatch(_))));
        fs::create_dir(at("empty")).unwrap();
        assert!(matches!(found(at("empty")), Err(InputError::Empty(_))));
        assert_eq!(found(at("a/*/0*.gz")).unwrap().objects.len(), 1);
        for inside in ["lake", "lake/flows", "lake/flows/f.parquet", "lake/*/*.parquet"] {
            assert!(matches!(found(at(inside)), Err(InputError::IsLake(_))), "{inside}");
        }
        // a file that is named is read, whatever its name
        assert_eq!(found(at("a/labels.csv")).unwrap().objects.len(), 1);
    }
}
