//! Replay: input objects into a lake, unit by unit, each one commit; then the windows are closed.

use std::sync::Arc;
use std::time::Instant;

use super::close::close_windows;
use super::deliver::{Deliverer, Delivery, merge};
use super::plan::{MapChange, Plan, PlanError, UnitPlan, plan};
use super::recorder::DETECT_BYTES;
use super::summary::{Alerts, Fault, Skipped, Summary};
use super::worker::{ObjectReport, UnitContext, UnitResult, run_unit};
use crate::boundary::Boundary;
use crate::detect::Settings;
use crate::lake::{
    Access, Chain, Commit, CommitKind, FileLimits, LakeError, MapIdentity, ObjectEntry, Origin, REPLAY, Store, Unit,
    writer_properties,
};
use crate::record::LogFormat;
use crate::source::{InputObject, Sources};
use crate::telemetry::Progress;

/// How to replay.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// The log format where no header says it.
    pub format: Option<Arc<LogFormat>>,
    /// Threads that parse, judge and write.
    pub threads: usize,
    /// When a file of `flows` is full.
    pub limits: FileLimits,
    /// Bytes of input, compressed as it is, after which a unit of work is committed.
    pub unit_bytes: u64,
    /// What to do when the lake was written with another map.
    pub map_change: MapChange,
    /// What the detectors ask.
    pub detect: Settings,
    /// Bytes that the detectors of a thread gather before that is written out.
    pub detect_bytes: usize,
    /// Whether the caller holds the lake's lock.
    pub access: Access,
    /// Who gets the alerts.
    pub deliverer: Arc<Deliverer>,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        Self {
            format: None,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            limits: FileLimits::default(),
            unit_bytes: 256 << 20,
            map_change: MapChange::default(),
            detect: Settings::default(),
            detect_bytes: DETECT_BYTES,
            access: Access::Exclusive,
            deliverer: Arc::default(),
        }
    }
}

/// Why a replay failed. What was committed before stays, and is not read again by the next run.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It did not start.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The lake.
    #[error(transparent)]
    Lake(#[from] LakeError),
}

/// A replay of input objects into one lake.
pub struct Replay<'r, S: Store> {
    /// The lake.
    pub store: &'r S,
    /// The ways to the input.
    pub sources: Sources,
    /// The map, if there is one.
    pub boundary: Option<&'r Boundary>,
    /// How.
    pub options: ReplayOptions,
    /// Where to say how far it is.
    pub progress: Progress,
}

impl<S: Store> Replay<'_, S> {
    /// Replays the objects that the lake does not have.
    ///
    /// # Errors
    /// Units that were committed before an error stay committed; the unit at hand leaves nothing behind.
    pub async fn run(&self, input: Vec<InputObject>) -> Result<Summary, ReplayError> {
        let started = Instant::now();
        let mut session = Session::open(self).await?;
        // what an earlier run committed and did not deliver
        let before = self.deliver().await;
        let done = session.work_and_close(input).await;
        self.progress.clear();
        let mut summary = done?;
        summary.deliveries = merge(before, self.deliver().await);
        Ok(Summary { elapsed: started.elapsed(), ..summary })
    }

    /// Brings what is committed to who gets the alerts.
    pub(super) async fn deliver(&self) -> Vec<Delivery> {
        self.options.deliverer.deliver(self.store, REPLAY).await
    }
}

/// A replay with its chain open, for one round of work or for many: a long chain takes long to read.
///
/// After an error it is of no use any more: what became of the last commit shows when the chain is opened anew.
pub(super) struct Session<'r, S: Store> {
    replay: &'r Replay<'r, S>,
    chain: Chain<'r, S>,
    map: Option<MapIdentity>,
    map_change: MapChange,
}

impl<'r, S: Store> Session<'r, S> {
    /// Opens the lake's chain of replays.
    pub(super) async fn open(replay: &'r Replay<'r, S>) -> Result<Self, LakeError> {
        let chain = Chain::open(replay.store, REPLAY, replay.options.access).await?;
        let map = replay.boundary.map(MapIdentity::of);
        Ok(Self { replay, chain, map, map_change: replay.options.map_change })
    }

    /// For input that comes again until it is done with. Whether the map may be another one than the lake's is decided
    /// now, not by what comes: some of it may be old.
    pub(super) fn of_what_comes_again(mut self) -> Result<Self, PlanError> {
        self.plan(Vec::new())?;
        self.map_change = MapChange::KeepOld;
        Ok(self)
    }

    /// Whether somebody else has committed since.
    pub(super) async fn is_behind(&self) -> Result<bool, LakeError> {
        self.chain.is_behind().await
    }

    fn plan(&self, input: Vec<InputObject>) -> Result<Plan, PlanError> {
        let Replay { sources, options, .. } = self.replay;
        plan(&self.chain, input, sources, self.map.as_ref(), self.map_change, options.unit_bytes)
    }

    async fn work_and_close(&mut self, input: Vec<InputObject>) -> Result<Summary, ReplayError> {
        let mut summary = self.work(input).await?;
        summary.alerts = self.close().await?;
        Ok(summary)
    }

    /// Commits the objects that the lake does not have, unit by unit.
    pub(super) async fn work(&mut self, input: Vec<InputObject>) -> Result<Summary, ReplayError> {
        let plan = self.plan(input)?;
        let mut summary = Summary {
            known: plan.known,
            known_quarantined: plan.known_quarantined,
            known_faults: plan.known_faults,
            drawn_in: plan.drawn_in,
            skipped: plan.skipped,
            ..Summary::default()
        };
        for mut unit in plan.units {
            loop {
                let failed = match self.run_unit(&unit, &mut summary).await {
                    Ok(failed) if failed.is_empty() => break,
                    done => {
                        self.chain.abandon().await;
                        done?
                    }
                };
                if unit.replaces.is_empty() {
                    // again, without these
                    unit.objects.retain(|object| failed.iter().all(|skipped| skipped.uri != object.uri));
                } else {
                    // what the lake has of the others would go with the commit that is replaced
                    unit.objects.clear();
                }
                summary.skipped.extend(failed);
                if unit.objects.is_empty() {
                    break;
                }
            }
        }
        Ok(summary)
    }

    /// Closes the windows that changed since the last closing; what alerts are new or changed.
    pub(super) async fn close(&mut self) -> Result<Alerts, ReplayError> {
        let Replay { store, options, .. } = self.replay;
        match close_windows(*store, &mut self.chain, self.map.clone(), &options.detect).await {
            Ok(alerts) => Ok(alerts),
            Err(error) => {
                self.chain.abandon().await;
                Err(error.into())
            }
        }
    }

    /// Commits a unit; or the objects that could not be read to their ends, and nothing is committed: half an object is
    /// not kept, for another time it may be whole.
    async fn run_unit(&mut self, planned: &UnitPlan, summary: &mut Summary) -> Result<Vec<Skipped>, ReplayError> {
        let replay = self.replay;
        let mut unit = Unit::begin(&self.chain, replay.store)?;
        let staging = unit.staging.clone();
        let context = UnitContext {
            store: replay.store,
            staging: &staging,
            boundary: replay.boundary,
            options: &replay.options,
            properties: writer_properties(&Origin::of(self.map.as_ref())),
            sources: &replay.sources,
            objects: &planned.objects,
            progress: &replay.progress,
        };
        let result = run_unit(&context)?;
        let failed = failed(planned, &result.reports);
        if !failed.is_empty() {
            return Ok(failed);
        }
        let mut commit =
            Commit::new(self.chain.next_number(), CommitKind::Data, self.map.clone(), &result.recorded.conserved);
        for (object, report) in planned.objects.iter().zip(&result.reports) {
            match report.unread.get() {
                Some(why) => summary.skipped.push(Skipped { uri: object.uri.clone(), why: why.clone() }),
                None => commit.objects.push(entry(object, report)),
            }
        }
        if commit.objects.is_empty() {
            self.chain.abandon().await;
            return Ok(failed);
        }
        commit.verdicts.clone_from(&result.recorded.verdicts);
        for number in &planned.replaces {
            let replaced = self.chain.commit(*number).map(|commit| commit.files.as_slice()).unwrap_or_default();
            // the files without rows that a lake's first commit brings stay
            let gone = replaced.iter().filter(|file| file.rows > 0).map(|file| file.path.clone());
            commit.removes.extend(gone);
        }
        commit.replaces.clone_from(&planned.replaces);
        summary.add(&planned.objects, &result, &commit);
        let (number, objects, rows) = (commit.number, commit.objects.len(), commit.rows);
        result.recorded.staged.into_iter().for_each(|staged| unit.add(staged));
        self.chain.commit_next(unit.into_commit(commit)).await?;
        tracing::info!(commit = number, objects, rows, "committed");
        Ok(failed)
    }
}

/// Objects for which a unit must not be committed, and why: those that failed in the middle, though nothing is wrong with
/// what they hold; and where a commit is replaced, those that are not there any more.
fn failed(planned: &UnitPlan, reports: &[ObjectReport]) -> Vec<Skipped> {
    let why = |report: &ObjectReport| {
        let unread = report.unread.get().filter(|_| !planned.replaces.is_empty());
        report.unfinished.get().or(unread).cloned()
    };
    let told = |(object, report): (&InputObject, &ObjectReport)| {
        let why = match planned.replaces.first() {
            None => why(report)?,
            Some(number) => format!("{}; commit {number}, which has it, is left as it was", why(report)?),
        };
        Some(Skipped { uri: object.uri.clone(), why })
    };
    planned.objects.iter().zip(reports).filter_map(told).collect()
}

fn entry(object: &InputObject, report: &ObjectReport) -> ObjectEntry {
    ObjectEntry {
        uri: object.uri.clone(),
        identity: object.identity.clone(),
        lines: report.lines.load(std::sync::atomic::Ordering::Relaxed),
        quarantined: report.quarantined.load(std::sync::atomic::Ordering::Relaxed),
        fault: report.fault.get().cloned(),
    }
}

impl Summary {
    fn add(&mut self, objects: &[InputObject], result: &UnitResult, commit: &Commit) {
        self.objects += commit.objects.len() as u64;
        self.read_bytes += objects.iter().map(|object| object.size).sum::<u64>();
        self.decoded_bytes += result.decoded_bytes;
        self.rows += commit.rows;
        self.packets += result.recorded.conserved.packets;
        self.bytes += result.recorded.conserved.bytes;
        for object in &commit.objects {
            self.lines += object.lines;
            if let Some(fault) = &object.fault {
                self.faults.push(Fault { uri: object.uri.clone(), fault: fault.clone(), lines: object.lines });
            }
        }
        for (verdict, count) in &result.recorded.verdicts {
            *self.verdicts.entry(verdict.clone()).or_default() += count;
        }
        for (reason, count) in &result.reasons {
            *self.quarantined.entry(reason).or_default() += count;
        }
        self.files += result.recorded.staged.iter().filter(|staged| staged.folder.starts_with("flows/")).count() as u64;
    }
}
