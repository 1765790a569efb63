//! One line to one record.

use nom::Parser;
use nom::branch::alt;
use nom::combinator::{map, map_opt};
use nom::sequence::preceded;

use super::leaf::{Mistake, Read, address, blanks, integer, is_blank, null, token};
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
    parse_text(as_text(line)?, 0, format, record)
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
    start: usize,
    format: &LogFormat,
    record: &mut FlowRecord<'a>,
) -> Result<(), ParseError> {
    record.clear();
    let line = line.strip_suffix('\r').unwrap_or(line);
    let columns = line.get(start..).unwrap_or_default();
    read_columns(columns, format, record).map_err(|fault| fault.explain(line, start, format))
}

/// Where reading stopped.
struct Fault<'a> {
    /// Index of the column.
    column: usize,
    /// The input from the blanks before its value on.
    input: &'a str,
    mistake: Mistake,
}

/// Reads the values in the order of the format.
#[inline]
fn read_columns<'a>(line: &'a str, format: &LogFormat, record: &mut FlowRecord<'a>) -> Result<(), Fault<'a>> {
    let mut input = line;
    for (index, column) in format.columns().iter().enumerate() {
        let read = match *column {
            Column::Field(field) => preceded(blanks, |value| read_field(value, field, record)).parse(input),
            Column::Extra(name) => {
                preceded(blanks, alt((null, map(token, |value| record.push_extra(name, value))))).parse(input)
            }
            Column::Repeated => preceded(blanks, map(token, drop)).parse(input),
        };
        input = match read {
            Ok((rest, ())) => rest,
            Err(error) => return Err(Fault { column: index, input, mistake: mistake(error) }),
        };
    }
    match blanks(input) {
        Ok(_) => Err(Fault { column: format.columns().len(), input, mistake: Mistake::End }),
        Err(_) => Ok(()),
    }
}

/// Reads one value into its field.
#[inline]
fn read_field<'a>(input: &'a str, field: Field, record: &mut FlowRecord<'a>) -> Read<'a, ()> {
    if let Ok(null) = null(input) {
        return Ok(null);
    }
    match field.def().field_type {
        FieldType::Int32 { .. } | FieldType::Int64 | FieldType::Time => {
            let (rest, value) = integer(input)?;
            if record.set_number(field, value) { Ok((rest, ())) } else { Err(nom::Err::Error(Mistake::Int)) }
        }
        FieldType::Address => {
            map(address, |(written, parsed)| record.set_address(field, written, parsed)).parse(input)
        }
        FieldType::Action => map(map_opt(token, Action::from_name), |action| record.set_action(action)).parse(input),
        FieldType::Status => {
            map(map_opt(token, LogStatus::from_name), |status| record.set_status(status)).parse(input)
        }
        FieldType::Text => map(token, |value| record.set_text(field, value)).parse(input),
    }
}

fn mistake(error: nom::Err<Mistake>) -> Mistake {
    match error {
        nom::Err::Error(mistake) | nom::Err::Failure(mistake) => mistake,
        nom::Err::Incomplete(_) => Mistake::End,
    }
}

impl Fault<'_> {
    /// The error for the user. `line` is the whole line, whose columns begin at byte `start`.
    #[cold]
    fn explain(&self, line: &str, start: usize, format: &LogFormat) -> ParseError {
        let expected = format.columns().len();
        let columns = line.get(start..).unwrap_or_default();
        let mut offsets = token_offsets(columns);
        let got = offsets.clone().count();
        if got != expected {
            let byte = offsets.nth(expected).map_or(line.len(), |surplus| start + surplus);
            return ParseError { kind: ParseErrorKind::FieldCount { expected, got }, field: None, byte };
        }
        let value = self.input.trim_start_matches([' ', '\t']);
        let quoted = quote(token(value).map_or("", |(_, value)| value));
        ParseError {
            kind: match self.mistake {
                Mistake::Int => ParseErrorKind::BadInt(quoted),
                Mistake::Address => ParseErrorKind::BadAddress(quoted),
                Mistake::Value | Mistake::End => ParseErrorKind::BadValue(quoted),
            },
            field: format.names().get(self.column).cloned(),
            byte: line.len() - value.len(),
        }
    }
}

/// Where the values of a line begin.
fn token_offsets(line: &str) -> impl Iterator<Item = usize> + Clone {
    let blank_before = std::iter::once(true).chain(line.bytes().map(is_blank));
    line.bytes().zip(blank_before).enumerate().filter(|(_, (byte, before))| *before && !is_blank(*byte)).map(|(at, _)| at)
}

fn quote(value: &str) -> String {
    match value.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}...", value.get(..end).unwrap_or_default()),
        None => value.to_owned(),
    }
}
