//! Batches. The values of lines are tested against the logs in `testdata`, in `tests/logs`.

use super::{BATCH_RECORDS, Batches, parse_line};
use crate::record::{Field, FlowBatch, FlowRecord, LineChunk, LogFormat, ParseErrorKind};

fn chunk(bytes: Vec<u8>, format: &str) -> LineChunk {
    LineChunk { bytes, first_line: 10, format: format.parse::<LogFormat>().unwrap().into(), timestamp_prefix: false }
}

#[test]
fn batches_are_full_until_the_chunk_is_used_up() {
    let count = 3 * BATCH_RECORDS + 1;
    let text: String = (0..count).map(|n| format!("{}\n", n % 65_536)).collect();
    let chunk = chunk(text.into_bytes(), "srcport");
    let mut batch = FlowBatch::new(&chunk.format);
    let mut batches = Batches::new(&chunk);
    let mut sizes = Vec::new();
    let mut place = None;
    while batches.next_batch(&mut batch) {
        for (record, line) in batch.records.iter().zip(&batch.lines) {
            assert_eq!(record.number(Field::Srcport), Some(line - 10));
        }
        sizes.push(batch.records.len());
        // the records stay where they are: nothing is allocated for the next batch
        assert_eq!(*place.get_or_insert(batch.records.as_ptr()), batch.records.as_ptr());
    }
    assert_eq!(sizes, [BATCH_RECORDS, BATCH_RECORDS, BATCH_RECORDS, 1]);
    assert!(batch.records.is_empty() && batch.lines.is_empty() && batch.rejected.is_empty());
}

#[test]
fn a_chunk_of_bad_lines_comes_in_batches_too() {
    let mut text = b"x\n".repeat(BATCH_RECORDS + 5);
    text.extend(b"\r\n  \n443\r\ny\r");
    let chunk = chunk(text, "srcport");
    let mut batch = FlowBatch::new(&chunk.format);
    let mut batches = Batches::new(&chunk);
    assert!(batches.next_batch(&mut batch));
    assert_eq!((batch.records.len(), batch.rejected.len()), (0, BATCH_RECORDS));
    assert!(batches.next_batch(&mut batch));
    assert_eq!((batch.lines.as_slice(), batch.rejected.len()), (&[10 + 5 + BATCH_RECORDS as i64 + 2][..], 6));
    let last = batch.rejected.last().unwrap();
    assert_eq!((last.raw, last.line), (&b"y"[..], 18 + BATCH_RECORDS as i64));
    assert!(!batches.next_batch(&mut batch));
    assert_eq!(batches.blank_lines(), 2);
}

#[test]
fn values_of_an_earlier_line_do_not_show_through() {
    let chunk = chunk(b"10.0.0.1 80 a\n- - -\n".to_vec(), "srcaddr dstport quantum-state");
    let mut batch = FlowBatch::new(&chunk.format);
    assert!(Batches::new(&chunk).next_batch(&mut batch));
    assert_eq!(batch.records[0].extra(), [(0, "a")]);
    assert!(batch.records[1].extra().is_empty());
    assert!(Field::ALL.iter().all(|field| !batch.records[1].has(*field)));
}

#[test]
fn mistakes_are_told_with_field_and_place() {
    let format: LogFormat = "srcaddr dstport action log-status".parse().unwrap();
    let mut record = FlowRecord::default();
    for (line, message) in [
        ("10.0.0.256 1 ACCEPT OK", "srcaddr: '10.0.0.256' is no IPv4 or IPv6 address (byte 0)"),
        ("  10.0.0.1\t 65536 ACCEPT OK", "dstport: '65536' is no number that this field can hold (byte 12)"),
        ("- - accept OK", "action: 'accept' is no value of this field (byte 4)"),
        ("- - - FINE\r", "log-status: 'FINE' is no value of this field (byte 6)"),
        ("x x x", "the log format has 4 fields, the line has 3 (byte 5)"),
        ("x x x x  x x", "the log format has 4 fields, the line has 6 (byte 9)"),
    ] {
        let error = parse_line(line.as_bytes(), &format, &mut record).unwrap_err();
        assert_eq!(error.to_string(), message, "{line}");
    }
    let long = format!("- {} - -", "é".repeat(200));
    let error = parse_line(long.as_bytes(), &format, &mut record).unwrap_err();
    assert_eq!(error.kind, ParseErrorKind::BadInt(format!("{}...", "é".repeat(80))));
}
