//! The chain of commits of one source of work: stage, commit, publish.
//!
//! 1. Every file of a unit is staged below `_flowbound/staging/<chain>/<number>/<nonce>/`.
//! 2. The commit `_flowbound/commits/<chain>/<number>.json` is created if it is not there. From here on the unit
//!    is done; before, it never happened.
//! 3. Its files get their final names, the files that it removes go, and its staging goes.
//!
//! A crash between 2 and 3 is mended by whoever opens the chain next: publishing again is publishing once. A crash
//! before 2 leaves staging that no commit names. Who may clear that depends on who else may write ([`Access`]): a
//! local replay holds the lake's lock, so all of it is garbage; elsewhere only staging of numbers that the chain has
//! passed is, because nothing can be committed from it any more. (Clearing by age instead loses data: the owner of
//! old staging may only be slow.)
//!
//! Every writer has a nonce, in its staging and in its commits: two writers never share a staged file, and one whose
//! answer was lost on the way finds its own commit again. A writer that follows a shard begins with an empty commit,
//! the fence: whoever was at work there before, perhaps stalled, can commit nothing more.
//!
//! I1: an object is listed by one commit that is not replaced. I2: numbers have no gap. I5: what is visible is the
//! union of the commits.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher as _;
use std::io;

use super::commit::{Commit, CommitKind, FileEntry, ObjectEntry, ShardSpan};
use super::error::{LakeError, io_error};
use super::side_by_side::side_by_side;
use super::store::Store;

/// The folder with a folder of commits for each chain.
pub const COMMITS: &str = "_flowbound/commits";
/// The folder with a folder of staged files for each chain.
pub const STAGING: &str = "_flowbound/staging";
/// The chain of all replays into a lake.
pub const REPLAY: &str = "replay";
/// The chain of all compactions of a lake. What it writes is called after it and sorts behind every other file, as S3
/// lists them: a listing of many pages that finds an old file gone comes to what took its place.
pub const COMPACT: &str = "~compact";

/// What is wrong with a chain that has a gap.
const MISSING: &str = "it is missing, but later commits are there; nothing below _flowbound may be taken away";

/// Who else may write to a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nobody: the caller holds the lake's lock.
    Exclusive,
    /// Others may be at work on it; one of them commits each number.
    Shared,
}

/// The commits of one source of work, read and added to.
pub struct Chain<'s, S: Store> {
    store: &'s S,
    name: String,
    nonce: String,
    /// All of them, or the last one alone.
    commits: BTreeMap<u64, Commit>,
    whole: bool,
    /// A commit was asked for, and no answer came: it may still be created, from what is staged.
    unsure: bool,
    replaced: BTreeSet<u64>,
}

/// Nobody else has it: 128 bits of the operating system's randomness.
fn new_nonce() -> String {
    let random = |half: u8| RandomState::new().hash_one((std::process::id(), half));
    format!("{:016x}{:016x}", random(0), random(1))
}

impl<'s, S: Store> Chain<'s, S> {
    fn new(store: &'s S, name: &str) -> Self {
        Self {
            store,
            name: name.to_owned(),
            nonce: new_nonce(),
            commits: BTreeMap::new(),
            whole: false,
            unsure: false,
            replaced: BTreeSet::new(),
        }
    }

    /// Reads a whole chain, finishes what a crash left of its last commit, and clears staging that is garbage.
    pub async fn open(store: &'s S, name: &str, access: Access) -> Result<Self, LakeError> {
        let mut chain = Self::read(store, name).await?;
        chain.mend().await?;
        match access {
            Access::Exclusive => {
                let staging = chain.staging_root();
                store.delete_all(&staging).await.map_err(io_error("delete", &staging))?;
            }
            Access::Shared => chain.clear_passed().await?,
        }
        chain.replaced = chain.commits.values().flat_map(|commit| commit.replaces.iter().copied()).collect();
        Ok(chain)
    }

    /// Reads the last commit of a chain alone and finishes what a crash left of it. Others may be at work on it:
    /// [`fence`](Self::fence) it before writing.
    pub async fn open_head(store: &'s S, name: &str) -> Result<Self, LakeError> {
        let mut chain = Self::new(store, name);
        chain.follow_head().await?;
        chain.mend().await?;
        Ok(chain)
    }

    /// Goes on to the last commit there is now. Numbers have no gap, so it is found by doubling steps and then halving
    /// them: some twenty small reads in a chain of a year.
    async fn follow_head(&mut self) -> Result<(), LakeError> {
        let (mut there, mut step) = (self.next_number() - 1, 1);
        let mut head = None;
        while let Some(commit) = self.read_commit(there + step).await? {
            there += step;
            step *= 2;
            head = Some(commit);
        }
        while step > 1 {
            step /= 2;
            if let Some(commit) = self.read_commit(there + step).await? {
                there += step;
                head = Some(commit);
            }
        }
        match head {
            Some(head) => self.commits = BTreeMap::from([(head.number, head)]),
            None if self.next_number() == 1 => self.must_be_new().await?,
            None => {}
        }
        Ok(())
    }

    /// A chain that has lost its first commit must not be taken for a new one: all that it holds would come again.
    async fn must_be_new(&self) -> Result<(), LakeError> {
        let folder = format!("{COMMITS}/{}", self.name);
        let listed = self.store.list(&folder).await.map_err(io_error("list", &folder))?;
        // the first may have come just now
        if listed.iter().any(|path| path.ends_with(".json")) && self.read_commit(1).await?.is_none() {
            return Err(LakeError::Damaged { path: self.path(1), detail: MISSING.to_owned() });
        }
        Ok(())
    }

    async fn read_commit(&self, number: u64) -> Result<Option<Commit>, LakeError> {
        let path = self.path(number);
        let bytes = self.store.read(&path).await.map_err(io_error("read", &path))?;
        bytes.map(|bytes| Commit::from_json(&path, &bytes)).transpose()
    }

    /// The commits from this number on, as far as there are any.
    pub async fn read_from(store: &'s S, name: &str, mut number: u64) -> Result<Vec<Commit>, LakeError> {
        let chain = Self::new(store, name);
        let mut commits = Vec::new();
        while let Some(commit) = chain.read_commit(number).await? {
            commits.push(commit);
            number += 1;
        }
        Ok(commits)
    }

    /// The commit of this number, if there is one.
    pub async fn read_one(store: &'s S, name: &str, number: u64) -> Result<Option<Commit>, LakeError> {
        Self::new(store, name).read_commit(number).await
    }

    /// The number of a chain's last commit, 0 if there is none. Nothing is finished, whatever a crash left.
    pub async fn head_number(store: &'s S, name: &str) -> Result<u64, LakeError> {
        let mut chain = Self::new(store, name);
        chain.follow_head().await?;
        Ok(chain.next_number() - 1)
    }

    /// Creates an empty commit that carries on where the chain is, so that no earlier writer can commit any more; then
    /// clears what they staged. `first` is carried where nothing was committed yet.
    ///
    /// # Errors
    /// [`LakeError::Conflict`] when somebody else was faster.
    pub async fn fence(&mut self, first: Option<ShardSpan>) -> Result<(), LakeError> {
        let mut commit = Commit::new(self.next_number(), CommitKind::Fence, None, &Default::default());
        commit.shard = self.head().and_then(|head| head.shard.as_ref()).map(|span| span.carried_on()).or(first);
        self.commit_next(commit).await?;
        self.clear_passed().await
    }

    /// Whether there are commits that this chain has not read.
    pub async fn is_behind(&self) -> Result<bool, LakeError> {
        Ok(self.read_commit(self.next_number()).await?.is_some())
    }

    /// The last commit.
    pub fn head(&self) -> Option<&Commit> {
        self.commits.values().next_back()
    }

    /// Publishes the last commit again.
    async fn mend(&self) -> Result<(), LakeError> {
        let Some(mut head) = self.head().cloned() else { return Ok(()) };
        // what is not staged any more was published, whatever became of it since (a retention job, say)
        let staging = self.number_staging(head.number);
        let staged = self.store.list(&staging).await.map_err(io_error("list", &staging))?;
        head.files.retain(|file| staged.binary_search(&file.staged).is_ok());
        self.publish(&head).await
    }

    /// Clears the staging of numbers that the chain has passed.
    pub async fn clear_passed(&self) -> Result<(), LakeError> {
        let root = self.staging_root();
        let passed = self.number_staging(self.next_number());
        let mut last = String::new();
        for path in self.store.list(&root).await.map_err(io_error("list", &root))? {
            let folder = path.get(..passed.len()).unwrap_or_default();
            if folder < passed.as_str() && folder != last {
                self.store.delete_all(folder).await.map_err(io_error("delete", folder))?;
                last = folder.to_owned();
            }
        }
        Ok(())
    }

    async fn read(store: &'s S, name: &str) -> Result<Self, LakeError> {
        let folder = format!("{COMMITS}/{name}");
        let listed = store.list(&folder).await.map_err(io_error("list", &folder))?;
        let (paths, half): (Vec<_>, Vec<_>) = listed.into_iter().partition(|path| path.ends_with(".json"));
        // halves of commits that a crash left: they never happened
        for path in half {
            store.delete(&path).await.map_err(io_error("delete", &path))?;
        }
        let read = side_by_side(&paths, |path| {
            let path = path.clone();
            async move {
                let bytes = store.read(&path).await.map_err(io_error("read", &path))?;
                bytes.map(|bytes| Commit::from_json(&path, &bytes)).transpose()
            }
        });
        let read = read.await?.into_iter().flatten();
        let commits: BTreeMap<u64, Commit> = read.map(|commit| (commit.number, commit)).collect();
        if let Some((gap, _)) = (1..).zip(commits.keys()).find(|(place, number)| place != *number) {
            let path = format!("{folder}/{gap:010}.json");
            return Err(LakeError::Damaged { path, detail: MISSING.to_owned() });
        }
        Ok(Self { commits, whole: true, ..Self::new(store, name) })
    }

    fn staging_root(&self) -> String {
        format!("{STAGING}/{}", self.name)
    }

    /// The number that the next commit will have.
    pub fn next_number(&self) -> u64 {
        self.commits.keys().next_back().map_or(1, |head| head + 1)
    }

    fn number_staging(&self, number: u64) -> String {
        format!("{}/{number:010}", self.staging_root())
    }

    /// The folder in which this writer stages the next commit's files.
    pub fn staging(&self) -> String {
        format!("{}/{}", self.number_staging(self.next_number()), self.nonce)
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
    pub async fn commit_next(&mut self, mut commit: Commit) -> Result<(), LakeError> {
        debug_assert_eq!(commit.number, self.next_number());
        commit.nonce.clone_from(&self.nonce);
        let created = self.create(&commit).await;
        if matches!(created, Err(LakeError::Conflict(_))) {
            // nothing can be committed from it any more; whoever passes this number clears it, too
            let _best_effort = self.store.delete_all(&self.staging()).await;
        }
        created?;
        self.publish(&commit).await?;
        self.replaced.extend(&commit.replaces);
        if !self.whole {
            self.commits.clear();
        }
        self.commits.insert(commit.number, commit);
        Ok(())
    }

    /// Creates a commit. An answer that was lost on the way is told from a conflict by the nonce.
    async fn create(&mut self, commit: &Commit) -> Result<(), LakeError> {
        let path = self.path(commit.number);
        let created = self.store.create(&path, &commit.to_json()).await;
        self.unsure = matches!(&created, Err(error) if error.kind() == io::ErrorKind::TimedOut);
        if matches!(created, Ok(true)) {
            return Ok(());
        }
        match self.read_commit(commit.number).await? {
            Some(there) => {
                self.unsure = false;
                if there.nonce == commit.nonce { Ok(()) } else { Err(LakeError::Conflict(path)) }
            }
            None => match created {
                Err(source) => Err(io_error("create", &path)(source)),
                // there, and gone: somebody takes commits away
                Ok(_) => Err(LakeError::Conflict(path)),
            },
        }
    }

    /// Clears what was staged for the next commit, after an error: unless the commit is there, or may come late, for
    /// then its files are published from there by the next opening.
    pub async fn abandon(&self) {
        if !self.unsure && matches!(self.store.read(&self.path(self.next_number())).await, Ok(None)) {
            // the next opening clears it too; a full disk is better cleared now
            let _best_effort = self.store.delete_all(&self.staging()).await;
        }
    }

    fn path(&self, number: u64) -> String {
        format!("{COMMITS}/{}/{number:010}.json", self.name)
    }

    async fn publish(&self, commit: &Commit) -> Result<(), LakeError> {
        let files: Vec<(&str, &str)> =
            commit.files.iter().map(|FileEntry { staged, path, .. }| (staged.as_str(), path.as_str())).collect();
        let name = format!("the files of commit {}", commit.number);
        self.store.publish(&files).await.map_err(io_error("publish", &name))?;
        side_by_side(&commit.removes, |path| {
            let path = path.clone();
            async move { self.store.delete(&path).await.map_err(io_error("delete", &path)) }
        })
        .await?;
        let staging = self.number_staging(commit.number);
        self.store.delete_all(&staging).await.map_err(io_error("delete", &staging))
    }
}
