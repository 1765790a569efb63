//! `flowbound schema`: the contracts, as they stand in `schemas/`.

use clap::CommandFactory as _;

use super::{Exit, Failure, print};
use crate::boundary::map_schema;
use crate::lake::schema::{alerts_sql, flows_sql};

/// Print a contract: the tables and the views as SQL, the map and the config file as JSON Schema
#[derive(Debug, clap::Args)]
pub(super) struct SchemaArgs {
    /// Which one
    #[arg(value_enum)]
    what: Contract,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Contract {
    Flows,
    Alerts,
    Map,
    Config,
    /// The views that the files in `queries/` ask, to be read by DuckDB
    Views,
}

pub(super) fn run(args: &SchemaArgs) -> Result<Exit, Failure> {
    let pretty = |value: &serde_json::Value| serde_json::to_string_pretty(value).map(|text| text + "\n");
    let text = match args.what {
        Contract::Flows => Ok(flows_sql()),
        Contract::Alerts => Ok(alerts_sql()),
        Contract::Map => pretty(&map_schema()),
        Contract::Views => Ok(include_str!("../../queries/views.sql").to_owned()),
        Contract::Config => pretty(&super::config::schema(&super::Args::command())),
    };
    print(text.map_err(Failure::failed)?)?;
    Ok(Exit::Done)
}
