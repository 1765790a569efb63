//! SQS: messages of one queue are received, held and deleted. The SDK retries what may be retried.

mod error;

pub use error::{SqsError, SqsErrorKind, region_of};

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
};

/// Messages that a request can be about.
pub const BATCH: usize = 10;
/// The longest that a request waits for messages.
pub const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// A queue. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Queue {
    client: Client,
    url: String,
    visibility: Duration,
}

/// A message as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its name in the queue.
    pub id: String,
    /// What deletes it, and keeps it from others. It is of this receiving alone.
    pub receipt: String,
    /// What was sent.
    pub body: String,
}

/// A message of a batch with which was not done what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its receipt.
    pub receipt: String,
    /// Why.
    pub code: String,
    /// Asking again helps nothing: the receipt is not good any more.
    pub for_good: bool,
}

impl Queue {
    /// The queue of this URL. What is received is kept from others for so long, in whole seconds.
    pub fn new(config: &SdkConfig, url: String, visibility: Duration) -> Self {
        Self { client: Client::new(config), url, visibility }
    }

    /// For how long a message that was received, or is extended, is kept from others.
    pub fn visibility(&self) -> Duration {
        self.visibility
    }

    /// Up to ten messages, as soon as there are some; none if none come in this time (20 s at most).
    ///
    /// # Errors
    /// When there is no such queue, or it may not be read, or does not answer.
    pub async fn receive(&self, wait: Duration) -> Result<Vec<Message>, SqsError> {
        let request = self.client.receive_message().queue_url(&self.url).max_number_of_messages(BATCH as i32);
        let request = request.wait_time_seconds(whole_seconds(wait.min(LONGEST_WAIT)));
        let answer = request.visibility_timeout(whole_seconds(self.visibility)).send().await;
        let messages = answer.map_err(|error| self.error(&error))?.messages.unwrap_or_default();
        Ok(messages
            .into_iter()
            .filter_map(|message| {
                let body = message.body.unwrap_or_default();
                Some(Message { id: message.message_id.unwrap_or_default(), receipt: message.receipt_handle?, body })
            })
            .collect())
    }

    /// Keeps up to ten messages from others for the whole time again; those with which that failed.
    ///
    /// # Errors
    /// When nothing was done.
    pub async fn extend(&self, receipts: &[String]) -> Result<Vec<Refused>, SqsError> {
        let entry = |(place, receipt): (usize, &String)| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(place.to_string())
                .receipt_handle(receipt)
                .visibility_timeout(whole_seconds(self.visibility))
                .build()
        };
        let entries: Result<Vec<_>, _> = receipts.iter().enumerate().map(entry).collect();
        let entries = entries.map_err(|error| SqsError::new(SqsErrorKind::Other, error.to_string()))?;
        let request = self.client.change_message_visibility_batch().queue_url(&self.url);
        let answer = request.set_entries(Some(entries)).send().await.map_err(|error| self.error(&error))?;
        Ok(refused(receipts, answer.failed()))
    }

    /// Deletes up to ten messages; those with which that failed.
    ///
    /// # Errors
    /// When nothing was done.
    pub async fn delete(&self, receipts: &[String]) -> Result<Vec<Refused>, SqsError> {
        let entry = |(place, receipt): (usize, &String)| {
            DeleteMessageBatchRequestEntry::builder().id(place.to_string()).receipt_handle(receipt).build()
        };
        let entries: Result<Vec<_>, _> = receipts.iter().enumerate().map(entry).collect();
        let entries = entries.map_err(|error| SqsError::new(SqsErrorKind::Other, error.to_string()))?;
        let request = self.client.delete_message_batch().queue_url(&self.url);
        let answer = request.set_entries(Some(entries)).send().await.map_err(|error| self.error(&error))?;
        Ok(refused(receipts, answer.failed()))
    }

    fn error<E>(&self, error: &aws_sdk_sqs::error::SdkError<E>) -> SqsError
    where
        E: aws_sdk_sqs::error::ProvideErrorMetadata + std::error::Error + 'static,
    {
        let region = self.client.config().region().map(AsRef::as_ref).unwrap_or_default();
        SqsError::of(&self.url, region, error)
    }
}

/// Seconds as SQS takes them, never less than asked for.
fn whole_seconds(time: Duration) -> i32 {
    i32::try_from(time.as_millis().div_ceil(1000)).unwrap_or(i32::MAX)
}

/// Entries are named by their places.
fn refused(receipts: &[String], failed: &[BatchResultErrorEntry]) -> Vec<Refused> {
    let one = |entry: &BatchResultErrorEntry| {
        let receipt = receipts.get(entry.id.parse::<usize>().ok()?)?.clone();
        Some(Refused { receipt, code: entry.code.clone(), for_good: entry.sender_fault })
    };
    failed.iter().filter_map(one).collect()
}
