//! I5: what is visible is the union of the commits, and staging drains.

use std::collections::{BTreeMap, HashSet};

use super::super::chain::STAGING;
use super::finding::{Finding, Invariant, hints};
use super::snapshot::{Ledger, Snapshot};

/// Everything that is there and should not be, or should be and is not.
pub(super) fn check_names(snapshot: &Snapshot, ledger: &Ledger<'_>, kept_from: Option<&str>, found: &mut Vec<Finding>) {
    missing(snapshot, ledger, kept_from, found);
    left_over(snapshot, ledger, found);
    twice(snapshot, ledger, found);
    staging(snapshot, ledger, found);
    for path in snapshot.chains.values().flat_map(|chain| &chain.half) {
        found.push(
            Finding::error(Invariant::I5, path, "half a commit, which never happened", hints::REPAIR).or_passing(),
        );
    }
}

/// What shall be there: whether it is, and as long as it was.
fn missing(snapshot: &Snapshot, ledger: &Ledger<'_>, kept_from: Option<&str>, found: &mut Vec<Finding>) {
    let mut let_go = 0;
    for (path, named) in ledger.named.iter().filter(|(path, _)| ledger.is_live(path)) {
        let by = format!("commit {} of {}", named.commit.number, named.chain.name);
        match snapshot.after.get(*path) {
            Some(bytes) if *bytes == named.file.bytes => {}
            Some(bytes) => {
                let what = format!("it has {bytes} bytes, and {by} wrote {}", named.file.bytes);
                found.push(Finding::error(Invariant::I5, *path, what, hints::RESTORE));
            }
            None if kept_from.is_some_and(|from| date(path).is_some_and(|date| date < from)) => let_go += 1,
            None => {
                let staged = snapshot.staged.binary_search(&named.file.staged).is_ok();
                let (what, hint) = match staged {
                    true => (format!("{by} is done, but did not publish it yet"), hints::REPAIR),
                    false => (format!("it is not there; {by} wrote it"), hints::RESTORE),
                };
                found.push(Finding::error(Invariant::I5, *path, what, hint).or_passing());
            }
        }
    }
    if let Some(from) = kept_from.filter(|_| let_go > 0) {
        let what = format!("{let_go} files of days before {from} are gone");
        found.push(Finding::error(Invariant::I5, "flows and alerts", what, "nothing: so it was asked for").note());
    }
}

/// The day of a file of `flows` or `alerts`, as its folder says it.
fn date(path: &str) -> Option<&str> {
    let (_, rest) = path.split_once("/date=")?;
    let date = rest.split('/').next()?;
    date.starts_with(|first: char| first.is_ascii_digit()).then_some(date)
}

/// What shall not be there.
fn left_over(snapshot: &Snapshot, ledger: &Ledger<'_>, found: &mut Vec<Finding>) {
    for path in snapshot.after.keys() {
        if let Some((chain, commit)) = ledger.removed.get(path.as_str()) {
            let what = format!("commit {} of {} removed it, but it is still there", commit.number, chain.name);
            found.push(Finding::error(Invariant::I5, path, what, hints::REPAIR).or_passing());
        }
    }
    let known = |path: &str| ledger.named.contains_key(path) || ledger.removed.contains_key(path);
    for path in snapshot.before.keys().filter(|path| !known(path)) {
        found.push(match snapshot.is_whole() {
            true => Finding::error(Invariant::I5, path, "no commit names it", hints::FOREIGN),
            false => {
                let what = "no commit that can be read names it";
                Finding::error(Invariant::I5, path, what, "first bring back the commits that are missing").note()
            }
        });
    }
}

/// I1: a file is brought once and merged or replaced once.
fn twice(snapshot: &Snapshot, ledger: &Ledger<'_>, found: &mut Vec<Finding>) {
    for named in &ledger.named_again {
        let what = format!("commit {} of {} names it, and so does another", named.commit.number, named.chain.name);
        found.push(Finding::error(Invariant::I1, &named.file.path, what, hints::REBUILD));
    }
    for (path, chain, commit) in &ledger.removed_again {
        let what = format!("commit {} of {} takes its rows, and so does another", commit.number, chain.name);
        found.push(Finding::error(Invariant::I1, *path, what, hints::REBUILD));
    }
    if !snapshot.is_whole() {
        return;
    }
    for (path, (chain, commit)) in ledger.removed.iter().filter(|(path, _)| !ledger.named.contains_key(*path)) {
        let what = format!("commit {} of {} removes it, but none wrote it", commit.number, chain.name);
        found.push(Finding::error(Invariant::I1, *path, what, hints::REBUILD));
    }
}

/// Staging of numbers that a chain has passed drains; that of its next commit may be a writer's.
fn staging(snapshot: &Snapshot, ledger: &Ledger<'_>, found: &mut Vec<Finding>) {
    // told of already: they are to be published
    let due = ledger.named.values().filter(|named| !snapshot.after.contains_key(&named.file.path));
    let due: HashSet<&str> = due.map(|named| named.file.staged.as_str()).collect();
    let mut folders: BTreeMap<String, (Option<(u64, u64)>, usize)> = BTreeMap::new();
    for path in snapshot.staged.iter().filter(|path| !due.contains(path.as_str())) {
        let mut parts = path.strip_prefix(STAGING).unwrap_or_default().split('/').skip(1);
        let (chain, number) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let next = snapshot.chains.get(chain).map_or(1, |chain| chain.next_number());
        let place = number.parse().ok().filter(|_| parts.next().is_some()).map(|number: u64| (number, next));
        folders.entry(format!("{STAGING}/{chain}/{number}")).or_insert((place, 0)).1 += 1;
    }
    for (folder, (place, files)) in folders {
        let error = |what: String| Finding::error(Invariant::I5, &folder, what, hints::REPAIR).or_passing();
        found.push(match place {
            Some((number, next)) if number == next => {
                let what = format!("{files} files are staged for the next commit");
                Finding { hint: hints::NOTHING, ..error(what).note() }
            }
            Some((number, next)) if number < next => error(format!("{files} staged files of a commit that is done")),
            Some((_, next)) => error(format!("{files} staged files, but the next commit of the chain is {next}")),
            None => error(format!("{files} files that are staged for no commit")),
        });
    }
}
