//! A lake that is looked at and never written: whoever is given this cannot change it, not even by mistake.

use std::fs::File;
use std::io::{self, BufRead, ErrorKind};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::store::{StagedFile, Store, StoredFile};

/// A store whose writing operations fail. What needs room gets a temporary folder of its own.
pub struct ReadOnly<'s, S> {
    store: &'s S,
    scratch: Mutex<Option<tempfile::TempDir>>,
}

impl<'s, S: Store> ReadOnly<'s, S> {
    /// This lake.
    pub fn new(store: &'s S) -> Self {
        Self { store, scratch: Mutex::default() }
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::Error::new(ErrorKind::ReadOnlyFilesystem, "this command never writes to a lake; please report this"))
}

impl<S: Store> Store for ReadOnly<'_, S> {
    fn place(&self) -> &str {
        self.store.place()
    }

    async fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.store.read(path).await
    }

    async fn create(&self, _: &str, _: &[u8]) -> io::Result<bool> {
        refused()
    }

    async fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.store.list(folder).await
    }

    async fn files(&self, folder: &str) -> io::Result<Vec<StoredFile>> {
        self.store.files(folder).await
    }

    async fn folders(&self, folder: &str) -> io::Result<Vec<String>> {
        self.store.folders(folder).await
    }

    async fn publish(&self, _: &[(&str, &str)]) -> io::Result<()> {
        refused()
    }

    async fn delete(&self, _: &str) -> io::Result<()> {
        refused()
    }

    async fn delete_all(&self, _: &str) -> io::Result<()> {
        refused()
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn BufRead + Send>> {
        self.store.open(path)
    }

    fn open_file(&self, path: &str) -> io::Result<File> {
        self.store.open_file(path)
    }

    fn stage(&self, _: &str) -> io::Result<Box<dyn StagedFile>> {
        refused()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::LocalStore;

    #[tokio::test]
    async fn nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "1").unwrap();
        let local = LocalStore::create(folder.path()).unwrap();
        let store = ReadOnly::new(&local);
        assert_eq!(store.read("a").await.unwrap().as_deref(), Some(&b"1"[..]));
        assert!(store.create("b", b"2").await.is_err() && store.stage("c").is_err());
        assert!(store.delete("a").await.is_err() && store.delete_all("").await.is_err());
        assert!(store.publish(&[("a", "b")]).await.is_err());
        let scratch = store.scratch("d").unwrap();
        assert!(scratch.is_dir() && !scratch.starts_with(folder.path()));
        drop(store);
        assert!(!scratch.exists());
        assert_eq!(local.list("").await.unwrap(), ["a"]);
    }
}
