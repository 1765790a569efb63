//! A small lake for tests, made through the lake's own interface: a replay, two shards of a stream, its alerts.

use std::fs;
use std::path::{Path, PathBuf};

use arrow::util::display::array_value_to_string;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

use super::state::state_folder;
use super::*;
use crate::detect::{Alert, AlertStatus, Finding, Key, Tally, Window, counter};
use crate::record::{Field, FlowRecord, LogFormat, ParseError, ParseErrorKind};

/// 2026-11-20, 00:00 UTC.
pub(super) const DAY: i64 = 1_795_132_800_000;
pub(super) const HOUR: i64 = 3_600_000;

pub(super) struct TestLake {
    folder: TempDir,
    pub(super) store: LocalStore,
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(future)
}

/// Rows that were staged for one commit, with one line in quarantine for each source.
#[derive(Default)]
struct Written {
    staged: Vec<Staged>,
    conserved: Conserved,
    lines: u64,
    quarantined: u64,
}

impl TestLake {
    pub(super) fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::create(folder.path()).unwrap();
        Self { folder, store }
    }

    /// Two commits and a replaced one of a replay; a shard that ended and its child; two rounds of alerts.
    pub(super) fn sample() -> Self {
        let lake = Self::empty();
        block_on(async {
            lake.replay(&["file:///a", "file:///b"], &[0, 10, HOUR], None).await;
            lake.replay(&["file:///c"], &[0, 20], None).await;
            lake.replay(&["file:///c"], &[5, 20, 30], Some(2)).await;
            lake.shard("parent", &[], "100", &[0, 1000], false).await;
            lake.shard("parent", &[], "99999", &[2000], true).await;
            lake.alerts("5432").await;
            lake.shard("child", &["parent"], "100000", &[HOUR, 3000], false).await;
            lake.shard("child", &["parent"], "100001", &[4000, 5000], false).await;
            lake.alerts("5432").await;
        });
        lake
    }

    /// Another lake with the same files.
    pub(super) fn copy(&self) -> Self {
        let copy = Self::empty();
        for path in self.files(".") {
            copy.put(&path, &fs::read(self.path(&path)).unwrap());
        }
        copy
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, staging: &str, sources: &[String], starts: &[i64], map: Option<&MapIdentity>) -> Written {
        let properties = writer_properties(&Origin::of(map));
        let mut written = Written::default();
        let quarantine = Quarantine::new(&self.store, staging);
        for (place, source) in sources.iter().enumerate() {
            let folder = format!("{staging}/{place}");
            let mut writer = FlowWriter::new(&self.store, folder, properties.clone(), FileLimits::default());
            let records: Vec<_> = (1..).zip(starts).map(|(line, start)| record(DAY + start, line)).collect();
            let lines: Vec<i64> = (1..=records.len() as i64).collect();
            writer
                .push(&FlowRows {
                    format: &LogFormat::default(),
                    records: &records,
                    judgements: &vec![None; records.len()],
                    lines: &lines,
                    source,
                    boundary: None,
                })
                .unwrap();
            let (staged, conserved) = writer.finish().unwrap();
            written.staged.extend(staged);
            written.conserved.merge(&conserved);
            let mut text = Vec::new();
            let error = ParseError { kind: ParseErrorKind::NotUtf8, field: None, byte: 0 };
            append_quarantine(&mut text, source, lines.len() as i64 + 1, b"no record", &error);
            quarantine.write(&text, 1).unwrap();
            written.quarantined += 1;
            written.lines += records.len() as u64 + 1;
        }
        written.staged.extend(quarantine.finish().unwrap());
        written.staged.push(self.raw(&format!("{staging}/state.state"), &state_folder(Day::of(Some(DAY))), b"{}\n"));
        written
    }

    fn raw(&self, staged: &str, folder: &str, text: &[u8]) -> Staged {
        use std::io::Write as _;
        let mut file = self.store.stage(staged).unwrap();
        file.write_all(text).unwrap();
        let bytes = file.finish().unwrap();
        Staged { staged: staged.to_owned(), folder: folder.to_owned(), rows: 1, bytes }
    }

    /// A commit of a replay: each object has rows with these starts (milliseconds of the day).
    pub(super) async fn replay(&self, objects: &[&str], starts: &[i64], replaces: Option<u64>) {
        let sources: Vec<String> = objects.iter().map(|object| (*object).to_owned()).collect();
        self.replay_as(objects, &sources, starts, replaces).await;
    }

    /// The same, where the rows say that they are from other sources.
    pub(super) async fn replay_as(&self, objects: &[&str], sources: &[String], starts: &[i64], replaces: Option<u64>) {
        let mut chain = Chain::open(&self.store, REPLAY, Access::Exclusive).await.unwrap();
        let mut unit = Unit::begin(&chain, &self.store).unwrap();
        let written = self.write(&unit.staging, sources, starts, None);
        let mut commit = Commit::new(chain.next_number(), CommitKind::Data, None, &written.conserved);
        commit.objects = objects
            .iter()
            .map(|uri| ObjectEntry {
                uri: (*uri).to_owned(),
                identity: "x".to_owned(),
                lines: starts.len() as u64 + 1,
                quarantined: 1,
                fault: None,
            })
            .collect();
        if let Some(number) = replaces {
            commit.replaces = vec![number];
            let old = &chain.commit(number).unwrap().files;
            commit.removes = old.iter().filter(|file| file.rows > 0).map(|file| file.path.clone()).collect();
        }
        written.staged.into_iter().for_each(|staged| unit.add(staged));
        chain.commit_next(unit.into_commit(commit)).await.unwrap();
    }

    /// The next commit of a shard, up to this sequence number, with everything staged.
    pub(super) async fn shard_commit(
        &self,
        chain: &Chain<'_, LocalStore>,
        span: ShardSpan,
        starts: &[i64],
        map: Option<MapIdentity>,
    ) -> Commit {
        let mut unit = Unit::empty(chain);
        let end = span.end.clone().unwrap();
        let source = format!("kinesis://{}/{}/{}", span.stream, span.shard, end.sequence);
        let written = self.write(&unit.staging, &[source], starts, map.as_ref());
        let mut commit = Commit::new(chain.next_number(), CommitKind::Data, map, &written.conserved);
        commit.shard = Some(ShardSpan { lines: written.lines, quarantined: written.quarantined, records: 1, ..span });
        written.staged.into_iter().for_each(|staged| unit.add(staged));
        unit.into_commit(commit)
    }

    pub(super) fn span(
        chain: &Chain<'_, LocalStore>,
        shard: &str,
        parents: &[&str],
        sequence: &str,
        closed: bool,
    ) -> ShardSpan {
        let carried = chain.head().and_then(|head| head.shard.as_ref()).map(ShardSpan::carried_on);
        ShardSpan {
            stream: "s".to_owned(),
            shard: shard.to_owned(),
            parents: parents.iter().map(|parent| (*parent).to_owned()).collect(),
            end: Some(ShardPosition { sequence: sequence.to_owned(), sub: 0 }),
            closed,
            ..carried.unwrap_or_default()
        }
    }

    /// A worker that begins, reads one record of a shard and commits it.
    pub(super) async fn shard(&self, shard: &str, parents: &[&str], sequence: &str, starts: &[i64], closed: bool) {
        self.shard_of_map(shard, parents, sequence, starts, closed, None).await;
    }

    pub(super) async fn shard_of_map(
        &self,
        shard: &str,
        parents: &[&str],
        sequence: &str,
        starts: &[i64],
        closed: bool,
        map: Option<MapIdentity>,
    ) {
        let mut chain = Chain::open_head(&self.store, &format!("s.{shard}")).await.unwrap();
        chain.fence(None).await.unwrap();
        let span = Self::span(&chain, shard, parents, sequence, closed);
        let commit = self.shard_commit(&chain, span, starts, map).await;
        chain.commit_next(commit).await.unwrap();
    }

    /// Merges what the shards gathered, as the closer does, and brings the next revision of one alert.
    pub(super) async fn alerts(&self, port: &str) {
        let mut chain = Chain::open_head(&self.store, "s.alerts").await.unwrap();
        let known = chain.head().and_then(|head| head.closing.clone()).unwrap_or_default();
        let mut commit = Commit::new(chain.next_number(), CommitKind::Close, None, &Conserved::default());
        commit.removes = known.merged.into_values().flatten().collect();
        let mut closing = Closing { seen: known.seen, ..Closing::default() };
        for name in self.store.folders(COMMITS).await.unwrap() {
            if name.starts_with("s.") && name != "s.alerts" {
                let seen = closing.seen.entry(name.clone()).or_default();
                for fresh in Chain::read_from(&self.store, &name, *seen + 1).await.unwrap() {
                    *seen = fresh.number;
                    commit
                        .removes
                        .extend(fresh.files.into_iter().map(|file| file.path).filter(|path| path.contains("/state/")));
                }
            }
        }
        let mut unit = Unit::begin(&chain, &self.store).unwrap();
        let revision = i32::try_from(chain.next_number()).unwrap() - 1;
        self.alert(&mut unit, port, revision);
        let day = state_folder(Day::of(Some(DAY)));
        unit.add(self.raw(&format!("{}/state-1.state", unit.staging), &day, b"{} {}\n"));
        let mut commit = unit.into_commit(commit);
        let state = commit.files.iter().map(|file| file.path.clone()).filter(|path| path.contains("/state/"));
        closing.merged.insert(day, state.collect());
        commit.closing = Some(closing);
        chain.commit_next(commit).await.unwrap();
    }

    /// Stages one revision of an alert.
    pub(super) fn alert(&self, unit: &mut Unit, port: &str, revision: i32) {
        let outage = counter("outage").unwrap();
        let key = Key {
            client_addr: Some("10.0.0.1".to_owned()),
            server_addr: Some("10.0.0.2".to_owned()),
            server_port: port.parse().ok(),
            protocol: Some(6),
            ..Key::bare(Window(Some(DAY)), outage.name())
        };
        let finding = Finding::of_tally(outage, &key, Some(DAY + HOUR), &Tally::new(outage.verdict()));
        let properties = writer_properties(&Origin::default());
        let mut alerts = AlertWriter::new(&self.store, unit.staging.clone(), properties);
        alerts.push(Alert { revision, status: AlertStatus::Updated, finding }).unwrap();
        alerts.finish().unwrap().into_iter().for_each(|staged| unit.add(staged));
    }

    /// The files below a folder.
    pub(super) fn files(&self, folder: &str) -> Vec<String> {
        block_on(self.store.list(folder)).unwrap()
    }

    /// The one file below a folder whose name has this part.
    pub(super) fn file(&self, folder: &str, part: &str) -> String {
        let mut found = self.files(folder);
        found.retain(|path| path.contains(part));
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    pub(super) fn commit(&self, chain: &str, number: u64) -> Commit {
        let path = format!("{COMMITS}/{chain}/{number:010}.json");
        Commit::from_json(&path, &fs::read(self.path(&path)).unwrap()).unwrap()
    }

    pub(super) fn edit(&self, chain: &str, number: u64, edit: impl FnOnce(&mut Commit)) {
        let mut commit = self.commit(chain, number);
        edit(&mut commit);
        fs::write(self.path(&format!("{COMMITS}/{chain}/{number:010}.json")), commit.to_json()).unwrap();
    }

    pub(super) fn put(&self, path: &str, text: &[u8]) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    /// Every row of a table in words, in order; with the folder that it lies in.
    pub(super) fn rows(&self, table: &str) -> Vec<String> {
        let mut rows = Vec::new();
        for path in self.files(table) {
            rows.extend(read_rows(&self.path(&path), path.rsplit_once('/').unwrap().0).unwrap());
        }
        rows.sort_unstable();
        rows
    }

    /// Every row of the files that can be read, twice where it is twice.
    pub(super) fn rows_that_can_be_read(&self) -> Vec<String> {
        let files = ["flows", "alerts"].into_iter().flat_map(|table| self.files(table));
        files.filter_map(|path| read_rows(&self.path(&path), "").ok()).flatten().collect()
    }
}

fn read_rows(path: &Path, folder: &str) -> parquet::errors::Result<Vec<String>> {
    let mut rows = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap())?.build()? {
        let batch = batch?;
        for row in 0..batch.num_rows() {
            let values = batch.columns().iter().map(|column| array_value_to_string(column, row));
            let values = values.collect::<Result<Vec<_>, _>>()?;
            rows.push(format!("{folder}|{}", values.join("|")));
        }
    }
    Ok(rows)
}

fn record(start: i64, line: i64) -> FlowRecord<'static> {
    let mut record = FlowRecord::default();
    assert!(record.set_number(Field::Start, start / 1000));
    assert!(record.set_number(Field::Bytes, line * 1000) && record.set_number(Field::Packets, line));
    record
}
