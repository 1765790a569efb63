//! What the detectors that count gathered for one key in a day, hour by hour, and the alerts that it makes.
//!
//! An alert lasts as long as what it tells of. Hours with as many records as the threshold asks for are one alert where
//! no more than one hour lies between them, and it tells of all that is between the first of them and the last: so it
//! has one `alert_id`, that of its first hour, and what comes later is a revision. It may go over midnight, as far as
//! [`last_of`] lets it, and belongs to the UTC day in which it begins: what goes on for days is told once a day.

use serde::{Deserialize, Serialize};

use super::counter;
use super::finding::Finding;
use super::settings::Settings;
use super::tally::{Key, Outcome, Tally};
use super::window::{HOUR, Window, last_of};

/// Hours of a day.
const DAY: i64 = 24;

/// What was gathered for one key in a day: hours of the day with any, in order. Those of one key merge in any order
/// (I7, I8).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hours(Vec<(u8, Tally)>);

impl Hours {
    /// Of one hour.
    pub fn of(hour: u8, tally: Tally) -> Self {
        Self(vec![(hour, tally)])
    }

    /// The tally of each hour with any.
    pub fn each(&self) -> impl Iterator<Item = (u8, &Tally)> + Clone {
        self.0.iter().map(|(hour, tally)| (*hour, tally))
    }

    /// Adds what was gathered elsewhere for the same key.
    pub fn merge(&mut self, other: Self) {
        for (hour, tally) in other.0 {
            match self.0.binary_search_by_key(&hour, |(hour, _)| *hour) {
                Ok(place) => {
                    if let Some((_, have)) = self.0.get_mut(place) {
                        have.merge(tally);
                    }
                }
                Err(place) => self.0.insert(place, (hour, tally)),
            }
        }
    }
}

/// What was gathered for one key the day before, the day that is judged, and the day after.
#[derive(Clone, Copy)]
pub(super) struct Days<'h>(pub [Option<&'h Hours>; 3]);

impl<'h> Days<'h> {
    /// The tally of each hour with any; the first of the day that is judged is 0.
    fn each(self) -> impl Iterator<Item = (i64, &'h Tally)> + Clone {
        let days = [-DAY, 0, DAY].into_iter().zip(self.0);
        days.flat_map(|(begin, day)| {
            day.into_iter().flat_map(Hours::each).map(move |(hour, t)| (begin + i64::from(hour), t))
        })
    }

    /// What is found of this key, of what begins in its day.
    pub(super) fn findings(self, key: &Key, settings: &Settings) -> Vec<Finding> {
        let Some(counter) = counter(&key.detector) else { return Vec::new() };
        let Some(least) = settings.least_flows(counter.name(), key) else { return Vec::new() };
        let finding = |(first, last): (i64, i64)| {
            let moment = |hour: i64| key.window.0.map(|day| day.saturating_add(hour * HOUR));
            let alert = Key { window: Window(moment(first)), ..key.clone() };
            let within = self.each().filter(|(hour, _)| (first..=last).contains(hour));
            // one hour in which it was refused does not tell of the others
            let mut counted = within.clone().filter(|(_, tally)| tally.flows > 0);
            let refused = counted.all(|(hour, _)| self.is_refused_about(hour));
            let whole = within.map(|(_, tally)| tally.clone()).reduce(|mut whole, tally| {
                whole.merge(tally);
                whole
            });
            let whole = whole.map(|mut whole| {
                whole.outcomes.remove(&Outcome::Refused);
                whole.outcomes.extend(refused.then_some(Outcome::Refused));
                whole
            });
            whole.map(|whole| Finding::of_tally(counter, &alert, moment(last + 1), &whole))
        };
        let of_the_day = self.runs(least).into_iter().filter(|(first, _)| (0..DAY).contains(first));
        of_the_day.filter_map(finding).collect()
    }

    /// Whether something says that it was refused in this hour, or in one beside it: the intervals of two interfaces do not
    /// begin together, so the copies of a packet may be told in two hours.
    fn is_refused_about(self, hour: i64) -> bool {
        let mut about = self.each().filter(|(at, _)| at.abs_diff(hour) <= 1);
        about.any(|(_, tally)| tally.outcomes.contains(&Outcome::Refused))
    }

    /// The first and the last hour of each alert.
    fn runs(self, least: u64) -> Vec<(i64, i64)> {
        let mut runs: Vec<(i64, i64)> = Vec::new();
        // what others tell of nothing is nothing
        for (hour, _) in self.each().filter(|(_, tally)| tally.flows >= least.max(1)) {
            match runs.last_mut() {
                Some((first, last)) if hour - *last <= 2 && hour <= last_of(*first, DAY) => *last = hour,
                _ => runs.push((hour, hour)),
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boundary::{Severity, Verdict};

    fn hours(flows: &[(u8, u64)]) -> Hours {
        let of = |(hour, flows): &(u8, u64)| {
            let mut tally = Tally::new(Verdict::Breach);
            tally.flows = *flows;
            (*hour, tally)
        };
        Hours(flows.iter().map(of).collect())
    }

    fn found(hours: &Hours, key: &Key) -> Vec<Finding> {
        Days([None, Some(hours), None]).findings(key, &Settings::default())
    }

    fn runs(flows: &[(u8, u64)], least: u64) -> Vec<(i64, i64)> {
        Days([None, Some(&hours(flows)), None]).runs(least)
    }

    #[test]
    fn one_quiet_hour_does_not_end_an_alert_and_two_do() {
        assert_eq!(runs(&[(3, 1), (4, 1)], 1), [(3, 4)]);
        assert_eq!(runs(&[(3, 1), (5, 1), (7, 9)], 1), [(3, 7)]);
        assert_eq!(runs(&[(3, 1), (6, 1)], 1), [(3, 3), (6, 6)]);
        assert_eq!(runs(&[(0, 1), (23, 1)], 1), [(0, 0), (23, 23)]);
    }

    #[test]
    fn an_hour_below_the_threshold_is_a_quiet_one() {
        assert_eq!(runs(&[(3, 5), (4, 4), (5, 5)], 5), [(3, 5)]);
        assert_eq!(runs(&[(3, 5), (4, 4), (5, 4), (6, 5)], 5), [(3, 3), (6, 6)]);
        assert_eq!(runs(&[(3, 4)], 5), []);
        assert_eq!(runs(&[(3, 0)], 0), []);
    }

    #[test]
    fn an_alert_tells_of_all_that_lies_within() {
        let key = Key::bare(Window(Some(HOUR * 24)), "log-gap");
        let found = found(&hours(&[(3, 5), (4, 4), (5, 6), (9, 1)]), &key);
        let told = found.iter().map(|found| (found.window_start, found.window_end, found.flows));
        let at = |hour: i64| Some((24 + hour) * HOUR);
        assert_eq!(told.collect::<Vec<_>>(), [(at(3), at(6), 15), (at(9), at(10), 1)]);
    }

    #[test]
    fn an_attempt_was_refused_if_it_was_in_every_hour_of_it() {
        let (key, usual) = (Key::bare(Window(Some(0)), "attempt"), Severity::Medium);
        let severity = |each: &[(u8, u64, &[Outcome])]| {
            let of = |(hour, flows, outcomes): &(u8, u64, &[Outcome])| {
                let mut tally = Tally::new(Verdict::Attempt);
                (tally.flows, tally.outcomes) = (*flows, outcomes.iter().copied().collect());
                tally.raise(if *flows > 0 { usual } else { Severity::Info }, None);
                (*hour, tally)
            };
            let found = found(&Hours(each.iter().map(of).collect()), &key);
            (found.len(), found[0].severity)
        };
        let refused: &[Outcome] = &[Outcome::Refused];
        assert_eq!(severity(&[(3, 1, refused), (4, 2, refused)]), (1, Severity::Low));
        assert_eq!(severity(&[(3, 1, refused), (4, 2, &[]), (5, 1, &[])]), (1, usual));
        assert_eq!(severity(&[(3, 1, &[]), (4, 2, &[]), (5, 1, refused)]), (1, usual));
        // the interval of the server's interface ends in the hour before, or after
        assert_eq!(severity(&[(3, 0, refused), (4, 2, &[])]), (1, Severity::Low));
        assert_eq!(severity(&[(4, 2, &[]), (5, 0, refused)]), (1, Severity::Low));
        assert_eq!(severity(&[(4, 2, &[]), (6, 0, refused)]), (1, usual));
        // an hour without an attempt, of which nothing is to be known
        assert_eq!(severity(&[(3, 1, refused), (4, 0, &[]), (5, 2, refused)]), (1, Severity::Low));
        let let_in: &[Outcome] = &[Outcome::LetIn];
        assert_eq!(severity(&[(3, 1, refused), (4, 0, let_in), (5, 2, refused)]), (1, usual));
        assert_eq!(severity(&[(3, 1, refused), (9, 2, &[])]), (2, Severity::Low));
    }

    /// Records without a time have a key of their own.
    #[test]
    fn what_has_no_time_has_no_window() {
        let key = Key::bare(Window(None), "log-gap");
        let found = found(&hours(&[(0, 5)]), &key);
        assert_eq!((found[0].window_start, found[0].window_end, found.len()), (None, None, 1));
    }
}
