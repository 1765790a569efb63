//! The lake as a whole: rows in, files out, commits between.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

use super::*;
use crate::record::{Field, FlowRecord, LogFormat};

const HOUR: i64 = 3_600_000;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn record(start: Option<i64>, bytes: i64) -> FlowRecord<'static> {
    let mut record = FlowRecord::default();
    if let Some(start) = start {
        assert!(record.set_number(Field::Start, start / 1000));
    }
    assert!(record.set_number(Field::Bytes, bytes) && record.set_number(Field::Packets, 1));
    record
}

/// Adds unjudged records of one object in batches of this size; the first is line 1.
fn push_all(writer: &mut FlowWriter<'_, LocalStore>, records: &[FlowRecord<'_>], size: usize) {
    let lines: Vec<i64> = (1..=records.len() as i64).collect();
    let judgements = vec![None; records.len()];
    let format = LogFormat::default();
    for at in (0..records.len()).step_by(size) {
        let of = at..records.len().min(at + size);
        let rows = FlowRows {
            format: &format,
            records: &records[of.clone()],
            judgements: &judgements[of.clone()],
            lines: &lines[of],
            source: "file:///x",
            boundary: None,
        };
        writer.push(&rows).unwrap();
    }
}

/// Writes rows of these starts; every row as (partition folder, start, line) read back.
fn write_and_read(starts: &[Option<i64>], limits: FileLimits) -> (Vec<(String, Option<i64>, i64)>, usize) {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::create(folder.path()).unwrap();
    let properties = writer_properties(&Origin::default());
    let mut writer = FlowWriter::new(&store, "staging".to_owned(), properties, limits);
    let records: Vec<FlowRecord<'_>> = (1..).zip(starts).map(|(line, start)| record(*start, line)).collect();
    push_all(&mut writer, &records, 1000);
    let (staged, written) = writer.finish().unwrap();
    assert_eq!(written.rows, starts.len() as u128);
    assert_eq!(written.bytes, (1..=starts.len() as u128).sum::<u128>());
    assert!(!folder.path().join("staging/overflow").read_dir().is_ok_and(|mut files| files.next().is_some()));
    let mut rows = Vec::new();
    for file in &staged {
        let before = rows.len();
        read_flows(&folder.path().join(&file.staged), &file.folder, &mut rows);
        assert_eq!((rows.len() - before) as u64, file.rows);
        assert!((1..=limits.rows).contains(&file.rows), "{} rows", file.rows);
        assert_eq!(fs::metadata(folder.path().join(&file.staged)).unwrap().len(), file.bytes);
    }
    rows.sort_by_key(|(_, _, line)| *line);
    (rows, staged.len())
}

fn read_flows(path: &Path, folder: &str, rows: &mut Vec<(String, Option<i64>, i64)>) {
    for batch in ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap().build().unwrap() {
        let batch = batch.unwrap();
        let starts = batch.column_by_name("start").unwrap().as_primitive::<TimestampMillisecondType>();
        let lines = batch.column_by_name("line").unwrap().as_primitive::<Int64Type>();
        rows.extend(starts.iter().zip(lines.values()).map(|(start, line)| (folder.to_owned(), start, *line)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Any order of hours, with and without a start: each row once, in its partition.
    #[test]
    fn every_row_lies_in_its_hour(hours in prop::collection::vec(prop::option::of(0i64..40), 1..400)) {
        let starts: Vec<Option<i64>> = hours.iter().map(|hour| hour.map(|hour| hour * HOUR + 5000)).collect();
        let (rows, _) = write_and_read(&starts, FileLimits::default());
        let expected: Vec<_> = (1..)
            .zip(&starts)
            .map(|(line, start)| (format!("flows/{}", Hour::of(*start)), *start, line))
            .collect();
        prop_assert_eq!(rows, expected);
    }
}

#[test]
fn logs_in_order_of_time_make_one_file_an_hour() {
    let starts: Vec<Option<i64>> = (0..600_000).map(|i| Some(i * 1000 / 10)).collect();
    let (rows, files) = write_and_read(&starts, FileLimits::default());
    assert_eq!(rows.len(), starts.len());
    assert_eq!(files, 17, "600000 rows of a tenth of a second are 16.7 hours");
}

#[test]
fn files_roll_by_rows() {
    let starts = vec![Some(0); 100_000];
    let (rows, files) = write_and_read(&starts, FileLimits { rows: 16_384, bytes: u64::MAX });
    assert_eq!((rows.len(), files), (100_000, 7));
}

/// In random order too, where files come from the overflow: none is longer, none is empty.
#[test]
fn scattered_files_roll_by_rows() {
    let starts: Vec<Option<i64>> = (0..40_000).map(|row| Some(row * 7919 % 30 * HOUR)).collect();
    let (rows, files) = write_and_read(&starts, FileLimits { rows: 100, bytes: u64::MAX });
    assert_eq!(rows.len(), starts.len());
    assert!((400..450).contains(&files), "{files} files of 100 rows hold 40000");
}

fn commit_of(chain: &Chain<'_, LocalStore>, unit: Unit, objects: &[&str]) -> Commit {
    let mut commit = Commit::new(chain.next_number(), CommitKind::Data, None, &Conserved::default());
    commit.objects = objects
        .iter()
        .map(|uri| ObjectEntry {
            uri: (*uri).to_owned(),
            identity: "1".to_owned(),
            lines: 0,
            quarantined: 0,
            fault: None,
        })
        .collect();
    unit.into_commit(commit)
}

fn stage(store: &LocalStore, unit: &mut Unit, name: &str) {
    let staged = format!("{}/{name}.parquet", unit.staging);
    store.stage(&staged).unwrap().finish().unwrap();
    unit.add(Staged { staged, folder: "flows/date=2026-11-21/hour=02".to_owned(), rows: 1, bytes: 0 });
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// I5: a crash between the commit and its publication is mended by the next opening; one before leaves nothing.
#[test]
fn what_is_visible_is_the_union_of_the_commits() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::create(folder.path()).unwrap();
    let flows = folder.path().join("flows");
    block_on(async {
        let chain = Chain::open(&store, "replay", Access::Exclusive).await.unwrap();
        let mut unit = Unit::begin(&chain, &store).unwrap();
        stage(&store, &mut unit, "a");
        let commit = commit_of(&chain, unit, &["file:///a"]);
        // crash before the commit
        drop(chain);
        let chain = Chain::open(&store, "replay", Access::Exclusive).await.unwrap();
        assert!(files_below(&flows).is_empty() && files_below(&folder.path().join("_flowbound/staging")).is_empty());
        assert!(chain.objects().is_empty());
        // crash after it: the commit is there, nothing is published
        let mut other = Chain::open(&store, "replay", Access::Shared).await.unwrap();
        let mut unit = Unit::begin(&chain, &store).unwrap();
        stage(&store, &mut unit, "a");
        drop(commit);
        let commit = commit_of(&chain, unit, &["file:///a"]);
        assert!(store.create("_flowbound/commits/replay/0000000001.json", &commit.to_json()).await.unwrap());
        let conflict = other.commit_next(commit_of(&other, Unit::empty(&other), &[])).await;
        assert!(matches!(conflict, Err(LakeError::Conflict(_))), "one winner");
        drop((chain, other));
        let chain = Chain::open(&store, "replay", Access::Exclusive).await.unwrap();
        assert_eq!(files_below(&flows).len(), 2, "the row's file, and the one without rows");
        assert!(files_below(&folder.path().join("_flowbound/staging")).is_empty());
        assert_eq!(chain.objects()["file:///a"].0, 1);
        assert_eq!(chain.next_number(), 2);
    });
}

/// I2: a chain with a gap is not read as if it had none.
#[test]
fn a_gap_in_the_chain_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::create(folder.path()).unwrap();
    block_on(async {
        let commit = Commit::new(2, CommitKind::Data, None, &Conserved::default());
        store.create("_flowbound/commits/replay/0000000002.json", &commit.to_json()).await.unwrap();
        let whole = Chain::open(&store, "replay", Access::Exclusive).await.err();
        let head = Chain::open_head(&store, "replay").await.err();
        for error in [whole, head] {
            let error = error.unwrap().to_string();
            assert!(error.contains("0000000001.json is damaged"), "{error}");
        }
    });
}

/// Replaced rows go when their replacement is published, and not before.
#[test]
fn a_replacement_takes_the_old_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::create(folder.path()).unwrap();
    block_on(async {
        let mut chain = Chain::open(&store, "replay", Access::Exclusive).await.unwrap();
        for replaces in [None, Some(1)] {
            let mut unit = Unit::begin(&chain, &store).unwrap();
            stage(&store, &mut unit, "a");
            let mut commit = commit_of(&chain, unit, &["file:///a"]);
            if let Some(number) = replaces {
                commit.replaces = vec![number];
                let old = &chain.commit(number).unwrap().files;
                commit.removes = old.iter().filter(|file| file.rows > 0).map(|file| file.path.clone()).collect();
            }
            chain.commit_next(commit).await.unwrap();
        }
        let names: Vec<_> = files_below(&folder.path().join("flows"))
            .into_iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert!(names.contains(&"replay-0000000002-0.parquet".to_owned()), "{names:?}");
        assert_eq!(names.len(), 2, "{names:?}");
        assert_eq!(chain.objects()["file:///a"].0, 2);
    });
}

#[test]
fn file_metadata_names_the_map() {
    let origin = Origin { map_name: Some("artos".to_owned()), map_sha256: Some("ab".to_owned()) };
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::create(folder.path()).unwrap();
    let mut writer = FlowWriter::new(&store, "s".to_owned(), writer_properties(&origin), FileLimits::default());
    push_all(&mut writer, &[record(None, 0)], 1);
    let (staged, _) = writer.finish().unwrap();
    let file = fs::File::open(folder.path().join(&staged[0].staged)).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let pairs: BTreeMap<String, String> = reader
        .metadata()
        .file_metadata()
        .key_value_metadata()
        .unwrap()
        .iter()
        .filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?)))
        .collect();
    assert_eq!(pairs["flowbound.map_name"], "artos");
    assert_eq!(pairs["flowbound.map_sha256"], "ab");
    assert_eq!(pairs["flowbound.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(pairs["flowbound.schema_version"], schema::SCHEMA_VERSION);
    assert_eq!(reader.schema().fields().len(), schema::flows_schema().fields().len());
}
