//! A batch: the records of some neighbouring lines, and the lines that are no records.

use super::flow::FlowRecord;
use super::format::LogFormat;

/// Why a line is no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The kind of mistake, one word for counters and for the column `reason` of the quarantine.
    pub kind: ParseErrorKind,
    /// The column's name in the log format, where the mistake lies in one value.
    pub field: Option<String>,
    /// Where in the line the mistake begins, in bytes from 0.
    pub byte: usize,
}

/// Kinds of mistakes in a line, or in what should have held lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseErrorKind {
    /// The line has more or fewer columns than the format.
    #[error("the log format has {expected} fields, the line has {got}")]
    FieldCount {
        /// Columns of the format.
        expected: usize,
        /// Columns of the line.
        got: usize,
    },
    /// A number that is none, or that its field cannot hold.
    #[error("'{0}' is no number that this field can hold")]
    BadInt(String),
    /// An address that is none.
    #[error("'{0}' is no IPv4 or IPv6 address")]
    BadAddress(String),
    /// A word that is not in the field's closed set.
    #[error("'{0}' is no value of this field")]
    BadValue(String),
    /// Bytes that are no UTF-8.
    #[error("the line is not UTF-8 text")]
    NotUtf8,
    /// A line longer than any flow log line can be.
    #[error("the line is longer than {limit} bytes")]
    TooLong {
        /// The longest line that is read.
        limit: usize,
    },
    /// The last line of an object that is cut short: a number cut in two would pass as a value.
    #[error("the object ends in the middle of the line")]
    Truncated,
    /// A compressed message that cannot be unpacked to its end: nothing of it is read.
    #[error("the message cannot be unpacked: {0}")]
    Damaged(String),
    /// A message that unpacks to more than a message may, or a JSON object larger than is read.
    #[error("it is larger than {limit} bytes, the limit for one message or JSON object")]
    TooLarge {
        /// The limit that it passes, in bytes.
        limit: u64,
    },
    /// A message wrapped in itself more often than any sender does.
    #[error("it is wrapped more than {limit} times over")]
    TooNested {
        /// The most layers that are taken off.
        limit: usize,
    },
    /// A message that is neither text nor JSON under its compression.
    #[error("this is no text but looks like {looks_like}")]
    NotText {
        /// What it seems to be.
        looks_like: &'static str,
    },
    /// What begins like JSON and is none.
    #[error("this is no JSON: {0}")]
    BadJson(String),
    /// JSON of something else, with what it seems to be.
    #[error("this is no flow log but {0}")]
    OtherKind(String),
}

impl ParseErrorKind {
    /// One word, stable: the `reason` in the quarantine.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::FieldCount { .. } => "field_count",
            Self::BadInt(_) => "bad_int",
            Self::BadAddress(_) => "bad_address",
            Self::BadValue(_) => "bad_value",
            Self::NotUtf8 => "not_utf8",
            Self::TooLong { .. } => "too_long",
            Self::Truncated => "truncated",
            Self::Damaged(_) => "damaged",
            Self::TooLarge { .. } => "too_large",
            Self::TooNested { .. } => "too_nested",
            Self::NotText { .. } => "not_text",
            Self::BadJson(_) => "bad_json",
            Self::OtherKind(_) => "other_kind",
        }
    }
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{field}: {} (byte {})", self.kind, self.byte),
            None => write!(f, "{} (byte {})", self.kind, self.byte),
        }
    }
}

/// A line that is no record: it goes to the quarantine as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected<'a> {
    /// Number of the line in its source, from 1.
    pub line: i64,
    /// The line's bytes, without the line end.
    pub raw: &'a [u8],
    /// What is wrong with it.
    pub error: ParseError,
}

/// Records of neighbouring lines of one source, all in one format, in the order of the lines.
#[derive(Debug)]
pub struct FlowBatch<'a> {
    /// The format of every line.
    pub format: &'a LogFormat,
    /// The records.
    pub records: Vec<FlowRecord<'a>>,
    /// The line of each record in its source, from 1; as long as `records`.
    pub lines: Vec<i64>,
    /// The lines that are no records.
    pub rejected: Vec<Rejected<'a>>,
}

impl<'a> FlowBatch<'a> {
    /// An empty batch of this format.
    pub fn new(format: &'a LogFormat) -> Self {
        Self { format, records: Vec::new(), lines: Vec::new(), rejected: Vec::new() }
    }
}

/// Whole lines of one source, all in one format: what decoding hands to parsing.
///
/// Header lines are not in it; blank lines may be, and count as lines.
#[derive(Debug, Clone)]
pub struct LineChunk {
    /// The lines, ended by `\n` (the last one perhaps not). Not necessarily UTF-8.
    pub bytes: Vec<u8>,
    /// Number of the first line in its source, from 1.
    pub first_line: i64,
    /// The format of every line.
    pub format: std::sync::Arc<LogFormat>,
    /// Each line begins with an ISO timestamp and a space, as CloudWatch export tasks write them.
    pub timestamp_prefix: bool,
}
