//! An object of the input, and what the inputs of a command line come to.

use std::io;
use std::path::PathBuf;

use crate::aws::s3::S3Uri;

/// A file to replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputObject {
    /// `file://` and the canonical path; `s3://` with bucket and key; `stdin:` and a digest of the content for
    /// standard input.
    pub uri: String,
    /// Size, and time of change or ETag: another identity is another content.
    pub identity: String,
    /// Length in bytes, compressed as it is.
    pub size: u64,
    /// Where to read it.
    pub location: Location,
}

/// Where an object lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A local file.
    File(PathBuf),
    /// An object in S3.
    S3 {
        /// Bucket and key.
        uri: S3Uri,
        /// The content that was found.
        etag: String,
    },
}

/// What the inputs of a command line come to.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Files to read, in the order of their URIs.
    pub objects: Vec<InputObject>,
    /// Files in folders that are not named like logs.
    pub passed_over: u64,
    /// Folders that are lakes: never read as input.
    pub lakes: Vec<String>,
    /// Files that are not asked for, and folders that cannot hold one that is.
    pub not_asked_for: u64,
    /// Files whose names do not tell whether they are asked for: they are read.
    pub without_origin: u64,
    /// Entries of folders that cannot be looked at, and why.
    pub unreadable: Vec<(String, String)>,
}

impl Inputs {
    /// Why there is nothing to read.
    pub(super) fn nothing(mut self, inputs: &[String]) -> InputError {
        let inputs = inputs.join(", ");
        match self.not_asked_for {
            0 if !self.lakes.is_empty() => InputError::IsLake(self.lakes.join(", ")),
            0 if !self.unreadable.is_empty() => {
                let (path, why) = self.unreadable.swap_remove(0);
                InputError::Io { path, source: io::Error::other(why) }
            }
            0 if self.passed_over == 0 => InputError::Empty(inputs),
            0 => InputError::NoLogs { inputs, passed_over: self.passed_over },
            _ => InputError::NotAskedFor(inputs),
        }
    }
}

/// Why inputs cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// Nothing is there.
    #[error("there is no file or folder {0}")]
    Missing(String),
    /// A pattern that matches nothing.
    #[error("no file matches {0}")]
    NoMatch(String),
    /// A pattern that is none.
    #[error("{pattern} is no pattern of file names: {detail}")]
    BadPattern {
        /// As given.
        pattern: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A place in S3 that is none.
    #[error(transparent)]
    BadPlace(#[from] crate::aws::s3::S3UriError),
    /// Nothing but lakes.
    #[error("{0} is a lake, not a folder of logs")]
    IsLake(String),
    /// Folders without a file.
    #[error("no flow log in {0}: there is no file")]
    Empty(String),
    /// Folders without a log.
    #[error(
        "no flow log in {inputs}: its files ({passed_over}) are not named like logs (.log, .gz, .zst, .parquet, .txt \
         or no ending); name a file to read it all the same"
    )]
    NoLogs {
        /// As given.
        inputs: String,
        /// Files that were passed over.
        passed_over: u64,
    },
    /// Nothing that was asked for.
    #[error(
        "no file in {0} is of the time, account and region that are asked for (--since, --until, --account, --region; \
         by names of files and folders)"
    )]
    NotAskedFor(String),
    /// The system refused.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}
