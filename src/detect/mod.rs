//! Detection: what shows over many records, on event time.
//!
//! A detector counts records of one verdict and says what makes two of them part of one alert (the key). The engine
//! keeps a [`Tally`] per key and window; tallies merge, so any cut of the input into batches, workers and units gives
//! the same alerts. One alert per key and window, never one per record.

mod blocked;
mod breach;
mod detector;
mod finding;
mod gather;
mod log_gap;
mod outage;
mod seen;
mod tally;
#[cfg(test)]
mod tests;
mod unmapped;
pub mod window;

pub use detector::Detector;
pub use finding::Finding;
pub use gather::Tallies;
pub use seen::Seen;
pub use tally::{Evidence, Key, Tally};
pub use window::Window;

/// Every detector.
pub const DETECTORS: &[&dyn Detector] =
    &[&breach::Breach, &outage::Outage, &blocked::Blocked, &unmapped::Unmapped, &log_gap::LogGap];

/// The detector of this name.
pub fn detector(name: &str) -> Option<&'static dyn Detector> {
    DETECTORS.iter().copied().find(|detector| detector.name() == name)
}
