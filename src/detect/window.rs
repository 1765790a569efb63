//! Windows on event time: tumbling ones of an hour, and where a detector's state is of a day, those of the day.

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
    /// The hour of an event at this time (milliseconds since 1970).
    pub fn of(time: Option<i64>) -> Self {
        Self(time.map(|time| time - time.rem_euclid(HOUR)))
    }

    /// First millisecond after the hour.
    pub fn end(self) -> Option<i64> {
        self.0.map(|start| start + HOUR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_millisecond_belongs_to_its_hour() {
        assert_eq!(Window::of(Some(HOUR - 1)), Window(Some(0)));
        assert_eq!(Window::of(Some(HOUR)), Window(Some(HOUR)));
        assert_eq!(Window::of(None).end(), None);
    }
}
