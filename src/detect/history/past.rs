//! The days before the one that is judged.

use std::collections::{BTreeMap, BTreeSet};

use super::presence::MINUTE;
use super::state::{History, Hour, Member, Who};
use super::{Group, Kind};
use crate::detect::finding::Finding;
use crate::detect::tally::Key;
use crate::detect::window::{DAY, Window};

/// Days that a day is compared with.
pub(in crate::detect) const PAST: usize = 7;
/// Days before the one that is judged which are asked: the past of the day before it, in which its alerts may have begun.
pub(in crate::detect) const BEFORE: usize = PAST + 1;
/// Days after it which are asked: the one that its alerts may last into, and what tells of the end of that.
pub(in crate::detect) const AFTER: usize = 2;

/// When the lake has records, in a day and in those before.
#[derive(Debug, Clone, Default)]
pub(in crate::detect) struct Clock {
    /// By how many days before; minutes of each hour, as bits.
    days: [[u64; 24]; PAST + 1],
    /// The last minute that all sources have reached, from the beginning of the day before.
    now: Option<i64>,
}

impl Clock {
    /// Of each of some days that follow each other but for the first ones, which are its past: from the histories of
    /// the clock. A shard that ended does not come any further, and nobody waits for it.
    pub(in crate::detect) fn of_days(days: &[Option<&History>], ended: &BTreeSet<String>) -> Vec<Self> {
        days.windows(PAST + 1).map(|days| Self::new(days, ended)).collect()
    }

    /// Of a day, the last of these.
    fn new(days: &[Option<&History>], ended: &BTreeSet<String>) -> Self {
        let mut clock = Self::default();
        let mut sources: BTreeMap<&str, i64> = BTreeMap::new();
        for (back, (sum, day)) in (0..).zip(clock.days.iter_mut().zip(days.iter().rev())) {
            for member in day.iter().flat_map(|day| &day.members) {
                let bits = minutes(Some(member));
                sum.iter_mut().zip(bits).for_each(|(sum, bits)| *sum |= bits);
                let last = two_days(&[0; 24], &bits).last().map(|minute| minute - 1440 * back);
                if let (Who::Source(source), Some(last @ 0..)) = (&member.who, last)
                    && !ended.contains(source)
                {
                    let have = sources.entry(source).or_insert(last);
                    *have = last.max(*have);
                }
            }
        }
        // where all ended, the last record counts
        let last = || clock.minutes().last().copied();
        clock.now = sources.into_values().min().or_else(last);
        clock
    }

    /// The last minute that all sources have reached, from the beginning of the day before: what has no record
    /// until then has none. `None`: not all of them have reached the day itself.
    pub(super) fn now(&self) -> Option<i64> {
        self.now.filter(|now| *now >= 1440)
    }

    /// The same, and if they have not reached the day.
    pub(super) fn reached(&self) -> Option<i64> {
        self.now
    }

    /// Whether there are records so many days before.
    pub(super) fn has_records(&self, back: usize) -> bool {
        self.days.get(back).is_some_and(|day| day.iter().any(|bits| *bits != 0))
    }

    /// Hours of the past that have records.
    pub(super) fn past_hours(&self) -> u64 {
        self.days.iter().skip(1).flatten().filter(|bits| **bits != 0).count() as u64
    }

    /// Days of the past that have records.
    pub(super) fn past_days(&self) -> u64 {
        self.days.iter().skip(1).filter(|day| day.iter().any(|bits| *bits != 0)).count() as u64
    }

    /// Minutes with records of all days, from the beginning of the one that is judged.
    pub(super) fn all_minutes(&self) -> Vec<i64> {
        minutes_of_days(&self.days)
    }

    /// Minutes with records, of the day before and the day itself, from the beginning of the day before.
    pub(super) fn minutes(&self) -> Vec<i64> {
        let [today, before, ..] = &self.days;
        two_days(before, today)
    }
}

/// The minutes of each hour that a member was seen in.
pub(super) fn minutes(member: Option<&Member>) -> [u64; 24] {
    let mut all = [0; 24];
    for minutes in member.into_iter().flat_map(|member| &member.minutes) {
        if let Some(bits) = all.get_mut(usize::from(minutes.hour)) {
            *bits |= minutes.bits;
        }
    }
    all
}

/// Minutes of two days in a row, from the beginning of the first.
pub(super) fn two_days(before: &[u64; 24], today: &[u64; 24]) -> Vec<i64> {
    let hours = (0..).zip(before.iter().chain(today));
    let of_hour = |(hour, bits): (i64, &u64)| {
        let bits = *bits;
        (0..60).filter(move |minute| bits >> minute & 1 == 1).map(move |minute| hour * 60 + minute)
    };
    hours.flat_map(of_hour).collect()
}

/// Minutes of the day that is judged and of those before, which are given by how many before: from its beginning, so that
/// earlier ones are negative.
pub(super) fn minutes_of_days(days: &[[u64; 24]; PAST + 1]) -> Vec<i64> {
    let of_day = |(back, bits): (usize, &[u64; 24])| {
        two_days(&[0; 24], bits).into_iter().map(move |minute| minute - (back as i64 + 1) * 1440)
    };
    days.iter().enumerate().rev().flat_map(of_day).collect()
}

impl<'g> Group<'g> {
    /// What it did in the day.
    pub(super) fn today(&self) -> Option<&'g History> {
        let [today, ..] = self.days;
        today
    }

    /// What a member did in the day.
    pub(super) fn member(&self, who: &Who) -> Option<&'g Member> {
        self.today()?.member(who)
    }

    /// The moment of a minute that is counted from the beginning of the day before.
    pub(super) fn moment(&self, minute: i64) -> i64 {
        self.day - DAY + minute * MINUTE
    }

    /// What it did in each of the days before, the last of them first.
    pub(super) fn past(&self) -> impl Iterator<Item = Option<&'g History>> {
        self.days.into_iter().skip(1)
    }

    /// Itself, if it can be said what is much of a member: all sources have reached the day, and all of its past is known.
    pub(super) fn known(self, who: &Who) -> Option<Self> {
        (self.clock.now().is_some() && self.knows(who)).then_some(self)
    }

    /// Whether all of a member's past is known: of a day with more members than are kept it may have been left out.
    pub(super) fn knows(&self, who: &Who) -> bool {
        self.past().flatten().all(|day| !day.cut || day.member(who).is_some())
    }

    /// What a measure says of every hour of the past that a member has, where it is not zero.
    pub(super) fn points(&self, who: &Who, measure: impl Fn(&Hour) -> u64) -> Vec<u64> {
        let members = self.past().flatten().filter_map(|day| day.member(who));
        members.flat_map(|member| &member.hours).map(measure).filter(|point| *point > 0).collect()
    }

    /// The finding of a detector from one time to another, with nothing in it yet: what the key of its alert is follows
    /// from the group's.
    pub(super) fn empty(&self, kind: &Kind, (start, end): (i64, i64), query: String, key: Key) -> Finding {
        // a window that began on another day may be judged on this one, and after more input on that: two alerts
        let reason = match key.reason {
            reason if start >= self.day => reason,
            reason => Some(format!("{} (judged {})", reason.unwrap_or_default(), self.day)),
        };
        let key = Key { window: Window(Some(start)), detector: kind.name.to_owned(), reason, ..key };
        Finding::empty(kind, &key, Some(end), query)
    }
}
