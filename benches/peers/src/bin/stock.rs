//! Rewrites the flow files of a lake with the stock writer, arrow-rs's `ArrowWriter`, under the settings that
//! flowbound has: `stock LAKE OUT`. What DuckDB makes of the two is then compared.

use std::error::Error;
use std::fs::{self, File};
use std::path::Path;

use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [lake, out] = &args[..] else { return Err("usage: stock LAKE OUT".into()) };
    rewrite(&Path::new(lake).join("flows"), &Path::new(out).join("flows"))
}

fn rewrite(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let copy = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            rewrite(&path, &copy)?;
            continue;
        }
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path)?)?.with_batch_size(1 << 16);
        let created_by = reader.metadata().file_metadata().created_by().unwrap_or_default().to_owned();
        let properties = WriterProperties::builder()
            .set_created_by(created_by)
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_max_row_group_row_count(Some(1 << 18))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .build();
        let schema = reader.schema().clone();
        let mut writer = ArrowWriter::try_new(File::create(copy)?, schema, Some(properties))?;
        for batch in reader.build()? {
            writer.write(&batch?)?;
        }
        writer.close()?;
    }
    Ok(())
}
