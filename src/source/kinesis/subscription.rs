//! Reading a shard by enhanced fan-out (SubscribeToShard): records are pushed, each consumer has its own 2 MB/s.
//!
//! The rules, from AWS's documentation: a subscription lives five minutes; the next one begins after the continuation
//! number of the last event; one call a second for a consumer and a shard, and one within five seconds after a success
//! is refused while the old subscription is there; a later call takes the subscription away. The SDK's stream has no
//! timeout of its own, so silence is one: events come at least every few seconds, with or without records.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::subscribe_to_shard::{SubscribeToShardError, SubscribeToShardOutput};
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition, SubscribeToShardEvent, SubscribeToShardEventStream};
use tokio::time::{Instant, sleep_until, timeout};

use super::reader::Backoff;
use super::shards::{ChildShard, StreamShards};
use super::{Page, ReadError, Record, Retried, ShardReader, StartAt, explain};

/// Silence after which a subscription is taken for dead.
const SILENCE: Duration = Duration::from_secs(40);
/// Between two subscriptions.
const SPACING: Duration = Duration::from_secs(5);

/// Reads one shard as a registered consumer.
pub struct SubscribedReader {
    client: Client,
    shards: StreamShards,
    consumer: String,
    shard: String,
    from: StartAt,
    subscription: Option<SubscribeToShardOutput>,
    event: Option<SubscribeToShardEvent>,
    retried: Option<Retried>,
    next: Instant,
    backoff: Backoff,
}

impl SubscribedReader {
    /// A reader of this shard for the consumer with this ARN.
    pub fn new(client: Client, shards: StreamShards, consumer: String, shard: String, from: StartAt) -> Self {
        Self {
            client,
            shards,
            consumer,
            shard,
            from,
            subscription: None,
            event: None,
            retried: None,
            next: Instant::now(),
            backoff: Backoff::default(),
        }
    }

    fn failed(&self, detail: &str) -> ReadError {
        ReadError::Failed { shard: self.shard.clone(), detail: detail.to_owned() }
    }

    fn position(&self) -> Result<StartingPosition, ReadError> {
        let position = StartingPosition::builder();
        let position = match &self.from {
            StartAt::Horizon => position.r#type(ShardIteratorType::TrimHorizon),
            StartAt::Latest => position.r#type(ShardIteratorType::Latest),
            StartAt::Time(millis) => {
                position.r#type(ShardIteratorType::AtTimestamp).timestamp(DateTime::from_millis(*millis))
            }
            StartAt::At(at) => {
                position.r#type(ShardIteratorType::AtSequenceNumber).sequence_number(at.sequence.as_str())
            }
            StartAt::After(sequence) => {
                position.r#type(ShardIteratorType::AfterSequenceNumber).sequence_number(sequence.as_str())
            }
        };
        position.build().map_err(|error| self.failed(&error.to_string()))
    }

    async fn subscribe(&mut self) -> Result<(), ReadError> {
        sleep_until(self.next).await;
        let request = self.client.subscribe_to_shard().consumer_arn(&self.consumer).shard_id(&self.shard);
        let answer = request.starting_position(self.position()?).send().await;
        self.next = Instant::now() + SPACING;
        let error = match answer {
            Ok(output) => {
                self.subscription = Some(output);
                return Ok(());
            }
            Err(error) => error,
        };
        match error.as_service_error() {
            // the old subscription is not over yet, or too many calls at once
            Some(
                SubscribeToShardError::ResourceInUseException(_) | SubscribeToShardError::LimitExceededException(_),
            ) => {
                self.next += self.backoff.next();
                self.retried = Some(Retried::Throttled);
                Ok(())
            }
            Some(SubscribeToShardError::ResourceNotFoundException(_)) => {
                Err(self.shards.not_found(&self.shard, explain(&error)).await)
            }
            Some(SubscribeToShardError::InvalidArgumentException(_))
                if matches!(self.from, StartAt::At(_) | StartAt::After(_)) =>
            {
                Err(ReadError::UnknownPosition { shard: self.shard.clone(), detail: explain(&error) })
            }
            // a time to come: the clock that it was read from was ahead, and nothing has come since
            Some(SubscribeToShardError::InvalidArgumentException(_)) if matches!(self.from, StartAt::Time(_)) => {
                tracing::warn!(shard = self.shard, "the time to begin at is to come; begun with what comes now");
                self.from = StartAt::Latest;
                self.retried = Some(Retried::Subscription);
                Ok(())
            }
            _ => Err(self.failed(&explain(&error))),
        }
    }

    /// The subscription is of no use any more; the next one reads on after what came.
    fn broken(&mut self) {
        self.subscription = None;
        self.retried = Some(Retried::Subscription);
    }
}

impl ShardReader for SubscribedReader {
    /// Takes in one event: so much is held for each shard, and no more.
    async fn wait(&mut self) -> Result<(), ReadError> {
        while self.event.is_none() && self.retried.is_none() {
            let Some(subscription) = &mut self.subscription else {
                self.subscribe().await?;
                continue;
            };
            match timeout(SILENCE, subscription.event_stream.recv()).await {
                Ok(Ok(Some(SubscribeToShardEventStream::SubscribeToShardEvent(event)))) => self.event = Some(event),
                Ok(Ok(Some(_))) => {}
                // five minutes are over
                Ok(Ok(None)) => self.subscription = None,
                Err(_) => {
                    tracing::info!(shard = self.shard, "subscription is silent");
                    self.broken();
                }
                // somebody took the subscription, or it broke
                Ok(Err(error)) => {
                    tracing::info!(shard = self.shard, error = explain(&error), "subscription ended");
                    self.broken();
                    self.next = self.next.max(Instant::now() + self.backoff.next());
                }
            }
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<Page, ReadError> {
        if let Some(why) = self.retried.take() {
            return Ok(Page::retried(why));
        }
        let Some(event) = self.event.take() else { return Ok(Page::default()) };
        self.backoff.reset();
        if let Ok(sequence) = event.continuation_sequence_number.parse() {
            self.from = StartAt::After(sequence);
        }
        let mut end = None;
        if !event.child_shards().is_empty() {
            end = Some(event.child_shards().iter().map(ChildShard::from).collect());
            self.subscription = None;
        }
        let behind = Some(event.millis_behind_latest);
        let records = Record::all(event.records).map_err(|detail| self.failed(&detail))?;
        Ok(Page { records, behind, end, retried: None })
    }
}
