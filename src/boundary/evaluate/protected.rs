//! Zones whose services are protected: whoever is refused there deserves a look. And zones that are confined: where
//! they go deserves one.

use super::zones::{Zones, lineage};
use super::{Boundary, Selection};
use crate::boundary::model::{BoundaryMap, InvariantKind, ZoneId};

/// Protected or not, for every zone by its id.
pub(super) fn protected(map: &BoundaryMap, selection: &Selection, zones: &Zones) -> Box<[bool]> {
    let mut guarded = vec![false; ZoneId::declared(map.zones.len()).0.into()];
    let taking_part = map.invariants.iter().filter(|invariant| selection.includes(&invariant.when));
    for zone in taking_part.filter_map(|invariant| guarded_zones(&invariant.kind)).flatten() {
        if let Some(guarded) = guarded.get_mut(usize::from(zone.0)) {
            *guarded = true;
        }
    }
    let is_guarded = |zone: &ZoneId| guarded.get(usize::from(zone.0)).is_some_and(|guarded| *guarded);
    let mut protected = guarded.clone();
    for (id, protected) in (0..=u16::MAX).map(ZoneId).zip(&mut protected) {
        *protected = lineage(map, id).any(|zone| is_guarded(&zone) || has_data(map, zone));
    }
    // an invariant on a built-in zone, as `vpc`, guards whoever has it in the zone set
    for class in zones.classes().iter().filter(|class| class.set.iter().any(is_guarded)) {
        if let Some(protected) = protected.get_mut(usize::from(class.primary.0)) {
            *protected = true;
        }
    }
    protected.into()
}

/// Confined or not, for every zone by its id.
pub(super) fn confined(map: &BoundaryMap, selection: &Selection) -> Box<[bool]> {
    let taking_part = map.invariants.iter().filter(|invariant| selection.includes(&invariant.when));
    let zones: Vec<ZoneId> = taking_part
        .filter_map(|invariant| match &invariant.kind {
            InvariantKind::Confined { zone, .. } => Some(zone),
            _ => None,
        })
        .flatten()
        .copied()
        .collect();
    let all = (0..ZoneId::declared(map.zones.len()).0).map(ZoneId);
    all.map(|id| lineage(map, id).any(|zone| zones.contains(&zone))).collect()
}

impl Boundary {
    /// True for a zone that a confined invariant which takes part is about: it, or a zone around it, stands there.
    pub fn is_confined(&self, zone: ZoneId) -> bool {
        self.confined.get(usize::from(zone.0)).is_some_and(|confined| *confined)
    }

    /// True for a zone whose services are protected: it, or a zone around it, has the tag `data` or stands in the
    /// `zone` of a no-inbound, only-from or isolated invariant that takes part.
    pub fn is_protected(&self, zone: ZoneId) -> bool {
        self.protected.get(usize::from(zone.0)).is_some_and(|protected| *protected)
    }
}

fn has_data(map: &BoundaryMap, zone: ZoneId) -> bool {
    let zone = zone.index().and_then(|index| map.zones.get(index));
    zone.is_some_and(|zone| zone.tags.iter().any(|tag| tag == "data"))
}

/// The zones whose servers an invariant guards.
fn guarded_zones(kind: &InvariantKind) -> Option<&[ZoneId]> {
    match kind {
        InvariantKind::NoInbound { zone }
        | InvariantKind::OnlyFrom { zone, .. }
        | InvariantKind::Isolated { zone, .. } => Some(zone),
        InvariantKind::OnlyTo { .. }
        | InvariantKind::Confined { .. }
        | InvariantKind::Forbid { .. }
        | InvariantKind::Placement { .. } => None,
    }
}
