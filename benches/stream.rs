//! A whole stream: records of shards in memory in, a lake out; beside it, a replay of the same lines from files.
//!
//! `lines`: gzip of lines; `envelopes`: the same lines as a subscription of CloudWatch Logs sends them, which are twice
//! as many bytes of JSON.

#![expect(clippy::unwrap_used, reason = "a bench that cannot set up should stop")]

#[path = "common/logs.rs"]
mod logs;

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use flate2::Compression;
use flate2::write::GzEncoder;
use flowbound::boundary::{Boundary, Selection};
use flowbound::decode::MessageOptions;
use flowbound::lake::{FileLimits, LocalStore};
use flowbound::pipeline::{Replay, ReplayOptions, Stream, StreamOptions, StreamParts};
use flowbound::record::LogFormat;
use flowbound::source::kinesis::lease::{
    Coordinator, CoordinatorOptions, InitialPosition, MemoryTable, ShardList, Timing,
};
use flowbound::source::kinesis::{Page, ReadError, Record, ShardInfo, ShardReader, StartAt, StreamInfo, Streams};
use flowbound::source::{InputObject, Sources};
use flowbound::telemetry::{Metrics, Progress, Readiness};
use tokio::sync::Semaphore;

/// Enough that a start, four fences and an end do not show.
const RECORDS: u64 = 2_000_000;
const SHARDS: usize = 4;
/// Events of one envelope: CloudWatch Logs fills them to about this many under load.
const EVENTS: usize = 500;
/// Kinesis records of one answer.
const ANSWER: usize = 20;

/// Records of each shard, and a permit for each shard that was read to its end.
#[derive(Clone)]
struct Prepared {
    shards: Arc<Vec<Vec<Record>>>,
    ended: Arc<Semaphore>,
}

impl Prepared {
    /// The same records, to be read once more.
    fn again(&self) -> Self {
        Self { shards: self.shards.clone(), ended: Arc::new(Semaphore::new(0)) }
    }
}

struct Reader {
    prepared: Prepared,
    shard: usize,
    at: usize,
}

impl ShardReader for Reader {
    async fn wait(&mut self) -> Result<(), ReadError> {
        Ok(())
    }

    async fn read(&mut self) -> Result<Page, ReadError> {
        let records = &self.prepared.shards[self.shard];
        if self.at == records.len() {
            self.prepared.ended.add_permits(1);
            std::future::pending::<()>().await;
        }
        let end = records.len().min(self.at + ANSWER);
        let page = Page { records: records[self.at..end].to_vec(), ..Page::default() };
        self.at = end;
        Ok(page)
    }
}

impl Streams for Prepared {
    type Reader = Reader;

    fn reader(&self, shard: &str, _: StartAt) -> Reader {
        Reader { prepared: self.clone(), shard: shard.trim_start_matches("shardId-").parse().unwrap(), at: 0 }
    }
}

impl ShardList for Prepared {
    async fn list(&self) -> Result<Vec<ShardInfo>, Box<dyn Error + Send + Sync>> {
        let width = u128::MAX / SHARDS as u128;
        let shard = |number: usize| {
            let start = width * number as u128;
            let end = if number + 1 == SHARDS { u128::MAX } else { start + width - 1 };
            ShardInfo { id: format!("shardId-{number}"), parents: Vec::new(), hash_range: Some(start..=end) }
        };
        Ok((0..SHARDS).map(shard).collect())
    }
}

fn plain(lines: &[String]) -> String {
    lines.join("\n")
}

/// As a subscription of CloudWatch Logs puts lines.
fn envelope(lines: &[String]) -> String {
    let events: Vec<_> = lines
        .iter()
        .enumerate()
        .map(|(id, line)| serde_json::json!({"id": format!("{id:056}"), "timestamp": 1_795_219_200_000_u64, "message": line}))
        .collect();
    let envelope = serde_json::json!({
        "messageType": "DATA_MESSAGE", "owner": "123456789012", "logGroup": "flow-logs",
        "logStream": "eni-0a1b2c3d4e5f60718-all", "subscriptionFilters": ["all"], "logEvents": events,
    });
    envelope.to_string()
}

/// The lines of a log in records of the shards, in a form of text, compressed.
fn prepare(lines: &[String], form: fn(&[String]) -> String) -> Prepared {
    let mut shards = vec![Vec::new(); SHARDS];
    for (number, lines) in lines.chunks(EVENTS).enumerate() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(form(lines).as_bytes()).unwrap();
        let sequence = format!("{}", number + 1).parse().unwrap();
        shards[number % SHARDS].push(Record { sequence, data: gzip.finish().unwrap(), arrived: None });
    }
    Prepared { shards: Arc::new(shards), ended: Arc::new(Semaphore::new(0)) }
}

fn replay(objects: Vec<InputObject>, boundary: &Boundary, lake: &Path) {
    let store = LocalStore::create(lake).unwrap();
    let options = ReplayOptions { threads: 2, ..ReplayOptions::default() };
    let (sources, progress) = (Sources::default(), Progress::hidden());
    let replay = Replay { store: &store, sources, boundary: Some(boundary), options, progress };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(replay.run(objects)).unwrap().rows, RECORDS);
}

async fn follow(prepared: Prepared, boundary: Arc<Boundary>, format: Arc<LogFormat>, lake: &Path) {
    let options = CoordinatorOptions {
        worker: "bench".to_owned(),
        start: InitialPosition::TrimHorizon,
        timing: Timing::with_failover(Duration::from_secs(1)),
    };
    let table = Arc::new(MemoryTable::default());
    let (leases, events) = Coordinator::start(table, Arc::new(prepared.clone()), options).await.unwrap();
    let ended = prepared.ended.clone();
    let stream = Stream::new(StreamParts {
        store: Arc::new(LocalStore::create(lake).unwrap()),
        boundary: Some(boundary),
        stream: StreamInfo {
            name: "bench".to_owned(),
            arn: "arn:aws:kinesis:us-east-1:123456789012:stream/bench".to_owned(),
            created: 0,
            retention: Duration::from_secs(86_400),
        },
        streams: prepared,
        leases,
        events,
        options: StreamOptions {
            start: StartAt::Horizon,
            messages: MessageOptions { format: Some(format), ..MessageOptions::default() },
            limits: FileLimits::default(),
            commit_age: Duration::from_secs(600),
            commit_bytes: 256 << 20,
            in_flight_bytes: 128 << 20,
            close_every: Duration::from_secs(600),
            drain_timeout: Duration::from_secs(600),
        },
        metrics: Arc::new(Metrics::default()),
        ready: Arc::new(Readiness::default()),
    });
    let all_read = async move { drop(ended.acquire_many(SHARDS as u32).await.unwrap()) };
    stream.run(all_read).await.unwrap();
}

fn stream(criterion: &mut Criterion) {
    let boundary = Arc::new(Boundary::new(logs::artos(), &Selection::default()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for version in [2, 5] {
        let folder = tempfile::tempdir().unwrap();
        let objects = logs::objects(folder.path(), version, RECORDS, None);
        let chunks = logs::decode(&logs::read(&objects));
        let format = chunks[0].format.clone();
        let texts = chunks.iter().map(|chunk| std::str::from_utf8(&chunk.bytes).unwrap());
        let lines: Vec<String> = texts.flat_map(str::lines).map(str::to_owned).collect();
        let bytes: usize = lines.iter().map(|line| line.len() + 1).sum();
        let mut group = criterion.benchmark_group(format!("stream_v{version}"));
        group.sample_size(10).throughput(Throughput::ElementsAndBytes { elements: RECORDS, bytes: bytes as u64 });
        group.bench_function("replay", |bench| {
            bench.iter_batched(
                || tempfile::tempdir().unwrap(),
                |lake| {
                    replay(objects.clone(), &boundary, lake.path());
                    lake
                },
                BatchSize::PerIteration,
            );
        });
        for (name, form) in [("lines", plain as fn(&[String]) -> String), ("envelopes", envelope)] {
            let prepared = prepare(&lines, form);
            group.bench_function(name, |bench| {
                bench.iter_batched(
                    || (tempfile::tempdir().unwrap(), prepared.again()),
                    |(lake, prepared)| {
                        runtime.block_on(follow(prepared, boundary.clone(), format.clone(), lake.path()));
                        lake
                    },
                    BatchSize::PerIteration,
                );
            });
        }
        group.finish();
    }
}

criterion_group!(benches, stream);
criterion_main!(benches);
