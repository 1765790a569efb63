//! Reading by GetRecords, held against the answers that AWS documents.

use std::collections::VecDeque;

use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::*;
use crate::aws::fake::{Answer, Asked, Log, serve};

const SHARD: &str = "shardId-000000000000";

/// What is asked for, and the answers to it, in order; the last one again and again.
type Script = Vec<(&'static str, Vec<Answer>)>;

fn target(asked: &Asked) -> &str {
    asked.headers["x-amz-target"].rsplit('.').next().unwrap()
}

/// That of a stream that was made at this second.
fn described(created: u32) -> Answer {
    let summary = json!({
        "StreamName": "logs", "StreamARN": "arn:aws:kinesis:us-east-1:123456789012:stream/logs",
        "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24, "StreamCreationTimestamp": created,
        "EnhancedMonitoring": [], "OpenShardCount": 1,
    });
    Answer::new(200, json!({ "StreamDescriptionSummary": summary }).to_string())
}

async fn reader(start: StartAt, mut script: Script) -> (PollingReader, Log) {
    if script.iter().all(|(name, _)| *name != "DescribeStreamSummary") {
        script.push(("DescribeStreamSummary", vec![described(1)]));
    }
    let mut script: Vec<(&str, VecDeque<Answer>)> =
        script.into_iter().map(|(name, answers)| (name, answers.into())).collect();
    let (config, log) = serve(move |asked| {
        let found = script.iter_mut().find(|(name, _)| *name == target(asked));
        let answers = &mut found.unwrap_or_else(|| panic!("{} is not foreseen", target(asked))).1;
        if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() }
    })
    .await;
    let client = aws_sdk_kinesis::Client::new(&config);
    let shards = StreamShards::of(client.clone(), "logs").await.unwrap();
    (PollingReader::new(client, shards, SHARD.to_owned(), start), log)
}

/// The bodies of what was asked of an operation.
fn asked(log: &Log, name: &str) -> Vec<Value> {
    let log = log.lock().unwrap();
    log.iter().filter(|asked| target(asked) == name).map(|asked| serde_json::from_slice(&asked.body).unwrap()).collect()
}

async fn next(reader: &mut PollingReader) -> Result<Page, ReadError> {
    reader.wait().await?;
    reader.read().await
}

fn iterator() -> (&'static str, Vec<Answer>) {
    ("GetShardIterator", vec![Answer::new(200, r#"{"ShardIterator":"i"}"#)])
}

/// An answer with the records of these numbers.
fn records(numbers: &[u32], next: Option<&str>) -> Answer {
    let one = |number: &u32| {
        json!({"SequenceNumber": number.to_string(), "Data": "eA==", "PartitionKey": "p",
               "ApproximateArrivalTimestamp": 1.5})
    };
    let records: Vec<Value> = numbers.iter().map(one).collect();
    Answer::new(200, json!({"Records": records, "NextShardIterator": next, "MillisBehindLatest": 0}).to_string())
}

fn shards(listed: &[(&str, Option<&str>)]) -> (&'static str, Vec<Answer>) {
    let one = |(id, parent): &(&str, Option<&str>)| {
        json!({"ShardId": id, "ParentShardId": parent, "SequenceNumberRange": {"StartingSequenceNumber": "1"},
               "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "9"}})
    };
    let listed: Vec<Value> = listed.iter().map(one).collect();
    ("ListShards", vec![Answer::new(200, json!({ "Shards": listed }).to_string())])
}

#[tokio::test]
async fn an_expired_iterator_is_made_anew_after_the_last_record() {
    let script = vec![
        iterator(),
        (
            "GetRecords",
            vec![
                records(&[10, 11], Some("i2")),
                Answer::json_error("ExpiredIteratorException"),
                records(&[12], Some("i3")),
            ],
        ),
    ];
    let (mut reader, log) = reader(StartAt::Horizon, script).await;
    let first = next(&mut reader).await.unwrap();
    assert_eq!(first.records.iter().map(|record| record.sequence.as_str()).collect::<Vec<_>>(), ["10", "11"]);
    assert_eq!((&first.records[0].data[..], first.records[0].arrived, first.behind), (&b"x"[..], Some(1500), Some(0)));
    assert_eq!(next(&mut reader).await.unwrap(), Page::retried(Retried::ExpiredIterator));
    assert_eq!(next(&mut reader).await.unwrap().records.len(), 1);
    let asked = asked(&log, "GetShardIterator");
    assert_eq!(asked[0]["ShardIteratorType"], "TRIM_HORIZON");
    assert_eq!(asked[1]["ShardIteratorType"], "AFTER_SEQUENCE_NUMBER");
    assert_eq!(asked[1]["StartingSequenceNumber"], "11");
}

#[tokio::test]
async fn a_throttled_shard_is_left_alone_for_a_while() {
    let script = vec![
        iterator(),
        (
            "GetRecords",
            vec![
                Answer::json_error("ProvisionedThroughputExceededException"),
                Answer::json_error("KMSThrottlingException"),
                records(&[1], Some("i2")),
            ],
        ),
    ];
    let (mut reader, log) = reader(StartAt::Horizon, script).await;
    let began = Instant::now();
    for _ in 0..2 {
        assert_eq!(next(&mut reader).await.unwrap(), Page::retried(Retried::Throttled));
    }
    assert_eq!(next(&mut reader).await.unwrap().records.len(), 1);
    assert!(began.elapsed() >= Duration::from_millis(400), "five times a second for all readers");
    assert_eq!(asked(&log, "GetShardIterator").len(), 1, "the iterator is good still");
}

#[tokio::test]
async fn a_shard_ends_with_those_that_follow_it() {
    // that of a closed shard without one that follows is an answer to be asked for again
    let script = vec![
        iterator(),
        ("GetRecords", vec![records(&[1], None)]),
        (
            "ListShards",
            vec![
                shards(&[(SHARD, None)]).1.remove(0),
                shards(&[(SHARD, None), ("shardId-1", Some(SHARD)), ("shardId-2", Some("shardId-9"))]).1.remove(0),
            ],
        ),
    ];
    let (mut reader, _) = reader(StartAt::Horizon, script).await;
    assert_eq!(next(&mut reader).await.unwrap().end, None);
    let children = next(&mut reader).await.unwrap().end.unwrap();
    assert_eq!(children.iter().map(|child| child.id.as_str()).collect::<Vec<_>>(), ["shardId-1"]);
    assert_eq!((&children[0].parents[..], children[0].hash_range.clone()), (&[SHARD.to_owned()][..], Some(0..=9)));
}

#[tokio::test]
async fn only_a_shard_that_is_not_listed_is_gone() {
    for name in ["GetShardIterator", "GetRecords"] {
        for (listed, gone) in [(vec![(SHARD, None)], false), (vec![("shardId-1", Some(SHARD))], true)] {
            let mut script = vec![(name, vec![Answer::json_error("ResourceNotFoundException")]), shards(&listed)];
            if name == "GetRecords" {
                script.push(iterator());
            }
            let (mut reader, _) = reader(StartAt::Horizon, script).await;
            match next(&mut reader).await.unwrap_err() {
                ReadError::Gone { shard, children } => assert!(gone && shard == SHARD && children.len() == 1),
                ReadError::Failed { detail, .. } => assert!(!gone && detail.contains("ResourceNotFound"), "{detail}"),
                other => panic!("{other}"),
            }
        }
    }
}

#[tokio::test]
async fn a_position_that_the_stream_does_not_know_is_told() {
    let refused = || vec![("GetShardIterator", vec![Answer::json_error("InvalidArgumentException")])];
    let (mut one, log) = reader(StartAt::After("17".parse().unwrap()), refused()).await;
    assert!(matches!(next(&mut one).await, Err(ReadError::UnknownPosition { .. })));
    assert_eq!(asked(&log, "GetShardIterator")[0]["StartingSequenceNumber"], "17");
    let (mut other, _) = reader(StartAt::Horizon, refused()).await;
    assert!(matches!(next(&mut other).await, Err(ReadError::Failed { .. })), "no position was given");
}

#[tokio::test]
async fn a_stream_that_is_not_there_is_named() {
    let (config, _) = serve(|_| Answer::json_error("ResourceNotFoundException")).await;
    let error = StreamShards::of(aws_sdk_kinesis::Client::new(&config), "logs").await.unwrap_err();
    let told = error.to_string();
    assert!(told.starts_with("cannot describe the stream logs: ") && told.contains("said so"), "{told}");
}

#[tokio::test]
async fn a_stream_that_took_the_place_of_another_is_not_read() {
    let script = vec![
        ("DescribeStreamSummary", vec![described(1), described(1), described(2)]),
        iterator(),
        ("GetRecords", vec![records(&[10], Some("i2")), Answer::json_error("ExpiredIteratorException")]),
    ];
    let (mut reader, _) = reader(StartAt::Horizon, script).await;
    assert_eq!(next(&mut reader).await.unwrap().records.len(), 1);
    assert_eq!(next(&mut reader).await.unwrap(), Page::retried(Retried::ExpiredIterator));
    assert_eq!(next(&mut reader).await, Err(ReadError::Remade { stream: "logs".to_owned() }));
}

#[tokio::test]
async fn a_time_to_come_is_the_end_of_the_shard() {
    let answers = vec![Answer::json_error("InvalidArgumentException"), iterator().1.remove(0)];
    let script = vec![("GetShardIterator", answers), ("GetRecords", vec![records(&[1], Some("i2"))])];
    let (mut reader, log) = reader(StartAt::Time(4_000_000_000_000), script).await;
    assert_eq!(next(&mut reader).await.unwrap().records.len(), 1);
    let asked = asked(&log, "GetShardIterator");
    assert_eq!(
        (&asked[0]["ShardIteratorType"], &asked[1]["ShardIteratorType"]),
        (&json!("AT_TIMESTAMP"), &json!("LATEST"))
    );
}

#[tokio::test]
async fn a_record_has_ten_mebibytes_at_most() {
    use base64::Engine as _;
    let data = base64::engine::general_purpose::STANDARD.encode(vec![b'x'; 10 << 20]);
    let record = json!({"SequenceNumber": "1", "Data": data, "PartitionKey": "p"});
    let answer = json!({"Records": [record], "NextShardIterator": "i2", "MillisBehindLatest": 7}).to_string();
    let (mut reader, _) =
        reader(StartAt::Horizon, vec![iterator(), ("GetRecords", vec![Answer::new(200, answer)])]).await;
    let page = next(&mut reader).await.unwrap();
    assert_eq!((page.records[0].data.len(), page.behind), (10 << 20, Some(7)));
}
