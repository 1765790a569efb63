//! Synthetic traffic for any boundary map, labelled: what the map allows, the noise of every log, and scenarios.
//!
//! ```text
//! map ─> hosts ─> lanes ─────> traffic ─┐
//!   addresses,    who may talk  ordinary ├─> record ─> files
//!   interfaces    to whom       life     │   lines     AWSLogs/…, labels.csv
//!           └───> scenario ──────────────┘
//!                 what is planted, with the verdict that it means
//! ```
//!
//! The evaluator's *policy* chooses who may talk to whom. Its *judgement* is never asked: a label says what a record
//! means by the scenario that planted it, so comparing labels with judgements proves something about both. The labels
//! speak of what happened; formats without `tcp-flags`, `flow-direction` or `vpc-id` cannot always show it.
//!
//! The same map, options and program give the same text in the same files. (The bytes of the gzip container may
//! differ between machines: the compressor uses what the processor offers.) Memory is bounded by the number of
//! hosts, not by the number of records.

mod dice;
mod files;
mod hosts;
mod lanes;
mod network;
mod options;
mod record;
mod scenario;
mod talk;
#[cfg(test)]
mod tests;
mod traffic;

use std::io;
use std::path::{Path, PathBuf};

pub use options::GenerateOptions;
pub use scenario::{SCENARIOS, ScenarioInfo};

use crate::boundary::{Boundary, BoundaryMap, Selection, Verdict};
use files::LogFiles;
use hosts::aws_hash;
use lanes::Lanes;
use network::Network;
use record::{Record, Renderer};
use traffic::{Traffic, Window};

/// What was generated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerateSummary {
    /// Records written, planted ones included: as many as were asked for.
    pub records: u64,
    /// Log files written.
    pub files: usize,
    /// Text of the records, in bytes, before compression.
    pub bytes: u64,
    /// Start of the first window and end of the last, in milliseconds since 1970, UTC.
    pub span: (i64, i64),
    /// Records that were planted.
    pub planted: u64,
    /// Records by what they mean: planted ones and ordinary life (expected traffic, late packets as `stray`, probes
    /// from the internet as `blocked`, heartbeats as `nodata`). In the order of [`Verdict::ALL`], without zeros.
    pub verdicts: Vec<(Verdict, u64)>,
    /// Scenarios that were planted, with the number of their records.
    pub scenarios: Vec<(&'static str, u64)>,
    /// Scenarios that the map has no place for, and why.
    pub skipped: Vec<(&'static str, &'static str)>,
}

/// Why nothing (or not everything) was generated.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// A file or folder.
    #[error("cannot write {path}: {source}", path = path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An older run's files are there.
    #[error("{path} exists already: choose another folder, or remove it", path = path.display())]
    NotEmpty {
        /// What is in the way.
        path: PathBuf,
    },
    /// A name that is no scenario.
    #[error("there is no scenario '{name}'; those that fit this map: {fitting}")]
    UnknownScenario {
        /// The name.
        name: String,
        /// The names that could be given.
        fitting: String,
    },
    /// A scenario that the map has no place for.
    #[error("the scenario '{name}' does not fit this map: {why}; those that do: {fitting}")]
    UnfitScenario {
        /// The name.
        name: String,
        /// What the map lacks.
        why: &'static str,
        /// The names that could be given.
        fitting: String,
    },
    /// Fewer records than the scenarios have.
    #[error("{flows} records are too few: the scenarios alone have {planted}; ask for more, or for one scenario")]
    TooFew {
        /// Asked for.
        flows: u64,
        /// Planted.
        planted: u64,
    },
    /// No place for any traffic.
    #[error("the map has no zone with an address inside one of its VPCs, so no interface could record anything")]
    NoInterfaces,
    /// A start or an end that no record can have.
    #[error("the start lies before 1970, or the traffic would end after the year 9999")]
    BadStart,
}

/// The error of an operation on this path.
fn at(path: &Path) -> impl FnOnce(io::Error) -> GenerateError + '_ {
    |source| GenerateError::Io { path: path.to_owned(), source }
}

/// Generates a flow log for the map in the folder `out`: `AWSLogs/…` and `labels.csv`.
///
/// # Errors
/// See [`GenerateError`]. `labels.csv` is written last: a folder without it is unfinished.
pub fn generate(map: &BoundaryMap, options: &GenerateOptions, out: &Path) -> Result<GenerateSummary, GenerateError> {
    let selection = Selection { env: options.env.clone(), mode: options.mode.clone() };
    let boundary = Boundary::new(map.clone(), &selection);
    let mut network = Network::new(&boundary, options.flows);
    if !network.hosts.interfaces.iter().any(|interface| interface.beats) {
        return Err(GenerateError::NoInterfaces);
    }
    let foreign = network.hosts.foreign(map);
    let network = network;
    let lanes = Lanes::new(&network);
    let span = options.span();
    // the last minute's file has to have a date, and no field of a record can be negative
    if span.start < 0 || jiff::Timestamp::from_second(span.window(span.windows - 1) + options::WINDOW).is_err() {
        return Err(GenerateError::BadStart);
    }
    let plan = scenario::plan(&network, &lanes, foreign, options, span)?;
    let planted = plan.records.len() as u64;
    let ordinary = options.flows.checked_sub(planted).ok_or(GenerateError::TooFew { flows: options.flows, planted })?;

    let renderer = Renderer::new(&options.format, &options.account, &options.region);
    let flow_log = format!("fl-{}", aws_hash(&[map.name.as_bytes(), renderer.header().as_bytes()]));
    let files = LogFiles::create(out, &options.account, &options.region, flow_log, renderer.header())?;
    let mut log = Log { files, renderer: &renderer, network: &network, line: Vec::with_capacity(512), bytes: 0 };
    let mut counts = [0_u64; Verdict::ALL.len()];
    let mut labels = Vec::with_capacity(plan.records.len());
    let mut traffic = Traffic::new(&network, lanes, options.seed);

    let mut next = plan.records.into_iter().peekable();
    let mut written = 0;
    for index in 0..span.windows {
        let due = share(ordinary, index + 1, span.windows);
        let last = index + 1 == span.windows;
        let window = Window { index, start: span.window(index), budget: due - written, last };
        let mut here = Vec::new();
        while let Some(planted) = next.next_if(|planted| span.index(planted.record.end) <= index) {
            traffic.saw(planted.record.interface, index);
            here.push(planted);
        }
        // planted records stand among the ordinary ones, not in a heap
        let (total, mut ordinary_here) = (here.len() as u64, 0);
        let mut here = here.into_iter().enumerate().peekable();
        let mut plant = |log: &mut Log<'_>, counts: &mut [u64; Verdict::ALL.len()], share_done: (u64, u64)| {
            while let Some((_, planted)) =
                here.next_if(|(place, _)| (*place as u64) * share_done.1 <= share_done.0 * total)
            {
                let position = log.write(&planted.record)?;
                counts[planted.label.verdict as usize] += 1;
                labels.push((position, planted.label));
            }
            Ok(())
        };
        written += traffic.window(window, &mut |record, verdict| {
            plant(&mut log, &mut counts, (ordinary_here, window.budget))?;
            ordinary_here += 1;
            counts[verdict as usize] += 1;
            log.write(record).map(drop)
        })?;
        plant(&mut log, &mut counts, (1, 1))?;
    }
    let bytes = log.bytes;
    let files = log.files.finish(&labels)?;
    Ok(GenerateSummary {
        records: written + planted,
        files,
        bytes,
        span: (span.start * 1000, (span.window(span.windows - 1) + options::WINDOW) * 1000),
        planted,
        verdicts: Verdict::ALL
            .iter()
            .map(|verdict| (*verdict, counts[*verdict as usize]))
            .filter(|v| v.1 > 0)
            .collect(),
        scenarios: plan.scenarios,
        skipped: plan.skipped,
    })
}

/// How many of `total` are due after `done` of `windows` windows.
fn share(total: u64, done: u64, windows: u64) -> u64 {
    (u128::from(total) * u128::from(done) / u128::from(windows)) as u64
}

/// Records become lines in files.
struct Log<'l> {
    files: LogFiles,
    renderer: &'l Renderer,
    network: &'l Network<'l>,
    line: Vec<u8>,
    bytes: u64,
}

impl Log<'_> {
    fn write(&mut self, record: &Record) -> Result<files::Position, GenerateError> {
        self.line.clear();
        let interface = &self.network.hosts.interfaces[record.interface as usize];
        self.renderer.line(record, interface, &mut self.line);
        self.bytes += self.line.len() as u64;
        self.files.write(record.end, &self.line)
    }
}
