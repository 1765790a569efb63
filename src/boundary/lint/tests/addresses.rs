//! L01, L02, L15, L16.

use super::*;

#[test]
fn l01_unrelated_zones_with_one_prefix() {
    trips("[zone.api]\ncidrs = [\"10.0.1.0/24\"]\n", "L01", Level::Error, &["`web`", "`api`", "10.0.1.0/24"]);
    // a child may have its parent's range, a neighbour the next one, a guest a part of it
    passes("[zone.api]\nparent = \"web\"\ncidrs = [\"10.0.1.0/24\"]\n", "L01");
    passes("[zone.api]\ncidrs = [\"10.0.3.0/24\"]\n", "L01");
    passes("[zone.api]\ncidrs = [\"10.0.1.0/25\"]\n", "L01");
}

#[test]
fn l01_siblings_are_unrelated_and_one_finding_names_all_prefixes() {
    let siblings = "[zone.a]\nparent = \"web\"\naddresses = [\"10.0.1.5\", \"10.0.1.6\"]\n\
                    [zone.b]\nparent = \"web\"\naddresses = [\"10.0.1.6\", \"10.0.1.5\"]\n";
    trips(siblings, "L01", Level::Error, &["`a`", "`b`", "10.0.1.5/32 and 10.0.1.6/32"]);
}

#[test]
fn l01_counts_the_inventory() {
    let text = "[zone.a]\nparent = \"web\"\naddresses = [\"10.0.1.5\"]\n[eni.eni-1]\naddresses = [\"10.0.1.5\"]\n";
    trips(&format!("{text}zone = \"db\"\n"), "L01", Level::Error, &["`db`", "`a`", "10.0.1.5/32"]);
    passes(&format!("{text}zone = \"a\"\n"), "L01");
}

#[test]
fn l01_looks_within_one_vpc() {
    let lab = "[vpc.lab]\ncidrs = [\"10.0.0.0/16\"]\n[zone.one]\nvpc = \"lab\"\ncidrs = [\"10.0.9.0/24\"]\n";
    passes(&format!("{lab}[zone.two]\nvpc = \"main\"\ncidrs = [\"10.0.9.0/24\"]\n"), "L01");
    trips(
        &format!("{lab}[zone.two]\nvpc = \"lab\"\ncidrs = [\"10.0.9.0/24\"]\n"),
        "L01",
        Level::Error,
        &["`one`", "`two`"],
    );
}

#[test]
fn l02_outside_the_vpc() {
    let zone = |cidr: &str| format!("[zone.cache]\nvpc = \"main\"\ncidrs = [\"{cidr}\"]\n");
    trips(&zone("10.1.0.0/24"), "L02", Level::Error, &["`cache`", "`main`", "10.1.0.0/24"]);
    trips(&zone("10.0.0.0/15"), "L02", Level::Error, &["10.0.0.0/15"]);
    passes(&zone("10.0.255.0/24"), "L02");
    // outside, and not said to be inside: an external zone
    passes("[zone.partner]\ncidrs = [\"203.0.113.0/24\"]\n", "L02");
    // one foot inside makes it a zone of the VPC
    trips("[zone.cache]\ncidrs = [\"10.0.9.0/24\", \"10.1.9.0/24\"]\n", "L02", Level::Error, &["10.1.9.0/24 lies"]);
    // a group lives in a VPC
    trips("[zone.c]\nsecurity_groups = [\"c\"]\ncidrs = [\"10.1.0.0/24\"]\n", "L02", Level::Error, &["interfaces"]);
}

#[test]
fn l02_a_range_across_two_cidrs_of_the_vpc_is_inside() {
    let text = "version = 1\nname = \"m\"\n[vpc.v]\ncidrs = [\"10.0.0.0/25\", \"10.0.0.128/25\"]\n";
    assert_eq!(on(&map(&format!("{text}[zone.z]\nvpc = \"v\"\ncidrs = [\"10.0.0.0/24\"]\n")), "L02"), []);
    assert_eq!(on(&map(&format!("{text}[zone.z]\nvpc = \"v\"\ncidrs = [\"10.0.0.0/23\"]\n")), "L02").len(), 1);
}

#[test]
fn l02_outside_the_parent() {
    let plan = "[zone.plan]\ncidrs = [\"10.0.16.0/20\"]\n[zone.nodes]\nparent = \"plan\"\n";
    trips(
        &format!("{plan}cidrs = [\"10.0.32.0/24\"]\n"),
        "L02",
        Level::Warning,
        &["`nodes`", "`plan`", "10.0.32.0/24"],
    );
    passes(&format!("{plan}cidrs = [\"10.0.31.0/24\"]\n"), "L02");
    // a parent without ranges only groups; the one around it counts
    let group =
        "[zone.plan]\ncidrs = [\"10.0.16.0/20\"]\n[zone.group]\nparent = \"plan\"\n[zone.nodes]\nparent = \"group\"\n";
    trips(&format!("{group}cidrs = [\"10.0.32.0/24\"]\n"), "L02", Level::Warning, &["`plan`"]);
}

#[test]
fn l15_public_ranges() {
    let vpc = |cidr: &str| format!("[vpc.other]\ncidrs = [\"{cidr}\"]\n");
    trips(&vpc("11.0.0.0/16"), "L15", Level::Warning, &["`other`", "11.0.0.0/16"]);
    trips(&vpc("172.32.0.0/16"), "L15", Level::Warning, &["172.32.0.0/16"]);
    trips(&vpc("192.0.0.0/8"), "L15", Level::Warning, &["192.0.0.0/8"]);
    for private in ["172.31.0.0/16", "192.168.0.0/16", "100.64.0.0/16", "fd00::/56", "2600:1f00::/56"] {
        passes(&vpc(private), "L15");
    }
}

#[test]
fn l15_overlaps_on_prem() {
    let office = |cidr: &str, kind: &str| format!("[zone.office]\ncidrs = [\"{cidr}\"]\nkind = \"{kind}\"\n");
    trips(&office("10.0.128.0/17", "on-prem"), "L15", Level::Warning, &["`office`", "`main`"]);
    trips(&office("10.0.0.0/8", "on-prem"), "L15", Level::Warning, &["`office`"]);
    passes(&office("10.1.0.0/16", "on-prem"), "L15");
    passes(&office("10.0.128.0/17", "partner"), "L15");
}

#[test]
fn l15_overlapping_peers() {
    let lab = |cidr: &str, peers: &str| format!("[vpc.lab]\ncidrs = [\"{cidr}\"]\n{peers}\n");
    trips(&lab("10.0.128.0/17", "peers = [\"main\"]"), "L15", Level::Error, &["`main`", "`lab`"]);
    passes(&lab("10.1.0.0/16", "peers = [\"main\"]"), "L15");
    passes(&lab("10.0.128.0/17", ""), "L15");
}

#[test]
fn l16_small_vpc() {
    trips("[vpc.lab]\ncidrs = [\"10.9.0.0/24\"]\n", "L16", Level::Warning, &["`lab`", "256"]);
    passes("[vpc.lab]\ncidrs = [\"10.9.0.0/23\"]\n", "L16");
    passes("[vpc.lab]\ncidrs = [\"10.9.0.0/24\", \"10.9.8.0/24\"]\n", "L16");
    passes("[vpc.lab]\ncidrs = [\"fd00::/64\"]\n", "L16");
}

#[test]
fn l16_no_room() {
    let lab = "[vpc.lab]\ncidrs = [\"10.9.0.0/23\"]\n[zone.l]\nvpc = \"lab\"\n";
    trips(&format!("{lab}cidrs = [\"10.9.0.0/24\", \"10.9.1.0/24\"]\n"), "L16", Level::Note, &["`lab`"]);
    passes(&format!("{lab}cidrs = [\"10.9.0.0/24\", \"10.9.1.0/25\"]\n"), "L16");
}
