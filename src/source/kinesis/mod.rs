//! Kinesis Data Streams: shards, their records, and the leases by which workers share them.

pub mod lease;
mod position;
mod reader;
mod shards;
mod subscription;
#[cfg(test)]
mod tests;

pub use position::{Checkpoint, InvalidSequenceNumber, Position, SequenceNumber};
pub use reader::PollingReader;
pub use shards::{ChildShard, HashRange, ShardInfo, StreamInfo, StreamShards};
pub use subscription::SubscribedReader;

use std::error::Error;

/// Where a reader begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartAt {
    /// The oldest record there is.
    Horizon,
    /// What comes from now on.
    Latest,
    /// The first record that came at this time or later: milliseconds since 1970.
    Time(i64),
    /// This record, of which another consumer has read a part.
    At(Position),
    /// The record after this one.
    After(SequenceNumber),
}

/// One Kinesis record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub sequence: SequenceNumber,
    /// What was put.
    pub data: Vec<u8>,
    /// When it came to the stream: milliseconds since 1970.
    pub arrived: Option<i64>,
}

impl Record {
    /// Records as the SDK has them.
    fn all(records: Vec<aws_sdk_kinesis::types::Record>) -> Result<Vec<Self>, String> {
        let one = |record: aws_sdk_kinesis::types::Record| {
            let number = record.sequence_number;
            let sequence = number.parse().map_err(|_| format!("{number} is no sequence number"))?;
            let arrived = record.approximate_arrival_timestamp.and_then(|time| time.to_millis().ok());
            Ok(Self { sequence, data: record.data.into_inner(), arrived })
        };
        records.into_iter().map(one).collect()
    }
}

/// What a shard answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Records in order; none is normal.
    pub records: Vec<Record>,
    /// How far the answer is behind the end of the shard, in milliseconds.
    pub behind: Option<i64>,
    /// The shard is closed and this was the last of it: the shards that follow.
    pub end: Option<Vec<ChildShard>>,
    /// Why there is nothing, where the reader tries again by itself.
    pub retried: Option<Retried>,
}

impl Page {
    fn retried(why: Retried) -> Self {
        Self { retried: Some(why), ..Self::default() }
    }
}

/// Why a reader has to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retried {
    /// The shard, or the key that it is encrypted with, was asked too often: by all of its readers together.
    Throttled,
    /// The place in the shard that was asked for is too old: another one is asked for.
    ExpiredIterator,
    /// A subscription broke, or fell silent.
    Subscription,
}

impl Retried {
    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::ExpiredIterator => "expired-iterator",
            Self::Subscription => "subscription",
        }
    }
}

/// Reads one shard in order.
pub trait ShardReader: Send {
    /// Waits until it is worth while to read: shards that are quiet, or may not be asked yet, so hold nothing back.
    fn wait(&mut self) -> impl Future<Output = Result<(), ReadError>> + Send;

    /// The next records; none is normal. May be given up at any await and called again: nothing is lost or doubled.
    fn read(&mut self) -> impl Future<Output = Result<Page, ReadError>> + Send;
}

/// Where readers of shards come from.
pub trait Streams: Send + Sync + 'static {
    /// Its readers.
    type Reader: ShardReader;

    /// A reader of this shard that begins there.
    fn reader(&self, shard: &str, start: StartAt) -> Self::Reader;
}

/// A Kinesis stream.
#[derive(Debug, Clone)]
pub struct KinesisStream {
    client: aws_sdk_kinesis::Client,
    shards: StreamShards,
    consumer: Option<String>,
}

impl KinesisStream {
    /// The stream of these shards; by enhanced fan-out where there is the ARN of a registered consumer.
    pub fn new(client: aws_sdk_kinesis::Client, shards: StreamShards, consumer: Option<String>) -> Self {
        Self { client, shards, consumer }
    }
}

/// Reads a shard in either way.
pub enum KinesisReader {
    /// By GetRecords.
    Polling(PollingReader),
    /// By enhanced fan-out.
    Subscribed(Box<SubscribedReader>),
}

impl ShardReader for KinesisReader {
    async fn wait(&mut self) -> Result<(), ReadError> {
        match self {
            Self::Polling(reader) => reader.wait().await,
            Self::Subscribed(reader) => reader.wait().await,
        }
    }

    async fn read(&mut self) -> Result<Page, ReadError> {
        match self {
            Self::Polling(reader) => reader.read().await,
            Self::Subscribed(reader) => reader.read().await,
        }
    }
}

impl Streams for KinesisStream {
    type Reader = KinesisReader;

    fn reader(&self, shard: &str, start: StartAt) -> KinesisReader {
        let (client, shard) = (self.client.clone(), shard.to_owned());
        match &self.consumer {
            Some(consumer) => KinesisReader::Subscribed(Box::new(SubscribedReader::new(
                client,
                self.shards.clone(),
                consumer.clone(),
                shard,
                start,
            ))),
            None => KinesisReader::Polling(PollingReader::new(client, self.shards.clone(), shard, start)),
        }
    }
}

/// Why a shard cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The shard is not there (any more).
    #[error("shard {shard} is not in the stream any more: its records are past the stream's retention")]
    Gone {
        /// Its id.
        shard: String,
        /// The shards that follow it.
        children: Vec<ChildShard>,
    },
    /// The stream does not know the position.
    #[error(
        "shard {shard} does not know the position where the lake is ({detail}); was the stream deleted and made anew?"
    )]
    UnknownPosition {
        /// Its id.
        shard: String,
        /// The service's answer.
        detail: String,
    },
    /// A time that the service takes for one to come.
    #[error("cannot read shard {shard} from a time to come: {detail}")]
    TimeToCome {
        /// Its id.
        shard: String,
        /// The service's answer.
        detail: String,
    },
    /// The service refused.
    #[error("cannot read shard {shard}: {detail}")]
    Failed {
        /// Its id.
        shard: String,
        /// The service's answer.
        detail: String,
    },
    /// Another stream has the name now.
    #[error(
        "the stream {stream} was deleted and made anew while it was followed; start again: what comes from now on is \
         another stream's"
    )]
    Remade {
        /// The name.
        stream: String,
    },
    /// The stream is not there, or may not be looked at.
    #[error("cannot describe the stream {stream}: {detail}")]
    Describe {
        /// Its name.
        stream: String,
        /// The service's answer.
        detail: String,
    },
    /// The shards cannot be listed.
    #[error("cannot list the shards of the stream {stream}: {detail}")]
    List {
        /// Its name.
        stream: String,
        /// The service's answer.
        detail: String,
    },
}

/// An SDK error with all of its causes: the outermost alone says "service error".
fn explain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    text
}
