//! Maps and records for tests.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use crate::boundary::evaluate::{Boundary, Selection};
use crate::boundary::judgement::Judgement;
use crate::boundary::model::BoundaryMap;
use crate::boundary::parse_map;
use crate::record::{Action, Column, Field, FieldType, FlowRecord, LogFormat, LogStatus};

/// A map with one VPC, 10.0.0.0/16 (vpc-1), to which a test adds the rest.
pub(super) fn map(rest: &str) -> BoundaryMap {
    read_map(&format!("version = 1\nname = \"test\"\n[vpc.main]\nid = \"vpc-1\"\ncidrs = [\"10.0.0.0/16\"]\n{rest}"))
}

pub(super) fn read_map(text: &str) -> BoundaryMap {
    match parse_map("test.toml", text) {
        Ok(map) => map,
        Err(problems) => panic!("{problems}\n{text}"),
    }
}

/// [`map`], compiled for no particular environment or mode.
pub(super) fn boundary(rest: &str) -> Boundary {
    Boundary::new(map(rest), &Selection::default())
}

/// A record from words: `tcp 10.0.0.1:40000 > 10.0.1.1:443 ACCEPT flags=2 packets=9`.
///
/// The first word is the protocol, by name or number. Ports may be left out. Other keys: `eni`, `vpc`, `dir`,
/// `pktsrc`, `pktdst`.
pub(super) fn record(words: &str) -> FlowRecord<'_> {
    let mut record = FlowRecord::default();
    let mut words = words.split_whitespace();
    let protocol = match words.next().unwrap() {
        "tcp" => 6,
        "udp" => 17,
        "icmp" => 1,
        number => number.parse().unwrap(),
    };
    assert!(record.set_number(Field::Protocol, protocol));
    let (source, arrow, destination) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    assert_eq!(arrow, ">");
    for (end, address, port) in
        [(source, Field::Srcaddr, Field::Srcport), (destination, Field::Dstaddr, Field::Dstport)]
    {
        match end.parse::<SocketAddr>() {
            Ok(socket) => {
                record.set_address(address, end, socket.ip());
                assert!(record.set_number(port, socket.port().into()));
            }
            Err(_) => record.set_address(address, end, end.parse().unwrap()),
        }
    }
    for word in words {
        match word.split_once('=') {
            None => record.set_action(Action::from_name(word).unwrap()),
            Some(("flags", value)) => assert!(record.set_number(Field::TcpFlags, value.parse().unwrap())),
            Some(("packets", value)) => assert!(record.set_number(Field::Packets, value.parse().unwrap())),
            Some(("eni", value)) => record.set_text(Field::InterfaceId, value),
            Some(("vpc", value)) => record.set_text(Field::VpcId, value),
            Some(("dir", value)) => record.set_text(Field::FlowDirection, value),
            Some(("pktsrc", value)) => record.set_address(Field::PktSrcaddr, value, value.parse().unwrap()),
            Some(("pktdst", value)) => record.set_address(Field::PktDstaddr, value, value.parse().unwrap()),
            Some((key, _)) => panic!("{key}?"),
        }
    }
    record
}

/// A record from a line in a log format, split at spaces.
pub(super) fn record_of_line<'a>(line: &'a str, format: &LogFormat) -> FlowRecord<'a> {
    let mut record = FlowRecord::default();
    let values: Vec<&str> = line.split(' ').collect();
    assert_eq!(values.len(), format.columns().len(), "{line}");
    for (column, value) in format.columns().iter().zip(values).filter(|(_, value)| *value != "-") {
        let Column::Field(field) = *column else { panic!("{column:?}") };
        match field.def().field_type {
            FieldType::Int32 { .. } | FieldType::Int64 | FieldType::Time => {
                assert!(record.set_number(field, value.parse().unwrap()));
            }
            FieldType::Address => record.set_address(field, value, value.parse::<IpAddr>().unwrap()),
            FieldType::Action => record.set_action(Action::from_name(value).unwrap()),
            FieldType::Status => record.set_status(LogStatus::from_name(value).unwrap()),
            FieldType::Text => record.set_text(field, value),
        }
    }
    record
}

/// The columns of [`Boundary::verdict_json`], with `service` and `client_is_source`.
pub(super) fn columns(boundary: &Boundary, judgement: &Judgement) -> Value {
    let mut columns = boundary.verdict_json(judgement);
    let path = judgement.path.as_ref();
    let service = path.and_then(|path| path.service).map(|service| boundary.service_name(service));
    columns["service"] = service.into();
    columns["client_is_source"] = path.map(|path| path.client_is_source).into();
    columns
}

/// Judges a record in the words of [`record`], and compares the columns that `expected` names: `side=source rule=null`.
#[track_caller]
pub(super) fn check(boundary: &Boundary, words: &str, expected: &str) {
    let record = record(words);
    let columns = columns(boundary, &boundary.judge(&record));
    for pair in expected.split_whitespace() {
        let (key, value) = pair.split_once('=').unwrap();
        let got = match &columns[key] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        assert_eq!(got, value, "{key} of {words}\n{}", boundary.explain(&record));
    }
}
