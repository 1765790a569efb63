//! Tables of the config file that are not options of a command, such as `[detect]`: sections.
//!
//! A section is described by a [`Shape`]: its keys, what may stand there, and what they mean. Unknown keys, wrong types
//! and the JSON Schema follow from that, so the three cannot differ. What no single key can tell (two of which one is
//! needed, say) is told by the section's own `read`. All of it adds to one list of problems, so that one run tells
//! every mistake of the file.
//!
//! A section is added with a file beside this one, an entry in [`SECTIONS`] and a field of [`Sections`].

mod deliver;
mod detect;

pub(super) use detect::warn_of_zones;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use aws_config::SdkConfig;
use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

pub(super) use deliver::SinkConfig;

use super::Failure;
use crate::detect::Settings;
use crate::pipeline::Deliverer;
use crate::telemetry::Metrics;

/// What the config file says beside options of commands; without a file, what is so by default.
#[derive(Debug, Clone, Default)]
pub(super) struct Sections {
    /// `[detect]`.
    pub(super) detect: Settings,
    /// `[[deliver]]`.
    pub(super) deliver: Vec<SinkConfig>,
}

impl Sections {
    /// Who brings alerts to the sinks; what is delivered is counted there.
    pub(super) fn deliverer(&self, aws: Option<&SdkConfig>, metrics: Arc<Metrics>) -> Result<Deliverer, Failure> {
        let sinks: Result<Vec<_>, Failure> = self.deliver.iter().map(|sink| sink.open(aws)).collect();
        Ok(Deliverer::new(sinks?, metrics))
    }
}

/// A table at the top of the config file.
pub(super) struct Section {
    /// Its name.
    pub(super) name: &'static str,
    /// What may stand there: one table, or a list of tables.
    pub(super) shape: fn() -> Shape,
    /// Makes something of what was read. Each entry is a table; values that did not fit are told already, and missing.
    read: fn(&[Entry], &mut Sections, &mut Vec<Problem>),
}

/// Every section.
pub(super) const SECTIONS: &[Section] = &[deliver::SECTION, detect::SECTION];

/// The section of this name.
pub(super) fn section(name: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.name == name)
}

/// A place in the file, in bytes.
pub(super) type Span = Range<usize>;

/// A mistake in the file: where, what, and what to do about it.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) span: Span,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Problem {
    pub(super) fn new(span: &Span, message: impl Into<String>) -> Self {
        Self { span: span.clone(), message: message.into(), hint: None }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// What may stand at a key.
pub(super) enum Shape {
    /// `true` or `false`.
    Flag,
    /// An integer from the first to the second, both included.
    Number(u64, u64),
    /// A text that is not empty.
    Text,
    /// A text that this function takes; what it answers otherwise is the hint. A date may stand without quotes.
    Like(fn(&str) -> Result<(), String>),
    /// One of these words.
    Word(Vec<&'static str>),
    /// A list of such words.
    Words(Vec<&'static str>),
    /// A table with these keys.
    One(Vec<Key>),
    /// A table of such tables, by names that the file chooses.
    Named(Vec<Key>),
    /// A list of such tables.
    Many(Vec<Key>),
}

/// A key of a table. In the file, `_` may stand for `-`.
pub(super) struct Key {
    name: &'static str,
    shape: Shape,
    required: bool,
    doc: String,
}

impl Key {
    /// A key that may be absent.
    pub(super) fn new(name: &'static str, shape: Shape, doc: impl Into<String>) -> Self {
        Self { name, shape, required: false, doc: doc.into() }
    }

    /// It must be there.
    pub(super) fn required(self) -> Self {
        Self { required: true, ..self }
    }
}

/// A table that was read: the values that fit, by key.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Where it begins.
    pub(super) span: Span,
    values: BTreeMap<&'static str, (Span, Value)>,
    /// Its keys, also those whose values do not fit.
    written: Vec<&'static str>,
}

#[derive(Debug)]
enum Value {
    Flag(bool),
    Number(u64),
    Text(String),
    Texts(Vec<String>),
    Entries(Vec<(String, Entry)>),
}

impl Entry {
    /// The value of a [`Shape::Flag`].
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        match self.values.get(key)? {
            (_, Value::Flag(flag)) => Some(*flag),
            _ => None,
        }
    }

    /// The value of a [`Shape::Number`].
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        match self.values.get(key)? {
            (_, Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// The value of a [`Shape::Text`], [`Shape::Like`] or [`Shape::Word`].
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.values.get(key)? {
            (_, Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The value of a [`Shape::Words`]; none where there is no such key.
    pub(super) fn texts(&self, key: &str) -> &[String] {
        match self.values.get(key) {
            Some((_, Value::Texts(texts))) => texts,
            _ => &[],
        }
    }

    /// The place of a key's value, or of the table where that has no such key.
    pub(super) fn at(&self, key: &str) -> &Span {
        self.values.get(key).map_or(&self.span, |(span, _)| span)
    }

    /// The value of a [`Shape::Like`], as this makes it; the shape let pass only what it takes.
    pub(super) fn parsed<T, E>(&self, key: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        self.text(key).and_then(|text| parse(text).ok())
    }

    /// The table of a [`Shape::One`].
    pub(super) fn one(&self, key: &str) -> Option<&Self> {
        self.named(key).next().map(|(_, entry)| entry)
    }

    /// The tables of a [`Shape::Named`], each with its name; of a [`Shape::Many`], each with an empty one.
    pub(super) fn named(&self, key: &str) -> impl Iterator<Item = (&str, &Self)> {
        let entries = match self.values.get(key) {
            Some((_, Value::Entries(entries))) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// Whether the key is there, whatever stands at it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.written.contains(&key)
    }

    /// Whether one of these keys is there, be its value right or told as a mistake.
    pub(super) fn has_any(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.written.contains(key))
    }
}

impl Section {
    /// Reads the section. Problems are added to those that there are.
    pub(super) fn read(&self, value: &Spanned<DeValue<'_>>, sections: &mut Sections, problems: &mut Vec<Problem>) {
        let mut reader = Reader { problems };
        if let Some(Value::Entries(entries)) = reader.value(self.name, &(self.shape)(), value) {
            let entries: Vec<Entry> = entries.into_iter().map(|(_, entry)| entry).collect();
            (self.read)(&entries, sections, reader.problems);
        }
    }

    /// Its JSON Schema.
    pub(super) fn schema(&self) -> Json {
        schema(&(self.shape)())
    }
}

struct Reader<'p> {
    problems: &'p mut Vec<Problem>,
}

impl Reader<'_> {
    fn value(&mut self, name: &str, shape: &Shape, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        let span = value.span();
        let read = match (shape, value.get_ref()) {
            (Shape::Flag, DeValue::Boolean(flag)) => Some(Value::Flag(*flag)),
            (Shape::Number(least, most), DeValue::Integer(number)) => {
                let digits = number.as_str().replace('_', "");
                let number = i128::from_str_radix(&digits, number.radix()).unwrap_or(i128::MAX);
                match u64::try_from(number).ok().filter(|number| (least..=most).contains(&number)) {
                    Some(number) => Some(Value::Number(number)),
                    None => {
                        let problem = Problem::new(&span, format!("{name} cannot be {}", value.get_ref().told()));
                        self.problems.push(problem.hint(format!("give a number from {least} to {most}")));
                        return None;
                    }
                }
            }
            (Shape::Text, DeValue::String(text)) if !text.trim().is_empty() => Some(Value::Text(text.to_string())),
            (Shape::Like(check), DeValue::String(_) | DeValue::Datetime(_)) => {
                let text = value.get_ref().told();
                return match check(&text) {
                    Ok(()) => Some(Value::Text(text)),
                    Err(hint) => {
                        self.problems.push(Problem::new(&span, format!("{name} cannot be '{text}'")).hint(hint));
                        None
                    }
                };
            }
            (Shape::Word(words), DeValue::String(text)) => return self.word(name, words, &span, text).map(Value::Text),
            (Shape::Words(words), DeValue::Array(array)) => Some(self.words(name, words, array)),
            (Shape::One(keys), DeValue::Table(table)) => {
                Some(Value::Entries(vec![(String::new(), self.table(keys, span.clone(), table))]))
            }
            (Shape::Named(keys), DeValue::Table(table)) => Some(self.named(keys, table)),
            (Shape::Many(keys), DeValue::Array(array)) => Some(self.many(name, keys, array)),
            _ => None,
        };
        if read.is_none() {
            let message = format!("{name} takes {}, not {}", shape.told(), value.get_ref().kind());
            self.problems.push(Problem::new(&span, message));
        }
        read
    }

    fn word(&mut self, name: &str, words: &[&str], span: &Span, text: &str) -> Option<String> {
        if words.contains(&text) {
            return Some(text.to_owned());
        }
        let problem = Problem::new(span, format!("{name} cannot be '{text}'"));
        self.problems.push(problem.hint(near_or_all(text, words)));
        None
    }

    fn words(&mut self, name: &str, words: &[&str], array: &DeArray<'_>) -> Value {
        let mut texts = Vec::new();
        for value in array {
            match value.get_ref() {
                DeValue::String(text) => texts.extend(self.word(name, words, &value.span(), text)),
                other => {
                    let message = format!("each of {name} is a text, not {}", other.kind());
                    self.problems.push(Problem::new(&value.span(), message));
                }
            }
        }
        Value::Texts(texts)
    }

    fn named(&mut self, keys: &[Key], table: &DeTable<'_>) -> Value {
        let mut entries = Vec::new();
        for (name, value) in table {
            match value.get_ref() {
                DeValue::Table(table) => {
                    entries.push((name.get_ref().to_string(), self.table(keys, name.span(), table)));
                }
                other => {
                    let message = format!("{} takes a table, not {}", name.get_ref(), other.kind());
                    self.problems.push(Problem::new(&value.span(), message));
                }
            }
        }
        Value::Entries(entries)
    }

    fn many(&mut self, name: &str, keys: &[Key], array: &DeArray<'_>) -> Value {
        let mut entries = Vec::new();
        for value in array {
            match value.get_ref() {
                DeValue::Table(table) => entries.push((String::new(), self.table(keys, value.span(), table))),
                other => {
                    let message = format!("each {name} is a table, not {}", other.kind());
                    self.problems.push(Problem::new(&value.span(), message).hint(format!("write [[{name}]]")));
                }
            }
        }
        Value::Entries(entries)
    }

    fn table(&mut self, keys: &[Key], span: Span, table: &DeTable<'_>) -> Entry {
        let mut entry = Entry { span, ..Entry::default() };
        for (written, value) in table {
            let name = written.get_ref().replace('_', "-");
            match keys.iter().find(|key| key.name == name) {
                Some(key) => {
                    entry.written.push(key.name);
                    if let Some(read) = self.value(key.name, &key.shape, value) {
                        entry.values.insert(key.name, (value.span(), read));
                    }
                }
                None => {
                    let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
                    let problem = Problem::new(&written.span(), format!("there is no key {}", written.get_ref()));
                    self.problems.push(problem.hint(near_or_all(&name, &names)));
                }
            }
        }
        for key in keys.iter().filter(|key| key.required && !entry.written.contains(&key.name)) {
            self.problems.push(Problem::new(&entry.span, format!("{} is missing", key.name)).hint(key.doc.clone()));
        }
        entry
    }
}

/// The known name that was probably meant, or all of them.
pub(super) fn near_or_all(name: &str, names: &[&str]) -> String {
    let near = names.iter().filter(|known| known.contains(name) || name.contains(**known)).min_by_key(|k| k.len());
    match near {
        Some(near) => format!("did you mean {near}?"),
        None => format!("known: {}", names.join(", ")),
    }
}

/// What a value is, in messages.
trait Told {
    /// Its kind.
    fn kind(&self) -> &'static str;
    /// Itself, where it is no table or list.
    fn told(&self) -> String;
}

impl Told for DeValue<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::String(text) if text.trim().is_empty() => "an empty text",
            Self::String(_) => "a text",
            Self::Integer(_) => "a number",
            Self::Float(_) => "a decimal number",
            Self::Boolean(_) => "true or false",
            Self::Datetime(_) => "a date or a time",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
        }
    }

    fn told(&self) -> String {
        match self {
            Self::String(text) => text.to_string(),
            Self::Integer(number) => number.to_string(),
            Self::Datetime(moment) => moment.to_string(),
            other => other.kind().to_owned(),
        }
    }
}

impl Shape {
    fn told(&self) -> String {
        match self {
            Self::Flag => "true or false".to_owned(),
            Self::Number(least, most) => format!("a number from {least} to {most}"),
            Self::Text | Self::Like(_) => "a text".to_owned(),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::Words(words) => format!("a list of {}", words.join(", ")),
            Self::One(_) | Self::Named(_) => "a table".to_owned(),
            Self::Many(_) => "a list of tables".to_owned(),
        }
    }
}

fn schema(shape: &Shape) -> Json {
    match shape {
        Shape::Flag => json!({"type": "boolean"}),
        Shape::Number(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
        Shape::Text | Shape::Like(_) => json!({"type": "string", "minLength": 1}),
        Shape::Word(words) => json!({"enum": words}),
        Shape::Words(words) => json!({"type": "array", "items": {"enum": words}}),
        Shape::One(keys) => object(keys),
        Shape::Named(keys) => json!({"type": "object", "additionalProperties": object(keys)}),
        Shape::Many(keys) => json!({"type": "array", "items": object(keys)}),
    }
}

fn object(keys: &[Key]) -> Json {
    let property = |key: &Key| {
        let mut property = schema(&key.shape);
        property["description"] = json!(key.doc);
        (key.name.to_owned(), property)
    };
    let properties: serde_json::Map<_, _> = keys.iter().map(property).collect();
    let required: Vec<&str> = keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut object = json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}
