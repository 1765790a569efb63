//! Leases in a file, for one worker without DynamoDB (`--local-state FILE`).
//!
//! A lock file beside it keeps a second worker out; it goes with the process, however that ends. So owners, counters
//! and signs of life need not outlive the process: only what was created, deleted or checkpointed is written, each
//! time as a whole new file that replaces the old one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::book::Book;
use super::error::LeaseError;
use super::options::Work;
use super::record::{Lease, LeaseWrite};
use super::table::{LeaderLock, LeaseTable, WorkerBeat, Written};

/// A file as a [`LeaseTable`].
#[derive(Debug, Clone)]
pub struct FileTable {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    work: Work,
    book: Mutex<Book>,
    began: Instant,
    /// Held as long as the table lives.
    _lock: File,
}

/// What is in the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    version: u32,
    work: Work,
    leases: Vec<Lease>,
}

const VERSION: u32 = 1;

impl FileTable {
    /// Opens the file with the leases of this work; it is made when the first lease is.
    ///
    /// # Errors
    /// When another process has it, or it holds something else.
    pub fn open(path: &Path, work: &Work) -> Result<Self, LeaseError> {
        let lock = lock(path)?;
        let mut book = Book::default();
        for lease in read(path, work)? {
            // whoever had it is gone: this process has the lock
            let lease = Lease { owner: None, checkpoint_owner: None, ..lease };
            book.leases.insert(lease.shard.clone(), lease);
        }
        let shared = Shared {
            path: path.to_owned(),
            work: work.clone(),
            book: Mutex::new(book),
            began: Instant::now(),
            _lock: lock,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Runs on a thread that may block, and to its end even if nobody waits for it any more.
    async fn access<R: Send + 'static>(
        &self,
        effect: impl FnOnce(&Shared, &mut Book) -> Result<R, LeaseError> + Send + 'static,
    ) -> Result<R, LeaseError> {
        let shared = self.shared.clone();
        let run = move || {
            let mut book = shared.book.lock().unwrap_or_else(PoisonError::into_inner);
            effect(&shared, &mut book)
        };
        let stopped = |error| file_error("reach", &self.shared.path)(io::Error::other(error));
        tokio::task::spawn_blocking(run).await.map_err(stopped)?
    }

    async fn look<R: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Book) -> R + Send + 'static,
    ) -> Result<R, LeaseError> {
        self.access(move |_, book| Ok(look(book))).await
    }

    /// Changes the leases; if the file cannot be written, nothing was changed.
    async fn change<R: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Book) -> R + Send + 'static,
    ) -> Result<R, LeaseError> {
        self.access(move |shared, book| {
            let mut changed = book.clone();
            let result = change(&mut changed);
            if changed.leases != book.leases {
                save(shared, &changed)?;
            }
            *book = changed;
            Ok(result)
        })
        .await
    }
}

fn file_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LeaseError {
    move |source| LeaseError::File { action, path: path.to_owned(), source }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn lock(path: &Path) -> Result<File, LeaseError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    fs::create_dir_all(folder(path)).map_err(file_error("create", folder(path)))?;
    let file = File::options().create(true).truncate(false).write(true).open(&name);
    let file = file.map_err(file_error("create", &name))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(LeaseError::InUse(path.to_owned())),
        Err(fs::TryLockError::Error(error)) => Err(file_error("lock", &name)(error)),
    }
}

fn read(path: &Path, work: &Work) -> Result<Vec<Lease>, LeaseError> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        bytes => bytes.map_err(file_error("read", path))?,
    };
    let unfit = |detail| LeaseError::Unfit { place: path.display().to_string(), detail };
    let contents: Contents = serde_json::from_slice(&bytes).map_err(|error| unfit(error.to_string()))?;
    if contents.version != VERSION {
        return Err(unfit(format!("it has version {}, this flowbound reads version {VERSION}", contents.version)));
    }
    if contents.work != *work {
        let place = path.display().to_string();
        return Err(LeaseError::OtherWork { place, was: contents.work, is: work.clone() });
    }
    Ok(contents.leases)
}

fn save(Shared { path, work, .. }: &Shared, book: &Book) -> Result<(), LeaseError> {
    let leases = book.leases.values().cloned().collect();
    let contents = Contents { version: VERSION, work: work.clone(), leases };
    let replace = || {
        let text = serde_json::to_vec_pretty(&contents)?;
        let mut file = tempfile::NamedTempFile::new_in(folder(path))?;
        file.write_all(&text)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        File::open(folder(path))?.sync_all()
    };
    replace().map_err(file_error("write", path))
}

impl LeaseTable for FileTable {
    async fn list(&self) -> Result<Vec<Lease>, LeaseError> {
        self.look(|book| book.leases.values().cloned().collect()).await
    }

    async fn get(&self, shard: &str) -> Result<Option<Lease>, LeaseError> {
        let shard = shard.to_owned();
        self.look(move |book| book.leases.get(&shard).cloned()).await
    }

    async fn owned_by(&self, worker: &str) -> Result<Vec<String>, LeaseError> {
        let worker = worker.to_owned();
        self.look(move |book| book.owned_by(&worker)).await
    }

    async fn create(&self, lease: &Lease) -> Result<bool, LeaseError> {
        let lease = lease.clone();
        self.change(move |book| book.create(&lease)).await
    }

    async fn write(&self, seen: &Lease, write: &LeaseWrite) -> Result<Written, LeaseError> {
        let (seen, write) = (seen.clone(), write.clone());
        match write {
            LeaseWrite::Checkpoint { .. } => self.change(move |book| book.write(&seen, &write)).await,
            // of owners and counters nothing is read when the file is opened again
            _ => self.look(move |book| book.write(&seen, &write)).await,
        }
    }

    async fn delete(&self, seen: &Lease) -> Result<(), LeaseError> {
        let seen = seen.clone();
        self.change(move |book| book.delete(&seen)).await
    }

    async fn workers(&self) -> Result<Vec<WorkerBeat>, LeaseError> {
        self.look(|book| book.workers()).await
    }

    async fn beat(&self, worker: &str) -> Result<(), LeaseError> {
        let worker = worker.to_owned();
        self.access(move |shared, book| {
            book.beat(&worker, shared.began.elapsed().as_secs());
            Ok(())
        })
        .await
    }

    async fn remove_worker(&self, worker: &str) -> Result<(), LeaseError> {
        let worker = worker.to_owned();
        self.look(move |book| book.remove_worker(&worker)).await
    }

    async fn leader(&self) -> Result<Option<LeaderLock>, LeaseError> {
        self.look(|book| book.leader()).await
    }

    async fn set_leader(&self, seen: Option<&str>, lock: &LeaderLock) -> Result<bool, LeaseError> {
        let (seen, lock) = (seen.map(str::to_owned), lock.clone());
        self.look(move |book| book.set_leader(seen.as_deref(), &lock)).await
    }

    async fn remove_leader(&self, worker: &str) -> Result<(), LeaseError> {
        let worker = worker.to_owned();
        self.look(move |book| book.remove_leader(&worker)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::kinesis::{Checkpoint, ShardInfo};

    fn lease(shard: &str) -> Lease {
        let shard =
            ShardInfo { id: shard.to_owned(), parents: vec!["shardId-0".to_owned()], hash_range: Some(0..=u128::MAX) };
        Lease::new(&shard, Checkpoint::TrimHorizon)
    }

    fn work() -> Work {
        Work { stream: "logs-1".to_owned(), lake: "here".to_owned() }
    }

    #[tokio::test]
    async fn leases_of_other_work_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        FileTable::open(&path, &work()).unwrap().create(&lease("shardId-1")).await.unwrap();
        let others = [Work { stream: "logs-2".to_owned(), ..work() }, Work { lake: "there".to_owned(), ..work() }];
        for other in others {
            let error = FileTable::open(&path, &other).unwrap_err();
            assert!(matches!(error, LeaseError::OtherWork { .. }), "{error}");
        }
        assert_eq!(FileTable::open(&path, &work()).unwrap().list().await.unwrap().len(), 1);
    }

    fn checkpoint(number: &str) -> LeaseWrite {
        LeaseWrite::Checkpoint { to: Checkpoint::from_texts(number, 3).unwrap(), children: ["c".to_owned()].into() }
    }

    #[tokio::test]
    async fn what_was_checkpointed_outlives_the_process_and_owners_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/state.json");
        let table = FileTable::open(&path, &work()).unwrap();
        assert!(table.create(&lease("shardId-1")).await.unwrap());
        assert!(!table.create(&lease("shardId-1")).await.unwrap());
        let Written::Done(owned) =
            table.write(&lease("shardId-1"), &LeaseWrite::Assign { to: "w".to_owned() }).await.unwrap()
        else {
            panic!("nobody has it")
        };
        let Written::Done(read) = table.write(&owned, &checkpoint("4959")).await.unwrap() else {
            panic!("w has it");
        };
        assert_eq!(table.write(&owned, &checkpoint("1")).await.unwrap(), Written::Refused(Some(read.clone())));
        drop(table);

        let table = FileTable::open(&path, &work()).unwrap();
        let found = table.get("shardId-1").await.unwrap().unwrap();
        assert_eq!(found, Lease { owner: None, ..read });
        table.delete(&found).await.unwrap();
        drop(table);
        assert_eq!(FileTable::open(&path, &work()).unwrap().list().await.unwrap(), []);
    }

    #[tokio::test]
    async fn one_worker_has_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let held = FileTable::open(&path, &work()).unwrap();
        assert!(matches!(FileTable::open(&path, &work()), Err(LeaseError::InUse(_))));
        drop(held);
        FileTable::open(&path, &work()).unwrap();
    }

    #[tokio::test]
    async fn a_file_of_something_else_is_named_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        for text in [
            "",
            "{",
            "[]",
            r#"{"version":2,"work":{"stream":"logs-1","lake":"here"},"leases":[]}"#,
            r#"{"version":1,"leases":[]}"#,
            r#"{"version":1,"work":{"stream":"logs-1","lake":"here"},"leases":[{"shard":"x"}]}"#,
        ] {
            fs::write(&path, text).unwrap();
            let error = FileTable::open(&path, &work()).unwrap_err();
            assert!(matches!(error, LeaseError::Unfit { .. }) && error.to_string().contains("state.json"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[tokio::test]
    async fn what_cannot_be_written_did_not_happen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/state.json");
        let table = FileTable::open(&path, &work()).unwrap();
        table.create(&lease("shardId-1")).await.unwrap();
        fs::remove_dir_all(folder.path().join("deep")).unwrap();
        assert!(matches!(table.create(&lease("shardId-2")).await, Err(LeaseError::File { action: "write", .. })));
        assert_eq!(table.get("shardId-2").await.unwrap(), None);
    }
}
