//! Checking a lake: everything in it that breaks a promise (I1, I2, I4 to I7), found by its name.
//!
//! ```text
//! Snapshot   what lies there: all commits of all chains, listings of files      Ledger: which file is whose
//!  chains    what commits contradict each other in: gaps, spans, counts         I1 I2 I4 I6 I7
//!  names     files that are missing, left over, foreign; staging                I5
//!  rows      what the files have: rows twice, sums, revisions                   I1 I5 I6 I7
//! ```
//!
//! A check only reads, and may run beside writers: what one of them may have so for a moment is looked at again after a
//! pause, and only what is found twice is told. Which commit a file is of, and whether it is to be there, is decided
//! over all chains: a compaction takes the files of others.
//!
//! Memory: about a kilobyte a commit, and for the rows see `places`. I3 needs the table of leases, I8 and I9 a running
//! program: they cannot be seen in a lake.

mod chains;
mod finding;
mod names;
mod outbox;
mod places;
mod repair;
mod rows;
mod snapshot;
mod table;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use finding::{Finding, Invariant, Level};
pub use repair::{Repaired, is_lake, repair};

use self::rows::Rows;
use self::snapshot::{Ledger, Snapshot};
use super::error::LakeError;
use super::flow_file::Conserved;
use super::store::Store;

/// How to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckOptions {
    /// Commits, names and lengths alone: no file is opened. What needs rows is left out: rows that are there twice,
    /// sums, revisions of alerts.
    pub quick: bool,
    /// Pause after which what is out of place is looked at again; `None` where nobody else writes.
    pub settle: Option<Duration>,
    /// Files of `flows` and `alerts` of days before this one (`2026-11-21`) may be gone: a retention job took them.
    pub kept_from: Option<String>,
}

/// What a check came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Chains.
    pub chains: u64,
    /// Commits in them.
    pub commits: u64,
    /// Files that the commits name and none removes.
    pub files: u64,
    /// Rows of `flows`: as read, or in a quick check as the commits say.
    pub rows: u64,
    /// What was found, the first promise first.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many findings break a promise.
    pub fn errors(&self) -> usize {
        self.findings.iter().filter(|finding| finding.level == Level::Error).count()
    }
}

/// Checks a lake.
///
/// # Errors
/// When it cannot be read at all. What is damaged is a finding.
pub async fn check<S: Store>(store: &S, options: &CheckOptions) -> Result<Report, LakeError> {
    let mut snapshot = Snapshot::take(store).await?;
    let mut findings = of_snapshot(&snapshot, options);
    if let Some(pause) = options.settle
        && findings.iter().any(|finding| finding.passing)
    {
        tokio::time::sleep(pause).await;
        snapshot = Snapshot::take(store).await?;
        let again = of_snapshot(&snapshot, options).into_iter();
        findings = again.filter(|finding| !finding.passing || findings.contains(finding)).collect();
    }
    let ledger = Ledger::of(&snapshot);
    let live = |folder| ledger.live(folder);
    let mut report = Report {
        chains: snapshot.chains.len() as u64,
        commits: snapshot.chains.values().map(|chain| chain.commits.len() as u64).sum(),
        files: (ledger.named.len() - ledger.removed.keys().filter(|path| ledger.named.contains_key(**path)).count())
            as u64,
        rows: live("flows").iter().map(|named| named.file.rows).sum(),
        findings,
    };
    if !options.quick {
        let (found, vanished, read) = {
            let mut rows = Rows {
                store,
                snapshot: &snapshot,
                ledger: &ledger,
                found: Vec::new(),
                vanished: Vec::new(),
                read: Conserved::default(),
            };
            rows.check()?;
            (rows.found, rows.vanished, rows.read)
        };
        report.rows = u64::try_from(read.rows).unwrap_or(u64::MAX);
        report.findings.extend(found);
        report.findings.extend(what_became_of(store, vanished).await?);
    }
    report.findings.sort_unstable();
    report.findings.dedup();
    Ok(report)
}

fn of_snapshot(snapshot: &Snapshot, options: &CheckOptions) -> Vec<Finding> {
    let ledger = Ledger::of(snapshot);
    let mut found = Vec::new();
    chains::check_chains(snapshot, &ledger, &mut found);
    names::check_names(snapshot, &ledger, options.kept_from.as_deref(), &mut found);
    outbox::check_outbox(snapshot, &mut found);
    found
}

/// Files that went away while they were to be read: merged or replaced meanwhile, or lost.
async fn what_became_of<S: Store>(store: &S, vanished: Vec<String>) -> Result<Vec<Finding>, LakeError> {
    if vanished.is_empty() {
        return Ok(Vec::new());
    }
    let snapshot = Snapshot::take(store).await?;
    let ledger = Ledger::of(&snapshot);
    let told = vanished.into_iter().map(|path| {
        if ledger.is_live(&path) && !snapshot.after.contains_key(&path) {
            let what = "it was lost while the lake was checked";
            Finding::error(Invariant::I5, path, what, finding::hints::RESTORE)
        } else {
            let what = "it was merged or replaced while the lake was checked, and so not read";
            Finding::error(Invariant::I5, path, what, "check again").note()
        }
    });
    Ok(told.collect())
}
