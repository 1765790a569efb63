//! The traffic: who talks to whom, and how a log says it.
//!
//! Servers have the lower port, rejected packets are requests, TCP rejects carry a SYN, and at least one end of every
//! record is in the VPC: what is left to interpretation on other logs is not on these.

use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::dice::{Dice, mix};
use crate::network::{FIRST_LOCAL, FIRST_REMOTE, INTERNET, Network, Rule, VPC_ID, WEB_V6};

/// 2026-11-20T06:00:00Z.
const START: u64 = 1_795_154_400;
const RECORDS_A_MINUTE: u64 = 62_500;
const INTERFACES: usize = 500;
/// Addresses of the internet that talk to the services, and of each declared zone outside of the VPC.
const PUBLIC_PEERS: usize = 190_000;
const ZONE_PEERS: usize = 2_000;
/// Shares of all records.
const NODATA: f64 = 0.004;
const SKIPDATA: f64 = 0.0007;
const REJECT: f64 = 0.028;
const BREACH: f64 = 0.003;
const IPV6: f64 = 0.019;
const ICMP: f64 = 0.005;
const NORTH_SOUTH: f64 = 0.4;

pub const V2: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status";
pub const V5: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end \
    action log-status vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr region az-id \
    sublocation-type sublocation-id pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path";

/// One end of a flow: its interface if it is in the VPC.
#[derive(Clone, Copy)]
struct End {
    address: Address,
    interface: Option<usize>,
    zone: usize,
}

#[derive(Clone, Copy)]
enum Address {
    V4(u32),
    V6(u128),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::V4(address) => Ipv4Addr::from(*address).fmt(f),
            Self::V6(address) => Ipv6Addr::from(*address).fmt(f),
        }
    }
}

struct Flow {
    client: End,
    server: End,
    protocol: u8,
    port: u16,
    reply: bool,
    reject: bool,
}

/// What the generator knows of its records: what every system must find.
#[derive(Default, Clone, Copy)]
pub struct Truth {
    pub rows: u64,
    pub packets: u64,
    pub bytes: u64,
    /// No data, expected, breach, outage, blocked.
    pub verdicts: [u64; 5],
}

impl Truth {
    pub fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.packets += other.packets;
        self.bytes += other.bytes;
        for (verdict, count) in self.verdicts.iter_mut().zip(other.verdicts) {
            *verdict += count;
        }
    }
}

pub struct Traffic {
    network: Network,
    interfaces: Vec<End>,
    /// Interfaces of each local zone.
    of_zone: Vec<Vec<usize>>,
    /// Addresses of each remote zone.
    remote: Vec<Vec<u32>>,
    /// Rules that a zone takes part in, without ICMP; and those of ICMP.
    rules_of: Vec<Vec<Rule>>,
    icmp: Vec<Rule>,
    breaches: Vec<Rule>,
    outages: Vec<Rule>,
    seed: u64,
    with_v5: bool,
    records: u64,
}

impl Traffic {
    pub fn new(network: Network, seed: u64, with_v5: bool, records: u64) -> Self {
        let mut dice = Dice(seed);
        let zones = FIRST_REMOTE - FIRST_LOCAL;
        let interfaces: Vec<End> = (0..INTERFACES)
            .map(|number| {
                let zone = FIRST_LOCAL + number % zones;
                End { address: Address::V4(network.address(zone, number)), interface: Some(number), zone }
            })
            .collect();
        let of_zone =
            (0..zones).map(|zone| (0..INTERFACES).filter(|number| number % zones == zone).collect()).collect();
        let last = network.cidrs.iter().map(|cidr| cidr.1).max().unwrap_or(FIRST_REMOTE);
        let remote = (FIRST_REMOTE..=last)
            .map(|zone| (0..ZONE_PEERS).map(|rank| network.address(zone, rank)).collect())
            .collect();
        let takes_part = |zone: usize, rule: &Rule| rule.2 != 1 && (rule.0 == zone || rule.1 == zone);
        let rules_of = (0..zones)
            .map(|zone| network.rules.iter().filter(|rule| takes_part(FIRST_LOCAL + zone, rule)).copied().collect())
            .collect();
        let icmp = network.rules.iter().filter(|rule| rule.2 == 1).copied().collect();
        let all: Vec<Rule> = network.rules.iter().copied().collect();
        let outages = (0..10).map(|_| *dice.pick(&all)).filter(|rule| rule.2 != 1).collect();
        let mut breaches = Vec::new();
        while breaches.len() < 40 {
            let client = if dice.chance(0.3) { INTERNET } else { FIRST_LOCAL + dice.below(zones) };
            let rule =
                (client, FIRST_LOCAL + dice.below(zones), 6, *dice.pick(&[22, 443, 3389, 4444, 5432, 6379, 9200]));
            if !network.rules.contains(&rule) {
                breaches.push(rule);
            }
        }
        Self { network, interfaces, of_zone, remote, rules_of, icmp, breaches, outages, seed, with_v5, records }
    }

    /// Writes the records `from..to`, and says what they are.
    pub fn write(&self, from: u64, to: u64, out: &mut dyn FnMut(&[u8])) -> Truth {
        let mut dice = Dice(mix(self.seed ^ mix(from + 1)));
        let mut truth = Truth::default();
        let mut text = Vec::new();
        let _infallible = writeln!(text, "{}", if self.with_v5 { V5 } else { V2 });
        for number in from..to {
            let minute = number / RECORDS_A_MINUTE.min(self.records.div_ceil(10));
            let start = START + 60 * minute + dice.below(30) as u64;
            let end = start + 1 + dice.below(59) as u64;
            truth.rows += 1;
            let status = dice.unit();
            if status < NODATA + SKIPDATA {
                let status = if status < NODATA { "NODATA" } else { "SKIPDATA" };
                self.quiet(&mut dice, start, end, status, &mut text);
                truth.verdicts[0] += 1;
            } else {
                let flow = self.flow(&mut dice);
                // mostly few, some thousands
                let packets = (8.0 * dice.unit().powi(2)).exp() as u64;
                let bytes = packets * (40 + dice.below(1400) as u64);
                self.record(&mut dice, &flow, [packets, bytes, start, end], &mut text);
                truth.packets += packets;
                truth.bytes += bytes;
                let allowed =
                    self.network.rules.contains(&(flow.client.zone, flow.server.zone, flow.protocol, flow.port));
                truth.verdicts[match (allowed, flow.reject) {
                    (true, false) => 1,
                    (false, false) => 2,
                    (true, true) => 3,
                    (false, true) => 4,
                }] += 1;
            }
            if text.len() > 1 << 18 {
                out(&text);
                text.clear();
            }
        }
        out(&text);
        truth
    }

    fn flow(&self, dice: &mut Dice) -> Flow {
        let kind = dice.unit();
        if kind < REJECT {
            self.rejected(dice)
        } else if kind < REJECT + BREACH {
            let lane = dice.below(self.breaches.len());
            let (client, server, protocol, port) = self.breaches[lane];
            // a lane is one client or a few, and one server
            let client =
                if client == INTERNET { self.public(lane * 7 + dice.below(3)) } else { self.host(client, lane) };
            Flow { client, server: self.host(server, lane), protocol, port, reply: dice.chance(0.5), reject: false }
        } else if kind < REJECT + BREACH + IPV6 {
            let server = self.host(FIRST_LOCAL + 1, dice.zipf(30));
            let low = server.interface.unwrap_or_default() as u128 + 1;
            let prefix = format!("{WEB_V6}::").parse().map_or(0, |prefix: Ipv6Addr| u128::from(prefix)) | low;
            let client = 0x2a02_0000u128 << 96 | u128::from(mix(dice.zipf(20_000) as u64)) << 16;
            let end = |address, like: End| End { address: Address::V6(address), ..like };
            let client = end(client, self.public(0));
            Flow { client, server: end(prefix, server), protocol: 6, port: 443, reply: dice.chance(0.5), reject: false }
        } else {
            let rule = self.allowed(dice);
            let (client, server) = (self.end(rule.0, dice), self.end(rule.1, dice));
            Flow { client, server, protocol: rule.2, port: rule.3, reply: dice.chance(0.5), reject: false }
        }
    }

    /// A rule by which packets go to and fro: busy interfaces and busy rules come more often.
    fn allowed(&self, dice: &mut Dice) -> Rule {
        let interface = &self.interfaces[dice.zipf(INTERFACES)];
        let kind = dice.unit();
        if kind < ICMP {
            *dice.pick(&self.icmp)
        } else if kind < ICMP + NORTH_SOUTH {
            match dice.below(10) {
                0..4 => (INTERNET, FIRST_LOCAL, 6, 443),
                4 => (INTERNET, FIRST_LOCAL, 6, 80),
                5..8 => (INTERNET, FIRST_LOCAL + 1, 6, 443),
                _ => (interface.zone, INTERNET, 6, 443),
            }
        } else {
            let rules = &self.rules_of[interface.zone - FIRST_LOCAL];
            rules[dice.zipf(rules.len())]
        }
    }

    fn rejected(&self, dice: &mut Dice) -> Flow {
        let kind = dice.unit();
        let (client, server, protocol, port) = if kind < 0.72 {
            // a scanner; most come once
            let rank = if dice.chance(0.8) { dice.next() as usize >> 40 } else { dice.zipf(3000) };
            let port =
                *dice.pick(&[21, 22, 23, 25, 445, 1433, 2375, 3306, 3389, 5900, 6379, 7001, 8080, 8088, 9200, 27017]);
            (self.public(PUBLIC_PEERS + rank), self.interfaces[dice.below(INTERFACES)], 6, port)
        } else if kind < 0.97 {
            loop {
                let (client, server) = (self.interfaces[dice.zipf(INTERFACES)], self.interfaces[dice.zipf(INTERFACES)]);
                let port = *dice.pick(&[22, 137, 443, 3306, 5432, 6379, 9092, 9100]);
                if !self.network.rules.contains(&(client.zone, server.zone, 6, port)) {
                    break (client, server, 6, port);
                }
            }
        } else {
            let lane = dice.below(self.outages.len());
            let rule = self.outages[lane];
            (self.end_at(rule.0, lane), self.end_at(rule.1, lane), rule.2, rule.3)
        };
        Flow { client, server, protocol, port, reply: false, reject: true }
    }

    /// Somebody of a zone.
    fn end(&self, zone: usize, dice: &mut Dice) -> End {
        let count = match zone {
            INTERNET => PUBLIC_PEERS,
            FIRST_REMOTE.. => ZONE_PEERS,
            _ => self.of_zone[zone - FIRST_LOCAL].len(),
        };
        self.end_at(zone, dice.zipf(count))
    }

    fn end_at(&self, zone: usize, rank: usize) -> End {
        match zone {
            INTERNET => self.public(rank),
            FIRST_REMOTE.. => {
                End { address: Address::V4(self.remote[zone - FIRST_REMOTE][rank]), interface: None, zone }
            }
            _ => self.host(zone, rank),
        }
    }

    fn host(&self, zone: usize, rank: usize) -> End {
        let interfaces = &self.of_zone[zone - FIRST_LOCAL];
        self.interfaces[interfaces[rank % interfaces.len()]]
    }

    fn public(&self, rank: usize) -> End {
        End { address: Address::V4(self.network.address(INTERNET, rank)), interface: None, zone: INTERNET }
    }

    fn record(&self, dice: &mut Dice, flow: &Flow, [packets, bytes, start, end]: [u64; 4], text: &mut Vec<u8>) {
        let Flow { client, server, protocol, port, reply, reject } = flow;
        let ephemeral = if *protocol == 1 { 0 } else { 32_768 + dice.below(28_232) };
        let (source, destination) = if *reply { (server, client) } else { (client, server) };
        let (srcport, dstport) = if *reply { ((*port).into(), ephemeral) } else { (ephemeral, (*port).into()) };
        // both ends have a log when both are in the VPC; what is rejected, is so at its destination
        let egress = match (source.interface, destination.interface) {
            (Some(_), Some(_)) => !reject && dice.chance(0.5),
            (source, _) => source.is_some(),
        };
        let interface = if egress { source } else { destination }.interface.unwrap_or_default();
        let action = if *reject { "REJECT" } else { "ACCEPT" };
        let version = if self.with_v5 { 5 } else { 2 };
        let (from, to) = (source.address, destination.address);
        let _infallible = write!(
            text,
            "{version} 123456789012 {} {from} {to} {srcport} {dstport} {protocol} {packets} {bytes} {start} {end} {action} OK",
            interface_id(interface)
        );
        if self.with_v5 {
            let flags = match (protocol, reject, reply) {
                (6, true, _) => 2,
                (6, _, false) => [0, 0, 2, 3][dice.below(4)],
                (6, _, true) => [0, 0, 18, 19][dice.below(4)],
                _ => 0,
            };
            let family = if matches!(from, Address::V4(_)) { "IPv4" } else { "IPv6" };
            let (pkt_from, pkt_to) = (self.pod(source, dice), self.pod(destination, dice));
            let direction = if egress { "egress" } else { "ingress" };
            let path = match (egress, destination.zone) {
                (false, _) => "-",
                (true, INTERNET) => "8",
                (true, FIRST_REMOTE) => "4",
                (true, FIRST_REMOTE..) => "7",
                (true, _) => "1",
            };
            let _infallible = write!(
                text,
                " {VPC_ID} {} {} {flags} {family} {pkt_from} {pkt_to} us-east-1 use1-az{} - - {} {} {direction} {path}",
                subnet_id(interface),
                instance_id(interface),
                1 + interface % 3,
                service(source),
                service(destination)
            );
        }
        text.push(b'\n');
    }

    /// A heartbeat, or the notice that records were skipped.
    fn quiet(&self, dice: &mut Dice, start: u64, end: u64, status: &str, text: &mut Vec<u8>) {
        let interface = dice.below(INTERFACES);
        let version = if self.with_v5 { 5 } else { 2 };
        let id = interface_id(interface);
        let _infallible = write!(text, "{version} 123456789012 {id} - - - - - - - {start} {end} - {status}");
        if self.with_v5 {
            let (subnet, instance) = (subnet_id(interface), instance_id(interface));
            let _infallible = write!(
                text,
                " {VPC_ID} {subnet} {instance} - - - - us-east-1 use1-az{} - - - - - -",
                1 + interface % 3
            );
        }
        text.push(b'\n');
    }

    /// The address in the packet: some hosts run pods, which have addresses of their own in the same zone.
    fn pod(&self, end: &End, dice: &mut Dice) -> Address {
        match (end.address, end.interface) {
            (Address::V4(address), Some(number)) if number % 8 == 0 => {
                let pod = address ^ dice.below(16) as u32;
                Address::V4(if self.network.zone(pod) == end.zone { pod } else { address })
            }
            (address, _) => address,
        }
    }
}

fn service(end: &End) -> &'static str {
    match end.zone.checked_sub(FIRST_REMOTE) {
        Some(1) => "S3",
        Some(2) => "DYNAMODB",
        Some(7) => "CLOUDFRONT",
        _ => "-",
    }
}

fn interface_id(number: usize) -> String {
    format!("eni-0{:016x}", mix(number as u64 + 1))
}

fn subnet_id(interface: usize) -> String {
    format!("subnet-0{:016x}", mix(1000 + interface as u64 % 48))
}

fn instance_id(interface: usize) -> String {
    format!("i-0{:016x}", mix(2000 + interface as u64))
}
