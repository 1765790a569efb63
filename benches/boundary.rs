//! Verdicts and look-ups of zones, for a small and a large map, in records per second on one thread.
//!
//! Run with `cargo bench --bench boundary`. The maps and the records are made here, seeded: most records follow a rule
//! of the map, as in real logs, and one in ten goes wherever it likes.

#![expect(clippy::unwrap_used, reason = "a bench that cannot set up should stop")]

#[path = "common/seeded.rs"]
mod seeded;

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flowbound::boundary::model::VpcId;
use flowbound::boundary::{Boundary, BoundaryMap, Selection, parse_map};
use flowbound::record::{Action, Field, FlowRecord};
use seeded::Seeded;

/// Records of one measurement: more than a branch predictor can learn by heart.
const RECORDS: usize = 4096;

/// Server ports that the rules of the maps are about.
const PORTS: [u16; 8] = [22, 53, 80, 443, 5432, 6379, 8443, 9092];

/// How large a map is.
struct Size {
    name: &'static str,
    zones: u64,
    /// CIDRs of each zone: networks of 256 addresses, spread over 10.0.0.0/8.
    cidrs: u64,
    rules: u64,
}

/// As one team writes it: 200 CIDRs, 270 rules.
const SMALL: Size = Size { name: "small", zones: 25, cidrs: 8, rules: 270 };

/// As many accounts together come to: 15,000 CIDRs, 5,000 rules.
const LARGE: Size = Size { name: "large", zones: 500, cidrs: 30, rules: 5000 };

impl Size {
    /// The zones and the port of a rule.
    fn rule(&self, rule: u64) -> (u64, u64, u16) {
        let mut seeded = Seeded(rule);
        (seeded.below(self.zones), seeded.below(self.zones), PORTS[seeded.below(PORTS.len() as u64) as usize])
    }

    /// The first address of a zone's CIDR: an odd factor scatters them, and lets none fall on another.
    fn network(&self, zone: u64, cidr: u64) -> u32 {
        let place = ((zone * self.cidrs + cidr) as u32).wrapping_mul(40_503) & 0xffff;
        0x0a00_0000 | place << 8
    }

    fn map(&self) -> BoundaryMap {
        let mut text = format!("version = 1\nname = \"{}\"\n", self.name);
        text += "[vpc.main]\nid = \"vpc-1\"\ncidrs = [\"10.0.0.0/8\"]\n";
        for port in PORTS {
            writeln!(text, "[service.port-{port}]\ntcp = [\"{port}\"]").unwrap();
        }
        for zone in 0..self.zones {
            let cidrs = (0..self.cidrs).map(|cidr| format!("\"{}/24\"", Ipv4Addr::from_bits(self.network(zone, cidr))));
            let cidrs: Vec<String> = cidrs.collect();
            writeln!(text, "[zone.zone-{zone}]\ncidrs = [{}]", cidrs.join(", ")).unwrap();
        }
        for rule in 0..self.rules {
            let (from, to, port) = self.rule(rule);
            writeln!(text, "[[rule]]\nid = \"rule-{rule}\"\nfrom = [\"zone-{from}\"]\nto = [\"zone-{to}\"]").unwrap();
            writeln!(text, "service = [\"port-{port}\"]").unwrap();
        }
        parse_map("bench.toml", &text).unwrap()
    }

    fn address(&self, seeded: &mut Seeded, zone: u64) -> IpAddr {
        let network = self.network(zone, seeded.below(self.cidrs));
        IpAddr::V4(Ipv4Addr::from_bits(network | seeded.below(256) as u32))
    }

    fn records(&self) -> Vec<FlowRecord<'static>> {
        let mut seeded = Seeded(7);
        (0..RECORDS).map(|_| self.record(&mut seeded)).collect()
    }

    /// A record with the fields of version 5 that a judgement looks at.
    fn record(&self, seeded: &mut Seeded) -> FlowRecord<'static> {
        let (from, to, port) = self.rule(seeded.below(self.rules));
        let client = self.address(seeded, from);
        let (server, port) = match seeded.below(20) {
            0 => (IpAddr::V4(Ipv4Addr::from_bits(0x3400_0000 | seeded.below(1 << 24) as u32)), port),
            1 => (self.address(seeded, to), 1024 + seeded.below(40_000) as u16),
            _ => (self.address(seeded, to), port),
        };
        let client_port = 32_768 + seeded.below(28_232) as u16;
        let (source, destination, srcport, dstport, flags) = match seeded.below(2) {
            0 => (client, server, client_port, port, [2, 3, 0][seeded.below(3) as usize]),
            _ => (server, client, port, client_port, [18, 19, 0][seeded.below(3) as usize]),
        };
        let mut record = FlowRecord::default();
        for (field, address) in [
            (Field::Srcaddr, source),
            (Field::Dstaddr, destination),
            (Field::PktSrcaddr, source),
            (Field::PktDstaddr, destination),
        ] {
            record.set_address(field, "", address);
        }
        for (field, number) in [
            (Field::Srcport, srcport.into()),
            (Field::Dstport, dstport.into()),
            (Field::Protocol, 6),
            (Field::Packets, 1 + seeded.below(400) as i64),
            (Field::TcpFlags, flags),
        ] {
            assert!(record.set_number(field, number));
        }
        record.set_text(Field::VpcId, "vpc-1");
        record.set_text(Field::InterfaceId, "eni-01235b8ca12340000");
        record.set_text(Field::FlowDirection, if seeded.below(2) == 0 { "ingress" } else { "egress" });
        record.set_action(if seeded.below(36) == 0 { Action::Reject } else { Action::Accept });
        record
    }
}

fn zone(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("zone");
    for size in [SMALL, LARGE] {
        let boundary = Boundary::new(size.map(), &Selection::default());
        let addresses: Vec<IpAddr> =
            size.records().iter().filter_map(|record| record.address(Field::Srcaddr)).collect();
        group.throughput(Throughput::Elements(addresses.len() as u64));
        group.bench_function(size.name, |bencher| {
            bencher
                .iter(|| addresses.iter().map(|address| u64::from(boundary.zone_of(VpcId(0), *address).0)).sum::<u64>())
        });
    }
}

fn judge(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("judge");
    for size in [SMALL, LARGE] {
        let boundary = Boundary::new(size.map(), &Selection::default());
        let records = size.records();
        group.throughput(Throughput::Elements(records.len() as u64));
        group.bench_function(size.name, |bencher| {
            bencher.iter(|| {
                for record in &records {
                    black_box(boundary.judge(record));
                }
            })
        });
    }
}

fn compile(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(10);
    for size in [SMALL, LARGE] {
        let map = size.map();
        group.bench_function(size.name, |bencher| bencher.iter(|| Boundary::new(map.clone(), &Selection::default())));
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = zone, judge, compile
}
criterion_main!(benches);
