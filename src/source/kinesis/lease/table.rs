//! Where leases are kept, and who else is in the fleet: the few operations that workers need.

use std::time::Duration;

use super::error::LeaseError;
use super::record::{Lease, LeaseWrite};

/// What became of a conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// It was made: the lease as it is now.
    Done(Lease),
    /// The condition did not hold: the lease as it is, or none.
    Refused(Option<Lease>),
}

/// A sign of life of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerBeat {
    /// The worker.
    pub worker: String,
    /// When it wrote it, by its own clock: seconds since 1970.
    pub beat: u64,
}

/// The lock of the fleet's leader, as AWS's DynamoDB lock client keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderLock {
    /// The leader.
    pub owner: String,
    /// Another text with every sign of life.
    pub version: String,
    /// Unchanged for so long by an observer's clock, the lock is free.
    pub duration: Duration,
    /// Its owner gave it up.
    pub released: bool,
}

/// A table of leases. A write that fails may have been made nevertheless: callers read again.
pub trait LeaseTable: Send + Sync + 'static {
    /// Every lease, read consistently.
    fn list(&self) -> impl Future<Output = Result<Vec<Lease>, LeaseError>> + Send;

    /// One lease, read consistently.
    fn get(&self, shard: &str) -> impl Future<Output = Result<Option<Lease>, LeaseError>> + Send;

    /// The shards whose lease names a worker as owner. May be some seconds behind.
    fn owned_by(&self, worker: &str) -> impl Future<Output = Result<Vec<String>, LeaseError>> + Send;

    /// Makes a lease unless there is one. `false`: there was.
    fn create(&self, lease: &Lease) -> impl Future<Output = Result<bool, LeaseError>> + Send;

    /// Writes to a lease that was seen before, if the write's condition holds.
    fn write(&self, seen: &Lease, write: &LeaseWrite) -> impl Future<Output = Result<Written, LeaseError>> + Send;

    /// Deletes a lease unless its counter changed since it was seen.
    fn delete(&self, seen: &Lease) -> impl Future<Output = Result<(), LeaseError>> + Send;

    /// The workers that gave a sign of life and did not leave, dead ones too.
    fn workers(&self) -> impl Future<Output = Result<Vec<WorkerBeat>, LeaseError>> + Send;

    /// A sign of life, with the time.
    fn beat(&self, worker: &str) -> impl Future<Output = Result<(), LeaseError>> + Send;

    /// Forgets a worker; one that is not there is fine.
    fn remove_worker(&self, worker: &str) -> impl Future<Output = Result<(), LeaseError>> + Send;

    /// The lock of the leader.
    fn leader(&self) -> impl Future<Output = Result<Option<LeaderLock>, LeaseError>> + Send;

    /// Takes or renews the lock if its version is still the one seen (`None`: there was no lock).
    fn set_leader(
        &self,
        seen: Option<&str>,
        lock: &LeaderLock,
    ) -> impl Future<Output = Result<bool, LeaseError>> + Send;

    /// Gives up the lock if it is a worker's.
    fn remove_leader(&self, worker: &str) -> impl Future<Output = Result<(), LeaseError>> + Send;
}
