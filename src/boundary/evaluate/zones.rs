//! Which zone an address is in (evaluator.md §3 and §4).
//!
//! A zone's claim on an address depends on the VPC that looks: its own zones come first, then its peers', then the
//! global ones. So every VPC has its own view of all addresses, flattened once. What a view gives is an address
//! class: the addresses that no rule, invariant or step can tell apart. There are few of them, and policy is
//! worked out per pair of classes.

use std::cmp::Reverse;
use std::iter::successors;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rustc_hash::FxHashMap;

use super::address::AddressMap;
use crate::boundary::model::{BoundaryMap, Role, Vpc, VpcId, ZoneId};

/// The ranges of the built-in zone `special`.
const SPECIAL: [IpNet; 6] = [
    v4([169, 254, 0, 0], 16),
    v4([127, 0, 0, 0], 8),
    v4([224, 0, 0, 0], 4),
    v4([255, 255, 255, 255], 32),
    v6(0xfe80, 10),
    v6(0xff00, 8),
];

/// The private ranges: the built-in zone `private-unknown`, where nothing else claims them.
const PRIVATE: [IpNet; 5] =
    [v4([10, 0, 0, 0], 8), v4([172, 16, 0, 0], 12), v4([192, 168, 0, 0], 16), v4([100, 64, 0, 0], 10), v6(0xfc00, 7)];

const fn v4([a, b, c, d]: [u8; 4], len: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(std::net::Ipv4Addr::new(a, b, c, d), len))
}

const fn v6(first: u16, len: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(std::net::Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0), len))
}

/// Addresses that the map treats alike: index into [`Zones::classes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ClassId(pub(super) u32);

/// What is known of every address of a class.
#[derive(Debug)]
pub(super) struct AddressClass {
    /// The zone that claims the addresses, or the built-in zone that takes them.
    pub(super) primary: ZoneId,
    /// The zone set: the primary, its ancestors from the nearest, then `vpc` and `any`.
    pub(super) set: Box<[ZoneId]>,
    /// Inside the CIDRs of the VPC that looks.
    pub(super) in_vpc: bool,
    /// Inside those or a peer's.
    pub(super) local: bool,
    /// In a private range, whoever claims it.
    pub(super) private: bool,
    /// Has a security group that the map can speak for.
    pub(super) managed: bool,
    /// The primary is a NAT gateway.
    pub(super) nat: bool,
}

impl AddressClass {
    /// True when the zone is in the zone set.
    pub(super) fn is_in(&self, zone: ZoneId) -> bool {
        self.set.contains(&zone)
    }
}

/// Every VPC's view of every address.
#[derive(Debug)]
pub(super) struct Zones {
    classes: Vec<AddressClass>,
    views: Vec<AddressMap<ClassId>>,
    owners: AddressMap<Owner>,
}

/// How many VPCs have an address in their CIDRs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Nobody,
    One(VpcId),
    Several,
}

/// A zone's claim on a prefix; the smallest of those on an address wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    scope: Scope,
    by: ClaimedBy,
    prefix_len: Reverse<u8>,
    /// Place of the zone among all, sorted by more ancestors, then by name.
    order: usize,
    zone: ZoneId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Own,
    Peer,
    Global,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ClaimedBy {
    Inventory,
    Address,
    Cidr,
}

/// What the prefixes around an address say together.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    claim: Option<Claim>,
    in_vpc: bool,
    local: bool,
    special: bool,
    private: bool,
}

impl State {
    fn join(self, other: Self) -> Self {
        Self {
            claim: [self.claim, other.claim].into_iter().flatten().min(),
            in_vpc: self.in_vpc || other.in_vpc,
            local: self.local || other.local,
            special: self.special || other.special,
            private: self.private || other.private,
        }
    }

    fn primary(self) -> ZoneId {
        match self.claim {
            Some(claim) => claim.zone,
            None if self.local => ZoneId::VPC_UNZONED,
            None if self.special => ZoneId::SPECIAL,
            None if self.private => ZoneId::PRIVATE_UNKNOWN,
            None => ZoneId::INTERNET,
        }
    }
}

impl Zones {
    pub(super) fn new(map: &BoundaryMap) -> Self {
        let claims = claims(map);
        let mut classes = Classes { map, list: Vec::new(), ids: FxHashMap::default() };
        let views = vpcs(map).map(|(id, vpc)| view(map, id, vpc, &claims, &mut classes)).collect();
        let owned: Vec<_> =
            vpcs(map).flat_map(|(id, vpc)| vpc.cidrs.iter().map(move |cidr| (*cidr, Owner::One(id)))).collect();
        let owners = AddressMap::new(
            &owned,
            Owner::Nobody,
            |around, own| if around == Owner::Nobody || around == own { own } else { Owner::Several },
            |owner| owner,
        );
        Self { classes: classes.list, views, owners }
    }

    /// The class of an address as the VPC sees it.
    #[inline]
    pub(super) fn class_of(&self, vpc: VpcId, address: IpAddr) -> ClassId {
        self.views[usize::from(vpc.0)].at(address)
    }

    #[inline]
    pub(super) fn class(&self, id: ClassId) -> &AddressClass {
        &self.classes[id.0 as usize]
    }

    /// Every class, in the order of the ids.
    pub(super) fn classes(&self) -> &[AddressClass] {
        &self.classes
    }

    /// The VPC that alone has the address in its CIDRs.
    pub(super) fn only_owner(&self, address: IpAddr) -> Option<VpcId> {
        match self.owners.at(address) {
            Owner::One(vpc) => Some(vpc),
            Owner::Nobody | Owner::Several => None,
        }
    }
}

/// The zone and its ancestors, from the nearest.
pub(super) fn lineage(map: &BoundaryMap, zone: ZoneId) -> impl Iterator<Item = ZoneId> {
    // a checked map has no circle; the bound makes that this function's own promise
    successors(Some(zone), |zone| map.zones.get(zone.index()?)?.parent).take(map.zones.len() + 1)
}

/// The VPCs with their ids.
fn vpcs(map: &BoundaryMap) -> impl Iterator<Item = (VpcId, &Vpc)> {
    (0..=u16::MAX).map(VpcId).zip(&map.vpcs)
}

/// The VPC that each zone belongs to; `None` is a global zone.
fn homes(map: &BoundaryMap) -> Vec<Option<VpcId>> {
    let mut homes: Vec<_> = map.zones.iter().map(|zone| zone.vpc).collect();
    // only in a map with one VPC do a zone's addresses say where it belongs
    if let [only] = map.vpcs.as_slice() {
        let inside = |address: &IpAddr| only.cidrs.iter().any(|cidr| cidr.contains(address));
        let mut settle = |index: usize| {
            if let Some(home) = homes.get_mut(index) {
                home.get_or_insert(VpcId(0));
            }
        };
        for (index, zone) in map.zones.iter().enumerate() {
            if zone.cidrs.iter().any(|own| only.cidrs.iter().any(|cidr| cidr.contains(own)))
                || zone.addresses.iter().any(inside)
            {
                settle(index);
            }
        }
        for eni in map.enis.iter().filter(|eni| eni.addresses.iter().any(inside)) {
            eni.zone.and_then(ZoneId::index).into_iter().for_each(&mut settle);
        }
    }
    homes
}

/// A claim on a prefix, by a zone that belongs to this VPC (or to none).
type Claimed = (Option<VpcId>, IpNet, Claim);

/// Every zone's claims. The scope is a placeholder until a VPC looks.
fn claims(map: &BoundaryMap) -> Vec<Claimed> {
    let homes = homes(map);
    let mut sorted: Vec<usize> = (0..map.zones.len()).collect();
    sorted.sort_by_cached_key(|index| {
        (Reverse(lineage(map, ZoneId::declared(*index)).count()), map.zones.get(*index).map(|zone| &zone.name))
    });
    let mut orders = vec![0; map.zones.len()];
    for (order, index) in sorted.into_iter().enumerate() {
        orders[index] = order;
    }
    let mut claims = Vec::new();
    let mut claim = |index: usize, by, prefix: IpNet| {
        if let (Some(home), Some(order)) = (homes.get(index), orders.get(index)) {
            let (prefix_len, zone) = (Reverse(prefix.prefix_len()), ZoneId::declared(index));
            claims.push((*home, prefix, Claim { scope: Scope::Global, by, prefix_len, order: *order, zone }));
        }
    };
    for (index, zone) in map.zones.iter().enumerate() {
        zone.cidrs.iter().for_each(|cidr| claim(index, ClaimedBy::Cidr, *cidr));
        zone.addresses.iter().for_each(|address| claim(index, ClaimedBy::Address, (*address).into()));
    }
    for eni in &map.enis {
        if let Some(index) = eni.zone.and_then(ZoneId::index) {
            eni.addresses.iter().for_each(|address| claim(index, ClaimedBy::Inventory, (*address).into()));
        }
    }
    claims
}

/// All addresses as one VPC sees them.
fn view(map: &BoundaryMap, id: VpcId, vpc: &Vpc, claims: &[Claimed], classes: &mut Classes<'_>) -> AddressMap<ClassId> {
    let nothing = State::default();
    let mut prefixes = Vec::new();
    for (home, prefix, claim) in claims {
        let scope = match home {
            Some(home) if *home == id => Scope::Own,
            Some(home) if vpc.peers.contains(home) => Scope::Peer,
            Some(_) => continue,
            None => Scope::Global,
        };
        prefixes.push((*prefix, State { claim: Some(Claim { scope, ..*claim }), ..nothing }));
    }
    prefixes.extend(vpc.cidrs.iter().map(|cidr| (*cidr, State { in_vpc: true, local: true, ..nothing })));
    for peer in vpc.peers.iter().filter_map(|peer| map.vpcs.get(usize::from(peer.0))) {
        prefixes.extend(peer.cidrs.iter().map(|cidr| (*cidr, State { local: true, ..nothing })));
    }
    prefixes.extend(SPECIAL.map(|prefix| (prefix, State { special: true, ..nothing })));
    prefixes.extend(PRIVATE.map(|prefix| (prefix, State { private: true, ..nothing })));
    AddressMap::new(&prefixes, nothing, State::join, |state| classes.id(state))
}

/// The classes found so far.
struct Classes<'m> {
    map: &'m BoundaryMap,
    list: Vec<AddressClass>,
    ids: FxHashMap<(ZoneId, bool, bool, bool), ClassId>,
}

impl Classes<'_> {
    fn id(&mut self, state: State) -> ClassId {
        let State { in_vpc, local, private, .. } = state;
        let primary = state.primary();
        *self.ids.entry((primary, in_vpc, local, private)).or_insert_with(|| {
            let mut set: Vec<ZoneId> = lineage(self.map, primary).collect();
            set.extend(in_vpc.then_some(ZoneId::VPC));
            set.push(ZoneId::ANY);
            let role = primary.index().and_then(|index| self.map.zones.get(index)?.role);
            let managed = local && !matches!(role, Some(Role::Nat | Role::Tgw));
            let nat = role == Some(Role::Nat);
            self.list.push(AddressClass { primary, set: set.into(), in_vpc, local, private, managed, nat });
            ClassId(self.list.len() as u32 - 1)
        })
    }
}
