//! Detectors at thresholds that were set, and the allow-list.

use super::*;

fn found(lines: &[Line], settings: &Settings) -> Vec<Finding> {
    let states = gather(&boundary(), &lines.iter().cloned().enumerate().collect::<Vec<_>>());
    found_with(&states, settings)
}

fn detectors(lines: &[Line], settings: &Settings) -> Vec<String> {
    found(lines, settings).into_iter().map(|finding| finding.detector.into_owned()).collect()
}

/// Refused at the database's interface.
fn knock(source: &str, destination: &str, port: u64, end: i64) -> Line {
    line("eni-db", &format!("{source} {destination} 40000 {port} 6"), 1, end, "REJECT")
}

/// These ports of one server.
fn ports(source: &str, count: u64, apart: i64) -> Vec<Line> {
    (0..count).map(|n| knock(source, "10.0.2.9", 10_000 + n, HOUR + n as i64 * apart)).collect()
}

/// As many servers on one port.
fn servers(source: &str, network: &str, count: u64) -> Vec<Line> {
    (0..count).map(|n| knock(source, &format!("{network}.{}", n + 10), 10_000, HOUR + n as i64)).collect()
}

/// The default, with these set.
pub(super) fn with(sets: &[(&str, Option<&str>, &str, u64)]) -> Settings {
    let mut settings = Settings::default();
    for (detector, zone, knob, value) in sets {
        settings.tunable(detector).unwrap().set(*zone, knob, *value);
    }
    settings
}

fn off(detector: &str, zone: Option<&str>) -> Settings {
    let mut settings = Settings::default();
    settings.tunable(detector).unwrap().enable(zone, false);
    settings
}

#[test]
fn every_threshold_holds_from_its_value_on() {
    let of = |detector: &str, lines: &[Line], settings: &Settings| {
        detectors(lines, settings).iter().filter(|name| *name == detector).count()
    };
    type Lines = fn(u64) -> Vec<Line>;
    let cases: [(&str, &str, u64, Lines); 6] = [
        ("scan.vertical", "ports", 5, |n| ports("203.0.113.7", n, 10)),
        ("scan.horizontal", "servers", 7, |n| servers("203.0.113.7", "10.0.1", n)),
        ("scan.horizontal", "protected-servers", 4, |n| servers("10.0.1.5", "10.0.2", n)),
        ("scan.slow", "targets", 12, |n| ports("203.0.113.7", n, 4200)),
        ("scan.slow", "lead", 9, |n| ports("203.0.113.7", n, 4200)),
        ("blocked", "flows", 3, |n| (0..n).map(|n| knock("203.0.113.7", "10.0.2.9", 5432, HOUR + n as i64)).collect()),
    ];
    for (detector, knob, value, lines) in cases {
        let settings = with(&[(detector, None, knob, value)]);
        let told = [value - 1, value, value + 1].map(|count| of(detector, &lines(count), &settings));
        assert_eq!(told, [0, 1, 1], "{detector} {knob}");
    }
    // how many alerts of a source are one
    let sweep = |hosts: u64| -> Vec<Line> {
        let host = |host: u64| {
            (0..15).map(move |n| knock("203.0.113.7", &format!("10.0.2.{}", host + 10), 10_000 + n, HOUR + n as i64))
        };
        (0..hosts).flat_map(host).collect()
    };
    let settings = with(&[("scan.vertical", None, "alerts", 2)]);
    assert_eq!([1, 2, 3].map(|hosts| of("scan.vertical", &sweep(hosts), &settings)), [1, 2, 1]);
}

#[test]
fn every_detector_can_be_switched_off() {
    let one = |source: &str, verdict: &str| line("eni-db", &format!("{source} 10.0.2.9 40000 22 6"), 1, HOUR, verdict);
    let refused = line("eni-app", "10.0.1.5 10.0.2.9 40000 5432 6", 1, HOUR, "REJECT");
    let at_server = line("eni-db", "10.0.1.5 10.0.2.9 40000 5432 6", 1, HOUR, "REJECT");
    let lines = [
        ports("203.0.113.7", 15, 10),
        servers("10.0.1.6", "10.0.2", 10),
        ports("203.0.113.9", 8, 4200),
        vec![one("10.0.1.5", "ACCEPT"), one("10.0.1.9", "REJECT"), refused, at_server],
    ]
    .concat();
    let all = detectors(&lines, &Settings::default());
    let mut switched = 0;
    for name in detector_names().filter(|name| all.iter().any(|found| found == name)) {
        let left = detectors(&lines, &off(name, None));
        assert!(left.iter().all(|found| found != name), "{name}");
        // of the others nothing changes, but that a source without a fast scan may have a slow one
        let others = |found: &[String]| found.iter().filter(|found| *found != name && *found != "scan.slow").count();
        assert_eq!(others(&left), others(&all), "{name}");
        switched += 1;
    }
    assert!(switched >= 6, "{all:?}");
    // what cannot be made here has a switch, too
    assert!(detector_names().all(|name| Settings::default().tunable(name).is_some()));
}

/// Scans ask the zone of the source, counting detectors that of the server.
#[test]
fn a_zone_has_settings_of_its_own() {
    let settings = with(&[
        ("scan.vertical", None, "ports", 9),
        ("scan.vertical", Some("internet"), "ports", 20),
        ("blocked", Some("db"), "flows", 2),
    ]);
    let vertical = |source: &str, count: u64| {
        detectors(&ports(source, count, 10), &settings).iter().any(|name| name == "scan.vertical")
    };
    assert_eq!([vertical("10.0.1.5", 8), vertical("10.0.1.5", 9)], [false, true]);
    assert_eq!([vertical("203.0.113.7", 19), vertical("203.0.113.7", 20)], [false, true]);
    let knocks = |count: i64| (0..count).map(|n| knock("203.0.113.7", "10.0.2.9", 5432, HOUR + n)).collect::<Vec<_>>();
    assert_eq!([1, 2].map(|count| detectors(&knocks(count), &settings).len()), [0, 1]);
    assert!(
        detectors(&ports("203.0.113.7", 30, 10), &off("scan.vertical", Some("internet")))
            .contains(&"scan.slow".to_owned())
    );
    assert_eq!(settings.zones(), [("blocked", "db".to_owned()), ("scan.vertical", "internet".to_owned())]);
    // what a zone does not set is what is set everywhere
    let settings = with(&[("scan.slow", None, "lead", 7), ("scan.slow", Some("db"), "targets", 9)]);
    assert_eq!((settings.slow.of(Some("db")).lead, settings.slow.of(Some("db")).targets), (7, 9));
    assert_eq!(settings.slow.of(Some("app")).targets, 8);
}

fn entry() -> Allowed {
    Allowed {
        reason: "SEC-12".to_owned(),
        client: None,
        client_zone: None,
        server: None,
        server_zone: None,
        port: None,
        detector: None,
        until: None,
    }
}

fn breach() -> Finding {
    let line = line("eni-db", "10.0.1.5 10.0.2.9 40000 22 6", 1, HOUR + 100, "ACCEPT");
    found(&[line], &Settings::default()).into_iter().find(|finding| finding.detector == "breach").unwrap()
}

#[test]
fn an_entry_asks_all_that_it_names() {
    let breach = breach();
    let network = |text: &str| Some(text.parse().unwrap());
    let word = |text: &str| Some(text.to_owned());
    let matching = [
        Allowed { client: network("10.0.1.5/32"), ..entry() },
        Allowed { client: network("10.0.1.0/24"), ..entry() },
        Allowed { client_zone: word("app"), ..entry() },
        Allowed { server: network("10.0.2.0/24"), ..entry() },
        Allowed { server_zone: word("db"), ..entry() },
        Allowed { port: Some(22), ..entry() },
        Allowed { detector: word("breach"), ..entry() },
        Allowed { until: Some((HOUR + 101) * 1000), ..entry() },
    ];
    let other = [
        Allowed { client: network("10.0.1.6/32"), ..entry() },
        Allowed { client: network("2001:db8::/32"), ..entry() },
        Allowed { client_zone: word("db"), ..entry() },
        Allowed { server: network("10.0.1.0/24"), ..entry() },
        Allowed { server_zone: word("app"), ..entry() },
        Allowed { port: Some(23), ..entry() },
        Allowed { detector: word("attempt"), ..entry() },
    ];
    assert!(matching.iter().all(|entry| entry.matches(&breach) && !entry.is_expired(&breach)));
    assert!(other.iter().all(|entry| !entry.matches(&breach)));
    // all of it together, and all but one
    let [client, .., server, server_zone, port, detector, until] = &matching;
    let whole = Allowed {
        client: client.client,
        client_zone: word("app"),
        server: server.server,
        server_zone: server_zone.server_zone.clone(),
        port: port.port,
        detector: detector.detector.clone(),
        until: until.until,
        ..entry()
    };
    let allowing = |entry: Allowed| Settings { allow: vec![entry], ..Settings::default() }.allowing(&breach).is_some();
    assert!(allowing(whole.clone()));
    assert!(!allowing(Allowed { port: Some(23), ..whole.clone() }));
    assert!(!allowing(Allowed { client_zone: word("db"), ..whole }));
    // a finding that names no server is not allowed by one
    let scan = Finding { server_addr: None, server_port: None, ..breach.clone() };
    assert!(!Allowed { server: network("0.0.0.0/0"), ..entry() }.matches(&scan));
    assert!(!Allowed { port: Some(22), ..entry() }.matches(&scan));
}

#[test]
fn an_entry_holds_for_what_ended_before_its_until() {
    let breach = breach();
    assert_eq!(breach.last_seen, Some((HOUR + 100) * 1000));
    let expired = |until: i64| Allowed { until: Some(until), ..entry() }.is_expired(&breach);
    let seen = (HOUR + 100) * 1000;
    assert_eq!([seen - 1, seen, seen + 1].map(expired), [true, true, false]);
    let timeless = Finding { last_seen: None, ..breach.clone() };
    assert!(Allowed { until: Some(i64::MAX), ..entry() }.is_expired(&timeless));
    assert!(!entry().is_expired(&timeless));
    let mut uses =
        AllowUse::none_of(&[Allowed { until: Some(seen), ..entry() }, entry(), Allowed { port: Some(1), ..entry() }]);
    uses.iter_mut().for_each(|entry| entry.count(&breach));
    assert_eq!(uses.iter().map(|one| (one.allowed, one.expired)).collect::<Vec<_>>(), [(0, 1), (1, 0), (0, 0)]);
}
