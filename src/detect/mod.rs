//! Detection: what shows over many records, on event time.
//!
//! A detector counts records of one verdict and says what makes two of them part of one alert (the key). The engine
//! keeps a [`Tally`] per key and window; tallies merge, so any cut of the input into batches, workers and units gives
//! the same alerts. One alert per key and window, never one per record.

mod blocked;
mod breach;
mod detector;
mod finding;
mod log_gap;
mod outage;
mod tally;
#[cfg(test)]
mod tests;
mod unmapped;
pub mod window;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

pub use detector::Detector;
pub use finding::Finding;
pub use tally::{Evidence, Key, Seen, Tally};
pub use window::Window;

/// Every detector.
pub const DETECTORS: &[&dyn Detector] =
    &[&breach::Breach, &outage::Outage, &blocked::Blocked, &unmapped::Unmapped, &log_gap::LogGap];

/// The detector of this name.
pub fn detector(name: &str) -> Option<&'static dyn Detector> {
    DETECTORS.iter().copied().find(|detector| detector.name() == name)
}

/// What one worker has gathered and not yet handed on.
#[derive(Debug, Default)]
pub struct Tallies {
    tallies: BTreeMap<Key, Tally>,
    weight: usize,
}

impl Tallies {
    /// Looks at a judged record.
    pub fn observe(&mut self, seen: &Seen<'_, '_>) {
        for detector in DETECTORS {
            if detector.verdict() != seen.judgement.verdict || !detector.counts(seen) {
                continue;
            }
            let key = Key::of(seen, detector.name(), detector.by_client());
            let tally = match self.tallies.entry(key) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    self.weight += 4096;
                    entry.insert(Tally::new(detector.verdict()))
                }
            };
            self.weight += tally.add(seen);
        }
    }

    /// Bytes that the tallies hold, about: above a bound the worker hands them on.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// What was gathered, in the order of the keys; starts anew.
    pub fn take(&mut self) -> BTreeMap<Key, Tally> {
        self.weight = 0;
        std::mem::take(&mut self.tallies)
    }
}
