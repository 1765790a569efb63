//! Alerts as they appear.
//!
//! The lake is looked at again and again: a file that was not there before has new revisions, or merged ones that were
//! shown already, so the last revision of every alert is kept in mind.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::io::ErrorKind;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::super::stream::signalled;
use super::super::{Exit, Failure, print, warn};
use super::filter::newest_first;
use super::text::{self, Table};
use super::{Alerts, Form};
use crate::detect::{Alert, detector_names};
use crate::lake::{LakeError, Store, alert_files, last_alerts, read_alerts};

/// The lake is looked at no more often than this.
const SHORTEST: Duration = Duration::from_millis(100);

/// What was seen so far.
#[derive(Default)]
struct Known {
    paths: HashSet<String>,
    /// By id.
    revisions: HashMap<String, i32>,
}

impl Known {
    fn note(&mut self, alert: &Alert) -> bool {
        let revision = self.revisions.entry(alert.finding.alert_id.clone()).or_insert(-1);
        let newer = alert.revision > *revision;
        *revision = alert.revision.max(*revision);
        newer
    }
}

impl Alerts<'_> {
    /// What there is, the newest at the end, and then what comes.
    pub(super) async fn follow<S: Store>(&self, store: &S) -> Result<Exit, Failure> {
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::failed)?;
        if let Form::Text = self.form {
            print(self.lines().head())?;
        }
        let mut known = Known::default();
        self.begin(store, &mut known).await?;
        let mut failed = false;
        loop {
            tokio::select! {
                () = signalled(&mut terminate, &mut interrupt) => return Ok(Exit::Done),
                () = tokio::time::sleep(self.args.every.max(SHORTEST)) => {}
            }
            let (alerts, outcome) = self.poll(store, &mut known).await;
            alerts.iter().try_for_each(|alert| self.print(alert))?;
            if let Err(error) = &outcome
                && !failed
            {
                warn(format_args!("{error}; what comes is shown when the lake can be read again"));
            }
            failed = outcome.is_err();
        }
    }

    /// Shows what there is.
    async fn begin<S: Store>(&self, store: &S, known: &mut Known) -> Result<(), Failure> {
        let limit = self.limit();
        let mut newest = VecDeque::new();
        let days = alert_files(store).await.map_err(Failure::failed)?;
        for (day, paths) in days {
            known.paths.extend(paths);
            if !self.args.filter.may_hold(day) {
                continue;
            }
            let mut alerts = last_alerts(store, day).await.map_err(Failure::failed)?;
            alerts.sort_by(|one, other| newest_first(other, one));
            for alert in alerts {
                known.note(&alert);
                if self.args.filter.chooses(&alert) {
                    newest.push_back(alert);
                }
                if newest.len() > limit {
                    newest.pop_front();
                }
            }
            if limit == usize::MAX {
                newest.drain(..).try_for_each(|alert| self.print(&alert))?;
            }
        }
        newest.iter().try_for_each(|alert| self.print(alert))
    }

    /// What came since, and whether all of it could be read. One that was withdrawn comes too: it may have been shown.
    async fn poll<S: Store>(&self, store: &S, known: &mut Known) -> (Vec<Alert>, Result<(), LakeError>) {
        let days = match alert_files(store).await {
            Ok(days) => days,
            Err(error) => return (Vec::new(), Err(error)),
        };
        let mut found: BTreeMap<String, Alert> = BTreeMap::new();
        let mut outcome = Ok(());
        let there: HashSet<String> = days.values().flatten().cloned().collect();
        known.paths.retain(|path| there.contains(path));
        let fresh = days.into_iter().filter(|(day, _)| self.args.filter.may_hold(*day)).flat_map(|(_, paths)| paths);
        for path in fresh {
            if known.paths.contains(&path) {
                continue;
            }
            let mut keep = |alert: Alert| {
                if known.note(&alert) {
                    found.insert(alert.finding.alert_id.clone(), alert);
                }
            };
            match read_alerts(store, &path, &mut keep) {
                // it is listed again next time
                Err(LakeError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => continue,
                Err(error @ LakeError::Io { .. }) => {
                    outcome = Err(error);
                    continue;
                }
                Err(damaged) => outcome = Err(damaged),
                Ok(()) => {}
            }
            known.paths.insert(path);
        }
        let mut found: Vec<Alert> = found.into_values().filter(|alert| self.args.filter.wants(alert)).collect();
        found.sort_by(|one, other| newest_first(other, one));
        (found, outcome)
    }

    fn print(&self, alert: &Alert) -> Result<(), Failure> {
        print(self.form.line(alert).unwrap_or_else(|| self.lines().row(alert)))
    }

    /// A table of alerts that are not known yet.
    fn lines(&self) -> Table {
        let detectors = detector_names().map(str::len);
        Table::with_detectors(detectors, text::width(), self.style())
    }
}
