//! `flowbound replay`: log files into a lake.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};

use super::aws::{self, AwsArgs};
use super::input::InputArgs;
use super::queue::{OpenQueue, QueueArgs};
use super::section::{Sections, SinkConfig, warn_of_zones};
use super::summary::{render_json, render_text};
use super::{Exit, Failure, FormatArgs, MapArgs, Place, print, warn};
use crate::aws::s3::{S3, S3Uri};
use crate::boundary::Boundary;
use crate::detect::Settings;
use crate::lake::{Access, FileLimits, LakeError, LocalStore, S3Store, Store};
use crate::pipeline::{DETECT_BYTES, Deliverer, MapChange, Replay, ReplayError, ReplayOptions, Skipped, Summary};
use crate::record::field::is_known_name;
use crate::record::{Field, LogFormat};
use crate::source::{InputObject, Sources, spool_standard_input};
use crate::telemetry::Progress;

/// Judge log files against a map and write a lake of Parquet files and alerts
///
/// Input that the lake has already is passed over, so the same or an overlapping input can be replayed at any time,
/// also after a run was interrupted. (Alerts are written when all input is: an interrupted run has none yet.)
///
/// With --sqs the input is what S3 says that it has got, for as long as this runs: objects are read as their
/// notifications come, and a message is deleted when the lake has what it names. SIGTERM or Ctrl-C: what was begun is
/// finished, exit 0. A second one ends at once; then, too, nothing is lost or doubled.
#[derive(Debug, clap::Args)]
#[command(after_long_help = VERDICTS)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    map: MapArgs,
    /// The lake: a folder, made if it is not there, or s3://BUCKET/PREFIX
    #[arg(long, env = "FLOWBOUND_OUT", value_name = "LAKE")]
    out: String,
    #[command(flatten)]
    format: FormatArgs,
    /// Threads in all: those that read also parse, judge and write [default: one per core]
    #[arg(long, env = "FLOWBOUND_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Judge again what the input covers: its old rows are replaced
    #[arg(long, env = "FLOWBOUND_OVERWRITE", conflicts_with_all = ["new_map", "sqs"])]
    overwrite: bool,
    /// The lake was written with another map: leave its rows as they are, judge only new input with this one
    #[arg(long, env = "FLOWBOUND_NEW_MAP")]
    new_map: bool,
    /// Exit with 3 when a line went to quarantine or a file could not be read to its end
    #[arg(long, env = "FLOWBOUND_STRICT")]
    strict: bool,
    /// Start a new Parquet file after this many rows
    #[arg(long, env = "FLOWBOUND_FILE_ROWS", value_name = "ROWS", default_value_t = FileLimits::default().rows)]
    file_rows: u64,
    /// Start a new Parquet file after this many MiB
    #[arg(long, env = "FLOWBOUND_FILE_MIB", value_name = "MIB", default_value_t = FileLimits::default().bytes >> 20)]
    file_mib: u64,
    /// Commit after this many MiB of input: what an interrupted run has to do again at most
    #[arg(long, env = "FLOWBOUND_COMMIT_MIB", value_name = "MIB", default_value_t = 256.0)]
    commit_mib: f64,
    /// MiB that the detectors gather before it is written out: of each thread
    #[arg(long, env = "FLOWBOUND_DETECT_MEMORY", value_name = "MIB", default_value_t = DETECT_BYTES >> 20)]
    detect_memory: usize,
    /// Print the summary as one JSON object
    #[arg(long, env = "FLOWBOUND_JSON")]
    json: bool,
    #[command(flatten)]
    queue: QueueArgs,
    #[command(flatten)]
    aws: AwsArgs,
}

const VERDICTS: &str = "\
Verdicts:
  expected  allowed by the map, and accepted
  breach    not allowed, and accepted: something got through
  blocked   not allowed, and rejected: the boundary held
  outage    allowed, and rejected: something is broken
  attempt   not allowed, accepted where it left; the destination should refuse it
  stray     allowed, and rejected: a late packet of a connection that is over
  unmapped  the map does not know the VPC or either address, or the record lacks fields
  nodata    a quiet interface
  gap       AWS skipped records, perhaps many";

/// Where standard input is kept while it is replayed, in the lake.
const SPOOL: &str = "_flowbound/standard-input";

pub(super) fn run(args: &ReplayArgs, sections: &Sections) -> Result<Exit, Failure> {
    let boundary = args.map.boundary()?;
    let format = args.format.format()?.map(Arc::new);
    let place = Place::parse(&args.out)?;
    let filter = args.input.filter()?;
    warn_of_format(format.as_deref(), boundary.is_some());
    warn_of_zones(&sections.detect, boundary.as_ref());
    // a local replay neither reads AWS configuration nor asks for credentials
    let remote = args.queue.is_given() || args.input.is_remote() || matches!(place, Place::S3(_));
    let (runtime, config) = if remote || sections.deliver.iter().any(SinkConfig::is_aws) {
        let runtime = aws::runtime()?;
        let config = runtime.block_on(args.aws.config());
        (runtime, Some(config))
    } else {
        (Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?, None)
    };
    let deliverer = Arc::new(sections.deliverer(config.as_ref(), Arc::default())?);
    let s3 = config.as_ref().map(|config| args.aws.s3(config, runtime.handle().clone()));
    let sources = s3.clone().map_or_else(Sources::default, Sources::with_s3);
    let queue = match (&config, &s3) {
        (Some(config), Some(s3)) => args.queue.open(config, s3, &filter, args.commit_bytes(), &runtime)?,
        _ => None,
    };
    let (input, unreadable) = match queue {
        Some(queue) => (Input::Queue(Box::new(queue)), Vec::new()),
        None => {
            let found = args.input.find(&sources, &filter)?;
            (Input::Objects(found.objects), found.unreadable)
        }
    };
    let settings = sections.detect.clone();
    let run = Run { args, runtime: &runtime, boundary: boundary.as_ref(), format, settings, sources, deliverer };
    let mut summary = match place {
        Place::Folder(folder) => run.into_folder(&folder, input)?,
        Place::S3(uri) => run.into_s3(s3, &uri, input)?,
    };
    summary.skipped.extend(unreadable.into_iter().map(|(uri, why)| Skipped { uri, why }));
    if args.json {
        print(format_args!("{}\n", render_json(&summary, &args.out)))?;
    } else {
        print(render_text(&summary, &args.out, boundary.as_ref(), std::io::stdout().is_terminal()))?;
    }
    let clean = summary.quarantined_lines() + summary.known_quarantined + summary.known_faults == 0
        && summary.faults.is_empty();
    for delivery in &summary.deliveries {
        if let Some(why) = &delivery.failure {
            warn(format_args!(
                "the sink {} did not get every alert: {why}; the lake has them all, and the next run delivers the others",
                delivery.sink
            ));
        }
    }
    let delivered = summary.deliveries.iter().all(|delivery| delivery.failure.is_none());
    // what a queue names and nobody could read is in the queue again
    let all_read = summary.skipped.is_empty() || args.queue.is_given();
    Ok(match (all_read && delivered, clean) {
        (false, _) => Exit::Failed,
        (true, false) if args.strict => Exit::Quarantined,
        _ => Exit::Done,
    })
}

/// What is replayed.
enum Input {
    Objects(Vec<InputObject>),
    Queue(Box<OpenQueue>),
}

struct Run<'r> {
    args: &'r ReplayArgs,
    runtime: &'r Runtime,
    boundary: Option<&'r Boundary>,
    format: Option<Arc<LogFormat>>,
    settings: Settings,
    sources: Sources,
    deliverer: Arc<Deliverer>,
}

impl Run<'_> {
    fn into_folder(self, folder: &Path, mut input: Input) -> Result<Summary, Failure> {
        let unwritable = |error| Failure::failed(format!("cannot write the lake {}: {error}", folder.display()));
        let store = LocalStore::create(folder).map_err(unwritable)?;
        let Some(_lock) = store.lock().map_err(unwritable)? else {
            return Err(Failure::failed(LakeError::Locked(folder.display().to_string())));
        };
        // a killed run with standard input leaves its copy
        let _best_effort = std::fs::remove_dir_all(folder.join(SPOOL));
        // in the lake: nothing else is sure to have the room
        self.add_standard_input(&mut input, || Ok(folder.join(SPOOL)))?;
        let done = self.replay(&store, Access::Exclusive, input);
        // the copy served its purpose
        let _best_effort = std::fs::remove_dir_all(folder.join(SPOOL));
        done
    }

    fn into_s3(self, s3: Option<S3>, uri: &S3Uri, mut input: Input) -> Result<Summary, Failure> {
        let s3 = s3.ok_or_else(|| Failure::failed("S3 was not set up"))?;
        let store = S3Store::new(s3, uri);
        store.check().map_err(|error| Failure::failed(format!("cannot write the lake {uri}: {error}")))?;
        // the temporary folder goes with the store
        let no_folder = |error| Failure::failed(format!("no temporary folder: {error}"));
        self.add_standard_input(&mut input, || store.scratch(SPOOL).map_err(no_folder))?;
        self.replay(&store, Access::Shared, input)
    }

    /// Keeps standard input in a folder, if it is asked for, and adds it to the objects.
    fn add_standard_input(
        &self,
        input: &mut Input,
        spool: impl FnOnce() -> Result<PathBuf, Failure>,
    ) -> Result<(), Failure> {
        match input {
            Input::Objects(objects) if self.args.input.has_stdin() => {
                objects.push(spool_standard_input(&spool()?).map_err(Failure::failed)?);
            }
            _ => {}
        }
        Ok(())
    }

    fn replay(self, store: &impl Store, access: Access, input: Input) -> Result<Summary, Failure> {
        let options = self.args.options(self.format, self.settings, access);
        let mut options = ReplayOptions { deliverer: self.deliverer, ..options };
        let mut progress = Progress::hidden();
        match &input {
            // a batch of messages is what is committed
            Input::Queue(_) => options.unit_bytes = u64::MAX,
            Input::Objects(objects) if !self.args.json => {
                progress = Progress::bytes(objects.iter().map(|object| object.size).sum());
            }
            Input::Objects(_) => {}
        }
        let replay = Replay { store, sources: self.sources, boundary: self.boundary, options, progress };
        match input {
            Input::Queue(queue) => self.runtime.block_on(queue.follow(&replay)),
            Input::Objects(objects) => self.runtime.block_on(replay.run(objects)).map_err(|error| match error {
                ReplayError::Plan(error) => Failure::usage(error),
                other => Failure::failed(other),
            }),
        }
    }
}

impl ReplayArgs {
    /// A float beyond the integers saturates, and a negative one is 0: both are sensible limits.
    fn commit_bytes(&self) -> u64 {
        (self.commit_mib * f64::from(1 << 20)) as u64
    }

    fn options(&self, format: Option<Arc<LogFormat>>, detect: Settings, access: Access) -> ReplayOptions {
        ReplayOptions {
            format,
            threads: self.threads.map_or(ReplayOptions::default().threads, usize::from),
            limits: FileLimits { rows: self.file_rows.max(1), bytes: self.file_mib.max(1) << 20 },
            unit_bytes: self.commit_bytes(),
            map_change: match (self.overwrite, self.new_map) {
                (true, _) => MapChange::Overwrite,
                (_, true) => MapChange::KeepOld,
                _ => MapChange::Refuse,
            },
            detect,
            detect_bytes: self.detect_memory.max(1).saturating_mul(1 << 20),
            access,
            ..ReplayOptions::default()
        }
    }
}

/// Says what a format will cost before an hour of replaying shows it.
fn warn_of_format(format: Option<&LogFormat>, judged: bool) {
    let Some(format) = format else { return };
    for name in format.extra().iter().filter(|name| !is_known_name(name)) {
        warn(format_args!("--log-format: '{name}' is no field that AWS documents; its values go to the column extra"));
    }
    let needed = [Field::Srcaddr, Field::Dstaddr, Field::Protocol, Field::Action];
    for field in needed.into_iter().filter(|field| judged && !format.has(*field)) {
        warn(format_args!("--log-format has no {}: every record will be unmapped", field.name()));
    }
}
