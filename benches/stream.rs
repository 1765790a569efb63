//! A whole stream: records of shards in, a lake out; beside it, a replay of the same from files.
//!
//! `replay`: log files as AWS delivers them; `lines`: the same lines in records, gzip, from memory. `archive`: a replay of
//! files of envelopes, as a subscription of CloudWatch Logs sends lines (twice as many bytes, of JSON) and Firehose
//! keeps them; `envelopes`: the same envelopes in records, from memory; `standin`: those over HTTP from the stand-in of
//! Kinesis that the tests use, which takes a part of the same cores (`make .standins/installed` brings it).

#![expect(clippy::unwrap_used, reason = "a bench that cannot set up should stop")]

#[path = "common/cpu.rs"]
mod cpu;
#[path = "common/logs.rs"]
mod logs;

use std::error::Error;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use cpu::{Way, costs};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use flate2::Compression;
use flate2::write::GzEncoder;
use flowbound::aws::{AwsOptions, load};
use flowbound::boundary::{Boundary, Selection};
use flowbound::decode::MessageOptions;
use flowbound::detect::Settings;
use flowbound::lake::{FileLimits, LocalStore};
use flowbound::pipeline::{DETECT_BYTES, Replay, ReplayOptions, Stream, StreamOptions, StreamParts};
use flowbound::record::LogFormat;
use flowbound::source::kinesis::lease::{
    Coordinator, CoordinatorOptions, InitialPosition, MemoryTable, ShardList, Timing,
};
use flowbound::source::kinesis::{
    KinesisStream, Page, ReadError, Record, ShardInfo, ShardReader, StartAt, StreamInfo, StreamShards, Streams,
};
use flowbound::source::{InputFilter, InputObject, Sources};
use flowbound::telemetry::{Metrics, Progress, Readiness};
use tokio::sync::Semaphore;

/// Enough that a start, four fences and an end do not show.
const RECORDS: u64 = 2_000_000;
const SHARDS: usize = 4;
/// Events of one envelope: CloudWatch Logs fills them to about this many under load.
const EVENTS: usize = 500;
/// Files of an archive.
const FILES: usize = 16;
/// Kinesis records of one answer.
const ANSWER: usize = 20;

/// Records of each shard.
#[derive(Clone)]
struct Prepared(Arc<Vec<Vec<Record>>>);

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
        let records = &self.prepared.0[self.shard];
        if self.at == records.len() {
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
    Prepared(Arc::new(shards))
}

/// Says when so many records were read.
struct Counted<S> {
    streams: S,
    left: Arc<AtomicUsize>,
    ended: Arc<Semaphore>,
}

struct CountedReader<R> {
    reader: R,
    left: Arc<AtomicUsize>,
    ended: Arc<Semaphore>,
}

impl<S: Streams> Streams for Counted<S> {
    type Reader = CountedReader<S::Reader>;

    fn reader(&self, shard: &str, start: StartAt) -> Self::Reader {
        let reader = self.streams.reader(shard, start);
        CountedReader { reader, left: self.left.clone(), ended: self.ended.clone() }
    }
}

impl<R: ShardReader> ShardReader for CountedReader<R> {
    async fn wait(&mut self) -> Result<(), ReadError> {
        self.reader.wait().await
    }

    async fn read(&mut self) -> Result<Page, ReadError> {
        let page = self.reader.read().await?;
        let read = page.records.len();
        if read > 0 && self.left.fetch_sub(read, Ordering::Relaxed) == read {
            self.ended.add_permits(1);
        }
        Ok(page)
    }
}

/// The stand-in, with a stream of these records.
struct Standin {
    process: Child,
    streams: KinesisStream,
    shards: StreamShards,
}

impl Standin {
    async fn start(prepared: &Prepared, folder: &Path) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(".standins/bin/ministack");
        assert!(program.is_file(), "the stand-in is not there: make .standins/installed");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut process = Command::new(program)
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let options =
            AwsOptions { region: Some("us-east-1".to_owned()), endpoint_url: Some(format!("http://127.0.0.1:{port}")) };
        let credentials = Credentials::new("standin", "standin", None, None, "bench");
        let config = load(&options).await.into_builder();
        let config = config.credentials_provider(SharedCredentialsProvider::new(credentials)).build();
        let client = Client::new(&config);
        while client.list_streams().send().await.is_err() {
            assert_eq!(process.try_wait().unwrap(), None, "the stand-in does not start");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        client.create_stream().stream_name("bench").shard_count(SHARDS as i32).send().await.unwrap();
        let shards = loop {
            match StreamShards::of(client.clone(), "bench").await {
                Ok(shards) => break shards,
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
        let entry = |(number, record): (usize, &Record)| {
            let entry = PutRecordsRequestEntry::builder().data(Blob::new(record.data.clone()));
            entry.partition_key(number.to_string()).build().unwrap()
        };
        let entries: Vec<_> = prepared.0.iter().flatten().enumerate().map(entry).collect();
        for entries in entries.chunks(100) {
            let put = client.put_records().stream_name("bench").set_records(Some(entries.to_vec())).send().await;
            assert_eq!(put.unwrap().failed_record_count(), Some(0));
        }
        Self { process, streams: KinesisStream::new(client, shards.clone(), None), shards }
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// The records in a few files, one after the other.
fn archive(prepared: &Prepared, folder: &Path) -> Vec<InputObject> {
    std::fs::create_dir(folder).unwrap();
    let records: Vec<&Record> = prepared.0.iter().flatten().collect();
    for (number, records) in records.chunks(records.len().div_ceil(FILES)).enumerate() {
        let bytes: Vec<&[u8]> = records.iter().map(|record| record.data.as_slice()).collect();
        std::fs::write(folder.join(format!("{number}.gz")), bytes.concat()).unwrap();
    }
    Sources::default().find(&[folder.display().to_string()], &InputFilter::default()).unwrap().objects
}

fn replay(objects: Vec<InputObject>, format: Arc<LogFormat>, boundary: &Boundary, lake: &Path) {
    let store = LocalStore::create(lake).unwrap();
    let options = ReplayOptions { threads: 2, format: Some(format), ..ReplayOptions::default() };
    let (sources, progress) = (Sources::default(), Progress::hidden());
    let replay = Replay { store: &store, sources, boundary: Some(boundary), options, progress };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(replay.run(objects)).unwrap().rows, RECORDS);
}

/// What is the same for every way to follow.
struct Setting {
    boundary: Arc<Boundary>,
    format: Arc<LogFormat>,
    records: usize,
}

impl Setting {
    async fn follow(&self, shards: impl ShardList, streams: impl Streams, lake: &Path) {
        let options = CoordinatorOptions {
            worker: "bench".to_owned(),
            start: InitialPosition::TrimHorizon,
            timing: Timing::with_failover(Duration::from_secs(1)),
        };
        let (leases, events) =
            Coordinator::start(Arc::new(MemoryTable::default()), Arc::new(shards), options).await.unwrap();
        let (ended, metrics) = (Arc::new(Semaphore::new(0)), Arc::new(Metrics::default()));
        let left = Arc::new(AtomicUsize::new(self.records));
        let stream = Stream::new(StreamParts {
            store: Arc::new(LocalStore::create(lake).unwrap()),
            boundary: Some(self.boundary.clone()),
            stream: StreamInfo {
                name: "bench".to_owned(),
                arn: "arn:aws:kinesis:us-east-1:123456789012:stream/bench".to_owned(),
                created: 0,
                retention: Duration::from_secs(86_400),
            },
            streams: Counted { streams, left, ended: ended.clone() },
            leases,
            events,
            options: StreamOptions {
                detect: Settings::default(),
                detect_bytes: DETECT_BYTES,
                start: StartAt::Horizon,
                messages: MessageOptions { format: Some(self.format.clone()), ..MessageOptions::default() },
                limits: FileLimits::default(),
                commit_age: Duration::from_secs(600),
                commit_bytes: 256 << 20,
                in_flight_bytes: 128 << 20,
                close_every: Duration::from_secs(600),
                drain_timeout: Duration::from_secs(600),
                deliverer: Arc::default(),
            },
            metrics: metrics.clone(),
            ready: Arc::new(Readiness::default()),
        });
        let all_read = async move { drop(ended.acquire().await.unwrap()) };
        stream.run(all_read).await.unwrap();
        let text = metrics.render();
        let rows = text.lines().filter(|line| line.starts_with("flowbound_rows_total{"));
        let rows: u64 = rows.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
        assert_eq!(rows, RECORDS, "{text}");
    }
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
        let prepared = [prepare(&lines, plain), prepare(&lines, envelope)];
        let setting = Setting { boundary: boundary.clone(), format, records: lines.chunks(EVENTS).len() };
        let standin = runtime.block_on(Standin::start(&prepared[1], folder.path()));
        let archived = archive(&prepared[1], &folder.path().join("archive"));
        let replayed = |lake: &Path| replay(objects.clone(), setting.format.clone(), &boundary, lake);
        let from_archive = |lake: &Path| replay(archived.clone(), setting.format.clone(), &boundary, lake);
        let [lines, envelopes] = prepared
            .each_ref()
            .map(|records| |lake: &Path| runtime.block_on(setting.follow(records.clone(), records.clone(), lake)));
        let from_standin = |lake: &Path| {
            runtime.block_on(setting.follow(standin.shards.clone(), standin.streams.clone(), lake));
        };
        let ways: [Way<'_>; 5] = [
            ("replay", "replay", &replayed),
            ("lines", "replay", &lines),
            ("archive", "archive", &from_archive),
            ("envelopes", "archive", &envelopes),
            ("standin", "archive", &from_standin),
        ];
        for (name, _, way) in &ways {
            group.bench_function(*name, |bench| {
                bench.iter_batched(
                    || tempfile::tempdir().unwrap(),
                    |lake| {
                        way(lake.path());
                        lake
                    },
                    BatchSize::PerIteration,
                );
            });
        }
        group.finish();
        costs(&format!("stream_v{version}"), RECORDS, 9, &ways);
    }
}

criterion_group!(benches, stream);
criterion_main!(benches);
