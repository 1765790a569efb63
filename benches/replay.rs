//! Whole replays: log files in, a lake out.

#![expect(clippy::unwrap_used, reason = "a bench that cannot set up should stop")]

#[path = "common/logs.rs"]
mod logs;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use flowbound::boundary::{Boundary, Selection};
use flowbound::lake::LocalStore;
use flowbound::pipeline::{Replay, ReplayOptions};
use flowbound::source::Sources;
use flowbound::telemetry::Progress;

const RECORDS: u64 = 400_000;

fn replay(criterion: &mut Criterion) {
    let boundary = Boundary::new(logs::artos(), &Selection::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for version in [2, 5] {
        let folder = tempfile::tempdir().unwrap();
        let objects = logs::objects(folder.path(), version, RECORDS, None);
        let text: usize = logs::decode(&logs::read(&objects)).iter().map(|chunk| chunk.bytes.len()).sum();
        let mut group = criterion.benchmark_group(format!("replay_v{version}"));
        group.sample_size(10).throughput(Throughput::ElementsAndBytes { elements: RECORDS, bytes: text as u64 });
        group.bench_function("2_threads", |bench| {
            bench.iter_batched(
                || tempfile::tempdir().unwrap(),
                |lake| {
                    let store = LocalStore::create(lake.path()).unwrap();
                    let options = ReplayOptions { threads: 2, ..ReplayOptions::default() };
                    let progress = Progress::hidden();
                    let sources = Sources::default();
                    let replay = Replay { store: &store, sources, boundary: Some(&boundary), options, progress };
                    let summary = runtime.block_on(replay.run(objects.clone())).unwrap();
                    assert_eq!(summary.rows, RECORDS);
                    lake
                },
                BatchSize::PerIteration,
            );
        });
        group.finish();
    }
}

criterion_group!(benches, replay);
criterion_main!(benches);
