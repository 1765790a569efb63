//! Detection over whole inputs: any cut of them gives the same findings, and the same as counted the plain way.

mod beacons;
mod histories;
mod nights;
mod oracle;
mod scans;
mod settings;
mod unanswered;
mod watches;
mod weight;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::boundary::{Boundary, Judgement, Selection, Severity, parse_map};
use crate::parse::parse_line;
use crate::record::{FlowRecord, LogFormat};

const MAP: &str = concat!(include_str!("../../testdata/detect/small.toml"), "\n", include_str!("tests/expects.toml"));

const FORMAT: &str =
    "vpc-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status tcp-flags";

/// One line of [`FORMAT`].
#[derive(Debug, Clone)]
struct Line(String);

fn line(eni: &str, flow: &str, packets: u64, end: i64, action: &str) -> Line {
    Line(format!("vpc-1 {eni} {flow} {packets} {} {} {end} {action} OK 2", packets * 100, end - 50))
}

fn boundary() -> Boundary {
    Boundary::new(parse_map("small.toml", MAP).unwrap(), &Selection::default())
}

fn gather(boundary: &Boundary, lines: &[(usize, Line)]) -> Vec<(Key, State)> {
    let format: LogFormat = FORMAT.parse().unwrap();
    let rows: Vec<_> = lines
        .iter()
        .map(|(number, Line(text))| {
            let record = record(text, &format);
            let judgement = boundary.judge(&record);
            (record, judgement, i64::try_from(*number).unwrap())
        })
        .collect();
    let mut tallies = Tallies::new(Some(boundary));
    tallies.observe("file:///x", rows.iter().map(|(record, judgement, line)| (record, judgement, *line)));
    tallies.take()
}

fn record<'a>(line: &'a str, format: &LogFormat) -> FlowRecord<'a> {
    let mut record = FlowRecord::default();
    parse_line(line.as_bytes(), format, &mut record).unwrap();
    record
}

/// What comes back from a file.
fn stored(states: &[(Key, State)]) -> Vec<(Key, State)> {
    postcard::from_bytes(&postcard::to_stdvec(states).unwrap()).unwrap()
}

/// What a closing finds of states, each key of each day once.
fn all_findings(states: &[(Key, State)]) -> Vec<Finding> {
    found_with(states, &Settings::default())
}

/// Of the detectors that compare no days.
fn found_with(states: &[(Key, State)], settings: &Settings) -> Vec<Finding> {
    found_in(states.iter().filter(|(key, _)| !is_history(key)), settings)
}

/// Judges every day with those about it.
fn found_in<'s>(states: impl Iterator<Item = &'s (Key, State)>, settings: &Settings) -> Vec<Finding> {
    let mut keys: BTreeMap<Key, BTreeMap<Option<i64>, &State>> = BTreeMap::new();
    for (key, state) in states {
        keys.entry(Key { window: Window(None), ..key.clone() }).or_default().insert(key.window.0, state);
    }
    let days = || keys.values().flat_map(BTreeMap::keys).copied().flatten();
    let span = days().min().zip(days().max());
    let (mut timed, mut untimed) = (Judge::default(), Judge::default());
    let mut found = Vec::new();
    for (key, of_key) in &keys {
        let [before, after] = reach(is_history(key)).map(|days| days as i64 * window::DAY);
        if let Some((first, last)) = span {
            let every = |from: i64, to: i64| (from..=to).step_by(window::DAY as usize).map(Some);
            let stretch: Vec<Window> = every(first, last).map(Window).collect();
            let about: Vec<_> = every(first - before, last + after).map(|day| of_key.get(&day).copied()).collect();
            found.extend(timed.findings(key, &stretch, &about, settings));
        }
        if let Some(state) = of_key.get(&None) {
            found.extend(untimed.findings(key, &[Window(None)], &[None, Some(state), None], settings));
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found.into_iter().flat_map(|(_, found)| found).collect()
}

/// What a closing makes of parts, with what cannot matter left out.
fn judged(parts: impl Iterator<Item = (Key, State)>) -> Vec<Finding> {
    let settings = Settings::default();
    let mut by_key: BTreeMap<Key, BTreeMap<Window, Vec<State>>> = BTreeMap::new();
    for (key, state) in parts {
        let bare = Key { window: Window(None), ..key.clone() };
        by_key.entry(bare).or_default().entry(key.window).or_default().push(state);
    }
    let mut states = Vec::new();
    for (key, days) in by_key {
        let windows: Vec<Window> = days.keys().copied().collect();
        let merged = State::judged_by(days.into_values().collect(), &settings);
        let of_day = |(window, state): (Window, Option<State>)| Some((Key { window, ..key.clone() }, state?));
        states.extend(windows.into_iter().zip(merged).filter_map(of_day));
    }
    states.sort_by(|(one, _), (other, _)| one.cmp(other));
    all_findings(&states)
}

fn all(lines: Vec<Line>) -> Vec<Finding> {
    all_findings(&gather(&boundary(), &lines.into_iter().enumerate().collect::<Vec<_>>()))
}

const HOUR: i64 = 1_790_640_000;

#[test]
fn one_alert_per_key_while_it_lasts_never_one_per_record() {
    let probe = |end| line("eni-db", "203.0.113.7 10.0.2.9 40000 5432 6", 1, end, "REJECT");
    let hours = [0, 3599, 3600, 3 * 3600, 6 * 3600];
    let found = all(hours.map(|after| probe(HOUR + after)).to_vec());
    let told = found.iter().map(|found| (&*found.detector, found.window_start, found.window_end, found.flows));
    let at = |hour: i64| Some((HOUR + hour * 3600) * 1000);
    assert_eq!(told.collect::<Vec<_>>(), [("blocked", at(0), at(4), 4), ("blocked", at(6), at(7), 1)]);
    assert_ne!(found[0].alert_id, found[1].alert_id);
    assert_eq!(found[0].alert_id.len(), 32);
    assert!(found[0].alert_id.bytes().all(|b| b.is_ascii_hexdigit()));
    // its copies and conversations count once however long it lasts
    assert_eq!(found[0].conversations, Some(1));
}

#[test]
fn copies_of_both_interfaces_count_once() {
    let flow = "10.0.2.9 10.0.1.5 40000 22 6";
    let found = all(vec![
        line("eni-db", flow, 10, HOUR + 50, "ACCEPT"),
        line("eni-app", flow, 10, HOUR + 55, "ACCEPT"),
        // the interface that saw more counts
        line("eni-app", flow, 3, HOUR + 115, "ACCEPT"),
    ]);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].flows, found[0].conversations, found[0].packets, found[0].bytes),
        (3, Some(1), Some(13), Some(1300))
    );
}

#[test]
fn blocked_asks_what_was_tried_not_who_tried() {
    let probe = |client: &str| line("eni-db", &format!("{client} 10.0.2.9 40000 5432 6"), 1, HOUR, "REJECT");
    let found = all(vec![probe("203.0.113.7"), probe("203.0.113.8"), probe("198.51.100.1")]);
    assert_eq!(found.len(), 1);
    assert_eq!((&*found[0].detector, found[0].conversations, &found[0].client_addr), ("blocked", Some(3), &None));
    assert_eq!(found[0].title, "3 attempts on db 10.0.2.9:5432/tcp blocked by no-ingress:db");
    // an unprotected zone has no such alert
    assert!(all(vec![line("eni-app", "203.0.113.7 10.0.1.5 40000 22 6", 1, HOUR, "REJECT")]).is_empty());
}

#[test]
fn an_outage_carries_the_severity_of_its_rule_and_says_where() {
    let (request, reply) = ("10.0.1.5 10.0.2.9 40000 5432 6", "10.0.2.9 10.0.1.5 5432 40000 6");
    for (eni, flow, name, title) in [
        (
            "eni-db",
            request,
            "one-sided",
            "app 10.0.1.5 leaves for db 10.0.2.9:5432/tcp, which app-db allows, and is refused where it arrives",
        ),
        (
            "eni-app",
            request,
            "outage",
            "app 10.0.1.5 is refused at db 10.0.2.9:5432/tcp, which app-db allows (rejected-at-source)",
        ),
        (
            "eni-app",
            reply,
            "return-path",
            "app 10.0.1.5 reaches db 10.0.2.9:5432/tcp, which app-db allows, and the replies are refused",
        ),
    ] {
        let direction = if (eni, flow) == ("eni-app", request) { "egress" } else { "ingress" };
        let flags = if flow == reply { 18 } else { 2 };
        let format: LogFormat = WIDE.parse().unwrap();
        let text = format!("vpc-1 {eni} {} 4 400 {HOUR} {HOUR} REJECT OK {flags} {direction}", flow);
        let ends: Vec<&str> = text.split(' ').collect();
        let text = format!("{} - - {}", ends[..4].join(" "), ends[4..].join(" "));
        let record = record(&text, &format);
        let boundary = boundary();
        let judgement = boundary.judge(&record);
        let mut tallies = Tallies::new(Some(&boundary));
        tallies.observe("file:///x", [(&record, &judgement, 1)]);
        let found = all_findings(&tallies.take());
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!((&*found[0].detector, found[0].severity, &*found[0].title), (name, Severity::Critical, title));
        assert_eq!(found[0].rule.as_deref(), Some("app-db"));
    }
}

#[test]
fn an_attempt_says_what_became_of_it() {
    // here the application may send what the database may not receive
    let map = format!(
        "{MAP}\n[[rule]]\nid = \"app-out\"\nfrom = [\"app\"]\nto = [\"any\"]\nservice = [\"any\"]\nside = \"egress\"\n"
    );
    let boundary = Boundary::new(parse_map("open.toml", &map).unwrap(), &Selection::default());
    let format: LogFormat = WIDE.parse().unwrap();
    let told = |rows: &[(&str, &str, &str, &str)]| {
        let lines: Vec<String> = rows
            .iter()
            .map(|(eni, flow, action, direction)| {
                let [source, destination, ports @ ..] = &flow.split(' ').collect::<Vec<_>>()[..] else {
                    panic!("{flow}")
                };
                let ports = ports.join(" ");
                format!("vpc-1 {eni} {source} {destination} - - {ports} 1 60 {HOUR} {HOUR} {action} OK 2 {direction}")
            })
            .collect();
        let records: Vec<_> = lines.iter().map(|line| record(line, &format)).collect();
        let judged: Vec<_> = records.iter().map(|record| boundary.judge(record)).collect();
        let mut tallies = Tallies::new(Some(&boundary));
        tallies.observe(
            "file:///x",
            records.iter().zip(&judged).zip(1..).map(|((record, judged), n)| (record, judged, n)),
        );
        let found = all_findings(&tallies.take()).into_iter().filter(|finding| finding.detector == "attempt");
        found.map(|finding| (finding.severity, finding.title, finding.flows)).collect::<Vec<_>>()
    };
    let flow = "10.0.1.5 10.0.2.9 40000 22 6";
    let out = ("eni-app", flow, "ACCEPT", "egress");
    let refused = ("eni-db", flow, "REJECT", "ingress");
    let let_in = ("eni-db", flow, "ACCEPT", "ingress");
    let tried = "app 10.0.1.5 tried db 10.0.2.9:22/tcp, where it may not arrive, ";
    for (rows, severity, became) in [
        (&[out][..], Severity::Medium, "and it is not known whether it was let in"),
        (&[out, refused], Severity::Low, "and was refused there"),
        (&[let_in, out], Severity::Medium, "and was let in: see its breach"),
        (&[refused, out, let_in], Severity::Medium, "and was let in: see its breach"),
    ] {
        assert_eq!(told(rows), [(severity, format!("{tried}{became}"), 1)]);
    }
    // what nobody saw leave is no attempt; and another port is another path
    assert!(told(&[refused]).is_empty());
    let other = ("eni-db", "10.0.1.5 10.0.2.9 40000 23 6", "REJECT", "ingress");
    assert_eq!(told(&[out, other])[0].0, Severity::Medium);
}

#[test]
fn an_unknown_vpc_missing_fields_and_a_gap_are_told() {
    let foreign = line("eni-x", "10.9.0.1 10.9.0.2 40000 22 6", 1, HOUR, "ACCEPT").0.replace("vpc-1", "vpc-2");
    let gap = format!("vpc-1 eni-db - - - - - - - {HOUR} {HOUR} - SKIPDATA -");
    let nobody = line("eni-x", "- 10.0.2.9 40000 22 6", 1, HOUR, "ACCEPT");
    let undecided = line("eni-x", "10.0.1.5 10.0.2.9 40000 22 6", 1, HOUR, "-");
    let forged = line("eni-x", "10.8.0.1 192.0.2.7 40000 22 6", 1, HOUR, "ACCEPT");
    let found = all(vec![Line(foreign), Line(gap), nobody, undecided, forged]);
    let names: Vec<_> = found.iter().map(|finding| (&*finding.detector, finding.flows)).collect();
    assert_eq!(names, [("fields", 2), ("log-gap", 1), ("unmapped", 1), ("unmapped", 1)]);
    let outside = "1 record between addresses that are both outside of the VPC: nothing watches it";
    assert!(found.iter().any(|finding| finding.title == outside && finding.severity == Severity::Low));
}

#[test]
fn evidence_is_the_earliest_ten() {
    let lines: Vec<Line> =
        (0..40).rev().map(|i| line("eni-db", "10.0.2.9 10.0.1.5 40000 22 6", 1, HOUR + 60 + i, "ACCEPT")).collect();
    let found = all(lines);
    let starts: Vec<_> = found[0].evidence.iter().map(|row| row.start.unwrap() / 1000).collect();
    assert_eq!(starts, (HOUR + 10..HOUR + 20).collect::<Vec<_>>());
}

#[test]
fn conversations_are_exact_up_to_4096_directions_and_estimated_above_however_they_came() {
    let boundary = boundary();
    let knocks = |count: usize| -> Vec<(usize, Line)> {
        let knock = |n: usize| {
            let flow = format!("198.18.{}.{} 10.0.2.9 {} 5432 6", n / 250, n % 250, 30_000 + n % 7);
            line("eni-db", &flow, 2, HOUR + n as i64 % 600, "REJECT")
        };
        // the second time later, and the other way round
        (0..count).chain((0..count).rev()).map(knock).enumerate().collect()
    };
    let told = |states: &[(Key, State)]| {
        let found = all_findings(states).into_iter().find(|finding| finding.detector == "blocked").unwrap();
        (found.flows, found.conversations.unwrap(), found.packets.unwrap())
    };
    assert_eq!(told(&gather(&boundary, &knocks(4096))), (8192, 4096, 4 * 4096));
    let many = knocks(4097);
    let whole = gather(&boundary, &many);
    let (flows, conversations, packets) = told(&whole);
    assert_eq!((flows, packets), (2 * 4097, 4 * 4097));
    assert!(conversations.abs_diff(4097) < 4097 / 20, "{conversations}");
    let title = &all_findings(&whole).into_iter().find(|finding| finding.detector == "blocked").unwrap().title;
    assert!(title.starts_with(&format!("about {conversations} attempts on db ")), "{title}");
    for size in [500, 4000, 4097, 8000] {
        let parts = many.chunks(size).rev().flat_map(|part| stored(&gather(&boundary, part)));
        assert!(State::by_key(parts.collect()) == whole, "in parts of {size}");
    }
}

#[test]
fn ids_tell_detectors_keys_and_windows_apart() {
    let lines = ["203.0.113.7 10.0.2.9 1 5432 6", "203.0.113.7 10.0.2.9 1 22 6", "203.0.113.7 10.0.2.10 1 22 6"]
        .into_iter()
        .flat_map(|flow| ["ACCEPT", "REJECT"].map(|action| line("eni-db", flow, 9, HOUR, action)))
        .collect();
    let found = all(lines);
    let ids: std::collections::BTreeSet<_> = found.iter().map(|finding| &finding.alert_id).collect();
    assert_eq!((found.len(), ids.len()), (6, 6));
}

fn any_line() -> impl Strategy<Value = Line> {
    let address = prop::sample::select(vec!["10.0.1.5", "10.0.2.9", "203.0.113.7", "2001:db8::1"]);
    (
        prop::sample::select(vec!["eni-a", "eni-b"]),
        address.clone(),
        address,
        prop::sample::select(vec![22u16, 5432, 40000]),
        1u64..50,
        prop::sample::select(vec![0i64, 1, 3, 6, 13, 22, 24, 25, 37, 47, 49]),
        prop::bool::ANY,
    )
        .prop_map(|(eni, from, to, port, packets, hour, accept)| {
            let action = if accept { "ACCEPT" } else { "REJECT" };
            line(eni, &format!("{from} {to} 41000 {port} 6"), packets, HOUR + hour * 3600 + 100, action)
        })
}

proptest! {
    /// I7, I8: whatever the order and the cut, and whether what was gathered was stored between, the findings agree.
    #[test]
    fn any_cut_gives_the_same_findings(
        lines in prop::collection::vec(any_line(), 1..60),
        order in any::<u64>(),
        parts in 1usize..5,
    ) {
        let boundary = boundary();
        let lines: Vec<(usize, Line)> = lines.into_iter().enumerate().collect();
        let whole = all_findings(&gather(&boundary, &lines));

        let mut shuffled = lines;
        shuffled.sort_by_key(|(number, _)| (*number as u64 + 1).wrapping_mul(order | 1));
        let count = parts;
        let parts = shuffled.chunks(shuffled.len().div_ceil(parts));
        let merged = State::by_key(parts.flat_map(|part| stored(&gather(&boundary, part))).collect());
        prop_assert_eq!(&all_findings(&merged), &whole);
        prop_assert_eq!(&judged(shuffled.chunks(shuffled.len().div_ceil(count)).flat_map(|part| gather(&boundary, part))), &whole);
        let digests = |findings: &[Finding]| findings.iter().map(Finding::digest).collect::<Vec<_>>();
        prop_assert_eq!(digests(&all_findings(&merged)), digests(&whole));
    }
}

/// The format of [`any_text`].
const WIDE: &str = "vpc-id interface-id srcaddr dstaddr pkt-srcaddr pkt-dstaddr srcport dstport protocol packets bytes \
                    start end action log-status tcp-flags flow-direction";

/// A line of every kind: values missing, addresses of both families in every spelling, other VPCs, heartbeats, gaps.
fn any_text() -> impl Strategy<Value = String> {
    let address = || {
        prop::sample::select(vec![
            "10.0.1.5",
            "10.0.1.6",
            "10.0.2.9",
            "10.0.2.10",
            "10.0.3.1",
            "203.0.113.7",
            "2001:db8::1",
            "2001:DB8::1",
            "2001:db8:0::1",
            "::ffff:10.0.2.9",
            "-",
        ])
    };
    let packet = || prop_oneof![4 => Just("-"), 1 => address()];
    let port = || prop::sample::select(vec!["22", "5432", "40000", "40001", "-"]);
    let count = || prop::sample::select(vec!["1", "7", "9223372036854775807", "-"]);
    let time = || prop_oneof![9 => (0..7300i64).prop_map(|s| (HOUR + s).to_string()), 1 => Just("-".to_owned())];
    let ends =
        (address(), address(), packet(), packet(), port(), port(), prop::sample::select(vec!["6", "17", "1", "-"]));
    let places =
        (prop::sample::select(vec!["vpc-1", "vpc-1", "vpc-2", "-"]), prop::sample::select(vec!["eni-a", "eni-b", "-"]));
    let words = (
        prop::sample::select(vec!["ACCEPT", "REJECT"]),
        prop::sample::select(vec!["0", "2", "18", "4", "-"]),
        prop::sample::select(vec!["ingress", "egress", "-"]),
    );
    let status = prop_oneof![8 => Just("OK"), 1 => Just("NODATA"), 1 => Just("SKIPDATA")];
    (places, ends, count(), count(), time(), time(), words, status).prop_map(
        |(
            (vpc, eni),
            (src, dst, pkt_src, pkt_dst, srcport, dstport, protocol),
            packets,
            bytes,
            start,
            end,
            words,
            status,
        )| {
            let (action, flags, direction) = words;
            if status != "OK" {
                return format!("{vpc} {eni} - - - - - - - - - {start} {end} - {status} - -");
            }
            format!(
                "{vpc} {eni} {src} {dst} {pkt_src} {pkt_dst} {srcport} {dstport} {protocol} {packets} {bytes} \
                 {start} {end} {action} OK {flags} {direction}"
            )
        },
    )
}

proptest! {
    /// The compact form is a matter of speed: what comes out of it is what the plain way gives, to the byte.
    #[test]
    fn gathered_as_counted_the_plain_way(
        lines in prop::collection::vec(any_text(), 0..120),
        objects in 1usize..4,
        again in any::<bool>(),
        with_map in any::<bool>(),
        absorbs in any::<bool>(),
    ) {
        let map = boundary();
        let boundary = Some(&map).filter(|_| with_map);
        let format: LogFormat = WIDE.parse().unwrap();
        let records: Vec<_> = lines.iter().map(|line| record(line, &format)).collect();
        let judged: Vec<Option<Judgement>> = records
            .iter()
            .map(|record| match boundary {
                Some(boundary) => Some(boundary.judge(record)),
                None => Judgement::of_status(record),
            })
            .collect();
        let tallies = || Tallies::new(boundary).gathering(Gathers::Beacons);
        let (mut relieved, mut counts) = (tallies(), Vec::new());
        // of workers whose texts have other numbers
        let (mut together, mut beside, another) = (tallies().take_histories(), Vec::new(), tallies);
        let (mut tallies, mut handing_on, mut parts) = (tallies(), tallies(), Vec::new());
        let mut rows = Vec::new();
        let length = lines.len().div_ceil(objects).max(1);
        // the same object twice is the same rows of evidence
        for _ in 0..=usize::from(again) {
            for (number, (records, judged)) in records.chunks(length).zip(judged.chunks(length)).enumerate() {
                let source = ["file:///b", "file:///a", "s3://c/d"][number];
                let batch = records.iter().zip(judged).zip(1..);
                let judged = batch.clone().filter_map(|((record, judged), line)| Some((record, judged.as_ref()?, line)));
                tallies.observe(source, judged.clone());
                handing_on.observe(source, judged.clone());
                parts.extend(handing_on.take());
                let mut other = another();
                other.observe(source, judged.clone());
                let Ok(()) = other.relieve(usize::MAX, |key, state| {
                    beside.push((key, state));
                    Ok::<_, std::convert::Infallible>(())
                });
                let mut other = other.take_histories();
                if !absorbs {
                    std::mem::swap(&mut together, &mut other);
                }
                together.absorb(other);
                relieved.observe(source, judged);
                let Ok(()) = relieved.relieve(usize::MAX, |key, state| {
                    assert!(!is_history(&key), "histories stay");
                    counts.push((key, state));
                    Ok::<_, std::convert::Infallible>(())
                });
                rows.extend(batch.map(|((record, _), line)| (record, source, line)));
            }
        }
        let taken = tallies.take();
        prop_assert_eq!(&taken, &State::by_key(parts));
        let Ok(()) = together.hand_over(|key, state| {
            beside.push((key, state));
            Ok::<_, std::convert::Infallible>(())
        });
        let keys = beside.iter().filter(|(key, _)| is_history(key)).count();
        prop_assert_eq!(keys, taken.iter().filter(|(key, _)| is_history(key)).count(), "each stands once");
        prop_assert_eq!(&taken, &State::by_key(beside));
        counts.extend(relieved.take());
        prop_assert_eq!(&taken, &State::by_key(counts));
        let expected = oracle::states(boundary, rows);
        prop_assert_eq!(&taken, &expected);
        for (taken, expected) in taken.iter().zip(&expected) {
            prop_assert_eq!(postcard::to_stdvec(taken).unwrap(), postcard::to_stdvec(expected).unwrap());
        }
        prop_assert_eq!((tallies.weight(), tallies.take().len()), (0, 0));
    }
}
