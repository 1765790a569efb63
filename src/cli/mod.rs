//! The command line: one file per subcommand.

mod alerts;
mod aws;
mod backtest;
mod config;
mod explain;
mod generate;
mod input;
mod lake;
mod map;
mod queue;
mod replay;
mod schema;
mod section;
mod stream;
mod summary;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use self::section::Sections;
use crate::aws::s3::{S3Uri, SCHEME};
use crate::boundary::{Boundary, BoundaryMap, Selection, load_map};
use crate::telemetry::{LogOutput, start_log};

/// Exit codes; they are documented and stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Something failed on the way.
    Failed = 1,
    /// The command line, the config or the map is wrong; nothing was done.
    Usage = 2,
    /// Done, but lines were quarantined (only with `--strict`).
    Quarantined = 3,
    /// `map check` found a lint of level error, or `lake check` a broken promise.
    Found = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command that did not do its work: what to tell, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    fn usage(message: impl std::fmt::Display) -> Self {
        Self { exit: Exit::Usage, message: message.to_string() }
    }

    fn failed(message: impl std::fmt::Display) -> Self {
        Self { exit: Exit::Failed, message: message.to_string() }
    }
}

/// Judge AWS VPC Flow Logs against a security-boundary map: enriched Parquet for DuckDB, and alerts.
#[derive(Debug, Parser)]
#[command(name = "flowbound", version, propagate_version = true, arg_required_else_help = true, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 done; 1 failed; 2 wrong usage, config or map; 3 done, but lines were quarantined \
                        (with --strict); 4 map check or lake check found an error."
)]
struct Args {
    /// Read options from this TOML file; the command line and FLOWBOUND_… variables go first
    #[arg(long, global = true, env = "FLOWBOUND_CONFIG", value_name = "FILE")]
    config: Option<String>,
    /// Form of the program's own log on standard error
    #[arg(long, global = true, env = "FLOWBOUND_LOG_OUTPUT", value_enum, default_value = "text", value_name = "FORM")]
    log_output: LogForm,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogForm {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    Replay(replay::ReplayArgs),
    Stream(stream::StreamArgs),
    Explain(explain::ExplainArgs),
    Alerts(alerts::AlertsArgs),
    Backtest(backtest::BacktestArgs),
    /// Check a boundary map, or show it
    #[command(subcommand)]
    Map(map::MapCommand),
    /// Check a lake, repair it, merge its small files
    #[command(subcommand)]
    Lake(lake::LakeCommand),
    Generate(generate::GenerateArgs),
    Schema(schema::SchemaArgs),
}

/// The map and which of its entries take part.
#[derive(Debug, clap::Args)]
struct MapArgs {
    /// Boundary map, TOML or JSON
    #[arg(long, env = "FLOWBOUND_MAP", value_name = "FILE")]
    map: Option<String>,
    #[command(flatten)]
    select: SelectArgs,
}

/// Which entries of a map take part.
#[derive(Debug, Clone, clap::Args)]
struct SelectArgs {
    /// Environment whose entries of the map take part [default: the map's own `env`]
    #[arg(long, env = "FLOWBOUND_ENV", value_name = "NAME")]
    env: Option<String>,
    /// Mode whose entries of the map take part [default: all modes]
    #[arg(long, env = "FLOWBOUND_MODE", value_name = "NAME")]
    mode: Option<String>,
}

impl SelectArgs {
    /// The selection; a name that no entry of the map has would silently drop the entries that were meant.
    fn selection(&self, map: &BoundaryMap) -> Result<Selection, Failure> {
        let entries = || map.rules.iter().map(|rule| &rule.when).chain(map.invariants.iter().map(|entry| &entry.when));
        let envs = entries().filter_map(|when| when.env.as_ref()).flatten().chain(&map.env).collect();
        let modes = entries().filter_map(|when| when.mode.as_ref()).collect();
        Ok(Selection {
            env: known(&map.name, "environment", self.env.as_ref(), envs)?,
            mode: known(&map.name, "mode", self.mode.as_ref(), modes)?,
        })
    }
}

impl MapArgs {
    fn boundary(&self) -> Result<Option<Boundary>, Failure> {
        let Some(path) = &self.map else { return Ok(None) };
        let map = load_map_file(path)?;
        let selection = self.select.selection(&map)?;
        Ok(Some(Boundary::new(map, &selection)))
    }
}

/// The name, if the map has it; an empty one (as an unset variable in a compose file makes it) is none.
fn known(
    map: &str,
    what: &str,
    name: Option<&String>,
    names: std::collections::BTreeSet<&String>,
) -> Result<Option<String>, Failure> {
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(None) };
    if names.contains(name) {
        return Ok(Some(name.clone()));
    }
    let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    let has = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Err(Failure::usage(format!("the map {map} has no {what} '{name}'; it has {has}")))
}

fn load_map_file(path: &str) -> Result<BoundaryMap, Failure> {
    use std::io::IsTerminal as _;
    let mut read = |path: &str| {
        let not_text = |_| std::io::Error::other("it is not UTF-8 text; save it as UTF-8");
        String::from_utf8(std::fs::read(path)?).map_err(not_text)
    };
    load_map(path, &mut read).map_err(|problems| {
        let report = problems.report(std::io::stderr().is_terminal());
        Failure::usage(format!("the map {path} cannot be used\n{}", report.trim_end()))
    })
}

/// Where the lake lies.
enum Place {
    Folder(PathBuf),
    S3(S3Uri),
}

impl Place {
    fn parse(text: &str) -> Result<Self, Failure> {
        if text.starts_with(SCHEME) {
            return text.parse().map(Self::S3).map_err(|error| Failure::usage(format!("{text}: {error}")));
        }
        if text.contains("://") {
            return Err(Failure::usage(format!("{text}: a lake is a folder or s3://BUCKET/PREFIX")));
        }
        Ok(Self::Folder(text.into()))
    }
}

/// The log format where no header says it.
#[derive(Debug, clap::Args)]
struct FormatArgs {
    /// Fields of the log where no header line says them: names, or `${name}`s as AWS shows them
    /// [default: the 14 fields of version 2]
    #[arg(long, env = "FLOWBOUND_LOG_FORMAT", value_name = "FIELDS")]
    log_format: Option<String>,
}

impl FormatArgs {
    fn format(&self) -> Result<Option<crate::record::LogFormat>, Failure> {
        let parsed = self.log_format.as_deref().map(str::parse).transpose();
        parsed.map_err(|error| Failure::usage(format!("--log-format: {error}")))
    }
}

/// Runs the program with these arguments (the first is the program's name).
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let (args, sections) = match parse(&arguments) {
        Ok(parsed) => parsed,
        Err(Stop::Clap(error)) => {
            // help and version come as errors too; a closed pipe is nobody's fault
            let _closed_pipe = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done };
        }
        Err(Stop::Config(failure)) => return tell(failure),
    };
    start_log(match args.log_output {
        LogForm::Text => LogOutput::Text,
        LogForm::Json => LogOutput::Json,
    });
    let done = match args.command {
        Command::Replay(args) => replay::run(&args, &sections),
        Command::Stream(args) => stream::run(&args, &sections),
        Command::Explain(args) => explain::run(&args),
        Command::Alerts(args) => alerts::run(&args),
        Command::Backtest(ran) => backtest::run(&ran, args.config.as_deref(), &sections.detect),
        Command::Map(command) => map::run(&command),
        Command::Lake(command) => lake::run(&command),
        Command::Generate(args) => generate::run(&args),
        Command::Schema(args) => schema::run(&args),
    };
    done.unwrap_or_else(tell)
}

enum Stop {
    Clap(clap::Error),
    Config(Failure),
}

/// Two steps: what was typed, then the same with the config file's values where neither the command line nor the
/// environment gave one. The first step lets missing options pass: the file may have them.
fn parse(arguments: &[OsString]) -> Result<(Args, Sections), Stop> {
    let typed = Args::command().ignore_errors(true).try_get_matches_from(arguments).map_err(Stop::Clap)?;
    let mut all = arguments.to_vec();
    let mut sections = Sections::default();
    if let Some(path) = typed.try_get_one::<String>("config").ok().flatten() {
        let config = config::read(path, &Args::command(), &typed).map_err(Stop::Config)?;
        sections = config.sections;
        // right behind the subcommand's name: behind `--` they would be inputs
        let place = config::place(arguments, &typed);
        all.splice(place..place, config.arguments.into_iter().map(OsString::from));
    }
    let matches = Args::command().try_get_matches_from(all).map_err(Stop::Clap)?;
    Args::from_arg_matches(&matches).map(|args| (args, sections)).map_err(Stop::Clap)
}

fn tell(failure: Failure) -> Exit {
    if failure.exit != Exit::Done {
        // nobody may be listening; the exit code tells all the same
        let _closed_pipe = writeln!(std::io::stderr(), "error: {}", failure.message);
    }
    failure.exit
}

/// Says what a person should know, and goes on.
fn warn(message: std::fmt::Arguments<'_>) {
    // nobody may be listening
    let _closed_pipe = writeln!(std::io::stderr(), "warning: {message}");
}

/// Prints to standard output. A reader that has enough and closes the pipe (`head`) ends the command quietly.
fn print(text: impl std::fmt::Display) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            Err(Failure { exit: Exit::Done, message: String::new() })
        }
        Err(error) => Err(Failure::failed(format!("cannot write to standard output: {error}"))),
        Ok(()) => Ok(()),
    }
}
