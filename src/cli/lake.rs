//! `flowbound lake`: check a lake, repair it, merge its small files.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::runtime::Builder;

use super::aws::{self, AwsArgs};
use super::{Exit, Failure, Place, print};
use crate::lake::check::{CheckOptions, Level, Repaired, Report, check, is_lake, repair};
use crate::lake::compact::{CompactOptions, Compacted, compact};
use crate::lake::{Access, FileLimits, LakeError, LocalStore, S3Store, Store};

/// Findings of one promise that are shown to people; `--json` has all.
const SHOWN: usize = 20;

/// Pause after which what a writer at work may have left for a moment is looked at again.
const SETTLE: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Subcommand)]
pub(super) enum LakeCommand {
    Check(CheckArgs),
    Compact(CompactArgs),
}

/// Find everything in a lake that breaks a promise (I1, I2, I4 to I7), and finish what a crash left
///
/// It only reads, unless --repair is given, and may run beside writers: what is out of place is looked at again after
/// ten seconds. Exit code: 0 if the lake is as promised, 4 if something is not, 1 if it cannot be read.
#[derive(Debug, clap::Args)]
#[command(after_long_help = PROMISES)]
pub(super) struct CheckArgs {
    /// The lake: a folder or s3://BUCKET/PREFIX
    #[arg(env = "FLOWBOUND_LAKE", value_name = "LAKE")]
    lake: String,
    /// Publish what is committed, remove what commits took away, clear staging that is garbage; then check. A local lake
    /// must have no other writer
    #[arg(long, env = "FLOWBOUND_REPAIR")]
    repair: bool,
    /// Look at commits, names and lengths alone and open no file: leaves out rows that are there twice, sums, and
    /// revisions of alerts
    #[arg(long, env = "FLOWBOUND_QUICK")]
    quick: bool,
    /// Files of flows and alerts of days before this one may be gone: what a retention job takes is no error
    #[arg(long, env = "FLOWBOUND_KEPT_FROM", value_name = "DATE", value_parser = parse_date)]
    kept_from: Option<String>,
    /// Print one JSON object with all findings
    #[arg(long, env = "FLOWBOUND_JSON")]
    json: bool,
    #[command(flatten)]
    aws: AwsArgs,
}

fn parse_date(text: &str) -> Result<String, String> {
    // as the folders of days are called
    let date = text.parse::<jiff::civil::Date>().map_err(|_| "give a date (2026-11-21)".to_owned())?;
    Ok(date.to_string())
}

const PROMISES: &str = "\
Promises:
  I1  every record is published exactly once
  I2  a chain of commits has no gap and no overlap
  I4  a shard's data only after its parents' end
  I5  what is visible is the union of the commits, and staging drains
  I6  lines in = rows out + quarantined, and packets and bytes are conserved
  I7  alerts are unique, their revisions without gap, and nothing gathered is passed over
I3 needs the table of leases, I8 and I9 a running program: a lake does not show them.";

/// Merge the small files of hours that are over into few
///
/// For lakes that a stream is written to; it may run beside writers, and two at a time do no harm. Files of a replay are
/// left alone. Readers may see rows of an hour twice while its files are exchanged, for a moment, and never miss any.
#[derive(Debug, clap::Args)]
pub(super) struct CompactArgs {
    /// The lake: a folder or s3://BUCKET/PREFIX
    #[arg(env = "FLOWBOUND_LAKE", value_name = "LAKE")]
    lake: String,
    /// How long ago an hour of flows, or a day of alerts, must have ended
    #[arg(long, env = "FLOWBOUND_OLDER_THAN", value_name = "TIME", default_value = "2h", value_parser = parse_duration)]
    older_than: Duration,
    /// Merge no fewer files than this
    #[arg(long, env = "FLOWBOUND_MIN_FILES", value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..))]
    min_files: u32,
    /// Start a new Parquet file after this many rows; files of half as many are not merged again
    #[arg(long, env = "FLOWBOUND_FILE_ROWS", value_name = "ROWS", default_value_t = FileLimits::default().rows)]
    file_rows: u64,
    /// Start a new Parquet file after this many MiB; files of half as many are not merged again
    #[arg(long, env = "FLOWBOUND_FILE_MIB", value_name = "MIB", default_value_t = FileLimits::default().bytes >> 20)]
    file_mib: u64,
    /// Print one JSON object
    #[arg(long, env = "FLOWBOUND_JSON")]
    json: bool,
    #[command(flatten)]
    aws: AwsArgs,
}

pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let hint = || "give a time such as 2h, 90m or 1h30m".to_owned();
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| hint())?;
    parsed.try_into().map_err(|_| hint())
}

pub(super) fn run(command: &LakeCommand) -> Result<Exit, Failure> {
    match command {
        LakeCommand::Check(args) => with_lake(&args.lake, &args.aws, CheckLake(args)),
        LakeCommand::Compact(args) => with_lake(&args.lake, &args.aws, CompactLake(args)),
    }
}

/// What is done to a lake, wherever it lies.
pub(super) trait Work {
    /// Does it to a folder; a lock is taken where it writes.
    async fn local(self, store: &LocalStore) -> Result<Exit, Failure>;

    /// Does it to a lake in S3.
    async fn remote(self, store: &S3Store) -> Result<Exit, Failure>;
}

pub(super) fn with_lake(lake: &str, aws: &AwsArgs, work: impl Work) -> Result<Exit, Failure> {
    match Place::parse(lake)? {
        Place::Folder(folder) => {
            if !folder.is_dir() {
                return Err(Failure::usage(no_lake(&folder.display().to_string())));
            }
            let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
            let store = open_folder(&folder)?;
            runtime.block_on(async {
                told_if_none(&store).await?;
                work.local(&store).await
            })
        }
        Place::S3(uri) => {
            let runtime = aws::runtime()?;
            let config = runtime.block_on(aws.config());
            let store = S3Store::new(aws.s3(&config, runtime.handle().clone()), &uri);
            runtime.block_on(async {
                told_if_none(&store).await?;
                work.remote(&store).await
            })
        }
    }
}

fn open_folder(folder: &Path) -> Result<LocalStore, Failure> {
    LocalStore::create(folder).map_err(|error| Failure::failed(format!("cannot read {}: {error}", folder.display())))
}

fn no_lake(place: &str) -> String {
    format!("{place} is no lake: it has no commits (a lake is what `flowbound replay --out` writes)")
}

async fn told_if_none<S: Store>(store: &S) -> Result<(), Failure> {
    match is_lake(store).await.map_err(Failure::failed)? {
        true => Ok(()),
        false => Err(Failure::usage(no_lake(store.place()))),
    }
}

/// The lock of a local lake that a program at work needs.
fn locked(
    store: &LocalStore,
    lock: fn(&LocalStore) -> std::io::Result<Option<std::fs::File>>,
) -> Result<std::fs::File, Failure> {
    let cannot = |error| Failure::failed(format!("cannot write to {}: {error}", store.place()));
    lock(store).map_err(cannot)?.ok_or_else(|| Failure::failed(LakeError::Locked(store.place().to_owned())))
}

struct CheckLake<'a>(&'a CheckArgs);

impl Work for CheckLake<'_> {
    async fn local(self, store: &LocalStore) -> Result<Exit, Failure> {
        let _lock = self.0.repair.then(|| locked(store, LocalStore::lock)).transpose()?;
        // with the lock there is nobody to wait for
        let settle = (!self.0.repair).then_some(SETTLE);
        self.check(store, Access::Exclusive, settle).await
    }

    async fn remote(self, store: &S3Store) -> Result<Exit, Failure> {
        self.check(store, Access::Shared, Some(SETTLE)).await
    }
}

impl CheckLake<'_> {
    async fn check<S: Store>(self, store: &S, access: Access, settle: Option<Duration>) -> Result<Exit, Failure> {
        let args = self.0;
        let repaired = match args.repair {
            true => Some(repair(store, access).await.map_err(Failure::failed)?),
            false => None,
        };
        let report = check(store, &CheckOptions { quick: args.quick, settle, kept_from: args.kept_from.clone() })
            .await
            .map_err(Failure::failed)?;
        if args.json {
            print(format_args!("{}\n", report_json(&args.lake, &report, repaired.as_ref())))?;
        } else {
            print(report_text(args, &report, repaired.as_ref()))?;
        }
        Ok(if report.errors() == 0 { Exit::Done } else { Exit::Found })
    }
}

fn report_json(lake: &str, report: &Report, repaired: Option<&Repaired>) -> serde_json::Value {
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            json!({
                "invariant": finding.invariant.name(),
                "level": finding.level.as_str(),
                "path": finding.path,
                "what": finding.what,
                "hint": finding.hint,
            })
        })
        .collect();
    let mut object = json!({
        "lake": lake,
        "chains": report.chains,
        "commits": report.commits,
        "files": report.files,
        "rows": report.rows,
        "errors": report.errors(),
        "notes": report.findings.len() - report.errors(),
        "findings": findings,
    });
    if let Some(Repaired { published, removed, cleared, left }) = repaired {
        let left: Vec<_> = left.iter().map(|(chain, why)| json!({"chain": chain, "why": why})).collect();
        object["repaired"] = json!({"published": published, "removed": removed, "cleared": cleared, "left": left});
    }
    object
}

fn report_text(args: &CheckArgs, report: &Report, repaired: Option<&Repaired>) -> String {
    let mut text = String::new();
    if let Some(repaired) = repaired {
        text.push_str(&repaired_text(repaired));
    }
    for group in report.findings.chunk_by(|one, other| one.invariant == other.invariant) {
        let Some(first) = group.first() else { continue };
        // writing to a text does not fail
        let _infallible = writeln!(text, "{}  {}", first.invariant.name(), first.invariant.promise());
        let mut hint = "";
        for finding in group.iter().take(SHOWN) {
            let _infallible = writeln!(text, "  {}: {}: {}", finding.level.as_str(), finding.path, finding.what);
            if finding.hint != hint {
                let _infallible = writeln!(text, "    {}", finding.hint);
            }
            hint = finding.hint;
        }
        if group.len() > SHOWN {
            let _infallible = writeln!(text, "  … and {} more (--json has all)", group.len() - SHOWN);
        }
        text.push('\n');
    }
    let Report { chains, commits, files, rows, .. } = report;
    let notes = report.findings.iter().filter(|finding| finding.level == Level::Note).count();
    let quick = if args.quick { "; no file was opened (--quick)" } else { "" };
    let _infallible = writeln!(
        text,
        "{}: {commits} commits in {chains} chains, {files} files, {rows} rows: {} errors, {notes} notes{quick}",
        args.lake,
        report.errors(),
    );
    text
}

fn repaired_text(repaired: &Repaired) -> String {
    let Repaired { published, removed, cleared, left } = repaired;
    let mut text = String::new();
    for (what, paths) in [("published", published), ("removed", removed), ("cleared", cleared)] {
        for path in paths.iter().take(SHOWN) {
            let _infallible = writeln!(text, "{what} {path}");
        }
        if paths.len() > SHOWN {
            let _infallible = writeln!(text, "… {what} {} more (--json has all)", paths.len() - SHOWN);
        }
    }
    for (chain, why) in left {
        let _infallible = writeln!(text, "the chain {chain} was left as it is: {why}");
    }
    if text.is_empty() {
        text.push_str("there was nothing to finish\n");
    }
    text.push('\n');
    text
}

struct CompactLake<'a>(&'a CompactArgs);

impl Work for CompactLake<'_> {
    async fn local(self, store: &LocalStore) -> Result<Exit, Failure> {
        let _lock = locked(store, LocalStore::lock_shared)?;
        self.compact(store).await
    }

    async fn remote(self, store: &S3Store) -> Result<Exit, Failure> {
        self.compact(store).await
    }
}

impl CompactLake<'_> {
    async fn compact<S: Store>(self, store: &S) -> Result<Exit, Failure> {
        let args = self.0;
        let options = CompactOptions {
            now: jiff::Timestamp::now().as_millisecond(),
            older_than: args.older_than,
            min_files: args.min_files as usize,
            limits: FileLimits { rows: args.file_rows.max(1), bytes: args.file_mib.max(1) << 20 },
        };
        let compacted = compact(store, &options).await.map_err(Failure::failed)?;
        print(if args.json { compacted_json(args, &compacted) } else { compacted_text(args, &compacted) })?;
        Ok(if compacted.left.is_empty() { Exit::Done } else { Exit::Failed })
    }
}

fn compacted_json(args: &CompactArgs, compacted: &Compacted) -> String {
    let merged = compacted.merged.iter().map(|merged| {
        json!({
            "folder": merged.folder,
            "files": merged.files,
            "into": merged.into,
            "rows": merged.rows,
            "bytes": merged.bytes,
            "into_bytes": merged.into_bytes,
        })
    });
    let left = compacted.left.iter().map(|(folder, why)| json!({"folder": folder, "why": why.to_string()}));
    let object = json!({
        "lake": args.lake,
        "merged": merged.collect::<Vec<_>>(),
        "left": left.collect::<Vec<_>>(),
        "overtaken": compacted.overtaken,
    });
    format!("{object}\n")
}

fn compacted_text(args: &CompactArgs, compacted: &Compacted) -> String {
    let Compacted { merged, left, overtaken } = compacted;
    let mut text = String::new();
    let sum = |count: fn(&crate::lake::compact::Merged) -> u64| merged.iter().map(count).sum::<u64>();
    let _infallible = if merged.is_empty() {
        writeln!(text, "{}: nothing to merge", args.lake)
    } else {
        writeln!(
            text,
            "{}: {} files of {} folders merged into {}, {} rows; {} bytes became {}",
            args.lake,
            sum(|merged| merged.files),
            merged.len(),
            sum(|merged| merged.into),
            sum(|merged| merged.rows),
            sum(|merged| merged.bytes),
            sum(|merged| merged.into_bytes),
        )
    };
    for (folder, why) in left {
        let _infallible = writeln!(text, "{folder} was left as it is: {why} (flowbound lake check tells more)");
    }
    if *overtaken {
        text.push_str("another compaction is at work on this lake; what it leaves, the next run does\n");
    }
    text
}
