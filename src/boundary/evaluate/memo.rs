//! The policies of usual maps, decided beforehand.
//!
//! Between two ports where a term's range begins or ends, nothing changes. So the policies of a pair of groups are
//! four short lists (one a protocol) of the ports where the policy changes, with the policy from there on. Pairs
//! to which the same terms apply in the same way share their lists, and there are few different policies, so that
//! a list's entry is a number.
//!
//! Memory is bounded: pairs beyond the budget are left out, and decided anew for each record.

use rustc_hash::FxHashMap;

use super::policy::{Candidate, Policy, Weights};
use super::services::{Protocol, cuts};

/// How much may be tabulated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// Pairs of groups, each a number of 4 bytes.
    pub(super) pairs: usize,
    /// Work on lists, in weighed terms. It bounds the entries of lists too, 6 bytes each.
    pub(super) work: usize,
}

impl Budget {
    /// 16 MiB of pairs, and fewer than 4 million entries of lists.
    pub(super) const USUAL: Self = Self { pairs: 1 << 22, work: 1 << 26 };
}

/// The work that an entry of a list costs beside the weighing.
const ENTRY: usize = 16;

/// The row of a pair that is left out.
const LEFT_OUT: u32 = u32::MAX;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Memo {
    /// Number of server groups, the length of a line of `rows`.
    servers: usize,
    /// The row of each pair, client by client.
    rows: Vec<u32>,
    /// Where each list begins in `cuts`: four lists a row, and an end.
    lists: Vec<u32>,
    /// The ports where a policy begins to hold; a list begins with port 0.
    cuts: Vec<u16>,
    /// The policy of each cut: index into `policies`.
    decided: Vec<u32>,
    policies: Vec<Policy>,
}

/// What tells rows apart: the terms that apply, how specifically, and whether the ends are managed.
type Key = (Vec<Candidate>, (bool, bool));

impl Memo {
    pub(super) fn new(weights: &Weights, mut budget: Budget) -> Self {
        let (clients, servers) = weights.groups();
        let mut memo = Self { servers: servers as usize, ..Self::default() };
        if (clients as usize).saturating_mul(servers as usize) > budget.pairs {
            return memo;
        }
        let mut known = FxHashMap::<Key, u32>::default();
        let mut numbers = FxHashMap::default();
        for client in 0..clients {
            for server in 0..servers {
                let key: Key = (weights.candidates(client, server).collect(), weights.managed(client, server));
                let row = match known.get(&key) {
                    Some(row) => *row,
                    None => {
                        let row = memo.push_row(weights, &key, &mut budget, &mut numbers);
                        known.insert(key, row);
                        row
                    }
                };
                memo.rows.push(row);
            }
        }
        memo.lists.push(memo.cuts.len() as u32);
        memo
    }

    /// Adds the four lists of a row, if the budget allows it.
    fn push_row(
        &mut self,
        weights: &Weights,
        (candidates, managed): &Key,
        budget: &mut Budget,
        numbers: &mut FxHashMap<Policy, u32>,
    ) -> u32 {
        let lists = Protocol::ALL.map(|protocol| {
            cuts(candidates.iter().flat_map(|candidate| weights.ports(*candidate).ranges(protocol)).copied())
        });
        let entries: usize = lists.iter().map(Vec::len).sum();
        match budget.work.checked_sub(entries * (candidates.len() + ENTRY)) {
            Some(left) => budget.work = left,
            None => return LEFT_OUT,
        }
        let row = self.lists.len() / Protocol::ALL.len();
        for (protocol, list) in Protocol::ALL.into_iter().zip(lists) {
            self.lists.push(self.cuts.len() as u32);
            let mut last = None;
            for cut in list {
                let policy = weights.decide(candidates.iter().copied(), *managed, protocol, cut);
                if last.replace(policy) != Some(policy) {
                    let number = *numbers.entry(policy).or_insert_with(|| {
                        self.policies.push(policy);
                        self.policies.len() as u32 - 1
                    });
                    self.cuts.push(cut);
                    self.decided.push(number);
                }
            }
        }
        row as u32
    }

    /// The policy of a client's group towards a port at a server's group, unless it was left out.
    pub(super) fn at(&self, client: u32, server: u32, protocol: Protocol, port: u16) -> Option<Policy> {
        let row = *self.rows.get(client as usize * self.servers + server as usize)?;
        if row == LEFT_OUT {
            return None;
        }
        let list = row as usize * Protocol::ALL.len() + protocol as usize;
        let (start, end) = (self.lists[list] as usize, self.lists[list + 1] as usize);
        // at least 1, because a list begins with port 0
        let upto = self.cuts[start..end].partition_point(|cut| *cut <= port);
        Some(self.policies[self.decided[start + upto - 1] as usize])
    }
}
