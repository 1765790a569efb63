//! `unanswered`: calls leave as the map allows, and nothing comes back: the host is gone, or the way to it is.
//!
//! No verdict tells of it, since each record is as the map wants it, and AWS rejected nothing. Key: server, port and
//! protocol. Window: ten minutes of the UTC day, the longest aggregation interval; where no more than an hour lies between
//! them they are one alert, within the day. Counts: *calls*, requests over TCP that the map allows and that were accepted,
//! of at most 7 packets (a SYN, and the six more that Linux sends by default, tcp(7)) of 64 bytes at the mean (no SYN is
//! larger in practice, and who got an answer sends data); from inside, to servers that are not in the internet. Measure:
//! calls by the interface that saw most of them.
//!
//! Ten minutes are found with 3 calls and no answer in them or in the ten minutes after: no accepted reply over TCP of this
//! server from this port to anybody. So it is about servers that answer nobody; where a way is broken for some clients
//! alone, `queries/unanswered.sql` tells. It is said 15 minutes after that at the earliest, by event time, and of a stream
//! when all its shards are past that; a day is judged by itself, so of its last half hour nothing is said. The numbers are our own.
//!
//! Severity: medium.

use super::past::minutes;
use super::{Group, Hour, Kind, Member, REQUEST, of_hours};
use crate::boundary::{Severity, Verdict};
use crate::detect::detector::{count, server};
use crate::detect::finding::{Finding, Query};
use crate::detect::settings::{Tuned, Unanswered};
use crate::detect::tally::Key;

pub(super) const KIND: Kind = Kind { name: "unanswered" };

/// Packets of a call at most.
pub(super) const PACKETS: i64 = 7;
/// Bytes of each of them, at the mean.
pub(super) const BYTES: i64 = 64;
/// Length of a pane, in minutes.
pub(super) const PANE: i64 = 10;

/// Minutes after which records may still come.
const LATENESS: i64 = 15;
/// Panes that may lie between two of one alert.
const QUIET: i64 = 6;

pub(super) fn findings(group: Group<'_>, settings: &Tuned<Unanswered>) -> Vec<Finding> {
    let Unanswered { enabled, calls } = settings.of(group.key.server_zone.as_deref());
    let (Some(today), Some(now), true) = (group.today(), group.clock.now(), enabled) else { return Vec::new() };
    let mut found = Vec::new();
    for member in &today.members {
        let answers = minutes(Some(member));
        let answered = |pane: i64| {
            let minute = pane * PANE;
            let hour = answers.get((minute / 60) as usize).copied().unwrap_or_default();
            hour >> (minute % 60) & ((1 << PANE) - 1) != 0
        };
        let is_found = |hour: &&Hour| {
            let pane = i64::from(hour.hour);
            // counted from the beginning of the day before
            1440 + (pane + 2) * PANE + LATENESS <= now && hour.most(|sum| sum.flows) >= *calls && !answered(pane) && !answered(pane + 1)
        };
        let mut runs: Vec<(i64, i64)> = Vec::new();
        for pane in member.hours.iter().filter(is_found).map(|hour| i64::from(hour.hour)) {
            match runs.last_mut() {
                Some((_, last)) if pane - *last <= QUIET + 1 => *last = pane,
                _ => runs.push((pane, pane)),
            }
        }
        found.extend(runs.into_iter().map(|run| finding(group, member, run, *calls)));
    }
    found
}

fn finding(group: Group<'_>, member: &Member, (first, last): (i64, i64), least: u64) -> Finding {
    let (start, end) = (group.moment(1440 + first * PANE), group.moment(1440 + (last + 1) * PANE));
    let key = Key { server_addr: member.who.address(), ..group.key.clone() };
    let mut query = Query::new(&[Verdict::Expected]);
    REQUEST.iter().for_each(|condition| query.and(condition));
    query.and(&format!("packets <= {PACKETS} AND bytes <= {BYTES} * packets"));
    query.and("client_zone <> 'internet'");
    query.text("server_zone", key.server_zone.as_deref());
    query.text("server_addr", key.server_addr.as_deref());
    query.number("server_port", key.server_port.map(u32::from));
    query.number("protocol", key.protocol.map(u32::from));
    query.within(Some(start), Some(end));
    let of_run = || member.hours.iter().filter(|hour| (first..=last).contains(&i64::from(hour.hour)));
    let many: u64 = of_run().map(|hour| hour.most(|sum| sum.flows)).sum();
    let title = format!(
        "{} does not answer: {} that the map allows got nothing back in {} minutes",
        server(&key),
        count(many, "call"),
        (last + 1 - first) * PANE,
    );
    let reason = format!("no answer to anybody; {least} calls in ten minutes are enough");
    let empty = group.empty(&KIND, (start, end), query.finish(), key);
    let verdict = Some(Verdict::Expected);
    let empty = Finding { severity: Severity::Medium, title, reason: Some(reason), verdict, ..empty };
    of_hours(of_run(), empty)
}
