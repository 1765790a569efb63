//! `flowbound stream`: a Kinesis stream into a lake.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::aws::AwsArgs;
use super::input::parse_time;
use super::section::{Sections, warn_of_zones};
use super::{Exit, Failure, FormatArgs, MapArgs, Place};
use crate::boundary::Boundary;
use crate::decode::MessageOptions;
use crate::detect::Settings;
use crate::lake::{FileLimits, LocalStore, S3Store, Store};
use crate::pipeline::{DETECT_BYTES, Stream, StreamOptions, StreamParts};
use crate::record::LogFormat;
use crate::source::kinesis::lease::{
    Coordinator, CoordinatorOptions, DynamoTable, FileTable, InitialPosition, LeaseError, LeaseTable, Timing, Work,
};
use crate::source::kinesis::{KinesisStream, StartAt, StreamShards};
use crate::telemetry::{Metrics, Readiness, listen};

/// Follow a Kinesis stream of flow logs: judge every record against a map and keep a lake, exactly once
///
/// Workers with the same --name share the shards of the stream by leases in DynamoDB, as the Kinesis Client Library
/// keeps them; start as many as you like, wherever. SIGTERM or Ctrl-C: what was read is committed, shards are handed
/// over, exit 0. A second one ends at once; then, too, nothing is lost or doubled.
#[derive(Debug, clap::Args)]
pub(super) struct StreamArgs {
    /// Name of the Kinesis stream
    #[arg(long, env = "FLOWBOUND_STREAM", value_name = "NAME")]
    stream: String,
    #[command(flatten)]
    map: MapArgs,
    /// The lake: a folder, made if it is not there, or s3://BUCKET/PREFIX
    #[arg(long, env = "FLOWBOUND_OUT", value_name = "LAKE")]
    out: String,
    #[command(flatten)]
    format: FormatArgs,
    /// Format of one CloudWatch log group: `GROUP=FIELDS`, as DescribeFlowLogs has them; several divided by `;`
    #[arg(long, env = "FLOWBOUND_GROUP_FORMATS", value_name = "GROUP=FIELDS", value_delimiter = ';')]
    group_formats: Vec<String>,
    /// Name of the application: workers of one name share one stream, and their lease table has it
    /// [default: flowbound-, the stream's name and a tag; a stream that is made anew has another tag]
    #[arg(long, env = "FLOWBOUND_NAME", value_name = "APP")]
    name: Option<String>,
    /// Where a shard that nobody has read begins: trim-horizon, latest, or a time
    #[arg(long, env = "FLOWBOUND_START", value_name = "WHERE", default_value = "trim-horizon", value_parser = parse_start)]
    start: StartAt,
    /// Enhanced fan-out: the ARN of a registered consumer [default: shared throughput, by GetRecords]
    #[arg(long, env = "FLOWBOUND_EFO", value_name = "CONSUMER_ARN")]
    efo: Option<String>,
    /// Keep leases in this file instead of DynamoDB: for one worker
    #[arg(long, env = "FLOWBOUND_LOCAL_STATE", value_name = "FILE")]
    local_state: Option<PathBuf>,
    /// Name of this worker [default: host name and a random number]
    #[arg(long, env = "FLOWBOUND_WORKER", value_name = "ID")]
    worker: Option<String>,
    /// Seconds after which a silent worker's shards go to others
    #[arg(long, env = "FLOWBOUND_FAILOVER", value_name = "SECONDS", default_value_t = 10.0)]
    failover: f64,
    /// Seconds after which what was read is committed at the latest
    #[arg(long, env = "FLOWBOUND_COMMIT_AGE", value_name = "SECONDS", default_value_t = 60.0)]
    commit_age: f64,
    /// Commit after this many MiB of one shard's records and text
    #[arg(long, env = "FLOWBOUND_COMMIT_MIB", value_name = "MIB", default_value_t = 256.0)]
    commit_mib: f64,
    /// MiB that the detectors gather before it is written out: of each shard
    #[arg(long, env = "FLOWBOUND_DETECT_MEMORY", value_name = "MIB", default_value_t = DETECT_BYTES >> 20)]
    detect_memory: usize,
    /// MiB of answers from the stream that may be on their way at a time
    #[arg(long, env = "FLOWBOUND_IN_FLIGHT_MIB", value_name = "MIB", default_value_t = 128.0)]
    in_flight_mib: f64,
    /// Seconds between two looks at the windows for alerts
    #[arg(long, env = "FLOWBOUND_CLOSE_EVERY", value_name = "SECONDS", default_value_t = 60.0)]
    close_every: f64,
    /// Seconds that the end may take
    #[arg(long, env = "FLOWBOUND_DRAIN_TIMEOUT", value_name = "SECONDS", default_value_t = 30.0)]
    drain_timeout: f64,
    /// Answer /metrics, /healthz and /readyz here, for example 127.0.0.1:9464
    #[arg(long, env = "FLOWBOUND_LISTEN", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Threads [default: one per core]
    #[arg(long, env = "FLOWBOUND_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    #[command(flatten)]
    aws: AwsArgs,
}

fn parse_start(text: &str) -> Result<StartAt, String> {
    match text {
        "trim-horizon" => Ok(StartAt::Horizon),
        "latest" => Ok(StartAt::Latest),
        time => parse_time(time).map(StartAt::Time).map_err(|hint| format!("trim-horizon, latest, or a time: {hint}")),
    }
}

pub(super) fn seconds(name: &str, value: f64) -> Result<Duration, Failure> {
    match Duration::try_from_secs_f64(value) {
        Ok(duration) if (0.1..=86_400.0).contains(&value) => Ok(duration),
        _ => Err(Failure::usage(format!("--{name} {value}: give a number of seconds, from 0.1 to 86400 (a day)"))),
    }
}

fn group_formats(texts: &[String]) -> Result<BTreeMap<String, Arc<LogFormat>>, Failure> {
    let one = |text: &String| {
        let (group, format) = text.split_once('=').ok_or("give GROUP=FIELDS")?;
        Ok((group.trim().to_owned(), Arc::new(format.parse().map_err(|error| format!("{error}"))?)))
    };
    let told =
        |text: &String| one(text).map_err(|why: String| Failure::usage(format!("--group-formats {text}: {why}")));
    texts.iter().filter(|text| !text.trim().is_empty()).map(told).collect()
}

impl StreamArgs {
    fn options(&self, detect: Settings) -> Result<StreamOptions, Failure> {
        let mib = |mib: f64| (mib * f64::from(1 << 20)) as u64;
        Ok(StreamOptions {
            start: self.start.clone(),
            messages: MessageOptions {
                format: self.format.format()?.map(Arc::new),
                group_formats: group_formats(&self.group_formats)?,
                ..MessageOptions::default()
            },
            limits: FileLimits::default(),
            commit_age: seconds("commit-age", self.commit_age)?,
            commit_bytes: mib(self.commit_mib),
            in_flight_bytes: mib(self.in_flight_mib),
            detect,
            detect_bytes: self.detect_memory.max(1).saturating_mul(1 << 20),
            close_every: seconds("close-every", self.close_every)?,
            drain_timeout: seconds("drain-timeout", self.drain_timeout)?,
            // when AWS is set up
            deliverer: Arc::default(),
        })
    }

    fn worker(&self) -> String {
        let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "worker".to_owned());
        self.worker.clone().unwrap_or_else(|| format!("{}-{:08x}", host().trim(), fastrand::u32(..)))
    }
}

pub(super) fn run(args: &StreamArgs, sections: &Sections) -> Result<Exit, Failure> {
    let boundary = args.map.boundary()?.map(Arc::new);
    warn_of_zones(&sections.detect, boundary.as_deref());
    let options = args.options(sections.detect.clone())?;
    let threads = args.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    runtime.map_err(Failure::failed)?.block_on(follow(args, sections, boundary, options))
}

async fn follow(
    args: &StreamArgs,
    sections: &Sections,
    boundary: Option<Arc<Boundary>>,
    mut options: StreamOptions,
) -> Result<Exit, Failure> {
    let aws = args.aws.config().await;
    let metrics = Arc::new(Metrics::default());
    options.deliverer = Arc::new(sections.deliverer(Some(&aws), metrics.clone())?);
    let client = aws_sdk_kinesis::Client::new(&aws);
    // before anything is made for a stream that is not there
    let shards = StreamShards::of(client.clone(), &args.stream).await.map_err(Failure::failed)?;
    let consumers = format!("{}/consumer/", shards.stream().arn);
    if let Some(consumer) = args.efo.as_ref().filter(|consumer| !consumer.starts_with(&consumers)) {
        return Err(Failure::usage(format!("--efo {consumer}: the stream's consumers begin with {consumers}")));
    }
    let run = Run { args, aws, client, shards, boundary, options, metrics };
    match Place::parse(&args.out)? {
        Place::Folder(folder) => {
            let unwritable = |error| Failure::failed(format!("cannot write the lake {}: {error}", folder.display()));
            std::fs::create_dir_all(&folder).map_err(unwritable)?;
            // leases name the lake, so it has one name
            let store = LocalStore::create(&folder.canonicalize().map_err(unwritable)?).map_err(unwritable)?;
            let Some(_lock) = store.lock_shared().map_err(unwritable)? else {
                return Err(Failure::failed(crate::lake::LakeError::Locked(folder.display().to_string())));
            };
            run.into_lake(store).await
        }
        Place::S3(uri) => {
            let store = S3Store::new(args.aws.s3(&run.aws, Handle::current()), &uri);
            store.check().map_err(|error| Failure::failed(format!("cannot write the lake {uri}: {error}")))?;
            run.into_lake(store).await
        }
    }
}

struct Run<'r> {
    args: &'r StreamArgs,
    aws: SdkConfig,
    client: aws_sdk_kinesis::Client,
    shards: StreamShards,
    boundary: Option<Arc<Boundary>>,
    options: StreamOptions,
    metrics: Arc<Metrics>,
}

impl Run<'_> {
    async fn into_lake(self, store: impl Store + 'static) -> Result<Exit, Failure> {
        let work = Work { stream: self.shards.stream().id(), lake: store.place().to_owned() };
        let unfit = |error| match error {
            LeaseError::OtherWork { .. } => Failure::usage(error),
            error => Failure::failed(error),
        };
        if let Some(file) = &self.args.local_state {
            let table = FileTable::open(file, &work).map_err(unfit)?;
            return self.with_leases(store, table).await;
        }
        let name = self.args.name.clone().unwrap_or_else(|| format!("flowbound-{}", work.stream));
        let client = aws_sdk_dynamodb::Client::new(&self.aws);
        let table = DynamoTable::open(client, &name, &work).await.map_err(unfit)?;
        self.with_leases(store, table).await
    }

    async fn with_leases(self, store: impl Store + 'static, table: impl LeaseTable) -> Result<Exit, Failure> {
        let Self { args, client, shards, boundary, options, metrics, .. } = self;
        // before anything is owned: a signal while the start is under way is one, too
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::failed)?;
        let ready = Arc::new(Readiness::default());
        if let Some(address) = args.listen {
            let cannot = |error| Failure::failed(format!("cannot listen on {address}: {error}"));
            let bound = listen(address, metrics.clone(), ready.clone()).await.map_err(cannot)?;
            tracing::info!(address = bound.to_string(), "listening");
        }
        let coordination = CoordinatorOptions {
            worker: args.worker(),
            start: match args.start {
                StartAt::Latest => InitialPosition::Latest,
                StartAt::Time(_) => InitialPosition::AtTimestamp,
                _ => InitialPosition::TrimHorizon,
            },
            timing: Timing::with_failover(seconds("failover", args.failover)?),
        };
        let (leases, events) = Coordinator::start(Arc::new(table), Arc::new(shards.clone()), coordination)
            .await
            .map_err(Failure::failed)?;
        let followed = shards.stream().clone();
        let streams = KinesisStream::new(client, shards, args.efo.clone());
        let stream = Stream::new(StreamParts {
            store: Arc::new(store),
            boundary,
            stream: followed,
            streams,
            leases,
            events,
            options,
            metrics,
            ready,
        });
        let (told, again) = tokio::sync::oneshot::channel();
        let stop = async move {
            // the first signal; the second one ends what waits below
            let _ended = again.await;
            tracing::info!("committing what was read; again to end at once");
        };
        let at_once = async move {
            signalled(&mut terminate, &mut interrupt).await;
            // nobody waits when the stream ended by itself
            let _ended = told.send(());
            signalled(&mut terminate, &mut interrupt).await;
        };
        tokio::select! {
            done = stream.run(stop) => done.map_err(Failure::failed).map(|()| Exit::Done),
            () = at_once => Err(Failure::failed("ended at once: what was not committed is read again, nothing is lost or doubled")),
        }
    }
}

/// Waits for a signal to end.
pub(super) async fn signalled(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
