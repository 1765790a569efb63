//! `flowbound lake`: a lake as replay makes it, looked at, broken, mended.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn flowbound(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowbound"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FLOWBOUND_")) {
        command.env_remove(name);
    }
    command.args(arguments).current_dir(folder).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// The lake of a reference system in a few commits.
fn lake(folder: &Path) {
    let artos = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/artos");
    let (logs, map) = (artos.join("logs"), artos.join("boundary.toml"));
    let arguments = [
        "replay",
        logs.to_str().unwrap(),
        "--map",
        map.to_str().unwrap(),
        "--out",
        "lake",
        "--commit-mib",
        "0.05",
        "--threads",
        "2",
    ];
    let replayed = flowbound(folder, &arguments);
    assert!(replayed.status.success(), "{replayed:?}");
}

#[test]
fn a_replayed_lake_is_as_promised_until_it_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    lake(at);
    let clean = flowbound(at, &["lake", "check", "lake", "--json"]);
    assert_eq!(clean.status.code(), Some(0), "{clean:?}");
    let report = json(&clean);
    assert_eq!((&report["rows"], &report["errors"], &report["notes"]), (&3000.into(), &0.into(), &0.into()));
    assert!(report["commits"].as_u64().unwrap() > 3, "{report}");
    let text = flowbound(at, &["lake", "check", "lake"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("3000 rows: 0 errors, 0 notes") && text.lines().count() == 1, "{text}");

    // files of a replay are its own
    let compacted = json(&flowbound(at, &["lake", "compact", "lake", "--min-files", "2", "--json"]));
    assert_eq!(compacted["merged"], Value::Array(Vec::new()));

    fs::create_dir_all(at.join("lake/_flowbound/staging/replay/0000000001/feed")).unwrap();
    fs::write(at.join("lake/_flowbound/staging/replay/0000000001/feed/x"), "x").unwrap();
    fs::create_dir_all(at.join("lake/quarantine")).unwrap();
    fs::write(at.join("lake/quarantine/mine.ndjson"), "{}\n").unwrap();
    let repaired = flowbound(at, &["lake", "check", "lake", "--repair"]);
    assert_eq!(repaired.status.code(), Some(4), "{repaired:?}");
    let text = String::from_utf8(repaired.stdout).unwrap();
    assert!(text.starts_with("cleared _flowbound/staging/replay/0000000001/feed/x\n"), "{text}");
    assert!(text.contains("I5  what is visible is the union of the commits"), "{text}");
    assert!(text.contains("error: quarantine/mine.ndjson: no commit names it\n    move it out"), "{text}");
    fs::remove_file(at.join("lake/quarantine/mine.ndjson")).unwrap();
    let mended = flowbound(at, &["lake", "check", "lake", "--repair", "--json"]);
    assert_eq!(mended.status.code(), Some(0));
    let empty: Value = serde_json::json!({"published": [], "removed": [], "cleared": [], "left": []});
    assert_eq!(json(&mended)["repaired"], empty);
}

#[test]
fn what_is_no_lake_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("logs")).unwrap();
    for arguments in [["lake", "check", "nowhere"], ["lake", "check", "logs"], ["lake", "compact", "logs"]] {
        let output = flowbound(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("is no lake"), "{output:?}");
    }
    assert_eq!(fs::read_dir(folder.path().join("logs")).unwrap().count(), 0, "nothing was made");
    for time in ["-1h", "soon", ""] {
        let output = flowbound(folder.path(), &["lake", "compact", "logs", &format!("--older-than={time}")]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("give a time such as 2h"), "{output:?}");
    }
}

/// A lake that somebody else has for himself is not repaired under his hands.
#[test]
fn a_repair_waits_for_its_turn() {
    let folder = tempfile::tempdir().unwrap();
    lake(folder.path());
    let lock = fs::File::open(folder.path().join("lake/_flowbound/lock")).unwrap();
    lock.try_lock_shared().unwrap();
    let refused = flowbound(folder.path(), &["lake", "check", "lake", "--repair"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("another flowbound is writing to lake"), "{refused:?}");
    assert_eq!(flowbound(folder.path(), &["lake", "check", "lake"]).status.code(), Some(0), "looking is free");
    assert_eq!(flowbound(folder.path(), &["lake", "compact", "lake"]).status.code(), Some(0), "streams share it");
}
