//! Closing windows: what all commits gathered for a key becomes its alert, or a new revision of it.
//!
//! A day is done when a commit with data of it came after the last closing, and so are the days that ask for it: an alert
//! may go over midnight, and histories are judged beside those of the days before. Every state file of these days is
//! merged, old ones too: so an alert always tells of all input, whatever was replayed when, and a revision is written
//! only where the content changed.

use std::collections::{BTreeMap, BTreeSet};

use super::summary::Alerts;
use crate::detect::{
    Alert, AlertStatus, AllowUse, Finding, History, Judge, Key, Settings, State, Window, alert_key, is_history, reach,
    withdrawn, withdrawn_as_allowed,
};
use crate::lake::{
    AlertWriter, Chain, Commit, CommitKind, Conserved, Day, DayFiles, Emitted, LakeError, MapIdentity, OfDays, Origin,
    StateEntry, StateWriter, Store, Unit, writer_properties,
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
    let scratch = format!("{}/merge", unit.staging);
    let active: Vec<String> = chain.active().flat_map(state_files).map(str::to_owned).collect();
    for files in DayFiles::both(&active) {
        for stretch in files.about(&days) {
            let mut keys = files.open(store, &stretch, &scratch)?;
            let mut judge = Judge::default();
            while let Some(of_days) = keys.next_key()? {
                let merged = |parts| State::judged_by(parts, settings);
                for of_day in judged(&mut judge, of_days, &stretch, merged, settings) {
                    found.cut += u64::from(of_day.is_cut());
                    for row in revise(&of_day.gathered.emitted, of_day.found, settings, &mut found.allow) {
                        state.push(&of_day.key, &StateEntry::Emitted(Emitted::of(&row)))?;
                        found.add(&row);
                        alerts.push(row)?;
                    }
                }
            }
            alerts.end_days()?;
            state.end_days()?;
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

/// All that is known of a key in a day.
pub(super) struct Gathered {
    /// The sum of what was gathered; `None`: nothing is left of it.
    pub(super) state: Option<State>,
    /// The last revision of each of its alerts.
    pub(super) emitted: BTreeMap<Key, Emitted>,
}

/// States, and the last revision of each alert.
pub(super) fn apart(entries: Vec<StateEntry>) -> (Vec<State>, BTreeMap<Key, Emitted>) {
    let (mut states, mut last): (Vec<State>, BTreeMap<Key, Emitted>) = Default::default();
    for entry in entries {
        match entry {
            StateEntry::Hours(hours) => states.push(State::Hours(hours)),
            StateEntry::Probes(probes) => states.push(State::Probes(probes)),
            StateEntry::History(history) => states.push(State::History(history)),
            StateEntry::Emitted(emitted) => {
                if last.get(&emitted.alert).is_none_or(|last| last.revision < emitted.revision) {
                    last.insert(emitted.alert.clone(), emitted);
                }
            }
        }
    }
    (states, last)
}

/// A key in a day, and what is found of it there.
pub(super) struct OfDay {
    pub(super) day: Day,
    pub(super) key: Key,
    pub(super) gathered: Gathered,
    pub(super) found: Vec<Finding>,
}

impl OfDay {
    /// Whether it is a group with more members in that day than are kept.
    pub(super) fn is_cut(&self) -> bool {
        matches!(&self.gathered.state, Some(State::History(History { cut: true, .. })))
    }
}

/// What is found of a key in the days of a stretch, with which the days about it were read.
pub(super) fn judged(
    judge: &mut Judge,
    of_days: OfDays,
    stretch: &[Day],
    merged: impl FnOnce(Vec<Vec<State>>) -> Vec<Option<State>>,
    settings: &Settings,
) -> Vec<OfDay> {
    let (states, emitted): (Vec<_>, Vec<_>) = of_days.days.into_iter().map(apart).unzip();
    let states = merged(states);
    let windows: Vec<Window> = stretch.iter().map(|day| Window(day.start())).collect();
    let borrowed: Vec<Option<&State>> = states.iter().map(Option::as_ref).collect();
    let found = judge.findings(&of_days.key, &windows, &borrowed, settings);
    let [before, _] = reach(is_history(&of_days.key));
    let gathered = states.into_iter().zip(emitted).map(|(state, emitted)| Gathered { state, emitted });
    let each = stretch.iter().zip(gathered.skip(before)).zip(found);
    let each = each.map(|((day, gathered), (key, found))| OfDay { day: *day, key, gathered, found });
    // what is missing is found where nothing was gathered
    let is_any = |OfDay { gathered, found, .. }: &OfDay| {
        gathered.state.is_some() || !gathered.emitted.is_empty() || !found.is_empty()
    };
    each.filter(is_any).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{Member, Minutes, Who};

    /// An interface of which nothing was gathered any more is silent all the same.
    #[test]
    fn what_is_missing_is_found_where_nothing_was_gathered() {
        let today = Day::of(Some(1_795_132_800_000));
        // a record every ten minutes, until so many hours after midnight of the day before
        let seen = |who: Who, hours: u8| {
            let minutes =
                (0..hours).map(|hour| Minutes { hour, bits: 1 | 1 << 10 | 1 << 20 | 1 << 30 | 1 << 40 | 1 << 50 });
            let nothing = (Vec::new(), Vec::new(), Vec::new());
            let member = Member {
                who,
                hours: nothing.0,
                minutes: minutes.collect(),
                each: nothing.1,
                calls: nothing.2,
                zones: None,
            };
            vec![StateEntry::History(History::new(false, vec![member]))]
        };
        let [before, after] = reach(true);
        let of_days = |family: &str, yesterday, today| {
            let mut days: Vec<Vec<StateEntry>> = (0..=before + after).map(|_| Vec::new()).collect();
            (days[before - 1], days[before]) = (yesterday, today);
            OfDays { key: Key::bare(Window(None), family), days }
        };
        let mut judge = Judge::default();
        let mut told = |of_days| {
            let merged = |parts: Vec<Vec<State>>| parts.into_iter().map(State::merged).collect();
            let found = judged(&mut judge, of_days, &[today], merged, &Settings::default());
            found.into_iter().flat_map(|of_day| of_day.found).map(|found| found.detector).collect::<Vec<_>>()
        };
        let clock = || seen(Who::Source(String::new()), 24);
        assert_eq!(told(of_days("history/clock", clock(), clock())), Vec::<&str>::new());
        let interface = || seen(Who::Interface("eni-a".to_owned()), 24);
        assert_eq!(told(of_days("history/interfaces", interface(), Vec::new())), ["silent"]);
        assert_eq!(told(of_days("history/interfaces", interface(), interface())), Vec::<&str>::new());
    }
}
