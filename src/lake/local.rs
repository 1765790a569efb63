//! A lake in a local folder.
//!
//! Durability: a staged file is synced, and before a commit is created so is every folder on the way to what was
//! staged. The commit is written beside its name, synced and linked to it (`link` fails if the name is taken: that
//! is the compare-and-set). Each folder is synced after a name in it changed, up to the lake. So after a power cut a
//! commit that exists names only files that exist.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::runtime::{Handle, RuntimeFlavor};

use super::chain::{COMMITS, STAGING};
use super::store::{StagedFile, Store, StoredFile};

/// Work on the CPU, or on local files, which may have to wait for a disk: other tasks of this thread go on elsewhere
/// meanwhile, where there is another thread.
pub fn in_place<R>(work: impl FnOnce() -> R) -> R {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// A folder as a [`Store`].
#[derive(Debug)]
pub struct LocalStore {
    root: PathBuf,
    place: String,
    temporary: AtomicU64,
    /// Folders with staged files, to be synced before the commit that names them.
    unsynced: Mutex<BTreeSet<PathBuf>>,
}

impl LocalStore {
    /// The lake in this folder, which is made if it is not there.
    pub fn create(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        Ok(Self {
            root: root.to_owned(),
            place: root.display().to_string(),
            temporary: AtomicU64::new(0),
            unsynced: Mutex::default(),
        })
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Writes a file beside its name and links it there, unless the name is taken.
    fn link(&self, path: &str, bytes: &[u8]) -> io::Result<bool> {
        let target = self.at(path);
        make_parent(&target)?;
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        // in containers every process may have the same number
        let unique = fastrand::u64(..);
        let temporary = self.beside(path, &format!("{}-{number}-{unique:016x}.tmp", std::process::id()));
        make_parent(&temporary)?;
        self.sync_staged()?;
        let linked = write_synced(&temporary, bytes).and_then(|()| fs::hard_link(&temporary, &target));
        absent_is_fine(fs::remove_file(&temporary))?;
        match linked {
            Ok(()) => sync_folders(self.folders_of(&target)).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Where a file is written before it has its name. Of a commit that is among what is staged for it, so that what a
    /// crash leaves goes with that.
    fn beside(&self, path: &str, name: &str) -> PathBuf {
        let commit = path.strip_prefix(COMMITS).and_then(|rest| rest.strip_suffix(".json"));
        match commit {
            Some(commit) => self.at(&format!("{STAGING}{commit}/{name}")),
            None => self.at(path).with_extension(name),
        }
    }

    /// Syncs the folders of everything that was staged so far, for this commit or another.
    fn sync_staged(&self) -> io::Result<()> {
        let unsynced = || self.unsynced.lock().unwrap_or_else(PoisonError::into_inner);
        let folders = std::mem::take(&mut *unsynced());
        sync_folders(folders.iter().cloned()).inspect_err(|_| unsynced().extend(folders))
    }

    fn rename_all(&self, files: &[(&str, &str)]) -> io::Result<()> {
        let mut changed = BTreeSet::new();
        for (staged, path) in files {
            let (staged, target) = (self.at(staged), self.at(path));
            make_parent(&target)?;
            match fs::rename(&staged, &target) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && target.exists() => {}
                renamed => renamed?,
            }
            changed.extend(self.folders_of(&target));
        }
        // each folder once, however many files it got
        sync_folders(changed)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let path = self.at(path);
        absent_is_fine(fs::remove_file(&path))?;
        path.parent().map_or(Ok(()), |folder| absent_is_fine(sync_folders([folder.to_owned()])))
    }

    /// The folders above a path, up to the lake: a new folder is a name in its parent.
    fn folders_of(&self, path: &Path) -> impl Iterator<Item = PathBuf> {
        path.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.root)).map(Path::to_owned)
    }

    /// Takes the lake for one writing process. The lock goes with the process, however that ends.
    pub fn lock(&self) -> io::Result<Option<File>> {
        self.lock_with(File::try_lock)
    }

    /// Takes the lake for processes that share it, as followers of a stream do.
    pub fn lock_shared(&self) -> io::Result<Option<File>> {
        self.lock_with(File::try_lock_shared)
    }

    fn lock_with(&self, lock: impl FnOnce(&File) -> Result<(), fs::TryLockError>) -> io::Result<Option<File>> {
        let path = self.at("_flowbound/lock");
        make_parent(&path)?;
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        match lock(&file) {
            Ok(()) => Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

fn make_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_folders(folders: impl IntoIterator<Item = PathBuf>) -> io::Result<()> {
    // a folder that is gone has nothing to keep: what was staged in it was given up
    folders.into_iter().try_for_each(|folder| absent_is_fine(File::open(folder).and_then(|folder| folder.sync_all())))
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

impl Store for LocalStore {
    fn place(&self) -> &str {
        &self.place
    }

    async fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.at(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, path: &str, bytes: &[u8]) -> io::Result<bool> {
        in_place(|| self.link(path, bytes))
    }

    async fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        let mut folders = vec![self.at(folder)];
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                let path = entry.path();
                if entry.file_type()?.is_dir() {
                    folders.push(path);
                } else if let Some(relative) = path.strip_prefix(&self.root).ok().and_then(Path::to_str) {
                    found.push(relative.replace(std::path::MAIN_SEPARATOR, "/"));
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    async fn files(&self, folder: &str) -> io::Result<Vec<StoredFile>> {
        let mut files = Vec::new();
        for path in self.list(folder).await? {
            match fs::metadata(self.at(&path)) {
                Ok(metadata) => files.push(StoredFile { path, bytes: metadata.len() }),
                // gone since it was listed
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(files)
    }

    async fn folders(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.at(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                names.extend(entry.file_name().into_string().ok());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    async fn publish(&self, files: &[(&str, &str)]) -> io::Result<()> {
        in_place(|| self.rename_all(files))
    }

    async fn delete(&self, path: &str) -> io::Result<()> {
        in_place(|| self.remove(path))
    }

    async fn delete_all(&self, folder: &str) -> io::Result<()> {
        in_place(|| absent_is_fine(fs::remove_dir_all(self.at(folder))))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn BufRead + Send>> {
        Ok(Box::new(BufReader::new(File::open(self.at(path))?)))
    }

    fn open_file(&self, path: &str) -> io::Result<File> {
        File::open(self.at(path))
    }

    fn stage(&self, path: &str) -> io::Result<Box<dyn StagedFile>> {
        let path = self.at(path);
        make_parent(&path)?;
        let file = BufWriter::with_capacity(1 << 18, File::create(&path)?);
        // not before it is there: another commit may sync the folders that are noted at any time
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner).extend(self.folders_of(&path));
        Ok(Box::new(LocalFile { file, length: 0 }))
    }

    fn scratch(&self, path: &str) -> io::Result<PathBuf> {
        let path = self.at(path);
        fs::create_dir_all(&path)?;
        Ok(path)
    }
}

struct LocalFile {
    file: BufWriter<File>,
    length: u64,
}

impl Write for LocalFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl StagedFile for LocalFile {
    fn finish(mut self: Box<Self>) -> io::Result<u64> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        Ok(self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn one_of_many_creators_wins() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::create(folder.path()).unwrap();
        let winners: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8u8)
                .map(|i| {
                    let store = &store;
                    scope.spawn(move || usize::from(block_on(store.create("a/b.json", &[i; 4096])).unwrap()))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(winners, 1);
        let bytes = block_on(store.read("a/b.json")).unwrap().unwrap();
        assert!(bytes.len() == 4096 && bytes.iter().all(|b| *b == bytes[0]), "whole, and one writer's");
        assert_eq!(block_on(store.list("a")).unwrap(), ["a/b.json"], "no temporary file is left");
    }

    #[test]
    fn publishing_twice_is_publishing_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::create(folder.path()).unwrap();
        let mut staged = store.stage("s/1").unwrap();
        staged.write_all(b"rows").unwrap();
        assert_eq!(staged.finish().unwrap(), 4);
        for _ in 0..2 {
            block_on(store.publish(&[("s/1", "flows/x/1.parquet")])).unwrap();
        }
        assert_eq!(block_on(store.read("flows/x/1.parquet")).unwrap().unwrap(), b"rows");
        assert!(block_on(store.publish(&[("s/2", "flows/x/2.parquet")])).is_err(), "lost staging is no success");
        block_on(store.delete("nothing")).unwrap();
        block_on(store.delete_all("nothing")).unwrap();
    }

    #[test]
    fn a_lake_has_one_writer() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::create(folder.path()).unwrap();
        let held = store.lock().unwrap();
        assert!(held.is_some());
        let other = LocalStore::create(folder.path()).unwrap();
        assert!(other.lock().unwrap().is_none() && other.lock_shared().unwrap().is_none());
        drop(held);
        let shared = store.lock_shared().unwrap();
        assert!(other.lock_shared().unwrap().is_some() && other.lock().unwrap().is_none());
        drop(shared);
        assert!(store.lock().unwrap().is_some());
    }
}
