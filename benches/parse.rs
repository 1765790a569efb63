//! Rates of decoding (objects, and records of a stream) and of parsing, in records and in bytes of text per second, on one thread.
//!
//! Run with `cargo bench --bench parse`. A million seeded records would not fit the caches of any machine; a chunk of
//! them is what the pipeline works on, so a chunk is what is measured.

#![expect(clippy::unwrap_used, reason = "a bench that cannot set up should stop")]

#[path = "common/seeded.rs"]
mod seeded;

use std::hint::black_box;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use flowbound::decode::{DecodeOptions, Decoder, MessageDecoder, MessageOptions, Piece};
use flowbound::parse::Batches;
use flowbound::record::{Field, FieldType, FlowBatch, LineChunk, LogFormat};
use seeded::Seeded;

/// Lines of one object and of one chunk.
const RECORDS: usize = 8192;

/// Lines of one record of a stream: what CloudWatch Logs puts into an envelope in production.
const EVENTS: usize = 500;

/// A value of the length and the variety that the field has in real logs.
fn value(field: Field, seeded: &mut Seeded) -> String {
    let seconds = 1_790_640_000 + seeded.below(600);
    match field {
        Field::Version => "5".to_owned(),
        Field::Srcaddr | Field::PktSrcaddr => format!("10.0.{}.{}", seeded.below(16), seeded.below(256)),
        Field::Dstaddr | Field::PktDstaddr if seeded.below(50) == 0 => format!("2001:db8::{:x}", seeded.below(65536)),
        Field::Dstaddr | Field::PktDstaddr => {
            format!("{}.{}.{}.{}", seeded.below(223) + 1, seeded.below(256), seeded.below(256), seeded.below(256))
        }
        Field::Srcport => format!("{}", 32768 + seeded.below(28232)),
        Field::Dstport => ["443", "5432", "80", "9092"][seeded.below(4) as usize].to_owned(),
        Field::Protocol => ["6", "6", "6", "17"][seeded.below(4) as usize].to_owned(),
        Field::Packets => format!("{}", 1 + seeded.below(400)),
        Field::Bytes => format!("{}", 40 + seeded.below(400_000)),
        Field::Start => seconds.to_string(),
        Field::End => (seconds + 58).to_string(),
        Field::Action => if seeded.below(36) == 0 { "REJECT" } else { "ACCEPT" }.to_owned(),
        Field::LogStatus => "OK".to_owned(),
        Field::AccountId => "123456789012".to_owned(),
        Field::InterfaceId => format!("eni-0{:016x}", 0x1235_b8ca_1234_0000 + seeded.below(500)),
        Field::EcsClusterArn | Field::EcsTaskArn | Field::EcsTaskDefinitionArn => {
            format!("arn:aws:ecs:us-east-1:123456789012:cluster/c{}", seeded.below(8))
        }
        _ if matches!(field.def().field_type, FieldType::Int32 { .. }) => format!("{}", seeded.below(9)),
        _ if seeded.below(3) == 0 => "-".to_owned(),
        _ => format!("{}-0{:08x}", field.name().chars().next().unwrap_or('x'), seeded.below(200)),
    }
}

/// A log of the fields up to `version`, without its header.
fn log(version: u8) -> (Arc<LogFormat>, Vec<u8>) {
    let fields: Vec<Field> = Field::ALL.iter().copied().filter(|field| field.def().version <= version).collect();
    let mut seeded = Seeded(7);
    let mut text = Vec::new();
    for _ in 0..RECORDS {
        let values: Vec<String> = fields.iter().map(|field| value(*field, &mut seeded)).collect();
        writeln!(text, "{}", values.join(" ")).unwrap();
    }
    (Arc::new(LogFormat::from_names(fields.iter().map(|field| field.name()))), text)
}

fn nodata() -> (Arc<LogFormat>, Vec<u8>) {
    let line = "2 123456789012 eni-01235b8ca12345678 - - - - - - - 1790640000 1790640058 - NODATA\n";
    (Arc::new(LogFormat::default()), line.repeat(RECORDS).into_bytes())
}

fn with_both_rates(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    bytes: usize,
    mut work: impl FnMut() -> usize,
) {
    for (unit, throughput) in
        [("records", Throughput::Elements(RECORDS as u64)), ("bytes", Throughput::Bytes(bytes as u64))]
    {
        group.throughput(throughput);
        group.bench_function(format!("{name}/{unit}"), |bencher| bencher.iter(&mut work));
    }
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    for (name, (format, bytes)) in [("v2", log(2)), ("v5", log(5)), ("v11", log(11)), ("nodata", nodata())] {
        let chunk = LineChunk { bytes, first_line: 1, format, timestamp_prefix: false };
        with_both_rates(&mut group, name, chunk.bytes.len(), || {
            let mut batch = FlowBatch::new(&chunk.format);
            let mut batches = Batches::new(&chunk);
            let mut records = 0;
            while batches.next_batch(&mut batch) {
                records += black_box(&batch.records).len();
            }
            assert_eq!(records, RECORDS);
            records
        });
    }
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    let (format, text) = log(2);
    let text = [format.names().join(" ").as_bytes(), b"\n", &text].concat();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&text).unwrap();
    for (name, object) in [("plain", text.clone()), ("gzip", gzip.finish().unwrap())] {
        let mut buffers = Vec::new();
        with_both_rates(&mut group, name, text.len(), || {
            let mut decoder = Decoder::new(DecodeOptions::default());
            for buffer in buffers.drain(..) {
                decoder.recycle(buffer);
            }
            let mut out = |piece| {
                if let Piece::Lines(chunk) = piece {
                    buffers.push(black_box(chunk).bytes);
                }
            };
            for bytes in object.chunks(256 << 10) {
                decoder.push(bytes, &mut out).unwrap();
            }
            decoder.finish(&mut out).unwrap().lines as usize
        });
    }
}

fn message(criterion: &mut Criterion) {
    let (_, text) = log(2);
    let events: Vec<serde_json::Value> = str::from_utf8(&text)
        .unwrap()
        .lines()
        .take(EVENTS)
        .enumerate()
        .map(|(id, line)| serde_json::json!({"id": format!("{id:056}"), "timestamp": 1_790_640_000_000_i64, "message": line}))
        .collect();
    let envelope = serde_json::json!({
        "messageType": "DATA_MESSAGE", "owner": "123456789012", "logGroup": "/vpc/flow", "logStream": "eni-0a-all",
        "subscriptionFilters": ["to-kinesis"], "logEvents": events,
    });
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(envelope.to_string().as_bytes()).unwrap();
    let record = gzip.finish().unwrap();
    let mut group = criterion.benchmark_group("message");
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function("cloudwatch", |bencher| {
        let mut decoder = MessageDecoder::new(MessageOptions::default());
        let mut buffers = Vec::new();
        bencher.iter(|| {
            for buffer in buffers.drain(..) {
                decoder.recycle(buffer);
            }
            let summary = decoder.decode(&record, None, &mut |piece| {
                if let Piece::Lines(chunk) = piece {
                    buffers.push(black_box(chunk).bytes);
                }
            });
            assert_eq!((summary.lines, summary.rejected), (EVENTS as u64, 0));
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = decode, message, parse
}
criterion_main!(benches);
