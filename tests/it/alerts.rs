//! `flowbound alerts`, as a user sees it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::cli::{Case, code};

/// In one hour something that got through, something that is refused and something that is blocked; a gap in the next.
const TROUBLE: &str = "\
2 123456789012 eni-0a 10.0.2.9 10.0.1.5 49152 22 6 10 840 1790640000 1790640058 ACCEPT OK
2 123456789012 eni-0b 10.0.1.5 10.0.2.9 49152 5432 6 9 760 1790640000 1790640058 REJECT OK
2 123456789012 eni-0b 203.0.113.7 10.0.2.9 49152 5432 6 1 40 1790640000 1790640058 REJECT OK
2 123456789012 eni-0b - - - - - - - 1790643600 1790643658 - SKIPDATA
";

fn trouble() -> Case {
    let case = Case::new();
    fs::write(case.path().join("logs/a.log"), TROUBLE).unwrap();
    let output = case.run("replay logs --map map.toml --out lake");
    assert_eq!(code(&output), 0, "{}", case.shown(&output));
    case
}

/// The objects that a command prints, one a line.
fn objects(case: &Case, arguments: &str) -> Vec<Value> {
    let output = case.run(arguments);
    assert_eq!(code(&output), 0, "{}", case.shown(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn detectors(case: &Case, filter: &str) -> Vec<String> {
    let alerts = objects(case, &format!("alerts --lake lake --format json {filter}"));
    alerts.iter().map(|alert| alert["detector"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn alerts_are_listed_and_one_is_shown() {
    let case = trouble();
    let list = case.run("alerts --lake lake");
    insta::assert_snapshot!("list", case.shown(&list));
    let list = case.run("alerts --lake lake --limit 2");
    insta::assert_snapshot!("list_of_two", case.shown(&list));
    let mut piped = case.command("alerts --lake lake");
    let piped = piped.env_remove("COLUMNS").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&piped.stdout).lines().count(), 5, "one line each, where there is room");
    let breach = objects(&case, "alerts --lake lake --format json --detector breach").remove(0);
    let id = breach["alert_id"].as_str().unwrap();
    let shown = case.run(&format!("alerts --lake lake --id {}", id.get(..6).unwrap().to_uppercase()));
    insta::assert_snapshot!("one", case.shown(&shown));
    assert_eq!(objects(&case, &format!("alerts --lake lake --id {id} --format json")), [breach]);
    let blocked = objects(&case, "alerts --lake lake --format json --detector blocked").remove(0);
    let shown = case.run(&format!("alerts --lake lake --id {}", blocked["alert_id"].as_str().unwrap()));
    insta::assert_snapshot!("one_without_a_client", case.shown(&shown));
}

#[test]
fn an_id_that_is_not_clear_is_told() {
    let case = Case::new();
    let logs = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/artos");
    let mut command = case.command("replay --out lake --map");
    assert!(command.arg(logs.join("boundary.toml")).arg(logs.join("logs")).output().unwrap().status.success());
    // of hundreds of alerts, some begin with the same digit
    let output = case.run("alerts --lake lake --id 0");
    let told = case.shown(&output);
    assert_eq!(code(&output), 2, "{told}");
    assert!(told.contains("alerts have an id that begins with 0; give more of it\n  0"), "{told}");
    let output = case.run("alerts --lake lake --id 0123456789abcdef");
    let told = case.shown(&output);
    assert_eq!(code(&output), 2, "{told}");
    assert!(told.contains("lake has no alert whose id begins with 0123456789abcdef"), "{told}");
    // as many as were asked for, and told that there are more
    let list = case.run("alerts --lake lake --limit 3").stdout;
    assert!(String::from_utf8_lossy(&list).ends_with("… and more (--limit says how many are listed)\n"));
    let all = objects(&case, "alerts --lake lake --format json");
    assert!(all.len() > 50, "{}", all.len());
    let windows: Vec<&str> = all.iter().map(|alert| alert["window_start"].as_str().unwrap()).collect();
    assert!(windows.is_sorted_by(|one, next| one >= next), "the newest first");
}

#[test]
fn filters_choose() {
    let case = trouble();
    let all = ["log-gap", "breach", "outage", "blocked"];
    let mut found = detectors(&case, "");
    assert_eq!(found.remove(0), "log-gap", "the newest hour first");
    found.sort_unstable();
    assert_eq!(found, ["blocked", "breach", "outage"]);
    for (filter, expected) in [
        ("--severity high", &all[2..3]),
        ("--severity medium --zone app", &all[1..3]),
        ("--zone db", &all[1..]),
        ("--zone nowhere", &[]),
        ("--addr 10.0.1.5", &all[1..3]),
        ("--addr 10.0.2.0/24,192.0.2.1", &all[1..]),
        ("--addr 2001:db8::/32", &[]),
        ("--detector breach,log-gap", &all[..2]),
        // 01:00 is where the next window begins
        ("--since 2026-09-29T01:00", &all[..1]),
        ("--since 2026-09-29T00:59", &all),
        ("--until 2026-09-29T01:00", &all[1..]),
        ("--until 2026-09-29T00:00", &[]),
        ("--since 2026-10-09", &[]),
        ("--status new", &all),
        ("--status closed", &[]),
        ("--limit 1", &all[..1]),
        ("--limit 0", &[]),
    ] {
        let mut found = detectors(&case, filter);
        let mut expected = expected.to_vec();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{filter}");
    }
}

/// What later input took back is not shown, unless it is asked for.
#[test]
fn withdrawn_alerts_are_kept_apart() {
    let case = trouble();
    let calm: String = TROUBLE.lines().skip(1).map(|line| format!("{line}\n")).collect();
    fs::write(case.path().join("logs/a.log"), calm).unwrap();
    assert_eq!(code(&case.run("replay logs --map map.toml --out lake --overwrite")), 0);
    assert_eq!(detectors(&case, "").len(), 3);
    assert_eq!(detectors(&case, "--all").len(), 4);
    assert_eq!(detectors(&case, "--status closed"), ["breach"]);
    assert_eq!(detectors(&case, "--status closed --severity high"), ["breach"], "it has no severity of its own");
    let event = objects(&case, "alerts --lake lake --status closed --format ocsf").remove(0);
    assert_eq!((&event["activity_id"], &event["status"]), (&3.into(), &"Resolved".into()));
    let shown = case.run(&format!("alerts --lake lake --id {}", event["finding_info"]["uid"].as_str().unwrap()));
    assert!(case.shown(&shown).contains("withdrawn (revision 1)"), "{}", case.shown(&shown));
}

#[test]
fn machines_get_every_alert_in_their_form() {
    let case = trouble();
    let home = "--aws-account 123456789012 --aws-region eu-west-1";
    let ocsf = objects(&case, &format!("alerts --lake lake --format ocsf {home}"));
    assert_eq!(ocsf.len(), 4);
    assert!(ocsf.iter().all(|event| event["class_uid"] == 2004 && event["cloud"]["region"] == "eu-west-1"));
    let asff = objects(&case, &format!("alerts --lake lake --format asff {home}"));
    assert_eq!(asff.len(), 4);
    assert!(asff.iter().all(|finding| finding["AwsAccountId"] == "123456789012"));
}

#[test]
fn a_lake_without_alerts_has_none() {
    let case = Case::new();
    fs::write(case.path().join("logs/a.log"), TROUBLE.lines().nth(2).unwrap().replace("REJECT", "ACCEPT")).unwrap();
    assert_eq!(code(&case.run("replay logs --out lake")), 0);
    insta::assert_snapshot!("none", case.shown(&case.run("alerts --lake lake")));
    assert_eq!(detectors(&case, ""), [""; 0]);
}

#[test]
fn options_may_come_from_a_file_and_the_environment() {
    let case = trouble();
    fs::write(case.path().join("flowbound.toml"), "[alerts]\nlake = 'lake'\ndetector = 'breach'\nformat = 'json'\n")
        .unwrap();
    assert_eq!(objects(&case, "alerts --config flowbound.toml").len(), 1);
    let mut command = case.command("alerts --format json");
    let output = command.env("FLOWBOUND_LAKE", "lake").env("FLOWBOUND_SEVERITY", "medium").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 3);
}

/// What there is comes first, then what another program adds; a signal ends it.
#[test]
fn new_alerts_are_followed() {
    let case = trouble();
    let mut child = case
        .command("alerts --lake lake --format json --follow --every 100ms --limit 1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["detector"], "log-gap");
    // the same path once more, in that hour: a second revision; and hours later a new alert
    let line = TROUBLE.lines().next().unwrap();
    let later = line.replace("17906400", "17906508");
    fs::write(case.path().join("logs/b.log"), format!("{}\n{later}\n", line.replace("eni-0a", "eni-0b"))).unwrap();
    assert_eq!(code(&case.run("replay logs --map map.toml --out lake")), 0);
    let mut of_breach = || std::iter::from_fn(|| Some(next())).find(|alert| alert["detector"] == "breach").unwrap();
    let (changed, new) = (of_breach(), of_breach());
    assert_eq!(
        (&changed["status"], &changed["revision"], &changed["flows"]),
        (&"updated".into(), &1.into(), &2.into())
    );
    assert_eq!((&new["status"], &new["window_start"]), (&"new".into(), &"2026-09-29T03:00:00Z".into()));
    let ended = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(ended.success() && child.wait().unwrap().success());
}
