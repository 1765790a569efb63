//! The table of lints against the lints, and the page made from it.

use super::*;
use crate::boundary::lint::{LINTS, LintInfo, lints_markdown};

#[test]
fn the_codes_are_l01_to_l21() {
    let codes: Vec<_> = LINTS.iter().map(|info| info.code.to_owned()).collect();
    assert_eq!(codes, (1..=21).map(|n| format!("L{n:02}")).collect::<Vec<_>>());
    assert_eq!(LintInfo::from_code("l06").map(|info| info.code), Some("L06"));
    assert!(LintInfo::from_code("L22").is_none());
}

#[test]
fn every_example_trips_its_lint_at_a_level_that_is_documented() {
    let traffic = Traffic { ipv6: "2001:db8::1".parse().ok(), ..Traffic::default() };
    for info in LINTS {
        let found =
            of(lint(&example(info.example), &Selection::default(), Some("2026-11-21"), Some(&traffic)), info.code);
        assert!(!found.is_empty(), "the example of {} trips nothing", info.code);
        for lint in found {
            assert!(info.levels.iter().any(|(level, _)| *level == lint.level), "{lint:?}");
        }
    }
}

#[test]
fn lints_md_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/lints.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, lints_markdown()).unwrap();
    }
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(page, lints_markdown(), "docs/lints.md is stale: run UPDATE_GOLDEN=1 cargo test lints_md");
}

#[test]
fn a_finding_as_report_and_as_json() {
    let map = example("[zone.api]\ncidrs = [\"10.0.1.0/24\"]\n");
    let found = on(&map, "L01");
    let report = found[0].report(&map.files, false);
    for part in ["error[L01]", "zones `web` and `api` both claim 10.0.1.0/24", "[zone.web]", "[zone.api]", "help:"] {
        assert!(report.contains(part), "no {part} in\n{report}");
    }
    let json = found[0].to_json(&map.files);
    assert_eq!((json["code"].as_str(), json["level"].as_str()), (Some("L01"), Some("error")));
    assert_eq!((json["file"].as_str(), json["line"].as_u64()), (Some("map.toml"), Some(19)));
    assert_eq!(json["related"][0]["line"].as_u64(), Some(7));
}

#[test]
fn findings_come_in_the_order_of_the_file() {
    let found = lint(
        &example("[zone.z]\n[zone.a]\n[[rule]]\nid = \"r\"\nfrom = [\"z\"]\nto = [\"any\"]\n"),
        &Selection::default(),
        None,
        None,
    );
    assert!(found.is_sorted_by_key(|lint| (lint.place.file, lint.place.span.start, lint.code)));
    assert!(found.len() > 4);
}
