//! Finishing what a crash left. Nothing that a commit names is deleted, but what a later commit took away.

use std::collections::BTreeSet;

use super::super::chain::{Access, COMMITS, Chain, STAGING};
use super::super::commit::FileEntry;
use super::super::error::{LakeError, io_error};
use super::super::store::Store;
use super::snapshot::{ChainView, Ledger, Snapshot};

/// What a repair did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Files that were published.
    pub published: Vec<String>,
    /// Files that were removed: their commits had taken them away.
    pub removed: Vec<String>,
    /// Files of staging, and halves of commits, that were cleared.
    pub cleared: Vec<String>,
    /// Chains that cannot be repaired, and why.
    pub left: Vec<(String, String)>,
}

/// Publishes what is committed, removes what is taken away, and clears staging that is garbage.
///
/// With [`Access::Exclusive`] the caller holds the lake's lock, and all staging is garbage; else writers may be at
/// work, and only staging of numbers that a chain has passed is.
///
/// # Errors
/// When the lake cannot be read or written; what was done before stays done, and the rest can be done by another run.
pub async fn repair<S: Store>(store: &S, access: Access) -> Result<Repaired, LakeError> {
    let before = Snapshot::take(store).await?;
    let mut repaired = Repaired::default();
    let mut names: BTreeSet<String> = before.chains.keys().cloned().collect();
    names.extend(store.folders(STAGING).await.map_err(io_error("list", STAGING))?);
    for name in names {
        if let Some(why) = before.chains.get(&name).and_then(|chain| lost(&before, chain)) {
            repaired.left.push((name, why));
            continue;
        }
        match Chain::open(store, &name, access).await {
            Ok(_) => {}
            // a gap, or a commit that cannot be read: its staging may be all there is of something
            Err(error @ LakeError::Damaged { .. }) => repaired.left.push((name, error.to_string())),
            Err(error) => return Err(error),
        }
    }
    let now = Snapshot::take(store).await?;
    let ledger = Ledger::of(&now);
    for (path, (_, by)) in ledger.removed.iter().filter(|(path, _)| now.after.contains_key(**path)) {
        // where what took its place is lost, it is all there is of its rows
        let replaced = by
            .files
            .iter()
            .all(|file| now.after.contains_key(&file.path) || ledger.removed.contains_key(file.path.as_str()));
        if replaced {
            store.delete(path).await.map_err(io_error("delete", path))?;
            repaired.removed.push((*path).to_owned());
        }
    }
    let named_before = Ledger::of(&before);
    let gone = |path: &&String| named_before.removed.contains_key(path.as_str()) && !now.after.contains_key(*path);
    repaired.removed.extend(before.after.keys().filter(gone).cloned());
    repaired.removed.sort_unstable();
    let new = now.after.keys().filter(|path| !before.after.contains_key(*path));
    repaired.published = new.filter(|path| named_before.is_live(path)).cloned().collect();
    // staged files are published by moving them: those are not garbage
    let published: BTreeSet<&str> = named_before.named.values().map(|named| named.file.staged.as_str()).collect();
    let was = before.staged.iter().chain(before.chains.values().flat_map(|chain| &chain.half));
    let still: BTreeSet<&String> = now.staged.iter().chain(now.chains.values().flat_map(|chain| &chain.half)).collect();
    repaired.cleared =
        was.filter(|path| !still.contains(path) && !published.contains(path.as_str())).cloned().collect();
    Ok(repaired)
}

/// Why the last commit of a chain must not be published again: it would remove what is all there is of its rows.
fn lost(snapshot: &Snapshot, chain: &ChainView) -> Option<String> {
    let ledger = Ledger::of(snapshot);
    let head = chain.commits.values().next_back()?;
    let gone = |file: &&FileEntry| {
        let staged = snapshot.staged.binary_search(&file.staged).is_ok();
        !staged && ledger.is_live(&file.path) && !snapshot.after.contains_key(&file.path)
    };
    let file = head.files.iter().find(gone)?;
    let needed = head.removes.iter().any(|path| snapshot.after.contains_key(path));
    needed.then(|| format!("{} is lost, and what it was made of is still there", file.path))
}

/// Whether there is a lake at all: a folder of commits.
pub async fn is_lake<S: Store>(store: &S) -> Result<bool, LakeError> {
    Ok(!store.folders(COMMITS).await.map_err(io_error("list", COMMITS))?.is_empty())
}
