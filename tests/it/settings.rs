//! `[detect]` in the config file, and `flowbound backtest`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::{Case, code};

/// A source that tries the ports from 1000 on of the database's servers, and one breach.
fn scan(ports: u32) -> Case {
    let case = Case::new();
    let mut log = String::new();
    for n in 0..ports {
        let (port, at) = (1000 + n, 1_790_640_000 + n);
        log.push_str(&format!(
            "2 123456789012 eni-0b 10.0.1.7 10.0.2.9 49152 {port} 6 1 40 {at} {} REJECT OK\n",
            at + 1
        ));
    }
    log.push_str("2 123456789012 eni-0b 10.0.1.5 10.0.2.9 49152 22 6 1 40 1790640000 1790640058 ACCEPT OK\n");
    fs::write(case.path().join("logs/a.log"), log).unwrap();
    case
}

fn done(case: &Case, arguments: &str) -> String {
    let output = case.run(arguments);
    assert_eq!(code(&output), 0, "{arguments}: {}", case.shown(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The alerts of a lake by id: detector, severity, status.
fn alerts(case: &Case, lake: &str, more: &str) -> BTreeMap<String, (String, String, String)> {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap().to_owned();
    done(case, &format!("alerts --lake {lake} --format json {more}"))
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|alert| {
            (text(&alert, "alert_id"), (text(&alert, "detector"), text(&alert, "severity"), text(&alert, "status")))
        })
        .collect()
}

#[test]
fn every_mistake_of_the_settings_is_told() {
    let case = Case::new();
    let config = r#"
thread = 3

[detect]
breech = {}
blocked = 3

[detect."scan.vertical"]
enabled = "no"
ports = 0
port = 3
zones = { internet = { ports = 1.5 }, app = 2 }

[detect."scan.slow".zones.db]
targets = -4

[[detect.allow]]
client = "10.0.9"
until = "tomorrow"

[[detect.allow]]
reason = ""
port = 70000
detector = "scan.fast"

[[detect.allow]]
reason = "everything"
"#;
    fs::write(case.path().join("bad.toml"), config).unwrap();
    let mut text = String::new();
    for arguments in [
        "replay logs --map map.toml --out lake --config bad.toml",
        "backtest --lake lake",
        "backtest --lake nowhere --config no.toml",
    ] {
        let output = case.run(arguments);
        assert_eq!(code(&output), 2, "{arguments}");
        text.push_str(&format!("$ flowbound {arguments}\n{}\n", case.shown(&output)));
    }
    assert!(!case.path().join("lake").exists());
    fs::write(case.path().join("good.toml"), "").unwrap();
    let output = case.run("backtest --lake nowhere --config good.toml --against bad.toml");
    assert!(
        code(&output) == 2 && case.shown(&output).contains("bad.toml has 16 mistake(s)"),
        "{}",
        case.shown(&output)
    );
    insta::assert_snapshot!(text);
}

#[test]
fn what_is_allowed_is_withdrawn_and_comes_back() {
    let case = scan(20);
    let allow = r#"
[[detect.allow]]
reason = "vulnerability scanner, SEC-12"
client = "10.0.1.7"
[[detect.allow]]
reason = "was needed for the move"
server-zone = "db"
port = 22
until = 2026-09-01
[[detect.allow]]
reason = "nobody knows any more"
client-zone = "ap"
"#;
    fs::write(case.path().join("allow.toml"), allow).unwrap();
    done(&case, "replay logs --map map.toml --out lake");
    let before = alerts(&case, "lake", "");
    // the same day gets more
    let more = "2 123456789012 eni-0b 10.0.1.5 10.0.2.9 49152 5432 6 1 40 1790643600 1790643658 ACCEPT OK\n";
    fs::write(case.path().join("logs/b.log"), more).unwrap();
    let output = case.run("replay logs --map map.toml --out lake --config allow.toml");
    let shown = case.shown(&output);
    let told: Vec<&str> =
        shown.lines().filter(|line| !line.starts_with("Replayed") && !line.starts_with("Look at")).collect();
    insta::assert_snapshot!("allowed", told.join("\n"));
    let after = alerts(&case, "lake", "");
    let gone: Vec<&String> = before.keys().filter(|id| !after.contains_key(*id)).collect();
    assert!(!gone.is_empty() && after.values().all(|(detector, ..)| !detector.starts_with("scan")), "{after:?}");
    let scan = before.iter().find(|(_, (detector, ..))| detector == "scan.vertical").unwrap().0;
    let withdrawn = done(&case, &format!("alerts --lake lake --id {scan}"));
    insta::assert_snapshot!("withdrawn", withdrawn);
    // and in a lake that never had it, there is none
    done(&case, "replay logs --map map.toml --out other --config allow.toml");
    assert_eq!(alerts(&case, "other", "--all").keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    // without the allow-list it is back
    fs::write(case.path().join("logs/c.log"), more.replace("49152", "49153")).unwrap();
    done(&case, "replay logs --map map.toml --out lake");
    assert_eq!(alerts(&case, "lake", "")[scan], ("scan.vertical".into(), "medium".into(), "updated".into()));
    let findings = done(&case, "lake check lake");
    assert!(findings.contains("0 errors, 0 notes"), "{findings}");
}

/// The lake has the same flows, and nothing of detection.
#[test]
fn with_every_detector_off_nothing_is_gathered() {
    let case = scan(20);
    let names: Vec<&str> = flowbound::detect::detector_names().collect();
    assert!(names.len() > 20);
    let switch = |on: &str| {
        let off = names.iter().filter(|name| **name != on);
        off.map(|name| format!("[detect.\"{name}\"]\nenabled = false\n")).collect::<String>()
    };
    fs::write(case.path().join("off.toml"), switch("")).unwrap();
    fs::write(case.path().join("one.toml"), switch("breach")).unwrap();
    for (config, kept) in [("off.toml", false), ("one.toml", true)] {
        let told = done(&case, &format!("replay logs --map map.toml --out {config}.lake --config {config}"));
        assert!(told.contains("21"), "{told}");
        let files = tree(&case.path().join(format!("{config}.lake")));
        let is_state = |path: &PathBuf| path.ends_with("_flowbound/state");
        assert_eq!(files.iter().any(is_state), kept, "{config}: {files:?}");
        assert_eq!(alerts(&case, &format!("{config}.lake"), "").len(), usize::from(kept), "{config}");
    }
}

#[test]
fn a_zone_that_the_map_does_not_have_is_told() {
    let case = Case::new();
    let config = "[detect.blocked.zones.dbs]\nflows = 3\n[[detect.allow]]\nreason = 'x'\nclient-zone = 'internet'\n";
    fs::write(case.path().join("flowbound.toml"), config).unwrap();
    let output = case.run("replay logs --map map.toml --out lake --config flowbound.toml");
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(told, "warning: the map small has no zone 'dbs', which detect.\"blocked\".zones names\n");
}

#[test]
fn a_difference_is_shown() {
    let case = scan(20);
    let new = r#"
[detect."scan.vertical"]
ports = 30
[detect.breach]
enabled = false
[[detect.allow]]
reason = "asked for in SEC-12"
detector = "blocked"
port = 1003
"#;
    fs::write(case.path().join("new.toml"), new).unwrap();
    fs::write(case.path().join("same.toml"), "").unwrap();
    done(&case, "replay logs --map map.toml --out lake");
    let before = tree(&case.path().join("lake"));
    let mut text = done(&case, "backtest --lake lake --config new.toml");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    for more in [
        "backtest --lake lake --config same.toml",
        "backtest --lake lake --config new.toml --against new.toml",
        "backtest --lake lake --config new.toml --since 2026-10-01",
        "backtest --lake lake --config same.toml --against new.toml --until 2026-09-29T00:01",
    ] {
        text.push_str(&format!("\n$ flowbound {more}\n{}", done(&case, more)));
    }
    insta::assert_snapshot!(text);
    let json: Value = serde_json::from_str(&done(&case, "backtest --lake lake --config new.toml --json")).unwrap();
    insta::assert_snapshot!("difference_json", serde_json::to_string_pretty(&json).unwrap());
    assert_eq!(tree(&case.path().join("lake")), before, "nothing is written");
}

/// Every file and folder below a folder.
fn tree(root: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            found.insert(path.clone());
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

/// Thresholds up and down, zones, switches, and an allow-list with an entry that expires in the middle.
const CHANGED: &str = r#"
[detect."scan.vertical"]
ports = 8
[detect."scan.vertical".zones.internet]
ports = 50
[detect."scan.horizontal"]
servers = 31
protected-servers = 31
alerts = 2
[detect."scan.horizontal".zones.internet]
servers = 30
[detect."scan.slow"]
targets = 3
lead = 2
[detect.blocked]
flows = 3
[detect.outage]
enabled = false
[detect.breach.zones.internet]
enabled = false
[[detect.allow]]
reason = "attempts are known"
detector = "attempt"
until = 2026-11-20T01:00:00Z
[[detect.allow]]
reason = "SSH is watched elsewhere"
port = 22
"#;

/// The important one: what a backtest tells is what a replay with that config into another lake makes.
#[test]
fn a_backtest_tells_what_a_replay_makes() {
    let case = Case::new();
    fs::write(case.path().join("new.toml"), CHANGED).unwrap();
    fs::write(case.path().join("old.toml"), "").unwrap();
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for (number, system) in ["artos", "eks-rds"].into_iter().enumerate() {
        let map = testdata.join(system).join("boundary.toml");
        let map = map.display();
        let (made, old, new) = (format!("made{number}"), format!("old{number}"), format!("new{number}"));
        done(&case, &format!("generate --map {map} --flows 20000 --seed 7 --out {made}"));
        let replay = |lake: &str, more: &str| {
            done(&case, &format!("replay {made}/AWSLogs --map {map} --out {lake} --commit-mib 0.1 {more}"))
        };
        replay(&old, "");
        replay(&new, "--config new.toml");
        let (before, after) = (alerts(&case, &old, ""), alerts(&case, &new, ""));
        let mut real: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
        for (id, (detector, severity, _)) in &before {
            match after.get(id) {
                None => drop(real.insert(("gone", id, detector))),
                Some((_, now, _)) if now != severity => drop(real.insert(("severity", id, detector))),
                Some(_) => {}
            }
        }
        let fresh = after.iter().filter(|(id, _)| !before.contains_key(*id));
        real.extend(fresh.map(|(id, (detector, ..))| ("new", id.as_str(), detector.as_str())));
        // the same from either lake, for what is gathered does not depend on settings
        for lake in [&old, &new] {
            let json = done(&case, &format!("backtest --lake {lake} --against old.toml --config new.toml --json"));
            let json: Value = serde_json::from_str(&json).unwrap();
            let told: BTreeSet<(&str, &str, &str)> = json["changes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|change| {
                    let text = |key: &str| change[key].as_str().unwrap();
                    (text("change"), text("alert_id"), text("detector"))
                })
                .collect();
            assert_eq!(told, real, "{system}, asked of {lake}");
            assert_eq!(json["total"]["before"], before.len(), "{system}");
            assert_eq!(json["total"]["after"], after.len(), "{system}");
        }
        seen.extend(real.iter().map(|(kind, _, detector)| format!("{kind} {detector}")));
        let text = done(&case, &format!("backtest --lake {old} --config new.toml"));
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
    for change in
        ["gone blocked", "gone attempt", "gone outage", "gone scan.vertical", "gone scan.horizontal", "new scan.slow"]
    {
        assert!(seen.contains(change), "{change} is not among {seen:?}");
    }
}
