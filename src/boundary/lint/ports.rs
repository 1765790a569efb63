//! What a list of services comes to: sets of protocols and ports.

use std::fmt;

use crate::boundary::model::{BoundaryMap, PortRange, Services};

/// Protocols and ports; the ranges are sorted, disjoint and not adjacent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PortSet {
    /// Every protocol and port; the rest is empty then.
    pub(super) any: bool,
    pub(super) tcp: Vec<PortRange>,
    pub(super) udp: Vec<PortRange>,
    pub(super) icmp: bool,
}

impl PortSet {
    pub(super) fn any() -> Self {
        Self { any: true, ..Self::default() }
    }

    pub(super) fn of(map: &BoundaryMap, services: &Services) -> Self {
        let Services::These(ids) = services else { return Self::any() };
        let mut set = Self::default();
        for service in ids.iter().filter_map(|id| map.services.get(usize::from(id.0))) {
            set.tcp.extend_from_slice(&service.tcp);
            set.udp.extend_from_slice(&service.udp);
            set.icmp |= service.icmp;
        }
        set.tcp = joined(set.tcp);
        set.udp = joined(set.udp);
        set
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.any && self.tcp.is_empty() && self.udp.is_empty() && !self.icmp
    }

    /// Everything in `other` is in `self`.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.any
            || (!other.any
                && ranges_cover(&self.tcp, &other.tcp)
                && ranges_cover(&self.udp, &other.udp)
                && (self.icmp || !other.icmp))
    }

    /// What is in both.
    pub(super) fn intersection(&self, other: &Self) -> Self {
        if self.any {
            return other.clone();
        }
        if other.any {
            return self.clone();
        }
        Self {
            any: false,
            tcp: ranges_meet(&self.tcp, &other.tcp),
            udp: ranges_meet(&self.udp, &other.udp),
            icmp: self.icmp && other.icmp,
        }
    }

    /// Something is in both.
    pub(super) fn meets(&self, other: &Self) -> bool {
        !self.intersection(other).is_empty()
    }

    /// Adds everything in `other`.
    pub(super) fn add(&mut self, other: &Self) {
        if self.any || other.any {
            *self = Self::any();
            return;
        }
        self.tcp = joined(self.tcp.iter().chain(&other.tcp).copied().collect());
        self.udp = joined(self.udp.iter().chain(&other.udp).copied().collect());
        self.icmp |= other.icmp;
    }

    /// Number of TCP and UDP ports; `None` for every protocol.
    pub(super) fn ports(&self) -> Option<u32> {
        (!self.any).then(|| self.tcp.iter().chain(&self.udp).map(|range| range.width()).sum())
    }
}

/// `tcp/443, tcp/8000-8100, udp/53, icmp`.
impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.any {
            return f.write_str("every protocol and port");
        }
        let mut parts = Vec::new();
        for (protocol, ranges) in [("tcp", &self.tcp), ("udp", &self.udp)] {
            parts.extend(ranges.iter().map(|range| match range.width() {
                1 => format!("{protocol}/{}", range.lo),
                _ => format!("{protocol}/{}-{}", range.lo, range.hi),
            }));
        }
        parts.extend(self.icmp.then(|| "icmp".to_owned()));
        f.write_str(&parts.join(", "))
    }
}

/// Sorts ranges and joins those that overlap or touch.
fn joined(mut ranges: Vec<PortRange>) -> Vec<PortRange> {
    ranges.sort_unstable();
    let mut result: Vec<PortRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match result.last_mut() {
            Some(last) if u32::from(range.lo) <= u32::from(last.hi) + 1 => last.hi = last.hi.max(range.hi),
            _ => result.push(range),
        }
    }
    result
}

/// Every range of `inner` lies in one of `outer` (which is joined, so that one is enough).
fn ranges_cover(outer: &[PortRange], inner: &[PortRange]) -> bool {
    inner.iter().all(|i| outer.iter().any(|o| o.lo <= i.lo && i.hi <= o.hi))
}

fn ranges_meet(a: &[PortRange], b: &[PortRange]) -> Vec<PortRange> {
    let common = a.iter().flat_map(|a| b.iter().map(|b| PortRange { lo: a.lo.max(b.lo), hi: a.hi.min(b.hi) }));
    joined(common.filter(|range| range.lo <= range.hi).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set() -> impl Strategy<Value = PortSet> {
        let range = (0u16..40, 0u16..12).prop_map(|(lo, width)| PortRange { lo, hi: lo + width });
        let ranges = || proptest::collection::vec(range.clone(), 0..4).prop_map(joined);
        (ranges(), ranges(), any::<bool>(), 0..8).prop_map(|(tcp, udp, icmp, any)| match any {
            0 => PortSet::any(),
            _ => PortSet { any: false, tcp, udp, icmp },
        })
    }

    /// The set spelled out: (protocol, port) for every port that a range here can reach; 99 stands for the others.
    fn members(set: &PortSet) -> std::collections::BTreeSet<(u8, u16)> {
        let all = [6u8, 17, 1, 99].into_iter().flat_map(|protocol| (0u16..60).map(move |port| (protocol, port)));
        all.filter(|&(protocol, port)| {
            set.any
                || match protocol {
                    6 => set.tcp.iter().any(|range| range.contains(port)),
                    17 => set.udp.iter().any(|range| range.contains(port)),
                    1 => set.icmp,
                    _ => false,
                }
        })
        .collect()
    }

    proptest! {
        #[test]
        fn the_algebra_is_that_of_sets(a in set(), b in set()) {
            let (x, y) = (members(&a), members(&b));
            prop_assert_eq!(a.covers(&b), y.is_subset(&x));
            prop_assert_eq!(a.meets(&b), !x.is_disjoint(&y));
            prop_assert_eq!(members(&a.intersection(&b)), &x & &y);
            let mut sum = a.clone();
            sum.add(&b);
            prop_assert_eq!(members(&sum), &x | &y);
            prop_assert_eq!(a.is_empty(), x.is_empty());
        }
    }

    #[test]
    fn ports_are_counted_once() {
        let range = |lo, hi| PortRange { lo, hi };
        let set = PortSet { tcp: joined(vec![range(0, 9), range(5, 19), range(20, 20)]), ..PortSet::default() };
        assert_eq!(set.tcp, [range(0, 20)]);
        assert_eq!(set.ports(), Some(21));
        assert_eq!(PortSet::any().ports(), None);
        assert_eq!(set.to_string(), "tcp/0-20");
    }
}
