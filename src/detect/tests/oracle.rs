//! Tallies the plain way: every record makes a key and a tally of its own, as texts, from what the lake's columns say;
//! tallies of one key merge.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::histories;
use crate::boundary::{Boundary, Judgement, Verdict};
use crate::detect::scan::{bucket, contact_hash, pane, state_key};
use crate::detect::tally::{Leg, Legs, Traffic};
use crate::detect::{
    Evidence, Hours, Key, Logged, Outcome, Probe, Probes, Row as Kept, Rows, Source, State, Tally, Target, Targets,
    Verdicts, Who, Window,
};
use crate::record::{Field, FlowRecord};

/// A record, its source and its line.
pub(super) type Row<'r, 'a> = (&'r FlowRecord<'a>, &'r str, i64);

fn words(boundary: Option<&Boundary>, judgement: &Judgement) -> Value {
    match boundary {
        Some(boundary) => boundary.verdict_json(judgement),
        None => serde_json::json!({
            "verdict": judgement.verdict.as_str(),
            "reason": judgement.reason.word(),
            "severity": judgement.severity.as_str(),
        }),
    }
}

fn one(
    (record, source, line): Row<'_, '_>,
    boundary: Option<&Boundary>,
    judgement: &Judgement,
) -> Option<(Key, u8, Tally)> {
    let words = words(boundary, judgement);
    let word = |column: &str| words.get(column).and_then(Value::as_str).map(str::to_owned);
    let text = |field| record.text(field).map(str::to_owned);
    let protects = || judgement.zones.zip(boundary).is_some_and(|((_, server), map)| map.is_protected(server));
    let (detector, by_client) = match judgement.verdict {
        Verdict::Breach => ("breach", true),
        Verdict::Attempt => ("attempt", true),
        Verdict::Outage => match word("reason").unwrap_or_default().trim_end_matches("/nacl") {
            "return-path" => ("return-path", true),
            "rejected-at-destination" if word("client_zone").as_deref() != Some("internet") => ("one-sided", true),
            _ => ("outage", true),
        },
        Verdict::Blocked if judgement.path.is_some() && protects() => ("blocked", false),
        Verdict::Unmapped if word("reason").as_deref() == Some("fields-missing") => ("fields", true),
        Verdict::Unmapped => ("unmapped", true),
        Verdict::Gap => ("log-gap", true),
        _ => return None,
    };
    let first_of = |one, other| text(one).or_else(|| text(other));
    let source_end = (first_of(Field::PktSrcaddr, Field::Srcaddr), record.srcport());
    let destination_end = (first_of(Field::PktDstaddr, Field::Dstaddr), record.dstport());
    let (start, end) = (record.millis(Field::Start), record.millis(Field::End));

    let mut key = Key {
        window: Window(end.or(start).map(|time| time.div_euclid(86_400_000) * 86_400_000)),
        detector: detector.to_owned(),
        rule: word("rule").filter(|_| detector != "attempt"),
        reason: word("reason").filter(|_| word("rule").is_none() && detector != "attempt"),
        client_zone: None,
        server_zone: None,
        client_addr: None,
        server_addr: None,
        server_port: None,
        protocol: None,
    };
    let mut legs = BTreeMap::new();
    if let Some(path) = judgement.path {
        let ends = if path.client_is_source { (source_end, destination_end) } else { (destination_end, source_end) };
        let ((client, client_port), (server, server_port)) = ends;
        if by_client {
            key.client_zone = word("client_zone");
            key.client_addr = client.clone();
        }
        key.server_zone = word("server_zone");
        key.server_addr = server.clone();
        key.server_port = server_port;
        key.protocol = record.protocol();
        let to_client = !path.client_is_source;
        let leg = Leg { client, client_port, server, server_port, protocol: record.protocol(), to_client };
        let number = |field| record.number(field).map_or(0, |value| u64::try_from(value).unwrap());
        let traffic = Traffic { packets: number(Field::Packets), bytes: number(Field::Bytes) };
        legs.insert(leg, BTreeMap::from([(text(Field::InterfaceId).unwrap_or_default(), traffic)]));
    }
    let evidence = evidence((record, source, line), judgement);
    let mut tally = Tally::new(judgement.verdict);
    tally.raise(judgement.severity, judgement.path.map(|path| path.confidence));
    tally.flows = 1;
    tally.first_seen = start;
    tally.last_seen = end.or(start);
    tally.reasons = BTreeSet::from([word("reason").unwrap_or_default()]);
    tally.evidence = BTreeSet::from([evidence]);
    tally.legs = Legs::of(legs);
    let hour = end.or(start).map_or(0, |time| time.div_euclid(3_600_000).rem_euclid(24) as u8);
    Some((key, hour, tally))
}

fn evidence((record, source, line): Row<'_, '_>, judgement: &Judgement) -> Evidence {
    let text = |field| record.text(field).map(str::to_owned);
    Evidence {
        start: record.millis(Field::Start),
        source: Some(source.to_owned()),
        line,
        srcaddr: text(Field::Srcaddr),
        srcport: record.srcport(),
        dstaddr: text(Field::Dstaddr),
        dstport: record.dstport(),
        protocol: record.protocol(),
        action: text(Field::Action),
        verdict: Some(judgement.verdict.as_str().to_owned()),
    }
}

/// What a record tells of attempts that others recorded.
fn outcome(row: Row<'_, '_>, boundary: &Boundary, judgement: &Judgement) -> Option<(Key, u8, Tally)> {
    let words = boundary.verdict_json(judgement);
    let word = |column: &str| words.get(column).and_then(Value::as_str).unwrap_or_default();
    let outcome = match (word("verdict"), word("side"), word("orientation")) {
        ("breach", _, "reply") | ("breach", "destination", _) => Outcome::LetIn,
        ("blocked", "destination", orientation) if orientation != "reply" => Outcome::Refused,
        _ => return None,
    };
    if word("client_zone") == "internet" {
        return None;
    }
    let (key, hour, _) = one(row, Some(boundary), &Judgement { verdict: Verdict::Attempt, ..*judgement })?;
    let mut tally = Tally::new(Verdict::Attempt);
    tally.outcomes.insert(outcome);
    Some((key, hour, tally))
}

/// What a record is to the detectors of scans: a probe of its source, or a contact of its client.
fn probe(row: Row<'_, '_>, boundary: &Boundary, judgement: &Judgement) -> Option<(Key, Probes)> {
    let words = boundary.verdict_json(judgement);
    let word = |column: &str| words.get(column).and_then(Value::as_str).unwrap_or_default();
    let (record, ..) = row;
    let first_of = |one, other| record.text(one).or_else(|| record.text(other));
    let (source, destination) =
        (first_of(Field::PktSrcaddr, Field::Srcaddr)?, first_of(Field::PktDstaddr, Field::Dstaddr)?);
    let (protocol, _, dstport) = (record.protocol()?, record.srcport()?, record.dstport()?);
    let path = judgement.path.filter(|_| [6, 17].contains(&protocol))?;
    let (day, pane) = pane(record.millis(Field::End).or(record.millis(Field::Start))?);
    if judgement.verdict == Verdict::Expected {
        if word("client_zone") == "internet" || !path.client_is_source {
            return None;
        }
        let contact = contact_hash(destination.parse().unwrap(), dstport, protocol);
        return Some(of_source(day, word("client_zone"), source, vec![], vec![contact], vec![]));
    }
    let is_probe = ["blocked", "attempt", "breach"].contains(&judgement.verdict.as_str());
    if !is_probe || word("orientation") == "reply" && word("confidence") != "weak" {
        return None;
    }
    let zones = (word("client_zone"), word("server_zone"));
    let (from, to) = if word("orientation") == "reply" { (zones.1, zones.0) } else { zones };
    let (client, server) = judgement.zones?;
    let guarded = boundary.is_protected(if word("orientation") == "reply" { client } else { server });
    let probe = Probe {
        target: Target { server: logged(destination), zone: 0, port: dstport, protocol },
        pane,
        guarded,
        rows: Rows {
            flows: 1,
            verdicts: Verdicts::only(judgement.verdict),
            confidence: path.confidence,
            first_seen: record.millis(Field::Start),
            last_seen: record.millis(Field::End).or(record.millis(Field::Start)),
        },
        first: Kept {
            start: record.millis(Field::Start),
            source: 1,
            line: row.2,
            srcaddr: record.text(Field::Srcaddr).map(logged),
            srcport: record.srcport(),
            dstaddr: record.text(Field::Dstaddr).map(logged),
            action: record.action(),
            verdict: judgement.verdict,
        },
    };
    Some(of_source(day, from, source, vec![probe], vec![], vec![to.to_owned(), row.1.to_owned()]))
}

fn of_source(
    day: Window,
    zone: &str,
    source: &str,
    probes: Vec<Probe>,
    contacts: Vec<u64>,
    mut texts: Vec<String>,
) -> (Key, Probes) {
    let address = logged(source);
    let key = state_key(day, bucket(&address));
    texts.push(zone.to_owned());
    let zone = texts.len() as u32 - 1;
    (key, Probes::new(&texts, vec![Source { address, zone, targets: Targets::Each(probes), contacts }]))
}

pub(super) fn logged(text: &str) -> Logged {
    match text.parse().unwrap() {
        std::net::IpAddr::V4(address) => Logged::V4(address),
        std::net::IpAddr::V6(_) => Logged::Written(text.to_owned()),
    }
}

/// What the detectors should gather of these records.
pub(super) fn states<'r, 'a: 'r>(
    boundary: Option<&Boundary>,
    rows: impl IntoIterator<Item = Row<'r, 'a>>,
) -> Vec<(Key, State)> {
    let mut states: BTreeMap<Key, State> = BTreeMap::new();
    for row in rows {
        let judgement = match boundary {
            Some(boundary) => Some(boundary.judge(row.0)),
            None => Judgement::of_status(row.0),
        };
        let Some(judgement) = judgement else { continue };
        let hours = |(key, hour, tally)| (key, State::Hours(Hours::of(hour, tally)));
        let tally = one(row, boundary, &judgement).map(hours);
        let probes = boundary.and_then(|boundary| probe(row, boundary, &judgement));
        let outcome = boundary.and_then(|boundary| outcome(row, boundary, &judgement));
        let tallies = tally.into_iter().chain(outcome.map(hours));
        let histories = boundary.map(|boundary| histories::of(row, boundary, &judgement)).unwrap_or_default();
        let histories = histories.into_iter().map(|(key, history)| (key, State::History(history)));
        let probes = probes.map(|(key, probes)| (key, State::Probes(probes)));
        for (key, state) in tallies.chain(probes).chain(histories) {
            let have = states.remove(&key);
            states.extend(State::merged(have.into_iter().chain([state])).map(|state| (key, state)));
        }
    }
    states.into_iter().collect()
}

/// Bytes of the tallies, counted piece by piece: structs, texts, and the nodes of maps and sets (eleven entries each,
/// half full at least).
pub(super) fn held(states: &[(Key, State)]) -> usize {
    // the allocator's own and rounding
    const EACH: usize = 16;
    let text = |text: &str| if text.is_empty() { 0 } else { text.len() + EACH };
    let maybe = |value: &Option<String>| value.as_deref().map_or(0, text);
    let row = |row: &Evidence| -> usize {
        [&row.source, &row.srcaddr, &row.dstaddr, &row.action, &row.verdict].map(maybe).iter().sum()
    };
    let logged = |address: &Logged| match address {
        Logged::V4(_) => 0,
        Logged::Written(written) => text(written),
    };
    let nodes = |entries: usize, size: usize| entries.div_ceil(9) * (11 * size + EACH);
    let mut bytes = size_of_val(states);
    for (key, state) in states {
        bytes += [&key.rule, &key.reason, &key.client_zone, &key.server_zone, &key.client_addr, &key.server_addr]
            .into_iter()
            .map(maybe)
            .sum::<usize>()
            + text(&key.detector);
        let hours = match state {
            State::Hours(hours) => hours,
            State::History(history) => {
                bytes += size_of_val(&*history.members);
                for member in &history.members {
                    bytes += match &member.who {
                        Who::Address(Logged::Written(written)) | Who::Interface(written) => text(written),
                        _ => 0,
                    };
                    bytes += member.zones.iter().flatten().map(|zone| text(zone) + size_of::<String>()).sum::<usize>();
                    bytes += size_of_val(&*member.hours) + size_of_val(&*member.minutes) + EACH;
                    bytes += size_of_val(&*member.calls);
                    for hour in &member.hours {
                        bytes += size_of_val(&*hour.sums) + EACH;
                        let addresses = [&hour.first.srcaddr, &hour.first.dstaddr].into_iter().flatten();
                        bytes += addresses.map(logged).sum::<usize>();
                    }
                }
                continue;
            }
            State::Probes(probes) => {
                bytes += size_of_val(&*probes.sources) + probes.texts.iter().map(|name| text(name)).sum::<usize>();
                for source in &probes.sources {
                    bytes += EACH + size_of_val(&*source.contacts) + logged(&source.address);
                    let Targets::Each(targets) = &source.targets else { continue };
                    bytes += EACH + size_of_val(&**targets);
                    for Probe { target, first, .. } in targets {
                        bytes += logged(&target.server);
                        bytes += [&first.srcaddr, &first.dstaddr].into_iter().flatten().map(logged).sum::<usize>();
                    }
                }
                continue;
            }
        };
        bytes += EACH;
        for (_, tally) in hours.each() {
            bytes += size_of::<(u8, Tally)>();
            bytes += nodes(tally.reasons.len(), size_of::<String>());
            bytes += tally.reasons.iter().map(|reason| text(reason)).sum::<usize>();
            bytes += nodes(tally.evidence.len(), size_of::<Evidence>());
            bytes += tally.evidence.iter().map(row).sum::<usize>();
            let Legs::Each(legs) = &tally.legs else { continue };
            bytes += nodes(legs.len(), size_of::<(Leg, BTreeMap<String, Traffic>)>());
            for (leg, copies) in legs {
                bytes += maybe(&leg.client) + maybe(&leg.server);
                bytes += nodes(copies.len(), size_of::<(String, Traffic)>());
                bytes += copies.keys().map(|interface| text(interface)).sum::<usize>();
            }
        }
    }
    bytes
}
