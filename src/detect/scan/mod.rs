//! `scan.vertical`, `scan.horizontal` and `scan.slow`: a source that tries what the map does not allow, again and again
//! elsewhere.
//!
//! **What counts.** A *probe* is a record of a packet from source to destination, of TCP or UDP with both ports, whose
//! verdict is `blocked`, `attempt` or `breach`, and that is not surely a reply (a weak guess from the ports does not
//! make a reply of it: a scanner may choose a low port of its own). A *target* is a destination's address, port and
//! protocol. Traffic that the map allows is never a probe, whatever became of it: service discovery, health checks and
//! an outage are no scan. Sets of targets are counted, so the copies of two interfaces count once.
//!
//! **Key.** The source, in a UTC day. Event time (`end`, else `start`) falls into panes of ten minutes, the longest
//! time over which AWS aggregates a record, and a window is any six panes in a row. Where windows at a threshold follow
//! each other with no more than an hour of quiet between them, they are one alert, from the first pane with a probe to
//! the last one; so an alert lasts as long as the scan, and its id is that of its first pane. Windows and alerts go over
//! midnight, as far as `last_of` lets an alert: it belongs to the day in which it begins, and what is behind its last
//! moment counts for the next one.
//!
//! | detector | one alert for each | threshold in an hour | from |
//! |---|---|---|---|
//! | `scan.vertical` | source and destination | 15 distinct ports | Zeek's `policy/misc/scan.zeek` (15 failed ports) |
//! | `scan.horizontal` | source and port | 25 distinct destinations; 10 in protected zones, from inside | Zeek (25 hosts failed); the 10 is our own |
//!
//! Where a source has more than ten alerts of one of these that begin in a day, they become one, of the source alone; so
//! does whatever a source did in a day in which it tried more than 4096 targets (and in the next, where it goes on and
//! began after noon), and then the numbers of ports and servers are estimates (see `detect::sketch`).
//!
//! `scan.slow` is threshold random walk (Jung, Paxson, Berger and Balakrishnan 2004) over the source's distinct targets
//! of the day, with the usual θ₀ = 0.8, θ₁ = 0.2, α = 0.01 and β = 0.99: a probe multiplies the odds by four, an
//! allowed contact (a target that the map allows, of a request that says ACCEPT) divides them by four, and 99 is reached
//! by four probes more than contacts. Eight probes at least must have been seen (our own number: SiLK's users found the
//! bare four too eager). The walk is taken at its end and not along the way, so that order does not matter. Contacts
//! are counted for sources inside alone, and up to sixteen. A source with one of the two fast alerts in that day, or one
//! that lasts into it, has no slow one. The *night* from noon to noon, with the contacts of both of its days, is asked
//! too. If it is found it stands in the place of its days where all that the source tried on both is in it, so that what
//! goes over midnight is one alert; and it stands where neither of them is found by itself, so that nothing is missed for
//! being cut there. A day that is told with a crowd of the day before begins no night.
//!
//! **Severity.** From the internet low, from inside medium; high where something was let through.

mod evaluate;
mod gather;
mod probes;

pub(super) use evaluate::{KINDS, findings, state_key, withdrawn};
#[cfg(test)]
pub(super) use gather::contact_hash;
pub(super) use gather::{CompactRow, Gatherer};
#[cfg(test)]
pub(super) use probes::bucket;
use probes::{CONTACTS, PANE};
pub use probes::{Crowd, Logged, Number, Probe, Probes, Row, Rows, Source, Target, Targets, Verdicts};

use rustc_hash::FxHashMap;

use super::settings::{Horizontal, Settings, Slow, Vertical};
use super::sketch::hash;
use super::state::State;
use super::window::{DAY, Window};

/// The family that shares [`Probes`], as it stands in the key of their states.
const FAMILY: &str = "scan";

/// The day of an event time, and its pane in it.
pub(super) fn pane(time: i64) -> (Window, u8) {
    let within = time.rem_euclid(DAY);
    // fewer than 144
    (Window(Some(time - within)), (within / PANE) as u8)
}

/// Takes the sources out of these parts of states, day by day, that tried too little for any threshold in all parts of a
/// day and of those about it: nearly all, of whom merging would make nothing.
pub(super) fn leave_out(days: &mut [Vec<State>], settings: &Settings) {
    let mut days: Vec<Vec<&mut Probes>> =
        days.iter_mut().map(|parts| parts.iter_mut().filter_map(State::probes).collect()).collect();
    if days.iter().all(Vec::is_empty) {
        return;
    }
    let zones = settings.vertical.zones.keys().chain(settings.horizontal.zones.keys());
    let zones = zones.chain(settings.slow.zones.keys()).map(|zone| Some(zone.as_str())).chain([None]);
    let least = zones.map(|zone| Thresholds::of(settings, zone).least()).min().unwrap_or_default();
    // by hash: two sources together are seldom taken for one, and then both stay
    let counts = |probes: &Vec<&mut Probes>| {
        let mut counts: FxHashMap<u64, usize> = FxHashMap::default();
        for source in probes.iter().flat_map(|probes| &probes.sources) {
            let count = counts.entry(hash(&source.address)).or_default();
            *count = match &source.targets {
                Targets::Each(targets) => count.saturating_add(targets.len()),
                Targets::Crowd(_) => usize::MAX,
            };
        }
        counts
    };
    let counts: Vec<_> = days.iter().map(counts).collect();
    for (day, probes) in days.iter_mut().enumerate() {
        // a day is judged with those beside it, and so are they
        let about = counts.get(day.saturating_sub(2)..counts.len().min(day + 3)).unwrap_or_default();
        let enough = |source: &Source| {
            let address = hash(&source.address);
            let each = about.iter().filter_map(|counts| counts.get(&address));
            each.fold(0_usize, |sum, count| sum.saturating_add(*count)) >= least
        };
        probes.iter_mut().for_each(|probes| probes.sources.retain(enough));
    }
}

/// What makes a scan of what one source did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Thresholds<'s> {
    pub vertical: &'s Vertical,
    pub horizontal: &'s Horizontal,
    pub slow: &'s Slow,
}

impl<'s> Thresholds<'s> {
    /// Those for sources in this zone.
    pub(super) fn of(settings: &'s Settings, zone: Option<&str>) -> Self {
        Self {
            vertical: settings.vertical.of(zone),
            horizontal: settings.horizontal.of(zone),
            slow: settings.slow.of(zone),
        }
    }

    /// A source with fewer probes reaches none of them.
    fn least(&self) -> usize {
        let Horizontal { servers, protected_servers, .. } = self.horizontal;
        let least = self.vertical.ports.min(*servers).min(*protected_servers).min(self.slow.targets);
        usize::try_from(least).unwrap_or(usize::MAX)
    }
}
