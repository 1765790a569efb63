//! State files of several days, side by side: a day is judged with those about it.

use std::collections::{BTreeMap, BTreeSet};

use super::chain::{COMMITS, Chain, REPLAY};
use super::error::{LakeError, io_error};
use super::partition::Day;
use super::state::{SIDE_BY_SIDE, StateEntry, StateReader, is_history_file, state_folder};
use super::store::Store;
use crate::detect::{Key, reach};

/// Days of which a key's states are in memory together at most.
const TOGETHER: usize = 16;

/// State files by day, of histories or of all others: what they are judged with differs.
pub struct DayFiles {
    days: BTreeMap<Day, Vec<String>>,
    /// Days before the one that is judged, and after it, that are asked.
    reach: [usize; 2],
}

impl DayFiles {
    /// Of these state files those of histories are the second.
    pub fn both<'p>(paths: impl IntoIterator<Item = &'p String>) -> [Self; 2] {
        let mut both = [false, true].map(|histories| Self { days: BTreeMap::new(), reach: reach(histories) });
        let [others, histories] = &mut both;
        for path in paths {
            let of_kind = if is_history_file(path) { &mut *histories } else { &mut *others };
            let day = day_of(path.rsplit_once('/').map_or("", |(folder, _)| folder));
            of_kind.days.entry(day).or_default().push(path.clone());
        }
        both
    }

    /// The days to be judged when there is something new in the folders of these: they, and those that ask for them, as
    /// far as there is anything. In stretches of days that follow each other, each of which reads a file once.
    pub fn about<'d>(&self, folders: impl IntoIterator<Item = &'d String>) -> Vec<Vec<Day>> {
        let changed: BTreeSet<Day> = folders.into_iter().map(|folder| day_of(folder)).collect();
        let [before, after] = self.reach;
        let is_judged = |day: &&Day| changed.range(day.before(before)..=day.after(after)).next().is_some();
        let mut stretches: Vec<Vec<Day>> = Vec::new();
        for day in self.days.keys().filter(is_judged) {
            match stretches.last_mut() {
                Some(stretch)
                    if stretch.len() < TOGETHER - before - after
                        && stretch.last().is_some_and(|last| last.after(1) == *day) =>
                {
                    stretch.push(*day);
                }
                _ => stretches.push(vec![*day]),
            }
        }
        stretches
    }

    /// The files of a day.
    pub fn files(&self, day: Day) -> &[String] {
        self.days.get(&day).map(Vec::as_slice).unwrap_or_default()
    }

    /// Opens the days before such a stretch that it asks for, its days, and those after it.
    ///
    /// # Errors
    /// When a file cannot be read, or is not one that this version writes.
    pub fn open<S: Store>(&self, store: &S, stretch: &[Day], scratch: &str) -> Result<DaysReader, LakeError> {
        let [before, after] = self.reach;
        let first = stretch.first().copied();
        let beside = |day: Option<Day>| day.filter(|day| day.start().is_some());
        let earlier = (1..=before).rev().map(|days| beside(first.map(|first| first.before(days))));
        let later = (1..=after).map(|days| beside(stretch.last().map(|last| last.after(days))));
        let days = earlier.chain(stretch.iter().copied().map(Some)).chain(later);
        let files = days.map(|day| day.map_or(Vec::new(), |day| self.files(day).to_vec()));
        DaysReader::open(store, files.collect(), scratch)
    }
}

/// The day of a folder of state files.
fn day_of(folder: &str) -> Day {
    let name = folder.rsplit_once('/').map_or(folder, |(_, name)| name);
    Day::of_folder(name).unwrap_or(Day::of(None))
}

/// What a lake keeps for detection.
#[derive(Debug, Default)]
pub struct KeptState {
    /// State files that count.
    pub files: Vec<String>,
    /// Shards that have ended and of which all is merged, by what the chains of their stream begin with.
    pub ended: BTreeMap<String, BTreeSet<String>>,
}

/// What counts of the state of these days: a commit that merges some files brings its own before those go, and a crash
/// may leave both, or only a part of what it brings.
///
/// # Errors
/// When the lake cannot be read.
pub async fn kept_state<S: Store>(store: &S, days: &[Day]) -> Result<KeptState, LakeError> {
    let mut kept = KeptState::default();
    let mut folders: Vec<String> = days.iter().map(|day| state_folder(*day)).collect();
    for folder in &mut folders {
        kept.files.extend(store.list(folder).await.map_err(io_error("list", folder))?);
        folder.push('/');
    }
    // read after that: what a closing takes away meanwhile is missed, and not counted twice
    let chains = store.folders(COMMITS).await.map_err(io_error("list", COMMITS))?;
    for chain in chains {
        // shards bring state and take none away
        let stream = chain.strip_suffix(".alerts");
        if chain != REPLAY && stream.is_none() {
            continue;
        }
        // the commits before the last one are done with
        let head = Chain::head_number(store, &chain).await?;
        let Some(commit) = Chain::read_one(store, &chain, head).await? else { continue };
        for folder in &folders {
            let of_day = |path: &str| path.starts_with(folder);
            let brought: Vec<&str> =
                commit.files.iter().map(|file| file.path.as_str()).filter(|path| of_day(path)).collect();
            let whole = brought.iter().all(|path| kept.files.iter().any(|file| file == path));
            let counts =
                |path: &String| if whole { !commit.removes.contains(path) } else { !brought.contains(&&**path) };
            kept.files.retain(|path| !of_day(path) || counts(path));
        }
        if let Some((stream, closing)) = stream.zip(commit.closing) {
            kept.ended.insert(stream.to_owned(), closing.ended_shards());
        }
    }
    Ok(kept)
}

/// What is known of a key in some days.
pub struct OfDays {
    /// The key in one of them; in others its window alone differs.
    pub key: Key,
    /// What is known in each day.
    pub days: Vec<Vec<StateEntry>>,
}

/// The next key of a reader, with its entries.
type NextKey = Option<(Key, Vec<StateEntry>)>;

/// Reads the state files of several days side by side.
pub struct DaysReader(Vec<(StateReader, NextKey)>);

impl DaysReader {
    /// Opens the files of these days.
    fn open<S: Store>(store: &S, days: Vec<Vec<String>>, scratch: &str) -> Result<Self, LakeError> {
        // of all days together no more are open than of one
        let with_files = days.iter().filter(|paths| !paths.is_empty()).count();
        let most = (SIDE_BY_SIDE / with_files.max(1)).max(1);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::testing::{TestLake, block_on};

    /// A closing that was interrupted at any point of its end is read as before it, or as after it.
    #[test]
    fn what_a_closing_merges_counts_once() {
        let lake = TestLake::empty();
        let day = Day::of(Some(1_795_132_800_000));
        let files = || block_on(kept_state(&lake.store, &[day.before(1), day])).unwrap().files;
        block_on(async {
            lake.shard("one", &[], "100", &[80], false).await;
            lake.shard("two", &[], "200", &[80], false).await;
        });
        let before = files();
        let kept: Vec<Vec<u8>> = before.iter().map(|path| std::fs::read(lake.path(path)).unwrap()).collect();
        assert_eq!(before.len(), 2);
        block_on(lake.alerts("80"));
        let after = files();
        assert_eq!(after.len(), 1);
        assert!(!before.contains(&after[0]));
        // they are still there
        std::fs::write(lake.path(&before[1]), &kept[1]).unwrap();
        assert_eq!(files(), after);
        std::fs::write(lake.path(&before[0]), &kept[0]).unwrap();
        assert_eq!(files(), after);
        // and it is not there yet
        std::fs::remove_file(lake.path(&after[0])).unwrap();
        assert_eq!(files(), before);
    }
}
