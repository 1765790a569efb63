//! One line to one record.

use super::leaf::{Mistake, Read, Value, Values, address, integer, is_blank, value};
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
    parse_text(as_text(line)?, line, 0, format, record)
}

/// The line as text.
pub(super) fn as_text(line: &[u8]) -> Result<&str, ParseError> {
    str::from_utf8(line).map_err(|error| ParseError {
        kind: ParseErrorKind::NotUtf8,
        field: None,
        byte: error.valid_up_to(),
    })
}

/// Reads a line into `record`, from byte `start` on: what stands before belongs to no column.
#[inline]
pub(super) fn parse_text<'a>(
    line: &'a str,
    bytes: &'a [u8],
    start: usize,
    format: &LogFormat,
    record: &mut FlowRecord<'a>,
) -> Result<(), ParseError> {
    record.clear();
    let line = line.strip_suffix('\r').unwrap_or(line);
    read_columns(Values::new(line, bytes, start), format, record).map_err(|fault| fault.explain(line, start, format))
}

/// Where reading stopped.
struct Fault<'a> {
    /// Index of the column.
    column: usize,
    /// The input before its value.
    input: Values<'a>,
    error: nom::Err<Mistake>,
}

/// Reads the values in the order of the format.
#[inline]
fn read_columns<'a>(line: Values<'a>, format: &LogFormat, record: &mut FlowRecord<'a>) -> Result<(), Fault<'a>> {
    let mut input = line;
    for (index, column) in format.columns().iter().enumerate() {
        match read_column(input, *column, record) {
            Ok((rest, ())) => input = rest,
            Err(error) => return Err(Fault { column: index, input, error }),
        }
    }
    match value(input) {
        Ok(_) => Err(Fault { column: format.columns().len(), input, error: nom::Err::Error(Mistake::End) }),
        Err(_) => Ok(()),
    }
}

/// Reads the next value into the place that the column names.
#[inline(always)]
fn read_column<'a>(input: Values<'a>, column: Column, record: &mut FlowRecord<'a>) -> Read<'a, ()> {
    let (rest, value) = value(input)?;
    if !value.is_null() {
        match column {
            Column::Field(field) => read_field(value, field, record).map_err(nom::Err::Error)?,
            Column::Extra(name) => record.push_extra(name, value.text()),
            Column::Repeated => {}
        }
    }
    Ok((rest, ()))
}

#[inline(always)]
fn read_field<'a>(value: Value<'a>, field: Field, record: &mut FlowRecord<'a>) -> Result<(), Mistake> {
    // in the order of how often they come: a chain of guesses that go right is faster than a jump table
    let field_type = field.def().field_type;
    if field_type.is_number() {
        let number = integer(value)?;
        if !record.set_number(field, number) {
            return Err(Mistake::Int);
        }
    } else if field_type == FieldType::Text {
        record.set_text(field, value.text());
    } else if field_type == FieldType::Address {
        record.set_address(field, value.text(), address(value)?);
    } else if field_type == FieldType::Action {
        record.set_action(Action::from_name(value.text()).ok_or(Mistake::Value)?);
    } else {
        record.set_status(LogStatus::from_name(value.text()).ok_or(Mistake::Value)?);
    }
    Ok(())
}

impl Fault<'_> {
    /// The error for the user. `line` is the whole line, whose columns begin at byte `start`.
    #[cold]
    fn explain(&self, line: &str, start: usize, format: &LogFormat) -> ParseError {
        let expected = format.columns().len();
        let mut offsets = value_offsets(line).skip_while(|at| *at < start);
        let got = offsets.clone().count();
        if got != expected {
            let byte = offsets.nth(expected).unwrap_or(line.len());
            return ParseError { kind: ParseErrorKind::FieldCount { expected, got }, field: None, byte };
        }
        let quoted = quote(value(self.input).map_or("", |(_, value)| value.text()));
        let kind = match self.error {
            nom::Err::Error(Mistake::Int) => ParseErrorKind::BadInt(quoted),
            nom::Err::Error(Mistake::Address) => ParseErrorKind::BadAddress(quoted),
            _ => ParseErrorKind::BadValue(quoted),
        };
        let byte = offsets.nth(self.column).unwrap_or(line.len());
        ParseError { kind, field: format.names().get(self.column).cloned(), byte }
    }
}

/// Where the values of a line begin.
fn value_offsets(line: &str) -> impl Iterator<Item = usize> + Clone {
    let blank_before = std::iter::once(true).chain(line.bytes().map(is_blank));
    line.bytes()
        .zip(blank_before)
        .enumerate()
        .filter(|(_, (byte, before))| *before && !is_blank(*byte))
        .map(|(at, _)| at)
}

fn quote(value: &str) -> String {
    match value.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}...", value.get(..end).unwrap_or_default()),
        None => value.to_owned(),
    }
}
