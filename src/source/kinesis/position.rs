//! Where a consumer of a shard is, in the words and the order of the Kinesis Client Library.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The number of a Kinesis record: a decimal of up to 57 digits, ascending within a shard and from parents to
/// children.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SequenceNumber(Box<str>);

/// A text that is no sequence number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no sequence number: a decimal number is expected")]
pub struct InvalidSequenceNumber(String);

impl SequenceNumber {
    /// The number as decimal text, without leading zeros.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SequenceNumber {
    type Err = InvalidSequenceNumber;

    fn from_str(text: &str) -> Result<Self, InvalidSequenceNumber> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidSequenceNumber(text.to_owned()));
        }
        let digits = text.trim_start_matches('0');
        Ok(Self(if digits.is_empty() { "0" } else { digits }.into()))
    }
}

impl TryFrom<String> for SequenceNumber {
    type Error = InvalidSequenceNumber;

    fn try_from(text: String) -> Result<Self, InvalidSequenceNumber> {
        text.parse()
    }
}

impl From<SequenceNumber> for String {
    fn from(number: SequenceNumber) -> Self {
        number.0.into()
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// By value: without leading zeros the longer one is the larger.
impl Ord for SequenceNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A place in a shard: a record and, inside of an aggregate of the Kinesis Producer Library, one of its records.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The Kinesis record.
    pub sequence: SequenceNumber,
    /// The record inside of it, from 0.
    pub sub: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sub {
            0 => write!(f, "{}", self.sequence),
            sub => write!(f, "{}/{sub}", self.sequence),
        }
    }
}

/// How far a consumer has come. The order is that of the Kinesis Client Library: words that say where to begin come
/// before every number, the end of the shard after.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Checkpoint {
    /// Nothing was read; to begin at a time that is configured.
    AtTimestamp,
    /// Nothing was read; to begin with the oldest record.
    TrimHorizon,
    /// Nothing was read; to begin with what comes from now on.
    Latest,
    /// This record, and every one before it, was read.
    Sequence(Position),
    /// The shard is closed and everything in it was read.
    ShardEnd,
}

impl Checkpoint {
    /// The record and the record inside of it as a lease table keeps them: a number or a word, and a number.
    pub fn to_texts(&self) -> (&str, u64) {
        match self {
            Self::AtTimestamp => ("AT_TIMESTAMP", 0),
            Self::TrimHorizon => ("TRIM_HORIZON", 0),
            Self::Latest => ("LATEST", 0),
            Self::Sequence(position) => (position.sequence.as_str(), position.sub),
            Self::ShardEnd => ("SHARD_END", 0),
        }
    }

    /// Reads what [`Self::to_texts`] gives.
    pub fn from_texts(text: &str, sub: u64) -> Result<Self, InvalidSequenceNumber> {
        Ok(match text {
            "AT_TIMESTAMP" => Self::AtTimestamp,
            "TRIM_HORIZON" => Self::TrimHorizon,
            "LATEST" => Self::Latest,
            "SHARD_END" => Self::ShardEnd,
            number => Self::Sequence(Position { sequence: number.parse()?, sub }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: &str, sub: u64) -> Checkpoint {
        Checkpoint::from_texts(number, sub).unwrap()
    }

    #[test]
    fn the_order_is_that_of_the_client_library() {
        let ascending = [
            Checkpoint::AtTimestamp,
            Checkpoint::TrimHorizon,
            Checkpoint::Latest,
            at("0", 0),
            at("9", 7),
            at("10", 0),
            at("49590338271490256608559692538361571095921575989136588898", 0),
            at("49590338271490256608559692538361571095921575989136588898", 1),
            at("49590338271490256608559692538361571095921575989136588899", 0),
            // 57 digits
            at("100000000000000000000000000000000000000000000000000000000", 0),
            Checkpoint::ShardEnd,
        ];
        for (i, left) in ascending.iter().enumerate() {
            for (j, right) in ascending.iter().enumerate() {
                assert_eq!(left.cmp(right), i.cmp(&j), "{left:?} and {right:?}");
            }
        }
    }

    #[test]
    fn texts_are_those_of_a_lease_table() {
        for (text, sub) in [("AT_TIMESTAMP", 0), ("TRIM_HORIZON", 0), ("LATEST", 0), ("SHARD_END", 0), ("4959", 3)] {
            assert_eq!(at(text, sub).to_texts(), (text, sub));
        }
        assert_eq!(at("007", 0), at("7", 0));
        for wrong in ["", "trim_horizon", "-1", "4959 ", "0x1F", "٣"] {
            assert!(Checkpoint::from_texts(wrong, 0).is_err(), "{wrong:?}");
        }
    }
}
