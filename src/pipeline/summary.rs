//! What a run came to, for its caller to show.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::lake::AlertRow;

/// An alert in one line.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AlertLine {
    /// Its id.
    pub alert_id: String,
    /// What found it.
    pub detector: &'static str,
    /// How bad it is.
    #[serde(serialize_with = "as_text")]
    pub severity: crate::boundary::Severity,
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
    pub(super) fn of(row: &AlertRow) -> Self {
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
    /// Alerts that are new or changed, in the order of their windows.
    pub alerts: Vec<AlertLine>,
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
