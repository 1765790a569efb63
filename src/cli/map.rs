//! `flowbound map`: check a map, show it.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use serde_json::json;

use super::{Exit, Failure, SelectArgs, load_map_file, print};
use crate::analyze::seen_traffic;
use crate::boundary::{BoundaryMap, LINTS, Level, Lint, LintInfo, Traffic, lint, map_to_json, show_map};

#[derive(Debug, clap::Subcommand)]
pub(super) enum MapCommand {
    Check(CheckArgs),
    Show(ShowArgs),
}

/// Check a map: mistakes in its form, then lints L01 to L21
///
/// Exit code: 2 if the map cannot be read, 4 if a lint of level error is found, else 0.
#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// Boundary map, TOML or JSON
    #[arg(required_unless_present = "explain", env = "FLOWBOUND_MAP", value_name = "FILE")]
    map: Option<String>,
    #[command(flatten)]
    select: SelectArgs,
    /// A lake with traffic of this map, for the lints that need some (L18, L21)
    #[arg(long, env = "FLOWBOUND_LAKE", value_name = "LAKE")]
    lake: Option<PathBuf>,
    /// Tell what a lint finds and why it matters, e.g. L06
    #[arg(long, value_name = "CODE")]
    explain: Option<String>,
    /// Print one JSON object with the findings
    #[arg(long, env = "FLOWBOUND_JSON")]
    json: bool,
}

/// Show a map: networks, zones, services, grants, invariants
#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// Boundary map, TOML or JSON
    #[arg(env = "FLOWBOUND_MAP", value_name = "FILE")]
    map: String,
    /// Print the map as JSON; it can be read as a map again
    #[arg(long, env = "FLOWBOUND_JSON")]
    json: bool,
}

pub(super) fn run(command: &MapCommand) -> Result<Exit, Failure> {
    match command {
        MapCommand::Check(args) => check(args),
        MapCommand::Show(args) => {
            let map = load_map_file(&args.map)?;
            let text = if args.json {
                let pretty = serde_json::to_string_pretty(&map_to_json(&map)).map_err(Failure::failed)?;
                pretty + "\n"
            } else {
                show_map(&map)
            };
            print(text)?;
            Ok(Exit::Done)
        }
    }
}

fn check(args: &CheckArgs) -> Result<Exit, Failure> {
    if let Some(code) = &args.explain {
        return explain(code);
    }
    let Some(path) = &args.map else { return Err(Failure::usage("give a map to check")) };
    let map = load_map_file(path)?;
    let traffic = args.lake.as_deref().map(seen_traffic).transpose().map_err(Failure::failed)?;
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let selection = args.select.selection(&map)?;
    let found = lint(&map, &selection, Some(&today), traffic.as_ref());
    if args.json {
        let lints: Vec<_> = found.iter().map(|lint| lint.to_json(&map.files)).collect();
        let counts = Counts::of(&found);
        let object = json!({
            "map": path,
            "name": map.name,
            "errors": counts.errors,
            "warnings": counts.warnings,
            "notes": counts.notes,
            "lints": lints,
        });
        print(format_args!("{object}\n"))?;
    } else {
        print(report(path, &map, &found, traffic.as_ref()))?;
    }
    let error = found.iter().any(|lint| lint.level == Level::Error);
    Ok(if error { Exit::Found } else { Exit::Done })
}

struct Counts {
    errors: usize,
    warnings: usize,
    notes: usize,
}

impl Counts {
    fn of(found: &[Lint]) -> Self {
        let count = |level| found.iter().filter(|lint| lint.level == level).count();
        Self { errors: count(Level::Error), warnings: count(Level::Warning), notes: count(Level::Note) }
    }
}

fn report(path: &str, map: &BoundaryMap, found: &[Lint], traffic: Option<&Traffic>) -> String {
    let color = std::io::stdout().is_terminal();
    let mut text: String = found.iter().map(|lint| lint.report(&map.files, color) + "\n").collect();
    let counts = Counts::of(found);
    let asked = if traffic.is_some() { "" } else { " (L18 and L21 need traffic: give --lake)" };
    let lines = format!(
        "{path}: map {} has {} zones, {} rules, {} invariants: {} errors, {} warnings, {} notes{asked}\n",
        map.name,
        map.zones.len(),
        map.rules.len(),
        map.invariants.len(),
        counts.errors,
        counts.warnings,
        counts.notes,
    );
    text.push_str(&lines);
    if !found.is_empty() {
        text.push_str("flowbound map check --explain CODE tells what a lint is about\n");
    }
    text
}

fn explain(code: &str) -> Result<Exit, Failure> {
    let Some(info) = LintInfo::from_code(code) else {
        let codes: Vec<_> = LINTS.iter().map(|info| info.code).collect();
        return Err(Failure::usage(format!("there is no lint {code}; there are {}", codes.join(", "))));
    };
    print(info.markdown())?;
    Ok(Exit::Done)
}
