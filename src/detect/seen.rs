//! A judged record as the detectors look at it.

use std::net::IpAddr;

use crate::boundary::{Boundary, Judgement};
use crate::record::{Field, FlowRecord};

/// A judged record and where it came from: what a detector looks at.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'r, 'a> {
    /// The record.
    pub record: &'r FlowRecord<'a>,
    /// What the map says of it.
    pub judgement: &'r Judgement,
    /// The map; without one only NODATA and SKIPDATA have a judgement.
    pub boundary: Option<&'r Boundary>,
    /// URI of its object.
    pub source: &'r str,
    /// Line in the object, from 1.
    pub line: i64,
}

impl<'a> Seen<'_, 'a> {
    /// Event time: the record's end, or its start where it has no end (milliseconds since 1970).
    pub fn time(&self) -> Option<i64> {
        self.record.millis(Field::End).or_else(|| self.record.millis(Field::Start))
    }

    /// The text of the column `rule`, where it has one.
    pub(super) fn rule(&self) -> Option<impl std::fmt::Display> {
        self.boundary.and_then(|boundary| boundary.rule(self.judgement.credit))
    }

    /// The text of the column `reason`.
    pub(super) fn reason(&self) -> String {
        match (self.judgement.reason.word(), self.boundary) {
            (Some(word), _) => word.to_owned(),
            (None, Some(boundary)) => boundary.reason(self.judgement.reason).to_string(),
            (None, None) => String::new(),
        }
    }

    /// Client and server; source and destination where the map does not orient the record.
    pub(super) fn ends(&self) -> Ends<'a> {
        let record = self.record;
        let end = |field, port| End { written: record.text(field), address: record.address(field), port };
        let source = end(record.source_field(), record.srcport());
        let destination = end(record.destination_field(), record.dstport());
        let to_client = self.judgement.path.is_some_and(|path| !path.client_is_source);
        let (client, server) = if to_client { (destination, source) } else { (source, destination) };
        Ends { client, server, to_client }
    }
}

/// The two ends of a record.
pub(super) struct Ends<'a> {
    pub(super) client: End<'a>,
    pub(super) server: End<'a>,
    /// The record goes from server to client.
    pub(super) to_client: bool,
}

/// One end of a record.
#[derive(Clone, Copy)]
pub(super) struct End<'a> {
    /// The address as logged: an IPv6 address can be written in several ways.
    pub(super) written: Option<&'a str>,
    pub(super) address: Option<IpAddr>,
    pub(super) port: Option<u16>,
}
