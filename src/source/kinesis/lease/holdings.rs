//! What the tasks of one worker share: the leases that it has.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::keeper::Command;

/// A lease that this worker has.
#[derive(Debug)]
struct Held {
    commands: mpsc::Sender<Command>,
    /// Until when the worker may rely on it.
    until: Instant,
    /// The consumer was told to begin.
    working: bool,
}

/// The leases of this worker, and what it knows of others'.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    held: Mutex<BTreeMap<String, Held>>,
    /// The first lease of the fleet that has an owner and is not finished, as last seen.
    first: Mutex<Option<String>>,
    /// The leader gave this worker a lease.
    pub(super) given: Notify,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Holdings {
    pub(super) fn add(&self, shard: &str, commands: mpsc::Sender<Command>, until: Instant) {
        locked(&self.held).insert(shard.to_owned(), Held { commands, until, working: false });
    }

    /// Whether a keeper is at work on the shard, be it to let go of it.
    pub(super) fn has_keeper(&self, shard: &str) -> bool {
        locked(&self.held).contains_key(shard)
    }

    /// The lease was renewed.
    pub(super) fn extend(&self, shard: &str, until: Instant) {
        self.with(shard, |held| held.until = until);
    }

    /// The consumer begins.
    pub(super) fn begin(&self, shard: &str) {
        self.with(shard, |held| held.working = true);
    }

    /// From now on this worker does not rely on the lease.
    pub(super) fn let_go(&self, shard: &str) {
        let now = Instant::now();
        self.with(shard, |held| held.until = held.until.min(now));
    }

    fn with(&self, shard: &str, change: impl FnOnce(&mut Held)) {
        if let Some(held) = locked(&self.held).get_mut(shard) {
            change(held);
        }
    }

    pub(super) fn remove(&self, shard: &str) {
        locked(&self.held).remove(shard);
    }

    pub(super) fn commands(&self, shard: &str) -> Option<mpsc::Sender<Command>> {
        locked(&self.held).get(shard).map(|held| held.commands.clone())
    }

    pub(super) fn all_commands(&self) -> Vec<mpsc::Sender<Command>> {
        locked(&self.held).values().map(|held| held.commands.clone()).collect()
    }

    /// Whether the consumer may work on the shard now, by this worker's clock.
    pub(super) fn holds(&self, shard: &str) -> bool {
        let now = Instant::now();
        locked(&self.held).get(shard).is_some_and(|held| held.working && now < held.until)
    }

    #[cfg(test)]
    pub(super) fn owned(&self) -> Vec<String> {
        let now = Instant::now();
        let held = locked(&self.held);
        held.iter().filter(|(_, held)| held.working && now < held.until).map(|(shard, _)| shard.clone()).collect()
    }

    pub(super) fn set_first(&self, shard: Option<&str>) {
        *locked(&self.first) = shard.map(str::to_owned);
    }

    pub(super) fn has_first(&self) -> bool {
        locked(&self.first).as_ref().is_some_and(|first| self.holds(first))
    }
}
