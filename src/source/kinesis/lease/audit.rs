//! Leases against the stream's shards: which are missing, which are done with. Pure functions.

use std::collections::{BTreeMap, BTreeSet};

use super::options::InitialPosition;
use super::record::Lease;
use crate::source::kinesis::{HashRange, ShardInfo};

/// Whether the open shards share all hash keys among them. A listing in the middle of a split or merge may lack some.
pub(super) fn is_complete(shards: &[ShardInfo]) -> bool {
    let parents: BTreeSet<&str> = shards.iter().flat_map(|shard| &shard.parents).map(String::as_str).collect();
    let open = shards.iter().filter(|shard| !parents.contains(shard.id.as_str()));
    let mut ranges = Vec::new();
    for shard in open {
        match &shard.hash_range {
            Some(range) => ranges.push(range),
            // nothing is known, so nothing is missing
            None => return true,
        }
    }
    ranges.sort_unstable_by_key(|range| *range.start());
    covers_all(&ranges)
}

fn covers_all(ranges: &[&HashRange]) -> bool {
    // the next key that must be there; None: all are
    let mut next = Some(0u128);
    for range in ranges {
        match next {
            Some(key) if *range.start() > key => return false,
            Some(key) if *range.end() >= key => next = range.end().checked_add(1),
            _ => {}
        }
    }
    next.is_none()
}

/// The leases that must be made, parents first.
///
/// A shard is led to if it or a shard before it has a lease: its own comes when those before it end. From open shards
/// without lease the way goes up to shards that have one, or to the oldest. On that way,
/// - to begin with the oldest record, the oldest shards get leases;
/// - to begin with what comes now, open shards that are not led to; where two were merged and only one side is led
///   to, the other side too;
/// - to begin at a time, all that are not led to, each at that time: a shard that ended before it is read in no time,
///   and no child of it begins with records that are too old.
pub(super) fn missing(shards: &[ShardInfo], leases: &[Lease], start: InitialPosition) -> Vec<Lease> {
    let listed: BTreeMap<&str, &ShardInfo> = shards.iter().map(|shard| (shard.id.as_str(), shard)).collect();
    let leased: BTreeSet<&str> = leases.iter().map(|lease| lease.shard.as_str()).collect();
    let parents: BTreeSet<&str> = shards.iter().flat_map(|shard| &shard.parents).map(String::as_str).collect();

    let mut way: BTreeMap<&str, &ShardInfo> = BTreeMap::new();
    let open = shards.iter().filter(|shard| !parents.contains(shard.id.as_str()));
    let mut ahead: Vec<&ShardInfo> = open.filter(|shard| !leased.contains(shard.id.as_str())).collect();
    while let Some(shard) = ahead.pop() {
        if way.insert(&shard.id, shard).is_none() {
            let up = shard.parents.iter().filter(|parent| !leased.contains(parent.as_str()));
            ahead.extend(up.filter_map(|parent| listed.get(parent.as_str())));
        }
    }

    let mut led_to: BTreeSet<&str> = leased;
    while let Some(more) = way.values().find(|shard| {
        !led_to.contains(shard.id.as_str()) && shard.parents.iter().any(|parent| led_to.contains(parent.as_str()))
    }) {
        led_to.insert(&more.id);
    }

    let is_oldest = |shard: &ShardInfo| {
        !shard.parents.iter().any(|parent| led_to.contains(parent.as_str()) || listed.contains_key(parent.as_str()))
    };
    let is_other_side = |shard: &ShardInfo| {
        way.values().any(|child| led_to.contains(child.id.as_str()) && child.parents.contains(&shard.id))
    };
    let wanted = |shard: &ShardInfo| match start {
        InitialPosition::TrimHorizon => is_oldest(shard),
        InitialPosition::Latest => !parents.contains(shard.id.as_str()) || is_other_side(shard),
        InitialPosition::AtTimestamp => true,
    };
    let missing: BTreeMap<&str, &ShardInfo> = way
        .iter()
        .filter(|(id, shard)| !led_to.contains(*id) && wanted(shard))
        .map(|(id, shard)| (*id, *shard))
        .collect();
    parents_first(missing).into_iter().map(|shard| Lease::new(shard, start.into())).collect()
}

/// Orders shards so that none comes before its parents.
fn parents_first<'s>(mut shards: BTreeMap<&'s str, &'s ShardInfo>) -> Vec<&'s ShardInfo> {
    let mut ordered = Vec::with_capacity(shards.len());
    while !shards.is_empty() {
        let ready: Vec<&str> = shards
            .iter()
            .filter(|(_, shard)| !shard.parents.iter().any(|parent| shards.contains_key(parent.as_str())))
            .map(|(id, _)| *id)
            .collect();
        if ready.is_empty() {
            // shards that are each other's ancestors: no stream has them
            break;
        }
        ordered.extend(ready.into_iter().filter_map(|id| shards.remove(id)));
    }
    ordered
}

/// Finished leases that nothing needs any more: all shards that follow have leases and are being read, and the leases
/// of the shards before are gone. Followers that a lease does not name are those that the stream names, if known.
pub(super) fn done_with<'l>(leases: &'l [Lease], shards: &[ShardInfo]) -> Vec<&'l Lease> {
    let by_shard: BTreeMap<&str, &Lease> = leases.iter().map(|lease| (lease.shard.as_str(), lease)).collect();
    let is_read = |child: &str| by_shard.get(child).is_some_and(|lease| lease.is_started());
    let finished = leases.iter().filter(|lease| lease.is_finished());
    finished
        .filter(|lease| {
            let named = lease.children.iter().map(String::as_str);
            let listed = shards.iter().filter(|shard| shard.parents.contains(&lease.shard));
            let mut children = named.chain(listed.map(|shard| shard.id.as_str())).peekable();
            children.peek().is_some()
                && children.all(is_read)
                && !lease.parents.iter().any(|parent| by_shard.contains_key(parent.as_str()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::kinesis::Checkpoint;

    /// `id` or `id:parent,parent`.
    fn shards(texts: &str) -> Vec<ShardInfo> {
        let one = |text: &str| {
            let (id, parents) = text.split_once(':').unwrap_or((text, ""));
            let parents = parents.split(',').filter(|parent| !parent.is_empty()).map(str::to_owned).collect();
            ShardInfo { id: id.to_owned(), parents, hash_range: None }
        };
        texts.split_whitespace().map(one).collect()
    }

    fn leases(texts: &str) -> Vec<Lease> {
        shards(texts).iter().map(|shard| Lease::new(shard, Checkpoint::TrimHorizon)).collect()
    }

    fn made(stream: &str, table: &str, start: InitialPosition) -> String {
        let missing = missing(&shards(stream), &leases(table), start);
        let names: Vec<&str> = missing.iter().map(|lease| lease.shard.as_str()).collect();
        assert!(missing.iter().all(|lease| lease.checkpoint == start.into() && lease.owner.is_none()));
        names.join(" ")
    }

    // the client library's own example: 0 and 1 became 6, 2 and 3 became 7, 6 and 7 became 8, 5 became 9 and 10
    const STREAM: &str = "0 1 2 3 4 5 6:0,1 7:2,3 8:6,7 9:5 10:5";

    #[test]
    fn leases_are_made_as_the_client_library_makes_them() {
        use InitialPosition::{AtTimestamp, Latest, TrimHorizon};
        for (stream, table, horizon, latest, time) in [
            (STREAM, "", "0 1 2 3 4 5", "10 4 8 9", "0 1 2 3 4 5 10 6 7 9 8"),
            (STREAM, "4 5 7", "0 1", "6", "0 1 6"),
            (STREAM, "4 8 9 10", "", "", ""),
            // one of the initial ones is missing: a leader died while it made them
            (STREAM, "0 1 2 4 5", "3", "3", "3"),
            (STREAM, "4 8 9", "5", "10", "5 10"),
            // the parents are trimmed
            ("2:0 3:0,1", "", "2 3", "2 3", "2 3"),
            // a shard before is done with, but still listed
            ("0 1:0 2:0", "1 2", "", "", ""),
            // a parent that is listed no more still leads to its children
            ("1:0 2:0", "0", "", "", ""),
            ("", "", "", "", ""),
        ] {
            assert_eq!(made(stream, table, TrimHorizon), horizon, "{stream} with {table:?}, from the horizon");
            assert_eq!(made(stream, table, Latest), latest, "{stream} with {table:?}, from now");
            assert_eq!(made(stream, table, AtTimestamp), time, "{stream} with {table:?}, from a time");
        }
    }

    #[test]
    fn shards_that_are_their_own_ancestors_do_not_hang_the_audit() {
        assert_eq!(made("0:1 1:0 2:0", "", InitialPosition::AtTimestamp), "");
    }

    #[test]
    fn a_listing_must_have_every_hash_key() {
        let range = |id: &str, parents: &[&str], range| ShardInfo {
            id: id.to_owned(),
            parents: parents.iter().map(|parent| (*parent).to_owned()).collect(),
            hash_range: Some(range),
        };
        let half = 1 << 127;
        let (all, low, high) = (0..=u128::MAX, 0..=half - 1, half..=u128::MAX);
        assert!(is_complete(&[range("0", &[], all.clone())]));
        assert!(is_complete(&[
            range("0", &[], all.clone()),
            range("2", &["0"], high.clone()),
            range("1", &["0"], low.clone())
        ]));
        assert!(!is_complete(&[range("0", &[], all), range("1", &["0"], low.clone())]), "one half of a split");
        assert!(!is_complete(&[range("1", &[], low), range("2", &[], half + 1..=u128::MAX)]), "a gap of one key");
        assert!(!is_complete(&[range("1", &[], high)]));
        assert!(!is_complete(&[]));
    }

    #[test]
    fn a_lease_is_done_with_when_its_followers_are_read_and_its_forerunners_are_gone() {
        let table = |texts: &[(&str, &str)]| -> Vec<Lease> {
            let one = |(shard, checkpoint): &(&str, &str)| {
                let mut lease = leases(shard).remove(0);
                lease.checkpoint = Checkpoint::from_texts(checkpoint, 0).unwrap();
                lease
            };
            texts.iter().map(one).collect()
        };
        let done = |texts: &[(&str, &str)]| -> Vec<String> {
            let leases = table(texts);
            done_with(&leases, &shards("0 1:0 2:0 3:1,2")).into_iter().map(|lease| lease.shard.clone()).collect()
        };
        assert_eq!(done(&[("0", "SHARD_END"), ("1:0", "7"), ("2:0", "SHARD_END"), ("3:1,2", "TRIM_HORIZON")]), ["0"]);
        assert_eq!(done(&[("0", "SHARD_END"), ("1:0", "7"), ("2:0", "TRIM_HORIZON")]), [""; 0], "2 is not begun");
        assert_eq!(done(&[("0", "SHARD_END"), ("1:0", "7")]), [""; 0], "2 has no lease yet");
        assert_eq!(done(&[("0", "7"), ("1:0", "7"), ("2:0", "7")]), [""; 0]);
        assert_eq!(done(&[("1:0", "SHARD_END"), ("2:0", "SHARD_END"), ("3:1,2", "LATEST")]), ["1", "2"]);
        assert_eq!(done(&[("3:1,2", "SHARD_END")]), [""; 0], "nothing is known to follow");
    }
}
