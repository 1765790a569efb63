//! How far the sinks are that get the alerts of a lake.

use super::super::commit::CommitKind;
use super::super::outbox::DELIVER;
use super::finding::{Finding, Invariant, hints};
use super::snapshot::Snapshot;

/// A sink that is behind is told of; one that is ahead of its chain would miss alerts.
pub(super) fn check_outbox(snapshot: &Snapshot, found: &mut Vec<Finding>) {
    let marks = match &snapshot.marks {
        Ok(marks) => marks,
        Err((path, why)) => {
            let what = format!("it cannot be read: {why}");
            found.push(Finding::error(Invariant::I7, path, what, hints::RESTORE));
            return;
        }
    };
    for ((sink, chain), mark) in marks {
        let path = format!("{DELIVER}/{sink}/{chain}");
        let view = snapshot.chains.get(chain);
        let head = view.map_or(0, |chain| chain.next_number() - 1);
        if mark.commits > head {
            let what =
                format!("the sink has commit {}, and the last one is {head}: it would miss alerts", mark.commits);
            found.push(Finding::error(Invariant::I7, &path, what, hints::RESTORE));
            continue;
        }
        let later = view.into_iter().flat_map(|chain| chain.commits.range(mark.commits + 1..));
        let with_alerts = later.filter(|(_, commit)| {
            let alerts = commit.files.iter().any(|file| file.rows > 0 && file.path.starts_with("alerts/"));
            commit.kind == CommitKind::Close && alerts
        });
        let behind = with_alerts.count();
        if behind > 0 {
            let what = format!("alerts of {behind} commits are not delivered to the sink {sink}, or not yet");
            found.push(Finding::error(Invariant::I7, &path, what, hints::DELIVER).note().or_passing());
        }
    }
}
