//! Where a lake lies: the few operations that the commit protocol needs, for a local folder and for S3.
//!
//! Paths are relative to the lake's root, with `/` between their parts on every system.

use std::future::Future;
use std::io::{self, BufRead, Write};
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

    /// Starts a staged file. Written from threads that have no async runtime.
    fn stage(&self, path: &str) -> io::Result<Box<dyn StagedFile>>;

    /// A local folder for files that live only while a unit of work is done; under `path` where the lake is local.
    fn scratch(&self, path: &str) -> io::Result<PathBuf>;
}

/// A file being staged.
pub trait StagedFile: Write + Send {
    /// Makes what was written durable; returns its length in bytes. Dropped without this, the file is garbage.
    fn finish(self: Box<Self>) -> io::Result<u64>;
}
