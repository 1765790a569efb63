//! The bound on memory holds with what is really held.

use super::*;

/// What these lines weigh, and what is taken then.
fn weighed(boundary: &Boundary, lines: &[Line]) -> (usize, Vec<(Key, State)>) {
    let format: LogFormat = FORMAT.parse().unwrap();
    let mut tallies = Tallies::new(Some(boundary));
    for (number, Line(text)) in (1..).zip(lines) {
        let record = record(text, &format);
        let judgement = boundary.judge(&record);
        tallies.observe("s3://bucket/AWSLogs/123456789012/vpcflowlogs/x.log.gz", [(&record, &judgement, number)]);
    }
    (tallies.weight(), tallies.take())
}

/// Never less than is held, and not far above it.
#[test]
fn the_weight_is_about_what_is_held() {
    let boundary = boundary();
    let probes = |clients: i64, ports: i64, action: &str| -> Vec<Line> {
        let probe = |i| {
            let (client, port) = (i / ports, 30_000 + i % ports);
            let flow = format!("198.18.{}.{} 10.0.2.9 {port} 5432 6", client / 256, client % 256);
            line("eni-0123456789abcdef0", &flow, 1, HOUR, action)
        };
        (0..clients * ports).map(probe).collect()
    };
    // one key with many conversations; many keys with one, and with as many rows of evidence as are kept
    for lines in
        [probes(4000, 1, "REJECT"), probes(1, 4000, "ACCEPT"), probes(1000, 1, "ACCEPT"), probes(500, 12, "ACCEPT")]
    {
        let (weight, taken) = weighed(&boundary, &lines);
        let held = oracle::held(&taken);
        assert!((held..2 * held).contains(&weight), "weight {weight}, held {held}");
    }
    // of more conversations than are kept apart less is held than they weigh before
    for lines in [probes(5000, 1, "REJECT"), probes(1, 5000, "ACCEPT")] {
        let (weight, taken) = weighed(&boundary, &lines);
        let held = oracle::held(&taken);
        assert!(held <= weight, "weight {weight}, held {held}");
    }
}

/// Servers that reply are handed over group by group: what is held at the most is all of them and the largest group.
#[test]
fn the_weight_of_servers_that_reply_is_about_what_is_held() {
    /// Of each while it is gathered, at least: two words of time and address twice, its place, and the panes of a day.
    const COMPACT: usize = 80;
    let map = include_str!("../../../testdata/detect/small.toml");
    let boundary = Boundary::new(parse_map("small.toml", map).unwrap(), &Selection::default());
    let (servers, client) = (250, "10.0.1.7");
    // in an hour, all day and on many days
    for (days, hours) in [(1, 1), (1, 24), (9, 9 * 24)] {
        let reply = |i| {
            let (server, port, end) = (i % servers, 40_000 + i % 1000, HOUR + i / servers * 3600);
            let times = format!("9 900 {} {end}", end - 50);
            Line(format!("vpc-1 eni-db 10.0.2.{server} {client} 5432 {port} 6 {times} ACCEPT OK 18"))
        };
        let (weight, taken) = weighed(&boundary, &(0..servers * hours).map(reply).collect::<Vec<_>>());
        let members = |(_, state): &(Key, State)| match state {
            State::History(history) => {
                history.members.iter().filter(|member| matches!(member.who, Who::Address(_))).count()
            }
            _ => 0,
        };
        let gathered: usize = taken.iter().map(members).sum();
        assert_eq!(gathered as i64, servers * days);
        let largest = taken.iter().map(|state| oracle::held(std::slice::from_ref(state))).max().unwrap();
        let held = gathered * COMPACT + largest;
        assert!((held..3 * held).contains(&weight), "weight {weight}, held {held}");
    }
}
