//! The keys under which AWS delivers flow logs to S3, as folders that are walked from the bucket down.
//!
//! ```text
//! [prefix/]AWSLogs/[o-…/]ACCOUNT/vpcflowlogs/REGION/YYYY/MM/DD/[HH/]
//! [prefix/]AWSLogs/[o-…/]aws-account-id=ACCOUNT/aws-service=vpcflowlogs/aws-region=REGION/year=/month=/day=/[hour=/]
//! ```
//!
//! A folder whose name cannot be what its place calls for is no part of the layout, and is walked like any other.

use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::delivery::{InputFilter, TimeSpan, is_account};

/// What a folder is, by which its subfolders are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// No part of the layout.
    Anywhere,
    /// `AWSLogs/`, or an organisation below it: accounts.
    Accounts,
    /// An account: services that write logs.
    Services,
    /// Flow logs: regions.
    Regions,
    /// A region: years.
    Years,
    /// A year: months.
    Months(i16),
    /// A month: days.
    Days(i16, i8),
    /// A day: files, or hours.
    Hours(Date),
    /// An hour: files.
    Files,
}

impl Level {
    /// The level of a folder, by the names on the way to it. `None`: it cannot hold what is asked for.
    pub(super) fn of_path(prefix: &str, filter: &InputFilter) -> Option<Self> {
        let names = prefix.split('/').filter(|name| !name.is_empty());
        let mut level = Self::Anywhere;
        for name in names {
            level = match level.enter(name, filter) {
                // somebody who names another service's folder means it
                None if level == Self::Services => Self::Anywhere,
                entered => entered?,
            };
        }
        Some(level)
    }

    /// The level of a subfolder. `None`: it cannot hold what is asked for.
    pub(super) fn enter(self, name: &str, filter: &InputFilter) -> Option<Self> {
        let span = filter.span;
        match self {
            Self::Anywhere if name == "AWSLogs" => Some(Self::Accounts),
            Self::Anywhere => Some(Self::Anywhere),
            Self::Accounts => match value(name, "aws-account-id=") {
                account if is_account(account) => filter.wants_account(account).then_some(Self::Services),
                organisation if organisation.starts_with("o-") => Some(Self::Accounts),
                _ => Some(Self::Anywhere),
            },
            Self::Services => (value(name, "aws-service=") == "vpcflowlogs").then_some(Self::Regions),
            Self::Regions => filter.wants_region(value(name, "aws-region=")).then_some(Self::Years),
            Self::Years => match value(name, "year=").parse().ok().and_then(|year| Some((year, year_of(year)?))) {
                Some((year, time)) => meets(span, time).then_some(Self::Months(year)),
                None => Some(Self::Anywhere),
            },
            Self::Months(year) => {
                let month = value(name, "month=").parse().ok();
                match month.and_then(|month| Some((month, month_of(year, month)?))) {
                    Some((month, time)) => meets(span, time).then_some(Self::Days(year, month)),
                    None => Some(Self::Anywhere),
                }
            }
            Self::Days(year, month) => {
                let date = value(name, "day=").parse().ok().and_then(|day| Date::new(year, month, day).ok());
                match date.and_then(|date| Some((date, day_of(date)?))) {
                    Some((date, time)) => meets(span, time).then_some(Self::Hours(date)),
                    None => Some(Self::Anywhere),
                }
            }
            Self::Hours(date) => match value(name, "hour=").parse().ok().and_then(|hour| hour_of(date, hour)) {
                Some(time) => meets(span, time).then_some(Self::Files),
                None => Some(Self::Anywhere),
            },
            Self::Files => Some(Self::Files),
        }
    }

    /// Whether all that lies below is asked for, so that it can be listed at once.
    pub(super) fn is_whole(self, filter: &InputFilter) -> bool {
        let time = match self {
            Self::Anywhere | Self::Accounts | Self::Services | Self::Regions => return false,
            Self::Files => return true,
            Self::Years => None,
            Self::Months(year) => year_of(year),
            Self::Days(year, month) => month_of(year, month),
            Self::Hours(date) => day_of(date),
        };
        match time {
            _ if filter.span == TimeSpan::default() => true,
            Some((begin, end)) => filter.span.covers_folder(begin, end),
            None => false,
        }
    }
}

/// What a folder is called, or in Hive's way what follows the `=`.
fn value<'n>(name: &'n str, key: &str) -> &'n str {
    name.strip_prefix(key).unwrap_or(name)
}

/// Begin and end, in milliseconds.
type Time = (i64, i64);

fn meets(span: TimeSpan, (begin, end): Time) -> bool {
    span.meets_folder(begin, end)
}

fn year_of(year: i16) -> Option<Time> {
    let begin = Date::new(year, 1, 1).ok()?;
    between(begin, begin.checked_add(1.year()).ok()?)
}

fn month_of(year: i16, month: i8) -> Option<Time> {
    let begin = Date::new(year, month, 1).ok()?;
    between(begin, begin.checked_add(1.month()).ok()?)
}

fn day_of(date: Date) -> Option<Time> {
    between(date, date.checked_add(1.day()).ok()?)
}

fn hour_of(date: Date, hour: i64) -> Option<Time> {
    const HOUR: i64 = 3_600_000;
    let begin = millis(date)? + (0..24).contains(&hour).then_some(hour * HOUR)?;
    Some((begin, begin + HOUR))
}

fn between(begin: Date, end: Date) -> Option<Time> {
    Some((millis(begin)?, millis(end)?))
}

fn millis(date: Date) -> Option<i64> {
    date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOTS: [&str; 4] = [
        "AWSLogs/123456789012/vpcflowlogs/eu-west-1",
        "a/b/AWSLogs/o-abc123/123456789012/vpcflowlogs/eu-west-1",
        "AWSLogs/aws-account-id=123456789012/aws-service=vpcflowlogs/aws-region=eu-west-1",
        "x/AWSLogs/o-abc123/aws-account-id=123456789012/aws-service=vpcflowlogs/aws-region=eu-west-1",
    ];

    fn filter(since: &str, until: &str) -> InputFilter {
        let at = |text: &str| text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
        InputFilter { span: TimeSpan { since: at(since), until: at(until) }, ..InputFilter::default() }
    }

    #[test]
    fn every_layout_is_known() {
        let all = InputFilter::default();
        let date = Date::new(2026, 11, 21).unwrap();
        for root in ROOTS {
            for (time, level) in [
                ("", Level::Years),
                ("/2026/11", Level::Days(2026, 11)),
                ("/2026/11/21", Level::Hours(date)),
                ("/2026/11/21/09", Level::Files),
                ("/year=2026/month=11/day=21", Level::Hours(date)),
                ("/year=2026/month=11/day=21/hour=09", Level::Files),
                ("/2026/13", Level::Anywhere),
                ("/2026/11/31", Level::Anywhere),
                ("/2026/11/21/24", Level::Anywhere),
                ("/other", Level::Anywhere),
            ] {
                assert_eq!(Level::of_path(&format!("{root}{time}/"), &all), Some(level), "{root}{time}");
            }
        }
        assert_eq!(Level::of_path("logs/mine", &all), Some(Level::Anywhere));
        assert_eq!(Level::of_path("AWSLogs/123456789012/CloudTrail/x", &all), Some(Level::Anywhere));
        assert_eq!(Level::Services.enter("CloudTrail", &all), None);
    }

    #[test]
    fn accounts_and_regions_are_chosen_by_folder() {
        let one = |account: &str, region: &str| InputFilter {
            accounts: vec![account.to_owned()],
            regions: vec![region.to_owned()],
            ..InputFilter::default()
        };
        for root in ROOTS {
            assert_eq!(Level::of_path(root, &one("123456789012", "eu-west-1")), Some(Level::Years), "{root}");
            assert_eq!(Level::of_path(root, &one("123456789013", "eu-west-1")), None, "{root}");
            assert_eq!(Level::of_path(root, &one("123456789012", "eu-west-2")), None, "{root}");
        }
    }

    #[test]
    fn time_is_chosen_by_folder() {
        let root = ROOTS[0];
        let evening = filter("2026-11-21T20:00:00Z", "2026-11-22T00:00:00Z");
        for (time, kept) in [
            ("/2025", false),
            ("/2026", true),
            ("/2027", false),
            ("/2026/10", false),
            ("/2026/12", false),
            ("/2026/11/20", false),
            ("/2026/11/21", true),
            // a file of the last minutes may be found in the next day's folder
            ("/2026/11/22", true),
            ("/2026/11/23", false),
            ("/2026/11/21/18", false),
            ("/2026/11/21/19", true),
            ("/2026/11/21/23", true),
            ("/2026/11/22/00", true),
            ("/2026/11/22/01", false),
        ] {
            assert_eq!(Level::of_path(&format!("{root}{time}"), &evening).is_some(), kept, "{time}");
        }
        let month_end = filter("2026-11-30T23:50:00Z", "2026-12-01T00:10:00Z");
        for kept in ["/2026/11/30/23", "/2026/12/01/00"] {
            assert!(Level::of_path(&format!("{root}{kept}"), &month_end).is_some(), "{kept}");
        }
    }

    #[test]
    fn what_is_asked_for_whole_is_listed_at_once() {
        let all = InputFilter::default();
        assert!(Level::Years.is_whole(&all) && !Level::Regions.is_whole(&all) && !Level::Anywhere.is_whole(&all));
        let days = filter("2026-11-20T00:00:00Z", "2026-11-23T00:00:00Z");
        let day = |day| Level::Hours(Date::new(2026, 11, day).unwrap());
        assert!(day(21).is_whole(&days) && !day(20).is_whole(&days) && !day(22).is_whole(&days));
        assert!(!Level::Years.is_whole(&days) && !Level::Days(2026, 11).is_whole(&days));
        assert!(Level::Days(2026, 12).is_whole(&filter("2026-11-20T00:00:00Z", "")));
    }
}
