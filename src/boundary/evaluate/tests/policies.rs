//! Grants, invariants and orientation: evaluator.md §5 and §6.

use super::support::{boundary, check};
use crate::boundary::evaluate::{Boundary, Grant, Policy};
use crate::boundary::model::VpcId;

/// Zones `a` (with a child `a1`), `b`, a NAT gateway and a partner outside.
const ZONES: &str = "
[zone.a]
cidrs = ['10.0.1.0/24']
[zone.a1]
parent = 'a'
addresses = ['10.0.1.1']
[zone.b]
cidrs = ['10.0.2.0/24']
[zone.nat]
addresses = ['10.0.0.220']
role = 'nat'
[zone.tgw]
addresses = ['10.0.0.221']
role = 'tgw'
[zone.partner]
cidrs = ['192.0.2.0/24']
[service.web]
tcp = ['443', '8000-9023']
[service.wide]
tcp = ['8000-9024', '443']
[service.dns]
udp = ['53']
[service.ping]
icmp = true
";

const A: &str = "10.0.1.9";
const A1: &str = "10.0.1.1";
const B: &str = "10.0.2.1";
const PARTNER: &str = "192.0.2.1";
const INTERNET: &str = "8.8.8.8";

fn with(entries: &str) -> Boundary {
    boundary(&format!("{ZONES}{entries}"))
}

fn rule(id: &str, side: &str, from: &str, to: &str, service: &str) -> String {
    format!("[[rule]]\nid = '{id}'\nside = '{side}'\nfrom = ['{from}']\nto = ['{to}']\nservice = ['{service}']\n")
}

fn invariant(keys: &str) -> String {
    format!("[[invariant]]\nid = 'inv'\n{keys}\n")
}

fn policy(boundary: &Boundary, client: &str, server: &str, protocol: u8, port: u16) -> Policy {
    boundary.policy(VpcId(0), client.parse().unwrap(), server.parse().unwrap(), protocol, port)
}

fn name(boundary: &Boundary, grant: Grant) -> &str {
    match grant {
        Grant::Rule { rule, .. } => boundary.rule_id(rule),
        Grant::Unmanaged => "(unmanaged)",
        Grant::None => "(none)",
    }
}

#[test]
fn services_match_by_protocol_and_port() {
    let rules: String = ["web", "dns", "ping", "any"].map(|service| rule(service, "path", "a", "b", service)).concat();
    let boundary = with(&rules);
    for (protocol, port, id) in [
        (6, 443, "web"),
        (6, 442, "any"),
        (6, 7999, "any"),
        (6, 8000, "web"),
        (6, 9023, "web"),
        (6, 9024, "any"),
        (17, 53, "dns"),
        (17, 443, "any"),
        (1, 0, "ping"),
        (58, 0, "ping"),
        (47, 53, "any"),
    ] {
        let policy = policy(&boundary, A, B, protocol, port);
        assert_eq!(name(&boundary, policy.e), id, "{protocol} {port}");
    }
}

#[test]
fn a_service_is_as_wide_as_its_narrowest_range_at_the_port() {
    let boundary = with(&rule("r", "path", "a", "b", "web"));
    assert_eq!(policy(&boundary, A, B, 6, 443).e, Grant::Rule { rule: 0, width: 1 });
    assert_eq!(policy(&boundary, A, B, 6, 8000).e, Grant::Rule { rule: 0, width: 1024 });
    let boundary = with(&rule("r", "path", "a", "b", "web', 'wide"));
    assert_eq!(policy(&boundary, A, B, 6, 8000).e, Grant::Rule { rule: 0, width: 1024 });
    assert_eq!(policy(&boundary, A, B, 6, 9024).e, Grant::Rule { rule: 0, width: 1025 });
    let boundary = with(&(rule("r", "path", "a", "b", "any") + &rule("p", "path", "b", "a", "ping")));
    assert_eq!(policy(&boundary, A, B, 6, 443).e, Grant::Rule { rule: 0, width: 65_536 });
    assert_eq!(policy(&boundary, B, A, 58, 0).e, Grant::Rule { rule: 1, width: 1 });
}

#[test]
fn narrow_is_at_most_1024_ports_at_one_end() {
    for (egress, ingress, port, narrow) in [
        ("any", "web", 8000, true),
        ("wide", "any", 8000, false),
        ("wide", "wide", 8000, false),
        ("wide", "wide", 443, true),
        ("any", "any", 443, false),
    ] {
        let boundary = with(&(rule("e", "egress", "a", "b", egress) + &rule("i", "ingress", "a", "b", ingress)));
        let policy = policy(&boundary, A, B, 6, port);
        assert!(policy.allow);
        assert_eq!(policy.narrow, narrow, "{egress} {ingress} {port}");
    }
    // unmanaged ends and missing grants are wide
    let boundary = with(&rule("e", "egress", "a", "b", "any"));
    assert!(!policy(&boundary, A, INTERNET, 6, 443).narrow);
}

#[test]
fn both_ends_must_permit() {
    let egress = rule("e", "egress", "a", "any", "web");
    let ingress = rule("i", "ingress", "any", "b", "web");
    let boundary = with(&(egress.clone() + &ingress));
    let both = policy(&boundary, A, B, 6, 443);
    assert_eq!((name(&boundary, both.e), name(&boundary, both.i), both.allow), ("e", "i", true));

    let boundary = with(&egress);
    let half = policy(&boundary, A, B, 6, 443);
    assert_eq!((half.e.permits(), half.i, half.allow), (true, Grant::None, false));
    // the internet has no group that the map can speak for
    let out = policy(&boundary, A, INTERNET, 6, 443);
    assert_eq!((out.e.permits(), out.i, out.allow), (true, Grant::Unmanaged, true));

    let boundary = with(&ingress);
    assert!(policy(&boundary, PARTNER, B, 6, 443).allow);
    assert_eq!(policy(&boundary, A, B, 6, 443).e, Grant::None);
    // nor have gateways
    for gateway in ["10.0.0.220", "10.0.0.221"] {
        assert_eq!(policy(&boundary, gateway, B, 6, 443).e, Grant::Unmanaged);
        assert!(policy(&boundary, gateway, B, 6, 443).allow);
    }
    // a rule gets the credit at an unmanaged end, too
    let boundary = with(&rule("r", "path", "nat", "internet", "web"));
    let leg = policy(&boundary, "10.0.0.220", INTERNET, 6, 443);
    assert_eq!((name(&boundary, leg.e), name(&boundary, leg.i)), ("r", "r"));
    check(&boundary, "tcp 10.0.0.220:1025 > 8.8.8.8:443 ACCEPT flags=2", "verdict=expected rule=r");
}

#[test]
fn the_more_specific_rule_gets_the_credit() {
    // in the order of falling specificity, each wider than the one before it
    let ranked = [
        ("both-primary", "a1", "b"),
        ("primary-parent", "a", "b"),
        ("primary-vpc", "vpc", "b"),
        ("primary-any", "any", "b"),
        ("parent-any", "a", "any"),
        ("vpc-any", "vpc", "any"),
        ("any-any", "any", "any"),
    ];
    for skip in 0..ranked.len() {
        // the others in the wrong order; the worst has the narrowest service
        let rules: String = ranked[skip..]
            .iter()
            .rev()
            .map(|(id, from, to)| rule(id, "path", from, to, if *id == "any-any" { "web" } else { "any" }))
            .collect();
        let boundary = with(&rules);
        assert_eq!(name(&boundary, policy(&boundary, A1, B, 6, 443).e), ranked[skip].0);
    }
}

#[test]
fn then_the_narrower_then_the_smaller_id() {
    let boundary = with(
        &(rule("a-any", "path", "a", "b", "any")
            + &rule("b-wide", "path", "a", "b", "wide")
            + &rule("d-web", "path", "a", "b", "web")
            + &rule("c-web", "path", "a", "b", "web")),
    );
    let credited = |port| name(&boundary, policy(&boundary, A, B, 6, port).e);
    assert_eq!(credited(8000), "c-web");
    assert_eq!(credited(443), "b-wide");
    assert_eq!(credited(9024), "b-wide");
    assert_eq!(credited(80), "a-any");
}

#[test]
fn a_built_in_primary_can_be_named() {
    let boundary = with(&(rule("u", "path", "vpc:unzoned", "b", "web") + &rule("v", "path", "vpc", "b", "web")));
    assert_eq!(name(&boundary, policy(&boundary, "10.0.77.1", B, 6, 443).e), "u");
    assert_eq!(name(&boundary, policy(&boundary, A, B, 6, 443).e), "v");
    // `internet` is public and in no declared zone
    let boundary = with(&rule("i", "ingress", "internet", "b", "web"));
    assert!(policy(&boundary, INTERNET, B, 6, 443).allow);
    assert!(!policy(&boundary, PARTNER, B, 6, 443).allow);
}

/// Which of these connections an invariant forbids, on a map that allows everything.
fn forbidden(keys: &str) -> String {
    let boundary = with(&(rule("all", "path", "any", "any", "any") + &invariant(keys)));
    let ends = [("a", A), ("a1", A1), ("b", B), ("out", PARTNER)];
    let mut hits = Vec::new();
    for (client, from) in ends {
        for (server, to) in ends {
            if policy(&boundary, from, to, 6, 443).f.is_some() {
                hits.push(format!("{client}>{server}"));
            }
        }
    }
    hits.join(" ")
}

#[test]
fn invariants_forbid_what_they_say() {
    assert_eq!(forbidden("kind = 'no-inbound'\nzone = ['a']"), "a>a a>a1 a1>a a1>a1 b>a b>a1 out>a out>a1");
    assert_eq!(forbidden("kind = 'no-inbound'\nzone = ['a1']"), "a>a1 a1>a1 b>a1 out>a1");
    assert_eq!(forbidden("kind = 'only-from'\nzone = ['b']\nallow = ['a']"), "b>b out>b");
    assert_eq!(forbidden("kind = 'only-to'\nzone = ['a1']\nallow = ['b', 'a']"), "a1>out");
    let isolated = "kind = 'isolated'\nzone = ['b']\npeer = ['partner', 'a1']";
    assert_eq!(forbidden(isolated), "a1>b b>a1 b>out out>b");
    assert_eq!(forbidden(&format!("{isolated}\ndirection = 'in'")), "a1>b out>b");
    assert_eq!(forbidden("kind = 'forbid'\nfrom = ['vpc']\nto = ['b']\nservice = ['web']"), "a>b a1>b b>b");
    assert_eq!(forbidden("kind = 'forbid'\nfrom = ['vpc']\nto = ['b']\nservice = ['dns']"), "");
    assert_eq!(forbidden("kind = 'forbid'\nfrom = ['partner']\nto = ['b']"), "out>b");
    assert_eq!(forbidden("kind = 'confined'\nzone = ['a', 'b']"), "a>out a1>out b>out");
    assert_eq!(forbidden("kind = 'placement'\nzone = ['a']\nnot_in = ['b']"), "");
}

#[test]
fn a_confined_zone_leaves_by_its_exits_alone() {
    let keys = "kind = 'confined'\nzone = ['a', 'b']\nexits = [\n  \
                { from = ['a1'], to = ['partner'], service = ['web'] },\n  { to = ['internet'], service = ['dns'] },\n]";
    let boundary = with(&(rule("all", "path", "any", "any", "any") + &invariant(keys)));
    let hit = |client, server, protocol, port| policy(&boundary, client, server, protocol, port).f.is_some();
    assert!(!hit(A1, PARTNER, 6, 443));
    assert!(hit(A1, PARTNER, 6, 444));
    assert!(hit(A, PARTNER, 6, 443));
    assert!(!hit(A, INTERNET, 17, 53));
    assert!(hit(A, INTERNET, 6, 53));
    assert!(!hit(A, B, 6, 444));
    assert!(!hit(PARTNER, INTERNET, 6, 444));
}

#[test]
fn an_exit_of_one_invariant_is_none_of_the_next() {
    let boundary = with(
        &(rule("all", "path", "any", "any", "any")
            + "[[invariant]]\nid = 'one'\nkind = 'confined'\nzone = ['a']\nexits = [{ to = ['partner'] }]\n"
            + "[[invariant]]\nid = 'two'\nkind = 'confined'\nzone = ['a1']\n"),
    );
    assert_eq!(policy(&boundary, A, PARTNER, 6, 443).f, None);
    assert_eq!(policy(&boundary, A1, PARTNER, 6, 443).f, Some(1));
    assert_eq!(policy(&boundary, A1, INTERNET, 6, 443).f, Some(0));
}

#[test]
fn the_first_invariant_of_the_file_is_named() {
    let boundary = with(
        &(rule("all", "path", "any", "any", "any")
            + "[[invariant]]\nid = 'z'\nkind = 'forbid'\nfrom = ['a']\nto = ['b']\nservice = ['dns']\n"
            + "[[invariant]]\nid = 'y'\nkind = 'no-inbound'\nzone = ['b']\n"
            + "[[invariant]]\nid = 'x'\nkind = 'no-inbound'\nzone = ['b']\n"),
    );
    check(&boundary, &format!("udp {A}:40000 > {B}:53 ACCEPT"), "rule=z reason=z");
    check(&boundary, &format!("tcp {A}:40000 > {B}:53 ACCEPT"), "rule=y reason=y");
}

// §6 ------------------------------------------------------------------------------------------------------------

#[track_caller]
fn oriented(boundary: &Boundary, words: &str, expected: &str) {
    let [orientation, by, confidence] = *expected.split(' ').collect::<Vec<_>>().as_slice() else { panic!() };
    check(boundary, words, &format!("orientation={orientation} oriented_by={by} confidence={confidence}"));
}

#[test]
fn flags_with_syn_decide_for_tcp_alone() {
    let boundary = with("");
    for (flags, expected) in [
        (2, "request flags certain"),
        (3, "request flags certain"),
        (6, "request flags certain"),
        (18, "reply flags certain"),
        (23, "reply flags certain"),
        (0, "request ephemeral weak"),
        (1, "request ephemeral weak"),
        (4, "request ephemeral weak"),
        (16, "request ephemeral weak"),
    ] {
        oriented(&boundary, &format!("tcp {A}:40000 > {B}:6000 ACCEPT flags={flags}"), expected);
    }
    oriented(&boundary, &format!("udp {A}:6000 > {B}:40000 ACCEPT flags=2"), "reply ephemeral weak");
    oriented(&boundary, &format!("icmp {A} > {B} ACCEPT flags=2"), "none proto weak");
    oriented(&boundary, &format!("47 {A} > {B} ACCEPT"), "none proto weak");
}

#[test]
fn one_narrow_grant_decides() {
    let boundary = with(&rule("r", "path", "a", "b", "web"));
    oriented(&boundary, &format!("tcp {A}:40000 > {B}:443 ACCEPT"), "request policy strong");
    oriented(&boundary, &format!("tcp {B}:443 > {A}:40000 ACCEPT"), "reply policy strong");
    oriented(&boundary, &format!("tcp {B}:443 > {A}:1024 ACCEPT"), "reply policy strong");
    // a client has no port below 1024
    oriented(&boundary, &format!("tcp {B}:443 > {A}:1023 ACCEPT"), "unknown tie weak");
    // REJECT does not turn it round
    oriented(&boundary, &format!("tcp {B}:8000 > {A}:1024 REJECT"), "reply policy strong");
    // allowed both ways: nothing is decided by policy, and both ports are a service's
    let both = with(&(rule("r", "path", "a", "b", "web") + &rule("s", "path", "b", "a", "web")));
    oriented(&both, &format!("tcp {A}:8001 > {B}:8000 ACCEPT"), "request lower-port weak");
    // a wide grant does not decide: the service does, the other way round
    let wide = with(&rule("r", "path", "b", "a", "any"));
    oriented(&wide, &format!("tcp {A}:40000 > {B}:443 ACCEPT"), "request service strong");
}

#[test]
fn one_port_of_a_declared_service_decides() {
    let boundary = with("[service.far]\ntcp = ['20000-21023', '30000-31024']\nudp = ['5000']\n");
    oriented(&boundary, &format!("tcp {A}:2000 > {B}:20000 ACCEPT"), "request service strong");
    oriented(&boundary, &format!("tcp {A}:21023 > {B}:2000 ACCEPT"), "reply service strong");
    // 1025 ports say nothing
    oriented(&boundary, &format!("tcp {A}:2000 > {B}:30000 ACCEPT"), "reply lower-port weak");
    // nor does another protocol's service
    oriented(&boundary, &format!("tcp {A}:2000 > {B}:5000 ACCEPT"), "reply lower-port weak");
    oriented(&boundary, &format!("udp {A}:2000 > {B}:5000 ACCEPT"), "request service strong");
    // both are, or the client's port is below 1024
    oriented(&boundary, &format!("tcp {A}:20001 > {B}:20000 ACCEPT"), "request lower-port weak");
    oriented(&boundary, &format!("tcp {A}:1023 > {B}:20000 ACCEPT"), "reply well-known weak");
    // of several ranges around a port, the narrowest counts
    let nested = with("[service.all]\ntcp = ['0-65535']\n[service.one]\ntcp = ['20000']\n");
    oriented(&nested, &format!("tcp {A}:2000 > {B}:20000 ACCEPT"), "request service strong");
    check(&nested, &format!("tcp {A}:2000 > {B}:20000 ACCEPT"), "service=one");
    check(&nested, &format!("tcp {A}:40000 > {B}:20001 ACCEPT"), "service=all");
}

#[test]
fn the_service_is_the_narrowest_then_the_smaller_name() {
    let boundary = with("[service.alias]\ntcp = ['443']\n[service.alive]\nicmp = true\n");
    check(&boundary, &format!("tcp {A}:40000 > {B}:443 ACCEPT"), "service=alias");
    check(&boundary, &format!("tcp {A}:40000 > {B}:8000 ACCEPT"), "service=web");
    check(&boundary, &format!("tcp {A}:40000 > {B}:7999 ACCEPT"), "service=null");
    check(&boundary, &format!("udp {A}:40000 > {B}:443 ACCEPT"), "service=null");
    check(&boundary, &format!("58 {A} > {B} ACCEPT"), "service=alive");
    check(&boundary, &format!("47 {A} > {B} ACCEPT"), "service=null");
    // the server's port, which is the source's in a reply
    check(&boundary, &format!("tcp {B}:443 > {A}:40000 ACCEPT"), "service=alias client_is_source=false");
}

#[test]
fn a_nat_gateway_is_a_client() {
    let boundary = with("[zone.nat2]\naddresses = ['10.0.0.222']\nrole = 'nat'\n");
    oriented(&boundary, "tcp 10.0.0.220:1024 > 8.8.8.8:50000 ACCEPT", "request nat strong");
    oriented(&boundary, "tcp 8.8.8.8:50000 > 10.0.0.220:1024 ACCEPT", "reply nat strong");
    // REJECT too: only ephemeral and lower-port ask for it
    oriented(&boundary, "tcp 8.8.8.8:50000 > 10.0.0.220:1024 REJECT", "reply nat strong");
    oriented(&boundary, "tcp 8.8.8.8:50000 > 10.0.0.220:1023 ACCEPT", "request well-known weak");
    oriented(&boundary, "tcp 10.0.0.220:2000 > 10.0.0.222:3000 ACCEPT", "reply lower-port weak");
    oriented(&boundary, "tcp 10.0.0.221:2000 > 8.8.8.8:3000 ACCEPT", "reply lower-port weak");
}

#[test]
fn ports_suggest_what_is_left() {
    let boundary = with("");
    for (srcport, dstport, accepted, rejected) in [
        (1024, 1023, "request well-known weak", "request well-known weak"),
        (1023, 1024, "reply well-known weak", "reply well-known weak"),
        (32_768, 32_767, "request ephemeral weak", "request ephemeral weak"),
        (32_767, 32_768, "reply ephemeral weak", "request ephemeral weak"),
        (32_767, 32_766, "request lower-port weak", "request lower-port weak"),
        (1024, 32_767, "reply lower-port weak", "request lower-port weak"),
        (40_000, 50_000, "reply lower-port weak", "request lower-port weak"),
        (1024, 1024, "unknown tie weak", "unknown tie weak"),
        (40_000, 40_000, "unknown tie weak", "unknown tie weak"),
        (1022, 1023, "unknown tie weak", "unknown tie weak"),
        (0, 0, "unknown tie weak", "unknown tie weak"),
    ] {
        for (action, expected) in [("ACCEPT", accepted), ("REJECT", rejected)] {
            oriented(&boundary, &format!("tcp {A}:{srcport} > {B}:{dstport} {action}"), expected);
        }
    }
}

#[test]
fn without_an_orientation_the_reversed_policy_counts_where_it_alone_allows() {
    // protocols without ports: a wide grant is enough for ICMP only
    let wide = with(&rule("out", "egress", "a", "any", "any"));
    check(&wide, &format!("icmp {INTERNET} > {A} ACCEPT"), "verdict=expected client_zone=a client_is_source=false");
    check(&wide, &format!("58 {INTERNET} > {A} ACCEPT"), "verdict=expected client_zone=a");
    check(&wide, &format!("47 {INTERNET} > {A} ACCEPT"), "verdict=breach client_zone=internet reason=no-ingress:a");
    // allowed both ways: forward
    check(&wide, &format!("icmp {A} > {INTERNET} ACCEPT"), "verdict=expected client_zone=a client_is_source=true");

    // ties: only equal ports, and only a narrow grant
    let narrow = with(&rule("r", "path", "a", "b", "dns"));
    check(&narrow, &format!("udp {B}:53 > {A}:53 ACCEPT"), "orientation=unknown verdict=expected client_zone=a");
    check(&narrow, &format!("udp {B}:53 > {A}:54 ACCEPT"), "orientation=unknown verdict=breach client_zone=b");
    check(
        &wide,
        &format!("udp {INTERNET}:123 > {A}:123 ACCEPT"),
        "orientation=unknown verdict=breach client_zone=internet",
    );
}
