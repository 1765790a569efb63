//! Closing windows: what all commits gathered for a key becomes its alert, or a new revision of it.
//!
//! A day is done when a commit with data of it came after the last closing. Every state file of the day is merged,
//! old ones too: so an alert always tells of all input, whatever was replayed when, and a revision is written only
//! where the content changed.

use std::collections::BTreeSet;

use super::summary::Alerts;
use crate::detect::{Finding, Key, Tally, detector};
use crate::lake::{
    AlertRow, AlertStatus, AlertWriter, Chain, Commit, CommitKind, Conserved, LakeError, MapIdentity, Origin,
    StateEntry, StateReader, StateWriter, Store, Unit, writer_properties,
};

/// Closes the windows that changed since the last closing; what alerts are new or changed.
pub(super) async fn close_windows<S: Store>(
    store: &S,
    chain: &mut Chain<'_, S>,
    map: Option<MapIdentity>,
) -> Result<Alerts, LakeError> {
    let days = changed_days(chain);
    if days.is_empty() {
        return Ok(Alerts::default());
    }
    let mut unit = Unit::begin(chain, store)?;
    let origin = Origin::of(map.as_ref());
    let mut alerts = AlertWriter::new(store, unit.staging.clone(), writer_properties(&origin));
    let mut state = StateWriter::new(store, format!("{}/state", unit.staging));
    let mut found = Alerts::default();
    for day in &days {
        let files = chain.active().flat_map(state_files).filter(|path| folder(path) == day);
        let scratch = format!("{}/merge", unit.staging);
        let mut keys = StateReader::open(store, files.map(str::to_owned).collect(), &scratch)?;
        while let Some((key, entries)) = keys.next_key()? {
            let Some(row) = revise(&key, entries) else { continue };
            let (digest, withdrawn) = (row.finding.digest(), row.finding.flows == 0);
            state.push(key, StateEntry::Emitted { revision: row.revision, digest, withdrawn })?;
            found.add(&row);
            alerts.push(row)?;
        }
    }
    for staged in alerts.finish()?.into_iter().chain(state.finish()?) {
        unit.add(staged);
    }
    let commit = Commit::new(chain.next_number(), CommitKind::Close, map, &Conserved::default());
    chain.commit_next(unit.into_commit(commit)).await?;
    Ok(found)
}

fn state_files(commit: &Commit) -> impl Iterator<Item = &str> {
    commit.files.iter().map(|file| file.path.as_str()).filter(|path| path.starts_with("_flowbound/state/"))
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Folders of the days that a commit since the last closing added to, or took from.
fn changed_days<S: Store>(chain: &Chain<'_, S>) -> BTreeSet<String> {
    let mut days = BTreeSet::new();
    for commit in chain.since_close() {
        let replaced = commit.replaces.iter().filter_map(|number| chain.commit(*number));
        for commit in replaced.chain([commit]) {
            days.extend(state_files(commit).map(|path| folder(path).to_owned()));
        }
    }
    days
}

/// The revision that the entries of a key call for, if they do.
fn revise(key: &Key, entries: Vec<StateEntry>) -> Option<AlertRow> {
    let detector = detector(&key.detector)?;
    let mut tally: Option<Tally> = None;
    let mut last: Option<(i32, String, bool)> = None;
    for entry in entries {
        match entry {
            StateEntry::Tally(more) => match &mut tally {
                Some(tally) => tally.merge(more),
                None => tally = Some(more),
            },
            StateEntry::Emitted { revision, digest, withdrawn } => {
                if last.as_ref().is_none_or(|(before, ..)| *before < revision) {
                    last = Some((revision, digest, withdrawn));
                }
            }
        }
    }
    let gone = tally.is_none();
    let finding = Finding::new(detector, key, &tally.unwrap_or_else(|| Tally::new(detector.verdict())));
    let (revision, status) = match last {
        None if gone => return None,
        None => (0, AlertStatus::New),
        Some((_, _, true)) if gone => return None,
        Some((revision, digest, _)) if !gone && digest == finding.digest() => {
            debug_assert!(revision >= 0);
            return None;
        }
        Some((revision, ..)) => (revision + 1, if gone { AlertStatus::Closed } else { AlertStatus::Updated }),
    };
    Some(AlertRow { revision, status, finding })
}
