//! One Parquet file of the lake, read for what a check asks of it.

use std::fs::File;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::super::flow_file::Conserved;

/// Rows read at a time.
const BATCH_ROWS: usize = 1 << 13;

/// The columns by which rows of a table are told apart, and those that are summed up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    pub(super) folder: &'static str,
    pub(super) name: &'static str,
    pub(super) number: &'static str,
    packets: Option<&'static str>,
    bytes: Option<&'static str>,
}

pub(super) const FLOWS: Table =
    Table { folder: "flows", name: "source", number: "line", packets: Some("packets"), bytes: Some("bytes") };
pub(super) const ALERTS: Table =
    Table { folder: "alerts", name: "alert_id", number: "revision", packets: None, bytes: None };

/// Why a file cannot be read.
#[derive(Debug)]
pub(super) enum Unreadable<E> {
    /// It is no Parquet file of this table, or damaged.
    Damaged(String),
    /// What was to be done with its rows failed.
    Other(E),
}

/// Shows the name and the number of each row; the file's rows and sums.
pub(super) fn scan<E>(
    file: File,
    table: &Table,
    mut show: impl FnMut(&str, i64) -> Result<(), E>,
) -> Result<Conserved, Unreadable<E>> {
    let damaged = |error: parquet::errors::ParquetError| Unreadable::Damaged(error.to_string());
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(damaged)?;
    let columns = [Some(table.name), Some(table.number), table.packets, table.bytes];
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.into_iter().flatten());
    let reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(damaged)?;
    let mut conserved = Conserved::default();
    for batch in reader {
        let batch = batch.map_err(|error| Unreadable::Damaged(error.to_string()))?;
        conserved.rows += batch.num_rows() as u128;
        conserved.packets += table.packets.map_or(Ok(0), |column| sum(&batch, column))?;
        conserved.bytes += table.bytes.map_or(Ok(0), |column| sum(&batch, column))?;
        let names = column(&batch, table.name, &DataType::Utf8)?;
        let numbers = column(&batch, table.number, &DataType::Int64)?;
        if names.null_count() + numbers.null_count() > 0 {
            return Err(Unreadable::Damaged(format!("rows have no {} or no {}", table.name, table.number)));
        }
        for (name, number) in names.as_string::<i32>().iter().zip(numbers.as_primitive::<Int64Type>().values()) {
            show(name.unwrap_or_default(), *number).map_err(Unreadable::Other)?;
        }
    }
    Ok(conserved)
}

fn column<E>(batch: &RecordBatch, name: &str, data_type: &DataType) -> Result<arrow::array::ArrayRef, Unreadable<E>> {
    let missing = || Unreadable::Damaged(format!("it has no column {name}"));
    let column = batch.column_by_name(name).ok_or_else(missing)?;
    cast(column, data_type).map_err(|error| Unreadable::Damaged(format!("column {name}: {error}")))
}

fn sum<E>(batch: &RecordBatch, name: &str) -> Result<u128, Unreadable<E>> {
    let column = column(batch, name, &DataType::Int64)?;
    let values = column.as_primitive::<Int64Type>().iter().flatten();
    // a negative one counts nothing, as when it was written
    Ok(values.map(|value| u128::try_from(value).unwrap_or(0)).sum())
}
