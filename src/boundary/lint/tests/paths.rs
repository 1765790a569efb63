//! L07, L09, L14, L20.

use super::*;

fn rule(id: &str, side: &str, from: &str, to: &str, service: &str, keys: &str) -> String {
    let service = if service.is_empty() { String::new() } else { format!("service = [\"{service}\"]\n") };
    format!("[[rule]]\nid = \"{id}\"\nside = \"{side}\"\nfrom = [{from}]\nto = [{to}]\n{service}{keys}\n")
}

#[test]
fn l07_an_ingress_rule_needs_an_egress_grant() {
    let ingress = rule("in", "ingress", "\"web\"", "\"db\"", "postgresql", "");
    trips(&ingress, "L07", Level::Warning, &["`in` has no egress grant", "`web` to `db`", "`postgresql`"]);
    passes(&format!("{ingress}{}", rule("out", "egress", "\"web\"", "\"db\"", "postgresql", "")), "L07");
    passes(&format!("{ingress}{}", rule("out", "egress", "\"web\"", "\"any\"", "", "")), "L07");
    // of another port, to another zone, in another mode
    let other = rule("out", "egress", "\"web\"", "\"db\"", "https", "");
    assert_eq!(messages(&format!("{ingress}{other}"), "L07").len(), 2);
    let other = rule("out", "egress", "\"web\"", "\"internet\"", "", "");
    trips(&format!("{ingress}{other}"), "L07", Level::Warning, &["`in`"]);
    // clients outside the VPC need none, and a path rule is both halves
    passes(&rule("in", "ingress", "\"internet\"", "\"web\"", "https", ""), "L07");
    passes(&rule("in", "ingress", "\"any\"", "\"web\"", "https", ""), "L07");
    passes(&rule("both", "path", "\"web\"", "\"db\"", "postgresql", ""), "L07");
}

#[test]
fn l07_an_egress_rule_needs_an_ingress_grant() {
    let egress = rule("out", "egress", "\"web\"", "\"db\"", "postgresql", "");
    trips(&egress, "L07", Level::Warning, &["`out` has no ingress grant", "`web` to `db`"]);
    passes(&rule("out", "egress", "\"web\"", "\"any\"", "", ""), "L07");
    let nat = "[zone.nat]\naddresses = [\"10.0.0.9\"]\nrole = \"nat\"\n";
    passes(&format!("{nat}{}", rule("out", "egress", "\"web\"", "\"nat\"", "https", "")), "L07");
}

#[test]
fn l07_each_pair_of_zones_by_itself() {
    let text = format!(
        "[zone.job]\naddresses = [\"10.0.7.7\"]\n{}{}",
        rule("in", "ingress", "\"web\", \"job\"", "\"db\"", "postgresql", ""),
        rule("out", "egress", "\"web\"", "\"db\"", "postgresql", "")
    );
    let found = messages(&text, "L07");
    assert_eq!(
        found,
        ["warning: half a path: rule `in` has no egress grant to meet it for `postgresql` from `job` to `db`"]
    );
}

#[test]
fn l07_looks_at_the_selected_mode() {
    let map = example(&format!(
        "{}{}",
        rule("in", "ingress", "\"web\"", "\"db\"", "postgresql", ""),
        rule("out", "egress", "\"web\"", "\"db\"", "postgresql", "mode = \"a\"")
    ));
    let in_mode = |mode| of(lint(&map, &select(None, mode), None, None), "L07");
    assert_eq!(in_mode(None), []);
    assert_eq!(in_mode(Some("a")), []);
    one(&in_mode(Some("b")), Level::Warning, &["`in`"]);
}

const EXPECT: &str =
    "[[expect]]\nid = \"alive\"\nfrom = [\"web\"]\nto = [\"db\"]\nservice = [\"postgresql\"]\nevery = \"5m\"\n";

#[test]
fn l07_an_expectation_that_no_grant_permits() {
    let needs = format!("{EXPECT}min_flows = 1\n");
    trips(&needs, "L07", Level::Error, &["`alive`", "`web` to `db`", "no egress grant", "no ingress grant"]);
    passes(&format!("{needs}{}", rule("r", "path", "\"web\"", "\"db\"", "postgresql", "")), "L07");
    passes(&format!("{EXPECT}max_flows = 0\n"), "L07");
    passes(&format!("{EXPECT}min_flows = 1\naction = \"REJECT\"\n"), "L07");
    let half = rule("out", "egress", "\"web\"", "\"any\"", "", "");
    trips(&format!("{needs}{half}"), "L07", Level::Error, &["permit it: no ingress grant lets it in"]);
    let https = rule("r", "path", "\"web\"", "\"db\"", "https", "");
    trips(&format!("{needs}{https}"), "L07", Level::Error, &["no egress grant"]);
}

#[test]
fn l07_an_expectation_that_an_invariant_forbids() {
    let text = format!(
        "{EXPECT}min_flows = 1\n{}[[invariant]]\nid = \"closed\"\nkind = \"no-inbound\"\nzone = [\"db\"]\n",
        rule("r", "path", "\"web\"", "\"db\"", "postgresql", "")
    );
    trips(&text, "L07", Level::Error, &["`alive`", "invariant `closed` forbids it"]);
    let of_rule =
        text.replace("from = [\"web\"]\nto = [\"db\"]\nservice = [\"postgresql\"]\nevery", "rule = \"r\"\nevery");
    trips(&of_rule, "L07", Level::Error, &["`alive`", "rule `r`", "invariants"]);
}

#[test]
fn l07_an_expectation_between_ends_that_need_no_grant() {
    let nat = "[zone.nat]\naddresses = [\"10.0.0.9\"]\nrole = \"nat\"\n[[expect]]\nid = \"e\"\nfrom = [\"nat\"]\nto = [\"internet\"]\nmin_flows = 1\nevery = \"1h\"\n";
    passes(nat, "L07");
}

#[test]
fn l09_data_and_the_internet() {
    let open = |keys: &str| rule("in", "ingress", "\"any\"", "\"db\"", "postgresql", keys);
    trips(&open(""), "L09", Level::Error, &["`db`", "`in`"]);
    trips(&open("exposure = \"accepted\""), "L09", Level::Warning, &["`db`", "`in`"]);
    let invariant = "[[invariant]]\nid = \"closed\"\nkind = \"isolated\"\nzone = [\"db\"]\npeer = [\"internet\"]\n";
    trips(&format!("{}{invariant}", open("")), "L09", Level::Note, &["`closed`"]);
    // no data, no internet, no ingress
    passes(&rule("in", "ingress", "\"any\"", "\"web\"", "https", ""), "L09");
    passes(&rule("in", "ingress", "\"vpc\"", "\"db\"", "postgresql", ""), "L09");
    passes(&rule("out", "egress", "\"any\"", "\"db\"", "postgresql", ""), "L09");
    // a declared zone out there is not the internet
    let partner = "[zone.partner]\ncidrs = [\"203.0.113.0/24\"]\n";
    passes(&format!("{partner}{}", rule("in", "ingress", "\"partner\"", "\"db\"", "postgresql", "")), "L09");
}

#[test]
fn l09_a_zone_inside_a_data_zone_holds_data() {
    let text = format!(
        "[zone.replica]\nparent = \"db\"\naddresses = [\"10.0.2.9\"]\n{}",
        rule("in", "ingress", "\"internet\"", "\"replica\"", "postgresql", "")
    );
    trips(&text, "L09", Level::Error, &["`replica`"]);
}

#[test]
fn l14_some_and_all() {
    let out = rule("out", "egress", "\"web\"", "\"any\"", "https", "");
    let isolated =
        |peer: &str| format!("[[invariant]]\nid = \"no\"\nkind = \"isolated\"\nzone = [\"web\"]\npeer = [{peer}]\n");
    trips(
        &format!("{out}{}", isolated("\"internet\"")),
        "L14",
        Level::Warning,
        &["`out`", "`web` to `internet`", "`no`"],
    );
    trips(&format!("{out}{}", isolated("\"any\"")), "L14", Level::Error, &["`out` permits nothing", "`no`"]);
    // the rule never opened that
    passes(&format!("{out}{}", isolated("\"db\"")), "L14");
}

#[test]
fn l14_needs_both_halves() {
    let invariant = "[[invariant]]\nid = \"only\"\nkind = \"only-from\"\nzone = [\"db\"]\nallow = [\"vpc:unzoned\"]\n";
    let ingress = rule("in", "ingress", "\"vpc\"", "\"db\"", "postgresql", "");
    passes(&format!("{ingress}{invariant}"), "L14");
    let egress = rule("out", "egress", "\"web\", \"vpc:unzoned\"", "\"db\"", "postgresql", "");
    trips(
        &format!("{ingress}{egress}{invariant}"),
        "L14",
        Level::Warning,
        &["`in` (with `out`)", "`web` to `db`", "`only`"],
    );
}

#[test]
fn l14_every_kind_of_invariant() {
    let all = rule("r", "path", "\"web\"", "\"db\"", "postgresql", "");
    for (keys, hit) in [
        ("kind = \"no-inbound\"\nzone = [\"db\"]", true),
        ("kind = \"no-inbound\"\nzone = [\"web\"]", false),
        ("kind = \"only-from\"\nzone = [\"db\"]\nallow = [\"internet\"]", true),
        ("kind = \"only-from\"\nzone = [\"db\"]\nallow = [\"web\"]", false),
        ("kind = \"only-to\"\nzone = [\"web\"]\nallow = [\"internet\"]", true),
        ("kind = \"only-to\"\nzone = [\"web\"]\nallow = [\"vpc\"]", false),
        ("kind = \"isolated\"\nzone = [\"web\"]\npeer = [\"db\"]", true),
        ("kind = \"isolated\"\nzone = [\"web\"]\npeer = [\"db\"]\ndirection = \"in\"", false),
        ("kind = \"isolated\"\nzone = [\"db\"]\npeer = [\"web\"]\ndirection = \"in\"", true),
        ("kind = \"forbid\"\nfrom = [\"any\"]\nto = [\"db\"]\nservice = [\"postgresql\"]", true),
        ("kind = \"forbid\"\nfrom = [\"any\"]\nto = [\"db\"]\nservice = [\"https\"]", false),
        ("kind = \"confined\"\nzone = [\"web\"]\nexits = []", false),
        ("kind = \"placement\"\nzone = [\"web\"]\nnot_in = [\"db\"]", false),
        ("kind = \"no-inbound\"\nzone = [\"db\"]\nenv = [\"other\"]", false),
    ] {
        let found = on(&example(&format!("{all}[[invariant]]\nid = \"i\"\n{keys}\n")), "L14");
        assert_eq!(!found.is_empty(), hit, "{keys}: {:?}", texts(&found));
    }
}

#[test]
fn l14_confined_with_exits() {
    let text = |exit: &str| {
        format!(
            "[zone.saas]\naddresses = [\"198.51.100.1\"]\nkind = \"saas\"\n{}[[invariant]]\nid = \"c\"\nkind = \"confined\"\nzone = [\"web\"]\nexits = [{exit}]\n",
            rule("out", "egress", "\"web\"", "\"saas\"", "https", "")
        )
    };
    passes(&text("{ to = [\"saas\"], service = [\"https\"] }"), "L14");
    passes(&text("{ from = [\"web\"], to = [\"saas\"] }"), "L14");
    trips(&text("{ to = [\"saas\"], service = [\"postgresql\"] }"), "L14", Level::Error, &["`out`", "`c`"]);
    trips(&text("{ from = [\"db\"], to = [\"saas\"] }"), "L14", Level::Error, &["`out`"]);
    trips(&text(""), "L14", Level::Error, &["`out`"]);
}

#[test]
fn l20_a_service_on_public_addresses() {
    let s3 = "[zone.s3]\nprefix_lists = [\"pl-1\"]\ncidrs = [\"52.216.0.0/15\"]\nkind = \"aws-service\"\n";
    let inside = rule("inside", "egress", "\"web\"", "\"vpc\"", "", "");
    trips(&format!("{s3}{inside}"), "L20", Level::Warning, &["`web` reaches `s3`"]);
    passes(&format!("{s3}{inside}{}", rule("s3", "egress", "\"web\"", "\"s3\"", "https", "")), "L20");
    passes(&format!("{s3}{}", rule("out", "egress", "\"web\"", "\"any\"", "", "")), "L20");
    // no egress rules of its own, or kept apart on purpose
    passes(s3, "L20");
    let meant = "[[invariant]]\nid = \"i\"\nkind = \"isolated\"\nzone = [\"web\"]\npeer = [\"s3\"]\n";
    passes(&format!("{s3}{inside}{meant}"), "L20");
    // an interface endpoint is inside
    let inner = s3.replace("52.216.0.0/15", "10.0.9.0/24");
    passes(&format!("{inner}{inside}"), "L20");
}
