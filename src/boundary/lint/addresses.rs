//! L01, L02, L15, L16: addresses of zones and VPCs.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::view::{View, lives_in_a_vpc, overlap};
use super::{Lint, list};
use crate::boundary::model::{Place, Vpc, VpcId, ZoneId};
use crate::boundary::report::Level;

/// A VPC with so few addresses or fewer is a /24 or smaller.
const SMALL_VPC: u64 = 256;
/// AWS's smallest subnet is a /28.
const SMALLEST_SUBNET: u64 = 16;

/// Where the addresses of a VPC may come from: RFC 1918, RFC 6598 (100.64/10, which EKS uses), RFC 4193, and for IPv6
/// global unicast too, because that is what Amazon hands out.
const VPC_RANGES: [&str; 6] =
    ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "2000::/3"];

pub(super) fn check(view: &View<'_>, found: &mut Vec<Lint>) {
    equal_prefixes(view, found);
    for (id, _) in view.zones() {
        outside_vpc(view, id, found);
        outside_parent(view, id, found);
    }
    on_prem_overlaps(view, found);
    for (index, vpc) in view.map.vpcs.iter().enumerate() {
        public_range(vpc, found);
        peer_overlaps(view, index, vpc, found);
        size(view, VpcId(index as u16), vpc, found);
    }
}

/// Two zones and the prefixes that both claim.
struct Quarrel<'a> {
    prefixes: Vec<IpNet>,
    first: &'a Place,
    second: &'a Place,
}

/// L01: within one scope of the lookup, two zones neither of which lies around the other claim one prefix.
fn equal_prefixes(view: &View<'_>, found: &mut Vec<Lint>) {
    let scoped = view.zones().zip(view.prefixes.iter().zip(&view.homes));
    let mut claims: Vec<(Option<VpcId>, IpNet, ZoneId, &Place)> = scoped
        .flat_map(|((id, _), (prefixes, home))| {
            prefixes.iter().map(move |(prefix, place)| (*home, *prefix, id, *place))
        })
        .collect();
    claims.sort_by_key(|(home, prefix, id, _)| (*home, *prefix, *id));
    let mut quarrels: BTreeMap<(ZoneId, ZoneId), Quarrel<'_>> = BTreeMap::new();
    for claimants in claims.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
        for (index, (_, prefix, zone, second)) in claimants.iter().enumerate() {
            let earlier = claimants.iter().take(index).find(|(_, _, other, _)| !view.related(*zone, *other));
            if let Some((_, _, other, first)) = earlier {
                let new = || Quarrel { prefixes: Vec::new(), first, second };
                quarrels.entry((*other, *zone)).or_insert_with(new).prefixes.push(*prefix);
            }
        }
    }
    for ((first, second), quarrel) in quarrels {
        let (first, second) = (view.map.zone_name(first), view.map.zone_name(second));
        let prefixes = list(quarrel.prefixes.iter().map(IpNet::to_string));
        let message = format!("zones `{first}` and `{second}` both claim {prefixes}, and neither is around the other");
        found.push(
            Lint::new("L01", Level::Error, quarrel.second, message)
                .hint(
                    "give each its own addresses, or make one the parent of the other: as it is, depth and then the \
                     name decide which one an address belongs to",
                )
                .related(quarrel.first, format!("`{first}` claims it here")),
        );
    }
}

/// L02, first half: addresses of a zone that are not in its VPC.
fn outside_vpc(view: &View<'_>, id: ZoneId, found: &mut Vec<Lint>) {
    let (Some(zone), Some(index)) = (view.zone(id), id.index()) else { return };
    let prefixes = view.prefixes_of(id);
    let home = view.homes.get(index).copied().flatten().and_then(|home| view.map.vpcs.get(usize::from(home.0)));
    let Some(vpc) = home else {
        let anywhere = view.map.vpcs.iter().any(|vpc| prefixes.iter().any(|(p, _)| inside(p, &vpc.cidrs)));
        if lives_in_a_vpc(zone) && !prefixes.is_empty() && !anywhere && !view.map.vpcs.is_empty() {
            let message = format!(
                "zone `{}` is made of interfaces, and none of its addresses lies in a VPC of the map",
                zone.name
            );
            found.push(
                Lint::new("L02", Level::Error, &zone.place, message)
                    .hint("correct its addresses or the VPC's cidrs: an address outside every VPC counts as external"),
            );
        }
        return;
    };
    let outside: Vec<_> = prefixes.iter().filter(|(prefix, _)| !inside(prefix, &vpc.cidrs)).collect();
    let Some((_, place)) = outside.first() else { return };
    let message = format!(
        "zone `{}` belongs to VPC `{}`, but {} lies outside its cidrs",
        zone.name,
        vpc.name,
        list(outside.iter().map(|(prefix, _)| prefix.to_string()))
    );
    found.push(
        Lint::new("L02", Level::Error, &zone.place, message)
            .hint("correct the zone, or add the range to the VPC's cidrs: until then these addresses count as external")
            .related(place, "an address outside")
            .related(&vpc.place, format!("`{}` is {}", vpc.name, list(vpc.cidrs.iter().map(IpNet::to_string)))),
    );
}

/// L02, second half: addresses of a zone that are not in the nearest zone around it that has ranges.
fn outside_parent(view: &View<'_>, id: ZoneId, found: &mut Vec<Lint>) {
    let Some(zone) = view.zone(id) else { return };
    let parent = view.lineage(id).skip(1).filter_map(|zone| view.zone(zone)).find(|zone| !zone.cidrs.is_empty());
    let Some(parent) = parent else { return };
    let outside: Vec<_> = view.prefixes_of(id).iter().filter(|(prefix, _)| !inside(prefix, &parent.cidrs)).collect();
    let Some((_, place)) = outside.first() else { return };
    let message = format!(
        "zone `{}` has the parent `{}`, but {} lies outside it",
        zone.name,
        parent.name,
        list(outside.iter().map(|(prefix, _)| prefix.to_string()))
    );
    found.push(
        Lint::new("L02", Level::Warning, &zone.place, message)
            .hint("correct one of them: the zone counts as part of its parent whatever the addresses say")
            .related(place, "an address outside")
            .related(
                &parent.place,
                format!("`{}` is {}", parent.name, list(parent.cidrs.iter().map(IpNet::to_string))),
            ),
    );
}

/// L15: a VPC on addresses that belong to somebody on the internet.
fn public_range(vpc: &Vpc, found: &mut Vec<Lint>) {
    let ranges: Vec<IpNet> = VPC_RANGES.iter().filter_map(|range| range.parse().ok()).collect();
    let public: Vec<_> = vpc.cidrs.iter().filter(|cidr| !inside(cidr, &ranges)).map(IpNet::to_string).collect();
    if !public.is_empty() {
        let message = format!("VPC `{}` uses {}, which is no private range", vpc.name, list(public));
        found.push(
            Lint::new("L15", Level::Warning, &vpc.place, message)
                .hint("use 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10: its hosts cannot reach the owners of these addresses"),
        );
    }
}

/// L15: an on-prem zone and a VPC that share addresses.
fn on_prem_overlaps(view: &View<'_>, found: &mut Vec<Lint>) {
    for (id, zone) in view.zones().filter(|(_, zone)| zone.kind.as_deref() == Some("on-prem")) {
        for vpc in &view.map.vpcs {
            let shared = view
                .prefixes_of(id)
                .iter()
                .find_map(|(prefix, _)| vpc.cidrs.iter().find(|cidr| overlap(cidr, prefix)).map(|cidr| (prefix, cidr)));
            if let Some((prefix, cidr)) = shared {
                let message =
                    format!("zone `{}` ({prefix}) is on-prem and overlaps {cidr} of VPC `{}`", zone.name, vpc.name);
                found.push(
                    Lint::new("L15", Level::Warning, &zone.place, message)
                        .hint("no route can tell the two apart: renumber one of them, or narrow the zone")
                        .related(&vpc.place, "the VPC"),
                );
            }
        }
    }
}

/// L15: VPCs that peer and share addresses; AWS refuses such a peering.
fn peer_overlaps(view: &View<'_>, index: usize, vpc: &Vpc, found: &mut Vec<Lint>) {
    for (other_index, other) in view.map.vpcs.iter().enumerate().skip(index + 1) {
        let peer = vpc.peers.contains(&VpcId(other_index as u16)) || other.peers.contains(&VpcId(index as u16));
        let shared = vpc.cidrs.iter().find_map(|a| other.cidrs.iter().find(|b| overlap(a, b)).map(|b| (a, b)));
        if let (true, Some((a, b))) = (peer, shared) {
            let message = format!("VPCs `{}` ({a}) and `{}` ({b}) peer and overlap", vpc.name, other.name);
            found.push(
                Lint::new("L15", Level::Error, &other.place, message)
                    .hint("AWS refuses to peer VPCs that share addresses: correct the cidrs or the peering")
                    .related(&vpc.place, "its peer"),
            );
        }
    }
}

/// L16: a VPC that is small, or whose zones leave no room for one more subnet.
fn size(view: &View<'_>, id: VpcId, vpc: &Vpc, found: &mut Vec<Lint>) {
    let cidrs: Vec<Ipv4Net> = vpc.cidrs.iter().filter_map(v4).collect();
    if cidrs.is_empty() {
        return;
    }
    let total: u64 = cidrs.iter().map(addresses).sum();
    if total <= SMALL_VPC {
        let message = format!("VPC `{}` has {total} addresses: a /24 or smaller leaves no room to grow", vpc.name);
        found
            .push(Lint::new("L16", Level::Warning, &vpc.place, message).hint(
                "plan a /20 or wider, or add a second cidr: AWS keeps five addresses of every subnet for itself",
            ));
        return;
    }
    let zones = view.zones().zip(&view.homes).filter(|(_, home)| **home == Some(id));
    let mut taken: Vec<(u64, u64)> =
        zones.flat_map(|((_, zone), _)| zone.cidrs.iter().filter_map(v4)).map(|cidr| interval(&cidr)).collect();
    taken.sort_unstable();
    if !taken.is_empty() && !cidrs.iter().any(|cidr| has_room(interval(cidr), &taken)) {
        let message = format!("the zones of VPC `{}` take all of its addresses", vpc.name);
        found.push(
            Lint::new("L16", Level::Note, &vpc.place, message)
                .hint("there is no room for a future subnet, not even a /28: add a cidr to the VPC in time"),
        );
    }
}

/// A /28 fits between the taken intervals (sorted by their start, ends excluded).
fn has_room((start, end): (u64, u64), taken: &[(u64, u64)]) -> bool {
    let mut free_from = start;
    for (from, to) in taken.iter().copied().chain([(end, end)]) {
        if free_from.next_multiple_of(SMALLEST_SUBNET) + SMALLEST_SUBNET <= from.min(end) {
            return true;
        }
        free_from = free_from.max(to);
    }
    false
}

fn v4(net: &IpNet) -> Option<Ipv4Net> {
    match net {
        IpNet::V4(net) => Some(*net),
        IpNet::V6(_) => None,
    }
}

fn addresses(net: &Ipv4Net) -> u64 {
    1 << (32 - net.prefix_len())
}

fn interval(net: &Ipv4Net) -> (u64, u64) {
    let start = u64::from(net.network().to_bits());
    (start, start + addresses(net))
}

/// The prefix lies in the union of the ranges.
fn inside(prefix: &IpNet, ranges: &[IpNet]) -> bool {
    ranges.iter().any(|range| range.contains(prefix))
        // Joining costs an allocation and is only needed where the ranges touch.
        || IpNet::aggregate(&ranges.to_vec()).iter().any(|range| range.contains(prefix))
}

/// Whether an address is one of IPv6.
pub(super) fn is_v6(prefix: &IpNet) -> bool {
    matches!(prefix.addr(), IpAddr::V6(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_an_aligned_28() {
        assert!(has_room((0, 512), &[(0, 256)]));
        assert!(has_room((0, 512), &[(16, 512)]));
        assert!(!has_room((0, 512), &[(15, 512)]));
        assert!(has_room((0, 512), &[(0, 496)]));
        assert!(!has_room((0, 512), &[(0, 497)]));
        // 31 free addresses, but no aligned 16 among them
        assert!(!has_room((0, 512), &[(0, 1), (17, 512)]) && has_room((0, 512), &[(0, 1), (32, 512)]));
        assert!(!has_room((0, 512), &[(0, 256), (100, 200), (256, 512)]));
    }

    #[test]
    fn a_prefix_may_lie_in_two_ranges_that_touch() {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let halves = [net("10.0.0.0/25"), net("10.0.0.128/25")];
        assert!(inside(&net("10.0.0.0/24"), &halves));
        assert!(!inside(&net("10.0.0.0/23"), &halves));
    }
}
