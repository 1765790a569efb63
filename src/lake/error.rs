//! What can go wrong with a lake.

use std::io;

/// A lake that cannot be read or written. Nothing of the unit of work at hand is visible in it.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The disk or the service refused.
    #[error("cannot {action} {path}: {}", advice(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file, seen from the lake's root.
        path: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Rows could not be written as Parquet.
    #[error("cannot write {path} as Parquet: {source}")]
    Parquet {
        /// The file.
        path: String,
        /// The writer's answer.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// Rows could not be put into columns.
    #[error("cannot put rows into columns: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// A commit or a state file is not what flowbound wrote.
    #[error("{path} is damaged or of another version of flowbound: {detail}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        detail: String,
    },
    /// Somebody else committed at the same place.
    #[error(
        "another program is writing to this lake (it created {0}); wait until it is done and run this again: nothing is doubled"
    )]
    Conflict(String),
    /// The lake is in use.
    #[error("another flowbound is writing to {0}; wait until it is done and run this again: nothing is doubled")]
    Locked(String),
    /// Rows went missing between parsing and the lake: never seen, always checked.
    #[error("{what} do not add up: {parsed} parsed, {written} written; nothing was committed, please report this")]
    NotConserved {
        /// rows, packets or bytes.
        what: &'static str,
        /// What came out of parsing.
        parsed: u128,
        /// What went into the files.
        written: u128,
    },
}

fn advice(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            format!("{error}; make room and run the same command again: what is committed stays, nothing is doubled")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            format!("{error}; choose another place or change its permissions")
        }
        _ => error.to_string(),
    }
}

/// Names the file in an I/O error.
pub fn io_error(action: &'static str, path: &str) -> impl FnOnce(io::Error) -> LakeError {
    move |source| LakeError::Io { action, path: path.to_owned(), source }
}

/// Names the file in a Parquet error; a full disk stays recognisable.
pub(super) fn parquet_error(path: &str) -> impl FnOnce(parquet::errors::ParquetError) -> LakeError {
    move |error| match error {
        parquet::errors::ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(source) => LakeError::Io { action: "write", path: path.to_owned(), source: *source },
            Err(inner) => {
                let source = parquet::errors::ParquetError::External(inner);
                LakeError::Parquet { path: path.to_owned(), source }
            }
        },
        source => LakeError::Parquet { path: path.to_owned(), source },
    }
}
