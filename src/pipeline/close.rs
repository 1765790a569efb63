//! Closing windows: what all commits gathered for a key becomes its alert, or a new revision of it.
//!
//! A day is done when a commit with data of it came after the last closing. Every state file of the day is merged,
//! old ones too: so an alert always tells of all input, whatever was replayed when, and a revision is written only
//! where the content changed.
//!
//! Histories are judged beside those of the days before: where a day changed, it and the days after it are judged anew.

use std::collections::{BTreeMap, BTreeSet};

use super::histories::Histories;
use super::summary::Alerts;
use crate::detect::{
    Alert, AlertStatus, AllowUse, Finding, Key, Settings, State, alert_key, findings, history_findings, withdrawn,
    withdrawn_as_allowed,
};
use crate::lake::{
    AlertWriter, Beside, Chain, Commit, CommitKind, Conserved, Emitted, LakeError, MapIdentity, Origin, StateEntry,
    StateReader, StateWriter, Store, Unit, is_history_file, writer_properties,
};

/// Closes the windows that changed since the last closing; what alerts are new or changed.
pub(super) async fn close_windows<S: Store>(
    store: &S,
    chain: &mut Chain<'_, S>,
    map: Option<MapIdentity>,
    settings: &Settings,
) -> Result<Alerts, LakeError> {
    let days = changed_days(chain);
    if days.is_empty() {
        return Ok(Alerts::default());
    }
    let mut unit = Unit::begin(chain, store)?;
    let origin = Origin::of(map.as_ref());
    let mut alerts = AlertWriter::new(store, unit.staging.clone(), writer_properties(&origin));
    let mut state = StateWriter::new(store, format!("{}/state", unit.staging));
    let mut found = Alerts { allow: AllowUse::none_of(&settings.allow), ..Alerts::default() };
    let mut active: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for path in chain.active().flat_map(state_files) {
        active.entry(folder(path)).or_default().push(path.to_owned());
    }
    let scratch = format!("{}/merge", unit.staging);
    for day in &days {
        let files = active.get(day.as_str()).into_iter().flatten();
        let files = files.filter(|path| !is_history_file(path)).cloned().collect();
        let mut keys = StateReader::open(store, files, &scratch)?;
        while let Some((key, entries)) = keys.next_key()? {
            let gathered = gather(entries, |parts| State::judged_by(parts, settings));
            let found_of_key = findings(&key, gathered.state.as_ref(), settings);
            for row in revise(&gathered.emitted, found_of_key, settings, &mut found.allow) {
                state.push(key.clone(), StateEntry::Emitted(Emitted::of(&row)))?;
                found.add(&row);
                alerts.push(row)?;
            }
        }
    }
    let histories = Histories::of(active.values().flatten());
    for day in histories.after(&days) {
        let mut groups = histories.open(store, day, &scratch)?;
        while let Some(group) = groups.next_group()? {
            found.cut += u64::from(group.is_cut());
            let Beside { key, days, emitted } = group;
            let emitted = gather(emitted, |_| None).emitted;
            let found_of_group = history_findings(&key, &days, &groups.clock, settings);
            for row in revise(&emitted, found_of_group, settings, &mut found.allow) {
                state.push(key.clone(), StateEntry::Emitted(Emitted::of(&row)))?;
                found.add(&row);
                alerts.push(row)?;
            }
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
    pub(super) state: Option<State>,
    /// The last revision of each of its alerts.
    pub(super) emitted: BTreeMap<Key, Emitted>,
}

/// Puts the entries of a key together, of which this merges the states.
pub(super) fn gather(entries: Vec<StateEntry>, merged: impl FnOnce(Vec<State>) -> Option<State>) -> Gathered {
    let mut states = Vec::new();
    let mut gathered = Gathered { state: None, emitted: BTreeMap::new() };
    for entry in entries {
        match entry {
            StateEntry::Hours(hours) => states.push(State::Hours(hours)),
            StateEntry::Probes(probes) => states.push(State::Probes(probes)),
            StateEntry::History(history) => states.push(State::History(history)),
            StateEntry::Emitted(emitted) => {
                if gathered.emitted.get(&emitted.alert).is_none_or(|last| last.revision < emitted.revision) {
                    gathered.emitted.insert(emitted.alert.clone(), emitted);
                }
            }
        }
    }
    gathered.state = merged(states);
    gathered
}

/// The revisions that are called for: of alerts that are new or changed, and of those that are no longer found, or are
/// on the allow-list by now. What each of its entries speaks of is counted.
pub(super) fn revise(
    emitted: &BTreeMap<Key, Emitted>,
    findings: Vec<Finding>,
    settings: &Settings,
    allow: &mut [AllowUse],
) -> Vec<Alert> {
    let mut rows = Vec::new();
    let mut found = BTreeSet::new();
    for finding in findings {
        let alert = alert_key(&finding);
        allow.iter_mut().for_each(|entry| entry.count(&finding));
        let last = emitted.get(&alert);
        if let Some(entry) = settings.allowing(&finding) {
            if let Some(last) = last.filter(|last| !last.withdrawn)
                && let Some(closed) = withdrawn(&alert, last.end)
            {
                let finding = withdrawn_as_allowed(entry, &finding, closed);
                rows.push(Alert { revision: last.revision + 1, status: AlertStatus::Closed, finding });
            }
            found.insert(alert);
            continue;
        }
        match last {
            None => rows.push(Alert { revision: 0, status: AlertStatus::New, finding }),
            Some(last) if last.digest == finding.digest() => {}
            Some(last) => {
                rows.push(Alert { revision: last.revision + 1, status: AlertStatus::Updated, finding });
            }
        }
        found.insert(alert);
    }
    for (alert, last) in emitted.iter().filter(|(alert, last)| !last.withdrawn && !found.contains(*alert)) {
        if let Some(finding) = withdrawn(alert, last.end) {
            rows.push(Alert { revision: last.revision + 1, status: AlertStatus::Closed, finding });
        }
    }
    rows
}
