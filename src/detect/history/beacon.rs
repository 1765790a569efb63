//! `beacon`: a host inside calls one in the internet at regular times, with as little each time. A candidate and no more:
//! what asks for updates, metrics or its configuration does the same. So it is off unless it is switched on, and only then
//! is anything kept for it.
//!
//! Key: client (address and zone), server, port, protocol. Window: a UTC day. Counts: accepted requests of TCP or UDP to
//! the internet from any zone inside, whose direction is known for sure. A *call* is a port of the client, and begins with
//! the earliest `start` of its records in that day: so a long connection is one call, whatever the aggregation interval is,
//! and so is whatever keeps one port, as NTP does. Calls that begin in the same second are one.
//!
//! Found are `conversations` calls (24) or more over `hours` (4) or more from the first to the last, with `kilobytes`
//! (20) each at most at the mean, whose score is at least `score` (90 of 100). More than 1440 ports in a day are no
//! beacon: the ports would come around again.
//!
//! The score is that of RITA: the mean of four, each from 0 to 100.
//! - Of the seconds from call to call: 100 less Bowley's skewness, |Q₁ + Q₃ − 2 Q₂| / (Q₃ − Q₁) in percent (none where Q₂
//!   is Q₁ or Q₃, or Q₃ − Q₁ less than a tenth of Q₂: of seconds in an hour it says nothing); and 100 less the median
//!   absolute deviation, in percent of the median, at least 0.
//! - The same of the bytes of a record, at the mean of each hour: of the interface that saw most.
//!
//! Of n values in order, from 0, Q₁, Q₂ (the median) and Q₃ are those with the places n/4, n/2 and 3n/4, rounded down, and
//! all divisions are of whole numbers. Sources: RITA's `analysis/beacons.go` for the four and their weights; it counts
//! from four calls on, calls 90 high, and leaves the skewness out below ten seconds. The other numbers are our own.
//!
//! Severity: low.

use std::collections::BTreeSet;

use super::{Group, Kind, Member, REQUEST, Sum, of_hours};
use crate::boundary::Severity;
use crate::detect::detector::{client, server};
use crate::detect::finding::{Finding, Query};
use crate::detect::settings::{Beacon, Tuned};
use crate::detect::tally::Key;
use crate::detect::window::DAY;

pub(super) const KIND: Kind = Kind { name: "beacon" };

/// Ports of a client that are kept, and one more that tells that there are too many.
pub(super) const CALLS: usize = 1440 + 1;

pub(super) fn findings(group: Group<'_>, settings: &Tuned<Beacon>) -> Vec<Finding> {
    let Beacon { enabled, conversations, hours, kilobytes, score } = settings.of(group.key.client_zone.as_deref());
    let mut found = Vec::new();
    for member in group.today().filter(|_| *enabled).iter().flat_map(|today| &today.members) {
        let Some(rhythm) = Rhythm::of(member) else { continue };
        if rhythm.calls < *conversations
            || rhythm.span < hours.saturating_mul(3600)
            || rhythm.bytes > u128::from(*kilobytes) * 1000 * u128::from(rhythm.calls)
            || rhythm.score < *score
        {
            continue;
        }
        let (start, end) = (group.day, group.day + DAY);
        let key = Key { server_addr: member.who.address(), ..group.key.clone() };
        let mut query = Query::everything();
        REQUEST.iter().for_each(|condition| query.and(condition));
        query.text("client_addr", key.client_addr.as_deref());
        query.text("client_zone", key.client_zone.as_deref());
        query.text("server_addr", key.server_addr.as_deref());
        query.text("server_zone", key.server_zone.as_deref());
        query.number("server_port", key.server_port.map(u32::from));
        query.number("protocol", key.protocol.map(u32::from));
        query.within(Some(start), Some(end));
        let bytes = rhythm.bytes / u128::from(rhythm.calls.max(1));
        let title = format!(
            "{} called {} {} times, every {} or so, with {bytes} bytes each time",
            client(&key),
            server(&key),
            rhythm.calls,
            period(rhythm.seconds),
        );
        let reason = format!(
            "rhythm {} of 100 in {} calls over {} hours; {score} in {conversations} over {hours} hours are looked at",
            rhythm.score,
            rhythm.calls,
            rhythm.span / 3600,
        );
        let empty = group.empty(&KIND, (start, end), query.finish(), key);
        let empty = Finding { severity: Severity::Low, title, reason: Some(reason), ..empty };
        found.push(of_hours(&member.hours, empty));
    }
    found
}

/// How regular the calls of a member are.
struct Rhythm {
    calls: u64,
    /// From call to call, at the median.
    seconds: u64,
    /// From the first to the last, in seconds.
    span: u64,
    bytes: u128,
    /// Of 100.
    score: u64,
}

impl Rhythm {
    /// `None`: too many calls, or fewer than two.
    fn of(member: &Member) -> Option<Self> {
        if member.calls.len() >= CALLS {
            return None;
        }
        let begins: BTreeSet<u64> = member.calls.iter().map(|call| u64::from(call.second)).collect();
        let pauses: Vec<u64> = begins.iter().zip(begins.iter().skip(1)).map(|(one, next)| next - one).collect();
        let most = |of: fn(&Sum) -> u64| member.hours.iter().map(move |hour| hour.most(of));
        let (flows, bytes) = (most(|sum| sum.flows), most(|sum| sum.bytes));
        let sizes = bytes.clone().zip(flows).map(|(bytes, flows)| bytes / flows.max(1)).collect();
        let ([calm, close, seconds], [even, near, _]) = (regularity(pauses)?, regularity(sizes)?);
        Some(Self {
            calls: begins.len() as u64,
            seconds,
            span: begins.last()? - begins.first()?,
            bytes: bytes.map(u128::from).sum(),
            score: (calm + close + even + near) / 4,
        })
    }
}

/// How little the values are skewed, and how little they deviate, of 100 each; and their median.
fn regularity(mut values: Vec<u64>) -> Option<[u64; 3]> {
    values.sort_unstable();
    let at = |values: &[u64], quarter: usize| values.get(values.len() * quarter / 4).copied();
    let (low, median, high) = (at(&values, 1)?, at(&values, 2)?, at(&values, 3)?);
    let of_hundred = |part: u64, whole: u64| (u128::from(part) * 100 / u128::from(whole)).min(100) as u64;
    let skew = if median == low || median == high || (high - low).saturating_mul(10) < median {
        0
    } else {
        of_hundred((high - median).abs_diff(median - low), high - low)
    };
    let mut distances: Vec<u64> = values.iter().map(|value| value.abs_diff(median)).collect();
    distances.sort_unstable();
    let deviation = if median == 0 { 100 } else { of_hundred(at(&distances, 2)?, median) };
    Some([100 - skew, 100 - deviation, median])
}

/// `90 s`, `15 min`.
fn period(seconds: u64) -> String {
    if seconds < 120 { format!("{seconds} s") } else { format!("{} min", (seconds + 30) / 60) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_regular_has_all_points_and_chance_has_few() {
        assert_eq!(regularity(vec![900; 95]), Some([100, 100, 900]));
        assert_eq!(regularity(vec![]), None);
        assert_eq!(regularity(vec![0, 0, 0]), Some([100, 0, 0]));
        // what is small beside the median is not skewed, however it is
        assert_eq!(regularity([vec![3599; 10], vec![3600; 10], vec![3690; 9]].concat()), Some([100, 100, 3600]));
        assert_eq!(regularity([vec![3590; 9], vec![3600; 10], vec![3959; 9]].concat()).unwrap()[0], 100 - 94);
        assert_eq!(regularity([vec![3590; 9], vec![3600; 10], vec![3949; 9]].concat()).unwrap()[0], 100);
        // an even jitter is not skewed
        assert_eq!(regularity((80..=120).collect()), Some([100, 90, 100]));
        // pauses of a Poisson process: -ln(1 - u) at even steps
        let chance = (1..100).map(|step| (-(1.0 - f64::from(step) / 100.0).ln() * 1000.0) as u64).collect();
        let [skew, deviation, _] = regularity(chance).unwrap();
        assert!(skew < 80 && deviation < 40, "{skew} {deviation}");
    }

    #[test]
    fn periods_are_written_for_people() {
        assert_eq!([90, 119, 120, 900].map(period), ["90 s", "119 s", "2 min", "15 min"]);
    }
}
