//! A lake in memory, with the faults of an object store: requests that fail, that have their effect though they seem
//! to fail, and that take their time; an effect may come after the one who asked for it is dead.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Cursor, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio::time::{Instant, sleep, sleep_until};

use super::Dice;
use crate::lake::{Commit, StagedFile, Store};

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

#[derive(Clone)]
pub(super) struct MemoryLake {
    files: Files,
    dice: Dice,
    /// Of a hundred requests so many fail, and as many lose their answer.
    pub(super) stormy: Arc<Mutex<u64>>,
    /// Requests of this worker arrive at this time at the earliest.
    stalled: Arc<Mutex<Option<Instant>>>,
    scratch: Arc<tempfile::TempDir>,
}

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer")
}

impl MemoryLake {
    pub(super) fn new(dice: Dice, stormy: u64) -> Self {
        let scratch = Arc::new(tempfile::tempdir().unwrap());
        Self { files: Files::default(), dice, stormy: Arc::new(Mutex::new(stormy)), stalled: Arc::default(), scratch }
    }

    /// The same lake as another worker reaches it.
    pub(super) fn of_a_worker(&self) -> Self {
        Self { stalled: Arc::default(), ..self.clone() }
    }

    /// What this worker asks, and has asked, does not arrive for so long.
    pub(super) fn stall(&self, time: Duration) {
        *self.stalled.lock().unwrap() = Some(Instant::now() + time);
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.lock().unwrap().is_some_and(|until| Instant::now() < until)
    }

    async fn request<R: Send + 'static>(
        &self,
        effect: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> R + Send + 'static,
    ) -> io::Result<R> {
        let stormy = *self.stormy.lock().unwrap();
        let luck = self.dice.below(100);
        let (files, stalled) = (self.files.clone(), self.stalled.clone());
        let after = |before| {
            tokio::spawn(async move {
                sleep(before).await;
                let until = *stalled.lock().unwrap();
                sleep_until(until.unwrap_or_else(Instant::now)).await;
                effect(&mut files.lock().unwrap())
            })
        };
        if luck < stormy {
            if self.dice.below(2) == 0 {
                // the request is under way still, when nobody waits for its answer any more
                after(self.dice.millis(5000));
            }
            sleep(self.dice.millis(200)).await;
            return Err(lost());
        }
        let result = after(self.dice.millis(40)).await.unwrap();
        sleep(self.dice.millis(40)).await;
        if luck < 2 * stormy { Err(lost()) } else { Ok(result) }
    }

    /// Paths and contents below a folder.
    pub(super) fn below(&self, folder: &str) -> Vec<(String, Vec<u8>)> {
        let files = self.files.lock().unwrap();
        files.iter().filter(|(path, _)| path.starts_with(folder)).map(|(p, b)| (p.clone(), b.clone())).collect()
    }

    /// Makes a file what it is not, or takes it away.
    pub(super) fn put(&self, path: &str, content: Option<Vec<u8>>) {
        let mut files = self.files.lock().unwrap();
        match content {
            Some(content) => drop(files.insert(path.to_owned(), content)),
            None => drop(files.remove(path)),
        }
    }

    /// Source and bytes of every row that is visible, in order.
    pub(super) fn rows(&self) -> Vec<(String, i64)> {
        let mut rows = Vec::new();
        for (_, bytes) in self.below("flows/") {
            for batch in ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap().build().unwrap() {
                let batch = batch.unwrap();
                let sources = batch.column_by_name("source").unwrap().as_string::<i32>();
                let bytes = batch.column_by_name("bytes").unwrap().as_primitive::<Int64Type>();
                rows.extend(sources.iter().zip(bytes.values()).map(|(s, b)| (s.unwrap().to_owned(), *b)));
            }
        }
        rows.sort();
        rows
    }

    /// Every commit, by chain, in order.
    pub(super) fn chains(&self) -> BTreeMap<String, Vec<Commit>> {
        let mut chains: BTreeMap<String, Vec<Commit>> = BTreeMap::new();
        for (path, bytes) in self.below("_flowbound/commits/") {
            let chain = path.split('/').nth(2).unwrap().to_owned();
            chains.entry(chain).or_default().push(Commit::from_json(&path, &bytes).unwrap());
        }
        chains
    }
}

impl Store for MemoryLake {
    fn place(&self) -> &str {
        "memory"
    }

    async fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let path = path.to_owned();
        self.request(move |files| files.get(&path).cloned()).await
    }

    async fn create(&self, path: &str, bytes: &[u8]) -> io::Result<bool> {
        let (path, bytes) = (path.to_owned(), bytes.to_vec());
        self.request(move |files| {
            let absent = !files.contains_key(&path);
            if absent {
                files.insert(path, bytes);
            }
            absent
        })
        .await
    }

    async fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let folder = format!("{folder}/");
        self.request(move |files| files.keys().filter(|path| path.starts_with(&folder)).cloned().collect()).await
    }

    async fn folders(&self, folder: &str) -> io::Result<Vec<String>> {
        let folder = format!("{folder}/");
        let names = move |files: &mut BTreeMap<String, Vec<u8>>| {
            let inside = files.keys().filter_map(|path| path.strip_prefix(&folder)?.split_once('/'));
            let mut names: Vec<String> = inside.map(|(name, _)| name.to_owned()).collect();
            names.dedup();
            names
        };
        self.request(names).await
    }

    async fn publish(&self, files: &[(&str, &str)]) -> io::Result<()> {
        // one after the other: a crash comes between two of them
        for (staged, path) in files {
            let (staged, path) = ((*staged).to_owned(), (*path).to_owned());
            let from = staged.clone();
            let copied = self.request(move |files| match files.get(&from).cloned() {
                Some(bytes) => {
                    files.insert(path, bytes);
                    true
                }
                None => files.contains_key(&path),
            });
            if !copied.await? {
                return Err(io::Error::new(io::ErrorKind::NotFound, "a staged file is lost"));
            }
            self.delete(&staged).await?;
        }
        Ok(())
    }

    async fn delete(&self, path: &str) -> io::Result<()> {
        let path = path.to_owned();
        self.request(move |files| drop(files.remove(&path))).await
    }

    async fn delete_all(&self, folder: &str) -> io::Result<()> {
        let folder = format!("{folder}/");
        self.request(move |files| files.retain(|path, _| !path.starts_with(&folder))).await
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn BufRead + Send>> {
        let files = self.files.lock().unwrap();
        let bytes = files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Cursor::new(bytes.clone())))
    }

    fn stage(&self, path: &str) -> io::Result<Box<dyn StagedFile>> {
        if self.dice.below(100) < *self.stormy.lock().unwrap() {
            return Err(lost());
        }
        Ok(Box::new(Staged { path: path.to_owned(), bytes: Vec::new(), files: self.files.clone() }))
    }

    fn scratch(&self, path: &str) -> io::Result<PathBuf> {
        let folder = self.scratch.path().join(path);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

struct Staged {
    path: String,
    bytes: Vec<u8>,
    files: Files,
}

impl Write for Staged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl StagedFile for Staged {
    fn finish(self: Box<Self>) -> io::Result<u64> {
        let length = self.bytes.len() as u64;
        let before = self.files.lock().unwrap().insert(self.path.clone(), self.bytes);
        assert!(before.is_none(), "{} is staged twice", self.path);
        Ok(length)
    }
}
