//! Closing windows: what all commits gathered for a key becomes its alert, or a new revision of it.
//!
//! A day is done when a commit with data of it came after the last closing. Every state file of the day is merged,
//! old ones too: so an alert always tells of all input, whatever was replayed when, and a revision is written only
//! where the content changed.

use std::collections::BTreeSet;

use super::summary::Alerts;
use crate::detect::{Finding, Key, Tally, detector};
use crate::lake::{
    AlertRow, AlertStatus, AlertWriter, Chain, Commit, CommitKind, Conserved, Emitted, LakeError, MapIdentity, Origin,
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
            let Some(row) = revise(&key, &gather(entries)) else { continue };
            state.push(key, StateEntry::emitted(&row))?;
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

/// State files that a commit brings.
pub(super) fn state_files(commit: &Commit) -> impl Iterator<Item = &str> {
    commit.files.iter().map(|file| file.path.as_str()).filter(|path| path.starts_with("_flowbound/state/"))
}

/// The folder of a file: of a state file, its day's.
pub(super) fn folder(path: &str) -> &str {
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

/// All that is known of a key.
pub(super) struct Gathered {
    /// The sum of what was gathered; `None`: nothing is left of it.
    pub(super) tally: Option<Tally>,
    /// The last revision of its alert.
    pub(super) last: Option<Emitted>,
}

/// Puts the entries of a key together.
pub(super) fn gather(entries: Vec<StateEntry>) -> Gathered {
    let mut gathered = Gathered { tally: None, last: None };
    for entry in entries {
        match entry {
            StateEntry::Tally(more) => match &mut gathered.tally {
                Some(tally) => tally.merge(more),
                None => gathered.tally = Some(more),
            },
            StateEntry::Emitted(emitted) => {
                if gathered.last.as_ref().is_none_or(|last| last.revision < emitted.revision) {
                    gathered.last = Some(emitted);
                }
            }
        }
    }
    gathered
}

/// The revision that is called for, if one is.
pub(super) fn revise(key: &Key, gathered: &Gathered) -> Option<AlertRow> {
    let detector = detector(&key.detector)?;
    let nothing = || Tally::new(detector.verdict());
    let gone = gathered.tally.is_none();
    let finding = match &gathered.tally {
        Some(tally) => Finding::new(detector, key, tally),
        None => Finding::new(detector, key, &nothing()),
    };
    let (revision, status) = match &gathered.last {
        None if gone => return None,
        None => (0, AlertStatus::New),
        Some(last) if gone && last.withdrawn => return None,
        Some(last) if !gone && last.digest == finding.digest() => return None,
        Some(last) => (last.revision + 1, if gone { AlertStatus::Closed } else { AlertStatus::Updated }),
    };
    Some(AlertRow { revision, status, finding })
}
