//! What a run came to, for its caller to show.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::boundary::Severity;
use crate::lake::{AlertRow, AlertStatus};

/// An alert in one line.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AlertLine {
    /// Its id.
    pub alert_id: String,
    /// What found it.
    pub detector: &'static str,
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

    fn of(row: &AlertRow) -> Self {
        Self {
            alert_id: row.finding.alert_id.clone(),
            detector: row.finding.detector,
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
    /// The worst of the new or changed, a thousand of them if there are so many; not in order.
    pub worst: Vec<AlertLine>,
}

/// Alerts that a summary keeps: a flood of them must not fill the memory.
const KEPT: usize = 1000;

impl Alerts {
    pub(super) fn add(&mut self, row: &AlertRow) {
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
    /// Objects that could not be read to their end.
    pub faults: Vec<Fault>,
    /// Files of the tables that were written.
    pub files: u64,
    /// How long it took.
    pub elapsed: Duration,
}

impl Summary {
    /// Lines in quarantine.
    pub fn quarantined_lines(&self) -> u64 {
        self.quarantined.values().sum()
    }
}
