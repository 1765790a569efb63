//! What the detectors gathered, kept with the commits until every window is closed, and after.
//!
//! A state file holds entries of one day's windows, one JSON object a line, in the order of their keys. So all files
//! of a day are merged by reading them side by side, whatever their number, in memory for one key.

use std::collections::BTreeMap;
use std::collections::binary_heap::{BinaryHeap, PeekMut};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};

use serde::{Deserialize, Serialize};

use super::error::{LakeError, io_error};
use super::parquet_file::Staged;
use super::partition::Day;
use super::store::{StagedFile, Store};
use crate::detect::{Alert, Key, Probes, State, Tally, alert_key};

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StateEntry {
    /// What one worker gathered in one unit of work.
    Tally(Tally),
    /// The same, for the detectors of scans.
    Probes(Probes),
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
    /// Key of the alert and end of its window, where it is another than the state's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<(Key, Option<i64>)>,
}

impl Emitted {
    /// What is kept of a revision of an alert that this key's state made.
    pub fn of(key: &Key, row: &Alert) -> Self {
        let finding = &row.finding;
        let alert = Some((alert_key(key, finding), finding.window_end)).filter(|(alert, _)| alert != key);
        Self { revision: row.revision, digest: finding.digest(), withdrawn: finding.flows == 0, alert }
    }

    /// Key of the alert, and the end of its window if that does not follow from the key.
    pub fn alert<'e>(&'e self, state: &'e Key) -> (&'e Key, Option<i64>) {
        self.alert.as_ref().map_or((state, None), |(alert, end)| (alert, *end))
    }
}

impl From<State> for StateEntry {
    fn from(state: State) -> Self {
        match state {
            State::Tally(tally) => Self::Tally(tally),
            State::Probes(probes) => Self::Probes(probes),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Line {
    key: Key,
    entry: StateEntry,
}

/// The folder of a day's state files.
pub(super) fn state_folder(day: Day) -> String {
    format!("_flowbound/state/{day}")
}

/// Writes state files: one for each day, from entries in the order of their keys.
pub struct StateWriter<'s, S: Store> {
    store: &'s S,
    folder: String,
    open: Option<(Day, String, Box<dyn StagedFile>, u64)>,
    done: Vec<Staged>,
}

impl<'s, S: Store> StateWriter<'s, S> {
    /// A writer that stages its files in this folder, under names that begin so.
    pub fn new(store: &'s S, folder: String) -> Self {
        Self { store, folder, open: None, done: Vec::new() }
    }

    /// Adds an entry; its key must not be before the last one's.
    pub fn push(&mut self, key: Key, entry: StateEntry) -> Result<(), LakeError> {
        let day = Day::of(key.window.0);
        if self.open.as_ref().is_none_or(|(open, ..)| *open != day) {
            self.close()?;
            let path = format!("{}-{}.ndjson", self.folder, self.done.len() + 1);
            let file = self.store.stage(&path).map_err(io_error("create", &path))?;
            self.open = Some((day, path, file, 0));
        }
        let Some((_, path, file, lines)) = &mut self.open else { return Ok(()) };
        write_line(file, key, entry).map_err(io_error("write", path))?;
        *lines += 1;
        Ok(())
    }

    /// Adds everything that a worker gathered.
    pub fn push_all(&mut self, states: BTreeMap<Key, State>) -> Result<(), LakeError> {
        states.into_iter().try_for_each(|(key, state)| self.push(key, state.into()))
    }

    fn close(&mut self) -> Result<(), LakeError> {
        if let Some((day, path, file, rows)) = self.open.take() {
            let bytes = file.finish().map_err(io_error("write", &path))?;
            self.done.push(Staged { staged: path, folder: state_folder(day), rows, bytes });
        }
        Ok(())
    }

    /// The files.
    pub fn finish(mut self) -> Result<Vec<Staged>, LakeError> {
        self.close()?;
        Ok(self.done)
    }
}

/// Reads state files side by side, in the order of the keys.
pub struct StateReader {
    heads: BinaryHeap<Head>,
}

struct Head {
    key: Key,
    entry: StateEntry,
    path: String,
    lines: Box<dyn BufRead + Send>,
}

/// The heap gives the largest first: turned round, the smallest key.
impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.key.cmp(&self.key).then_with(|| other.path.cmp(&self.path))
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

fn write_line(file: &mut impl Write, key: Key, entry: StateEntry) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(&Line { key, entry })?;
    line.push(b'\n');
    file.write_all(&line)
}

fn next_line(path: &str, lines: &mut dyn BufRead) -> Result<Option<Line>, LakeError> {
    let mut text = Vec::new();
    if lines.read_until(b'\n', &mut text).map_err(io_error("read", path))? == 0 {
        return Ok(None);
    }
    let damaged = |error: serde_json::Error| LakeError::Damaged { path: path.to_owned(), detail: error.to_string() };
    serde_json::from_slice(&text).map(Some).map_err(damaged)
}

/// Files that are read side by side: more are merged into scratch files first, so that a process's limit of open
/// files is never the end of it.
const SIDE_BY_SIDE: usize = 64;

/// A file, by the name that messages give it.
type NamedLines = (String, Box<dyn BufRead + Send>);

impl StateReader {
    /// Opens the files of one day. `scratch` is a folder of the lake's staging.
    pub fn open<S: Store>(store: &S, paths: Vec<String>, scratch: &str) -> Result<Self, LakeError> {
        if paths.len() <= SIDE_BY_SIDE {
            let open = |path: String| Ok((path.clone(), store.open(&path).map_err(io_error("read", &path))?));
            return Self::side_by_side(paths.into_iter().map(open));
        }
        let folder = store.scratch(scratch).map_err(io_error("create", scratch))?;
        let mut merged = Vec::new();
        for (round, paths) in paths.chunks(SIDE_BY_SIDE).enumerate() {
            let path = folder.join(format!("merged-{round}"));
            let shown = path.display().to_string();
            let mut file = BufWriter::new(File::create(&path).map_err(io_error("create", &shown))?);
            let mut reader = Self::open(store, paths.to_vec(), scratch)?;
            while let Some((key, entries)) = reader.next_key()? {
                for entry in entries {
                    write_line(&mut file, key.clone(), entry).map_err(io_error("write", &shown))?;
                }
            }
            file.flush().map_err(io_error("write", &shown))?;
            merged.push((path, shown));
        }
        Self::side_by_side(merged.into_iter().map(|(path, shown)| {
            let file = File::open(&path).map_err(io_error("read", &shown))?;
            // it lives as long as it is open
            std::fs::remove_file(&path).map_err(io_error("delete", &shown))?;
            Ok((shown, Box::new(BufReader::new(file)) as Box<dyn BufRead + Send>))
        }))
    }

    fn side_by_side(files: impl Iterator<Item = Result<NamedLines, LakeError>>) -> Result<Self, LakeError> {
        // all are opened before the first is read: what is far away is fetched at once
        let files = files.collect::<Result<Vec<_>, _>>()?;
        let mut heads = BinaryHeap::new();
        for (path, mut lines) in files {
            if let Some(Line { key, entry }) = next_line(&path, &mut lines)? {
                heads.push(Head { key, entry, path, lines });
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
            let Head { path, lines, .. } = &mut *head;
            match next_line(path, lines)? {
                Some(line) => {
                    head.key = line.key;
                    entries.push(std::mem::replace(&mut head.entry, line.entry));
                }
                None => entries.push(PeekMut::pop(head).entry),
            }
        }
        Ok(Some((key, entries)))
    }
}
