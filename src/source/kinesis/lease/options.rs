//! How a worker takes part: in what work, its name, where it begins, and its times.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::source::kinesis::Checkpoint;

/// What leases are for. How far a shard is read into one lake says nothing of another, and shards of all streams have
/// the same names: leases of other work must not be taken for one's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Id of the stream.
    pub stream: String,
    /// Place of the lake.
    pub lake: String,
}

impl Display for Work {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "the stream {} into the lake {}", self.stream, self.lake)
    }
}

/// Where shards are begun that nobody has read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitialPosition {
    /// The oldest record there is.
    TrimHorizon,
    /// What comes from now on.
    Latest,
    /// A time; the reader knows which.
    AtTimestamp,
}

impl From<InitialPosition> for Checkpoint {
    fn from(position: InitialPosition) -> Self {
        match position {
            InitialPosition::TrimHorizon => Self::TrimHorizon,
            InitialPosition::Latest => Self::Latest,
            InitialPosition::AtTimestamp => Self::AtTimestamp,
        }
    }
}

/// What a worker must know to take part.
#[derive(Debug, Clone)]
pub struct CoordinatorOptions {
    /// The worker's name: of this process alone, of all that ever were in the fleet.
    pub worker: String,
    /// Where shards are begun that nobody has read from.
    pub start: InitialPosition,
    /// The times.
    pub timing: Timing,
}

/// The times of the protocol. Every worker of a fleet has the same failover time; the other times are a worker's own.
///
/// They are the Kinesis Client Library's, but for what a worker's own looking round takes: a worker looks every
/// quarter of the failover time for leases that it was given (the library: 10 s), and the leader for leases to give
/// away (20 s). And the leader's lock lasts as long as a lease (120 s): its duration stands in the lock itself and
/// observers go by that, so a Java worker waits no longer either. A fleet without Java workers so gets over a dead
/// leader as fast as over any other dead worker. A lock that is taken away too early harms nothing: every write of a
/// leader is conditional.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// A lease or lock that did not change for so long is given to another worker. 10 s.
    pub failover: Duration,
    /// Between two renewals of a lease: a third of the failover time, less 25 ms.
    pub renewal: Duration,
    /// Between two looks at the table: for leases that this worker was given, at the leader's lock, and by the leader
    /// for leases to give away.
    pub look: Duration,
    /// The leader evens out the load with one look of so many. 3.
    pub looks_per_rebalance: u32,
    /// Between two signs of life. 5 s (the library: 30 s).
    pub beat: Duration,
    /// A worker without sign of life for so long gets no leases. 60 s at least, as Java workers give one every 30 s
    /// whatever the failover time is.
    pub worker_expiry: Duration,
    /// How long a worker may drain before it hands over. 30 s; the leader waits the failover time longer.
    pub hand_over: Duration,
    /// Between two comparisons of leases with the stream's shards. 2 min.
    pub audit: Duration,
    /// Between two clean-ups of finished leases. 5 min.
    pub clean_up: Duration,
    /// The lease of a shard that the stream does not have for so long is deleted. 30 min.
    pub garbage: Duration,
}

impl Timing {
    /// The times that go with a failover time.
    pub fn with_failover(failover: Duration) -> Self {
        Self {
            failover,
            renewal: (failover / 3).saturating_sub(Self::epsilon(failover)),
            look: failover / 4,
            looks_per_rebalance: 3,
            beat: failover / 2,
            worker_expiry: (failover * 6).max(Duration::from_secs(60)),
            hand_over: failover * 3,
            audit: failover * 12,
            clean_up: failover * 30,
            garbage: failover * 180,
        }
    }

    /// What a write may take that an observer does not see.
    fn epsilon(failover: Duration) -> Duration {
        failover / 400
    }

    /// How long after a renewal was sent this worker may rely on it: a little less than another would wait.
    pub(super) fn reliance(&self) -> Duration {
        self.failover.saturating_sub(Self::epsilon(self.failover))
    }

    /// How long a worker may take to find a lease that it was given, and renew it. The library's leader looks at
    /// leases once in this time, and its workers for what they were given twice.
    pub(super) fn take_up(&self) -> Duration {
        self.failover * 2
    }

    /// How long one access to the table may take before it is tried again.
    pub(super) fn attempt(&self) -> Duration {
        self.failover / 4
    }

    /// Between two attempts.
    pub(super) fn pause(&self) -> Duration {
        self.failover / 40
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::with_failover(Duration::from_secs(10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_workers_live_between_two_signs_of_life() {
        let (short, long) =
            (Timing::with_failover(Duration::from_secs(2)), Timing::with_failover(Duration::from_secs(20)));
        assert_eq!((short.worker_expiry.as_secs(), long.worker_expiry.as_secs()), (60, 120));
    }

    #[test]
    fn defaults_are_the_client_librarys() {
        let timing = Timing::default();
        assert_eq!(timing.renewal.as_millis(), 3308);
        assert_eq!(timing.reliance().as_millis(), 9975);
        for (time, seconds) in [
            (timing.failover, 10),
            (timing.worker_expiry, 60),
            (timing.hand_over, 30),
            (timing.audit, 120),
            (timing.clean_up, 300),
            (timing.garbage, 1800),
        ] {
            assert_eq!(time.as_secs(), seconds);
        }
    }
}
