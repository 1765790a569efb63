//! One unit of work on all cores: some threads inflate and cut into lines, the others parse, judge, detect and write.
//!
//! A chunk of lines is all that passes between them, through a bounded channel: a slow disk slows the reading, and
//! memory stays flat. Everything else is a thread's own until the unit ends.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};
use parquet::file::properties::WriterProperties;

use super::replay::{ReplayError, ReplayOptions};
use crate::boundary::{Boundary, Judgement, Verdict};
use crate::decode::{DecodeOptions, Decoder, Piece};
use crate::detect::Tallies;
use crate::lake::{Conserved, FlowWriter, LakeError, Quarantine, Staged, StateWriter, Store, append_quarantine};
use crate::parse::Batches;
use crate::record::{FlowBatch, LineChunk, ParseError};
use crate::source::file::InputObject;
use crate::telemetry::Progress;

/// Bytes of tallies after which a worker writes them to a state file and starts anew.
const TALLY_BYTES: usize = 24 << 20;
/// Bytes read from a file at a time.
const READ_BYTES: usize = 1 << 18;

/// What is the same for every thread of a unit.
pub(super) struct UnitContext<'u, S: Store> {
    pub(super) store: &'u S,
    pub(super) staging: &'u str,
    pub(super) boundary: Option<&'u Boundary>,
    pub(super) options: &'u ReplayOptions,
    pub(super) properties: Arc<WriterProperties>,
    pub(super) objects: &'u [InputObject],
    pub(super) progress: &'u Progress,
}

/// What happened to one object.
#[derive(Debug, Default)]
pub(super) struct ObjectReport {
    pub(super) lines: AtomicU64,
    pub(super) quarantined: AtomicU64,
    pub(super) fault: OnceLock<String>,
    /// The disk failed in the middle: another day there may be more.
    pub(super) unfinished: OnceLock<()>,
    /// It could not even be opened: it is not part of the unit.
    pub(super) unread: OnceLock<String>,
}

/// What a unit came to.
#[derive(Default)]
pub(super) struct UnitResult {
    pub(super) staged: Vec<Staged>,
    pub(super) reports: Vec<ObjectReport>,
    pub(super) conserved: Conserved,
    pub(super) verdicts: BTreeMap<String, u64>,
    pub(super) reasons: BTreeMap<&'static str, u64>,
    pub(super) decoded_bytes: u64,
}

struct Work {
    object: usize,
    chunk: LineChunk,
}

struct Shared<'u, S: Store> {
    context: &'u UnitContext<'u, S>,
    reports: Vec<ObjectReport>,
    quarantine: Quarantine<'u, S>,
    reasons: Mutex<BTreeMap<&'static str, u64>>,
    next: AtomicUsize,
    failed: AtomicBool,
    decoded_bytes: AtomicU64,
}

/// Runs a unit. Nothing of it is visible yet: its files are staged.
pub(super) fn run_unit<S: Store>(context: &UnitContext<'_, S>) -> Result<UnitResult, ReplayError> {
    let threads = context.options.threads.max(1);
    // inflating costs about a quarter of the whole: one thread feeds three workers
    let readers = threads.div_ceil(3).min(context.objects.len());
    let shared = Shared {
        context,
        reports: context.objects.iter().map(|_| ObjectReport::default()).collect(),
        quarantine: Quarantine::new(context.store, context.staging),
        reasons: Mutex::new(BTreeMap::new()),
        next: AtomicUsize::new(0),
        failed: AtomicBool::new(false),
        decoded_bytes: AtomicU64::new(0),
    };
    let (work, todo) = bounded::<Work>(threads * 2);
    let (spent, empty) = bounded::<Vec<u8>>(threads * 4);
    let done = std::thread::scope(|scope| {
        let shared = &shared;
        let readers: Vec<_> = (0..readers)
            .map(|_| {
                let (work, empty) = (work.clone(), empty.clone());
                scope.spawn(move || shared.stop_on_error(shared.read_objects(&work, &empty)))
            })
            .collect();
        drop(work);
        let workers: Vec<_> = (0..threads)
            .map(|number| {
                let (todo, spent) = (todo.clone(), spent.clone());
                scope.spawn(move || shared.stop_on_error(Worker::new(shared, number).run(&todo, &spent)))
            })
            .collect();
        drop((todo, spent));
        let read = readers.into_iter().map(join).collect::<Result<Vec<()>, _>>();
        let worked = workers.into_iter().map(join).collect::<Result<Vec<Done>, _>>();
        // a worker's error is the cause when both stopped
        let worked = worked?;
        read.map(|_| worked)
    })?;
    let mut result = UnitResult {
        decoded_bytes: shared.decoded_bytes.into_inner(),
        reports: shared.reports,
        ..UnitResult::default()
    };
    result.reasons = shared.reasons.into_inner().unwrap_or_else(PoisonError::into_inner);
    result.staged.extend(shared.quarantine.finish()?);
    let mut written = Conserved::default();
    for done in done {
        result.staged.extend(done.staged);
        result.conserved.merge(&done.parsed);
        written.merge(&done.written);
        for (verdict, count) in done.verdicts {
            *result.verdicts.entry(verdict.to_owned()).or_default() += count;
        }
    }
    check_conserved(&result.conserved, &written)?;
    Ok(result)
}

/// I6, before anything is committed: what was parsed is what was written.
fn check_conserved(parsed: &Conserved, written: &Conserved) -> Result<(), LakeError> {
    for (what, parsed, written) in [
        ("rows", parsed.rows, written.rows),
        ("packets", parsed.packets, written.packets),
        ("bytes", parsed.bytes, written.bytes),
    ] {
        if parsed != written {
            return Err(LakeError::NotConserved { what, parsed, written });
        }
    }
    Ok(())
}

fn join<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl<S: Store> Shared<'_, S> {
    fn stop_on_error<T>(&self, result: Result<T, ReplayError>) -> Result<T, ReplayError> {
        if result.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        result
    }

    fn stopped(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// A reader: takes object after object and hands on their lines.
    fn read_objects(&self, work: &Sender<Work>, empty: &Receiver<Vec<u8>>) -> Result<(), ReplayError> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            match self.context.objects.get(number) {
                Some(object) if !self.stopped() => self.read_object(number, object, &mut buffer, work, empty)?,
                _ => return Ok(()),
            }
        }
    }

    fn read_object(
        &self,
        number: usize,
        object: &InputObject,
        buffer: &mut [u8],
        work: &Sender<Work>,
        empty: &Receiver<Vec<u8>>,
    ) -> Result<(), ReplayError> {
        let mut file = match File::open(&object.path) {
            Ok(file) => file,
            Err(error) => {
                // set once: one reader reads an object
                let _first = self.reports[number].unread.set(error.to_string());
                return Ok(());
            }
        };
        let options = DecodeOptions { format: self.context.options.format.clone(), ..DecodeOptions::default() };
        let mut decoder = Decoder::new(options);
        let mut rejected = Ok(());
        let mut emit = |piece: Piece| match piece {
            // a closed channel means that the workers stopped: the loop below sees it
            Piece::Lines(chunk) => {
                let _stopping = work.send(Work { object: number, chunk });
            }
            Piece::Rejected { line, raw, error } => {
                let written = self.reject(number, &[(line, &raw, &error)]);
                if rejected.is_ok() {
                    rejected = written;
                }
            }
        };
        // the object's own faults and those of the disk end it alike: what came before is kept
        let fault = loop {
            let read = match file.read(buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    // set once: one reader reads an object
                    let _first = self.reports[number].unfinished.set(());
                    break Some((decoder.abort(&mut emit), error.to_string()));
                }
            };
            self.context.progress.add(read as u64);
            while let Ok(spent) = empty.try_recv() {
                decoder.recycle(spent);
            }
            let bytes = buffer.get(..read).unwrap_or_default();
            if bytes.is_empty() || self.stopped() {
                let before = decoder.summary();
                match decoder.finish(&mut emit) {
                    Ok(summary) => self.decoded_bytes.fetch_add(summary.bytes_out, Ordering::Relaxed),
                    Err(fault) => break Some((before, fault.to_string())),
                };
                break None;
            }
            if let Err(fault) = decoder.push(bytes, &mut emit) {
                break Some((decoder.summary(), fault.to_string()));
            }
        };
        if let Some((summary, fault)) = fault {
            self.decoded_bytes.fetch_add(summary.bytes_out, Ordering::Relaxed);
            tracing::info!(object = object.uri, fault, "object not read to its end");
            // set once: one reader reads an object
            let _first = self.reports[number].fault.set(fault);
        }
        rejected
    }

    /// Puts lines of an object into quarantine.
    fn reject(&self, object: usize, lines: &[(i64, &[u8], &ParseError)]) -> Result<(), ReplayError> {
        let mut text = Vec::new();
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        for (line, raw, error) in lines {
            append_quarantine(&mut text, &self.context.objects[object].uri, *line, raw, error);
            *reasons.entry(error.kind.reason()).or_default() += 1;
        }
        drop(reasons);
        let count = lines.len() as u64;
        self.reports[object].quarantined.fetch_add(count, Ordering::Relaxed);
        self.reports[object].lines.fetch_add(count, Ordering::Relaxed);
        Ok(self.quarantine.write(&text, count)?)
    }
}

/// What a worker came to.
struct Done {
    staged: Vec<Staged>,
    parsed: Conserved,
    written: Conserved,
    verdicts: Vec<(&'static str, u64)>,
}

struct Worker<'w, 'u, S: Store> {
    shared: &'w Shared<'u, S>,
    number: usize,
    flows: FlowWriter<'u, S>,
    tallies: Tallies<'u>,
    /// What the map says of each record of a batch: kept to be filled again.
    judged: Vec<Option<Judgement>>,
    staged: Vec<Staged>,
    states: usize,
    parsed: Conserved,
    verdicts: [u64; Verdict::ALL.len()],
    unjudged: u64,
}

impl<'w, 'u, S: Store> Worker<'w, 'u, S> {
    fn new(shared: &'w Shared<'u, S>, number: usize) -> Self {
        let context = shared.context;
        let folder = format!("{}/flows-{number}", context.staging);
        Self {
            shared,
            number,
            flows: FlowWriter::new(context.store, folder, context.properties.clone(), context.options.limits),
            tallies: Tallies::new(context.boundary),
            judged: Vec::new(),
            staged: Vec::new(),
            states: 0,
            parsed: Conserved::default(),
            verdicts: [0; Verdict::ALL.len()],
            unjudged: 0,
        }
    }

    fn run(mut self, todo: &Receiver<Work>, spent: &Sender<Vec<u8>>) -> Result<Done, ReplayError> {
        for Work { object, chunk } in todo {
            if self.shared.stopped() {
                continue;
            }
            self.process(object, &chunk)?;
            // a full channel means that there are buffers enough
            let _dropped = spent.try_send(chunk.bytes);
        }
        self.hand_on()?;
        let (files, written) = self.flows.finish()?;
        self.staged.extend(files);
        let mut verdicts: Vec<_> = Verdict::ALL.iter().zip(self.verdicts).map(|(v, n)| (v.as_str(), n)).collect();
        verdicts.push(("not judged", self.unjudged));
        verdicts.retain(|(_, count)| *count > 0);
        Ok(Done { staged: self.staged, parsed: self.parsed, written, verdicts })
    }

    fn process(&mut self, object: usize, chunk: &LineChunk) -> Result<(), ReplayError> {
        let mut batches = Batches::new(chunk);
        let mut batch = FlowBatch::new(&chunk.format);
        while batches.next_batch(&mut batch) {
            self.keep(object, &chunk.format, &batch)?;
        }
        if self.tallies.weight() > TALLY_BYTES { self.hand_on() } else { Ok(()) }
    }

    fn keep(
        &mut self,
        object: usize,
        format: &Arc<crate::record::LogFormat>,
        batch: &FlowBatch<'_>,
    ) -> Result<(), ReplayError> {
        let boundary = self.shared.context.boundary;
        let source = self.shared.context.objects[object].uri.as_str();
        self.judged.clear();
        self.judged.extend(batch.records.iter().map(|record| match boundary {
            Some(boundary) => Some(boundary.judge(record)),
            None => Judgement::of_status(record),
        }));
        let rows = || batch.records.iter().zip(&self.judged).zip(&batch.lines);
        for ((record, judged), line) in rows() {
            self.parsed.add(record);
            match judged {
                Some(judgement) => self.verdicts[judgement.verdict as usize] += 1,
                None => self.unjudged += 1,
            }
            self.flows.push(format, record, judged.as_ref(), boundary, (source, *line))?;
        }
        let judged = rows().filter_map(|((record, judged), line)| Some((record, judged.as_ref()?, *line)));
        self.tallies.observe(source, judged);
        let report = &self.shared.reports[object];
        report.lines.fetch_add(batch.records.len() as u64, Ordering::Relaxed);
        if batch.rejected.is_empty() {
            return Ok(());
        }
        let lines: Vec<_> = batch.rejected.iter().map(|line| (line.line, line.raw, &line.error)).collect();
        self.shared.reject(object, &lines)
    }

    /// Writes what was gathered to state files and starts anew.
    fn hand_on(&mut self) -> Result<(), ReplayError> {
        self.states += 1;
        let folder = format!("{}/state-{}-{}", self.shared.context.staging, self.number, self.states);
        let mut state = StateWriter::new(self.shared.context.store, folder);
        state.push_all(self.tallies.take())?;
        self.staged.extend(state.finish()?);
        Ok(())
    }
}
