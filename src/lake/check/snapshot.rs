//! What lies in a lake at a moment, read in an order in which writers at work do least harm.
//!
//! Files are listed, then commits are read, then files are listed again. A file is published after its commit was
//! created, so one of the first listing that no commit names is foreign, whoever is at work; and what a commit names
//! must be in the second. Chains whose commits remove the files of other chains are read before those. What is still
//! out of place then is looked at again after a pause.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::super::chain::{COMMITS, COMPACT, STAGING};
use super::super::commit::{Commit, FileEntry};
use super::super::error::{LakeError, io_error};
use super::super::outbox::{Mark, marks};
use super::super::side_by_side::side_by_side;
use super::super::store::Store;

/// The folders in which only commits may put files.
const PUBLISHED: [&str; 4] = ["flows", "alerts", "quarantine", "_flowbound/state"];

/// One chain, as far as it can be read.
#[derive(Debug, Default)]
pub(super) struct ChainView {
    pub(super) name: String,
    pub(super) commits: BTreeMap<u64, Commit>,
    /// Commits that cannot be read: number, if its name says one, path and reason.
    pub(super) damaged: Vec<(Option<u64>, String, String)>,
    /// Files beside the commits that are none.
    pub(super) half: Vec<String>,
}

impl ChainView {
    /// The number that its next commit will have.
    pub(super) fn next_number(&self) -> u64 {
        let damaged = self.damaged.iter().filter_map(|(number, ..)| *number);
        self.commits.keys().copied().chain(damaged).max().map_or(1, |head| head + 1)
    }

    pub(super) fn path(&self, number: u64) -> String {
        format!("{COMMITS}/{}/{number:010}.json", self.name)
    }

    /// Commits whose rows are not replaced.
    pub(super) fn active(&self) -> impl Iterator<Item = &Commit> {
        let replaced: HashSet<u64> = self.commits.values().flat_map(|commit| commit.replaces.iter().copied()).collect();
        self.commits.values().filter(move |commit| !replaced.contains(&commit.number))
    }
}

/// A lake at a moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) chains: BTreeMap<String, ChainView>,
    /// Published files with their lengths, before the commits were read.
    pub(super) before: BTreeMap<String, u64>,
    /// The same, after.
    pub(super) after: BTreeMap<String, u64>,
    /// Staged files.
    pub(super) staged: Vec<String>,
    /// How far sinks are, by their names and chains; or what of that is damaged.
    pub(super) marks: Result<BTreeMap<(String, String), Mark>, (String, String)>,
}

impl Snapshot {
    pub(super) async fn take<S: Store>(store: &S) -> Result<Self, LakeError> {
        let before = published(store).await?;
        // before the commits: a mark is never ahead of them
        let marks = match marks(store).await {
            Err(LakeError::Damaged { path, detail }) => Err((path, detail)),
            marks => Ok(marks?),
        };
        let mut names = store.folders(COMMITS).await.map_err(io_error("list", COMMITS))?;
        names.sort_by_key(|name| (name != COMPACT, !name.ends_with(".alerts")));
        let mut chains = BTreeMap::new();
        for name in names {
            chains.insert(name.clone(), read_chain(store, name).await?);
        }
        let staged = store.list(STAGING).await.map_err(io_error("list", STAGING))?;
        let after = published(store).await?;
        Ok(Self { chains, before, after, staged, marks })
    }

    /// Whether every commit that there was is there. Else nobody knows what the others said.
    pub(super) fn is_whole(&self) -> bool {
        self.chains.values().all(|chain| chain.commits.len() as u64 + 1 == chain.next_number())
    }

    /// Every commit with the name of its chain.
    pub(super) fn commits(&self) -> impl Iterator<Item = (&ChainView, &Commit)> {
        self.chains.values().flat_map(|chain| chain.commits.values().map(move |commit| (chain, commit)))
    }
}

async fn published<S: Store>(store: &S) -> Result<BTreeMap<String, u64>, LakeError> {
    let mut found = BTreeMap::new();
    for folder in PUBLISHED {
        let files = store.files(folder).await.map_err(io_error("list", folder))?;
        found.extend(files.into_iter().map(|file| (file.path, file.bytes)));
    }
    Ok(found)
}

async fn read_chain<S: Store>(store: &S, name: String) -> Result<ChainView, LakeError> {
    let folder = format!("{COMMITS}/{name}");
    let listed = store.list(&folder).await.map_err(io_error("list", &folder))?;
    let (paths, half): (Vec<String>, Vec<String>) = listed.into_iter().partition(|path| path.ends_with(".json"));
    let read = side_by_side(&paths, |path| {
        // each closing repeats the one before, with every shard and day there ever was: the last is enough
        let (path, last) = (path.clone(), paths.last() == Some(path));
        async move {
            let bytes = store.read(&path).await.map_err(io_error("read", &path))?;
            let Some(bytes) = bytes else { return Ok(Err("it was taken away while it was read".to_owned())) };
            Ok::<_, LakeError>(match Commit::from_json(&path, &bytes) {
                Ok(commit) => Ok(Commit { closing: commit.closing.filter(|_| last), ..commit }),
                Err(LakeError::Damaged { detail, .. }) => Err(detail),
                Err(other) => Err(other.to_string()),
            })
        }
    });
    let mut chain = ChainView { name, half, ..ChainView::default() };
    for (path, commit) in paths.iter().zip(read.await?) {
        let stem = path.rsplit_once('/').and_then(|(_, name)| name.strip_suffix(".json")).unwrap_or_default();
        let number = stem.parse().ok().filter(|number| format!("{number:010}") == stem);
        match commit {
            Ok(commit) if Some(commit.number) == number => {
                chain.commits.insert(commit.number, commit);
            }
            Ok(commit) => {
                chain.damaged.push((number, path.clone(), format!("it says that its number is {}", commit.number)));
            }
            Err(why) => chain.damaged.push((number, path.clone(), why)),
        }
    }
    Ok(chain)
}

/// A file that a commit brought.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'s> {
    pub(super) chain: &'s ChainView,
    pub(super) commit: &'s Commit,
    pub(super) file: &'s FileEntry,
}

/// What the commits of all chains say of files.
#[derive(Debug, Default)]
pub(super) struct Ledger<'s> {
    pub(super) named: HashMap<&'s str, Named<'s>>,
    pub(super) removed: HashMap<&'s str, (&'s ChainView, &'s Commit)>,
    /// Named by a second commit.
    pub(super) named_again: Vec<Named<'s>>,
    /// Removed by a second commit.
    pub(super) removed_again: Vec<(&'s str, &'s ChainView, &'s Commit)>,
}

impl<'s> Ledger<'s> {
    pub(super) fn of(snapshot: &'s Snapshot) -> Self {
        let mut ledger = Self::default();
        for (chain, commit) in snapshot.commits() {
            for file in &commit.files {
                let named = Named { chain, commit, file };
                if ledger.named.contains_key(file.path.as_str()) {
                    ledger.named_again.push(named);
                } else {
                    ledger.named.insert(&file.path, named);
                }
            }
            for path in &commit.removes {
                if ledger.removed.contains_key(path.as_str()) {
                    ledger.removed_again.push((path, chain, commit));
                } else {
                    ledger.removed.insert(path, (chain, commit));
                }
            }
        }
        ledger
    }

    pub(super) fn is_live(&self, path: &str) -> bool {
        self.named.contains_key(path) && !self.removed.contains_key(path)
    }

    /// Files that shall be there, below this folder, by path.
    pub(super) fn live(&self, folder: &str) -> Vec<Named<'s>> {
        let below = |path: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        let mut live: Vec<_> = self
            .named
            .values()
            .filter(|named| below(&named.file.path) && self.is_live(&named.file.path))
            .copied()
            .collect();
        live.sort_unstable_by_key(|named| named.file.path.as_str());
        live
    }
}
