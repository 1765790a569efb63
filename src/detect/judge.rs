//! From what is gathered of days that follow each other to what is found in each of them.

use std::collections::BTreeSet;

use super::finding::Finding;
use super::history::{self, AFTER, BEFORE, Clock};
use super::hours::Days;
use super::scan;
use super::settings::Settings;
use super::state::State;
use super::tally::{Key, Tally};
use super::{counter, window::Window};

/// How many days before the one that is judged are asked, and how many after it: of histories, or of others.
pub fn reach(of_histories: bool) -> [usize; 2] {
    if of_histories { [BEFORE, AFTER] } else { [1, 1] }
}

/// Judges days that follow each other, key by key: in the order of their keys, since the clock comes before what it tells
/// of.
#[derive(Debug, Default)]
pub struct Judge {
    /// Shards that have ended: nobody waits for them.
    ended: BTreeSet<String>,
    /// When there are records, of the day before the first that is judged, and of all that follow.
    clocks: Vec<Clock>,
}

impl Judge {
    /// Nobody waits for these shards.
    pub fn new(ended: BTreeSet<String>) -> Self {
        Self { ended, clocks: Vec::new() }
    }

    /// What is found of a key in each of these days, from its states of theirs and of those before and after them that
    /// [`reach`] asks for: nothing where they do not reach a threshold, or there are none. What of it the allow-list
    /// holds back is asked later.
    pub fn findings(
        &mut self,
        key: &Key,
        days: &[Window],
        states: &[Option<&State>],
        settings: &Settings,
    ) -> Vec<(Key, Vec<Finding>)> {
        // what stands before the clock asks nothing of it
        if self.clocks.is_empty() {
            self.clocks.resize_with(states.len(), Clock::default);
        }
        if history::is_clock(key) {
            let histories: Vec<_> = states.iter().map(|state| state.and_then(State::history)).collect();
            self.clocks = Clock::of_days(&histories, &self.ended);
        }
        let about = states.windows((states.len() + 1).saturating_sub(days.len()).max(1));
        let of_day = |(place, (day, about)): (usize, (&Window, &[Option<&State>]))| {
            let key = Key { window: *day, ..key.clone() };
            let found = findings(&key, about, self.clocks.get(place..).unwrap_or_default(), settings);
            (key, found)
        };
        days.iter().zip(about).enumerate().map(of_day).collect()
    }
}

/// What is found of a key in its day, from its states of the days about it; the clocks begin with that of the day before.
fn findings<'s>(key: &Key, days: &[Option<&'s State>], clocks: &[Clock], settings: &Settings) -> Vec<Finding> {
    match days {
        [before, Some(State::Hours(today)), after] => {
            let hours = |day: &Option<&'s State>| day.and_then(State::hours);
            Days([hours(before), Some(today), hours(after)]).findings(key, settings)
        }
        [before, Some(State::Probes(today)), after] => {
            let probes = |day: &Option<&'s State>| day.and_then(State::tried);
            scan::findings(key, [probes(before), Some(today), probes(after)], settings)
        }
        [_, _, _] => Vec::new(),
        days => {
            let histories: Vec<_> = days.iter().map(|day| day.and_then(State::history)).collect();
            history::findings(key, &histories, clocks, settings)
        }
    }
}

/// The finding that withdraws an alert: its key, and the end of its window.
pub fn withdrawn(alert: &Key, end: Option<i64>) -> Option<Finding> {
    if let Some(counter) = counter(&alert.detector) {
        return Some(Finding::of_tally(counter, alert, end, &Tally::new(counter.verdict())));
    }
    scan::withdrawn(alert, end).or_else(|| history::withdrawn(alert, end))
}

/// The key of the alert that a finding makes.
pub fn alert_key(finding: &Finding) -> Key {
    Key {
        window: Window(finding.window_start),
        detector: finding.detector.clone().into_owned(),
        rule: finding.rule.clone(),
        reason: finding.subject.clone(),
        client_zone: finding.client_zone.clone(),
        server_zone: finding.server_zone.clone(),
        client_addr: finding.client_addr.clone(),
        server_addr: finding.server_addr.clone(),
        server_port: finding.server_port,
        protocol: finding.protocol,
    }
}
