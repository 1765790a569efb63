//! Windows on event time. State is of UTC days; what is counted in a day is counted by its hours.

/// Length of a window, in milliseconds.
pub const HOUR: i64 = 3_600_000;
/// A UTC day, in milliseconds.
pub const DAY: i64 = 24 * HOUR;

/// One stretch of event time, or no time at all for records that have none. Its length is the detector's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Window(
    /// First millisecond, since 1970, UTC.
    pub Option<i64>,
);

impl Window {
    /// The day of an event at this time (milliseconds since 1970).
    pub fn day(time: Option<i64>) -> Self {
        Self(time.map(|time| time - time.rem_euclid(DAY)))
    }
}

/// The hour of the day of an event at this time (milliseconds since 1970); the first of what has no time.
pub fn hour_of_day(time: Option<i64>) -> u8 {
    // fewer than 24
    time.map_or(0, |time| (time.rem_euclid(DAY) / HOUR) as u8)
}

/// The last moment that an alert may last to which begins at this one. Moments are hours, panes or minutes, so many a day,
/// and the first of some day is 0.
///
/// What begins before noon ends with its day, what begins later with the next: so an alert may go over midnight, none ends
/// within twelve hours for want of a day, and what goes on for days is told once a day. Which alerts begin in a day is
/// known from that day, the one before it and the one after it: what goes on over a midnight is there before noon.
pub fn last_of(first: i64, a_day: i64) -> i64 {
    let days = if first.rem_euclid(a_day) < a_day / 2 { 1 } else { 2 };
    (first.div_euclid(a_day) + days) * a_day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_at_noon_may_last_to_the_end_of_the_next_day() {
        let last = |first| last_of(first, 24);
        assert_eq!([last(0), last(11), last(12), last(23), last(24)], [23, 23, 47, 47, 47]);
        assert_eq!([last(-24), last(-13), last(-12), last(-1)], [-1, -1, 23, 23]);
    }

    #[test]
    fn the_last_millisecond_belongs_to_its_hour() {
        let place = |time| (Window::day(time), hour_of_day(time));
        assert_eq!(place(Some(HOUR - 1)), (Window(Some(0)), 0));
        assert_eq!(place(Some(HOUR)), (Window(Some(0)), 1));
        assert_eq!(place(Some(DAY - 1)), (Window(Some(0)), 23));
        assert_eq!(place(Some(DAY)), (Window(Some(DAY)), 0));
        assert_eq!(place(None), (Window(None), 0));
    }
}
