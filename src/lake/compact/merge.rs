//! Many files of a table into few, batch by batch: in memory are a batch that is read and a row group that is written.

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};

use super::super::commit::FileEntry;
use super::super::error::{LakeError, io_error, parquet_error};
use super::super::flow_file::{Conserved, FlowFile};
use super::super::flow_writer::FileLimits;
use super::super::parquet_file::{Origin, ParquetFile, Staged, writer_properties};
use super::super::schema::{alerts_schema, flows_schema};
use super::super::store::{StagedFile, Store};
use super::super::table_file;
use super::plan::Group;
use crate::record::Field;

/// Stages the merged files of a group; what is in them, as a commit says it.
pub(super) fn merge<S: Store>(
    store: &S,
    staging: &str,
    group: &Group,
    limits: FileLimits,
) -> Result<(Vec<Staged>, Conserved), LakeError> {
    if group.folder.starts_with("flows/") {
        merge_flows(store, staging, group, limits)
    } else {
        // the sums of a commit are those of flows
        Ok((merge_alerts(store, staging, group)?, Conserved::default()))
    }
}

fn merge_flows<S: Store>(
    store: &S,
    staging: &str,
    group: &Group,
    limits: FileLimits,
) -> Result<(Vec<Staged>, Conserved), LakeError> {
    let properties = writer_properties(&Origin::of(group.map.as_ref()));
    let (mut read, mut written) = (Conserved::default(), Conserved::default());
    let mut open: Option<(String, FlowFile<Box<dyn StagedFile>>)> = None;
    let mut done = Vec::new();
    let mut close = |(path, file): (String, FlowFile<Box<dyn StagedFile>>), done: &mut Vec<Staged>| {
        let rows = file.rows();
        let (out, conserved) = file.finish().map_err(parquet_error(&path))?;
        let bytes = out.finish().map_err(io_error("write", &path))?;
        written.merge(&conserved);
        done.push(Staged { staged: path, folder: group.folder.clone(), rows, bytes });
        Ok::<_, LakeError>(())
    };
    for file in &group.files {
        each_batch(store, file, &flows_schema(), &mut |batch| {
            read.rows += batch.num_rows() as u128;
            read.packets += sum(batch, Field::Packets);
            read.bytes += sum(batch, Field::Bytes);
            let mut at = 0;
            while at < batch.num_rows() {
                let (path, mut file) = match open.take() {
                    Some(open) => open,
                    None => {
                        let path = format!("{staging}/{}.parquet", done.len() + 1);
                        let out = store.stage(&path).map_err(io_error("create", &path))?;
                        let file = FlowFile::new(out, &properties).map_err(parquet_error(&path))?;
                        (path, file)
                    }
                };
                let room = usize::try_from(limits.rows.saturating_sub(file.rows()).max(1)).unwrap_or(usize::MAX);
                let rows = room.min(batch.num_rows() - at);
                file.append(&batch.slice(at, rows)).map_err(parquet_error(&path))?;
                at += rows;
                if file.rows() >= limits.rows || file.size() >= limits.bytes {
                    close((path, file), &mut done)?;
                } else {
                    open = Some((path, file));
                }
            }
            Ok(())
        })?;
    }
    if let Some(open) = open {
        close(open, &mut done)?;
    }
    read.check_written(&written)?;
    Ok((done, read))
}

fn merge_alerts<S: Store>(store: &S, staging: &str, group: &Group) -> Result<Vec<Staged>, LakeError> {
    let properties = writer_properties(&Origin::of(group.map.as_ref()));
    let (path, schema) = (format!("{staging}/1.parquet"), alerts_schema());
    let mut merged = ParquetFile::create(store, path, group.folder.clone(), schema.clone(), &properties)?;
    for file in &group.files {
        each_batch(store, file, &schema, &mut |batch| merged.write(batch))?;
    }
    let staged = merged.finish()?;
    let (read, written) = (group.files.iter().map(|file| u128::from(file.rows)).sum(), u128::from(staged.rows));
    if read != written {
        return Err(LakeError::NotConserved { what: "rows", parsed: read, written });
    }
    Ok(vec![staged])
}

/// Shows a file batch by batch.
///
/// # Errors
/// [`LakeError::Damaged`] when it is not a file of this schema with as many rows as its commit says.
fn each_batch<S: Store>(
    store: &S,
    entry: &FileEntry,
    schema: &SchemaRef,
    show: &mut dyn FnMut(&RecordBatch) -> Result<(), LakeError>,
) -> Result<(), LakeError> {
    let rows = table_file::each_batch(store, &entry.path, schema, show)?;
    if rows != entry.rows {
        let detail = format!("it has {rows} rows, and its commit says {}", entry.rows);
        return Err(LakeError::Damaged { path: entry.path.clone(), detail });
    }
    Ok(())
}

/// The sum of a column as it was read, by another way than that of the writer, with which it is compared.
fn sum(batch: &RecordBatch, field: Field) -> u128 {
    let values = batch.column(field as usize).as_primitive_opt::<Int64Type>();
    let values = values.into_iter().flat_map(|column| column.iter().flatten());
    values.map(|value| u128::try_from(value).unwrap_or(0)).sum()
}
