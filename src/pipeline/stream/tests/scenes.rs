//! Scenes that a storm does not have: where reading begins, and what happens when records are gone before they are read.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::lake::MemoryLake;
use super::source::MemoryStream;
use super::{Dice, MAP, STREAM, chain_of, options, stream};
use crate::analyze::backtest;
use crate::boundary::{Boundary, Selection, parse_map};
use crate::detect::Settings;
use crate::pipeline::stream::{Stream, StreamOptions, StreamParts};
use crate::source::kinesis::lease::{
    Coordinator, CoordinatorOptions, InitialPosition, Lease, LeaseTable as _, MemoryTable, Timing,
};
use crate::source::kinesis::{Checkpoint, ShardInfo};
use crate::telemetry::{Metrics, Readiness};

/// Longer than any lease, audit and commit of a worker that nothing happens to.
const A_WHILE: Duration = Duration::from_secs(120);

/// Milliseconds since 1970, so many seconds ago.
fn ago(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap() - seconds * 1000
}

/// How a worker ends.
#[derive(Clone, Copy)]
enum End {
    Drained,
    Killed,
}

struct Scene {
    stream: MemoryStream,
    lake: MemoryLake,
    table: MemoryTable,
    detect: Settings,
    put: u64,
}

impl Scene {
    fn new() -> Self {
        let dice = Dice::new(1);
        let (stream, lake) = (MemoryStream::new(dice.clone(), 0, 1), MemoryLake::new(dice, 0));
        let mut detect = Settings::default();
        // scenes leap over time
        detect.tunable("late").unwrap().enable(None, false);
        Self { stream, lake, table: MemoryTable::default(), detect, put: 0 }
    }

    /// Puts so many records that came so many seconds ago.
    fn put(&mut self, records: u64, seconds: i64) {
        for _ in 0..records {
            self.put += 1;
            let line =
                format!("2 1 eni-0a 10.0.1.9 10.0.2.9 40000 5432 6 1 {} 1795219200 1795219250 ACCEPT OK", self.put);
            self.stream.put(line, Some(ago(seconds)));
        }
    }

    /// Puts so many breaches from this client, so many seconds into time.
    fn put_on(&mut self, records: u64, client: u8, seconds: u64) {
        for _ in 0..records {
            self.put += 1;
            let (start, end) = (1_795_219_200 + seconds, 1_795_219_250 + seconds);
            let line =
                format!("2 1 eni-0a 10.0.9.{client} 10.0.2.9 40000 5432 6 1 {} {start} {end} ACCEPT OK", self.put);
            self.stream.put(line, Some(ago(0)));
        }
    }

    /// Rows of alerts of a day: each revision of its one alert.
    fn revisions(&self, day: &str) -> usize {
        let files = self.lake.below(&format!("alerts/date={day}/"));
        let rows = |bytes: Vec<u8>| {
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap().build().unwrap();
            reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>()
        };
        files.into_iter().map(|(_, bytes)| rows(bytes)).sum()
    }

    /// A worker follows the stream for a while; its metrics.
    async fn follow(&self, start: InitialPosition, end: End) -> String {
        let timing = Timing::with_failover(Duration::from_secs(5));
        let coordination = CoordinatorOptions { worker: format!("worker-{}", fastrand::u64(..)), start, timing };
        let table = Arc::new(self.table.clone());
        let (leases, events) = Coordinator::start(table, Arc::new(self.stream.clone()), coordination).await.unwrap();
        let metrics = Arc::new(Metrics::default());
        let followed = Stream::new(StreamParts {
            store: Arc::new(self.lake.clone()),
            boundary: Some(Arc::new(Boundary::new(parse_map("small.toml", MAP).unwrap(), &Selection::default()))),
            stream: stream(),
            streams: self.stream.clone(),
            leases,
            events,
            options: StreamOptions { detect: self.detect.clone(), ..options() },
            metrics: metrics.clone(),
            ready: Arc::new(Readiness::default()),
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(followed.run(async move { stopped.await.unwrap() }));
        sleep(A_WHILE).await;
        match end {
            End::Drained => {
                stop.send(()).unwrap();
                task.await.unwrap().unwrap();
            }
            End::Killed => task.abort(),
        }
        metrics.render()
    }

    /// The numbers of the records whose rows are in the lake, in order.
    fn rows(&self) -> Vec<i64> {
        let mut rows: Vec<i64> = self.lake.rows().into_iter().map(|(_, bytes)| bytes).collect();
        rows.sort_unstable();
        rows
    }

    fn shard(&self) -> ShardInfo {
        self.stream.open().remove(0)
    }
}

fn gaps(metrics: &str) -> usize {
    metrics.lines().filter(|line| line.starts_with("flowbound_data_gaps_total{")).count()
}

#[tokio::test(start_paused = true)]
async fn the_end_is_where_it_was_at_the_first_start() {
    let mut scene = Scene::new();
    scene.put(3, 60);
    scene.follow(InitialPosition::Latest, End::Killed).await;
    assert_eq!(scene.rows(), Vec::<i64>::new());
    // between a crash before the first commit and the next start
    scene.put(2, 0);
    scene.follow(InitialPosition::Latest, End::Drained).await;
    scene.put(1, 0);
    scene.follow(InitialPosition::Latest, End::Drained).await;
    assert_eq!(scene.rows(), [4, 5, 6]);
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_gone_leads_to_those_that_follow_it() {
    let mut scene = Scene::new();
    scene.put(3, 60);
    scene.follow(InitialPosition::TrimHorizon, End::Drained).await;
    let parent = scene.shard();
    scene.put(2, 60);
    scene.stream.split(&parent);
    scene.stream.forget(&parent);
    scene.put(4, 0);
    let metrics = scene.follow(InitialPosition::TrimHorizon, End::Drained).await;
    assert_eq!(scene.rows(), [1, 2, 3, 6, 7, 8, 9], "two were gone before they were read");
    assert_eq!(gaps(&metrics), 1, "{metrics}");
    let chain = &scene.lake.chains()[&chain_of(&parent.id)];
    assert!(chain.last().unwrap().shard.as_ref().unwrap().closed, "its children need not wait for it");
}

#[tokio::test(start_paused = true)]
async fn a_position_of_another_stream_of_that_name_is_given_up() {
    let mut scene = Scene::new();
    scene.put(3, 0);
    let checkpoint = Checkpoint::from_texts("49650000000000000000000000000000000000000000000000000001", 0).unwrap();
    scene.table.create(&Lease::new(&scene.shard(), checkpoint)).await.unwrap();
    let metrics = scene.follow(InitialPosition::TrimHorizon, End::Drained).await;
    assert_eq!((scene.rows(), gaps(&metrics)), (vec![1, 2, 3], 1));
    assert!(scene.lake.rows()[0].0.starts_with(&format!("kinesis://{STREAM}/")));
}

#[tokio::test(start_paused = true)]
async fn a_lake_that_is_behind_by_more_than_the_retention_says_so() {
    let day = 86_400;
    for (last, found) in [(day - 60, 0), (day + 60, 1)] {
        let mut scene = Scene::new();
        scene.put(3, last);
        scene.follow(InitialPosition::TrimHorizon, End::Drained).await;
        scene.put(1, 0);
        let metrics = scene.follow(InitialPosition::TrimHorizon, End::Drained).await;
        assert_eq!((scene.rows(), gaps(&metrics)), (vec![1, 2, 3, 4], found));
        let metrics = scene.follow(InitialPosition::TrimHorizon, End::Drained).await;
        assert_eq!(gaps(&metrics), 0, "it is up to date");
    }
}

/// What comes more than 15 minutes after its end is counted, and in the lake like all else.
#[tokio::test(start_paused = true)]
async fn late_records_are_counted() {
    let scene = Scene::new();
    for (number, after) in [0, 900_000, 900_001, 86_400_000].into_iter().enumerate() {
        let line = format!("2 1 eni-0a 10.0.1.9 10.0.2.9 40000 5432 6 1 {number} 1795219200 1795219250 ACCEPT OK");
        scene.stream.put(line, Some(1_795_219_250_000 + after));
    }
    let metrics = scene.follow(InitialPosition::TrimHorizon, End::Drained).await;
    let late = metrics.lines().find(|line| line.starts_with("flowbound_late_records_total{")).unwrap();
    assert!(late.ends_with(" 2"), "{late}");
    assert_eq!(scene.rows(), [0, 1, 2, 3]);
}

/// One day's state is lost, or damaged: it waits, the others do not.
#[tokio::test(start_paused = true)]
async fn a_day_whose_state_is_lost_holds_no_other_day_up() {
    let day = 86_400;
    for (kind, damage) in ["state", "history"]
        .into_iter()
        .flat_map(|kind| [None, Some(&b"{}"[..]), Some(&b"\xff"[..])].map(|damage| (kind, damage)))
    {
        let mut scene = Scene::new();
        scene.put_on(1, 2, 0);
        scene.put_on(1, 2, day);
        scene.follow(InitialPosition::TrimHorizon, End::Drained).await;
        let before = scene.lake.below("_flowbound/state/date=2026-11-21/");
        let of_kind = |(path, _): &&(String, Vec<u8>)| path.ends_with(kind);
        let (path, state) = before.iter().find(of_kind).unwrap();
        assert_eq!(before.len(), 2);
        scene.lake.put(path, damage.map(|damage| [state, damage].concat()));
        scene.put_on(1, 2, 0);
        scene.put_on(1, 2, day);
        let metrics = scene.follow(InitialPosition::TrimHorizon, End::Drained).await;
        assert!(metrics.contains("flowbound_close_failures_total 1"), "{metrics}");
        assert_eq!((scene.revisions("2026-11-21"), scene.revisions("2026-11-22")), (1, 2), "{damage:?}");
        // it is back
        scene.lake.put(path, Some(state.clone()));
        scene.follow(InitialPosition::TrimHorizon, End::Drained).await;
        assert_eq!((scene.revisions("2026-11-21"), scene.revisions("2026-11-22")), (2, 2), "{damage:?}");
    }
}

/// A worker that starts with other settings judges the days that get records with them, and those beside them.
#[tokio::test(start_paused = true)]
async fn settings_hold_from_the_next_closing_on() {
    let (day, mut scene) = (2 * 86_400, Scene::new());
    scene.put_on(1, 2, 0);
    scene.put_on(1, 2, day);
    scene.follow(InitialPosition::TrimHorizon, End::Drained).await;
    assert_eq!((scene.revisions("2026-11-21"), scene.revisions("2026-11-23")), (1, 1));
    scene.detect.tunable("breach").unwrap().set(None, "flows", 3);
    scene.follow(InitialPosition::TrimHorizon, End::Drained).await;
    assert_eq!((scene.revisions("2026-11-21"), scene.revisions("2026-11-23")), (1, 1), "nothing came");
    scene.put_on(1, 2, day);
    scene.follow(InitialPosition::TrimHorizon, End::Drained).await;
    assert_eq!((scene.revisions("2026-11-21"), scene.revisions("2026-11-23")), (1, 2), "withdrawn");
    // what was gathered meanwhile counts
    scene.put_on(1, 2, day);
    scene.follow(InitialPosition::TrimHorizon, End::Drained).await;
    assert_eq!((scene.revisions("2026-11-21"), scene.revisions("2026-11-23")), (1, 3), "and back");
}

/// Nobody waits for a shard that has ended: neither the stream nor who judges its lake anew.
#[tokio::test(start_paused = true)]
async fn what_is_missing_is_told_beside_a_shard_that_ended() {
    let mut scene = Scene::new();
    scene.detect.tunable("late").unwrap().enable(None, true);
    scene.put_on(1, 2, 0);
    scene.follow(InitialPosition::TrimHorizon, End::Drained).await;
    assert_eq!(scene.revisions("2026-11-21"), 1, "the breach");
    scene.stream.split(&scene.shard());
    // two hours later, in both of those that follow it
    scene.put_on(20, 2, 7200);
    scene.follow(InitialPosition::TrimHorizon, End::Drained).await;
    let settings = &scene.detect;
    let again = backtest(&scene.lake, [settings, settings], (None, None)).await.unwrap();
    assert_eq!((again.detectors["late"].before, again.changes.as_slice()), (1, &[][..]));
    assert_eq!(scene.revisions("2026-11-21"), 3, "the breach goes on, and what is missing between");
}

/// An alert is of the day in which it is known; what it is about may have begun on the day before.
#[tokio::test(start_paused = true)]
async fn a_lake_is_judged_anew_for_a_span_by_the_windows_of_its_alerts() {
    let mut scene = Scene::new();
    scene.detect.tunable("late").unwrap().enable(None, true);
    // 22:50 and 01:10
    scene.put_on(1, 2, 82_200);
    scene.put_on(1, 2, 90_600);
    scene.follow(InitialPosition::TrimHorizon, End::Drained).await;
    let late = async |span: (Option<i64>, Option<i64>)| {
        let settings = &scene.detect;
        let again = backtest(&scene.lake, [settings, settings], span).await.unwrap();
        again.detectors.get("late").map_or(0, |counts| counts.before)
    };
    let at = |minute: i64| Some((1_795_219_200 + minute * 60) * 1000);
    assert_eq!(late((None, None)).await, 1);
    assert_eq!((late((None, at(1371))).await, late((None, at(1372))).await), (0, 1), "it begins at 22:51");
    assert_eq!((late((at(1509), None)).await, late((at(1510), None)).await), (1, 0), "it ends at 01:10");
}
