//! Invariants, as conditions on both ends.
//!
//! An invariant is one or two *terms*: a condition on the client's class, one on the server's, and ports. Which
//! conditions a class satisfies is worked out once, as a bit set for each end; the terms that apply to a pair of
//! classes are the common bits, in the order of the file.

use super::Selection;
use super::ports::{Protocol, Span, spans};
use super::zones::AddressClass;
use crate::boundary::model::{BoundaryMap, Exit, InvariantKind, Services, ZoneId};

/// Something that an invariant says of some clients, servers and ports.
#[derive(Debug)]
struct Term {
    client: Condition,
    server: Condition,
    /// By protocol.
    ports: [Vec<Span>; 4],
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

impl Condition {
    fn holds(&self, class: &AddressClass) -> bool {
        match self {
            Self::Everybody => true,
            Self::Meets(zones) => zones.iter().any(|zone| class.is_in(*zone)),
            Self::Avoids(zones) => !zones.iter().any(|zone| class.is_in(*zone)),
            Self::NotLocal => !class.local,
        }
    }
}

/// What a term does, to the invariant with this index.
#[derive(Debug, Clone, Copy)]
enum Effect {
    /// Permits a way out; stands before the invariant's own term.
    Exit(u16),
    Forbid(u16),
}

/// A set of terms, 64 a word.
pub(super) type Bits = Box<[u64]>;

/// The invariants that take part, in the order of the file.
#[derive(Debug)]
pub(super) struct Invariants {
    terms: Vec<Term>,
}

impl Invariants {
    pub(super) fn new(map: &BoundaryMap, selection: &Selection) -> Self {
        let mut invariants = Self { terms: Vec::new() };
        for (id, invariant) in (0..=u16::MAX).zip(&map.invariants) {
            if selection.includes(&invariant.when) {
                invariants.add(map, id, &invariant.kind);
            }
        }
        invariants
    }

    fn add(&mut self, map: &BoundaryMap, id: u16, kind: &InvariantKind) {
        use Condition::{Avoids, Everybody, Meets, NotLocal};
        let any = &Services::Any;
        let mut term = |client, server, service: &Services, effect| {
            let ports = Protocol::ALL.map(|protocol| spans(map, service, protocol));
            self.terms.push(Term { client, server, ports, effect });
        };
        let forbid = Effect::Forbid(id);
        match kind {
            InvariantKind::NoInbound { zone } => term(Everybody, Meets(zone.clone()), any, forbid),
            InvariantKind::OnlyFrom { zone, allow } => term(Avoids(allow.clone()), Meets(zone.clone()), any, forbid),
            InvariantKind::OnlyTo { zone, allow } => term(Meets(zone.clone()), Avoids(allow.clone()), any, forbid),
            InvariantKind::Isolated { zone, peer, inbound_only } => {
                term(Meets(peer.clone()), Meets(zone.clone()), any, forbid);
                if !inbound_only {
                    term(Meets(zone.clone()), Meets(peer.clone()), any, forbid);
                }
            }
            InvariantKind::Forbid { from, to, service } => {
                term(Meets(from.clone()), Meets(to.clone()), service, forbid);
            }
            InvariantKind::Confined { zone, exits } => {
                for Exit { from, to, service, .. } in exits {
                    let from = if from.is_empty() { zone } else { from };
                    term(Meets(from.clone()), Meets(to.clone()), service, Effect::Exit(id));
                }
                term(Meets(zone.clone()), NotLocal, any, forbid);
            }
            // judged on the inventory, never on a record
            InvariantKind::Placement { .. } => {}
        }
    }

    /// The terms whose condition on the client, and those whose condition on the server, hold for a class.
    pub(super) fn bits(&self, class: &AddressClass) -> (Bits, Bits) {
        let words = |holds: fn(&Term, &AddressClass) -> bool| {
            let word = |terms: &[Term]| {
                let bits = terms.iter().enumerate().map(|(bit, term)| u64::from(holds(term, class)) << bit);
                bits.fold(0, |word, bit| word | bit)
            };
            self.terms.chunks(64).map(word).collect()
        };
        (words(|term, class| term.client.holds(class)), words(|term, class| term.server.holds(class)))
    }

    /// The terms of both sets, in order.
    pub(super) fn common(client: &Bits, server: &Bits) -> impl Iterator<Item = u32> {
        client.iter().zip(server).zip((0u32..).step_by(64)).flat_map(|((client, server), first)| {
            let mut left = client & server;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(first + bit)
            })
        })
    }

    /// The first invariant that these terms, in order, are broken by.
    pub(super) fn first_hit(&self, terms: impl Iterator<Item = u32>, protocol: Protocol, port: u16) -> Option<u16> {
        let mut exited = None;
        for term in terms {
            let Term { ports, effect, .. } = &self.terms[term as usize];
            if ports[protocol as usize].iter().any(|span| span.ports.contains(port)) {
                match *effect {
                    Effect::Exit(invariant) => exited = Some(invariant),
                    Effect::Forbid(invariant) if exited == Some(invariant) => {}
                    Effect::Forbid(invariant) => return Some(invariant),
                }
            }
        }
        None
    }

    /// The ports that a term is about.
    pub(super) fn spans(&self, term: u32, protocol: Protocol) -> &[Span] {
        &self.terms[term as usize].ports[protocol as usize]
    }
}
