//! Whole replays: log files in, a lake out; and what detection takes of their CPU time.

#![expect(clippy::unwrap_used, reason = "a bench that cannot set up should stop")]

#[path = "common/cpu.rs"]
mod cpu;
#[path = "common/logs.rs"]
mod logs;

use std::path::Path;

use cpu::costs;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use flowbound::boundary::{Boundary, Selection};
use flowbound::detect::{Settings, detector_names};
use flowbound::lake::LocalStore;
use flowbound::pipeline::{Replay, ReplayOptions};
use flowbound::source::Sources;
use flowbound::telemetry::Progress;

const RECORDS: u64 = 400_000;

fn replay(criterion: &mut Criterion) {
    let boundary = Boundary::new(logs::artos(), &Selection::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut none = Settings::default();
    for name in detector_names() {
        none.tunable(name).unwrap().enable(None, false);
    }
    for version in [2, 5] {
        let folder = tempfile::tempdir().unwrap();
        let objects = logs::objects(folder.path(), version, RECORDS, None);
        let text: usize = logs::decode(&logs::read(&objects)).iter().map(|chunk| chunk.bytes.len()).sum();
        let run = |detect: &Settings, lake: &Path| {
            let store = LocalStore::create(lake).unwrap();
            let options = ReplayOptions { threads: 2, detect: detect.clone(), ..ReplayOptions::default() };
            let (sources, progress) = (Sources::default(), Progress::hidden());
            let replay = Replay { store: &store, sources, boundary: Some(&boundary), options, progress };
            let summary = runtime.block_on(replay.run(objects.clone())).unwrap();
            assert_eq!(summary.rows, RECORDS);
        };
        let all = Settings::default();
        let mut group = criterion.benchmark_group(format!("replay_v{version}"));
        group.sample_size(10).throughput(Throughput::ElementsAndBytes { elements: RECORDS, bytes: text as u64 });
        group.bench_function("2_threads", |bench| {
            bench.iter_batched(
                || tempfile::tempdir().unwrap(),
                |lake| {
                    run(&all, lake.path());
                    lake
                },
                BatchSize::PerIteration,
            );
        });
        group.finish();
        let (detecting, not) = (|lake: &Path| run(&all, lake), |lake: &Path| run(&none, lake));
        let ways: [cpu::Way<'_>; 2] =
            [("no_detector", "no_detector", &not), ("all_detectors", "no_detector", &detecting)];
        costs(&format!("replay_v{version}"), RECORDS, 9, &ways);
    }
}

criterion_group!(benches, replay);
criterion_main!(benches);
