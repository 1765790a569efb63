//! Tallies the plain way: every record makes a key and a tally of its own, as texts, from what the lake's columns say;
//! tallies of one key merge.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::boundary::{Boundary, Judgement, Verdict};
use crate::detect::tally::{Leg, Traffic};
use crate::detect::{Evidence, Key, Tally, Window};
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
) -> Option<(Key, Tally)> {
    let words = words(boundary, judgement);
    let word = |column: &str| words.get(column).and_then(Value::as_str).map(str::to_owned);
    let text = |field| record.text(field).map(str::to_owned);
    let protects = || judgement.zones.zip(boundary).is_some_and(|((_, server), map)| map.is_protected(server));
    let (detector, by_client) = match judgement.verdict {
        Verdict::Breach => ("breach", true),
        Verdict::Outage => ("outage", true),
        Verdict::Blocked if judgement.path.is_some() && protects() => ("blocked", false),
        Verdict::Unmapped if word("reason").as_deref() == Some("vpc-not-in-map") => ("unmapped", true),
        Verdict::Gap => ("log-gap", true),
        _ => return None,
    };
    let first_of = |one, other| text(one).or_else(|| text(other));
    let source_end = (first_of(Field::PktSrcaddr, Field::Srcaddr), record.srcport());
    let destination_end = (first_of(Field::PktDstaddr, Field::Dstaddr), record.dstport());
    let (start, end) = (record.millis(Field::Start), record.millis(Field::End));

    let mut key = Key {
        window: Window::of(end.or(start)),
        detector: detector.to_owned(),
        rule: word("rule"),
        reason: word("reason").filter(|_| word("rule").is_none()),
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
    let evidence = Evidence {
        start,
        source: Some(source.to_owned()),
        line,
        srcaddr: text(Field::Srcaddr),
        srcport: record.srcport(),
        dstaddr: text(Field::Dstaddr),
        dstport: record.dstport(),
        protocol: record.protocol(),
        action: text(Field::Action),
        verdict: word("verdict"),
    };
    let mut tally = Tally::new(judgement.verdict);
    tally.raise(judgement.severity, judgement.path.map(|path| path.confidence));
    tally.flows = 1;
    tally.first_seen = start;
    tally.last_seen = end.or(start);
    tally.reasons = BTreeSet::from([word("reason").unwrap_or_default()]);
    tally.evidence = BTreeSet::from([evidence]);
    tally.legs = legs;
    Some((key, tally))
}

/// What the detectors should gather of these records.
pub(super) fn tallies<'r, 'a: 'r>(
    boundary: Option<&Boundary>,
    rows: impl IntoIterator<Item = Row<'r, 'a>>,
) -> BTreeMap<Key, Tally> {
    let mut tallies: BTreeMap<Key, Tally> = BTreeMap::new();
    for row in rows {
        let judgement = match boundary {
            Some(boundary) => Some(boundary.judge(row.0)),
            None => Judgement::of_status(row.0),
        };
        let Some((key, tally)) = judgement.and_then(|judgement| one(row, boundary, &judgement)) else { continue };
        match tallies.get_mut(&key) {
            Some(have) => have.merge(tally),
            None => drop(tallies.insert(key, tally)),
        }
    }
    tallies
}

/// Bytes of the tallies, counted piece by piece: structs, texts, and the nodes of maps and sets (eleven entries each,
/// half full at least).
pub(super) fn held(tallies: &BTreeMap<Key, Tally>) -> usize {
    // the allocator's own and rounding
    const EACH: usize = 16;
    let text = |text: &str| if text.is_empty() { 0 } else { text.len() + EACH };
    let maybe = |value: &Option<String>| value.as_deref().map_or(0, text);
    let nodes = |entries: usize, size: usize| entries.div_ceil(9) * (11 * size + EACH);
    let mut bytes = nodes(tallies.len(), size_of::<(Key, Tally)>());
    for (key, tally) in tallies {
        bytes += [&key.rule, &key.reason, &key.client_zone, &key.server_zone, &key.client_addr, &key.server_addr]
            .into_iter()
            .map(maybe)
            .sum::<usize>()
            + text(&key.detector);
        bytes += nodes(tally.reasons.len(), size_of::<String>());
        bytes += tally.reasons.iter().map(|reason| text(reason)).sum::<usize>();
        bytes += nodes(tally.evidence.len(), size_of::<Evidence>());
        for row in &tally.evidence {
            bytes +=
                [&row.source, &row.srcaddr, &row.dstaddr, &row.action, &row.verdict].map(maybe).iter().sum::<usize>();
        }
        bytes += nodes(tally.legs.len(), size_of::<(Leg, BTreeMap<String, Traffic>)>());
        for (leg, copies) in &tally.legs {
            bytes += maybe(&leg.client) + maybe(&leg.server);
            bytes += nodes(copies.len(), size_of::<(String, Traffic)>());
            bytes += copies.keys().map(|interface| text(interface)).sum::<usize>();
        }
    }
    bytes
}
