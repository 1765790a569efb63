//! A map's text as a tree in which every key and value knows its place.
//!
//! TOML and JSON both become this tree, and one decoder reads it. serde would stop at the first problem and knows no
//! places inside JSON; here every problem of a run can be reported.

use super::super::model::Place;

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

    /// The members of a table; `None` for other values.
    pub(super) fn members(&self) -> Option<&[Member]> {
        match &self.value {
            Value::Table(members) => Some(members),
            _ => None,
        }
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
