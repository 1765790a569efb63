//! What the map says of (client, server, protocol, port): evaluator.md §5.
//!
//! Grants, invariants and exits are all *terms*: a condition on the client's class, one on the server's, and ports.
//! For every class it is worked out once which terms it satisfies as a client and which as a server, as bit sets;
//! classes with the same bits form a group. The terms that apply to a pair are then the common bits, in the order
//! of the terms, and [`Policies::decide`] weighs those. It is the only place that does so: the table in
//! [`super::memo`] holds its answers for the pairs and ports of usual maps, and what does not fit there is decided
//! anew each time.

use std::hash::Hash;

use rustc_hash::FxHashMap;

use super::Selection;
use super::memo::{Budget, Memo};
use super::services::{ALL_PORTS, NARROW, Ports, Protocol};
use super::zones::{AddressClass, ClassId, Zones};
use crate::boundary::model::{BoundaryMap, Exit, InvariantKind, RuleSide, Services, ZoneId};

/// What lets a packet pass at one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grant {
    /// A rule.
    Rule {
        /// Index into the map's rules.
        rule: u16,
        /// Number of ports of the narrowest range that matched: 1 to 65536.
        width: u32,
    },
    /// The end has no security group that the map can speak for.
    Unmanaged,
    /// Nothing.
    None,
}

impl Grant {
    /// True unless there is none.
    pub fn permits(self) -> bool {
        self != Self::None
    }

    /// The rule's index, if it is a rule.
    pub fn rule(self) -> Option<u16> {
        match self {
            Self::Rule { rule, .. } => Some(rule),
            Self::Unmanaged | Self::None => None,
        }
    }

    fn width(self) -> u32 {
        match self {
            Self::Rule { width, .. } => width,
            Self::Unmanaged | Self::None => ALL_PORTS,
        }
    }
}

/// What the map says of a client that connects to a server's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Policy {
    /// At the client's end.
    pub e: Grant,
    /// At the server's end.
    pub i: Grant,
    /// The first invariant that forbids it: index into the map's invariants.
    pub f: Option<u16>,
    /// Granted at both ends, and not forbidden.
    pub allow: bool,
    /// One of the two rules pins the port to at most 1024 ports.
    pub narrow: bool,
}

/// Something that the map says of some clients, servers and ports.
#[derive(Debug)]
struct Term {
    client: Condition,
    server: Condition,
    ports: Ports,
    effect: Effect,
}

/// Which classes a term is about, at one end.
#[derive(Debug)]
enum Condition {
    Everybody,
    /// One of the zones is in the zone set.
    Meets(Vec<ZoneId>),
    /// None of the zones is in the zone set.
    Avoids(Vec<ZoneId>),
    NotLocal,
}

#[derive(Debug)]
enum Effect {
    Grant {
        rule: u16,
        /// Place of the rule's id among all ids, sorted.
        order: u16,
        side: RuleSide,
    },
    /// An exit of this confined invariant; stands before the invariant's own term.
    Exit(u16),
    Forbid(u16),
}

/// A term that applies to a pair of classes, with the specificity of its ends together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Candidate {
    term: u32,
    specificity: u8,
}

/// What the classes of a group have in common at one end: the terms they satisfy, and whether they are managed.
#[derive(Debug, PartialEq, Eq, Hash, Clone)]
struct Group {
    words: Box<[Word]>,
    managed: bool,
}

/// 64 terms: which of them the group satisfies, and the two bits of how specifically (0 to 3).
#[derive(Debug, PartialEq, Eq, Hash, Clone, Copy, Default)]
struct Word {
    satisfied: u64,
    specificity: [u64; 2],
}

impl Group {
    fn satisfy(&mut self, term: usize, specificity: u8) {
        let (word, bit) = (&mut self.words[term / 64], 1 << (term % 64));
        if word.satisfied & bit == 0 || word.specificity(bit) < specificity {
            word.satisfied |= bit;
            word.specificity = [0, 1].map(|half| {
                let others = word.specificity[half] & !bit;
                if specificity >> half & 1 == 1 { others | bit } else { others }
            });
        }
    }

    fn forgo(&mut self, term: usize) {
        self.words[term / 64].satisfied &= !(1 << (term % 64));
    }
}

impl Word {
    fn specificity(self, bit: u64) -> u8 {
        u8::from(self.specificity[0] & bit != 0) + 2 * u8::from(self.specificity[1] & bit != 0)
    }
}

/// The groups of one end, and the group of each class.
#[derive(Debug)]
struct Groups {
    list: Vec<Group>,
    of_class: Vec<u32>,
}

impl Groups {
    fn new<'t>(classes: &[AddressClass], conditions: impl ExactSizeIterator<Item = &'t Condition>) -> Self {
        let words = conditions.len().div_ceil(64);
        let (mut meets, mut avoids) = (FxHashMap::<_, Vec<_>>::default(), FxHashMap::<_, Vec<_>>::default());
        let mut local = Group { words: vec![Word::default(); words].into(), managed: false };
        let mut remote = local.clone();
        for (term, condition) in conditions.enumerate() {
            match condition {
                Condition::Everybody => {
                    local.satisfy(term, 0);
                    remote.satisfy(term, 0);
                }
                Condition::NotLocal => remote.satisfy(term, 0),
                Condition::Meets(zones) => zones.iter().for_each(|zone| meets.entry(*zone).or_default().push(term)),
                Condition::Avoids(zones) => {
                    local.satisfy(term, 0);
                    remote.satisfy(term, 0);
                    zones.iter().for_each(|zone| avoids.entry(*zone).or_default().push(term));
                }
            }
        }
        let mut groups = Self { list: Vec::new(), of_class: Vec::with_capacity(classes.len()) };
        let mut known = FxHashMap::default();
        for class in classes {
            let mut group = if class.local { local.clone() } else { remote.clone() };
            group.managed = class.managed;
            for zone in &class.set {
                let specificity = match *zone {
                    zone if zone == class.primary => 3,
                    zone if zone.index().is_some() => 2,
                    ZoneId::VPC => 1,
                    _ => 0,
                };
                meets.get(zone).into_iter().flatten().for_each(|term| group.satisfy(*term, specificity));
                avoids.get(zone).into_iter().flatten().for_each(|term| group.forgo(*term));
            }
            let id = *known.entry(group).or_insert_with_key(|group| {
                groups.list.push(group.clone());
                groups.list.len() as u32 - 1
            });
            groups.of_class.push(id);
        }
        groups
    }

    fn of(&self, class: ClassId) -> u32 {
        self.of_class[class.0 as usize]
    }
}

/// The policy between any two classes.
#[derive(Debug)]
pub(super) struct Policies {
    weights: Weights,
    memo: Memo,
}

/// What policies are decided by.
#[derive(Debug)]
pub(super) struct Weights {
    terms: Vec<Term>,
    clients: Groups,
    servers: Groups,
}

impl Policies {
    pub(super) fn new(map: &BoundaryMap, selection: &Selection, zones: &Zones, budget: Budget) -> Self {
        let terms = terms(map, selection);
        let clients = Groups::new(zones.classes(), terms.iter().map(|term| &term.client));
        let servers = Groups::new(zones.classes(), terms.iter().map(|term| &term.server));
        let weights = Weights { terms, clients, servers };
        let memo = Memo::new(&weights, budget);
        Self { weights, memo }
    }

    /// The policy of a client's class towards a port at a server's class.
    pub(super) fn of(&self, client: ClassId, server: ClassId, protocol: Protocol, port: u16) -> Policy {
        let (client, server) = (self.weights.clients.of(client), self.weights.servers.of(server));
        self.memo.at(client, server, protocol, port).unwrap_or_else(|| {
            let candidates = self.weights.candidates(client, server);
            self.weights.decide(candidates, self.weights.managed(client, server), protocol, port)
        })
    }
}

impl Weights {
    /// How many groups there are of clients and of servers.
    pub(super) fn groups(&self) -> (u32, u32) {
        (self.clients.list.len() as u32, self.servers.list.len() as u32)
    }

    /// The terms whose ends fit a client and a server of these groups.
    pub(super) fn candidates(&self, client: u32, server: u32) -> impl Iterator<Item = Candidate> {
        let (client, server) = (&self.clients.list[client as usize], &self.servers.list[server as usize]);
        client.words.iter().zip(&server.words).zip((0u32..).step_by(64)).flat_map(|((client, server), first)| {
            let mut left = client.satisfied & server.satisfied;
            std::iter::from_fn(move || {
                let index = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                let specificity = client.specificity(1 << index) + server.specificity(1 << index);
                Some(Candidate { term: first + index, specificity })
            })
        })
    }

    /// Whether the client's end and the server's are managed.
    pub(super) fn managed(&self, client: u32, server: u32) -> (bool, bool) {
        (self.clients.list[client as usize].managed, self.servers.list[server as usize].managed)
    }

    /// The ports that a candidate is about.
    pub(super) fn ports(&self, candidate: Candidate) -> &Ports {
        &self.terms[candidate.term as usize].ports
    }

    /// The policy that follows from the terms that fit both ends.
    pub(super) fn decide(
        &self,
        candidates: impl Iterator<Item = Candidate>,
        (client_managed, server_managed): (bool, bool),
        protocol: Protocol,
        port: u16,
    ) -> Policy {
        let unruled = |managed| if managed { Grant::None } else { Grant::Unmanaged };
        let (mut e, mut i) = (Best::default(), Best::default());
        let mut f = None;
        let mut exited = None;
        for candidate in candidates {
            let term = &self.terms[candidate.term as usize];
            let Some(width) = term.ports.width(protocol, port) else { continue };
            match term.effect {
                Effect::Grant { rule, order, side } => {
                    if side != RuleSide::Ingress {
                        e.consider(candidate.specificity, width, order, rule);
                    }
                    if side != RuleSide::Egress {
                        i.consider(candidate.specificity, width, order, rule);
                    }
                }
                Effect::Exit(invariant) => exited = Some(invariant),
                Effect::Forbid(invariant) if exited != Some(invariant) => {
                    f = Some(invariant);
                    break;
                }
                Effect::Forbid(_) => {}
            }
        }
        let (e, i) = (e.grant.unwrap_or(unruled(client_managed)), i.grant.unwrap_or(unruled(server_managed)));
        let allow = e.permits() && i.permits() && f.is_none();
        Policy { e, i, f, allow, narrow: e.width().min(i.width()) <= NARROW }
    }
}

/// The best matching rule so far: higher specificity, then smaller width, then smaller id.
#[derive(Default)]
struct Best {
    key: Option<(u8, u32, u16)>,
    grant: Option<Grant>,
}

impl Best {
    fn consider(&mut self, specificity: u8, width: u32, order: u16, rule: u16) {
        let key = (u8::MAX - specificity, width, order);
        if self.key.is_none_or(|best| key < best) {
            *self = Self { key: Some(key), grant: Some(Grant::Rule { rule, width }) };
        }
    }
}

/// Everything in the map that takes part: the rules, then the invariants in the order of the file.
fn terms(map: &BoundaryMap, selection: &Selection) -> Vec<Term> {
    let mut ids: Vec<&str> = map.rules.iter().map(|rule| rule.id.as_str()).collect();
    ids.sort_unstable();
    let mut terms = Vec::new();
    for (rule, from) in (0..=u16::MAX).zip(&map.rules).filter(|(_, rule)| selection.includes(&rule.when)) {
        terms.push(Term {
            client: Condition::Meets(from.from.clone()),
            server: Condition::Meets(from.to.clone()),
            ports: Ports::new(map, &from.service),
            effect: Effect::Grant {
                rule,
                order: ids.partition_point(|id| *id < from.id.as_str()) as u16,
                side: from.side,
            },
        });
    }
    for (id, invariant) in (0..=u16::MAX).zip(&map.invariants) {
        if selection.includes(&invariant.when) {
            forbid(map, id, &invariant.kind, &mut terms);
        }
    }
    terms
}

/// The terms of one invariant.
fn forbid(map: &BoundaryMap, id: u16, kind: &InvariantKind, terms: &mut Vec<Term>) {
    use Condition::{Avoids, Everybody, Meets, NotLocal};
    let mut term = |client, server, service: &Services, effect| {
        terms.push(Term { client, server, ports: Ports::new(map, service), effect });
    };
    let mut forbid = |client, server| term(client, server, &Services::Any, Effect::Forbid(id));
    match kind {
        InvariantKind::NoInbound { zone } => forbid(Everybody, Meets(zone.clone())),
        InvariantKind::OnlyFrom { zone, allow } => forbid(Avoids(allow.clone()), Meets(zone.clone())),
        InvariantKind::OnlyTo { zone, allow } => forbid(Meets(zone.clone()), Avoids(allow.clone())),
        InvariantKind::Isolated { zone, peer, inbound_only } => {
            forbid(Meets(peer.clone()), Meets(zone.clone()));
            if !inbound_only {
                forbid(Meets(zone.clone()), Meets(peer.clone()));
            }
        }
        InvariantKind::Forbid { from, to, service } => {
            term(Meets(from.clone()), Meets(to.clone()), service, Effect::Forbid(id));
        }
        InvariantKind::Confined { zone, exits } => {
            for Exit { from, to, service, .. } in exits {
                let from = if from.is_empty() { zone } else { from };
                term(Meets(from.clone()), Meets(to.clone()), service, Effect::Exit(id));
            }
            term(Meets(zone.clone()), NotLocal, &Services::Any, Effect::Forbid(id));
        }
        // judged on the inventory, never on a record
        InvariantKind::Placement { .. } => {}
    }
}
