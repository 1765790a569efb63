//! One file of the table `flows` while it is written.

use std::io::Write;

use arrow::array::RecordBatch;
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;

use super::columns::{FlowColumns, FlowRows};
use super::error::LakeError;
use super::pages::PageWriter;
use super::schema::{Added, added_column, flows_schema};
use crate::record::{Field, FlowRecord};

/// What went into the files: compared with what came out of parsing before anything is committed (I6).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Conserved {
    /// Rows.
    pub rows: u128,
    /// Sum of the packets.
    pub packets: u128,
    /// Sum of the bytes.
    pub bytes: u128,
}

impl Conserved {
    /// Compares what was parsed with what was written: before anything is committed (I6).
    pub fn check_written(&self, written: &Self) -> Result<(), LakeError> {
        for (what, parsed, written) in [
            ("rows", self.rows, written.rows),
            ("packets", self.packets, written.packets),
            ("bytes", self.bytes, written.bytes),
        ] {
            if parsed != written {
                return Err(LakeError::NotConserved { what, parsed, written });
            }
        }
        Ok(())
    }

    /// Counts a record.
    pub fn add(&mut self, record: &FlowRecord<'_>) {
        let value = |field| record.number(field).and_then(|v| u128::try_from(v).ok()).unwrap_or(0);
        self.rows += 1;
        self.packets += value(Field::Packets);
        self.bytes += value(Field::Bytes);
    }

    /// Adds what another worker counted.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

/// A Parquet file with the columns of `flows`.
pub(super) struct FlowFile<W: Write + Send> {
    writer: PageWriter<W>,
    columns: FlowColumns,
    rows: u64,
}

impl<W: Write + Send> FlowFile<W> {
    pub(super) fn new(out: W, properties: &WriterProperties) -> Result<Self> {
        let mut writer = PageWriter::new(out, flows_schema(), properties)?;
        for summed in [Field::Packets, Field::Bytes] {
            if let Some(column) = writer.column(summed as usize) {
                column.sum_up();
            }
        }
        if let Some(line) = writer.column(added_column(Added::Line)) {
            line.never_index();
        }
        Ok(Self { writer, columns: FlowColumns::default(), rows: 0 })
    }

    /// Adds the rows that `which` names.
    pub(super) fn push(&mut self, rows: &FlowRows<'_, '_>, mut which: &[u32]) -> Result<()> {
        self.rows += which.len() as u64;
        while !which.is_empty() {
            let (now, later) = which.split_at(self.writer.room().min(which.len()));
            self.columns.push(&mut self.writer, rows, now)?;
            self.writer.added(now.len(), self.columns.memory())?;
            which = later;
        }
        Ok(())
    }

    /// Adds rows that were read from such a file.
    pub(super) fn append(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        self.writer.append(batch)
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes written and held so far.
    pub(super) fn size(&self) -> u64 {
        self.writer.size() as u64
    }

    /// Ends the file: what it was written to, and what it says is in it.
    pub(super) fn finish(mut self) -> Result<(W, Conserved)> {
        let rows = self.writer.flush()?.into();
        let mut sum = |field: Field| self.writer.column(field as usize).map_or(0, |column| column.sum());
        let written = Conserved { rows, packets: sum(Field::Packets), bytes: sum(Field::Bytes) };
        Ok((self.writer.finish()?, written))
    }
}
