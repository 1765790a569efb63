//! A lease, and the writes to it: who may make them when, and what they change.
//!
//! The rules are those of the Kinesis Client Library 3. Every kind of table keeps them: those in memory by
//! [`LeaseWrite::permitted`] and [`LeaseWrite::apply`], DynamoDB by a condition and an update that say the same.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::source::kinesis::{Checkpoint, HashRange, ShardInfo};

/// A worker's right to read a shard, and how far the reading has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The shard's id; it is the lease's key too.
    pub shard: String,
    /// The worker that has it, or gets it once `checkpoint_owner` is gone.
    pub owner: Option<String>,
    /// Grows with every write of an owner: that shows that the owner lives.
    pub counter: u64,
    /// Changes of owner since the last checkpoint.
    pub owner_switches: u64,
    /// How far the shard is read.
    pub checkpoint: Checkpoint,
    /// During a hand-over, the worker that had the lease and still works.
    pub checkpoint_owner: Option<String>,
    /// The shards that come before this one.
    pub parents: BTreeSet<String>,
    /// The shards that follow; known when the shard has ended.
    pub children: BTreeSet<String>,
    /// The shard's part of the hash keys.
    pub hash_range: Option<HashRange>,
}

impl Lease {
    /// A lease that nobody has yet.
    pub fn new(shard: &ShardInfo, checkpoint: Checkpoint) -> Self {
        Self {
            shard: shard.id.clone(),
            owner: None,
            counter: 0,
            owner_switches: 0,
            checkpoint,
            checkpoint_owner: None,
            parents: shard.parents.iter().cloned().collect(),
            children: BTreeSet::new(),
            hash_range: shard.hash_range.clone(),
        }
    }

    /// The worker that works on the shard now: during a hand-over still the one that had it.
    pub fn actual_owner(&self) -> Option<&str> {
        self.checkpoint_owner.as_deref().or(self.owner.as_deref())
    }

    /// Whether the shard is closed and read to its end.
    pub fn is_finished(&self) -> bool {
        self.checkpoint == Checkpoint::ShardEnd
    }

    /// Whether reading began: a checkpoint was written that does not only say where to begin.
    pub(super) fn is_started(&self) -> bool {
        !matches!(self.checkpoint, Checkpoint::TrimHorizon | Checkpoint::AtTimestamp)
    }
}

/// A conditional write to a lease that was seen before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseWrite {
    /// The owner lives. Refused when a hand-over has begun that the owner did not know of.
    Renew,
    /// The leader gives a lease to a worker that nobody has, or whose owner is dead.
    Assign {
        /// The worker.
        to: String,
    },
    /// The leader asks the owner to hand over. The counter stays, so that the owner's writes go on.
    HandOver {
        /// The worker that gets it.
        to: String,
    },
    /// The owner lets go: to the next owner in a hand-over, else to nobody.
    Release,
    /// The owner has read so far. At the end of a shard with the shards that follow.
    Checkpoint {
        /// How far.
        to: Checkpoint,
        /// What follows; nothing keeps what is there.
        children: BTreeSet<String>,
    },
}

/// What must hold of the lease in the table for a write to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition<'a> {
    pub(super) counter: Option<u64>,
    pub(super) owner: Option<Option<&'a str>>,
    pub(super) checkpoint_owner: Option<Option<&'a str>>,
}

impl LeaseWrite {
    /// The condition under which this write is made to a lease that was seen like this.
    pub(super) fn condition<'a>(&self, seen: &'a Lease) -> Condition<'a> {
        let counter = Some(seen.counter);
        let owner = Some(seen.owner.as_deref());
        let checkpoint_owner = Some(seen.checkpoint_owner.as_deref());
        match self {
            // an owner that knows of the hand-over goes on renewing while it drains
            Self::Renew if seen.checkpoint_owner.is_some() => {
                Condition { counter, owner: None, checkpoint_owner: None }
            }
            Self::Renew => Condition { counter, owner: None, checkpoint_owner: Some(None) },
            Self::Assign { .. } | Self::Checkpoint { .. } => Condition { counter, owner: None, checkpoint_owner: None },
            Self::HandOver { .. } => Condition { counter: None, owner, checkpoint_owner: Some(None) },
            Self::Release => Condition { counter, owner, checkpoint_owner },
        }
    }

    /// Whether the write is made to the lease that is in the table `now`.
    pub(super) fn permitted(&self, seen: &Lease, now: &Lease) -> bool {
        let Condition { counter, owner, checkpoint_owner } = self.condition(seen);
        counter.is_none_or(|counter| counter == now.counter)
            && owner.is_none_or(|owner| owner == now.owner.as_deref())
            && checkpoint_owner.is_none_or(|owner| owner == now.checkpoint_owner.as_deref())
    }

    /// Makes the write.
    pub(super) fn apply(&self, lease: &mut Lease) {
        match self {
            Self::Renew => lease.counter += 1,
            Self::Assign { to } => {
                let switched = lease.owner.as_ref().is_some_and(|owner| owner != to);
                lease.owner_switches += u64::from(switched || lease.checkpoint_owner.as_ref() == Some(to));
                lease.owner = Some(to.clone());
                lease.checkpoint_owner = None;
                lease.counter += 1;
            }
            Self::HandOver { to } => lease.checkpoint_owner = lease.owner.replace(to.clone()),
            Self::Release => {
                if lease.checkpoint_owner.take().is_none() {
                    lease.owner = None;
                }
                lease.counter += 1;
            }
            Self::Checkpoint { to, children } => {
                lease.checkpoint = to.clone();
                lease.owner_switches = 0;
                lease.counter += 1;
                if !children.is_empty() {
                    lease.children.clone_from(children);
                }
            }
        }
    }
}
