//! A reader of JSON (RFC 8259) that keeps the place of every key and value.
//!
//! serde_json knows places of syntax errors only; a map's problems are mostly of meaning. So structure is read here,
//! and serde_json decodes the single strings and numbers. The first syntax error ends the reading: what follows it
//! cannot be told apart safely.

use std::collections::HashMap;
use std::ops::Range;

use super::super::model::Place;
use super::node::{Member, Node, Value};
use super::problem::Sink;

/// Containers inside each other; a map needs five.
const MAX_DEPTH: usize = 64;

/// Reads JSON; a syntax error goes to `sink`, and what was read before it is returned.
pub(super) fn read_json(file: u16, text: &str, sink: &mut Sink) -> Node {
    let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut reader = Reader { file, text, at, failed: false, sink };
    let root = reader.value(0);
    reader.space();
    if reader.at < text.len() {
        reader.fail(reader.at..reader.at, "text after the end of the map");
    }
    root
}

struct Reader<'a> {
    file: u16,
    text: &'a str,
    /// The next byte; always on a whole character.
    at: usize,
    failed: bool,
    sink: &'a mut Sink,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Steps over the byte if it is the next one.
    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Steps over all bytes that fit.
    fn skip(&mut self, fits: impl Fn(u8) -> bool) -> Range<usize> {
        let start = self.at;
        while self.peek().is_some_and(&fits) {
            self.at += 1;
        }
        start..self.at
    }

    fn space(&mut self) {
        self.skip(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    }

    fn slice(&self, span: &Range<usize>) -> &str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// Reports a syntax error, unless one was reported before, and ends the reading.
    fn fail(&mut self, span: Range<usize>, message: &str) -> Value {
        if !self.failed {
            self.failed = true;
            let place = Place { file: self.file, span };
            self.sink.broken(&place, format!("invalid JSON: {message}"));
        }
        self.at = self.text.len();
        Value::Broken
    }

    fn value(&mut self, depth: usize) -> Node {
        self.space();
        let start = self.at;
        let value = match self.peek() {
            Some(b'{' | b'[') if depth == MAX_DEPTH => self.fail(start..start + 1, "nested too deeply for a map"),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'"') => self.string().map_or(Value::Broken, |(text, _)| Value::Text(text)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => self.word(),
            None => self.fail(start..start, "the text ends where a value is expected"),
        };
        let end = if matches!(value, Value::List(_) | Value::Table(_)) { start + 1 } else { self.at.max(start) };
        Node { place: Place { file: self.file, span: start..end }, value }
    }

    fn object(&mut self, depth: usize) -> Value {
        self.at += 1;
        let mut members: Vec<Member> = Vec::new();
        let mut seen: HashMap<String, Place> = HashMap::new();
        self.space();
        if self.eat(b'}') {
            return Value::Table(members);
        }
        while !self.failed {
            self.space();
            let Some((key, span)) = self.string() else { break };
            let place = Place { file: self.file, span };
            self.space();
            if !self.eat(b':') {
                self.fail(self.at..self.at, "expected `:` after a key");
                break;
            }
            let node = self.value(depth);
            match seen.insert(key.clone(), place.clone()) {
                Some(first) => {
                    let problem = self.sink.add(&place, format!("`{key}` is defined twice"));
                    problem.hint("rename or remove one of the two").related(&first, "first defined here");
                }
                None => members.push(Member { key, place, node }),
            }
            self.space();
            if self.eat(b'}') {
                break;
            }
            if !self.eat(b',') {
                self.fail(self.at..self.at, "expected `,` or `}` in an object");
            }
        }
        Value::Table(members)
    }

    fn array(&mut self, depth: usize) -> Value {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.eat(b']') {
            return Value::List(items);
        }
        while !self.failed {
            items.push(self.value(depth));
            self.space();
            if self.eat(b']') {
                break;
            }
            if !self.eat(b',') {
                self.fail(self.at..self.at, "expected `,` or `]` in an array");
            }
        }
        Value::List(items)
    }

    /// The decoded string and its bytes, quotes included.
    fn string(&mut self) -> Option<(String, Range<usize>)> {
        let start = self.at;
        if !self.eat(b'"') {
            self.fail(start..start, "expected a string in double quotes");
            return None;
        }
        loop {
            self.skip(|byte| byte != b'"' && byte != b'\\');
            match self.peek() {
                Some(b'"') => break,
                // What follows a backslash is never the end of the string; it may be half a character.
                Some(_) => self.at += 2,
                None => {
                    self.fail(start..start + 1, "a string that does not end");
                    return None;
                }
            }
        }
        self.at += 1;
        let span = start..self.at;
        match serde_json::from_str::<String>(self.slice(&span)) {
            Ok(text) => Some((text, span)),
            Err(_) => {
                self.fail(span, "a string with a bare control character or an unknown escape");
                None
            }
        }
    }

    fn number(&mut self) -> Value {
        let span = self.skip(|byte| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'));
        let token = self.slice(&span);
        let whole = !token.contains(['.', 'e', 'E']);
        match serde_json::from_str::<serde::de::IgnoredAny>(token) {
            Ok(_) if whole => Value::Integer(token.parse().ok()),
            Ok(_) => Value::Float,
            Err(_) => self.fail(span, "not a number"),
        }
    }

    fn word(&mut self) -> Value {
        let span = self.skip(|byte| byte.is_ascii_alphanumeric());
        match self.slice(&span) {
            "true" => Value::Flag(true),
            "false" => Value::Flag(false),
            "null" => Value::Null,
            _ => self.fail(span, "expected a value"),
        }
    }
}
