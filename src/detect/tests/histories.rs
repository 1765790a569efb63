//! Histories the plain way: what one record adds to each family, from what the lake's columns say.

use serde_json::Value;

use super::oracle::{Row, logged};
use crate::boundary::{Boundary, Judgement};
use crate::detect::{Call, Each, First, History, Hour, Key, Member, Minutes, Sum, Terms, Text, Who, Window};
use crate::record::Field;

const DAY: i64 = 86_400_000;

fn did_nothing(who: Who) -> Member {
    Member { who, hours: vec![], minutes: vec![], each: vec![], calls: vec![], zones: None }
}

fn first((record, source, line): Row<'_, '_>, judgement: &Judgement) -> First {
    First {
        start: record.millis(Field::Start),
        source: Text(source.into()),
        line,
        srcaddr: record.text(Field::Srcaddr).map(logged),
        srcport: record.srcport(),
        dstaddr: record.text(Field::Dstaddr).map(logged),
        dstport: record.dstport(),
        protocol: record.protocol(),
        action: record.action(),
        verdict: judgement.verdict,
    }
}

/// What a record adds.
pub(super) fn of(row: Row<'_, '_>, boundary: &Boundary, judgement: &Judgement) -> Vec<(Key, History)> {
    let (record, ..) = row;
    let (start, end) = (record.millis(Field::Start), record.millis(Field::End));
    let Some(time) = end.or(start) else { return Vec::new() };
    let words = boundary.verdict_json(judgement);
    let word = |column: &str| words.get(column).and_then(Value::as_str).unwrap_or_default().to_owned();
    let within = time.rem_euclid(DAY);
    let hour = u8::try_from(within / 3_600_000).unwrap();
    let key = |family: &str, client_zone: Option<String>, server_zone: Option<String>| Key {
        window: Window(Some(time - within)),
        detector: format!("history/{family}"),
        rule: None,
        reason: None,
        client_zone,
        server_zone,
        client_addr: None,
        server_addr: None,
        server_port: None,
        protocol: None,
    };
    let minutes = vec![Minutes { hour, bits: 1 << (within / 60_000 % 60) }];
    let seen = |who, zones| Member { minutes: minutes.clone(), zones, ..did_nothing(who) };
    let alone = |protected, member| History::new(protected, vec![member]);
    let mut all = vec![(key("clock", None, None), alone(false, seen(Who::Source(String::new()), None)))];
    let expectations = [
        (
            "app-uses-db",
            "what app-db allows",
            "verdict = 'expected' AND list_contains(string_split(rule, '+'), 'app-db')",
            (Some(1), None, 10),
            word("rule").split('+').any(|rule| rule == "app-db") && word("verdict") == "expected",
        ),
        (
            "none-refused",
            "any to db for postgresql, REJECT",
            "verdict <> 'stray' AND orientation IS NOT NULL AND server_zone IN ('db') AND (protocol = 6 AND coalesce(server_port, 0) BETWEEN \
             5432 AND 5432) AND action = 'REJECT'",
            (None, Some(0), 5),
            word("server_zone") == "db"
                && !["", "stray"].contains(&&*word("verdict"))
                && !word("orientation").is_empty()
                && record.text(Field::Action) == Some("REJECT")
                && {
                    let reply = judgement.path.is_some_and(|path| !path.client_is_source);
                    (record.protocol(), if reply { record.srcport() } else { record.dstport() })
                        == (Some(6), Some(5432))
                },
        ),
    ];
    for (id, what, condition, (least, most, period), counts) in expectations {
        let terms = Terms {
            budget: None,
            least,
            most,
            minutes: period,
            permitted: true,
            what: what.to_owned(),
            condition: condition.to_owned(),
        };
        // what began the day before is of that day too
        let spanned = |who: Who| {
            let first = start.unwrap_or(time).clamp(time - 1_200_000, time).div_euclid(60_000);
            let minutes = (first..=time.div_euclid(60_000)).map(move |minute| {
                let (day, within) = (minute.div_euclid(1440), minute.rem_euclid(1440));
                let bits = Minutes { hour: u8::try_from(within / 60).unwrap(), bits: 1 << (within % 60) };
                (day, Member { minutes: vec![bits], ..did_nothing(who.clone()) })
            });
            minutes.collect::<Vec<_>>()
        };
        let mut members = vec![(time.div_euclid(DAY), None)];
        if counts {
            let minute = u16::try_from(within / 60_000).unwrap();
            let counted = Member { each: vec![Each { minute, flows: 1 }], ..did_nothing(Who::Unknown) };
            members.push((time.div_euclid(DAY), Some(counted)));
            members.extend(spanned(Who::Unknown).into_iter().map(|(day, member)| (day, Some(member))));
        } else if word("verdict") == "gap" {
            members.extend(spanned(Who::Gap).into_iter().map(|(day, member)| (day, Some(member))));
        }
        for (day, member) in members {
            let key = Key {
                window: Window(Some(day * DAY)),
                rule: Some(id.to_owned()),
                reason: Some(what.to_owned()),
                ..key("expectations", None, None)
            };
            let history = History::new(false, member.into_iter().collect());
            all.push((key, History { terms: Some(Box::new(terms.clone())), ..history }));
        }
    }
    let placed = judgement.path.is_some() && judgement.zones.is_some();
    if let Some(interface) = record.text(Field::InterfaceId) {
        let mut zones = vec![word("client_zone"), word("server_zone")];
        zones.sort();
        zones.dedup();
        zones.retain(|zone| zone != "internet");
        let member = seen(Who::Interface(interface.to_owned()), placed.then_some(zones));
        all.push((key("interfaces", None, None), alone(false, member)));
    }
    if !placed {
        return all;
    }
    let number = |field| record.number(field).map_or(0, |value| u64::try_from(value).unwrap());
    let hours = |short| {
        let interface = Text(record.text(Field::InterfaceId).unwrap_or_default().into());
        vec![Hour {
            hour,
            short,
            flows: 1,
            first_seen: start,
            last_seen: Some(time),
            sums: vec![Sum { interface, flows: 1, bytes: number(Field::Bytes) }],
            first: first(row, judgement),
        }]
    };
    let did = |who, short| Member { hours: hours(short), ..did_nothing(who) };
    let first_of = |one, other| record.text(one).or_else(|| record.text(other)).unwrap();
    let (source, destination) =
        (first_of(Field::PktSrcaddr, Field::Srcaddr), first_of(Field::PktDstaddr, Field::Dstaddr));
    let to_client = !judgement.path.unwrap().client_is_source;
    let (client, server) = if to_client { (destination, source) } else { (source, destination) };
    let (client_zone, server_zone) = judgement.zones.unwrap();
    if ["blocked", "attempt"].contains(&&*word("verdict")) {
        let known = word("client_zone") != "internet";
        let key = Key {
            client_addr: known.then(|| client.to_owned()),
            ..key("refused", Some(word("client_zone")), Some(word("server_zone")))
        };
        all.push((key, alone(false, did(Who::Address(logged(server)), false))));
    }
    if record.text(Field::Action) != Some("ACCEPT") {
        return all;
    }
    let (from, to) = if to_client { ("server_zone", "client_zone") } else { ("client_zone", "server_zone") };
    if word(to) == "internet" && word(from) != "internet" {
        let protected = boundary.is_protected(if to_client { server_zone } else { client_zone });
        let member = did(Who::Address(logged(source)), false);
        all.push((key("exits", Some(word(from)), Some(word(to))), alone(protected, member)));
    }
    let ports = [record.srcport(), record.dstport()];
    let Some(protocol) = record.protocol().filter(|protocol| [6, 17].contains(protocol)) else { return all };
    if word("confidence") == "weak" || ports.contains(&None) {
        return all;
    }
    let expected = word("verdict") == "expected";
    let of_server =
        |port| Key { server_port: port, protocol: Some(6), ..key("replies", None, Some(word("server_zone"))) };
    if to_client {
        if expected && protocol == 6 && word("server_zone") != "internet" {
            let minutes = vec![Minutes { hour, bits: 1 << (within / 600_000 % 6 * 10) }];
            let member = Member { minutes, ..did_nothing(Who::Address(logged(server))) };
            all.push((of_server(ports[0]), alone(false, member)));
        }
        return all;
    }
    let port = ports[1].unwrap();
    let (packets, bytes) = (record.number(Field::Packets), record.number(Field::Bytes));
    let at_most = |most: (i64, i64)| packets.is_some_and(|n| n <= most.0) && bytes.is_some_and(|n| n <= most.1);
    if expected
        && protocol == 6
        && ![word("client_zone"), word("server_zone")].contains(&"internet".to_owned())
        && at_most((7, packets.unwrap_or(0).saturating_mul(64)))
    {
        let mut member = did(Who::Address(logged(server)), false);
        member.hours[0].hour = u8::try_from(within / 600_000).unwrap();
        all.push((of_server(Some(port)), alone(false, member)));
    }
    let service = |family| Key {
        server_port: Some(port),
        protocol: Some(protocol),
        ..key(family, Some(word("client_zone")), Some(word("server_zone")))
    };
    if word("server_zone") == "internet" && word("client_zone") != "internet" {
        let begin = start.map(|start| u32::try_from(start.max(time - within).rem_euclid(DAY) / 1000).unwrap());
        let calls = begin.map(|second| Call { port: ports[0].unwrap(), second }).into_iter().collect();
        let key = Key { client_addr: Some(client.to_owned()), ..service("beacons") };
        all.push((key, alone(false, Member { calls, ..did(Who::Address(logged(server)), false) })));
    }
    if boundary.is_protected(server_zone) {
        if expected && word("client_zone") != "internet" {
            let short = at_most((15, 20_000));
            all.push((service("services"), alone(false, did(Who::Address(logged(client)), short))));
        }
        if expected || word("verdict") == "breach" {
            all.push((
                key("ports", None, Some(word("server_zone"))),
                alone(false, did(Who::Port(port, protocol), false)),
            ));
        }
    }
    if expected && boundary.is_confined(client_zone) {
        all.push((service("destinations"), alone(false, did(Who::Address(logged(server)), false))));
    }
    all
}
