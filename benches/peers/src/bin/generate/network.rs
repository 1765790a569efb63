//! The network and its map: one list of CIDRs and rules, written as TOML for flowbound and as CSV for the others.
//!
//! The map is one on which a peer's simple verdict and flowbound's must agree: path rules of one port each, no
//! invariant, no NAT, a catch-all zone around the VPC, every service below the ephemeral ports.
//!
//! Zone numbers: 0 no address, 1 the internet, 2.. the zones of the map in order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use crate::dice::{Dice, mix};

/// Zones inside of the VPC.
const LOCAL: [&str; 16] = [
    "edge",
    "web",
    "api",
    "auth",
    "orders",
    "payments",
    "search",
    "queue",
    "cache",
    "database",
    "warehouse",
    "batch",
    "build",
    "monitoring",
    "bastion",
    "shared",
];
/// Zones outside of it.
const REMOTE: [&str; 8] = ["on-prem", "s3", "dynamodb", "partner-a", "partner-b", "saas", "office", "cdn"];
pub const INTERNET: usize = 1;
/// Zone number of `LOCAL[0]`, and of `REMOTE[0]`.
pub const FIRST_LOCAL: usize = 2;
pub const FIRST_REMOTE: usize = FIRST_LOCAL + LOCAL.len();
const RULES: usize = 270;
/// TCP and UDP ports of servers; everything below 32768.
const TCP_PORTS: [u16; 20] = [
    22, 80, 389, 443, 636, 2049, 3306, 5432, 5672, 6379, 8080, 8443, 9042, 9090, 9092, 9098, 9200, 11211, 15672, 27017,
];
const UDP_PORTS: [u16; 4] = [53, 123, 514, 8125];

pub const VPC_ID: &str = "vpc-0a1b2c3d4e5f60718";
/// The IPv6 addresses of `web`.
pub const WEB_V6: &str = "2600:1f18:1000:aa00";
const WEB: usize = FIRST_LOCAL + 1;
/// The large map: CIDRs, zones a small zone is split into, and rules.
const LARGE_CIDRS: usize = 15_000;
const PARTS: usize = 10;
const LARGE_RULES: usize = 5_000;

/// An IPv4 CIDR.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr {
    pub first: u32,
    pub length: u8,
}

impl Cidr {
    pub fn last(self) -> u32 {
        self.first | (u64::from(u32::MAX) >> self.length) as u32
    }

    fn text(self) -> String {
        format!("{}/{}", std::net::Ipv4Addr::from(self.first), self.length)
    }
}

/// Client zone, server zone, protocol, port (0 for ICMP).
pub type Rule = (usize, usize, u8, u16);

pub struct Network {
    /// CIDRs with their zones.
    pub cidrs: Vec<(Cidr, usize)>,
    pub rules: BTreeSet<Rule>,
    /// Disjoint ranges that cover IPv4: the first address and the zone, in order.
    pub ranges: Vec<(u32, usize)>,
}

impl Network {
    pub fn new(seed: u64) -> Self {
        let cidrs = cidrs();
        let ranges = flatten(&cidrs);
        Self { rules: rules(&mut Dice(seed)), cidrs, ranges }
    }

    pub fn zone(&self, address: u32) -> usize {
        self.ranges[self.ranges.partition_point(|range| range.0 <= address) - 1].1
    }

    /// The `rank`-th of `count` addresses of a zone, spread over all that it has.
    pub fn address(&self, zone: usize, rank: usize) -> u32 {
        if zone == INTERNET {
            return internet(rank as u64);
        }
        // hash until an address of one of the zone's CIDRs is not one of a zone nested in it
        let own: Vec<Cidr> = self.cidrs.iter().filter(|cidr| cidr.1 == zone).map(|cidr| cidr.0).collect();
        let mut dice = Dice(mix(((zone as u64) << 40) + rank as u64));
        loop {
            let cidr = *dice.pick(&own);
            let address = cidr.first + dice.below((cidr.last() - cidr.first) as usize + 1) as u32;
            if self.zone(address) == zone {
                return address;
            }
        }
    }

    /// Writes `small.toml`, `large.toml` and the CSV files of the peers.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("small.toml"), self.small())?;
        fs::write(folder.join("large.toml"), self.large())?;
        let mut csv = "cidr,zone\n0.0.0.0/0,1\n::/0,1\n".to_owned();
        let _infallible = writeln!(csv, "{WEB_V6}::/56,{WEB}");
        for (cidr, zone) in &self.cidrs {
            let _infallible = writeln!(csv, "{},{zone}", cidr.text());
        }
        fs::write(folder.join("cidrs.csv"), csv)?;
        let lines = |header: &str, lines: Vec<String>| format!("{header}\n{}\n", lines.join("\n"));
        let ranges = self.ranges.iter().map(|(first, zone)| format!("{first},{zone}")).collect();
        fs::write(folder.join("ranges.csv"), lines("first,zone", ranges))?;
        let rules =
            self.rules.iter().map(|(client, server, protocol, port)| format!("{client},{server},{protocol},{port}"));
        fs::write(folder.join("rules.csv"), lines("client,server,protocol,port", rules.collect()))?;
        let zones = (INTERNET..FIRST_REMOTE + REMOTE.len()).map(|zone| format!("{zone},{}", name(zone)));
        fs::write(folder.join("zones.csv"), lines("zone,name", zones.collect()))
    }

    fn small(&self) -> String {
        let mut zones: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (cidr, zone) in &self.cidrs {
            zones.entry(name(*zone)).or_default().push(cidr.text());
        }
        zones.entry(name(WEB)).or_default().push(format!("{WEB_V6}::/56"));
        toml("small", &zones, self.rules.iter().map(|rule| (vec![name(rule.0)], vec![name(rule.1)], rule.2, rule.3)))
    }

    /// The same verdicts from a large map: each zone is cut into ten, whose CIDRs are small and lie mixed; each rule
    /// names all ten, and thousands of rules grant single pairs of them once more.
    fn large(&self) -> String {
        let part = |zone: usize, part: usize| format!("{}-{part}", name(zone));
        let parts = |zone: usize| match zone {
            INTERNET => vec![name(INTERNET)],
            _ => (0..PARTS).map(|number| part(zone, number)).collect(),
        };
        let mut dice = Dice(2);
        let mut cidrs: BTreeMap<Cidr, String> = BTreeMap::new();
        for (cidr, zone) in &self.cidrs {
            cidrs.insert(*cidr, part(*zone, dice.below(PARTS)));
        }
        while cidrs.len() < LARGE_CIDRS {
            let outer = dice.pick(&self.cidrs).0;
            let length = 22 + dice.below(9) as u8;
            if length > outer.length {
                let address = outer.first + dice.below((outer.last() - outer.first) as usize + 1) as u32;
                let inner = Cidr { first: address & (u32::MAX << (32 - length)), length };
                let zone = self.zone(inner.first);
                // not across a border of the small map
                if self.ranges.partition_point(|range| range.0 <= inner.first)
                    == self.ranges.partition_point(|range| range.0 <= inner.last())
                    && zone != INTERNET
                {
                    cidrs.entry(inner).or_insert_with(|| part(zone, dice.below(PARTS)));
                }
            }
        }
        let mut zones: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (cidr, zone) in cidrs {
            zones.entry(zone).or_default().push(cidr.text());
        }
        zones.entry(part(WEB, 0)).or_default().push(format!("{WEB_V6}::/56"));
        let mut rules: BTreeSet<_> =
            self.rules.iter().map(|rule| (parts(rule.0), parts(rule.1), rule.2, rule.3)).collect();
        let small: Vec<&Rule> = self.rules.iter().collect();
        while rules.len() < LARGE_RULES {
            let rule = **dice.pick(&small);
            let (client, server) = (dice.pick(&parts(rule.0)).clone(), dice.pick(&parts(rule.1)).clone());
            rules.insert((vec![client], vec![server], rule.2, rule.3));
        }
        toml("large", &zones, rules.into_iter())
    }
}

fn name(zone: usize) -> String {
    match zone {
        INTERNET => "internet",
        FIRST_REMOTE.. => REMOTE[zone - FIRST_REMOTE],
        _ => LOCAL[zone - FIRST_LOCAL],
    }
    .to_owned()
}

/// A public address; different ranks have different ones, but for a few.
fn internet(rank: u64) -> u32 {
    let mut address = (rank as u32).wrapping_mul(0x9e37_79b1).rotate_left(15) ^ 0x5bd1_e995;
    loop {
        let [a, b, ..] = address.to_be_bytes();
        let declared = a == 52 && b < 64;
        let private = a == 10 || a == 0 || a == 127 || a >= 224 || (a == 172 && (16..32).contains(&b));
        let other = (a == 192 && b == 168) || (a == 169 && b == 254) || (a == 100 && (64..128).contains(&b));
        if !(declared || private || other) {
            return address;
        }
        address = address.wrapping_mul(0x9e37_79b1).wrapping_add(0x7f4a_7c15);
    }
}

/// About 200 CIDRs from /8 to /32, nested.
fn cidrs() -> Vec<(Cidr, usize)> {
    let cidr = |a: usize, b: usize, c: usize, d: usize, length: u8| Cidr {
        first: u32::from_be_bytes([a as u8, b as u8, c as u8, d as u8]) & (u32::MAX << (32 - u32::from(length))),
        length,
    };
    let mut cidrs = vec![
        (cidr(10, 0, 0, 0, 8), FIRST_REMOTE),
        (cidr(172, 16, 0, 0, 12), FIRST_REMOTE),
        (cidr(192, 168, 0, 0, 16), FIRST_REMOTE),
    ];
    for zone in 0..LOCAL.len() {
        cidrs.push((cidr(10, zone, 0, 0, 16), FIRST_LOCAL + zone));
        // pieces of it that belong to others, one in the other
        for (depth, length) in [19, 20, 22, 24, 26, 28, 32].into_iter().enumerate() {
            let owner = FIRST_LOCAL + (zone + depth + 1) % LOCAL.len();
            cidrs.push((cidr(10, zone, 32 * (1 + depth % 3), 0, length), owner));
        }
    }
    let remote = REMOTE.len() - 1;
    for zone in 0..remote {
        cidrs.push((cidr(52, 8 * zone, 0, 0, 13), FIRST_REMOTE + 1 + zone));
        for (depth, length) in [16, 18, 20, 21, 22, 24, 25, 27, 29].into_iter().enumerate() {
            let owner = FIRST_REMOTE + 1 + (zone + depth + 1) % remote;
            cidrs.push((cidr(52, 8 * zone + depth % 4, 64 * (depth % 4), 0, length), owner));
        }
    }
    cidrs
}

/// The longest prefix decides, written as disjoint ranges.
fn flatten(cidrs: &[(Cidr, usize)]) -> Vec<(u32, usize)> {
    let mut borders: BTreeSet<u32> = BTreeSet::from([0]);
    for (cidr, _) in cidrs {
        borders.insert(cidr.first);
        borders.extend(cidr.last().checked_add(1));
    }
    let mut ranges: Vec<(u32, usize)> = Vec::new();
    for border in borders {
        let around = cidrs.iter().filter(|(cidr, _)| (cidr.first..=cidr.last()).contains(&border));
        let zone = around.max_by_key(|(cidr, _)| cidr.length).map_or(INTERNET, |(_, zone)| *zone);
        if ranges.last().is_none_or(|range| range.1 != zone) {
            ranges.push((border, zone));
        }
    }
    ranges
}

fn rules(dice: &mut Dice) -> BTreeSet<Rule> {
    let local = |number: usize| FIRST_LOCAL + number;
    let mut rules = BTreeSet::from([
        (INTERNET, local(0), 6, 443),
        (INTERNET, local(0), 6, 80),
        (INTERNET, WEB, 6, 443),
        (FIRST_REMOTE, local(14), 6, 22),
    ]);
    for zone in 0..LOCAL.len() {
        rules.insert((local(zone), INTERNET, 6, 443));
        rules.insert((local(zone), FIRST_REMOTE + 1, 6, 443));
        rules.insert((local(zone), local(15), 17, 53));
        // echo and its reply
        rules.insert((local(zone), local(13), 1, 0));
        rules.insert((local(13), local(zone), 1, 0));
    }
    while rules.len() < RULES {
        let client = local(dice.below(LOCAL.len()));
        let server =
            if dice.chance(0.85) { local(dice.below(LOCAL.len())) } else { FIRST_REMOTE + dice.below(REMOTE.len()) };
        let (protocol, port) =
            if dice.chance(0.9) { (6, *dice.pick(&TCP_PORTS)) } else { (17, *dice.pick(&UDP_PORTS)) };
        rules.insert((client, server, protocol, port));
    }
    rules
}

fn toml(
    title: &str,
    zones: &BTreeMap<String, Vec<String>>,
    rules: impl Iterator<Item = (Vec<String>, Vec<String>, u8, u16)>,
) -> String {
    let mut text = format!(
        "version = 1\nname = \"{title}\"\ndefault = \"deny\"\n\n\
         [vpc.main]\nid = \"{VPC_ID}\"\ncidrs = [\"10.0.0.0/12\", \"{WEB_V6}::/56\"]\n"
    );
    for (zone, cidrs) in zones {
        let _infallible = writeln!(text, "\n[zone.{zone}]\ncidrs = {cidrs:?}");
    }
    text += "\n[service.icmp]\nicmp = true\n";
    for (protocol, ports) in [("tcp", &TCP_PORTS[..]), ("udp", &UDP_PORTS[..])] {
        for port in ports {
            let _infallible = writeln!(text, "\n[service.{protocol}-{port}]\n{protocol} = [\"{port}\"]");
        }
    }
    for (number, (from, to, protocol, port)) in rules.enumerate() {
        let service = match protocol {
            1 => "icmp".to_owned(),
            6 => format!("tcp-{port}"),
            _ => format!("udp-{port}"),
        };
        let _infallible =
            writeln!(text, "\n[[rule]]\nid = \"r{number}\"\nfrom = {from:?}\nto = {to:?}\nservice = [\"{service}\"]");
    }
    text
}
