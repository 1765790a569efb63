//! What the commits alone can tell: I2, I4, and of I1, I6 and I7 what is a matter of counting.

use std::collections::{BTreeMap, HashMap};

use super::super::commit::{Commit, CommitKind, ShardPosition, ShardSpan};
use super::finding::{Finding, Invariant, hints};
use super::snapshot::{ChainView, Ledger, Snapshot};

/// Everything that the commits contradict each other in.
pub(super) fn check_chains(snapshot: &Snapshot, ledger: &Ledger<'_>, found: &mut Vec<Finding>) {
    for chain in snapshot.chains.values() {
        numbers(chain, found);
        spans(chain, found);
        objects(chain, found);
        for commit in chain.commits.values() {
            counts(chain, commit, ledger, found);
        }
        parents(snapshot, chain, found);
        closings(snapshot, chain, ledger, found);
    }
}

/// I2: every number is there, and readable.
fn numbers(chain: &ChainView, found: &mut Vec<Finding>) {
    for (_, path, why) in &chain.damaged {
        let what = format!("the commit cannot be read: {why}");
        found.push(Finding::error(Invariant::I2, path, what, hints::RESTORE));
    }
    let damaged = |number| chain.damaged.iter().any(|(of, ..)| *of == Some(number));
    let mut expected = 1;
    for number in chain.commits.keys().copied().chain([chain.next_number()]) {
        let gap: Vec<u64> = (expected..number).filter(|number| !damaged(*number)).take(2).collect();
        if let Some(first) = gap.first() {
            let more = if gap.len() > 1 { " and others" } else { "" };
            let what = format!("it is missing{more}, but commit {number} is there");
            found.push(Finding::error(Invariant::I2, chain.path(*first), what, hints::RESTORE));
        }
        expected = number + 1;
    }
}

/// Sequence numbers are decimal and longer than any integer.
fn is_before(one: &ShardPosition, other: &ShardPosition) -> bool {
    let key = |position: &ShardPosition| {
        let digits = position.sequence.trim_start_matches('0').to_owned();
        (digits.len(), digits, position.sub)
    };
    key(one) < key(other)
}

/// I2: each span of a shard begins where the one before ended, and nothing comes behind the last.
fn spans(chain: &ChainView, found: &mut Vec<Finding>) {
    let mut before: Option<(u64, &ShardSpan)> = None;
    let mut ended = None;
    for commit in chain.commits.values() {
        let mut broken = |what: String| {
            found.push(Finding::error(Invariant::I2, chain.path(commit.number), what, hints::REBUILD));
        };
        let Some(span) = &commit.shard else {
            if before.is_some() {
                broken("it does not say what of the shard it holds".to_owned());
            }
            continue;
        };
        match before {
            // what could not be read or is gone is found elsewhere
            Some((number, _)) if number + 1 != commit.number => {}
            Some((number, last)) => {
                if (&span.stream, &span.shard) != (&last.stream, &last.shard) {
                    broken(format!("it is of shard {} of {}, and commit {number} is not", span.shard, span.stream));
                } else if span.start != last.end {
                    let shown = |position: &Option<ShardPosition>| match position {
                        Some(position) => format!("{}/{}", position.sequence, position.sub),
                        None => "the begin".to_owned(),
                    };
                    let (start, end) = (shown(&span.start), shown(&last.end));
                    broken(format!("its records begin after {start}, but those of commit {number} end at {end}"));
                }
            }
            None if span.start.is_some() && commit.number == 1 => {
                broken("it is the first, but says that another came before".to_owned());
            }
            None => {}
        }
        if let (Some(start), Some(end)) = (&span.start, &span.end)
            && is_before(end, start)
        {
            broken("it ends before it begins".to_owned());
        }
        if let Some(number) = ended.filter(|_| span.records > 0) {
            broken(format!("it has {} records, but the shard ended with commit {number}", span.records));
        }
        ended = ended.or(span.closed.then_some(commit.number));
        before = Some((commit.number, span));
    }
}

/// I1: an input object is in one commit that is not replaced, and a commit is replaced once.
fn objects(chain: &ChainView, found: &mut Vec<Finding>) {
    let mut known: HashMap<&str, u64> = HashMap::new();
    for commit in chain.active() {
        for object in &commit.objects {
            if let Some(other) = known.insert(&object.uri, commit.number) {
                let what = format!("{} is in commit {other} too, and neither replaces the other", object.uri);
                found.push(Finding::error(Invariant::I1, chain.path(commit.number), what, hints::REBUILD));
            }
        }
    }
    let mut replaced: HashMap<u64, u64> = HashMap::new();
    for commit in chain.commits.values() {
        for number in &commit.replaces {
            let mut broken = |what: String| {
                found.push(Finding::error(Invariant::I1, chain.path(commit.number), what, hints::REBUILD));
            };
            if *number >= commit.number {
                broken(format!("it replaces commit {number}, which does not come before it"));
            }
            if let Some(other) = replaced.insert(*number, commit.number) {
                broken(format!("it replaces commit {number}, and so does commit {other}"));
            }
        }
    }
}

/// I6: what a commit says of itself adds up.
fn counts(chain: &ChainView, commit: &Commit, ledger: &Ledger<'_>, found: &mut Vec<Finding>) {
    let mut differs = |what: &str, said: u64, is: u64| {
        if said != is {
            let what = format!("{what}: {said} and {is}");
            found.push(Finding::error(Invariant::I6, chain.path(commit.number), what, hints::REBUILD));
        }
    };
    let rows = |folder: &str| -> u64 {
        commit.files.iter().filter(|file| file.path.starts_with(folder)).map(|file| file.rows).sum()
    };
    differs("its rows are not those of its files", commit.rows, rows("flows/"));
    let (lines, quarantined) = match &commit.shard {
        Some(span) => (span.lines, span.quarantined),
        None => {
            let sum = |count: fn(&super::super::commit::ObjectEntry) -> u64| commit.objects.iter().map(count).sum();
            (sum(|object| object.lines), sum(|object| object.quarantined))
        }
    };
    if commit.kind != CommitKind::Compact {
        differs("its lines are not its rows and what is quarantined", lines, commit.rows.saturating_add(quarantined));
        differs("what is quarantined is not what its quarantine has", quarantined, rows("quarantine/"));
        return;
    }
    for folder in ["flows/", "alerts/"] {
        let removed = commit.removes.iter().filter(|path| path.starts_with(folder));
        let named: Option<u64> = removed.map(|path| ledger.named.get(path.as_str()).map(|named| named.file.rows)).sum();
        // a file of a commit that cannot be read is found elsewhere
        if let Some(removed) = named {
            differs("the rows that it merges are not those that it writes", removed, rows(folder));
        }
    }
}

/// I4: a shard has no data while a parent, of which the lake has data, has not ended.
fn parents(snapshot: &Snapshot, chain: &ChainView, found: &mut Vec<Finding>) {
    let spans = || chain.commits.values().filter_map(|commit| Some((commit.number, commit.shard.as_ref()?)));
    let Some((number, span)) = spans().find(|(_, span)| span.records > 0) else { return };
    let Some(stream) = chain.name.strip_suffix(span.shard.as_str()) else { return };
    for parent in &span.parents {
        let Some(parent) = snapshot.chains.get(&format!("{stream}{parent}")) else { continue };
        let ended = parent.commits.values().filter_map(|commit| commit.shard.as_ref()).any(|span| span.closed);
        // one that was only looked at says nothing of its shard
        if !ended && parent.commits.values().any(|commit| commit.shard.is_some()) {
            let what = format!("it has data, but the chain {} of its parent has not ended", parent.name);
            found.push(Finding::error(Invariant::I4, chain.path(number), what, hints::REBUILD).or_passing());
        }
    }
}

/// I7: what was gathered for the windows is merged, or will be.
fn closings(snapshot: &Snapshot, chain: &ChainView, ledger: &Ledger<'_>, found: &mut Vec<Finding>) {
    let last = chain.commits.values().rev().find_map(|commit| Some((commit.number, commit.closing.as_ref()?)));
    let Some((number, closing)) = last else { return };
    let path = chain.path(number);
    for merged in closing.merged.values().flatten().filter(|path| !ledger.is_live(path)) {
        let what = format!("it builds on {merged}, which no commit has");
        found.push(Finding::error(Invariant::I7, &path, what, hints::REBUILD));
    }
    for (name, seen) in &closing.seen {
        let Some(other) = snapshot.chains.get(name).filter(|other| other.next_number() > *seen) else {
            let what = format!("it has seen commit {seen} of {name}, which is not there");
            found.push(Finding::error(Invariant::I2, &path, what, hints::RESTORE));
            continue;
        };
        let mut passed: BTreeMap<u64, &str> = BTreeMap::new();
        for commit in other.commits.range(..=*seen).map(|(_, commit)| commit) {
            let state = commit.files.iter().map(|file| file.path.as_str());
            let left = state.filter(|path| path.starts_with("_flowbound/state/") && !ledger.removed.contains_key(path));
            passed.extend(left.map(|path| (commit.number, path)));
        }
        for (number, state) in passed {
            let what = format!("what commit {number} of {name} gathered for alerts was passed over");
            found.push(Finding::error(Invariant::I7, state, what, hints::REBUILD));
        }
    }
}
