//! From an address to a value, whatever prefixes say so.
//!
//! Prefixes are nested or disjoint, never crossing. So one walk over them in order, with a stack of those that are
//! open, cuts the address space into ranges that each have one answer. A look-up is then one binary search and
//! asks nothing about nesting, scopes or built-in zones: all of that was settled when the map was compiled. For IPv4,
//! a tree by octets goes down to few ranges first, so that the search is short.

use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;

/// A value for every address of both families.
#[derive(Debug)]
pub(super) struct AddressMap<T> {
    v4: Ranges<u32, T>,
    octets: Octets,
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

    /// The value of an address, by a search among these ranges: the first starts at or below it, those after above.
    #[inline]
    fn among(&self, ranges: Range<usize>, address: A) -> T {
        let (first, others) = (ranges.start, ranges.start + 1..ranges.end);
        self.values[first + self.starts[others].partition_point(|start| *start <= address)]
    }
}

/// A tree by the octets of IPv4: blocks of 256 slots, one for each next octet.
#[derive(Debug)]
struct Octets {
    blocks: Vec<[Slot; 256]>,
}

/// What lies behind some octets.
#[derive(Debug, Clone, Copy)]
enum Slot {
    /// More ranges than few: the block of the next octet.
    Block(u32),
    /// The range that the first address lies in, and how many more start behind it.
    Ranges { first: u32, more: u8 },
}

impl Octets {
    /// A search among so many costs no more than another octet. It bounds the memory too: a block takes 2 KiB, and
    /// no address has more than four.
    const FEW: usize = 4;

    fn new(starts: &[u32]) -> Self {
        let mut tree = Self { blocks: Vec::new() };
        tree.push_block(starts, 0, 24);
        tree
    }

    /// Adds the block of the addresses from here on that an octet, shifted so far, tells apart.
    fn push_block(&mut self, starts: &[u32], from: u32, shift: u32) -> u32 {
        let block = self.blocks.len();
        self.blocks.push([Slot::Block(0); 256]);
        let (mut next, mut address) = (starts.partition_point(|start| *start < from), from);
        for octet in 0..256 {
            let last = address | ((1 << shift) - 1);
            next += starts[next..].iter().take_while(|start| **start <= address).count();
            let more = starts[next..].iter().take_while(|start| **start <= last).count();
            let slot = if more > Self::FEW {
                Slot::Block(self.push_block(starts, address, shift - 8))
            } else {
                // at least 1, because the first range starts at the lowest address
                Slot::Ranges { first: next as u32 - 1, more: more as u8 }
            };
            self.blocks[block][octet] = slot;
            next += more;
            address = last.wrapping_add(1);
        }
        block as u32
    }

    /// The ranges to search for an address.
    #[inline]
    fn ranges(&self, address: u32) -> Range<usize> {
        let (mut block, mut left) = (0, address);
        loop {
            match self.blocks[block][(left >> 24) as usize] {
                Slot::Block(next) => (block, left) = (next as usize, left << 8),
                Slot::Ranges { first, more } => return first as usize..first as usize + usize::from(more) + 1,
            }
        }
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
            octets: Octets::new(&v4.starts),
            v4,
            v6: Ranges::new(v6.into_iter().map(|(start, state)| (start, finish(state)))),
        }
    }

    /// The value of an address. An IPv4-mapped IPv6 address is an IPv6 address.
    #[inline]
    pub(super) fn at(&self, address: IpAddr) -> T {
        match address {
            IpAddr::V4(v4) => self.v4.among(self.octets.ranges(v4.to_bits()), v4.to_bits()),
            IpAddr::V6(v6) => self.v6.among(0..self.v6.starts.len(), v6.to_bits()),
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
    fn many_ranges_are_looked_up_by_their_octets() {
        // a host in every fourth /24 of 10.0.0.0/9, and the first and the last /16 of all
        let hosts = (0..1 << 13).map(|place| Ipv4Net::new_assert((0x0a00_0007_u32 | place << 10).into(), 32));
        let ends = ["0.0.0.0/16", "255.255.0.0/16"].map(|net| net.parse().unwrap());
        let prefixes: Vec<(IpNet, u64)> = hosts.chain(ends).map(|net| (net.into(), 1)).collect();
        let map = map(&prefixes);
        assert!(map.octets.blocks.len() > 32);
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
