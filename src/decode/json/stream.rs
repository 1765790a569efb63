//! JSON that comes in pieces: an object of S3 that Firehose wrote, of any size.

use super::super::DecodeOptions;
use super::super::lines::Sink;
use super::reader::{Formats, Reader};
use super::splitter::{Part, Splitter};
use crate::record::ParseErrorKind;

/// Reads objects as soon as they are whole. It holds one of them, and the lines of one chunk.
#[derive(Debug)]
pub(in crate::decode) struct Stream {
    reader: Reader,
    splitter: Splitter,
    /// Bytes that are not yet read.
    rest: Vec<u8>,
    max_line: usize,
    /// Inside of something broken that was rejected before its end.
    skipping: bool,
}

impl Stream {
    pub(in crate::decode) fn new(options: &DecodeOptions) -> Self {
        let formats = Formats { default: options.format.clone().unwrap_or_default(), ..Formats::default() };
        Self {
            reader: Reader::new(formats, options.chunk_bytes),
            splitter: Splitter::new(options.max_json),
            rest: Vec::new(),
            max_line: options.max_line,
            skipping: false,
        }
    }

    /// Messages of CloudWatch Logs without an event.
    pub(in crate::decode) fn control(&self) -> u64 {
        self.reader.control
    }

    pub(in crate::decode) fn push(&mut self, bytes: &[u8], sink: &mut Sink<'_>) {
        self.rest.extend_from_slice(bytes);
        self.advance(false, sink);
    }

    /// The text ends here.
    pub(in crate::decode) fn finish(&mut self, sink: &mut Sink<'_>) {
        self.advance(true, sink);
        self.reader.flush(sink);
    }

    /// The text breaks off here: what follows the last object is none.
    pub(in crate::decode) fn abort(&mut self, sink: &mut Sink<'_>) {
        if !self.rest.is_empty() && !self.skipping {
            self.reader.reject(&self.rest, ParseErrorKind::Truncated, sink);
        }
        self.rest.clear();
        self.reader.flush(sink);
    }

    fn advance(&mut self, complete: bool, sink: &mut Sink<'_>) {
        let mut done = 0;
        loop {
            let text = self.rest.get(done..).unwrap_or_default();
            let Some(part) = self.splitter.next(text, complete) else { break };
            let bytes = text.get(..part.length()).unwrap_or(text);
            done += bytes.len();
            match part {
                Part::Between(_) => {}
                Part::Object(_) => self.reader.read(bytes, sink),
                Part::Broken(_, kind) => {
                    if !std::mem::take(&mut self.skipping) {
                        self.reader.reject(bytes, kind, sink);
                    }
                }
            }
        }
        self.rest.drain(..done);
        self.bound(sink);
    }

    /// Something broken may have no end: what cannot be kept of it anyway goes.
    fn bound(&mut self, sink: &mut Sink<'_>) {
        if !self.skipping && self.rest.len() <= self.max_line {
            return;
        }
        if let Some(fault) = self.splitter.fault() {
            if !self.skipping {
                self.reader.reject(&self.rest, fault.clone(), sink);
                self.skipping = true;
            }
            // the last byte may be the line end before an object
            let gone = self.rest.len().saturating_sub(1);
            self.rest.drain(..gone);
            self.splitter.forget(gone);
        }
    }
}
