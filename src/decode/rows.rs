//! Parquet to lines: each row is written as a line of a text log would be, and goes the same way.
//!
//! A value that is null or empty becomes `-`, a timestamp becomes Unix time, a floating-point number without a
//! fraction (pandas writes integers with gaps so) becomes an integer. Blanks inside a value are percent-encoded.
//! `None`, which pandas writes for a gap in a column of text, is one in a column that holds no free text.
//! Columns are known by name alone, so any order and any subset will do.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use super::lines::{Out, Pool};
use super::values::{float, write_value};
use super::{DecodeError, DecodeOptions, DecodeSummary, Piece};
use crate::record::field::is_known_name;
use crate::record::{Column, FieldType, LineChunk, LogFormat, ParseError, ParseErrorKind};

const BATCH_ROWS: usize = 4096;

/// Reads the whole object and hands out its rows; counts into `summary`.
pub(super) fn decode(
    object: Vec<u8>,
    options: &DecodeOptions,
    pool: &mut Pool,
    summary: &mut DecodeSummary,
    out: Out<'_>,
) -> Result<(), DecodeError> {
    // the types of the file itself, not those that its writer's Arrow had: fewer kinds of arrays
    let reader_options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = guard(|| ParquetRecordBatchReaderBuilder::try_new_with_options(Bytes::from(object), reader_options))?;
    let names: Vec<String> = builder.schema().fields().iter().map(|field| aws_name(field.name())).collect();
    if !names.iter().any(|name| is_known_name(name)) {
        return Err(DecodeError::NoFlowLog(names.join(", ")));
    }
    let mut writer = Writer {
        options,
        format: Arc::new(LogFormat::from_names(names.iter().map(String::as_str))),
        text: pool.empty(),
        chunk_line: 1,
        line: 1,
        rejected: 0,
    };
    let mut reader = guard(|| builder.with_batch_size(BATCH_ROWS).build())?;
    let mut result = Ok(());
    while result.is_ok() {
        result = match guard(|| reader.next().transpose()) {
            Ok(None) => break,
            Ok(Some(batch)) => writer.push(&batch, pool, summary, out),
            Err(error) => Err(error),
        };
    }
    writer.emit(pool, out);
    summary.lines = u64::try_from(writer.line - 1).unwrap_or(0);
    summary.rejected = writer.rejected;
    result
}

/// Calls into the Parquet reader. It is made for files that a writer wrote; on damaged ones it can panic, and one
/// damaged object must not end the run.
fn guard<T, E: ToString>(read: impl FnOnce() -> Result<T, E>) -> Result<T, DecodeError> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|error| DecodeError::BadParquet(error.to_string())),
        Err(_) => Err(DecodeError::BadParquet("its structure contradicts itself".to_owned())),
    }
}

/// The name as text logs have it, so that both give the same keys where the name is no field (Transit Gateway).
fn aws_name(column: &str) -> String {
    if is_known_name(column) { column.replace('_', "-") } else { column.to_owned() }
}

struct Writer<'o> {
    options: &'o DecodeOptions,
    format: Arc<LogFormat>,
    text: Vec<u8>,
    chunk_line: i64,
    line: i64,
    rejected: u64,
}

impl Writer<'_> {
    fn push(
        &mut self,
        batch: &RecordBatch,
        pool: &mut Pool,
        summary: &mut DecodeSummary,
        out: Out<'_>,
    ) -> Result<(), DecodeError> {
        let columns = batch.columns().iter().map(values).collect::<Result<Vec<_>, _>>()?;
        let columns: Vec<_> = columns.iter().zip(self.format.columns().iter().copied().map(is_free_text)).collect();
        for row in 0..batch.num_rows() {
            let start = self.text.len();
            for (column, free_text) in &columns {
                if self.text.len() > start {
                    self.text.push(b' ');
                }
                let value = if column.is_null(row) { &[] } else { column.value(row) };
                let gap = value == b"None" && !free_text;
                write_value(if gap { &[] } else { value }, &mut self.text);
            }
            let length = self.text.len() - start;
            summary.bytes_out += length as u64 + 1;
            if length > self.options.max_line {
                let raw = self.text.split_off(start);
                self.emit(pool, out);
                self.reject(raw, out);
                self.chunk_line = self.line + 1;
            } else {
                self.text.push(b'\n');
            }
            self.line += 1;
            if self.text.len() >= self.options.chunk_bytes {
                self.emit(pool, out);
            }
            let limit = self.options.max_inflated;
            if summary.bytes_out > limit {
                return Err(DecodeError::TooLarge { limit });
            }
        }
        Ok(())
    }

    fn emit(&mut self, pool: &mut Pool, out: Out<'_>) {
        if !self.text.is_empty() {
            out(Piece::Lines(LineChunk {
                bytes: std::mem::replace(&mut self.text, pool.empty()),
                first_line: self.chunk_line,
                format: self.format.clone(),
                timestamp_prefix: false,
            }));
        }
        self.chunk_line = self.line;
    }

    fn reject(&mut self, mut raw: Vec<u8>, out: Out<'_>) {
        let limit = self.options.max_line;
        raw.truncate(limit);
        let error = ParseError { kind: ParseErrorKind::TooLong { limit }, field: None, byte: limit };
        out(Piece::Rejected { line: self.line, raw, error });
        self.rejected += 1;
    }
}

fn is_free_text(column: Column) -> bool {
    match column {
        Column::Field(field) => field.def().field_type == FieldType::Text,
        Column::Extra(_) | Column::Repeated => true,
    }
}

/// The column's values as a text log has them.
fn values(column: &ArrayRef) -> Result<BinaryArray, DecodeError> {
    use DataType::{Binary, Float16, Float32, Float64, Int64, Timestamp, Utf8};
    let convert = |column: &ArrayRef, to: &DataType| guard(|| cast(column, to));
    let written = match column.data_type() {
        Binary => column.clone(),
        Utf8 => convert(column, &Binary)?,
        whole if whole.is_integer() => convert(&convert(column, &Utf8)?, &Binary)?,
        Float16 | Float32 | Float64 => {
            let numbers = convert(column, &Float64)?;
            let numbers = numbers.as_primitive::<Float64Type>().iter();
            return Ok(numbers.map(|value| value.filter(|value| !value.is_nan()).map(float)).collect());
        }
        Timestamp(unit, _) => {
            let unit = *unit;
            let counts = convert(column, &Int64)?;
            let counts = counts.as_primitive::<Int64Type>().iter();
            return Ok(counts.map(|count| count.map(|count| unix_time(count, unit))).collect());
        }
        _ => return displayed(column),
    };
    Ok(written.as_binary::<i32>().clone())
}

/// Seconds where nothing is lost, else milliseconds: a log may have either.
fn unix_time(count: i64, unit: TimeUnit) -> String {
    let milliseconds = match unit {
        TimeUnit::Second => i128::from(count) * 1000,
        TimeUnit::Millisecond => i128::from(count),
        TimeUnit::Microsecond => i128::from(count.div_euclid(1000)),
        TimeUnit::Nanosecond => i128::from(count.div_euclid(1_000_000)),
    };
    let seconds = milliseconds / 1000;
    if milliseconds % 1000 == 0 && seconds <= i128::from(i32::MAX) {
        seconds.to_string()
    } else {
        milliseconds.to_string()
    }
}

/// Values of a type that AWS does not write, as Arrow shows them.
fn displayed(column: &ArrayRef) -> Result<BinaryArray, DecodeError> {
    let options = FormatOptions::default();
    let formatter = guard(|| ArrayFormatter::try_new(column, &options))?;
    let mut texts = Vec::with_capacity(column.len());
    for row in 0..column.len() {
        let mut text = String::new();
        if !column.is_null(row) {
            guard(|| write!(text, "{}", formatter.value(row)))?;
        }
        texts.push(text);
    }
    Ok(BinaryArray::from_iter_values(texts))
}
