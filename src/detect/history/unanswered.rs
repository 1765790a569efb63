//! `unanswered`: calls leave as the map allows, and nothing comes back: the host is gone, or the way to it is.
//!
//! No verdict tells of it, since each record is as the map wants it, and AWS rejected nothing. Key: server, port and
//! protocol. Window: ten minutes of the UTC day, the longest aggregation interval; where no more than an hour lies between
//! them they are one alert, within the day. Counts: *calls*, requests over TCP that the map allows and that were accepted,
//! of at most 7 packets (a SYN, and the six more that Linux sends by default, tcp(7)) of 64 bytes at the mean (no SYN is
//! larger in practice, and who got an answer sends data); from inside, to servers that are not in the internet. Measure:
//! calls by the interface that saw most of them. An alert counts the calls of the ten minutes that are found.
//!
//! Ten minutes are found with 3 calls and no answer in them or in the ten minutes after: no accepted reply over TCP of this
//! server from this port to anybody who may ask (so calls that were answered need not be kept). So it is about servers that answer nobody; where a way is broken for some clients
//! alone, `queries/unanswered.sql` tells. It is said 15 minutes after that at the earliest, by event time, and of a stream
//! when all its shards are past that; a day is judged by itself, so of its last half hour nothing is said. The numbers are our own.
//!
//! Severity: medium.

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
const QUIET: u8 = 6;

/// Whether something came back in this pane of the day or in the next, of the minutes of each hour in which it did.
pub(super) fn is_answered(minutes: &[u64; 24], pane: u8) -> bool {
    let answered = |pane: i64| {
        let minute = pane * PANE;
        let hour = minutes.get((minute / 60) as usize).copied().unwrap_or_default();
        hour >> (minute % 60) & ((1 << PANE) - 1) != 0
    };
    answered(pane.into()) || answered(i64::from(pane) + 1)
}

pub(super) fn findings(group: Group<'_>, settings: &Tuned<Unanswered>) -> Vec<Finding> {
    let Unanswered { enabled, calls } = settings.of(group.key.server_zone.as_deref());
    let (Some(today), Some(now), true) = (group.today(), group.clock.now(), enabled) else { return Vec::new() };
    let mut found = Vec::new();
    for member in &today.members {
        // what was answered is not there any more
        let is_found = |pane: &&Hour| {
            // counted from the beginning of the day before
            1440 + (i64::from(pane.hour) + 2) * PANE + LATENESS <= now && pane.most(|sum| sum.flows) >= *calls
        };
        let mut runs: Vec<Vec<&Hour>> = Vec::new();
        for pane in member.hours.iter().filter(is_found) {
            match runs.last_mut() {
                Some(run) if run.last().is_some_and(|last| pane.hour - last.hour <= QUIET + 1) => run.push(pane),
                _ => runs.push(vec![pane]),
            }
        }
        found.extend(runs.into_iter().map(|run| finding(group, member, &run, *calls)));
    }
    found
}

fn finding(group: Group<'_>, member: &Member, panes: &[&Hour], least: u64) -> Finding {
    let moment = |pane: u8| group.moment(1440 + i64::from(pane) * PANE);
    let mut stretches: Vec<(u8, u8)> = Vec::new();
    for pane in panes.iter().map(|pane| pane.hour) {
        match stretches.last_mut() {
            Some((_, end)) if *end == pane => *end = pane + 1,
            _ => stretches.push((pane, pane + 1)),
        }
    }
    let bounds = |stretch: Option<&(u8, u8)>| stretch.copied().unwrap_or_default();
    let ((first, _), (_, last)) = (bounds(stretches.first()), bounds(stretches.last()));
    let (start, end) = (moment(first), moment(last));
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
    if stretches.len() > 1 {
        let time = "coalesce(\"end\", start)";
        let within = |(from, to): &(u8, u8)| {
            format!("{time} >= epoch_ms({}) AND {time} < epoch_ms({})", moment(*from), moment(*to))
        };
        query.and(&format!("({})", stretches.iter().map(within).collect::<Vec<_>>().join(" OR ")));
    }
    let many: u64 = panes.iter().map(|pane| pane.most(|sum| sum.flows)).sum();
    let title = format!(
        "{} does not answer: {} that the map allows got nothing back in {} minutes",
        server(&key),
        count(many, "call"),
        i64::from(last - first) * PANE,
    );
    let reason = format!("no answer to anybody who may ask; {least} calls in ten minutes are enough");
    let empty = group.empty(&KIND, (start, end), query.finish(), key);
    let verdict = Some(Verdict::Expected);
    let empty = Finding { severity: Severity::Medium, title, reason: Some(reason), verdict, ..empty };
    of_hours(panes.iter().copied(), empty)
}
