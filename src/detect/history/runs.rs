//! Hours that are found one after the other, and over midnight.
//!
//! An hour is found by its day: by what that day's past says. An alert that goes on at midnight may last to the next noon,
//! and there an hour is found by the day in which the alert begins, too: the past of the next day has the beginning in
//! it, beside which what goes on is nothing new. What one day's alert takes of the next, no alert of that has. So a day's
//! alerts are known from the day itself, the one before it and the one after it.

use std::collections::BTreeMap;

use super::state::{First, Hour};
use super::{Group, Member};
use crate::detect::finding::Finding;
use crate::detect::window::HOUR;

/// Hours of a day, and those before noon.
const HOURS: u8 = 24;
const NOON: u8 = 12;

/// The rows of an hour, and what is measured of them.
pub(super) type Measured<'g> = (Vec<&'g Hour>, u64);

/// Those hours of a member in which there is so much or more.
pub(super) fn hours_with<'g>(
    member: Option<&'g Member>,
    least: u64,
    measure: impl Fn(&Hour) -> u64,
) -> BTreeMap<u8, Measured<'g>> {
    let hours = member.into_iter().flat_map(|member| &member.hours).map(|hour| (hour, measure(hour)));
    let enough = hours.filter(|(_, measure)| *measure >= least.max(1));
    enough.map(|(hour, measure)| (hour.hour, (vec![hour], measure))).collect()
}

/// Hours that are found, one after the other.
#[derive(Debug)]
pub(super) struct Run<'g> {
    /// The first hour, from the beginning of the day in which it is.
    first: u8,
    hours: Vec<Measured<'g>>,
}

impl Run<'_> {
    /// Start and end, in milliseconds since 1970, of one that begins in the day that begins at this time.
    pub(super) fn span(&self, day: i64) -> (i64, i64) {
        let start = day + i64::from(self.first) * HOUR;
        (start, start + self.hours.len() as i64 * HOUR)
    }

    /// Measured in all hours together.
    pub(super) fn sum(&self) -> u64 {
        self.hours.iter().fold(0, |sum, (_, measure)| sum.saturating_add(*measure))
    }

    /// Measured in the hour with most.
    pub(super) fn most(&self) -> u64 {
        self.hours.iter().map(|(_, measure)| *measure).max().unwrap_or(0)
    }

    /// `in an hour`, `in 3 hours`.
    pub(super) fn during(&self) -> String {
        if self.hours.len() == 1 { "in an hour".to_owned() } else { format!("in {} hours", self.hours.len()) }
    }

    /// What is alike in the findings: rows, times, evidence.
    pub(super) fn finding(&self, empty: Finding) -> Finding {
        of_hours(self.hours.iter().flat_map(|(hours, _)| hours.iter().copied()), empty)
    }
}

/// Adds up the rows of these hours.
pub(super) fn of_hours<'h>(hours: impl IntoIterator<Item = &'h Hour>, mut finding: Finding) -> Finding {
    let mut evidence = Vec::new();
    for hour in hours {
        finding.flows = finding.flows.saturating_add(hour.flows);
        finding.first_seen = [finding.first_seen, hour.first_seen].into_iter().flatten().min();
        finding.last_seen = [finding.last_seen, hour.last_seen].into_iter().flatten().max();
        evidence.push(&hour.first);
    }
    evidence.sort();
    finding.evidence = evidence.into_iter().take(10).map(First::evidence).collect();
    finding
}

/// The runs that begin in the day that is judged, which stands between the two beside it, with what its past says. The
/// first function gives the hours of a day that may be found; the second what its past says, if it says anything; the
/// last whether so much is found by that.
pub(super) fn runs<'g, B>(
    [before, today, after]: [Group<'g>; 3],
    hours: impl Fn(Group<'g>) -> BTreeMap<u8, Measured<'g>>,
    baseline: impl Fn(Group<'g>) -> Option<B>,
    is_found: impl Fn(&B, u64) -> bool,
) -> Option<(B, Vec<Run<'g>>)> {
    let mut of_today = hours(today);
    // nearly always
    if of_today.is_empty() {
        return None;
    }
    let by_today = baseline(today)?;
    let has = |hours: &BTreeMap<u8, Measured<'g>>, hour: u8, by: Option<&B>| {
        hours.get(&hour).zip(by).is_some_and(|((_, measure), by)| is_found(by, *measure))
    };
    // hours of a day in which something goes on that was found by the day before
    let going_on = |hours: &BTreeMap<u8, Measured<'g>>, by: [Option<&B>; 2]| {
        (0..NOON).take_while(|hour| by.into_iter().any(|by| has(hours, *hour, by))).count() as u8
    };
    if of_today.contains_key(&0)
        && let by_before @ Some(_) = baseline(before).as_ref()
        && has(&hours(before), HOURS - 1, by_before)
    {
        let taken = going_on(&of_today, [by_before, Some(&by_today)]);
        of_today.retain(|hour, _| *hour >= taken);
    }
    of_today.retain(|_, (_, measure)| is_found(&by_today, *measure));
    if of_today.contains_key(&(HOURS - 1)) {
        let of_after = hours(after);
        let more = going_on(&of_after, [Some(&by_today), baseline(after).as_ref()]);
        of_today.extend(of_after.into_iter().take_while(|(hour, _)| *hour < more).map(|(hour, of)| (HOURS + hour, of)));
    }
    let mut runs: Vec<Run<'g>> = Vec::new();
    for (hour, measured) in of_today {
        match runs.last_mut().filter(|run| usize::from(run.first) + run.hours.len() == usize::from(hour)) {
            Some(run) => run.hours.push(measured),
            None => runs.push(Run { first: hour, hours: vec![measured] }),
        }
    }
    Some((by_today, runs))
}
