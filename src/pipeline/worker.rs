//! One unit of work on all cores.
//!
//! Every thread is a [`Worker`] that parses, judges, detects and writes chunks of lines; some of them first read: they
//! inflate objects and cut them into chunks. A chunk is all that passes between threads, through a bounded channel.
//! A reader that finds the channel full works a chunk off itself, so memory stays flat, no thread ever waits while
//! there is something to do, and one large object keeps all of them busy. Everything else is a thread's own until the
//! unit ends.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use parquet::file::properties::WriterProperties;

use super::recorder::{Recorded, Recorder, write_histories};
use super::replay::{ReplayError, ReplayOptions};
use crate::boundary::Boundary;
use crate::decode::{DecodeOptions, Decoder, Piece};
use crate::detect::Histories;
use crate::lake::{LakeError, Quarantine, Store, append_quarantine};
use crate::record::{LineChunk, ParseError};
use crate::source::{InputObject, Sources};
use crate::telemetry::Progress;

/// Bytes read from an object at a time.
const READ_BYTES: usize = 1 << 18;

/// What is the same for every thread of a unit.
pub(super) struct UnitContext<'u, S: Store> {
    pub(super) store: &'u S,
    pub(super) staging: &'u str,
    pub(super) boundary: Option<&'u Boundary>,
    pub(super) options: &'u ReplayOptions,
    pub(super) properties: Arc<WriterProperties>,
    pub(super) sources: &'u Sources,
    pub(super) objects: &'u [InputObject],
    pub(super) progress: &'u Progress,
}

/// What happened to one object.
#[derive(Debug, Default)]
pub(super) struct ObjectReport {
    pub(super) lines: AtomicU64,
    pub(super) quarantined: AtomicU64,
    pub(super) fault: OnceLock<String>,
    /// Why it could not be read to its end, though nothing is wrong with what it holds: another day there may be more.
    pub(super) unfinished: OnceLock<String>,
    /// It could not even be opened: it is not part of the unit.
    pub(super) unread: OnceLock<String>,
}

/// What a unit came to.
#[derive(Default)]
pub(super) struct UnitResult {
    pub(super) recorded: Recorded,
    pub(super) reports: Vec<ObjectReport>,
    pub(super) reasons: BTreeMap<&'static str, u64>,
    pub(super) decoded_bytes: u64,
}

struct Work {
    object: usize,
    chunk: LineChunk,
}

/// A worker's ends of the channels.
struct Channels {
    todo: Receiver<Work>,
    /// Buffers of chunks that are worked off, and the same for those who need some.
    spent: Sender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
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
    // inflating costs about a quarter of the whole
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
        let workers: Vec<_> = (0..threads)
            .map(|number| {
                let work = (number < readers).then(|| work.clone());
                let channels = Channels { todo: todo.clone(), spent: spent.clone(), empty: empty.clone() };
                scope.spawn(move || shared.stop_on_error(Worker::new(shared, number, channels).run(work)))
            })
            .collect();
        // the channel ends when the last reader does
        drop(work);
        workers.into_iter().map(join).collect::<Result<Vec<_>, ReplayError>>()
    })?;
    let mut result = UnitResult {
        decoded_bytes: shared.decoded_bytes.into_inner(),
        reports: shared.reports,
        ..UnitResult::default()
    };
    result.reasons = shared.reasons.into_inner().unwrap_or_else(PoisonError::into_inner);
    result.recorded.staged.extend(shared.quarantine.finish()?);
    let mut together: Option<Histories<'_>> = None;
    for (recorded, histories) in done {
        result.recorded.add(recorded);
        match &mut together {
            Some(together) => together.absorb(histories),
            None => together = Some(histories),
        }
    }
    if let Some(histories) = together {
        result.recorded.staged.extend(write_histories(histories, context.store, context.staging)?);
    }
    Ok(result)
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

    /// Puts lines of an object into quarantine.
    fn reject(&self, object: usize, lines: &[(i64, &[u8], &ParseError)]) -> Result<(), LakeError> {
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
        self.quarantine.write(&text, count)
    }
}

struct Worker<'w, 'u, S: Store> {
    shared: &'w Shared<'u, S>,
    channels: Channels,
    recorder: Recorder<'u, S>,
}

impl<'w, 'u, S: Store> Worker<'w, 'u, S> {
    fn new(shared: &'w Shared<'u, S>, number: usize, channels: Channels) -> Self {
        let context = shared.context;
        let recorder = Recorder::new(
            context.store,
            format!("{}/{number}", context.staging),
            context.boundary,
            context.properties.clone(),
            context.options.limits,
            context.options.detect_bytes,
            context.options.detect.gathers(),
        );
        Self { shared, channels, recorder }
    }

    /// Reads, if it is given the channel's other end, and works off what was read until there is no more.
    fn run(mut self, work: Option<Sender<Work>>) -> Result<(Recorded, Histories<'u>), ReplayError> {
        if let Some(work) = work {
            self.read_objects(&work)?;
        }
        while let Ok(work) = self.channels.todo.recv() {
            self.work_off(work)?;
        }
        Ok(self.recorder.finish()?)
    }

    /// Takes object after object and hands on their lines.
    fn read_objects(&mut self, work: &Sender<Work>) -> Result<(), ReplayError> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
            match self.shared.context.objects.get(number) {
                Some(object) if !self.shared.stopped() => self.read_object(number, object, &mut buffer, work)?,
                _ => return Ok(()),
            }
        }
    }

    fn read_object(
        &mut self,
        number: usize,
        object: &InputObject,
        buffer: &mut [u8],
        work: &Sender<Work>,
    ) -> Result<(), ReplayError> {
        let shared = self.shared;
        let report = &shared.reports[number];
        let mut file = match shared.context.sources.open(object) {
            Ok(file) => file,
            Err(error) => {
                // set once: one reader reads an object
                let _first = report.unread.set(error.to_string());
                return Ok(());
            }
        };
        let options = DecodeOptions { format: shared.context.options.format.clone(), ..DecodeOptions::default() };
        let mut decoder = Decoder::new(options);
        let empty = self.channels.empty.clone();
        let mut emitted = Ok(());
        let mut emit = |piece: Piece| {
            if emitted.is_ok() {
                // where it fails, the others stop at once, and so does the loop below
                emitted = shared.stop_on_error(match piece {
                    Piece::Lines(chunk) => self.hand_out(Work { object: number, chunk }, work),
                    Piece::Rejected { line, raw, error } => {
                        shared.reject(number, &[(line, &raw, &error)]).map_err(ReplayError::from)
                    }
                });
            }
        };
        // of an object with a fault what came before it is kept
        let fault = loop {
            let read = match file.read(buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    // set once: one reader reads an object
                    let _first = report.unfinished.set(error.to_string());
                    break None;
                }
            };
            shared.context.progress.add(read as u64);
            while let Ok(spent) = empty.try_recv() {
                decoder.recycle(spent);
            }
            let bytes = buffer.get(..read).unwrap_or_default();
            if bytes.is_empty() || shared.stopped() {
                let before = decoder.summary();
                match decoder.finish(&mut emit) {
                    Ok(summary) => shared.decoded_bytes.fetch_add(summary.bytes_out, Ordering::Relaxed),
                    Err(fault) => break Some((before, fault.to_string())),
                };
                break None;
            }
            if let Err(fault) = decoder.push(bytes, &mut emit) {
                break Some((decoder.summary(), fault.to_string()));
            }
        };
        if let Some((summary, fault)) = fault {
            shared.decoded_bytes.fetch_add(summary.bytes_out, Ordering::Relaxed);
            tracing::info!(object = object.uri, fault, "object not read to its end");
            // set once: one reader reads an object
            let _first = report.fault.set(fault);
        }
        emitted
    }

    /// Puts a chunk into the channel; while that is full, works off what is in it.
    fn hand_out(&mut self, mut ready: Work, work: &Sender<Work>) -> Result<(), ReplayError> {
        while let Err(TrySendError::Full(refused)) = work.try_send(ready) {
            if let Ok(other) = self.channels.todo.try_recv() {
                self.work_off(other)?;
            }
            ready = refused;
        }
        Ok(())
    }

    fn work_off(&mut self, Work { object, chunk }: Work) -> Result<(), ReplayError> {
        if self.shared.stopped() {
            return Ok(());
        }
        let shared = self.shared;
        let uri = &shared.context.objects[object].uri;
        let report = &self.shared.reports[object];
        let rows = self.recorder.record(uri, &chunk, &mut |lines| shared.reject(object, lines))?;
        report.lines.fetch_add(rows, Ordering::Relaxed);
        // a full channel means that there are buffers enough
        let _dropped = self.channels.spent.try_send(chunk.bytes);
        Ok(())
    }
}
