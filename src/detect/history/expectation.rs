//! `expectation`: what the map's `[[expect]]` says must be seen is not seen, or more of it than may be.
//!
//! Key: the expectation. Window: periods that follow each other, each as long as its `every`, counted from 1970 on, so that
//! they begin at whole hours and days where they divide them. Counts: the records that it is about, requests and replies,
//! of a rule those with verdict `expected`, of a path all but `stray` ones.
//!
//! - **Too few** (`min_flows`): fewer records end in the period than it asks for; of one that asks for a single one, no
//!   record spans any minute of it (a record may be of ten minutes). It is said 15 minutes (`lateness`) after the period
//!   at the earliest, by event time, and of a stream when all its shards are past that: flow logs arrive late. Nothing is
//!   said of a period for which the lake has no record at all (that is `late`), of one before the lake's first record, and
//!   of one in which AWS says that it skipped records. What is before the seven days before is not known: a lake with
//!   records in their first hour is taken for older.
//! - **Too many** (`max_flows`): more records end in the period. It is said at once; of a period over midnight, by the day
//!   in which it ends.
//!
//! A period belongs to the day in which it can be said. Periods that follow each other are one alert, of the day of the
//! first; where they are of half a day at most, over midnight too, as far as `last_of` lets it. All other thresholds stand
//! in the map.
//!
//! Severity: medium; low for too few of what the map does not permit (lint L07): such a map contradicts itself, and
//! only breaches could meet it.

use super::past::{PAST, minutes, minutes_of_days};
use super::{Group, Kind, Member, Terms, Who};
use crate::boundary::Severity;
use crate::detect::detector::count;
use crate::detect::finding::{Finding, Query};
use crate::detect::settings::{Expectation, Tuned};
use crate::detect::window::last_of;

pub(super) const KIND: Kind = Kind { name: "expectation" };

const DAY: i64 = 1440;
/// Longer periods are not in every half of a day.
const HALF: u32 = 720;

/// A day and those before, in minutes from its beginning.
struct Seen {
    /// Minutes with any record of the lake.
    any: Vec<i64>,
    /// Minutes that a record spans which is expected.
    spanned: Vec<i64>,
    /// Minutes of what AWS skipped.
    skipped: Vec<i64>,
    /// Rows that end in a minute, in order.
    each: Vec<(i64, u64)>,
}

impl Seen {
    fn of(group: Group<'_>) -> Self {
        let member = |who| group.days.map(|day| day.and_then(|day| day.member(who)));
        let spans = |members: [Option<&Member>; PAST + 1]| minutes_of_days(&members.map(minutes));
        let each = (0..).zip(member(&Who::Unknown)).flat_map(|(back, member)| {
            let each = member.into_iter().flat_map(|member| &member.each);
            each.map(move |each| (i64::from(each.minute) - back * DAY, each.flows))
        });
        let mut each: Vec<(i64, u64)> = each.collect();
        each.sort_unstable();
        Self {
            any: group.clock.all_minutes(),
            spanned: spans(member(&Who::Unknown)),
            skipped: spans(member(&Who::Gap)),
            each,
        }
    }

    /// Rows that end in these minutes.
    fn flows(&self, (start, end): (i64, i64)) -> u64 {
        let first = self.each.partition_point(|(minute, _)| *minute < start);
        let within = self.each.iter().skip(first).take_while(|(minute, _)| *minute < end);
        within.map(|(_, flows)| flows).sum()
    }

    /// The minute from which on the lake has records, if it has any.
    fn first(&self) -> Option<i64> {
        let first = self.any.first().copied()?;
        let oldest = -(PAST as i64) * DAY;
        Some(if first < oldest + 60 { oldest } else { first })
    }
}

/// Whether there is one of these sorted minutes in the period.
fn any_in(minutes: &[i64], (start, end): (i64, i64)) -> bool {
    let first = minutes.partition_point(|minute| *minute < start);
    minutes.get(first).is_some_and(|minute| *minute < end)
}

/// Periods of a day that are found, in minutes from its beginning, and their records.
#[derive(Default)]
struct Found<'g> {
    terms: Option<&'g Terms>,
    few: Vec<Period>,
    many: Vec<Period>,
}

/// A period that is found.
#[derive(Clone, Copy)]
struct Period {
    start: i64,
    end: i64,
    /// When it can be said.
    said: i64,
    flows: u64,
}

/// What begins in the second of these days; each is judged with the one after it.
pub(super) fn findings(days: [Group<'_>; 4], settings: &Tuned<Expectation>) -> Vec<Finding> {
    let [before, today, after, last] = days;
    let Expectation { enabled, lateness } = settings.everywhere;
    let of_today = Found::of(today, after, lateness as i64);
    let Some(terms) = of_today.terms.filter(|_| enabled) else { return Vec::new() };
    // where periods are longer than half a day, or the map was changed, each day is told by itself
    let beside =
        |day, next| if terms.minutes > HALF { Found::default() } else { Found::of(day, next, lateness as i64) };
    let days = [(-DAY, beside(before, today)), (0, of_today), (DAY, beside(after, last))];
    let days = days.map(|(begin, day)| (begin, if day.terms == Some(terms) { day } else { Found::default() }));
    let all = |of: for<'f> fn(&'f Found<'_>) -> &'f [Period]| {
        let moved = |begin: i64, period: &Period| Period {
            start: begin + period.start,
            end: begin + period.end,
            said: begin + period.said,
            ..*period
        };
        let each = days.iter().flat_map(|(begin, day)| of(day).iter().map(move |period| moved(*begin, period)));
        stretches(each).into_iter().filter(|stretch| (0..DAY).contains(&stretch.said))
    };
    let few = all(|found| &found.few).map(|stretch| finding(today, terms, stretch, false));
    few.chain(all(|found| &found.many).map(|stretch| finding(today, terms, stretch, true))).collect()
}

impl<'g> Found<'g> {
    /// Of a day; records are waited for so many minutes. The next day's say that time has come to the end of it.
    fn of(group: Group<'g>, next: Group<'_>, lateness: i64) -> Self {
        // a map that was changed days ago does not ask any more
        let days = [group.today(), group.past().next().flatten()];
        let terms = days.into_iter().flatten().find_map(|day| day.terms.as_deref());
        let now = group.clock.now().and(next.clock.reached());
        let (Some(terms), Some(now)) = (terms, now) else { return Self::default() };
        let (seen, now) = (Seen::of(group), now.min(DAY - 1));
        // where the map did not expect it yet, nobody counted
        let asked = (0..).zip(group.days).take_while(|(back, day)| day.is_some() || !group.clock.has_records(*back));
        let asked = asked.last().map_or(0, |(back, _)| back);
        let Some(first) = seen.first().map(|first| first.max(-(asked as i64) * DAY)) else { return Self::default() };
        let length = i64::from(terms.minutes).max(1);
        // the first period that ends late enough to be of this day; minutes since 1970
        let origin = group.day / super::presence::MINUTE;
        let begin = (origin - lateness - 1).div_euclid(length) * length - origin;
        let periods = (0..).map(|number| (begin + number * length, begin + (number + 1) * length));
        let mut found = Self { terms: Some(terms), few: Vec::new(), many: Vec::new() };
        for (start, end) in periods.take_while(|(start, _)| *start < DAY) {
            let period = (start, end);
            let flows = seen.flows(period);
            if let Some(least) = terms.least
                && (0..=now).contains(&(end + lateness))
                && (first..).contains(&start)
                && (if least > 1 { flows < least } else { !any_in(&seen.spanned, period) })
                && any_in(&seen.any, period)
                && !any_in(&seen.skipped, period)
            {
                found.few.push(Period { start, end, said: end + lateness, flows });
            }
            // of a period over midnight the day in which it ends says it
            if terms.most.is_some_and(|most| flows > most) && (1..=DAY).contains(&end) {
                found.many.push(Period { start, end, said: end - 1, flows });
            }
        }
        found
    }
}

/// Periods that follow each other, and what they add up to; each is said when its first one is.
fn stretches(found: impl Iterator<Item = Period>) -> Vec<Period> {
    let mut stretches: Vec<Period> = Vec::new();
    for period in found {
        let lasts = |stretch: &&mut Period| period.said <= last_of(stretch.said, DAY);
        match stretches.last_mut().filter(|stretch| stretch.end == period.start).filter(lasts) {
            Some(stretch) => {
                stretch.end = period.end;
                stretch.flows += period.flows;
            }
            None => stretches.push(period),
        }
    }
    stretches
}

fn finding(group: Group<'_>, terms: &Terms, stretch: Period, many: bool) -> Finding {
    let (start, end) = (group.moment(stretch.start + DAY), group.moment(stretch.end + DAY));
    let mut query = Query::everything();
    query.and(&terms.condition);
    query.within(Some(start), Some(end));
    let id = group.key.rule.as_deref().unwrap_or_default();
    let (what, minutes, flows) = (&terms.what, stretch.end - stretch.start, stretch.flows);
    let every = match terms.minutes {
        minutes if minutes % 60 == 0 => count(u64::from(minutes / 60), "hour"),
        minutes => count(u64::from(minutes), "minute"),
    };
    let rows = count(flows, "record");
    let (title, reason) = if many {
        let most = terms.most.unwrap_or(0);
        (
            format!("{id}: {rows} of {what} in {minutes} minutes, where there may be {most} in {every}"),
            format!("more than {most} in {every}"),
        )
    } else {
        let least = terms.least.unwrap_or(0);
        let rows = if flows == 0 { "nothing".to_owned() } else { format!("only {rows}") };
        let contradicts = if terms.permitted { "" } else { "; the map does not permit it, so check the map first" };
        (
            format!("{id}: {rows} of {what} in {minutes} minutes, where {least} must be in {every}"),
            format!("fewer than {least} in {every}{contradicts}"),
        )
    };
    Finding {
        severity: if many || terms.permitted { Severity::Medium } else { Severity::Low },
        title,
        reason: Some(reason),
        flows,
        first_seen: Some(start),
        last_seen: Some(end),
        ..group.empty(&KIND, (start, end), query.finish(), group.key.clone())
    }
}
