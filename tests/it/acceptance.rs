//! The acceptance table: every boundary fact of the four reference systems is shown by a record or a lint, or
//! `testdata/ACCEPTANCE.md` says why none can show it. `testdata/SYSTEMS.md` describes the cases.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use flowbound::boundary::{Boundary, BoundaryMap, Selection, lint, load_map};
use flowbound::parse::parse_line;
use flowbound::record::{FlowRecord, LogFormat};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Folder in `testdata/`, letter of its rows, number of its rows.
const SYSTEMS: [(&str, char, usize); 4] =
    [("ez-cdc", 'E', 25), ("atlas", 'A', 23), ("artos", 'R', 51), ("eks-rds", 'K', 18)];

/// The format of lines with 20 columns; those with 14 have AWS's default.
const FORMAT_20: &str = "version account-id vpc-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes \
                         start end action log-status tcp-flags flow-direction pkt-srcaddr pkt-dstaddr traffic-path";

/// What a record may be judged that confirms a fact, and what one that violates it.
const CONFIRMING: [&str; 5] = ["expected", "blocked", "stray", "nodata", "attempt"];
const VIOLATING: [&str; 5] = ["breach", "attempt", "outage", "gap", "unmapped"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    row: String,
    case: String,
    shows: Shows,
    #[serde(default = "boundary_toml")]
    map: String,
    env: Option<String>,
    mode: Option<String>,
    format: Option<String>,
    line: Option<String>,
    #[serde(default)]
    expect: Map<String, Value>,
    code: Option<String>,
    #[serde(default)]
    about: Vec<String>,
    note: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Shows {
    Confirms,
    Violates,
    Lint,
}

fn boundary_toml() -> String {
    "boundary.toml".to_owned()
}

impl Case {
    fn selection(&self) -> Selection {
        Selection { env: self.env.clone(), mode: self.mode.clone() }
    }
}

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json_lines<T: for<'de> Deserialize<'de>>(path: &Path) -> Vec<T> {
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{}:{}: {error}", path.display(), number + 1))
    };
    read(path).lines().enumerate().map(parse).collect()
}

/// All cases, each with its system's folder.
fn cases() -> Vec<(&'static str, Case)> {
    let of_system =
        |system| json_lines(&testdata().join(system).join("acceptance.jsonl")).into_iter().map(move |c| (system, c));
    SYSTEMS.into_iter().flat_map(|(system, ..)| of_system(system)).collect()
}

fn map(system: &str, name: &str) -> BoundaryMap {
    let path = testdata().join(system).join(name);
    let path = path.to_str().expect("the path of the repository is UTF-8");
    load_map(path, &mut |path| fs::read_to_string(path)).unwrap_or_else(|problems| panic!("{}", problems.report(false)))
}

/// The judgement of a line, with the names of `explain --json`.
fn judge(boundary: &Boundary, line: &str, format: Option<&str>) -> Value {
    let format = match (format, line.split_ascii_whitespace().count()) {
        (Some(names), _) => LogFormat::from_names(names.split_ascii_whitespace()),
        (None, 20) => LogFormat::from_names(FORMAT_20.split_ascii_whitespace()),
        (None, _) => LogFormat::default(),
    };
    let mut record = FlowRecord::default();
    parse_line(line.as_bytes(), &format, &mut record).unwrap_or_else(|error| panic!("{line}: {error}"));
    boundary.verdict_json(&boundary.judge(&record))
}

/// What of `expect` the judgement does not have.
fn differences(expect: &Map<String, Value>, judgement: &Value) -> Vec<String> {
    let differs = |(key, value): &(&String, &Value)| judgement.get(key.as_str()) != Some(value);
    expect
        .iter()
        .filter(differs)
        .map(|(key, value)| format!("{key} {value}, not {}", judgement.get(key).unwrap_or(&Value::Null)))
        .collect()
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn records_are_judged_as_the_facts_demand() {
    let mut boundaries = BTreeMap::new();
    let mut wrong = Vec::new();
    for (system, case) in cases() {
        let Some(line) = &case.line else { continue };
        let boundary = boundaries
            .entry((system, case.map.clone(), case.env.clone(), case.mode.clone()))
            .or_insert_with(|| Boundary::new(map(system, &case.map), &case.selection()));
        let judgement = judge(boundary, line, case.format.as_deref());
        for difference in differences(&case.expect, &judgement) {
            wrong.push(format!("{} ({}): {difference}\n    {line}", case.case, case.note));
        }
    }
    assert_none(&wrong);
}

#[test]
fn lints_find_what_the_facts_name() {
    let mut wrong = Vec::new();
    for (system, case) in cases().into_iter().filter(|(_, case)| case.shows == Shows::Lint) {
        let found = lint(&map(system, &case.map), &case.selection(), None, None);
        let of_code: Vec<_> = found.iter().filter(|lint| case.code.as_deref() == Some(lint.code)).collect();
        let names_all = |message: &str| case.about.iter().all(|word| message.contains(word.as_str()));
        if !of_code.iter().any(|lint| names_all(&lint.message)) {
            let messages: Vec<_> = of_code.iter().map(|lint| format!("\n    {}", lint.message)).collect();
            let code = case.code.unwrap_or_default();
            wrong.push(format!("{}: no {code} about {:?}, only{}", case.case, case.about, messages.concat()));
        }
    }
    assert_none(&wrong);
}

/// A case says enough to be run, and no more; its verdict is one that can show what it shows.
#[test]
fn cases_are_whole() {
    let mut names = BTreeSet::new();
    let mut wrong = Vec::new();
    for (_, case) in cases() {
        let whole = match case.shows {
            Shows::Lint => {
                case.line.is_none() && case.expect.is_empty() && case.code.is_some() && !case.about.is_empty()
            }
            Shows::Confirms | Shows::Violates => {
                let verdicts = if case.shows == Shows::Confirms { CONFIRMING } else { VIOLATING };
                let verdict = case.expect.get("verdict").and_then(Value::as_str);
                case.line.is_some() && case.code.is_none() && verdict.is_some_and(|v| verdicts.contains(&v))
            }
        };
        let named = case.case.strip_prefix(&case.row).is_some_and(|rest| rest.len() == 1);
        if !whole || !named || case.note.is_empty() || !names.insert(case.case.clone()) {
            wrong.push(case.case);
        }
    }
    assert_none(&wrong);
}

/// The 117 ids, in the order of the tables.
fn rows() -> Vec<String> {
    SYSTEMS.iter().flat_map(|(_, letter, count)| (1..=*count).map(move |n| format!("{letter}{n:02}"))).collect()
}

/// Cells of the tables under a heading of ACCEPTANCE.md, headings and rulers left out.
fn table(text: &str, is_wanted: impl Fn(&str) -> bool) -> Vec<Vec<String>> {
    let mut wanted = false;
    let mut table = Vec::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            wanted = is_wanted(heading);
        }
        let cells: Vec<_> = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        let is_row = cells.first().is_some_and(|id| id.len() == 3 && id.ends_with(|c: char| c.is_ascii_digit()));
        if wanted && line.starts_with('|') && is_row {
            table.push(cells);
        }
    }
    table
}

#[test]
fn every_fact_is_shown_or_excused() {
    const EXCUSES: &str = "What no record and no lint can show";
    let text = read(&testdata().join("ACCEPTANCE.md"));
    let facts = table(&text, |heading| heading != EXCUSES);
    let excuses = table(&text, |heading| heading == EXCUSES);

    let listed: Vec<_> = facts.iter().map(|cells| cells[0].clone()).collect();
    assert_eq!(listed, rows(), "the tables have every row once, in order");

    let mut shown: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (system, case) in cases() {
        assert!(rows().contains(&case.row), "{system}: no row {}", case.row);
        let named = match (case.shows, case.code) {
            (Shows::Confirms, _) => format!("confirmed by {}", case.case),
            (Shows::Violates, _) => format!("violated by {}", case.case),
            (Shows::Lint, code) => format!("{} {}", code.unwrap_or_default(), case.case),
        };
        shown.entry(case.row).or_default().insert(named);
    }
    let mut wrong = Vec::new();
    for cells in &facts {
        let [row, fact, confirmed, violated, lints, remark] = cells.as_slice() else {
            panic!("not six cells: {cells:?}")
        };
        let lints: Vec<_> = lints.split_ascii_whitespace().collect();
        let told: BTreeSet<_> = (confirmed.split_ascii_whitespace().map(|case| format!("confirmed by {case}")))
            .chain(violated.split_ascii_whitespace().map(|case| format!("violated by {case}")))
            .chain(lints.chunks(2).map(|code_and_case| code_and_case.join(" ")))
            .collect();
        let run = shown.get(row).cloned().unwrap_or_default();
        if told != run {
            wrong.push(format!("{row}: the page has {told:?}, the cases are {run:?}"));
        }
        let excused = excuses.iter().any(|cells| cells[0] == *row && cells[1].len() > 20);
        if excused != run.is_empty() {
            wrong.push(format!("{row}: must be shown or excused, and not both"));
        }
        // half of what a row asks for may be out of reach, and then the page says so
        let both = !confirmed.is_empty() && !violated.is_empty();
        if fact.is_empty() || !(both || !lints.is_empty() || !remark.is_empty()) {
            wrong.push(format!("{row}: only half shown, and no remark says why"));
        }
    }
    assert_none(&wrong);
}

/// Every map in the folders has a case, so that none of them decays.
#[test]
fn every_map_has_a_case() {
    let used: BTreeSet<_> = cases().into_iter().map(|(system, case)| testdata().join(system).join(case.map)).collect();
    for (system, ..) in SYSTEMS {
        for folder in [testdata().join(system), testdata().join(system).join("variants")] {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            let maps = entries.map(|entry| entry.expect("a folder that can be listed").path());
            for map in maps.filter(|path| path.extension().is_some_and(|extension| extension == "toml")) {
                assert!(used.contains(&map), "no case uses {}", map.display());
            }
        }
    }
}

/// The vectors are defined on maps of their own; the maps of the reference systems say the same, better.
#[test]
fn the_maps_answer_the_vectors() {
    #[derive(Deserialize)]
    struct Vector {
        id: String,
        map: String,
        options: BTreeMap<String, String>,
        line: String,
        expect: Map<String, Value>,
    }
    let vectors: Vec<Vector> = json_lines(&testdata().join("vectors/vectors.jsonl"));
    assert!(!vectors.is_empty());
    let mut wrong = Vec::new();
    for vector in vectors {
        let selection =
            Selection { env: vector.options.get("env").cloned(), mode: vector.options.get("mode").cloned() };
        let boundary = Boundary::new(map(vector.map.trim_end_matches(".toml"), "boundary.toml"), &selection);
        let judgement = judge(&boundary, &vector.line, None);
        wrong.extend(
            differences(&vector.expect, &judgement).iter().map(|difference| format!("{}: {difference}", vector.id)),
        );
    }
    assert_none(&wrong);
}

/// The contradictions of the documents, whole: not one finding less, and not one more of their kind.
#[test]
fn map_check_finds_the_contradictions() {
    let found = |system: &str, code: &str| {
        let all = lint(&map(system, "boundary.toml"), &Selection::default(), None, None);
        all.into_iter().filter(|lint| lint.code == code).map(|lint| lint.message).collect::<Vec<_>>()
    };
    let about = |messages: &[String], words: &[&str]| {
        assert_eq!(messages.len(), words.len(), "{messages:#?}");
        for word in words {
            assert!(messages.iter().any(|message| message.contains(word)), "nothing about {word} in {messages:#?}");
        }
    };
    // Artos: ten of 25 rules swallowed by wider ones
    about(
        &found("artos", "L06"),
        &[
            "`cluster-api-nodes`",
            "`cluster-api-additional`",
            "`nodes-tcp-self`",
            "`nodes-dynamic-self`",
            "`nodes-kubelet-vpc`",
            "`nodes-nodeport-self`",
            "`nodes-https-vpc`",
            "`nodes-etcd-vpc`",
            "`nodes-etcd-metrics-vpc`",
            "`alb-fe-https-bastion`",
        ],
    );
    // Artos: S3 cut off; database by the bastion required and not permitted; two subnets outside the plan
    about(&found("artos", "L20"), &["`s3`"]);
    about(&found("artos", "L07"), &["`nodes-pull-layers`", "`developers-reach-db`"]);
    about(&found("artos", "L02"), &["10.0.20.0/24", "10.0.200.0/24"]);
    // Atlas: three paths that no group permits
    about(&found("atlas", "L07"), &["`kafka-ui-behind-alb`", "`kafka-ui-reads-msk`", "`connect-captures-rds`"]);
    // EZ-CDC: the ACL without a return path
    assert!(found("ez-cdc", "L13").iter().any(|message| message.contains("no return path")));
}
