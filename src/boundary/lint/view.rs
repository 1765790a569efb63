//! The map as the lints see it: not single addresses but kinds of address.
//!
//! Which grants and invariants a record meets depends on little: the primary zone of each end (it brings its parents
//! with it) and whether the address lies in the VPC that captured the record or in a peer of it. An [`Atom`] is one such
//! combination. A *context* is a VPC that captures; in it, each zone gives at most three atoms and the built-in zones a
//! few more. A zone of a rule is then a set of atoms, and containment ("is every client of this rule a client of
//! that one?") is a question about bit sets: exact where the map gives addresses, and sensible where it does not (a zone
//! that is known by its security group alone has one atom, inside its VPC).

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::bits::Bits;
use super::ports::PortSet;
use crate::boundary::evaluate::Selection;
use crate::boundary::model::{BoundaryMap, Invariant, Place, Role, Rule, RuleSide, VpcId, Zone, ZoneId};

/// One kind of address, within a context.
#[derive(Debug, Clone)]
pub(super) struct Atom {
    /// The zone that wins.
    pub(super) primary: ZoneId,
    /// The zone set: the primary, its parents, and the built-in zones that hold.
    pub(super) set: Vec<ZoneId>,
    /// In the CIDRs of the VPC or of a peer.
    pub(super) local: bool,
    /// Has a security group that the map speaks for.
    pub(super) managed: bool,
}

impl Atom {
    pub(super) fn in_any(&self, zones: &[ZoneId]) -> bool {
        zones.iter().any(|zone| self.set.contains(zone))
    }

    pub(super) fn in_vpc(&self) -> bool {
        self.set.contains(&ZoneId::VPC)
    }
}

/// What can be seen from one VPC.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) atoms: Vec<Atom>,
    /// For every zone, built in or declared: the atoms in it.
    zones: Vec<Bits>,
}

impl Context {
    /// The atoms that are in one of the zones.
    pub(super) fn atoms_of(&self, zones: &[ZoneId]) -> Bits {
        let mut bits = Bits::new(self.atoms.len());
        for zone in zones {
            if let Some(more) = self.zones.get(usize::from(zone.0)) {
                bits.add(more);
            }
        }
        bits
    }
}

/// A rule with what it matches.
#[derive(Debug)]
pub(super) struct Grant<'a> {
    pub(super) rule: &'a Rule,
    pub(super) ports: PortSet,
    /// Clients and servers, per context.
    pub(super) ends: Vec<(Bits, Bits)>,
    /// Takes part in the selected environment and mode.
    pub(super) selected: bool,
}

impl Grant<'_> {
    /// Counts at the client's end.
    pub(super) fn is_egress(&self) -> bool {
        self.rule.side != RuleSide::Ingress
    }

    /// Counts at the server's end.
    pub(super) fn is_ingress(&self) -> bool {
        self.rule.side != RuleSide::Egress
    }
}

/// The map, its contexts and its rules.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) map: &'a BoundaryMap,
    pub(super) contexts: Vec<Context>,
    pub(super) grants: Vec<Grant<'a>>,
    /// Invariants that take part, with their index in the map.
    pub(super) invariants: Vec<&'a Invariant>,
    /// Per declared zone: its addresses as prefixes, the inventory's included, and where each stands.
    pub(super) prefixes: Vec<Vec<(IpNet, &'a Place)>>,
    /// Per declared zone: the VPC that it belongs to.
    pub(super) homes: Vec<Option<VpcId>>,
}

impl<'a> View<'a> {
    pub(super) fn new(map: &'a BoundaryMap, selection: &Selection) -> Self {
        let prefixes: Vec<_> = (0..map.zones.len()).map(|index| zone_prefixes(map, index)).collect();
        let homes: Vec<_> = (0..map.zones.len()).map(|index| home(map, index, &prefixes)).collect();
        let mut view = Self { map, contexts: Vec::new(), grants: Vec::new(), invariants: Vec::new(), prefixes, homes };
        // Without a VPC no record can be judged; the rules among themselves can.
        view.contexts = match map.vpcs.len() {
            0 => vec![view.context(None)],
            vpcs => (0..vpcs).map(|index| view.context(Some(VpcId(index as u16)))).collect(),
        };
        let env = selection.env.clone().or_else(|| map.env.clone());
        let selected = Selection { env, mode: selection.mode.clone() };
        view.grants = map
            .rules
            .iter()
            .map(|rule| Grant {
                rule,
                ports: PortSet::of(map, &rule.service),
                ends: view.contexts.iter().map(|c| (c.atoms_of(&rule.from), c.atoms_of(&rule.to))).collect(),
                selected: selected.includes(&rule.when),
            })
            .collect();
        view.invariants = map.invariants.iter().filter(|invariant| selected.includes(&invariant.when)).collect();
        view
    }

    /// Declared zones with their ids.
    pub(super) fn zones(&self) -> impl Iterator<Item = (ZoneId, &'a Zone)> {
        self.map.zones.iter().enumerate().map(|(index, zone)| (ZoneId::declared(index), zone))
    }

    /// A declared zone.
    pub(super) fn zone(&self, id: ZoneId) -> Option<&'a Zone> {
        self.map.zones.get(id.index()?)
    }

    /// A declared zone's addresses; empty for a built-in one.
    pub(super) fn prefixes_of(&self, id: ZoneId) -> &[(IpNet, &'a Place)] {
        id.index().and_then(|index| self.prefixes.get(index)).map_or(&[], Vec::as_slice)
    }

    /// The zone belongs to a VPC.
    pub(super) fn in_a_vpc(&self, id: ZoneId) -> bool {
        id.index().and_then(|index| self.homes.get(index)).is_some_and(Option::is_some)
    }

    /// The zone and those around it, from the inside out.
    pub(super) fn lineage(&self, id: ZoneId) -> impl Iterator<Item = ZoneId> {
        // The loader lets no circle through; the bound keeps a map that was built by hand from hanging us.
        std::iter::successors(Some(id), |zone| self.zone(*zone)?.parent).take(self.map.zones.len() + 1)
    }

    /// One of the zones lies around the other, or they are the same.
    pub(super) fn related(&self, a: ZoneId, b: ZoneId) -> bool {
        self.lineage(a).any(|zone| zone == b) || self.lineage(b).any(|zone| zone == a)
    }

    fn context(&self, vpc: Option<VpcId>) -> Context {
        let this = vpc.and_then(|vpc| self.map.vpcs.get(usize::from(vpc.0)));
        let own = this.map(|vpc| vpc.cidrs.as_slice()).unwrap_or_default();
        let peers = this.map(|vpc| vpc.peers.as_slice()).unwrap_or_default();
        let peer_cidrs: Vec<IpNet> = peers
            .iter()
            .filter_map(|peer| self.map.vpcs.get(usize::from(peer.0)))
            .flat_map(|p| p.cidrs.clone())
            .collect();
        let mut atoms = Vec::new();
        let mut add = |primary: ZoneId, in_vpc: bool, local: bool| {
            let mut set: Vec<ZoneId> = self.lineage(primary).collect();
            set.push(ZoneId::ANY);
            set.extend(in_vpc.then_some(ZoneId::VPC));
            let hides = self.zone(primary).is_some_and(|zone| matches!(zone.role, Some(Role::Nat | Role::Tgw)));
            atoms.push(Atom { primary, set, local, managed: local && !hides });
        };
        for (id, home) in self.homes.iter().enumerate().map(|(index, home)| (ZoneId::declared(index), *home)) {
            if home.is_some_and(|home| Some(home) != vpc && !peers.contains(&home)) {
                continue;
            }
            let places = match self.prefixes_of(id) {
                [] => self.assumed_places(id, home.is_some() && home == vpc),
                prefixes => {
                    let mut places = [false; 3];
                    for (prefix, _) in prefixes {
                        places[0] |= own.iter().any(|cidr| overlap(cidr, prefix));
                        if !own.iter().any(|cidr| cidr.contains(prefix)) {
                            places[1] |= peer_cidrs.iter().any(|cidr| overlap(cidr, prefix));
                            places[2] |= !peer_cidrs.iter().any(|cidr| cidr.contains(prefix));
                        }
                    }
                    places
                }
            };
            for (possible, in_vpc, local) in
                [(places[0], true, true), (places[1], false, true), (places[2], false, false)]
            {
                if possible {
                    add(id, in_vpc, local);
                }
            }
        }
        if !own.is_empty() {
            add(ZoneId::VPC_UNZONED, true, true);
        }
        if !peer_cidrs.is_empty() {
            add(ZoneId::VPC_UNZONED, false, true);
        }
        for outside in [ZoneId::SPECIAL, ZoneId::PRIVATE_UNKNOWN, ZoneId::INTERNET] {
            add(outside, false, false);
        }
        let mut zones = vec![Bits::new(atoms.len()); ZoneId::BUILT_IN.len() + self.map.zones.len()];
        for (index, atom) in atoms.iter().enumerate() {
            for zone in &atom.set {
                if let Some(bits) = zones.get_mut(usize::from(zone.0)) {
                    bits.insert(index);
                }
            }
        }
        Context { atoms, zones }
    }

    /// Where a zone without addresses is taken to be: in the VPC, in a peer, outside. A zone that only groups others
    /// has no address of its own.
    fn assumed_places(&self, id: ZoneId, in_this_vpc: bool) -> [bool; 3] {
        let Some(zone) = self.zone(id) else { return [false; 3] };
        if !has_selector(zone) && self.map.zones.iter().any(|child| child.parent == Some(id)) {
            return [false; 3];
        }
        let named = zone.vpc.is_some() || lives_in_a_vpc(zone);
        match (in_this_vpc || zone.vpc.is_none() && named, named) {
            (true, _) => [true, false, false],
            (false, true) => [false, true, false],
            (false, false) => [false, false, true],
        }
    }
}

/// The selectors that only an interface in a VPC can have, or a part in the network that stands in one.
pub(super) fn lives_in_a_vpc(zone: &Zone) -> bool {
    zone.kind.is_none()
        && (!zone.security_groups.is_empty()
            || !zone.subnets.is_empty()
            || !zone.enis.is_empty()
            || zone.role.is_some())
}

/// The zone says in some way which addresses it means.
pub(super) fn has_selector(zone: &Zone) -> bool {
    !(zone.cidrs.is_empty()
        && zone.addresses.is_empty()
        && zone.subnets.is_empty()
        && zone.security_groups.is_empty()
        && zone.enis.is_empty()
        && zone.prefix_lists.is_empty())
}

/// Two prefixes of one family share an address.
pub(super) fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

/// The prefix that is one address.
pub(super) fn host(address: IpAddr) -> IpNet {
    match address {
        IpAddr::V4(address) => IpNet::V4(Ipv4Net::from(address)),
        IpAddr::V6(address) => IpNet::V6(Ipv6Net::from(address)),
    }
}

fn zone_prefixes(map: &BoundaryMap, index: usize) -> Vec<(IpNet, &Place)> {
    let Some(zone) = map.zones.get(index) else { return Vec::new() };
    let own = zone.cidrs.iter().copied().chain(zone.addresses.iter().copied().map(host));
    let inventory = map.enis.iter().filter(|eni| eni.zone == Some(ZoneId::declared(index)));
    own.map(|prefix| (prefix, &zone.place))
        .chain(inventory.flat_map(|eni| eni.addresses.iter().map(|address| (host(*address), &eni.place))))
        .collect()
}

/// The VPC that a zone belongs to: the one it names; in a map with one VPC also that one, if an address lies in it, or if
/// the zone has none and is of the kind that does.
fn home(map: &BoundaryMap, index: usize, prefixes: &[Vec<(IpNet, &Place)>]) -> Option<VpcId> {
    let zone = map.zones.get(index)?;
    if zone.vpc.is_some() {
        return zone.vpc;
    }
    let [vpc] = map.vpcs.as_slice() else { return None };
    let mine = prefixes.get(index)?;
    let inside = mine.iter().any(|(prefix, _)| vpc.cidrs.iter().any(|cidr| cidr.contains(prefix)));
    (inside || mine.is_empty() && lives_in_a_vpc(zone)).then_some(VpcId(0))
}
