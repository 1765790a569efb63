//! Whether the stateless layer explains a rejection: evaluator.md §9. It never permits anything.

use super::flow::Flow;
use super::{Boundary, Located};
use crate::boundary::model::{BoundaryMap, Nacl};
use crate::boundary::values::Side;

/// What the network ACL at the recording end does with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NaclAnswer {
    pub(super) allow: bool,
    /// The entry that decides, as an index into the map's entries; `None` where none matches, which denies.
    pub(super) entry: Option<usize>,
}

/// The entries in the order of evaluation, as indices into the map's.
pub(super) fn in_order(map: &BoundaryMap) -> Box<[usize]> {
    let mut order: Vec<usize> = (0..map.nacls.len()).collect();
    order.sort_by_key(|index| map.nacls.get(*index).map(|entry| entry.number));
    order.into()
}

impl Boundary {
    /// `None` where no network ACL of the map stands between the two addresses and the recording interface.
    pub(super) fn ask_nacl(&self, flow: &Flow, at: &Located, side: Side) -> Option<NaclAnswer> {
        let (local, remote) = match side {
            Side::Source => (flow.srcaddr, flow.dstaddr),
            Side::Destination => (flow.dstaddr, flow.srcaddr),
            Side::Transit | Side::Unknown => return None,
        };
        let around = self.zones.class(self.zones.class_of(at.vpc, local));
        let mut entries = self
            .nacls
            .iter()
            .filter_map(|index| Some((*index, self.map.nacls.get(*index)?)))
            .filter(|(_, entry)| around.is_in(entry.zone))
            .peekable();
        entries.peek()?;
        // an ACL sits at the subnet's edge: inside the subnet, none is crossed
        let one_subnet = |entry: &Nacl| {
            let zone = entry.zone.index().and_then(|index| self.map.zones.get(index));
            zone.is_some_and(|zone| zone.cidrs.iter().any(|cidr| cidr.contains(&local) && cidr.contains(&remote)))
        };
        if entries.clone().any(|(_, entry)| one_subnet(entry)) {
            return None;
        }
        let decides = |entry: &Nacl| {
            entry.egress == (side == Side::Source)
                && entry.protocol.is_none_or(|protocol| protocol == flow.protocol)
                && entry.cidr.contains(&remote)
                && entry.ports.contains(flow.dstport)
        };
        let found = entries.find(|(_, entry)| decides(entry));
        Some(NaclAnswer { allow: found.is_some_and(|(_, entry)| entry.allow), entry: found.map(|(index, _)| index) })
    }
}
