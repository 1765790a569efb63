//! An alert in the forms that others read: a finding of OCSF, a finding of AWS Security Hub, plain JSON. Pure: from an
//! alert to a value; reading and printing is the caller's. [`deliver`] alone talks to others: it brings them to receivers.

mod asff;
mod attack;
pub mod deliver;
mod json;
mod ocsf;
#[cfg(test)]
mod tests;

pub use asff::to_asff;
pub use attack::{Technique, technique};
pub use json::to_json;
pub use ocsf::to_ocsf;

use crate::detect::Alert;

/// Where in AWS an alert is at home: the lake does not say it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Home {
    /// Id of the account.
    pub account: Option<String>,
    /// Region.
    pub region: Option<String>,
}

/// A moment (milliseconds since 1970) in UTC: `2026-11-20T01:00:00Z`.
pub fn utc(millis: i64) -> String {
    // beyond the year 9999 the number has to do
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| millis.to_string(), |moment| moment.to_string())
}

/// The name of a protocol; IANA's keyword in small letters.
pub fn protocol_name(protocol: u8) -> Option<&'static str> {
    Some(match protocol {
        1 => "icmp",
        6 => "tcp",
        17 => "udp",
        47 => "gre",
        50 => "esp",
        58 => "ipv6-icmp",
        _ => return None,
    })
}

/// Which way the connections of an alert go, seen from the VPCs of the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Unknown,
    Inbound,
    Outbound,
    /// Both ends are inside.
    Lateral,
}

impl Direction {
    fn of(alert: &Alert) -> Self {
        let inside = |zone: &Option<String>| zone.as_deref().map(|zone| !is_outside(zone));
        match (inside(&alert.finding.client_zone), inside(&alert.finding.server_zone)) {
            (Some(false), Some(true)) => Self::Inbound,
            (Some(true), Some(false)) => Self::Outbound,
            (Some(true), Some(true)) => Self::Lateral,
            _ => Self::Unknown,
        }
    }
}

/// Whether a zone is one of those that are built in for addresses which no VPC of the map has.
fn is_outside(zone: &str) -> bool {
    matches!(zone, "internet" | "private-unknown" | "special")
}
