//! Replay: input objects into a lake, unit by unit, each one commit; then the windows are closed.

use std::sync::Arc;
use std::time::Instant;

use super::close::close_windows;
use super::plan::{MapChange, PlanError, UnitPlan, plan};
use super::summary::{Fault, Skipped, Summary};
use super::worker::{ObjectReport, UnitContext, UnitResult, run_unit};
use crate::boundary::Boundary;
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
    /// Whether the caller holds the lake's lock.
    pub access: Access,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        Self {
            format: None,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            limits: FileLimits::default(),
            unit_bytes: 256 << 20,
            map_change: MapChange::default(),
            access: Access::Exclusive,
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
        let mut chain = Chain::open(self.store, REPLAY, self.options.access).await?;
        let map = self.boundary.map(MapIdentity::of);
        let plan = plan(&chain, input, &self.sources, map.as_ref(), self.options.map_change, self.options.unit_bytes)?;
        let mut summary = Summary {
            known: plan.known,
            known_quarantined: plan.known_quarantined,
            known_faults: plan.known_faults,
            drawn_in: plan.drawn_in,
            skipped: plan.skipped,
            ..Summary::default()
        };
        let done = self.run_units(&mut chain, map, plan.units, &mut summary).await;
        self.progress.clear();
        if let Err(error) = done {
            chain.abandon().await;
            return Err(error);
        }
        summary.elapsed = started.elapsed();
        Ok(summary)
    }

    async fn run_units(
        &self,
        chain: &mut Chain<'_, S>,
        map: Option<MapIdentity>,
        units: Vec<UnitPlan>,
        summary: &mut Summary,
    ) -> Result<(), ReplayError> {
        for unit in units {
            self.run_unit(chain, map.as_ref(), unit, summary).await?;
        }
        summary.alerts = close_windows(self.store, chain, map).await?;
        Ok(())
    }

    async fn run_unit(
        &self,
        chain: &mut Chain<'_, S>,
        map: Option<&MapIdentity>,
        planned: UnitPlan,
        summary: &mut Summary,
    ) -> Result<(), ReplayError> {
        let mut unit = Unit::begin(chain, self.store)?;
        let staging = unit.staging.clone();
        let context = UnitContext {
            store: self.store,
            staging: &staging,
            boundary: self.boundary,
            options: &self.options,
            properties: writer_properties(&Origin::of(map)),
            sources: &self.sources,
            objects: &planned.objects,
            progress: &self.progress,
        };
        let result = run_unit(&context)?;
        let mut commit = Commit::new(chain.next_number(), CommitKind::Data, map.cloned(), &result.conserved);
        for (object, report) in planned.objects.iter().zip(&result.reports) {
            match report.unread.get() {
                Some(why) => summary.skipped.push(Skipped { uri: object.uri.clone(), why: why.clone() }),
                None => commit.objects.push(entry(object, report)),
            }
        }
        if commit.objects.is_empty() {
            chain.abandon().await;
            return Ok(());
        }
        commit.verdicts.clone_from(&result.verdicts);
        for number in &planned.replaces {
            let replaced = chain.commit(*number).map(|commit| commit.files.as_slice()).unwrap_or_default();
            // the files without rows that a lake's first commit brings stay
            let gone = replaced.iter().filter(|file| file.rows > 0).map(|file| file.path.clone());
            commit.removes.extend(gone);
        }
        commit.replaces = planned.replaces;
        summary.add(&planned.objects, &result, &commit);
        result.staged.into_iter().for_each(|staged| unit.add(staged));
        let commit = unit.into_commit(commit);
        chain.commit_next(commit).await?;
        Ok(())
    }
}

fn entry(object: &InputObject, report: &ObjectReport) -> ObjectEntry {
    ObjectEntry {
        uri: object.uri.clone(),
        // what is not known whole is never taken for the same again
        identity: report.unfinished.get().map_or(object.identity.clone(), |()| "unfinished".to_owned()),
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
        self.packets += result.conserved.packets;
        self.bytes += result.conserved.bytes;
        for object in &commit.objects {
            self.lines += object.lines;
            if let Some(fault) = &object.fault {
                self.faults.push(Fault { uri: object.uri.clone(), fault: fault.clone(), lines: object.lines });
            }
        }
        for (verdict, count) in &result.verdicts {
            *self.verdicts.entry(verdict.clone()).or_default() += count;
        }
        for (reason, count) in &result.reasons {
            *self.quarantined.entry(reason).or_default() += count;
        }
        self.files += result.staged.iter().filter(|staged| staged.folder.starts_with("flows/")).count() as u64;
    }
}
