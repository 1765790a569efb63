//! Bytes to lines.
//!
//! A [`Decoder`] takes the bytes of one object in pieces of any size and hands out [`Piece`]s: chunks of whole
//! lines in one log format, and lines that cannot be read as such. It does no I/O; the caller pushes. A
//! [`MessageDecoder`] does the same with the records of a Kinesis stream, each of them whole.
//!
//! ```text
//! bytes ──> sniff ──> unpack (gzip, zstd; at most twice) ──> lines ──> Piece
//!                ├──> rows (Parquet, written as lines) ──────────────^
//!                └──> json (envelopes, records; their lines) ────────^
//! ```
//!
//! What is decided here, and why:
//!
//! - The content tells what an object is, never its name: copies lose their suffix.
//! - **Nothing before a fault is lost.** A damaged or truncated object gives every whole line before the damage;
//!   the line that it cuts in two goes out as rejected, because a number cut in two would pass as a value.
//! - Several gzip members or zstd frames, one after the other, are one stream. Zero bytes after a member are padding.
//!   Anything else there is an error: the lines are handed out, and the object is reported.
//! - An object may be compressed twice (a gzip uploaded through a gzipping proxy), not more often.
//! - Memory does not depend on the input: a chunk and the decompressor's window; for Parquet, whose directory
//!   stands at its end, the whole object up to [`DecodeOptions::max_parquet`]; of JSON, one object of it up to
//!   [`DecodeOptions::max_json`]. The work is bounded by
//!   [`DecodeOptions::max_inflated`]. There is no limit on the ratio of compression: a heartbeat log of one
//!   interface compresses better than many a bomb, and a ratio says nothing about memory here.

mod decoder;
mod json;
mod lines;
mod message;
mod rows;
mod sniff;
#[cfg(test)]
mod tests;
mod unpack;
mod values;

use std::sync::Arc;

use crate::record::{LineChunk, LogFormat, ParseError};

pub use decoder::Decoder;
pub use message::{MessageDecoder, MessageOptions, MessageSummary};

/// How an object is decoded.
#[derive(Debug, Clone)]
pub struct DecodeOptions {
    /// The format of lines that no header precedes; `None` is the default format of AWS (version 2).
    pub format: Option<Arc<LogFormat>>,
    /// The most bytes that one object may decode to. Default 64 GiB: AWS begins a new object at 75 MB compressed,
    /// and even a year of them joined to one file stays below.
    pub max_inflated: u64,
    /// The largest Parquet object that is read: it is held in memory as a whole. Default 1 GiB.
    pub max_parquet: usize,
    /// The largest JSON object (not the text, which may hold any number of them): it is held in memory as a whole.
    /// Default 16 MiB; an envelope of CloudWatch Logs takes a tenth of it.
    pub max_json: usize,
    /// Bytes of a chunk, cut at the last line end before; a chunk is larger only where `max_line` is,
    /// and by one JSON object. Default 1 MiB.
    pub chunk_bytes: usize,
    /// The longest line in bytes, without its line end. Default 64 KiB; a line with every field that AWS has, each
    /// as long as AWS lets it be, takes less than a tenth.
    pub max_line: usize,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            format: None,
            max_inflated: 64 << 30,
            max_parquet: 1 << 30,
            max_json: 16 << 20,
            chunk_bytes: 1 << 20,
            max_line: 64 << 10,
        }
    }
}

/// What decoding hands out, in the order of the lines.
#[derive(Debug, Clone)]
pub enum Piece {
    /// Whole lines in one format.
    Lines(LineChunk),
    /// What is not handed to parsing: a line too long or cut in two by the end of a damaged object, or something that
    /// cannot be read as lines (broken JSON, a record of another kind); it then stands for one line.
    Rejected {
        /// Number of the line in its object, from 1.
        line: i64,
        /// The line's bytes, at most [`DecodeOptions::max_line`] of them.
        raw: Vec<u8>,
        /// What is wrong with it.
        error: ParseError,
    },
}

/// A compression that an object can be wrapped in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952, one or more members.
    Gzip,
    /// RFC 8878, one or more frames.
    Zstd,
}

impl std::fmt::Display for Compression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// What an object holds under its compression.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Content {
    /// Nothing.
    #[default]
    Empty,
    /// Lines.
    Text,
    /// Objects: envelopes of lines, or records.
    Json,
    /// Rows, in Parquet.
    Parquet,
}

/// What was seen of one object, at its end or at its fault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DecodeSummary {
    /// What the object holds.
    pub content: Content,
    /// The compressions around it, the outermost first.
    pub compression: Vec<Compression>,
    /// Bytes pushed.
    pub bytes_in: u64,
    /// Bytes of text, line ends included; of Parquet, bytes of its rows as text.
    pub bytes_out: u64,
    /// Lines (of Parquet, rows; of JSON, also what is rejected as an object) in all: headers, blank and rejected ones too.
    pub lines: u64,
    /// Header lines; 0 says that the configured or the default format held throughout.
    pub headers: u64,
    /// Lines handed out as [`Piece::Rejected`].
    pub rejected: u64,
    /// Of JSON, the envelopes of CloudWatch Logs without an event: control messages.
    pub control: u64,
}

/// Why an object cannot be decoded to its end. What stood before the fault has been handed out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The compressed stream stops before its end mark.
    #[error("the {0} stream stops before its end: the object is cut short, fetch it again")]
    Truncated(Compression),
    /// The compressed stream contradicts itself: broken bits, or a wrong checksum.
    #[error("the {compression} stream is damaged near compressed byte {at}: {detail}")]
    Damaged {
        /// Which stream.
        compression: Compression,
        /// Offset of the fault in that stream, from 0.
        at: u64,
        /// What the decompressor says.
        detail: String,
    },
    /// Bytes after the end of the compressed stream that are neither padding nor another member.
    #[error("after the end of the {compression} stream, at compressed byte {at}, stands something else")]
    TrailingBytes {
        /// Which stream.
        compression: Compression,
        /// Offset of the first such byte in that stream, from 0.
        at: u64,
    },
    /// More than [`DecodeOptions::max_inflated`] (or, for Parquet, [`DecodeOptions::max_parquet`]).
    #[error("the object decodes to more than {limit} bytes, the limit for one object")]
    TooLarge {
        /// The limit that it passes.
        limit: u64,
    },
    /// Compressed three times or more.
    #[error("the object is compressed more than twice over")]
    TooNested,
    /// Not text in an encoding that flow logs use.
    #[error("this is no text but looks like {looks_like}: flow logs are plain UTF-8, gzip, zstd or Parquet")]
    NotText {
        /// What it seems to be.
        looks_like: &'static str,
    },
    /// The Parquet file cannot be read.
    #[error("the Parquet file cannot be read: {0}")]
    BadParquet(String),
    /// A Parquet file of something else.
    #[error("none of the columns of the Parquet file is a flow log field ({0})")]
    NoFlowLog(String),
}
