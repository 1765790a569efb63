//! Verdicts a second, and whole replays: log files in, a lake out.

#![expect(clippy::unwrap_used, reason = "a bench that cannot set up should stop")]

use std::path::Path;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use flowbound::boundary::{Boundary, BoundaryMap, Selection, load_map};
use flowbound::decode::{DecodeOptions, Decoder, Piece};
use flowbound::lake::LocalStore;
use flowbound::parse::Batches;
use flowbound::pipeline::{Replay, ReplayOptions};
use flowbound::record::{FlowBatch, LineChunk, LogFormat};
use flowbound::source::file::{InputObject, TimeSpan, find_inputs};
use flowbound::synth::{GenerateOptions, generate};
use flowbound::telemetry::Progress;

const RECORDS: u64 = 400_000;

fn artos() -> BoundaryMap {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/artos/boundary.toml");
    load_map(path.to_str().unwrap(), &mut |path| std::fs::read_to_string(path)).unwrap()
}

/// Generated logs of version 2 or 5, as AWS delivers them.
fn logs(folder: &Path, version: u8) -> Vec<InputObject> {
    let mut options = GenerateOptions::new(RECORDS);
    if version == 2 {
        options.format = LogFormat::default();
    }
    generate(&artos(), &options, folder).unwrap();
    let input = folder.join("AWSLogs").display().to_string();
    find_inputs(&[input], TimeSpan::default()).unwrap().objects
}

fn chunks(objects: &[InputObject]) -> Vec<LineChunk> {
    let mut chunks = Vec::new();
    for object in objects {
        let mut decoder = Decoder::new(DecodeOptions::default());
        let mut keep = |piece: Piece| {
            if let Piece::Lines(chunk) = piece {
                chunks.push(chunk);
            }
        };
        decoder.push(&std::fs::read(&object.path).unwrap(), &mut keep).unwrap();
        decoder.finish(&mut keep).unwrap();
    }
    chunks
}

fn verdict(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let chunks = chunks(&logs(folder.path(), 5));
    let boundary = Boundary::new(artos(), &Selection::default());
    let mut group = criterion.benchmark_group("verdict");
    group.throughput(Throughput::Elements(RECORDS));
    let walk = |judge: bool| {
        let mut sum = 0usize;
        for chunk in &chunks {
            let mut batches = Batches::new(chunk);
            let mut batch = FlowBatch::new(&chunk.format);
            while batches.next_batch(&mut batch) {
                for record in &batch.records {
                    sum += if judge { boundary.judge(record).verdict as usize } else { record.extra().len() };
                }
            }
        }
        sum
    };
    // judging needs parsed records, and they borrow: the difference of the two is the verdict's cost
    group.bench_function("parse_only", |bench| bench.iter(|| walk(false)));
    group.bench_function("parse_and_judge", |bench| bench.iter(|| walk(true)));
    group.finish();
}

fn replay(criterion: &mut Criterion) {
    let boundary = Boundary::new(artos(), &Selection::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for version in [2, 5] {
        let folder = tempfile::tempdir().unwrap();
        let objects = logs(folder.path(), version);
        let text: usize = chunks(&objects).iter().map(|chunk| chunk.bytes.len()).sum();
        let mut group = criterion.benchmark_group(format!("replay_v{version}"));
        group.sample_size(10).throughput(Throughput::ElementsAndBytes { elements: RECORDS, bytes: text as u64 });
        group.bench_function("2_threads", |bench| {
            bench.iter_batched(
                || tempfile::tempdir().unwrap(),
                |lake| {
                    let store = LocalStore::create(lake.path()).unwrap();
                    let options = ReplayOptions { threads: 2, ..ReplayOptions::default() };
                    let progress = Progress::hidden();
                    let replay = Replay { store: &store, boundary: Some(&boundary), options, progress };
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

criterion_group!(benches, verdict, replay);
criterion_main!(benches);
