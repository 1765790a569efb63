//! TOML into the tree, as much of it as can be read in spite of syntax errors.
//!
//! The `toml` crate goes on after an error, but a bracket that is not closed makes garbage of all that follows. So
//! where there are errors, each section, from one table header to the next, is parsed on its own: an error stays in
//! its section. The lines with errors are then blanked (the rest of the section, if that is not enough), and the text
//! is parsed again: what is left is sound, and all places are still those of the original.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use super::super::model::Place;
use super::node::{Member, Node, Value};
use super::problem::Sink;

/// Reads TOML; syntax errors go to `sink`.
pub(super) fn read_toml(file: u16, text: &str, sink: &mut Sink) -> Node {
    let (root, errors) = DeTable::parse_recoverable(text);
    if errors.iter().all(is_duplicate) {
        return whole(file, text, root, &errors, sink);
    }
    let mut mended = text.as_bytes().to_vec();
    for section in sections(text) {
        mend(file, text, section, &mut mended, sink);
    }
    // Blanks replace whole characters, so this is text still.
    let mended = String::from_utf8_lossy(&mended);
    let (root, errors) = DeTable::parse_recoverable(&mended);
    whole(file, text, root, &errors, sink)
}

/// The tree of a text that has no errors but keys that stand twice.
fn whole(file: u16, text: &str, root: Spanned<DeTable<'_>>, errors: &[Error], sink: &mut Sink) -> Node {
    for error in errors.iter().filter(|error| is_duplicate(error)) {
        let span = error.span().unwrap_or(0..0);
        let message = format!("`{}` is defined twice", text.get(span.clone()).unwrap_or_default());
        sink.add(&Place { file, span }, message).hint("rename or remove one of the two");
    }
    let span = root.span();
    Node { place: Place { file, span }, value: table(file, root.into_inner()) }
}

fn is_duplicate(error: &Error) -> bool {
    error.message() == "duplicate key"
}

/// The text from each table header to the next.
fn sections(text: &str) -> Vec<Range<usize>> {
    let mut starts = vec![0];
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let inside = line.trim_start().strip_prefix('[').map(|rest| rest.strip_prefix('[').unwrap_or(rest));
        if at > 0 && inside.is_some_and(|inside| inside.starts_with(|first: char| first.is_ascii_alphabetic())) {
            starts.push(at);
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect()
}

/// Reports the syntax errors of a section and blanks what must be blanked to be rid of them.
fn mend(file: u16, text: &str, section: Range<usize>, mended: &mut [u8], sink: &mut Sink) {
    let source = text.get(section.clone()).unwrap_or_default();
    let (_, mut errors) = DeTable::parse_recoverable(source);
    errors.retain(|error| !is_duplicate(error));
    // The same error line after line is one that does not end.
    errors.dedup_by(|next, error| next.message() == error.message());
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        let place = Place { file, span: section.start + span.start..section.start + span.end };
        sink.broken(&place, format!("invalid TOML: {}", error.message())).hint =
            hint(error.message(), place.span.is_empty());
    }
    let mut starts: Vec<usize> = errors.iter().map(|error| error.span().unwrap_or(0..0).start).collect();
    starts.sort_unstable();
    let Some(&first) = starts.first() else { return };
    let has_error = |line: Range<usize>| {
        let next = starts.partition_point(|&start| start < line.start);
        starts.get(next).is_some_and(|start| line.contains(start))
    };
    // Without its header, a section would pass for more of the section before it.
    let header = source.find('\n').unwrap_or(source.len());
    let headless = section.start > 0 && first <= header;
    let attempts = [
        blanked(source, |line| headless || has_error(line)),
        blanked(source, |line| headless || section.start == 0 || line.start > header),
        blanked(source, |_| true),
    ];
    let sound = attempts.iter().find(|attempt| DeTable::parse_recoverable(attempt).1.iter().all(is_duplicate));
    if let (Some(target), Some(sound)) = (mended.get_mut(section), sound) {
        target.copy_from_slice(sound.as_bytes());
    }
}

/// The text with some lines, given by their bytes with the newline, made blank.
fn blanked(text: &str, bad: impl Fn(Range<usize>) -> bool) -> String {
    let mut at = 0;
    let mut result = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if bad(at..at + line.len()) {
            result.extend(line.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
        } else {
            result.push_str(line);
        }
        at += line.len();
    }
    result
}

/// What to do about the commonest slips.
fn hint(message: &str, nothing: bool) -> Option<String> {
    let hint = match message {
        _ if message.starts_with("string values must be quoted") && nothing => "write a value after the `=`",
        _ if message.starts_with("missing comma between array elements") => "or a `]` is missing before this",
        _ if message.starts_with("unclosed array") => "close the list with `]`",
        _ if message.starts_with("invalid basic string") => "close the string with `\"` on its line",
        _ if message.starts_with("string values must be quoted") => "put it in double quotes",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn table(file: u16, table: DeTable<'_>) -> Value {
    let member = |(key, value): (Spanned<_>, Spanned<_>)| {
        let place = Place { file, span: key.span() };
        Member { key: Cow::into_owned(key.into_inner()), place, node: node(file, value) }
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
