//! The architecture as a test: `use crate::` points only to a lower rank (see ARCHITECTURE.md).

use std::fs;
use std::path::{Path, PathBuf};

/// Modules by rank, the lowest first. Modules of one rank do not use each other, but for the pairs in `BESIDE`.
const RANKS: &[&[&str]] = &[
    &["record", "telemetry"],
    &["decode", "parse", "boundary", "detect", "aws"],
    &["lake", "source", "alert"],
    &["analyze", "synth", "pipeline"],
    &["cli", "fuzzing"],
];

/// `detect` reads verdicts.
const BESIDE: &[(&str, &str)] = &[("detect", "boundary")];

fn rank(module: &str) -> Option<usize> {
    RANKS.iter().position(|rank| rank.contains(&module))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn is_test(file: &Path) -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    file.strip_prefix(root).unwrap().iter().any(|part| part.to_string_lossy().contains("test"))
}

/// The top-level modules that a source text names as `crate::NAME`; test code is not bound.
fn imports(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut found = Vec::new();
    for rest in
        code.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| line.split("crate::").skip(1))
    {
        let names = rest.strip_prefix('{').map_or(rest, |list| list);
        for name in names.split(',') {
            let name: String = name.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            if !name.is_empty() {
                found.push(name);
            }
            if !rest.starts_with('{') {
                break;
            }
        }
    }
    found
}

fn problem(module: &str, import: &str) -> Option<String> {
    if module == import || BESIDE.contains(&(module, import)) {
        return None;
    }
    let (Some(own), Some(other)) = (rank(module), rank(import)) else {
        return Some(format!("{module} uses {import}: one of them has no rank"));
    };
    (own <= other).then(|| format!("{module} (rank {}) uses {import} (rank {})", own + 1, other + 1))
}

#[test]
fn imports_point_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut problems = Vec::new();
    let mut checked = 0;
    for file in files {
        let inside = file.strip_prefix(&root).unwrap();
        if inside.iter().count() == 1 || is_test(&file) {
            continue;
        }
        let module = inside.iter().next().unwrap().to_str().unwrap();
        for import in imports(&fs::read_to_string(&file).unwrap()) {
            checked += 1;
            problems.extend(problem(module, &import).map(|problem| format!("{}: {problem}", inside.display())));
        }
    }
    assert!(checked > 50, "the imports were not found: {checked}");
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn an_import_against_the_ranks_is_found() {
    assert_eq!(
        imports("use crate::lake::{Chain, Store};\n// crate::cli\nfn f(x: crate::record::Field) {}"),
        ["lake", "record"]
    );
    assert_eq!(imports("use crate::{decode, lake::Chain};"), ["decode", "lake"]);
    assert!(problem("record", "lake").is_some() && problem("parse", "decode").is_some());
    assert!(problem("lake", "record").is_none() && problem("detect", "boundary").is_none());
    assert!(problem("boundary", "detect").is_some() && problem("unheard", "record").is_some());
}

/// Pure modules: no I/O, no clock, no async, no threads; but for the delivery of alerts.
#[test]
fn the_core_is_pure() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for module in ["record", "decode", "parse", "boundary", "detect", "alert"] {
        let mut files = Vec::new();
        sources(&root.join(module), &mut files);
        for file in files {
            if file.starts_with(root.join("alert/deliver")) {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for banned in
                ["std::fs", "std::net::Tcp", "std::time", "std::thread", "tokio", "async fn", "SystemTime", "std::env"]
            {
                assert!(is_test(&file) || !code.contains(banned), "{} has {banned}", file.display());
            }
        }
    }
}

/// A median file has about 200 lines; one past 800 does too much.
#[test]
fn files_stay_small() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    for file in files {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 800, "{} has {lines} lines", file.display());
    }
}
