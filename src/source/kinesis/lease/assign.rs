//! Who gets which lease: the leader's plan, a pure function of one look at the table.
//!
//! Load is counted in leases of shards that are not read to their end. What nobody has, or whose owner is dead, goes
//! to the worker with the least load. Then, if asked to, leases move by hand-over from the worker with the most to
//! the one with the least until they differ by one at most: a plan that is carried out leaves nothing to plan.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{Lease, LeaseWrite};

/// What the leader saw.
#[derive(Debug)]
pub(super) struct Fleet<'l> {
    pub(super) leases: &'l [Lease],
    /// Shards whose owner is dead, or does not finish its hand-over.
    pub(super) forfeit: BTreeSet<&'l str>,
    /// Workers that may be given leases.
    pub(super) workers: &'l BTreeSet<String>,
}

/// The writes that give every lease to a live worker, and even out the load if `rebalance`.
pub(super) fn plan<'l>(fleet: &Fleet<'l>, rebalance: bool) -> Vec<(&'l Lease, LeaseWrite)> {
    let mut load: BTreeMap<&str, Vec<&Lease>> = fleet.workers.iter().map(|w| (w.as_str(), Vec::new())).collect();
    let mut free = Vec::new();
    for lease in fleet.leases.iter().filter(|lease| !lease.is_finished()) {
        match lease.owner.as_deref() {
            Some(owner) if !fleet.forfeit.contains(lease.shard.as_str()) => {
                if let Some(leases) = load.get_mut(owner) {
                    leases.push(lease);
                }
            }
            _ => free.push(lease),
        }
    }
    let mut writes = Vec::new();
    for lease in free {
        let Some((worker, leases)) = load.iter_mut().min_by_key(|(_, leases)| leases.len()) else { break };
        leases.push(lease);
        writes.push((lease, LeaseWrite::Assign { to: (*worker).to_owned() }));
    }
    if rebalance {
        let moved: BTreeSet<&str> = writes.iter().map(|(lease, _)| lease.shard.as_str()).collect();
        even_out(&mut load, &moved, &mut writes);
    }
    writes
}

/// Plans hand-overs of leases that did not move yet.
fn even_out<'l>(
    load: &mut BTreeMap<&str, Vec<&'l Lease>>,
    moved: &BTreeSet<&str>,
    writes: &mut Vec<(&'l Lease, LeaseWrite)>,
) {
    let movable = |lease: &&Lease| lease.checkpoint_owner.is_none() && !moved.contains(lease.shard.as_str());
    loop {
        let least = load.iter().min_by_key(|(_, leases)| leases.len()).map(|(worker, leases)| (*worker, leases.len()));
        let Some((to, least)) = least else { return };
        let overloaded = load.iter_mut().filter(|(_, leases)| leases.len() > least + 1);
        let from = overloaded.max_by_key(|(_, leases)| leases.len());
        let Some((_, leases)) = from else { return };
        // the last one: the first lease of all stays where it is, with the fleet's chores
        let Some(place) = leases.iter().rposition(movable) else { return };
        let lease = leases.remove(place);
        writes.push((lease, LeaseWrite::HandOver { to: to.to_owned() }));
        // it cannot move twice: it lies where nothing is taken from, as that worker has the least
        if let Some(leases) = load.get_mut(to) {
            leases.push(lease);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::kinesis::{Checkpoint, ShardInfo};

    /// `shard owner [from]`, owner `-` for nobody; a `!` before the shard: finished; a `?`: forfeit.
    fn planned(leases: &[&str], workers: &[&str], rebalance: bool) -> Vec<String> {
        let mut forfeit = BTreeSet::new();
        let leases: Vec<Lease> = leases
            .iter()
            .map(|text| {
                let mut words = text.split(' ');
                let name = words.next().unwrap();
                let shard = name.trim_start_matches(['!', '?']);
                if name.starts_with('?') {
                    forfeit.insert(shard);
                }
                let checkpoint = if name.starts_with('!') { Checkpoint::ShardEnd } else { Checkpoint::TrimHorizon };
                let info = ShardInfo { id: shard.to_owned(), parents: vec![], hash_range: None };
                let owner = words.next().filter(|owner| *owner != "-").map(str::to_owned);
                let checkpoint_owner = words.next().map(str::to_owned);
                Lease { owner, checkpoint_owner, ..Lease::new(&info, checkpoint) }
            })
            .collect();
        let workers = workers.iter().map(|worker| (*worker).to_owned()).collect();
        let fleet = Fleet { leases: &leases, forfeit, workers: &workers };
        let text = |(lease, write): (&Lease, LeaseWrite)| match write {
            LeaseWrite::Assign { to } => format!("{} := {to}", lease.shard),
            LeaseWrite::HandOver { to } => format!("{} -> {to}", lease.shard),
            other => format!("{other:?}"),
        };
        plan(&fleet, rebalance).into_iter().map(text).collect()
    }

    #[test]
    fn what_nobody_has_goes_to_who_has_least() {
        assert_eq!(planned(&["1 -", "2 -", "3 -"], &["a", "b"], false), ["1 := a", "2 := b", "3 := a"]);
        assert_eq!(planned(&["1 a", "2 a", "3 -", "4 -"], &["a", "b"], false), ["3 := b", "4 := b"]);
        assert_eq!(planned(&["?1 a", "2 b", "!3 -", "!4 b"], &["b"], true), ["1 := b"]);
        assert_eq!(planned(&["?1 a b"], &["a", "b"], true), ["1 := a"], "a hand-over that does not end");
        assert_eq!(planned(&["1 -"], &[], true), [""; 0]);
    }

    #[test]
    fn leases_of_the_living_move_by_hand_over_alone() {
        assert_eq!(planned(&["1 a", "2 a", "3 a", "4 a"], &["a", "b"], false), [""; 0]);
        assert_eq!(planned(&["1 a", "2 a", "3 a", "4 a"], &["a", "b"], true), ["4 -> b", "3 -> b"]);
        assert_eq!(planned(&["1 a", "2 a", "3 b"], &["a", "b"], true), [""; 0], "differ by one");
        assert_eq!(planned(&["1 a", "2 a", "3 b a"], &["a", "b"], true), [""; 0], "a hand-over counts as done");
        assert_eq!(planned(&["1 a b", "2 a b", "3 a b"], &["a", "b"], true), [""; 0], "moving already");
        assert_eq!(planned(&["1 x", "2 x", "3 x"], &["a"], true), [""; 0], "x is silent, but its leases live");
        assert_eq!(planned(&["1 a", "2 a", "3 a", "4 -"], &["a", "b"], true), ["4 := b", "3 -> b"]);
    }

    #[test]
    fn a_plan_that_is_carried_out_leaves_nothing_to_plan() {
        for count in 0..40usize {
            for workers in 1..6usize {
                let names = ["a", "b", "c", "d", "e"];
                let leases: Vec<String> =
                    (0..count).map(|i| format!("{i:02} {}", ["-", "a", "a", "b", "c"][(i * i + count) % 5])).collect();
                let mut owners: BTreeMap<String, String> = leases
                    .iter()
                    .filter_map(|text| text.split_once(' '))
                    .map(|(shard, owner)| (shard.to_owned(), owner.to_owned()))
                    .collect();
                let texts: Vec<&str> = leases.iter().map(String::as_str).collect();
                for step in planned(&texts, &names[..workers], true) {
                    let (shard, to) = step.split_once(" := ").or_else(|| step.split_once(" -> ")).unwrap();
                    owners.insert(shard.to_owned(), to.to_owned());
                }
                let after: Vec<String> = owners.iter().map(|(shard, owner)| format!("{shard} {owner}")).collect();
                let after: Vec<&str> = after.iter().map(String::as_str).collect();
                assert_eq!(planned(&after, &names[..workers], true), [""; 0], "{count} leases, {workers} workers");
            }
        }
    }
}
