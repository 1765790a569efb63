//! Judged records into Parquet files, in records and in bytes of log text per second, on one thread.
//!
//! Run with `cargo bench --bench lake`. `columns` writes pages without compressing them, `columns_and_zstd` as a lake
//! has them; `stock_writer` is the `parquet` crate's own writer on the same rows, as Arrow batches that are ready.

#![expect(clippy::unwrap_used, reason = "a bench that cannot set up should stop")]

#[path = "common/logs.rs"]
mod logs;

use std::fs::File;
use std::sync::Arc;

use arrow::array::RecordBatch;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use flowbound::boundary::{Boundary, Judgement, Selection};
use flowbound::lake::{FileLimits, FlowRows, FlowWriter, LocalStore, Origin, Staged, writer_properties};
use flowbound::parse::Batches;
use flowbound::record::{FlowBatch, LineChunk};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;

const RECORDS: u64 = 1 << 16;
const SOURCE: &str = "s3://bucket/AWSLogs/123456789012/vpcflowlogs/us-east-1/2026/11/20/log.gz";

/// A chunk's records, judged.
struct Judged<'a> {
    batch: FlowBatch<'a>,
    judgements: Vec<Option<Judgement>>,
}

fn judged<'a>(chunks: &'a [LineChunk], boundary: &Boundary) -> Vec<Judged<'a>> {
    let mut all = Vec::new();
    for chunk in chunks {
        let mut batches = Batches::new(chunk);
        loop {
            let mut batch = FlowBatch::new(&chunk.format);
            if !batches.next_batch(&mut batch) {
                break;
            }
            let judgements = batch.records.iter().map(|record| Some(boundary.judge(record))).collect();
            all.push(Judged { batch, judgements });
        }
    }
    all
}

fn write(
    input: &[Judged<'_>],
    boundary: &Boundary,
    store: &LocalStore,
    properties: &Arc<WriterProperties>,
) -> Vec<Staged> {
    let mut writer = FlowWriter::new(store, "staged".to_owned(), properties.clone(), FileLimits::default());
    for Judged { batch, judgements } in input {
        let rows = FlowRows {
            format: batch.format,
            records: &batch.records,
            judgements,
            lines: &batch.lines,
            source: SOURCE,
            boundary: Some(boundary),
        };
        writer.push(&rows).unwrap();
    }
    writer.finish().unwrap().0
}

fn read_back(folder: &std::path::Path, staged: &[Staged]) -> Vec<RecordBatch> {
    let read = |file: &Staged| {
        let file = File::open(folder.join(&file.staged)).unwrap();
        ParquetRecordBatchReaderBuilder::try_new(file).unwrap().with_batch_size(1 << 16).build().unwrap()
    };
    staged.iter().flat_map(read).map(Result::unwrap).collect()
}

fn lake(criterion: &mut Criterion) {
    let boundary = Boundary::new(logs::artos(), &Selection::default());
    for version in [2, 5] {
        let folder = tempfile::tempdir().unwrap();
        let chunks = logs::decode(&logs::read(&logs::objects(folder.path(), version, RECORDS, Some(10))));
        let text: usize = chunks.iter().map(|chunk| chunk.bytes.len()).sum();
        let input = judged(&chunks, &boundary);
        let mut group = criterion.benchmark_group(format!("lake_v{version}"));
        group.sample_size(20).throughput(Throughput::ElementsAndBytes { elements: RECORDS, bytes: text as u64 });
        let zstd = writer_properties(&Origin::default());
        let plain = Arc::new(WriterProperties::builder().build());
        for (name, properties) in [("columns", &plain), ("columns_and_zstd", &zstd)] {
            let place = tempfile::tempdir().unwrap();
            let store = LocalStore::create(place.path()).unwrap();
            group.bench_function(name, |bench| bench.iter(|| write(&input, &boundary, &store, properties)));
        }
        let place = tempfile::tempdir().unwrap();
        let store = LocalStore::create(place.path()).unwrap();
        let rows = read_back(place.path(), &write(&input, &boundary, &store, &zstd));
        group.bench_function("stock_writer", |bench| {
            bench.iter_batched(
                Vec::new,
                |out| {
                    let properties = Some(zstd.as_ref().clone());
                    let mut writer = ArrowWriter::try_new(out, rows[0].schema(), properties).unwrap();
                    for batch in &rows {
                        writer.write(batch).unwrap();
                    }
                    writer.into_inner().unwrap()
                },
                BatchSize::PerIteration,
            );
        });
        group.finish();
    }
}

criterion_group!(benches, lake);
criterion_main!(benches);
