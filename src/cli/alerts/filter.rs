//! Which alerts are listed.

use std::cmp::{Ordering, Reverse};
use std::net::IpAddr;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use ipnet::IpNet;

use super::super::Failure;
use super::super::input::{parse_network, parse_time};
use crate::boundary::Severity;
use crate::detect::{Alert, AlertStatus, detector_names};
use crate::lake::Day;

/// A window ends in the day after the one in which it begins, at the latest: one that began the day before may still be
/// open.
const LONGEST_WINDOW: i64 = 86_400_000;

#[derive(Debug, clap::Args)]
pub(super) struct FilterArgs {
    /// Alerts of this detector; several with commas between
    #[arg(long, env = "FLOWBOUND_DETECTOR", value_name = "NAME", value_delimiter = ',', value_parser = parse_detector)]
    detector: Vec<String>,
    /// Alerts at least as severe as this; withdrawn ones have no severity of their own
    #[arg(long, env = "FLOWBOUND_SEVERITY", value_name = "SEVERITY", value_parser = words(Severity::ALL.iter().map(|severity| severity.as_str()), Severity::from_name))]
    severity: Option<Severity>,
    /// Alerts whose window ends after this time (2026-11-21, 2026-11-21T02:00, UTC)
    #[arg(long, env = "FLOWBOUND_SINCE", value_name = "TIME", value_parser = parse_time)]
    since: Option<i64>,
    /// Alerts whose window begins before this time
    #[arg(long, env = "FLOWBOUND_UNTIL", value_name = "TIME", value_parser = parse_time)]
    until: Option<i64>,
    /// Alerts with a client or a server in this zone; several with commas between
    #[arg(long, env = "FLOWBOUND_ZONE", value_name = "NAME", value_delimiter = ',')]
    zone: Vec<String>,
    /// Alerts with a client or a server that has this address, or one in this network (10.0.5.0/24); several with
    /// commas between
    #[arg(long, env = "FLOWBOUND_ADDR", value_name = "ADDRESS", value_delimiter = ',', value_parser = parse_network)]
    addr: Vec<IpNet>,
    /// Alerts of which the last revision is of this kind
    #[arg(long, env = "FLOWBOUND_STATUS", value_name = "STATUS", value_parser = words(AlertStatus::ALL.iter().map(|status| status.as_str()), AlertStatus::from_name))]
    status: Option<AlertStatus>,
    /// Withdrawn alerts, too
    #[arg(long, env = "FLOWBOUND_ALL")]
    all: bool,
}

/// A parser of one of these words.
fn words<T: Clone + Send + Sync + 'static>(
    all: impl Iterator<Item = &'static str>,
    from: fn(&str) -> Option<T>,
) -> impl clap::builder::TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.collect::<Vec<_>>()).try_map(move |word| from(&word).ok_or("unknown"))
}

fn parse_detector(text: &str) -> Result<String, String> {
    let names: Vec<&str> = detector_names().collect();
    let known = names.contains(&text);
    known.then(|| text.to_owned()).ok_or_else(|| format!("there is no such detector; there are {}", names.join(", ")))
}

impl FilterArgs {
    pub(super) fn check(&self) -> Result<(), Failure> {
        match self.since.zip(self.until) {
            Some((since, until)) if since >= until => Err(Failure::usage("--since is not before --until")),
            _ => Ok(()),
        }
    }

    /// Whether alerts of a day may be chosen.
    pub(super) fn may_hold(&self, day: Day) -> bool {
        let first = self.since.map(|since| Day::of(Some(since.saturating_sub(LONGEST_WINDOW))));
        let last = self.until.map(|until| Day::of(Some(until)));
        first.is_none_or(|first| first <= day) && last.is_none_or(|last| day <= last)
    }

    /// Whether the alert is listed.
    pub(super) fn chooses(&self, alert: &Alert) -> bool {
        (self.all || self.status == Some(AlertStatus::Closed) || alert.status != AlertStatus::Closed)
            && self.wants(alert)
    }

    /// Whether the alert is what was asked for, withdrawn or not.
    pub(super) fn wants(&self, alert: &Alert) -> bool {
        let finding = &alert.finding;
        // nothing is left of it that would be severe
        let withdrawn = alert.status == AlertStatus::Closed;
        let zones = [&finding.client_zone, &finding.server_zone];
        let addresses = [&finding.client_addr, &finding.server_addr];
        let addresses = || addresses.into_iter().flatten().filter_map(|address| address.parse::<IpAddr>().ok());
        (self.detector.is_empty() || self.detector.iter().any(|name| *name == finding.detector))
            && (withdrawn || self.severity.is_none_or(|least| least <= finding.severity))
            && self.since.is_none_or(|since| finding.window_end.is_some_and(|end| since < end))
            && self.until.is_none_or(|until| finding.window_start.is_some_and(|start| start < until))
            && (self.zone.is_empty() || zones.into_iter().flatten().any(|zone| self.zone.contains(zone)))
            && (self.addr.is_empty() || addresses().any(|ip| self.addr.iter().any(|network| network.contains(&ip))))
            && self.status.is_none_or(|status| status == alert.status)
    }

    /// Behind "no alert": what was asked of those that there are, if there are any.
    pub(super) fn why_none(&self, looked: bool) -> &'static str {
        let asked = !self.detector.is_empty() || !self.zone.is_empty() || !self.addr.is_empty();
        let asked = asked || self.severity.is_some() || self.since.is_some() || self.until.is_some();
        match asked || self.status.is_some() {
            true => " is what you ask for",
            false if looked && !self.all => " (--all lists withdrawn ones, too)",
            false => "",
        }
    }
}

/// By window, the newest first; in it by severity. The id makes the order the same on every run.
pub(super) fn newest_first(one: &Alert, other: &Alert) -> Ordering {
    let key = |alert: &Alert| (Reverse(alert.finding.window_start), Reverse(alert.finding.severity));
    key(one).cmp(&key(other)).then_with(|| one.finding.alert_id.cmp(&other.finding.alert_id))
}
