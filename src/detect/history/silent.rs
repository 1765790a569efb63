//! `silent`: an interface stops logging, though others go on.
//!
//! Key: the interface, or a zone all of whose interfaces are silent. Window: from its last record to the next one, or as
//! far as the lake has records of that day (of a stream, of all its shards). Counts: nothing, as `late`.
//!
//! AWS writes a record of each interface in each aggregation interval, NODATA where nothing flowed, and delivers it within
//! about ten minutes. An interface is silent that has no record for 40 minutes: three intervals of ten, and ten of delivery.
//! Where its own rhythm is slower, it is three times the longest pause of its last six hours; with a pause of more than
//! 20 minutes among them its log was not whole before either, and nothing is said. It must be known for two hours. The
//! silence belongs to the day in which that time is over, so nothing of later days is asked. The numbers are our
//! own.
//!
//! Who is silent may be gone: flow logs do not say that an interface was deleted. So one interface is low. Where all interfaces of
//! a zone, two at least, that were heard in two hours fall silent, it is high: then a flow log was switched off, or the zone is
//! down. The zone of an interface is the one that stands in each of its records.

use std::collections::BTreeMap;

use super::past::{minutes, two_days};
use super::{Group, Kind, Member, Who};
use crate::boundary::Severity;
use crate::detect::detector::count;
use crate::detect::finding::{Finding, Query};
use crate::detect::settings::{Silent, Tuned};
use crate::detect::tally::Key;

pub(super) const KIND: Kind = Kind { name: "silent" };

/// Minutes for which an interface must be known, and in which those of a zone fall silent together.
const KNOWN: i64 = 120;
/// Minutes whose longest pause is the interface's rhythm.
const RHYTHM: i64 = 360;
/// Minutes of the longest pause in a log that is whole: two intervals.
const PAUSE: i64 = 20;
/// Minutes of the day before, and of both days.
const DAY: i64 = 1440;

/// An interface, in minutes from the beginning of the day before.
struct Face<'g> {
    id: &'g str,
    zone: Option<String>,
    seen: Vec<i64>,
}

/// The last minute before a silence, and the first after it.
#[derive(Clone, Copy)]
struct Silence {
    last: i64,
    end: i64,
    limit: i64,
}

pub(super) fn findings(group: Group<'_>, settings: &Tuned<Silent>) -> Vec<Finding> {
    let Some(now) = group.clock.now() else { return Vec::new() };
    // of more interfaces than are kept, who was left out is not silent
    if [group.today(), group.past().next().flatten()].into_iter().flatten().any(|day| day.cut) {
        return Vec::new();
    }
    let faces = faces(group);
    let mut silent: Vec<(&Face<'_>, Silence)> = Vec::new();
    for face in &faces {
        let Silent { enabled, minutes, .. } = settings.of(face.zone.as_deref());
        if *enabled {
            silent.extend(silences(&face.seen, *minutes as i64, now).into_iter().map(|silence| (face, silence)));
        }
    }
    let mut found = Vec::new();
    let mut zones: BTreeMap<&str, Vec<(&Face<'_>, Silence)>> = BTreeMap::new();
    for (face, silence) in &silent {
        if let Some(zone) = &face.zone {
            zones.entry(zone).or_default().push((*face, *silence));
        }
    }
    for (zone, silences) in zones {
        let of_zone: Vec<_> = faces.iter().filter(|face| face.zone.as_deref() == Some(zone)).collect();
        let mut left = silences;
        left.sort_by_key(|(face, silence)| (silence.last, face.id));
        while let Some((face, silence)) = left.pop() {
            let together = together(&of_zone, (face, silence), &left);
            if together.len() as u64 >= settings.of(Some(zone)).interfaces {
                left.retain(|(face, silence)| {
                    !together.iter().any(|(id, last, _)| (*id, *last) == (face.id, silence.last))
                });
                found.push(of_zone_finding(group, zone, silence.last, &together));
            } else {
                found.push(of_interface(group, face, silence));
            }
        }
    }
    let without = silent.iter().filter(|(face, _)| face.zone.is_none());
    found.extend(without.map(|(face, silence)| of_interface(group, face, *silence)));
    found
}

/// The interfaces that were heard in the two hours up to the beginning of a silence, if all of them are silent then, with
/// the beginning and the end of each silence: none, if one of them goes on.
fn together<'f>(
    of_zone: &[&'f Face<'_>],
    (last_face, last): (&'f Face<'_>, Silence),
    others: &[(&'f Face<'_>, Silence)],
) -> Vec<(&'f str, i64, i64)> {
    let lately = last.last - KNOWN..=last.last;
    let silence_of = |face: &&'f Face<'_>| {
        if face.id == last_face.id {
            return Some((face.id, last.last, last.end));
        }
        let silence = others.iter().find(|(other, silence)| {
            other.id == face.id && lately.contains(&silence.last) && silence.end > last.last + 1
        });
        silence.map(|(face, silence)| (face.id, silence.last, silence.end))
    };
    let heard = of_zone.iter().filter(|face| face.seen.iter().any(|minute| lately.contains(minute)));
    heard.map(silence_of).collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// The interfaces, with the minutes of both days.
fn faces(group: Group<'_>) -> Vec<Face<'_>> {
    let (today, before) = (group.today(), group.past().next().flatten());
    let mut both: BTreeMap<&str, [Option<&Member>; 2]> = BTreeMap::new();
    for (place, day) in [before, today].into_iter().enumerate() {
        for member in day.iter().flat_map(|day| &day.members) {
            if let Who::Interface(id) = &member.who
                && let Some(slot) = both.entry(id).or_default().get_mut(place)
            {
                *slot = Some(member);
            }
        }
    }
    let face = |(id, [before, today]): (_, [Option<&Member>; 2])| {
        let zones = [before, today].into_iter().flatten().filter_map(|member| member.zones.as_deref());
        let common = zones.map(<[String]>::to_vec).reduce(|mut zones, others| {
            zones.retain(|zone| others.contains(zone));
            zones
        });
        let zone = if let Some([one]) = common.as_deref() { Some(one.clone()) } else { None };
        Face { id, zone, seen: two_days(&minutes(before), &minutes(today)) }
    };
    both.into_iter().map(face).collect()
}

/// The silences of the second day.
fn silences(seen: &[i64], least: i64, now: i64) -> Vec<Silence> {
    let mut found = Vec::new();
    for (place, last) in seen.iter().enumerate() {
        let next = seen.get(place + 1).copied();
        if next.is_some_and(|next| next - last <= least) {
            continue;
        }
        let before = seen.get(..=place).unwrap_or_default();
        let from = before.partition_point(|minute| *minute < last - RHYTHM);
        let recent = before.get(from..).unwrap_or_default();
        let pause = recent.windows(2).filter_map(|pair| Some(pair.last()? - pair.first()?)).max();
        let known = before.first().is_some_and(|first| *first <= last - KNOWN);
        let Some(pause) = pause.filter(|pause| known && *pause <= PAUSE) else { continue };
        let limit = least.max(3 * pause);
        let established = last + limit + 1;
        // what is later than all sources have come may have something before it yet
        if (DAY..=now).contains(&established) && next.is_none_or(|next| next > established - 1) {
            found.push(Silence { last: *last, end: next.map_or(now + 1, |next| next.min(now + 1)), limit });
        }
    }
    found
}

fn of_interface(group: Group<'_>, face: &Face<'_>, Silence { last, end, limit }: Silence) -> Finding {
    let (start, end) = (group.moment(last + 1), group.moment(end));
    let key = Key { server_zone: face.zone.clone(), reason: Some(face.id.to_owned()), ..group.key.clone() };
    let minutes = (end - start) / super::presence::MINUTE;
    let zone = face.zone.as_deref().map_or(String::new(), |zone| format!(" in {zone}"));
    Finding {
        severity: Severity::Low,
        title: format!("{}{zone} has no record for {minutes} minutes, while others go on", face.id),
        reason: Some(format!("{}: {minutes} minutes without a record; more than {limit} are too many", face.id)),
        first_seen: Some(start),
        last_seen: Some(end),
        ..group.empty(&KIND, (start, end), query(&[face.id], (start, end)), key)
    }
}

fn of_zone_finding(group: Group<'_>, zone: &str, last: i64, silences: &[(&str, i64, i64)]) -> Finding {
    let end = silences.iter().map(|(.., end)| *end).min().unwrap_or(last + 1);
    let (start, end) = (group.moment(last + 1), group.moment(end));
    let key = Key { server_zone: Some(zone.to_owned()), ..group.key.clone() };
    let minutes = (end - start) / super::presence::MINUTE;
    let ids: Vec<&str> = silences.iter().map(|(id, ..)| *id).collect();
    let many = count(ids.len() as u64, "interface");
    Finding {
        severity: Severity::High,
        title: format!("all of {zone} has no record for {minutes} minutes ({many}), while others go on"),
        reason: Some(format!("{many} of {zone} fell silent within two hours of each other: {}", some(&ids))),
        first_seen: Some(start),
        last_seen: Some(end),
        ..group.empty(&KIND, (start, end), query(&ids, (start, end)), key)
    }
}

/// As many as can be read.
fn some(ids: &[&str]) -> String {
    let shown: Vec<&str> = ids.iter().take(10).copied().collect();
    let more = if ids.len() > shown.len() { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

fn query(interfaces: &[&str], (start, end): (i64, i64)) -> String {
    let mut query = Query::everything();
    query.one_of("interface_id", interfaces);
    query.within(Some(start), Some(end));
    query.finish()
}
