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

/// Reads the histories of a day and of those before it side by side.
pub struct HistoryReader {
    day: Window,
    /// By how many days before, each with its next key.
    days: Vec<(StateReader, NextKey)>,
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
        let open = |paths| {
            // of all days together no more are open than of one
            let mut reader = StateReader::open_few(store, paths, scratch, SIDE_BY_SIDE / (PAST + 1))?;
            let first = reader.next_key()?;
            Ok((reader, first))
        };
        let days = files.into_iter().map(open).collect::<Result<_, LakeError>>()?;
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
        // the keys of a file differ from those of another by the day alone
        let of_day = |key: &Key| Key { window: self.day, ..key.clone() };
        let Some(key) = self.days.iter().filter_map(|(_, next)| Some(of_day(&next.as_ref()?.0))).min() else {
            return Ok(None);
        };
        let mut group = Beside { key, days: Default::default(), emitted: Vec::new() };
        for (number, ((reader, next), history)) in self.days.iter_mut().zip(&mut group.days).enumerate() {
            let Some((_, entries)) = next.take_if(|(next, _)| of_day(next) == group.key) else { continue };
            *next = reader.next_key()?;
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
