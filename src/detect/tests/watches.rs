//! What the map wants watched, budgets of exits and expectations, at their thresholds; and groups that are too large.

use super::settings::with;
use super::*;

/// Midnight.
pub(super) const START: i64 = HOUR;

pub(super) const EXITS: &str = r#"
version = 1
name = "exits"
[vpc.main]
id = "vpc-1"
cidrs = ["10.0.0.0/16"]
[zone.app]
cidrs = ["10.0.1.0/24"]
[service.https]
tcp = ["443"]
[[rule]]
id = "app-out"
from = ["app"]
to = ["internet"]
service = ["https"]
[[invariant]]
id = "app-stays"
kind = "confined"
zone = ["app"]
exits = [{ to = ["internet"], service = ["https"], max_bytes_per_hour = 1000 }]
"#;

/// What the detectors that compare days find.
pub(super) fn beside(boundary: &Boundary, lines: Vec<Line>) -> Vec<Finding> {
    beside_with(boundary, lines, &Settings::default())
}

/// With these settings.
pub(super) fn beside_with(boundary: &Boundary, lines: Vec<Line>, settings: &Settings) -> Vec<Finding> {
    let states = gather(boundary, &lines.into_iter().enumerate().collect::<Vec<_>>());
    found_in(states.iter().filter(|(key, _)| is_history(key)), settings)
}

fn told(boundary: &Boundary, lines: Vec<Line>) -> Vec<(String, i64, i64, u64)> {
    let minute = |time: Option<i64>| time.unwrap() / 60_000 - START / 60;
    let watched = |finding: &Finding| finding.rule.is_some();
    let told = beside(boundary, lines).into_iter().filter(watched).map(|finding| {
        let rule = finding.rule.clone().unwrap_or_default();
        (rule, minute(finding.window_start), minute(finding.window_end), finding.flows)
    });
    told.collect()
}

fn out(eni: &str, client: u8, bytes: u64, minute: i64) -> Line {
    let end = START + minute * 60;
    Line(format!("vpc-1 {eni} 10.0.1.{client} 203.0.113.7 40000 443 6 9 {bytes} {} {end} ACCEPT OK 2", end - 50))
}

#[test]
fn more_bytes_than_the_budget_of_an_exit_are_an_alert() {
    let map = Boundary::new(parse_map("exits.toml", EXITS).unwrap(), &Selection::default());
    let alert = |from: i64, to: i64, flows| ("app-stays".to_owned(), from, to, flows);
    for (bytes, expected) in [(999, None), (1000, None), (1001, Some(alert(60, 120, 1)))] {
        assert_eq!(told(&map, vec![out("eni-a", 5, bytes, 70)]), Vec::from_iter(expected), "{bytes}");
    }
    // all clients together, the copy of another interface once, and not what comes back
    let back = Line(format!(
        "vpc-1 eni-a 203.0.113.7 10.0.1.5 443 40000 6 9 5000 {} {} ACCEPT OK 18",
        START + 4100,
        START + 4150
    ));
    let below = vec![out("eni-a", 5, 500, 70), out("eni-nat", 5, 500, 70), out("eni-b", 6, 500, 80), back];
    assert_eq!(told(&map, below.clone()), []);
    let above = [below, vec![out("eni-b", 6, 1, 119)]].concat();
    assert_eq!(told(&map, above.clone()), [alert(60, 120, 4)]);
    // the next hour is part of it, the one after a quiet one is not
    let hours = [above, vec![out("eni-a", 5, 1001, 120), out("eni-a", 5, 1001, 299)]].concat();
    let mut found = beside(&map, hours);
    found.retain(|finding| finding.detector == "budget");
    assert_eq!(found.iter().map(|finding| finding.bytes).collect::<Vec<_>>(), [Some(2002), Some(1001)]);
    assert_eq!(found[0].severity, Severity::High);
    let title = "2002 bytes went from app to internet for https in 2 hours: the map allows 1000 bytes an hour";
    assert_eq!(found[0].title, title);
}

#[test]
fn a_budget_may_be_passed_over_midnight() {
    let map = Boundary::new(parse_map("exits.toml", EXITS).unwrap(), &Selection::default());
    let hours = |hours: &[i64]| {
        let found = told(&map, hours.iter().map(|hour| out("eni-a", 5, 1001, hour * 60 + 10)).collect());
        found.into_iter().map(|(_, from, to, flows)| (from / 60, to / 60, flows)).collect::<Vec<_>>()
    };
    assert_eq!(hours(&[22, 23, 24, 25]), [(22, 26, 4)]);
    assert_eq!(hours(&[23, 25]), [(23, 24, 1), (25, 26, 1)]);
    assert_eq!(hours(&(5..40).collect::<Vec<_>>()), [(5, 36, 31), (36, 40, 4)]);
    assert_eq!(hours(&(12..80).collect::<Vec<_>>()), [(12, 36, 24), (36, 60, 24), (60, 80, 20)]);
}

/// Of an expectation replies count too, and the copy of the other interface once.
#[test]
fn more_bytes_than_an_expectation_allows_are_an_alert() {
    let back = |eni: &str, bytes: u64| {
        let end = START + 4200;
        Line(format!("vpc-1 {eni} 203.0.113.7 10.0.1.5 443 40000 6 9 {bytes} {} {end} ACCEPT OK 18", end - 50))
    };
    let path = "from = [\"app\"]\nto = [\"internet\"]\nservice = [\"https\"]";
    for subject in ["rule = \"app-out\"", path] {
        let expect = format!("[[expect]]\nid = \"little\"\n{subject}\nmax_bytes_per_hour = 1000\n");
        let text = [&EXITS.replace(", max_bytes_per_hour = 1000", ""), expect.as_str()].concat();
        let map = Boundary::new(parse_map("little.toml", &text).unwrap(), &Selection::default());
        for (bytes, expected) in [(599, None), (600, None), (601, Some(("little".to_owned(), 60, 120, 3)))] {
            let lines = vec![out("eni-a", 5, 400, 70), back("eni-a", bytes), back("eni-b", 300)];
            assert_eq!(told(&map, lines), Vec::from_iter(expected), "{subject} {bytes}");
        }
        // whoever serves, and however many call: no client has an interface here
        let serve = |server: u8, bytes: u64| {
            let times = format!("{} {}", START + 4150, START + 4200);
            let ends = format!("203.0.113.7 10.0.1.{server} 40000 443 6 9 {bytes}");
            Line(format!("vpc-1 eni-{server} {ends} {times} ACCEPT OK 2"))
        };
        let inward = text.replace("from = [\"app\"]\nto = [\"internet\"]", "from = [\"internet\"]\nto = [\"app\"]");
        let inward = Boundary::new(parse_map("inward.toml", &inward).unwrap(), &Selection::default());
        assert_eq!(told(&inward, vec![serve(5, 500), serve(6, 500)]), [], "{subject}");
        assert_eq!(told(&inward, vec![serve(5, 501), serve(6, 500)]), [("little".to_owned(), 60, 120, 2)], "{subject}");
        let found = beside(&map, vec![out("eni-a", 5, 400, 70), back("eni-a", 601)]);
        let found = found.iter().find(|finding| finding.detector == "budget").unwrap();
        assert_eq!((found.severity, found.bytes), (Severity::Medium, Some(1001)));
        assert!(
            found.title.starts_with("1001 bytes of ") && found.title.contains(", both ways, in "),
            "{}",
            found.title
        );
    }
}

/// A map may say the same exit twice: its records count once, and the smaller budget is asked.
#[test]
fn exits_that_read_alike_are_one() {
    let exit = |budget: u32| format!(r#"{{ to = ["internet"], service = ["https"], max_bytes_per_hour = {budget} }}"#);
    for budgets in [[1000, 3000], [3000, 1000], [1000, 1000]] {
        let exits = format!("exits = [{}, {}]", exit(budgets[0]), exit(budgets[1]));
        let text = EXITS.replace(&format!("exits = [{}]", exit(1000)), &exits);
        assert_ne!(text, EXITS);
        let map = Boundary::new(parse_map("twice.toml", &text).unwrap(), &Selection::default());
        assert_eq!(told(&map, vec![out("eni-a", 5, 1000, 70)]), [], "{budgets:?}");
        let found = told(&map, vec![out("eni-a", 5, 1001, 70)]);
        assert_eq!(found, [("app-stays".to_owned(), 60, 120, 1)], "{budgets:?}");
    }
}

#[test]
fn more_bytes_than_can_be_told_are_as_many_as_can() {
    let map = Boundary::new(parse_map("exits.toml", EXITS).unwrap(), &Selection::default());
    let most = i64::MAX as u64;
    let hours = [70, 80, 130, 190].map(|minute| out(if minute == 80 { "eni-b" } else { "eni-a" }, 5, most, minute));
    let found = beside(&map, hours.to_vec());
    let budget: Vec<_> = found.iter().filter(|finding| finding.detector == "budget").collect();
    assert_eq!(budget.len(), 1);
    assert_eq!((budget[0].flows, budget[0].bytes), (4, Some(i64::MAX as u64)));
}

/// With more clients than are kept the sum of all is not known, and nothing is said.
#[test]
fn the_budget_of_an_exit_with_too_many_clients_is_not_judged() {
    let text = EXITS.replace("10.0.1.0/24", "10.0.128.0/17");
    let map = Boundary::new(parse_map("crowd.toml", &text).unwrap(), &Selection::default());
    let sent = |clients: i64| {
        let of = |client: i64| {
            let flow = format!("10.0.{}.{} 203.0.113.7 40000 443 6", 128 + client / 250, 1 + client % 250);
            line("eni-a", &flow, 1, START + 4200, "ACCEPT")
        };
        told(&map, (0..clients).map(of).collect())
    };
    assert_eq!(sent(4096), [("app-stays".to_owned(), 60, 120, 4096)]);
    assert_eq!(sent(4097), []);
}

/// A record of the lake that nothing is expected of, in each of these minutes.
fn others(minutes: std::ops::Range<i64>) -> Vec<Line> {
    let end = |minute: i64| START + minute * 60;
    minutes.map(|minute| line("eni-x", "203.0.113.7 10.0.1.5 40000 22 6", 1, end(minute), "REJECT")).collect()
}

/// The application uses its database, in this minute and the one before.
fn used(minute: i64) -> Line {
    line("eni-app", "10.0.1.5 10.0.2.9 40000 5432 6", 1, START + minute * 60 + 10, "ACCEPT")
}

#[test]
fn what_must_be_seen_and_is_not_is_an_alert_when_its_records_cannot_come_any_more() {
    let map = boundary();
    let seen = || vec![used(5), used(15), used(35), used(45), used(55)];
    let alert = |from, to, flows| ("app-uses-db".to_owned(), from, to, flows);
    // the period from 20 to 30 is over at 30, and may be told at 45
    assert_eq!(told(&map, [others(0..45), seen()[..3].to_vec()].concat()), []);
    assert_eq!(told(&map, [others(0..46), seen()].concat()), [alert(20, 30, 0)]);
    // a record that only begins in it is enough, and so is what AWS skipped
    assert_eq!(told(&map, [others(0..46), seen(), vec![used(30)]].concat()), []);
    let skipped = Line(format!("vpc-1 eni-app - - - - - - - {} {} - SKIPDATA -", START + 1260, START + 1320));
    assert_eq!(told(&map, [others(0..46), seen(), vec![skipped]].concat()), []);
    // nothing is known of a time without records, or before them
    assert_eq!(told(&map, [others(0..20), others(30..46), seen()].concat()), []);
    assert_eq!(told(&map, [others(25..76), seen()[2..].to_vec(), vec![used(65)]].concat()), []);
    // periods in a row are one alert; over midnight it is the new day's
    assert_eq!(told(&map, [others(0..70), seen()[..2].to_vec()].concat()), [alert(20, 50, 0)]);
    let late: Vec<i64> = (5..1426).step_by(10).collect();
    let late = late.into_iter().map(used).collect::<Vec<_>>();
    let found = told(&map, [others(0..1470), late, vec![used(1445)]].concat());
    assert_eq!(found, [alert(1430, 1440, 0)]);
    // that a day's last minutes are over the next day tells: a period to 23:40 is told at 23:55
    let until = |last: i64, next: i64| {
        let known: Vec<Line> = (5..1430).step_by(10).filter(|minute| *minute != 1415).map(used).collect();
        told(&map, [others(0..last), others(1440..next), known].concat())
    };
    assert_eq!(until(1435, 1440), []);
    assert_eq!(until(1436, 1440), [alert(1410, 1420, 0)]);
    assert_eq!(until(1431, 1441), [alert(1410, 1420, 0)]);
}

#[test]
fn how_late_records_may_be_for_it_is_set() {
    let told = |lateness: u64, until: i64| {
        let lines = [others(0..until), vec![used(5), used(15)]].concat();
        let found = beside_with(&boundary(), lines, &with(&[("expectation", None, "lateness", lateness)]));
        found.iter().filter(|finding| finding.rule.as_deref() == Some("app-uses-db")).count()
    };
    // the period from 20 to 30
    for (lateness, first) in [(0, 31), (5, 36), (15, 46), (16, 47), (90, 121)] {
        assert_eq!([first - 1, first, first + 1].map(|until| told(lateness, until)), [0, 1, 1], "{lateness}");
    }
}

#[test]
fn more_than_may_be_seen_is_an_alert_at_once() {
    let map = boundary();
    let refused = |minute: i64| line("eni-db", "10.0.1.5 10.0.2.9 40000 5432 6", 1, START + minute * 60 + 10, "REJECT");
    let alert = |from, to, flows| ("none-refused".to_owned(), from, to, flows);
    let of_it = |lines: Vec<Line>| -> Vec<_> {
        told(&map, lines).into_iter().filter(|(rule, ..)| rule == "none-refused").collect()
    };
    assert_eq!(of_it(others(0..10)), []);
    assert_eq!(of_it(vec![refused(12)]), [alert(10, 15, 1)]);
    assert_eq!(of_it(vec![refused(12), refused(15), refused(25)]), [alert(10, 20, 2), alert(25, 30, 1)]);
}

/// Longer ones than a day are judged when they are over; they are counted from 1970 on.
#[test]
fn a_period_may_be_days_long() {
    let judged = |every: &str, lines: Vec<Line>| {
        let expect = format!(
            "[[expect]]\nid = \"seldom\"\nrule = \"app-db\"\nmin_flows = 2\nmax_flows = 3\nevery = \"{every}\"\n"
        );
        let map = parse_map("seldom.toml", &[MANY, &expect].concat()).unwrap();
        told(&Boundary::new(map, &Selection::default()), lines)
    };
    let days = |from: i64, minutes: i64| -> Vec<Line> {
        (from * 1440..from * 1440 + minutes).step_by(30).flat_map(|minute| others(minute..minute + 1)).collect()
    };
    let use_db = |minute: i64| line("eni-app", "10.0.128.5 10.0.2.9 40000 5432 6", 1, START + minute * 60, "ACCEPT");
    let alert = |from: i64, to: i64, flows| vec![("seldom".to_owned(), from * 1440, to * 1440, flows)];
    for (every, from, to) in [("2d", 1, 3), ("7d", 2, 9)] {
        let length = (to - from) * 1440;
        let uses = |many: i64| (0..many).map(|use_| use_db(to * 1440 - 5 - use_ * (length / 4))).collect::<Vec<_>>();
        for (many, expected) in [(0, alert(from, to, 0)), (1, alert(from, to, 1)), (2, vec![]), (3, vec![])] {
            // told when its records cannot come any more
            assert_eq!(judged(every, [days(from, length), uses(many)].concat()), [], "{every} {many}");
            let all = [days(from, length), others(to * 1440 + 15..to * 1440 + 16), uses(many)].concat();
            assert_eq!(judged(every, all), expected, "{every} {many}");
        }
        assert_eq!(judged(every, [days(from, length), uses(4)].concat()), alert(from, to, 4));
        // it began before the lake did
        let later = [days(from + 1, length - 1440), others(to * 1440 + 15..to * 1440 + 16)].concat();
        assert_eq!(judged(every, later), [], "{every}");
    }
}

const MANY: &str = r#"
version = 1
name = "many"
[vpc.main]
id = "vpc-1"
cidrs = ["10.0.0.0/16"]
[zone.app]
cidrs = ["10.0.128.0/17"]
[zone.db]
cidrs = ["10.0.2.0/24"]
tags = ["data"]
[service.postgresql]
tcp = ["5432"]
[[rule]]
id = "app-db"
from = ["app"]
to = ["db"]
service = ["postgresql"]
"#;

/// Of more members than are kept some are left out of a day: they are not new on the next one.
#[test]
fn who_may_have_been_left_out_is_not_new() {
    let map = Boundary::new(parse_map("many.toml", MANY).unwrap(), &Selection::default());
    let uses = |client: i64, day: i64| {
        let flow = format!("10.0.{}.{} 10.0.2.9 40000 5432 6", 128 + client / 250, 1 + client % 250);
        line("eni-app", &flow, 1, START + day * 86_400, "ACCEPT")
    };
    let new = |before: i64| {
        let known = (0..3).flat_map(|day| (0..before).map(move |client| uses(client, day)));
        let found = beside(&map, known.chain((0..101).map(|client| uses(client * 60, 3))).collect());
        found.into_iter().filter(|finding| finding.detector == "new-source").count()
    };
    // more than ten that are new are one alert
    assert_eq!((new(4096), new(4097), new(6000)), (1, 0, 0));
}

#[test]
fn of_many_watches_none_is_passed_over() {
    // more than a word has bits, by zone and by port
    let ports = 5000..5070;
    let mut text = EXITS.to_owned();
    for port in ports.clone() {
        text += &format!("[service.s{port}]\ntcp = [\"{port}\"]\n");
        for (id, from) in [("app", "app"), ("any", "any")] {
            text += &format!(
                "[[expect]]\nid = \"{id}-{port}\"\nfrom = [\"{from}\"]\nto = [\"internet\"]\nservice = [\"s{port}\"]\n\
                 max_flows = 0\nevery = \"10m\"\n"
            );
        }
    }
    let boundary = Boundary::new(parse_map("many.toml", &text).unwrap(), &Selection::default());
    let format: LogFormat = FORMAT.parse().unwrap();
    for port in ports {
        for (client, of_client) in [("10.0.1.5", &["app", "any"][..]), ("10.0.9.9", &["any"])] {
            let Line(text) = line("eni-1", &format!("{client} 203.0.113.9 50000 {port} 6"), 1, START, "ACCEPT");
            let record = record(&text, &format);
            let judgement = boundary.judge(&record);
            let (from, to) = judgement.zones.unwrap();
            let seen = boundary.watching(from, to).filter(|(_, watch)| watch.sees(&record, &judgement));
            let mut seen: Vec<&str> =
                seen.map(|(place, _)| boundary.watches()[usize::from(place)].id.as_str()).collect();
            seen.sort_unstable();
            let mut wanted: Vec<String> = of_client.iter().map(|id| format!("{id}-{port}")).collect();
            wanted.sort_unstable();
            assert_eq!(seen, wanted, "{client} to {port}");
        }
    }
}
