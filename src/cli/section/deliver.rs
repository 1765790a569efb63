//! `[[deliver]]`: who gets the alerts.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use aws_config::SdkConfig;

use super::{Entry, Key, Problem, Section, Sections, Shape};
use crate::alert::Home;
use crate::alert::deliver::{
    Bus, Channel, Folder, Form, Queue, SecretUrl, Sink, Stdout, TIMEOUT, Topic, Wants, Webhook,
};
use crate::boundary::Severity;
use crate::cli::Failure;
use crate::cli::aws::parse_url;
use crate::cli::input::parse_account;
use crate::cli::lake::parse_duration;
use crate::detect::detector_names;

/// The section.
pub(super) const SECTION: Section = Section { name: "deliver", shape, read };

/// Kinds of receivers, each with the keys that are its own; the first ones of them, of which one must be there.
const KINDS: &[(&str, &[&str], usize)] = &[
    ("file", &["path"], 1),
    ("stdout", &[], 0),
    ("sns", &["topic"], 1),
    ("sqs", &["queue"], 1),
    ("eventbridge", &["bus"], 0),
    ("webhook", &["url-env", "url-file", "url", "timeout"], 3),
];

/// Characters of a sink's name: it is a folder of the lake.
const NAME: usize = 64;

/// A receiver as the file describes it.
#[derive(Debug, Clone)]
pub(in crate::cli) struct SinkConfig {
    name: String,
    wants: Wants,
    form: Form,
    to: To,
}

#[derive(Debug, Clone)]
enum To {
    File(PathBuf),
    Stdout,
    Sns(String),
    Sqs(String),
    EventBridge(String),
    Webhook { url: Url, timeout: Duration },
}

/// Where the URL of a webhook is.
#[derive(Debug, Clone)]
enum Url {
    Here(SecretUrl),
    Variable(String),
    File(PathBuf),
}

fn shape() -> Shape {
    let severities = Severity::ALL.iter().map(|severity| severity.as_str()).collect();
    Shape::Many(vec![
        Key::new("name", Shape::Like(parse_name), "Its name: in messages and metrics, and where the lake keeps which alerts it has. A sink of another name begins anew, with what comes from then on.").required(),
        Key::new("to", Shape::Word(KINDS.iter().map(|(kind, ..)| *kind).collect()), "Where alerts go to: a folder (path), standard output, a topic of SNS (topic), a queue of SQS (queue), a bus of EventBridge (bus) or a webhook (url, url-env or url-file).").required(),
        Key::new("severity", Shape::Word(severities), "The least severity of what is delivered. Withdrawals come whatever it says. [default: info, all]"),
        Key::new("detectors", Shape::Words(detector_names().collect()), "Deliver what these detectors find. [default: all]"),
        Key::new("format", Shape::Word(vec!["json", "ocsf", "asff", "text", "slack"]), "json: the columns of the table alerts; ocsf: a Detection Finding; asff: a finding of Security Hub, which needs account and region; text: a few lines for people; slack: these as Slack's incoming webhooks take them. [default: json]"),
        Key::new("account", Shape::Like(|text| parse_account(text).map(|_| ())), "Account that the alerts are of, for the formats ocsf and asff."),
        Key::new("region", Shape::Text, "Region that the alerts are of, for the formats ocsf and asff."),
        Key::new("path", Shape::Text, "Of a file sink: a folder, made if it is not there. Each alert is a file <alert_id>-<revision>.json."),
        Key::new("topic", Shape::Like(parse_topic), "Of sns: the topic's ARN."),
        Key::new("queue", Shape::Like(|text| parse_url(text).map(|_| ())), "Of sqs: the queue's URL."),
        Key::new("bus", Shape::Text, "Of eventbridge: the bus's name or ARN. [default: default]"),
        Key::new("url-env", Shape::Text, "Of a webhook: the environment variable that has its URL, which is a secret."),
        Key::new("url-file", Shape::Text, "Of a webhook: the file that has its URL."),
        Key::new("url", Shape::Text, "Of a webhook: its URL itself. Who reads the file knows it then."),
        Key::new("timeout", Shape::Like(|text| parse_duration(text).map(|_| ())), "Of a webhook: how long an answer may take. [default: 10s]"),
    ])
}

fn parse_name(text: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    let is_name = (1..=NAME).contains(&text.len()) && text.bytes().all(fits);
    is_name.then_some(()).ok_or_else(|| format!("a name has up to {NAME} small letters, digits, - and _"))
}

fn parse_topic(text: &str) -> Result<(), String> {
    let is_topic = text.starts_with("arn:") && text.split(':').nth(2) == Some("sns") && text.split(':').count() == 6;
    is_topic.then_some(()).ok_or_else(|| "give an ARN: arn:aws:sns:REGION:ACCOUNT:NAME".to_owned())
}

fn read(entries: &[Entry], sections: &mut Sections, problems: &mut Vec<Problem>) {
    let mut names = BTreeSet::new();
    for entry in entries {
        let (form, to) = (form(entry, problems), to(entry, problems));
        let Some(name) = entry.text("name").map(str::to_owned) else { continue };
        if !names.insert(name.clone()) {
            let problem = Problem::new(entry.at("name"), format!("there is a sink {name} already"));
            problems.push(problem.hint("each has a name of its own: by it is kept which alerts it has"));
        }
        let wants = Wants {
            severity: entry.text("severity").and_then(Severity::from_name).unwrap_or(Severity::Info),
            detectors: entry.texts("detectors").to_vec(),
        };
        if let (Some(form), Some(to)) = (form, to) {
            sections.deliver.push(SinkConfig { name, wants, form, to });
        }
    }
}

fn form(entry: &Entry, problems: &mut Vec<Problem>) -> Option<Form> {
    let home =
        Home { account: entry.text("account").map(str::to_owned), region: entry.text("region").map(str::to_owned) };
    let form = match (entry.text("format").unwrap_or("json"), home) {
        ("ocsf", home) => Form::Ocsf(home),
        ("asff", Home { account: Some(account), region: Some(region) }) => Form::Asff { account, region },
        ("asff", _) => {
            let problem = Problem::new(entry.at("format"), "the format asff needs account and region");
            problems.push(problem.hint("Security Hub asks whose a finding is, and the lake does not say"));
            return None;
        }
        ("text", _) => Form::Text,
        ("slack", _) => Form::Slack,
        _ => Form::Json,
    };
    let wrong = match (&form, entry.text("to")?) {
        (Form::Slack, to) if to != "webhook" => "the format slack is for webhooks",
        (Form::Text, "eventbridge") => "EventBridge takes JSON alone",
        _ => return Some(form),
    };
    problems.push(Problem::new(entry.at("format"), wrong).hint("use json, ocsf or asff"));
    None
}

fn to(entry: &Entry, problems: &mut Vec<Problem>) -> Option<To> {
    let (kind, own, one_of) = KINDS.iter().find(|(kind, ..)| Some(*kind) == entry.text("to"))?;
    let foreign = KINDS.iter().flat_map(|(_, keys, _)| *keys).filter(|key| entry.has(key) && !own.contains(*key));
    for key in foreign {
        problems.push(Problem::new(entry.at(key), format!("{key} is of no use to = \"{kind}\"")));
    }
    let needed = own.get(..*one_of).unwrap_or_default();
    let given: Vec<&str> = needed.iter().copied().filter(|key| entry.has(key)).collect();
    match given.as_slice() {
        [] if needed.is_empty() => {}
        [_] => {}
        [] => problems.push(Problem::new(entry.at("to"), format!("to = \"{kind}\" needs {}", needed.join(" or ")))),
        [_, second, ..] => {
            problems.push(Problem::new(entry.at(second), format!("give one of {} alone", given.join(", "))));
        }
    }
    let text = |key: &str| entry.text(key).map(str::to_owned);
    Some(match *kind {
        "file" => To::File(text("path")?.into()),
        "stdout" => To::Stdout,
        "sns" => To::Sns(text("topic")?),
        "sqs" => To::Sqs(text("queue")?),
        "eventbridge" => To::EventBridge(text("bus").unwrap_or_else(|| "default".to_owned())),
        _ => To::Webhook {
            url: url(entry, problems)?,
            timeout: entry.parsed("timeout", parse_duration).unwrap_or(TIMEOUT),
        },
    })
}

fn url(entry: &Entry, problems: &mut Vec<Problem>) -> Option<Url> {
    if let Some(variable) = entry.text("url-env") {
        return Some(Url::Variable(variable.to_owned()));
    }
    if let Some(file) = entry.text("url-file") {
        return Some(Url::File(file.into()));
    }
    match SecretUrl::parse(entry.text("url")?) {
        Ok(url) => Some(Url::Here(url)),
        Err(why) => {
            // what stands there is a secret all the same
            problems.push(Problem::new(entry.at("url"), "it is no URL of a webhook").hint(why));
            None
        }
    }
}

impl SinkConfig {
    /// Whether it is a service of AWS.
    pub(in crate::cli) fn is_aws(&self) -> bool {
        matches!(self.to, To::Sns(_) | To::Sqs(_) | To::EventBridge(_))
    }

    /// The sink.
    ///
    /// # Errors
    /// When the URL of a webhook is not where it should be.
    pub(in crate::cli) fn open(&self, aws: Option<&SdkConfig>) -> Result<Sink, Failure> {
        let needs = || aws.ok_or_else(|| Failure::failed("AWS was not set up"));
        let channel = match &self.to {
            To::File(path) => Channel::Folder(Folder::new(path.clone())),
            To::Stdout => Channel::Stdout(Stdout),
            To::Sns(arn) => Channel::Topic(Topic::new(needs()?, arn.clone())),
            To::Sqs(url) => Channel::Queue(Queue::new(needs()?, url.clone())),
            To::EventBridge(bus) => Channel::Bus(Bus::new(needs()?, bus.clone())),
            To::Webhook { url, timeout } => {
                let url = url.read().map_err(|why| Failure::usage(format!("the sink {}: {why}", self.name)))?;
                let no_roots =
                    |error| format!("the sink {}: no certificates of authorities are here: {error}", self.name);
                let webhook = Webhook::new(url, *timeout).map_err(|error| Failure::failed(no_roots(error)))?;
                Channel::Webhook(Box::new(webhook))
            }
        };
        Ok(Sink::new(self.name.clone(), self.wants.clone(), self.form.clone(), channel))
    }
}

impl Url {
    /// The URL, or why there is none.
    fn read(&self) -> Result<SecretUrl, String> {
        let (place, text) = match self {
            Self::Here(url) => return Ok(url.clone()),
            Self::Variable(name) => {
                let place = format!("the environment variable {name}");
                // what stands there is not told, whatever it is
                (place.clone(), std::env::var(name).map_err(|_| format!("{place} is not set"))?)
            }
            Self::File(path) => {
                let place = format!("the file {}", path.display());
                (place.clone(), std::fs::read_to_string(path).map_err(|error| format!("cannot read {place}: {error}"))?)
            }
        };
        SecretUrl::parse(&text).map_err(|why| format!("{place} has no URL of a webhook: {why}"))
    }
}
