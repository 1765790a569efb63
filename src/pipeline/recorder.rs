//! Lines to the lake: parsed, judged, gathered for the detectors, written. Each thread of a replay has its own recorder,
//! and so has each shard of a stream.

use std::collections::BTreeMap;
use std::sync::Arc;

use parquet::file::properties::WriterProperties;

use crate::boundary::{Boundary, Judgement, Verdict};
use crate::detect::{Gathers, Histories, Tallies};
use crate::lake::{Conserved, FileLimits, FlowRows, FlowWriter, LakeError, Staged, StateWriter, Store};
use crate::parse::Batches;
use crate::record::{Field, FlowBatch, LineChunk, LogFormat, ParseError};

/// Bytes that the detectors gather, unless something else is asked: of each thread, and in a stream of each shard.
pub const DETECT_BYTES: usize = 12 << 20;

/// How long after its end a record may come and is not late, in milliseconds: AWS says 5 minutes, or 10 to S3.
const LATENESS: i64 = 15 * 60_000;

/// Where lines go that are no records: number, text and what is wrong with it.
pub(super) type Reject<'r> = &'r mut dyn FnMut(&[(i64, &[u8], &ParseError)]) -> Result<(), LakeError>;

/// Writes lines to staged files.
pub(super) struct Recorder<'u, S: Store> {
    store: &'u S,
    staging: String,
    boundary: Option<&'u Boundary>,
    flows: FlowWriter<'u, S>,
    tallies: Tallies<'u>,
    /// Bytes of them after which they are written to a state file and begun anew.
    detect_bytes: usize,
    /// What the map says of each record of a batch: kept to be filled again.
    judged: Vec<Option<Judgement>>,
    staged: Vec<Staged>,
    states: usize,
    parsed: Conserved,
    verdicts: [u64; Verdict::ALL.len()],
    unjudged: u64,
    /// When what is recorded came to its stream, milliseconds since 1970.
    arrived: Option<i64>,
    late: u64,
}

/// What a recorder came to.
#[derive(Default)]
pub(super) struct Recorded {
    pub(super) staged: Vec<Staged>,
    /// What was parsed, and so written.
    pub(super) conserved: Conserved,
    /// Rows per verdict.
    pub(super) verdicts: BTreeMap<String, u64>,
}

impl Recorded {
    /// Adds what another recorder came to.
    pub(super) fn add(&mut self, other: Self) {
        self.staged.extend(other.staged);
        self.conserved.merge(&other.conserved);
        for (verdict, count) in other.verdicts {
            *self.verdicts.entry(verdict).or_default() += count;
        }
    }
}

/// Writes histories to state files.
pub(super) fn write_histories<S: Store>(
    histories: Histories<'_>,
    store: &S,
    staging: &str,
) -> Result<Vec<Staged>, LakeError> {
    let mut state = StateWriter::new(store, format!("{staging}/histories"));
    histories.hand_over(|key, gathered| state.push_next(&key, &gathered.into()))?;
    state.finish()
}

impl<'u, S: Store> Recorder<'u, S> {
    /// A recorder that stages its files in this folder.
    pub(super) fn new(
        store: &'u S,
        staging: String,
        boundary: Option<&'u Boundary>,
        properties: Arc<WriterProperties>,
        limits: FileLimits,
        detect_bytes: usize,
        gathers: Gathers,
    ) -> Self {
        Self {
            store,
            boundary,
            flows: FlowWriter::new(store, format!("{staging}/flows"), properties, limits),
            staging,
            tallies: Tallies::new(boundary).gathering(gathers),
            detect_bytes,
            judged: Vec::new(),
            staged: Vec::new(),
            states: 0,
            parsed: Conserved::default(),
            verdicts: [0; Verdict::ALL.len()],
            unjudged: 0,
            arrived: None,
            late: 0,
        }
    }

    /// What is recorded from now on came to its stream at this time, milliseconds since 1970.
    pub(super) fn arrived(&mut self, arrived: Option<i64>) {
        self.arrived = arrived;
    }

    /// How many records came late since this was asked last.
    pub(super) fn take_late(&mut self) -> u64 {
        std::mem::take(&mut self.late)
    }

    /// Records the lines of this source; how many were records.
    pub(super) fn record(&mut self, source: &str, chunk: &LineChunk, reject: Reject<'_>) -> Result<u64, LakeError> {
        let mut batches = Batches::new(chunk);
        let mut batch = FlowBatch::new(&chunk.format);
        let mut rows = 0;
        while batches.next_batch(&mut batch) {
            self.keep(source, &chunk.format, &batch)?;
            rows += batch.records.len() as u64;
            if !batch.rejected.is_empty() {
                let lines: Vec<_> = batch.rejected.iter().map(|line| (line.line, line.raw, &line.error)).collect();
                reject(&lines)?;
            }
        }
        if self.tallies.weight() > self.detect_bytes {
            self.hand_on(self.detect_bytes)?;
        }
        Ok(rows)
    }

    fn keep(&mut self, source: &str, format: &LogFormat, batch: &FlowBatch<'_>) -> Result<(), LakeError> {
        let boundary = self.boundary;
        self.judged.clear();
        self.judged.extend(batch.records.iter().map(|record| match boundary {
            Some(boundary) => Some(boundary.judge(record)),
            None => Judgement::of_status(record),
        }));
        let rows = || batch.records.iter().zip(&self.judged).zip(&batch.lines);
        for ((record, judged), _) in rows() {
            self.parsed.add(record);
            match judged {
                Some(judgement) => self.verdicts[judgement.verdict as usize] += 1,
                None => self.unjudged += 1,
            }
        }
        if let Some(arrived) = self.arrived {
            let ends = batch.records.iter().filter_map(|record| record.millis(Field::End));
            self.late += ends.filter(|end| arrived.saturating_sub(*end) > LATENESS).count() as u64;
        }
        let judged = rows().filter_map(|((record, judged), line)| Some((record, judged.as_ref()?, *line)));
        self.tallies.observe(source, judged);
        self.flows.push(&FlowRows {
            format,
            records: &batch.records,
            judgements: &self.judged,
            lines: &batch.lines,
            source,
            boundary,
        })
    }

    /// Writes what was gathered to state files: histories only where they are more than half of so many bytes.
    fn hand_on(&mut self, bound: usize) -> Result<(), LakeError> {
        self.states += 1;
        let mut state = StateWriter::new(self.store, format!("{}/state-{}", self.staging, self.states));
        self.tallies.relieve(bound, |key, gathered| state.push_next(&key, &gathered.into()))?;
        self.staged.extend(state.finish()?);
        Ok(())
    }

    /// Files of `flows` that are being written.
    pub(super) fn open_files(&self) -> usize {
        self.flows.open_files()
    }

    /// Closes every file. Histories can be put together with those of others, and are not written yet.
    ///
    /// # Errors
    /// [`LakeError::NotConserved`], before anything is committed: what was parsed is not what was written (I6).
    pub(super) fn finish(mut self) -> Result<(Recorded, Histories<'u>), LakeError> {
        self.hand_on(usize::MAX)?;
        let (files, written) = self.flows.finish()?;
        self.staged.extend(files);
        self.parsed.check_written(&written)?;
        let verdicts = Verdict::ALL.iter().map(|verdict| verdict.as_str()).zip(self.verdicts);
        let verdicts = verdicts.chain([("not judged", self.unjudged)]).filter(|(_, count)| *count > 0);
        let recorded = Recorded {
            staged: self.staged,
            conserved: self.parsed,
            verdicts: verdicts.map(|(verdict, count)| (verdict.to_owned(), count)).collect(),
        };
        Ok((recorded, self.tallies.take_histories()))
    }
}
