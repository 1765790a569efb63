//! L03, L04, L11, L12.

use super::*;

const INVENTORY: &str = "[eni.eni-1]\naddresses = [\"10.0.1.7\"]\nzone = \"web\"\n";

#[test]
fn l03_no_selector() {
    trips("[zone.cache]\ndescription = \"later\"\n", "L03", Level::Warning, &["`cache`"]);
    passes("[zone.cache]\naddresses = [\"10.0.9.9\"]\n", "L03");
    // a zone around others needs none
    passes("[zone.all]\n[zone.cache]\nparent = \"all\"\naddresses = [\"10.0.9.9\"]\n", "L03");
}

#[test]
fn l03_groups_alone_without_an_inventory() {
    trips("[zone.cache]\nsecurity_groups = [\"cache\"]\n", "L03", Level::Warning, &["`cache`"]);
    passes(
        "[zone.cache]\nsecurity_groups = [\"cache\"]\n[eni.eni-9]\naddresses = [\"10.0.9.9\"]\nzone = \"cache\"\n",
        "L03",
    );
}

#[test]
fn l04_groups_that_the_inventory_does_not_know() {
    let zone = "[zone.cache]\nsecurity_groups = [\"cache\"]\n";
    trips(&format!("{zone}{INVENTORY}"), "L04", Level::Warning, &["`cache`", "cache"]);
    passes(&format!("{zone}{INVENTORY}"), "L03");
    passes(zone, "L04");
    passes(&format!("{zone}[eni.eni-9]\naddresses = [\"10.0.9.9\"]\nzone = \"cache\"\n"), "L04");
    // the name is known, only not here
    passes(&format!("[zone.cache]\nsecurity_groups = [\"web\"]\n{INVENTORY}"), "L04");
}

#[test]
fn l04_prefix_lists_without_ranges() {
    trips("[zone.s3]\nprefix_lists = [\"pl-1\"]\n", "L04", Level::Warning, &["`s3`", "pl-1"]);
    passes("[zone.s3]\nprefix_lists = [\"pl-1\"]\ncidrs = [\"52.216.0.0/15\"]\n", "L04");
}

#[test]
fn l04_interfaces() {
    let zone = "[zone.cache]\nenis = [\"eni-1\"]\naddresses = [\"10.0.9.9\"]\n";
    trips(&format!("{zone}{INVENTORY}"), "L04", Level::Warning, &["`cache`", "eni-1", "`web`"]);
    trips(
        &format!("{zone}[eni.eni-2]\naddresses = [\"10.0.1.7\"]\nzone = \"web\"\n"),
        "L04",
        Level::Warning,
        &["does not have"],
    );
    passes(&format!("{zone}[eni.eni-1]\naddresses = [\"10.0.9.9\"]\nzone = \"cache\"\n"), "L04");
}

#[test]
fn l11_ranges_in_rules() {
    let rule = "[[rule]]\nid = \"r\"\nfrom = [\"batch\"]\nto = [\"db\"]\nservice = [\"postgresql\"]\n";
    let zone = |keys: &str| format!("[zone.batch]\n{keys}\n{rule}");
    trips(&zone("cidrs = [\"10.0.3.0/24\"]"), "L11", Level::Note, &["`batch`", "`r`", "10.0.3.0/24"]);
    trips(&zone("cidrs = [\"10.0.3.4/31\"]"), "L11", Level::Note, &["10.0.3.4/31"]);
    passes(&zone("cidrs = [\"10.0.3.4/32\"]"), "L11");
    passes(&zone("cidrs = [\"10.0.3.0/24\"]\nsecurity_groups = [\"batch\"]"), "L11");
    passes(&zone("cidrs = [\"10.0.3.0/24\"]\nrole = \"nat\""), "L11");
    passes(&zone("cidrs = [\"10.7.3.0/24\"]"), "L11");
    // no rule names it
    passes("[zone.batch]\ncidrs = [\"10.0.3.0/24\"]\n", "L11");
}

#[test]
fn l12_owners_and_descriptions() {
    let owned = "version = 1\nname = \"m\"\n[vpc.v]\ncidrs = [\"10.0.0.0/16\"]\n[zone.a]\ncidrs = [\"10.0.1.0/24\"]\nowner = \"x\"\n\
                 [zone.child]\nparent = \"a\"\naddresses = [\"10.0.1.1\"]\n\
                 [zone.s3]\nkind = \"aws-service\"\ncidrs = [\"52.216.0.0/15\"]\n";
    assert_eq!(texts(&on(&map(owned), "L12")), Vec::<String>::new());
    let more = "[zone.b]\naddresses = [\"10.0.2.2\"]\n[zone.c]\naddresses = [\"10.0.2.3\"]\n\
                [[rule]]\nid = \"r\"\nfrom = [\"a\"]\nto = [\"b\"]\n\
                [[invariant]]\nid = \"i\"\nkind = \"no-inbound\"\nzone = [\"c\"]\n";
    let found = on(&map(&format!("{owned}{more}")), "L12");
    assert_eq!(
        texts(&found),
        [
            "note: zones `b` and `c` have no owner",
            "note: rule `r` has no description",
            "note: invariant `i` has no description",
        ]
    );
}

#[test]
fn a_map_without_a_vpc_can_judge_nothing() {
    let map = parse_map("m.toml", "version = 1\nname = \"m\"\n[zone.a]\ncidrs = [\"10.0.0.0/8\"]\n");
    let found = lint(&map.unwrap(), &Selection::default(), None, None);
    let errors: Vec<_> = found.iter().filter(|lint| lint.level == Level::Error).collect();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].code == "L03" && errors[0].message.contains("no VPC"));
}
