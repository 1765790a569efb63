//! Closing windows over the chains of all shards.
//!
//! Every commit of a shard carries what its records add to each open window. The closer has a chain of its own; each
//! of its commits says up to which commit of every other chain it has merged, brings the merged state of the days
//! that changed and the alerts that follow, and takes the merged files away. So an alert is always the sum of what
//! all shards have said, nothing is merged twice, and a closer that is too late finds its number taken.

use std::collections::BTreeMap;

use super::shard::chain_name;
use super::{Context, on_cpu};
use crate::lake::{
    AlertWriter, COMMITS, Chain, Commit, CommitKind, Conserved, LakeError, Origin, StateEntry, StateReader,
    StateWriter, Store, Unit, io_error, writer_properties,
};
use crate::pipeline::close::{folder, gather, revise, state_files};
use crate::source::kinesis::Streams;

/// What the closer's chain is called beside those of the shards.
const ALERTS: &str = "alerts";

/// Merges what is new.
pub(super) async fn close<S: Store, K: Streams>(context: &Context<S, K>) -> Result<(), LakeError> {
    let store = &*context.store;
    let mut tried = None;
    loop {
        let chain = Chain::open_head(store, &chain_name(&context.stream, ALERTS)).await?;
        let number = chain.next_number();
        match round(context, chain).await {
            Ok(()) => return Ok(()),
            Err(error) if tried.replace(number) == Some(number) => return Err(error),
            // another closer was faster, and took the files away that this one read; or a commit is not published yet,
            // and perhaps never will be by the worker that made it
            Err(error) => {
                tracing::debug!(error = error.to_string(), "windows not closed; looked at again");
                for name in shard_chains(context).await? {
                    Chain::open_head(store, &name).await?;
                }
            }
        }
    }
}

/// The chains of this stream's shards.
async fn shard_chains<S: Store, K: Streams>(context: &Context<S, K>) -> Result<Vec<String>, LakeError> {
    // every shard of Kinesis is called so; and another stream's name may begin as this one's
    let shards = chain_name(&context.stream, "shardId-");
    let mut names = context.store.folders(COMMITS).await.map_err(io_error("list", COMMITS))?;
    names.retain(|name| name.starts_with(&shards));
    Ok(names)
}

async fn round<S: Store, K: Streams>(context: &Context<S, K>, mut chain: Chain<'_, S>) -> Result<(), LakeError> {
    let store = &*context.store;
    let mut closing = chain.head().and_then(|head| head.closing.clone()).unwrap_or_default();
    let known = closing.seen.clone();
    for name in shard_chains(context).await? {
        closing.seen.entry(name).or_default();
    }
    let mut fresh: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, seen) in &mut closing.seen {
        for commit in Chain::read_from(store, name, *seen + 1).await? {
            *seen = commit.number;
            for path in state_files(&commit) {
                fresh.entry(folder(path).to_owned()).or_default().push(path.to_owned());
            }
        }
    }
    if closing.seen == known && chain.next_number() > 1 {
        return Ok(());
    }
    let mut unit = Unit::begin(&chain, store)?;
    let mut commit = Commit::new(chain.next_number(), CommitKind::Close, context.map.clone(), &Conserved::default());
    let (staged, told) = on_cpu(|| {
        let properties = writer_properties(&Origin::of(context.map.as_ref()));
        let mut alerts = AlertWriter::new(store, unit.staging.clone(), properties);
        let mut state = StateWriter::new(store, format!("{}/state", unit.staging));
        let mut told = Vec::new();
        for (day, files) in fresh {
            let files: Vec<String> = closing.merged.remove(&day).unwrap_or_default().into_iter().chain(files).collect();
            commit.removes.extend_from_slice(&files);
            let mut keys = StateReader::open(store, files, &format!("{}/merge", unit.staging))?;
            while let Some((key, entries)) = keys.next_key()? {
                let gathered = gather(entries);
                let row = revise(&key, &gathered);
                let emitted = row.as_ref().map(StateEntry::emitted).or(gathered.last.map(StateEntry::Emitted));
                let entries = gathered.tally.map(StateEntry::Tally).into_iter().chain(emitted);
                entries.into_iter().try_for_each(|entry| state.push(key.clone(), entry))?;
                if let Some(row) = row {
                    told.push(row.finding.detector);
                    alerts.push(row)?;
                }
            }
        }
        let staged: Vec<_> = alerts.finish()?.into_iter().chain(state.finish()?).collect();
        Ok::<_, LakeError>((staged, told))
    })?;
    staged.into_iter().for_each(|staged| unit.add(staged));
    commit = unit.into_commit(commit);
    for path in state_files(&commit) {
        closing.merged.entry(folder(path).to_owned()).or_default().push(path.to_owned());
    }
    commit.closing = Some(closing);
    chain.commit_next(commit).await?;
    told.into_iter().for_each(|detector| context.metrics.alert(detector));
    Ok(())
}
