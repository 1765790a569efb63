//! Rates of detection, in judged records per second, on one thread.
//!
//! Run with `cargo bench --bench detect`. Each kind of traffic is measured twice: what the detectors gather as records
//! pass (`observe`), and with the making of state entries from it (`take`), as a worker does at its memory bound.

#![expect(clippy::unwrap_used, reason = "a bench that cannot set up should stop")]

#[path = "common/seeded.rs"]
mod seeded;

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flowbound::boundary::{Boundary, Judgement, Selection, Verdict, parse_map};
use flowbound::detect::Tallies;
use flowbound::parse::parse_line;
use flowbound::record::{FlowRecord, LogFormat};
use seeded::Seeded;

const RECORDS: u64 = 1 << 16;
/// Sources of an incident.
const SOURCES: u64 = 20_000;
/// Bytes of tallies after which they are taken: as the pipeline does.
const TALLY_BYTES: usize = 24 << 20;

const FORMAT: &str =
    "vpc-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status tcp-flags";

const MAP: &str = include_str!("../testdata/detect/small.toml");

/// Traffic of the application with its database, of which `hostile` in a thousand records come from somewhere else
/// and are treated so.
fn log(hostile: u64, action: &str) -> String {
    let mut seeded = Seeded(7);
    let mut text = String::new();
    for number in 0..RECORDS {
        let port = 32768 + seeded.below(28232);
        let server = seeded.below(8);
        let (client, action) = if seeded.below(1000) < hostile {
            let source = seeded.below(SOURCES);
            (format!("198.18.{}.{}", source / 256, source % 256), action)
        } else {
            (format!("10.0.1.{}", seeded.below(200)), "ACCEPT")
        };
        let start = 1_790_640_000 + number / 1000;
        let (packets, bytes) = (1 + seeded.below(400), 40 + seeded.below(400_000));
        writeln!(
            text,
            "vpc-1 eni-0{server:016x} {client} 10.0.2.{server} {port} 5432 6 {packets} {bytes} \
             {start} {} {action} OK 2",
            start + 58
        )
        .unwrap();
    }
    text
}

fn detect(criterion: &mut Criterion) {
    let format: LogFormat = FORMAT.parse().unwrap();
    let boundary = Boundary::new(parse_map("small.toml", MAP).unwrap(), &Selection::default());
    for (name, hostile, action, verdict) in [
        ("normal", 28, "REJECT", Verdict::Blocked),
        ("incident_blocked", 500, "REJECT", Verdict::Blocked),
        ("incident_breach", 500, "ACCEPT", Verdict::Breach),
    ] {
        let text = log(hostile, action);
        let rows: Vec<(FlowRecord<'_>, Judgement)> = text
            .lines()
            .map(|line| {
                let mut record = FlowRecord::default();
                parse_line(line.as_bytes(), &format, &mut record).unwrap();
                let judgement = boundary.judge(&record);
                (record, judgement)
            })
            .collect();
        let share = rows.iter().filter(|(_, judgement)| judgement.verdict == verdict).count() as u64 * 1000 / RECORDS;
        assert!(share.abs_diff(hostile) < 10, "{share}");

        let walk = |take: bool| {
            let mut tallies = Tallies::new(Some(&boundary));
            for (number, batch) in rows.chunks(1024).enumerate() {
                let first = (number * 1024) as i64;
                tallies.observe(
                    "file:///log",
                    batch.iter().zip(first..).map(|((record, judgement), line)| (record, judgement, line)),
                );
                if take && tallies.weight() > TALLY_BYTES {
                    black_box(tallies.take());
                }
            }
            if take {
                black_box(tallies.take());
            }
            tallies
        };
        let mut group = criterion.benchmark_group(format!("detect/{name}"));
        group.throughput(Throughput::Elements(RECORDS));
        group.bench_function("observe", |bencher| bencher.iter_with_large_drop(|| walk(false)));
        group.bench_function("observe_and_take", |bencher| bencher.iter_with_large_drop(|| walk(true)));
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(3)).sample_size(20);
    targets = detect
}
criterion_main!(benches);
