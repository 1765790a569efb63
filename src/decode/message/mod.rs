//! The records of a Kinesis stream to lines.
//!
//! Flow logs cannot be sent to a stream directly, so each way there wraps them differently: a subscription of
//! CloudWatch Logs (gzip of an envelope, the usual way), Firehose or a Lambda behind it (JSON around a line), the
//! Kinesis Producer Library (many user records in one), or anybody's own program.
//!
//! ```text
//! record ──> kpl ──> layers (gzip, zstd, base64) ──> json ──> Piece
//!        user records                            └─> lines ─^
//! ```
//!
//! What is decided here, and why:
//!
//! - Each user record is told by its content alone: different senders may share a stream.
//! - A user record is unpacked whole before anything of it is read. One that is broken is rejected whole: a position
//!   in a stream cannot point into it, so half of it would be doubled or lost later.
//! - Nothing is silent: each record gives lines, a rejected piece, or a count (control messages of CloudWatch Logs;
//!   user records that are another shard's).
//! - The numbers of the lines go on from one user record to the next and do not depend on where reading resumed:
//!   (sequence number, line) leads to one line, whoever reads.
//! - Memory is bounded by [`MessageOptions::max_inflated`] for all layers of all user records together.

mod kpl;
mod layers;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::json::{Formats, Reader};
use super::lines::{Lines, Pool, Sink};
use super::{Content, DecodeOptions, Piece};
use crate::record::LogFormat;
use kpl::UserRecord;
use layers::Layers;

/// Bytes of lines from JSON after which a chunk is handed out: more than a record of a stream has.
const CHUNK_BYTES: usize = 16 << 20;

/// What is known beforehand about the records of a stream.
#[derive(Debug, Clone)]
pub struct MessageOptions {
    /// The format of lines that no header precedes; `None` is the default format of AWS (version 2).
    pub format: Option<Arc<LogFormat>>,
    /// The format of the flow logs of a CloudWatch log group, where it is not `format`.
    pub group_formats: BTreeMap<String, Arc<LogFormat>>,
    /// The hash keys of the shard. User records of an aggregate that lie outside are dropped and counted, as the
    /// Kinesis Client Library drops them: after a split or a merge their sender puts them again where they belong.
    pub hash_range: Option<RangeInclusive<u128>>,
    /// The most bytes that one record may be unpacked to, all layers together. Default 128 MiB: a record has 10 MiB
    /// at most, and flow logs compress to a tenth.
    pub max_inflated: u64,
    /// The longest line in bytes, without its line end. Default 64 KiB.
    pub max_line: usize,
}

impl Default for MessageOptions {
    fn default() -> Self {
        Self {
            format: None,
            group_formats: BTreeMap::new(),
            hash_range: None,
            max_inflated: 128 << 20,
            max_line: 64 << 10,
        }
    }
}

/// What one record of a stream came to. User records that were read before, or are another shard's, are in
/// `user_records` and `out_of_range` only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageSummary {
    /// User records of an aggregate; 1 if the record is none.
    pub user_records: u64,
    /// User records that lie outside of [`MessageOptions::hash_range`].
    pub out_of_range: u64,
    /// Envelopes of CloudWatch Logs without an event: control messages.
    pub control: u64,
    /// Lines in all: headers, blank and rejected ones too.
    pub lines: u64,
    /// Header lines.
    pub headers: u64,
    /// Pieces handed out as [`Piece::Rejected`].
    pub rejected: u64,
    /// Bytes of text or JSON that it was unpacked to.
    pub bytes_out: u64,
}

/// Decodes the records of a stream, one after the other; see the [module](super).
///
/// ```
/// use flowbound::decode::{MessageDecoder, MessageOptions, Piece};
///
/// let mut chunks = Vec::new();
/// let mut out = |piece| match piece {
///     Piece::Lines(chunk) => chunks.push(chunk),
///     Piece::Rejected { error, .. } => panic!("{error}"),
/// };
/// let mut decoder = MessageDecoder::new(MessageOptions::default());
/// let record = br#"{"message": "2 123456789012 eni-0a - - - - - - - 1790640000 1790640058 - NODATA"}"#;
/// let summary = decoder.decode(record, None, &mut out);
/// assert_eq!((summary.user_records, summary.lines), (1, 1));
/// assert!(chunks[0].bytes.ends_with(b"NODATA\n"));
/// ```
#[derive(Debug)]
pub struct MessageDecoder {
    options: DecodeOptions,
    hash_range: Option<RangeInclusive<u128>>,
    pool: Pool,
    layers: Layers,
    json: Reader,
}

impl MessageDecoder {
    /// A decoder for the records of one shard.
    pub fn new(options: MessageOptions) -> Self {
        let default = options.format.unwrap_or_default();
        let formats = Formats { default: default.clone(), groups: options.group_formats };
        Self {
            options: DecodeOptions {
                format: Some(default),
                max_inflated: options.max_inflated,
                max_line: options.max_line,
                ..DecodeOptions::default()
            },
            hash_range: options.hash_range,
            pool: Pool::default(),
            layers: Layers::default(),
            json: Reader::new(formats, CHUNK_BYTES),
        }
    }

    /// Decodes the payload of one record and hands out its lines.
    ///
    /// User records whose index in the record is not above `after_sub` are left out: reading resumes inside of an
    /// aggregate. The one user record of a record that is no aggregate has the index 0.
    pub fn decode(&mut self, payload: &[u8], after_sub: Option<u64>, out: &mut dyn FnMut(Piece)) -> MessageSummary {
        let mut summary = MessageSummary::default();
        let mut lines = Lines::new(&self.options);
        lines.rejects_whole = true;
        self.layers.allow(self.options.max_inflated);
        let users = kpl::read(payload).unwrap_or_else(|| vec![UserRecord::whole(payload)]);
        for (index, user) in (0..).zip(&users) {
            summary.user_records += 1;
            let read_before = after_sub.is_some_and(|last| index <= last);
            let foreign = self.hash_range.as_ref().is_some_and(|range| !user.is_in(range));
            if read_before || foreign {
                summary.out_of_range += u64::from(!read_before);
                // decoded all the same, because the numbers of the lines behind it count its lines
                self.decode_user_record(user.data, &mut lines, &mut |_| {});
            } else {
                let before = (lines.count(), lines.headers, lines.rejected, self.json.control);
                summary.bytes_out += self.decode_user_record(user.data, &mut lines, out);
                summary.lines += lines.count() - before.0;
                summary.headers += lines.headers - before.1;
                summary.rejected += lines.rejected - before.2;
                summary.control += self.json.control - before.3;
            }
        }
        self.layers.tidy();
        summary
    }

    /// Gives the buffer of a chunk back, so that the next chunk need not allocate one.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        self.pool.put(buffer);
    }

    /// Returns the bytes that it was unpacked to.
    fn decode_user_record(&mut self, data: &[u8], lines: &mut Lines, out: &mut dyn FnMut(Piece)) -> u64 {
        let (bytes, content) = self.layers.open(data);
        let pool = &mut self.pool;
        match content {
            Err(kind) => lines.reject(bytes, kind, out),
            Ok(Content::Json) => self.json.read_text(bytes, &mut Sink { lines, pool, out }),
            Ok(_) => {
                let mut text = pool.empty();
                text.extend_from_slice(bytes);
                lines.take(text, None, pool, out);
            }
        }
        bytes.len() as u64
    }
}
