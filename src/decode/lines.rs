//! Text to chunks of whole lines in one format.
//!
//! BE ADVISED: this loop sees every line of every log. All lines of one buffer lie in
//!
//! ```text
//! 0      chunk_start          line_start      searched      filled      buffer.len()
//! |  gone  |  lines of this chunk  |  a line without its end  |     room     |
//! ```
//!
//! Decompressors write straight into the room. A plain line costs a search for its end and a look at its first
//! bytes; everything else (a header, a line too long, the CloudWatch prefix coming or going) takes the slow path,
//! where it ends the chunk. A full buffer becomes the chunk itself, and only the incomplete last line is copied.
//! A chunk that ends in the middle of a buffer is copied out: moving the rest instead would take quadratic time
//! on an object with a header in every other line.

use std::sync::Arc;

use memchr::{memchr, memchr_iter};

use super::sniff::BYTE_ORDER_MARK;
use super::{DecodeOptions, Piece};
use crate::record::{LineChunk, LogFormat, ParseError, ParseErrorKind};

/// Where pieces go.
pub(super) type Out<'o> = &'o mut dyn FnMut(Piece);

/// What it takes to hand out lines.
pub(super) struct Sink<'s> {
    pub(super) lines: &'s mut Lines,
    pub(super) pool: &'s mut Pool,
    pub(super) out: Out<'s>,
}

/// Used buffers, for use again.
#[derive(Debug, Default)]
pub(super) struct Pool(Vec<Vec<u8>>);

impl Pool {
    /// The most buffers worth keeping: a pipeline has few chunks of one object under way.
    const MOST: usize = 8;

    pub(super) fn put(&mut self, buffer: Vec<u8>) {
        if self.0.len() < Self::MOST {
            self.0.push(buffer);
        }
    }

    /// A buffer without content.
    pub(super) fn empty(&mut self) -> Vec<u8> {
        let mut buffer = self.0.pop().unwrap_or_default();
        buffer.clear();
        buffer
    }

    /// A buffer of this length, with any content.
    fn of_length(&mut self, length: usize) -> Vec<u8> {
        match self.0.pop() {
            Some(mut buffer) => {
                buffer.resize(length, 0);
                buffer
            }
            None => vec![0; length],
        }
    }
}

pub(super) struct Lines {
    chunk_bytes: usize,
    max_line: usize,
    format: Arc<LogFormat>,
    /// Whether the lines of this chunk have the timestamp prefix; `None` before its first line.
    prefix: Option<bool>,
    /// Initialised to its end, because the decompressors are given slices.
    buffer: Vec<u8>,
    chunk_start: usize,
    line_start: usize,
    searched: usize,
    filled: usize,
    /// Number of the line at `chunk_start`.
    chunk_line: i64,
    /// Number of the line at `line_start`.
    line: i64,
    /// Inside a line that was rejected as too long.
    skipping: bool,
    /// The format is known from elsewhere: a line is never a header, and has no timestamp prefix.
    verbatim: bool,
    pub(super) headers: u64,
    pub(super) rejected: u64,
    /// What is rejected as a whole is kept so: for records of a stream, which are nowhere else when the stream has
    /// passed them. Of a file the beginning will do.
    pub(super) rejects_whole: bool,
}

impl Lines {
    pub(super) fn new(options: &DecodeOptions) -> Self {
        Self {
            chunk_bytes: options.chunk_bytes,
            max_line: options.max_line,
            format: options.format.clone().unwrap_or_default(),
            prefix: None,
            buffer: Vec::new(),
            chunk_start: 0,
            line_start: 0,
            searched: 0,
            filled: 0,
            chunk_line: 1,
            line: 1,
            skipping: false,
            verbatim: false,
            headers: 0,
            rejected: 0,
            rejects_whole: false,
        }
    }

    /// Lines begun so far.
    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.line - 1).unwrap_or(0)
    }

    /// Where the next bytes go; never empty. [`commit`](Self::commit) takes them over.
    pub(super) fn room(&mut self, pool: &mut Pool) -> &mut [u8] {
        if self.buffer.is_empty() {
            // larger than a line may be: a full buffer always has a line end, or a line too long
            self.buffer = pool.of_length(self.chunk_bytes.max(self.max_line.saturating_add(1)));
        }
        self.buffer.get_mut(self.filled..).unwrap_or_default()
    }

    /// Takes over `count` bytes that were written to the room.
    pub(super) fn commit(&mut self, count: usize, pool: &mut Pool, out: Out<'_>) {
        self.filled = (self.filled + count).min(self.buffer.len());
        self.pass_lines(pool, out);
        if !self.skipping && self.filled - self.line_start > self.max_line {
            self.reject_long_line(self.filled, pool, out);
            self.skipping = true;
        }
        if self.skipping {
            self.filled = self.line_start;
            self.searched = self.line_start;
        }
        if self.filled == self.buffer.len() {
            let next = pool.of_length(self.buffer.len());
            self.turn_buffer(next, pool, out);
        }
    }

    /// Copies bytes in: the way of what was never compressed.
    pub(super) fn push(&mut self, mut bytes: &[u8], pool: &mut Pool, out: Out<'_>) {
        while !bytes.is_empty() {
            let room = self.room(pool);
            let (now, later) = bytes.split_at(bytes.len().min(room.len()));
            if let Some(room) = room.get_mut(..now.len()) {
                room.copy_from_slice(now);
            }
            self.commit(now.len(), pool, out);
            bytes = later;
        }
    }

    /// Takes a whole text, whose buffer becomes the chunk. To be called only before the first `push`, or after `finish`.
    ///
    /// With a format, every line is one in this format, whatever it looks like. Without one, the text is read as that
    /// of an object is: the format is the one of the last header, or of the options.
    pub(super) fn take(&mut self, text: Vec<u8>, format: Option<&Arc<LogFormat>>, pool: &mut Pool, out: Out<'_>) {
        debug_assert!(self.buffer.is_empty(), "the text before is not finished");
        let before = format.map(|format| std::mem::replace(&mut self.format, format.clone()));
        self.verbatim = before.is_some();
        self.prefix = None;
        self.filled = text.len();
        self.buffer = text;
        self.pass_lines(pool, out);
        self.finish(pool, out);
        if let Some(before) = before {
            self.format = before;
        }
        self.verbatim = false;
    }

    /// Rejects something that stands for one line. To be called as [`take`](Self::take) is.
    pub(super) fn reject(&mut self, raw: &[u8], kind: ParseErrorKind, out: Out<'_>) {
        let kept = if self.rejects_whole { raw.len() } else { self.max_line };
        let raw = raw.get(..kept).unwrap_or(raw).to_vec();
        out(Piece::Rejected { line: self.line, raw, error: ParseError { kind, field: None, byte: 0 } });
        self.rejected += 1;
        self.line += 1;
        self.begin_chunk();
    }

    /// The text ends here: what follows the last line end is a line too.
    pub(super) fn finish(&mut self, pool: &mut Pool, out: Out<'_>) {
        if self.skipping {
            self.line += 1;
        } else if self.line_start < self.filled {
            let joins = self.is_plain(self.line_start, self.filled) || self.take_special_line(self.filled, pool, out);
            self.line_start = self.filled;
            self.line += 1;
            if !joins {
                self.begin_chunk();
            }
        }
        self.skipping = false;
        self.turn_buffer(Vec::new(), pool, out);
    }

    /// The text breaks off here: what follows the last line end is no line.
    pub(super) fn abort(&mut self, pool: &mut Pool, out: Out<'_>) {
        self.cut(pool, out);
        let rest = self.buffer.get(self.line_start..self.filled).unwrap_or_default();
        if self.skipping || !rest.is_empty() {
            if !self.skipping {
                let error = ParseError { kind: ParseErrorKind::Truncated, field: None, byte: rest.len() };
                out(Piece::Rejected { line: self.line, raw: rest.to_vec(), error });
                self.rejected += 1;
            }
            self.line += 1;
        }
        self.skipping = false;
        self.filled = self.line_start;
        self.searched = self.line_start;
        self.begin_chunk();
    }

    /// Passes over the whole lines that are there.
    fn pass_lines(&mut self, pool: &mut Pool, out: Out<'_>) {
        while let Some(end) = self.pass_plain_lines() {
            let joins = self.take_special_line(end, pool, out);
            self.line_start = end + 1;
            self.searched = end + 1;
            self.line += 1;
            if !joins {
                self.begin_chunk();
            }
        }
    }

    /// Passes over whole lines that join the chunk; returns the end of the first that does not simply do so.
    fn pass_plain_lines(&mut self) -> Option<usize> {
        let searched = self.searched;
        let text = self.buffer.get(searched..self.filled).unwrap_or_default();
        let (mut line_start, mut line) = (self.line_start, self.line);
        let special = memchr_iter(b'\n', text).map(|at| searched + at).find(|end| {
            let plain = self.is_plain(line_start, *end);
            if plain {
                line_start = *end + 1;
                line += 1;
            }
            !plain
        });
        self.line_start = line_start;
        self.line = line;
        self.searched = self.filled;
        special
    }

    fn is_plain(&self, start: usize, end: usize) -> bool {
        let line = self.buffer.get(start..end).unwrap_or_default();
        !self.skipping
            && line.len() <= self.max_line
            && (self.verbatim || (!may_be_header(line) && self.prefix == Some(has_timestamp(line))))
    }

    /// Deals with the line from `line_start` to `end`, which is not plain; true if it joins the chunk.
    fn take_special_line(&mut self, end: usize, pool: &mut Pool, out: Out<'_>) -> bool {
        if std::mem::take(&mut self.skipping) {
            return false;
        }
        let line = self.buffer.get(self.line_start..end).unwrap_or_default();
        if line.len() > self.max_line {
            self.reject_long_line(end, pool, out);
            return false;
        }
        if let Some(format) = header(line) {
            self.cut(pool, out);
            self.headers += 1;
            if *self.format != format {
                self.format = Arc::new(format);
            }
            return false;
        }
        if !line.trim_ascii().is_empty() {
            let prefix = has_timestamp(line);
            if self.prefix.is_some_and(|before| before != prefix) {
                self.cut(pool, out);
            }
            self.prefix = Some(prefix);
        }
        true
    }

    fn reject_long_line(&mut self, end: usize, pool: &mut Pool, out: Out<'_>) {
        self.cut(pool, out);
        let raw = self.buffer.get(self.line_start..end.min(self.line_start + self.max_line)).unwrap_or_default();
        let kind = ParseErrorKind::TooLong { limit: self.max_line };
        let error = ParseError { kind, field: None, byte: self.max_line };
        out(Piece::Rejected { line: self.line, raw: raw.to_vec(), error });
        self.rejected += 1;
    }

    /// Ends the chunk before `line_start` and copies it out; the next one may have another format or prefix.
    fn cut(&mut self, pool: &mut Pool, out: Out<'_>) {
        let lines = self.buffer.get(self.chunk_start..self.line_start).unwrap_or_default();
        if !lines.is_empty() {
            let mut bytes = pool.empty();
            bytes.extend_from_slice(lines);
            self.emit(bytes, out);
        }
        self.begin_chunk();
        self.prefix = None;
    }

    /// Ends the chunk before `line_start` and hands the buffer itself out; the rest moves to `next`.
    fn turn_buffer(&mut self, mut next: Vec<u8>, pool: &mut Pool, out: Out<'_>) {
        let rest = self.buffer.get(self.line_start..self.filled).unwrap_or_default();
        if let Some(start) = next.get_mut(..rest.len()) {
            start.copy_from_slice(rest);
        }
        let rest = rest.len();
        let mut bytes = std::mem::replace(&mut self.buffer, next);
        bytes.truncate(self.line_start);
        bytes.drain(..self.chunk_start.min(bytes.len()));
        if bytes.is_empty() {
            pool.put(bytes);
        } else {
            self.emit(bytes, out);
        }
        self.line_start = 0;
        self.searched = rest;
        self.filled = rest;
        self.begin_chunk();
    }

    fn begin_chunk(&mut self) {
        self.chunk_start = self.line_start;
        self.chunk_line = self.line;
    }

    fn emit(&self, bytes: Vec<u8>, out: Out<'_>) {
        out(Piece::Lines(LineChunk {
            bytes,
            first_line: self.chunk_line,
            format: self.format.clone(),
            timestamp_prefix: self.prefix == Some(true),
        }));
    }
}

/// A cheap look at a line: false only if it is no header. Each token of a header begins as a name does, and in a
/// data line one of the first does not.
fn may_be_header(line: &[u8]) -> bool {
    matches!(line.first(), Some(b'a'..=b'z' | b'$' | 0xef | b' ' | b'\t'))
        && line
            .split(|byte| matches!(byte, b' ' | b'\t'))
            .all(|token| matches!(token.first(), None | Some(b'a'..=b'z' | b'$' | b'\r' | 0xef)))
}

fn header(line: &[u8]) -> Option<LogFormat> {
    if !may_be_header(line) {
        return None;
    }
    // files with a mark of their own, joined to one
    let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
    LogFormat::from_header(str::from_utf8(line).ok()?)
}

/// True for a line that begins as CloudWatch export tasks write it: `2026-11-21T16:20:00.000Z` and a space.
fn has_timestamp(line: &[u8]) -> bool {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    line.get(4) == Some(&b'-')
        && line.split_at_checked(SHAPE.len()).is_some_and(|(stamp, rest)| {
            let second = stamp.iter().zip(SHAPE).all(|(byte, shape)| match shape {
                b'0' => byte.is_ascii_digit(),
                sign => byte == sign,
            });
            second && memchr(b' ', rest).and_then(|end| rest.get(..end)).is_some_and(is_fraction_and_zone)
        })
}

/// `Z`, `.000Z`.
fn is_fraction_and_zone(text: &[u8]) -> bool {
    match text {
        [b'Z'] => true,
        [b'.', digits @ .., b'Z'] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}
