//! Where a record was taken: the VPC (evaluator.md §3), and the side of the flow (§7).

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::net::IpAddr;

use super::flow::Flow;
use super::{Boundary, Located};
use crate::boundary::model::{BoundaryMap, Role, VpcId};
use crate::boundary::values::{Side, Word};
use crate::record::{Field, FlowDirection, FlowRecord};

/// How the record's VPC was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FoundBy {
    VpcId,
    OnlyVpc,
    Inventory,
    Source,
    Destination,
}

/// How the side was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SideBy {
    Gateway,
    Direction,
    Inventory,
    Cidrs,
    Nothing,
}

/// Interfaces and VPCs by the names that records use.
#[derive(Debug)]
pub(super) struct Inventory {
    vpcs: ById<VpcId>,
    /// Those whose zone has role nat or tgw; in many maps there is none.
    gateways: HashSet<Box<str>, BuildHasherDefault<IdHasher>>,
    interfaces: ById<Interface>,
}

/// A table by the ids that AWS gives.
type ById<T> = HashMap<Box<str>, T, BuildHasherDefault<IdHasher>>;

/// A hasher for ids: their last 16 letters tell them apart, and those of the map, which alone are kept, are no attack.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    #[inline]
    fn write(&mut self, id: &[u8]) {
        let letters = match id.last_chunk::<16>() {
            Some(last) => u128::from_le_bytes(*last),
            None => id.iter().fold(0, |letters, byte| letters << 8 | u128::from(*byte)),
        };
        // every letter changes the product, and both halves of it count
        let (low, high) = (letters as u64 ^ 0x9e37_79b9_7f4a_7c15, (letters >> 64) as u64 ^ 0xbf58_476d_1ce4_e5b9);
        let product = u128::from(low) * u128::from(high);
        self.0 = product as u64 ^ (product >> 64) as u64;
    }

    /// The end of the text, which says nothing.
    #[inline]
    fn write_u8(&mut self, _: u8) {}

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Debug)]
struct Interface {
    /// The VPC that its zone names.
    vpc: Option<VpcId>,
    addresses: Box<[IpAddr]>,
}

impl Inventory {
    pub(super) fn new(map: &BoundaryMap) -> Self {
        let mut inventory = Self { vpcs: ById::default(), gateways: HashSet::default(), interfaces: ById::default() };
        for (id, vpc) in (0..=u16::MAX).map(VpcId).zip(&map.vpcs) {
            if let Some(aws_id) = &vpc.id {
                inventory.vpcs.entry(aws_id.as_str().into()).or_insert(id);
            }
        }
        for eni in &map.enis {
            let zone = eni.zone.and_then(|zone| map.zones.get(zone.index()?));
            if let Entry::Vacant(interface) = inventory.interfaces.entry(eni.id.as_str().into()) {
                interface.insert(Interface {
                    vpc: zone.and_then(|zone| zone.vpc),
                    addresses: eni.addresses.as_slice().into(),
                });
                if zone.is_some_and(|zone| matches!(zone.role, Some(Role::Nat | Role::Tgw))) {
                    inventory.gateways.insert(eni.id.as_str().into());
                }
            }
        }
        inventory
    }

    #[inline]
    fn interface(&self, record: &FlowRecord<'_>) -> Option<&Interface> {
        self.interfaces.get(record.text(Field::InterfaceId)?)
    }
}

impl Boundary {
    /// The record's VPC and how it was found, or the reason why it has none.
    #[inline(always)]
    pub(super) fn find_vpc(&self, record: &FlowRecord<'_>, flow: &Flow) -> Result<(VpcId, FoundBy), Word> {
        if let Some(id) = record.text(Field::VpcId) {
            return self.inventory.vpcs.get(id).map(|vpc| (*vpc, FoundBy::VpcId)).ok_or(Word::VpcNotInMap);
        }
        if self.map.vpcs.len() == 1 {
            return Ok((VpcId(0), FoundBy::OnlyVpc));
        }
        let of_interface = || Some((self.inventory.interface(record)?.vpc?, FoundBy::Inventory));
        let of_source = || Some((self.zones.only_owner(flow.src)?, FoundBy::Source));
        let of_destination = || Some((self.zones.only_owner(flow.dst)?, FoundBy::Destination));
        of_interface().or_else(of_source).or_else(of_destination).ok_or(Word::VpcAmbiguous)
    }

    /// Which end of the flow recorded it.
    #[inline(always)]
    pub(super) fn find_side(&self, record: &FlowRecord<'_>, flow: &Flow, at: &Located) -> (Side, SideBy) {
        if record.text(Field::InterfaceId).is_some_and(|id| self.inventory.gateways.contains(id)) {
            return (Side::Transit, SideBy::Gateway);
        }
        if let Some(direction) = flow.direction {
            let side = match direction {
                FlowDirection::Egress => Side::Source,
                FlowDirection::Ingress => Side::Destination,
            };
            return (side, SideBy::Direction);
        }
        if let Some(interface) = self.inventory.interface(record).filter(|interface| !interface.addresses.is_empty()) {
            let owns = |address| interface.addresses.contains(&address);
            let side = match (owns(flow.srcaddr), owns(flow.dstaddr)) {
                (true, _) => Side::Source,
                (false, true) => Side::Destination,
                (false, false) => Side::Transit,
            };
            return (side, SideBy::Inventory);
        }
        let inside = |address| self.zones.class(self.zones.class_of(at.vpc, address)).in_vpc;
        match (inside(flow.srcaddr), inside(flow.dstaddr)) {
            (true, false) => (Side::Source, SideBy::Cidrs),
            (false, true) => (Side::Destination, SideBy::Cidrs),
            _ => (Side::Unknown, SideBy::Nothing),
        }
    }
}
