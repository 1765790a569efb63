//! Where a lake lies: the few operations that the commit protocol needs, for a local folder and for S3.
//!
//! Paths are relative to the lake's root, with `/` between their parts on every system.

use std::fs::File;
use std::future::Future;
use std::io::{self, BufRead, Seek as _, Write};
use std::path::PathBuf;

/// The operations. Each is safe to repeat after a crash at any point.
pub trait Store: Send + Sync {
    /// The lake's place as a person writes it: a folder or `s3://bucket/prefix`.
    fn place(&self) -> &str;

    /// The bytes of a file, or `None` if there is none.
    fn read(&self, path: &str) -> impl Future<Output = io::Result<Option<Vec<u8>>>> + Send;

    /// Creates a small file unless one is there: the protocol's compare-and-set. `false`: one was there.
    ///
    /// The file is whole and durable when this returns `true`; of two callers at most one gets `true`. After an error
    /// of the kind [`io::ErrorKind::TimedOut`] it may still be created.
    fn create(&self, path: &str, bytes: &[u8]) -> impl Future<Output = io::Result<bool>> + Send;

    /// The paths of all files below a folder, sorted; empty if there is no such folder.
    fn list(&self, folder: &str) -> impl Future<Output = io::Result<Vec<String>>> + Send;

    /// All files below a folder with their lengths, sorted by path; empty if there is no such folder.
    fn files(&self, folder: &str) -> impl Future<Output = io::Result<Vec<StoredFile>>> + Send {
        async move {
            let mut files = Vec::new();
            for path in self.list(folder).await? {
                match self.open_file(&path) {
                    Ok(file) => files.push(StoredFile { bytes: file.metadata()?.len(), path }),
                    // gone since it was listed
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(files)
        }
    }

    /// The names of the folders that lie in a folder, sorted; empty if there is no such folder.
    fn folders(&self, folder: &str) -> impl Future<Output = io::Result<Vec<String>>> + Send;

    /// Moves staged files (first name) to their final names (second name), and makes that durable. Done before (the
    /// staged file is gone, the final one there) is fine.
    fn publish(&self, files: &[(&str, &str)]) -> impl Future<Output = io::Result<()>> + Send;

    /// Deletes a file; one that is not there is fine.
    fn delete(&self, path: &str) -> impl Future<Output = io::Result<()>> + Send;

    /// Deletes a folder with all that is in it; one that is not there is fine.
    fn delete_all(&self, folder: &str) -> impl Future<Output = io::Result<()>> + Send;

    /// Opens a file for reading from its begin, in bounded memory. Read from threads that have no async runtime.
    fn open(&self, path: &str) -> io::Result<Box<dyn BufRead + Send>>;

    /// Opens a file for reading at any place, as Parquet is read: what does not lie on this machine is copied to a
    /// temporary file, which goes when it is closed. Read from threads that have no async runtime.
    fn open_file(&self, path: &str) -> io::Result<File> {
        let mut copy = tempfile::tempfile()?;
        io::copy(&mut self.open(path)?, &mut copy)?;
        copy.rewind()?;
        Ok(copy)
    }

    /// Starts a staged file. Written from threads that have no async runtime.
    fn stage(&self, path: &str) -> io::Result<Box<dyn StagedFile>>;

    /// A local folder for files that live only while a unit of work is done; under `path` where the lake is local.
    fn scratch(&self, path: &str) -> io::Result<PathBuf>;
}

/// A file as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Its path.
    pub path: String,
    /// Length in bytes.
    pub bytes: u64,
}

/// A file being staged.
pub trait StagedFile: Write + Send {
    /// Makes what was written durable; returns its length in bytes. Dropped without this, the file is garbage.
    fn finish(self: Box<Self>) -> io::Result<u64>;
}
