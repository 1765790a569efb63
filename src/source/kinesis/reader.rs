//! Reading a shard by asking for its records again and again (GetRecords).
//!
//! The rules, from AWS's documentation and the Kinesis Client Library: an iterator lives five minutes, so none is kept
//! while the lake holds the reader back, and an expired one is made anew after the last record that was read; a shard
//! answers five times a second for all of its readers together; an empty answer is normal, also far behind the end; a
//! shard is at its end when an answer has no next iterator and names the shards that follow.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::get_records::{GetRecordsError, GetRecordsOutput};
use aws_sdk_kinesis::operation::get_shard_iterator::GetShardIteratorError;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::ShardIteratorType;
use tokio::time::{Instant, sleep_until};

use super::position::Position;
use super::shards::{ChildShard, StreamShards};
use super::{Page, ReadError, Record, Retried, ShardReader, StartAt, explain};

/// Between two requests: a shard answers five times a second.
const SPACING: Duration = Duration::from_millis(200);
/// After an empty answer at the end of the shard.
const IDLE: Duration = Duration::from_millis(1000);
/// Records asked for at a time: the most that AWS gives.
const MOST_RECORDS: i32 = 10_000;
/// An iterator is good for five minutes; one that is nearly as old is not tried.
const ITERATOR_AGE: Duration = Duration::from_secs(240);

/// Reads one shard with GetRecords.
pub struct PollingReader {
    client: Client,
    shards: StreamShards,
    shard: String,
    from: StartAt,
    iterator: Option<(String, Instant)>,
    next: Instant,
    backoff: Backoff,
}

impl PollingReader {
    /// A reader of this shard that begins there.
    pub fn new(client: Client, shards: StreamShards, shard: String, from: StartAt) -> Self {
        Self { client, shards, shard, from, iterator: None, next: Instant::now(), backoff: Backoff::default() }
    }

    async fn iterator(&mut self) -> Result<String, ReadError> {
        if let Some((iterator, since)) = &self.iterator
            && since.elapsed() < ITERATOR_AGE
        {
            return Ok(iterator.clone());
        }
        let iterator = match self.new_iterator().await {
            // a time to come: the clock that it was read from was ahead, and nothing has come since
            Err(ReadError::TimeToCome { .. }) => {
                tracing::warn!(shard = self.shard, "the time to begin at is to come; begun with what comes now");
                self.from = StartAt::Latest;
                self.new_iterator().await
            }
            other => other,
        };
        // an iterator, unlike a name, cannot lead from a stream to another one
        self.shards.is_the_same().await?;
        let iterator = iterator?;
        self.iterator = Some((iterator.clone(), Instant::now()));
        Ok(iterator)
    }

    async fn new_iterator(&self) -> Result<String, ReadError> {
        let stream = &self.shards.stream().name;
        let request = self.client.get_shard_iterator().stream_name(stream).shard_id(&self.shard);
        let request = match &self.from {
            StartAt::Horizon => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
            StartAt::Latest => request.shard_iterator_type(ShardIteratorType::Latest),
            StartAt::Time(millis) => {
                request.shard_iterator_type(ShardIteratorType::AtTimestamp).timestamp(DateTime::from_millis(*millis))
            }
            StartAt::At(Position { sequence, .. }) => request
                .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
                .starting_sequence_number(sequence.as_str()),
            StartAt::After(sequence) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(sequence.as_str()),
        };
        match request.send().await {
            Ok(output) => output.shard_iterator.ok_or_else(|| self.failed("GetShardIterator gave no iterator")),
            Err(error) => Err(match error.as_service_error() {
                Some(GetShardIteratorError::ResourceNotFoundException(_)) => {
                    self.shards.not_found(&self.shard, explain(&error)).await
                }
                // what a stream of the same name had that was deleted since
                Some(GetShardIteratorError::InvalidArgumentException(_))
                    if matches!(self.from, StartAt::At(_) | StartAt::After(_)) =>
                {
                    ReadError::UnknownPosition { shard: self.shard.clone(), detail: explain(&error) }
                }
                Some(GetShardIteratorError::InvalidArgumentException(_)) if matches!(self.from, StartAt::Time(_)) => {
                    ReadError::TimeToCome { shard: self.shard.clone(), detail: explain(&error) }
                }
                _ => self.failed(&explain(&error)),
            }),
        }
    }

    fn failed(&self, detail: &str) -> ReadError {
        ReadError::Failed { shard: self.shard.clone(), detail: detail.to_owned() }
    }

    /// What an answer says.
    async fn page(&mut self, output: GetRecordsOutput) -> Result<Page, ReadError> {
        let mut end = None;
        match output.next_shard_iterator {
            Some(iterator) => self.iterator = Some((iterator, Instant::now())),
            None => {
                self.iterator = None;
                let mut children: Vec<ChildShard> = output.child_shards().iter().map(ChildShard::from).collect();
                if children.is_empty() {
                    // stand-ins do not name them; and an answer without either is to be asked again
                    children = self.shards.children_of(&self.shard).await?;
                }
                end = (!children.is_empty()).then_some(children);
            }
        }
        let behind = output.millis_behind_latest;
        let records = Record::all(output.records).map_err(|detail| self.failed(&detail))?;
        if let Some(last) = records.last() {
            self.from = StartAt::After(last.sequence.clone());
        }
        let idle = records.is_empty() && behind.is_none_or(|behind| behind == 0);
        self.next = Instant::now() + if idle { IDLE } else { SPACING };
        Ok(Page { records, behind, end, retried: None })
    }
}

impl ShardReader for PollingReader {
    async fn wait(&mut self) -> Result<(), ReadError> {
        sleep_until(self.next).await;
        Ok(())
    }

    async fn read(&mut self) -> Result<Page, ReadError> {
        let iterator = self.iterator().await?;
        // while the answer is on its way the iterator stays: giving up here and coming back loses nothing
        let answer = self.client.get_records().shard_iterator(&iterator).limit(MOST_RECORDS).send().await;
        let error = match answer {
            Ok(output) => {
                self.backoff.reset();
                return self.page(output).await;
            }
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(GetRecordsError::ExpiredIteratorException(_)) => {
                self.iterator = None;
                Ok(Page::retried(Retried::ExpiredIterator))
            }
            Some(
                GetRecordsError::ProvisionedThroughputExceededException(_) | GetRecordsError::KmsThrottlingException(_),
            ) => {
                self.next = Instant::now() + self.backoff.next();
                Ok(Page::retried(Retried::Throttled))
            }
            Some(GetRecordsError::ResourceNotFoundException(_)) => {
                Err(self.shards.not_found(&self.shard, explain(&error)).await)
            }
            _ => Err(self.failed(&explain(&error))),
        }
    }
}

/// Waits that double, with full jitter, up to five seconds: so many readers of one shard do not come back at once.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    times: u32,
}

impl Backoff {
    const MOST: Duration = Duration::from_secs(5);

    pub(super) fn next(&mut self) -> Duration {
        let most = (SPACING * 2_u32.saturating_pow(self.times)).min(Self::MOST);
        self.times = (self.times + 1).min(8);
        SPACING + most.mul_f64(fastrand::f64())
    }

    pub(super) fn reset(&mut self) {
        self.times = 0;
    }
}
