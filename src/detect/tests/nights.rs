//! Alerts that go over midnight.

use super::*;

/// The day begins with [`HOUR`].
const NIGHT: i64 = HOUR + 86_400;

fn at(seconds: i64) -> Option<i64> {
    Some((NIGHT + seconds) * 1000)
}

/// Start and end in hours from midnight, and flows, of the alerts of a detector; gathered in one, and day by day.
fn told(detector: &str, lines: Vec<Line>) -> Vec<(i64, i64, u64)> {
    let lines: Vec<(usize, Line)> = lines.into_iter().enumerate().collect();
    let boundary = boundary();
    let found = all_findings(&gather(&boundary, &lines));
    assert_eq!(judged(lines.chunks(5).rev().flat_map(|part| gather(&boundary, part))), found);
    let hours = |time: Option<i64>| (time.unwrap() / 1000 - NIGHT) / 3600;
    let of_detector = found.iter().filter(|finding| finding.detector == detector);
    let mut told: Vec<_> =
        of_detector.map(|found| (hours(found.window_start), hours(found.window_end), found.flows)).collect();
    told.sort_unstable();
    told
}

/// A probe of the database in each of these hours.
fn hourly(hours: impl IntoIterator<Item = i64>) -> Vec<(i64, i64, u64)> {
    let probe = |hour| line("eni-db", "203.0.113.7 10.0.2.9 40000 5432 6", 1, NIGHT + hour * 3600, "REJECT");
    told("blocked", hours.into_iter().map(probe).collect())
}

#[test]
fn what_goes_on_over_midnight_is_one_alert() {
    assert_eq!(hourly([-1, 0]), [(-1, 1, 2)]);
    assert_eq!(hourly([-2, 0, 2]), [(-2, 3, 3)]);
    // two quiet hours
    assert_eq!(hourly([-2, 1]), [(-2, -1, 1), (1, 2, 1)]);
    // what begins before noon ends with its day
    assert_eq!(hourly(-13..5), [(-13, 0, 13), (0, 5, 5)]);
    assert_eq!(hourly(-12..5), [(-12, 5, 17)]);
    // and what begins later with the next
    assert_eq!(hourly(-11..50), [(-11, 24, 35), (24, 48, 24), (48, 50, 2)]);
    assert_eq!(hourly(0..48), [(0, 24, 24), (24, 48, 24)]);
}

/// Probes of so many ports of one server, ten seconds apart.
fn ports(count: u64, from: i64) -> Vec<Line> {
    let probe = |n: u64| {
        let flow = format!("203.0.113.7 10.0.2.9 40000 {} 6", 10_000 + n);
        line("eni-db", &flow, 1, NIGHT + from + n as i64 * 10, "REJECT")
    };
    (0..count).map(probe).collect()
}

fn vertical(bursts: &[(u64, i64)]) -> Vec<(i64, i64, u64)> {
    told("scan.vertical", bursts.iter().flat_map(|(count, from)| ports(*count, *from)).collect())
}

#[test]
fn the_hour_of_a_scan_slides_over_midnight() {
    // seven ports before and eight after
    let found = all(ports(15, -70));
    let scans: Vec<_> = found.iter().filter(|finding| finding.detector.starts_with("scan.")).collect();
    assert_eq!((scans.len(), &*scans[0].detector, scans[0].flows), (1, "scan.vertical", 15));
    assert_eq!((scans[0].window_start, scans[0].window_end), (at(-600), at(600)));
    assert_eq!(scans[0].evidence.len(), 10);
    assert!(scans[0].evidence.is_sorted());
    // fourteen are none of those
    assert!(all(ports(14, -70)).iter().all(|finding| finding.detector != "scan.vertical"));
}

#[test]
fn a_scan_is_one_alert_over_midnight() {
    let hour = 3600;
    assert_eq!(vertical(&[(15, -hour), (15, 0)]), [(-1, 0, 30)]);
    // an hour of quiet and a pane
    assert_eq!(vertical(&[(15, -hour), (15, 600)]).len(), 2);
    // one that began in the morning ends with its day
    let bursts = |from: i64| (from..5).map(|n| (15, n * hour)).collect::<Vec<_>>();
    assert_eq!(vertical(&bursts(-13)), [(-13, 0, 13 * 15), (0, 4, 5 * 15)]);
    assert_eq!(vertical(&bursts(-12)), [(-12, 4, 17 * 15)]);
    // and what is behind it counts for the next alone
    assert_eq!(vertical(&[&bursts(-13)[..13], &[(7, -600), (15, 0)]].concat()), [(-13, 0, 13 * 15 + 7), (0, 0, 15)]);
}

/// A fast scan that lasts into a day is enough for it: no slow one.
#[test]
fn a_source_with_a_scan_of_the_day_before_has_no_slow_one() {
    let slow = |after: i64| told("scan.slow", [ports(15, -70), ports(8, after)].concat());
    assert_eq!(slow(6 * 3600), []);
    assert_eq!(told("scan.slow", [ports(15, -4000), ports(8, 6 * 3600)].concat()), [(6, 6, 8)]);
}

/// Of crowds it is known when they begin and end.
#[test]
fn a_crowd_goes_over_midnight() {
    let boundary = boundary();
    let sweep = |from: i64, count: i64| {
        (0..count).map(move |n| {
            let flow = format!("203.0.113.7 10.0.2.{} 40000 {} 6", n % 250, 10_000 + n / 250);
            line("eni-db", &flow, 1, NIGHT + from + n / 10, "REJECT")
        })
    };
    let scans = |lines: Vec<Line>| {
        let lines: Vec<(usize, Line)> = lines.into_iter().enumerate().collect();
        let found = judged(lines.chunks(1500).flat_map(|part| gather(&boundary, part)));
        let scans = found.into_iter().filter(|finding| finding.detector.starts_with("scan."));
        scans.map(|found| (found.detector.into_owned(), found.window_start, found.window_end, found.flows)).collect()
    };
    let horizontal = |start, end, flows| ("scan.horizontal".to_owned(), at(start), at(end), flows);
    // 5000 before and 1000 after, and the other way round
    let found: Vec<_> = scans(sweep(-500, 6000).collect());
    assert_eq!(found, [horizontal(-600, 600, 6000)]);
    let found: Vec<_> = scans(sweep(-100, 6000).collect());
    assert_eq!(found, [horizontal(-600, 600, 6000)]);
    // the crowd's day after is told with it, but for what begins there and goes on
    let day = 86_400;
    let later = || {
        (0..15).map(move |n| {
            let flow = format!("203.0.113.7 10.0.2.9 40000 {} 6", 20_000 + n);
            line("eni-db", &flow, 1, NIGHT + day - 70 + n * 10, "REJECT")
        })
    };
    let found: Vec<_> = scans(sweep(-500, 6000).chain(later()).collect());
    let vertical = ("scan.vertical".to_owned(), at(day - 600), at(day + 600), 15);
    assert_eq!(found, [horizontal(-600, day, 6007), vertical]);
    // it began in the morning
    let found: Vec<_> = scans(sweep(-500, 6000).chain(sweep(-13 * 3600, 1)).collect());
    assert_eq!(found.len(), 5, "the day's, and of the day after that of each port: {found:?}");
    assert_eq!(found[0], horizontal(-13 * 3600, 0, 5001));
}

/// Probes of these ports, a minute apart, from so many hours after midnight on.
fn slowly(ports: std::ops::Range<i64>, from: i64) -> Vec<Line> {
    let begin = ports.start;
    let probe = |port: i64| {
        let flow = format!("203.0.113.7 10.0.2.9 40000 {port} 6");
        line("eni-db", &flow, 1, NIGHT + from * 3600 + (port - begin) * 60, "REJECT")
    };
    ports.map(probe).collect()
}

#[test]
fn a_slow_scan_over_midnight_is_one_of_the_night() {
    let slow = |parts: &[Vec<Line>]| told("scan.slow", parts.concat());
    // too few for either day
    let halves = || vec![slowly(10..14, -3), slowly(14..18, 2)];
    assert_eq!(slow(&halves()), [(-3, 2, 8)]);
    assert_eq!(slow(&[slowly(10..14, -3), slowly(14..17, 2)]), []);
    // from noon to noon, and no more
    assert_eq!(slow(&[slowly(10..14, -12), slowly(14..18, 11)]), [(-12, 11, 8)]);
    assert_eq!(slow(&[slowly(10..14, -13), slowly(14..18, 11)]), []);
    assert_eq!(slow(&[slowly(10..14, -12), slowly(14..18, 12)]), []);
    // the same targets again are none
    assert_eq!(slow(&[slowly(10..14, -3), slowly(10..14, 2)]), []);
    // enough for both days
    assert_eq!(slow(&[slowly(10..20, -3), slowly(20..30, 2)]), [(-3, 2, 20)]);
    // what is not of one night is of its days
    assert_eq!(slow(&[slowly(10..20, -3), slowly(20..30, 2), slowly(30..31, -13)]), [(-13, -2, 11), (2, 2, 10)]);
    // nights that follow each other
    assert_eq!(slow(&[halves(), vec![slowly(18..21, 13), slowly(21..26, 25)]].concat()), [(-3, 2, 8), (13, 25, 8)]);
    // a fast one in the same night
    assert_eq!(slow(&[halves(), vec![ports(15, 3600)]].concat()), []);
    let titles = all(halves().concat()).into_iter().filter(|found| found.detector == "scan.slow");
    let title = "internet 203.0.113.7 tried 8 ports of 1 server over the night, none of which it may reach: none let it through";
    assert_eq!(titles.map(|found| found.title).collect::<Vec<_>>(), [title]);
}

/// Hours from midnight and megabytes that the application sent to the internet: begin, end and megabytes of the alerts.
fn sent(hours: impl IntoIterator<Item = (i64, u64)>) -> Vec<(i64, i64, u64)> {
    // five hours to compare with
    let usual = (0..5).map(|hour| (hour - 60, 10));
    let record = |(hour, megabytes): (i64, u64)| {
        let end = NIGHT + hour * 3600 + 60;
        let bytes = megabytes * 1_000_000;
        Line(format!("vpc-1 eni-a 10.0.1.5 203.0.113.7 40000 443 6 9 {bytes} {} {end} ACCEPT OK 2", end - 50))
    };
    let found = watches::beside(&boundary(), usual.chain(hours).map(record).collect());
    let found = found.into_iter().filter(|finding| finding.detector == "exfiltration");
    let hours = |time: Option<i64>| (time.unwrap() / 1000 - NIGHT) / 3600;
    found.map(|found| (hours(found.window_start), hours(found.window_end), found.bytes.unwrap() / 1_000_000)).collect()
}

#[test]
fn what_is_much_goes_on_over_midnight_to_noon() {
    // what is told of the day before is not new on the next
    assert_eq!(sent([(-1, 600), (0, 600), (1, 500)]), [(-1, 2, 1700)]);
    assert_eq!(sent([(-1, 600), (1, 600)]), [(-1, 0, 600)]);
    assert_eq!(sent([(-1, 600), (0, 499), (1, 600)]), [(-1, 0, 600)]);
    // but what is more than that
    assert_eq!(sent([(-1, 600), (1, 900)]), [(-1, 0, 600), (1, 2, 900)]);
    assert_eq!(sent([(-1, 600), (0, 900), (1, 600)]), [(-1, 2, 2100)]);
    assert_eq!(sent([(-1, 399), (0, 600)]), [(0, 1, 600)]);
    // whenever it began
    assert_eq!(sent((-20..13).map(|hour| (hour, 600))), [(-20, 12, 32 * 600)]);
    let more_at_noon = (-1..12).map(|hour| (hour, 600)).chain([(12, 900), (13, 600)]);
    assert_eq!(sent(more_at_noon), [(-1, 12, 13 * 600), (12, 13, 900)]);
    // days of it: beside each of them the next is nothing new
    assert_eq!(sent((-30..60).map(|hour| (hour, 600))), [(-30, -12, 18 * 600)]);
}
