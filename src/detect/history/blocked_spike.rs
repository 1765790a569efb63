//! `blocked-spike`: far more is refused between two than usual.
//!
//! Key: client (from the internet its zone alone), server. Window: an hour; hours that follow each other are one alert
//! (`runs`). Counts: verdicts `blocked` and `attempt`. Measure: their records in an hour, by the interface that saw
//! most. Points: the same of every hour of the seven days before in which the lake has any record, nothing being zero.
//!
//! An hour is found that is above mean and three standard deviations, with 24 points at least (after Splunk's *spike in
//! blocked outbound traffic*: three deviations, more than five points; a day of them is our own), has 100 records, and is half
//! as much again as the largest (both our own: noise comes in bursts).
//!
//! Severity: low from the internet, medium from inside.

use super::runs::{hours_with, runs};
use super::{Group, Hour, Kind};
use crate::boundary::{Severity, Verdict};
use crate::detect::detector::{client, server};
use crate::detect::finding::{Finding, Query};
use crate::detect::settings::{BlockedSpike, Tuned};
use crate::detect::tally::Key;

pub(super) const KIND: Kind = Kind { name: "blocked-spike" };

/// What an hour is compared with.
struct Baseline {
    mean: f64,
    deviation: f64,
    largest: u64,
}

impl Baseline {
    /// Of so many points, of which these are not zero.
    fn of(past: &[u64], points: u64) -> Self {
        let count = points as f64;
        let mean = past.iter().sum::<u64>() as f64 / count;
        let squares: f64 = past.iter().map(|point| (*point as f64 - mean).powi(2)).sum();
        let zeros = points.saturating_sub(past.len() as u64) as f64 * mean.powi(2);
        let deviation = ((squares + zeros) / count).sqrt();
        Self { mean, deviation, largest: past.iter().copied().max().unwrap_or(0) }
    }
}

pub(super) fn findings<'g>(days: [Group<'g>; 3], settings: &Tuned<BlockedSpike>) -> Vec<Finding> {
    let [_, group, _] = days;
    let BlockedSpike { enabled, flows, deviations, peak_percent, hours } =
        settings.of(group.key.server_zone.as_deref());
    let refused = |hour: &Hour| hour.most(|sum| sum.flows);
    let is_found = |baseline: &Baseline, many: u64| {
        many as f64 > baseline.mean + *deviations as f64 * baseline.deviation
            && u128::from(many) * 100 >= u128::from(baseline.largest) * u128::from(*peak_percent)
    };
    let mut found = Vec::new();
    let today = group.today().filter(|_| *enabled);
    for member in today.iter().flat_map(|today| &today.members) {
        let refused_in = |day: Group<'g>| hours_with(day.member(&member.who), *flows, refused);
        let baseline = |day: Group<'_>| {
            let points = day.known(&member.who)?.clock.past_hours();
            (points >= *hours).then(|| Baseline::of(&day.points(&member.who, refused), points))
        };
        let Some((baseline, runs)) = runs(days, refused_in, baseline, is_found) else { continue };
        let Baseline { mean, deviation, largest } = baseline;
        for run in runs {
            let (start, end) = run.span(group.day);
            let key = Key { server_addr: member.who.address(), ..group.key.clone() };
            let mut query = Query::new(&[Verdict::Attempt, Verdict::Blocked]);
            query.text("client_zone", key.client_zone.as_deref());
            query.text("client_addr", key.client_addr.as_deref());
            query.text("server_zone", key.server_zone.as_deref());
            query.text("server_addr", key.server_addr.as_deref());
            query.within(Some(start), Some(end));
            let many = run.sum();
            let from = if key.client_addr.is_some() { client(&key) } else { "the internet".to_owned() };
            let to = server(&key);
            let title = format!(
                "{many} packets or connections from {from} to {to} were refused {}: in the seven days before it was {mean:.1} an hour and {largest} at most",
                run.during()
            );
            let reason = format!(
                "{} in an hour; {flows}, more than {deviations} deviations of {deviation:.1} above the mean, and {peak_percent} % of the largest are a spike",
                run.most()
            );
            let severity = if key.client_addr.is_some() { Severity::Medium } else { Severity::Low };
            let empty = group.empty(&KIND, (start, end), query.finish(), key);
            found.push(run.finding(Finding { severity, title, reason: Some(reason), ..empty }));
        }
    }
    found
}
