//! The ways that the grants open: client, server, rule and what the invariants say of it.
//!
//! For every pair of atoms with a local end: E is the union of the egress grants (everything, for an unmanaged client),
//! I likewise at the server, as the evaluator has it. Each rule that takes part in E ∧ I gives one [`Way`].

use super::bits::Bits;
use super::ports::PortSet;
use super::view::{Atom, Grant, View};
use crate::boundary::model::{BoundaryMap, Invariant, InvariantKind};

/// What the invariants leave of a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ban<'a> {
    /// All of it.
    None,
    /// This one forbids some of its services.
    Part(&'a Invariant),
    /// This one forbids it.
    Whole(&'a Invariant),
}

/// One rule between one kind of client and one kind of server, where the other end permits it too.
#[derive(Debug)]
pub(super) struct Way<'v, 'a> {
    pub(super) client: &'v Atom,
    pub(super) server: &'v Atom,
    pub(super) grant: &'v Grant<'a>,
    /// Counts at the client's end, at the server's end.
    pub(super) egress: bool,
    pub(super) ingress: bool,
    /// The first grant that meets it at the other end; `None` where that end needs none, or for a path rule.
    pub(super) partner: Option<&'v Grant<'a>>,
    /// What passes by it at both ends.
    pub(super) ports: PortSet,
    pub(super) ban: Ban<'a>,
}

impl Way<'_, '_> {
    /// `` `client` to `server` ``.
    pub(super) fn zones(&self, map: &BoundaryMap) -> String {
        format!("`{}` to `{}`", map.zone_name(self.client.primary), map.zone_name(self.server.primary))
    }
}

/// Every way of the map.
pub(super) fn ways<'v, 'a>(view: &'v View<'a>) -> Vec<Way<'v, 'a>> {
    let mut all = Vec::new();
    for (index, context) in view.contexts.iter().enumerate() {
        // Per atom: the grants that match it as a client, and those that match it as a server.
        let mut leaving: Vec<Vec<Matched<'v, 'a>>> = context.atoms.iter().map(|_| Vec::new()).collect();
        let mut entering = leaving.clone();
        for grant in view.grants.iter().filter(|grant| grant.selected) {
            let Some((from, to)) = grant.ends.get(index) else { continue };
            for (c, list) in leaving.iter_mut().enumerate() {
                if grant.is_egress() && from.contains(c) {
                    list.push(Matched { grant, other: to });
                }
            }
            for (s, list) in entering.iter_mut().enumerate() {
                if grant.is_ingress() && to.contains(s) {
                    list.push(Matched { grant, other: from });
                }
            }
        }
        for (c, (client, leaving)) in context.atoms.iter().zip(&leaving).enumerate() {
            if client.managed && leaving.is_empty() {
                continue;
            }
            for (s, (server, entering)) in context.atoms.iter().zip(&entering).enumerate() {
                if client.local || server.local {
                    let leaving: Vec<_> = leaving.iter().filter(|m| m.other.contains(s)).map(|m| m.grant).collect();
                    let entering: Vec<_> = entering.iter().filter(|m| m.other.contains(c)).map(|m| m.grant).collect();
                    pair(view, (client, server), (&leaving, &entering), &mut all);
                }
            }
        }
    }
    all
}

/// A grant that matches one end, with the atoms of its other end.
#[derive(Clone, Copy)]
struct Matched<'v, 'a> {
    grant: &'v Grant<'a>,
    other: &'v Bits,
}

/// The ways between one client and one server, by the grants that match them.
fn pair<'v, 'a>(
    view: &View<'a>,
    (client, server): (&'v Atom, &'v Atom),
    (leaving, entering): (&[&'v Grant<'a>], &[&'v Grant<'a>]),
    all: &mut Vec<Way<'v, 'a>>,
) {
    let open = |atom: &Atom, grants: &[&Grant<'_>]| {
        let mut ports = PortSet::default();
        if !atom.managed {
            return PortSet::any();
        }
        grants.iter().for_each(|grant| ports.add(&grant.ports));
        ports
    };
    let (out, into) = (open(client, leaving), open(server, entering));
    let mut add = |grant: &'v Grant<'a>, egress: bool, ingress: bool| {
        let (far, partners, free) =
            if egress { (&into, entering, !server.managed) } else { (&out, leaving, !client.managed) };
        let ports = grant.ports.intersection(far);
        if ports.is_empty() {
            return;
        }
        let path = egress && ingress;
        let partner = (!free && !path)
            .then(|| partners.iter().copied().find(|partner| partner.ports.meets(&grant.ports)))
            .flatten();
        let ban = ban(view, client, server, &ports);
        all.push(Way { client, server, grant, egress, ingress, partner, ports, ban });
    };
    for grant in leaving {
        add(grant, true, grant.is_ingress());
    }
    for grant in entering.iter().filter(|grant| !grant.is_egress()) {
        add(grant, false, true);
    }
}

/// The first invariant that forbids these services between them, wholly if there is one.
pub(super) fn ban<'a>(view: &View<'a>, client: &Atom, server: &Atom, ports: &PortSet) -> Ban<'a> {
    let mut result = Ban::None;
    for invariant in view.invariants.iter().copied() {
        match (forbidden(view.map, &invariant.kind, client, server, ports), result) {
            (Some(true), _) => return Ban::Whole(invariant),
            (Some(false), Ban::None) => result = Ban::Part(invariant),
            _ => {}
        }
        // The parts of several could add up to the whole; nobody writes maps where that matters.
    }
    result
}

/// Whether the invariant forbids it: `Some(true)` wholly, `Some(false)` for a part of the services.
fn forbidden(map: &BoundaryMap, kind: &InvariantKind, client: &Atom, server: &Atom, ports: &PortSet) -> Option<bool> {
    let wholly = |hit: bool| hit.then_some(true);
    match kind {
        InvariantKind::NoInbound { zone } => wholly(server.in_any(zone)),
        InvariantKind::OnlyFrom { zone, allow } => wholly(server.in_any(zone) && !client.in_any(allow)),
        InvariantKind::OnlyTo { zone, allow } => wholly(client.in_any(zone) && !server.in_any(allow)),
        InvariantKind::Isolated { zone, peer, inbound_only } => {
            let inbound = server.in_any(zone) && client.in_any(peer);
            wholly(inbound || !inbound_only && client.in_any(zone) && server.in_any(peer))
        }
        InvariantKind::Forbid { from, to, service } => {
            let forbidden = PortSet::of(map, service);
            let hit = client.in_any(from) && server.in_any(to) && forbidden.meets(ports);
            hit.then(|| forbidden.covers(ports))
        }
        InvariantKind::Confined { zone, exits } => {
            if server.local || !client.in_any(zone) {
                return None;
            }
            let mut permitted = PortSet::default();
            for exit in exits {
                let from = if exit.from.is_empty() { zone } else { &exit.from };
                if client.in_any(from) && server.in_any(&exit.to) {
                    permitted.add(&PortSet::of(map, &exit.service));
                }
            }
            (!permitted.covers(ports)).then(|| !permitted.meets(ports))
        }
        InvariantKind::Placement { .. } => None,
    }
}
