//! Who takes part: addresses and interfaces for every zone of the map.
//!
//! Addresses come from the map alone, never from the seed: the inventory first, then the zone's own addresses, then
//! places in its CIDRs that a stable hash chooses. An address is used only where the map really puts it into the zone
//! (a more specific zone may claim it). Ends with the same zone, VPC and address family form a [`Group`], because
//! the policy cannot tell them apart. Each group keeps some spare ends that ordinary traffic never uses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::dice::stable_hash;
use crate::boundary::model::{Role, VpcId};
use crate::boundary::{Boundary, BoundaryMap, ZoneId};

/// Most interfaces in one run, however many zones the map has.
const MOST_HOSTS: usize = 20_000;
/// Ends of each group that only scenarios use.
const SPARE: usize = 2;
/// Hosts of the internet that only scenarios use, so that each has its own.
const SPARE_INTERNET: usize = 64;
/// Ranges for hosts of the internet: reserved for benchmarks and documentation, so that no real host is accused.
const INTERNET_V4: [&str; 4] = ["198.18.0.0/15", "203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24"];
const INTERNET_V6: [&str; 1] = ["2001:db8::/32"];
/// Private ranges, for addresses of nobody.
const PRIVATE: [&str; 4] = ["192.168.0.0/16", "172.16.0.0/12", "10.0.0.0/8", "100.64.0.0/10"];

/// An interface that writes flow log records.
#[derive(Debug, Clone)]
pub(super) struct Interface {
    /// `eni-…`: the inventory's, or made from the address.
    pub(super) id: String,
    /// The VPC's AWS id; `-` where the map gives none.
    pub(super) vpc_id: String,
    pub(super) subnet_id: String,
    /// `-` on interfaces that AWS manages.
    pub(super) instance_id: String,
    /// 1, 2 or 3: the number in the availability zone's id.
    pub(super) zone_number: u8,
    /// What the interface's own records show instead of each of its IPv4 addresses.
    primary: Option<IpAddr>,
    /// Sends a heartbeat when it has no traffic.
    pub(super) beats: bool,
}

/// One end of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub(super) address: IpAddr,
    /// The primary zone that the map gives the address.
    pub(super) zone: ZoneId,
    /// The VPC that it lies in, if in one.
    pub(super) vpc: Option<VpcId>,
    /// Index of its interface, if it lies in a VPC.
    pub(super) interface: Option<u32>,
    /// What AWS calls the service that owns the address.
    pub(super) aws_service: Option<&'static str>,
    /// `traffic-path` of what leaves a VPC for this end: 3 virtual private gateway, 7 gateway endpoint, 8 internet
    /// gateway; 1 for an end in a VPC.
    pub(super) route: u8,
}

/// Ends between which the policy makes no difference.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) zone: ZoneId,
    pub(super) vpc: Option<VpcId>,
    pub(super) v6: bool,
    /// Ends of ordinary traffic; empty for places that should have none.
    pub(super) ends: Vec<End>,
    /// Ends that only scenarios use.
    pub(super) spare: Vec<End>,
}

impl Group {
    /// The end that stands for the group.
    pub(super) fn first(&self) -> Option<&End> {
        self.ends.first().or_else(|| self.spare.first())
    }
}

/// All interfaces and all ends.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    pub(super) interfaces: Vec<Interface>,
    /// In the order of VPC and zone; the groups outside of every VPC last.
    pub(super) groups: Vec<Group>,
    used: BTreeSet<(Option<VpcId>, IpAddr)>,
}

impl Hosts {
    /// Populates the map. More records make more hosts.
    pub(super) fn new(boundary: &Boundary, flows: u64) -> Self {
        let map = boundary.map();
        let per_zone = usize::try_from(flows / 2500).unwrap_or(usize::MAX).clamp(2, 40);
        let per_zone = per_zone.min(MOST_HOSTS / map.zones.len().max(1)).max(1);
        let mut hosts = Self::default();
        let inventory = hosts.inventory(map);
        for v in 0..map.vpcs.len() {
            for z in 0..map.zones.len() {
                hosts.populate(boundary, VpcId(v as u16), z, per_zone, inventory.get(&z).map_or(&[], Vec::as_slice));
            }
            hosts.unzoned(boundary, VpcId(v as u16));
        }
        for z in 0..map.zones.len() {
            hosts.outside_zone(boundary, z, per_zone);
        }
        let many = usize::try_from(flows / 50).unwrap_or(usize::MAX).clamp(24, 512);
        for (ranges, zone, count, spare, route) in [
            (&INTERNET_V4[..], ZoneId::INTERNET, many, SPARE_INTERNET, 8),
            (&INTERNET_V6[..], ZoneId::INTERNET, many / 4, SPARE_INTERNET, 8),
            (&PRIVATE[..], ZoneId::PRIVATE_UNKNOWN, 0, SPARE, 3),
        ] {
            let ranges: Vec<IpNet> = ranges.iter().filter_map(|range| range.parse().ok()).collect();
            hosts.outside(boundary, zone, &ranges, (count, spare), (None, route));
        }
        hosts
    }

    /// An interface of a VPC that the map does not know.
    pub(super) fn foreign(&mut self, map: &BoundaryMap) -> u32 {
        let mut name = "vpc-0f0e1900000000000".to_owned();
        while map.vpcs.iter().any(|vpc| vpc.id.as_deref() == Some(&name)) {
            name = format!("vpc-{}", aws_hash(&[name.as_bytes()]));
        }
        self.interfaces.push(Interface {
            id: format!("eni-{}", aws_hash(&[b"foreign", name.as_bytes()])),
            subnet_id: format!("subnet-{}", aws_hash(&[b"foreign", name.as_bytes()])),
            vpc_id: name,
            instance_id: "-".to_owned(),
            zone_number: 1,
            primary: None,
            beats: false,
        });
        self.interfaces.len() as u32 - 1
    }

    /// Address that the records of the end's own interface show for it: the interface's primary IPv4 address.
    pub(super) fn shown(&self, end: &End) -> IpAddr {
        match end.interface.and_then(|index| self.interfaces[index as usize].primary) {
            Some(primary) if end.address.is_ipv4() => primary,
            _ => end.address,
        }
    }

    /// The interfaces of the inventory, by zone: index of the interface and its addresses.
    fn inventory(&mut self, map: &BoundaryMap) -> BTreeMap<usize, Vec<(u32, IpAddr)>> {
        let mut by_zone: BTreeMap<usize, Vec<(u32, IpAddr)>> = BTreeMap::new();
        for eni in &map.enis {
            let Some(zone) = eni.zone.and_then(ZoneId::index) else { continue };
            let Some(first) = eni.addresses.first() else { continue };
            let vpc = map.zones[zone]
                .vpc
                .or_else(|| map.vpcs.iter().position(|vpc| contains(&vpc.cidrs, *first)).map(|v| VpcId(v as u16)));
            let Some(vpc) = vpc else { continue };
            let index = self.add_interface(map, vpc, zone, *first, Some(&eni.id));
            by_zone.entry(zone).or_default().extend(eni.addresses.iter().map(|address| (index, *address)));
        }
        by_zone
    }

    fn add_interface(&mut self, map: &BoundaryMap, vpc: VpcId, zone: usize, address: IpAddr, id: Option<&str>) -> u32 {
        let about = &map.vpcs[vpc.0 as usize];
        let vpc_id = about.id.clone().unwrap_or_else(|| "-".to_owned());
        let text = address.to_string();
        let subnet = map.zones.get(zone).and_then(|zone| zone.cidrs.iter().find(|cidr| cidr.contains(&address)));
        let subnet = subnet.map_or_else(|| about.name.clone(), ToString::to_string);
        let managed = map.zones.get(zone).is_some_and(|zone| zone.role.is_some());
        let hash = aws_hash(&[about.name.as_bytes(), text.as_bytes()]);
        self.interfaces.push(Interface {
            id: id.map_or_else(|| format!("eni-{hash}"), str::to_owned),
            vpc_id,
            subnet_id: format!("subnet-{}", aws_hash(&[about.name.as_bytes(), subnet.as_bytes()])),
            instance_id: if managed { "-".to_owned() } else { format!("i-{hash}") },
            zone_number: 1 + (stable_hash(&[subnet.as_bytes()]) % 3) as u8,
            primary: address.is_ipv4().then_some(address),
            beats: false,
        });
        self.interfaces.len() as u32 - 1
    }

    /// The ends of a zone inside a VPC.
    fn populate(&mut self, boundary: &Boundary, vpc: VpcId, z: usize, count: usize, inventory: &[(u32, IpAddr)]) {
        let map = boundary.map();
        let zone = &map.zones[z];
        if zone.vpc.is_some_and(|own| own != vpc) {
            return;
        }
        let id = ZoneId::declared(z);
        let within = &map.vpcs[vpc.0 as usize].cidrs;
        for v6 in [false, true] {
            let declared = inventory
                .iter()
                .map(|(interface, address)| (Some(*interface), *address))
                .chain(zone.addresses.iter().map(|address| (None, *address)));
            let places = places(&zone.cidrs, v6, count * 4 + 8);
            let mut group = Group { zone: id, vpc: Some(vpc), v6, ends: Vec::new(), spare: Vec::new() };
            for (interface, address) in declared.chain(places.map(|address| (None, address))) {
                let full = group.ends.len() >= count;
                if full && group.spare.len() >= SPARE {
                    break;
                }
                if address.is_ipv6() != v6
                    || !contains(within, address)
                    || boundary.zone_of(vpc, address) != id
                    || !self.used.insert((Some(vpc), address))
                {
                    continue;
                }
                let interface = interface.unwrap_or_else(|| self.add_interface(map, vpc, z, address, None));
                // ordinary ends first, then the spare ones: with one address there is no spare end
                self.interfaces[interface as usize].beats |= !full;
                let end =
                    End { address, zone: id, vpc: Some(vpc), interface: Some(interface), aws_service: None, route: 1 };
                if full { group.spare.push(end) } else { group.ends.push(end) }
            }
            self.keep(group);
        }
    }

    /// An address of the VPC that no zone claims, with an interface that nobody planned.
    fn unzoned(&mut self, boundary: &Boundary, vpc: VpcId) {
        let map = boundary.map();
        let mut group =
            Group { zone: ZoneId::VPC_UNZONED, vpc: Some(vpc), v6: false, ends: Vec::new(), spare: Vec::new() };
        for address in places(&map.vpcs[vpc.0 as usize].cidrs, false, 512) {
            if group.spare.len() < SPARE
                && boundary.zone_of(vpc, address) == ZoneId::VPC_UNZONED
                && self.used.insert((Some(vpc), address))
            {
                let interface = Some(self.add_interface(map, vpc, usize::MAX, address, None));
                let zone = ZoneId::VPC_UNZONED;
                group.spare.push(End { address, zone, vpc: Some(vpc), interface, aws_service: None, route: 1 });
            }
        }
        self.keep(group);
    }

    /// The ends of a zone outside of every VPC.
    fn outside_zone(&mut self, boundary: &Boundary, z: usize, count: usize) {
        let zone = &boundary.map().zones[z];
        let aws = zone.kind.as_deref() == Some("aws-service");
        let service = match zone.name.as_str() {
            _ if !aws => None,
            name if name.contains("s3") => Some("S3"),
            name if name.contains("dynamo") => Some("DYNAMODB"),
            _ => Some("AMAZON"),
        };
        let route = match zone.kind.as_deref() {
            Some("aws-service") => 7,
            Some("on-prem") => 3,
            _ => 8,
        };
        let single = zone.addresses.iter().map(|address| IpNet::from(*address));
        let ranges: Vec<IpNet> = single.chain(zone.cidrs.iter().copied()).collect();
        self.outside(boundary, ZoneId::declared(z), &ranges, (count, SPARE), (service, route));
    }

    fn outside(
        &mut self,
        boundary: &Boundary,
        zone: ZoneId,
        ranges: &[IpNet],
        (count, spare): (usize, usize),
        (aws_service, route): (Option<&'static str>, u8),
    ) {
        let map = boundary.map();
        for v6 in [false, true] {
            let mut group = Group { zone, vpc: None, v6, ends: Vec::new(), spare: Vec::new() };
            for address in places(ranges, v6, (count + spare) * 4) {
                let full = group.ends.len() >= count;
                if full && group.spare.len() >= spare {
                    break;
                }
                let outside = map.vpcs.iter().all(|vpc| !contains(&vpc.cidrs, address));
                // global zones look the same from each VPC; a zone that names its VPC does so only from there
                let agreed = (0..map.vpcs.len()).any(|v| boundary.zone_of(VpcId(v as u16), address) == zone);
                if outside && agreed && self.used.insert((None, address)) {
                    let end = End { address, zone, vpc: None, interface: None, aws_service, route };
                    if full { group.spare.push(end) } else { group.ends.push(end) }
                }
            }
            self.keep(group);
        }
    }

    fn keep(&mut self, group: Group) {
        if group.first().is_some() {
            self.groups.push(group);
        }
    }
}

/// True when the zone has one of the roles that hide who talks.
pub(super) fn is_gateway(map: &BoundaryMap, zone: ZoneId) -> bool {
    role(map, zone).is_some_and(|role| matches!(role, Role::Nat | Role::Tgw))
}

/// The role of a zone.
pub(super) fn role(map: &BoundaryMap, zone: ZoneId) -> Option<Role> {
    map.zones[zone.index()?].role
}

/// The zone and those around it.
pub(super) fn lineage(map: &BoundaryMap, zone: ZoneId) -> impl Iterator<Item = ZoneId> + '_ {
    std::iter::successors(Some(zone), |zone| map.zones[zone.index()?].parent)
}

pub(super) fn contains(cidrs: &[IpNet], address: IpAddr) -> bool {
    cidrs.iter().any(|cidr| cidr.contains(&address))
}

/// The n-th IPv4 address in the same /16 as this one, in steps that do not repeat within it.
pub(super) fn neighbour(address: IpAddr, n: u64) -> Option<IpAddr> {
    let IpAddr::V4(v4) = address else { return None };
    // 257 is odd, so its multiples pass through all of the 65,536 addresses
    let low = (u64::from(u32::from(v4) & 0xffff) + n * 257) & 0xffff;
    Some(IpAddr::V4(Ipv4Addr::from(u32::from(v4) & 0xffff_0000 | low as u32)))
}

/// Seventeen hexadecimal digits, as in the ids of AWS.
pub(super) fn aws_hash(parts: &[&[u8]]) -> String {
    format!("0{:016x}", stable_hash(parts))
}

/// Places for hosts, taking turns between the ranges of one family; the same range gives the same places.
fn places(ranges: &[IpNet], v6: bool, count: usize) -> impl Iterator<Item = IpAddr> + use<> {
    let ranges: Vec<IpNet> = ranges.iter().copied().filter(|range| matches!(range, IpNet::V6(_)) == v6).collect();
    let count = if ranges.is_empty() { 0 } else { count };
    (0..count).map(move |n| place(ranges[n % ranges.len()], (n / ranges.len()) as u64))
}

/// The n-th place in a range. AWS keeps the first four addresses of a subnet and the last one for itself.
fn place(range: IpNet, n: u64) -> IpAddr {
    let hash = stable_hash(&[range.to_string().as_bytes(), &n.to_le_bytes()]);
    match range {
        IpNet::V4(net) => {
            let size = 1_u64 << (32 - net.prefix_len());
            let offset = if size < 8 { n % size } else { 4 + hash % (size - 5) };
            IpAddr::V4(Ipv4Addr::from(u32::from(net.network()).wrapping_add(offset as u32)))
        }
        IpNet::V6(net) => {
            let host = u128::MAX.checked_shr(u32::from(net.prefix_len())).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(net.network()) | (u128::from(hash & 0xffff_ffff) & host)))
        }
    }
}

#[cfg(test)]
impl Interface {
    /// An interface without a VPC.
    pub(super) fn for_test(id: &str) -> Self {
        let none = || "-".to_owned();
        Self {
            id: id.to_owned(),
            vpc_id: none(),
            subnet_id: none(),
            instance_id: none(),
            zone_number: 1,
            primary: None,
            beats: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_lie_in_their_range_and_repeat() {
        for range in ["10.0.10.0/24", "10.0.0.0/8", "192.0.2.7/32", "192.0.2.8/30", "2001:db8::/64", "2001:db8::7/128"]
        {
            let range: IpNet = range.parse().unwrap();
            for n in 0..50 {
                assert!(range.contains(&place(range, n)), "{range} {n}");
                assert_eq!(place(range, n), place(range, n));
            }
        }
        let ranges: Vec<IpNet> = ["10.0.0.0/24", "10.1.0.0/24"].iter().map(|range| range.parse().unwrap()).collect();
        let taken: Vec<IpAddr> = places(&ranges, false, 4).collect();
        assert!(ranges[0].contains(&taken[0]) && ranges[1].contains(&taken[1]) && ranges[0].contains(&taken[2]));
        assert_eq!(places(&ranges, true, 4).count(), 0);
    }

    #[test]
    fn ids_look_like_those_of_aws() {
        let id = aws_hash(&[b"vpc", b"10.0.0.1"]);
        assert_eq!(id.len(), 17);
        assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
