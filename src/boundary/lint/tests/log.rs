//! L17, L18, L21.

use super::*;
use crate::boundary::lint::ZoneTraffic;

const ENOUGH: &str = "[flow_log]\nfields = [\"srcaddr\", \"dstaddr\", \"srcport\", \"dstport\", \"protocol\", \"action\", \"tcp-flags\", \"flow-direction\", \"pkt-srcaddr\", \"pkt-dstaddr\", \"interface-id\", \"log-status\"";

#[test]
fn l17_fields() {
    passes(&format!("{ENOUGH}]\n"), "L17");
    for (field, level, cost) in [
        ("srcaddr", Level::Error, "unmapped"),
        ("action", Level::Error, "unmapped"),
        ("srcport", Level::Warning, "ports count as 0"),
        ("tcp-flags", Level::Warning, "who connected"),
        ("flow-direction", Level::Warning, "attempt"),
        ("pkt-dstaddr", Level::Note, "secondary addresses"),
        ("interface-id", Level::Note, "silent interfaces"),
        ("log-status", Level::Note, "gaps"),
    ] {
        let text = format!("{ENOUGH}]\n").replace(&format!("\"{field}\""), "\"bytes\"");
        trips(&text, "L17", level, &[field, cost]);
    }
}

#[test]
fn l17_vpc_id_matters_with_several_vpcs() {
    let lab = "[vpc.lab]\ncidrs = [\"10.9.0.0/16\"]\n";
    trips(&format!("{ENOUGH}]\n{lab}"), "L17", Level::Warning, &["vpc-id"]);
    passes(&format!("{ENOUGH}, \"vpc-id\"]\n{lab}"), "L17");
}

#[test]
fn l17_the_default_format() {
    trips("[flow_log]\n", "L17", Level::Warning, &["tcp-flags, flow-direction, pkt-srcaddr, pkt-dstaddr:", "default"]);
    trips("", "L17", Level::Warning, &["does not describe the flow log"]);
}

#[test]
fn l17_one_action() {
    let text = |kind: &str| format!("{ENOUGH}]\ntraffic_type = \"{kind}\"\n");
    trips(&text("ACCEPT"), "L17", Level::Warning, &["ACCEPT only", "no outage"]);
    trips(&text("REJECT"), "L17", Level::Warning, &["REJECT only", "no breach"]);
    passes(&text("ALL"), "L17");
}

fn with(map: &BoundaryMap, code: &str, traffic: &Traffic) -> Vec<Lint> {
    of(lint(map, &Selection::default(), None, Some(traffic)), code)
}

#[test]
fn l18_ipv6() {
    let seen = Traffic { ipv6: "2001:db8::5".parse().ok(), ..Traffic::default() };
    one(&with(&example(""), "L18", &seen), Level::Warning, &["2001:db8::5"]);
    assert_eq!(with(&example(""), "L18", &Traffic::default()), []);
    assert_eq!(with(&example("[zone.six]\ncidrs = [\"2001:db8::/32\"]\n"), "L18", &seen), []);
    assert_eq!(on(&example(""), "L18"), []);
}

fn zones(counts: &[(&str, u64, u64)]) -> Traffic {
    let zones =
        counts.iter().map(|(zone, logged, seen)| ((*zone).to_owned(), ZoneTraffic { logged: *logged, seen: *seen }));
    Traffic { zones: zones.collect(), ..Traffic::default() }
}

#[test]
fn l21_zones_that_do_not_log() {
    let map = example("[zone.partner]\ncidrs = [\"203.0.113.0/24\"]\n");
    one(&with(&map, "L21", &zones(&[("web", 1, 9)])), Level::Note, &["`db`", "no record"]);
    one(&with(&map, "L21", &zones(&[("web", 1, 9), ("db", 0, 9)])), Level::Warning, &["`db`", "9 records"]);
    assert_eq!(with(&map, "L21", &zones(&[("web", 1, 9), ("db", 1, 9)])), []);
    // where no end is known to have recorded, being seen is enough
    assert_eq!(with(&map, "L21", &zones(&[("web", 0, 9), ("db", 0, 9)])), []);
}

#[test]
fn l21_interfaces_and_children_show_that_a_zone_logs() {
    let map = example(
        "[zone.replica]\nparent = \"db\"\naddresses = [\"10.0.2.9\"]\n[eni.eni-1]\naddresses = [\"10.0.2.9\"]\nzone = \"replica\"\n",
    );
    let mut traffic = zones(&[("web", 1, 9)]);
    // both are silent: the outer one is named
    one(&with(&map, "L21", &traffic), Level::Note, &["`db`"]);
    traffic.interfaces.insert("eni-1".to_owned());
    assert_eq!(with(&map, "L21", &traffic), []);
    assert_eq!(with(&map, "L21", &zones(&[("web", 1, 9), ("replica", 1, 1)])), []);
    one(&with(&map, "L21", &zones(&[("web", 1, 9), ("db", 1, 1)])), Level::Note, &["`replica`"]);
}
