//! The policies of usual maps, decided beforehand.
//!
//! Between two ports where a grant's or an invariant's ports begin or end, nothing changes. So the policies of a pair
//! of groups are four short lists (one a protocol) of the ports where the policy changes, with the policy from there
//! on. Pairs to which the same grants and invariants apply in the same way share their lists, and there are few
//! different policies, so that an entry of a list holds a number.
//!
//! Memory and time to build are bounded: pairs beyond the budget are left out, and decided anew for each record.

use rustc_hash::FxHashMap;

use super::grants::Fit;
use super::policy::{Policy, Rulebook};
use super::ports::Protocol;

/// How much may be tabulated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// Pairs of groups, 4 bytes each.
    pub(super) pairs: usize,
    /// Entries of lists, at most 6 bytes each: neighbours with the same policy become one.
    pub(super) cuts: usize,
}

impl Budget {
    /// At most 16 MiB of pairs and 48 MiB of lists.
    pub(super) const USUAL: Self = Self { pairs: 1 << 22, cuts: 1 << 23 };
}

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

/// What tells rows apart: the grants and the terms of invariants that fit, and whether the ends are managed.
type Key = (Vec<Fit>, Vec<u32>, (bool, bool));

impl Memo {
    pub(super) fn new(rulebook: &Rulebook, mut budget: Budget) -> Self {
        let (clients, servers) = rulebook.groups();
        let mut memo = Self { servers: servers as usize, ..Self::default() };
        if (clients as usize).saturating_mul(servers as usize) > budget.pairs {
            return memo;
        }
        let mut known = FxHashMap::<Key, u32>::default();
        let mut numbers = FxHashMap::default();
        for client in 0..clients {
            for server in 0..servers {
                let fits = rulebook.fits(client, server).collect();
                let terms = rulebook.terms(client, server).collect();
                let key: Key = (fits, terms, rulebook.managed(client, server));
                let row = match known.get(&key) {
                    Some(row) => *row,
                    None => {
                        let row = memo.push_row(rulebook, &key, &mut budget, &mut numbers);
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
        rulebook: &Rulebook,
        (fits, terms, managed): &Key,
        budget: &mut Budget,
        numbers: &mut FxHashMap<Policy, u32>,
    ) -> u32 {
        let lists = Protocol::ALL.map(|protocol| rulebook.cuts(fits, terms, protocol));
        match budget.cuts.checked_sub(lists.iter().map(Vec::len).sum()) {
            Some(left) => budget.cuts = left,
            None => return LEFT_OUT,
        }
        let row = self.lists.len() / Protocol::ALL.len();
        for (protocol, list) in Protocol::ALL.into_iter().zip(lists) {
            self.lists.push(self.cuts.len() as u32);
            let mut last = None;
            for cut in list {
                let (fits, terms) = (fits.iter().copied(), terms.iter().copied());
                let policy = rulebook.decide(fits, terms, *managed, protocol, cut);
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
