//! Parsing alone, one thread: flowbound's parser and VRL's `parse_aws_vpc_flow_log` on the same lines in memory.
//!
//! `parse ROUNDS LINES FILE.log.gz` prints the nanoseconds of CPU time per record, by system and round, as JSON. The
//! two take turns, and must find the same records and the same sum of bytes. VRL is given each line as an event of one
//! field, which shares the buffer.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use flowbound::parse::Batches;
use flowbound::record::{Field, FlowBatch, LineChunk, LogFormat};
use vrl::compiler::{Program, TargetValue, TimeZone, runtime::Runtime};
use vrl::value::{ObjectMap, Secrets, Value};

/// Bytes of a chunk: what the caches hold.
const CHUNK: usize = 256 << 10;

/// Times that a round parses the lines: some kernels count CPU time in steps of four milliseconds.
const PASSES: u64 = 5;

/// Records and the sum of their bytes.
type Sums = (u64, u64);

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [rounds, lines, path] = &args[..] else { return Err("usage: parse ROUNDS LINES FILE.log.gz".into()) };
    let mut reader = BufReader::new(MultiGzDecoder::new(File::open(path)?));
    let mut header = String::new();
    reader.read_line(&mut header)?;
    let format = Arc::new(LogFormat::from_names(header.split_whitespace()));
    let mut chunks = vec![Vec::with_capacity(CHUNK + 1024)];
    for _ in 0..lines.parse::<u64>()? {
        if chunks.last().is_some_and(|chunk| chunk.len() > CHUNK) {
            chunks.push(Vec::with_capacity(CHUNK + 1024));
        }
        if let Some(chunk) = chunks.last_mut() {
            reader.read_until(b'\n', chunk)?;
        }
    }

    let ours: Vec<LineChunk> = chunks
        .iter()
        .map(|bytes| LineChunk {
            bytes: bytes.clone(),
            first_line: 2,
            format: Arc::clone(&format),
            timestamp_prefix: false,
        })
        .collect();
    let theirs: Vec<bytes::Bytes> = chunks.into_iter().map(bytes::Bytes::from).collect();
    let source = format!("parse_aws_vpc_flow_log!(.message, \"{}\")", header.trim().replace('-', "_"));
    let program = vrl::compiler::compile(&source, &vrl::stdlib::all())
        .map_err(|problems| format!("VRL does not compile: {problems:?}"))?
        .program;

    let mut nanoseconds = [Vec::new(), Vec::new()];
    for _ in 0..rounds.parse::<u64>()? {
        let (our_time, our_sums) = timed(|| Ok(flowbound(&ours)))?;
        let (their_time, their_sums) = timed(|| vrl(&program, &theirs))?;
        if our_sums != their_sums {
            return Err(format!("flowbound finds {our_sums:?}, VRL {their_sums:?}").into());
        }
        nanoseconds[0].push(our_time / our_sums.0 as f64);
        nanoseconds[1].push(their_time / our_sums.0 as f64);
    }
    println!("{{\"flowbound\": {:?}, \"vrl\": {:?}}}", nanoseconds[0], nanoseconds[1]);
    Ok(())
}

fn flowbound(chunks: &[LineChunk]) -> Sums {
    let mut sums = (0, 0);
    for chunk in chunks {
        let mut batches = Batches::new(chunk);
        let mut batch = FlowBatch::new(&chunk.format);
        while batches.next_batch(&mut batch) {
            sums.0 += batch.records.len() as u64;
            sums.1 += batch.records.iter().filter_map(|record| record.number(Field::Bytes)).sum::<i64>() as u64;
        }
    }
    sums
}

fn vrl(program: &Program, chunks: &[bytes::Bytes]) -> Result<Sums, Box<dyn Error>> {
    let mut sums = (0, 0);
    let mut runtime = Runtime::default();
    let zone = TimeZone::default();
    for chunk in chunks {
        let mut at = 0;
        for end in memchr::memchr_iter(b'\n', chunk) {
            let mut target = TargetValue {
                value: Value::Object(ObjectMap::from([("message".into(), Value::Bytes(chunk.slice(at..end)))])),
                metadata: Value::Object(Default::default()),
                secrets: Secrets::default(),
            };
            at = end + 1;
            let value = runtime.resolve(&mut target, program, &zone).map_err(|error| error.to_string())?;
            let bytes = value.as_object().and_then(|object| object.get("bytes")).and_then(Value::as_integer);
            sums = (sums.0 + 1, sums.1 + bytes.unwrap_or(0) as u64);
        }
    }
    Ok(sums)
}

/// Nanoseconds of this thread's CPU time for one pass, and the work's answer.
fn timed(work: impl Fn() -> Result<Sums, Box<dyn Error>>) -> Result<(f64, Sums), Box<dyn Error>> {
    let before = cpu_time()?;
    let mut sums = (0, 0);
    for _ in 0..PASSES {
        sums = work()?;
    }
    Ok(((cpu_time()? - before) / PASSES as f64, sums))
}

fn cpu_time() -> Result<f64, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(stat.split(' ').next().ok_or("no schedstat")?.parse()?)
}
