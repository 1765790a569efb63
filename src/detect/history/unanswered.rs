//! `unanswered`: calls leave as the map allows, and nothing comes back: the host is gone, or the way to it is.
//!
//! No verdict tells of it, since each record is as the map wants it, and AWS rejected nothing. Key: server, port and
//! protocol. Window: ten minutes of the UTC day, the longest aggregation interval; where no more than an hour lies between
//! them they are one alert, over midnight as far as `last_of` lets it. Counts: *calls*, requests over TCP that the map
//! allows and that were accepted, of at most 7 packets (a SYN, and the six more that Linux sends by default, tcp(7)) of 64
//! bytes at the mean (no SYN is larger in practice, and who got an answer sends data); from inside, to servers that are
//! not in the internet. Measure: calls by the interface that saw most of them. An alert counts the calls of the ten
//! minutes that are found.
//!
//! Ten minutes are found with 3 calls and no answer in them or in the ten minutes after: no accepted reply over TCP of this
//! server from this port to anybody who may ask (so calls that were answered need not be kept). So it is about servers
//! that answer nobody; where a way is broken for some clients alone, `queries/unanswered.sql` tells. It is said 15 minutes
//! (`lateness`) after that at the earliest, by event time, and of a stream when all its shards are past that: of a day's
//! last half hour when the next day has begun. The numbers are our own.
//!
//! Severity: medium.

use super::past::minutes;
use super::presence::MINUTE;
use super::{Group, Hour, Kind, Member, REQUEST, Who, of_hours};
use crate::boundary::{Severity, Verdict};
use crate::detect::detector::{count, server};
use crate::detect::finding::{Finding, Query};
use crate::detect::settings::{Tuned, Unanswered};
use crate::detect::tally::Key;
use crate::detect::window::last_of;

pub(super) const KIND: Kind = Kind { name: "unanswered" };

/// Packets of a call at most.
pub(super) const PACKETS: i64 = 7;
/// Bytes of each of them, at the mean.
pub(super) const BYTES: i64 = 64;
/// Length of a pane, in minutes.
pub(super) const PANE: i64 = 10;

/// Panes that may lie between two of one alert.
const QUIET: i64 = 6;
/// Panes of a day.
const PANES: i64 = 144;

/// Whether something came back in this pane of the day or in the next, of the minutes of each hour in which it did. Of
/// the last pane the next is on another day.
pub(super) fn is_answered(minutes: &[u64; 24], pane: u8) -> bool {
    has_reply(minutes, pane.into()) || has_reply(minutes, i64::from(pane) + 1)
}

fn has_reply(minutes: &[u64; 24], pane: i64) -> bool {
    let minute = pane * PANE;
    let hour = minutes.get((minute / 60) as usize).copied().unwrap_or_default();
    hour >> (minute % 60) & ((1 << PANE) - 1) != 0
}

/// What begins in the second of these days; each is judged with the one after it.
pub(super) fn findings(days: [Group<'_>; 4], settings: &Tuned<Unanswered>) -> Vec<Finding> {
    let [_, today, ..] = days;
    let Unanswered { enabled, calls, lateness } = settings.of(today.key.server_zone.as_deref());
    let called = |member: &&Member| *enabled && !member.hours.is_empty();
    let members = today.today().into_iter().flat_map(|today| &today.members).filter(called);
    let of_member = |member: &Member| {
        let of_today = runs(days, &member.who, (*calls, *lateness))
            .into_iter()
            .filter(|run| run.first().is_some_and(|(first, _)| (0..PANES).contains(first)));
        of_today.map(|run| finding(today, &member.who, &run, *calls)).collect::<Vec<_>>()
    };
    members.flat_map(of_member).collect()
}

/// Panes of the first three of these days that are found and belong together; the first of the second day is 0.
fn runs<'g>(days: [Group<'g>; 4], who: &Who, thresholds: (u64, u64)) -> Vec<Vec<(i64, &'g Hour)>> {
    let begins = [-PANES, 0, PANES];
    let each = begins.into_iter().zip(days.windows(2)).flat_map(|(begin, days)| {
        let [day, next] = days else { return Vec::new() };
        in_vain(*day, *next, who, thresholds).map(|pane| (begin + i64::from(pane.hour), pane)).collect()
    });
    let mut runs: Vec<Vec<(i64, &Hour)>> = Vec::new();
    for (place, pane) in each {
        match runs.last_mut() {
            Some(run)
                if run.last().is_some_and(|(last, _)| place - last <= QUIET + 1)
                    && run.first().is_some_and(|(first, _)| place <= last_of(*first, PANES)) =>
            {
                run.push((place, pane));
            }
            _ => runs.push(vec![(place, pane)]),
        }
    }
    runs
}

/// Panes of a day in which a server was called so often and did not answer, as far as it can be said.
fn in_vain<'g>(
    day: Group<'g>,
    next: Group<'g>,
    who: &Who,
    (least, lateness): (u64, u64),
) -> impl Iterator<Item = &'g Hour> {
    // in minutes from the beginning of the day
    let now = day.clock.now().and(next.clock.reached()).unwrap_or_default();
    let at_midnight = match next.member(who) {
        Some(member) => has_reply(&minutes(Some(member)), 0),
        // it may have been left out
        None => next.today().is_some_and(|next| next.cut),
    };
    let is_found = move |pane: &&Hour| {
        // what was answered on the same day is not there any more
        (i64::from(pane.hour) + 2) * PANE + lateness as i64 <= now
            && pane.most(|sum| sum.flows) >= least
            && !(at_midnight && i64::from(pane.hour) == PANES - 1)
    };
    day.member(who).into_iter().flat_map(|member| &member.hours).filter(is_found)
}

fn finding(group: Group<'_>, who: &Who, panes: &[(i64, &Hour)], least: u64) -> Finding {
    let moment = |pane: i64| group.day + pane * PANE * MINUTE;
    let mut stretches: Vec<(i64, i64)> = Vec::new();
    for (pane, _) in panes {
        match stretches.last_mut() {
            Some((_, end)) if end == pane => *end = pane + 1,
            _ => stretches.push((*pane, pane + 1)),
        }
    }
    let bounds = |stretch: Option<&(i64, i64)>| stretch.copied().unwrap_or_default();
    let ((first, _), (_, last)) = (bounds(stretches.first()), bounds(stretches.last()));
    let (start, end) = (moment(first), moment(last));
    let key = Key { server_addr: who.address(), ..group.key.clone() };
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
        let within = |(from, to): &(i64, i64)| {
            format!("{time} >= epoch_ms({}) AND {time} < epoch_ms({})", moment(*from), moment(*to))
        };
        query.and(&format!("({})", stretches.iter().map(within).collect::<Vec<_>>().join(" OR ")));
    }
    let many: u64 = panes.iter().map(|(_, pane)| pane.most(|sum| sum.flows)).sum();
    let title = format!(
        "{} does not answer: {} that the map allows got nothing back in {} minutes",
        server(&key),
        count(many, "call"),
        (last - first) * PANE,
    );
    let reason = format!("no answer to anybody who may ask; {least} calls in ten minutes are enough");
    let empty = group.empty(&KIND, (start, end), query.finish(), key);
    let verdict = Some(Verdict::Expected);
    let empty = Finding { severity: Severity::Medium, title, reason: Some(reason), verdict, ..empty };
    of_hours(panes.iter().map(|(_, pane)| *pane), empty)
}
