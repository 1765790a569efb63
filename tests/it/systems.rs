//! The reference systems, replayed: what was generated is what is judged.
//!
//! `testdata/<system>/expected.json` holds what the generator meant each record to be; the generator never asks the
//! evaluator's judgement, so the two agree only if both are right.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn run(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_flowbound")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn verdicts_are_those_that_were_generated() {
    for system in ["artos", "atlas", "eks-rds", "ez-cdc"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(system);
        let path = |name: &str| folder.join(name).display().to_string();
        let scratch = tempfile::tempdir().unwrap();
        let out = |name: &str| scratch.path().join(name).display().to_string();

        let made =
            run(&["generate", "--map", &path("boundary.toml"), "--flows", "3000", "--out", &out("made"), "--json"]);
        let expected = serde_json::json!({"records": made["records"], "verdicts": made["verdicts"]});
        let file = folder.join("expected.json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&file, serde_json::to_string_pretty(&expected).unwrap() + "\n").unwrap();
        }
        let kept: Value = serde_json::from_slice(&fs::read(&file).unwrap_or_default()).unwrap_or_default();
        assert_eq!(kept, expected, "{}", file.display());

        let summary = run(&["replay", &path("logs"), "--map", &path("boundary.toml"), "--out", &out("lake"), "--json"]);
        let counts = |value: &Value| -> BTreeMap<String, u64> { serde_json::from_value(value.clone()).unwrap() };
        assert_eq!(counts(&summary["verdicts"]), counts(&kept["verdicts"]), "{system}");
        assert_eq!((&summary["rows"], &summary["quarantined"]), (&kept["records"], &0.into()), "{system}");
    }
}
