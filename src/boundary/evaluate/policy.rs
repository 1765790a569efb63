//! What the map says of (client, server, protocol, port): evaluator.md §5.
//!
//! Address classes that rules and invariants cannot tell apart at an end form a group. [`Rulebook::decide`] finds the
//! policy of a client's group towards a port at a server's. It is the only place that does so: the table in
//! [`super::memo`] holds its answers for the pairs and ports of usual maps, and what does not fit there is decided
//! anew for each record.

use rustc_hash::FxHashMap;

use super::Selection;
use super::grants::{Fit, Granted, Grants, Names};
use super::invariants::{Bits, Invariants};
use super::memo::{Budget, Memo};
use super::ports::{ALL_PORTS, NARROW, Port, PortClasses, Protocol, cuts};
use super::zones::{ClassId, Zones};
use crate::boundary::model::BoundaryMap;

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
    fn new(granted: Option<Granted>, managed: bool) -> Self {
        match granted {
            Some(Granted { rule, width, .. }) => Self::Rule { rule, width },
            None if managed => Self::None,
            None => Self::Unmanaged,
        }
    }

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

/// The policy between any two classes.
#[derive(Debug)]
pub(super) struct Policies {
    rulebook: Rulebook,
    memo: Memo,
}

impl Policies {
    pub(super) fn new(
        map: &BoundaryMap,
        selection: &Selection,
        zones: &Zones,
        ports: &PortClasses,
        budget: Budget,
    ) -> Self {
        let rulebook = Rulebook::new(map, selection, zones);
        let memo = Memo::new(&rulebook, ports, budget);
        Self { rulebook, memo }
    }

    /// Numbers of a class's groups as a client and as a server: what has the same has the same policies at that end.
    pub(super) fn groups(&self, class: ClassId) -> [u32; 2] {
        [self.rulebook.clients.of(class), self.rulebook.servers.of(class)]
    }

    /// The policy of a client's class towards a port at a server's class.
    #[inline]
    pub(super) fn of(&self, client: ClassId, server: ClassId, port: Port) -> Policy {
        let (client, server) = (self.rulebook.clients.of(client), self.rulebook.servers.of(server));
        match self.memo.at(client, server, port.class) {
            Some(policy) => *policy,
            None => self.rulebook.decide_anew(client, server, port),
        }
    }
}

/// The rules and invariants that take part, and the groups that they make of the classes at each end.
#[derive(Debug)]
pub(super) struct Rulebook {
    grants: Grants,
    invariants: Invariants,
    clients: Groups,
    servers: Groups,
}

/// Everything that the policy depends on, at one end.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Group {
    names: Names,
    terms: Bits,
    managed: bool,
}

/// The groups of one end, and the group of each class.
#[derive(Debug)]
struct Groups {
    list: Vec<Group>,
    of_class: Vec<u32>,
}

impl Groups {
    fn new(groups: impl Iterator<Item = Group>) -> Self {
        let mut known = FxHashMap::default();
        let of_class = groups.map(|group| {
            let next = known.len() as u32;
            *known.entry(group).or_insert(next)
        });
        let of_class = of_class.collect();
        let mut list: Vec<(Group, u32)> = known.into_iter().collect();
        list.sort_unstable_by_key(|(_, id)| *id);
        Self { list: list.into_iter().map(|(group, _)| group).collect(), of_class }
    }

    fn of(&self, class: ClassId) -> u32 {
        self.of_class[class.0 as usize]
    }
}

impl Rulebook {
    fn new(map: &BoundaryMap, selection: &Selection, zones: &Zones) -> Self {
        let (grants, invariants) = (Grants::new(map, selection), Invariants::new(map, selection));
        let classes = zones.classes();
        let (client_names, server_names) = grants.names(classes);
        let (client_terms, server_terms): (Vec<_>, Vec<_>) = classes.iter().map(|class| invariants.bits(class)).unzip();
        let groups = |names: Vec<Names>, terms: Vec<Bits>| {
            let ends = names.into_iter().zip(terms).zip(classes);
            Groups::new(ends.map(|((names, terms), class)| Group { names, terms, managed: class.managed }))
        };
        let clients = groups(client_names, client_terms);
        Self { clients, servers: groups(server_names, server_terms), grants, invariants }
    }

    /// How many groups there are of clients and of servers.
    pub(super) fn groups(&self) -> (u32, u32) {
        (self.clients.list.len() as u32, self.servers.list.len() as u32)
    }

    fn ends(&self, client: u32, server: u32) -> (&Group, &Group) {
        (&self.clients.list[client as usize], &self.servers.list[server as usize])
    }

    /// The grants that fit a client and a server of these groups.
    pub(super) fn fits(&self, client: u32, server: u32) -> impl Iterator<Item = Fit> {
        let (client, server) = self.ends(client, server);
        self.grants.fits(&client.names, &server.names)
    }

    /// The terms of invariants that apply to a client and a server of these groups.
    pub(super) fn terms(&self, client: u32, server: u32) -> impl Iterator<Item = u32> {
        let (client, server) = self.ends(client, server);
        Invariants::common(&client.terms, &server.terms)
    }

    /// Whether the client's end and the server's are managed.
    pub(super) fn managed(&self, client: u32, server: u32) -> (bool, bool) {
        let (client, server) = self.ends(client, server);
        (client.managed, server.managed)
    }

    /// The policy of a client's group towards a port at a server's.
    #[cold]
    fn decide_anew(&self, client: u32, server: u32, port: Port) -> Policy {
        let (fits, terms) = (self.fits(client, server), self.terms(client, server));
        self.decide(fits, terms, self.managed(client, server), port.protocol, port.number)
    }

    /// The policy that follows from the grants and terms that fit both ends.
    pub(super) fn decide(
        &self,
        fits: impl Iterator<Item = Fit>,
        terms: impl Iterator<Item = u32>,
        (client_managed, server_managed): (bool, bool),
        protocol: Protocol,
        port: u16,
    ) -> Policy {
        let (egress, ingress) = self.grants.best(fits, protocol, port);
        let (e, i) = (Grant::new(egress, client_managed), Grant::new(ingress, server_managed));
        let f = self.invariants.first_hit(terms, protocol, port);
        let allow = e.permits() && i.permits() && f.is_none();
        Policy { e, i, f, allow, narrow: e.width().min(i.width()) <= NARROW }
    }

    /// Where the policy may change, in order: for each protocol the ports, beginning with 0.
    pub(super) fn changes(&self, fits: &[Fit], terms: &[u32]) -> Vec<(Protocol, u16)> {
        let cuts = |protocol| {
            let spans = terms.iter().flat_map(|term| self.invariants.spans(*term, protocol));
            let mut all = cuts(spans.map(|span| span.ports));
            all.push(0);
            all.extend(fits.iter().flat_map(|fit| self.grants.cuts(*fit, protocol)));
            all.sort_unstable();
            all.dedup();
            all
        };
        Protocol::ALL
            .into_iter()
            .flat_map(|protocol| cuts(protocol).into_iter().map(move |port| (protocol, port)))
            .collect()
    }
}
