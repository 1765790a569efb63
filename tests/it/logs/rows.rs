//! Flow logs in Parquet.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, UInt64Array,
};
use arrow::record_batch::RecordBatch;
use flowbound::decode::{Content, DecodeError, DecodeOptions};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use super::expected::assert_upstream;
use super::framing::gzip;
use super::support::{read, read_with, testdata};

/// The files that the tests of this module read.
pub(crate) const FILES: &[&str] =
    &["flowlogs-reader/flows.pandas.parquet", "flowlogs-reader/upstream-test_serial_parquet.json"];

fn parquet(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file
}

#[test]
fn a_file_from_pandas_has_the_values_that_the_other_reader_finds() {
    let file = std::fs::read(testdata("logs/flowlogs-reader/flows.pandas.parquet")).unwrap();
    let upstream = std::fs::read(testdata("logs/flowlogs-reader/upstream-test_serial_parquet.json")).unwrap();
    let upstream: Vec<Value> = serde_json::from_slice(&upstream).unwrap();
    for object in [file.clone(), gzip(&file)] {
        let (log, summary) = read(&object);
        let summary = summary.unwrap();
        assert_eq!((summary.content, summary.lines, summary.headers), (Content::Parquet, 3, 0));
        assert_eq!(log.lines(), [1, 2]);
        for (expected, (line, values)) in upstream.iter().zip(&log.records) {
            assert_upstream(expected, values, &format!("row {line}"));
        }
        // upstream takes protocol 8080; no packet can carry it
        assert_eq!(log.rejected.len(), 1);
        let (line, _, error) = &log.rejected[0];
        assert_eq!((*line, error.kind.reason(), error.field.as_deref()), (3, "bad_int", Some("protocol")));
    }
}

#[test]
fn every_type_that_a_column_may_have() {
    let object = parquet(vec![
        ("version", Arc::new(Int32Array::from(vec![Some(5), Some(5), None]))),
        ("srcport", Arc::new(Float64Array::from(vec![Some(443.0), Some(0.5), None]))),
        ("bytes", Arc::new(UInt64Array::from(vec![Some(1 << 40), Some(u64::MAX), None]))),
        (
            "start",
            Arc::new(TimestampMillisecondArray::from(vec![Some(1_790_640_000_000), Some(1_790_640_000_500), None])),
        ),
        (
            "end",
            Arc::new(
                TimestampMicrosecondArray::from(vec![Some(1_790_640_000_500_999), Some(0), None]).with_timezone("UTC"),
            ),
        ),
        ("account_id", Arc::new(BinaryArray::from_opt_vec(vec![Some(b"001234567890"), Some(b""), None]))),
        ("packets", Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(-1), None]))),
        ("tgw_src_eni", Arc::new(StringArray::from(vec![Some("eni-0a"), Some("-"), None]))),
        ("quantum_state", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
    ]);
    let (log, summary) = read(&object);
    assert_eq!(summary.unwrap().lines, 3);
    assert_eq!(
        Value::from(log.records[0].1.clone()),
        json!({
            "version": 5, "srcport": 443, "bytes": 1_u64 << 40, "start": 1_790_640_000, "end": 1_790_640_000_500_i64,
            "account-id": "001234567890", "packets": i64::MAX, "tgw-src-eni": "eni-0a", "quantum_state": "true"
        })
    );
    // half a port is none; the row of nulls is a record without values
    assert_eq!(log.rejected[0].2.to_string(), "srcport: '0.5' is no number that this field can hold (byte 2)");
    assert_eq!((log.records[1].0, log.records[1].1.len()), (3, 0));
}

#[test]
fn values_that_would_shift_the_columns_are_encoded() {
    let object = parquet(vec![
        ("instance_tag", Arc::new(StringArray::from(vec!["Payments Team", "a\nb\tc\u{7f}", "100%25", "東京", ""]))),
        ("version", Arc::new(Int32Array::from(vec![11; 5]))),
    ]);
    let (log, _) = read(&object);
    let tags: Vec<_> =
        log.records.iter().map(|(_, values)| values.get("instance-tag").and_then(Value::as_str)).collect();
    assert_eq!(tags, [Some("Payments%20Team"), Some("a%0Ab%09c%7F"), Some("100%25"), Some("東京"), None]);
}

#[test]
fn chunks_of_rows_are_bounded_and_long_rows_rejected() {
    let names: Vec<String> =
        (0..10_000).map(|n| if n == 5000 { "x".repeat(300) } else { format!("eni-{n}") }).collect();
    let object = parquet(vec![
        ("interface_id", Arc::new(StringArray::from(names))),
        ("dstport", Arc::new(Int32Array::from_iter_values(0..10_000))),
    ]);
    let options = DecodeOptions { chunk_bytes: 1000, max_line: 100, ..DecodeOptions::default() };
    let (log, summary) = read_with(&object, 999, options.clone());
    let summary = summary.unwrap();
    assert_eq!((summary.lines, summary.rejected, log.records.len()), (10_000, 1, 9_999));
    let (line, raw, error) = &log.rejected[0];
    assert_eq!((*line, raw.len(), error.kind.reason()), (5001, 100, "too_long"));
    assert!(log.records.iter().all(|(line, values)| values["dstport"] == line - 1));
    assert!(log.formats["interface-id dstport"] > 100);

    let (_, result) = read_with(&object, 999, DecodeOptions { max_inflated: 5000, ..options.clone() });
    assert_eq!(result, Err(DecodeError::TooLarge { limit: 5000 }));
    let (_, result) = read_with(&object, 999, DecodeOptions { max_parquet: 5000, ..options });
    assert_eq!(result, Err(DecodeError::TooLarge { limit: 5000 }));
}

#[test]
fn what_is_no_flow_log_is_told() {
    let (_, result) = read(&parquet(vec![("city", Arc::new(StringArray::from(vec!["Rome"])))]));
    assert_eq!(result, Err(DecodeError::NoFlowLog("city".to_owned())));
    let whole = std::fs::read(testdata("logs/flowlogs-reader/flows.pandas.parquet")).unwrap();
    for broken in [&whole[..whole.len() - 10], &whole[..4], b"PAR1 and then nothing of the kind"] {
        assert!(matches!(read(broken).1, Err(DecodeError::BadParquet(_))));
    }
    let (log, result) = read(&gzip(&whole)[..2500]);
    assert!(matches!(result, Err(DecodeError::Truncated(_))) && log.records.is_empty());
}
