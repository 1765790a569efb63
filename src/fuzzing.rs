//! Entry points of the fuzz targets in `fuzz/`, and of the test that replays their corpora on a stable compiler.
//!
//! Each takes any bytes, runs one part of the program on them, and panics where a promise is broken. Not part of the
//! library's interface.

use std::sync::Arc;

use crate::boundary::parse_map;
use crate::decode::{DecodeOptions, DecodeSummary, Decoder, Piece};
use crate::parse::{Batches, parse_line};
use crate::record::{FlowBatch, FlowRecord, LogFormat};

/// What became of the lines of an object.
#[derive(Debug, Default, PartialEq, Eq)]
struct Account {
    records: Vec<i64>,
    rejected: Vec<i64>,
    blank_lines: u64,
}

fn account(object: &[u8], piece: usize) -> (Account, Option<DecodeSummary>) {
    // small limits, so that small inputs reach them
    let options =
        DecodeOptions { max_inflated: 1 << 20, max_parquet: 1 << 16, chunk_bytes: 64, max_line: 200, format: None };
    let mut account = Account::default();
    let mut out = |piece| match piece {
        Piece::Rejected { line, .. } => account.rejected.push(line),
        Piece::Lines(chunk) => {
            let mut batches = Batches::new(&chunk);
            let mut batch = FlowBatch::new(&chunk.format);
            while batches.next_batch(&mut batch) {
                account.records.extend(&batch.lines);
                account.rejected.extend(batch.rejected.iter().map(|rejected| rejected.line));
            }
            account.blank_lines += batches.blank_lines();
        }
    };
    let mut decoder = Decoder::new(options);
    let pushed = object.chunks(piece.max(1)).try_for_each(|bytes| decoder.push(bytes, &mut out));
    let summary = pushed.and_then(|()| decoder.finish(&mut out)).ok();
    account.rejected.sort_unstable();
    (account, summary)
}

/// An object: its first byte is the size of the pieces in which the rest is pushed.
pub fn decode(data: &[u8]) {
    let Some((piece, object)) = data.split_first() else { return };
    let (whole, summary) = account(object, usize::MAX);
    if let Some(summary) = &summary {
        let lines = whole.records.len() as u64 + whole.rejected.len() as u64 + whole.blank_lines + summary.headers;
        assert_eq!(summary.lines, lines, "a line was lost or doubled");
    }
    let pieces = account(object, usize::from(*piece) + 1);
    assert_eq!(pieces.1, summary, "the size of the pieces shows");
    if summary.is_some() {
        assert_eq!(pieces.0, whole, "the size of the pieces shows");
    }
}

/// A log format in the first line, and lines in it.
pub fn parse(data: &[u8]) {
    let (format, lines) = match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (data.get(..end).unwrap_or_default(), data.get(end + 1..).unwrap_or_default()),
        None => (data, data),
    };
    let text = String::from_utf8_lossy(format);
    let format = text.parse().unwrap_or_else(|_| LogFormat::from_names(text.split(' ')));
    let chunk = crate::record::LineChunk {
        bytes: lines.to_vec(),
        first_line: 1,
        format: Arc::new(format),
        timestamp_prefix: false,
    };
    // every line by itself, and all in batches: the same lines are records
    let mut record = FlowRecord::default();
    let mut good = Vec::new();
    let mut line_number = 0;
    for line in chunk.bytes.split(|byte| *byte == b'\n') {
        line_number += 1;
        let blank = line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
        match parse_line(line, &chunk.format, &mut record) {
            Ok(()) if !blank => good.push(line_number),
            Ok(()) => {}
            Err(error) => assert!(error.byte <= line.len(), "a place behind the line: {error}"),
        }
    }
    let mut batches = Batches::new(&chunk);
    let mut batch = FlowBatch::new(&chunk.format);
    let mut in_batches: Vec<i64> = Vec::new();
    while batches.next_batch(&mut batch) {
        in_batches.extend(&batch.lines);
    }
    assert_eq!(in_batches, good, "a line by itself and in a batch differ");
}

/// The text of a map.
pub fn map(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match parse_map("map.toml", &text) {
        Ok(map) => assert_eq!(map.files.len(), 1, "one text is one file"),
        Err(problems) => {
            assert!(!problems.problems.is_empty(), "a map is refused without a reason");
            assert!(!problems.report(false).is_empty());
        }
    }
}
