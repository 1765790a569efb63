//! The files of histories, by day, and what is to be judged anew when some of them change.

use std::collections::{BTreeMap, BTreeSet};

use super::close::folder;
use crate::detect::PAST;
use crate::lake::{Day, HistoryReader, LakeError, Store, is_history_file};

/// Files of histories by day. What has no day has no history.
pub(crate) struct Histories(BTreeMap<Day, Vec<String>>);

impl Histories {
    /// Those of these state files that are.
    pub(crate) fn of<'p>(paths: impl IntoIterator<Item = &'p String>) -> Self {
        let mut days: BTreeMap<Day, Vec<String>> = BTreeMap::new();
        for path in paths.into_iter().filter(|path| is_history_file(path)) {
            if let Some(day) = day_of(folder(path)) {
                days.entry(day).or_default().push(path.clone());
            }
        }
        Self(days)
    }

    /// The days to be judged when there is something new in the folders of these: they, and those after them, as far as
    /// there is anything.
    pub(crate) fn after<'d>(&self, folders: impl IntoIterator<Item = &'d String>) -> BTreeSet<Day> {
        let changed: BTreeSet<Day> = folders.into_iter().filter_map(|folder| day_of(folder)).collect();
        let days = self.0.keys().copied();
        days.filter(|day| (0..=PAST).any(|before| changed.contains(&day.before(before)))).collect()
    }

    /// The files of a day.
    pub(crate) fn files(&self, day: Day) -> &[String] {
        self.0.get(&day).map(Vec::as_slice).unwrap_or_default()
    }

    /// Opens a day and those before it.
    pub(crate) fn open<S: Store>(&self, store: &S, day: Day, scratch: &str) -> Result<HistoryReader, LakeError> {
        let files = std::array::from_fn(|before| self.files(day.before(before)).to_vec());
        HistoryReader::open(store, day.start().unwrap_or_default(), files, scratch)
    }
}

fn day_of(folder: &str) -> Option<Day> {
    let (_, name) = folder.rsplit_once('/')?;
    Day::of_folder(name)
}
