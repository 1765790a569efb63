//! Generated logs are read back with the program's own reader, judged by the evaluator and compared with what the
//! generator says that they mean.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::*;
use crate::boundary::parse_map;
use crate::parse::parse_line;
use crate::record::{Field, FlowRecord, LogFormat};

/// The maps of the four reference systems, as the vectors use them.
const SYSTEMS: [&str; 4] = ["ez-cdc", "atlas", "artos", "eks-rds"];

fn map_at(path: &Path) -> BoundaryMap {
    parse_map(&path.display().to_string(), &fs::read_to_string(path).unwrap()).unwrap()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn system(name: &str) -> BoundaryMap {
    map_at(&root().join(format!("testdata/vectors/maps/{name}.toml")))
}

/// One map with what the four lack: IPv6, a peering one way, wide and high ports, ICMP, a transit gateway.
fn odd_map() -> BoundaryMap {
    parse_map("odd.toml", include_str!("testdata/odd.toml")).unwrap()
}

/// A file of the log: path relative to the folder, and its text.
type LogFile = (String, String);

/// The log files under a folder, by name.
fn log_files(folder: &Path) -> Vec<LogFile> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<LogFile>) {
        let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                walk(root, &path, found);
            } else if path.extension().is_some_and(|extension| extension == "gz") {
                let mut text = String::new();
                flate2::read::GzDecoder::new(fs::File::open(&path).unwrap()).read_to_string(&mut text).unwrap();
                found.push((path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), text));
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found
}

struct LabelRow {
    scenario: String,
    verdict: Verdict,
    detector: String,
}

/// The labels of a folder, by file and line.
fn labels(folder: &Path) -> BTreeMap<(String, usize), LabelRow> {
    let mut csv = csv::Reader::from_path(folder.join("labels.csv")).unwrap();
    let rows = csv.records().map(Result::unwrap).map(|row| {
        let label = LabelRow {
            scenario: row[2].to_owned(),
            verdict: Verdict::from_name(&row[3]).unwrap(),
            detector: row[4].to_owned(),
        };
        ((row[0].to_owned(), row[1].parse().unwrap()), label)
    });
    rows.collect()
}

/// Calls for each record of the log: file, line, text, record.
fn each_record(files: &[LogFile], mut call: impl FnMut(&str, usize, &str, &FlowRecord<'_>)) {
    for (name, text) in files {
        let mut lines = text.lines().enumerate();
        let format = LogFormat::from_header(lines.next().unwrap().1).unwrap();
        for (index, line) in lines {
            let mut record = FlowRecord::default();
            parse_line(line.as_bytes(), &format, &mut record).unwrap();
            call(name, index + 1, line, &record);
        }
    }
}

/// Generates, reads back, judges and compares everything: the whole promise of the module.
fn check(map: &BoundaryMap, options: &GenerateOptions) -> (GenerateSummary, usize) {
    let folder = tempfile::tempdir().unwrap();
    let summary = generate(map, options, folder.path()).unwrap();
    let files = log_files(folder.path());
    let labels = labels(folder.path());
    let boundary =
        Boundary::new(map.clone(), &Selection { env: options.env.clone(), mode: options.mode.clone() });
    let mut verdicts = BTreeMap::new();
    let mut planted: BTreeMap<String, u64> = BTreeMap::new();
    let mut records = 0;
    each_record(&files, |file, line, text, record| {
        records += 1;
        let judgement = boundary.judge(record);
        *verdicts.entry(judgement.verdict).or_insert(0) += 1;
        let explained = || format!("{text}\n{}", boundary.explain(record));
        match labels.get(&(file.to_owned(), line)) {
            Some(label) => {
                assert_eq!(judgement.verdict, label.verdict, "{}: {}", label.scenario, explained());
                *planted.entry(label.scenario.clone()).or_insert(0) += 1;
                let alerts = match judgement.verdict {
                    Verdict::Breach => "breach",
                    Verdict::Outage => "outage",
                    Verdict::Gap => "log-gap",
                    Verdict::Blocked if boundary.is_protected(judgement.zones.unwrap().1) => "blocked",
                    Verdict::Unmapped if judgement.zones.is_none() => "unmapped",
                    _ => "",
                };
                assert_eq!(label.detector, alerts, "{}: {}", label.scenario, explained());
            }
            None => {
                let ordinary = [Verdict::Expected, Verdict::Stray, Verdict::Blocked, Verdict::NoData];
                assert!(ordinary.contains(&judgement.verdict), "{}", explained());
                let alerts = judgement.verdict == Verdict::Blocked
                    && boundary.is_protected(judgement.zones.unwrap().1);
                assert!(!alerts, "ordinary traffic raises an alert: {}", explained());
            }
        }
    });
    assert_eq!(records, options.flows);
    assert_eq!(summary.records, options.flows);
    assert_eq!(summary.files, files.len());
    assert_eq!(summary.verdicts, verdicts.into_iter().collect::<Vec<_>>());
    assert_eq!(summary.planted, labels.len() as u64);
    let listed: BTreeMap<String, u64> =
        summary.scenarios.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    assert_eq!(planted, listed);
    (summary, files.len())
}

#[test]
fn every_record_is_judged_as_it_is_meant() {
    for name in SYSTEMS {
        for seed in [1, 2] {
            let (summary, _) = check(&system(name), &GenerateOptions { seed, ..GenerateOptions::new(6000) });
            let expected = summary.verdicts.iter().find(|(verdict, _)| *verdict == Verdict::Expected).unwrap().1;
            assert!(expected > 3000, "{name}: {summary}");
        }
    }
}

#[test]
fn odd_maps_are_no_exception() {
    let (summary, _) = check(&odd_map(), &GenerateOptions::new(8000));
    println!("{summary}");
    for name in SYSTEMS {
        let (summary, _) = check(&system(name), &GenerateOptions::new(4000));
        println!("{name} {summary}");
        println!("{:?}", summary.scenarios);
    }
    assert!(summary.scenarios.iter().any(|(name, _)| *name == "only-to"), "{summary}");
}
