//! Which declared service a port belongs to.

use super::ports::{NARROW, Port, PortClasses, PortTable, Protocol, spans_of};
use crate::boundary::model::{BoundaryMap, Service, ServiceId};

/// The narrowest declared service at the ports of each class, whatever takes part.
#[derive(Debug)]
pub(super) struct ServiceTable(Vec<Option<Named>>);

/// A service at a port. The smallest is the narrowest, then the one with the smaller name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    width: u32,
    /// Place of the service among all, sorted by name.
    order: u16,
    service: ServiceId,
}

impl ServiceTable {
    pub(super) fn new(map: &BoundaryMap, ports: &PortClasses) -> Self {
        let mut services: Vec<(ServiceId, &Service)> = (0..=u16::MAX).map(ServiceId).zip(&map.services).collect();
        services.sort_by_key(|(_, service)| &service.name);
        let tables = Protocol::ALL.map(|protocol| {
            PortTable::new((0..=u16::MAX).zip(&services).flat_map(|(order, (id, service))| {
                let named = move |width| Named { width, order, service: *id };
                spans_of(service, protocol).map(move |span| (span.ports, named(span.width)))
            }))
        });
        Self(ports.first_ports().map(|port| tables[port.protocol as usize].at(port.number)).collect())
    }

    /// The narrowest declared service at the port.
    pub(super) fn at(&self, port: Port) -> Option<ServiceId> {
        self.0[port.class.0 as usize].map(|named| named.service)
    }

    /// True when the port lies in a narrow range of a declared service.
    pub(super) fn is_narrow(&self, port: Port) -> bool {
        self.0[port.class.0 as usize].is_some_and(|named| named.width <= NARROW)
    }
}
