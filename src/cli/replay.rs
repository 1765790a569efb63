//! `flowbound replay`: log files into a lake.

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};

use super::aws::{self, AwsArgs};
use super::input::InputArgs;
use super::summary::{render_json, render_text};
use super::{Exit, Failure, FormatArgs, MapArgs, Place, print, warn};
use crate::aws::s3::{S3, S3Uri};
use crate::boundary::Boundary;
use crate::lake::{Access, FileLimits, LakeError, LocalStore, S3Store, Store};
use crate::pipeline::{MapChange, Replay, ReplayError, ReplayOptions, Skipped, Summary};
use crate::record::field::is_known_name;
use crate::record::{Field, LogFormat};
use crate::source::{InputObject, Sources, spool_standard_input};
use crate::telemetry::Progress;

/// Judge log files against a map and write a lake of Parquet files and alerts
///
/// Input that the lake has already is passed over, so the same or an overlapping input can be replayed at any time,
/// also after a run was interrupted. (Alerts are written when all input is: an interrupted run has none yet.)
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
    #[arg(long, env = "FLOWBOUND_OVERWRITE", conflicts_with = "new_map")]
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
    /// Print the summary as one JSON object
    #[arg(long, env = "FLOWBOUND_JSON")]
    json: bool,
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
  unmapped  the map does not know the VPC, or the record lacks fields
  nodata    a quiet interface
  gap       AWS skipped records, perhaps many";

/// Where standard input is kept while it is replayed, in the lake.
const SPOOL: &str = "_flowbound/standard-input";

pub(super) fn run(args: &ReplayArgs) -> Result<Exit, Failure> {
    let boundary = args.map.boundary()?;
    let format = args.format.format()?.map(Arc::new);
    let place = Place::parse(&args.out)?;
    let filter = args.input.filter()?;
    warn_of_format(format.as_deref(), boundary.is_some());
    // a local replay neither reads AWS configuration nor asks for credentials
    let (runtime, s3) = if args.input.is_remote() || matches!(place, Place::S3(_)) {
        let runtime = aws::runtime()?;
        let config = runtime.block_on(args.aws.config());
        let s3 = args.aws.s3(&config, runtime.handle().clone());
        (runtime, Some(s3))
    } else {
        (Builder::new_current_thread().build().map_err(Failure::failed)?, None)
    };
    let sources = s3.clone().map_or_else(Sources::default, Sources::with_s3);
    let inputs = args.input.find(&sources, &filter)?;
    let run = Run { args, runtime: &runtime, boundary: boundary.as_ref(), format, sources };
    let mut summary = match place {
        Place::Folder(folder) => run.into_folder(&folder, inputs.objects)?,
        Place::S3(uri) => run.into_s3(s3, &uri, inputs.objects)?,
    };
    summary.skipped.extend(inputs.unreadable.into_iter().map(|(uri, why)| Skipped { uri, why }));
    if args.json {
        print(format_args!("{}\n", render_json(&summary, &args.out)))?;
    } else {
        print(render_text(&summary, &args.out, boundary.as_ref(), std::io::stdout().is_terminal()))?;
    }
    let clean = summary.quarantined_lines() + summary.known_quarantined + summary.known_faults == 0
        && summary.faults.is_empty();
    Ok(match (summary.skipped.is_empty(), clean) {
        (false, _) => Exit::Failed,
        (true, false) if args.strict => Exit::Quarantined,
        _ => Exit::Done,
    })
}

struct Run<'r> {
    args: &'r ReplayArgs,
    runtime: &'r Runtime,
    boundary: Option<&'r Boundary>,
    format: Option<Arc<LogFormat>>,
    sources: Sources,
}

impl Run<'_> {
    fn into_folder(self, folder: &Path, mut input: Vec<InputObject>) -> Result<Summary, Failure> {
        let unwritable = |error| Failure::failed(format!("cannot write the lake {}: {error}", folder.display()));
        let store = LocalStore::create(folder).map_err(unwritable)?;
        let Some(_lock) = store.lock().map_err(unwritable)? else {
            return Err(Failure::failed(LakeError::Locked(folder.display().to_string())));
        };
        // a killed run with standard input leaves its copy
        let _best_effort = std::fs::remove_dir_all(folder.join(SPOOL));
        let with_stdin = self.args.input.has_stdin();
        if with_stdin {
            // in the lake: nothing else is sure to have the room
            input.push(spool_standard_input(&folder.join(SPOOL)).map_err(Failure::failed)?);
        }
        let done = self.replay(&store, Access::Exclusive, input);
        if with_stdin {
            // the copy served its purpose
            let _best_effort = std::fs::remove_dir_all(folder.join(SPOOL));
        }
        done
    }

    fn into_s3(self, s3: Option<S3>, uri: &S3Uri, mut input: Vec<InputObject>) -> Result<Summary, Failure> {
        let s3 = s3.ok_or_else(|| Failure::failed("S3 was not set up"))?;
        let store = S3Store::new(s3, uri);
        store.check().map_err(|error| Failure::failed(format!("cannot write the lake {uri}: {error}")))?;
        if self.args.input.has_stdin() {
            // the temporary folder goes with the store
            let spool =
                store.scratch(SPOOL).map_err(|error| Failure::failed(format!("no temporary folder: {error}")))?;
            input.push(spool_standard_input(&spool).map_err(Failure::failed)?);
        }
        self.replay(&store, Access::Shared, input)
    }

    fn replay(self, store: &impl Store, access: Access, input: Vec<InputObject>) -> Result<Summary, Failure> {
        let total = input.iter().map(|object| object.size).sum();
        let progress = if self.args.json { Progress::hidden() } else { Progress::bytes(total) };
        let options = self.args.options(self.format, access);
        let replay = Replay { store, sources: self.sources, boundary: self.boundary, options, progress };
        self.runtime.block_on(replay.run(input)).map_err(|error| match error {
            ReplayError::Plan(error) => Failure::usage(error),
            other => Failure::failed(other),
        })
    }
}

impl ReplayArgs {
    fn options(&self, format: Option<Arc<LogFormat>>, access: Access) -> ReplayOptions {
        ReplayOptions {
            format,
            threads: self.threads.map_or(ReplayOptions::default().threads, usize::from),
            limits: FileLimits { rows: self.file_rows.max(1), bytes: self.file_mib.max(1) << 20 },
            // a float beyond the integers saturates, and a negative one is 0: both are sensible limits
            unit_bytes: (self.commit_mib * f64::from(1 << 20)) as u64,
            map_change: match (self.overwrite, self.new_map) {
                (true, _) => MapChange::Overwrite,
                (_, true) => MapChange::KeepOld,
                _ => MapChange::Refuse,
            },
            access,
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
