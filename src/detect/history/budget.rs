//! `budget`: more goes through an exit of a confined zone in an hour than the map allows it, or more of what an
//! `[[expect]]` limits.
//!
//! Key: the invariant, and the exit as the map has it; or the expectation. Window: an hour; hours that follow each
//! other are one alert, within a UTC day. Counts: accepted records of these zones and services, of an exit from
//! client to server, of an expectation both ways; or what its rule allows. Measure: their bytes in an hour of the
//! clock, of each client those of the interface that saw most, since its own sees all; of a client outside of the VPC
//! no interface does, so there it is of each server. An hour is found with more than `max_bytes_per_hour`; a switch
//! is all that is to be set.
//!
//! Severity: high at an exit, since a confined zone is one that data must not leave; else medium.

use std::collections::BTreeMap;

use super::state::Cap;
use super::{Group, Hour, Kind, Run, Terms, during, of_hours, volume};
use crate::boundary::Severity;
use crate::detect::finding::{Finding, Query};
use crate::detect::settings::{Budget, Tuned};

pub(super) const KIND: Kind = Kind { name: "budget" };

pub(super) fn findings(group: Group<'_>, settings: &Tuned<Budget>) -> Vec<Finding> {
    // of more clients than are kept neither the bytes nor the rows are all known
    let Some(today) = group.today().filter(|today| settings.everywhere.enabled && !today.cut) else {
        return Vec::new();
    };
    let Some(Terms { budget: Some(Cap { bytes: budget, both_ways }), what, condition, .. }) = today.terms.as_deref()
    else {
        return Vec::new();
    };
    // of each hour, all clients together
    let mut hours: BTreeMap<u8, (&Hour, u64)> = BTreeMap::new();
    for hour in today.members.iter().flat_map(|member| &member.hours) {
        let (_, sum) = hours.entry(hour.hour).or_insert((hour, 0));
        *sum = sum.saturating_add(hour.most(|sum| sum.bytes));
    }
    let found = hours.into_values().filter(|(_, bytes)| bytes > budget);
    let finding = |run: Run<'_, u64>| {
        let (start, end) = run.span(group.day());
        let mut query = Query::everything();
        query.and(condition);
        if !both_ways {
            query.and("client_addr = coalesce(pkt_srcaddr, srcaddr) AND orientation <> 'reply'");
        }
        query.within(Some(start), Some(end));
        let bytes = run.hours.iter().fold(0u64, |sum, (_, bytes)| sum.saturating_add(*bytes)).min(i64::MAX as u64);
        let most = run.hours.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
        let within: Vec<&Hour> = today
            .members
            .iter()
            .flat_map(|member| &member.hours)
            .filter(|hour| run.hours.iter().any(|(found, _)| found.hour == hour.hour))
            .collect();
        let empty = group.empty(&KIND, (start, end), query.finish(), group.key.clone());
        let (severity, what) = match both_ways {
            true => (Severity::Medium, format!("of {what},")),
            false => (Severity::High, format!("went from {what}")),
        };
        let finding = Finding {
            severity,
            title: format!(
                "{} {what} {}: the map allows {} an hour",
                volume(bytes),
                during(run.hours.len()),
                volume(*budget)
            ),
            reason: Some(format!("{most} bytes in an hour; more than {budget} are too many")),
            bytes: Some(bytes),
            ..empty
        };
        of_hours(within, finding)
    };
    Run::of(found).into_iter().map(finding).collect()
}
