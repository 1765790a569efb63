//! What a run came to, for its caller to show.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::deliver::{Delivery, merge};
use crate::boundary::Severity;
use crate::detect::{Alert, AlertStatus, AllowUse};

/// An alert in one line.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AlertLine {
    /// Its id.
    pub alert_id: String,
    /// What found it.
    pub detector: Cow<'static, str>,
    /// How bad it is.
    #[serde(serialize_with = "as_text")]
    pub severity: Severity,
    /// new, updated or closed.
    pub status: &'static str,
    /// Rows that it counts.
    pub flows: u64,
    /// First millisecond of its window.
    pub window_start: Option<i64>,
    /// What happened.
    pub title: String,
}

fn as_text<S: serde::Serializer>(value: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl AlertLine {
    /// By severity, then the newest first; the id makes the order the same on every run.
    pub fn worst_first(&self, other: &Self) -> std::cmp::Ordering {
        let key = |line: &Self| (std::cmp::Reverse(line.severity), std::cmp::Reverse(line.window_start));
        key(self).cmp(&key(other)).then_with(|| self.alert_id.cmp(&other.alert_id))
    }

    fn of(row: &Alert) -> Self {
        Self {
            alert_id: row.finding.alert_id.clone(),
            detector: row.finding.detector.clone(),
            severity: row.finding.severity,
            status: row.status.as_str(),
            flows: row.finding.flows,
            window_start: row.finding.window_start,
            title: row.finding.title.clone(),
        }
    }
}

/// The alerts that a run wrote: all counted, the worst kept.
#[derive(Debug, Default)]
pub struct Alerts {
    /// New or changed ones by severity.
    pub by_severity: BTreeMap<Severity, u64>,
    /// Earlier ones of which nothing is left.
    pub withdrawn: u64,
    /// Groups with more members than are kept, of the days that were judged; of a run with many closings, the most in one.
    pub cut: u64,
    /// What each entry of the allow-list did, as far as windows were judged; of a run with many closings, the most in one.
    pub allow: Vec<AllowUse>,
    /// The worst of the new or changed, a thousand of them if there are so many; not in order.
    pub worst: Vec<AlertLine>,
}

/// Alerts that a summary keeps, and what else it lists in a run without end: a flood must not fill the memory.
const KEPT: usize = 1000;

impl Alerts {
    pub(super) fn add(&mut self, row: &Alert) {
        if row.status == AlertStatus::Closed {
            self.withdrawn += 1;
            return;
        }
        *self.by_severity.entry(row.finding.severity).or_default() += 1;
        self.worst.push(AlertLine::of(row));
        if self.worst.len() > 2 * KEPT {
            self.worst.sort_by(AlertLine::worst_first);
            self.worst.truncate(KEPT);
        }
    }

    /// Adds those of a later closing. One that changed in both counts twice, and is kept as it is now.
    fn merge(&mut self, later: Self) {
        for (severity, count) in later.by_severity {
            *self.by_severity.entry(severity).or_default() += count;
        }
        self.withdrawn += later.withdrawn;
        self.cut = self.cut.max(later.cut);
        if self.allow.is_empty() {
            self.allow = later.allow;
        } else {
            // each closing judges its days anew
            for (have, now) in self.allow.iter_mut().zip(later.allow) {
                have.allowed = have.allowed.max(now.allowed);
                have.expired = have.expired.max(now.expired);
            }
        }
        let now: BTreeSet<&str> = later.worst.iter().map(|alert| alert.alert_id.as_str()).collect();
        self.worst.retain(|alert| !now.contains(alert.alert_id.as_str()));
        drop(now);
        self.worst.extend(later.worst);
        self.worst.sort_by(AlertLine::worst_first);
        self.worst.truncate(KEPT);
    }

    /// New or changed ones.
    pub fn count(&self) -> u64 {
        self.by_severity.values().sum()
    }
}

/// An object that could not be read to its end.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// The object.
    pub uri: String,
    /// Why.
    pub fault: String,
    /// Lines before the fault, which are in the lake.
    pub lines: u64,
}

/// An input that was not read at all; the next run tries it again.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Skipped {
    /// The object.
    pub uri: String,
    /// Why.
    pub why: String,
}

/// What a replay came to.
#[derive(Debug, Default)]
pub struct Summary {
    /// Objects read in this run.
    pub objects: u64,
    /// Objects that the lake had already.
    pub known: u64,
    /// Lines of those that went to quarantine when they were read.
    pub known_quarantined: u64,
    /// Those that could not be read to their end.
    pub known_faults: u64,
    /// Objects outside of the input that were read again, because their commit was replaced.
    pub drawn_in: u64,
    /// Objects that were not read at all.
    pub skipped: Vec<Skipped>,
    /// Lines that were records or should have been.
    pub lines: u64,
    /// Rows written to `flows`.
    pub rows: u64,
    /// Lines in quarantine, by reason.
    pub quarantined: BTreeMap<&'static str, u64>,
    /// Rows per verdict.
    pub verdicts: BTreeMap<String, u64>,
    /// Sum of the packets of all rows.
    pub packets: u128,
    /// Sum of the bytes of all rows.
    pub bytes: u128,
    /// Bytes read, compressed as they were.
    pub read_bytes: u64,
    /// Bytes of log text.
    pub decoded_bytes: u64,
    /// Alerts that are new or changed.
    pub alerts: Alerts,
    /// What came of the delivery of alerts, for each sink.
    pub deliveries: Vec<Delivery>,
    /// Objects that could not be read to their end.
    pub faults: Vec<Fault>,
    /// Files of the tables that were written.
    pub files: u64,
    /// How long it took.
    pub elapsed: Duration,
}

impl Summary {
    /// Adds what a later round came to; how long it took does not add up. What could not be read in one round, and comes
    /// again, is listed as it went in the last.
    pub(super) fn merge(&mut self, round: Self) {
        self.objects += round.objects;
        self.known += round.known;
        self.known_quarantined += round.known_quarantined;
        self.known_faults += round.known_faults;
        self.drawn_in += round.drawn_in;
        self.lines += round.lines;
        self.rows += round.rows;
        for (reason, count) in round.quarantined {
            *self.quarantined.entry(reason).or_default() += count;
        }
        for (verdict, count) in round.verdicts {
            *self.verdicts.entry(verdict).or_default() += count;
        }
        self.packets += round.packets;
        self.bytes += round.bytes;
        self.read_bytes += round.read_bytes;
        self.decoded_bytes += round.decoded_bytes;
        self.alerts.merge(round.alerts);
        self.deliveries = merge(std::mem::take(&mut self.deliveries), round.deliveries);
        self.skipped.extend(round.skipped);
        self.skipped.truncate(KEPT);
        self.faults.extend(round.faults);
        self.faults.truncate(KEPT);
        self.files += round.files;
    }

    /// Lines in quarantine.
    pub fn quarantined_lines(&self) -> u64 {
        self.quarantined.values().sum()
    }
}
