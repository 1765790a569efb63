//! `blocked-spike`: far more is refused between two than usual.
//!
//! Key: client (from the internet its zone alone), server. Window: an hour; hours that follow each other are one alert,
//! within a UTC day. Counts: verdicts `blocked` and `attempt`. Measure: their records in an hour, by the interface that saw
//! most. Points: the same of every hour of the seven days before in which the lake has any record, nothing being zero.
//!
//! An hour is found that is above mean and three standard deviations, with 24 points at least (after Splunk's *spike in
//! blocked outbound traffic*: three deviations, more than five points; a day of them is our own), has 100 records, and is half
//! as much again as the largest (both our own: noise comes in bursts).
//!
//! Severity: low from the internet, medium from inside.

use super::{Group, Hour, Kind, Run, during};
use crate::boundary::{Severity, Verdict};
use crate::detect::detector::{client, server};
use crate::detect::finding::{Finding, Query};
use crate::detect::settings::{BlockedSpike, Tuned};
use crate::detect::tally::Key;

pub(super) const KIND: Kind = Kind { name: "blocked-spike" };

pub(super) fn findings(group: Group<'_>, settings: &Tuned<BlockedSpike>) -> Vec<Finding> {
    let BlockedSpike { enabled, flows, deviations, peak_percent, hours } =
        settings.of(group.key.server_zone.as_deref());
    let refused = |hour: &Hour| hour.most(|sum| sum.flows);
    let points = group.clock.past_hours();
    let mut found = Vec::new();
    let today = group.today().filter(|_| *enabled && points >= *hours);
    for member in today.iter().flat_map(|today| &today.members) {
        if !member.hours.iter().any(|hour| refused(hour) >= *flows) || !group.knows(&member.who) {
            continue;
        }
        let past = group.points(&member.who, refused);
        let count = points as f64;
        let mean = past.iter().sum::<u64>() as f64 / count;
        let squares: f64 = past.iter().map(|point| (*point as f64 - mean).powi(2)).sum();
        let zeros = points.saturating_sub(past.len() as u64) as f64 * mean.powi(2);
        let deviation = ((squares + zeros) / count).sqrt();
        let largest = past.iter().copied().max().unwrap_or(0);
        let is_found = |many: u64| {
            many >= *flows
                && many as f64 > mean + *deviations as f64 * deviation
                && u128::from(many) * 100 >= u128::from(largest) * u128::from(*peak_percent)
        };
        let hours = member.hours.iter().map(|hour| (hour, refused(hour))).filter(|(_, many)| is_found(*many));
        for run in Run::of(hours) {
            let (start, end) = run.span(group.day());
            let key = Key { server_addr: member.who.address(), ..group.key.clone() };
            let mut query = Query::new(&[Verdict::Attempt, Verdict::Blocked]);
            query.text("client_zone", key.client_zone.as_deref());
            query.text("client_addr", key.client_addr.as_deref());
            query.text("server_zone", key.server_zone.as_deref());
            query.text("server_addr", key.server_addr.as_deref());
            query.within(Some(start), Some(end));
            let many: u64 = run.hours.iter().map(|(_, many)| many).sum();
            let from = if key.client_addr.is_some() { client(&key) } else { "the internet".to_owned() };
            let to = server(&key);
            let title = format!(
                "{many} packets or connections from {from} to {to} were refused {}: in the seven days before it was {mean:.1} an hour and {largest} at most",
                during(run.hours.len())
            );
            let reason = format!(
                "{} in an hour; {flows}, more than {deviations} deviations of {deviation:.1} above the mean, and {peak_percent} % of the largest are a spike",
                run.hours.iter().map(|(_, many)| *many).max().unwrap_or(0)
            );
            let severity = if key.client_addr.is_some() { Severity::Medium } else { Severity::Low };
            let empty = group.empty(&KIND, (start, end), query.finish(), key);
            found.push(run.finding(Finding { severity, title, reason: Some(reason), ..empty }));
        }
    }
    found
}
