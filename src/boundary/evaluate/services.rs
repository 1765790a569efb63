//! Which declared service a port belongs to.

use crate::boundary::model::{BoundaryMap, PortRange, Service, ServiceId, Services};

/// A range of more ports than this says little about who is the server.
pub(super) const NARROW: u32 = 1024;

/// The width of `any`.
pub(super) const ALL_PORTS: u32 = 65_536;

/// What services tell protocols apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Tcp,
    Udp,
    /// ICMP and ICMPv6.
    Icmp,
    /// Matched by the service `any` alone.
    Other,
}

impl Protocol {
    pub(super) const ALL: [Self; 4] = [Self::Tcp, Self::Udp, Self::Icmp, Self::Other];

    /// The protocol of an IANA number.
    pub(super) const fn of(number: u8) -> Self {
        match number {
            6 => Self::Tcp,
            17 => Self::Udp,
            1 | 58 => Self::Icmp,
            _ => Self::Other,
        }
    }
}

/// The ports of a list of services.
#[derive(Debug, Default)]
pub(super) struct Ports {
    any: bool,
    tcp: Vec<PortRange>,
    udp: Vec<PortRange>,
    icmp: bool,
}

impl Ports {
    pub(super) fn new(map: &BoundaryMap, services: &Services) -> Self {
        let mut ports = Self::default();
        match services {
            Services::Any => ports.any = true,
            Services::These(ids) => {
                for service in ids.iter().filter_map(|id| map.services.get(usize::from(id.0))) {
                    ports.tcp.extend(&service.tcp);
                    ports.udp.extend(&service.udp);
                    ports.icmp |= service.icmp;
                }
            }
        }
        ports
    }

    /// The number of ports of the narrowest range around the port (1 for ICMP); `None` where nothing matches.
    pub(super) fn width(&self, protocol: Protocol, port: u16) -> Option<u32> {
        let own = match protocol {
            Protocol::Tcp | Protocol::Udp => {
                let around = self.ranges(protocol).iter().filter(|range| range.contains(port));
                around.map(|range| range.width()).min()
            }
            Protocol::Icmp => self.icmp.then_some(1),
            Protocol::Other => None,
        };
        own.or(self.any.then_some(ALL_PORTS))
    }

    /// The ranges of a protocol that has ports.
    pub(super) fn ranges(&self, protocol: Protocol) -> &[PortRange] {
        match protocol {
            Protocol::Tcp => &self.tcp,
            Protocol::Udp => &self.udp,
            Protocol::Icmp | Protocol::Other => &[],
        }
    }
}

/// The narrowest declared service at a port, with its width; the smaller name where two are equally narrow.
type Named = Option<(ServiceId, u32)>;

/// The narrowest declared service at every port. Every service of the map is in it, whatever takes part.
#[derive(Debug)]
pub(super) struct ServiceTable {
    tcp: Vec<(u16, Named)>,
    udp: Vec<(u16, Named)>,
    icmp: Named,
}

impl ServiceTable {
    pub(super) fn new(map: &BoundaryMap) -> Self {
        let mut services: Vec<(ServiceId, &Service)> = (0..=u16::MAX).map(ServiceId).zip(&map.services).collect();
        services.sort_by_key(|(_, service)| &service.name);
        let table = |ranges: fn(&Service) -> &[PortRange]| {
            let mut narrowest: Vec<(PortRange, ServiceId)> =
                services.iter().flat_map(|(id, service)| ranges(service).iter().map(|range| (*range, *id))).collect();
            // stable, so that of equally narrow ranges the smaller name stays first
            narrowest.sort_by_key(|(range, _)| range.width());
            cuts(narrowest.iter().map(|(range, _)| *range))
                .into_iter()
                .map(|cut| {
                    let found = narrowest.iter().find(|(range, _)| range.contains(cut));
                    (cut, found.map(|(range, id)| (*id, range.width())))
                })
                .collect()
        };
        let icmp = services.iter().find(|(_, service)| service.icmp).map(|(id, _)| (*id, 1));
        Self { tcp: table(|service| &service.tcp), udp: table(|service| &service.udp), icmp }
    }

    /// The narrowest declared service at the port, with its width.
    pub(super) fn at(&self, protocol: Protocol, port: u16) -> Named {
        let table = match protocol {
            Protocol::Tcp => &self.tcp,
            Protocol::Udp => &self.udp,
            Protocol::Icmp => return self.icmp,
            Protocol::Other => return None,
        };
        // at least 1, because the first cut is port 0
        let upto = table.partition_point(|(cut, _)| *cut <= port);
        table[upto - 1].1
    }
}

/// The ports where some range begins, or has just ended, and port 0: between two of them nothing changes.
pub(super) fn cuts(ranges: impl Iterator<Item = PortRange>) -> Vec<u16> {
    let mut cuts = vec![0];
    for range in ranges {
        cuts.push(range.lo);
        cuts.extend(range.hi.checked_add(1));
    }
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}
