//! The config file: every option of the command line as a key.
//!
//! A key at the top holds for every command that has the option; one in a table of the command's name (`[replay]`,
//! `[map.check]`) for that command, and goes before. What the command line or the environment gives goes before both.
//! The keys are read off the command line's own definition, so the two cannot differ.
//!
//! Beside them are the tables of [`super::section`], which hold for every command.

use std::collections::BTreeMap;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches};
use serde_json::json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Failure;
use super::section::{Problem, SECTIONS, Sections, near_or_all, section};
use crate::boundary::model::{MapFile, Place};
use crate::boundary::{Level, Report, render};

/// A config file without a mistake.
pub(super) struct Config {
    /// The arguments that it adds to what was typed.
    pub(super) arguments: Vec<String>,
    /// What else it says.
    pub(super) sections: Sections,
}

/// Reads a config file for the command that was typed.
pub(super) fn read(path: &str, program: &clap::Command, typed: &ArgMatches) -> Result<Config, Failure> {
    let (name, matches, command) = chosen(program, typed);
    let file = ConfigFile::read(path, program, &name)?;
    let mut more = Vec::new();
    for (key, value) in file.values {
        let Some(argument) = command.get_arguments().find(|argument| argument.get_long() == Some(&key)) else {
            continue;
        };
        let id = argument.get_id().as_str();
        let typed = |id: &str| matches.value_source(id).is_some_and(|source| source != ValueSource::DefaultValue);
        // an option that excludes one that was typed gives way to it, too
        let excluded = |other: &Arg| typed(other.get_id().as_str()) && excludes(command, argument, other);
        let given = typed(id) || command.get_arguments().any(excluded);
        match value {
            _ if given => {}
            Value::Flag(true) => more.push(format!("--{key}")),
            Value::Flag(false) => {}
            Value::Text(text) => more.push(format!("--{key}={text}")),
        }
    }
    Ok(Config { arguments: more, sections: file.sections })
}

/// What a config file says beside options, whatever command it is meant for.
pub(super) fn read_sections(path: &str, program: &clap::Command) -> Result<Sections, Failure> {
    ConfigFile::read(path, program, "").map(|file| file.sections)
}

/// Where in the arguments the name of the subcommand ends.
pub(super) fn place(arguments: &[std::ffi::OsString], typed: &ArgMatches) -> usize {
    let (mut place, mut matches) = (1, typed);
    while let Some((name, inner)) = matches.subcommand() {
        let rest = arguments.iter().enumerate().skip(place);
        place = rest.into_iter().find(|(_, argument)| *argument == name).map_or(arguments.len(), |(i, _)| i + 1);
        matches = inner;
    }
    place.min(arguments.len())
}

/// The subcommand that was typed: its path of names, its matches and its definition.
fn chosen<'a>(program: &'a clap::Command, typed: &'a ArgMatches) -> (String, &'a ArgMatches, &'a clap::Command) {
    let (mut path, mut matches, mut command) = (String::new(), typed, program);
    while let Some((name, inner)) = matches.subcommand() {
        let Some(definition) = command.find_subcommand(name) else { break };
        path = join(&path, name);
        (matches, command) = (inner, definition);
    }
    (path, matches, command)
}

fn excludes(command: &clap::Command, one: &Arg, other: &Arg) -> bool {
    command.get_arg_conflicts_with(one).contains(&other) || command.get_arg_conflicts_with(other).contains(&one)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

enum Value {
    Flag(bool),
    Text(String),
}

struct ConfigFile {
    problems: Vec<Problem>,
    values: BTreeMap<String, Value>,
    sections: Sections,
}

impl ConfigFile {
    /// Reads a file for this command; every problem of it is told.
    fn read(path: &str, program: &clap::Command, chosen: &str) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("cannot read the config file {path}: {error}")))?;
        let (table, errors) = DeTable::parse_recoverable(&text);
        let mut file = Self { problems: Vec::new(), values: BTreeMap::new(), sections: Sections::default() };
        for error in errors {
            file.problems.push(Problem::new(&error.span().unwrap_or_default(), error.message()));
        }
        if file.problems.is_empty() {
            file.table(table.get_ref(), program, "", chosen);
        }
        if file.problems.is_empty() {
            return Ok(file);
        }
        file.problems.sort_by_key(|problem| problem.span.start);
        Err(Failure::usage(report(path, &text, &file.problems)))
    }

    /// Reads a table: values of its own, then the tables of the command's subcommands, which go before.
    fn table(&mut self, table: &DeTable<'_>, command: &clap::Command, path: &str, chosen: &str) {
        let holds = path.is_empty() || chosen == path || chosen.starts_with(&format!("{path}."));
        let mut inner = Vec::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if let Some(section) = section(name).filter(|_| path.is_empty()) {
                section.read(value, &mut self.sections, &mut self.problems);
                continue;
            }
            if let DeValue::Table(table) = value.get_ref() {
                match command.find_subcommand(name) {
                    Some(command) => inner.push((table, command, join(path, name))),
                    None => self.unknown(key, command, "table"),
                }
                continue;
            }
            match options(command).get(&name.replace('_', "-")) {
                Some(option) => {
                    if let Some(value) = self.value(option, name, value).filter(|_| holds) {
                        self.values.insert(name.replace('_', "-"), value);
                    }
                }
                None => self.unknown(key, command, "key"),
            }
        }
        for (table, command, path) in inner {
            self.table(table, command, &path, chosen);
        }
    }

    fn value(&mut self, option: &Arg, name: &str, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        let flag = matches!(option.get_action(), ArgAction::SetTrue);
        match value.get_ref() {
            DeValue::Boolean(value) if flag => Some(Value::Flag(*value)),
            DeValue::String(text) if !flag => Some(Value::Text(text.to_string())),
            DeValue::Integer(number) if !flag => Some(Value::Text(number.as_str().replace('_', ""))),
            DeValue::Datetime(moment) if !flag => Some(Value::Text(moment.to_string())),
            other => {
                let wanted = if flag { "true or false" } else { "a text or a number" };
                let message = format!("{name} takes {wanted}, not {}", other.type_str());
                self.problems.push(Problem::new(&value.span(), message));
                None
            }
        }
    }

    fn unknown(&mut self, key: &Spanned<std::borrow::Cow<'_, str>>, command: &clap::Command, what: &str) {
        let name = key.get_ref().replace('_', "-");
        let options = options(command);
        let subcommands = command.get_subcommands().map(clap::Command::get_name);
        let names: Vec<&str> = match what {
            "table" => subcommands.chain(SECTIONS.iter().map(|section| section.name)).collect(),
            _ => options.keys().map(String::as_str).collect(),
        };
        let problem = Problem::new(&key.span(), format!("there is no {what} {}", key.get_ref()));
        self.problems.push(problem.hint(near_or_all(&name, &names)));
    }
}

/// The options of a command and of its subcommands, by their long names, without the config file itself.
fn options(command: &clap::Command) -> BTreeMap<String, Arg> {
    let mut found: BTreeMap<String, Arg> = command.get_subcommands().flat_map(options).collect();
    for argument in command.get_arguments() {
        if let Some(long) = argument.get_long().filter(|long| !["config", "help", "version"].contains(long)) {
            found.insert(long.to_owned(), argument.clone());
        }
    }
    found
}

fn report(path: &str, text: &str, problems: &[Problem]) -> String {
    use std::io::IsTerminal as _;
    let files = [MapFile { name: path.to_owned(), text: without_urls(text) }];
    let color = std::io::stderr().is_terminal();
    let mut out = format!("the config file {path} has {} mistake(s)\n", problems.len());
    for Problem { span, message, hint } in problems {
        let place = Place { file: 0, span: span.clone() };
        let report =
            Report { level: Level::Error, code: None, place: &place, message, hint: hint.as_deref(), related: &[] };
        out.push_str(&render(&files, &report, color));
    }
    without_paths(out.trim_end())
}

/// The text of a config file to be shown, as long as it was: the URL of a webhook is a secret, and a mistake may stand
/// beside it, or in it. What follows a key `url` is hidden to the end of its line.
fn without_urls(text: &str) -> String {
    let shown = |line: &str| {
        let after_key = line.match_indices("url").find_map(|(at, key)| {
            let (before, rest) = (line.get(..at)?, line.get(at + key.len()..)?);
            let begins = before.chars().next_back().is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '-' | '_')));
            let value = rest.trim_start_matches(['"', '\'']).trim_start().strip_prefix('=')?;
            begins.then(|| line.len() - value.len())
        });
        let (kept, hidden) = line.split_at(after_key.unwrap_or(line.len()));
        let hidden: String = hidden.bytes().map(|byte| if byte.is_ascii_whitespace() { ' ' } else { '*' }).collect();
        kept.to_owned() + &hidden
    };
    text.split('\n').map(shown).collect::<Vec<_>>().join("\n")
}

/// A text in which every URL has lost what stands behind its host.
fn without_paths(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (place, part) in text.split("://").enumerate() {
        if place == 0 {
            shown.push_str(part);
            continue;
        }
        shown.push_str("://");
        let end = part.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`')).unwrap_or(part.len());
        let (url, rest) = part.split_at(end);
        // a user and a password, perhaps
        let url = url.rsplit_once('@').map_or(url, |(_, host)| host);
        match url.split_once('/') {
            Some((host, path)) => shown.extend([host, "/", &"*".repeat(path.chars().count())]),
            None => shown.push_str(url),
        }
        shown.push_str(rest);
    }
    shown
}

/// JSON Schema of the config file.
pub(super) fn schema(program: &clap::Command) -> serde_json::Value {
    let mut schema = table_schema(program);
    for section in SECTIONS {
        schema["properties"][section.name] = section.schema();
    }
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("flowbound config file");
    schema
}

fn table_schema(command: &clap::Command) -> serde_json::Value {
    let mut properties = serde_json::Map::new();
    for (name, option) in options(command) {
        let about = option.get_help().map(ToString::to_string).unwrap_or_default();
        let choices: Vec<String> =
            option.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
        let mut property = match option.get_action() {
            ArgAction::SetTrue => json!({"type": "boolean"}),
            _ if choices.is_empty() => json!({"type": ["string", "integer"]}),
            _ => json!({"enum": choices}),
        };
        property["description"] = json!(about);
        properties.insert(name, property);
    }
    for command in command.get_subcommands() {
        let name = command.get_name().to_owned();
        let table = table_schema(command);
        // a name may be both: `lake = "…"` is an option, `[lake.check]` a table
        let schema = match properties.remove(&name) {
            Some(option) => json!({"anyOf": [option, table]}),
            None => table,
        };
        properties.insert(name, schema);
    }
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn read(text: &str, typed: &[&str]) -> Result<Config, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flowbound.toml");
        std::fs::write(&path, text).unwrap();
        let program = super::super::Args::command();
        let matches = program.clone().try_get_matches_from(typed).unwrap();
        super::read(path.to_str().unwrap(), &program, &matches)
    }

    fn more(text: &str, typed: &[&str]) -> Result<Vec<String>, Failure> {
        read(text, typed).map(|config| config.arguments)
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let text = "threads = 3\nstrict = true\n[replay]\nthreads = 4\n[explain]\njson = true\n";
        let typed = ["flowbound", "replay", "logs", "--out", "lake"];
        assert_eq!(more(text, &typed).unwrap(), ["--strict", "--threads=4"]);
        let typed = ["flowbound", "replay", "logs", "--out", "lake", "--threads", "1"];
        assert_eq!(more(text, &typed).unwrap(), ["--strict"]);
        assert_eq!(more(text, &["flowbound", "explain"]).unwrap(), ["--json"]);
    }

    #[test]
    fn every_mistake_is_told_in_one_run() {
        let text = "thread = 3\nstrict = 'yes'\n[replays]\nx = 1\n[replay]\nnothing = 1\n";
        let failure = more(text, &["flowbound", "explain"]).unwrap_err();
        assert!(failure.message.contains("4 mistake(s)"), "{}", failure.message);
        for part in ["did you mean threads?", "takes true or false", "no table replays", "no key nothing"] {
            assert!(failure.message.contains(part), "{part} in {}", failure.message);
        }
    }

    const SECTION: &str = r#"
[detect."scan.vertical"]
ports = 20
[detect."scan.vertical".zones.internet]
enabled = false
[detect.breach.zones]
rds = { flows = 3 }
[[detect.allow]]
reason = "vulnerability scanner, SEC-12"
client = "10.0.9.0/24"
server_zone = "rds"
until = 2027-01-31
"#;

    #[test]
    fn a_section_holds_for_every_command() {
        let sections = read(SECTION, &["flowbound", "explain"]).unwrap().sections;
        let settings = &sections.detect;
        assert_eq!((settings.vertical.of(None).ports, settings.vertical.of(Some("internet")).ports), (20, 20));
        assert!(settings.vertical.of(Some("web")).enabled && !settings.vertical.of(Some("internet")).enabled);
        assert_eq!(settings.counting["breach"].of(Some("rds")).flows, 3);
        let [allowed] = settings.allow.as_slice() else { panic!("{:?}", settings.allow) };
        assert_eq!(allowed.reason, "vulnerability scanner, SEC-12");
        assert_eq!(allowed.client, Some("10.0.9.0/24".parse().unwrap()));
        assert_eq!((allowed.server_zone.as_deref(), allowed.until), (Some("rds"), Some(1_801_353_600_000)));
        assert_eq!(read("", &["flowbound", "explain"]).unwrap().sections.detect, crate::detect::Settings::default());
    }
}
