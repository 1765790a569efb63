//! Flow logs in local files: a file, a folder, a glob, or standard input.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

/// A file to replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputObject {
    /// `file://` and the canonical path; `stdin:` and a digest of the content for standard input.
    pub uri: String,
    /// Size and time of change: another identity is another content.
    pub identity: String,
    /// Length in bytes, compressed as it is.
    pub size: u64,
    /// Where to read it.
    pub path: PathBuf,
}

impl InputObject {
    fn new(path: PathBuf, metadata: &Metadata) -> Self {
        let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let identity = format!("{}-{}", metadata.len(), changed.map_or(0, |time| time.as_nanos()));
        Self { uri: file_uri(&path), identity, size: metadata.len(), path }
    }

    /// The object as it is now, if it is a file that is still there.
    pub fn from_uri(uri: &str) -> Option<Self> {
        let path = path_of_uri(uri)?;
        let metadata = fs::metadata(&path).ok().filter(Metadata::is_file)?;
        Some(Self::new(path, &metadata))
    }
}

/// What the inputs of a command line come to.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Files to read, in the order of their URIs.
    pub objects: Vec<InputObject>,
    /// Files in folders that are not named like logs.
    pub passed_over: u64,
    /// Folders that are lakes: never read as input.
    pub lakes: Vec<String>,
    /// Files outside of the time that was asked for.
    pub out_of_time: u64,
    /// Files that have no time in their names, where a time was asked for.
    pub without_time: u64,
    /// Entries of folders that cannot be looked at, and why.
    pub unreadable: Vec<(String, String)>,
}

/// Why inputs cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// Nothing is there.
    #[error("there is no file or folder {0}")]
    Missing(String),
    /// A pattern that matches nothing.
    #[error("no file matches {0}")]
    NoMatch(String),
    /// A pattern that is none.
    #[error("{pattern} is no pattern of file names: {detail}")]
    BadPattern {
        /// As given.
        pattern: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Nothing but lakes.
    #[error("{0} is a lake, not a folder of logs")]
    IsLake(String),
    /// Folders without a file.
    #[error("no flow log in {0}: there is no file")]
    Empty(String),
    /// Folders without a log.
    #[error(
        "no flow log in {inputs}: its files ({passed_over}) are not named like logs (.log, .gz, .zst, .parquet, .txt \
         or no ending); name a file to read it all the same"
    )]
    NoLogs {
        /// As given.
        inputs: String,
        /// Files that were passed over.
        passed_over: u64,
    },
    /// Nothing in the time that was asked for.
    #[error(
        "none of the {0} files in the input is of the time between --since and --until (by the stamp in their names)"
    )]
    OutOfTime(u64),
    /// The system refused.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

/// Half-open span of time, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimeSpan {
    /// First millisecond.
    pub since: Option<i64>,
    /// First millisecond after it.
    pub until: Option<i64>,
}

/// AWS delivers one file for five minutes of record ends.
const DELIVERY: i64 = 300_000;

impl TimeSpan {
    /// Whether a file with this name can hold records that end in the span. A name without AWS's time stamp can.
    fn may_hold(self, name: &str) -> bool {
        let Some(stamp) = delivery_stamp(name) else { return true };
        self.since.is_none_or(|since| stamp + DELIVERY > since) && self.until.is_none_or(|until| stamp < until)
    }
}

/// The time stamp in the name of a file that AWS delivered (`…_20261121T1620Z_….log.gz`), in milliseconds.
pub fn delivery_stamp(name: &str) -> Option<i64> {
    name.split('_').find_map(|part| {
        if part.len() != 14 {
            return None;
        }
        let stamp = jiff::civil::DateTime::strptime("%Y%m%dT%H%MZ", part).ok()?;
        stamp.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp().as_millisecond())
    })
}

/// Finds the files of the inputs. What a lake is made of is never an input.
///
/// # Errors
/// Each input must give at least something to read; the error says what is missing where.
pub fn find_inputs(inputs: &[String], span: TimeSpan) -> Result<Inputs, InputError> {
    let mut finder = Finder { visited: BTreeSet::new(), span, found: Inputs::default(), by_uri: BTreeMap::new() };
    for input in inputs {
        finder.input(input)?;
    }
    let Finder { mut found, by_uri, .. } = finder;
    found.objects = by_uri.into_values().collect();
    if found.objects.is_empty() {
        return Err(match found.out_of_time {
            0 if !found.lakes.is_empty() => InputError::IsLake(found.lakes.join(", ")),
            0 if !found.unreadable.is_empty() => {
                let (path, why) = found.unreadable.swap_remove(0);
                InputError::Io { path, source: io::Error::other(why) }
            }
            0 if found.passed_over == 0 => InputError::Empty(inputs.join(", ")),
            0 => InputError::NoLogs { inputs: inputs.join(", "), passed_over: found.passed_over },
            files => InputError::OutOfTime(files),
        });
    }
    Ok(found)
}

struct Finder {
    visited: BTreeSet<PathBuf>,
    span: TimeSpan,
    found: Inputs,
    by_uri: BTreeMap<String, InputObject>,
}

fn refused(path: &Path) -> impl FnOnce(io::Error) -> InputError {
    move |source| InputError::Io { path: path.display().to_string(), source }
}

impl Finder {
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
        if !self.span.may_hold(&name) {
            self.found.out_of_time += 1;
            return Ok(());
        }
        self.found.without_time += u64::from(self.span != TimeSpan::default() && delivery_stamp(&name).is_none());
        let canonical = fs::canonicalize(path).map_err(refused(path))?;
        if is_lake_content(&canonical) {
            self.found.lakes.push(path.display().to_string());
            return Ok(());
        }
        let object = InputObject::new(canonical, metadata);
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
        part.is_some_and(|part| ["flows", "alerts", "quarantine", "_flowbound"].contains(&part))
            && folder.parent().is_some_and(|lake| lake.join("_flowbound").is_dir())
    })
}

/// In a folder only files that are named like logs are read; what is in them is told by their content.
fn named_like_a_log(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    // the object that CloudWatch writes to see whether it may
    if name.starts_with('.') || name == "aws-logs-write-test" {
        return false;
    }
    match path.extension().and_then(|extension| extension.to_str()) {
        None => true,
        Some(extension) => ["log", "gz", "zst", "zstd", "parquet", "txt"].contains(&extension),
    }
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
    Ok(InputObject { uri: format!("stdin:{digest}"), identity: digest, size, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_of_delivered_files_are_read() {
        let name = "123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20261121T1620Z_fe123456.log.gz";
        assert_eq!(delivery_stamp(name), Some(1_795_278_000_000));
        assert_eq!(delivery_stamp("flow.log"), None);
    }

    #[test]
    fn a_span_takes_files_whose_records_can_end_in_it() {
        let name = |minute: u32| format!("1_vpcflowlogs_r_fl-1_20261121T16{minute:02}Z_x.log.gz");
        let span = TimeSpan { since: Some(1_795_278_000_000), until: Some(1_795_278_300_000) };
        assert!(!span.may_hold(&name(15)) && span.may_hold(&name(20)) && !span.may_hold(&name(25)));
        assert!(span.may_hold("flow.log"), "a name without a stamp may hold anything");
    }

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
        let found = |input: PathBuf| find_inputs(&[input.display().to_string()], TimeSpan::default());
        let inputs = found(folder.path().to_owned()).unwrap();
        let mut names: Vec<_> = inputs.objects.iter().map(|object| object.path.file_name().unwrap()).collect();
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
