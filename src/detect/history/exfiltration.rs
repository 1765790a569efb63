//! `exfiltration`: a host sent far more to the internet than it ever does.
//!
//! Key: the source (address and zone). Window: an hour; hours that follow each other are one alert (`runs`).
//! Counts: accepted records from a zone inside to the internet, requests and replies alike. Measure: their bytes in an hour,
//! by the interface that saw most, so that a NAT gateway's copy adds nothing. Points: the same of every hour of the seven
//! days before in which the source sent anything.
//!
//! An hour is found with 500 MB (the floor of Tailpipe's detection of a single record) where the robust z-score is 10 (Panther's
//! query; median and median absolute deviation instead of mean and deviation, so that one old spike does not hide a new
//! one) and it is half as much again as the largest hour of the seven days (our own: a nightly backup is no spike of its own
//! quiet hours). The deviation counts as a tenth of the median at least: who always sends the same is not surprising at
//! once. With fewer than five points there is nothing to compare with, and the floor alone makes an alert, a low one.
//!
//! Severity: high where the source is in a protected zone, else medium; low without points.

use super::runs::{hours_with, runs};
use super::{Group, Hour, Kind, volume};
use crate::boundary::Severity;
use crate::detect::detector::client;
use crate::detect::finding::{DESTINATION_ZONE, Finding, Query, SOURCE, SOURCE_ZONE};
use crate::detect::settings::{Exfiltration, Tuned};
use crate::detect::tally::Key;

pub(super) const KIND: Kind = Kind { name: "exfiltration" };

/// What speaks of a median absolute deviation as of a standard deviation, for a normal distribution.
const NORMAL: f64 = 1.4826;

/// What an hour is compared with.
struct Baseline {
    median: f64,
    /// What one deviation is.
    scale: f64,
    largest: u64,
}

impl Baseline {
    fn of(mut points: Vec<u64>) -> Option<Self> {
        points.sort_unstable();
        let largest = *points.last()?;
        let points: Vec<f64> = points.into_iter().map(|point| point as f64).collect();
        let median = median(&points)?;
        let mut deviations: Vec<f64> = points.iter().map(|point| (point - median).abs()).collect();
        deviations.sort_unstable_by(f64::total_cmp);
        let scale = (NORMAL * self::median(&deviations)?).max(median / 10.0).max(1.0);
        Some(Self { median, scale, largest })
    }
}

/// Of sorted numbers.
fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { *upper } else { (sorted.get(middle - 1)? + upper) / 2.0 })
}

pub(super) fn findings<'g>(days: [Group<'g>; 3], settings: &Tuned<Exfiltration>) -> Vec<Finding> {
    let [_, group, _] = days;
    let Exfiltration { enabled, megabytes, deviations, peak_percent, points } =
        settings.of(group.key.client_zone.as_deref());
    let sent = |hour: &Hour| hour.most(|sum| sum.bytes);
    let is_found = |baseline: &Option<Baseline>, bytes: u64| {
        baseline.as_ref().is_none_or(|baseline| {
            (bytes as f64 - baseline.median) / baseline.scale >= *deviations as f64
                && u128::from(bytes) * 100 >= u128::from(baseline.largest) * u128::from(*peak_percent)
        })
    };
    let mut found = Vec::new();
    let today = group.today().filter(|_| *enabled);
    for member in today.iter().flat_map(|today| &today.members) {
        let hours = |day: Group<'g>| hours_with(day.member(&member.who), megabytes.saturating_mul(1_000_000), sent);
        let baseline = |day: Group<'_>| {
            let past = day.known(&member.who)?.points(&member.who, sent);
            Some(if past.len() as u64 >= *points { Baseline::of(past) } else { None })
        };
        let Some((baseline, runs)) = runs(days, hours, baseline, is_found) else { continue };
        for run in runs {
            let (start, end) = run.span(group.day);
            let key = Key { client_addr: member.who.address(), ..group.key.clone() };
            let mut query = Query::everything();
            query.text("action", Some("ACCEPT"));
            query.text(SOURCE, key.client_addr.as_deref());
            query.text(SOURCE_ZONE, key.client_zone.as_deref());
            query.text(DESTINATION_ZONE, key.server_zone.as_deref());
            query.within(Some(start), Some(end));
            let bytes = run.sum();
            let usual = match &baseline {
                Some(baseline) => format!(
                    "an hour of the seven days before had {} at the median and {} at most",
                    volume(baseline.median as u64),
                    volume(baseline.largest)
                ),
                None => "there are too few hours in the seven days before to compare with".to_owned(),
            };
            let source = client(&key);
            let title = format!("{source} sent {} to the internet {}: {usual}", volume(bytes), run.during());
            let reason = format!(
                "{} in an hour; {megabytes} MB are one to look at, with {deviations} deviations more than usual and {peak_percent} % of the largest",
                volume(run.most())
            );
            let severity = match baseline {
                None => Severity::Low,
                Some(_) if today.is_some_and(|today| today.protected) => Severity::High,
                Some(_) => Severity::Medium,
            };
            let empty = group.empty(&KIND, (start, end), query.finish(), key);
            found.push(run.finding(Finding { severity, title, reason: Some(reason), bytes: Some(bytes), ..empty }));
        }
    }
    found
}
