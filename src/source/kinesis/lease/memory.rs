//! Leases in memory, for tests and simulations: with DynamoDB's conditions, and with its faults.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::book::Book;
use super::error::LeaseError;
use super::record::{Lease, LeaseWrite};
use super::table::{LeaderLock, LeaseTable, WorkerBeat, Written};

/// What befalls one access to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It is refused, without effect: a throttle, a lost request.
    Refused,
    /// It has its effect, but the response is lost.
    ResponseLost,
    /// It takes time before its effect, and after it. If nobody waits any more, it has its effect nevertheless.
    Slow(Duration, Duration),
}

type Faults = Arc<dyn Fn() -> Fault + Send + Sync>;

/// A table in memory. Clones share the leases.
#[derive(Clone)]
pub struct MemoryTable {
    book: Arc<Mutex<Book>>,
    began: Instant,
    faults: Faults,
}

impl Default for MemoryTable {
    fn default() -> Self {
        Self { book: Arc::default(), began: Instant::now(), faults: Arc::new(|| Fault::None) }
    }
}

impl fmt::Debug for MemoryTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTable").field("book", &self.book).finish_non_exhaustive()
    }
}

impl MemoryTable {
    /// The same table as another worker sees it: every access asks `faults` first.
    pub fn with_faults(&self, faults: impl Fn() -> Fault + Send + Sync + 'static) -> Self {
        Self { faults: Arc::new(faults), ..self.clone() }
    }

    async fn access<R: Send + 'static>(
        &self,
        effect: impl FnOnce(&mut Book) -> R + Send + 'static,
    ) -> Result<R, LeaseError> {
        let failed = |detail: &str| LeaseError::Service {
            action: "reach",
            table: "in memory".to_owned(),
            detail: detail.to_owned(),
        };
        let book = self.book.clone();
        let take_effect = move || effect(&mut book.lock().unwrap_or_else(PoisonError::into_inner));
        match (self.faults)() {
            Fault::None => Ok(take_effect()),
            Fault::Refused => Err(failed("throttled")),
            Fault::ResponseLost => {
                take_effect();
                Err(failed("the response is lost"))
            }
            Fault::Slow(before, after) => {
                let late = tokio::spawn(async move {
                    sleep(before).await;
                    take_effect()
                });
                let result = late.await.map_err(|error| failed(&error.to_string()))?;
                sleep(after).await;
                Ok(result)
            }
        }
    }
}

impl LeaseTable for MemoryTable {
    async fn list(&self) -> Result<Vec<Lease>, LeaseError> {
        self.access(|book| book.leases.values().cloned().collect()).await
    }

    async fn get(&self, shard: &str) -> Result<Option<Lease>, LeaseError> {
        let shard = shard.to_owned();
        self.access(move |book| book.leases.get(&shard).cloned()).await
    }

    async fn owned_by(&self, worker: &str) -> Result<Vec<String>, LeaseError> {
        let worker = worker.to_owned();
        self.access(move |book| book.owned_by(&worker)).await
    }

    async fn create(&self, lease: &Lease) -> Result<bool, LeaseError> {
        let lease = lease.clone();
        self.access(move |book| book.create(&lease)).await
    }

    async fn write(&self, seen: &Lease, write: &LeaseWrite) -> Result<Written, LeaseError> {
        let (seen, write) = (seen.clone(), write.clone());
        self.access(move |book| book.write(&seen, &write)).await
    }

    async fn delete(&self, seen: &Lease) -> Result<(), LeaseError> {
        let seen = seen.clone();
        self.access(move |book| book.delete(&seen)).await
    }

    async fn workers(&self) -> Result<Vec<WorkerBeat>, LeaseError> {
        self.access(|book| book.workers()).await
    }

    async fn beat(&self, worker: &str) -> Result<(), LeaseError> {
        let (worker, time) = (worker.to_owned(), self.began.elapsed().as_secs());
        self.access(move |book| book.beat(&worker, time)).await
    }

    async fn remove_worker(&self, worker: &str) -> Result<(), LeaseError> {
        let worker = worker.to_owned();
        self.access(move |book| book.remove_worker(&worker)).await
    }

    async fn leader(&self) -> Result<Option<LeaderLock>, LeaseError> {
        self.access(|book| book.leader()).await
    }

    async fn set_leader(&self, seen: Option<&str>, lock: &LeaderLock) -> Result<bool, LeaseError> {
        let (seen, lock) = (seen.map(str::to_owned), lock.clone());
        self.access(move |book| book.set_leader(seen.as_deref(), &lock)).await
    }

    async fn remove_leader(&self, worker: &str) -> Result<(), LeaseError> {
        let worker = worker.to_owned();
        self.access(move |book| book.remove_leader(&worker)).await
    }
}
