//! The protocol under storms: from each seed another history of crashes, losses, lost answers, splits and merges.
//!
//! A crash drops a worker at whatever await it is in; what it had asked of the lake may still take effect. A worker may
//! also stand still until others have what it had, and go on. Checked by
//! name: I1 and I6 by every row that is visible in the end, I2 by every chain, I3 and I4 all the time, I5 by files and
//! staging, I7 and I8 by the alerts of a worker that nothing happened to, I9 by the time that the end takes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::{Int32Type, Int64Type};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::lake::MemoryLake;
use super::source::MemoryStream;
use super::{Dice, MAP, STREAM, chain_of, options, stream};
use crate::alert::deliver::{Channel, Form, Sink, Wants};
use crate::boundary::{Boundary, Selection, Severity, parse_map};
use crate::detect::Alert;
use crate::lake::CommitKind;
use crate::pipeline::deliver::Deliverer;
use crate::pipeline::stream::{Stream, StreamError, StreamOptions, StreamParts};
use crate::source::kinesis::lease::{
    Coordinator, CoordinatorOptions, Fault, InitialPosition, LeaseTable as _, MemoryTable, Timing,
};
use crate::source::kinesis::{Checkpoint, Position};
use crate::telemetry::{Metrics, Readiness};

const STORM: Duration = Duration::from_secs(120);
/// After the storm all is committed within so long: leases of the dead expire, and generations of shards are read one
/// after the other.
const AFTERMATH: Duration = Duration::from_secs(180);

struct Worker {
    lake: MemoryLake,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), StreamError>>,
}

struct Simulation {
    dice: Dice,
    boundary: Arc<Boundary>,
    lake: MemoryLake,
    table: MemoryTable,
    stream: MemoryStream,
    stormy: u64,
    workers: Vec<Worker>,
    started: u64,
    put: u64,
    checkpoints: BTreeMap<String, Checkpoint>,
    /// Id and revision of every alert that the receiver of this lake got.
    delivered: Arc<Mutex<BTreeSet<(String, i32)>>>,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let dice = Dice::new(seed);
        let stormy = [0, 1, 3, 6][dice.below(4) as usize];
        let map = parse_map("small.toml", MAP).unwrap();
        Self {
            boundary: Arc::new(Boundary::new(map, &Selection::default())),
            lake: MemoryLake::new(dice.clone(), stormy),
            stream: MemoryStream::new(dice.clone(), stormy, 1 + dice.below(3)),
            table: MemoryTable::default(),
            dice,
            stormy,
            workers: Vec::new(),
            started: 0,
            put: 0,
            checkpoints: BTreeMap::new(),
            delivered: Arc::default(),
        }
    }

    async fn start_worker(&mut self, lake: &MemoryLake, table: &MemoryTable) {
        self.started += 1;
        let (dice, stormy) = (self.dice.clone(), self.lake.stormy.clone());
        let lake = lake.of_a_worker();
        let reached = lake.clone();
        let table = table.with_faults(move || match dice.below(100) {
            _ if reached.is_stalled() => Fault::Refused,
            luck if luck < *stormy.lock().unwrap() => Fault::Refused,
            luck if luck < 2 * *stormy.lock().unwrap() => Fault::ResponseLost,
            luck if luck < 40 => Fault::Slow(dice.millis(50), dice.millis(50)),
            _ => Fault::None,
        });
        let coordination = CoordinatorOptions {
            worker: format!("worker-{}", self.started),
            start: InitialPosition::TrimHorizon,
            timing: Timing::with_failover(Duration::from_secs(5)),
        };
        let started = Coordinator::start(Arc::new(table), Arc::new(self.stream.clone()), coordination).await;
        // a start may fail in a storm; somebody starts it again
        let Ok((leases, events)) = started else { return };
        let (stop, stopped) = oneshot::channel();
        let stream = Stream::new(StreamParts {
            store: Arc::new(lake.clone()),
            boundary: Some(self.boundary.clone()),
            stream: stream(),
            streams: self.stream.clone(),
            leases,
            events,
            options: StreamOptions { deliverer: Arc::new(self.deliverer()), ..options() },
            metrics: Arc::new(Metrics::default()),
            ready: Arc::new(Readiness::default()),
        });
        let task = tokio::spawn(stream.run(async move {
            // dropped without a word: that is a crash, and the task is gone as well
            let _crashed = stopped.await;
        }));
        self.workers.push(Worker { lake, stop, task });
    }

    /// To a receiver that is down now and then, and whose answers are lost as often.
    fn deliverer(&self) -> Deliverer {
        let (dice, stormy, delivered) = (self.dice.clone(), self.lake.stormy.clone(), self.delivered.clone());
        let takes = move |alert: &Alert| {
            let (luck, stormy) = (dice.below(100), 5 * *stormy.lock().unwrap());
            if luck >= stormy {
                delivered.lock().unwrap().insert((alert.finding.alert_id.clone(), alert.revision));
            }
            luck >= 2 * stormy
        };
        let wants = Wants { severity: Severity::Info, detectors: Vec::new() };
        let sink = Sink::new("oncall".to_owned(), wants, Form::Json, Channel::Test(Box::new(takes)));
        Deliverer::new(vec![sink], Arc::default())
    }

    /// Most are expected; some come from where nobody should, and are breaches of a few keys.
    fn put(&mut self) {
        for _ in 0..1 + self.dice.below(6) {
            self.put += 1;
            let client =
                if self.dice.below(3) == 0 { format!("10.0.9.{}", self.dice.below(3)) } else { "10.0.1.7".to_owned() };
            let start = 1_795_219_200 + self.dice.below(3) * 3600 + self.dice.below(3000);
            let (port, end, bytes) = (40_000 + self.dice.below(5), start + 50, self.put);
            let line =
                format!("2 123456789012 eni-0a {client} 10.0.2.9 {port} 5432 6 1 {bytes} {start} {end} ACCEPT OK");
            self.stream.put(line, None);
        }
    }

    async fn something_happens(&mut self) {
        let open = self.stream.open();
        let worker = self.dice.below(self.workers.len() as u64) as usize;
        match self.dice.below(9) {
            0 | 1 if !self.workers.is_empty() => self.workers.swap_remove(worker).task.abort(),
            2 if self.workers.len() > 1 => {
                let leaving = self.workers.swap_remove(worker);
                let _ended_before = leaving.stop.send(());
            }
            0..=4 if self.workers.len() < 3 => {
                let (lake, table) = (self.lake.clone(), self.table.clone());
                self.start_worker(&lake, &table).await;
            }
            5 if open.len() < 5 => self.stream.split(&open[self.dice.below(open.len() as u64) as usize]),
            6 if open.len() > 1 => {
                let low = self.dice.below(open.len() as u64 - 1) as usize;
                self.stream.merge(&open[low], &open[low + 1]);
            }
            // longer than its leases live, mostly: what it had asked of the lake arrives when others are at work
            7 if self.workers.len() > 1 => self.workers[worker].lake.stall(self.dice.millis(20_000)),
            _ => {}
        }
    }

    /// What must hold at any time.
    async fn check(&mut self) {
        let chains = self.lake.chains();
        for lease in self.table.list().await.unwrap() {
            let before = self.checkpoints.insert(lease.shard.clone(), lease.checkpoint.clone());
            assert!(before.as_ref() <= Some(&lease.checkpoint), "I3: {before:?}, then {lease:?}");
            let commits = chains.get(&chain_of(&lease.shard));
            let head = commits.and_then(|commits| commits.last()?.shard.clone());
            if let Checkpoint::Sequence(position) = &lease.checkpoint {
                let end = head.as_ref().and_then(|span| span.end.clone()).expect("I3: a checkpoint without a commit");
                let head = Position { sequence: end.sequence.parse().unwrap(), sub: end.sub };
                assert!(*position <= head, "I3: checkpoint {position}, head {head}");
            }
            if lease.is_finished() {
                assert!(head.is_some_and(|span| span.closed), "I3: {} has not ended in the lake", lease.shard);
            }
        }
        for (name, commits) in &chains {
            let Some(shard) = name.strip_prefix(&chain_of("")).filter(|shard| shard.starts_with("shard")) else {
                continue;
            };
            if commits.iter().any(|commit| commit.kind == CommitKind::Data) {
                for parent in self.stream.parents(shard) {
                    let parent = chains.get(&chain_of(&parent)).and_then(|commits| commits.last()?.shard.as_ref());
                    assert!(parent.is_some_and(|span| span.closed), "I4: {shard} before the end of its parent");
                }
            }
        }
    }

    async fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.check().await;
            sleep(Duration::from_millis(700)).await;
        }
    }

    fn calm(&self) {
        *self.lake.stormy.lock().unwrap() = 0;
        *self.stream.stormy.lock().unwrap() = 0;
    }

    async fn finish(&mut self, lake: &MemoryLake, table: &MemoryTable) {
        while self.workers.is_empty() {
            self.start_worker(lake, table).await;
        }
        let everything = self.stream.everything(STREAM).len();
        let end = Instant::now() + AFTERMATH;
        while committed(lake) < everything as u64 {
            assert!(Instant::now() < end, "I9: {} of {everything}; {:#?}", committed(lake), self.table);
            sleep(Duration::from_secs(1)).await;
        }
        // who closes windows is seen within the time of an audit
        sleep(Duration::from_secs(80)).await;
        for worker in self.workers.drain(..) {
            worker.stop.send(()).expect("a worker ended by itself");
            worker.task.await.unwrap().unwrap();
        }
    }

    async fn run(mut self) {
        println!("stormy {}", self.stormy);
        let (lake, table) = (self.lake.clone(), self.table.clone());
        self.start_worker(&lake, &table).await;
        let storm = Instant::now() + STORM;
        while Instant::now() < storm {
            self.put();
            let calm = self.dice.millis(5_000);
            self.pass(calm).await;
            self.something_happens().await;
        }
        self.calm();
        self.finish(&lake, &table).await;
        self.check().await;
        check_chains(&lake);
        check_files(&lake);
        self.check_rows(&lake);
        let alerts = alerts(&lake);
        let (known, delivered) = (revisions(&lake), std::mem::take(&mut self.delivered));
        assert_eq!(*delivered.lock().unwrap(), known, "every alert is delivered");
        // another lake from the same stream, by a worker that nothing happens to
        let (calm, table) = (MemoryLake::new(self.dice.clone(), 0), MemoryTable::default());
        self.checkpoints.clear();
        self.finish(&calm, &table).await;
        self.check_rows(&calm);
        assert_eq!(alerts, self::alerts(&calm), "I7");
        assert!(self.put < 40 || !alerts.is_empty());
    }

    /// I1: every record once; I6: with what it says.
    fn check_rows(&self, lake: &MemoryLake) {
        let mut expected: Vec<(String, i64)> = self
            .stream
            .everything(STREAM)
            .into_iter()
            .map(|(source, text)| {
                let bytes = text.split(' ').nth(9).unwrap().parse().unwrap();
                (source, bytes)
            })
            .collect();
        expected.sort();
        assert_eq!(lake.rows(), expected, "I1, I6");
    }
}

fn committed(lake: &MemoryLake) -> u64 {
    lake.chains().values().flatten().map(|commit| commit.rows).sum()
}

/// I2: no gap, no overlap.
fn check_chains(lake: &MemoryLake) {
    for (name, commits) in lake.chains() {
        let mut end = None;
        for (number, commit) in (1..).zip(&commits) {
            assert_eq!(commit.number, number, "I2: {name}");
            if let Some(span) = &commit.shard {
                assert_eq!(span.start, end, "I2: {name} {number}");
                end.clone_from(&span.end);
            }
        }
    }
}

/// I5: what is visible is the union of the commits, and staging is empty.
fn check_files(lake: &MemoryLake) {
    let commits: Vec<_> = lake.chains().into_values().flatten().collect();
    let removed: BTreeSet<&str> = commits.iter().flat_map(|commit| &commit.removes).map(String::as_str).collect();
    let named = commits.iter().flat_map(|commit| &commit.files).map(|file| file.path.as_str());
    let named: BTreeSet<&str> = named.filter(|path| !removed.contains(path)).collect();
    let there = ["flows/", "alerts/", "quarantine/", "_flowbound/state/"].map(|folder| lake.below(folder)).concat();
    let there: BTreeSet<&str> = there.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(there, named, "I5");
    let staged = lake.below("_flowbound/staging/");
    assert!(staged.is_empty(), "I5: staging is left: {:?}", staged.iter().map(|(path, _)| path).collect::<Vec<_>>());
}

/// Id and revision of every alert.
fn revisions(lake: &MemoryLake) -> BTreeSet<(String, i32)> {
    let mut found = BTreeSet::new();
    for (_, bytes) in lake.below("alerts/") {
        for batch in ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let ids = batch.column_by_name("alert_id").unwrap().as_string::<i32>();
            let revisions = batch.column_by_name("revision").unwrap().as_primitive::<Int32Type>();
            found.extend(ids.iter().zip(revisions.values()).map(|(id, revision)| (id.unwrap().to_owned(), *revision)));
        }
    }
    found
}

/// Rows counted by each alert that stands, in its last revision; ids and revisions are unique. Withdrawn is what was said
/// too early: that there is nothing, or that something began in an hour before which there is more.
fn alerts(lake: &MemoryLake) -> BTreeMap<String, (i64, i64)> {
    let mut last: BTreeMap<String, (i32, bool, (i64, i64))> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (_, bytes) in lake.below("alerts/") {
        for batch in ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let column = |name: &str| batch.column_by_name(name).unwrap().clone();
            let (ids, revisions) = (column("alert_id"), column("revision"));
            let (flows, bytes) = (column("flows"), column("bytes"));
            let status = column("status");
            for row in 0..batch.num_rows() {
                let id = ids.as_string::<i32>().value(row).to_owned();
                let revision = revisions.as_primitive::<Int32Type>().value(row);
                assert!(seen.insert((id.clone(), revision)), "I7: {id} has revision {revision} twice");
                let flows = flows.as_primitive::<Int64Type>().value(row);
                let bytes = bytes.as_primitive::<Int64Type>();
                let bytes = if bytes.is_null(row) { -1 } else { bytes.value(row) };
                let stands = status.as_string::<i32>().value(row) != "closed";
                let entry = last.entry(id).or_insert((revision, stands, (flows, bytes)));
                if revision >= entry.0 {
                    *entry = (revision, stands, (flows, bytes));
                }
            }
        }
    }
    last.into_iter().filter(|(_, (_, stands, _))| *stands).map(|(id, (.., sums))| (id, sums)).collect()
}

fn play(seed: u64) {
    println!("seed {seed}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async { Simulation::new(seed).run().await });
}

/// Seeds of one run; `FLOWBOUND_SEEDS=FROM..TO` plays others.
fn seeds() -> std::ops::Range<u64> {
    let asked = std::env::var("FLOWBOUND_SEEDS").ok();
    let asked = asked.as_deref().and_then(|text| text.split_once(".."));
    asked.map_or(0..60, |(from, to)| from.parse().unwrap()..to.parse().unwrap())
}

#[test]
fn every_record_once_whatever_happens() {
    let (seeds, half) = (seeds(), seeds().start + (seeds().end - seeds().start) / 2);
    std::thread::scope(|scope| {
        scope.spawn(|| (seeds.start..half).for_each(play));
        scope.spawn(|| (half..seeds.end).for_each(play));
    });
}
