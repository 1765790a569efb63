//! A queue of S3's notifications: messages are received, kept from others while their objects are read, and deleted
//! when the lake has what they name.
//!
//! A message that is not deleted comes again when its visibility ends, and an object that the lake has by then is
//! known. So whatever fails here costs time, and nothing else.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::delivery::InputFilter;
use super::input::InputObject;
use super::notification::{self, Notification};
use super::s3::{Named, look};
use crate::aws::backoff::back_off;
use crate::aws::s3::{S3, S3Uri};
use crate::aws::sqs::{BATCH, LONGEST_WAIT, Message, Queue, SqsError};

/// Messages that are held at most; of one queue SQS lets 120,000 be held, by all together.
const MOST_HELD: usize = 10_000;
/// Messages whose trouble is remembered, so that it is told once.
const TOLD: usize = 10_000;
/// Times that the deletion of a message is tried.
const DELETIONS: u32 = 5;

/// How long objects that S3 does not answer for are asked for before their messages are left in the queue: others wait.
const PATIENCE: Duration = Duration::from_secs(300);

/// When a batch is full.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// Bytes of its objects.
    pub bytes: u64,
    /// Time since its first message came.
    pub age: Duration,
}

/// Messages, and the objects that they name.
#[derive(Debug, Default)]
pub struct Batch {
    objects: BTreeMap<String, InputObject>,
    bytes: u64,
    /// Receipts, each with the URIs of what is to be read before it may go.
    messages: Vec<(String, Vec<String>)>,
    unread: HashSet<String>,
}

impl Batch {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.objects.is_empty()
    }

    /// The objects, in the order of their URIs.
    pub fn objects(&self) -> Vec<InputObject> {
        self.objects.values().cloned().collect()
    }

    /// Whether it has an object of this URI to read.
    pub fn names(&self, uri: &str) -> bool {
        self.objects.contains_key(uri)
    }

    /// This object cannot be read now: its messages are to come again.
    pub fn leave(&mut self, uri: &str) {
        self.objects.remove(uri);
        self.unread.insert(uri.to_owned());
    }

    fn add(&mut self, object: InputObject) {
        self.bytes += object.size;
        self.objects.insert(object.uri.clone(), object);
    }

    fn is_full(&self, limits: &BatchLimits) -> bool {
        // not before the first message came, whatever the limit
        !self.is_empty() && self.bytes >= limits.bytes || self.messages.len() >= MOST_HELD
    }
}

/// A queue that is followed.
pub struct NotificationQueue {
    queue: Queue,
    s3: S3,
    filter: InputFilter,
    held: Arc<Held>,
    keeper: JoinHandle<()>,
    /// Messages whose trouble was told.
    told: HashSet<String>,
}

/// Receipts of the messages that are kept from others.
#[derive(Debug, Default)]
struct Held(Mutex<BTreeSet<String>>);

impl Held {
    fn receipts(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn let_go<'r>(&self, receipts: impl Iterator<Item = &'r String>) {
        let mut held = self.receipts();
        receipts.for_each(|receipt| drop(held.take(receipt)));
    }
}

impl NotificationQueue {
    /// Follows a queue; of the objects that it names, those that the filter asks for. Runs on the runtime at hand,
    /// which must have threads besides the caller's: messages are kept while the caller works.
    pub fn new(queue: Queue, s3: S3, filter: InputFilter) -> Self {
        let held = Arc::new(Held::default());
        let keeper = tokio::spawn(keep(queue.clone(), Arc::clone(&held)));
        Self { queue, s3, filter, held, keeper, told: HashSet::new() }
    }

    /// The next messages: from when the first comes until the batch is full, or the queue has no more. None if none
    /// come for a while, or this shall stop.
    ///
    /// # Errors
    /// When the queue cannot be read, and there is nothing yet.
    pub async fn gather(&mut self, limits: &BatchLimits, stop: &mut watch::Receiver<bool>) -> Result<Batch, SqsError> {
        let mut batch = Batch::default();
        let mut until = None;
        loop {
            let wait = until.map_or(LONGEST_WAIT, |until: Instant| until.saturating_duration_since(Instant::now()));
            if wait.is_zero() || batch.is_full(limits) {
                return Ok(batch);
            }
            // messages of an answer that nobody waits for any more come again
            let received = tokio::select! {
                biased;
                () = stopped(stop) => return Ok(batch),
                received = self.queue.receive(wait) => received,
            };
            match received {
                Ok(messages) if messages.is_empty() => return Ok(batch),
                Ok(messages) => {
                    until.get_or_insert_with(|| Instant::now() + limits.age);
                    self.take(messages, &mut batch, stop).await;
                }
                Err(error) if batch.is_empty() => return Err(error),
                Err(error) => {
                    tracing::warn!(error = error.to_string(), "no more messages received");
                    return Ok(batch);
                }
            }
        }
    }

    /// Puts messages into the batch, with those of their objects that are to be read.
    async fn take(&mut self, messages: Vec<Message>, batch: &mut Batch, stop: &mut watch::Receiver<bool>) {
        let mut taken = Vec::new();
        for Message { id, receipt, body } in messages {
            let objects = match notification::read(&body) {
                Ok(Notification::Created(objects)) => objects,
                Ok(Notification::Test) => {
                    tracing::info!(id, "S3 tries whether it may send");
                    Vec::new()
                }
                Err(error) => {
                    self.tell_once(id, &error.to_string());
                    continue;
                }
            };
            self.held.receipts().insert(receipt.clone());
            taken.push((id, receipt, objects));
        }
        let named: BTreeSet<&S3Uri> = taken.iter().flat_map(|(_, _, objects)| objects).collect();
        let fresh = named.into_iter().filter(|uri| !batch.objects.contains_key(&uri.to_string())).cloned().collect();
        let troubled = self.look(fresh, batch, stop).await;
        for (id, receipt, objects) in taken {
            if let Some((uri, why)) = objects.iter().find_map(|uri| Some((uri, troubled.get(uri)?))) {
                self.held.receipts().remove(&receipt);
                self.tell_once(id, &format!("{uri}: {why}"));
                continue;
            }
            let names = objects.iter().map(S3Uri::to_string);
            let names = names.filter(|uri| batch.objects.contains_key(uri)).collect();
            batch.messages.push((receipt, names));
        }
    }

    /// Looks at objects and puts those into the batch that are to be read; which cannot be looked at, and why. While
    /// S3 does not answer, it is asked again.
    async fn look(
        &self,
        mut uris: Vec<S3Uri>,
        batch: &mut Batch,
        stop: &mut watch::Receiver<bool>,
    ) -> BTreeMap<S3Uri, String> {
        let mut troubled = BTreeMap::new();
        let (began, mut failures) = (Instant::now(), 0);
        while !uris.is_empty() {
            let mut again = Vec::new();
            for (uri, named) in look(&self.s3, std::mem::take(&mut uris), &self.filter).await {
                match named {
                    Ok(Named::Log(object)) => batch.add(object),
                    Ok(Named::PassedOver) => tracing::debug!(%uri, "passed over"),
                    Ok(Named::Gone) => tracing::warn!(%uri, "it is not there any more: its notification is deleted"),
                    Err(error) if error.is_open() && began.elapsed() < PATIENCE && !*stop.borrow() => {
                        again.push((uri, error));
                    }
                    Err(error) => drop(troubled.insert(uri, error.to_string())),
                }
            }
            if let Some((uri, error)) = again.first() {
                tracing::warn!(%uri, objects = again.len(), error = error.to_string(), "not looked at; tried again");
                failures += 1;
                pause(failures, stop).await;
            }
            uris = again.into_iter().map(|(uri, _)| uri).collect();
        }
        troubled
    }

    /// Says why a message stays in the queue; it may come many times.
    fn tell_once(&mut self, id: String, why: &str) {
        if self.told.contains(&id) {
            return;
        }
        tracing::warn!(id, why, "message left in the queue");
        if self.told.len() >= TOLD {
            self.told.clear();
        }
        self.told.insert(id);
    }

    /// Ends a batch whose objects the lake has: its messages are deleted, but for those of objects that were left.
    pub async fn finish(&self, batch: Batch) {
        let (left, done): (Vec<_>, Vec<_>) =
            batch.messages.into_iter().partition(|(_, names)| names.iter().any(|uri| batch.unread.contains(uri)));
        self.held.let_go(left.iter().chain(&done).map(|(receipt, _)| receipt));
        let receipts: Vec<String> = done.into_iter().map(|(receipt, _)| receipt).collect();
        for some in receipts.chunks(BATCH) {
            if let Err(error) = self.delete(some.to_vec()).await {
                tracing::warn!(error = error.to_string(), "messages not deleted; they come again, and are known then");
                return;
            }
        }
    }

    async fn delete(&self, mut receipts: Vec<String>) -> Result<(), SqsError> {
        for failures in 1..=DELETIONS {
            let mut refused = self.queue.delete(&receipts).await?;
            refused.retain(|refused| {
                if refused.for_good || failures == DELETIONS {
                    tracing::info!(code = refused.code, "message not deleted; it comes again, and is known then");
                }
                !refused.for_good
            });
            receipts = refused.into_iter().map(|refused| refused.receipt).collect();
            if receipts.is_empty() {
                break;
            }
            back_off(failures).await;
        }
        Ok(())
    }
}

impl Drop for NotificationQueue {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// Extends what is held, three times as often as it must be.
async fn keep(queue: Queue, held: Arc<Held>) {
    let mut failures = 0;
    loop {
        match failures {
            0 => sleep(queue.visibility() / 3).await,
            failures => back_off(failures).await,
        }
        let receipts: Vec<String> = held.receipts().iter().cloned().collect();
        match extend(&queue, &held, &receipts).await {
            Ok(()) => failures = 0,
            Err(why) => {
                tracing::warn!(why, "messages not kept from others; tried again");
                failures += 1;
            }
        }
    }
}

async fn extend(queue: &Queue, held: &Held, receipts: &[String]) -> Result<(), String> {
    let mut failed = None;
    for some in receipts.chunks(BATCH) {
        for refused in queue.extend(some).await.map_err(|error| error.to_string())? {
            if !refused.for_good {
                failed = Some(refused.code);
            } else if held.receipts().remove(&refused.receipt) {
                // it was late, or the message is held for as long as SQS allows: another worker may get it, too
                tracing::warn!(code = refused.code, "a message is not kept from others any more");
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Waits until this shall stop.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // nobody is there who could say so
        std::future::pending().await
    }
}

/// Waits after so many failures in a row, or until this shall stop.
pub async fn pause(failures: u32, stop: &mut watch::Receiver<bool>) {
    tokio::select! {
        () = stopped(stop) => {}
        () = back_off(failures) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::runtime::Handle;

    use super::*;
    use crate::aws::fake::{Answer, Asked, Log, serve as endpoint};
    use crate::aws::s3::S3Options;

    const LIMITS: BatchLimits = BatchLimits { bytes: u64::MAX, age: Duration::from_secs(1) };

    /// A queue with these messages (id and body; the receipt is the id, too), of which every object is in S3 but what
    /// is called `gone`. Other requests to the queue are answered so.
    async fn queue(
        messages: Vec<(&'static str, String)>,
        mut answer: impl FnMut(&str, &Asked) -> Value + Send + 'static,
    ) -> (NotificationQueue, Log) {
        let mut messages = messages.into_iter();
        let (config, log) = endpoint(move |asked| match asked.headers.get("x-amz-target").map(String::as_str) {
            Some("AmazonSQS.ReceiveMessage") => {
                let some = messages.by_ref().take(BATCH);
                let some: Vec<_> =
                    some.map(|(id, body)| json!({"MessageId": id, "ReceiptHandle": id, "Body": body})).collect();
                Answer::new(200, json!({"Messages": some}).to_string())
            }
            Some(target) => Answer::new(200, answer(target.trim_start_matches("AmazonSQS."), asked).to_string()),
            None if asked.line.contains("list-type") => Answer::new(200, "<ListBucketResult></ListBucketResult>"),
            None if asked.line.contains("gone") => Answer::new(404, ""),
            None if asked.line.contains("secret") => Answer::new(403, ""),
            None => Answer::new(200, vec![b'x'; 7]).header("etag", "\"e\""),
        })
        .await;
        let s3 = S3::new(&config, &S3Options::default(), Handle::current());
        let queue = Queue::new(&config, "http://127.0.0.1/1/logs".to_owned(), Duration::from_millis(300));
        (NotificationQueue::new(queue, s3, InputFilter::default()), log)
    }

    fn created(keys: &[&str]) -> String {
        let record = |key: &&str| {
            let s3 = json!({"bucket": {"name": "logs"}, "object": {"key": key}});
            json!({"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": s3})
        };
        json!({"Records": keys.iter().map(record).collect::<Vec<_>>()}).to_string()
    }

    /// Receipts in the requests of one kind, request by request.
    fn receipts(log: &Log, action: &str) -> Vec<Vec<String>> {
        let target = format!("AmazonSQS.{action}");
        let log = log.lock().unwrap();
        let asked = log.iter().filter(|asked| asked.headers.get("x-amz-target") == Some(&target));
        let entries = |asked: &Asked| -> Vec<String> {
            let body: Value = serde_json::from_slice(&asked.body).unwrap();
            let entries = body["Entries"].as_array().unwrap().iter();
            entries.map(|entry| entry["ReceiptHandle"].as_str().unwrap().to_owned()).collect()
        };
        asked.map(entries).collect()
    }

    #[tokio::test]
    async fn messages_are_deleted_when_all_that_they_name_is_read() {
        let messages = vec![
            ("both", created(&["1.gz", "2.gz"])),
            ("one", created(&["1.gz"])),
            ("other", created(&["2.gz"])),
            ("third", created(&["3.gz", "picture.png"])),
            ("gone", created(&["gone.gz"])),
            ("nothing", created(&["picture.png"])),
            ("secret", created(&["secret.gz", "4.gz"])),
            ("junk", "hello".to_owned()),
            ("test", json!({"Event": "s3:TestEvent"}).to_string()),
        ];
        let (mut queue, log) = queue(messages, |_, _| json!({"Successful": [], "Failed": []})).await;
        let (_told, mut stop) = watch::channel(false);
        let mut batch = queue.gather(&LIMITS, &mut stop).await.unwrap();
        let uris: Vec<_> = batch.objects().into_iter().map(|object| (object.uri, object.identity)).collect();
        let object = |number: u8| (format!("s3://logs/{number}.gz"), "7-e".to_owned());
        assert_eq!(uris, [1, 2, 3, 4].map(object), "what the lake has by now does no harm");
        assert!(!queue.held.receipts().contains("secret") && !queue.held.receipts().contains("junk"));
        batch.leave("s3://logs/2.gz");
        queue.finish(batch).await;
        assert_eq!(receipts(&log, "DeleteMessageBatch"), [["one", "third", "gone", "nothing", "test"]]);
        assert!(queue.held.receipts().is_empty());
        let heads = log.lock().unwrap().iter().filter(|asked| asked.line == "HEAD /logs/1.gz").count();
        assert_eq!(heads, 1, "an object is looked at once");
        assert_eq!(queue.told.len(), 2);
    }

    #[tokio::test]
    async fn what_was_not_deleted_is_deleted_again_if_that_helps() {
        const IDS: [&str; 12] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"];
        let messages = IDS.iter().map(|id| (*id, created(&["1.gz"]))).collect();
        let mut requests = 0;
        let (mut queue, log) = queue(messages, move |action, _| {
            requests += u32::from(action == "DeleteMessageBatch");
            let failed = |id: &str, code: &str, own: bool| json!({"Id": id, "Code": code, "SenderFault": own});
            let failed = match requests {
                1 => json!([failed("3", "InternalError", false), failed("4", "ReceiptHandleIsInvalid", true)]),
                2 => json!([failed("0", "InternalError", false)]),
                _ => json!([]),
            };
            json!({"Successful": [], "Failed": failed})
        })
        .await;
        let (_told, mut stop) = watch::channel(false);
        let batch = queue.gather(&LIMITS, &mut stop).await.unwrap();
        queue.finish(batch).await;
        let deletions = receipts(&log, "DeleteMessageBatch");
        assert_eq!(deletions[0], IDS[..10]);
        assert_eq!(deletions[1..], [vec!["3"], vec!["3"], vec!["10", "11"]]);
    }

    #[tokio::test]
    async fn what_is_held_is_extended_in_time_in_tens_until_the_queue_says_no() {
        let ids = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        let messages = ids.map(|id| (id, created(&["1.gz"]))).into();
        let (mut queue, log) = queue(messages, |_, asked| {
            let body: Value = serde_json::from_slice(&asked.body).unwrap();
            assert_eq!(body["Entries"][0]["VisibilityTimeout"], 1, "whole seconds, never less");
            // the last message of each request was taken away
            let last = body["Entries"].as_array().unwrap().len() - 1;
            let failed = json!({"Id": last.to_string(), "Code": "ReceiptHandleIsInvalid", "SenderFault": true});
            json!({"Successful": [], "Failed": if last == 1 { json!([failed]) } else { json!([]) }})
        })
        .await;
        let (_told, mut stop) = watch::channel(false);
        let _batch = queue.gather(&LIMITS, &mut stop).await.unwrap();
        let enough =
            || receipts(&log, "ChangeMessageVisibilityBatch").iter().filter(|some| some.len() == 1).count() > 1;
        while !enough() {
            sleep(Duration::from_millis(10)).await;
        }
        let extended = receipts(&log, "ChangeMessageVisibilityBatch");
        let full = extended.iter().rposition(|some| some.len() == 2).unwrap();
        assert_eq!(extended[full - 1..=full], [ids[..10].to_vec(), vec!["k", "l"]]);
        assert_eq!(extended[full + 1..][..2], [ids[..10].to_vec(), vec!["k"]]);
    }

    #[tokio::test]
    async fn a_batch_ends_when_it_is_full_or_this_shall_stop() {
        let ids = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        let messages = ids.map(|id| (id, created(&[&format!("{id}.gz")]))).into();
        let (mut queue, _log) = queue(messages, |_, _| json!({})).await;
        let (told, mut stop) = watch::channel(false);
        let full = BatchLimits { bytes: 70, ..LIMITS };
        assert_eq!(queue.gather(&full, &mut stop).await.unwrap().objects().len(), 10);
        told.send_replace(true);
        assert!(queue.gather(&LIMITS, &mut stop).await.unwrap().is_empty());
        told.send_replace(false);
        assert_eq!(queue.gather(&LIMITS, &mut stop).await.unwrap().objects().len(), 2);
    }
}
