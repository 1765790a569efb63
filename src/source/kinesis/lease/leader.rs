//! Leading the fleet: the lock, and what its owner does for all workers.
//!
//! Every worker looks at the lock. As long as its owner gives signs of life, that is all; else a candidate watches
//! the leases already now, so that when the lock is free it knows which are too.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::assign::{Fleet, plan};
use super::error::LeaseError;
use super::keeper::Common;
use super::options::InitialPosition;
use super::record::{Lease, LeaseWrite};
use super::table::{LeaderLock, LeaseTable, Written};
use super::watch::{LockWatch, Look, Watch};
use super::{ShardList, audit};
use crate::source::kinesis::ShardInfo;

/// Writes that are under way at once.
const AT_ONCE: usize = 16;

/// One worker's part in leading.
pub(super) struct Leader<T, L> {
    common: Arc<Common<T, L>>,
    start: InitialPosition,
    watch: Watch,
    lock: LockWatch,
    /// Versions of the lock that this worker wrote.
    versions: u64,
    leads: bool,
    looks: u32,
    audit_at: Instant,
    clean_up_at: Instant,
}

impl<T: LeaseTable, L: ShardList> Leader<T, L> {
    pub(super) fn new(common: Arc<Common<T, L>>, start: InitialPosition) -> Self {
        let now = Instant::now();
        Self {
            start,
            watch: Watch::default(),
            lock: LockWatch::default(),
            versions: 0,
            leads: false,
            looks: 0,
            audit_at: now,
            clean_up_at: now + common.timing.clean_up,
            common,
        }
    }

    /// Leads whenever the lock is this worker's.
    pub(super) async fn run(&mut self) {
        let timing = self.common.timing;
        loop {
            match timeout(timing.failover * 3, self.turn()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "cannot look after the fleet's leases; trying again"),
                Err(_elapsed) => tracing::warn!("the lease table does not answer; trying again"),
            }
            sleep(timing.look).await;
        }
    }

    /// Gives up the lock, if it is this worker's.
    pub(super) async fn resign(&self) -> Result<(), LeaseError> {
        self.common.table.remove_leader(&self.common.worker).await
    }

    async fn turn(&mut self) -> Result<(), LeaseError> {
        let led = std::mem::replace(&mut self.leads, false);
        self.leads = self.take_lock().await?;
        if self.leads && !led {
            tracing::info!(worker = self.common.worker, "leads the fleet");
            self.audit_at = Instant::now();
            self.looks = 0;
        }
        let audit_due = Instant::now() >= self.audit_at;
        if !self.leads && self.lock.leader_lives() && !audit_due {
            return Ok(());
        }
        // the shards first: a lease that is made between the two is not missed
        let shards = if audit_due { self.shards().await } else { None };
        let mut look = self.look().await?;
        if self.leads {
            if let Some(shards) = &shards
                && self.audit(shards, &look).await?
            {
                look = self.look().await?;
            }
            self.clean_up(shards.as_deref().unwrap_or_default(), &look).await?;
            self.assign(&look).await;
        }
        Ok(())
    }

    /// Takes or renews the lock; whether it is this worker's now.
    async fn take_lock(&mut self) -> Result<bool, LeaseError> {
        let Common { table, worker, timing, .. } = &*self.common;
        let asked = Instant::now();
        let seen = table.leader().await?;
        if let Some(lock) = &seen {
            let free = self.lock.observe(lock, asked, Instant::now());
            if !free && lock.owner != *worker {
                return Ok(false);
            }
        }
        self.versions += 1;
        let version = format!("{worker}-{}", self.versions);
        let lock = LeaderLock { owner: worker.clone(), version, duration: timing.failover, released: false };
        table.set_leader(seen.as_ref().map(|lock| lock.version.as_str()), &lock).await
    }

    async fn look(&mut self) -> Result<Look, LeaseError> {
        let Common { table, timing, holdings, .. } = &*self.common;
        let asked = Instant::now();
        let (leases, workers) = tokio::try_join!(table.list(), table.workers())?;
        let look = Look { leases, workers, asked, answered: Instant::now() };
        self.watch.observe(&look, timing);
        let owned = look.leases.iter().filter(|lease| lease.owner.is_some() && !lease.is_finished());
        holdings.set_first(owned.map(|lease| lease.shard.as_str()).min());
        Ok(look)
    }

    /// The stream's shards, if this worker leads and they can be listed now; sets when they are listed next.
    async fn shards(&mut self) -> Option<Vec<ShardInfo>> {
        let timing = self.common.timing;
        self.audit_at = Instant::now() + timing.audit;
        if !self.leads {
            return None;
        }
        match self.common.shards.list().await {
            Ok(shards) if audit::is_complete(&shards) => return Some(shards),
            Ok(_) => tracing::warn!("the list of the stream's shards has holes; listing again"),
            Err(error) => tracing::warn!(%error, "cannot list the stream's shards; trying again"),
        }
        self.audit_at = Instant::now() + timing.look;
        None
    }

    /// Makes leases that are missing, and deletes those of shards that are gone; whether any changed.
    async fn audit(&mut self, shards: &[ShardInfo], look: &Look) -> Result<bool, LeaseError> {
        let Common { table, timing, .. } = &*self.common;
        let missing = audit::missing(shards, &look.leases, self.start);
        // one after the other, parents first: a child whose parent has no lease yet would be begun at once
        for lease in &missing {
            if table.create(lease).await? {
                tracing::info!(shard = lease.shard, checkpoint = ?lease.checkpoint, "made a lease");
            }
        }
        let ids: BTreeSet<&str> = shards.iter().map(|shard| shard.id.as_str()).collect();
        let garbage = self.watch.garbage(&look.leases, &ids, look.answered, timing);
        for lease in &garbage {
            tracing::warn!(shard = lease.shard, "deleting the lease of a shard that is not in the stream any more");
            table.delete(lease).await?;
        }
        for worker in self.watch.forgotten_workers(look, timing) {
            table.remove_worker(&worker).await?;
        }
        Ok(!missing.is_empty() || !garbage.is_empty())
    }

    async fn clean_up(&mut self, shards: &[ShardInfo], look: &Look) -> Result<(), LeaseError> {
        let Common { table, timing, .. } = &*self.common;
        if Instant::now() < self.clean_up_at {
            return Ok(());
        }
        self.clean_up_at = Instant::now() + timing.clean_up;
        for lease in audit::done_with(&look.leases, shards) {
            tracing::info!(shard = lease.shard, "deleting the lease of a shard that is read to its end");
            table.delete(lease).await?;
        }
        Ok(())
    }

    /// Gives leases to workers.
    async fn assign(&mut self, look: &Look) {
        let timing = self.common.timing;
        let rebalance = self.looks.is_multiple_of(timing.looks_per_rebalance.max(1));
        self.looks = self.looks.wrapping_add(1);
        let forfeit =
            |lease: &&Lease| self.watch.is_expired(lease, look, &timing) || self.watch.is_overdue(lease, look, &timing);
        let forfeit = look.leases.iter().filter(forfeit).map(|lease| lease.shard.as_str()).collect();
        let workers = self.watch.live_workers(look, &timing);
        let fleet = Fleet { leases: &look.leases, forfeit, workers: &workers };
        let writes = plan(&fleet, rebalance);
        for some in writes.chunks(AT_ONCE) {
            let mut tasks = JoinSet::new();
            for (lease, write) in some {
                tasks.spawn(give(self.common.clone(), (*lease).clone(), write.clone()));
            }
            while tasks.join_next().await.is_some() {}
        }
    }
}

/// Carries out a step of the plan. If the lease changed since it was seen, the next look says what is to be done.
async fn give<T: LeaseTable, L: ShardList>(common: Arc<Common<T, L>>, lease: Lease, write: LeaseWrite) {
    let shard = &lease.shard;
    match common.table.write(&lease, &write).await {
        Ok(Written::Done(given)) => {
            tracing::info!(
                shard,
                from = lease.owner,
                to = given.owner,
                hand_over = given.checkpoint_owner.is_some(),
                "gave a lease"
            );
            if given.owner.as_deref() == Some(&*common.worker) {
                common.holdings.given.notify_one();
            }
        }
        Ok(Written::Refused(_)) => tracing::debug!(shard, "the lease changed meanwhile"),
        Err(error) => tracing::warn!(shard, %error, "cannot give a lease to a worker; trying again"),
    }
}
