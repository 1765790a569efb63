//! One stage of the pipeline on a fixed input, on one thread, for `benches/instructions.py` to count its instructions.
//!
//! `instructions STAGE` prepares the stage's input, runs the stage once inside [`measured`], and prints the number of
//! records. Callgrind counts while that function runs, so preparing costs nothing but time. The input is seeded
//! traffic of the `artos` map; nothing here depends on time, on the machine or on chance.

#![expect(clippy::unwrap_used, reason = "a bench that cannot set up should stop")]

#[path = "common/logs.rs"]
mod logs;

use std::hint::black_box;
use std::path::Path;

use flowbound::boundary::{Boundary, Judgement, Selection};
use flowbound::detect::Tallies;
use flowbound::lake::{FileLimits, FlowRows, FlowWriter, LocalStore, Origin, writer_properties};
use flowbound::parse::Batches;
use flowbound::record::{FlowBatch, FlowRecord, LineChunk};

/// Records of the input: enough that what a stage does once does not show.
const RECORDS: u64 = 1 << 15;
/// Where the records of a test come from.
const SOURCE: &str = "s3://bucket/AWSLogs/123456789012/vpcflowlogs/us-east-1/2026/11/20/log.gz";

/// What callgrind counts.
#[inline(never)]
fn measured<T>(stage: impl FnOnce() -> T) -> T {
    black_box(stage())
}

/// The log files of ten minutes.
fn objects(version: u8) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    logs::read(&logs::objects(folder.path(), version, RECORDS, Some(10)))
}

/// Parses every line, and forgets the records.
fn parse(chunks: &[LineChunk]) -> u64 {
    let mut records = 0;
    for chunk in chunks {
        let mut batches = Batches::new(chunk);
        let mut batch = FlowBatch::new(&chunk.format);
        while batches.next_batch(&mut batch) {
            records += black_box(&batch.records).len() as u64;
        }
    }
    records
}

/// The records of one chunk, as the later stages want them.
struct Parsed<'a> {
    chunk: &'a LineChunk,
    records: Vec<FlowRecord<'a>>,
    judged: Vec<Option<Judgement>>,
}

fn parsed<'a>(chunks: &'a [LineChunk], boundary: &Boundary) -> Vec<Parsed<'a>> {
    let parse_chunk = |chunk: &'a LineChunk| {
        let mut batches = Batches::new(chunk);
        let mut batch = FlowBatch::new(&chunk.format);
        let mut records = Vec::new();
        while batches.next_batch(&mut batch) {
            records.extend(batch.records.iter().cloned());
        }
        let judged = records.iter().map(|record| Some(boundary.judge(record))).collect();
        Parsed { chunk, records, judged }
    };
    chunks.iter().map(parse_chunk).collect()
}

fn judge(input: &[Parsed<'_>], boundary: &Boundary) {
    for record in input.iter().flat_map(|parsed| &parsed.records) {
        black_box(boundary.judge(record));
    }
}

/// Gathers what the detectors count, and makes of it what a state file holds.
fn detect(input: &[Parsed<'_>], boundary: &Boundary) {
    let mut tallies = Tallies::new(Some(boundary));
    for Parsed { chunk, records, judged } in input {
        let rows = records.iter().zip(judged).zip(chunk.first_line..);
        tallies.observe(SOURCE, rows.filter_map(|((record, judged), line)| Some((record, judged.as_ref()?, line))));
    }
    black_box(tallies.take());
}

/// Rows into staged Parquet files.
fn encode(input: &[Parsed<'_>], boundary: &Boundary, lake: &Path) {
    let store = LocalStore::create(lake).unwrap();
    let properties = writer_properties(&Origin::default());
    let mut writer = FlowWriter::new(&store, "_flowbound/staging/flows".to_owned(), properties, FileLimits::default());
    for Parsed { chunk, records, judged } in input {
        let lines: Vec<i64> = (chunk.first_line..).take(records.len()).collect();
        let rows = FlowRows {
            format: &chunk.format,
            records,
            judgements: judged,
            lines: &lines,
            source: SOURCE,
            boundary: Some(boundary),
        };
        writer.push(&rows).unwrap();
    }
    black_box(writer.finish().unwrap());
}

fn main() {
    // cargo adds `--bench`
    let stage = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
    let boundary = Boundary::new(logs::artos(), &Selection::default());
    match stage.as_str() {
        "decode" => {
            let objects = objects(2);
            measured(|| logs::decode(&objects));
        }
        "parse_v2" | "parse_v5" => {
            let chunks = logs::decode(&objects(if stage == "parse_v2" { 2 } else { 5 }));
            assert_eq!(measured(|| parse(&chunks)), RECORDS);
        }
        "judge" | "detect" | "encode" => {
            let chunks = logs::decode(&objects(5));
            let input = parsed(&chunks, &boundary);
            let lake = tempfile::tempdir().unwrap();
            match stage.as_str() {
                "judge" => measured(|| judge(&input, &boundary)),
                "detect" => measured(|| detect(&input, &boundary)),
                _ => measured(|| encode(&input, &boundary, lake.path())),
            }
        }
        // `cargo bench` runs every bench: without a stage there is nothing to do
        _ => return,
    }
    println!("{RECORDS}");
}
