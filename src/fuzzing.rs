//! Entry points of the fuzz targets in `fuzz/`, and of the test that replays their corpora on a stable compiler.
//!
//! Each takes any bytes, runs one part of the program on them, and panics where a promise is broken. Not part of the
//! library's interface.

use std::sync::Arc;

use crate::boundary::parse_map;
use crate::decode::{DecodeOptions, DecodeSummary, Decoder, MessageDecoder, MessageOptions, MessageSummary, Piece};
use crate::parse::{Batches, parse_line};
use crate::record::{FlowBatch, FlowRecord, LogFormat};

/// What became of the lines of an object.
#[derive(Debug, Default, PartialEq, Eq)]
struct Account {
    records: Vec<i64>,
    rejected: Vec<i64>,
    blank_lines: u64,
}

impl Account {
    fn take(&mut self, piece: Piece) {
        match piece {
            Piece::Rejected { line, .. } => self.rejected.push(line),
            Piece::Lines(chunk) => {
                let mut batches = Batches::new(&chunk);
                let mut batch = FlowBatch::new(&chunk.format);
                while batches.next_batch(&mut batch) {
                    self.records.extend(&batch.lines);
                    self.rejected.extend(batch.rejected.iter().map(|rejected| rejected.line));
                }
                self.blank_lines += batches.blank_lines();
            }
        }
    }

    fn lines(&self) -> u64 {
        self.records.len() as u64 + self.rejected.len() as u64 + self.blank_lines
    }
}

fn account(object: &[u8], piece: usize) -> (Account, Option<DecodeSummary>) {
    // small limits, so that small inputs reach them
    let options = DecodeOptions {
        max_inflated: 1 << 20,
        max_parquet: 1 << 16,
        max_json: 1 << 10,
        chunk_bytes: 64,
        max_line: 200,
        format: None,
    };
    let mut account = Account::default();
    let mut out = |piece| account.take(piece);
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
        assert_eq!(summary.lines, whole.lines() + summary.headers, "a line was lost or doubled");
    }
    let pieces = account(object, usize::from(*piece) + 1);
    assert_eq!(pieces.1, summary, "the size of the pieces shows");
    if summary.is_some() {
        assert_eq!(pieces.0, whole, "the size of the pieces shows");
    }
}

fn account_message(decoder: &mut MessageDecoder, record: &[u8], after_sub: Option<u64>) -> (Account, MessageSummary) {
    let mut account = Account::default();
    let summary = decoder.decode(record, after_sub, &mut |piece| account.take(piece));
    account.rejected.sort_unstable();
    assert_eq!(summary.lines, account.lines() + summary.headers, "a line was lost or doubled");
    let mut numbers = [account.records.as_slice(), &account.rejected].concat();
    numbers.sort_unstable();
    assert!(numbers.windows(2).all(|pair| pair.first() < pair.last()), "two lines of one number");
    (account, summary)
}

/// A record of a stream: the first byte says which hash keys the shard has, and where reading resumes.
pub fn message(data: &[u8]) {
    let Some((how, record)) = data.split_first() else { return };
    let options = MessageOptions {
        max_inflated: 1 << 20,
        max_line: 200,
        hash_range: (how & 1 == 1).then_some(0..=u128::MAX / 2),
        ..MessageOptions::default()
    };
    let mut decoder = MessageDecoder::new(options);
    let (whole, summary) = account_message(&mut decoder, record, None);
    let told = summary.lines + summary.control + summary.out_of_range > 0;
    assert!(told || summary.bytes_out == 0, "a record that gives nothing, and no reason");
    let (later, _) = account_message(&mut decoder, record, Some(u64::from(how >> 1)));
    assert!(later.records.iter().all(|line| whole.records.contains(line)), "where reading resumes shows");
    assert_eq!(account_message(&mut decoder, record, None), (whole, summary), "the records before show");
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
