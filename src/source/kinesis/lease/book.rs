//! Leases, workers and the leader's lock in memory, under the same conditions as in DynamoDB.

use std::collections::BTreeMap;

use super::record::{Lease, LeaseWrite};
use super::table::{LeaderLock, WorkerBeat, Written};

/// What a table in memory or in a file holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Book {
    pub(super) leases: BTreeMap<String, Lease>,
    workers: BTreeMap<String, u64>,
    leader: Option<LeaderLock>,
}

impl Book {
    pub(super) fn owned_by(&self, worker: &str) -> Vec<String> {
        let owned = self.leases.values().filter(|lease| lease.owner.as_deref() == Some(worker));
        owned.map(|lease| lease.shard.clone()).collect()
    }

    pub(super) fn create(&mut self, lease: &Lease) -> bool {
        let absent = !self.leases.contains_key(&lease.shard);
        if absent {
            self.leases.insert(lease.shard.clone(), lease.clone());
        }
        absent
    }

    pub(super) fn write(&mut self, seen: &Lease, write: &LeaseWrite) -> Written {
        match self.leases.get_mut(&seen.shard) {
            Some(lease) if write.permitted(seen, lease) => {
                write.apply(lease);
                Written::Done(lease.clone())
            }
            other => Written::Refused(other.cloned()),
        }
    }

    pub(super) fn delete(&mut self, seen: &Lease) {
        if self.leases.get(&seen.shard).is_some_and(|lease| lease.counter == seen.counter) {
            self.leases.remove(&seen.shard);
        }
    }

    pub(super) fn workers(&self) -> Vec<WorkerBeat> {
        self.workers.iter().map(|(worker, beat)| WorkerBeat { worker: worker.clone(), beat: *beat }).collect()
    }

    pub(super) fn beat(&mut self, worker: &str, beat: u64) {
        self.workers.insert(worker.to_owned(), beat);
    }

    pub(super) fn remove_worker(&mut self, worker: &str) {
        self.workers.remove(worker);
    }

    pub(super) fn leader(&self) -> Option<LeaderLock> {
        self.leader.clone()
    }

    pub(super) fn set_leader(&mut self, seen: Option<&str>, lock: &LeaderLock) -> bool {
        let free = self.leader.as_ref().map(|lock| lock.version.as_str()) == seen;
        if free {
            self.leader = Some(lock.clone());
        }
        free
    }

    pub(super) fn remove_leader(&mut self, worker: &str) {
        self.leader.take_if(|lock| lock.owner == worker);
    }
}
