//! `brute-force`: a permitted client opens many short connections to a protected service, as one that tries passwords.
//!
//! Key: client, zone of the service, its port and protocol. Window: an hour; hours that follow each other are one alert
//! (`runs`). Counts: short requests that the map allows and that were accepted, of TCP or UDP: records of at most 15
//! packets and 20,000 bytes from the client. A failed login takes fewer; a record is of one connection. Measure: their
//! records in an hour, by the interface that saw most. Points: the same of every hour of the seven days before in which
//! there are any.
//!
//! An hour is found with 100, where they are three times as many as in the largest hour of the seven days: who never keeps a
//! connection open is no news. With fewer than five points there is nothing to compare with, and the alert is low. All
//! numbers are our own: Amazon GuardDuty, which finds the same for SSH and RDP, does not publish its.
//!
//! Severity: medium; low without points.

use super::runs::{hours_with, runs};
use super::{Group, Hour, Kind, REQUEST, service};
use crate::boundary::{Severity, Verdict};
use crate::detect::detector::{client, count};
use crate::detect::finding::{Finding, Query};
use crate::detect::settings::{BruteForce, Tuned};
use crate::detect::tally::Key;

pub(super) const KIND: Kind = Kind { name: "brute-force" };

pub(super) fn findings<'g>(days: [Group<'g>; 3], settings: &Tuned<BruteForce>) -> Vec<Finding> {
    let [_, group, _] = days;
    let BruteForce { enabled, conversations, peak_percent, points } = settings.of(group.key.server_zone.as_deref());
    let short = |hour: &Hour| if hour.short { hour.most(|sum| sum.flows) } else { 0 };
    // the largest hour, if enough are known
    let is_found = |largest: &Option<u64>, many: u64| {
        largest.is_none_or(|largest| u128::from(many) * 100 >= u128::from(largest) * u128::from(*peak_percent))
    };
    let mut found = Vec::new();
    let today = group.today().filter(|_| *enabled);
    for member in today.iter().flat_map(|today| &today.members) {
        let hours = |day: Group<'g>| hours_with(day.member(&member.who), *conversations, short);
        let largest = |day: Group<'_>| {
            let past = day.known(&member.who)?.points(&member.who, short);
            Some(if past.len() as u64 >= *points { past.into_iter().max() } else { None })
        };
        let Some((largest, runs)) = runs(days, hours, largest, is_found) else { continue };
        for run in runs {
            let (start, end) = run.span(group.day);
            let key = Key { client_addr: member.who.address(), ..group.key.clone() };
            let mut query = Query::new(&[Verdict::Expected]);
            REQUEST.iter().for_each(|condition| query.and(condition));
            query.and("packets <= 15 AND bytes <= 20000");
            query.text("client_addr", key.client_addr.as_deref());
            query.text("client_zone", key.client_zone.as_deref());
            query.text("server_zone", key.server_zone.as_deref());
            query.number("server_port", key.server_port.map(u32::from));
            query.number("protocol", key.protocol.map(u32::from));
            query.within(Some(start), Some(end));
            let usual = match largest {
                Some(largest) => format!("in the seven days before it was {largest} an hour at most"),
                None => "there are too few hours in the seven days before to compare with".to_owned(),
            };
            let title = format!(
                "{} opened {} to {} {}: {usual}",
                client(&key),
                count(run.sum(), "short connection"),
                service(&key),
                run.during(),
            );
            let reason = format!(
                "{} in an hour; {conversations}, and {peak_percent} % of the largest hour before, are many",
                run.most()
            );
            let severity = if largest.is_some() { Severity::Medium } else { Severity::Low };
            let verdict = Some(Verdict::Expected);
            let empty = group.empty(&KIND, (start, end), query.finish(), key);
            found.push(run.finding(Finding { severity, title, reason: Some(reason), verdict, ..empty }));
        }
    }
    found
}
