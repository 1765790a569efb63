//! Lines that are no records, as they are kept: one JSON object per line.

use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::error::{LakeError, io_error};
use super::parquet_file::Staged;
use super::store::{StagedFile, Store};
use crate::record::ParseError;

#[derive(Serialize)]
struct Row<'r> {
    source: &'r str,
    line: i64,
    reason: &'static str,
    field: Option<&'r str>,
    byte: usize,
    detail: String,
    raw: std::borrow::Cow<'r, str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    raw_base64: bool,
}

/// Appends a line that is no record; bytes that are no text are kept as base64.
pub fn append_quarantine(out: &mut Vec<u8>, source: &str, line: i64, raw: &[u8], error: &ParseError) {
    let (raw, raw_base64) = match std::str::from_utf8(raw) {
        Ok(text) => (text.into(), false),
        Err(_) => (STANDARD.encode(raw).into(), true),
    };
    let row = Row {
        source,
        line,
        reason: error.kind.reason(),
        field: error.field.as_deref(),
        byte: error.byte,
        detail: error.kind.to_string(),
        raw,
        raw_base64,
    };
    if serde_json::to_writer(&mut *out, &row).is_ok() {
        out.push(b'\n');
    }
}

/// The folder of the quarantine.
pub(super) const QUARANTINE_FOLDER: &str = "quarantine";

/// The quarantine of one unit of work, written by all of its workers. The file is made for the first line.
pub struct Quarantine<'s, S: Store> {
    store: &'s S,
    path: String,
    file: Mutex<Option<(Box<dyn StagedFile>, u64)>>,
}

impl<'s, S: Store> Quarantine<'s, S> {
    /// An empty quarantine that is staged in this folder.
    pub fn new(store: &'s S, folder: &str) -> Self {
        Self { store, path: format!("{folder}/quarantine.ndjson"), file: Mutex::new(None) }
    }

    /// Adds lines in their JSON form.
    pub fn write(&self, lines: &[u8], rows: u64) -> Result<(), LakeError> {
        let mut slot = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut file, before) = match slot.take() {
            Some(open) => open,
            None => (self.store.stage(&self.path).map_err(io_error("create", &self.path))?, 0),
        };
        file.write_all(lines).map_err(io_error("write", &self.path))?;
        *slot = Some((file, before + rows));
        Ok(())
    }

    /// The staged file, if a line was written.
    pub fn finish(self) -> Result<Option<Staged>, LakeError> {
        let Some((file, rows)) = self.file.into_inner().unwrap_or_else(PoisonError::into_inner) else {
            return Ok(None);
        };
        let bytes = file.finish().map_err(io_error("write", &self.path))?;
        Ok(Some(Staged { staged: self.path, folder: QUARANTINE_FOLDER.to_owned(), rows, bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ParseErrorKind;

    #[test]
    fn nothing_of_a_line_is_lost() {
        let mut out = Vec::new();
        let error = ParseError { kind: ParseErrorKind::NotUtf8, field: None, byte: 1 };
        append_quarantine(&mut out, "file:///a", 7, b"a\xffb\"", &error);
        append_quarantine(&mut out, "file:///a", 8, "tab\t\"".as_bytes(), &error);
        let rows: Vec<serde_json::Value> =
            out.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect();
        assert_eq!(STANDARD.decode(rows[0]["raw"].as_str().unwrap()).unwrap(), b"a\xffb\"");
        assert_eq!(rows[0]["raw_base64"], true);
        assert_eq!((&rows[1]["raw"], rows[1].get("raw_base64")), (&"tab\t\"".into(), None));
        assert_eq!((&rows[0]["line"], &rows[0]["reason"]), (&7.into(), &"not_utf8".into()));
    }
}
