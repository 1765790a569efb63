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
use crate::detect::{State, detector_names};
use crate::lake::{
    AlertWriter, COMMITS, Chain, Commit, CommitKind, Conserved, Emitted, FileEntry, LakeError, Origin, STAGING,
    StateEntry, StateReader, StateWriter, Store, Unit, in_place, io_error, side_by_side, writer_properties,
};
use crate::pipeline::close::{folder, gather, revise, state_files};
use crate::source::kinesis::Streams;

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
        for (day, files) in fresh {
            let files: Vec<String> = closing.merged.remove(&day).unwrap_or_default().into_iter().chain(files).collect();
            let opened = StateReader::open(store, files.clone(), &format!("{}/merge", unit.staging));
            let was_lost = known.lost.contains(&day);
            let lost = match &opened {
                Ok(_) => damaged.contains(&day),
                Err(error) => is_lost(error) && (mended || was_lost),
            };
            if lost {
                // one day shall not hold the others back
                if !was_lost {
                    let why = opened.err().map(|error| error.to_string());
                    tracing::error!(day, why, "no alerts of this day until its state is whole again");
                    context.metrics.close_failure();
                }
                closing.merged.insert(day.clone(), files);
                closing.lost.insert(day);
                continue;
            }
            let mut keys = opened?;
            commit.removes.extend(files);
            let of_day = |error| Broken { day: Some(day.clone()), error };
            while let Some((key, entries)) = keys.next_key().map_err(of_day)? {
                let mut gathered = gather(&key, entries, State::merged);
                for row in revise(&key, &gathered, &context.options.detect, &mut allow) {
                    let emitted = Emitted::of(&key, &row);
                    gathered.emitted.insert(emitted.alert(&key).0.clone(), emitted);
                    told.extend(detector_names().find(|name| *name == row.finding.detector));
                    alerts.push(row)?;
                }
                let emitted = gathered.emitted.into_values().map(StateEntry::Emitted);
                let mut entries = gathered.state.map(StateEntry::from).into_iter().chain(emitted);
                entries.try_for_each(|entry| state.push(key.clone(), entry))?;
            }
        }
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
