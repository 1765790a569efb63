//! Logs whose every value is known: from AWS's guide, from another reader's tests, and edge cases made for this one.

use flowbound::parse::parse_line;
use flowbound::record::{FlowRecord, LogFormat, ParseError, ParseErrorKind};
use serde_json::{Map, Value};

use super::support::{json_lines, read, testdata, values};

/// Logs with the expectation of each of their lines beside them.
const LOGS: &[&str] = &[
    "aws-docs/nat-gateway",
    "aws-docs/v2-default",
    "aws-docs/v3-tcp-flags",
    "aws-docs/v3-vpc-via-tgw",
    "aws-docs/v5-service-path",
    "flowlogs-reader/v2-millisecond-timestamps",
    "flowlogs-reader/v2-records",
    "flowlogs-reader/v3-file",
    "flowlogs-reader/v4-file",
    "flowlogs-reader/v5-file",
    "flowlogs-reader/v6-tgw-file",
];

/// What flowlogs-reader's own tests assert, and of which log.
const UPSTREAM: &[(&str, &str)] = &[
    ("upstream-test_parse", "v2-records"),
    ("upstream-test_serial", "v3-file"),
    ("upstream-test_serial_v4", "v4-file"),
    ("upstream-test_serial_v5", "v5-file"),
    ("upstream-test_serial_v6", "v6-tgw-file"),
];

/// The files that the tests of this module read.
pub(crate) const FILES: &[&str] = &[
    "aws-docs/nat-gateway.expected.jsonl",
    "aws-docs/nat-gateway.log",
    "aws-docs/v2-default.expected.jsonl",
    "aws-docs/v2-default.log",
    "aws-docs/v3-tcp-flags.expected.jsonl",
    "aws-docs/v3-tcp-flags.log",
    "aws-docs/v3-vpc-via-tgw.expected.jsonl",
    "aws-docs/v3-vpc-via-tgw.log",
    "aws-docs/v5-service-path.expected.jsonl",
    "aws-docs/v5-service-path.log",
    "flowlogs-reader/upstream-test_parse.json",
    "flowlogs-reader/upstream-test_serial.json",
    "flowlogs-reader/upstream-test_serial_v4.json",
    "flowlogs-reader/upstream-test_serial_v5.json",
    "flowlogs-reader/upstream-test_serial_v6.json",
    "flowlogs-reader/v2-millisecond-timestamps.expected.jsonl",
    "flowlogs-reader/v2-millisecond-timestamps.log",
    "flowlogs-reader/v2-records.expected.jsonl",
    "flowlogs-reader/v2-records.log",
    "flowlogs-reader/v3-file.expected.jsonl",
    "flowlogs-reader/v3-file.log",
    "flowlogs-reader/v4-file.expected.jsonl",
    "flowlogs-reader/v4-file.log",
    "flowlogs-reader/v5-file.expected.jsonl",
    "flowlogs-reader/v5-file.log",
    "flowlogs-reader/v6-tgw-file.expected.jsonl",
    "flowlogs-reader/v6-tgw-file.log",
    "synthetic/edge-lines.jsonl",
];

/// Counters of Transit Gateway logs are no fields of VPC logs: they stay text.
fn as_kept(expected: &Map<String, Value>, format: &LogFormat) -> Map<String, Value> {
    let kept = expected.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| {
        let text_only = format.extra().contains(name) && value.is_number();
        (name.clone(), if text_only { value.to_string().into() } else { value.clone() })
    });
    kept.collect()
}

fn assert_error(error: &ParseError, expected: &Value, place: &str) {
    assert_eq!(error.kind.reason(), expected["error"], "{place}");
    if let Some(field) = expected["field"].as_str() {
        assert_eq!(error.field.as_deref(), Some(field), "{place}");
    }
    if let (Some(fields), Some(columns)) = (expected["expected_fields"].as_u64(), expected["got"].as_u64()) {
        let kind = ParseErrorKind::FieldCount { expected: fields as usize, got: columns as usize };
        assert_eq!(error.kind, kind, "{place}");
    }
}

/// Each object's line by itself, in the object's format.
fn assert_lines(path: &str) -> usize {
    let cases = json_lines(&testdata(&format!("logs/{path}")));
    for case in &cases {
        let line = case["line"].as_str().unwrap();
        let format: LogFormat = case["format"].as_str().unwrap().parse().unwrap();
        let expected = case["expected"].as_object().unwrap();
        let mut record = FlowRecord::default();
        let result = parse_line(line.as_bytes(), &format, &mut record);
        let place = format!("{path} {}: {line}", case["name"].as_str().unwrap_or_default());
        match result {
            Ok(()) => assert_eq!(values(&record, &format), as_kept(expected, &format), "{place}"),
            Err(error) if expected.contains_key("error") => assert_error(&error, &case["expected"], &place),
            Err(error) => panic!("{place}: {error}"),
        }
    }
    cases.len()
}

#[test]
fn every_line_has_its_expected_values() {
    for log in LOGS {
        assert_lines(&format!("{log}.expected.jsonl"));
    }
    assert_eq!(assert_lines("synthetic/edge-lines.jsonl"), 30);
}

#[test]
fn every_log_has_its_expected_records() {
    for log in LOGS {
        let text = std::fs::read(testdata(&format!("logs/{log}.log"))).unwrap();
        let cases = json_lines(&testdata(&format!("logs/{log}.expected.jsonl")));
        let (read, summary) = read(&text);
        let summary = summary.unwrap();
        assert_eq!(summary.lines, cases.len() as u64 + summary.headers, "{log}");
        for (index, case) in cases.iter().enumerate() {
            let number = (index as u64 + 1 + summary.headers) as i64;
            let format: LogFormat = case["format"].as_str().unwrap().parse().unwrap();
            if let Some((_, raw, error)) = read.rejected.iter().find(|(line, ..)| *line == number) {
                if case["expected"].get("error").is_some() {
                    assert_error(error, &case["expected"], log);
                } else {
                    // the guide comments two of its lines: more columns than the header has
                    assert!(raw.contains(&b'#'), "{log} line {number}: {error}");
                    assert_eq!(error.kind.reason(), "field_count");
                }
            } else {
                let (_, values) = read.records.iter().find(|(line, _)| *line == number).unwrap();
                assert_eq!(*values, as_kept(case["expected"].as_object().unwrap(), &format), "{log} line {number}");
            }
        }
    }
}

/// Values as flowlogs-reader gives them: column names, and times as text.
pub(crate) fn assert_upstream(upstream: &Value, values: &Map<String, Value>, place: &str) {
    for (column, expected) in upstream.as_object().unwrap() {
        let value = &values[&column.replace('_', "-")];
        let value = match column.as_str() {
            "start" | "end" => jiff::Timestamp::from_second(value.as_i64().unwrap()).unwrap().to_string().into(),
            _ if value.is_string() && expected.is_number() => value.as_str().unwrap().parse::<i64>().unwrap().into(),
            _ => value.clone(),
        };
        assert_eq!(value, *expected, "{place} {column}");
    }
    // the lists of upstream leave out what its tests do not look at: action, log status, interface
    assert!(!upstream.as_object().unwrap().is_empty());
}

#[test]
fn the_other_reader_agrees() {
    for (expectation, log) in UPSTREAM {
        let expectation = std::fs::read(testdata(&format!("logs/flowlogs-reader/{expectation}.json"))).unwrap();
        let expected: Value = serde_json::from_slice(&expectation).unwrap();
        let expected = expected.as_array().cloned().unwrap_or_else(|| vec![expected]);
        let text = std::fs::read(testdata(&format!("logs/flowlogs-reader/{log}.log"))).unwrap();
        let (read, _) = read(&text);
        for (upstream, (line, values)) in expected.iter().zip(&read.records) {
            assert_upstream(upstream, values, &format!("{log} line {line}"));
        }
        assert!(expected.len() <= read.records.len());
    }
}
