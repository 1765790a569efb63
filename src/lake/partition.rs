//! Where a row lies: `date=2026-11-21/hour=02`, by the UTC start of its record.

use std::fmt;

const HOUR: i64 = 3_600_000;
/// Hive's word for "no value"; DuckDB reads it as NULL.
const NONE: &str = "__HIVE_DEFAULT_PARTITION__";

/// A Hive partition of the table `flows`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hour(
    /// Hours since 1970, or `None` for rows without a start.
    Option<i64>,
);

impl Hour {
    /// The partition of a row that starts then (milliseconds since 1970).
    pub fn of(start: Option<i64>) -> Self {
        Self(start.map(|start| start.div_euclid(HOUR)))
    }

    /// The partition of this folder, `date=…/hour=…`; `None` where it is not one with a time.
    pub(super) fn of_folder(folder: &str) -> Option<Self> {
        let (day, hour) = folder.split_once("/hour=")?;
        let hour: i64 = hour.parse().ok().filter(|hour| (0..24).contains(hour))?;
        Some(Self(Some(Day::of_folder(day)?.0? * 24 + hour)))
    }

    /// The first moment after it (milliseconds since 1970).
    pub(super) fn end(self) -> Option<i64> {
        Some((self.0? + 1) * HOUR)
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(hours) => {
                let day = Day::of(Some(hours * HOUR));
                write!(f, "{day}/hour={:02}", hours.rem_euclid(24))
            }
            // both levels, or DuckDB refuses to read the lake as one table
            None => write!(f, "date={NONE}/hour={NONE}"),
        }
    }
}

/// A Hive partition of the table `alerts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(
    /// Days since 1970, or `None` for alerts without a window.
    Option<i64>,
);

impl Day {
    /// The partition of this moment (milliseconds since 1970).
    pub fn of(moment: Option<i64>) -> Self {
        Self(moment.map(|moment| moment.div_euclid(24 * HOUR)))
    }

    /// The partition of this folder, `date=…`; `None` where it is not one with a time.
    pub fn of_folder(folder: &str) -> Option<Self> {
        let date: jiff::civil::Date = folder.strip_prefix("date=")?.parse().ok()?;
        let days = jiff::civil::date(1970, 1, 1).until(date).ok()?.get_days();
        Some(Self(Some(i64::from(days))))
    }

    /// Its first moment (milliseconds since 1970); `None` for the one without.
    pub fn start(self) -> Option<i64> {
        Some(self.0? * 24 * HOUR)
    }

    /// The first moment after it (milliseconds since 1970).
    pub(super) fn end(self) -> Option<i64> {
        Some(self.start()? + 24 * HOUR)
    }

    /// So many days after it.
    pub fn after(self, days: usize) -> Self {
        Self(self.0.map(|day| day + days as i64))
    }

    /// So many days before it.
    pub fn before(self, days: usize) -> Self {
        Self(self.0.map(|day| day - days as i64))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = |days: i64| jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().try_days(days).ok()?).ok();
        match self.0.and_then(day) {
            Some(day) => write!(f, "date={day}"),
            None => write!(f, "date={NONE}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_lie_by_their_utc_start() {
        assert_eq!(Hour::of(Some(1_609_459_200_000)).to_string(), "date=2021-01-01/hour=00");
        assert_eq!(Hour::of(Some(1_609_459_199_999)).to_string(), "date=2020-12-31/hour=23");
        assert_eq!(Hour::of(Some(0)).to_string(), "date=1970-01-01/hour=00");
        assert_eq!(Hour::of(None).to_string(), "date=__HIVE_DEFAULT_PARTITION__/hour=__HIVE_DEFAULT_PARTITION__");
        assert_eq!(Hour::of(Some(253_402_300_799_999)).to_string(), "date=9999-12-31/hour=23");
    }

    #[test]
    fn a_folder_tells_its_partition() {
        for moment in [0, 1_609_459_200_000, 1_609_459_199_999, 253_402_300_799_999] {
            let (hour, day) = (Hour::of(Some(moment)), Day::of(Some(moment)));
            assert_eq!(Hour::of_folder(&hour.to_string()), Some(hour));
            assert_eq!(Day::of_folder(&day.to_string()), Some(day));
        }
        assert_eq!(Hour::of_folder("date=2021-01-01/hour=00").and_then(Hour::end), Some(1_609_462_800_000));
        assert_eq!(Day::of_folder("date=2020-12-31").and_then(Day::end), Some(1_609_459_200_000));
        for folder in ["", "date=2021-01-01", "date=2021-01-01/hour=24", "date=x/hour=1", "date=2021-02-30/hour=00"] {
            assert_eq!(Hour::of_folder(folder), None, "{folder}");
        }
        assert_eq!(Hour::of_folder(&Hour::of(None).to_string()), None);
    }
}
