//! The chain of commits of one source of work: stage, commit, publish.
//!
//! 1. Every file of a unit is staged below `_flowbound/staging/<chain>/<number>/`.
//! 2. The commit `_flowbound/commits/<chain>/<number>.json` is created if it is not there. From here on the unit
//!    is done; before, it never happened.
//! 3. Its files get their final names, the files that it removes go, and its staging goes.
//!
//! A crash between 2 and 3 is mended by whoever opens the chain next ([`Chain::open`]): publishing again is
//! publishing once. A crash before 2 leaves staging that no commit names; the one writer of a local lake holds a
//! lock, so all of that staging is garbage when it opens the chain.
//!
//! I1: an object is listed by one commit that is not replaced. I2: numbers have no gap. I5: what is visible is the
//! union of the commits.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::commit::{Commit, CommitKind, FileEntry, ObjectEntry};
use super::error::{LakeError, io_error};
use super::store::Store;

/// The commits of one source of work, read and added to.
pub struct Chain<'s, S: Store> {
    store: &'s S,
    name: String,
    commits: BTreeMap<u64, Commit>,
    replaced: BTreeSet<u64>,
}

impl<'s, S: Store> Chain<'s, S> {
    /// Reads a chain, finishes what a crash left of its last commit, and clears its staging.
    pub async fn open(store: &'s S, name: &str) -> Result<Self, LakeError> {
        let mut chain = Self::read(store, name).await?;
        if let Some(mut head) = chain.commits.values().next_back().cloned() {
            // what is not staged any more was published, whatever became of it since (a retention job, say)
            let staging = format!("{}/{:010}", chain.staging_root(), head.number);
            let staged = store.list(&staging).await.map_err(io_error("list", &staging))?;
            head.files.retain(|file| staged.binary_search(&file.staged).is_ok());
            chain.publish(&head).await?;
        }
        let staging = chain.staging_root();
        store.delete_all(&staging).await.map_err(io_error("delete", &staging))?;
        chain.replaced = chain.commits.values().flat_map(|commit| commit.replaces.iter().copied()).collect();
        Ok(chain)
    }

    async fn read(store: &'s S, name: &str) -> Result<Self, LakeError> {
        let folder = format!("_flowbound/commits/{name}");
        let mut commits = BTreeMap::new();
        for path in store.list(&folder).await.map_err(io_error("list", &folder))? {
            if !path.ends_with(".json") {
                // half a commit that a crash left: it never happened
                store.delete(&path).await.map_err(io_error("delete", &path))?;
                continue;
            }
            let Some(bytes) = store.read(&path).await.map_err(io_error("read", &path))? else { continue };
            let commit = Commit::from_json(&path, &bytes)?;
            commits.insert(commit.number, commit);
        }
        if let Some((gap, _)) = (1..).zip(commits.keys()).find(|(place, number)| place != *number) {
            let path = format!("{folder}/{gap:010}.json");
            return Err(LakeError::Damaged { path, detail: "it is missing, but later commits are there".to_owned() });
        }
        Ok(Self { store, name: name.to_owned(), commits, replaced: BTreeSet::new() })
    }

    fn staging_root(&self) -> String {
        format!("_flowbound/staging/{}", self.name)
    }

    /// The number that the next commit will have.
    pub fn next_number(&self) -> u64 {
        self.commits.keys().next_back().map_or(1, |head| head + 1)
    }

    /// The folder in which the next commit's files are staged.
    pub fn staging(&self) -> String {
        format!("{}/{:010}", self.staging_root(), self.next_number())
    }

    /// The name that files of the next commit begin with.
    pub fn unit(&self) -> String {
        format!("{}-{:010}", self.name, self.next_number())
    }

    /// Every commit whose rows are in the lake, in order.
    pub fn active(&self) -> impl Iterator<Item = &Commit> {
        self.commits.values().filter(|commit| !self.replaced.contains(&commit.number))
    }

    /// The objects of the lake by URI, each with the number of its commit.
    pub fn objects(&self) -> HashMap<&str, (u64, &ObjectEntry)> {
        self.active()
            .flat_map(|commit| commit.objects.iter().map(move |object| (object.uri.as_str(), (commit.number, object))))
            .collect()
    }

    /// A commit by its number.
    pub fn commit(&self, number: u64) -> Option<&Commit> {
        self.commits.get(&number)
    }

    /// Active commits with data that came after the last commit that closed windows.
    pub fn since_close(&self) -> impl Iterator<Item = &Commit> {
        let closed = self.commits.values().rev().find(|commit| commit.kind == CommitKind::Close);
        let closed = closed.map_or(0, |commit| commit.number);
        self.commits.range(closed + 1..).map(|(_, commit)| commit)
    }

    /// Creates the next commit and publishes it. Nothing of it is visible when this fails with a conflict.
    pub async fn commit_next(&mut self, commit: Commit) -> Result<(), LakeError> {
        debug_assert_eq!(commit.number, self.next_number());
        let path = self.next_path();
        if !self.store.create(&path, &commit.to_json()).await.map_err(io_error("create", &path))? {
            return Err(LakeError::Conflict(path));
        }
        self.publish(&commit).await?;
        self.replaced.extend(&commit.replaces);
        self.commits.insert(commit.number, commit);
        Ok(())
    }

    /// Clears what was staged for the next commit, after an error: unless the commit is there, for then its files are
    /// published from there by the next opening.
    pub async fn abandon(&self) {
        let staging = self.staging();
        if matches!(self.store.read(&self.next_path()).await, Ok(None)) {
            // the next opening clears it too; a full disk is better cleared now
            let _best_effort = self.store.delete_all(&staging).await;
        }
    }

    fn next_path(&self) -> String {
        format!("_flowbound/commits/{}/{:010}.json", self.name, self.next_number())
    }

    async fn publish(&self, commit: &Commit) -> Result<(), LakeError> {
        let files: Vec<(&str, &str)> =
            commit.files.iter().map(|FileEntry { staged, path, .. }| (staged.as_str(), path.as_str())).collect();
        let name = format!("the files of commit {}", commit.number);
        self.store.publish(&files).await.map_err(io_error("publish", &name))?;
        for path in &commit.removes {
            self.store.delete(path).await.map_err(io_error("delete", path))?;
        }
        let staging = format!("{}/{:010}", self.staging_root(), commit.number);
        self.store.delete_all(&staging).await.map_err(io_error("delete", &staging))
    }
}
