//! What takes part, where a record belongs, and which zone an address is in: evaluator.md §1 to §4, and §7.

use std::net::Ipv4Addr;

use super::random::RawRecord;
use super::support::{boundary, check, map, read_map, record};
use crate::boundary::evaluate::{Boundary, Selection};
use crate::boundary::judgement::{Judgement, Reason};
use crate::boundary::model::VpcId;
use crate::boundary::values::{Severity, Verdict, Word};
use crate::record::{Action, FlowRecord, LogStatus};

const PERMIT_ALL: &str = "
[[rule]]
id = 'all'
from = ['any']
to = ['any']
";

const REQUEST: &str = "tcp 10.0.0.1:40000 > 10.0.0.2:443 ACCEPT flags=2";

fn selected(env: Option<&str>, mode: Option<&str>) -> Selection {
    Selection { env: env.map(str::to_owned), mode: mode.map(str::to_owned) }
}

#[test]
fn entries_with_env_need_that_env() {
    let text = |top: &str| {
        format!(
            "version = 1\nname = 't'\n{top}[vpc.main]\ncidrs = ['10.0.0.0/16']\n{PERMIT_ALL}env = ['staging', 'test']\n"
        )
    };
    for (top, option, verdict) in [
        ("", None, "breach"),
        ("", Some("production"), "breach"),
        ("", Some("test"), "expected"),
        ("env = 'staging'\n", None, "expected"),
        ("env = 'staging'\n", Some("production"), "breach"),
        ("env = 'production'\n", Some("staging"), "expected"),
    ] {
        let boundary = Boundary::new(read_map(&text(top)), &selected(option, None));
        check(&boundary, REQUEST, &format!("verdict={verdict}"));
    }
    let boundary = Boundary::new(read_map(&text("env = 'staging'\n")), &Selection::default());
    assert_eq!(boundary.selection().env.as_deref(), Some("staging"));
}

#[test]
fn entries_with_a_mode_take_part_unless_another_is_selected() {
    for (mode, verdict) in [(None, "expected"), (Some("privatelink"), "expected"), (Some("standard"), "breach")] {
        let boundary = Boundary::new(map(&format!("{PERMIT_ALL}mode = 'privatelink'\n")), &selected(None, mode));
        check(&boundary, REQUEST, &format!("verdict={verdict}"));
    }
}

#[test]
fn invariants_are_selected_like_rules() {
    let rest =
        format!("{PERMIT_ALL}[[invariant]]\nid = 'quiet'\nkind = 'no-inbound'\nzone = ['vpc']\nenv = ['prod']\n");
    check(&Boundary::new(map(&rest), &selected(None, None)), REQUEST, "verdict=expected");
    check(&Boundary::new(map(&rest), &selected(Some("prod"), None)), REQUEST, "verdict=breach rule=quiet");
}

#[test]
fn a_record_without_traffic_needs_no_map() {
    let judged = |status| {
        let mut record = FlowRecord::default();
        record.set_status(status);
        Judgement::of_status(&record)
    };
    assert_eq!(judged(LogStatus::Ok), None);
    assert_eq!(Judgement::of_status(&FlowRecord::default()), None);
    for (status, verdict, word, severity) in [
        (LogStatus::NoData, Verdict::NoData, Word::Quiet, Severity::Info),
        (LogStatus::SkipData, Verdict::Gap, Word::Skipped, Severity::Medium),
    ] {
        let judgement = judged(status).unwrap();
        assert_eq!((judgement.verdict, judgement.reason, judgement.severity), (verdict, Reason::Word(word), severity));
        assert_eq!((judgement.zones, judgement.path), (None, None));
    }
    // the status is looked at before anything else
    let mut full = record(REQUEST);
    full.set_status(LogStatus::SkipData);
    assert_eq!(boundary("").judge(&full).verdict, Verdict::Gap);
}

/// A complete record with this status.
fn raw(status: Option<LogStatus>) -> RawRecord {
    RawRecord {
        vpc_id: None,
        interface_id: None,
        direction: None,
        srcaddr: Some(Ipv4Addr::new(10, 0, 0, 1).into()),
        dstaddr: Some(Ipv4Addr::new(10, 0, 0, 2).into()),
        pkt_srcaddr: None,
        pkt_dstaddr: None,
        srcport: Some(40_000),
        dstport: Some(443),
        protocol: Some(6),
        packets: Some(9),
        flags: None,
        action: Some(Action::Accept),
        status,
    }
}

#[test]
fn a_record_that_lacks_what_every_judgement_needs_is_unmapped() {
    let boundary = boundary(PERMIT_ALL);
    check(
        &boundary,
        "tcp 10.0.0.1:40000 > 10.0.0.2:443",
        "verdict=unmapped reason=fields-missing severity=low client_zone=null side=null rule=null orientation=null",
    );
    let pkt_only = RawRecord { srcaddr: None, pkt_srcaddr: Some(Ipv4Addr::new(10, 0, 0, 1).into()), ..raw(None) };
    let no_protocol = RawRecord { protocol: None, ..raw(None) };
    for incomplete in [pkt_only, no_protocol] {
        assert_eq!(boundary.judge(&incomplete.record()).reason, Reason::Word(Word::FieldsMissing));
    }
    // no status counts as OK
    assert_eq!(boundary.judge(&raw(None).record()), boundary.judge(&raw(Some(LogStatus::Ok)).record()));
    assert_eq!(boundary.judge(&raw(None).record()).verdict, Verdict::Expected);
    // ports are read as 0, and packets too, which makes this reply late
    check(&boundary, "tcp 10.0.0.1 > 10.0.0.2 ACCEPT", "verdict=expected oriented_by=tie");
    check(&boundary, "udp 10.0.0.1:53 > 10.0.0.2:40000 REJECT", "verdict=stray reason=late-packet");
}

/// Two VPCs that share 10.2.0.0/16, a third that peers with the first.
const THREE: &str = "
version = 1
name = 'three'
[vpc.a]
id = 'vpc-a'
cidrs = ['10.1.0.0/16', '10.2.0.0/16']
peers = ['c']
[vpc.b]
id = 'vpc-b'
cidrs = ['10.2.0.0/16', '10.3.0.0/16']
[vpc.c]
id = 'vpc-c'
cidrs = ['10.4.0.0/16']
[zone.in-a]
vpc = 'a'
cidrs = ['10.1.0.0/16', '10.2.0.0/16']
[zone.in-b]
vpc = 'b'
cidrs = ['10.2.0.0/16', '10.3.0.0/16']
[zone.in-c]
vpc = 'c'
cidrs = ['10.0.0.0/8']
[zone.everywhere]
cidrs = ['10.4.7.0/24', '192.0.2.0/24']
addresses = ['10.1.0.9']
[zone.nowhere]
cidrs = ['198.51.100.0/24']
[eni.eni-b]
zone = 'in-b'
[eni.eni-nowhere]
zone = 'nowhere'
[eni.eni-zoneless]
addresses = ['10.2.0.1']
";

fn three() -> Boundary {
    Boundary::new(read_map(THREE), &Selection::default())
}

#[test]
fn the_vpc_is_found_by_id_then_inventory_then_source_then_destination() {
    let three = three();
    check(&three, "tcp 10.2.0.1 > 10.2.0.2 ACCEPT vpc=vpc-a", "client_zone=in-a");
    check(&three, "tcp 10.2.0.1 > 10.2.0.2 ACCEPT vpc=vpc-b eni=eni-x", "client_zone=in-b");
    check(
        &three,
        "tcp 10.2.0.1 > 10.2.0.2 ACCEPT vpc=vpc-x eni=eni-b",
        "reason=vpc-not-in-map severity=low client_zone=null",
    );
    check(&three, "tcp 10.2.0.1 > 10.2.0.2 ACCEPT eni=eni-b", "client_zone=in-b server_zone=in-b");
    check(
        &three,
        "tcp 10.2.0.1 > 10.2.0.2 ACCEPT eni=eni-nowhere",
        "verdict=unmapped reason=vpc-ambiguous severity=low",
    );
    check(&three, "tcp 10.2.0.1 > 10.2.0.2 ACCEPT eni=eni-zoneless", "reason=vpc-ambiguous client_zone=null");
    check(&three, "tcp 10.3.0.1 > 10.1.0.2 ACCEPT", "client_zone=in-b server_zone=private-unknown");
    check(&three, "tcp 10.2.0.1 > 10.3.0.2 ACCEPT", "client_zone=in-b server_zone=in-b");
    check(&three, "tcp 8.8.8.8 > 10.3.0.2 ACCEPT", "client_zone=internet server_zone=in-b");
    check(&three, "tcp 8.8.8.8 > 8.8.4.4 ACCEPT", "reason=vpc-ambiguous");
    // the packet's own addresses count
    check(&three, "tcp 10.1.0.1 > 10.2.0.2 ACCEPT pktsrc=10.3.0.1", "client_zone=in-b server_zone=in-b");
}

#[test]
fn the_only_vpc_needs_no_finding() {
    let boundary = boundary("");
    check(&boundary, "tcp 10.0.0.1 > 8.8.8.8 ACCEPT", "client_zone=vpc:unzoned server_zone=internet");
    check(&boundary, "tcp 10.0.0.1 > 8.8.8.8 ACCEPT vpc=vpc-2", "reason=vpc-not-in-map");
}

#[test]
fn one_end_must_be_local() {
    let boundary = boundary("[zone.partner]\ncidrs = ['192.0.2.0/24']\n");
    check(
        &boundary,
        "tcp 192.0.2.1:40000 > 10.1.0.1:443 ACCEPT flags=2",
        "verdict=unmapped reason=no-local-endpoint severity=low client_zone=partner server_zone=private-unknown \
         orientation=null side=null rule=null service=null client_is_source=null",
    );
    // an address of a peer is local
    check(&three(), "tcp 10.4.0.1 > 8.8.8.8 ACCEPT vpc=vpc-a", "client_zone=in-c verdict=breach");
    check(&three(), "tcp 10.4.0.1 > 8.8.8.8 ACCEPT vpc=vpc-b", "reason=no-local-endpoint");
}

#[test]
fn own_zones_come_before_the_peers_and_those_before_the_global_ones() {
    let three = three();
    let zone = |vpc, address: &str| three.zone_name(three.zone_of(VpcId(vpc), address.parse().unwrap()));
    // by address and by longer prefix, but of a later scope
    assert_eq!(zone(0, "10.1.0.9"), "in-a");
    assert_eq!(zone(0, "10.4.7.1"), "in-c");
    assert_eq!(zone(1, "10.1.0.9"), "everywhere");
    assert_eq!(zone(1, "10.4.7.1"), "everywhere");
    assert_eq!(zone(1, "10.4.8.1"), "private-unknown");
    // a zone of the peer claims what is local nowhere
    assert_eq!(zone(0, "10.200.0.1"), "in-c");
    assert_eq!(zone(0, "192.0.2.1"), "everywhere");
}

#[test]
fn in_a_map_with_one_vpc_a_zone_belongs_there_if_it_has_something_inside() {
    // `wide` would win by its longer prefix, were it not global
    let boundary = boundary(
        "[zone.wide]\ncidrs = ['10.0.0.0/15']\naddresses = ['192.0.2.7']\n\
         [zone.inside]\ncidrs = ['192.0.2.0/24', '10.0.9.0/24']\n\
         [zone.by-address]\ncidrs = ['198.51.100.0/24']\naddresses = ['10.0.1.1']\n\
         [zone.by-inventory]\ncidrs = ['203.0.113.0/24']\n\
         [zone.outside]\naddresses = ['198.51.100.1', '203.0.113.1']\n\
         [eni.eni-1]\nzone = 'by-inventory'\naddresses = ['10.0.1.2']\n",
    );
    let zone = |address: &str| boundary.zone_name(boundary.zone_of(VpcId(0), address.parse().unwrap()));
    assert_eq!(zone("10.0.0.1"), "wide");
    assert_eq!(zone("192.0.2.7"), "inside");
    assert_eq!(zone("198.51.100.1"), "by-address");
    assert_eq!(zone("203.0.113.1"), "by-inventory");
}

#[test]
fn inventory_beats_address_beats_prefix_beats_depth_beats_name() {
    let boundary = boundary(
        "[zone.a]\ncidrs = ['10.0.1.0/24']\n\
         [zone.b]\ncidrs = ['10.0.1.0/25']\naddresses = ['10.0.1.1']\n\
         [zone.c]\ncidrs = ['10.0.1.0/25']\nparent = 'b'\n\
         [zone.d]\ncidrs = ['10.0.1.0/25']\nparent = 'b'\n\
         [zone.e]\naddresses = ['10.0.1.1', '10.0.1.2']\n\
         [zone.z]\ncidrs = ['10.0.9.0/24']\n\
         [eni.eni-1]\nzone = 'z'\naddresses = ['10.0.1.2']\n",
    );
    let zone = |address: &str| boundary.zone_name(boundary.zone_of(VpcId(0), address.parse().unwrap()));
    assert_eq!(zone("10.0.1.2"), "z");
    assert_eq!(zone("10.0.1.1"), "b");
    assert_eq!(zone("10.0.1.3"), "c");
    assert_eq!(zone("10.0.1.127"), "c");
    assert_eq!(zone("10.0.1.128"), "a");
}

#[test]
fn what_no_zone_claims_has_a_built_in_one() {
    let boundary = boundary("");
    for (addresses, name) in [
        (&["10.0.0.0", "10.0.255.255"][..], "vpc:unzoned"),
        (
            &[
                "169.254.0.0",
                "169.254.255.255",
                "127.0.0.1",
                "224.0.0.0",
                "239.255.255.255",
                "255.255.255.255",
                "fe80::1",
                "febf::1",
                "ff00::",
                "ffff::",
            ],
            "special",
        ),
        (
            &[
                "10.1.0.0",
                "172.16.0.0",
                "172.31.255.255",
                "192.168.0.1",
                "100.64.0.0",
                "100.127.255.255",
                "fc00::",
                "fdff::1",
            ],
            "private-unknown",
        ),
        (
            &[
                "9.255.255.255",
                "11.0.0.0",
                "172.32.0.0",
                "100.128.0.0",
                "169.255.0.0",
                "223.255.255.255",
                "240.0.0.0",
                "255.255.255.254",
                "0.0.0.0",
                "::",
                "2001:db8::1",
                "fec0::1",
                "::ffff:10.0.0.1",
            ],
            "internet",
        ),
    ] {
        for address in addresses {
            let zone = boundary.zone_of(VpcId(0), address.parse().unwrap());
            assert_eq!(boundary.zone_name(zone), name, "{address}");
        }
    }
}

#[test]
fn a_mapped_ipv6_address_is_not_the_ipv4_address() {
    let boundary = boundary("[zone.hosts]\ncidrs = ['10.0.1.0/24']\naddresses = ['10.0.2.1']\n");
    for address in ["::ffff:10.0.1.1", "::ffff:10.0.2.1"] {
        assert_eq!(boundary.zone_name(boundary.zone_of(VpcId(0), address.parse().unwrap())), "internet");
    }
}

#[test]
fn protected_zones() {
    let rest = "[zone.data]\ntags = ['data']\n[zone.db]\nparent = 'data'\ncidrs = ['10.0.1.0/24']\n\
                [zone.outer]\n[zone.inner]\nparent = 'outer'\ncidrs = ['10.0.2.0/24']\n\
                [zone.peer]\ncidrs = ['10.0.3.0/24']\n[zone.staged]\ncidrs = ['10.0.4.0/24']\n\
                [[invariant]]\nid = 'i'\nkind = 'isolated'\nzone = ['outer']\npeer = ['peer']\n\
                [[invariant]]\nid = 's'\nkind = 'only-from'\nzone = ['staged']\nallow = ['db']\nenv = ['prod']\n";
    let protected = |rest: &str, env| {
        let boundary = Boundary::new(map(rest), &selected(env, None));
        let zones = (6..).map(crate::boundary::ZoneId).take(boundary.map().zones.len());
        zones
            .filter(|zone| boundary.is_protected(*zone))
            .map(|zone| boundary.zone_name(zone).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(protected(rest, None), ["data", "db", "outer", "inner"]);
    assert_eq!(protected(rest, Some("prod")), ["data", "db", "outer", "inner", "staged"]);
    let vpc = "[zone.out]\ncidrs = ['192.0.2.0/24']\n[zone.in]\ncidrs = ['10.0.1.0/24']\n\
               [[invariant]]\nid = 'n'\nkind = 'no-inbound'\nzone = ['vpc']\n";
    assert_eq!(protected(vpc, None), ["in"]);
}

#[test]
fn the_side_is_the_gateway_then_the_direction_then_the_inventory_then_the_local_end() {
    let boundary = boundary(
        "[zone.nat]\naddresses = ['10.0.0.220']\nrole = 'nat'\n[zone.tgw]\naddresses = ['10.0.0.221']\nrole = 'tgw'\n\
         [zone.lb]\naddresses = ['10.0.0.222']\nrole = 'lb'\n\
         [eni.eni-nat]\nzone = 'nat'\naddresses = ['10.0.0.220']\n[eni.eni-tgw]\nzone = 'tgw'\n\
         [eni.eni-lb]\nzone = 'lb'\naddresses = ['10.0.0.222', '10.0.0.223']\n[eni.eni-bare]\nzone = 'lb'\n",
    );
    for (words, side) in [
        ("10.0.0.220 > 8.8.8.8 ACCEPT eni=eni-nat dir=egress", "transit"),
        ("10.0.0.1 > 8.8.8.8 ACCEPT eni=eni-tgw dir=ingress", "transit"),
        ("10.0.0.222 > 10.0.0.1 ACCEPT eni=eni-lb dir=ingress", "destination"),
        ("10.0.0.1 > 10.0.0.2 ACCEPT eni=eni-x dir=egress", "source"),
        ("10.0.0.223 > 10.0.0.222 ACCEPT eni=eni-lb", "source"),
        ("10.0.0.223 > 10.0.0.1 ACCEPT eni=eni-lb dir=sideways", "source"),
        ("10.0.0.1 > 10.0.0.223 ACCEPT eni=eni-lb", "destination"),
        ("10.0.0.1 > 10.0.0.2 ACCEPT eni=eni-lb pktsrc=10.0.0.222", "transit"),
        ("10.0.0.1 > 8.8.8.8 ACCEPT eni=eni-bare", "source"),
        ("8.8.8.8 > 10.0.0.1 ACCEPT", "destination"),
        ("10.0.0.1 > 10.0.0.2 ACCEPT", "unknown"),
        // the plain addresses count
        ("10.0.0.1 > 10.0.0.2 ACCEPT pktdst=8.8.8.8", "unknown"),
        ("10.1.0.1 > 10.1.0.2 ACCEPT pktdst=10.0.0.2", "unknown"),
    ] {
        check(&boundary, &format!("tcp {words}"), &format!("side={side}"));
    }
    // an address of a peer is not in the record's VPC
    check(&three(), "tcp 10.1.0.1 > 10.4.0.1 ACCEPT vpc=vpc-a", "side=source");
}
