//! Which logs are read.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Failure, warn};
use crate::source::{InputError, InputFilter, Inputs, Sources, TimeSpan};

#[derive(Debug, clap::Args)]
pub(super) struct InputArgs {
    /// Files, folders, patterns or s3://BUCKET/PREFIX; `-` is standard input
    #[arg(required_unless_present = "sqs", conflicts_with = "sqs", value_name = "INPUT")]
    input: Vec<String>,
    /// Pass over files that were delivered before this time (2026-11-21, 2026-11-21T02:00, UTC), by their names
    #[arg(long, env = "FLOWBOUND_SINCE", value_name = "TIME", value_parser = parse_time)]
    since: Option<i64>,
    /// Pass over files that were delivered at or after this time, by their names
    #[arg(long, env = "FLOWBOUND_UNTIL", value_name = "TIME", value_parser = parse_time)]
    until: Option<i64>,
    /// Pass over files of other accounts, by their names; several with commas between
    #[arg(long, env = "FLOWBOUND_ACCOUNT", value_name = "ID", value_delimiter = ',', value_parser = parse_account)]
    account: Vec<String>,
    /// Pass over files of other regions, by their names; several with commas between
    #[arg(long, env = "FLOWBOUND_REGION", value_name = "REGION", value_delimiter = ',')]
    region: Vec<String>,
}

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

pub(super) fn parse_account(text: &str) -> Result<String, String> {
    let is_account = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_account.then(|| text.to_owned()).ok_or_else(|| "an account has twelve digits".to_owned())
}

/// A network, or an address as the network of itself.
pub(super) fn parse_network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    let network = text.parse().ok().or_else(address);
    network.ok_or_else(|| "give an address (10.0.5.63) or a network (10.0.5.0/24)".to_owned())
}

impl InputArgs {
    /// Whether standard input is among the inputs.
    pub(super) fn has_stdin(&self) -> bool {
        self.input.iter().any(|input| input == "-")
    }

    /// Whether one of the inputs lies in S3.
    pub(super) fn is_remote(&self) -> bool {
        self.input.iter().any(|input| input.starts_with(crate::aws::s3::SCHEME))
    }

    pub(super) fn filter(&self) -> Result<InputFilter, Failure> {
        let span = TimeSpan { since: self.since, until: self.until };
        if span.since.zip(span.until).is_some_and(|(since, until)| since >= until) {
            return Err(Failure::usage("--since is not before --until"));
        }
        Ok(InputFilter { span, accounts: self.account.clone(), regions: self.region.clone() })
    }

    /// Finds what the inputs have, but for standard input, and tells what is passed over.
    pub(super) fn find(&self, sources: &Sources, filter: &InputFilter) -> Result<Inputs, Failure> {
        let named: Vec<String> = self.input.iter().filter(|input| *input != "-").cloned().collect();
        if named.is_empty() {
            return Ok(Inputs::default());
        }
        let inputs = sources.find(&named, filter).map_err(|error| match error {
            InputError::Io { .. } => Failure::failed(error),
            other => Failure::usage(other),
        })?;
        if inputs.passed_over > 0 {
            warn(format_args!(
                "passed over in the input folders, not named like logs: {} (name such a file to read it)",
                inputs.passed_over
            ));
        }
        if inputs.without_origin > 0 {
            warn(format_args!(
                "{} of the files are not named as AWS names them: --since, --until, --account and --region do not \
                 apply to them",
                inputs.without_origin
            ));
        }
        Ok(inputs)
    }
}
