//! From an address to a value, whatever prefixes say so.
//!
//! Prefixes are nested or disjoint, never crossing. So one walk over them in order, with a stack of those that are
//! open, cuts the address space into ranges that each have one answer. A look-up is then one binary search and
//! asks nothing about nesting, scopes or built-in zones: all of that was settled when the map was compiled. Where the
//! ranges are many, a table by the first two octets says which of them the search is to look at.

use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;

/// A value for every address of both families.
#[derive(Debug)]
pub(super) struct AddressMap<T> {
    v4: Ranges<u32, T>,
    /// The ranges of each /16 of IPv4; empty where there are few.
    octets: FirstOctets,
    v6: Ranges<u128, T>,
}

/// Disjoint ranges that cover a family: each begins at its start and ends before the next; the first starts at 0.
#[derive(Debug)]
struct Ranges<A, T> {
    starts: Vec<A>,
    values: Vec<T>,
}

impl<A: Ord + Copy, T: Copy + PartialEq> Ranges<A, T> {
    fn new(cuts: impl IntoIterator<Item = (A, T)>) -> Self {
        let mut ranges = Self { starts: Vec::new(), values: Vec::new() };
        for (start, value) in cuts {
            if ranges.values.last() != Some(&value) {
                ranges.starts.push(start);
                ranges.values.push(value);
            }
        }
        ranges
    }

    fn at(&self, address: A) -> T {
        self.among(0..self.starts.len(), address)
    }

    /// The value of an address, by a search among these ranges: those before start below it, those after start above.
    fn among(&self, ranges: Range<usize>, address: A) -> T {
        let upto = ranges.start + self.starts[ranges].partition_point(|start| *start <= address);
        // at least 1, because the first range starts at the lowest address
        self.values[upto - 1]
    }
}

/// Which ranges of IPv4 start in each /16. It takes 256 KiB, so fewer ranges than [`Self::WORTH_IT`] have none.
#[derive(Debug)]
struct FirstOctets {
    /// How many ranges start below each /16, and how many there are in all.
    below: Vec<u32>,
}

impl FirstOctets {
    /// Fewer ranges lie in the nearest cache anyway.
    const WORTH_IT: usize = 1024;

    fn new(starts: &[u32]) -> Self {
        if starts.len() < Self::WORTH_IT {
            return Self { below: Vec::new() };
        }
        let mut below = vec![0; (1 << 16) + 1];
        for start in starts {
            below[(start >> 16) as usize + 1] += 1;
        }
        let mut sum = 0;
        for count in &mut below {
            sum += *count;
            *count = sum;
        }
        Self { below }
    }

    /// The ranges that start in the /16 of an address; `None` without a table.
    fn ranges(&self, address: u32) -> Option<Range<usize>> {
        let first = (address >> 16) as usize;
        Some(*self.below.get(first)? as usize..*self.below.get(first + 1)? as usize)
    }
}

impl<T: Copy + PartialEq> AddressMap<T> {
    /// Joins, for every address, `outside` with the state of each prefix that contains it (the widest first), and
    /// turns the result into the value that is kept.
    pub(super) fn new<S: Copy>(
        prefixes: &[(IpNet, S)],
        outside: S,
        join: impl Fn(S, S) -> S,
        mut finish: impl FnMut(S) -> T,
    ) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (prefix, state) in prefixes {
            match prefix {
                IpNet::V4(net) => {
                    v4.push((u128::from(net.network().to_bits()), u128::from(net.broadcast().to_bits()), *state));
                }
                IpNet::V6(net) => v6.push((net.network().to_bits(), net.broadcast().to_bits(), *state)),
            }
        }
        let v4 = flatten(v4, u128::from(u32::MAX), outside, &join);
        let v6 = flatten(v6, u128::MAX, outside, &join);
        let v4 = Ranges::new(v4.into_iter().map(|(start, state)| (start as u32, finish(state))));
        Self {
            octets: FirstOctets::new(&v4.starts),
            v4,
            v6: Ranges::new(v6.into_iter().map(|(start, state)| (start, finish(state)))),
        }
    }

    /// The value of an address. An IPv4-mapped IPv6 address is an IPv6 address.
    pub(super) fn at(&self, address: IpAddr) -> T {
        match address {
            IpAddr::V4(v4) => match self.octets.ranges(v4.to_bits()) {
                Some(ranges) => self.v4.among(ranges, v4.to_bits()),
                None => self.v4.at(v4.to_bits()),
            },
            IpAddr::V6(v6) => self.v6.at(v6.to_bits()),
        }
    }
}

/// Cuts `0..=last` where the state changes. Each prefix is given by its first and last address.
fn flatten<S: Copy>(
    mut prefixes: Vec<(u128, u128, S)>,
    last: u128,
    outside: S,
    join: impl Fn(S, S) -> S,
) -> Vec<(u128, S)> {
    // a prefix comes after every prefix that contains it
    prefixes.sort_by_key(|(start, end, _)| (*start, u128::MAX - *end));
    let mut cuts = vec![(0, outside)];
    let mut cut = |start, state| match cuts.last_mut() {
        Some(previous) if previous.0 == start => previous.1 = state,
        _ => cuts.push((start, state)),
    };
    let mut open: Vec<(u128, S)> = Vec::new();
    let state = |open: &[(u128, S)]| open.last().map_or(outside, |(_, state)| *state);
    for (start, end, own) in prefixes {
        while let Some((closed, _)) = open.pop_if(|(end, _)| *end < start) {
            cut(closed + 1, state(&open));
        }
        open.push((end, join(state(&open), own)));
        cut(start, state(&open));
    }
    while let Some((closed, _)) = open.pop() {
        if closed < last {
            cut(closed + 1, state(&open));
        }
    }
    cuts
}

#[cfg(test)]
mod tests {
    use ipnet::Ipv4Net;
    use proptest::prelude::*;

    use super::*;

    /// The state is the set of the prefixes around an address, one bit each.
    fn map(prefixes: &[(IpNet, u64)]) -> AddressMap<u64> {
        AddressMap::new(prefixes, 0, |around, own| around | own, |state| state)
    }

    fn numbered(nets: Vec<IpNet>) -> Vec<(IpNet, u64)> {
        nets.into_iter().enumerate().map(|(i, net)| (net, 1 << i)).collect()
    }

    #[test]
    fn the_ends_of_the_address_space_have_values() {
        let prefixes = ["0.0.0.0/0", "255.255.255.255/32", "0.0.0.0/32", "::/0", "ffff::/16"];
        let map = map(&numbered(prefixes.iter().map(|net| net.parse().unwrap()).collect()));
        for (address, bits) in [
            ("0.0.0.0", 0b00101),
            ("0.0.0.1", 0b00001),
            ("255.255.255.255", 0b00011),
            ("::", 0b01000),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 0b11000),
        ] {
            assert_eq!(map.at(address.parse().unwrap()), bits, "{address}");
        }
    }

    #[test]
    fn a_mapped_address_is_in_no_ipv4_prefix() {
        let map = map(&[("10.0.0.0/8".parse().unwrap(), 1)]);
        assert_eq!(map.at("10.1.2.3".parse().unwrap()), 1);
        assert_eq!(map.at("::ffff:10.1.2.3".parse().unwrap()), 0);
    }

    #[test]
    fn many_ranges_are_looked_up_by_their_first_octets() {
        // a host in every fourth /24 of 10.0.0.0/9, and the first and the last /16 of all
        let hosts = (0..1 << 13).map(|place| Ipv4Net::new_assert((0x0a00_0007_u32 | place << 10).into(), 32));
        let ends = ["0.0.0.0/16", "255.255.0.0/16"].map(|net| net.parse().unwrap());
        let prefixes: Vec<(IpNet, u64)> = hosts.chain(ends).map(|net| (net.into(), 1)).collect();
        let map = map(&prefixes);
        assert!(!map.octets.below.is_empty());
        let near = |bits: u32| [bits.wrapping_sub(1), bits, bits.wrapping_add(1), bits ^ 0x8000, bits ^ 0x1_0000];
        for bits in prefixes.iter().flat_map(|(net, _)| match net {
            IpNet::V4(net) => [near(net.network().to_bits()), near(net.broadcast().to_bits())].concat(),
            IpNet::V6(_) => Vec::new(),
        }) {
            let is_host = bits >> 23 == 0x0a00_0000 >> 23 && bits & 0x3ff == 7;
            let expected = u64::from(is_host || bits >> 16 == 0 || bits >> 16 == 0xffff);
            assert_eq!(map.at(IpAddr::V4(bits.into())), expected, "{:?}", std::net::Ipv4Addr::from_bits(bits));
        }
    }

    /// Prefixes and addresses from a few bits, so that they meet.
    fn net() -> impl Strategy<Value = IpNet> {
        prop_oneof![
            (any::<u32>(), 0u8..=32)
                .prop_map(|(bits, len)| Ipv4Net::new_assert((bits & 0xc300_0003).into(), len).trunc().into()),
            (any::<u128>(), 0u8..=128).prop_map(|(bits, len)| ipnet::Ipv6Net::new_assert(
                (bits & (0xc3 << 120 | 3)).into(),
                len
            )
            .trunc()
            .into()),
        ]
    }

    proptest! {
        #[test]
        fn it_agrees_with_asking_every_prefix(nets in prop::collection::vec(net(), 0..20), near in any::<u8>()) {
            let prefixes = numbered(nets);
            let map = map(&prefixes);
            for (net, _) in &prefixes {
                for address in around(*net, near) {
                    let expected = prefixes.iter().filter(|(net, _)| net.contains(&address)).fold(0, |bits, (_, bit)| bits | bit);
                    prop_assert_eq!(map.at(address), expected, "{}", address);
                }
            }
        }
    }

    /// Both ends of a prefix, their neighbours outside, and an address inside.
    fn around(net: IpNet, near: u8) -> Vec<IpAddr> {
        match net {
            IpNet::V4(net) => {
                let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
                [first, last, first.wrapping_sub(1), last.wrapping_add(1), first.saturating_add(near.into()).min(last)]
                    .map(|bits| IpAddr::V4(bits.into()))
                    .to_vec()
            }
            IpNet::V6(net) => {
                let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
                [first, last, first.wrapping_sub(1), last.wrapping_add(1), first.saturating_add(near.into()).min(last)]
                    .map(|bits| IpAddr::V6(bits.into()))
                    .to_vec()
            }
        }
    }
}
