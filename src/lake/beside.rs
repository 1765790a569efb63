//! State files of several days, side by side: what a day is compared with.

use std::collections::BTreeSet;

use super::error::LakeError;
use super::state::{SIDE_BY_SIDE, StateEntry, StateReader};
use super::store::Store;
use crate::detect::{Clock, History, Key, PAST, State, Window, is_clock};

/// The next key of a reader, with its entries.
type NextKey = Option<(Key, Vec<StateEntry>)>;

/// What is known of a group in a day, and in the days before.
pub struct Beside {
    /// Its key in that day.
    pub key: Key,
    /// What it did, by how many days before.
    pub days: [Option<History>; PAST + 1],
    /// Its alerts of that day which are in the lake.
    pub emitted: Vec<StateEntry>,
}

impl Beside {
    /// Whether it had more members in that day than are kept.
    pub fn is_cut(&self) -> bool {
        self.days.first().and_then(Option::as_ref).is_some_and(|today| today.cut)
    }
}

/// What is known of a key in some days.
pub struct OfDays {
    /// The key in one of them; in others its window alone differs.
    pub key: Key,
    /// What is known in each day.
    pub days: Vec<Vec<StateEntry>>,
}

/// Reads the state files of several days side by side.
pub struct DaysReader(Vec<(StateReader, NextKey)>);

impl DaysReader {
    /// Opens the files of these days.
    ///
    /// # Errors
    /// When a file cannot be read, or is not one that this version writes.
    pub fn open<S: Store>(store: &S, days: Vec<Vec<String>>, scratch: &str) -> Result<Self, LakeError> {
        // of all days together no more are open than of one
        let most = (SIDE_BY_SIDE / days.len().max(1)).max(1);
        let open = |paths| {
            let mut reader = StateReader::open_few(store, paths, scratch, most)?;
            let first = reader.next_key()?;
            Ok((reader, first))
        };
        Ok(Self(days.into_iter().map(open).collect::<Result<_, LakeError>>()?))
    }

    /// The next key; `None` at the end.
    ///
    /// # Errors
    /// When a file cannot be read, or is not one that this version writes.
    pub fn next_key(&mut self) -> Result<Option<OfDays>, LakeError> {
        // the keys of a day differ from those of another by the window alone
        let keys = self.0.iter().filter_map(|(_, next)| next.as_ref()).map(|(key, _)| key);
        let Some(key) = keys.min_by(|one, other| one.apart_from_window().cmp(&other.apart_from_window())).cloned()
        else {
            return Ok(None);
        };
        let mut days = Vec::with_capacity(self.0.len());
        for (reader, next) in &mut self.0 {
            match next.take_if(|(next, _)| next.apart_from_window() == key.apart_from_window()) {
                Some((_, entries)) => {
                    *next = reader.next_key()?;
                    days.push(entries);
                }
                None => days.push(Vec::new()),
            }
        }
        Ok(Some(OfDays { key, days }))
    }
}

/// Reads the histories of a day and of those before it side by side.
pub struct HistoryReader {
    day: Window,
    /// By how many days before.
    days: DaysReader,
    /// When there are records at all: it is known before the first group.
    pub clock: Clock,
    /// Shards that have ended.
    ended: BTreeSet<String>,
}

impl HistoryReader {
    /// Opens the files of the day that begins at this time (milliseconds since 1970) and of those before it, by how
    /// many days before.
    ///
    /// # Errors
    /// When a file cannot be read, or is not one that this version writes.
    pub fn open<S: Store>(
        store: &S,
        day: i64,
        files: [Vec<String>; PAST + 1],
        scratch: &str,
    ) -> Result<Self, LakeError> {
        let days = DaysReader::open(store, files.into(), scratch)?;
        Ok(Self { day: Window(Some(day)), days, clock: Clock::default(), ended: BTreeSet::new() })
    }

    /// Nobody waits for these shards any more: see [`Clock::new`].
    pub fn ended(self, shards: BTreeSet<String>) -> Self {
        Self { ended: shards, ..self }
    }

    /// The next group; `None` at the end.
    ///
    /// # Errors
    /// When a file cannot be read, or is not one that this version writes.
    pub fn next_group(&mut self) -> Result<Option<Beside>, LakeError> {
        let Some(OfDays { key, days }) = self.days.next_key()? else { return Ok(None) };
        let key = Key { window: self.day, ..key };
        let mut group = Beside { key, days: Default::default(), emitted: Vec::new() };
        for (number, (entries, history)) in days.into_iter().zip(&mut group.days).enumerate() {
            let mut states = Vec::new();
            for entry in entries {
                match entry {
                    StateEntry::History(history) => states.push(State::History(history)),
                    emitted @ StateEntry::Emitted(_) if number == 0 => group.emitted.push(emitted),
                    _ => {}
                }
            }
            if let Some(State::History(merged)) = State::merged(states) {
                *history = Some(merged);
            }
        }
        if is_clock(&group.key) {
            self.clock = Clock::new(&group.days, &self.ended);
        }
        Ok(Some(group))
    }
}
