//! One Parquet file of the lake: the writer's settings, in one place.

use std::io::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::commit::MapIdentity;
use super::error::{LakeError, io_error, parquet_error};
use super::pages::ROW_GROUP_BYTES;
use super::schema::SCHEMA_VERSION;
use super::store::{StagedFile, Store};

/// Rows of a row group: 262144 read as fast as larger groups in DuckDB and cost less memory to write.
const ROW_GROUP_ROWS: usize = 1 << 18;

/// What every file of a run says of its origin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// Name of the map, if one was used.
    pub map_name: Option<String>,
    /// SHA-256 of the map, if one was used.
    pub map_sha256: Option<String>,
}

impl Origin {
    /// The origin of files that are written under this map.
    pub fn of(map: Option<&MapIdentity>) -> Self {
        Self { map_name: map.map(|map| map.name.clone()), map_sha256: map.map(|map| map.sha256.clone()) }
    }
}

/// The settings of every Parquet file in a lake.
pub fn writer_properties(origin: &Origin) -> Arc<WriterProperties> {
    let pair = |key: &str, value: &str| KeyValue::new(format!("flowbound.{key}"), value.to_owned());
    let mut metadata = vec![pair("version", env!("CARGO_PKG_VERSION")), pair("schema_version", SCHEMA_VERSION)];
    metadata.extend(origin.map_name.as_deref().map(|name| pair("map_name", name)));
    metadata.extend(origin.map_sha256.as_deref().map(|hash| pair("map_sha256", hash)));
    Arc::new(
        WriterProperties::builder()
            .set_created_by(concat!("flowbound ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            // page statistics cost space and no reader of ours gains by them
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_key_value_metadata(Some(metadata))
            .build(),
    )
}

/// A staged file as a commit lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// Where it was staged.
    pub staged: String,
    /// The folder that it will be published in.
    pub folder: String,
    /// Rows in it.
    pub rows: u64,
    /// Length in bytes.
    pub bytes: u64,
}

/// A Parquet file while it is staged.
pub(super) struct ParquetFile {
    path: String,
    folder: String,
    writer: ArrowWriter<Box<dyn StagedFile>>,
    rows: u64,
}

impl ParquetFile {
    pub(super) fn create(
        store: &impl Store,
        path: String,
        folder: String,
        schema: SchemaRef,
        properties: &WriterProperties,
    ) -> Result<Self, LakeError> {
        let file = store.stage(&path).map_err(io_error("create", &path))?;
        let writer = ArrowWriter::try_new(file, schema, Some(properties.clone())).map_err(parquet_error(&path))?;
        Ok(Self { path, folder, writer, rows: 0 })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        write_bounded(&mut self.writer, batch).map_err(parquet_error(&self.path))?;
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Staged, LakeError> {
        let file = self.writer.into_inner().map_err(parquet_error(&self.path))?;
        let bytes = file.finish().map_err(io_error("write", &self.path))?;
        Ok(Staged { staged: self.path, folder: self.folder, rows: self.rows, bytes })
    }
}

/// Writes a batch and closes the row group when its buffers are large: memory stays bounded by bytes, not rows.
pub(super) fn write_bounded<W: Write + Send>(
    writer: &mut ArrowWriter<W>,
    batch: &RecordBatch,
) -> parquet::errors::Result<()> {
    writer.write(batch)?;
    if writer.memory_size() > ROW_GROUP_BYTES {
        writer.flush()?;
    }
    Ok(())
}
