//! A chunk of lines to batches of records.

use memchr::Memchr;

use super::leaf::is_blank;
use super::line::{Step, as_text, parse_text, steps};
use crate::record::{FlowBatch, FlowRecord, LineChunk, ParseError, Rejected};

/// The most records of one batch, and the most rejected lines. A record takes nearly a kilobyte: so many of them stay
/// in the nearer caches until they are judged and written.
pub const BATCH_RECORDS: usize = 128;

/// Walks over the lines of a chunk, batch by batch.
///
/// ```
/// use flowbound::parse::Batches;
/// use flowbound::record::{Field, FlowBatch, LineChunk, LogFormat};
///
/// let chunk = LineChunk {
///     bytes: b"10.0.0.1 443\n10.0.0.2 port\n".to_vec(),
///     first_line: 2,
///     format: "srcaddr dstport".parse::<LogFormat>()?.into(),
///     timestamp_prefix: false,
/// };
/// let mut batches = Batches::new(&chunk);
/// let mut batch = FlowBatch::new(&chunk.format);
/// while batches.next_batch(&mut batch) {
///     assert_eq!(batch.records[0].number(Field::Dstport), Some(443));
///     assert_eq!(batch.rejected[0].line, 3);
///     assert_eq!(batch.rejected[0].error.to_string(), "dstport: 'port' is no number that this field can hold (byte 9)");
/// }
/// # Ok::<(), flowbound::record::FormatError>(())
/// ```
pub struct Batches<'a> {
    chunk: &'a LineChunk,
    steps: Vec<Step>,
    /// The chunk as text, checked at once; `None` if some line is not UTF-8, which is then sought line by line.
    text: Option<&'a str>,
    line_ends: Memchr<'a>,
    /// Where the next line begins.
    at: usize,
    /// Its number.
    line: i64,
    blank_lines: u64,
}

impl<'a> Batches<'a> {
    /// The batches of this chunk.
    pub fn new(chunk: &'a LineChunk) -> Self {
        Self {
            chunk,
            steps: steps(&chunk.format),
            text: str::from_utf8(&chunk.bytes).ok(),
            line_ends: memchr::memchr_iter(b'\n', &chunk.bytes),
            at: 0,
            line: chunk.first_line,
            blank_lines: 0,
        }
    }

    /// Clears the batch and fills it with the next lines; `false`, and an empty batch, when the chunk is used up.
    ///
    /// The batch's records are filled anew in place, so a batch that is used again allocates nothing.
    pub fn next_batch(&mut self, batch: &mut FlowBatch<'a>) -> bool {
        batch.format = &self.chunk.format;
        batch.lines.clear();
        batch.rejected.clear();
        self.reserve(batch);
        while batch.lines.len() < BATCH_RECORDS
            && batch.rejected.len() < BATCH_RECORDS
            && let Some((start, end)) = self.next_line()
        {
            let line = self.line - 1;
            let filled = batch.lines.len();
            if batch.records.len() == filled {
                batch.records.push(FlowRecord::default());
            }
            let Some(record) = batch.records.get_mut(filled) else { break };
            match self.read_line(start, end, record) {
                Ok(()) => batch.lines.push(line),
                Err(error) => {
                    let raw = self.chunk.bytes.get(start..end).unwrap_or_default();
                    let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
                    batch.rejected.push(Rejected { line, raw, error });
                }
            }
        }
        batch.records.truncate(batch.lines.len());
        !(batch.lines.is_empty() && batch.rejected.is_empty())
    }

    /// Lines without any value so far: neither records nor rejected.
    pub fn blank_lines(&self) -> u64 {
        self.blank_lines
    }

    /// The place of the next line that is not blank.
    fn next_line(&mut self) -> Option<(usize, usize)> {
        while self.at < self.chunk.bytes.len() {
            let start = self.at;
            let end = self.line_ends.next().unwrap_or(self.chunk.bytes.len());
            self.at = end + 1;
            self.line += 1;
            let line = self.chunk.bytes.get(start..end).unwrap_or_default();
            if line.first().is_some_and(|byte| *byte > b' ')
                || line.iter().any(|byte| !is_blank(*byte) && *byte != b'\r')
            {
                return Some((start, end));
            }
            self.blank_lines += 1;
        }
        None
    }

    /// Reads the line from byte `start` to `end` of the chunk.
    #[inline]
    fn read_line(&self, start: usize, end: usize, record: &mut FlowRecord<'a>) -> Result<(), ParseError> {
        let line = self.chunk.bytes.get(start..end).unwrap_or_default();
        let prefix = if self.chunk.timestamp_prefix {
            line.iter().position(|byte| is_blank(*byte)).unwrap_or(line.len())
        } else {
            0
        };
        let layout = (&*self.chunk.format, self.steps.as_slice());
        match self.text {
            Some(text) => parse_text(text, start..end, prefix, layout, record),
            None => parse_text(as_text(line)?, 0..line.len(), prefix, layout, record),
        }
    }

    /// Room for all records that the rest of the chunk can hold: each value takes two bytes at least.
    fn reserve(&self, batch: &mut FlowBatch<'a>) {
        let shortest = 2 * batch.format.columns().len().max(1);
        let records = BATCH_RECORDS.min(self.chunk.bytes.len().saturating_sub(self.at) / shortest + 1);
        batch.records.reserve(records.saturating_sub(batch.records.len()));
        batch.lines.reserve(records);
    }
}
