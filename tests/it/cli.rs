//! What a user sees: help, messages and exit codes of the program, as snapshots.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A folder with a small log and a small map, and the program run in it.
pub(crate) struct Case {
    folder: TempDir,
}

const LOG: &str = "\
2 123456789012 eni-0a 10.0.1.5 10.0.2.9 49152 5432 6 10 840 1790640000 1790640058 ACCEPT OK
2 123456789012 eni-0a 203.0.113.7 10.0.2.9 49152 5432 6 1 40 1790640000 1790640058 REJECT OK
2 123456789012 eni-0a - - - - - - - 1790640000 1790640058 - NODATA
2 123456789012 eni-0a 10.0.1.5 10.0.2.9 70000 5432 6 10 840 1790640000 1790640058 ACCEPT OK
";

const MAP: &str = r#"version = 1
name = "small"

[vpc.main]
cidrs = ["10.0.0.0/16"]

[zone.app]
cidrs = ["10.0.1.0/24"]
[zone.db]
cidrs = ["10.0.2.0/24"]
tags = ["data"]

[service.postgresql]
tcp = ["5432"]

[[rule]]
id = "app-db"
from = ["app"]
to = ["db"]
service = ["postgresql"]
"#;

impl Case {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("logs")).unwrap();
        fs::write(folder.path().join("logs/a.log"), LOG).unwrap();
        fs::write(folder.path().join("map.toml"), MAP).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flowbound"));
        command.args(arguments.split_whitespace()).current_dir(self.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FLOWBOUND_")) {
            command.env_remove(name);
        }
        // the width of help, whatever terminal the tests run in
        command.env("COLUMNS", "100");
        command
    }

    pub(crate) fn run(&self, arguments: &str) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().unwrap()
    }

    fn feed(&self, arguments: &str, input: &str) -> Output {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Exit code, then what was printed, without what differs from run to run.
    pub(crate) fn shown(&self, output: &Output) -> String {
        let text = |bytes: &[u8]| {
            let real = self.path().canonicalize().unwrap();
            String::from_utf8_lossy(bytes)
                .replace(&real.display().to_string(), "FOLDER")
                .replace(&self.path().display().to_string(), "FOLDER")
        };
        format!(
            "exit {}\n--- stdout\n{}--- stderr\n{}",
            output.status.code().unwrap(),
            text(&output.stdout),
            text(&output.stderr)
        )
    }
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn help_of_every_command() {
    let case = Case::new();
    let mut text = String::new();
    for command in [
        "",
        "replay",
        "explain",
        "alerts",
        "backtest",
        "map",
        "map check",
        "map show",
        "lake",
        "lake check",
        "lake compact",
        "generate",
        "schema",
    ] {
        let output = case.run(&format!("{command} --help"));
        assert_eq!(code(&output), 0, "{command}");
        text.push_str(&format!("$ flowbound {command} --help\n{}\n", String::from_utf8_lossy(&output.stdout)));
    }
    insta::assert_snapshot!(text);
}

/// Every way to be wrong about input, output and map: one clear message, the right exit code, nothing half written.
#[test]
fn mistakes_are_told() {
    let case = Case::new();
    fs::create_dir(case.path().join("empty")).unwrap();
    fs::create_dir(case.path().join("pictures")).unwrap();
    fs::write(case.path().join("pictures/cat.png"), "x").unwrap();
    fs::write(case.path().join("file"), "x").unwrap();
    fs::write(case.path().join("bad.toml"), "version = 1\nname = 'x'\n[zone.a]\ncidr = ['10.0.0.0/8']\n").unwrap();
    fs::write(case.path().join("config.toml"), "thread = 3\n").unwrap();
    let mut text = String::new();
    for arguments in [
        "replay nowhere --out lake",
        "replay empty --out lake",
        "replay pictures --out lake",
        "replay *.nothing --out lake",
        "replay logs --out file",
        "replay logs --out gs://bucket/lake",
        "replay logs --out s3://",
        "replay logs --out lake --account 12345",
        "replay logs --out lake --endpoint-url localhost:4566",
        "replay logs",
        "replay logs --out lake --map nowhere.toml",
        "replay logs --out lake --map bad.toml",
        "replay logs --out lake --log-format foo",
        "replay logs --out lake --since yesterday",
        "replay logs --out lake --threads 0",
        "replay logs --out lake --since 2026-11-22 --until 2026-11-21",
        "replay logs --out lake --overwrite --new-map",
        "replay logs --out lake --config config.toml",
        "explain --map nowhere.toml",
        "alerts",
        "alerts --lake nowhere",
        "alerts --lake logs",
        "alerts --lake logs --detector breech",
        "alerts --lake logs --severity severe",
        "alerts --lake logs --addr 10.0.0",
        "alerts --lake logs --id xyz",
        "alerts --lake logs --id 3f --follow",
        "alerts --lake logs --since 2026-11-22 --until 2026-11-21",
        "alerts --lake logs --format asff --aws-account 123456789012",
        "map check",
        "map check --explain L99",
        "map check map.toml --lake nowhere",
        "generate --map map.toml --flows 10 --out made --scenario nonsense",
        "schema tables",
        "replays",
    ] {
        let output = case.run(arguments);
        text.push_str(&format!("$ flowbound {arguments}\n{}\n", case.shown(&output)));
        assert!(matches!(code(&output), 1 | 2), "{arguments}: {}", case.shown(&output));
        assert!(!case.path().join("lake").exists(), "{arguments} left a lake behind");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_replay_is_summed_up() {
    let case = Case::new();
    let output = case.run("replay logs --map map.toml --out lake");
    assert_eq!(code(&output), 0, "{}", case.shown(&output));
    let shown = case.shown(&output);
    // the first line has times and rates
    let (_, rest) = shown.split_once("lines/s").unwrap();
    let (_, rest) = rest.split_once("\n").unwrap();
    insta::assert_snapshot!(rest);
    let again = case.run("replay logs --map map.toml --out lake");
    insta::assert_snapshot!("replay_again", case.shown(&again));
    let quarantine = fs::read_to_string(case.path().join("lake/quarantine/replay-0000000001.ndjson")).unwrap();
    let row: serde_json::Value = serde_json::from_str(&quarantine).unwrap();
    assert_eq!((&row["reason"], &row["field"], &row["line"]), (&"bad_int".into(), &"srcport".into(), &4.into()));
    assert_eq!(row["raw"], LOG.lines().nth(3).unwrap());
}

/// Memory is bounded, and that it was is told.
#[test]
fn groups_with_too_many_members_are_told() {
    for (sources, told) in [(4096, 0), (4097, 1)] {
        let case = Case::new();
        let line = |number: u32| {
            let address = format!("10.0.{}.{}", 16 + number / 250, 1 + number % 250);
            format!("2 1 eni-0a {address} 203.0.113.7 40000 443 6 9 900 1790640000 1790640058 ACCEPT OK\n")
        };
        fs::write(case.path().join("logs/a.log"), (0..sources).map(line).collect::<String>()).unwrap();
        let output = case.run("replay logs --map map.toml --out lake");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(text.contains("Cut       1 group with more members than are kept"), told == 1, "{text}");
        let output = case.run("replay logs --map map.toml --out other --json");
        let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(summary["cut_groups"], told);
    }
}

#[test]
fn strict_tells_of_quarantine_by_its_exit_code() {
    let case = Case::new();
    assert_eq!(code(&case.run("replay logs --out lake --strict")), 3);
    assert_eq!(code(&case.run("replay logs --out lake --strict")), 3, "the lines are still in quarantine");
    let clean: String = LOG.lines().take(3).map(|line| format!("{line}\n")).collect();
    fs::write(case.path().join("clean.log"), clean).unwrap();
    assert_eq!(code(&case.run("replay clean.log --out lake2 --strict")), 0);
}

/// A changed map is never mixed into a lake unasked; both ways on do what they say.
#[test]
fn another_map_needs_a_decision() {
    let case = Case::new();
    assert_eq!(code(&case.run("replay logs --map map.toml --out lake")), 0);
    fs::write(case.path().join("map.toml"), MAP.replace("app-db", "renamed")).unwrap();
    let refused = case.run("replay logs --map map.toml --out lake");
    assert_eq!(code(&refused), 2);
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(message.contains("--overwrite") && message.contains("--new-map"), "{message}");
    assert_eq!(code(&case.run("replay logs --out lake")), 2, "no map is another map too");

    let kept = case.run("replay logs --map map.toml --out lake --new-map --json");
    let kept: serde_json::Value = serde_json::from_slice(&kept.stdout).unwrap();
    assert_eq!((&kept["rows"], &kept["known_objects"]), (&0.into(), &1.into()));
    let replaced = case.run("replay logs --map map.toml --out lake --overwrite --json");
    let replaced: serde_json::Value = serde_json::from_slice(&replaced.stdout).unwrap();
    assert_eq!((&replaced["rows"], &replaced["verdicts"]["expected"]), (&3.into(), &1.into()));
}

/// A file that grew after it was replayed would double its rows: it is told, and replaced on demand.
#[test]
fn a_changed_file_needs_a_decision() {
    let case = Case::new();
    assert_eq!(code(&case.run("replay logs --map map.toml --out lake")), 0);
    fs::write(case.path().join("logs/a.log"), format!("{LOG}{LOG}")).unwrap();
    fs::write(case.path().join("logs/b.log"), LOG).unwrap();
    // the others are read all the same
    let refused = case.run("replay logs --map map.toml --out lake --json");
    assert_eq!(code(&refused), 1);
    let refused: serde_json::Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(refused["rows"], 3);
    assert!(refused["skipped"][0]["why"].as_str().unwrap().contains("changed since it was replayed"), "{refused}");
    let replaced = case.run("replay logs --map map.toml --out lake --overwrite --json");
    let replaced: serde_json::Value = serde_json::from_slice(&replaced.stdout).unwrap();
    assert_eq!(replaced["rows"], 9);
}

/// A commit is replaced whole; a file that shared one with the input is read again, or the replay does not start.
#[test]
fn overwriting_never_loses_rows_of_other_files() {
    let case = Case::new();
    fs::write(case.path().join("logs/b.log"), LOG).unwrap();
    assert_eq!(code(&case.run("replay logs --map map.toml --out lake")), 0);
    let replaced = case.run("replay logs/a.log --map map.toml --out lake --overwrite --json");
    let replaced: serde_json::Value = serde_json::from_slice(&replaced.stdout).unwrap();
    assert_eq!((&replaced["rows"], &replaced["drawn_in"]), (&6.into(), &1.into()));
    fs::remove_file(case.path().join("logs/b.log")).unwrap();
    let refused = case.run("replay logs/a.log --map map.toml --out lake --overwrite");
    assert_eq!(code(&refused), 2, "{}", case.shown(&refused));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("its rows would be lost"));
}

/// What a lake is made of is never its input: rows would be doubled.
#[test]
fn a_lake_is_no_input() {
    let case = Case::new();
    assert_eq!(code(&case.run("replay logs --map map.toml --out lake")), 0);
    for input in ["lake", "lake/flows", "lake/flows/**/*.parquet", "lake/quarantine"] {
        let output = case.run(&format!("replay {input} --map map.toml --out lake"));
        assert_eq!(code(&output), 2, "{input}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("is a lake, not a folder of logs"), "{input}");
    }
    // logs beside a lake, in the same folder, are input
    assert_eq!(code(&case.run("replay logs --map map.toml --out logs")), 0);
}

/// An --overwrite that covered a part leaves two maps in the lake; neither is taken for the other.
#[test]
fn a_lake_of_two_maps_is_told() {
    let case = Case::new();
    fs::write(case.path().join("logs/b.log"), LOG).unwrap();
    assert_eq!(code(&case.run("replay logs --map map.toml --out lake --commit-mib 0")), 0);
    fs::write(case.path().join("map.toml"), MAP.replace("app-db", "renamed")).unwrap();
    assert_eq!(code(&case.run("replay logs/b.log --map map.toml --out lake --overwrite")), 0);
    assert_eq!(code(&case.run("replay logs --map map.toml --out lake")), 2, "a.log has verdicts of the old map");
    assert_eq!(code(&case.run("replay logs/b.log --map map.toml --out lake")), 0);
}

/// One bad entry of a folder does not stop the others; it is told, and the exit code says that something is left.
#[test]
fn what_cannot_be_read_does_not_stop_the_rest() {
    let case = Case::new();
    std::os::unix::fs::symlink("nowhere", case.path().join("logs/dead.log")).unwrap();
    let output = case.run("replay logs --map map.toml --out lake");
    assert_eq!(code(&output), 1, "{}", case.shown(&output));
    let shown = case.shown(&output);
    assert!(shown.contains("dead.log: No such file") && shown.contains("expected"), "{shown}");
    // nor is anything passed over silently
    fs::write(case.path().join("logs/picture.png"), "x").unwrap();
    let output = case.run("replay logs --map map.toml --out lake2");
    assert!(case.shown(&output).contains("not named like logs: 1 (name such a file"));
}

/// A name that the map does not have would silently drop the entries that were meant.
#[test]
fn an_unknown_environment_is_a_mistake() {
    let case = Case::new();
    let entry = "[[invariant]]\nid = 'i'\nkind = 'no-inbound'\nzone = ['db']\nenv = ['production']\n";
    fs::write(case.path().join("map.toml"), format!("{MAP}{entry}")).unwrap();
    let output = case.run("replay logs --map map.toml --out lake --env prod");
    assert_eq!(code(&output), 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no environment 'prod'; it has production"));
    let mut command = case.command("replay logs --map map.toml --out lake");
    assert!(command.env("FLOWBOUND_ENV", "").output().unwrap().status.success(), "an empty variable is none");
}

#[test]
fn standard_input_is_an_input_with_an_identity() {
    let case = Case::new();
    let first = case.feed("replay - --map map.toml --out lake --json", LOG);
    let first: serde_json::Value = serde_json::from_slice(&first.stdout).unwrap();
    assert_eq!((&first["rows"], &first["quarantined"]), (&3.into(), &1.into()));
    let again = case.feed("replay - --map map.toml --out lake --json", LOG);
    let again: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!((&again["rows"], &again["known_objects"]), (&0.into(), &1.into()));
    assert!(!case.path().join("lake/_flowbound/standard-input").exists(), "the copy of the input is gone");
}

#[test]
fn explain_tells_every_step() {
    let case = Case::new();
    let output = case.feed("explain --map map.toml", LOG);
    assert_eq!(code(&output), 0);
    insta::assert_snapshot!(case.shown(&output));
    let json = case.feed("explain --map map.toml --json", LOG);
    insta::assert_snapshot!("explain_json", case.shown(&json));
    let unmapped = case.feed("explain", LOG);
    insta::assert_snapshot!("explain_without_a_map", case.shown(&unmapped));
}

/// The vectors, through the program: what `explain --json` prints is what each expects, key by key.
#[test]
fn explain_agrees_with_every_vector() {
    const TWENTY: &str = "version account-id vpc-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes \
                          start end action log-status tcp-flags flow-direction pkt-srcaddr pkt-dstaddr traffic-path";
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/vectors");
    let text = fs::read_to_string(folder.join("vectors.jsonl")).unwrap();
    let vectors: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(vectors.len(), 76);
    let case = Case::new();
    for vector in &vectors {
        let field = |name: &str| vector[name].as_str().unwrap();
        let line = field("line");
        let mut command = case.command("explain --json --map");
        command.arg(folder.join("maps").join(field("map")));
        for (name, value) in vector["options"].as_object().unwrap() {
            command.arg(format!("--{name}={}", value.as_str().unwrap()));
        }
        if line.split_whitespace().count() == 20 {
            command.args(["--log-format", TWENTY]);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(said, vector["expect"], "{}: {}", field("id"), field("note"));
    }
}

#[test]
fn options_come_from_the_command_line_then_the_environment_then_the_file() {
    let case = Case::new();
    fs::write(case.path().join("flowbound.toml"), "map = 'map.toml'\nout = 'from-file'\n").unwrap();
    let run = |variable: Option<&str>, arguments: &str| {
        let mut command = case.command(arguments);
        if let Some(value) = variable {
            command.env("FLOWBOUND_OUT", value);
        }
        assert!(command.output().unwrap().status.success());
    };
    run(None, "replay logs --config flowbound.toml");
    run(Some("from-environment"), "replay logs --config flowbound.toml");
    run(Some("from-environment"), "replay logs --config flowbound.toml --out from-line");
    for lake in ["from-file", "from-environment", "from-line"] {
        assert!(case.path().join(lake).join("_flowbound").is_dir(), "{lake}");
    }
}

/// Everything that a machine reads has its contract in `schemas/`; the files are what the program prints.
#[test]
fn contracts_are_current() {
    let case = Case::new();
    for (what, file) in
        [("flows", "flows.sql"), ("alerts", "alerts.sql"), ("map", "map.schema.json"), ("config", "config.schema.json")]
    {
        let output = case.run(&format!("schema {what}"));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(file);
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            fs::write(&path, &output.stdout).unwrap();
        }
        let current = fs::read(&path).unwrap_or_default();
        assert!(current == output.stdout, "schemas/{file} is stale: run `make golden` and read the difference");
    }
}
