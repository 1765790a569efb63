//! Alerts into files by day.

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

/// Writes alerts that come in the order of their windows.
pub struct AlertWriter<'s, S: Store> {
    store: &'s S,
    folder: String,
    properties: Arc<WriterProperties>,
    rows: Vec<Alert>,
    open: Option<(Day, ParquetFile)>,
    done: Vec<Staged>,
}

impl<'s, S: Store> AlertWriter<'s, S> {
    /// A writer that stages its files in this folder.
    pub fn new(store: &'s S, folder: String, properties: Arc<WriterProperties>) -> Self {
        Self { store, folder, properties, rows: Vec::new(), open: None, done: Vec::new() }
    }

    /// Adds an alert.
    pub fn push(&mut self, row: Alert) -> Result<(), LakeError> {
        let day = Day::of(row.finding.window_start);
        if self.open.as_ref().is_none_or(|(open, _)| *open != day) {
            self.close()?;
            let path = format!("{}/alerts-{}.parquet", self.folder, self.done.len() + 1);
            let folder = format!("alerts/{day}");
            let file = ParquetFile::create(self.store, path, folder, alerts_schema(), &self.properties)?;
            self.open = Some((day, file));
        }
        self.rows.push(row);
        if self.rows.len() >= BATCH_ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), LakeError> {
        if let Some((_, file)) = self.open.as_mut().filter(|_| !self.rows.is_empty()) {
            file.write(&alerts_batch(&self.rows)?)?;
            self.rows.clear();
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), LakeError> {
        self.flush()?;
        if let Some((_, file)) = self.open.take() {
            self.done.push(file.finish()?);
        }
        Ok(())
    }

    /// The files.
    pub fn finish(mut self) -> Result<Vec<Staged>, LakeError> {
        self.close()?;
        Ok(self.done)
    }
}
