//! `flowbound generate`: synthetic traffic for a map.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::json;

use super::input::parse_time;
use super::{Exit, Failure, FormatArgs, SelectArgs, load_map_file, print};
use crate::synth::{GenerateError, GenerateOptions, GenerateSummary, SCENARIOS, generate};

/// Write synthetic flow logs for a map: what it allows, the noise of every log, and planted attacks and outages
///
/// The logs lie as AWS delivers them (AWSLogs/…, gzip); labels.csv tells what was planted, and where.
#[derive(Debug, clap::Args)]
pub(super) struct GenerateArgs {
    /// Boundary map, TOML or JSON
    #[arg(long, env = "FLOWBOUND_MAP", value_name = "FILE", required_unless_present = "scenarios")]
    map: Option<String>,
    #[command(flatten)]
    select: SelectArgs,
    /// Records to write, the planted ones included
    #[arg(long, env = "FLOWBOUND_FLOWS", value_name = "N", default_value_t = 10_000)]
    flows: u64,
    /// The same seed gives the same logs
    #[arg(long, env = "FLOWBOUND_SEED", value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Plant this scenario alone [default: all that fit the map]
    #[arg(long, env = "FLOWBOUND_SCENARIO", value_name = "NAME")]
    scenario: Option<String>,
    /// List the scenarios
    #[arg(long, exclusive = true)]
    scenarios: bool,
    /// When the traffic begins [default: 2026-11-20]
    #[arg(long, env = "FLOWBOUND_START", value_name = "TIME", value_parser = parse_time)]
    start: Option<i64>,
    /// For how many minutes [default: two hours; a day from 100,000 records on, a week from ten million on]
    #[arg(long, env = "FLOWBOUND_MINUTES", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    minutes: Option<u32>,
    #[command(flatten)]
    format: FormatArgs,
    /// Folder for AWSLogs/ and labels.csv
    #[arg(long, env = "FLOWBOUND_OUT", value_name = "DIR", required_unless_present = "scenarios")]
    out: Option<PathBuf>,
    /// Print the summary as one JSON object
    #[arg(long, env = "FLOWBOUND_JSON")]
    json: bool,
}

pub(super) fn run(args: &GenerateArgs) -> Result<Exit, Failure> {
    if args.scenarios {
        let width = SCENARIOS.iter().map(|scenario| scenario.name.len()).max().unwrap_or(0);
        let list: String =
            SCENARIOS.iter().map(|scenario| format!("{:width$}  {}\n", scenario.name, scenario.plants)).collect();
        print(list)?;
        return Ok(Exit::Done);
    }
    let (Some(path), Some(out)) = (&args.map, &args.out) else {
        return Err(Failure::usage("give --map and --out"));
    };
    let map = load_map_file(path)?;
    let selection = args.select.selection(&map)?;
    if out.join("_flowbound").is_dir() {
        return Err(Failure::usage(format!("{} is a lake; give another folder with --out", out.display())));
    }
    let defaults = GenerateOptions::new(args.flows);
    let options = GenerateOptions {
        seed: args.seed,
        scenario: args.scenario.clone(),
        start: args.start.unwrap_or(defaults.start),
        minutes: args.minutes,
        format: args.format.format()?.unwrap_or_else(|| defaults.format.clone()),
        env: selection.env.clone(),
        mode: selection.mode.clone(),
        ..defaults
    };
    let summary = generate(&map, &options, out).map_err(|error| match error {
        GenerateError::Io { .. } => Failure::failed(error),
        other => Failure::usage(other),
    })?;
    let shown = out.display().to_string();
    let mut selected = String::new();
    for (option, value) in [("env", &selection.env), ("mode", &selection.mode)] {
        selected.extend(value.iter().map(|value| format!(" --{option} {value}")));
    }
    let next = format!("flowbound replay {shown}/AWSLogs --map {path}{selected} --out lake");
    print(if args.json { render_json(&summary, &shown) } else { render_text(&summary, &shown, &next) })?;
    Ok(Exit::Done)
}

fn render_text(summary: &GenerateSummary, out: &str, next: &str) -> String {
    let mut text = String::new();
    // writing to a String cannot fail
    let _infallible = write_text(&mut text, summary, out, next);
    text
}

fn write_text(text: &mut String, summary: &GenerateSummary, out: &str, next: &str) -> std::fmt::Result {
    writeln!(
        text,
        "Wrote {} records ({} planted) in {} files to {out}",
        summary.records, summary.planted, summary.files
    )?;
    for (verdict, count) in &summary.verdicts {
        writeln!(text, "  {:<10} {count:>12}", verdict.as_str())?;
    }
    if !summary.scenarios.is_empty() {
        writeln!(text, "Planted")?;
    }
    for (scenario, count) in &summary.scenarios {
        writeln!(text, "  {scenario:<28} {count:>6}")?;
    }
    if !summary.skipped.is_empty() {
        writeln!(text, "The map has no place for")?;
    }
    for (scenario, why) in &summary.skipped {
        writeln!(text, "  {scenario:<28} {why}")?;
    }
    writeln!(text, "Next: {next}")
}

fn render_json(summary: &GenerateSummary, out: &str) -> String {
    let verdicts: serde_json::Map<_, _> =
        summary.verdicts.iter().map(|(verdict, count)| (verdict.as_str().to_owned(), json!(count))).collect();
    let scenarios: serde_json::Map<_, _> =
        summary.scenarios.iter().map(|(name, count)| ((*name).to_owned(), json!(count))).collect();
    let skipped: serde_json::Map<_, _> =
        summary.skipped.iter().map(|(name, why)| ((*name).to_owned(), json!(why))).collect();
    let object = json!({
        "out": out,
        "records": summary.records,
        "planted": summary.planted,
        "files": summary.files,
        "bytes": summary.bytes,
        "verdicts": verdicts,
        "scenarios": scenarios,
        "skipped": skipped,
    });
    format!("{object}\n")
}
