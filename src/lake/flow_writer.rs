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
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::columns::FlowRows;
use super::error::{LakeError, io_error, parquet_error};
use super::flow_file::{Conserved, FlowFile};
use super::parquet_file::Staged;
use super::partition::Hour;
use super::store::{StagedFile, Store};
use crate::record::Field;

/// Files open at a time, per writer. Each costs up to about 20 MB.
const MAX_OPEN: usize = 4;
/// Rows read at a time from a file that is scattered.
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

struct OpenHour {
    hour: Hour,
    path: String,
    file: FlowFile<Box<dyn StagedFile>>,
    /// The writer's row count when this file last took a row.
    used: u64,
}

/// A file that goes when nobody needs it any more.
struct Scratch(PathBuf);

impl Scratch {
    fn shown(&self) -> String {
        self.0.display().to_string()
    }
}

struct Overflow {
    path: Scratch,
    file: FlowFile<File>,
    hours: BTreeSet<Hour>,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // of a unit that failed, too: a lake in S3 keeps its scratch where nobody else clears it
        let _best_effort = std::fs::remove_file(&self.0);
    }
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

    /// Files that are being written.
    pub fn open_files(&self) -> usize {
        self.open.len() + usize::from(self.overflow.is_some())
    }

    /// Adds rows. Their map, if any, is the same in every call: its names go by their numbers.
    pub fn push(&mut self, rows: &FlowRows<'_, '_>) -> Result<(), LakeError> {
        let hours = rows.records.iter().map(|record| Hour::of(record.millis(Field::Start)));
        let mut left: Vec<(u32, Hour)> = (0..).zip(hours).collect();
        let mut which = Vec::with_capacity(left.len());
        let mut homeless = Vec::new();
        // hour by hour; nearly always there is only one
        while let Some((_, hour)) = left.first().copied() {
            which.clear();
            left.retain(|(row, of)| {
                if *of == hour {
                    which.push(*row);
                }
                *of != hour
            });
            self.rows += which.len() as u64;
            if !self.push_hour(hour, rows, &which)? {
                homeless.extend(which.iter().map(|row| (*row, hour)));
            }
        }
        if !homeless.is_empty() {
            homeless.sort_unstable();
            self.push_overflow(rows, &homeless)?;
        }
        self.close_passed()
    }

    /// Adds rows of one hour; `false`, and nothing added, when no file can be open for it.
    fn push_hour(&mut self, hour: Hour, rows: &FlowRows<'_, '_>, mut which: &[u32]) -> Result<bool, LakeError> {
        while !which.is_empty() {
            let Some((slot, room)) = self.slot_with_room(hour)? else { return Ok(false) };
            let (now, later) = which.split_at(room.min(which.len()));
            let open = &mut self.open[slot];
            open.file.push(rows, now).map_err(parquet_error(&open.path))?;
            which = later;
            self.close_full(slot)?;
        }
        Ok(true)
    }

    /// Adds rows of one hour that were read back. There are no more hours than files that can be open, so each has one;
    /// were it not so, the count of rows before the commit would tell (I6).
    fn append_hour(&mut self, hour: Hour, batch: &RecordBatch) -> Result<(), LakeError> {
        let mut at = 0;
        while at < batch.num_rows() {
            let Some((slot, room)) = self.slot_with_room(hour)? else { return Ok(()) };
            let rows = room.min(batch.num_rows() - at);
            let open = &mut self.open[slot];
            open.file.append(&batch.slice(at, rows)).map_err(parquet_error(&open.path))?;
            at += rows;
            self.close_full(slot)?;
        }
        Ok(())
    }

    /// The open file for the hour, and how many rows it takes.
    fn slot_with_room(&mut self, hour: Hour) -> Result<Option<(usize, usize)>, LakeError> {
        let Some(slot) = self.slot(hour)? else { return Ok(None) };
        let open = &mut self.open[slot];
        open.used = self.rows;
        let room = self.limits.rows.saturating_sub(open.file.rows()).max(1);
        Ok(Some((slot, usize::try_from(room).unwrap_or(usize::MAX))))
    }

    fn close_full(&mut self, slot: usize) -> Result<(), LakeError> {
        let file = &self.open[slot].file;
        if file.rows() >= self.limits.rows || file.size() >= self.limits.bytes { self.close(slot) } else { Ok(()) }
    }

    /// Closes the files that time has left behind: an open one holds megabytes until its row group is full.
    fn close_passed(&mut self) -> Result<(), LakeError> {
        while let Some(slot) = self.open.iter().position(|open| self.rows - open.used > PASSED_ROWS) {
            self.close(slot)?;
        }
        Ok(())
    }

    /// The open file for the hour; opened, or another closed for it. `None`: all are busy.
    fn slot(&mut self, hour: Hour) -> Result<Option<usize>, LakeError> {
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
        let open = self.create(hour)?;
        self.open.push(open);
        Ok(Some(self.open.len() - 1))
    }

    fn create(&mut self, hour: Hour) -> Result<OpenHour, LakeError> {
        self.files += 1;
        let path = format!("{}/{}.parquet", self.folder, self.files);
        let out = self.store.stage(&path).map_err(io_error("create", &path))?;
        let file = FlowFile::new(out, &self.properties).map_err(parquet_error(&path))?;
        Ok(OpenHour { hour, path, file, used: self.rows })
    }

    fn close_all(&mut self) -> Result<(), LakeError> {
        while !self.open.is_empty() {
            self.close(0)?;
        }
        Ok(())
    }

    fn close(&mut self, slot: usize) -> Result<(), LakeError> {
        let OpenHour { hour, path, file, .. } = self.open.swap_remove(slot);
        let rows = file.rows();
        let (out, written) = file.finish().map_err(parquet_error(&path))?;
        let bytes = out.finish().map_err(io_error("write", &path))?;
        self.written.merge(&written);
        self.done.push(Staged { staged: path, folder: format!("flows/{hour}"), rows, bytes });
        Ok(())
    }

    fn push_overflow(&mut self, rows: &FlowRows<'_, '_>, homeless: &[(u32, Hour)]) -> Result<(), LakeError> {
        if self.overflow.is_none() {
            let (path, file) = self.scratch_file()?;
            self.overflow = Some(Overflow { path, file, hours: BTreeSet::new() });
        }
        let Some(overflow) = &mut self.overflow else { return Ok(()) };
        overflow.hours.extend(homeless.iter().map(|(_, hour)| *hour));
        let which: Vec<u32> = homeless.iter().map(|(row, _)| *row).collect();
        overflow.file.push(rows, &which).map_err(parquet_error(&overflow.path.shown()))
    }

    fn scratch_file(&mut self) -> Result<(Scratch, FlowFile<File>), LakeError> {
        let folder = format!("{}/overflow", self.folder);
        self.files += 1;
        let path = self.store.scratch(&folder).map_err(io_error("create", &folder))?.join(self.files.to_string());
        let path = Scratch(path);
        let shown = path.shown();
        let file = File::create(&path.0).map_err(io_error("create", &shown))?;
        // read once and deleted: compressing it would cost more than it saves
        let properties = WriterProperties::builder().set_compression(Compression::UNCOMPRESSED).build();
        Ok((path, FlowFile::new(file, &properties).map_err(parquet_error(&shown))?))
    }

    /// Closes every file; what is staged, and what is in it.
    pub fn finish(mut self) -> Result<(Vec<Staged>, Conserved), LakeError> {
        self.close_all()?;
        if let Some(Overflow { path, file, hours }) = self.overflow.take() {
            file.finish().map_err(parquet_error(&path.shown()))?;
            self.scatter(&path, &hours.into_iter().collect::<Vec<_>>())?;
        }
        Ok((self.done, self.written))
    }

    /// Divides an overflow file, whose rows are of these hours, until each hour has its file.
    fn scatter(&mut self, path: &Scratch, hours: &[Hour]) -> Result<(), LakeError> {
        if hours.len() <= MAX_OPEN {
            let part_of = |hour| hours.binary_search(&hour).ok();
            route(path, part_of, hours.len(), |part, batch| self.append_hour(hours[part], batch))?;
            self.close_all()?;
        } else {
            let part_hours = hours.len().div_ceil(MAX_OPEN);
            let parts: Vec<&[Hour]> = hours.chunks(part_hours).collect();
            let mut files = parts.iter().map(|_| self.scratch_file()).collect::<Result<Vec<_>, _>>()?;
            let part_of = |hour| hours.binary_search(&hour).ok().map(|rank| rank / part_hours);
            route(path, part_of, parts.len(), |part, batch| {
                let (path, file) = &mut files[part];
                file.append(batch).map_err(parquet_error(&path.shown()))
            })?;
            // all are closed before the first is divided: no more than MAX_OPEN are ever open
            let mut closed = Vec::with_capacity(files.len());
            for (path, file) in files {
                file.finish().map_err(parquet_error(&path.shown()))?;
                closed.push(path);
            }
            for (path, hours) in closed.into_iter().zip(parts) {
                self.scatter(&path, hours)?;
            }
        }
        Ok(())
    }
}

/// Reads a scratch file and hands each part its rows.
fn route(
    path: &Scratch,
    part_of: impl Fn(Hour) -> Option<usize>,
    parts: usize,
    mut write: impl FnMut(usize, &RecordBatch) -> Result<(), LakeError>,
) -> Result<(), LakeError> {
    let shown = path.shown();
    let file = File::open(&path.0).map_err(io_error("read", &shown))?;
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
