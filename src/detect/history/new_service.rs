//! `new-service`: a protected zone answers on a port that was not seen there before.
//!
//! Key: server zone, port and protocol. Window: the UTC day. Counts: requests to a protected zone that were accepted, of
//! TCP or UDP, whoever sent them and whether the map allows them or not (verdicts `expected` and `breach`). A port is new that
//! nobody reached on any of the seven days before; nothing is said while fewer than three of them have any record. More
//! than ten new ports on one day are one alert. The numbers are our own.
//!
//! Severity: medium.

use super::newcomers::newcomers;
use super::{Group, Kind, Member, REQUEST, Who, of_hours};
use crate::boundary::{Severity, Verdict};
use crate::detect::detector::count;
use crate::detect::finding::{Finding, Query};
use crate::detect::settings::{NewService, Tuned};
use crate::detect::tally::Key;
use crate::detect::window::DAY;

pub(super) const KIND: Kind = Kind { name: "new-service" };

pub(super) fn findings(group: Group<'_>, settings: &Tuned<NewService>) -> Vec<Finding> {
    let NewService { enabled, days, alerts } = settings.of(group.key.server_zone.as_deref());
    if !enabled || group.clock.past_days() < *days {
        return Vec::new();
    }
    let new = newcomers(group);
    let of = |members: &[&Member]| finding(group, members, *days);
    match new.len() as u64 {
        0 => Vec::new(),
        many if many > *alerts => vec![of(&new)],
        _ => new.iter().map(|member| of(&[member])).collect(),
    }
}

fn finding(group: Group<'_>, members: &[&Member], days: u64) -> Finding {
    let ports: Vec<(u16, u8)> = members
        .iter()
        .filter_map(|member| match member.who {
            Who::Port(port, protocol) => Some((port, protocol)),
            _ => None,
        })
        .collect();
    let single = if let [one] = ports.as_slice() { Some(*one) } else { None };
    let key = Key {
        server_port: single.map(|(port, _)| port),
        protocol: single.map(|(_, protocol)| protocol),
        ..group.key.clone()
    };
    let mut query = Query::new(&[Verdict::Breach, Verdict::Expected]);
    REQUEST.iter().for_each(|condition| query.and(condition));
    query.text("server_zone", key.server_zone.as_deref());
    let each: Vec<String> = ports.iter().map(|(port, protocol)| format!("({port}, {protocol})")).collect();
    query.and(&format!("(server_port, protocol) IN ({})", each.join(", ")));
    let (start, end) = (group.day, group.day + DAY);
    query.within(Some(start), Some(end));
    let zone = key.server_zone.as_deref().unwrap_or_default();
    let what = match single {
        Some((port, protocol)) => format!("port {port}/{}", if protocol == 6 { "tcp" } else { "udp" }),
        None => count(ports.len() as u64, "port"),
    };
    let title = format!("{zone} answers on {what}, where it was not reached in the seven days before");
    let reason = format!(
        "never seen before; {} of the seven days before have records, {days} are enough",
        group.clock.past_days()
    );
    let empty = group.empty(&KIND, (start, end), query.finish(), key);
    let distinct_ports = Some(ports.len() as u64);
    let empty = Finding { severity: Severity::Medium, title, reason: Some(reason), distinct_ports, ..empty };
    of_hours(members.iter().flat_map(|member| &member.hours), empty)
}
