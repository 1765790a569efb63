//! `flowbound replay`: log files into a lake.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::summary::{render_json, render_text};
use super::{Exit, Failure, FormatArgs, MapArgs, print};
use crate::lake::{Access, FileLimits, LocalStore};
use crate::pipeline::{MapChange, Replay, ReplayError, ReplayOptions, Skipped};
use crate::record::field::is_known_name;
use crate::record::{Field, LogFormat};
use crate::source::file::{InputError, InputObject, TimeSpan, find_inputs, spool_standard_input};
use crate::telemetry::Progress;

/// Judge log files against a map and write a lake of Parquet files and alerts
///
/// Input that the lake has already is passed over, so the same or an overlapping input can be replayed at any time,
/// also after a run was interrupted. (Alerts are written when all input is: an interrupted run has none yet.)
#[derive(Debug, clap::Args)]
#[command(after_long_help = VERDICTS)]
pub(super) struct ReplayArgs {
    /// Files, folders or patterns; `-` is standard input
    #[arg(required = true, value_name = "INPUT")]
    input: Vec<String>,
    #[command(flatten)]
    map: MapArgs,
    /// Folder of the lake; made if it is not there
    #[arg(long, env = "FLOWBOUND_OUT", value_name = "LAKE")]
    out: PathBuf,
    #[command(flatten)]
    format: FormatArgs,
    /// Pass over files that were delivered before this time (2026-11-21, 2026-11-21T02:00, UTC), by their names
    #[arg(long, env = "FLOWBOUND_SINCE", value_name = "TIME", value_parser = parse_time)]
    since: Option<i64>,
    /// Pass over files that were delivered at or after this time, by their names
    #[arg(long, env = "FLOWBOUND_UNTIL", value_name = "TIME", value_parser = parse_time)]
    until: Option<i64>,
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

/// A moment in UTC: a date, a date and a time, or RFC 3339.
pub(super) fn parse_time(text: &str) -> Result<i64, String> {
    let utc = |civil: jiff::civil::DateTime| {
        civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp().as_millisecond())
    };
    let instant = text.parse::<jiff::Timestamp>().ok().map(|instant| instant.as_millisecond());
    instant
        .or_else(|| text.parse::<jiff::civil::DateTime>().ok().and_then(utc))
        .ok_or_else(|| "give a date (2026-11-21) or a date and a time (2026-11-21T02:00), UTC".to_owned())
}

pub(super) fn run(args: &ReplayArgs) -> Result<Exit, Failure> {
    let boundary = args.map.boundary()?;
    let format = args.format.format()?.map(Arc::new);
    if args.out.to_string_lossy().contains("://") {
        return Err(Failure::usage(format!(
            "--out {}: this version writes lakes to local folders only",
            args.out.display()
        )));
    }
    let span = TimeSpan { since: args.since, until: args.until };
    if span.since.zip(span.until).is_some_and(|(since, until)| since >= until) {
        return Err(Failure::usage("--since is not before --until"));
    }
    warn_of_format(format.as_deref(), boundary.is_some());
    let (stdin, named): (Vec<_>, Vec<_>) = args.input.iter().cloned().partition(|input| input == "-");
    let mut inputs = match named.as_slice() {
        [] => crate::source::file::Inputs::default(),
        named => find_inputs(named, span).map_err(|error| match error {
            InputError::Io { .. } => Failure::failed(error),
            other => Failure::usage(other),
        })?,
    };
    let unwritable = |error| Failure::failed(format!("cannot write the lake {}: {error}", args.out.display()));
    if inputs.passed_over > 0 {
        warn(format_args!(
            "passed over in the input folders, not named like logs: {} (name such a file to read it)",
            inputs.passed_over
        ));
    }
    if inputs.without_time > 0 {
        warn(format_args!(
            "{} of the files have no time in their names: --since and --until do not apply to them",
            inputs.without_time
        ));
    }
    let store = LocalStore::create(&args.out).map_err(unwritable)?;
    let Some(_lock) = store.lock().map_err(unwritable)? else {
        return Err(Failure::failed(crate::lake::LakeError::Locked(args.out.display().to_string())));
    };
    // a killed run with standard input leaves its copy
    let _best_effort = std::fs::remove_dir_all(args.out.join(SPOOL));
    if !stdin.is_empty() {
        inputs.objects.push(spool(&args.out)?);
    }
    let options = ReplayOptions {
        format,
        threads: args.threads.map_or(ReplayOptions::default().threads, usize::from),
        limits: FileLimits { rows: args.file_rows.max(1), bytes: args.file_mib.max(1) << 20 },
        // a float beyond the integers saturates, and a negative one is 0: both are sensible limits
        unit_bytes: (args.commit_mib * f64::from(1 << 20)) as u64,
        map_change: match (args.overwrite, args.new_map) {
            (true, _) => MapChange::Overwrite,
            (_, true) => MapChange::KeepOld,
            _ => MapChange::Refuse,
        },
        access: Access::Exclusive,
    };
    let total = inputs.objects.iter().map(|object| object.size).sum();
    let progress = if args.json { Progress::hidden() } else { Progress::bytes(total) };
    let replay = Replay { store: &store, boundary: boundary.as_ref(), options, progress };
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(Failure::failed)?;
    let done = runtime.block_on(replay.run(inputs.objects));
    if !stdin.is_empty() {
        // the copy served its purpose
        let _best_effort = std::fs::remove_dir_all(args.out.join(SPOOL));
    }
    let mut summary = done.map_err(|error| match error {
        ReplayError::Plan(error) => Failure::usage(error),
        other => Failure::failed(other),
    })?;
    summary.skipped.extend(inputs.unreadable.into_iter().map(|(uri, why)| Skipped { uri, why }));
    let lake = args.out.display().to_string();
    if args.json {
        print(format_args!("{}\n", render_json(&summary, &lake)))?;
    } else {
        print(render_text(&summary, &lake, boundary.as_ref(), std::io::stdout().is_terminal()))?;
    }
    let clean = summary.quarantined_lines() + summary.known_quarantined + summary.known_faults == 0
        && summary.faults.is_empty();
    Ok(match (summary.skipped.is_empty(), clean) {
        (false, _) => Exit::Failed,
        (true, false) if args.strict => Exit::Quarantined,
        _ => Exit::Done,
    })
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

fn warn(message: std::fmt::Arguments<'_>) {
    // nobody may be listening
    let _closed_pipe = writeln!(std::io::stderr(), "warning: {message}");
}

/// Standard input is kept in the lake's own staging while it is read: nothing else is sure to have the room.
fn spool(lake: &Path) -> Result<InputObject, Failure> {
    spool_standard_input(&lake.join(SPOOL)).map_err(Failure::failed)
}
