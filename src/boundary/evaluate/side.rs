//! Where a record was taken: the VPC (evaluator.md §3), and the side of the flow (§7).

use std::net::IpAddr;

use rustc_hash::FxHashMap;

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
    vpcs: FxHashMap<Box<str>, VpcId>,
    interfaces: FxHashMap<Box<str>, Interface>,
}

#[derive(Debug)]
struct Interface {
    /// The VPC that its zone names.
    vpc: Option<VpcId>,
    /// Its zone has role nat or tgw.
    gateway: bool,
    addresses: Box<[IpAddr]>,
}

impl Inventory {
    pub(super) fn new(map: &BoundaryMap) -> Self {
        let mut inventory = Self { vpcs: FxHashMap::default(), interfaces: FxHashMap::default() };
        for (id, vpc) in (0..=u16::MAX).map(VpcId).zip(&map.vpcs) {
            if let Some(aws_id) = &vpc.id {
                inventory.vpcs.entry(aws_id.as_str().into()).or_insert(id);
            }
        }
        for eni in &map.enis {
            let zone = eni.zone.and_then(|zone| map.zones.get(zone.index()?));
            let gateway = zone.is_some_and(|zone| matches!(zone.role, Some(Role::Nat | Role::Tgw)));
            inventory.interfaces.entry(eni.id.as_str().into()).or_insert_with(|| Interface {
                vpc: zone.and_then(|zone| zone.vpc),
                gateway,
                addresses: eni.addresses.as_slice().into(),
            });
        }
        inventory
    }

    fn interface(&self, record: &FlowRecord<'_>) -> Option<&Interface> {
        self.interfaces.get(record.text(Field::InterfaceId)?)
    }
}

impl Boundary {
    /// The record's VPC and how it was found, or the reason why it has none.
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
    pub(super) fn find_side(&self, record: &FlowRecord<'_>, flow: &Flow, at: &Located) -> (Side, SideBy) {
        let interface = self.inventory.interface(record);
        if interface.is_some_and(|interface| interface.gateway) {
            return (Side::Transit, SideBy::Gateway);
        }
        if let Some(direction) = flow.direction {
            let side = match direction {
                FlowDirection::Egress => Side::Source,
                FlowDirection::Ingress => Side::Destination,
            };
            return (side, SideBy::Direction);
        }
        if let Some(interface) = interface.filter(|interface| !interface.addresses.is_empty()) {
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
