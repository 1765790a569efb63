//! The map with its hosts: what the policy says between two ends, and which ports are safe to use.

use super::dice::Dice;
use super::hosts::{End, Group, Hosts, lineage};
use crate::boundary::model::{PortRange, Selector, Services, VpcId};
use crate::boundary::{Boundary, BoundaryMap, ZoneId};

pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMP_V6: u8 = 58;

/// Widest range of ports that tells which end is the server (evaluator: *narrow*).
const NARROW: u32 = 1024;

/// What the policy says of a client, a server and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) allow: bool,
    /// The client's end lets it out: a grant for egress, or an end that the map cannot speak for.
    pub(super) leaves: bool,
    /// The server's end lets it in.
    pub(super) enters: bool,
    /// The invariant that forbids it: index into the map's invariants.
    pub(super) invariant: Option<u16>,
}

impl Standing {
    /// True when only the server's end stands against it: at the client such a packet looks like any other.
    pub(super) fn leaves_legally(self) -> bool {
        self.leaves && !self.enters
    }
}

/// The map, its hosts and its ports.
pub(super) struct Network<'b> {
    pub(super) boundary: &'b Boundary,
    pub(super) hosts: Hosts,
    narrow_tcp: PortSet,
    narrow_udp: PortSet,
}

impl<'b> Network<'b> {
    pub(super) fn new(boundary: &'b Boundary, flows: u64) -> Self {
        let services = &boundary.map().services;
        Self {
            boundary,
            hosts: Hosts::new(boundary, flows),
            narrow_tcp: PortSet::of(services.iter().flat_map(|service| &service.tcp)),
            narrow_udp: PortSet::of(services.iter().flat_map(|service| &service.udp)),
        }
    }

    pub(super) fn map(&self) -> &'b BoundaryMap {
        self.boundary.map()
    }

    /// What the policy says, seen from a VPC.
    pub(super) fn standing(&self, vpc: VpcId, client: &End, server: &End, protocol: u8, port: u16) -> Standing {
        let policy = self.boundary.policy(vpc, client.address, server.address, protocol, port);
        Standing { allow: policy.allow, leaves: policy.e.permits(), enters: policy.i.permits(), invariant: policy.f }
    }

    /// True when an entry of the map takes part under the selected environment and mode.
    pub(super) fn takes_part(&self, when: &Selector) -> bool {
        self.boundary.selection().includes(when)
    }

    /// True when the group's ends are in the zone.
    pub(super) fn is_in(&self, group: &Group, zone: ZoneId) -> bool {
        match zone {
            ZoneId::ANY => true,
            ZoneId::VPC => group.vpc.is_some(),
            _ => lineage(self.map(), group.zone).any(|around| around == zone),
        }
    }

    /// The groups whose ends are in one of the zones: indices into the hosts' groups.
    pub(super) fn groups_in(&self, zones: &[ZoneId]) -> Vec<usize> {
        let groups = self.hosts.groups.iter().enumerate();
        groups.filter(|(_, group)| zones.iter().any(|zone| self.is_in(group, *zone))).map(|(index, _)| index).collect()
    }

    /// True when a declared service offers the port in a narrow range: then the port tells which end is the server.
    pub(super) fn is_narrow(&self, protocol: u8, port: u16) -> bool {
        match protocol {
            TCP => self.narrow_tcp.contains(port),
            UDP => self.narrow_udp.contains(port),
            _ => false,
        }
    }

    /// A client's port that no declared service could be taken for. Load balancers and NAT gateways (`low`) take
    /// theirs from 1024 up.
    pub(super) fn client_port(&self, dice: &mut Dice, protocol: u8, low: bool) -> u16 {
        let (lo, hi) = if low { (1024, 65_535) } else { (32_768, 60_999) };
        let mut port = dice.port(lo, hi);
        // a map could declare every port; then any will do
        for _ in 0..64 {
            if !self.is_narrow(protocol, port) {
                break;
            }
            port = dice.port(lo, hi);
        }
        port
    }

    /// Some protocols and ports that stand for the services: each narrow range by its first port, a wide one by
    /// ports that people use.
    pub(super) fn ports_of(&self, services: &Services) -> Vec<(u8, u16)> {
        const USUAL: [u16; 6] = [443, 80, 8080, 53, 9090, 22];
        let mut ports = Vec::new();
        let mut add = |protocol: u8, range: &PortRange| {
            if range.width() <= NARROW {
                ports.push((protocol, range.lo));
            } else {
                let usual = USUAL.iter().copied().filter(|port| range.contains(*port)).take(2);
                ports.extend(usual.map(|port| (protocol, port)));
                ports.extend((range.lo > USUAL[4]).then_some((protocol, range.lo)));
            }
        };
        let map = self.map();
        let all: Vec<usize> = match services {
            Services::Any => (0..map.services.len()).collect(),
            Services::These(list) => list.iter().map(|id| id.0 as usize).collect(),
        };
        let mut icmp = *services == Services::Any;
        for index in all {
            let service = &map.services[index];
            service.tcp.iter().for_each(|range| add(TCP, range));
            service.udp.iter().for_each(|range| add(UDP, range));
            icmp |= service.icmp;
        }
        if *services == Services::Any {
            ports.extend([(TCP, 443), (TCP, 8443), (UDP, 53)]);
        }
        if icmp {
            ports.push((ICMP, 0));
        }
        let mut seen = std::collections::BTreeSet::new();
        ports.retain(|port| seen.insert(*port));
        ports
    }
}

/// A set of ports.
struct PortSet(Box<[u64; 1024]>);

impl PortSet {
    /// The ports of the narrow ranges.
    fn of<'r>(ranges: impl Iterator<Item = &'r PortRange>) -> Self {
        let mut set = Self(Box::new([0; 1024]));
        for range in ranges.filter(|range| range.width() <= NARROW) {
            for port in range.lo..=range.hi {
                set.0[usize::from(port / 64)] |= 1 << (port % 64);
            }
        }
        set
    }

    fn contains(&self, port: u16) -> bool {
        self.0[usize::from(port / 64)] & (1 << (port % 64)) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_narrow_ranges_tell_the_server() {
        let ranges =
            [PortRange { lo: 5432, hi: 5432 }, PortRange { lo: 1025, hi: 65_535 }, PortRange { lo: 0, hi: 63 }];
        let set = PortSet::of(ranges.iter());
        assert!(set.contains(5432) && set.contains(0) && set.contains(63));
        assert!(!set.contains(64) && !set.contains(5431) && !set.contains(65_535));
    }
}
