//! Random maps and records, from values that lie where the rules change their mind.

use std::net::IpAddr;

use proptest::collection::vec;
use proptest::option::{of, weighted};
use proptest::prelude::*;
use proptest::sample::select;

use crate::boundary::evaluate::Selection;
use crate::boundary::model::{
    BoundaryMap, Eni, Exit, Invariant, InvariantKind, Nacl, Place, PortRange, Role, Rule, RuleSide, Selector, Service,
    ServiceId, Services, Vpc, VpcId, Zone, ZoneId,
};
use crate::boundary::values::Severity;
use crate::record::{Action, Field, FlowRecord, LogStatus};

const ADDRESSES: [&str; 26] = [
    "10.0.0.1",
    "10.0.0.5",
    "10.0.0.255",
    "10.0.1.1",
    "10.0.1.7",
    "10.0.255.255",
    "10.1.0.1",
    "10.1.0.9",
    "10.2.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "203.0.113.9",
    "203.0.113.66",
    "8.8.8.8",
    "169.254.169.254",
    "224.0.0.1",
    "255.255.255.255",
    "0.0.0.0",
    "fd00::1",
    "fd00:1::5",
    "2001:db8::1",
    "2001:db8:1::1",
    "fe80::1",
    "ff02::1",
    "::ffff:10.0.0.1",
];

/// The addresses that random VPCs contain: they come more often.
const NEAR: [&str; 8] =
    ["10.0.0.1", "10.0.0.5", "10.0.1.1", "10.0.1.7", "10.1.0.1", "10.1.0.9", "2001:db8::1", "fd00::1"];

const CIDRS: [&str; 18] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.0.0.0/16",
    "10.0.0.0/24",
    "10.0.1.0/24",
    "10.0.0.0/30",
    "10.1.0.0/16",
    "10.1.0.0/24",
    "10.0.0.5/32",
    "172.16.0.0/12",
    "203.0.113.0/24",
    "203.0.113.64/26",
    "::/0",
    "fd00::/8",
    "fd00::/48",
    "2001:db8::/32",
    "2001:db8:1::/48",
    "169.254.0.0/16",
];

const VPC_CIDRS: [&str; 8] = [
    "10.0.0.0/16",
    "10.0.0.0/16",
    "10.0.0.0/16",
    "10.1.0.0/16",
    "10.0.0.0/8",
    "203.0.113.0/24",
    "2001:db8::/32",
    "fd00::/48",
];

const PORTS: [i64; 18] =
    [0, 22, 53, 443, 1023, 1024, 1025, 2047, 2048, 2049, 5432, 8080, 32_767, 32_768, 40_000, 50_000, 65_534, 65_535];

const RANGES: [(u16, u16); 12] = [
    (443, 443),
    (5432, 5432),
    (22, 53),
    (1024, 2047),
    (1024, 2048),
    (0, 65_535),
    (0, 1023),
    (32_768, 65_535),
    (8000, 8100),
    (2048, 8080),
    (65_535, 65_535),
    (1023, 1024),
];

/// Names whose order is not that of the file.
const NAMES: [&str; 9] = ["m", "a", "z", "k", "b", "q", "c", "y", "d"];

fn parsed<T: std::str::FromStr + Clone + std::fmt::Debug + 'static>(texts: &[&str]) -> impl Strategy<Value = T> + Clone
where
    T::Err: std::fmt::Debug,
{
    select(texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<T>>())
}

fn address() -> impl Strategy<Value = IpAddr> + Clone {
    prop_oneof![5 => parsed(&NEAR), 2 => parsed(&ADDRESSES)]
}

fn ranges() -> impl Strategy<Value = Vec<PortRange>> {
    vec(select(&RANGES).prop_map(|(lo, hi)| PortRange { lo, hi }), 0..3)
}

fn severity() -> impl Strategy<Value = Option<Severity>> {
    of(select(Severity::ALL))
}

/// Zones of a map with so many declared ones.
fn zone_list(zones: usize) -> impl Strategy<Value = Vec<ZoneId>> + Clone {
    let built_in = select(&[ZoneId::ANY, ZoneId::ANY, ZoneId::VPC, ZoneId::INTERNET, ZoneId::VPC_UNZONED][..]);
    vec(prop_oneof![3 => (0..ZoneId::declared(zones).0).prop_map(ZoneId), 1 => built_in], 1..4)
}

fn services(count: usize) -> BoxedStrategy<Services> {
    if count == 0 {
        return Just(Services::Any).boxed();
    }
    let these = vec((0..count as u16).prop_map(ServiceId), 1..3).prop_map(Services::These);
    prop_oneof![1 => Just(Services::Any), 3 => these].boxed()
}

fn when() -> impl Strategy<Value = Selector> {
    let envs = vec(select(vec!["prod".to_owned(), "test".to_owned()]), 1..3);
    let mode = select(vec!["x".to_owned(), "y".to_owned()]);
    (weighted(0.2, envs), weighted(0.2, mode)).prop_map(|(env, mode)| Selector { env, mode })
}

pub(super) fn selection() -> impl Strategy<Value = Selection> {
    let env = of(select(vec!["prod".to_owned(), "test".to_owned(), "other".to_owned()]));
    let mode = of(select(vec!["x".to_owned(), "y".to_owned()]));
    (env, mode).prop_map(|(env, mode)| Selection { env, mode })
}

fn vpc(index: usize, count: usize) -> impl Strategy<Value = Vpc> {
    let peers = vec((0..count as u16).prop_map(VpcId), 0..2);
    (vec(parsed(&VPC_CIDRS), 1..3), peers, prop::bool::weighted(0.9)).prop_map(move |(cidrs, peers, named)| Vpc {
        name: NAMES[index].to_owned(),
        id: named.then(|| format!("vpc-{index}")),
        cidrs,
        peers,
        accounts: Vec::new(),
        owner: None,
        description: None,
        place: Place::default(),
    })
}

fn zone(index: usize, count: usize, vpcs: usize) -> impl Strategy<Value = Zone> {
    let vpc = if vpcs == 0 { Just(None).boxed() } else { of((0..vpcs as u16).prop_map(VpcId)).boxed() };
    let parent = of(0..ZoneId::declared(count).0);
    let role = prop_oneof![
        5 => Just(None),
        2 => Just(Some(Role::Nat)),
        1 => select(vec![Some(Role::Tgw), Some(Role::Lb), Some(Role::Endpoint)]),
    ];
    (vpc, vec(parsed(&CIDRS), 0..3), vec(address(), 0..3), parent, role).prop_map(
        move |(vpc, cidrs, addresses, parent, role)| Zone {
            name: NAMES[index].to_owned(),
            vpc,
            cidrs,
            addresses,
            subnets: Vec::new(),
            security_groups: Vec::new(),
            enis: Vec::new(),
            prefix_lists: Vec::new(),
            // only zones before this one, so that there is no circle
            parent: parent.map(ZoneId).filter(|parent| parent.index().is_some_and(|parent| parent < index)),
            role,
            kind: None,
            tags: Vec::new(),
            owner: None,
            description: None,
            place: Place::default(),
        },
    )
}

fn service(index: usize) -> impl Strategy<Value = Service> {
    (ranges(), ranges(), any::<bool>()).prop_map(move |(tcp, udp, icmp)| Service {
        name: NAMES[index].to_owned(),
        tcp,
        udp,
        icmp,
        owner: None,
        description: None,
        place: Place::default(),
    })
}

fn rule(index: usize, zones: usize, count: usize) -> impl Strategy<Value = Rule> {
    let side = prop_oneof![2 => Just(RuleSide::Path), 1 => Just(RuleSide::Ingress), 1 => Just(RuleSide::Egress)];
    (side, zone_list(zones), zone_list(zones), services(count), severity(), when(), select(&NAMES[..])).prop_map(
        move |(side, from, to, service, severity, when, letter)| Rule {
            id: format!("{letter}{index}"),
            side,
            from,
            to,
            service,
            severity,
            owner: None,
            description: None,
            when,
            exposure_accepted: false,
            expires: None,
            optional: false,
            place: Place::default(),
        },
    )
}

fn invariant(index: usize, zones: usize, count: usize) -> impl Strategy<Value = Invariant> {
    let list = || zone_list(zones);
    let exit = (prop_oneof![Just(Vec::new()), zone_list(zones)], list(), services(count))
        .prop_map(|(from, to, service)| Exit { from, to, service, max_bytes_per_hour: None });
    let kind = prop_oneof![
        list().prop_map(|zone| InvariantKind::NoInbound { zone }),
        (list(), list(), any::<bool>()).prop_map(|(zone, peer, inbound_only)| InvariantKind::Isolated {
            zone,
            peer,
            inbound_only
        }),
        (list(), list()).prop_map(|(zone, allow)| InvariantKind::OnlyFrom { zone, allow }),
        (list(), list()).prop_map(|(zone, allow)| InvariantKind::OnlyTo { zone, allow }),
        (list(), vec(exit, 0..3)).prop_map(|(zone, exits)| InvariantKind::Confined { zone, exits }),
        (list(), list(), services(count)).prop_map(|(from, to, service)| InvariantKind::Forbid { from, to, service }),
        (list(), list()).prop_map(|(zone, not_in)| InvariantKind::Placement { zone, not_in }),
    ];
    (kind, severity(), when()).prop_map(move |(kind, severity, when)| Invariant {
        id: format!("i{index}"),
        kind,
        severity,
        owner: None,
        description: None,
        when,
        place: Place::default(),
    })
}

fn nacl(zones: usize) -> impl Strategy<Value = Nacl> {
    let protocol = select(vec![None, Some(6), Some(17), Some(1)]);
    let ports = prop_oneof![Just((0, 65_535)), select(&RANGES)];
    (0..ZoneId::declared(zones).0, 1u32..5, any::<[bool; 2]>(), protocol, parsed(&CIDRS), ports).prop_map(
        |(zone, number, [egress, allow], protocol, cidr, (lo, hi))| Nacl {
            id: None,
            zone: ZoneId(zone),
            number,
            egress,
            allow,
            protocol,
            cidr,
            ports: PortRange { lo, hi },
            owner: None,
            description: None,
            place: Place::default(),
        },
    )
}

fn eni(index: usize, zones: usize) -> impl Strategy<Value = Eni> {
    (vec(address(), 0..3), of(0..ZoneId::declared(zones).0)).prop_map(move |(addresses, zone)| Eni {
        id: format!("eni-{index}"),
        addresses,
        zone: zone.map(ZoneId).filter(|zone| zone.index().is_some()),
        owner: None,
        description: None,
        place: Place::default(),
    })
}

/// One strategy for each index.
fn each<S: Strategy>(count: usize, one: impl Fn(usize) -> S) -> Vec<S> {
    (0..count).map(one).collect()
}

/// Maps with up to three VPCs that may overlap and peer, nested zones, and entries of every kind.
pub(super) fn map() -> impl Strategy<Value = BoundaryMap> {
    let sizes = (prop_oneof![3 => Just(1), 3 => 2..=3usize, 1 => Just(0)], 0..8usize, 0..5usize);
    let sizes = (sizes, (0..12usize, prop_oneof![2 => Just(0), 1 => 1..4usize], 0..4usize, 0..4usize));
    sizes.prop_flat_map(|((vpcs, zones, services), (rules, invariants, nacls, enis))| {
        let policy = (
            each(services, service),
            each(rules, |index| rule(index, zones, services)),
            each(invariants, |index| invariant(index, zones, services)),
            each(nacls, |_| nacl(zones)),
        );
        let places = (each(vpcs, |index| vpc(index, vpcs)), each(zones, |index| zone(index, zones, vpcs)));
        (places, each(enis, |index| eni(index, zones)), policy, weighted(0.3, Just("prod".to_owned()))).prop_map(
            |((vpcs, zones), enis, (services, rules, invariants, nacls), env)| BoundaryMap {
                name: "random".to_owned(),
                env,
                flow_log: None,
                vpcs,
                zones,
                services,
                rules,
                nacls,
                invariants,
                expects: Vec::new(),
                enis,
                files: Vec::new(),
                sha256: String::new(),
            },
        )
    })
}

/// What a record is made of.
#[derive(Debug, Clone)]
pub(super) struct RawRecord {
    pub(super) vpc_id: Option<&'static str>,
    pub(super) interface_id: Option<&'static str>,
    pub(super) direction: Option<&'static str>,
    pub(super) srcaddr: Option<IpAddr>,
    pub(super) dstaddr: Option<IpAddr>,
    pub(super) pkt_srcaddr: Option<IpAddr>,
    pub(super) pkt_dstaddr: Option<IpAddr>,
    pub(super) srcport: Option<i64>,
    pub(super) dstport: Option<i64>,
    pub(super) protocol: Option<i64>,
    pub(super) packets: Option<i64>,
    pub(super) flags: Option<i64>,
    pub(super) action: Option<Action>,
    pub(super) status: Option<LogStatus>,
}

impl RawRecord {
    pub(super) fn record(&self) -> FlowRecord<'static> {
        let mut record = FlowRecord::default();
        for (field, text) in [
            (Field::VpcId, self.vpc_id),
            (Field::InterfaceId, self.interface_id),
            (Field::FlowDirection, self.direction),
        ] {
            if let Some(text) = text {
                record.set_text(field, text);
            }
        }
        for (field, address) in [
            (Field::Srcaddr, self.srcaddr),
            (Field::Dstaddr, self.dstaddr),
            (Field::PktSrcaddr, self.pkt_srcaddr),
            (Field::PktDstaddr, self.pkt_dstaddr),
        ] {
            if let Some(address) = address {
                record.set_address(field, "as written", address);
            }
        }
        for (field, number) in [
            (Field::Srcport, self.srcport),
            (Field::Dstport, self.dstport),
            (Field::Protocol, self.protocol),
            (Field::Packets, self.packets),
            (Field::TcpFlags, self.flags),
        ] {
            if let Some(number) = number {
                assert!(record.set_number(field, number));
            }
        }
        if let Some(action) = self.action {
            record.set_action(action);
        }
        if let Some(status) = self.status {
            record.set_status(status);
        }
        record
    }

    /// The record of the packets that go the other way.
    pub(super) fn turned(&self) -> Self {
        Self {
            srcaddr: self.dstaddr,
            dstaddr: self.srcaddr,
            pkt_srcaddr: self.pkt_dstaddr,
            pkt_dstaddr: self.pkt_srcaddr,
            srcport: self.dstport,
            dstport: self.srcport,
            ..self.clone()
        }
    }
}

pub(super) fn raw_record() -> impl Strategy<Value = RawRecord> {
    let texts = (
        weighted(0.6, select(&["vpc-0", "vpc-0", "vpc-0", "vpc-0", "vpc-1", "vpc-2", "vpc-3"][..])),
        weighted(0.6, select(&["eni-0", "eni-1", "eni-2", "eni-9"][..])),
        weighted(0.4, select(&["ingress", "egress", "sideways"][..])),
    );
    let addresses =
        (weighted(0.98, address()), weighted(0.98, address()), weighted(0.2, address()), weighted(0.2, address()));
    let ports = (weighted(0.95, select(&PORTS)), weighted(0.95, select(&PORTS)));
    let numbers = (
        weighted(0.98, select(&[6, 6, 6, 6, 17, 17, 1, 58, 47, 0][..])),
        weighted(0.95, select(&[0, 1, 3, 4, 5000][..])),
        of(select(&[0, 0, 1, 2, 3, 4, 5, 6, 16, 18, 19, 20, 22, 255][..])),
    );
    let action = weighted(0.98, select(&[Action::Accept, Action::Reject][..]));
    let status = prop_oneof![
        18 => Just(Some(LogStatus::Ok)),
        1 => Just(None),
        1 => select(&[Some(LogStatus::NoData), Some(LogStatus::SkipData)][..]),
    ];
    (texts, addresses, ports, numbers, action, status).prop_map(
        |(
            (vpc_id, interface_id, direction),
            (srcaddr, dstaddr, pkt_srcaddr, pkt_dstaddr),
            (srcport, dstport),
            (protocol, packets, flags),
            action,
            status,
        )| RawRecord {
            vpc_id,
            interface_id,
            direction,
            srcaddr,
            dstaddr,
            pkt_srcaddr,
            pkt_dstaddr,
            srcport,
            dstport,
            protocol,
            packets,
            flags,
            action,
            status,
        },
    )
}
