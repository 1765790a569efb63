//! Alerts into files by day.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use parquet::file::properties::WriterProperties;

use super::alert_table::alerts_batch;
use super::error::LakeError;
use super::parquet_file::{ParquetFile, Staged};
use super::partition::Day;
use super::schema::alerts_schema;
use super::store::Store;
use crate::detect::Alert;

/// Rows of a batch that is handed to the Parquet writer.
const BATCH_ROWS: usize = 1024;

/// Writes alerts of a few days at a time.
pub struct AlertWriter<'s, S: Store> {
    store: &'s S,
    folder: String,
    properties: Arc<WriterProperties>,
    open: BTreeMap<Day, OpenFile>,
    count: usize,
    done: Vec<Staged>,
}

/// A file with what is not written yet.
struct OpenFile {
    file: ParquetFile,
    rows: Vec<Alert>,
}

impl OpenFile {
    fn flush(&mut self) -> Result<(), LakeError> {
        if !self.rows.is_empty() {
            self.file.write(&alerts_batch(&self.rows)?)?;
            self.rows.clear();
        }
        Ok(())
    }
}

impl<'s, S: Store> AlertWriter<'s, S> {
    /// A writer that stages its files in this folder.
    pub fn new(store: &'s S, folder: String, properties: Arc<WriterProperties>) -> Self {
        Self { store, folder, properties, open: BTreeMap::new(), count: 0, done: Vec::new() }
    }

    /// Adds an alert.
    pub fn push(&mut self, row: Alert) -> Result<(), LakeError> {
        let day = Day::of(row.finding.window_start);
        let open = match self.open.entry(day) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(place) => {
                self.count += 1;
                let path = format!("{}/alerts-{}.parquet", self.folder, self.count);
                let folder = format!("alerts/{day}");
                let file = ParquetFile::create(self.store, path, folder, alerts_schema(), &self.properties)?;
                place.insert(OpenFile { file, rows: Vec::new() })
            }
        };
        open.rows.push(row);
        if open.rows.len() >= BATCH_ROWS { open.flush() } else { Ok(()) }
    }

    /// Closes the files: of these days nothing more comes.
    pub fn end_days(&mut self) -> Result<(), LakeError> {
        for mut open in std::mem::take(&mut self.open).into_values() {
            open.flush()?;
            self.done.push(open.file.finish()?);
        }
        Ok(())
    }

    /// The files.
    pub fn finish(mut self) -> Result<Vec<Staged>, LakeError> {
        self.end_days()?;
        Ok(self.done)
    }
}
