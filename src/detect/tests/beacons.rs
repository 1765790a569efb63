//! `beacon` at its thresholds, and what is none.

use super::watches::{EXITS, START};
use super::*;

/// A record of a call that begins at a second of the day.
fn call(second: i64, port: i64, bytes: i64) -> Line {
    let start = START + second;
    let flow = format!("10.0.1.5 203.0.113.7 {port} 443 6 9 {bytes}");
    Line(format!("vpc-1 eni-a {flow} {start} {} ACCEPT OK 2", start + 5))
}

/// Calls at these seconds, each of a port of its own.
fn calls(seconds: impl IntoIterator<Item = i64>) -> Vec<Line> {
    seconds.into_iter().zip(20_000..).map(|(second, port)| call(second, port, 500)).collect()
}

fn every(pause: i64, times: i64) -> Vec<Line> {
    calls((0..times).map(|call| 100 + call * pause))
}

fn states(lines: &[Line], beacons: bool) -> Vec<(Key, State)> {
    let map = Boundary::new(parse_map("exits.toml", EXITS).unwrap(), &Selection::default());
    let format: LogFormat = FORMAT.parse().unwrap();
    let mut tallies = Tallies::new(Some(&map)).gathering(if beacons { Gathers::Beacons } else { Gathers::Usual });
    for (Line(text), number) in lines.iter().zip(1..) {
        let record = record(text, &format);
        let judgement = map.judge(&record);
        tallies.observe("file:///x", [(&record, &judgement, number)]);
    }
    tallies.take()
}

fn found(lines: &[Line]) -> Vec<Finding> {
    let mut settings = Settings::default();
    settings.tunable("beacon").unwrap().enable(None, true);
    let states = states(lines, true);
    found_in(states.iter().filter(|(key, _)| key.detector == "history/beacons"), &settings)
}

#[test]
fn regular_calls_are_one_alert_that_tells_how_often() {
    let found = found(&every(900, 96));
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].title,
        "app 10.0.1.5 called internet 203.0.113.7:443/tcp 96 times, every 15 min or so, with 500 bytes each time"
    );
    assert_eq!((found[0].flows, found[0].severity, found[0].evidence.len()), (96, Severity::Low, 10));
    assert_eq!((found[0].window_start, found[0].window_end), (Some(START * 1000), Some((START + 86_400) * 1000)));
}

#[test]
fn each_threshold_counts() {
    let is_found = |lines: &[Line]| found(lines).len() == 1;
    // calls: 24
    assert!(!is_found(&every(900, 23)) && is_found(&every(900, 24)) && is_found(&every(900, 25)));
    // hours: 4
    let lasts = |seconds: i64| calls((0..30).map(|call| call * 300).chain([seconds]));
    assert!(!is_found(&lasts(14_399)) && is_found(&lasts(14_400)) && is_found(&lasts(14_401)));
    // 20 kB each
    let sized = |bytes| (0..40).map(|one| call(one * 900, 20_000 + one, bytes)).collect::<Vec<_>>();
    assert!(is_found(&sized(19_999)) && is_found(&sized(20_000)) && !is_found(&sized(20_001)));
    // a deviation of 40 % of the median takes 10 of 100, one more percent of it 10.25
    let jitter = |part: i64| {
        let pauses = (0..60).map(move |pause| 1000 + [-part, 0, part][pause % 3]);
        calls(pauses.scan(0, |at, pause| {
            *at += pause;
            Some(*at)
        }))
    };
    let scores = |part| found(&jitter(part)).first().map(|found| found.reason.clone().unwrap());
    assert!(scores(400).unwrap().starts_with("rhythm 90 of 100 in 60 calls over 16 hours"));
    assert_eq!(scores(410), None);
}

#[test]
fn what_is_no_beacon_is_not_found() {
    // a long connection has one port however many records it has
    let long: Vec<Line> = (0..96).map(|record| call(record * 900, 20_000, 500)).collect();
    assert!(found(&long).is_empty());
    // more ports than a beacon would have
    assert_eq!((found(&every(59, 1440)).len(), found(&every(59, 1441)).len()), (1, 0));
    // chance
    let mut at = 0;
    let chance = calls((0..200i64).map(|call| {
        at += 30 + (call * 7919 % 200) * (call * 104_729 % 200) / 50;
        at
    }));
    assert!(found(&chance).is_empty());
    // both interfaces' copies are no calls of their own
    let copies = |line: Line| [line.clone(), Line(line.0.replace("eni-a", "eni-b"))];
    let both = found(&every(900, 23).into_iter().flat_map(copies).collect::<Vec<_>>());
    assert!(both.is_empty());
}

/// In any cut, even where of too many calls some are left out.
#[test]
fn parts_make_the_whole() {
    let lines = every(40, 2000);
    let whole = states(&lines, true);
    for size in [300, 1999] {
        let parts = lines.chunks(size).rev().flat_map(|part| stored(&states(part, true)));
        let without_lines = |states: Vec<(Key, State)>| -> Vec<_> {
            let calls = |state| match state {
                State::History(history) => history.members.into_iter().map(|member| member.calls).collect(),
                _ => Vec::new(),
            };
            states.into_iter().map(|(key, state)| (key, calls(state))).collect()
        };
        assert_eq!(without_lines(State::by_key(parts.collect())), without_lines(whole.clone()), "in parts of {size}");
    }
}

#[test]
fn nothing_is_kept_where_nobody_asks() {
    let kept = |beacons| states(&every(900, 96), beacons).iter().any(|(key, _)| key.detector == "history/beacons");
    assert!(kept(true) && !kept(false));
    assert_eq!(Settings::default().gathers(), Gathers::Usual);
    let mut settings = Settings::default();
    settings.tunable("beacon").unwrap().enable(Some("app"), true);
    assert_eq!(settings.gathers(), Gathers::Beacons);
}
