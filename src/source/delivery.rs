//! What the names of files tell that AWS delivered, and which of them a run asks for.

use std::path::Path;

/// AWS delivers one file for five minutes of record ends.
const DELIVERY: i64 = 300_000;
/// A file's folder follows the stamp in its name; by how much they may differ is not promised.
const FOLDER_SLACK: i64 = 3_600_000;

/// Half-open span of time, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimeSpan {
    /// First millisecond.
    pub since: Option<i64>,
    /// First millisecond after it.
    pub until: Option<i64>,
}

impl TimeSpan {
    /// Whether a file with this name can hold records that end in the span. A name without AWS's time stamp can.
    fn may_hold(self, name: &str) -> bool {
        delivery_stamp(name).is_none_or(|stamp| self.meets(stamp, stamp + DELIVERY))
    }

    /// Whether a folder of this time can have files that hold such records.
    pub(super) fn meets_folder(self, begin: i64, end: i64) -> bool {
        self.meets(begin - FOLDER_SLACK, end + FOLDER_SLACK)
    }

    /// Whether every file in a folder of this time holds such records, and nothing else.
    pub(super) fn covers_folder(self, begin: i64, end: i64) -> bool {
        self.since.is_none_or(|since| since <= begin - FOLDER_SLACK)
            && self.until.is_none_or(|until| end + FOLDER_SLACK <= until)
    }

    fn meets(self, begin: i64, end: i64) -> bool {
        self.since.is_none_or(|since| end > since) && self.until.is_none_or(|until| begin < until)
    }
}

/// Which input a run asks for. Empty: all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InputFilter {
    /// Files of this time.
    pub span: TimeSpan,
    /// Files of these accounts.
    pub accounts: Vec<String>,
    /// Files of these regions.
    pub regions: Vec<String>,
}

impl InputFilter {
    /// Whether a file of this name can be one that is asked for. A name that does not tell can.
    pub(super) fn may_want(&self, name: &str) -> bool {
        self.span.may_hold(name)
            && origin(name).is_none_or(|(account, region)| self.wants_account(account) && self.wants_region(region))
    }

    /// Whether the filter asks for something that this name does not tell.
    pub(super) fn goes_past(&self, name: &str) -> bool {
        let untold_time = self.span != TimeSpan::default() && delivery_stamp(name).is_none();
        untold_time || !(self.accounts.is_empty() && self.regions.is_empty()) && origin(name).is_none()
    }

    pub(super) fn wants_account(&self, account: &str) -> bool {
        self.accounts.is_empty() || self.accounts.iter().any(|wanted| wanted == account)
    }

    pub(super) fn wants_region(&self, region: &str) -> bool {
        self.regions.is_empty() || self.regions.iter().any(|wanted| wanted == region)
    }
}

/// The time stamp in the name of a file that AWS delivered (`…_20261121T1620Z_….log.gz`), in milliseconds.
fn delivery_stamp(name: &str) -> Option<i64> {
    name.split('_').find_map(|part| {
        if part.len() != 14 {
            return None;
        }
        let stamp = jiff::civil::DateTime::strptime("%Y%m%dT%H%MZ", part).ok()?;
        stamp.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp().as_millisecond())
    })
}

/// Account and region in the name of a file that AWS delivered (`123456789012_vpcflowlogs_us-east-1_…`).
fn origin(name: &str) -> Option<(&str, &str)> {
    let mut parts = name.split('_');
    let account = parts.next().filter(|account| is_account(account))?;
    (parts.next() == Some("vpcflowlogs")).then_some(())?;
    Some((account, parts.next()?))
}

/// Twelve digits.
pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// In a folder only files that are named like logs are read; what is in them is told by their content.
pub(super) fn named_like_a_log(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    // the object that CloudWatch writes to see whether it may
    if name.starts_with('.') || name == "aws-logs-write-test" {
        return false;
    }
    match path.extension().and_then(|extension| extension.to_str()) {
        None => true,
        Some(extension) => ["log", "gz", "zst", "zstd", "parquet", "txt"].contains(&extension),
    }
}

/// The folders that a lake is made of. (Logs may lie beside them.)
pub(super) const LAKE_FOLDERS: [&str; 4] = ["flows", "alerts", "quarantine", "_flowbound"];

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20261121T1620Z_fe123456.log.gz";

    #[test]
    fn names_of_delivered_files_are_read() {
        assert_eq!(delivery_stamp(NAME), Some(1_795_278_000_000));
        assert_eq!(origin(NAME), Some(("123456789012", "us-east-1")));
        assert_eq!((delivery_stamp("flow.log"), origin("flow.log")), (None, None));
        assert_eq!(origin("123456789012_elasticloadbalancing_us-east-1_x.log.gz"), None);
    }

    #[test]
    fn a_span_takes_files_whose_records_can_end_in_it() {
        let name = |minute: u32| format!("1_vpcflowlogs_r_fl-1_20261121T16{minute:02}Z_x.log.gz");
        let span = TimeSpan { since: Some(1_795_278_000_000), until: Some(1_795_278_300_000) };
        assert!(!span.may_hold(&name(15)) && span.may_hold(&name(20)) && !span.may_hold(&name(25)));
        assert!(span.may_hold("flow.log"), "a name without a stamp may hold anything");
    }

    #[test]
    fn account_and_region_are_asked_of_names() {
        let filter = |account: &str, region: &str| InputFilter {
            accounts: vec![account.to_owned()],
            regions: vec![region.to_owned()],
            ..InputFilter::default()
        };
        assert!(filter("123456789012", "us-east-1").may_want(NAME));
        assert!(!filter("123456789013", "us-east-1").may_want(NAME));
        assert!(!filter("123456789012", "us-east-2").may_want(NAME));
        let filter = filter("123456789013", "us-east-2");
        assert!(filter.may_want("flow.log") && filter.goes_past("flow.log") && !filter.goes_past(NAME));
        assert!(!InputFilter::default().goes_past("flow.log"));
    }
}
