//! One Parquet file of a table, read back as this version writes it.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::error::{LakeError, io_error};
use super::schema::SCHEMA_VERSION;
use super::store::Store;

/// Rows read at a time.
const BATCH_ROWS: usize = 1 << 13;

/// Shows a file batch by batch; how many rows it has.
///
/// # Errors
/// [`LakeError::Damaged`] when it is not a file of this schema.
pub(super) fn each_batch<S: Store>(
    store: &S,
    path: &str,
    schema: &SchemaRef,
    show: &mut dyn FnMut(&RecordBatch) -> Result<(), LakeError>,
) -> Result<u64, LakeError> {
    let damaged = |detail: String| LakeError::Damaged { path: path.to_owned(), detail };
    let file = store.open_file(path).map_err(io_error("read", path))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| damaged(error.to_string()))?;
    let pairs = builder.metadata().file_metadata().key_value_metadata();
    let version = pairs.into_iter().flatten().find(|pair| pair.key == "flowbound.schema_version");
    if version.and_then(|pair| pair.value.as_deref()) != Some(SCHEMA_VERSION)
        || builder.schema().fields() != schema.fields()
    {
        return Err(damaged("its columns are not those that this version writes".to_owned()));
    }
    let reader = builder.with_batch_size(BATCH_ROWS).build().map_err(|error| damaged(error.to_string()))?;
    let mut rows = 0;
    for batch in reader {
        let batch = batch.map_err(|error| damaged(error.to_string()))?;
        rows += batch.num_rows() as u64;
        show(&batch)?;
    }
    Ok(rows)
}
