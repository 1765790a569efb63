//! The four reference maps: the contradictions that their design documents hold.

use std::collections::BTreeMap;

use super::*;

pub(super) fn reference(name: &str) -> BoundaryMap {
    let path = format!("{}/testdata/vectors/maps/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    map(&std::fs::read_to_string(&path).unwrap())
}

/// Findings per code and level.
fn counts(map: &BoundaryMap, selection: &Selection) -> BTreeMap<(&'static str, Level), usize> {
    let mut counts = BTreeMap::new();
    for lint in lint(map, selection, None, None) {
        *counts.entry((lint.code, lint.level)).or_default() += 1;
    }
    counts
}

#[test]
fn artos_ten_rules_are_shadowed() {
    let found = on(&reference("artos"), "L06");
    let pair = |lint: &Lint| {
        let mut names = lint.message.split('`').skip(1).step_by(2).map(str::to_owned);
        (names.next().unwrap_or_default(), names.collect::<Vec<_>>().join(" "))
    };
    let pairs: Vec<_> = found.iter().map(pair).collect();
    let expected = [
        ("cluster-api-nodes", "cluster-api-vpc"),
        ("cluster-api-additional", "cluster-api-vpc"),
        ("nodes-tcp-self", "nodes-tcp-vpc"),
        ("nodes-dynamic-self", "nodes-tcp-vpc"),
        ("nodes-kubelet-vpc", "nodes-tcp-vpc"),
        ("nodes-nodeport-self", "nodes-tcp-vpc"),
        ("nodes-https-vpc", "nodes-tcp-vpc"),
        ("nodes-etcd-vpc", "nodes-tcp-vpc"),
        ("nodes-etcd-metrics-vpc", "nodes-tcp-vpc"),
        ("alb-fe-https-bastion", "alb-fe-https-vpc"),
    ];
    assert_eq!(pairs, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
}

#[test]
fn artos_blocks_its_own_s3() {
    one(&on(&reference("artos"), "L20"), Level::Warning, &["`eks-nodes`", "`s3`"]);
}

#[test]
fn artos_bastion_to_rds_is_required_and_not_permitted() {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/vectors/maps/artos.toml")).unwrap();
    let more = "[[expect]]\nid = \"bastion-reaches-rds\"\nfrom = [\"bastion\"]\nto = [\"rds\"]\nservice = [\"postgresql\"]\nmin_flows = 1\nevery = \"24h\"\n";
    let found = on(&map(&format!("{text}{more}")), "L07");
    one(&found, Level::Error, &["`bastion-reaches-rds`", "no ingress grant", "`db-only-from-nodes`"]);
}

#[test]
fn artos_plan_excludes_its_own_subnets() {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/vectors/maps/artos.toml")).unwrap();
    let planned = text
        .replace("[zone.private]", "[zone.plan-private]\ncidrs = [\"10.0.0.0/20\"]\n[zone.plan-database]\ncidrs = [\"10.0.100.0/22\"]\n[zone.private]\nparent = \"plan-private\"")
        .replace("[zone.database]", "[zone.database]\nparent = \"plan-database\"");
    let found = texts(&on(&map(&planned), "L02"));
    assert_eq!(
        found,
        [
            "warning: zone `private` has the parent `plan-private`, but 10.0.20.0/24 lies outside it",
            "warning: zone `database` has the parent `plan-database`, but 10.0.200.0/24 lies outside it",
        ]
    );
}

#[test]
fn artos_egress_to_anywhere_contradicts_no_internet() {
    let found = on(&reference("artos"), "L14");
    let rules: Vec<_> = found.iter().filter_map(|lint| lint.message.split('`').nth(1)).collect();
    assert_eq!(rules, ["cluster-egress", "alb-int-egress", "alb-fe-egress"]);
    assert!(found.iter().all(|lint| lint.message.contains("`private-no-internet`") && lint.level == Level::Warning));
}

#[test]
fn ez_cdc_https_to_anywhere_is_wider_than_the_data_may_go() {
    let words = ["`worker-https-any` permits `worker` to `internet`, which invariant `row-data-stays` forbids"];
    one(&on(&reference("ez-cdc"), "L14"), Level::Warning, &words);
}

#[test]
fn ez_cdc_nacl_has_no_return_path() {
    let found = on(&reference("ez-cdc"), "L13");
    let all = texts(&found).join("\n");
    assert_eq!(found.len(), 3, "{all}");
    for part in
        ["no return path: `acl-cdc`", "`worker-starrocks` permits tcp/8040", "`worker-https-any` permits tcp/443"]
    {
        assert!(all.contains(part), "no {part} in {all}");
    }
}

#[test]
fn atlas_paths_without_a_rule() {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/vectors/maps/atlas.toml")).unwrap();
    let more = "[zone.kafka-ui]\nparent = \"private\"\naddresses = [\"10.30.10.70\"]\n\
        [[expect]]\nid = \"kafka-ui\"\nfrom = [\"kafka-ui\"]\nto = [\"msk\"]\nservice = [\"msk-iam\"]\nmin_flows = 1\nevery = \"1h\"\n\
        [[expect]]\nid = \"cdc-source\"\nfrom = [\"msk-connect\"]\nto = [\"rds\"]\nservice = [\"postgresql\"]\nmin_flows = 1\nevery = \"1h\"\n";
    let found = texts(&on(&map(&format!("{text}{more}")), "L07"));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("`kafka-ui`") && found[0].contains("no egress grant"), "{found:?}");
    assert!(found[1].contains("`cdc-source`") && found[1].ends_with("no ingress grant lets it in"), "{found:?}");
}

#[test]
fn atlas_staging_opens_its_database() {
    let map = reference("atlas");
    let staging = lint(&map, &select(Some("staging"), None), None, None);
    one(&of(staging, "L09"), Level::Warning, &["`rds-staging`", "`rds-open-staging`"]);
    assert_eq!(on(&map, "L09"), []);
}

/// Every finding on the four maps, counted by hand: a lint that begins to make noise shows here.
#[test]
fn nothing_else_is_found() {
    use Level::{Error, Note, Warning};
    type Count = (&'static str, Level, usize);
    let expected: [(&str, &[Count]); 4] = [
        ("ez-cdc", &[("L12", Note, 1), ("L13", Error, 3), ("L14", Warning, 1), ("L17", Warning, 1)]),
        ("atlas", &[("L10", Note, 2), ("L12", Note, 1), ("L17", Warning, 1)]),
        (
            "artos",
            &[
                ("L06", Warning, 10),
                ("L10", Note, 3),
                ("L10", Warning, 7),
                ("L12", Note, 1),
                ("L14", Warning, 3),
                ("L17", Warning, 1),
                ("L20", Warning, 1),
            ],
        ),
        ("eks-rds", &[("L11", Note, 3), ("L12", Note, 1), ("L17", Warning, 1)]),
    ];
    for (name, expected) in expected {
        let expected: BTreeMap<_, _> = expected.iter().map(|(code, level, count)| ((*code, *level), *count)).collect();
        assert_eq!(counts(&reference(name), &Selection::default()), expected, "{name}");
    }
}
