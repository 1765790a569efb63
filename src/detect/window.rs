//! Tumbling windows of an hour on event time.

/// Length of a window, in milliseconds.
pub const HOUR: i64 = 3_600_000;

/// One hour of event time, or no time at all for records that have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Window(
    /// First millisecond of the hour, since 1970, UTC.
    pub Option<i64>,
);

impl Window {
    /// The window of an event at this time (milliseconds since 1970).
    pub fn of(time: Option<i64>) -> Self {
        Self(time.map(|time| time - time.rem_euclid(HOUR)))
    }

    /// First millisecond after the window.
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
