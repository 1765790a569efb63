//! `flowbound backtest`: what the detectors with other settings would have said of a lake.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use clap::CommandFactory as _;
use serde_json::json;

use super::alerts::{clean, minute, wrapped};
use super::aws::AwsArgs;
use super::config::read_sections;
use super::input::parse_time;
use super::lake::{Work, with_lake};
use super::summary::{Style, allowed_json, grouped, plural, write_allowed};
use super::{Exit, Failure, print};
use crate::alert::utc;
use crate::analyze::{Backtest, Change, ChangeKind, Counts, backtest};
use crate::boundary::Severity;
use crate::detect::Settings;
use crate::lake::{LocalStore, S3Store, Store};

/// Changes of one kind that are shown of a detector.
const EXAMPLES: usize = 3;
/// Digits of an id.
const ID: usize = 10;
/// Characters of a line.
const LINE: usize = 100;

/// Compare the alerts of a lake with those that other settings of the detectors would make
///
/// The settings are those of the `detect` table in --config. What the detectors gathered is in the lake and is judged
/// anew, so neither logs nor the map are needed, and nothing is written.
#[derive(Debug, clap::Args)]
pub(super) struct BacktestArgs {
    /// The lake: a folder or s3://BUCKET/PREFIX
    #[arg(long, env = "FLOWBOUND_LAKE", value_name = "LAKE")]
    lake: String,
    /// Config file with the settings to compare with [default: those that hold without a config file]
    #[arg(long, env = "FLOWBOUND_AGAINST", value_name = "FILE")]
    against: Option<String>,
    /// Alerts whose window ends after this time (2026-11-21, 2026-11-21T02:00, UTC)
    #[arg(long, env = "FLOWBOUND_SINCE", value_name = "TIME", value_parser = parse_time)]
    since: Option<i64>,
    /// Alerts whose window begins before this time
    #[arg(long, env = "FLOWBOUND_UNTIL", value_name = "TIME", value_parser = parse_time)]
    until: Option<i64>,
    /// Print the difference as one JSON object, with every alert that differs
    #[arg(long, env = "FLOWBOUND_JSON")]
    json: bool,
    #[command(flatten)]
    aws: AwsArgs,
}

pub(super) fn run(args: &BacktestArgs, config: Option<&str>, after: &Settings) -> Result<Exit, Failure> {
    let Some(config) = config else {
        return Err(Failure::usage("--config FILE is missing: its [detect] table has the settings to try"));
    };
    if args.since.zip(args.until).is_some_and(|(since, until)| since >= until) {
        return Err(Failure::usage("--since is not before --until"));
    }
    let before = match &args.against {
        Some(path) => read_sections(path, &super::Args::command())?.detect,
        None => Settings::default(),
    };
    with_lake(&args.lake, &args.aws, Comparison { args, config, settings: [&before, after] })
}

struct Comparison<'a> {
    args: &'a BacktestArgs,
    config: &'a str,
    settings: [&'a Settings; 2],
}

impl Work for Comparison<'_> {
    async fn local(self, store: &LocalStore) -> Result<Exit, Failure> {
        self.tell(store).await
    }

    async fn remote(self, store: &S3Store) -> Result<Exit, Failure> {
        self.tell(store).await
    }
}

impl Comparison<'_> {
    async fn tell<S: Store>(self, store: &S) -> Result<Exit, Failure> {
        let span = (self.args.since, self.args.until);
        let difference = backtest(store, self.settings, span).await.map_err(Failure::failed)?;
        match self.args.json {
            true => print(format_args!("{}\n", self.json(&difference)))?,
            false => print(self.text(&difference, &Style { color: std::io::stdout().is_terminal() }))?,
        }
        Ok(Exit::Done)
    }

    fn json(&self, difference: &Backtest) -> serde_json::Value {
        let counts = |counts: &Counts| {
            let Counts { before, after, new, gone, severity } = counts;
            json!({"before": before, "after": after, "new": new, "gone": gone, "severity": severity})
        };
        let detectors: serde_json::Map<_, _> =
            difference.detectors.iter().map(|(name, of_it)| (name.clone(), counts(of_it))).collect();
        let change = |change: &Change| {
            json!({
                "change": change.kind.as_str(),
                "alert_id": change.alert_id,
                "detector": change.detector,
                "severity_before": change.before.map(|severity| severity.as_str()),
                "severity_after": change.after.map(|severity| severity.as_str()),
                "window_start": change.window_start.map(utc),
                "flows": change.flows,
                "title": change.title,
                "allowed": change.allowed,
            })
        };
        json!({
            "lake": self.args.lake,
            "against": self.args.against,
            "config": self.config,
            "since": self.args.since.map(utc),
            "until": self.args.until.map(utc),
            "days": difference.days,
            "total": counts(&difference.total()),
            "detectors": detectors,
            "changes": difference.changes.iter().map(change).collect::<Vec<_>>(),
            "allow": allowed_json(&difference.allow),
        })
    }

    fn text(&self, difference: &Backtest, style: &Style) -> String {
        let mut text = String::new();
        // writing to a text does not fail
        let _infallible = self.write(&mut text, difference, style);
        text
    }

    fn write(&self, out: &mut String, difference: &Backtest, style: &Style) -> std::fmt::Result {
        let against = self.args.against.as_deref().unwrap_or("the defaults");
        let days = plural(difference.days, "day");
        writeln!(out, "{}: {days} judged with {against}, and with {}\n", self.args.lake, self.config)?;
        let total = difference.total();
        if total == Counts::default() {
            writeln!(out, "No alerts, before or after.")?;
        } else {
            let width = difference.detectors.keys().map(String::len).chain([HEAD.len()]).max().unwrap_or_default();
            let rule = ["BEFORE", "AFTER", "NEW", "GONE", "SEVERITY"].map(|head| format!("  {head:>9}")).concat();
            writeln!(out, "{HEAD:<width$}{rule}")?;
            for (name, counts) in &difference.detectors {
                writeln!(out, "{:<width$}{}", clean(name), row(counts))?;
            }
            writeln!(out, "{}{}", style.bold(&format!("{:<width$}", "all")), row(&total))?;
        }
        if !difference.allow.is_empty() {
            writeln!(out)?;
            write_allowed(out, &difference.allow)?;
        }
        for changes in
            difference.changes.chunk_by(|one, other| (&one.detector, one.kind) == (&other.detector, other.kind))
        {
            let Some(first) = changes.first() else { continue };
            let what = match first.kind {
                ChangeKind::New => "new",
                ChangeKind::Gone => "gone",
                ChangeKind::Severity => "of another severity",
            };
            let head = format!("{}: {} {what}", clean(&first.detector), grouped(changes.len() as u128));
            writeln!(out, "\n{}", style.bold(&head))?;
            changes.iter().take(EXAMPLES).try_for_each(|change| example(out, change, style))?;
            if changes.len() > EXAMPLES {
                writeln!(out, "  … and {} more", grouped((changes.len() - EXAMPLES) as u128))?;
            }
        }
        Ok(())
    }
}

const HEAD: &str = "DETECTOR";

fn row(counts: &Counts) -> String {
    let Counts { before, after, new, gone, severity } = *counts;
    [before, after, new, gone, severity].map(|number| format!("  {:>9}", grouped(number.into()))).concat()
}

/// One alert that differs: when, how bad, its id, and what happened.
fn example(out: &mut String, change: &Change, style: &Style) -> std::fmt::Result {
    let window = change.window_start.map_or_else(|| "-".to_owned(), minute);
    let id: String = clean(&change.alert_id).chars().take(ID).collect();
    let severity = change.after.or(change.before).unwrap_or(Severity::Info);
    let was = change.before.filter(|was| *was != severity).map_or(String::new(), |was| format!("was {was}: "));
    let allowed = change.allowed.as_ref().map_or(String::new(), |reason| format!("allowed ({}): ", clean(reason)));
    // what stands before the title
    let margin = 2 + 16 + 2 + 8 + 2 + ID + 2;
    write!(out, "  {window:<16}  {}  {id:<ID$}  ", style.severity(severity))?;
    for (number, line) in wrapped(&format!("{was}{allowed}{}", clean(&change.title)), LINE - margin).iter().enumerate()
    {
        let margin = if number == 0 { 0 } else { margin };
        writeln!(out, "{:margin$}{line}", "")?;
    }
    Ok(())
}
