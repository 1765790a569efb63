//! The policies of usual maps, decided beforehand.
//!
//! A pair of groups has a row: the policy at each class of ports. Pairs to which the same grants and invariants apply
//! in the same way share their row, and there are few different policies, so that a row holds their numbers. A look-up
//! is three loads and searches nothing.
//!
//! Memory and time to build are bounded: pairs beyond the budget are left out, and decided anew for each record.

use rustc_hash::FxHashMap;

use super::grants::Fit;
use super::policy::{Policy, Rulebook};
use super::ports::{PortClass, PortClasses};

/// How much may be tabulated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// Pairs of groups, 4 bytes each.
    pub(super) pairs: usize,
    /// Entries of rows, 4 bytes each.
    pub(super) entries: usize,
}

impl Budget {
    /// At most 16 MiB of pairs and 32 MiB of rows.
    pub(super) const USUAL: Self = Self { pairs: 1 << 22, entries: 1 << 23 };
}

/// The row of a pair that is left out.
const LEFT_OUT: u32 = u32::MAX;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Memo {
    /// Number of server groups, the length of a line of `rows`.
    servers: usize,
    /// Where the row of each pair begins in `decided`, client by client.
    rows: Vec<u32>,
    /// The policy at each class of ports, row by row: index into `policies`.
    decided: Vec<u32>,
    policies: Vec<Policy>,
}

/// What tells rows apart: the grants and the terms of invariants that fit, and whether the ends are managed.
type Key = (Vec<Fit>, Vec<u32>, (bool, bool));

impl Memo {
    pub(super) fn new(rulebook: &Rulebook, ports: &PortClasses, budget: Budget) -> Self {
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
                        let row = memo.push_row(rulebook, ports, &key, budget, &mut numbers);
                        known.insert(key, row);
                        row
                    }
                };
                memo.rows.push(row);
            }
        }
        memo
    }

    /// Adds a row, if the budget allows it, and says where it begins.
    fn push_row(
        &mut self,
        rulebook: &Rulebook,
        ports: &PortClasses,
        (fits, terms, managed): &Key,
        budget: Budget,
        numbers: &mut FxHashMap<Policy, u32>,
    ) -> u32 {
        let row = self.decided.len();
        if row + ports.len() > budget.entries {
            return LEFT_OUT;
        }
        let mut changes = rulebook.changes(fits, terms).into_iter().peekable();
        let mut number = 0;
        for port in ports.first_ports() {
            // most classes are of ports that this pair does not tell apart from those of the class before
            if changes.next_if_eq(&(port.protocol, port.number)).is_some() {
                let (fits, terms) = (fits.iter().copied(), terms.iter().copied());
                let policy = rulebook.decide(fits, terms, *managed, port.protocol, port.number);
                number = *numbers.entry(policy).or_insert_with(|| {
                    self.policies.push(policy);
                    self.policies.len() as u32 - 1
                });
            }
            self.decided.push(number);
        }
        debug_assert!(changes.peek().is_none(), "a policy changes inside of a class of ports");
        row as u32
    }

    /// The policy of a client's group towards a port at a server's group, unless it was left out.
    #[inline]
    pub(super) fn at(&self, client: u32, server: u32, port: PortClass) -> Option<&Policy> {
        let row = *self.rows.get(client as usize * self.servers + server as usize)?;
        if row == LEFT_OUT {
            return None;
        }
        self.policies.get(*self.decided.get(row as usize + port.0 as usize)? as usize)
    }
}
