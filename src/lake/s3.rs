//! A lake in S3.
//!
//! There is no lock, and none is needed: of two programs that commit, one creates the commit's object
//! (`If-None-Match: *`) and the other is told that it is there. An answer can be lost after it had its effect; so a
//! commit that is found where one was just to be created is read back, and is ours if it is the same to the byte.
//!
//! An object is whole or not there, and S3 keeps what it has acknowledged: nothing needs to be synced.

use std::io::{self, BufRead};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::store::{StagedFile, Store, StoredFile};
use super::upload::{PARTS_IN_FLIGHT, Upload};
use crate::aws::backoff::back_off;
use crate::aws::blocking::wait;
use crate::aws::s3::{RangeReader, S3, S3Error, S3ErrorKind, S3Object, S3Uri};

/// Bytes that a reader asks for at a time. Many state files are read side by side, so it is less than a lone reader
/// would take.
const READ_BYTES: u64 = 1 << 20;
/// Copies at a time.
const COPIES: usize = 32;
/// Times that a create is tried while others create the same object.
const CREATE_ATTEMPTS: u32 = 8;

/// A prefix of a bucket as a [`Store`].
#[derive(Debug)]
pub struct S3Store {
    s3: S3,
    /// Its key is empty or ends with `/`.
    root: S3Uri,
    place: String,
    /// One for each part that may be uploaded at this moment, over all files.
    uploads: Arc<Semaphore>,
    scratch: Mutex<Option<TempDir>>,
}

impl S3Store {
    /// The lake at this place. Nothing is asked of S3 yet.
    pub fn new(s3: S3, place: &S3Uri) -> Self {
        let key = place.key.trim_end_matches('/');
        let root = place.with_key(if key.is_empty() { String::new() } else { format!("{key}/") });
        Self {
            s3,
            place: root.to_string().trim_end_matches('/').to_owned(),
            root,
            uploads: Arc::new(Semaphore::new(PARTS_IN_FLIGHT)),
            scratch: Mutex::default(),
        }
    }

    /// Asks whether the bucket is there and may be used, before hours of work show it.
    ///
    /// # Errors
    /// What is wrong with the bucket, or the way to it.
    pub fn check(&self) -> io::Result<()> {
        Ok(wait(self.s3.runtime(), self.s3.check(&self.root))??)
    }

    fn at(&self, path: &str) -> S3Uri {
        self.root.with_key(format!("{}{path}", self.root.key))
    }

    /// The objects below a folder, sorted as S3 sorts their keys.
    async fn objects(&self, folder: &str) -> Result<Vec<S3Object>, S3Error> {
        let mut objects = self.s3.list(&self.at(&format!("{folder}/")), false).await?.objects;
        // some tools create an object for a folder
        objects.retain(|object| !object.key.ends_with('/'));
        Ok(objects)
    }

    async fn keys(&self, folder: &str) -> Result<Vec<String>, S3Error> {
        Ok(self.objects(folder).await?.into_iter().map(|object| object.key).collect())
    }
}

/// Of an attempt before the last one, or one inside of the SDK, S3 may not have heard the end: it may take effect yet.
fn may_be_late(error: &S3Error) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, error.to_string())
}

impl Store for S3Store {
    fn place(&self) -> &str {
        &self.place
    }

    async fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        match self.s3.get(&self.at(path)).await {
            Ok(fetched) => Ok(Some(fetched.bytes)),
            Err(error) if error.kind == S3ErrorKind::NoKey => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn create(&self, path: &str, bytes: &[u8]) -> io::Result<bool> {
        let (target, body) = (self.at(path), Bytes::copy_from_slice(bytes));
        let mut attempt = 0;
        loop {
            attempt += 1;
            let Err(error) = self.s3.put(&target, body.clone(), true).await else { return Ok(true) };
            if error.kind == S3ErrorKind::Precondition || error.is_open() {
                // it is there, or may be: whose is it?
                let there = self.s3.get(&target).await.map(|fetched| fetched.bytes);
                match there {
                    Ok(there) => return Ok(there == bytes),
                    Err(error) if error.kind == S3ErrorKind::NoKey => {}
                    // whatever is wrong now, what was asked for may still happen
                    Err(error) => return Err(may_be_late(&error)),
                }
            } else if error.kind != S3ErrorKind::Conflict {
                return Err(may_be_late(&error));
            }
            if attempt >= CREATE_ATTEMPTS {
                return Err(may_be_late(&error));
            }
            back_off(attempt).await;
        }
    }

    async fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let keys = self.keys(folder).await?;
        let mut paths: Vec<String> =
            keys.iter().filter_map(|key| key.strip_prefix(&self.root.key)).map(str::to_owned).collect();
        paths.sort_unstable();
        Ok(paths)
    }

    async fn files(&self, folder: &str) -> io::Result<Vec<StoredFile>> {
        let objects = self.objects(folder).await?;
        let file = |object: &S3Object| {
            let path = object.key.strip_prefix(&self.root.key)?.to_owned();
            Some(StoredFile { path, bytes: object.size })
        };
        let mut files: Vec<StoredFile> = objects.iter().filter_map(file).collect();
        files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        Ok(files)
    }

    async fn folders(&self, folder: &str) -> io::Result<Vec<String>> {
        let prefix = self.at(&format!("{folder}/"));
        let mut names: Vec<String> = self.s3.list(&prefix, true).await?.folders;
        for name in &mut names {
            *name = name.strip_prefix(&prefix.key).unwrap_or(name).trim_end_matches('/').to_owned();
        }
        names.sort_unstable();
        Ok(names)
    }

    async fn publish(&self, files: &[(&str, &str)]) -> io::Result<()> {
        let mut copies = JoinSet::new();
        for (staged, path) in files {
            if copies.len() >= COPIES {
                joined(copies.join_next().await)?;
            }
            let (s3, from, to) = (self.s3.clone(), self.at(staged), self.at(path));
            copies.spawn(async move { copy_once(&s3, &from, &to).await });
        }
        while !copies.is_empty() {
            joined(copies.join_next().await)?;
        }
        // only now: a crash before leaves every staged file, and publishing again finds all of them
        let staged: Vec<String> = files.iter().map(|(staged, _)| self.at(staged).key).collect();
        Ok(self.s3.delete(&self.root.bucket, &staged).await?)
    }

    async fn delete(&self, path: &str) -> io::Result<()> {
        Ok(self.s3.delete(&self.root.bucket, &[self.at(path).key]).await?)
    }

    async fn delete_all(&self, folder: &str) -> io::Result<()> {
        let keys = self.keys(folder).await?;
        self.s3.delete(&self.root.bucket, &keys).await?;
        // parts of uploads that a killed run left cost money and are seen by nobody; not everyone may list them
        for upload in self.s3.unfinished_parts(&self.at(&format!("{folder}/"))).await.unwrap_or_default() {
            let _best_effort = self.s3.abort_parts(&upload).await;
        }
        Ok(())
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn BufRead + Send>> {
        Ok(Box::new(RangeReader::start(&self.s3, self.at(path), None, READ_BYTES)))
    }

    fn stage(&self, path: &str) -> io::Result<Box<dyn StagedFile>> {
        Ok(Box::new(Upload::new(self.s3.clone(), self.at(path), Arc::clone(&self.uploads))))
    }

    fn scratch(&self, path: &str) -> io::Result<PathBuf> {
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = match &*scratch {
            Some(folder) => folder.path().join(path),
            None => scratch.insert(tempfile::Builder::new().prefix("flowbound-").tempdir()?).path().join(path),
        };
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

/// Copies a staged file to its final name, if that was not done before.
async fn copy_once(s3: &S3, from: &S3Uri, to: &S3Uri) -> Result<(), S3Error> {
    match s3.copy(from, to).await {
        Err(error) if error.kind == S3ErrorKind::NoKey => match s3.head(to).await {
            Ok(_) => Ok(()),
            Err(head) if head.kind == S3ErrorKind::NoKey => Err(error),
            Err(head) => Err(head),
        },
        copied => copied,
    }
}

fn joined(done: Option<Result<Result<(), S3Error>, tokio::task::JoinError>>) -> io::Result<()> {
    match done {
        None => Ok(()),
        Some(Ok(copied)) => Ok(copied?),
        Some(Err(error)) => Err(io::Error::other(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};
    use std::io::Write as _;

    use super::*;
    use crate::aws::s3::fake::{Answer, Asked, Log, serve};

    async fn store(answer: impl FnMut(&Asked) -> Answer + Send + 'static) -> (S3Store, Log) {
        let (s3, log) = serve(answer).await;
        (S3Store::new(s3, &"s3://lake/of/us/".parse().unwrap()), log)
    }

    /// Of two that create, one is told so; whoever is not told reads who it was.
    #[tokio::test]
    async fn a_commit_is_created_once() {
        let there = |bytes: &str| Answer::new(200, bytes);
        let (taken, busy) =
            (|| Answer::error(412, "PreconditionFailed"), || Answer::error(409, "ConditionalRequestConflict"));
        let (lost, none) = (|| Answer::error(500, "InternalError"), || Answer::error(404, "NoSuchKey"));
        for (answers, created, why) in [
            (vec![there("")], Some(true), "at once"),
            (vec![busy(), busy(), there("")], Some(true), "while another's attempt failed"),
            (vec![busy(), taken(), there("theirs")], Some(false), "another was faster"),
            (vec![taken(), there("ours")], Some(true), "the answer to an earlier attempt was lost"),
            (vec![lost(), there("ours")], Some(true), "the answer was lost"),
            (vec![lost(), there("theirs")], Some(false), "nobody knows, but another is there"),
            (vec![lost(), none(), there("")], Some(true), "it had no effect"),
            (vec![Answer::error(403, "AccessDenied")], None, "not allowed"),
        ] {
            let mut answers = VecDeque::from(answers);
            let left = Arc::new(Mutex::new(answers.len()));
            let count = Arc::clone(&left);
            let (store, log) = store(move |_| {
                *count.lock().unwrap() -= 1;
                answers.pop_front().unwrap()
            })
            .await;
            assert_eq!(store.create("_flowbound/commits/1.json", b"ours").await.ok(), created, "{why}");
            assert_eq!(*left.lock().unwrap(), 0, "{why}");
            let asked = &log.lock().unwrap()[0];
            assert_eq!(asked.headers["if-none-match"], "*");
            assert!(asked.line.starts_with("PUT /lake/of/us/_flowbound/commits/1.json"), "{}", asked.line);
        }
    }

    /// As much of S3 as files and their copies need.
    #[derive(Default)]
    struct Bucket {
        objects: BTreeMap<String, Vec<u8>>,
        parts: BTreeMap<String, Vec<u8>>,
    }

    impl Bucket {
        fn answer(&mut self, asked: &Asked) -> Answer {
            let (method, target) = asked.line.split_once(' ').unwrap();
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let object = path.strip_prefix("/lake/").unwrap_or_default().to_owned();
            match method {
                "POST" if query.contains("uploads") => {
                    let id = "<UploadId>7</UploadId>";
                    Answer::new(200, format!("<InitiateMultipartUploadResult>{id}</InitiateMultipartUploadResult>"))
                }
                "POST" if query.contains("uploadId") => {
                    let parts = std::mem::take(&mut self.parts);
                    self.objects.insert(object, parts.into_values().flatten().collect());
                    // the answer is lost: asked again, there is no such upload
                    Answer::error(404, "NoSuchUpload")
                }
                "PUT" if query.contains("partNumber") => {
                    let number = query.split('&').find_map(|pair| pair.strip_prefix("partNumber=")).unwrap();
                    self.parts.insert(format!("{number:0>5}"), asked.body.clone());
                    Answer::new(200, "").header("etag", "\"part\"")
                }
                "PUT" => match asked.headers.get("x-amz-copy-source") {
                    Some(source) => match self.objects.get(source.strip_prefix("lake/").unwrap()) {
                        Some(bytes) => {
                            let bytes = bytes.clone();
                            self.objects.insert(object, bytes);
                            Answer::new(200, "<CopyObjectResult><ETag>x</ETag></CopyObjectResult>")
                        }
                        None => Answer::error(404, "NoSuchKey"),
                    },
                    None => {
                        self.objects.insert(object, asked.body.clone());
                        Answer::new(200, "")
                    }
                },
                "HEAD" => match self.objects.get(&object) {
                    Some(bytes) => Answer::new(200, bytes.clone()),
                    None => Answer::new(404, ""),
                },
                "POST" => {
                    let body = String::from_utf8_lossy(&asked.body).into_owned();
                    for key in body.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next()) {
                        self.objects.remove(key);
                    }
                    Answer::new(200, "<DeleteResult></DeleteResult>")
                }
                "DELETE" => {
                    self.parts.clear();
                    Answer::new(204, "")
                }
                _ => Answer::error(400, "NotOfThisBucket"),
            }
        }
    }

    async fn bucket() -> (S3Store, Arc<Mutex<Bucket>>, Log) {
        let bucket = Arc::new(Mutex::new(Bucket::default()));
        let behind = Arc::clone(&bucket);
        let (store, log) = store(move |asked| behind.lock().unwrap().answer(asked)).await;
        (store, bucket, log)
    }

    fn rows(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|place| (place * 7 % 253) as u8).collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn small_files_are_put_and_large_ones_go_in_parts() {
        const PART: usize = 8 << 20;
        let (store, bucket, log) = bucket().await;
        for (bytes, requests) in [(0, 1), (4, 1), (PART - 1, 1), (PART, 4), (2 * PART + 5, 6)] {
            log.lock().unwrap().clear();
            let mut file = store.stage("s/1").unwrap();
            rows(bytes).chunks(100_000).for_each(|rows| file.write_all(rows).unwrap());
            assert_eq!(file.finish().unwrap(), bytes as u64);
            assert!(bucket.lock().unwrap().objects["of/us/s/1"] == rows(bytes), "{bytes}");
            let lines: Vec<_> = log.lock().unwrap().iter().map(|asked| asked.line.clone()).collect();
            assert_eq!(lines.len(), requests, "{lines:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn an_unfinished_file_never_was() {
        let (store, bucket, log) = bucket().await;
        let mut file = store.stage("s/1").unwrap();
        file.write_all(&rows(9 << 20)).unwrap();
        drop(file);
        while !log.lock().unwrap().iter().any(|asked| asked.line.starts_with("DELETE")) {
            tokio::task::yield_now().await;
        }
        let bucket = bucket.lock().unwrap();
        assert!(bucket.objects.is_empty() && bucket.parts.is_empty());
    }

    #[tokio::test]
    async fn publishing_twice_is_publishing_once() {
        let (store, bucket, _) = bucket().await;
        let staged: Vec<_> = (0..70).map(|number| (format!("s/{number}"), format!("flows/{number}"))).collect();
        let files: Vec<_> = staged.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
        for (from, _) in &files {
            bucket.lock().unwrap().objects.insert(format!("of/us/{from}"), from.as_bytes().to_vec());
        }
        for _ in 0..2 {
            store.publish(&files).await.unwrap();
            let bucket = bucket.lock().unwrap();
            assert_eq!(bucket.objects.len(), files.len(), "staging drains");
            assert!(files.iter().all(|(from, to)| bucket.objects[&format!("of/us/{to}")] == from.as_bytes()));
        }
        assert!(store.publish(&[("s/none", "flows/none")]).await.is_err(), "lost staging is no success");
    }

    #[tokio::test]
    async fn scratch_goes_with_the_store() {
        let (store, _, _) = bucket().await;
        let one = store.scratch("a/b").unwrap();
        assert!(one.is_dir() && store.scratch("c").unwrap().is_dir());
        assert_eq!(store.place(), "s3://lake/of/us");
        drop(store);
        assert!(!one.exists());
    }
}
