//! The loader against maps: those of the four reference systems, sample configs, and any bytes.

use std::path::{Path, PathBuf};

use super::super::model::{BoundaryMap, ExpectSubject, InvariantKind, ZoneId};
use super::*;

fn testdata(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(folder)
}

fn load(path: &Path) -> Result<BoundaryMap, MapProblems> {
    // Paths in reports are those of the repository, wherever it lies.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let name = path.strip_prefix(root).unwrap().to_str().unwrap();
    load_map(name, &mut |path| std::fs::read_to_string(root.join(path)))
}

fn reference(name: &str) -> BoundaryMap {
    load(&testdata("vectors/maps").join(name)).unwrap_or_else(|problems| panic!("{}", problems.report(false)))
}

/// VPCs, zones, services, rules, invariants, expectations, NACL entries, interfaces.
fn counts(map: &BoundaryMap) -> [usize; 8] {
    [
        map.vpcs.len(),
        map.zones.len(),
        map.services.len(),
        map.rules.len(),
        map.invariants.len(),
        map.expects.len(),
        map.nacls.len(),
        map.enis.len(),
    ]
}

/// The counts that the reference documents give for their maps.
#[test]
fn reference_maps_are_whole() {
    assert_eq!(counts(&reference("ez-cdc.toml")), [1, 9, 3, 7, 5, 2, 1, 4]);
    assert_eq!(counts(&reference("atlas.toml")), [1, 12, 7, 10, 3, 0, 0, 0]);
    assert_eq!(counts(&reference("artos.toml")), [1, 11, 11, 26, 5, 2, 0, 6]);
    assert_eq!(counts(&reference("eks-rds.toml")), [3, 10, 2, 5, 2, 0, 0, 5]);
}

#[test]
fn names_become_ids() {
    let map = reference("ez-cdc.toml");
    let rule = map.rules.iter().find(|rule| rule.id == "nat-out").unwrap();
    assert_eq!(rule.from.iter().map(|&zone| map.zone_name(zone)).collect::<Vec<_>>(), ["nat"]);
    assert_eq!(rule.to.first(), Some(&ZoneId::INTERNET));
    assert_eq!(rule.when.mode.as_deref(), Some("standard"));
    let worker = map.zones.iter().find(|zone| zone.name == "worker").unwrap();
    assert_eq!(worker.parent.map(|zone| map.zone_name(zone)), Some("cdc"));
    let kind = &map.invariants.iter().find(|invariant| invariant.id == "row-data-stays").unwrap().kind;
    let InvariantKind::Confined { exits, .. } = kind else { panic!("{kind:?}") };
    assert_eq!(exits.first().unwrap().max_bytes_per_hour, Some(104_857_600));
    let expect = map.expects.first().unwrap();
    assert_eq!((&expect.subject, expect.every), (&ExpectSubject::Rule("worker-pg".to_owned()), 600));
}
#[test]
fn tmp() {
    for e in std::fs::read_dir(testdata("config/invalid")).unwrap() {
        let p = e.unwrap().path();
        match load(&p) {
            Ok(_) => println!("{p:?} OK"),
            Err(e) => println!("{p:?} {}\n{}\n{}", e.problems.len(), e.report(false), e),
        }
    }
}
