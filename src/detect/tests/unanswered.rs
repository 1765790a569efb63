//! Calls to which nothing comes back, at their thresholds.

use super::settings::with;
use super::watches::{beside, beside_with};
use super::*;

/// A SYN of three packets in this minute of the day.
fn call(eni: &str, client: u8, minute: i64) -> Line {
    sized(eni, client, minute, (3, 180))
}

fn sized(eni: &str, client: u8, minute: i64, (packets, bytes): (u64, u64)) -> Line {
    let end = HOUR + minute * 60;
    let flow = format!("10.0.1.{client} 10.0.2.9 40000 5432 6 {packets} {bytes} {} {end} ACCEPT OK 2", end - 5);
    Line(format!("vpc-1 {eni} {flow}"))
}

/// Something of the database's port, and of another one of the application.
fn answer(from: &str, minute: i64) -> Line {
    let end = HOUR + minute * 60;
    Line(format!("vpc-1 eni-db {from} 10.0.1.77 5432 40001 6 9 900 {} {end} ACCEPT OK 18", end - 5))
}

/// Begin, end and flows of the alerts, in minutes of the day; the records go on until this minute.
fn told(lines: Vec<Line>, until: i64) -> Vec<(i64, i64, u64)> {
    told_with(lines, until, &Settings::default())
}

/// With these settings.
fn told_with(lines: Vec<Line>, until: i64, settings: &Settings) -> Vec<(i64, i64, u64)> {
    let last = line("eni-app", "10.0.1.5 10.0.2.10 40000 5432 6", 1, HOUR + until * 60, "REJECT");
    let found = beside_with(&boundary(), [lines, vec![last]].concat(), settings);
    let minute = |time: Option<i64>| (time.unwrap() / 1000 - HOUR) / 60;
    let found = found.iter().filter(|finding| finding.detector == "unanswered");
    found.map(|found| (minute(found.window_start), minute(found.window_end), found.flows)).collect()
}

#[test]
fn three_calls_in_ten_minutes_to_which_nothing_comes_back_are_an_alert() {
    let calls = |count: i64| (0..count).map(|n| call("eni-app", 5, 610 + n)).collect::<Vec<_>>();
    assert_eq!(told(calls(2), 900), []);
    assert_eq!(told(calls(3), 900), [(610, 620, 3)]);
    assert_eq!(told(calls(4), 900), [(610, 620, 4)]);
    // in ten minutes and the next
    assert_eq!(told((0..3).map(|n| call("eni-app", 5, 618 + n)).collect(), 900), []);
    // copies count once, though the rows are all of them
    let copies = |n: i64| ["eni-app", "eni-db"].map(|eni| call(eni, 5, 610 + n));
    assert_eq!(told((0..2).flat_map(copies).collect(), 900), []);
    assert_eq!(told((0..3).flat_map(copies).collect(), 900), [(610, 620, 6)]);

    let lines = [calls(3), vec![call("eni-app", 6, 900)]].concat();
    let found = beside(&boundary(), lines).into_iter().find(|found| found.detector == "unanswered").unwrap();
    let title = "db 10.0.2.9:5432/tcp does not answer: 3 calls that the map allows got nothing back in 10 minutes";
    assert_eq!((&*found.title, found.severity), (title, Severity::Medium));
    assert_eq!(found.reason.as_deref(), Some("no answer to anybody who may ask; 3 calls in ten minutes are enough"));
    assert_eq!(found.evidence.len(), 1, "of each ten minutes the earliest");
}

#[test]
fn an_answer_then_or_soon_after_is_enough() {
    let with = |from: &str, minute: i64| {
        told([(0..3).map(|n| call("eni-app", 5, 610 + n)).collect(), vec![answer(from, minute)]].concat(), 900).len()
    };
    assert_eq!([599, 609, 610, 619, 620, 629, 630].map(|minute| with("10.0.2.9", minute)), [1, 1, 0, 0, 0, 0, 1]);
    assert_eq!(with("10.0.2.10", 615), 1, "another server");
}

#[test]
fn what_got_an_answer_is_no_call() {
    let with = |size| told((0..3).map(|n| sized("eni-app", 5, 610 + n, size)).collect(), 900).len();
    assert_eq!([(7, 7 * 64), (7, 7 * 64 + 1), (8, 8 * 64), (1, 40)].map(with), [1, 0, 0, 1]);
}

/// Ten minutes for the answer, and fifteen for the records.
#[test]
fn it_is_said_when_an_answer_would_be_known() {
    let calls = || (0..3).map(|n| call("eni-app", 5, 610 + n)).collect::<Vec<_>>();
    assert_eq!(told(calls(), 644), []);
    assert_eq!(told(calls(), 645), [(610, 620, 3)]);
    // over midnight too
    let late = || (0..3).map(|n| call("eni-app", 5, 1430 + n)).collect::<Vec<_>>();
    assert_eq!(told(late(), 1440 + 24), []);
    assert_eq!(told(late(), 1440 + 25), [(1430, 1440, 3)]);
    let answered = |minute: i64| told([late(), vec![answer("10.0.2.9", minute)]].concat(), 1440 + 60).len();
    assert_eq!([1429, 1430, 1440, 1449, 1450].map(answered), [1, 0, 0, 0, 1]);
    // however late records may be
    for lateness in [0, 7, 16, 120] {
        let settings = with(&[("unanswered", None, "lateness", lateness)]);
        let until = |minute: i64| told_with(late(), minute, &settings).len();
        let first = 1450 + i64::try_from(lateness).unwrap();
        assert_eq!([first - 1, first, first + 1].map(until), [0, 1, 1], "{lateness}");
    }
}

#[test]
fn it_is_one_alert_while_it_lasts() {
    let burst = |minute: i64| (0..3).map(move |n| call("eni-app", 5, minute + n));
    assert_eq!(told(burst(600).chain(burst(670)).collect(), 900), [(600, 680, 6)]);
    assert_eq!(told(burst(600).chain(burst(680)).collect(), 900), [(600, 610, 3), (680, 690, 3)]);
    // over midnight: from noon on to the end of the next day, else to the end of its own
    assert_eq!(told(burst(1420).chain(burst(1490)).collect(), 1600), [(1420, 1500, 6)]);
    let every = |from: i64, to: i64| (from..to).step_by(60).flat_map(burst).collect::<Vec<_>>();
    assert_eq!(told(every(710, 1560), 1700), [(710, 1440, 13 * 3), (1490, 1560, 2 * 3)]);
    assert_eq!(told(every(720, 1560), 1700), [(720, 1510, 14 * 3)]);
    assert_eq!(told(every(720, 4000), 4400), [(720, 2830, 36 * 3), (2880, 3970, 19 * 3)]);
    // what lies between does not count where it is too little, or had an answer
    let between = || [call("eni-app", 5, 625), answer("10.0.2.9", 650)].into_iter().chain(burst(645));
    assert_eq!(told(burst(600).chain(burst(670)).chain(between()).collect(), 900), [(600, 680, 6)]);
}

#[test]
fn of_servers_that_are_too_many_the_same_are_kept_however_they_come() {
    let text = MAP.replace("10.0.2.0/24", "10.0.64.0/18");
    let boundary = Boundary::new(parse_map("wide.toml", &text).unwrap(), &Selection::default());
    let server = |n: i64| format!("10.0.{}.{}", 64 + n / 256, n % 256);
    let replies = (0..5000).map(|n| answer(&server(n), n % 600));
    // every other of them is called too, an hour later
    let calls = (0..2500).map(|n| {
        let flow = format!("10.0.1.5 {} 40000 5432 6", server(n * 2));
        line("eni-app", &flow, 1, HOUR + (n * 2 % 600 + 60) * 60, "ACCEPT")
    });
    let lines: Vec<_> = replies.chain(calls).enumerate().collect();
    let whole = gather(&boundary, &lines);
    let kept = |states: &[(Key, State)]| {
        let history = |(key, state): &(Key, State)| match state {
            State::History(history) if key.detector == "history/replies" => Some((history.members.len(), history.cut)),
            _ => None,
        };
        states.iter().find_map(history)
    };
    assert_eq!(kept(&whole), Some((4096, true)));
    for size in [1000, 4500] {
        let parts = lines.chunks(size).flat_map(|part| gather(&boundary, part));
        assert_eq!(State::by_key(parts.collect()), whole);
    }
}
