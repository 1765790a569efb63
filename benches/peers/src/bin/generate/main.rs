//! Seeded flow logs and a map for them.
//!
//! `generate map DIR` and `generate logs DIR v2|v5 RECORDS FILES`: the logs lie in `DIR/logs`, and `DIR/truth.json`
//! is what the generator knows of them.

mod dice;
mod network;
mod traffic;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use flate2::{Compression, write::GzEncoder};

use network::Network;
use traffic::{Traffic, Truth};

const SEED: u64 = 7;
const THREADS: usize = 2;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["map", folder] => Network::new(SEED).write(Path::new(folder)),
        ["logs", folder, version, records, files] => {
            let number = |text: &str| text.parse::<u64>().map_err(io::Error::other);
            logs(Path::new(folder), version == "v5", number(records)?, number(files)?)
        }
        _ => Err(io::Error::other("usage: generate map DIR | generate logs DIR v2|v5 RECORDS FILES")),
    }
}

fn logs(folder: &Path, with_v5: bool, records: u64, files: u64) -> io::Result<()> {
    let logs = folder.join("logs");
    fs::create_dir_all(&logs)?;
    let traffic = Traffic::new(Network::new(SEED), SEED, with_v5, records);
    let next = AtomicU64::new(0);
    let work = || -> io::Result<Truth> {
        let mut truth = Truth::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= files {
                return Ok(truth);
            }
            let name = format!("123456789012_vpcflowlogs_us-east-1_fl-0a1b2c3d4e5f60718_{number:05}.log.gz");
            let mut gzip = GzEncoder::new(BufWriter::new(File::create(logs.join(name))?), Compression::default());
            let mut written = Ok(());
            let part = traffic.write(records * number / files, records * (number + 1) / files, &mut |text| {
                if written.is_ok() {
                    written = gzip.write_all(text);
                }
            });
            written?;
            gzip.finish()?.flush()?;
            truth.add(&part);
        }
    };
    let truth = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_fold(Truth::default(), |mut sum, worker| {
            sum.add(&worker.join().map_err(|_| io::Error::other("a worker panicked"))??);
            io::Result::Ok(sum)
        })
    })?;
    let Truth { rows, packets, bytes, verdicts } = truth;
    let truth =
        format!("{{\"rows\": {rows}, \"packets\": {packets}, \"bytes\": {bytes}, \"verdicts\": {verdicts:?}}}\n");
    fs::write(folder.join("truth.json"), truth)
}
