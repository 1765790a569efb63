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
    /// Event time: the record's end, or its start where it has no end (milliseconds since 1970).
    pub time: Option<i64>,
}

/// When a record took place: see [`Seen::time`].
pub(super) fn event_time(record: &FlowRecord<'_>) -> Option<i64> {
    record.millis(Field::End).or_else(|| record.millis(Field::Start))
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
        Ends { client: self.client(), server: self.server(), to_client: self.goes_to_client() }
    }

    /// The client alone.
    pub(super) fn client(&self) -> End<'a> {
        if self.goes_to_client() { self.receiver() } else { self.sender() }
    }

    /// The server alone.
    pub(super) fn server(&self) -> End<'a> {
        if self.goes_to_client() { self.sender() } else { self.receiver() }
    }

    /// The packet's own source.
    pub(super) fn sender(&self) -> End<'a> {
        self.end(self.record.source_field(), self.record.srcport())
    }

    fn receiver(&self) -> End<'a> {
        self.end(self.record.destination_field(), self.record.dstport())
    }

    fn goes_to_client(&self) -> bool {
        self.judgement.path.is_some_and(|path| !path.client_is_source)
    }

    fn end(&self, field: Field, port: Option<u16>) -> End<'a> {
        End { written: self.record.text(field), address: self.record.address(field), port }
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
