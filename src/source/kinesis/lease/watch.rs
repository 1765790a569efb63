//! What an observer knows of the others' life, by its own monotonic clock alone.
//!
//! Nobody's wall clock is compared with anybody else's: a lease is expired when its counter was seen unchanged for
//! the failover time, a lock when its version was for the lock's duration, a worker when its sign of life was. "Seen
//! unchanged" means from the answer of one look to the question of another, so an observer that stood still in
//! between, or waited long for an answer, finds nobody dead for it.
//!
//! A lease that was given to a worker is its own only when that has renewed it, and for that it must find it first.
//! Java workers look for new leases once in the failover time, and renew them up to a third of it later; so the first
//! renewal may take twice the failover time. Otherwise a lease would be taken away from a worker that is about to
//! begin, and the worker be thought dead.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::time::Instant;

use super::options::Timing;
use super::record::Lease;
use super::table::{LeaderLock, WorkerBeat};

/// A look at the table.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) leases: Vec<Lease>,
    pub(super) workers: Vec<WorkerBeat>,
    /// When it was asked for.
    pub(super) asked: Instant,
    /// When the answer was here.
    pub(super) answered: Instant,
}

#[derive(Debug, Clone, PartialEq)]
struct Seen<V> {
    value: V,
    since: Instant,
}

/// Notes a value; `since` stays if it did not change.
fn note<V: PartialEq>(seen: Option<Seen<V>>, value: V, now: Instant) -> Seen<V> {
    seen.filter(|seen| seen.value == value).unwrap_or(Seen { value, since: now })
}

/// The life of a lease.
#[derive(Debug)]
struct Pulse {
    counter: Seen<u64>,
    /// Who works on the shard, or is to begin.
    owner: Option<String>,
    /// The owner was seen to renew the lease, or had it when it was seen for the first time.
    taken_up: bool,
}

#[derive(Debug, Clone)]
struct Sign {
    beat: Seen<u64>,
    /// It was seen to change.
    lives: bool,
    /// A lease of the worker expired while its sign of life was this.
    suspect: Option<u64>,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pulses: HashMap<String, Pulse>,
    /// Hand-overs by shard: from, to.
    hand_overs: HashMap<String, Seen<(String, Option<String>)>>,
    signs: BTreeMap<String, Sign>,
    /// Shards that have a lease but are not in the stream.
    strays: HashMap<String, Instant>,
}

impl Watch {
    /// Takes a look into account.
    pub(super) fn observe(&mut self, look: &Look, timing: &Timing) {
        let mut before = std::mem::take(&mut self.pulses);
        let mut before_over = std::mem::take(&mut self.hand_overs);
        for lease in &look.leases {
            let shard = &lease.shard;
            let (old, owner) = (before.remove(shard), lease.actual_owner());
            let taken_up = old.as_ref().is_none_or(|old| {
                old.owner.as_deref() == owner && (old.taken_up || old.counter.value != lease.counter)
            });
            let counter = note(old.map(|old| old.counter), lease.counter, look.answered);
            self.pulses.insert(shard.clone(), Pulse { counter, owner: owner.map(str::to_owned), taken_up });
            if let Some(from) = lease.checkpoint_owner.clone() {
                let hand_over = note(before_over.remove(shard), (from, lease.owner.clone()), look.answered);
                self.hand_overs.insert(shard.clone(), hand_over);
            }
        }
        let mut before = std::mem::take(&mut self.signs);
        for WorkerBeat { worker, beat } in &look.workers {
            let old = before.remove(worker);
            let changed = old.as_ref().is_some_and(|old| old.beat.value != *beat);
            let lives = changed || old.as_ref().is_some_and(|old| old.lives);
            let suspect = old.as_ref().and_then(|old| old.suspect).filter(|at| at == beat);
            let beat = note(old.map(|old| old.beat), *beat, look.answered);
            self.signs.insert(worker.clone(), Sign { beat, lives, suspect });
        }
        for lease in look.leases.iter().filter(|lease| !lease.is_finished()) {
            if !self.is_expired(lease, look, timing) {
                continue;
            }
            if let Some(sign) = lease.actual_owner().and_then(|owner| self.signs.get_mut(owner)) {
                sign.suspect = Some(sign.beat.value);
            }
        }
    }

    /// Whether the lease has an owner and did not change for the failover time, or for longer while the owner has yet
    /// to find it.
    pub(super) fn is_expired(&self, lease: &Lease, look: &Look, timing: &Timing) -> bool {
        let pulse = self.pulses.get(&lease.shard).filter(|pulse| pulse.counter.value == lease.counter);
        let limit = |pulse: &Pulse| if pulse.taken_up { timing.failover } else { timing.take_up() };
        lease.owner.is_some() && pulse.is_some_and(|pulse| look.asked >= pulse.counter.since + limit(pulse))
    }

    /// Whether a hand-over takes longer than a worker may drain, so that something is wrong with it.
    pub(super) fn is_overdue(&self, lease: &Lease, look: &Look, timing: &Timing) -> bool {
        let limit = timing.hand_over + timing.failover;
        self.hand_overs.get(&lease.shard).is_some_and(|seen| look.asked >= seen.since + limit)
    }

    /// The workers to whom leases may be given.
    ///
    /// A worker whose lease expired is dead, or as good as dead, until it gives another sign of life: without that it
    /// would be given the leases that it just lost. One that is seen for the first time counts as alive if its sign
    /// is not much older than the newest; a clock that is wrong is found out with the next sign.
    pub(super) fn live_workers(&self, look: &Look, timing: &Timing) -> BTreeSet<String> {
        let newest = self.signs.values().map(|sign| sign.beat.value).max().unwrap_or_default();
        let recent = |sign: &Sign| sign.lives || sign.beat.value + timing.worker_expiry.as_secs() >= newest;
        let lives =
            |sign: &Sign| sign.suspect.is_none() && look.asked < sign.beat.since + timing.worker_expiry && recent(sign);
        self.signs.iter().filter(|(_, sign)| lives(sign)).map(|(worker, _)| worker.clone()).collect()
    }

    /// Workers without sign of life for long: nobody needs to remember them.
    pub(super) fn forgotten_workers(&self, look: &Look, timing: &Timing) -> Vec<String> {
        let silent = |sign: &Sign| look.asked >= sign.beat.since + timing.garbage;
        self.signs.iter().filter(|(_, sign)| silent(sign)).map(|(worker, _)| worker.clone()).collect()
    }

    /// Those of the leases whose shards the stream does not have for long.
    pub(super) fn garbage<'l>(
        &mut self,
        leases: &'l [Lease],
        shards: &BTreeSet<&str>,
        now: Instant,
        timing: &Timing,
    ) -> Vec<&'l Lease> {
        let before = std::mem::take(&mut self.strays);
        let strays = leases.iter().filter(|lease| !shards.contains(lease.shard.as_str()));
        let mut garbage = Vec::new();
        for lease in strays {
            let since = before.get(&lease.shard).copied().unwrap_or(now);
            self.strays.insert(lease.shard.clone(), since);
            if now >= since + timing.garbage {
                garbage.push(lease);
            }
        }
        garbage
    }
}

/// What an observer knows of the leader's lock.
#[derive(Debug, Default)]
pub(super) struct LockWatch {
    version: Option<Seen<String>>,
    /// It was seen to change.
    lives: bool,
}

impl LockWatch {
    /// Takes a look at the lock into account; whether it is free.
    pub(super) fn observe(&mut self, lock: &LeaderLock, asked: Instant, answered: Instant) -> bool {
        let old = self.version.take();
        self.lives |= old.as_ref().is_some_and(|old| old.value != lock.version);
        let seen = self.version.insert(note(old, lock.version.clone(), answered));
        let silent = asked.saturating_duration_since(seen.since);
        self.lives &= silent < lock.duration / 2;
        lock.released || silent >= lock.duration
    }

    /// Whether the leader gave a sign of life within half of its time. If not, candidates do well to watch the leases
    /// already now.
    pub(super) fn leader_lives(&self) -> bool {
        self.lives
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::source::kinesis::{Checkpoint, ShardInfo};

    fn lease(counter: u64) -> Lease {
        let shard = ShardInfo { id: "s".to_owned(), parents: vec![], hash_range: None };
        Lease { owner: Some("w".to_owned()), counter, ..Lease::new(&shard, Checkpoint::TrimHorizon) }
    }

    /// The lease of a shard that goes over from one worker to another.
    fn handed_over(counter: u64, from: Option<&str>, to: Option<&str>) -> Lease {
        Lease { owner: to.map(str::to_owned), checkpoint_owner: from.map(str::to_owned), ..lease(counter) }
    }

    struct Observer {
        watch: Watch,
        began: Instant,
        timing: Timing,
    }

    impl Observer {
        fn new() -> Self {
            Self { watch: Watch::default(), began: Instant::now(), timing: Timing::default() }
        }

        /// Looks at second `asked`, has the answer at second `answered`.
        fn look(&mut self, asked: u64, answered: u64, counter: u64, beats: &[(&str, u64)]) -> Look {
            let workers = beats.iter().map(|(worker, beat)| WorkerBeat { worker: (*worker).to_owned(), beat: *beat });
            self.see(asked, answered, lease(counter), workers.collect())
        }

        fn see(&mut self, asked: u64, answered: u64, lease: Lease, workers: Vec<WorkerBeat>) -> Look {
            let at = |second| self.began + Duration::from_secs(second);
            let look = Look { leases: vec![lease], workers, asked: at(asked), answered: at(answered) };
            self.watch.observe(&look, &self.timing);
            look
        }

        fn expired(&mut self, asked: u64, answered: u64, counter: u64) -> bool {
            let look = self.look(asked, answered, counter, &[]);
            look.leases.iter().all(|lease| self.watch.is_expired(lease, &look, &self.timing))
        }

        fn expired_at(&mut self, second: u64, lease: Lease) -> bool {
            let look = self.see(second, second, lease, vec![]);
            look.leases.iter().all(|lease| self.watch.is_expired(lease, &look, &self.timing))
        }

        fn live(&mut self, second: u64, counter: u64, beats: &[(&str, u64)]) -> Vec<String> {
            let look = self.look(second, second, counter, beats);
            self.watch.live_workers(&look, &self.timing).into_iter().collect()
        }
    }

    #[test]
    fn a_lease_expires_when_it_was_seen_unchanged_for_the_failover_time() {
        let mut observer = Observer::new();
        assert!(!observer.expired(0, 1, 5), "seen for the first time");
        assert!(!observer.expired(10, 30, 5), "9 s between the first answer and this question");
        assert!(observer.expired(31, 31, 5));
        assert!(!observer.expired(32, 32, 6), "renewed");
        assert!(!observer.expired(100, 100, 7), "renewed while the observer slept");
        assert!(observer.expired(110, 110, 7));
    }

    #[test]
    fn a_worker_that_was_given_a_lease_has_time_to_find_it() {
        let mut observer = Observer::new();
        let (w, java) = (Some("w"), Some("java"));
        // to nobody, to Java, which finds it, and stops
        assert!(!observer.expired_at(0, handed_over(1, None, None)));
        assert!(!observer.expired_at(1, handed_over(2, None, java)));
        assert!(!observer.expired_at(14, handed_over(2, None, java)), "found after 10 s, renewed 3.3 s later");
        assert!(!observer.expired_at(15, handed_over(3, None, java)));
        assert!(!observer.expired_at(24, handed_over(3, None, java)));
        assert!(observer.expired_at(25, handed_over(3, None, java)));
        // by hand-over, during which the one that had it goes on, and must
        assert!(!observer.expired_at(30, handed_over(4, None, w)));
        assert!(!observer.expired_at(31, handed_over(5, None, w)));
        assert!(!observer.expired_at(32, handed_over(5, w, java)));
        assert!(!observer.expired_at(40, handed_over(5, w, java)));
        assert!(observer.expired_at(41, handed_over(5, w, java)));
        assert!(!observer.expired_at(42, handed_over(6, w, java)));
        assert!(!observer.expired_at(43, handed_over(7, None, java)));
        assert!(!observer.expired_at(62, handed_over(7, None, java)));
        assert!(observer.expired_at(63, handed_over(7, None, java)), "it never took it up");
    }

    #[test]
    fn a_worker_whose_lease_expired_gets_none_before_its_next_sign_of_life() {
        let mut observer = Observer::new();
        assert_eq!(observer.live(0, 1, &[("v", 100), ("w", 100)]), ["v", "w"]);
        assert_eq!(observer.live(9, 1, &[("v", 105), ("w", 101)]), ["v", "w"]);
        assert_eq!(observer.live(10, 1, &[("v", 110), ("w", 101)]), ["v"], "w's lease expired");
        assert_eq!(observer.live(11, 2, &[("v", 110), ("w", 101)]), ["v"], "the lease is another's by now");
        assert_eq!(observer.live(12, 3, &[("v", 110), ("w", 112)]), ["v", "w"]);
    }

    #[test]
    fn a_worker_dies_by_silence_and_clocks_may_differ() {
        let mut observer = Observer::new();
        // x is of an earlier life, y's clock is an hour off
        assert_eq!(observer.live(0, 1, &[("w", 5000), ("x", 4900), ("y", 1400)]), ["w"]);
        assert_eq!(observer.live(5, 2, &[("w", 5005), ("x", 4900), ("y", 1405)]), ["w", "y"]);
        assert_eq!(observer.live(64, 3, &[("w", 5064), ("x", 4900), ("y", 1405)]), ["w", "y"]);
        assert_eq!(observer.live(65, 4, &[("w", 5065), ("x", 4900), ("y", 1405)]), ["w"]);
        let look = observer.look(1804, 1804, 5, &[("w", 9000), ("x", 4900), ("y", 1405)]);
        assert_eq!(observer.watch.forgotten_workers(&look, &observer.timing), ["x"]);
    }

    #[test]
    fn a_lock_is_free_when_its_version_stands_still_for_the_time_in_it() {
        let mut watch = LockWatch::default();
        let began = Instant::now();
        let mut look = |second, version: &str, seconds, released| {
            let lock = LeaderLock {
                owner: "l".to_owned(),
                version: version.to_owned(),
                duration: Duration::from_secs(seconds),
                released,
            };
            let at = began + Duration::from_secs(second);
            (watch.observe(&lock, at, at), watch.leader_lives())
        };
        assert_eq!(look(0, "a", 120, false), (false, false));
        assert_eq!(look(30, "b", 120, false), (false, true));
        assert_eq!(look(89, "b", 120, false), (false, true));
        assert_eq!(look(90, "b", 120, false), (false, false), "suspect");
        assert_eq!(look(149, "b", 120, false), (false, false));
        assert_eq!(look(150, "b", 120, false), (true, false));
        assert_eq!(look(151, "c", 10, false), (false, true));
        assert_eq!(look(161, "c", 10, false), (true, false));
        assert!(look(162, "d", 10, true).0);
    }
}
