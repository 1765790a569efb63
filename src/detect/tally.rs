//! What is gathered for one key in one window. Tallies of one key merge in any order to the same tally, so work can
//! be cut anywhere and put together again (I7, I8).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::window::Window;
use crate::boundary::{Boundary, Confidence, Judgement, Severity, Verdict};
use crate::record::{Action, Field, FlowRecord};

/// Rows kept as evidence.
const EVIDENCE: usize = 10;

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

impl Seen<'_, '_> {
    /// Event time: the record's end, or its start where it has no end (milliseconds since 1970).
    pub fn time(&self) -> Option<i64> {
        self.record.millis(Field::End).or_else(|| self.record.millis(Field::Start))
    }
}

/// What makes two records part of the same alert.
///
/// The zones follow from the addresses but where VPCs overlap: they are in the key so that an alert never mixes two
/// networks. The window comes first, so that keys in order are windows in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// The window.
    pub window: Window,
    /// The detector's name.
    pub detector: String,
    /// The text of the column `rule`, where it has one.
    pub rule: Option<String>,
    /// The text of the column `reason`, where there is no rule.
    pub reason: Option<String>,
    /// Zone of the client; `None` for detectors that do not ask who.
    pub client_zone: Option<String>,
    /// Zone of the server.
    pub server_zone: Option<String>,
    /// Address of the client; `None` for detectors that do not ask who.
    pub client_addr: Option<String>,
    /// Address of the server.
    pub server_addr: Option<String>,
    /// Port of the server.
    pub server_port: Option<u16>,
    /// IANA protocol number.
    pub protocol: Option<u8>,
}

impl Key {
    /// The key of a record.
    pub(super) fn of(seen: &Seen<'_, '_>, detector: &'static str, by_client: bool) -> Self {
        let ends = Ends::of(seen);
        let zones = seen.judgement.zones.zip(seen.boundary).filter(|_| seen.judgement.path.is_some());
        let zone = |server: bool| {
            zones.map(|((client, of_server), boundary)| {
                boundary.zone_name(if server { of_server } else { client }).to_owned()
            })
        };
        let rule = seen.boundary.and_then(|boundary| boundary.rule(seen.judgement.credit)).map(|rule| rule.to_string());
        let placed = seen.judgement.path.is_some();
        Self {
            window: Window::of(seen.time()),
            detector: detector.to_owned(),
            reason: rule.is_none().then(|| reason_text(seen)),
            rule,
            client_zone: zone(false).filter(|_| by_client),
            server_zone: zone(true),
            client_addr: ends.client.filter(|_| placed && by_client).map(str::to_owned),
            server_addr: ends.server.filter(|_| placed).map(str::to_owned),
            server_port: ends.server_port.filter(|_| placed),
            protocol: seen.record.protocol().filter(|_| placed),
        }
    }

    /// The rule, or the reason where there is none.
    pub fn cause(&self) -> &str {
        self.rule.as_deref().or(self.reason.as_deref()).unwrap_or_default()
    }
}

fn reason_text(seen: &Seen<'_, '_>) -> String {
    match (seen.judgement.reason.word(), seen.boundary) {
        (Some(word), _) => word.to_owned(),
        (None, Some(boundary)) => boundary.reason(seen.judgement.reason).to_string(),
        (None, None) => String::new(),
    }
}

/// Client and server of a record; its source and destination where the map does not orient it.
struct Ends<'a> {
    client: Option<&'a str>,
    client_port: Option<u16>,
    server: Option<&'a str>,
    server_port: Option<u16>,
    to_client: bool,
}

impl<'a> Ends<'a> {
    fn of(seen: &Seen<'_, 'a>) -> Self {
        let record = seen.record;
        let source = (record.text(record.source_field()), record.srcport());
        let destination = (record.text(record.destination_field()), record.dstport());
        let to_client = seen.judgement.path.is_some_and(|path| !path.client_is_source);
        let (client, server) = if to_client { (destination, source) } else { (source, destination) };
        Self { client: client.0, client_port: client.1, server: server.0, server_port: server.1, to_client }
    }
}

/// A row of `flows`, as an alert shows it. Ordered by time and place: the first ten are kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Evidence {
    /// Start of the record, milliseconds since 1970.
    pub start: Option<i64>,
    /// URI of its object.
    pub source: Option<String>,
    /// Line in the object.
    pub line: i64,
    /// Source address as logged.
    pub srcaddr: Option<String>,
    /// Source port.
    pub srcport: Option<u16>,
    /// Destination address as logged.
    pub dstaddr: Option<String>,
    /// Destination port.
    pub dstport: Option<u16>,
    /// IANA protocol number.
    pub protocol: Option<u8>,
    /// ACCEPT or REJECT.
    pub action: Option<String>,
    /// The verdict.
    pub verdict: Option<String>,
}

impl Evidence {
    fn of(seen: &Seen<'_, '_>) -> Self {
        let record = seen.record;
        Self {
            start: record.millis(Field::Start),
            source: Some(seen.source.to_owned()),
            line: seen.line,
            srcaddr: record.text(Field::Srcaddr).map(str::to_owned),
            srcport: record.srcport(),
            dstaddr: record.text(Field::Dstaddr).map(str::to_owned),
            dstport: record.dstport(),
            protocol: record.protocol(),
            action: record.action().map(Action::as_str).map(str::to_owned),
            verdict: Some(seen.judgement.verdict.as_str().to_owned()),
        }
    }
}

/// One direction of one conversation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Leg {
    client: Option<String>,
    client_port: Option<u16>,
    server: Option<String>,
    server_port: Option<u16>,
    protocol: Option<u8>,
    to_client: bool,
}

/// Packets and bytes that one interface recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Traffic {
    packets: u64,
    bytes: u64,
}

/// What is gathered for one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Rows of `flows`.
    pub flows: u64,
    verdict: String,
    severity: String,
    confidence: Option<String>,
    /// Earliest start and latest end, milliseconds since 1970.
    pub first_seen: Option<i64>,
    /// Latest end, milliseconds since 1970.
    pub last_seen: Option<i64>,
    /// Distinct texts of the column `reason`.
    pub reasons: BTreeSet<String>,
    /// The earliest rows.
    pub evidence: BTreeSet<Evidence>,
    /// Traffic of each direction of each conversation, by the interface that recorded it.
    #[serde(with = "pairs")]
    legs: BTreeMap<Leg, BTreeMap<String, Traffic>>,
}

/// JSON has no maps with structured keys: such a map is a list of pairs there.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Vec::deserialize(deserializer).map(|pairs: Vec<(K, V)>| pairs.into_iter().collect())
    }
}

impl Tally {
    /// Nothing yet, of records with this verdict.
    pub fn new(verdict: Verdict) -> Self {
        Self {
            flows: 0,
            verdict: verdict.as_str().to_owned(),
            severity: Severity::Info.as_str().to_owned(),
            confidence: None,
            first_seen: None,
            last_seen: None,
            reasons: BTreeSet::new(),
            evidence: BTreeSet::new(),
            legs: BTreeMap::new(),
        }
    }

    /// Counts a record; returns by how many bytes, about, the tally grew.
    pub(super) fn add(&mut self, seen: &Seen<'_, '_>) -> usize {
        let record = seen.record;
        self.flows += 1;
        let start = record.millis(Field::Start);
        self.first_seen = [self.first_seen, start].into_iter().flatten().min();
        self.last_seen = [self.last_seen, record.millis(Field::End).or(start)].into_iter().flatten().max();
        self.raise(seen.judgement.severity, seen.judgement.path.map(|path| path.confidence));
        let reason = reason_text(seen);
        if !self.reasons.contains(&reason) {
            self.reasons.insert(reason);
        }
        self.keep(Evidence::of(seen));
        // an alert without a server is about logs, not about conversations
        if seen.judgement.path.is_none() {
            return 0;
        }
        let ends = Ends::of(seen);
        let leg = Leg {
            client: ends.client.map(str::to_owned),
            client_port: ends.client_port,
            server: ends.server.map(str::to_owned),
            server_port: ends.server_port,
            protocol: record.protocol(),
            to_client: ends.to_client,
        };
        let value = |field| record.number(field).and_then(|v| u64::try_from(v).ok()).unwrap_or(0);
        let traffic = Traffic { packets: value(Field::Packets), bytes: value(Field::Bytes) };
        self.add_leg(leg, record.text(Field::InterfaceId).unwrap_or_default(), traffic)
    }

    fn raise(&mut self, severity: Severity, confidence: Option<Confidence>) {
        if Some(severity) > Severity::from_name(&self.severity) {
            severity.as_str().clone_into(&mut self.severity);
        }
        // the order of Confidence is from the best down
        let have = self.confidence();
        if let Some(confidence) = confidence.filter(|new| have.is_none_or(|have| *new < have)) {
            self.confidence = Some(confidence.as_str().to_owned());
        }
    }

    fn keep(&mut self, evidence: Evidence) {
        self.evidence.insert(evidence);
        if self.evidence.len() > EVIDENCE {
            self.evidence.pop_last();
        }
    }

    fn add_leg(&mut self, leg: Leg, interface: &str, traffic: Traffic) -> usize {
        let mut grown = 0;
        let copies = self.legs.entry(leg).or_insert_with(|| {
            grown += 400;
            BTreeMap::new()
        });
        let sum = match copies.get_mut(interface) {
            Some(sum) => sum,
            None => {
                grown += 100;
                copies.entry(interface.to_owned()).or_default()
            }
        };
        sum.packets = sum.packets.saturating_add(traffic.packets);
        sum.bytes = sum.bytes.saturating_add(traffic.bytes);
        grown
    }

    /// Adds what was gathered elsewhere for the same key.
    pub fn merge(&mut self, other: Self) {
        self.flows += other.flows;
        self.first_seen = [self.first_seen, other.first_seen].into_iter().flatten().min();
        self.last_seen = [self.last_seen, other.last_seen].into_iter().flatten().max();
        self.raise(other.severity(), other.confidence());
        self.reasons.extend(other.reasons);
        for evidence in other.evidence {
            self.keep(evidence);
        }
        for (leg, copies) in other.legs {
            for (interface, traffic) in copies {
                self.add_leg(leg.clone(), &interface, traffic);
            }
        }
    }

    /// The verdict of every row.
    pub fn verdict(&self) -> Option<Verdict> {
        Verdict::from_name(&self.verdict)
    }

    /// The highest severity of a row.
    pub fn severity(&self) -> Severity {
        Severity::from_name(&self.severity).unwrap_or(Severity::Info)
    }

    /// The best confidence of a row.
    pub fn confidence(&self) -> Option<Confidence> {
        self.confidence.as_deref().and_then(Confidence::from_name)
    }

    /// Conversations, packets and bytes, with the copies that several interfaces recorded counted once: of each
    /// direction of each conversation the interface that saw most counts.
    pub fn counted_once(&self) -> (u64, u64, u64) {
        let both_ways: BTreeSet<_> = self
            .legs
            .keys()
            .map(|leg| (&leg.client, leg.client_port, &leg.server, leg.server_port, leg.protocol))
            .collect();
        let most = |value: fn(&Traffic) -> u64| {
            self.legs
                .values()
                .fold(0u64, |sum, copies| sum.saturating_add(copies.values().map(value).max().unwrap_or(0)))
        };
        (both_ways.len() as u64, most(|traffic| traffic.packets), most(|traffic| traffic.bytes))
    }
}
