//! Rules, by the pairs of zones that they name.
//!
//! A rule with several zones in `from` and `to` says the same of each pair of them. The specificity of an end is the
//! best over the named zones, and the two ends add up: so the best rule for a client and a server is the best over
//! the pairs of a zone of the client's set and one of the server's. Each pair of zones that rules name has a table
//! of its best rule at every port, and a decision is the best of a few tables, however many rules there are.

use rustc_hash::FxHashMap;

use super::Selection;
use super::ports::{PortTable, Protocol, spans};
use super::zones::AddressClass;
use crate::boundary::model::{BoundaryMap, Rule, RuleSide, ZoneId};

/// A rule at a port. Of rules that are equally specific, the smallest gets the credit: the narrowest, then the one
/// with the smaller id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Granted {
    pub(super) width: u32,
    /// Place of the rule's id among all ids, sorted.
    order: u16,
    pub(super) rule: u16,
}

/// The grants of a pair of zones, for egress and for ingress.
#[derive(Debug)]
struct Entry {
    egress: [PortTable<Granted>; 4],
    ingress: [PortTable<Granted>; 4],
}

/// A pair of zones that fits a client and a server, with the specificity of both ends together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fit {
    entry: u32,
    specificity: u8,
}

/// The zones of a class that rules name at one end, each with its specificity.
pub(super) type Names = Box<[(ZoneId, u8)]>;

/// The rules that take part.
#[derive(Debug)]
pub(super) struct Grants {
    pairs: FxHashMap<(ZoneId, ZoneId), u32>,
    entries: Vec<Entry>,
}

impl Grants {
    pub(super) fn new(map: &BoundaryMap, selection: &Selection) -> Self {
        let mut ids: Vec<&str> = map.rules.iter().map(|rule| rule.id.as_str()).collect();
        ids.sort_unstable();
        let mut pairs = FxHashMap::default();
        let mut rules: Vec<Vec<(u16, &Rule)>> = Vec::new();
        for (index, rule) in (0..=u16::MAX).zip(&map.rules).filter(|(_, rule)| selection.includes(&rule.when)) {
            for pair in rule.from.iter().flat_map(|from| rule.to.iter().map(|to| (*from, *to))) {
                let entry = *pairs.entry(pair).or_insert(rules.len() as u32);
                if entry as usize == rules.len() {
                    rules.push(Vec::new());
                }
                rules[entry as usize].push((index, rule));
            }
        }
        let table = |rules: &[(u16, &Rule)], other: RuleSide, protocol| {
            let rules = rules.iter().filter(|(_, rule)| rule.side != other);
            PortTable::new(rules.flat_map(|(index, rule)| {
                let order = ids.partition_point(|id| *id < rule.id.as_str()) as u16;
                let granted = move |width| Granted { width, order, rule: *index };
                spans(map, &rule.service, protocol).into_iter().map(move |span| (span.ports, granted(span.width)))
            }))
        };
        let entries = rules.iter().map(|rules| Entry {
            egress: Protocol::ALL.map(|protocol| table(rules, RuleSide::Ingress, protocol)),
            ingress: Protocol::ALL.map(|protocol| table(rules, RuleSide::Egress, protocol)),
        });
        Self { entries: entries.collect(), pairs }
    }

    /// For each class, its zones that rules name as the client's and as the server's.
    pub(super) fn names(&self, classes: &[AddressClass]) -> (Vec<Names>, Vec<Names>) {
        let (clients, servers): (Vec<_>, Vec<_>) = self.pairs.keys().copied().unzip();
        let named = |mut zones: Vec<ZoneId>| -> Vec<Names> {
            zones.sort_unstable();
            let named = |class: &AddressClass| {
                let set = class.set.iter().filter(|zone| zones.binary_search(zone).is_ok());
                set.map(|zone| (*zone, specificity(class, *zone))).collect()
            };
            classes.iter().map(named).collect()
        };
        (named(clients), named(servers))
    }

    /// The pairs of zones that fit a client and a server with these zones.
    pub(super) fn fits(&self, client: &Names, server: &Names) -> impl Iterator<Item = Fit> {
        client.iter().flat_map(move |(from, client)| {
            server.iter().filter_map(move |(to, server)| {
                let entry = *self.pairs.get(&(*from, *to))?;
                Some(Fit { entry, specificity: client + server })
            })
        })
    }

    /// The best rules for egress and for ingress among those of the pairs.
    pub(super) fn best(
        &self,
        fits: impl Iterator<Item = Fit>,
        protocol: Protocol,
        port: u16,
    ) -> (Option<Granted>, Option<Granted>) {
        // a candidate's rank: the more specific, then the smaller grant
        let better = |best: Option<(u8, Granted)>, granted: Option<Granted>, Fit { specificity, .. }: Fit| {
            let candidate = granted.map(|granted| (u8::MAX - specificity, granted));
            match (best, candidate) {
                (Some(best), Some(candidate)) => Some(best.min(candidate)),
                (best, candidate) => best.or(candidate),
            }
        };
        let (mut egress, mut ingress) = (None, None);
        for fit in fits {
            let entry = &self.entries[fit.entry as usize];
            egress = better(egress, entry.egress[protocol as usize].at(port), fit);
            ingress = better(ingress, entry.ingress[protocol as usize].at(port), fit);
        }
        (egress.map(|(_, granted)| granted), ingress.map(|(_, granted)| granted))
    }

    /// The ports where the best rules of a pair change.
    pub(super) fn cuts(&self, fit: Fit, protocol: Protocol) -> impl Iterator<Item = u16> {
        let entry = &self.entries[fit.entry as usize];
        entry.egress[protocol as usize].cuts().chain(entry.ingress[protocol as usize].cuts())
    }
}

/// How closely a zone of its set describes a class.
fn specificity(class: &AddressClass, zone: ZoneId) -> u8 {
    match zone {
        zone if zone == class.primary => 3,
        zone if zone.index().is_some() => 2,
        ZoneId::VPC => 1,
        _ => 0,
    }
}
