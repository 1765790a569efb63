//! What one worker gathers: tallies in a compact form, made for many records a second.
//!
//! In an incident every second record may belong to an alert, so what is done for each of them has to be little. Here
//! a record's key and the leg of its conversation are a few numbers: ids of the map, IPv4 addresses as they are, other
//! texts by their number in [`Texts`]. Both are looked up in hash maps; the rest is addition. Text is made where
//! something is seen for the first time (a key, a reason, a row among the earliest ten), and of all legs in
//! [`Tallies::take`], which gives the form that merges and is stored.
//!
//! Two compact keys may stand for one [`Key`] (grants whose ids differ and whose text is the same); never one for two.
//! `take` merges such tallies: that is what tallies are for.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::COUNTERS;
use super::detector::Counter;
use super::history;
use super::hours::Hours;
use super::scan::{Gatherer, Logged};
use super::seen::{End, Ends, Seen, event_time};
use super::settings::Gathers;
use super::state::State;
use super::tally::{Evidence, Key, Leg, Legs, Tally, Traffic};
use super::window::{Window, hour_of_day};
use crate::boundary::{Boundary, Confidence, Credit, Judgement, Reason, Severity, ZoneId};
use crate::record::{Field, FlowRecord};

/// Bytes of a key with an empty tally once it is taken, about: most are the first nodes of its sets and maps.
const KEY_BYTES: usize = 4096;
/// Bytes of a row of evidence, about, beside the name of its source.
const EVIDENCE_BYTES: usize = 200;
/// Bytes of the traffic of a leg that one interface recorded, about, compact and taken together.
const LEG_BYTES: usize = 800;
/// Bytes of a text, about, beside its own.
const TEXT_BYTES: usize = 64;

/// What one worker has gathered under one map and not yet handed on.
#[derive(Debug)]
pub struct Tallies<'b> {
    boundary: Option<&'b Boundary>,
    /// The verdicts that a detector counts, as bits.
    counted: u32,
    texts: Texts,
    places: FxHashMap<CompactKey, u32>,
    gathered: Vec<Gathered>,
    legs: FxHashMap<CompactLeg, Traffic>,
    scans: Gatherer,
    history: history::Gatherer,
    /// Of all but histories and texts.
    weight: usize,
    history_weight: usize,
    /// Whether no detector is on: then nothing is gathered.
    off: bool,
}

/// What makes two records part of the same alert: see [`Key`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct CompactKey {
    day: Window,
    hour: u8,
    cause: Cause,
    client: Option<Address>,
    server: Option<Address>,
    client_zone: Option<ZoneId>,
    server_zone: Option<ZoneId>,
    server_port: Option<u16>,
    protocol: Option<u8>,
    detector: u8,
}

/// The rule, or the reason where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Cause {
    Rule(Credit),
    Reason(Reason),
    /// Not asked.
    Any,
}

/// An address as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Address {
    /// Can be written in one way only.
    V4(Ipv4Addr),
    /// Number of its text.
    Written(u32),
}

/// One direction of one conversation as one interface recorded it. Server, port and protocol are those of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct CompactLeg {
    /// Place in `gathered`.
    tally: u32,
    client: Option<Address>,
    client_port: Option<u16>,
    to_client: bool,
    /// Number of the interface's id.
    interface: u32,
}

/// A tally without its legs, and what of it is compact.
#[derive(Debug)]
struct Gathered {
    key: Key,
    hour: u8,
    tally: Tally,
    severity: Severity,
    confidence: Option<Confidence>,
    reasons: Vec<Reason>,
}

impl<'b> Tallies<'b> {
    /// Nothing yet. Without a map only NODATA and SKIPDATA have a judgement.
    pub fn new(boundary: Option<&'b Boundary>) -> Self {
        Self {
            boundary,
            counted: COUNTERS
                .iter()
                .flat_map(|detector| [detector.verdict()].into_iter().chain(detector.beside().iter().copied()))
                .fold(0, |bits, verdict| bits | 1 << verdict as u32),
            texts: Texts::default(),
            places: FxHashMap::default(),
            gathered: Vec::new(),
            legs: FxHashMap::default(),
            scans: Gatherer::default(),
            history: history::Gatherer::default(),
            weight: 0,
            history_weight: 0,
            off: false,
        }
    }

    /// Nothing yet, and as much as this will be kept.
    pub fn gathering(self, gathers: Gathers) -> Self {
        Self { history: history::Gatherer::new(gathers == Gathers::Beacons), off: gathers == Gathers::Nothing, ..self }
    }

    /// Looks at records of one object, each with its judgement by the map and its line.
    pub fn observe<'r, 'a: 'r>(
        &mut self,
        source: &str,
        rows: impl IntoIterator<Item = (&'r FlowRecord<'a>, &'r Judgement, i64)>,
    ) {
        if self.off {
            return;
        }
        let origin = self.texts.number(history::shard(source));
        for (record, judgement, line) in rows {
            let time = event_time(record);
            let seen = Seen { record, judgement, boundary: self.boundary, source, line, time };
            self.weight += self.scans.observe(&seen, &mut self.texts);
            self.history_weight += self.history.observe(&seen, origin, &mut self.texts);
            if self.counted & (1 << judgement.verdict as u32) == 0 {
                continue;
            }
            for (number, detector) in COUNTERS.iter().enumerate() {
                if detector.verdict() == judgement.verdict {
                    if detector.counts(&seen) {
                        self.count(&seen, number as u8, *detector);
                    }
                } else if detector.beside().contains(&judgement.verdict)
                    && let Some(outcome) = detector.outcome(&seen)
                {
                    let ends = seen.ends();
                    let client = self.texts.address(ends.client);
                    let place = self.place(&seen, &ends, client, number as u8, *detector);
                    if let Some(gathered) = self.gathered.get_mut(place as usize) {
                        gathered.tally.outcomes.insert(outcome);
                    }
                }
            }
        }
    }

    fn count(&mut self, seen: &Seen<'_, '_>, number: u8, detector: &dyn Counter) {
        let ends = seen.ends();
        let client = self.texts.address(ends.client);
        let place = self.place(seen, &ends, client, number, detector);
        let Some(gathered) = self.gathered.get_mut(place as usize) else { return };
        self.weight += gathered.add(seen);
        // an alert without a server is about logs, not about conversations
        if seen.judgement.path.is_none() {
            return;
        }
        let interface = self.texts.number(seen.record.text(Field::InterfaceId).unwrap_or_default());
        let leg =
            CompactLeg { tally: place, client, client_port: ends.client.port, to_client: ends.to_client, interface };
        let value = |field| seen.record.number(field).and_then(|v| u64::try_from(v).ok()).unwrap_or(0);
        let traffic = Traffic { packets: value(Field::Packets), bytes: value(Field::Bytes) };
        let weight = &mut self.weight;
        let sum = self.legs.entry(leg).or_insert_with(|| {
            *weight += LEG_BYTES;
            Traffic::default()
        });
        sum.add(traffic);
    }

    /// Where the record is gathered.
    fn place(
        &mut self,
        seen: &Seen<'_, '_>,
        ends: &Ends<'_>,
        client: Option<Address>,
        number: u8,
        detector: &dyn Counter,
    ) -> u32 {
        let placed = seen.judgement.path.is_some();
        let by_client = placed && detector.by_client();
        let zones = seen.judgement.zones.filter(|_| placed && seen.boundary.is_some());
        let key = CompactKey {
            day: Window::day(seen.time),
            hour: hour_of_day(seen.time),
            cause: match seen.rule() {
                _ if !detector.by_cause() => Cause::Any,
                Some(_) => Cause::Rule(seen.judgement.credit),
                None => Cause::Reason(seen.judgement.reason),
            },
            client: client.filter(|_| by_client),
            server: self.texts.address(ends.server).filter(|_| placed),
            client_zone: zones.map(|(client, _)| client).filter(|_| by_client),
            server_zone: zones.map(|(_, server)| server),
            server_port: ends.server.port.filter(|_| placed),
            protocol: seen.record.protocol().filter(|_| placed),
            detector: number,
        };
        let next = self.gathered.len() as u32;
        let place = *self.places.entry(key).or_insert(next);
        if place == next {
            self.weight += KEY_BYTES;
            self.gathered.push(Gathered {
                key: Key::of(seen, detector),
                hour: key.hour,
                tally: Tally::new(detector.verdict()),
                severity: Severity::Info,
                confidence: None,
                reasons: Vec::new(),
            });
        }
        place
    }

    /// Bytes that the tallies come to when they are handed over, about: above a bound the worker does that. Until then
    /// they are fewer, but a bound is for the largest moment. (Servers that reply are many and are handed over group by
    /// group: as they are, and the largest group.)
    pub fn weight(&self) -> usize {
        self.weight + self.history_weight + self.texts.weight
    }

    /// What was gathered, in the order of the keys; starts anew.
    pub fn take(&mut self) -> Vec<(Key, State)> {
        let mut states = Vec::new();
        let Ok(()) = self.hand_over(|key, state| {
            states.push((key, state));
            Ok::<_, std::convert::Infallible>(())
        });
        State::by_key(states)
    }

    /// Hands over what was gathered, histories after all else, each in the order of the keys; starts anew.
    ///
    /// # Errors
    /// The first that is met with; then the rest is lost.
    pub fn hand_over<E>(&mut self, mut put: impl FnMut(Key, State) -> Result<(), E>) -> Result<(), E> {
        self.hand_over_counts(&mut put)?;
        self.take_histories().hand_over(put)
    }

    /// The same, but for histories that are not half of what it may weigh: these are of members that come again and
    /// again, and what is handed on has to be merged.
    ///
    /// # Errors
    /// As [`Self::hand_over`].
    pub fn relieve<E>(&mut self, bound: usize, mut put: impl FnMut(Key, State) -> Result<(), E>) -> Result<(), E> {
        if self.history_weight + self.texts.weight > bound / 2 {
            return self.hand_over(put);
        }
        self.hand_over_counts(&mut put)
    }

    /// The histories; starts anew with them. To be called when all else is handed over: it has the texts of these alone.
    pub fn take_histories(&mut self) -> Histories<'b> {
        self.history_weight = 0;
        let (history, texts) = (self.history.hand_on(), std::mem::take(&mut self.texts));
        Histories { boundary: self.boundary, history, texts }
    }

    /// Hands over all but histories.
    fn hand_over_counts<E>(&mut self, put: &mut impl FnMut(Key, State) -> Result<(), E>) -> Result<(), E> {
        let (scans, texts) = (self.scans.hand_on(), &self.texts);
        let mut gathered = std::mem::take(&mut self.gathered);
        let mut legs: Vec<(CompactLeg, Traffic)> = std::mem::take(&mut self.legs).into_iter().collect();
        self.places.clear();
        self.weight = 0;
        legs.sort_unstable_by_key(|(leg, _)| *leg);
        for legs in legs.chunk_by(|(one, _), (other, _)| one.tally == other.tally) {
            let Some(gathered) = legs.first().and_then(|(leg, _)| gathered.get_mut(leg.tally as usize)) else {
                continue;
            };
            let each = legs
                .chunk_by(|(one, _), (other, _)| CompactLeg { interface: other.interface, ..*one } == *other)
                .filter_map(|copies| {
                    let (leg, _) = copies.first()?;
                    let of_interface =
                        |(leg, traffic): &(CompactLeg, Traffic)| (texts.get(leg.interface).to_owned(), *traffic);
                    Some((leg.expand(&gathered.key, texts), copies.iter().map(of_interface).collect()))
                })
                .collect();
            gathered.tally.legs = Legs::of(each);
        }
        let tallies = gathered.into_iter().map(|Gathered { key, hour, mut tally, severity, confidence, .. }| {
            tally.raise(severity, confidence);
            (key, State::Hours(Hours::of(hour, tally)))
        });
        let mut states: Vec<(Key, State)> = tallies.collect();
        if let Some(boundary) = self.boundary {
            states.extend(scans.take(boundary, texts));
        }
        State::by_key(states).into_iter().try_for_each(|(key, state)| put(key, state))
    }
}

/// Histories that workers gathered under one map. Nearly every worker sees the same members, so what several have is put
/// together before it is handed over.
#[derive(Debug)]
pub struct Histories<'b> {
    boundary: Option<&'b Boundary>,
    history: history::Gatherer,
    texts: Texts,
}

impl Histories<'_> {
    /// Adds those of another worker, as if its records had come here.
    pub fn absorb(&mut self, other: Self) {
        let numbers = self.texts.absorb(&other.texts);
        self.history.absorb(other.history, &numbers, &self.texts);
    }

    /// Hands them over in the order of their keys.
    ///
    /// # Errors
    /// The first that is met with; then the rest is lost.
    pub fn hand_over<E>(self, mut put: impl FnMut(Key, State) -> Result<(), E>) -> Result<(), E> {
        self.boundary.map_or(Ok(()), |boundary| self.history.hand_over(boundary, &self.texts, &mut put))
    }
}

impl CompactLeg {
    fn expand(&self, key: &Key, texts: &Texts) -> Leg {
        Leg {
            client: self.client.map(|address| texts.written(address)),
            client_port: self.client_port,
            server: key.server_addr.clone(),
            server_port: key.server_port,
            protocol: key.protocol,
            to_client: self.to_client,
        }
    }
}

impl Gathered {
    /// Counts a record; returns by how many bytes, about, the tally grew.
    fn add(&mut self, seen: &Seen<'_, '_>) -> usize {
        let judgement = seen.judgement;
        let start = seen.record.millis(Field::Start);
        self.tally.flows += 1;
        self.tally.span(start, seen.record.millis(Field::End).or(start));
        self.severity = self.severity.max(judgement.severity);
        // the order of Confidence is from the best down
        let confidence = judgement.path.map(|path| path.confidence);
        self.confidence = [self.confidence, confidence].into_iter().flatten().min();
        if !self.reasons.contains(&judgement.reason) {
            self.reasons.push(judgement.reason);
            self.tally.reasons.insert(seen.reason());
        }
        if !self.tally.wants(start, seen.source, seen.line) {
            return 0;
        }
        let grown = if self.tally.full() { 0 } else { EVIDENCE_BYTES + seen.source.len() };
        self.tally.keep(Evidence::of(seen));
        grown
    }
}

/// Texts by number.
#[derive(Debug, Default)]
pub(super) struct Texts {
    numbers: FxHashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
    /// Bytes, about.
    weight: usize,
}

impl Texts {
    /// An address, compact.
    pub(super) fn address(&mut self, end: End<'_>) -> Option<Address> {
        Some(match end.address? {
            IpAddr::V4(address) => Address::V4(address),
            IpAddr::V6(_) => Address::Written(self.number(end.written?)),
        })
    }

    /// The text's number.
    pub(super) fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.texts.len() as u32;
        self.weight += text.len() + TEXT_BYTES;
        let text: Arc<str> = text.into();
        self.texts.push(text.clone());
        self.numbers.insert(text, number);
        number
    }

    /// Adds the texts of others; their numbers here.
    fn absorb(&mut self, others: &Self) -> Numbers {
        Numbers(others.texts.iter().map(|text| self.number(text)).collect())
    }

    /// An address as it was written.
    pub(super) fn written(&self, address: Address) -> String {
        match address {
            Address::V4(address) => address.to_string(),
            Address::Written(number) => self.get(number).to_owned(),
        }
    }

    /// The same, short where it can be.
    pub(super) fn logged(&self, address: Address) -> Logged {
        match address {
            Address::V4(address) => Logged::V4(address),
            Address::Written(number) => Logged::Written(self.get(number).to_owned()),
        }
    }

    /// The text of a number, to be kept.
    pub(super) fn shared(&self, number: u32) -> history::Text {
        history::Text(self.texts.get(number as usize).cloned().unwrap_or_default())
    }

    /// The text of a number.
    pub(super) fn get(&self, number: u32) -> &str {
        self.texts.get(number as usize).map(|text| &**text).unwrap_or_default()
    }
}

/// The numbers that the texts of another worker have here, by those that they had there.
pub(super) struct Numbers(Vec<u32>);

impl Numbers {
    /// A text's.
    pub(super) fn text(&self, number: u32) -> u32 {
        self.0.get(number as usize).copied().unwrap_or(u32::MAX)
    }

    /// An address, with its text's.
    pub(super) fn address(&self, address: Address) -> Address {
        match address {
            Address::V4(_) => address,
            Address::Written(number) => Address::Written(self.text(number)),
        }
    }
}
