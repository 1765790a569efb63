//! What is counted while a stream is followed, as Prometheus reads it.

use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

type Count = Counter<u64, AtomicU64>;
type Level = Gauge<i64, AtomicI64>;

/// Of one shard.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Shard {
    shard: String,
}

/// Of one reason.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// Of one kind of event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Event {
    event: &'static str,
}

/// Of one detector.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Detector {
    detector: &'static str,
}

/// What happened to a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseChange {
    /// This worker follows the shard now.
    Acquired,
    /// It was handed over, or released at the end.
    Released,
    /// Another worker has it.
    Lost,
    /// The shard came to its end.
    Finished,
}

impl LeaseChange {
    fn as_str(self) -> &'static str {
        match self {
            Self::Acquired => "acquired",
            Self::Released => "released",
            Self::Lost => "lost",
            Self::Finished => "finished",
        }
    }
}

/// Every metric of the program. Cheap to count with from any thread.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    records: Family<Shard, Count>,
    bytes: Family<Shard, Count>,
    lag: Family<Shard, Level>,
    rows: Family<Shard, Count>,
    commits: Family<Shard, Count>,
    quarantined: Family<Reason, Count>,
    control_messages: Count,
    out_of_range: Count,
    conflicts: Count,
    failures: Family<Shard, Count>,
    data_gaps: Family<Shard, Count>,
    leases: Family<Event, Count>,
    owned: Level,
    alerts: Family<Detector, Count>,
    memory: Level,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("flowbound"),
            records: Family::default(),
            bytes: Family::default(),
            lag: Family::default(),
            rows: Family::default(),
            commits: Family::default(),
            quarantined: Family::default(),
            control_messages: Count::default(),
            out_of_range: Count::default(),
            conflicts: Count::default(),
            failures: Family::default(),
            data_gaps: Family::default(),
            leases: Family::default(),
            owned: Level::default(),
            alerts: Family::default(),
            memory: Level::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("kinesis_records", "Kinesis records read", metrics.records.clone());
        registry.register_with_unit("read", "Bytes of Kinesis records read", Unit::Bytes, metrics.bytes.clone());
        registry.register(
            "lag_milliseconds",
            "How far the reading is behind the end of the shard",
            metrics.lag.clone(),
        );
        registry.register("rows", "Rows committed to the table flows", metrics.rows.clone());
        registry.register("commits", "Commits to the lake", metrics.commits.clone());
        registry.register("quarantined_lines", "Lines that are no records", metrics.quarantined.clone());
        let skipped = "CloudWatch control messages, which are skipped";
        registry.register("control_messages", skipped, metrics.control_messages.clone());
        let foreign = "Records of KPL aggregates that belong to another shard, which are skipped";
        registry.register("out_of_range_records", foreign, metrics.out_of_range.clone());
        let conflicts = "Commits that another worker made first";
        registry.register("commit_conflicts", conflicts, metrics.conflicts.clone());
        registry.register(
            "shard_failures",
            "Times a shard could not be followed and was tried again",
            metrics.failures.clone(),
        );
        registry.register(
            "data_gaps",
            "Times a shard had lost records before they were read",
            metrics.data_gaps.clone(),
        );
        registry.register("lease_events", "What happened to leases", metrics.leases.clone());
        registry.register("shards_owned", "Shards that this worker follows", metrics.owned.clone());
        registry.register("alerts", "New alerts and revisions of alerts", metrics.alerts.clone());
        registry.register_with_unit("resident_memory", "Memory of the process", Unit::Bytes, metrics.memory.clone());
        metrics
    }
}

impl Metrics {
    /// A Kinesis record was read.
    pub fn record(&self, shard: &str, bytes: u64) {
        let shard = Shard { shard: shard.to_owned() };
        self.records.get_or_create(&shard).inc();
        self.bytes.get_or_create(&shard).inc_by(bytes);
    }

    /// What of a Kinesis record was passed over.
    pub fn passed_over(&self, control_messages: u64, out_of_range: u64) {
        self.control_messages.inc_by(control_messages);
        self.out_of_range.inc_by(out_of_range);
    }

    /// A line went to quarantine.
    pub fn quarantined(&self, reason: &'static str) {
        self.quarantined.get_or_create(&Reason { reason }).inc();
    }

    /// How far the reading is behind the end of a shard, in milliseconds.
    pub fn lag(&self, shard: &str, millis: i64) {
        self.lag.get_or_create(&Shard { shard: shard.to_owned() }).set(millis);
    }

    /// A commit with so many rows.
    pub fn commit(&self, shard: &str, rows: u64) {
        let shard = Shard { shard: shard.to_owned() };
        self.commits.get_or_create(&shard).inc();
        self.rows.get_or_create(&shard).inc_by(rows);
    }

    /// Another worker committed first.
    pub fn conflict(&self) {
        self.conflicts.inc();
    }

    /// A shard could not be followed; it is tried again.
    pub fn failure(&self, shard: &str) {
        self.failures.get_or_create(&Shard { shard: shard.to_owned() }).inc();
    }

    /// Records were gone before they were read.
    pub fn data_gap(&self, shard: &str) {
        self.data_gaps.get_or_create(&Shard { shard: shard.to_owned() }).inc();
    }

    /// Something happened to a lease; so many shards are followed now.
    pub fn lease(&self, shard: &str, change: LeaseChange, owned: usize) {
        self.leases.get_or_create(&Event { event: change.as_str() }).inc();
        self.owned.set(i64::try_from(owned).unwrap_or(i64::MAX));
        if change != LeaseChange::Acquired {
            // a shard that another worker follows has no lag here
            self.lag.remove(&Shard { shard: shard.to_owned() });
        }
    }

    /// An alert was written, or a revision of one.
    pub fn alert(&self, detector: &'static str) {
        self.alerts.get_or_create(&Detector { detector }).inc();
    }

    /// Memory of the process, in bytes.
    pub fn memory(&self, bytes: u64) {
        self.memory.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Everything, in OpenMetrics text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // writing to a String does not fail
        let _infallible = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_named_after_the_program() {
        let metrics = Metrics::default();
        metrics.record("shardId-000000000000", 100);
        metrics.lag("shardId-000000000000", 7);
        metrics.lease("shardId-000000000001", LeaseChange::Acquired, 1);
        let text = metrics.render();
        for line in [
            "flowbound_kinesis_records_total{shard=\"shardId-000000000000\"} 1",
            "flowbound_read_bytes_total{shard=\"shardId-000000000000\"} 100",
            "flowbound_lag_milliseconds{shard=\"shardId-000000000000\"} 7",
            "flowbound_lease_events_total{event=\"acquired\"} 1",
            "flowbound_shards_owned 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        metrics.lease("shardId-000000000000", LeaseChange::Lost, 0);
        assert!(!metrics.render().contains("flowbound_lag_milliseconds{"), "who has it has its lag");
    }
}
