//! `flowbound alerts`: the alerts of a lake as a list, one of them with all that is known of it, and new ones as they
//! appear.

mod filter;
mod follow;
mod text;

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::ValueEnum;

use self::filter::{FilterArgs, newest_first};
use self::text::Table;
pub(super) use self::text::{clean, minute, wrapped};
use super::aws::AwsArgs;
use super::input::parse_account;
use super::lake::{Work, parse_duration, with_lake};
use super::summary::Style;
use super::{Exit, Failure, print};
use crate::alert::{Home, to_asff, to_json, to_ocsf};
use crate::detect::Alert;
use crate::lake::{LocalStore, S3Store, Store, alert_files, last_alerts};

/// Alerts of a list for a person, unless told otherwise.
const SHOWN: usize = 50;

/// Alerts that an ambiguous id is told to stand for.
const TOLD: usize = 5;

/// List the alerts of a lake, show one with all that is known of it, or print new ones as they appear
///
/// Each alert as it stands now: its last revision. The newest hour comes first, and in it the most severe. An alert
/// that was withdrawn, because later input left nothing of it, is not listed unless --all is given.
#[derive(Debug, clap::Args)]
pub(super) struct AlertsArgs {
    /// The lake: a folder or s3://BUCKET/PREFIX
    #[arg(long, env = "FLOWBOUND_LAKE", value_name = "LAKE")]
    lake: String,
    /// Show this one, whatever the filters say: an alert's id, or as much of its beginning as no other alert has
    #[arg(long, env = "FLOWBOUND_ID", value_name = "ID", value_parser = parse_id, conflicts_with = "follow")]
    id: Option<String>,
    #[command(flatten)]
    filter: FilterArgs,
    /// List no more than so many, the newest ones [default: 50 as text, all in the other formats]
    #[arg(long, env = "FLOWBOUND_LIMIT", value_name = "N")]
    limit: Option<usize>,
    /// How to print them; all but text are one JSON object a line
    #[arg(long, env = "FLOWBOUND_FORMAT", value_enum, default_value = "text", value_name = "FORM")]
    format: Format,
    /// Go on and print every alert that is new, changed or withdrawn, as it appears; the oldest first. (Those from
    /// before come first; --limit 0 leaves them out.) SIGTERM or Ctrl-C ends
    #[arg(long, env = "FLOWBOUND_FOLLOW")]
    follow: bool,
    /// How often --follow looks
    #[arg(long, env = "FLOWBOUND_EVERY", value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    every: Duration,
    /// Account that the alerts are of, for the formats ocsf and asff; --aws-region is their region
    #[arg(long, env = "FLOWBOUND_AWS_ACCOUNT", value_name = "ID", value_parser = parse_account)]
    aws_account: Option<String>,
    #[command(flatten)]
    aws: AwsArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// The columns of the table alerts
    Json,
    /// OCSF 1.6.0, Detection Finding
    Ocsf,
    /// The format of AWS Security Hub; needs --aws-account and --aws-region
    Asff,
}

fn parse_id(text: &str) -> Result<String, String> {
    let is_id = !text.is_empty() && text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| text.to_ascii_lowercase()).ok_or_else(|| "an id has up to 32 hexadecimal digits".to_owned())
}

pub(super) fn run(args: &AlertsArgs) -> Result<Exit, Failure> {
    args.filter.check()?;
    let form = Form::of(args)?;
    with_lake(&args.lake, &args.aws, Alerts { args, form })
}

/// How an alert is printed.
#[derive(Debug)]
enum Form {
    Text,
    Json,
    Ocsf(Home),
    Asff { account: String, region: String },
}

impl Form {
    fn of(args: &AlertsArgs) -> Result<Self, Failure> {
        let home = Home { account: args.aws_account.clone(), region: args.aws.region().map(str::to_owned) };
        Ok(match (args.format, home) {
            (Format::Text, _) => Self::Text,
            (Format::Json, _) => Self::Json,
            (Format::Ocsf, home) => Self::Ocsf(home),
            (Format::Asff, Home { account: Some(account), region: Some(region) }) => Self::Asff { account, region },
            (Format::Asff, _) => {
                return Err(Failure::usage(
                    "--format asff needs --aws-account and --aws-region: Security Hub asks whose \
                                           a finding is, and the lake does not say",
                ));
            }
        })
    }

    /// One line for a machine; `None` where it is for a person.
    fn line(&self, alert: &Alert) -> Option<String> {
        let value = match self {
            Self::Text => return None,
            Self::Json => to_json(alert),
            Self::Ocsf(home) => to_ocsf(alert, home),
            Self::Asff { account, region } => to_asff(alert, account, region),
        };
        Some(format!("{value}\n"))
    }
}

struct Alerts<'a> {
    args: &'a AlertsArgs,
    form: Form,
}

impl Work for Alerts<'_> {
    async fn local(self, store: &LocalStore) -> Result<Exit, Failure> {
        self.tell(store).await
    }

    async fn remote(self, store: &S3Store) -> Result<Exit, Failure> {
        self.tell(store).await
    }
}

impl Alerts<'_> {
    async fn tell<S: Store>(&self, store: &S) -> Result<Exit, Failure> {
        match &self.args.id {
            Some(id) => self.show(store, id).await,
            None if self.args.follow => self.follow(store).await,
            None => self.list(store).await,
        }
    }

    /// The newest alerts that fit, day by day.
    async fn list<S: Store>(&self, store: &S) -> Result<Exit, Failure> {
        let limit = self.limit();
        let (mut chosen, mut count, mut days) = (Vec::new(), 0, 0);
        let files = alert_files(store).await.map_err(Failure::failed)?;
        for day in files.into_keys().rev().filter(|day| self.args.filter.may_hold(*day)) {
            if count > limit {
                break;
            }
            days += 1;
            let mut alerts = last_alerts(store, day).await.map_err(Failure::failed)?;
            alerts.retain(|alert| self.args.filter.chooses(alert));
            alerts.sort_by(newest_first);
            let room = limit - count;
            count += alerts.len();
            alerts.truncate(room);
            match self.form {
                Form::Text => chosen.append(&mut alerts),
                _ => print(alerts.iter().filter_map(|alert| self.form.line(alert)).collect::<String>())?,
            }
        }
        if let Form::Text = self.form {
            print(match chosen.as_slice() {
                [] if limit > 0 => format!("{}: no alert{}\n", self.args.lake, self.args.filter.why_none(days > 0)),
                _ => self.table(&chosen, count > limit),
            })?;
        }
        Ok(Exit::Done)
    }

    fn limit(&self) -> usize {
        self.args.limit.unwrap_or(match self.form {
            Form::Text => SHOWN,
            _ => usize::MAX,
        })
    }

    fn table(&self, alerts: &[Alert], more: bool) -> String {
        let table = Table::of(alerts, text::width(), self.style());
        let rows = alerts.iter().map(|alert| table.row(alert));
        let more = if more { "… and more (--limit says how many are listed)\n" } else { "" };
        [table.head()].into_iter().chain(rows).chain([more.to_owned()]).collect()
    }

    fn style(&self) -> Style {
        Style { color: std::io::stdout().is_terminal() }
    }

    /// The one alert whose id begins so.
    async fn show<S: Store>(&self, store: &S, id: &str) -> Result<Exit, Failure> {
        let mut found = Vec::new();
        for day in alert_files(store).await.map_err(Failure::failed)?.into_keys() {
            let alerts = last_alerts(store, day).await.map_err(Failure::failed)?;
            found.extend(alerts.into_iter().filter(|alert| alert.finding.alert_id.starts_with(id)));
        }
        match found.as_slice() {
            [] => Err(Failure::usage(format!("{} has no alert whose id begins with {id}", self.args.lake))),
            [alert] => {
                let text = || text::shown(alert, &self.args.lake, &self.style());
                print(self.form.line(alert).unwrap_or_else(text)).map(|()| Exit::Done)
            }
            several => {
                let ids = several.iter().take(TOLD);
                let ids = ids.map(|alert| format!("\n  {}  {}", alert.finding.alert_id, clean(&alert.finding.title)));
                let more = if several.len() > TOLD { "\n  …" } else { "" };
                let count = several.len();
                Err(Failure::usage(format!(
                    "{count} alerts have an id that begins with {id}; give more of it{}{more}",
                    ids.collect::<String>()
                )))
            }
        }
    }
}
