//! What is gathered for a key, whatever its detector.

use serde::{Deserialize, Serialize};

use super::history::History;
use super::hours::Hours;
use super::scan::{self, Probes};
use super::settings::Settings;
use super::tally::Key;

/// What is gathered for a key. States of one key merge in any order to the same state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum State {
    /// Of detectors that count records of a verdict.
    Hours(Hours),
    /// Of those that look for scans.
    Probes(Probes),
    /// Of those that compare with the days before.
    History(History),
}

impl State {
    /// In the order of their keys, each of which then stands once.
    pub fn by_key(states: Vec<(Key, Self)>) -> Vec<(Key, Self)> {
        // both are large: they are moved once, to their place
        let mut order: Vec<u32> = (0..states.len() as u32).collect();
        let key = |place: &u32| states.get(*place as usize).map(|(key, _)| key);
        order.sort_by(|one, other| key(one).cmp(&key(other)));
        let mut states: Vec<Option<(Key, Self)>> = states.into_iter().map(Some).collect();
        let mut ordered = order.into_iter().filter_map(|place| states.get_mut(place as usize)?.take()).peekable();
        let mut once: Vec<(Key, Self)> = Vec::new();
        while let Some((key, state)) = ordered.next() {
            let more = std::iter::from_fn(|| ordered.next_if(|(next, _)| *next == key).map(|(_, state)| state));
            if let Some(state) = Self::merged(std::iter::once(state).chain(more)) {
                once.push((key, state));
            }
        }
        once
    }

    /// What was counted, if it is that.
    pub(super) fn hours(&self) -> Option<&Hours> {
        if let Self::Hours(hours) = self { Some(hours) } else { None }
    }

    /// What sources tried, if it is that.
    pub(super) fn tried(&self) -> Option<&Probes> {
        if let Self::Probes(probes) = self { Some(probes) } else { None }
    }

    /// What a group did, if it is that.
    pub(super) fn history(&self) -> Option<&History> {
        if let Self::History(history) = self { Some(history) } else { None }
    }

    /// The same, to be changed.
    pub(super) fn probes(&mut self) -> Option<&mut Probes> {
        match self {
            Self::Probes(probes) => Some(probes),
            _ => None,
        }
    }

    /// As [`merged`](Self::merged) of each of some days that follow each other, for who asks for their findings alone:
    /// what cannot make one may be left out.
    pub fn judged_by(mut days: Vec<Vec<Self>>, settings: &Settings) -> Vec<Option<Self>> {
        scan::leave_out(&mut days, settings);
        days.into_iter().map(Self::merged).collect()
    }

    /// All that was gathered for a key, anywhere; `None`: nothing.
    pub fn merged(parts: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut parts = parts.into_iter();
        let mut whole = parts.next()?;
        let mut several = false;
        for part in parts {
            several = true;
            match (&mut whole, part) {
                (Self::Hours(have), Self::Hours(more)) => have.merge(more),
                (Self::Probes(have), Self::Probes(more)) => have.merge(more),
                (Self::History(have), Self::History(more)) => have.merge(more),
                // a key names its detector, and so the kind of its state
                _ => {}
            }
        }
        match &mut whole {
            Self::Probes(probes) if several => probes.settle(),
            Self::History(history) if several => history.settle(),
            _ => {}
        }
        Some(whole)
    }
}
