//! Decoding and parsing together, against every log in `testdata/logs`.

mod aggregates;
mod corpus;
mod expected;
mod framing;
mod json;
mod messages;
mod properties;
mod rows;
mod support;

use std::collections::BTreeSet;

use support::{files, testdata};

/// Inputs of sources that read streams and notifications; here they only must not bring the decoder down.
const OTHER_SOURCES: [&str; 3] = ["synthetic/kinesis", "synthetic/sqs-", "synthetic/s3-"];

#[test]
fn every_log_file_belongs_to_a_test() {
    let known: BTreeSet<String> =
        [expected::FILES, framing::FILES, rows::FILES].concat().into_iter().map(Into::into).collect();
    let root = testdata("logs");
    let found: BTreeSet<String> = files(&root)
        .iter()
        .map(|file| file.strip_prefix(&root).unwrap().to_string_lossy().into_owned())
        .filter(|name| !OTHER_SOURCES.iter().any(|prefix| name.starts_with(prefix)))
        .collect();
    assert_eq!(found, known, "left: files in testdata/logs, right: files that a test reads");
}

#[test]
fn inputs_of_other_sources_are_no_disaster() {
    let root = testdata("logs/synthetic");
    let others = files(&root).into_iter().filter(|file| {
        let name = format!("synthetic/{}", file.file_name().unwrap().to_string_lossy());
        OTHER_SOURCES.iter().any(|prefix| name.starts_with(prefix))
    });
    let mut count = 0;
    for file in others {
        let (read, result) = support::read(&std::fs::read(&file).unwrap());
        if let Ok(summary) = result {
            let accounted = read.records.len() + read.rejected.len() + read.blank_lines;
            assert_eq!(summary.lines, accounted as u64 + summary.headers, "{}", file.display());
        }
        count += 1;
    }
    assert!(count > 10, "only {count} files");
}
