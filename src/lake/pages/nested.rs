//! A column of nested type: the stock writer's, spliced in. A column without any value costs nothing until then.

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::datatypes::FieldRef;
use bytes::Bytes;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::Encoding;
use parquet::column::page::{CompressedPage, Page, PageWriter as _};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::Result;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::file::writer::{SerializedPageWriter, SerializedRowGroupWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use super::compress::Compressor;
use super::hybrid::{self, put_varint};

/// A column with leaves of its own.
pub(in crate::lake) struct Nested {
    field: FieldRef,
    /// Its leaves, and the place of the first among those of the file.
    leaves: Vec<ColumnDescPtr>,
    first_leaf: usize,
    /// One a leaf, from the first value on.
    writers: Vec<ArrowColumnWriter>,
    /// Rows before that.
    nulls: usize,
}

impl Nested {
    pub(super) fn new(field: FieldRef, leaves: Vec<ColumnDescPtr>, first_leaf: usize) -> Self {
        Self { field, leaves, first_leaf, writers: Vec::new(), nulls: 0 }
    }

    /// Adds rows without a value.
    pub(super) fn push_nulls(&mut self, rows: usize) -> Result<()> {
        if self.writers.is_empty() {
            self.nulls += rows;
            return Ok(());
        }
        self.write(&new_null_array(self.field.data_type(), rows))
    }

    /// Adds rows.
    pub(super) fn push(&mut self, array: &ArrayRef, factory: &ArrowRowGroupWriterFactory) -> Result<()> {
        if array.null_count() == array.len() {
            return self.push_nulls(array.len());
        }
        if self.writers.is_empty() {
            let all = factory.create_column_writers(0)?;
            self.writers = all.into_iter().skip(self.first_leaf).take(self.leaves.len()).collect();
            let nulls = new_null_array(self.field.data_type(), std::mem::take(&mut self.nulls));
            self.write(&nulls)?;
        }
        self.write(array)
    }

    fn write(&mut self, array: &ArrayRef) -> Result<()> {
        if array.is_empty() {
            return Ok(());
        }
        for (writer, leaf) in self.writers.iter_mut().zip(compute_leaves(&self.field, array)?) {
            writer.write(&leaf)?;
        }
        Ok(())
    }

    /// Bytes held, about.
    pub(super) fn memory(&self) -> usize {
        self.writers.iter().map(ArrowColumnWriter::memory_size).sum()
    }

    /// Ends the chunks of all leaves. Starts anew.
    pub(super) fn finish<W: std::io::Write + Send>(
        &mut self,
        group: &mut SerializedRowGroupWriter<'_, W>,
        compressor: &mut Compressor,
    ) -> Result<()> {
        if self.writers.is_empty() {
            let nulls = std::mem::take(&mut self.nulls);
            for leaf in &self.leaves {
                let (bytes, close) = without_values(leaf, nulls, compressor)?;
                group.append_column(&bytes, close)?;
            }
        }
        for writer in self.writers.drain(..) {
            writer.close()?.append_to_row_group(group)?;
        }
        Ok(())
    }
}

/// A chunk of a leaf that has no value in any row.
fn without_values(
    leaf: &ColumnDescPtr,
    rows: usize,
    compressor: &mut Compressor,
) -> Result<(Bytes, ColumnCloseResult)> {
    let mut buffer = Vec::new();
    for most in [leaf.max_rep_level(), leaf.max_def_level()].into_iter().filter(|most| *most > 0) {
        let width = hybrid::width_for(most.cast_unsigned() as usize + 1);
        let mut run = Vec::new();
        put_varint((rows as u64) << 1, &mut run);
        run.resize(run.len() + usize::from(width).div_ceil(8), 0);
        buffer.extend_from_slice(&(run.len() as u32).to_le_bytes());
        buffer.append(&mut run);
    }
    let page = Page::DataPage {
        buf: compressor.compress(&buffer)?,
        num_values: rows as u32,
        encoding: Encoding::PLAIN,
        def_level_encoding: Encoding::RLE,
        rep_level_encoding: Encoding::RLE,
        statistics: None,
    };
    let mut out = TrackedWrite::new(Vec::new());
    let spec = SerializedPageWriter::new(&mut out).write_page(CompressedPage::new(page, buffer.len()))?;
    let bytes = Bytes::from(out.into_inner()?);
    let nulls: ValueStatistics<parquet::data_type::ByteArray> =
        ValueStatistics::new(None, None, None, Some(rows as u64), false);
    let metadata = ColumnChunkMetaData::builder(leaf.clone())
        .set_compression(compressor.compression())
        .set_encodings(vec![Encoding::RLE, Encoding::PLAIN])
        .set_total_compressed_size(spec.compressed_size as i64)
        .set_total_uncompressed_size(spec.uncompressed_size as i64)
        .set_num_values(rows as i64)
        .set_data_page_offset(0)
        .set_statistics(Statistics::ByteArray(nulls))
        .build()?;
    let close = ColumnCloseResult {
        bytes_written: bytes.len() as u64,
        rows_written: rows as u64,
        metadata,
        bloom_filter: None,
        column_index: None,
        offset_index: None,
    };
    Ok((bytes, close))
}
