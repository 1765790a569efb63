//! Reading a log to plain values.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flowbound::decode::{DecodeError, DecodeOptions, DecodeSummary, Decoder, Piece};
use flowbound::parse::Batches;
use flowbound::record::{Field, FlowBatch, FlowRecord, LogFormat, ParseError};
use serde_json::{Map, Value};

/// A path below `testdata`.
pub(crate) fn testdata(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(path)
}

/// All files below a folder; there must be some.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    assert!(!found.is_empty(), "{} is empty", folder.display());
    found.sort();
    found
}

/// The JSON objects of a file, one a line.
pub(crate) fn json_lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let objects: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!objects.is_empty(), "{} is empty", path.display());
    objects
}

/// The fields of a record that have a value, under AWS's names; other columns under their own.
pub(crate) fn values(record: &FlowRecord<'_>, format: &LogFormat) -> Map<String, Value> {
    let mut values = Map::new();
    for field in Field::ALL {
        if let Some(number) = record.number(*field) {
            values.insert(field.name().to_owned(), number.into());
        } else if let Some(text) = record.text(*field) {
            values.insert(field.name().to_owned(), text.into());
        }
    }
    for (name, value) in record.extra() {
        values.insert(format.extra()[usize::from(*name)].clone(), (*value).into());
    }
    values
}

/// A log, read.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Log {
    /// Line number and values.
    pub(crate) records: Vec<(i64, Map<String, Value>)>,
    /// Line number, bytes and error.
    pub(crate) rejected: Vec<(i64, Vec<u8>, ParseError)>,
    pub(crate) blank_lines: usize,
    /// The formats that came, by their names, with the number of chunks in each.
    pub(crate) formats: BTreeMap<String, usize>,
    pub(crate) prefixed_chunks: usize,
}

impl Log {
    pub(crate) fn take(&mut self, piece: Piece) {
        match piece {
            Piece::Rejected { line, raw, error } => self.rejected.push((line, raw, error)),
            Piece::Lines(chunk) => {
                *self.formats.entry(chunk.format.names().join(" ")).or_default() += 1;
                self.prefixed_chunks += usize::from(chunk.timestamp_prefix);
                let mut batches = Batches::new(&chunk);
                let mut batch = FlowBatch::new(&chunk.format);
                while batches.next_batch(&mut batch) {
                    assert_eq!(batch.records.len(), batch.lines.len());
                    let records = batch.lines.iter().zip(&batch.records);
                    self.records.extend(records.map(|(line, record)| (*line, values(record, batch.format))));
                    let rejected = batch.rejected.iter();
                    self.rejected.extend(rejected.map(|one| (one.line, one.raw.to_vec(), one.error.clone())));
                }
                self.blank_lines += batches.blank_lines() as usize;
            }
        }
    }

    /// Numbers of the lines that are records.
    pub(crate) fn lines(&self) -> Vec<i64> {
        self.records.iter().map(|(line, _)| *line).collect()
    }
}

/// Decodes and parses an object.
pub(crate) fn read(object: &[u8]) -> (Log, Result<DecodeSummary, DecodeError>) {
    read_with(object, usize::MAX, DecodeOptions::default())
}

/// Decodes and parses an object that is pushed in pieces of this size.
pub(crate) fn read_with(
    object: &[u8],
    piece: usize,
    options: DecodeOptions,
) -> (Log, Result<DecodeSummary, DecodeError>) {
    let mut log = Log::default();
    let mut decoder = Decoder::new(options);
    for bytes in object.chunks(piece.min(object.len().max(1))) {
        if let Err(error) = decoder.push(bytes, &mut |piece| log.take(piece)) {
            let again = decoder.finish(&mut |piece| log.take(piece));
            assert_eq!(again, Err(error.clone()), "an error stays");
            return (log, Err(error));
        }
    }
    let result = decoder.finish(&mut |piece| log.take(piece));
    (log, result)
}
