//! The scan detectors at their thresholds, and what is no scan.

use super::*;

/// Contacts that are counted, as the definition says.
const CONTACTS: u64 = 16;

/// A SYN that is refused at the database's interface, or accepted by the client's own.
fn knock(source: &str, destination: &str, port: u64, end: i64) -> Line {
    line("eni-db", &format!("{source} {destination} 40000 {port} 6"), 1, end, "REJECT")
}

fn scans(lines: Vec<Line>) -> Vec<Finding> {
    let lines: Vec<(usize, Line)> = lines.into_iter().enumerate().collect();
    let boundary = boundary();
    let mut found = all_findings(&gather(&boundary, &lines));
    // record by record, and with what cannot matter left out
    let parts = lines.chunks(3).flat_map(|part| gather(&boundary, part));
    assert_eq!(judged(parts), found);
    found.retain(|finding| finding.detector.starts_with("scan."));
    found
}

/// Ports from 10000 on of one server.
fn ports(count: u64, from: i64, apart: i64) -> Vec<Line> {
    (0..count).map(|n| knock("203.0.113.7", "10.0.2.9", 10_000 + n, from + n as i64 * apart)).collect()
}

#[test]
fn a_vertical_scan_begins_with_the_fifteenth_port() {
    for (count, expected) in [(14, vec!["scan.slow"]), (15, vec!["scan.vertical"]), (16, vec!["scan.vertical"])] {
        let found = scans(ports(count, HOUR, 10));
        assert_eq!(found.iter().map(|finding| &*finding.detector).collect::<Vec<_>>(), expected, "{count}");
        assert_eq!((found[0].flows, found[0].distinct_ports), (count, Some(count)));
    }
    let found = scans(ports(15, HOUR, 10));
    assert_eq!(
        found[0].title,
        "internet 203.0.113.7 tried 15 ports of db 10.0.2.9, none of which it may reach: none let it through"
    );
    assert_eq!(found[0].reason.as_deref(), Some("15 ports; 15 of one server within an hour are a scan"));
    assert_eq!((found[0].severity, found[0].verdict), (Severity::Low, Some(crate::boundary::Verdict::Blocked)));
    assert_eq!((found[0].server_addr.as_deref(), found[0].server_port), (Some("10.0.2.9"), None));
    assert_eq!(found[0].evidence.len(), 10);
}

#[test]
fn the_same_port_again_is_one_port() {
    let lines = (0..100).map(|n| knock("203.0.113.7", "10.0.2.9", 10_000 + n % 7, HOUR + n as i64)).collect();
    assert!(scans(lines).is_empty());
}

#[test]
fn the_hour_slides_by_panes_of_ten_minutes() {
    // half before and half after the full hour
    assert_eq!(scans(ports(15, HOUR + 3600 - 70, 10))[0].detector, "scan.vertical");
    // 15 ports in six panes, and in seven
    let spread = |step: i64| {
        scans(
            (0..15).map(|n| knock("203.0.113.7", "10.0.2.9", 10_000 + n, HOUR + (n as i64).min(step) * 600)).collect(),
        )
    };
    assert_eq!(spread(5)[0].detector, "scan.vertical");
    assert_eq!(spread(6)[0].detector, "scan.slow");
}

#[test]
fn a_scan_is_one_alert_while_it_lasts() {
    let burst = |at: i64| ports(15, HOUR + at, 10);
    let together = |second: i64| scans([burst(0), burst(second)].concat());
    let found = together(60 * 60);
    assert_eq!((found.len(), found[0].flows, found[0].distinct_ports), (1, 30, Some(15)));
    assert_eq!(found[0].window_start, Some(HOUR * 1000));
    assert_eq!(found[0].window_end, Some((HOUR + 70 * 60) * 1000));
    // an hour of quiet, and a pane
    let found = together(70 * 60);
    assert_eq!(found.iter().map(|finding| finding.flows).collect::<Vec<_>>(), [15, 15]);
    assert_ne!(found[0].alert_id, found[1].alert_id);
}

/// Servers of one port; `10.0.2.` is the database's zone, which is protected.
fn servers(source: &str, network: &str, count: u64) -> Vec<Finding> {
    scans((0..count).map(|n| knock(source, &format!("{network}.{}", n + 10), 10_000, HOUR + n as i64)).collect())
}

#[test]
fn a_horizontal_scan_begins_with_the_twenty_fifth_server_and_from_inside_with_the_tenth_that_is_protected() {
    for (source, network, below) in
        [("203.0.113.7", "10.0.1", 24), ("203.0.113.7", "10.0.2", 24), ("10.0.1.5", "10.0.2", 9)]
    {
        let found = servers(source, network, below);
        assert!(found.iter().all(|finding| finding.detector == "scan.slow"), "{source} {network}");
        for count in [below + 1, below + 2] {
            let found = servers(source, network, count);
            let told: Vec<_> = found.iter().map(|finding| (&*finding.detector, finding.distinct_servers)).collect();
            assert_eq!(told, [("scan.horizontal", Some(count))], "{source} {network}");
            assert_eq!(
                (found[0].server_port, found[0].protocol, &found[0].server_addr),
                (Some(10_000), Some(6), &None)
            );
        }
    }
}

#[test]
fn a_source_with_many_scans_has_one_alert_of_each_kind() {
    let sweep = |hosts: u64| {
        let lines = (0..hosts).flat_map(|host| {
            (0..15).map(move |n| knock("203.0.113.7", &format!("10.0.2.{}", host + 10), 10_000 + n, HOUR + n as i64))
        });
        scans(lines.collect())
    };
    assert_eq!(sweep(10).len(), 10);
    let found = sweep(11);
    assert_eq!((found.len(), found[0].flows), (1, 11 * 15));
    assert_eq!(
        (&found[0].server_addr, found[0].distinct_servers, found[0].distinct_ports),
        (&None, Some(11), Some(15))
    );
    // 25 servers, and 15 ports each: of both kinds
    let kinds: Vec<_> = sweep(30).into_iter().map(|finding| (finding.detector.into_owned(), finding.flows)).collect();
    assert_eq!(kinds.len(), 2, "{kinds:?}");
    assert!(kinds.iter().all(|(_, flows)| *flows == 30 * 15), "{kinds:?}");
}

#[test]
fn a_slow_scan_begins_with_the_eighth_target_unless_contacts_speak_for_the_source() {
    // about one in an hour
    let slow = |count: u64, source: &'static str| {
        (0..count).map(move |n| knock(source, "10.0.2.9", 10_000 + n, HOUR + n as i64 * 4200))
    };
    for (count, found) in [(7, 0), (8, 1), (9, 1)] {
        assert_eq!(scans(slow(count, "203.0.113.7").collect()).len(), found, "{count}");
    }
    // from inside, with contacts that the map allows
    let contacts = |count: u64| {
        (0..count).map(|n| line("eni-app", &format!("10.0.1.5 10.0.2.{} 40000 5432 6", n + 10), 5, HOUR, "ACCEPT"))
    };
    let told = |probes: u64, good: u64| scans(slow(probes, "10.0.1.5").chain(contacts(good)).collect()).len();
    assert_eq!((told(8, 0), told(8, 4), told(8, 5)), (1, 1, 0));
    // more than are counted do not clear a source that tried more
    let (all, more) = (CONTACTS, 200);
    assert_eq!((told(all - 1 + 4, more), told(all + 4, more)), (0, 1));
}

#[test]
fn what_was_let_through_makes_it_high() {
    let mut lines = ports(15, HOUR, 10);
    lines.push(line("eni-db", "203.0.113.7 10.0.2.9 40000 10003 6", 1, HOUR, "ACCEPT"));
    let found = scans(lines);
    assert_eq!((found[0].severity, found[0].verdict, found[0].flows), (Severity::High, None, 16));
    let inside = scans((0..15).map(|n| knock("10.0.1.5", "10.0.2.9", 10_000 + n, HOUR)).collect());
    assert_eq!(inside[0].severity, Severity::Medium);
}

/// elastic/detection-rules#2977 and #5570, cisagov/Malcolm#858: what the map allows is no scan, whatever became of it,
/// and nor is one refused packet.
#[test]
fn allowed_traffic_is_no_scan() {
    let lookups = (0..200).map(|n| line("eni-app", &format!("10.0.1.5 10.0.2.{n} 40000 5432 6"), 1, HOUR, "ACCEPT"));
    let outage = (0..200).map(|n| line("eni-db", &format!("10.0.1.5 10.0.2.{n} 40000 5432 6"), 1, HOUR, "REJECT"));
    let dns = line("eni-db", "203.0.113.7 10.0.2.9 40000 53 17", 1, HOUR, "REJECT");
    assert!(scans(lookups.chain(outage).chain([dns]).collect()).is_empty());
}

#[test]
fn a_source_with_too_many_targets_is_a_crowd_however_they_came() {
    let boundary = boundary();
    // every target twice, the second time first in one half of them; of two interfaces, and so of two lines
    let knocks: Vec<(usize, Line)> = (0..10_000)
        .map(|n| {
            let (target, again) = (n * 7 % 5000, n / 5000);
            let at = HOUR + (target as i64 / 10) + if target % 2 == 0 { again as i64 } else { 1 - again as i64 };
            knock("203.0.113.7", &format!("10.0.2.{}", target % 50), 10_000 + target / 50, at)
        })
        .enumerate()
        .collect();
    let whole = gather(&boundary, &knocks);
    for size in [700, 4500, 5000, 9000] {
        let parts = knocks.chunks(size).rev().flat_map(|part| stored(&gather(&boundary, part)));
        let parts = State::by_key(parts.collect());
        assert!(parts == whole, "in parts of {size}");
        assert_eq!(judged(knocks.chunks(size).flat_map(|part| gather(&boundary, part))), all_findings(&whole));
    }
    let found: Vec<_> = all_findings(&whole).into_iter().filter(|finding| finding.detector != "blocked").collect();
    assert_eq!(found.len(), 1);
    assert_eq!((&*found[0].detector, found[0].flows), ("scan.horizontal", 10_000));
    let starts: Vec<_> = found[0].evidence.iter().map(|row| row.start).collect();
    assert!(starts.len() == 10 && starts.is_sorted(), "{starts:?}");
    // estimates: 50 servers and 100 ports
    assert!((49..=51).contains(&found[0].distinct_servers.unwrap()), "{:?}", found[0].distinct_servers);
    assert!((97..=103).contains(&found[0].distinct_ports.unwrap()), "{:?}", found[0].distinct_ports);
}

/// What was handed on is not gathered again: the contacts that count are the same in the end.
#[test]
fn contacts_are_the_same_in_however_many_parts_they_are_handed_on() {
    let boundary = boundary();
    let lines: Vec<Line> = (0..600)
        .map(|n| {
            // three clients, one of them with few contacts, each of which comes again
            let (client, server) = if n % 3 == 0 { (0, n % 5) } else { (n % 3, n % 200) };
            let flow = format!("10.0.1.{} 10.0.2.{server} 40000 5432 6", client + 5);
            line("eni-app", &flow, 5, HOUR + n as i64 * 400, "ACCEPT")
        })
        .collect();
    let format: LogFormat = FORMAT.parse().unwrap();
    let gathered = |every: usize| {
        let (mut tallies, mut parts) = (Tallies::new(Some(&boundary)), Vec::new());
        for (lines, first) in lines.chunks(every).zip((0_i64..).step_by(every)) {
            let records: Vec<_> = lines.iter().map(|Line(text)| record(text, &format)).collect();
            let judged: Vec<_> = records.iter().map(|record| boundary.judge(record)).collect();
            let rows = records.iter().zip(&judged).zip(first..);
            tallies.observe("file:///x", rows.map(|((record, judged), line)| (record, judged, line)));
            parts.extend(tallies.take());
        }
        State::by_key(parts)
    };
    let whole = gathered(lines.len());
    let contacts = |states: &[(Key, State)]| -> Vec<usize> {
        let sources = states.iter().filter_map(|(_, state)| match state {
            State::Probes(probes) => Some(probes.sources.iter().map(|source| source.contacts.len())),
            _ => None,
        });
        sources.flatten().collect()
    };
    assert!(contacts(&whole).contains(&16) && contacts(&whole).contains(&5), "{:?}", contacts(&whole));
    for every in [1, 7, 100, 299] {
        assert!(gathered(every) == whole, "{every}");
    }
}
