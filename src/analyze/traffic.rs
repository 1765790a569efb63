//! What a lake says of the traffic, as far as the map's lints ask.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::boundary::Traffic;

/// Why a lake cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum TrafficError {
    /// It is none.
    #[error("{0} is no lake: it has no folder flows (a lake is what `flowbound replay --out` writes)")]
    NoLake(String),
    /// A file of it cannot be read.
    #[error("cannot read {path}: {detail}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        detail: String,
    },
}

const COLUMNS: [&str; 9] = [
    "interface_id",
    "srcaddr",
    "dstaddr",
    "pkt_srcaddr",
    "client_addr",
    "client_zone",
    "server_zone",
    "orientation",
    "side",
];

/// Reads the table `flows` of a local lake once, and only the columns that are needed.
pub fn seen_traffic(lake: &Path) -> Result<Traffic, TrafficError> {
    let flows = lake.join("flows");
    if !flows.is_dir() {
        return Err(TrafficError::NoLake(lake.display().to_string()));
    }
    let mut traffic = Traffic::default();
    let mut folders = vec![flows];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(unreadable(&folder))? {
            let path = entry.map_err(unreadable(&folder))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                read(&path, &mut traffic)?;
            }
        }
    }
    Ok(traffic)
}

fn unreadable<E: std::fmt::Display>(path: &Path) -> impl Fn(E) -> TrafficError {
    let path = path.display().to_string();
    move |error| TrafficError::Unreadable { path: path.clone(), detail: error.to_string() }
}

fn read(path: &PathBuf, traffic: &mut Traffic) -> Result<(), TrafficError> {
    let file = File::open(path).map_err(unreadable(path))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(unreadable(path))?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), COLUMNS);
    for batch in builder.with_projection(mask).build().map_err(unreadable(path))? {
        add(&batch.map_err(unreadable(path))?, traffic).ok_or_else(|| TrafficError::Unreadable {
            path: path.display().to_string(),
            detail: "its columns are not those of the table flows".to_owned(),
        })?;
    }
    Ok(())
}

fn add(batch: &RecordBatch, traffic: &mut Traffic) -> Option<()> {
    let columns: Vec<&StringArray> =
        COLUMNS.iter().map(|name| batch.column_by_name(name)?.as_string_opt()).collect::<Option<_>>()?;
    for row in 0..batch.num_rows() {
        let value = |column: usize| columns.get(column).filter(|c| c.is_valid(row)).map(|c| c.value(row));
        if let Some(interface) = value(0).filter(|interface| !traffic.interfaces.contains(*interface)) {
            traffic.interfaces.insert(interface.to_owned());
        }
        if traffic.ipv6.is_none() {
            let v6 = [value(1), value(2)].into_iter().flatten().find(|address| address.contains(':'));
            traffic.ipv6 = v6.and_then(|address| address.parse().ok());
        }
        let (Some(client), Some(server)) = (value(5), value(6)) else { continue };
        let sender = value(3).or(value(1));
        let from_client = value(4).is_none_or(|address| Some(address) == sender) && value(7) != Some("reply");
        let (sending, receiving) = if from_client { (client, server) } else { (server, client) };
        let recorder = match value(8) {
            Some("source") => Some(sending),
            Some("destination") => Some(receiving),
            _ => None,
        };
        for zone in [client, server].into_iter().take(if client == server { 1 } else { 2 }) {
            if !traffic.zones.contains_key(zone) {
                traffic.zones.insert(zone.to_owned(), Default::default());
            }
            if let Some(counts) = traffic.zones.get_mut(zone) {
                counts.seen += 1;
                counts.logged += u64::from(recorder == Some(zone));
            }
        }
    }
    Some(())
}
