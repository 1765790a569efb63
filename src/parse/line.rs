//! One line to one record.

use std::ops::Range;

use nom::combinator::iterator;

use super::leaf::{Mistake, Read, Value, Values, address, integer, ipv4_address, value};
use crate::record::{Action, Column, Field, FieldType, FlowRecord, LogFormat, LogStatus, ParseError, ParseErrorKind};

/// The longest part of a bad value that an error quotes, in characters; the quarantine holds the line itself.
const QUOTED: usize = 80;

/// Reads one line, without its `\n`, into `record`, whose former content goes.
///
/// # Errors
///
/// A line that is not UTF-8, has another number of columns than the format, or a value that its column cannot hold.
/// A wrong number of columns is told first, because the values then stand in the wrong columns. After an error the
/// record has no meaning.
pub fn parse_line<'a>(line: &'a [u8], format: &LogFormat, record: &mut FlowRecord<'a>) -> Result<(), ParseError> {
    let line = as_text(line)?;
    parse_text(line, 0..line.len(), 0, (format, &steps(format)), record)
}

/// The line as text.
pub(super) fn as_text(line: &[u8]) -> Result<&str, ParseError> {
    str::from_utf8(line).map_err(|error| ParseError {
        kind: ParseErrorKind::NotUtf8,
        field: None,
        byte: error.valid_up_to(),
    })
}

/// Reads a line of `text` into `record`, except for the first `prefix` bytes, which belong to no column.
#[inline]
pub(super) fn parse_text<'a>(
    text: &'a str,
    mut line: Range<usize>,
    prefix: usize,
    (format, steps): (&LogFormat, &[Step]),
    record: &mut FlowRecord<'a>,
) -> Result<(), ParseError> {
    record.clear();
    if text.as_bytes().get(line.clone()).is_some_and(|line| line.ends_with(b"\r")) {
        line.end -= 1;
    }
    let values = Values::new(text, line.start + prefix, line.end);
    read_values(values, steps, record).map_err(|fault| fault.explain(values, line, format))
}

/// Where reading stopped, and why.
struct Fault {
    /// Index of the column.
    column: usize,
    error: nom::Err<Mistake>,
}

/// Reads the values in the order of the format.
#[inline]
fn read_values<'a>(line: Values<'a>, steps: &[Step], record: &mut FlowRecord<'a>) -> Result<(), Fault> {
    let mut input = line;
    for (column, step) in steps.iter().enumerate() {
        match read_value(input, *step, record) {
            Ok((rest, ())) => input = rest,
            Err(error) => return Err(Fault { column, error }),
        }
    }
    match value(input) {
        Ok(_) => Err(Fault { column: steps.len(), error: nom::Err::Error(Mistake::End) }),
        Err(_) => Ok(()),
    }
}

/// What to do with the next value of a line: a column of the format, with the kind of its field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Number(Field),
    Text(Field),
    Address(Field),
    Action,
    Status,
    Extra(u16),
    Skip,
}

/// How lines of this format are read.
pub(super) fn steps(format: &LogFormat) -> Vec<Step> {
    let step = |column: &Column| match *column {
        Column::Field(field) => match field.def().field_type {
            FieldType::Int32 { .. } | FieldType::Int64 | FieldType::Time => Step::Number(field),
            FieldType::Text => Step::Text(field),
            FieldType::Address => Step::Address(field),
            FieldType::Action => Step::Action,
            FieldType::Status => Step::Status,
        },
        Column::Extra(name) => Step::Extra(name),
        Column::Repeated => Step::Skip,
    };
    format.columns().iter().map(step).collect()
}

/// Reads the next value into its place.
#[inline(always)]
fn read_value<'a>(input: Values<'a>, step: Step, record: &mut FlowRecord<'a>) -> Read<'a, ()> {
    let (rest, value) = value(input)?;
    if !value.is_null {
        take_step(step, value, record).map_err(nom::Err::Error)?;
    }
    Ok((rest, ()))
}

#[inline(always)]
fn take_step<'a>(step: Step, value: Value<'a>, record: &mut FlowRecord<'a>) -> Result<(), Mistake> {
    match step {
        Step::Number(field) => {
            let number = integer(value)?;
            if !record.set_number(field, number) {
                return Err(Mistake::Int);
            }
        }
        Step::Text(field) => record.set_text(field, value.text()),
        Step::Address(field) => match ipv4_address(value) {
            Some(address) => record.set_address(field, value.text(), address),
            None => record.set_address(field, value.text(), address(value.text())?),
        },
        Step::Action => record.set_action(Action::from_name(value.text()).ok_or(Mistake::Value)?),
        Step::Status => record.set_status(LogStatus::from_name(value.text()).ok_or(Mistake::Value)?),
        Step::Extra(name) => record.push_extra(name, value.text()),
        Step::Skip => {}
    }
    Ok(())
}

impl Fault {
    /// The error for the user.
    #[cold]
    fn explain(&self, values: Values<'_>, line: Range<usize>, format: &LogFormat) -> ParseError {
        let values: Vec<Value<'_>> = iterator(values, value).collect();
        let (expected, got) = (format.columns().len(), values.len());
        if got != expected {
            let byte = values.get(expected).map_or(line.len(), |surplus| surplus.start - line.start);
            return ParseError { kind: ParseErrorKind::FieldCount { expected, got }, field: None, byte };
        }
        let (quoted, byte) = values
            .get(self.column)
            .map_or((String::new(), line.len()), |value| (quote(value.text()), value.start - line.start));
        let kind = match self.error {
            nom::Err::Error(Mistake::Int) => ParseErrorKind::BadInt(quoted),
            nom::Err::Error(Mistake::Address) => ParseErrorKind::BadAddress(quoted),
            _ => ParseErrorKind::BadValue(quoted),
        };
        ParseError { kind, field: format.names().get(self.column).cloned(), byte }
    }
}

fn quote(value: &str) -> String {
    match value.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}...", value.get(..end).unwrap_or_default()),
        None => value.to_owned(),
    }
}
