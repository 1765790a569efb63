//! Leases: how workers share a stream's shards, as the Kinesis Client Library 3 does, so that a Java application's
//! table can be taken over or shared.
//!
//! What leases promise is progress: every shard that is not read to its end is some live worker's. That every record
//! is published once does not hang on them, but on the lake's chain of commits, so a worker that wrongly believes to
//! have a shard can harm nothing.
//!
//! **A lease** ([`Lease`]) is an item of a table: who has the shard, how far it is read, and a counter. Every write of
//! an owner is made only if the counter is what the owner last saw, and adds one. A lease whose counter an observer
//! sees unchanged for the failover time is expired: nobody's wall clock counts. An owner relies on a lease a little
//! less long than that, from when it *sent* its last successful write, so it stops before another can begin.
//!
//! **The leader**, one worker by a lock that expires likewise, looks at the table, gives what nobody has to whoever
//! has least, and evens out the load by hand-overs. It makes the leases that are missing, and deletes what is done
//! with. Workers find what they were given and take it up; none takes a lease by itself.
//!
//! **A hand-over**: the leader names the next owner in `owner` and the present one in `checkpoint_owner`. The present
//! one notices when it renews, commits what it has, checkpoints, and removes `checkpoint_owner`; then the next begins.
//!
//! **A shard that ends**: its owner makes the leases of the shards that follow, then writes SHARD_END. A shard is
//! begun only when the lease of each shard before it says SHARD_END or is gone (I4).
//!
//! The parts: `record` the lease and its writes · `table` where they are kept, with `memory`, `file` and
//! `dynamo` · `keeper` one task per lease that this worker has · `watch`, `assign`, `audit` what the leader
//! sees, plans and checks, without I/O · `leader` and `coordinator` the loops.

mod assign;
mod audit;
mod book;
mod coordinator;
mod dynamo;
mod error;
mod file;
mod holdings;
mod keeper;
mod leader;
mod memory;
mod options;
mod record;
mod table;
#[cfg(test)]
mod tests;
mod watch;

use std::error::Error;

pub use coordinator::{Coordinator, CoordinatorHandle};
pub use dynamo::DynamoTable;
pub use error::LeaseError;
pub use file::FileTable;
pub use memory::{Fault, MemoryTable};
pub use options::{CoordinatorOptions, InitialPosition, Timing, Work};
pub use record::{Lease, LeaseWrite};
pub use table::{LeaderLock, LeaseTable, WorkerBeat, Written};

use super::ShardInfo;

/// What a worker is told of its leases, in order for each shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseEvent {
    /// Begin: the shard is this worker's, and the shards before it are read.
    Acquired(Lease),
    /// Drain: another worker is to have the shard. Commit, checkpoint, then release it.
    HandOver {
        /// The shard.
        shard: String,
    },
    /// Stop at once, and commit nothing more: another worker has, or may have, the shard.
    Lost {
        /// The shard.
        shard: String,
    },
}

/// The shards of a stream.
pub trait ShardList: Send + Sync + 'static {
    /// Every shard that still has records, closed ones too.
    fn list(&self) -> impl Future<Output = Result<Vec<ShardInfo>, Box<dyn Error + Send + Sync>>> + Send;
}
