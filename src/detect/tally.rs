//! What is gathered for one key in one hour. Tallies of one key merge in any order to the same tally, so work can
//! be cut anywhere and put together again (I7, I8).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::detector::Counter;
use super::seen::Seen;
use super::sketch::{Sketch, hash};
use super::window::Window;
use crate::boundary::{Confidence, Severity, Verdict};
use crate::record::{Action, Field};

/// Rows kept as evidence.
const EVIDENCE: usize = 10;
/// Directions of conversations that are kept apart, each as often as interfaces recorded it.
const LEGS: usize = 4096;

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
    /// The key of a window and a detector, and of nothing else.
    pub(crate) fn bare(window: Window, detector: &str) -> Self {
        Self {
            window,
            detector: detector.to_owned(),
            rule: None,
            reason: None,
            client_zone: None,
            server_zone: None,
            client_addr: None,
            server_addr: None,
            server_port: None,
            protocol: None,
        }
    }

    /// The key of a record.
    pub(super) fn of(seen: &Seen<'_, '_>, detector: &dyn Counter) -> Self {
        let ends = seen.ends();
        let placed = seen.judgement.path.is_some();
        let by_client = placed && detector.by_client();
        let zones = seen.judgement.zones.zip(seen.boundary).filter(|_| placed);
        let zones = zones.map(|((client, server), boundary)| (boundary.zone_name(client), boundary.zone_name(server)));
        let rule = seen.rule().map(|rule| rule.to_string()).filter(|_| detector.by_cause());
        Self {
            window: Window::day(seen.time),
            detector: detector.name().to_owned(),
            reason: (rule.is_none() && detector.by_cause()).then(|| seen.reason()),
            rule,
            client_zone: zones.filter(|_| by_client).map(|(client, _)| client.to_owned()),
            server_zone: zones.map(|(_, server)| server.to_owned()),
            client_addr: ends.client.written.filter(|_| by_client).map(str::to_owned),
            server_addr: ends.server.written.filter(|_| placed).map(str::to_owned),
            server_port: ends.server.port.filter(|_| placed),
            protocol: seen.record.protocol().filter(|_| placed),
        }
    }

    /// All but the window, in the order of the keys of one window.
    pub fn apart_from_window(&self) -> impl Ord + '_ {
        let Self { window: _, detector, rule, reason, client_zone, server_zone, client_addr, server_addr, .. } = self;
        (
            (detector, rule, reason, client_zone, server_zone),
            (client_addr, server_addr, self.server_port, self.protocol),
        )
    }

    /// The rule, or the reason where there is none.
    pub fn cause(&self) -> &str {
        self.rule.as_deref().or(self.reason.as_deref()).unwrap_or_default()
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
    pub(super) fn of(seen: &Seen<'_, '_>) -> Self {
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
pub(super) struct Leg {
    pub(super) client: Option<String>,
    pub(super) client_port: Option<u16>,
    pub(super) server: Option<String>,
    pub(super) server_port: Option<u16>,
    pub(super) protocol: Option<u8>,
    pub(super) to_client: bool,
}

/// Client and its port, server and its port, protocol.
type Conversation<'l> = (&'l Option<String>, Option<u16>, &'l Option<String>, Option<u16>, Option<u8>);

impl Leg {
    /// Both directions have the same.
    fn conversation(&self) -> Conversation<'_> {
        (&self.client, self.client_port, &self.server, self.server_port, self.protocol)
    }
}

/// Packets and bytes that one interface recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Traffic {
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

impl Traffic {
    pub(super) fn add(&mut self, more: Self) {
        self.packets = self.packets.saturating_add(more.packets);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }
}

/// What became of the records that a detector counts, as others tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Outcome {
    /// It was accepted in the end.
    LetIn,
    /// It was rejected in the end.
    Refused,
}

/// Traffic of many conversations, for which there is no room.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Crowd {
    conversations: Sketch,
    /// By direction (to the client) and the interface that recorded it.
    sums: BTreeMap<(bool, String), Traffic>,
}

impl Crowd {
    fn add(&mut self, leg: &Leg, copies: BTreeMap<String, Traffic>) {
        self.conversations.insert(hash(&leg.conversation()));
        for (interface, traffic) in copies {
            self.sums.entry((leg.to_client, interface)).or_default().add(traffic);
        }
    }

    fn merge(&mut self, other: Self) {
        self.conversations.merge(&other.conversations);
        for (of, traffic) in other.sums {
            self.sums.entry(of).or_default().add(traffic);
        }
    }
}

/// Traffic of each direction of each conversation, by the interface that recorded it. Which of both it is does not
/// depend on the order in which parts came: a part with too many makes too many of the whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Legs {
    /// Kept apart.
    Each(BTreeMap<Leg, BTreeMap<String, Traffic>>),
    /// Too many.
    Crowd(Box<Crowd>),
}

impl Default for Legs {
    fn default() -> Self {
        Self::Each(BTreeMap::new())
    }
}

impl Legs {
    /// Of these, which may be too many.
    pub(super) fn of(legs: BTreeMap<Leg, BTreeMap<String, Traffic>>) -> Self {
        if legs.values().map(BTreeMap::len).sum::<usize>() <= LEGS {
            return Self::Each(legs);
        }
        let mut crowd = Box::<Crowd>::default();
        legs.into_iter().for_each(|(leg, copies)| crowd.add(&leg, copies));
        Self::Crowd(crowd)
    }

    fn merge(&mut self, other: Self) {
        *self = match (std::mem::take(self), other) {
            (Self::Each(mut legs), Self::Each(more)) => {
                for (leg, copies) in more {
                    let sums = legs.entry(leg).or_default();
                    for (interface, traffic) in copies {
                        sums.entry(interface).or_default().add(traffic);
                    }
                }
                Self::of(legs)
            }
            (Self::Crowd(mut crowd), Self::Crowd(more)) => {
                crowd.merge(*more);
                Self::Crowd(crowd)
            }
            (Self::Crowd(mut crowd), Self::Each(legs)) | (Self::Each(legs), Self::Crowd(mut crowd)) => {
                legs.into_iter().for_each(|(leg, copies)| crowd.add(&leg, copies));
                Self::Crowd(crowd)
            }
        };
    }
}

/// What is gathered for one key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// What became of it, as records tell that are not counted.
    pub outcomes: BTreeSet<Outcome>,
    pub(super) legs: Legs,
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
            outcomes: BTreeSet::new(),
            legs: Legs::default(),
        }
    }

    /// Spans this time too.
    pub(super) fn span(&mut self, first: Option<i64>, last: Option<i64>) {
        self.first_seen = [self.first_seen, first].into_iter().flatten().min();
        self.last_seen = [self.last_seen, last].into_iter().flatten().max();
    }

    /// Raises severity and confidence to these, if they are lower.
    pub(super) fn raise(&mut self, severity: Severity, confidence: Option<Confidence>) {
        if Some(severity) > Severity::from_name(&self.severity) {
            severity.as_str().clone_into(&mut self.severity);
        }
        // the order of Confidence is from the best down
        let have = self.confidence();
        if let Some(confidence) = confidence.filter(|new| have.is_none_or(|have| *new < have)) {
            self.confidence = Some(confidence.as_str().to_owned());
        }
    }

    /// Whether there is as much evidence as an alert shows.
    pub(super) fn full(&self) -> bool {
        self.evidence.len() >= EVIDENCE
    }

    /// Whether the row of this time and place would be kept.
    pub(super) fn wants(&self, start: Option<i64>, source: &str, line: i64) -> bool {
        let before = |last: &Evidence| (start, Some(source), line) <= (last.start, last.source.as_deref(), last.line);
        !self.full() || self.evidence.last().is_some_and(before)
    }

    /// Keeps the row, if it is among the earliest.
    pub(super) fn keep(&mut self, evidence: Evidence) {
        self.evidence.insert(evidence);
        if self.evidence.len() > EVIDENCE {
            self.evidence.pop_last();
        }
    }

    /// Adds what was gathered elsewhere for the same key.
    pub fn merge(&mut self, other: Self) {
        self.flows += other.flows;
        self.span(other.first_seen, other.last_seen);
        self.raise(other.severity(), other.confidence());
        self.reasons.extend(other.reasons);
        self.outcomes.extend(other.outcomes);
        for evidence in other.evidence {
            self.keep(evidence);
        }
        self.legs.merge(other.legs);
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

    /// Whether there were too many conversations to count them exactly.
    pub fn is_estimated(&self) -> bool {
        matches!(self.legs, Legs::Crowd(_))
    }

    /// Conversations, packets and bytes, with the copies that several interfaces recorded counted once: of each
    /// direction of each conversation the interface that saw most counts. Of more than 4096 directions the number of
    /// conversations is an estimate (see `detect::sketch`), and of each direction of all of them together the interface
    /// that saw most counts.
    pub fn counted_once(&self) -> (u64, u64, u64) {
        let add = |sum: (u64, u64), most: (u64, u64)| (sum.0.saturating_add(most.0), sum.1.saturating_add(most.1));
        let most = |most: (u64, u64), traffic: &Traffic| (most.0.max(traffic.packets), most.1.max(traffic.bytes));
        let (conversations, (packets, bytes)) = match &self.legs {
            Legs::Each(legs) => {
                let both_ways: BTreeSet<_> = legs.keys().map(Leg::conversation).collect();
                let each = legs.values().map(|copies| copies.values().fold((0, 0), most));
                (both_ways.len() as u64, each.fold((0, 0), add))
            }
            Legs::Crowd(crowd) => {
                let of = |direction| {
                    let sums = crowd.sums.iter().filter(|((to_client, _), _)| *to_client == direction);
                    sums.map(|(_, traffic)| traffic).fold((0, 0), most)
                };
                (crowd.conversations.count(), add(of(false), of(true)))
            }
        };
        (conversations, packets, bytes)
    }
}
