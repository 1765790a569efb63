//! What can go wrong with leases.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use super::options::Work;

/// Leases that cannot be read or written. What is committed to the lake stays, whatever happens here.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The lease is not this worker's, or not any more.
    #[error("another worker has, or may have, the lease of {0}: it goes on after what is committed")]
    Lost(String),
    /// A shard that two were merged into cannot have its lease yet.
    #[error(
        "{child} was merged from this shard and {parent}, which has no lease (yet): the fleet's leader makes it at its \
         next audit; try again"
    )]
    PartnerMissing {
        /// The merged shard.
        child: String,
        /// The parent that is missing.
        parent: String,
    },
    /// The service refused.
    #[error("cannot {action} DynamoDB table {table}: {detail}")]
    Service {
        /// What was tried with the table.
        action: &'static str,
        /// The table's name.
        table: String,
        /// The service's answer with its causes.
        detail: String,
    },
    /// A table was there, or was made, but is not usable.
    #[error(
        "DynamoDB table {table} is not ready after {seconds} s; see its state in the AWS console, then start again"
    )]
    NotReady {
        /// Its name.
        table: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The table is not a lease table that flowbound can share.
    #[error("{place} is no lease table of one stream: {detail}; choose another application name, or repair it")]
    Unfit {
        /// Table or file.
        place: String,
        /// What is wrong, and where.
        detail: String,
    },
    /// The leases are of other work.
    #[error(
        "{place} has the leases of {was}, and this is {is}: other work needs leases of its own (--name, --local-state)"
    )]
    OtherWork {
        /// Table or file.
        place: String,
        /// What they are for.
        was: Work,
        /// What they were to be used for.
        is: Work,
    },
    /// The stream's shards cannot be listed.
    #[error("cannot list the stream's shards: {0}")]
    Shards(#[source] Box<dyn Error + Send + Sync>),
    /// The file with the leases cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The file with the leases is in use.
    #[error(
        "another flowbound keeps its leases in {}; stop it, or share the work by a DynamoDB table instead", .0.display()
    )]
    InUse(PathBuf),
}
