//! A map's text as a tree in which every key and value knows its place.
//!
//! TOML and JSON both become this tree, and one decoder reads it. serde would stop at the first problem and knows no
//! places inside JSON; here every problem of a run can be reported.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::model::Place;
use super::problem::Sink;

/// A value with its place.
#[derive(Debug)]
pub(super) struct Node {
    /// The value's bytes; of a container in JSON only the bracket that opens it.
    pub(super) place: Place,
    /// What stands there.
    pub(super) value: Value,
}

/// What can stand in a map, in TOML or JSON.
#[derive(Debug)]
pub(super) enum Value {
    /// A string.
    Text(String),
    /// An integer; `None` when it needs more than 64 bits.
    Integer(Option<i64>),
    /// A number with a fraction or an exponent.
    Float,
    /// `true` or `false`.
    Flag(bool),
    /// A date or time of TOML, as it is written.
    Date(String),
    /// `null`, in JSON.
    Null,
    /// A list.
    List(Vec<Node>),
    /// A table, in the order of the text.
    Table(Vec<Member>),
    /// What a syntax error, already reported, has left.
    Broken,
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Member {
    /// The key.
    pub(super) key: String,
    /// The key's bytes.
    pub(super) place: Place,
    /// The value.
    pub(super) node: Node,
}

impl Node {
    /// The tree of a text in which nothing stands.
    pub(super) fn empty(file: u16) -> Self {
        Self { place: Place { file, span: 0..0 }, value: Value::Table(Vec::new()) }
    }
}

impl Value {
    /// The kind of value, with its article, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float => "a number with a fraction",
            Self::Flag(_) => "a boolean",
            Self::Date(_) => "a date",
            Self::Null => "null",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Broken => "nothing",
        }
    }
}

/// Reads TOML; syntax errors go to `sink`, and what could be read in spite of them is returned.
pub(super) fn read_toml(file: u16, text: &str, sink: &mut Sink) -> Node {
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let token = text.get(span.clone()).unwrap_or_default().to_owned();
        let place = Place { file, span };
        if error.message() == "duplicate key" {
            sink.add(&place, format!("`{token}` is defined twice")).hint("rename or remove one of the two");
        } else {
            sink.broken(&place, format!("invalid TOML: {}", error.message()));
        }
    }
    let span = root.span();
    Node { place: Place { file, span }, value: table(file, root.into_inner()) }
}

fn table(file: u16, table: DeTable<'_>) -> Value {
    let member = |(key, value): (Spanned<_>, Spanned<_>)| {
        let place = Place { file, span: key.span() };
        Member { key: std::borrow::Cow::into_owned(key.into_inner()), place, node: node(file, value) }
    };
    let mut members: Vec<Member> = table.into_iter().map(member).collect();
    // The crate sorts by name; people think in the order that they wrote.
    members.sort_by_key(|member| member.place.span.start);
    Value::Table(members)
}

/// The crate bounds the depth of nesting, so this recursion is bounded too.
fn node(file: u16, value: Spanned<DeValue<'_>>) -> Node {
    let span = value.span();
    let value = match value.into_inner() {
        // The crate's stand-in for a value that is not there.
        DeValue::Integer(_) if span.is_empty() => Value::Broken,
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok()),
        DeValue::Float(_) => Value::Float,
        DeValue::Boolean(flag) => Value::Flag(flag),
        DeValue::Datetime(date) => Value::Date(date.to_string()),
        DeValue::Array(items) => Value::List(items.into_iter().map(|item| node(file, item)).collect()),
        DeValue::Table(members) => table(file, members),
    };
    Node { place: Place { file, span }, value }
}
