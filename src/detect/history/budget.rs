//! `budget`: more goes through an exit of a confined zone in an hour than the map allows it, or more of what an
//! `[[expect]]` limits.
//!
//! Key: the invariant, and the exit as the map has it; or the expectation. Window: an hour; hours that follow each
//! other are one alert, over midnight to noon at the longest, if the map wants the same on both days. Counts: accepted records of these zones and services, of an exit from
//! client to server, of an expectation both ways; or what its rule allows. Measure: their bytes in an hour of the
//! clock, of each client those of the interface that saw most, since its own sees all; of a client outside of the VPC
//! no interface does, so there it is of each server. An hour is found with more than `max_bytes_per_hour`; a switch
//! is all that is to be set.
//!
//! Severity: high at an exit, since a confined zone is one that data must not leave; else medium.

use std::collections::BTreeMap;

use super::runs::{Measured, Run, runs};
use super::state::Cap;
use super::{Group, Kind, Terms, volume};
use crate::boundary::Severity;
use crate::detect::finding::{Finding, Query};
use crate::detect::settings::{Budget, Tuned};

pub(super) const KIND: Kind = Kind { name: "budget" };

pub(super) fn findings<'g>(days: [Group<'g>; 3], settings: &Tuned<Budget>) -> Vec<Finding> {
    let [_, group, _] = days;
    let terms = group.today().filter(|_| settings.everywhere.enabled).and_then(|today| today.terms.as_deref());
    let Some(Terms { budget: Some(Cap { bytes: budget, both_ways }), what, condition, .. }) = terms else {
        return Vec::new();
    };
    let hours = |day: Group<'g>| hours(day, terms);
    let Some((_, runs)) = runs(days, hours, |_| Some(()), |(), bytes| bytes > *budget) else { return Vec::new() };
    let finding = |run: Run<'_>| {
        let (start, end) = run.span(group.day);
        let mut query = Query::everything();
        query.and(condition);
        if !both_ways {
            query.and("client_addr = coalesce(pkt_srcaddr, srcaddr) AND orientation <> 'reply'");
        }
        query.within(Some(start), Some(end));
        let (bytes, most) = (run.sum().min(i64::MAX as u64), run.most());
        let empty = group.empty(&KIND, (start, end), query.finish(), group.key.clone());
        let (severity, what) = match both_ways {
            true => (Severity::Medium, format!("of {what},")),
            false => (Severity::High, format!("went from {what}")),
        };
        let finding = Finding {
            severity,
            title: format!("{} {what} {}: the map allows {} an hour", volume(bytes), run.during(), volume(*budget)),
            reason: Some(format!("{most} bytes in an hour; more than {budget} are too many")),
            bytes: Some(bytes),
            ..empty
        };
        run.finding(finding)
    };
    runs.into_iter().map(finding).collect()
}

/// What all clients together sent in each hour of a day for which the map wants this.
fn hours<'g>(day: Group<'g>, terms: Option<&Terms>) -> BTreeMap<u8, Measured<'g>> {
    // of more clients than are kept neither the bytes nor the rows are all known
    let day = day.today().filter(|day| !day.cut && day.terms.as_deref() == terms);
    let mut hours: BTreeMap<u8, Measured<'_>> = BTreeMap::new();
    for hour in day.iter().flat_map(|day| &day.members).flat_map(|member| &member.hours) {
        let (rows, sum) = hours.entry(hour.hour).or_default();
        rows.push(hour);
        *sum = sum.saturating_add(hour.most(|sum| sum.bytes));
    }
    hours
}
