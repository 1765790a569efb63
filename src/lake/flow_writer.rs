//! Rows of `flows` into partitioned files, in bounded memory, whatever the order of the records.
//!
//! Each worker has its own writer. A partition (an hour) that has a file open takes rows at once. At most
//! [`MAX_OPEN`] are open: logs in order of time need one or two. A row of another hour takes the place of a file
//! that had no row for a while (time has moved on); when all are busy (an archive in random order) the row goes to
//! one *overflow* file without partitions. When the unit of work ends, the overflow is scattered: its hours are
//! divided among [`MAX_OPEN`] files, again and again, until each holds one hour. So memory is bounded by the
//! number of open files, and each row is rewritten at most log(hours) times.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::TimestampMillisecondType;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::columns::FlowColumns;
use super::error::{LakeError, io_error, parquet_error};
use super::parquet_file::{ParquetFile, Staged, write_bounded};
use super::partition::Hour;
use super::schema::flows_schema;
use super::store::Store;
use crate::boundary::{Boundary, Judgement};
use crate::record::{Field, FlowRecord, LogFormat};

/// Files open at a time, per writer. Each costs up to about 15 MB.
const MAX_OPEN: usize = 4;
/// Rows of a batch that is handed to the Parquet writer.
const BATCH_ROWS: usize = 1 << 13;
/// Rows for other hours after which an open file is closed, wanted or not.
const PASSED_ROWS: u64 = 4 * IDLE_ROWS;
/// Rows for other hours after which an open file gives way to another hour.
const IDLE_ROWS: u64 = 1 << 13;

/// When a file of `flows` is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLimits {
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Default for FileLimits {
    fn default() -> Self {
        Self { rows: 8 << 20, bytes: 256 << 20 }
    }
}

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

struct OpenHour {
    hour: Hour,
    columns: FlowColumns,
    file: ParquetFile,
    /// The writer's row count when this file last took a row.
    used: u64,
}

struct Overflow {
    path: PathBuf,
    columns: FlowColumns,
    writer: ArrowWriter<File>,
    hours: BTreeSet<Hour>,
}

/// Writes rows of `flows` for one worker and one unit of work.
pub struct FlowWriter<'s, S: Store> {
    store: &'s S,
    folder: String,
    properties: Arc<WriterProperties>,
    limits: FileLimits,
    open: Vec<OpenHour>,
    overflow: Option<Overflow>,
    done: Vec<Staged>,
    written: Conserved,
    files: usize,
    rows: u64,
}

impl<'s, S: Store> FlowWriter<'s, S> {
    /// A writer that stages its files in this folder, which is its own.
    pub fn new(store: &'s S, folder: String, properties: Arc<WriterProperties>, limits: FileLimits) -> Self {
        Self {
            store,
            folder,
            properties,
            limits,
            open: Vec::new(),
            overflow: None,
            done: Vec::new(),
            written: Conserved::default(),
            files: 0,
            rows: 0,
        }
    }

    /// Adds a row.
    pub fn push(
        &mut self,
        format: &Arc<LogFormat>,
        record: &FlowRecord<'_>,
        judged: Option<&Judgement>,
        boundary: Option<&Boundary>,
        origin: (&str, i64),
    ) -> Result<(), LakeError> {
        let (source, line) = origin;
        self.rows += 1;
        let hour = Hour::of(record.millis(Field::Start));
        let Some(slot) = self.slot(hour, format)? else {
            return self.push_overflow(hour, format, |columns| columns.push(record, judged, boundary, source, line));
        };
        let open = &mut self.open[slot];
        open.used = self.rows;
        if !Arc::ptr_eq(open.columns.format(), format) {
            flush(&mut open.columns, &mut open.file, &mut self.written)?;
            open.columns = FlowColumns::new(format.clone());
        }
        open.columns.push(record, judged, boundary, source, line);
        if open.columns.rows() >= BATCH_ROWS {
            flush(&mut open.columns, &mut open.file, &mut self.written)?;
            if self.full(&self.open[slot].file) {
                self.close(slot)?;
            }
            self.close_passed()?;
        }
        Ok(())
    }

    /// Closes the files that time has left behind: an open one holds megabytes until its row group is full.
    fn close_passed(&mut self) -> Result<(), LakeError> {
        while let Some(slot) = self.open.iter().position(|open| self.rows - open.used > PASSED_ROWS) {
            self.close(slot)?;
        }
        Ok(())
    }

    fn full(&self, file: &ParquetFile) -> bool {
        file.rows() >= self.limits.rows || file.size() >= self.limits.bytes
    }

    /// The open file for the hour; opened, or another closed for it. `None`: all are busy.
    fn slot(&mut self, hour: Hour, format: &Arc<LogFormat>) -> Result<Option<usize>, LakeError> {
        if let Some(slot) = self.open.iter().position(|open| open.hour == hour) {
            return Ok(Some(slot));
        }
        if self.open.len() >= MAX_OPEN {
            let idle = self.open.iter().enumerate().min_by_key(|(_, open)| open.used);
            match idle {
                Some((slot, open)) if self.rows - open.used > IDLE_ROWS => self.close(slot)?,
                _ => return Ok(None),
            }
        }
        let file = self.create(hour)?;
        self.open.push(OpenHour { hour, columns: FlowColumns::new(format.clone()), file, used: self.rows });
        Ok(Some(self.open.len() - 1))
    }

    fn create(&mut self, hour: Hour) -> Result<ParquetFile, LakeError> {
        self.files += 1;
        let path = format!("{}/{}.parquet", self.folder, self.files);
        ParquetFile::create(self.store, path, format!("flows/{hour}"), flows_schema(), &self.properties)
    }

    fn close(&mut self, slot: usize) -> Result<(), LakeError> {
        let mut open = self.open.swap_remove(slot);
        flush(&mut open.columns, &mut open.file, &mut self.written)?;
        self.done.push(open.file.finish()?);
        Ok(())
    }

    fn push_overflow(
        &mut self,
        hour: Hour,
        format: &Arc<LogFormat>,
        push: impl FnOnce(&mut FlowColumns),
    ) -> Result<(), LakeError> {
        if self.overflow.is_none() {
            let (path, writer) = self.scratch_file()?;
            let columns = FlowColumns::new(format.clone());
            self.overflow = Some(Overflow { path, columns, writer, hours: BTreeSet::new() });
        }
        let Some(overflow) = &mut self.overflow else { return Ok(()) };
        if !Arc::ptr_eq(overflow.columns.format(), format) {
            flush_overflow(overflow)?;
            overflow.columns = FlowColumns::new(format.clone());
        }
        overflow.hours.insert(hour);
        push(&mut overflow.columns);
        if overflow.columns.rows() >= BATCH_ROWS { flush_overflow(overflow) } else { Ok(()) }
    }

    fn scratch_file(&mut self) -> Result<(PathBuf, ArrowWriter<File>), LakeError> {
        let folder = format!("{}/overflow", self.folder);
        self.files += 1;
        let path = self.store.scratch(&folder).map_err(io_error("create", &folder))?.join(self.files.to_string());
        let shown = path.display().to_string();
        let file = File::create(&path).map_err(io_error("create", &shown))?;
        // read once and deleted: compressing it would cost more than it saves
        let properties = WriterProperties::builder().set_compression(Compression::UNCOMPRESSED).build();
        let writer = ArrowWriter::try_new(file, flows_schema(), Some(properties)).map_err(parquet_error(&shown))?;
        Ok((path, writer))
    }

    /// Closes every file; what is staged, and what is in it.
    pub fn finish(mut self) -> Result<(Vec<Staged>, Conserved), LakeError> {
        while !self.open.is_empty() {
            self.close(0)?;
        }
        if let Some(mut overflow) = self.overflow.take() {
            flush_overflow(&mut overflow)?;
            let Overflow { path, writer, hours, .. } = overflow;
            writer.close().map_err(parquet_error(&path.display().to_string()))?;
            self.scatter(&path, &hours.into_iter().collect::<Vec<_>>())?;
        }
        Ok((self.done, self.written))
    }

    /// Divides an overflow file, whose rows are of these hours, until each hour has its file.
    fn scatter(&mut self, path: &PathBuf, hours: &[Hour]) -> Result<(), LakeError> {
        if hours.len() <= MAX_OPEN {
            let mut files = hours.iter().map(|hour| self.create(*hour)).collect::<Result<Vec<_>, _>>()?;
            route(
                path,
                |hour| hours.binary_search(&hour).ok(),
                hours.len(),
                |part, batch| {
                    self.written.merge(&conserved(batch));
                    files[part].write(batch)?;
                    if self.full(&files[part]) {
                        let next = self.create(hours[part])?;
                        self.done.push(std::mem::replace(&mut files[part], next).finish()?);
                    }
                    Ok(())
                },
            )?;
            for file in files {
                self.done.push(file.finish()?);
            }
        } else {
            let part_hours = hours.len().div_ceil(MAX_OPEN);
            let parts: Vec<&[Hour]> = hours.chunks(part_hours).collect();
            let mut files = parts.iter().map(|_| self.scratch_file()).collect::<Result<Vec<_>, _>>()?;
            let part_of = |hour| hours.binary_search(&hour).ok().map(|rank| rank / part_hours);
            route(path, part_of, parts.len(), |part, batch| {
                let (path, writer) = &mut files[part];
                write_bounded(writer, batch).map_err(parquet_error(&path.display().to_string()))
            })?;
            // all are closed before the first is divided: no more than MAX_OPEN are ever open
            let mut closed = Vec::with_capacity(files.len());
            for (path, writer) in files {
                writer.close().map_err(parquet_error(&path.display().to_string()))?;
                closed.push(path);
            }
            for (path, hours) in closed.iter().zip(parts) {
                self.scatter(path, hours)?;
            }
        }
        std::fs::remove_file(path).map_err(io_error("delete", &path.display().to_string()))
    }
}

fn flush(columns: &mut FlowColumns, file: &mut ParquetFile, written: &mut Conserved) -> Result<(), LakeError> {
    if columns.rows() > 0 {
        let batch = columns.finish()?;
        written.merge(&conserved(&batch));
        file.write(&batch)?;
    }
    Ok(())
}

fn flush_overflow(overflow: &mut Overflow) -> Result<(), LakeError> {
    if overflow.columns.rows() > 0 {
        let batch = overflow.columns.finish()?;
        write_bounded(&mut overflow.writer, &batch).map_err(parquet_error(&overflow.path.display().to_string()))?;
    }
    Ok(())
}

/// Sums over the columns as they are written, not over the records: that is the point of the check.
fn conserved(batch: &RecordBatch) -> Conserved {
    let sum = |field: Field| {
        let column = batch.column(field as usize).as_primitive::<arrow::datatypes::Int64Type>();
        column.iter().flatten().map(|value| u128::try_from(value).unwrap_or(0)).sum()
    };
    Conserved { rows: batch.num_rows() as u128, packets: sum(Field::Packets), bytes: sum(Field::Bytes) }
}

/// Reads a scratch file and hands each part its rows.
fn route(
    path: &PathBuf,
    part_of: impl Fn(Hour) -> Option<usize>,
    parts: usize,
    mut write: impl FnMut(usize, &RecordBatch) -> Result<(), LakeError>,
) -> Result<(), LakeError> {
    let shown = path.display().to_string();
    let file = File::open(path).map_err(io_error("read", &shown))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(|builder| builder.with_batch_size(BATCH_ROWS).build())
        .map_err(parquet_error(&shown))?;
    let mut rows: Vec<Vec<u32>> = vec![Vec::new(); parts];
    for batch in reader {
        let batch = batch?;
        let starts = batch.column(Field::Start as usize).as_primitive::<TimestampMillisecondType>();
        for row in 0..batch.num_rows() {
            let hour = Hour::of((!starts.is_null(row)).then(|| starts.value(row)));
            if let Some(part) = part_of(hour) {
                rows[part].push(row as u32);
            }
        }
        for (part, rows) in rows.iter_mut().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            write(part, &take_record_batch(&batch, &UInt32Array::from(std::mem::take(rows)))?)?;
        }
    }
    Ok(())
}
