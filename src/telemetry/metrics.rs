//! What is counted while a stream is followed, as Prometheus reads it.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::{Duration, Instant};

use dashmap::DashMap;
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

/// Of one shard, for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShardReason {
    shard: String,
    reason: &'static str,
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

/// Of one receiver of alerts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Sink {
    sink: String,
}

impl Sink {
    fn of(name: &str) -> Self {
        Self { sink: name.to_owned() }
    }
}

/// A shard answers at least every few seconds, with records or without. After this time without an answer its lag grows.
const SILENT: Duration = Duration::from_secs(10);

/// What a shard answered last.
#[derive(Debug, Clone, Copy)]
struct Answer {
    behind: i64,
    at: Instant,
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
    /// By shard: each is followed by a task of its own.
    answers: DashMap<String, Answer>,
    lag: Family<Shard, Level>,
    late: Family<Shard, Count>,
    uncommitted: Family<Shard, Level>,
    open_files: Family<Shard, Level>,
    retries: Family<ShardReason, Count>,
    rows: Family<Shard, Count>,
    commits: Family<Shard, Count>,
    quarantined: Family<Reason, Count>,
    control_messages: Count,
    out_of_range: Count,
    conflicts: Family<Shard, Count>,
    close_failures: Count,
    failures: Family<Shard, Count>,
    data_gaps: Family<Shard, Count>,
    leases: Family<Event, Count>,
    owned: Level,
    cut: Level,
    alerts: Family<Detector, Count>,
    delivered: Family<Sink, Count>,
    delivery_failures: Family<Sink, Count>,
    undelivered: Family<Sink, Level>,
    memory: Level,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("flowbound"),
            records: Family::default(),
            bytes: Family::default(),
            answers: DashMap::new(),
            lag: Family::default(),
            late: Family::default(),
            uncommitted: Family::default(),
            open_files: Family::default(),
            retries: Family::default(),
            rows: Family::default(),
            commits: Family::default(),
            quarantined: Family::default(),
            control_messages: Count::default(),
            out_of_range: Count::default(),
            conflicts: Family::default(),
            close_failures: Count::default(),
            failures: Family::default(),
            data_gaps: Family::default(),
            leases: Family::default(),
            owned: Level::default(),
            cut: Level::default(),
            alerts: Family::default(),
            delivered: Family::default(),
            delivery_failures: Family::default(),
            undelivered: Family::default(),
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
        let uncommitted = "Kinesis records that are read and not yet committed";
        registry.register("uncommitted_records", uncommitted, metrics.uncommitted.clone());
        registry.register("open_files", "Files of flows that are being written", metrics.open_files.clone());
        registry.register("read_retries", "Times a shard had to be asked again, by reason", metrics.retries.clone());
        let late = "Flow log records that came to the stream more than 15 minutes after their end";
        registry.register("late_records", late, metrics.late.clone());
        registry.register("rows", "Rows committed to the table flows", metrics.rows.clone());
        registry.register("commits", "Commits to the lake", metrics.commits.clone());
        registry.register("quarantined_lines", "Lines that are no records", metrics.quarantined.clone());
        let skipped = "CloudWatch control messages, which are skipped";
        registry.register("control_messages", skipped, metrics.control_messages.clone());
        let foreign = "Records of KPL aggregates that belong to another shard, which are skipped";
        registry.register("out_of_range_records", foreign, metrics.out_of_range.clone());
        let close_failures = "Times that windows, or those of one day, could not be closed";
        registry.register("close_failures", close_failures, metrics.close_failures.clone());
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
        let cut = "Groups of the days judged last that have more members than are kept";
        registry.register("cut_groups", cut, metrics.cut.clone());
        registry.register("alerts", "New alerts and revisions of alerts", metrics.alerts.clone());
        registry.register("alerts_delivered", "Alerts that a sink got", metrics.delivered.clone());
        let failures = "Times that a sink did not get all alerts and is tried again after the next closing";
        registry.register("delivery_failures", failures, metrics.delivery_failures.clone());
        let undelivered = "Commits of which a sink does not have every alert";
        registry.register("undelivered_commits", undelivered, metrics.undelivered.clone());
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
        self.answers.insert(shard.to_owned(), Answer { behind: millis, at: Instant::now() });
    }

    /// So many records came later to the stream than they should.
    pub fn late(&self, shard: &str, records: u64) {
        if records > 0 {
            self.late.get_or_create(&Shard { shard: shard.to_owned() }).inc_by(records);
        }
    }

    /// So many records are read and not yet committed, and in so many files.
    pub fn uncommitted(&self, shard: &str, records: u64, open_files: usize) {
        let shard = Shard { shard: shard.to_owned() };
        self.uncommitted.get_or_create(&shard).set(i64::try_from(records).unwrap_or(i64::MAX));
        self.open_files.get_or_create(&shard).set(i64::try_from(open_files).unwrap_or(i64::MAX));
    }

    /// A shard has to be asked again.
    pub fn retried(&self, shard: &str, reason: &'static str) {
        self.retries.get_or_create(&ShardReason { shard: shard.to_owned(), reason }).inc();
    }

    /// A commit with so many rows.
    pub fn commit(&self, shard: &str, rows: u64) {
        self.uncommitted(shard, 0, 0);
        let shard = Shard { shard: shard.to_owned() };
        self.commits.get_or_create(&shard).inc();
        self.rows.get_or_create(&shard).inc_by(rows);
    }

    /// Another worker committed first.
    pub fn conflict(&self, shard: &str) {
        self.conflicts.get_or_create(&Shard { shard: shard.to_owned() }).inc();
    }

    /// Windows could not be closed.
    pub fn close_failure(&self) {
        self.close_failures.inc();
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
            self.answers.remove(shard);
            let shard = Shard { shard: shard.to_owned() };
            self.lag.remove(&shard);
            self.uncommitted.remove(&shard);
            self.open_files.remove(&shard);
        }
    }

    /// So many groups have more members than are kept; how many it were before.
    pub fn cut_groups(&self, groups: u64) -> u64 {
        let before = self.cut.set(i64::try_from(groups).unwrap_or(i64::MAX));
        u64::try_from(before).unwrap_or(0)
    }

    /// An alert was written, or a revision of one.
    pub fn alert(&self, detector: &'static str) {
        self.alerts.get_or_create(&Detector { detector }).inc();
    }

    /// A sink got an alert.
    pub fn delivered(&self, sink: &str) {
        self.delivered.get_or_create(&Sink::of(sink)).inc();
    }

    /// A sink did not get all alerts.
    pub fn delivery_failure(&self, sink: &str) {
        self.delivery_failures.get_or_create(&Sink::of(sink)).inc();
    }

    /// Of so many commits a sink does not have every alert.
    pub fn undelivered(&self, sink: &str, commits: u64) {
        self.undelivered.get_or_create(&Sink::of(sink)).set(i64::try_from(commits).unwrap_or(i64::MAX));
    }

    /// Memory of the process, in bytes.
    pub fn memory(&self, bytes: u64) {
        self.memory.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Everything, in OpenMetrics text.
    pub fn render(&self) -> String {
        for answer in &self.answers {
            let silence = Some(answer.at.elapsed()).filter(|silence| *silence > SILENT).unwrap_or_default();
            let silence = i64::try_from(silence.as_millis()).unwrap_or(i64::MAX);
            let lag = answer.behind.saturating_add(silence);
            self.lag.get_or_create(&Shard { shard: answer.key().clone() }).set(lag);
        }
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
        metrics.late("shardId-000000000000", 3);
        metrics.uncommitted("shardId-000000000000", 1, 2);
        metrics.retried("shardId-000000000000", "throttled");
        metrics.lease("shardId-000000000001", LeaseChange::Acquired, 1);
        metrics.delivered("oncall");
        metrics.delivery_failure("oncall");
        metrics.undelivered("oncall", 3);
        let text = metrics.render();
        for line in [
            "flowbound_kinesis_records_total{shard=\"shardId-000000000000\"} 1",
            "flowbound_read_bytes_total{shard=\"shardId-000000000000\"} 100",
            "flowbound_lag_milliseconds{shard=\"shardId-000000000000\"} 7",
            "flowbound_late_records_total{shard=\"shardId-000000000000\"} 3",
            "flowbound_uncommitted_records{shard=\"shardId-000000000000\"} 1",
            "flowbound_open_files{shard=\"shardId-000000000000\"} 2",
            "flowbound_read_retries_total{shard=\"shardId-000000000000\",reason=\"throttled\"} 1",
            "flowbound_lease_events_total{event=\"acquired\"} 1",
            "flowbound_shards_owned 1",
            "flowbound_alerts_delivered_total{sink=\"oncall\"} 1",
            "flowbound_delivery_failures_total{sink=\"oncall\"} 1",
            "flowbound_undelivered_commits{sink=\"oncall\"} 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        metrics.lease("shardId-000000000000", LeaseChange::Lost, 0);
        let text = metrics.render();
        assert!(!text.contains("flowbound_lag_milliseconds{"), "who has it has its lag:\n{text}");
        assert!(!text.contains("flowbound_uncommitted_records{"), "{text}");
    }

    #[test]
    fn the_lag_of_a_silent_shard_grows() {
        let metrics = Metrics::default();
        let before = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        metrics.answers.insert("shardId-1".to_owned(), Answer { behind: 5, at: before });
        let text = metrics.render();
        let lag = text.lines().find_map(|line| line.strip_prefix("flowbound_lag_milliseconds{shard=\"shardId-1\"} "));
        assert!(lag.unwrap().parse::<i64>().unwrap() >= 60_005, "{text}");
    }
}
