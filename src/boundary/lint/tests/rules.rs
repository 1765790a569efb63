//! L05, L06, L08, L10, L19.

use super::*;

/// A rule from web to db; `keys` adds or replaces nothing but stands behind.
fn rule(id: &str, keys: &str) -> String {
    format!("[[rule]]\nid = \"{id}\"\nfrom = [\"web\"]\nto = [\"db\"]\nservice = [\"postgresql\"]\n{keys}\n")
}

#[test]
fn l05_duplicates() {
    trips(&format!("{}{}", rule("a", ""), rule("b", "")), "L05", Level::Warning, &["`a`", "`b`", "grant the same"]);
    passes(&format!("{}{}", rule("a", ""), rule("b", "side = \"egress\"")), "L05");
    passes(&format!("{}{}", rule("a", "env = [\"x\"]"), rule("b", "env = [\"y\"]")), "L05");
    passes(&format!("{}{}", rule("a", "mode = \"x\""), rule("b", "mode = \"y\"")), "L05");
    passes(&format!("{}{}", rule("a", ""), rule("b", "").replace("postgresql", "https")), "L05");
    // the same ports by another name
    let service = "[service.pg]\ntcp = [\"5432\"]\n";
    let other = rule("b", "").replace("postgresql", "pg");
    trips(&format!("{service}{}{other}", rule("a", "")), "L05", Level::Warning, &["`b`"]);
}

#[test]
fn l05_contradictions() {
    for (keys, what) in [
        ("severity = \"high\"", "in severity"),
        ("exposure = \"accepted\"", "in exposure"),
        ("expires = \"2030-01-01\"", "in expires"),
        ("optional = true", "in optional"),
        ("optional = true\nseverity = \"low\"", "severity and optional"),
    ] {
        trips(&format!("{}{}", rule("a", ""), rule("b", keys)), "L05", Level::Error, &["contradict", what]);
    }
    // a duplicate is not shadowed as well
    passes(&format!("{}{}", rule("a", ""), rule("b", "expires = \"2030-01-01\"")), "L06");
}

#[test]
fn l05_nacl_numbers() {
    let entry = |number: u32, egress: bool, action: &str| {
        format!(
            "[[nacl]]\nzone = \"web\"\nnumber = {number}\negress = {egress}\naction = \"{action}\"\nprotocol = \"-1\"\ncidr = \"0.0.0.0/0\"\n"
        )
    };
    let first = entry(100, true, "allow");
    trips(&format!("{first}{}", entry(100, true, "deny")), "L05", Level::Error, &["`web`", "number 100", "egress"]);
    trips(&format!("{first}{first}"), "L05", Level::Warning, &["number 100"]);
    passes(&format!("{first}{}", entry(101, true, "deny")), "L05");
    passes(&format!("{first}{}", entry(100, false, "allow")), "L05");
}

#[test]
fn l06_wider_zones_services_and_sides() {
    let narrow = rule("narrow", "");
    let wide = |from: &str, to: &str, service: &str, keys: &str| {
        format!("{narrow}[[rule]]\nid = \"wide\"\nfrom = [{from}]\nto = [{to}]\nservice = [{service}]\n{keys}\n")
    };
    let shadowed = |text: &str| trips(text, "L06", Level::Warning, &["`narrow` is shadowed by `wide`"]);
    shadowed(&wide("\"vpc\"", "\"db\"", "\"postgresql\"", ""));
    shadowed(&wide("\"any\"", "\"db\"", "\"postgresql\"", ""));
    shadowed(&wide("\"web\", \"db\"", "\"db\"", "\"postgresql\"", ""));
    shadowed(&wide("\"web\"", "\"db\"", "\"any\"", ""));
    shadowed(&wide("\"web\"", "\"db\"", "\"postgresql\", \"https\"", ""));
    // not the same client, server, service, side, time
    passes(&wide("\"internet\"", "\"db\"", "\"postgresql\"", ""), "L06");
    passes(&wide("\"vpc\"", "\"web\"", "\"postgresql\"", ""), "L06");
    passes(&wide("\"vpc\"", "\"db\"", "\"https\"", ""), "L06");
    passes(&wide("\"vpc\"", "\"db\"", "\"postgresql\"", "side = \"ingress\""), "L06");
    passes(&wide("\"vpc\"", "\"db\"", "\"postgresql\"", "mode = \"m\""), "L06");
    passes(&wide("\"vpc\"", "\"db\"", "\"postgresql\"", "env = [\"e\"]"), "L06");
    passes(&wide("\"vpc\"", "\"db\"", "\"postgresql\"", "expires = \"2030-01-01\""), "L06");
}

#[test]
fn l06_one_port_decides() {
    let services =
        |lo: u16| format!("[service.a]\ntcp = [\"1000-2000\"]\n[service.b]\ntcp = [\"{lo}-1500\", \"1501-2000\"]\n");
    let rules = "[[rule]]\nid = \"narrow\"\nfrom = [\"web\"]\nto = [\"db\"]\nservice = [\"a\"]\n\
                 [[rule]]\nid = \"wide\"\nfrom = [\"vpc\"]\nto = [\"db\"]\nservice = [\"b\"]\n";
    trips(&format!("{}{rules}", services(1000)), "L06", Level::Warning, &["`narrow`"]);
    passes(&format!("{}{rules}", services(1001)), "L06");
}

#[test]
fn l06_environments_and_sides_may_be_narrower() {
    let wide =
        "[[rule]]\nid = \"wide\"\nfrom = [\"vpc\"]\nto = [\"db\"]\nservice = [\"postgresql\"]\nenv = [\"a\", \"b\"]\n";
    trips(&format!("{}{wide}", rule("n", "env = [\"a\"]\nmode = \"m\"")), "L06", Level::Warning, &["`n`"]);
    trips(&format!("{}{wide}", rule("n", "env = [\"a\"]\nside = \"ingress\"")), "L06", Level::Warning, &["`n`"]);
    passes(&format!("{}{wide}", rule("n", "env = [\"a\", \"c\"]")), "L06");
    passes(&format!("{}{wide}", rule("n", "")), "L06");
}

#[test]
fn l06_a_zone_is_in_vpc_if_its_addresses_are() {
    let rules = "[[rule]]\nid = \"narrow\"\nfrom = [\"cache\"]\nto = [\"db\"]\nservice = [\"postgresql\"]\n\
                 [[rule]]\nid = \"wide\"\nfrom = [\"vpc\"]\nto = [\"db\"]\nservice = [\"postgresql\"]\n";
    let zone = |cidrs: &str| format!("[zone.cache]\ncidrs = [{cidrs}]\n{rules}");
    trips(&zone("\"10.0.9.0/24\""), "L06", Level::Warning, &["`narrow`"]);
    passes(&zone("\"10.0.9.0/24\", \"10.1.9.0/24\""), "L06");
    passes(&zone("\"10.1.9.0/24\""), "L06");
    // known by its group alone, it is in the VPC
    trips(&format!("[zone.cache]\nsecurity_groups = [\"c\"]\n{rules}"), "L06", Level::Warning, &["`narrow`"]);
}

#[test]
fn l06_a_zone_of_a_peer_is_not_in_vpc() {
    let text = "version = 1\nname = \"m\"\n[vpc.main]\ncidrs = [\"10.0.0.0/16\"]\nPEERS\n[vpc.peer]\ncidrs = [\"10.1.0.0/16\"]\n\
                [zone.a]\nvpc = \"peer\"\ncidrs = [\"10.1.1.0/24\"]\n[zone.b]\nvpc = \"main\"\ncidrs = [\"10.0.9.0/24\"]\n\
                [[rule]]\nid = \"narrow\"\nfrom = [\"a\", \"b\"]\nto = [\"b\"]\n\
                [[rule]]\nid = \"wide\"\nfrom = [\"vpc\"]\nto = [\"b\"]\n";
    // where `b` records the flow, `vpc` is its own VPC
    assert_eq!(texts(&on(&map(&text.replace("PEERS", "peers = [\"peer\"]")), "L06")), Vec::<String>::new());
    // without peering the two never meet
    one(&on(&map(&text.replace("PEERS", "")), "L06"), Level::Warning, &["`narrow`"]);
}

#[test]
fn l06_names_the_widest_and_only_them() {
    let text = "[zone.sub]\nparent = \"web\"\naddresses = [\"10.0.1.9\"]\n\
                [[rule]]\nid = \"a\"\nfrom = [\"sub\"]\nto = [\"db\"]\nservice = [\"postgresql\"]\n\
                [[rule]]\nid = \"b\"\nfrom = [\"web\"]\nto = [\"db\"]\nservice = [\"postgresql\"]\n\
                [[rule]]\nid = \"c\"\nfrom = [\"vpc\"]\nto = [\"db\"]\nservice = [\"postgresql\"]\n";
    assert_eq!(
        messages(text, "L06"),
        [
            "warning: rule `a` is shadowed by `c`, which permits all that it permits",
            "warning: rule `b` is shadowed by `c`, which permits all that it permits",
        ]
    );
}

#[test]
fn l08_the_world() {
    let text = |side: &str, from: &str, to: &str, keys: &str| {
        format!(
            "[zone.world]\ncidrs = [\"0.0.0.0/0\"]\n[[rule]]\nid = \"r\"\nside = \"{side}\"\nfrom = [\"{from}\"]\nto = [\"{to}\"]\nservice = [\"https\"]\n{keys}\n"
        )
    };
    for from in ["any", "internet", "world"] {
        trips(&text("ingress", from, "web", ""), "L08", Level::Warning, &["`r`", "opens `web`"]);
        trips(&text("path", from, "web", ""), "L08", Level::Warning, &["opens `web`"]);
        passes(&text("egress", from, "web", ""), "L08");
        passes(&text("ingress", from, "web", "exposure = \"accepted\""), "L08");
    }
    trips(&text("egress", "web", "any", ""), "L08", Level::Warning, &["`web` reach"]);
    passes(&text("ingress", "web", "any", ""), "L08");
    passes(&text("path", "vpc", "web", ""), "L08");
    passes(&text("path", "private-unknown", "web", ""), "L08");
}

#[test]
fn l10_wide() {
    let text = |ports: &str, keys: &str| {
        format!(
            "[service.s]\ntcp = [{ports}]\n[[rule]]\nid = \"r\"\nfrom = [\"web\"]\nto = [\"db\"]\nservice = [\"s\"]\n{keys}\n"
        )
    };
    trips(&text("\"1000-2024\"", ""), "L10", Level::Warning, &["`r`", "1025 ports"]);
    passes(&text("\"1000-2023\"", ""), "L10");
    // what stands twice counts once
    passes(&text("\"1000-2023\", \"1500\"", ""), "L10");
    trips(&text("\"1000-2023\", \"80\"", ""), "L10", Level::Warning, &["1025"]);
    trips(&text("\"1000-2024\"", "exposure = \"accepted\""), "L10", Level::Note, &["1025"]);
    let any = "[[rule]]\nid = \"r\"\nfrom = [\"web\"]\nto = [\"db\"]\n";
    trips(any, "L10", Level::Warning, &["every protocol and port"]);
}

#[test]
fn l19_the_last_day_still_counts() {
    let map = example(&rule("r", "expires = \"2026-11-21\""));
    let on = |today: Option<&str>| of(lint(&map, &Selection::default(), today, None), "L19");
    one(&on(Some("2026-11-22")), Level::Warning, &["`r`", "2026-11-21"]);
    assert_eq!(on(Some("2026-11-21")), []);
    assert_eq!(on(None), []);
}
