//! Detection: what shows over many records, on event time.
//!
//! A detector says which records count and what makes two of them part of one alert (the key). The engine
//! keeps a [`State`] per key and day; states merge, so any cut of the input into batches, workers and units gives
//! the same alerts. One alert per key while it lasts, never one per record.

mod alert;
mod allow;
mod attempt;
mod blocked;
mod breach;
mod detector;
mod finding;
mod gather;
mod history;
mod hours;
mod judge;
mod log_gap;
mod outage;
mod scan;
mod seen;
mod settings;
mod sketch;
mod state;
mod tally;
#[cfg(test)]
mod tests;
mod unmapped;
pub mod window;

pub use alert::{Alert, AlertStatus};
pub use allow::{AllowUse, Allowed, withdrawn_as_allowed};
pub use detector::{Counter, Detector};
pub use finding::Finding;
pub use gather::{Histories, Tallies};
pub use history::{Call, Each, First, History, Hour, Member, Minutes, Sum, Terms, Text, Who, is_history};
pub use hours::Hours;
pub use judge::{Judge, alert_key, reach, withdrawn};
pub use scan::{Crowd, Logged, Number, Probe, Probes, Row, Rows, Source, Target, Targets, Verdicts};
pub use seen::Seen;
pub use settings::{
    Beacon, BlockedSpike, BruteForce, Budget, Counting, Exfiltration, Expectation, Gathers, Horizontal, Knob, Late,
    NewService, Newcomers, Settings, Silent, Slow, Thresholds, Tunable, Tuned, Unanswered, Vertical,
};
pub use sketch::Sketch;
pub use state::State;
pub use tally::{Evidence, Key, Outcome, Tally};
pub use window::Window;

use outage::Outage;
use unmapped::Unmapped;

/// Every detector that counts.
pub const COUNTERS: &[&dyn Counter] = &[
    &breach::Breach,
    &attempt::Attempt,
    &Outage::Anywhere,
    &Outage::OneSided,
    &Outage::ReturnPath,
    &blocked::Blocked,
    &Unmapped::Place,
    &Unmapped::Fields,
    &log_gap::LogGap,
];

/// The names of all detectors.
pub fn detector_names() -> impl Iterator<Item = &'static str> {
    COUNTERS
        .iter()
        .map(|counter| counter.name())
        .chain(scan::KINDS.iter().map(|kind| kind.name()))
        .chain(history::names())
}

/// The counting detector of this name.
pub fn counter(name: &str) -> Option<&'static dyn Counter> {
    COUNTERS.iter().copied().find(|detector| detector.name() == name)
}
