//! State files by day, and what is to be judged anew when some of them change.

use std::collections::{BTreeMap, BTreeSet};

use super::close::folder;
use crate::detect::PAST;
use crate::lake::{Day, DaysReader, HistoryReader, LakeError, Store, is_history_file};

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

/// Days that are judged together at most: each file of theirs is then read once.
const SPAN: usize = 14;

/// Files of all but histories by day.
pub(crate) struct States(BTreeMap<Day, Vec<String>>);

impl States {
    /// Those of these state files that are.
    pub(crate) fn of<'p>(paths: impl IntoIterator<Item = &'p String>) -> Self {
        let mut days: BTreeMap<Day, Vec<String>> = BTreeMap::new();
        for path in paths.into_iter().filter(|path| !is_history_file(path)) {
            days.entry(day_of(folder(path)).unwrap_or(Day::of(None))).or_default().push(path.clone());
        }
        Self(days)
    }

    /// The days to be judged when there is something new in the folders of these: they, and those beside them, as far as
    /// there is anything. In stretches of days that follow each other.
    pub(crate) fn about<'d>(&self, folders: impl IntoIterator<Item = &'d String>) -> Vec<Vec<Day>> {
        let changed: BTreeSet<Day> =
            folders.into_iter().map(|folder| day_of(folder).unwrap_or(Day::of(None))).collect();
        let is_judged = |day: &&Day| [day.before(1), **day, day.after(1)].iter().any(|day| changed.contains(day));
        let mut spans: Vec<Vec<Day>> = Vec::new();
        for day in self.0.keys().filter(is_judged) {
            match spans.last_mut() {
                Some(span) if span.len() < SPAN && span.last().is_some_and(|last| last.after(1) == *day) => {
                    span.push(*day)
                }
                _ => spans.push(vec![*day]),
            }
        }
        spans
    }

    /// The files of a day.
    pub(crate) fn files(&self, day: Day) -> &[String] {
        self.0.get(&day).map(Vec::as_slice).unwrap_or_default()
    }

    /// Opens the day before such a stretch, its days, and the day after.
    pub(crate) fn open<S: Store>(&self, store: &S, span: &[Day], scratch: &str) -> Result<DaysReader, LakeError> {
        // what has no day has none beside it
        let beside = |day: Option<Day>| day.filter(|day| day.start().is_some() && !span.contains(day));
        let files = |day: Option<Day>| day.map_or(Vec::new(), |day| self.files(day).to_vec());
        let before = files(beside(span.first().map(|day| day.before(1))));
        let after = files(beside(span.last().map(|day| day.after(1))));
        let days = span.iter().map(|day| files(Some(*day)));
        DaysReader::open(store, std::iter::once(before).chain(days).chain([after]).collect(), scratch)
    }
}

fn day_of(folder: &str) -> Option<Day> {
    let (_, name) = folder.rsplit_once('/')?;
    Day::of_folder(name)
}
