//! `new-source`: a permitted client of a protected service that was never seen there before. `new-destination`: a
//! permitted server that a confined zone never went to before.
//!
//! Key: client zone, zone of the service, its port and protocol, and the client (of `new-destination` the server). Window:
//! the UTC day. Counts: requests that the map allows and that were accepted, of TCP or UDP. Somebody is new who was there
//! on none of the seven days before; nothing is said while fewer than three of them have any record.
//!
//! Where addresses come and go (autoscaling, a service in the cloud behind many), a new one says nothing. So a group in
//! which somebody new came on two of the seven days before has no alerts. More than ten that are new on one day are one
//! alert: that is a deployment. All numbers are our own.
//!
//! Severity: low. It is permitted.

use std::collections::BTreeSet;

use super::{Group, Kind, Member, REQUEST, Who, of_hours, service};
use crate::boundary::{Severity, Verdict};
use crate::detect::detector::count;
use crate::detect::finding::{Finding, Query};
use crate::detect::settings::{Newcomers, Tuned};
use crate::detect::tally::Key;
use crate::detect::window::DAY;

pub(super) const NEW_SOURCE: Kind = Kind { name: "new-source" };
pub(super) const NEW_DESTINATION: Kind = Kind { name: "new-destination" };

pub(super) fn findings(kind: &Kind, group: Group<'_>, settings: &Tuned<Newcomers>) -> Vec<Finding> {
    let Newcomers { enabled, days, changes, alerts } = settings.of(group.key.server_zone.as_deref());
    if !enabled || group.clock.past_days() < *days {
        return Vec::new();
    }
    let new = newcomers(group);
    if new.is_empty() || changed(group) >= *changes {
        return Vec::new();
    }
    let of = |members: &[&Member]| finding(kind, group, members, *days);
    if new.len() as u64 > *alerts { vec![of(&new)] } else { new.iter().map(|member| of(&[member])).collect() }
}

/// Members that were there on none of the days before, as far as those are known.
pub(super) fn newcomers(group: Group<'_>) -> Vec<&Member> {
    let members = group.today().map(|today| today.members.as_slice()).unwrap_or_default();
    let known = |who: &Who| group.past().flatten().any(|day| day.member(who).is_some());
    members.iter().filter(|member| !known(&member.who) && group.knows(&member.who)).collect()
}

/// Days before, but the first on which there was anybody, on which somebody came that was not there before.
fn changed(group: Group<'_>) -> u64 {
    let days: Vec<_> = group.past().flatten().filter(|day| !day.members.is_empty()).collect();
    let mut known: BTreeSet<&Who> = BTreeSet::new();
    let mut changes = 0;
    for (number, day) in days.into_iter().rev().enumerate() {
        let mut new = false;
        for member in &day.members {
            new |= known.insert(&member.who);
        }
        changes += u64::from(new && number > 0);
    }
    changes
}

fn finding(kind: &Kind, group: Group<'_>, members: &[&Member], days: u64) -> Finding {
    let clients = kind.name == NEW_SOURCE.name;
    let addresses: Vec<String> = members.iter().filter_map(|member| member.who.address()).collect();
    let single = if let [one] = addresses.as_slice() { Some(one.clone()) } else { None };
    let key = Key {
        client_addr: single.clone().filter(|_| clients),
        server_addr: single.filter(|_| !clients),
        ..group.key.clone()
    };
    let mut query = Query::new(&[Verdict::Expected]);
    REQUEST.iter().for_each(|condition| query.and(condition));
    query.one_of(if clients { "client_addr" } else { "server_addr" }, &addresses);
    query.text("client_zone", key.client_zone.as_deref());
    query.text("server_zone", key.server_zone.as_deref());
    query.number("server_port", key.server_port.map(u32::from));
    query.number("protocol", key.protocol.map(u32::from));
    let (start, end) = (group.day, group.day + DAY);
    query.within(Some(start), Some(end));
    let zone = if clients { &key.client_zone } else { &key.server_zone };
    let who = match addresses.as_slice() {
        [one] => format!("{} {one}", zone.as_deref().unwrap_or_default()),
        several => format!(
            "{} in {}",
            count(several.len() as u64, if clients { "client" } else { "server" }),
            zone.as_deref().unwrap_or_default()
        ),
    };
    let title = if clients {
        format!("{who} reached {}, where it was not seen in the seven days before", service(&key))
    } else {
        let from = key.client_zone.as_deref().unwrap_or_default();
        let to = match (&key.server_addr, key.server_port) {
            (Some(_), Some(port)) => format!("{who} port {port}"),
            _ => format!("{who} ({})", service(&key)),
        };
        format!("{from} reached {to}, where it was not seen in the seven days before")
    };
    let reason = format!(
        "never seen before; {} of the seven days before have records, {days} are enough",
        group.clock.past_days()
    );
    let empty = group.empty(kind, (start, end), query.finish(), key);
    let verdict = Some(Verdict::Expected);
    let servers = (!clients).then_some(addresses.len() as u64);
    let empty =
        Finding { severity: Severity::Low, title, reason: Some(reason), verdict, distinct_servers: servers, ..empty };
    of_hours(members.iter().flat_map(|member| &member.hours), empty)
}
