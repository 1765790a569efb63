//! What the detectors gathered, kept with the commits until every window is closed, and after.
//!
//! A state file holds entries of one day's windows in the order of their keys. So all files of a day are merged by
//! reading them side by side, whatever their number, in memory for one key (of up to sixteen days: see `beside`).
//! There may be as many keys as there are addresses in the internet, most of which are seen once: so entries are small
//! and quick to read (postcard behind their length, four bytes, least first), in one frame of zstd after a line that
//! says what the file is.
//!
//! What is judged beside the days before it (`detect::history`) has files of its own, named `.history`, so that of those
//! days nothing else is read.

use std::collections::BTreeMap;
use std::collections::binary_heap::{BinaryHeap, PeekMut};
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};

use serde::{Deserialize, Serialize};

use super::error::{LakeError, io_error};
use super::parquet_file::Staged;
use super::partition::Day;
use super::store::{StagedFile, Store};
use crate::detect::{Alert, AlertStatus, History, Hours, Key, Probes, State, alert_key, is_history};

/// What the file is; another form gets another number.
const MAGIC: &[u8] = b"flowbound state 7\n";
/// Of zstd: a quick one, for what repeats in state (URIs, zones) is near. Level 1 would make state a seventh smaller, in
/// a third more time.
const LEVEL: i32 = -1;
/// 128 KiB, so that many files can be read side by side.
const WINDOW_LOG: u32 = 17;

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum StateEntry {
    /// What one worker gathered in one unit of work.
    Hours(Hours),
    /// The same, for the detectors of scans.
    Probes(Probes),
    /// The same, for the detectors that compare days.
    History(History),
    /// An alert of the key is in the lake.
    Emitted(Emitted),
}

/// A revision of an alert that is in the lake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emitted {
    /// Its number.
    pub revision: i32,
    /// Digest of its content.
    pub digest: String,
    /// It withdrew the alert.
    pub withdrawn: bool,
    /// Key of the alert: its window is another than that of the state which made it.
    pub alert: Key,
    /// End of its window, milliseconds since 1970.
    pub end: Option<i64>,
}

impl Emitted {
    /// What is kept of a revision of an alert.
    pub fn of(row: &Alert) -> Self {
        let finding = &row.finding;
        Self {
            revision: row.revision,
            digest: finding.digest(),
            withdrawn: row.status == AlertStatus::Closed,
            alert: alert_key(finding),
            end: finding.window_end,
        }
    }
}

impl From<State> for StateEntry {
    fn from(state: State) -> Self {
        match state {
            State::Hours(hours) => Self::Hours(hours),
            State::Probes(probes) => Self::Probes(probes),
            State::History(history) => Self::History(history),
        }
    }
}

/// Writes entries; its [`Self::finish`] must be called.
struct Entries<W: Write> {
    frame: zstd::Encoder<'static, W>,
    buffer: Vec<u8>,
}

impl<W: Write> Entries<W> {
    fn new(mut file: W) -> std::io::Result<Self> {
        file.write_all(MAGIC)?;
        let mut frame = zstd::Encoder::new(file, LEVEL)?;
        frame.window_log(WINDOW_LOG)?;
        frame.include_checksum(true)?;
        Ok(Self { frame, buffer: Vec::new() })
    }

    fn push(&mut self, key: &Key, entry: &StateEntry) -> std::io::Result<()> {
        self.buffer.clear();
        postcard::to_io(&(key, entry), &mut self.buffer).map_err(std::io::Error::other)?;
        let length = u32::try_from(self.buffer.len()).map_err(std::io::Error::other)?;
        self.frame.write_all(&length.to_le_bytes())?;
        self.frame.write_all(&self.buffer)
    }

    fn finish(self) -> std::io::Result<W> {
        self.frame.finish()
    }
}

/// A file that remembers whether it could not be read: other errors of a frame over it are of what stands in it.
struct Watched {
    file: Box<dyn BufRead + Send>,
    failed: bool,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.file.read(buffer).inspect_err(|_| self.failed = true)
    }
}

impl BufRead for Watched {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        self.file.fill_buf().inspect_err(|_| self.failed = true)
    }

    fn consume(&mut self, amount: usize) {
        self.file.consume(amount);
    }
}

/// A state file that is open for reading.
struct Lines {
    path: String,
    frame: BufReader<zstd::Decoder<'static, Watched>>,
    buffer: Vec<u8>,
}

impl Lines {
    fn open((path, mut file): NamedFile) -> Result<Self, LakeError> {
        let mut magic = Vec::new();
        file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut magic).map_err(io_error("read", &path))?;
        if magic != MAGIC {
            let detail =
                "it is no state file of this version of flowbound: replay its input into a new lake".to_owned();
            return Err(LakeError::Damaged { path, detail });
        }
        let file = Watched { file, failed: false };
        let frame = zstd::Decoder::with_buffer(file).map_err(io_error("read", &path))?;
        Ok(Self { path, frame: BufReader::new(frame), buffer: Vec::new() })
    }

    fn next(&mut self) -> Result<Option<(Key, StateEntry)>, LakeError> {
        let damaged = |detail: String| LakeError::Damaged { path: self.path.clone(), detail };
        match read_entry(&mut self.frame, &mut self.buffer) {
            Ok(false) => Ok(None),
            Ok(true) => postcard::from_bytes(&self.buffer).map(Some).map_err(|error| damaged(error.to_string())),
            Err(error) if self.frame.get_ref().get_ref().failed => Err(io_error("read", &self.path)(error)),
            Err(error) => Err(damaged(error.to_string())),
        }
    }
}

/// Reads the bytes of the next entry; false: there is none.
fn read_entry(frame: &mut impl BufRead, buffer: &mut Vec<u8>) -> std::io::Result<bool> {
    if frame.fill_buf()?.is_empty() {
        return Ok(false);
    }
    let mut length = [0; 4];
    frame.read_exact(&mut length)?;
    let length = u64::from(u32::from_le_bytes(length));
    buffer.clear();
    // a length that is wrong makes no room for what is not there
    if frame.take(length).read_to_end(buffer)? as u64 != length {
        return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "it ends in the middle of an entry"));
    }
    Ok(true)
}

/// The folder of a day's state files.
pub fn state_folder(day: Day) -> String {
    format!("_flowbound/state/{day}")
}

/// Whether this is the path of a file of histories.
pub fn is_history_file(path: &str) -> bool {
    path.ends_with(".history")
}

/// A state file that is being written.
struct OpenFile {
    path: String,
    entries: Entries<Box<dyn StagedFile>>,
    count: u64,
}

/// Writes state files: for each day one of histories and one of all else, from entries in the order of their keys.
pub struct StateWriter<'s, S: Store> {
    store: &'s S,
    folder: String,
    /// By day, and whether it is of histories.
    open: BTreeMap<(Day, bool), OpenFile>,
    count: usize,
    done: Vec<Staged>,
}

impl<'s, S: Store> StateWriter<'s, S> {
    /// A writer that stages its files in this folder, under names that begin so.
    pub fn new(store: &'s S, folder: String) -> Self {
        Self { store, folder, open: BTreeMap::new(), count: 0, done: Vec::new() }
    }

    /// Adds an entry; its key must not be before the last one's of the same day, among histories and among all others.
    pub fn push(&mut self, key: &Key, entry: &StateEntry) -> Result<(), LakeError> {
        let (day, history) = (Day::of(key.window.0), is_history(key));
        let open = match self.open.entry((day, history)) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(place) => {
                self.count += 1;
                let path = format!("{}-{}.{}", self.folder, self.count, if history { "history" } else { "state" });
                let file = self.store.stage(&path).map_err(io_error("create", &path))?;
                let entries = Entries::new(file).map_err(io_error("write", &path))?;
                place.insert(OpenFile { path, entries, count: 0 })
            }
        };
        open.entries.push(key, entry).map_err(io_error("write", &open.path))?;
        open.count += 1;
        Ok(())
    }

    /// The same of a worker that has done with each day before the next.
    pub fn push_next(&mut self, key: &Key, entry: &StateEntry) -> Result<(), LakeError> {
        if !self.open.keys().all(|(day, history)| (*day, *history) == (Day::of(key.window.0), is_history(key))) {
            self.end_days()?;
        }
        self.push(key, entry)
    }

    /// Closes the files: of these days nothing more comes.
    pub fn end_days(&mut self) -> Result<(), LakeError> {
        for ((day, _), OpenFile { path, entries, count }) in std::mem::take(&mut self.open) {
            let file = entries.finish().map_err(io_error("write", &path))?;
            let bytes = file.finish().map_err(io_error("write", &path))?;
            self.done.push(Staged { staged: path, folder: state_folder(day), rows: count, bytes });
        }
        Ok(())
    }

    /// The files.
    pub fn finish(mut self) -> Result<Vec<Staged>, LakeError> {
        self.end_days()?;
        Ok(self.done)
    }
}

/// Reads state files side by side, in the order of the keys.
pub struct StateReader {
    /// Large, and moved about: in boxes.
    heads: BinaryHeap<Box<Head>>,
}

struct Head {
    key: Key,
    entry: StateEntry,
    lines: Lines,
}

/// The heap gives the largest first: turned round, the smallest key.
impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.key.cmp(&self.key).then_with(|| other.lines.path.cmp(&self.lines.path))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

/// Files that are read side by side: more are merged into scratch files first, so that a process's limit of open
/// files is never the end of it.
pub(super) const SIDE_BY_SIDE: usize = 64;

/// A file, by the name that messages give it.
type NamedFile = (String, Box<dyn BufRead + Send>);

impl StateReader {
    /// Opens the files of one day. `scratch` is a folder of the lake's staging.
    pub fn open<S: Store>(store: &S, paths: Vec<String>, scratch: &str) -> Result<Self, LakeError> {
        Self::open_few(store, paths, scratch, SIDE_BY_SIDE)
    }

    /// The same with so few files open that other readers have room, unless there are thousands.
    pub(super) fn open_few<S: Store>(
        store: &S,
        paths: Vec<String>,
        scratch: &str,
        most: usize,
    ) -> Result<Self, LakeError> {
        if paths.len() <= most {
            let open = |path: String| Ok((path.clone(), store.open(&path).map_err(io_error("read", &path))?));
            return Self::side_by_side(paths.into_iter().map(open));
        }
        let folder = store.scratch(scratch).map_err(io_error("create", scratch))?;
        let mut merged = Vec::new();
        for (round, paths) in paths.chunks(SIDE_BY_SIDE).enumerate() {
            let path = folder.join(format!("merged-{round}"));
            let shown = path.display().to_string();
            let file = BufWriter::new(File::create(&path).map_err(io_error("create", &shown))?);
            let mut all = Entries::new(file).map_err(io_error("write", &shown))?;
            let mut reader = Self::open(store, paths.to_vec(), scratch)?;
            while let Some((key, entries)) = reader.next_key()? {
                entries.iter().try_for_each(|entry| all.push(&key, entry)).map_err(io_error("write", &shown))?;
            }
            all.finish().and_then(|mut file| file.flush()).map_err(io_error("write", &shown))?;
            merged.push((path, shown));
        }
        Self::side_by_side(merged.into_iter().map(|(path, shown)| {
            let file = File::open(&path).map_err(io_error("read", &shown))?;
            // it lives as long as it is open
            std::fs::remove_file(&path).map_err(io_error("delete", &shown))?;
            Ok((shown, Box::new(BufReader::new(file)) as Box<dyn BufRead + Send>))
        }))
    }

    fn side_by_side(files: impl Iterator<Item = Result<NamedFile, LakeError>>) -> Result<Self, LakeError> {
        // all are opened before the first is read: what is far away is fetched at once
        let files = files.collect::<Result<Vec<_>, _>>()?;
        let mut heads = BinaryHeap::new();
        for file in files {
            let mut lines = Lines::open(file)?;
            if let Some((key, entry)) = lines.next()? {
                heads.push(Box::new(Head { key, entry, lines }));
            }
        }
        Ok(Self { heads })
    }

    /// The next key with all of its entries, or `None` at the end.
    pub fn next_key(&mut self) -> Result<Option<(Key, Vec<StateEntry>)>, LakeError> {
        let Some(key) = self.heads.peek().map(|head| head.key.clone()) else { return Ok(None) };
        let mut entries = Vec::new();
        while let Some(mut head) = self.heads.peek_mut() {
            if head.key != key {
                break;
            }
            match head.lines.next()? {
                Some((next, entry)) => {
                    head.key = next;
                    entries.push(std::mem::replace(&mut head.entry, entry));
                }
                None => entries.push(PeekMut::pop(head).entry),
            }
        }
        Ok(Some((key, entries)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boundary::Verdict;
    use crate::detect::{Tally, Window};
    use crate::lake::LocalStore;

    fn key(client: u32) -> Key {
        let client_addr = Some(format!("client {client:05}"));
        Key { client_addr, ..Key::bare(Window(Some(1_795_132_800_000)), "breach") }
    }

    fn read(store: &LocalStore, paths: Vec<String>) -> Result<Vec<Key>, LakeError> {
        let mut reader = StateReader::open(store, paths, "_flowbound/staging/merge")?;
        let mut keys = Vec::new();
        while let Some((key, entries)) = reader.next_key()? {
            keys.extend(entries.iter().map(|_| key.clone()));
        }
        Ok(keys)
    }

    #[test]
    fn what_is_wrong_with_a_file_is_damage_and_what_is_right_is_read_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::create(folder.path()).unwrap();
        let write = |name: &str, clients: &[u32]| {
            let mut writer = StateWriter::new(&store, format!("_flowbound/staging/{name}"));
            let entry = || StateEntry::Hours(Hours::of(0, Tally::new(Verdict::Breach)));
            clients.iter().for_each(|client| writer.push(&key(*client), &entry()).unwrap());
            writer.finish().unwrap().remove(0).staged
        };
        let (one, other) = (write("one", &[1, 3, 5]), write("other", &[2, 3]));
        let keys = read(&store, vec![one.clone(), other]).unwrap();
        assert_eq!(keys, [1, 2, 3, 3, 5].map(key));

        let path = folder.path().join(&one);
        let whole = std::fs::read(&path).unwrap();
        let damaged = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let error = read(&store, vec![one.clone()]).unwrap_err();
            assert!(matches!(error, LakeError::Damaged { .. }), "{error}");
        };
        (0..whole.len()).for_each(|length| damaged(&whole[..length]));
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x10;
            std::fs::write(&path, bytes).unwrap();
            // the size of the window, for one, may be another
            match read(&store, vec![one.clone()]) {
                Ok(keys) => assert_eq!(keys, [1, 3, 5].map(key), "{place}"),
                Err(error) => assert!(matches!(error, LakeError::Damaged { .. }), "{place}: {error}"),
            }
        }
        damaged(&[&whole[..], b"{}"].concat());
        // what an earlier version wrote
        damaged(b"{\"key\":{}}\n");
    }
}
