//! One record, and its line in any log format.
//!
//! This runs once per record: numbers and IPv4 addresses are written by hand, and nothing is allocated.

use std::io::Write as _;
use std::net::IpAddr;

use super::hosts::Interface;
use crate::record::{Action, Column, Field, LogFormat};

/// One record of one interface.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    /// Index of the interface.
    pub(super) interface: u32,
    /// Seconds.
    pub(super) start: i64,
    /// Seconds.
    pub(super) end: i64,
    pub(super) body: Body,
}

/// What the interface has to tell.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body {
    /// It had traffic.
    Flow(Flow),
    /// It had none.
    NoData,
    /// Records were lost.
    SkipData,
}

/// Traffic of one direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    pub(super) srcaddr: IpAddr,
    pub(super) dstaddr: IpAddr,
    pub(super) pkt_srcaddr: IpAddr,
    pub(super) pkt_dstaddr: IpAddr,
    pub(super) srcport: u16,
    pub(super) dstport: u16,
    pub(super) protocol: u8,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) action: Action,
    pub(super) tcp_flags: u8,
    /// Out of the interface; else into it.
    pub(super) egress: bool,
    /// Only on egress.
    pub(super) traffic_path: Option<u8>,
    pub(super) src_service: Option<&'static str>,
    pub(super) dst_service: Option<&'static str>,
}

/// Writes the lines of one flow log.
pub(super) struct Renderer {
    columns: Vec<Option<Field>>,
    header: String,
    version: u64,
    account: String,
    region: String,
    /// The region as the ids of availability zones begin: `use1-az` for us-east-1.
    az_prefix: String,
}

impl Renderer {
    pub(super) fn new(format: &LogFormat, account: &str, region: &str) -> Self {
        let columns: Vec<Option<Field>> = format
            .names()
            .iter()
            .zip(format.columns())
            .map(|(name, column)| match column {
                Column::Field(field) => Some(*field),
                Column::Repeated => Field::from_name(name),
                Column::Extra(_) => None,
            })
            .collect();
        let version = columns.iter().flatten().map(|field| u64::from(field.def().version)).max().unwrap_or(2);
        Self {
            columns,
            header: format.names().join(" "),
            version,
            account: account.to_owned(),
            region: region.to_owned(),
            az_prefix: format!("{}-az", short_region(region)),
        }
    }

    /// The first line of each file, without the line end.
    pub(super) fn header(&self) -> &str {
        &self.header
    }

    /// Appends the line of a record and its line end.
    pub(super) fn line(&self, record: &Record, interface: &Interface, out: &mut Vec<u8>) {
        for (index, column) in self.columns.iter().enumerate() {
            if index > 0 {
                out.push(b' ');
            }
            match column {
                Some(field) => self.value(*field, record, interface, out),
                None => out.push(b'-'),
            }
        }
        out.push(b'\n');
    }

    fn value(&self, field: Field, record: &Record, interface: &Interface, out: &mut Vec<u8>) {
        match field {
            Field::Version => number(self.version, out),
            Field::AccountId => text(&self.account, out),
            Field::InterfaceId => text(&interface.id, out),
            Field::VpcId => text(&interface.vpc_id, out),
            Field::SubnetId => text(&interface.subnet_id, out),
            Field::InstanceId => text(&interface.instance_id, out),
            Field::Region => text(&self.region, out),
            Field::AzId => {
                text(&self.az_prefix, out);
                number(interface.zone_number.into(), out);
            }
            Field::Start => number(record.start.unsigned_abs(), out),
            Field::End => number(record.end.unsigned_abs(), out),
            Field::LogStatus => text(
                match record.body {
                    Body::Flow(_) => "OK",
                    Body::NoData => "NODATA",
                    Body::SkipData => "SKIPDATA",
                },
                out,
            ),
            _ => match &record.body {
                Body::Flow(flow) => flow.value(field, out),
                Body::NoData | Body::SkipData => out.push(b'-'),
            },
        }
    }
}

impl Flow {
    fn value(&self, field: Field, out: &mut Vec<u8>) {
        match field {
            Field::Srcaddr => address(self.srcaddr, out),
            Field::Dstaddr => address(self.dstaddr, out),
            Field::PktSrcaddr => address(self.pkt_srcaddr, out),
            Field::PktDstaddr => address(self.pkt_dstaddr, out),
            Field::Srcport => number(self.srcport.into(), out),
            Field::Dstport => number(self.dstport.into(), out),
            Field::Protocol => number(self.protocol.into(), out),
            Field::Packets => number(self.packets, out),
            Field::Bytes => number(self.bytes, out),
            Field::Action => text(self.action.as_str(), out),
            Field::TcpFlags => number(self.tcp_flags.into(), out),
            Field::Type => text(if self.srcaddr.is_ipv6() { "IPv6" } else { "IPv4" }, out),
            Field::FlowDirection => text(if self.egress { "egress" } else { "ingress" }, out),
            Field::TrafficPath => match self.traffic_path {
                Some(path) => number(path.into(), out),
                None => out.push(b'-'),
            },
            Field::PktSrcAwsService => text(self.src_service.unwrap_or("-"), out),
            Field::PktDstAwsService => text(self.dst_service.unwrap_or("-"), out),
            _ => out.push(b'-'),
        }
    }
}

fn text(value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(value.as_bytes());
}

fn number(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

fn address(value: IpAddr, out: &mut Vec<u8>) {
    match value {
        IpAddr::V4(v4) => {
            for (index, octet) in v4.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                number(octet.into(), out);
            }
        }
        IpAddr::V6(v6) => {
            // writing into a Vec cannot fail
            write!(out, "{v6}").unwrap_or_default();
        }
    }
}

/// `use1` for us-east-1, `apse2` for ap-southeast-2: how AWS begins the ids of availability zones.
fn short_region(region: &str) -> String {
    let mut parts = region.split('-');
    let mut short = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part {
            "northeast" => short.push_str("ne"),
            "northwest" => short.push_str("nw"),
            "southeast" => short.push_str("se"),
            "southwest" => short.push_str("sw"),
            _ if part.bytes().all(|byte| byte.is_ascii_digit()) => short.push_str(part),
            _ => short.extend(part.chars().next()),
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_are_written_as_the_standard_library_does() {
        for value in [0, 1, 9, 10, 99, 255, 65_535, 1_795_132_800, u64::MAX] {
            let mut out = Vec::new();
            number(value, &mut out);
            assert_eq!(out, value.to_string().as_bytes());
        }
        for value in ["0.0.0.0", "10.0.10.200", "255.255.255.255", "2001:db8::1", "::ffff:1.2.3.4"] {
            let mut out = Vec::new();
            address(value.parse().unwrap(), &mut out);
            assert_eq!(out, value.as_bytes());
        }
    }

    #[test]
    fn regions_are_shortened_as_aws_does() {
        for (region, short) in [("us-east-1", "use1"), ("eu-central-2", "euc2"), ("ap-southeast-2", "apse2")] {
            assert_eq!(short_region(region), short);
        }
    }

    #[test]
    fn a_heartbeat_in_the_default_format_is_the_one_that_aws_documents() {
        let renderer = Renderer::new(&LogFormat::default(), "123456789010", "us-east-1");
        let interface = Interface::for_test("eni-1235b8ca123456789");
        let record = Record { interface: 0, start: 1_431_280_876, end: 1_431_280_934, body: Body::NoData };
        let mut out = Vec::new();
        renderer.line(&record, &interface, &mut out);
        // from the examples of the VPC user guide
        let documented =
            "2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - NODATA\n".as_bytes();
        assert_eq!(out, documented);
    }

    #[test]
    fn an_accepted_flow_in_the_default_format_is_the_one_that_aws_documents() {
        let renderer = Renderer::new(&LogFormat::default(), "123456789010", "us-east-1");
        let interface = Interface::for_test("eni-1235b8ca123456789");
        let (srcaddr, dstaddr) = ("172.31.16.139".parse().unwrap(), "172.31.16.21".parse().unwrap());
        let flow = Flow {
            srcaddr,
            dstaddr,
            pkt_srcaddr: srcaddr,
            pkt_dstaddr: dstaddr,
            srcport: 20641,
            dstport: 22,
            protocol: 6,
            packets: 20,
            bytes: 4249,
            action: Action::Accept,
            tcp_flags: 2,
            egress: false,
            traffic_path: None,
            src_service: None,
            dst_service: None,
        };
        let record = Record { interface: 0, start: 1_418_530_010, end: 1_418_530_070, body: Body::Flow(flow) };
        let mut out = Vec::new();
        renderer.line(&record, &interface, &mut out);
        let documented = "2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 \
                          1418530010 1418530070 ACCEPT OK\n";
        assert_eq!(String::from_utf8(out).unwrap(), documented);
    }
}
