//! Verdict, reason, rule, severity, and the NACL layer: evaluator.md §8 and §9.

use super::support::{boundary, check};
use crate::boundary::evaluate::Boundary;

/// Clients in `app` may reach `db` on 5432; everybody in the VPC may send web requests out.
const MAP: &str = "
[zone.app]
cidrs = ['10.0.1.0/24']
[zone.db]
cidrs = ['10.0.2.0/24']
[zone.nat]
addresses = ['10.0.0.220']
role = 'nat'
[zone.tgw]
addresses = ['10.0.0.221']
role = 'tgw'
[zone.partner]
cidrs = ['192.0.2.0/24']
[zone.office]
cidrs = ['172.16.0.0/12']
[service.postgresql]
tcp = ['5432']
[service.web]
tcp = ['443']
[service.dns]
udp = ['53']
[[rule]]
id = 'app-db'
side = 'egress'
from = ['app']
to = ['db']
service = ['postgresql', 'dns']
[[rule]]
id = 'db-app'
side = 'ingress'
from = ['app']
to = ['db']
service = ['postgresql', 'dns']
[[rule]]
id = 'web-out'
side = 'egress'
from = ['vpc']
to = ['any']
service = ['web']
[eni.eni-nat]
zone = 'nat'
";

fn with(entries: &str) -> Boundary {
    boundary(&format!("{MAP}{entries}"))
}

const TO_DB: &str = "tcp 10.0.1.1:40000 > 10.0.2.1:5432";
const FROM_DB: &str = "tcp 10.0.2.1:5432 > 10.0.1.1:40000";

#[test]
fn allowed_and_accepted_is_expected() {
    let boundary = with("");
    check(&boundary, &format!("{TO_DB} ACCEPT"), "verdict=expected reason=allowed severity=info rule=app-db+db-app");
    check(&boundary, &format!("{FROM_DB} ACCEPT"), "verdict=expected reason=allowed rule=app-db+db-app");
    check(&boundary, "tcp 10.0.1.1:40000 > 8.8.8.8:443 ACCEPT", "verdict=expected rule=web-out");
    // weak orientation changes nothing here
    check(&boundary, "tcp 8.8.8.8:443 > 10.0.0.220:443 ACCEPT flags=18", "verdict=expected severity=info");
}

#[test]
fn one_rule_at_both_ends_is_named_once() {
    let boundary = with("[[rule]]\nid = 'self'\nfrom = ['app']\nto = ['app']\nservice = ['postgresql']\n");
    check(&boundary, "tcp 10.0.1.1:40000 > 10.0.1.2:5432 ACCEPT", "verdict=expected rule=self");
}

#[test]
fn two_unmanaged_ends_need_no_rule() {
    check(&with(""), "tcp 10.0.0.220:40000 > 8.8.8.8:9999 ACCEPT flags=2", "verdict=expected rule=null reason=allowed");
}

#[test]
fn late_packets_are_stray() {
    let boundary = with("");
    for (words, stray) in [
        // TCP with flags: no SYN, whichever way it goes
        (format!("{TO_DB} REJECT packets=3 flags=0"), true),
        (format!("{TO_DB} REJECT packets=4 flags=0"), false),
        (format!("{FROM_DB} REJECT packets=3 flags=4"), true),
        (format!("{FROM_DB} REJECT packets=3 flags=1"), true),
        (format!("{TO_DB} REJECT packets=1 flags=2"), false),
        (format!("{FROM_DB} REJECT packets=1 flags=18"), false),
        // TCP without flags, and UDP: replies
        (format!("{FROM_DB} REJECT packets=3"), true),
        (format!("{FROM_DB} REJECT packets=4"), false),
        (format!("{TO_DB} REJECT packets=3"), false),
        ("udp 10.0.2.1:53 > 10.0.1.1:40000 REJECT packets=3".to_owned(), true),
        ("udp 10.0.2.1:53 > 10.0.1.1:40000 REJECT packets=4".to_owned(), false),
        ("udp 10.0.1.1:40000 > 10.0.2.1:53 REJECT packets=1".to_owned(), false),
        ("udp 10.0.2.1:53 > 10.0.1.1:40000 REJECT packets=1 flags=0".to_owned(), true),
    ] {
        let expected = if stray { "verdict=stray reason=late-packet severity=info" } else { "verdict=outage" };
        check(&boundary, &words, expected);
    }
    // a protocol without replies has no late ones
    let ping =
        with("[service.ping]\nicmp = true\n[[rule]]\nid = 'p'\nfrom = ['app']\nto = ['db']\nservice = ['ping']\n");
    check(&ping, "icmp 10.0.1.1 > 10.0.2.1 REJECT packets=1", "verdict=outage reason=rejected");
}

#[test]
fn a_rejected_reply_from_the_internet_is_backscatter() {
    let boundary = with("[[rule]]\nid = 'partner-out'\nside = 'egress'\nfrom = ['app']\nto = ['partner']\n");
    let many = "REJECT packets=99 flags=18";
    check(
        &boundary,
        &format!("tcp 8.8.8.8:443 > 10.0.1.1:40000 {many}"),
        "verdict=stray reason=unsolicited-reply severity=info",
    );
    // late comes first
    check(&boundary, "tcp 8.8.8.8:443 > 10.0.1.1:40000 REJECT packets=3", "verdict=stray reason=late-packet");
    // a declared zone is somebody
    check(&boundary, &format!("tcp 192.0.2.1:443 > 10.0.1.1:40000 {many}"), "verdict=outage reason=return-path");
}

#[test]
fn allowed_and_rejected_is_an_outage_at_some_place() {
    let boundary = with("");
    for (dir, reason) in [("egress", "rejected-at-source"), ("ingress", "rejected-at-destination"), ("-", "rejected")] {
        check(
            &boundary,
            &format!("{TO_DB} REJECT flags=2 dir={dir}"),
            &format!("verdict=outage severity=high reason={reason}"),
        );
        check(&boundary, &format!("{FROM_DB} REJECT flags=18 dir={dir}"), "verdict=outage reason=return-path");
    }
    check(&boundary, &format!("{TO_DB} REJECT flags=2 eni=eni-nat dir=egress"), "reason=rejected side=transit");
}

#[test]
fn not_allowed_and_rejected_is_blocked() {
    let boundary = with("");
    check(
        &boundary,
        "tcp 10.0.1.1:40000 > 10.0.2.1:22 REJECT flags=2",
        "verdict=blocked reason=no-egress:app rule=null severity=medium",
    );
    check(
        &boundary,
        "tcp 10.0.1.1:40000 > 10.0.2.1:443 REJECT flags=2",
        "verdict=blocked reason=no-ingress:db severity=medium",
    );
    check(
        &boundary,
        "tcp 8.8.8.8:40000 > 10.0.2.1:22 REJECT flags=2",
        "verdict=blocked reason=no-ingress:db severity=low",
    );
    // no word on who answered
    check(
        &boundary,
        "tcp 10.0.2.1:22 > 8.8.8.8:40000 REJECT flags=18",
        "verdict=blocked reason=no-ingress:db severity=low",
    );
}

#[test]
fn what_left_legally_is_an_attempt() {
    let boundary = with(
        "[[invariant]]\nid = 'guard'\nkind = 'only-from'\nzone = ['db']\nallow = ['app']\nseverity = 'critical'\n",
    );
    // `web-out` lets it leave; nothing lets it in
    let web = "tcp 10.0.1.1:40000 > 10.0.2.1:443 ACCEPT flags=2";
    check(&boundary, &format!("{web} dir=egress"), "verdict=attempt reason=no-ingress:db rule=null severity=medium");
    check(&boundary, &format!("{web} eni=eni-nat"), "verdict=attempt side=transit");
    check(&boundary, &format!("{web} dir=ingress"), "verdict=breach reason=no-ingress:db severity=high");
    check(&boundary, web, "verdict=breach side=unknown");
    // an unmanaged client leaves legally, too; an invariant changes nothing but the names
    check(
        &boundary,
        "tcp 10.0.0.221:40000 > 10.0.2.1:9 ACCEPT flags=2 dir=egress",
        "verdict=attempt rule=guard reason=guard severity=medium",
    );
    // it did not leave legally
    check(
        &boundary,
        "tcp 10.0.1.1:40000 > 10.0.2.1:22 ACCEPT flags=2 dir=egress",
        "verdict=breach reason=no-egress:app",
    );
    // the server would take it: the invariant alone is against it
    let forbidden = with("[[invariant]]\nid = 'never'\nkind = 'no-inbound'\nzone = ['db']\n");
    check(
        &forbidden,
        &format!("{TO_DB} ACCEPT flags=2 dir=egress"),
        "verdict=breach rule=never reason=never severity=high",
    );
    // a reply is no attempt
    check(
        &boundary,
        "tcp 10.0.2.1:443 > 10.0.1.1:40000 ACCEPT flags=18 dir=egress",
        "verdict=breach reason=no-ingress:db/responded",
    );
}

#[test]
fn a_reply_to_what_is_not_allowed_says_how_the_server_answered() {
    let boundary = with("");
    // oriented by service: nothing else can carry these flags in a reply
    let from = "tcp 10.0.2.1:443 > 8.8.8.8:40000 ACCEPT";
    for (flags, reason) in [
        ("", "no-ingress:db/responded"),
        ("flags=0", "no-ingress:db/responded"),
        ("flags=18", "no-ingress:db/responded"),
        ("flags=22", "no-ingress:db/responded"),
        ("flags=4", "no-ingress:db/refused"),
        ("flags=5", "no-ingress:db/refused"),
        ("flags=20", "no-ingress:db/refused"),
    ] {
        check(&boundary, &format!("{from} {flags}"), &format!("verdict=breach orientation=reply reason={reason}"));
    }
}

#[test]
fn a_breach_is_as_bad_as_its_invariant_says_and_less_where_the_orientation_is_weak() {
    let severe = |severity: &str| {
        with(&format!("[[invariant]]\nid = 'guard'\nkind = 'no-inbound'\nzone = ['db']\n{severity}\n"))
    };
    let (sure, weak) =
        ("tcp 10.0.1.1:40000 > 10.0.2.1:7000 ACCEPT flags=2", "tcp 10.0.1.1:40000 > 10.0.2.1:7000 ACCEPT");
    for (severity, sure_is, weak_is) in [
        ("", "high", "medium"),
        ("severity = 'critical'", "critical", "high"),
        ("severity = 'low'", "low", "info"),
        ("severity = 'info'", "info", "info"),
    ] {
        check(&severe(severity), sure, &format!("verdict=breach severity={sure_is}"));
        check(&severe(severity), weak, &format!("verdict=breach confidence=weak severity={weak_is}"));
    }
    // `none` and `unknown` are weak; a blocked record is not lowered
    check(&severe(""), "icmp 10.0.1.1 > 10.0.2.1 ACCEPT", "verdict=breach severity=medium");
    check(&severe(""), "udp 10.0.1.1:7 > 10.0.2.1:7 ACCEPT", "verdict=breach orientation=unknown severity=medium");
    check(&severe(""), "tcp 10.0.1.1:40000 > 10.0.2.1:7000 REJECT", "verdict=blocked confidence=weak severity=medium");
}

#[test]
fn an_outage_is_as_bad_as_the_worst_rule_says() {
    let severe = |egress: &str, ingress: &str| {
        let map = MAP.replace(
            "service = ['postgresql', 'dns']\n[[rule]]\nid = 'db-app'",
            &format!("service = ['postgresql']\n{egress}\n[[rule]]\nid = 'db-app'"),
        );
        boundary(&map.replace(
            "service = ['postgresql', 'dns']\n[[rule]]\nid = 'web-out'",
            &format!("service = ['postgresql']\n{ingress}\n[[rule]]\nid = 'web-out'"),
        ))
    };
    let request = format!("{TO_DB} REJECT flags=2");
    for (egress, ingress, severity) in [
        ("", "", "high"),
        ("severity = 'low'", "", "low"),
        ("severity = 'low'", "severity = 'medium'", "medium"),
        ("severity = 'critical'", "severity = 'medium'", "critical"),
    ] {
        check(&severe(egress, ingress), &request, &format!("verdict=outage severity={severity}"));
    }
    // weak: one lower
    let wide = with("[[rule]]\nid = 'w'\nfrom = ['app']\nto = ['db']\nseverity = 'critical'\n");
    check(&wide, "tcp 10.0.1.1:40000 > 10.0.2.1:7000 REJECT", "verdict=outage confidence=weak severity=high");
}

#[test]
fn what_knocks_at_a_nat_gateway_is_dropped() {
    let boundary = with("");
    let knock = |client: &str, rest: &str| format!("tcp {client}:40000 > 10.0.0.220:22 {rest}");
    check(
        &boundary,
        &knock("8.8.8.8", "ACCEPT flags=2"),
        "verdict=attempt reason=nat-unsolicited rule=null severity=medium",
    );
    check(&boundary, &knock("192.0.2.1", "ACCEPT flags=2"), "verdict=attempt reason=nat-unsolicited");
    check(&boundary, &knock("8.8.8.8", "REJECT flags=2"), "verdict=blocked reason=nat-unsolicited severity=low");
    // in a private range, whoever claims it, or local
    for client in ["172.16.0.1", "192.168.1.1", "100.64.0.1"] {
        check(&boundary, &knock(client, "ACCEPT flags=2"), "verdict=expected");
    }
    check(&boundary, "tcp 10.0.1.1:40000 > 10.0.0.220:443 ACCEPT flags=2", "verdict=expected");
    // only a request, and only to role nat
    check(&boundary, "tcp 10.0.0.220:443 > 8.8.8.8:40000 ACCEPT flags=18", "verdict=expected orientation=reply");
    check(&boundary, "udp 8.8.8.8:500 > 10.0.0.220:500 ACCEPT", "verdict=expected orientation=unknown");
    check(&boundary, "tcp 8.8.8.8:40000 > 10.0.0.221:22 ACCEPT flags=2", "verdict=expected");
    // an invariant is named all the same
    let guarded = with("[[invariant]]\nid = 'guard'\nkind = 'no-inbound'\nzone = ['nat']\nseverity = 'critical'\n");
    check(
        &guarded,
        &knock("8.8.8.8", "ACCEPT flags=2"),
        "verdict=attempt reason=nat-unsolicited rule=guard severity=medium",
    );
}

// §9 ------------------------------------------------------------------------------------------------------------

fn nacl(zone: &str, number: u32, egress: bool, action: &str, rest: &str) -> String {
    format!("[[nacl]]\nzone = '{zone}'\nnumber = {number}\negress = {egress}\naction = '{action}'\n{rest}\n")
}

const LEFT: &str = "tcp 10.0.1.1:40000 > 10.0.2.1:5432 REJECT flags=2 dir=egress";
const CAME: &str = "tcp 10.0.1.1:40000 > 10.0.2.1:5432 REJECT flags=2 dir=ingress";

#[track_caller]
fn explained(entries: &str, words: &str, by_nacl: bool) {
    let boundary = with(entries);
    let reason = if words.contains("egress") { "rejected-at-source" } else { "rejected-at-destination" };
    check(&boundary, words, &format!("verdict=outage reason={reason}{}", if by_nacl { "/nacl" } else { "" }));
}

#[test]
fn no_entries_say_nothing() {
    explained("", LEFT, false);
    explained(&nacl("partner", 1, true, "deny", "protocol = '-1'\ncidr = '0.0.0.0/0'"), LEFT, false);
}

#[test]
fn the_first_entry_that_fits_decides() {
    let allow = |number, rest: &str| nacl("app", number, true, "allow", rest);
    let deny = |number, rest: &str| nacl("app", number, true, "deny", rest);
    let all = "protocol = '-1'\ncidr = '0.0.0.0/0'";
    explained(&allow(100, all), LEFT, false);
    explained(&deny(100, all), LEFT, true);
    // by number, not by place
    explained(&(allow(200, all) + &deny(100, all)), LEFT, true);
    explained(&(deny(200, all) + &allow(100, all)), LEFT, false);
    // one that does not fit is passed over, and nothing fits in the end
    for rest in [
        "protocol = 'udp'\ncidr = '0.0.0.0/0'",
        "protocol = '17'\ncidr = '0.0.0.0/0'",
        "protocol = 'tcp'\ncidr = '10.0.3.0/24'",
        "protocol = 'tcp'\ncidr = '0.0.0.0/0'\nports = '5433-6000'",
        "protocol = 'tcp'\ncidr = '0.0.0.0/0'\nports = '5000-5431'",
        "protocol = 'tcp'\ncidr = '::/0'",
    ] {
        explained(&allow(100, rest), LEFT, true);
    }
    for rest in [
        "protocol = 'tcp'\ncidr = '10.0.2.1/32'\nports = '5432'",
        "protocol = '6'\ncidr = '10.0.0.0/16'\nports = '1024-65535'",
    ] {
        explained(&allow(100, rest), LEFT, false);
    }
}

#[test]
fn each_side_has_its_own_entries() {
    let all = "protocol = '-1'\ncidr = '0.0.0.0/0'";
    let egress_only = nacl("app", 1, true, "allow", all) + &nacl("db", 1, true, "allow", all);
    explained(&egress_only, LEFT, false);
    explained(&egress_only, CAME, true);
    // an unknown side and a gateway say nothing
    let boundary = with(&nacl("app", 1, true, "deny", all));
    check(&boundary, &format!("{TO_DB} REJECT flags=2"), "reason=rejected");
    check(&boundary, &format!("{TO_DB} REJECT flags=2 eni=eni-nat"), "reason=rejected");
    // a reply at the client comes in, to a high port
    let boundary = with(&nacl("app", 1, true, "allow", all));
    check(&boundary, "tcp 10.0.2.1:5432 > 10.0.1.1:40000 REJECT flags=18 dir=ingress", "reason=return-path/nacl");
    let boundary =
        with(&nacl("app", 1, false, "allow", "protocol = 'tcp'\ncidr = '10.0.2.0/24'\nports = '1024-65535'"));
    check(&boundary, "tcp 10.0.2.1:5432 > 10.0.1.1:40000 REJECT flags=18 dir=ingress", "reason=return-path");
}

#[test]
fn inside_a_subnet_no_network_acl_is_crossed() {
    let entries = "[zone.subnet]\ncidrs = ['10.0.1.0/24', '10.0.2.0/25']\n[zone.host]\nparent = 'subnet'\naddresses = ['10.0.1.1']\n\
                   [[rule]]\nid = 'h'\nfrom = ['host']\nto = ['any']\nseverity = 'low'\n\
                   [[rule]]\nid = 'x'\nside = 'ingress'\nfrom = ['host']\nto = ['vpc']\n";
    let entries = format!("{entries}{}", nacl("subnet", 1, true, "deny", "protocol = '-1'\ncidr = '0.0.0.0/0'"));
    let left = |to: &str| format!("tcp 10.0.1.1:40000 > {to}:9000 REJECT flags=2 dir=egress");
    explained(&entries, &left("10.0.1.2"), false);
    // two subnets of one zone are two subnets
    explained(&entries, &left("10.0.2.2"), true);
    explained(&entries, &left("10.0.3.1"), true);
}
