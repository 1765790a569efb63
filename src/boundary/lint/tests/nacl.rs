//! L13.

use super::*;

/// One entry: `out 100 allow tcp 10.0.2.0/24 5432`.
fn acl(entries: &[&str]) -> String {
    let mut text = String::new();
    for entry in entries {
        let words: Vec<_> = entry.split(' ').collect();
        let [direction, number, action, protocol, cidr, ports] = words[..] else { panic!("{entry}") };
        text.push_str(&format!(
            "[[nacl]]\nzone = \"web\"\nnumber = {number}\negress = {}\naction = \"{action}\"\nprotocol = \"{protocol}\"\ncidr = \"{cidr}\"\nports = \"{ports}\"\n",
            direction == "out"
        ));
    }
    text
}

const REQUEST: &str = "out 100 allow tcp 10.0.2.0/24 5432";

#[test]
fn l13_a_request_without_a_return_path() {
    trips(&acl(&[REQUEST]), "L13", Level::Error, &["no return path", "`web`", "tcp/5432 to 10.0.2.0/24", "ingress"]);
    passes(&acl(&[REQUEST, "in 100 allow tcp 10.0.2.0/24 1024-65535"]), "L13");
    passes(&acl(&[REQUEST, "in 100 allow -1 0.0.0.0/0 0-65535"]), "L13");
    // the other protocol, the other addresses, the request's own direction
    trips(&acl(&[REQUEST, "in 100 allow udp 10.0.2.0/24 1024-65535"]), "L13", Level::Error, &["tcp/5432"]);
    trips(&acl(&[REQUEST, "in 100 allow tcp 10.0.3.0/24 1024-65535"]), "L13", Level::Error, &["tcp/5432"]);
    trips(&acl(&[REQUEST, "out 110 allow tcp 10.0.2.0/24 1024-65535"]), "L13", Level::Error, &["tcp/5432"]);
    // a deny before it
    let denied = [REQUEST, "in 90 deny tcp 0.0.0.0/0 0-65535", "in 100 allow tcp 10.0.2.0/24 1024-65535"];
    trips(&acl(&denied), "L13", Level::Error, &["tcp/5432"]);
    let behind = [REQUEST, "in 100 allow tcp 10.0.2.0/24 1024-65535", "in 110 deny tcp 0.0.0.0/0 0-65535"];
    passes(&acl(&behind), "L13");
}

#[test]
fn l13_a_return_path_for_a_part() {
    let back = |cidr: &str, ports: &str| acl(&[REQUEST, &format!("in 100 allow tcp {cidr} {ports}")]);
    trips(&back("10.0.2.0/24", "32768-65534"), "L13", Level::Warning, &["not for all"]);
    trips(&back("10.0.2.0/24", "32768-65535"), "L13", Level::Note, &["32768"]);
    trips(&back("10.0.2.0/24", "1025-65535"), "L13", Level::Note, &["32768"]);
    trips(&back("10.0.2.0/25", "1024-65535"), "L13", Level::Warning, &["not for all"]);
    // two halves are a whole
    let halves = [REQUEST, "in 100 allow tcp 10.0.2.0/25 1024-65535", "in 110 allow tcp 10.0.2.128/25 1024-65535"];
    passes(&acl(&halves), "L13");
    // a hole of one address
    let hole = [REQUEST, "in 90 deny tcp 10.0.2.77/32 0-65535", "in 100 allow tcp 10.0.2.0/24 1024-65535"];
    trips(&acl(&hole), "L13", Level::Warning, &["not for all"]);
}

#[test]
fn l13_incoming_requests_and_other_protocols() {
    trips(&acl(&["in 100 allow tcp 0.0.0.0/0 443"]), "L13", Level::Error, &["tcp/443 from 0.0.0.0/0", "egress"]);
    passes(&acl(&["in 100 allow tcp 0.0.0.0/0 443", "out 100 allow tcp 0.0.0.0/0 1024-65535"]), "L13");
    trips(&acl(&["in 100 allow icmp 10.0.2.0/24 0-65535"]), "L13", Level::Error, &["icmp from"]);
    passes(&acl(&["in 100 allow icmp 10.0.2.0/24 0-65535", "out 100 allow icmp 10.0.2.0/24 0-65535"]), "L13");
    // an entry for everything is a return path where it is needed as one, else it lets requests through
    trips(&acl(&["out 100 allow -1 0.0.0.0/0 0-65535"]), "L13", Level::Error, &["everything to 0.0.0.0/0"]);
    // everything: TCP and UDP replies both
    let half = ["out 100 allow -1 10.0.2.0/24 0-65535", "in 100 allow tcp 10.0.2.0/24 1024-65535"];
    trips(&acl(&half), "L13", Level::Warning, &["everything"]);
    passes(&acl(&["out 100 allow -1 ::/0 0-65535", "in 100 allow -1 ::/0 0-65535"]), "L13");
    passes(&acl(&["out 100 deny tcp 10.0.2.0/24 5432"]), "L13");
}

const RULE: &str = "[[rule]]\nid = \"r\"\nfrom = [\"web\"]\nto = [\"db\"]\nservice = [\"postgresql\", \"https\"]\n";

#[test]
fn l13_a_grant_that_no_entry_admits() {
    let back = "in 100 allow tcp 0.0.0.0/0 1024-65535";
    let both = acl(&["out 100 allow tcp 10.0.2.0/24 443", "out 110 allow tcp 10.0.2.0/24 5432", back]);
    passes(&format!("{both}{RULE}"), "L13");
    let one_port = acl(&[REQUEST, back]);
    trips(&format!("{one_port}{RULE}"), "L13", Level::Error, &["`r`", "tcp/443", "`web` to `db`", "egress"]);
    // admitted for some of the addresses is admitted
    let some = acl(&["out 100 allow tcp 10.0.2.9/32 443", "out 110 allow tcp 10.0.2.0/24 5432", back]);
    passes(&format!("{some}{RULE}"), "L13");
}

#[test]
fn l13_crossing_and_direction() {
    let back = "out 100 allow tcp 0.0.0.0/0 1024-65535";
    let entry = "in 100 allow tcp 10.0.2.0/24 443";
    let rule = |from: &str, to: &str| {
        format!("[[rule]]\nid = \"r\"\nfrom = [\"{from}\"]\nto = [\"{to}\"]\nservice = [\"https\"]\n")
    };
    passes(&format!("{}{}", acl(&[entry, back]), rule("db", "web")), "L13");
    trips(
        &format!("{}{}", acl(&[entry, back]), rule("internet", "web")),
        "L13",
        Level::Error,
        &["ingress", "`internet`"],
    );
    // the ACL of `web` guards nothing else, and not what stays in its subnet
    passes(&format!("{}{}", acl(&[entry, back]), rule("internet", "db")), "L13");
    passes(&format!("{}{}", acl(&[entry, back]), rule("web", "web")), "L13");
    let guest = "[zone.guest]\nparent = \"web\"\naddresses = [\"10.0.1.9\"]\n";
    passes(&format!("{guest}{}{}", acl(&[entry, back]), rule("web", "guest")), "L13");
    // the zone's children stand behind the same ACL
    let outside = rule("internet", "guest");
    trips(&format!("{guest}{}{outside}", acl(&[entry, back])), "L13", Level::Error, &["`guest`"]);
}

#[test]
fn l13_leaves_out_what_an_invariant_forbids() {
    let text = format!(
        "{}{RULE}[[invariant]]\nid = \"i\"\nkind = \"no-inbound\"\nzone = [\"db\"]\n",
        acl(&[REQUEST, "in 100 allow tcp 0.0.0.0/0 1024-65535"])
    );
    passes(&text, "L13");
}
