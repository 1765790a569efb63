//! A Parquet writer for tables whose values come again and again.
//!
//! The stock writer takes columns of values and looks up each value of each column in a dictionary of its own: that
//! was more than half of a replay. Here a caller that knows more can say it: an address that stands in six columns is
//! looked up once, the name of a zone by the zone's number, and a column that the log format lacks not at all. So a
//! column takes not values but indices into its dictionary ([`Column`]), and writes pages as soon as they are full:
//!
//! ```text
//! Column      values -> indices                   dictionary: the index of a value
//!  close_page indices -> a data page              levels, hybrid, delta: the encodings; compress
//!  finish     dictionary page + data pages -> a column chunk
//! PageWriter  column chunks -> row groups -> the file, through the stock file writer
//! ```
//!
//! A page states the width of its indices itself, so it need not wait for the dictionary to be complete: what is kept
//! of closed pages is their compressed bytes. Beside them a row group holds its dictionaries, uncompressed.
//!
//! The file format's metadata, page headers and nested columns stay with the `parquet` crate. Its writer is also the
//! reference: `tests` writes the same rows both ways and compares what is read.

mod column;
mod compress;
mod delta;
mod dictionary;
mod hybrid;
mod levels;
mod nested;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int32Type, Int64Type, SchemaRef, TimeUnit, TimestampMillisecondType};
use parquet::arrow::arrow_writer::ArrowRowGroupWriterFactory;
use parquet::arrow::{ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

pub(super) use self::column::Column;
use self::compress::Compressor;
pub(super) use self::dictionary::{KeyTable, NULL, Texts};
use self::nested::Nested;

/// Rows of a page.
const PAGE_ROWS: usize = 1 << 14;
/// A row group is closed early when what it holds is this large (bytes).
pub(super) const ROW_GROUP_BYTES: usize = 20 << 20;
/// Rows after which that is asked: a page of the longest lines would hold a gigabyte.
const ASKED_ROWS: usize = 1 << 10;

enum AnyColumn {
    Flat(Box<Column>),
    Nested(Nested),
}

impl AnyColumn {
    fn memory(&self) -> usize {
        match self {
            Self::Flat(column) => column.memory(),
            Self::Nested(column) => column.memory(),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Flat(column) => column.size(),
            Self::Nested(column) => column.memory(),
        }
    }
}

/// Writes one Parquet file.
pub(super) struct PageWriter<W: Write + Send> {
    file: SerializedFileWriter<W>,
    stock: ArrowRowGroupWriterFactory,
    columns: Vec<AnyColumn>,
    compressor: Compressor,
    group_rows: usize,
    most_group_rows: usize,
    /// Rows since the memory was asked.
    unasked_rows: usize,
    size: usize,
}

impl<W: Write + Send> PageWriter<W> {
    /// A writer for these columns. Types beyond texts, 32- and 64-bit integers and milliseconds are the stock
    /// writer's.
    pub(super) fn new(out: W, schema: SchemaRef, properties: &WriterProperties) -> Result<Self> {
        let mut properties = properties.clone();
        add_encoded_arrow_schema_to_metadata(&schema, &mut properties);
        let parquet = ArrowSchemaConverter::new().convert(&schema)?;
        let compression = properties.compression(&ColumnPath::new(Vec::new()));
        let most_group_rows = properties.max_row_group_row_count().unwrap_or(usize::MAX);
        let file = SerializedFileWriter::new(out, parquet.root_schema_ptr(), Arc::new(properties))?;
        let stock = ArrowRowGroupWriterFactory::new(&file, schema.clone());
        let mut columns = Vec::with_capacity(schema.fields().len());
        for (root, field) in schema.fields().iter().enumerate() {
            let mut leaves = (0..parquet.num_columns()).filter(|leaf| parquet.get_column_root_idx(*leaf) == root);
            let first = leaves.next().ok_or_else(|| ParquetError::General(format!("{} has no leaf", field.name())))?;
            let descriptor = file.schema_descr().column(first);
            let flat = has_pages(field.data_type()).then(|| Column::new(descriptor.clone())).flatten();
            columns.push(match flat {
                Some(column) => AnyColumn::Flat(Box::new(column)),
                None => {
                    let others = leaves.map(|leaf| file.schema_descr().column(leaf));
                    let leaves = std::iter::once(descriptor).chain(others).collect();
                    AnyColumn::Nested(Nested::new(field.clone(), leaves, first))
                }
            });
        }
        let compressor = Compressor::new(compression)?;
        Ok(Self { file, stock, columns, compressor, group_rows: 0, most_group_rows, unasked_rows: 0, size: 0 })
    }

    /// A column without nesting.
    pub(super) fn column(&mut self, place: usize) -> Option<&mut Column> {
        match self.columns.get_mut(place) {
            Some(AnyColumn::Flat(column)) => Some(column),
            _ => None,
        }
    }

    /// Adds rows without a value to one column, whatever its type.
    pub(super) fn push_nulls(&mut self, place: usize, rows: usize) -> Result<()> {
        match self.columns.get_mut(place) {
            Some(AnyColumn::Flat(column)) => {
                column.push_nulls(rows);
                Ok(())
            }
            Some(AnyColumn::Nested(column)) => column.push_nulls(rows),
            None => Err(ParquetError::General(format!("no column {place}"))),
        }
    }

    /// Adds rows to one column, whatever its type.
    pub(super) fn push_array(&mut self, place: usize, array: &ArrayRef) -> Result<()> {
        match self.columns.get_mut(place) {
            Some(AnyColumn::Flat(column)) => push_array(column, array),
            Some(AnyColumn::Nested(column)) => column.push(array, &self.stock),
            None => Err(ParquetError::General(format!("no column {place}"))),
        }
    }

    /// Rows that the page at hand still takes. Every column takes as many, then [`added`](Self::added) is called.
    pub(super) fn room(&self) -> usize {
        let filled = self.group_rows % PAGE_ROWS;
        (PAGE_ROWS - filled).min(self.most_group_rows.saturating_sub(self.group_rows)).max(1)
    }

    /// Says that every column has taken so many rows, at most [`room`](Self::room). What the caller holds for the row
    /// group (bytes) counts as the group's own memory.
    pub(super) fn added(&mut self, rows: usize, held: usize) -> Result<()> {
        debug_assert!(rows <= self.room(), "{rows} rows, room for {}", self.room());
        self.group_rows += rows;
        self.unasked_rows += rows;
        let full = self.group_rows >= self.most_group_rows;
        if full || self.group_rows.is_multiple_of(PAGE_ROWS) {
            self.close_pages()?;
        }
        if full || self.unasked_rows >= ASKED_ROWS {
            self.unasked_rows = 0;
            if full || self.memory() + held > ROW_GROUP_BYTES {
                self.close_group()?;
            }
            self.size = self.file.bytes_written() + self.columns.iter().map(AnyColumn::size).sum::<usize>();
        }
        Ok(())
    }

    /// Adds rows of every column.
    pub(super) fn append(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut at = 0;
        while at < batch.num_rows() {
            let rows = self.room().min(batch.num_rows() - at);
            for (place, column) in batch.columns().iter().enumerate() {
                self.push_array(place, &column.slice(at, rows))?;
            }
            self.added(rows, 0)?;
            at += rows;
        }
        Ok(())
    }

    fn close_pages(&mut self) -> Result<()> {
        for column in &mut self.columns {
            if let AnyColumn::Flat(column) = column {
                column.close_page(&mut self.compressor)?;
            }
        }
        Ok(())
    }

    fn close_group(&mut self) -> Result<()> {
        if self.group_rows == 0 {
            return Ok(());
        }
        self.close_pages()?;
        let mut group = self.file.next_row_group()?;
        for column in &mut self.columns {
            match column {
                AnyColumn::Flat(column) => {
                    let (bytes, close) = column.finish(&mut self.compressor)?;
                    group.append_column(&bytes, close)?;
                }
                AnyColumn::Nested(column) => column.finish(&mut group, &mut self.compressor)?,
            }
        }
        group.close()?;
        self.group_rows = 0;
        Ok(())
    }

    /// The number of the row group that is being filled.
    pub(super) fn group(&self) -> usize {
        self.file.flushed_row_groups().len()
    }

    /// Bytes of the row group at hand, about.
    pub(super) fn memory(&self) -> usize {
        self.columns.iter().map(AnyColumn::memory).sum()
    }

    /// Bytes written, and those of the row group at hand, as of when the memory was asked.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Writes the rows that are left; how many the row groups' metadata count. The sums are complete then.
    pub(super) fn flush(&mut self) -> Result<u64> {
        self.close_group()?;
        let rows: i64 = self.file.flushed_row_groups().iter().map(|group| group.num_rows()).sum();
        Ok(u64::try_from(rows).unwrap_or(0))
    }

    /// Ends the file; what was written to.
    pub(super) fn finish(mut self) -> Result<W> {
        self.flush()?;
        self.file.into_inner()
    }
}

/// The types that [`push_array`] knows.
fn has_pages(data_type: &DataType) -> bool {
    use DataType::{Int32, Int64, Timestamp, Utf8};
    matches!(data_type, Utf8 | Int32 | Int64 | Timestamp(TimeUnit::Millisecond, _))
}

fn push_array(column: &mut Column, array: &ArrayRef) -> Result<()> {
    if array.null_count() == array.len() {
        column.push_nulls(array.len());
        return Ok(());
    }
    match array.data_type() {
        DataType::Utf8 => column.push_texts(array.as_string::<i32>().iter()),
        DataType::Int32 => column.push_integers(array.as_primitive::<Int32Type>().iter().map(|v| v.map(i64::from))),
        DataType::Int64 => column.push_integers(array.as_primitive::<Int64Type>().iter()),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            column.push_integers(array.as_primitive::<TimestampMillisecondType>().iter());
        }
        other => return Err(ParquetError::NYI(format!("pages of {other}"))),
    }
    Ok(())
}
