//! What the detectors with other settings would have said of a lake, as a difference.
//!
//! What was gathered does not depend on settings and stays in the lake, so it is judged twice, with the settings of
//! before and with those of after, day by day. Nothing is read but state files, and nothing is written.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;

use crate::boundary::Severity;
use crate::detect::{AllowUse, Finding, Judge, Settings, State, Window, reach};
use crate::lake::{Day, DayFiles, KeptState, LakeError, OfDays, ReadOnly, StateEntry, Store, io_error, kept_state};

/// The folder with a folder of state files for each day.
const STATE: &str = "_flowbound/state";

/// How often a day is listed again because a file went away before it was read: it was merged into another.
const TRIES: u32 = 5;

/// What became of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// There was none before.
    New,
    /// There is none after.
    Gone,
    /// It has another severity.
    Severity,
}

impl ChangeKind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Gone => "gone",
            Self::Severity => "severity",
        }
    }
}

/// An alert that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// How.
    pub kind: ChangeKind,
    /// Its id.
    pub alert_id: String,
    /// What found it.
    pub detector: String,
    /// How bad it was; `None`: there was none.
    pub before: Option<Severity>,
    /// How bad it would be; `None`: there would be none.
    pub after: Option<Severity>,
    /// First millisecond of its window.
    pub window_start: Option<i64>,
    /// Rows that it counts.
    pub flows: u64,
    /// What happened.
    pub title: String,
    /// Why it is allowed, where it is gone for that.
    pub allowed: Option<String>,
}

/// Alerts of a detector, or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// With the settings of before.
    pub before: u64,
    /// With those of after.
    pub after: u64,
    /// Only after.
    pub new: u64,
    /// Only before.
    pub gone: u64,
    /// Both times, with another severity.
    pub severity: u64,
}

/// The difference.
#[derive(Debug, Default)]
pub struct Backtest {
    /// Days that were judged.
    pub days: u64,
    /// Detectors with an alert before or after.
    pub detectors: BTreeMap<String, Counts>,
    /// Every alert that differs, by detector and kind; of those the worst first, then by window and id.
    pub changes: Vec<Change>,
    /// What each entry of the new allow-list does.
    pub allow: Vec<AllowUse>,
}

impl Backtest {
    /// All detectors together.
    pub fn total(&self) -> Counts {
        self.detectors.values().fold(Counts::default(), |sum, one| Counts {
            before: sum.before + one.before,
            after: sum.after + one.after,
            new: sum.new + one.new,
            gone: sum.gone + one.gone,
            severity: sum.severity + one.severity,
        })
    }

    fn add(&mut self, pair: Pair) {
        let Some(finding) = pair.after.as_ref().or(pair.before.as_ref()) else { return };
        let counts = self.detectors.entry(finding.detector.clone().into_owned()).or_default();
        counts.before += u64::from(pair.before.is_some());
        counts.after += u64::from(pair.after.is_some());
        let severity = |finding: &Option<Finding>| finding.as_ref().map(|finding| finding.severity);
        let (before, after) = (severity(&pair.before), severity(&pair.after));
        let (kind, count) = match (before, after) {
            (None, _) => (ChangeKind::New, &mut counts.new),
            (_, None) => (ChangeKind::Gone, &mut counts.gone),
            (before, after) if before != after => (ChangeKind::Severity, &mut counts.severity),
            _ => return,
        };
        *count += 1;
        self.changes.push(Change {
            kind,
            alert_id: finding.alert_id.clone(),
            detector: finding.detector.clone().into_owned(),
            before,
            after,
            window_start: finding.window_start,
            flows: finding.flows,
            title: finding.title.clone(),
            allowed: pair.allowed,
        });
    }
}

/// An alert with either settings.
#[derive(Default)]
struct Pair {
    before: Option<Finding>,
    after: Option<Finding>,
    allowed: Option<String>,
}

/// A day's alerts by their ids, and what the allow-list did.
struct Judged {
    alerts: BTreeMap<String, Pair>,
    allow: Vec<AllowUse>,
}

/// Judges a lake with both settings: alerts whose window ends after `since` and begins before `until` (milliseconds
/// since 1970).
///
/// # Errors
/// When the lake cannot be read, or a state file is not one that this version writes.
pub async fn backtest<S: Store>(
    store: &S,
    [before, after]: [&Settings; 2],
    (since, until): (Option<i64>, Option<i64>),
) -> Result<Backtest, LakeError> {
    let store = ReadOnly::new(store);
    let mut difference = Backtest { allow: AllowUse::none_of(&after.allow), ..Backtest::default() };
    let wanted = |finding: &Finding| {
        since.is_none_or(|since| finding.window_end.is_some_and(|end| since < end))
            && until.is_none_or(|until| finding.window_start.is_some_and(|start| start < until))
    };
    for folder in store.folders(STATE).await.map_err(io_error("list", STATE))? {
        let day = Day::of_folder(&folder).unwrap_or(Day::of(None));
        let timed = day != Day::of(None);
        // an alert may go over midnight
        if since.is_some_and(|since| !timed || day < Day::of(Some(since)).before(1))
            || until.is_some_and(|until| !timed || Day::of(Some(until)).after(1) < day)
        {
            continue;
        }
        let judged = judge_day(&store, day, [before, after], &wanted).await?;
        let is_asked = since.is_none_or(|since| Day::of(Some(since)) <= day)
            && until.is_none_or(|until| day <= Day::of(Some(until)));
        difference.days += u64::from(is_asked);
        judged.alerts.into_values().for_each(|pair| difference.add(pair));
        for (sum, more) in difference.allow.iter_mut().zip(judged.allow) {
            sum.allowed += more.allowed;
            sum.expired += more.expired;
        }
    }
    difference.changes.sort_by_cached_key(|change| {
        let worst = Reverse(change.before.max(change.after));
        (change.detector.clone(), change.kind, worst, change.window_start, change.alert_id.clone())
    });
    Ok(difference)
}

/// Judges a day; again, if a closing took a file away before it was read.
async fn judge_day<S: Store>(
    store: &ReadOnly<'_, S>,
    day: Day,
    settings: [&Settings; 2],
    wanted: &impl Fn(&Finding) -> bool,
) -> Result<Judged, LakeError> {
    let mut tried = 0;
    loop {
        tried += 1;
        let [before, after] = reach(true);
        let about = (0..=before).rev().map(|days| day.before(days)).chain((1..=after).map(|days| day.after(days)));
        // what has no day has none about it
        let about: BTreeSet<Day> = about.collect();
        let kept = kept_state(store, &about.into_iter().collect::<Vec<_>>()).await?;
        match judge_files(store, day, kept, settings, wanted) {
            Err(LakeError::Io { source, .. }) if source.kind() == ErrorKind::NotFound && tried < TRIES => {}
            judged => return judged,
        }
    }
}

/// Judges a day by its files and those of the days about it.
fn judge_files<S: Store>(
    store: &ReadOnly<'_, S>,
    day: Day,
    KeptState { files, mut ended }: KeptState,
    [before, after]: [&Settings; 2],
    wanted: &impl Fn(&Finding) -> bool,
) -> Result<Judged, LakeError> {
    let mut judged = Judged { alerts: BTreeMap::new(), allow: AllowUse::none_of(&after.allow) };
    // replays close their own windows, and each stream its own
    let mut writers: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for path in &files {
        writers.entry(writer(path)).or_default().push(path);
    }
    let both = |(writer, files): (&str, Vec<&String>)| {
        let ended = ended.remove(writer).unwrap_or_default();
        DayFiles::both(files).map(|files| (files, ended.clone()))
    };
    for (files, ended) in writers.into_iter().flat_map(both) {
        let mut keys = files.open(store, &[day], "merge")?;
        let mut judge = Judge::new(ended);
        while let Some(OfDays { key, days }) = keys.next_key()? {
            let states: Vec<Option<State>> = days.into_iter().map(state_of).collect();
            let states: Vec<Option<&State>> = states.iter().map(Option::as_ref).collect();
            judged.add([before, after], wanted, |settings| {
                let found = judge.findings(&key, &[Window(day.start())], &states, settings);
                found.into_iter().flat_map(|(_, found)| found).collect()
            });
        }
    }
    Ok(judged)
}

impl Judged {
    /// Adds what is found with both settings.
    fn add(
        &mut self,
        [before, after]: [&Settings; 2],
        wanted: &impl Fn(&Finding) -> bool,
        mut findings: impl FnMut(&Settings) -> Vec<Finding>,
    ) {
        let mut asked = |settings| findings(settings).into_iter().filter(wanted);
        for finding in asked(before).filter(|finding| before.allowing(finding).is_none()) {
            let pair = self.alerts.entry(finding.alert_id.clone()).or_default();
            pair.before = Some(finding);
        }
        for finding in asked(after) {
            self.allow.iter_mut().for_each(|entry| entry.count(&finding));
            let allowed = after.allowing(&finding).map(|entry| entry.reason.clone());
            let pair = self.alerts.entry(finding.alert_id.clone()).or_default();
            match allowed {
                Some(_) => pair.allowed = allowed,
                None => pair.after = Some(finding),
            }
        }
    }
}

/// Who closes the windows of a state file: its name up to the chain's first full stop, where it has one.
fn writer(path: &str) -> &str {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    // CHAIN-NUMBER-FILE.state
    let chain = name.rsplitn(3, '-').last().unwrap_or(name);
    chain.rsplit_once('.').map_or(chain, |(stream, _)| stream)
}

/// The sum of what was gathered of a key.
fn state_of(entries: Vec<StateEntry>) -> Option<State> {
    let gathered = entries.into_iter().filter_map(|entry| match entry {
        StateEntry::Hours(hours) => Some(State::Hours(hours)),
        StateEntry::Probes(probes) => Some(State::Probes(probes)),
        StateEntry::History(history) => Some(State::History(history)),
        StateEntry::Emitted(_) => None,
    });
    State::merged(gathered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_tells_who_closes_its_windows() {
        let writer = |name: &str| writer(&format!("{STATE}/date=2026-11-20/{name}")).to_owned();
        assert_eq!(writer("replay-0000000001-2.state"), "replay");
        assert_eq!(writer("flow.logs-1f.shardId-000000000001-0000000007-1.state"), "flow.logs-1f");
        assert_eq!(writer("flow.logs-1f.alerts-0000000007-1.state"), "flow.logs-1f");
    }
}
