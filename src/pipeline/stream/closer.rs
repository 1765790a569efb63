//! Closing windows over the chains of all shards.
//!
//! Every commit of a shard carries what its records add to each open window. The closer has a chain of its own; each
//! of its commits says up to which commit of every other chain it has merged, brings the merged state of the days
//! that changed and the alerts that follow, and takes the merged files away. So an alert is always the sum of what
//! all shards have said, nothing is merged twice, and a closer that is too late finds its number taken.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;

use super::Context;
use super::shard::chain_name;
use crate::detect::{Alert, Judge, Key, State, detector_names};
use crate::lake::{
    AlertWriter, COMMITS, Chain, Closing, Commit, CommitKind, Conserved, Day, DayFiles, Emitted, FileEntry, LakeError,
    Origin, STAGING, StateEntry, StateReader, StateWriter, Store, Unit, in_place, io_error, is_history_file,
    side_by_side, state_folder, writer_properties,
};
use crate::pipeline::close::{Gathered, folder, judged, revise, state_files};
use crate::source::kinesis::Streams;

/// Where state files lie.
const STATE: &str = "_flowbound/state/";
/// State files of a day from which on they are merged though none of them is new: its alerts have new revisions while the
/// days after it go on. With more of them readers that have many days open would not read all side by side.
const FILES: usize = 4;

/// What the closer's chain is called beside those of the shards.
const ALERTS: &str = "alerts";

/// The closer's chain.
pub(super) fn chain<S: Store, K: Streams>(context: &Context<S, K>) -> String {
    chain_name(&context.stream.id(), ALERTS)
}

/// Merges what is new.
pub(super) async fn close<S: Store, K: Streams>(context: &Context<S, K>) -> Result<(), LakeError> {
    let store = &*context.store;
    let alerts = chain(context);
    let mut tried = None;
    let mut damaged = BTreeSet::new();
    loop {
        let chain = Chain::open_head(store, &alerts).await?;
        let number = chain.next_number();
        let again = tried == Some(number);
        if !again {
            // what another closer took away is not lost
            damaged.clear();
        }
        let unpublished = match round(context, chain, again, &damaged).await {
            Ok(unpublished) if unpublished.is_empty() || tried.is_some() => return Ok(()),
            Ok(unpublished) => unpublished,
            // once more, without this day
            Err(Broken { day: Some(day), error }) if again && is_lost(&error) && damaged.insert(day.clone()) => {
                tracing::error!(day, error = error.to_string(), "its state is damaged");
                continue;
            }
            Err(Broken { error, .. }) if again => return Err(error),
            // another closer was faster, and took the files away that this one read; or one is lost
            Err(Broken { error, .. }) => {
                tracing::debug!(error = error.to_string(), "windows not closed; looked at again");
                // what those staged who were too late, or died over it
                Chain::open_head(store, &alerts).await?.clear_passed().await?;
                shard_chains(context).await?
            }
        };
        // perhaps the worker that made a commit never publishes it
        for name in unpublished {
            Chain::open_head(store, &name).await?;
        }
        tried = Some(number);
    }
}

/// The chains of this stream's shards.
async fn shard_chains<S: Store, K: Streams>(context: &Context<S, K>) -> Result<Vec<String>, LakeError> {
    // every shard of Kinesis is called so
    let shards = chain_name(&context.stream.id(), "shardId-");
    let mut names = context.store.folders(COMMITS).await.map_err(io_error("list", COMMITS))?;
    names.retain(|name| name.starts_with(&shards));
    Ok(names)
}

/// Why a round came to nothing; the day whose state could not be read, if it was that.
struct Broken {
    day: Option<String>,
    error: LakeError,
}

impl From<LakeError> for Broken {
    fn from(error: LakeError) -> Self {
        Self { day: None, error }
    }
}

/// The name of the detector of an alert.
fn name(row: &Alert) -> Option<&'static str> {
    detector_names().find(|name| *name == row.finding.detector)
}

/// Keeps what was gathered for a key, and its alerts with these that are new.
fn keep<S: Store>(
    key: &Key,
    gathered: &mut Gathered,
    rows: &[Alert],
    state: &mut StateWriter<'_, S>,
) -> Result<(), LakeError> {
    for row in rows {
        let emitted = Emitted::of(row);
        gathered.emitted.insert(emitted.alert.clone(), emitted);
    }
    let emitted = std::mem::take(&mut gathered.emitted).into_values().map(StateEntry::Emitted);
    let mut entries = gathered.state.take().map(StateEntry::from).into_iter().chain(emitted);
    entries.try_for_each(|entry| state.push(key, &entry))
}

/// The state file that could not be read, if it was one.
fn file_of(error: &LakeError) -> Option<&str> {
    let (LakeError::Damaged { path, .. } | LakeError::Io { path, .. }) = error else { return None };
    path.starts_with(STATE).then_some(path)
}

/// Why the state of this day is lost, if it is: a file is not there any more, or none.
fn missing<S: Store>(store: &S, closing: &Closing, day: &str, scratch: &str) -> Option<String> {
    let files = closing.merged.get(day)?.iter().filter(|path| !is_history_file(path)).cloned().collect();
    StateReader::open(store, files, scratch).err().filter(is_lost).map(|error| error.to_string())
}

/// Something that was in the lake is not there any more, or is not what was written.
fn is_lost(error: &LakeError) -> bool {
    match error {
        LakeError::Damaged { .. } => true,
        LakeError::Io { source, .. } => source.kind() == ErrorKind::NotFound,
        _ => false,
    }
}

/// Merges what is new of every chain, as far as it is published; the names of chains of which something is not. What is
/// not there may be another closer's by now: only when that is looked after (`mended`) is it lost.
///
/// A commit is published when nothing of it is staged any more. Before, whoever opens its chain next would publish its
/// files again, and what was merged here and taken away would be there for ever.
async fn round<S: Store, K: Streams>(
    context: &Context<S, K>,
    mut chain: Chain<'_, S>,
    mended: bool,
    damaged: &BTreeSet<String>,
) -> Result<Vec<String>, Broken> {
    let store = &*context.store;
    let mut closing = chain.head().and_then(|head| head.closing.clone()).unwrap_or_default();
    let known = closing.clone();
    for name in shard_chains(context).await? {
        closing.seen.entry(name).or_default();
    }
    let mut fresh: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let open: Vec<_> = closing.seen.iter().filter(|(name, _)| !closing.ended.contains(*name)).collect();
    let open: Vec<(String, u64)> = open.into_iter().map(|(name, seen)| (name.clone(), seen + 1)).collect();
    let read = side_by_side(&open, |(name, next)| {
        let (name, next) = (name.clone(), *next);
        async move { Chain::read_from(store, &name, next).await }
    });
    let read = read.await?;
    // listed after that: what was staged before its commit, and is not now, is published
    let staged = store.list(STAGING).await.map_err(io_error("list", STAGING))?;
    let is_staged = |file: &FileEntry| staged.binary_search(&file.staged).is_ok();
    let mut unpublished = Vec::new();
    for ((name, _), commits) in open.iter().zip(read) {
        for commit in commits {
            if commit.files.iter().any(is_staged) {
                unpublished.push(name.clone());
                break;
            }
            closing.seen.insert(name.clone(), commit.number);
            if commit.shard.as_ref().is_some_and(|span| span.closed) {
                closing.ended.insert(name.clone());
            }
            for path in state_files(&commit) {
                fresh.entry(folder(path).to_owned()).or_default().push(path.to_owned());
            }
        }
    }
    for day in std::mem::take(&mut closing.lost) {
        fresh.entry(day).or_default();
    }
    if closing.seen == known.seen && fresh.is_empty() && chain.next_number() > 1 {
        return Ok(unpublished);
    }
    let mut unit = Unit::begin(&chain, store)?;
    let mut commit = Commit::new(chain.next_number(), CommitKind::Close, context.map.clone(), &Conserved::default());
    let (staged, told) = in_place(|| {
        let properties = writer_properties(&Origin::of(context.map.as_ref()));
        let mut alerts = AlertWriter::new(store, unit.staging.clone(), properties);
        let mut state = StateWriter::new(store, format!("{}/state", unit.staging));
        let mut told = Vec::new();
        // a stream has no summary that would tell of it
        let mut allow = Vec::new();
        let detect = &context.options.detect;
        let scratch = format!("{}/merge", unit.staging);
        let changed: Vec<String> = fresh.keys().cloned().collect();
        for (day, files) in fresh {
            closing.merged.entry(day).or_default().extend(files);
        }
        for day in changed.iter().chain(damaged) {
            let was_lost = known.lost.contains(day);
            let why = if mended || was_lost { missing(store, &closing, day, &scratch) } else { None };
            // one day shall not hold the others back
            let is_lost = damaged.contains(day) || why.is_some();
            if is_lost && closing.lost.insert(day.clone()) && !was_lost {
                tracing::error!(day, why, "no alerts of this day until its state is whole again");
                context.metrics.close_failure();
            }
        }
        let whole = closing.merged.iter().filter(|(day, _)| !closing.lost.contains(*day));
        let whole: Vec<String> = whole.flat_map(|(_, files)| files).cloned().collect();
        let ended = closing.ended_shards();
        let of_file = |error: LakeError| Broken { day: file_of(&error).map(|path| folder(path).to_owned()), error };
        let mut cut = 0;
        for files in DayFiles::both(&whole) {
            for stretch in files.about(changed.iter().filter(|day| !closing.lost.contains(*day))) {
                let is_merged =
                    |day: &&Day| changed.contains(&state_folder(**day)) || files.files(**day).len() >= FILES;
                let merged: BTreeSet<Day> = stretch.iter().filter(is_merged).copied().collect();
                let mut keys = files.open(store, &stretch, &scratch).map_err(of_file)?;
                let mut judge = Judge::new(ended.clone());
                while let Some(of_days) = keys.next_key().map_err(of_file)? {
                    let sum = |days: Vec<Vec<State>>| days.into_iter().map(State::merged).collect();
                    for mut of_day in judged(&mut judge, of_days, &stretch, sum, detect) {
                        cut += u64::from(of_day.is_cut());
                        let found = std::mem::take(&mut of_day.found);
                        let rows = revise(&of_day.gathered.emitted, found, detect, &mut allow);
                        if merged.contains(&of_day.day) {
                            keep(&of_day.key, &mut of_day.gathered, &rows, &mut state)?;
                        } else {
                            // what is gathered of it is as it was
                            let mut emitted = rows.iter().map(|row| StateEntry::Emitted(Emitted::of(row)));
                            emitted.try_for_each(|emitted| state.push(&of_day.key, &emitted))?;
                        }
                        told.extend(rows.iter().filter_map(name));
                        rows.into_iter().try_for_each(|row| alerts.push(row))?;
                    }
                }
                for day in merged {
                    let taken = files.files(day);
                    if let Some(left) = closing.merged.get_mut(&state_folder(day)) {
                        left.retain(|path| !taken.contains(path));
                    }
                    commit.removes.extend(taken.iter().cloned());
                }
                alerts.end_days()?;
                state.end_days()?;
            }
        }
        if context.metrics.cut_groups(cut) < cut {
            tracing::warn!(groups = cut, "more members than are kept: who was left out has no alert");
        }
        closing.merged.retain(|_, files| !files.is_empty());
        let staged: Vec<_> = alerts.finish()?.into_iter().chain(state.finish()?).collect();
        Ok::<_, Broken>((staged, told))
    })?;
    if closing == known && chain.next_number() > 1 {
        return Ok(unpublished);
    }
    staged.into_iter().for_each(|staged| unit.add(staged));
    commit = unit.into_commit(commit);
    for path in state_files(&commit) {
        closing.merged.entry(folder(path).to_owned()).or_default().push(path.to_owned());
    }
    commit.closing = Some(closing);
    chain.commit_next(commit).await?;
    told.into_iter().for_each(|detector| context.metrics.alert(detector));
    Ok(unpublished)
}
