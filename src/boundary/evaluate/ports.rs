//! Ports and protocols, as services speak of them.
//!
//! Between two ports where a service's ports begin or end, nothing tells ports apart. So all ports of all protocols
//! fall into few classes, as addresses do, and what the map says of a port is a table by its class.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::boundary::model::{BoundaryMap, PortRange, Service, Services};

/// A range of more ports than this says little about who is the server.
pub(super) const NARROW: u32 = 1024;

/// The width of the service `any`.
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

/// Ports that match together, and the width that they match with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) ports: PortRange,
    pub(super) width: u32,
}

/// The spans of a service. ICMP has no ports: it matches whatever the record says.
pub(super) fn spans_of(service: &Service, protocol: Protocol) -> impl Iterator<Item = Span> {
    let (ranges, icmp): (&[PortRange], bool) = match protocol {
        Protocol::Tcp => (&service.tcp, false),
        Protocol::Udp => (&service.udp, false),
        Protocol::Icmp => (&[], service.icmp),
        Protocol::Other => (&[], false),
    };
    let ranges = ranges.iter().map(|range| Span { ports: *range, width: range.width() });
    ranges.chain(icmp.then_some(Span { ports: PortRange::ALL, width: 1 }))
}

/// The spans of a list of services.
pub(super) fn spans(map: &BoundaryMap, services: &Services, protocol: Protocol) -> Vec<Span> {
    match services {
        Services::Any => vec![Span { ports: PortRange::ALL, width: ALL_PORTS }],
        Services::These(ids) => {
            let services = ids.iter().filter_map(|id| map.services.get(usize::from(id.0)));
            services.flat_map(|service| spans_of(service, protocol)).collect()
        }
    }
}

/// A port of a protocol, with its class.
#[derive(Debug, Clone, Copy)]
pub(super) struct Port {
    pub(super) protocol: Protocol,
    pub(super) number: u16,
    pub(super) class: PortClass,
}

/// Ports of one protocol that no service tells apart: the classes of all protocols are numbered together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PortClass(pub(super) u32);

/// The class of every port: two loads, in tables that stay small because the ports of a page are mostly of one class.
#[derive(Debug)]
pub(super) struct PortClasses {
    /// The page of each 256 ports, protocol by protocol.
    pages: Vec<u16>,
    /// The classes of the ports of each page. A page like the one before it is kept once.
    classes: Vec<PortClass>,
    /// The first port of each class.
    first: Vec<(Protocol, u16)>,
}

impl PortClasses {
    const PAGE: usize = 256;

    pub(super) fn new(map: &BoundaryMap) -> Self {
        let mut all = Self { pages: Vec::new(), classes: Vec::new(), first: Vec::new() };
        for protocol in Protocol::ALL {
            let spans = map.services.iter().flat_map(|service| spans_of(service, protocol));
            let cuts = cuts(spans.map(|span| span.ports));
            // port 0 begins a class, whether a service says so or not
            let mut cuts = cuts.into_iter().skip_while(|cut| *cut == 0).peekable();
            all.first.push((protocol, 0));
            for port in 0..=u16::MAX {
                if cuts.next_if_eq(&port).is_some() {
                    all.first.push((protocol, port));
                }
                all.classes.push(PortClass(all.first.len() as u32 - 1));
                if all.classes.len().is_multiple_of(Self::PAGE) {
                    all.end_page();
                }
            }
        }
        all
    }

    /// The last page is complete: keeps it, or the same one before it.
    fn end_page(&mut self) {
        let mut pages = self.classes.rchunks_exact(Self::PAGE);
        if pages.next() == pages.next() {
            self.classes.truncate(self.classes.len() - Self::PAGE);
        }
        self.pages.push((self.classes.len() / Self::PAGE - 1) as u16);
    }

    /// The port with its class.
    #[inline]
    pub(super) fn at(&self, protocol: Protocol, number: u16) -> Port {
        let page = self.pages[protocol as usize * Self::PAGE + usize::from(number >> 8)];
        let class = self.classes[usize::from(page) * Self::PAGE + usize::from(number & 0xff)];
        Port { protocol, number, class }
    }

    /// The first port of every class, in the order of the classes.
    pub(super) fn first_ports(&self) -> impl Iterator<Item = Port> {
        (0..).map(PortClass).zip(&self.first).map(|(class, (protocol, number))| Port {
            protocol: *protocol,
            number: *number,
            class,
        })
    }

    /// How many classes there are.
    pub(super) fn len(&self) -> usize {
        self.first.len()
    }
}

/// The best value at every port: of the values whose ports contain it, the smallest.
#[derive(Debug)]
pub(super) struct PortTable<T> {
    /// Where the best value changes. Before the first cut there is none.
    cuts: Vec<(u16, Option<T>)>,
}

impl<T: Copy + Ord> PortTable<T> {
    pub(super) fn new(values: impl Iterator<Item = (PortRange, T)>) -> Self {
        let mut waiting: Vec<_> = values.collect();
        waiting.sort_by_key(|(ports, _)| ports.lo);
        let at = cuts(waiting.iter().map(|(ports, _)| *ports));
        let mut waiting = waiting.into_iter().peekable();
        let mut open = BinaryHeap::new();
        let mut table = Self { cuts: Vec::new() };
        for cut in at {
            while let Some((ports, value)) = waiting.next_if(|(ports, _)| ports.lo <= cut) {
                open.push(Reverse((value, ports.hi)));
            }
            while open.peek().is_some_and(|Reverse((_, hi))| *hi < cut) {
                open.pop();
            }
            let best = open.peek().map(|Reverse((value, _))| *value);
            if table.cuts.last().and_then(|(_, last)| *last) != best {
                table.cuts.push((cut, best));
            }
        }
        table
    }

    /// The best value at a port.
    pub(super) fn at(&self, port: u16) -> Option<T> {
        let upto = self.cuts.partition_point(|(cut, _)| *cut <= port);
        self.cuts[upto.checked_sub(1)?].1
    }

    /// The ports where the best value changes.
    pub(super) fn cuts(&self) -> impl Iterator<Item = u16> {
        self.cuts.iter().map(|(cut, _)| *cut)
    }
}

/// The ports where some range begins, or has just ended, in order: between two of them nothing changes.
pub(super) fn cuts(ranges: impl Iterator<Item = PortRange>) -> Vec<u16> {
    let mut cuts: Vec<u16> = ranges.flat_map(|range| [Some(range.lo), range.hi.checked_add(1)]).flatten().collect();
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn ranges() -> impl Strategy<Value = Vec<(PortRange, u8)>> {
        let edge = prop_oneof![0u16..20, 65_530u16..=u16::MAX];
        vec((edge.clone(), edge, any::<u8>()), 0..12).prop_map(|ranges| {
            ranges.into_iter().map(|(a, b, value)| (PortRange { lo: a.min(b), hi: a.max(b) }, value)).collect()
        })
    }

    #[test]
    fn services_do_not_tell_the_ports_of_a_class_apart() {
        let services = "[service.ends]\ntcp = [\"0-1\", \"65535\"]\n[service.high]\ntcp = [\"1024-65535\"]\nudp = [\"53\"]\n\
            [service.page]\ntcp = [\"256-511\", \"443\"]\nicmp = true\n";
        let text = format!("version = 1\nname = \"test\"\n[vpc.main]\ncidrs = [\"10.0.0.0/16\"]\n{services}");
        let map = crate::boundary::parse_map("test.toml", &text).unwrap();
        let ports = PortClasses::new(&map);
        let first: Vec<Port> = ports.first_ports().collect();
        // tcp is cut at 0 2 256 443 444 512 1024 65535, udp at 0 53 54
        assert_eq!((first.len(), ports.len()), (8 + 3 + 1 + 1, 13));
        let around = |protocol, port| -> Vec<bool> {
            let spans = map.services.iter().flat_map(|service| spans_of(service, protocol));
            spans.map(|span| span.ports.contains(port)).collect()
        };
        for (protocol, number) in Protocol::ALL.into_iter().flat_map(|it| (0..=u16::MAX).map(move |port| (it, port))) {
            let port = ports.at(protocol, number);
            let same = first[port.class.0 as usize];
            assert!(same.protocol == protocol && same.number <= number && same.class == port.class);
            assert_eq!(around(protocol, number), around(protocol, same.number), "{protocol:?} {number}");
        }
    }

    proptest! {
        #[test]
        fn a_table_agrees_with_asking_every_range(ranges in ranges()) {
            let table = PortTable::new(ranges.iter().copied());
            for port in (0..25).chain(65_525..=u16::MAX) {
                let around = ranges.iter().filter(|(range, _)| range.contains(port));
                prop_assert_eq!(table.at(port), around.map(|(_, value)| *value).min(), "{}", port);
            }
        }
    }
}
