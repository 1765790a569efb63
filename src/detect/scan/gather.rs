//! What one worker gathers of probes and contacts, in a compact form: see `detect::gather`.

use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv4Addr};

use rustc_hash::FxHashMap;

use super::probes::{Number, Probe, Probes, Row, Rows, Source, Target, Targets, Verdicts, bucket};
use super::{CONTACTS, pane, state_key};
use crate::boundary::{Boundary, Confidence, Orientation, Path, Verdict, ZoneId};
use crate::detect::gather::{self, Address, Texts};
use crate::detect::history::First;
use crate::detect::seen::{End, Seen};
use crate::detect::sketch::hash;
use crate::detect::state::State;
use crate::detect::tally::Key;
use crate::detect::window::{DAY, Window};
use crate::record::{Action, Field};

/// Clients that are looked at without a search.
const RECENT: usize = 1 << 10;
/// Bytes of a source once it is taken, about.
const SOURCE_BYTES: usize = 240;
/// Bytes of a target in a pane, likewise.
const TARGET_BYTES: usize = 320;

/// Probes and contacts of one worker.
#[derive(Debug)]
pub(in crate::detect) struct Gatherer {
    places: FxHashMap<(Window, Address, ZoneId), u32>,
    sources: Vec<CompactSource>,
    probes: FxHashMap<CompactTarget, CompactRows>,
    recent: Box<[Option<Recent>]>,
}

/// A client that was seen lately. IPv6 is left out: its sources are told apart by what was written.
#[derive(Debug, Clone, Copy)]
struct Recent {
    client: Ipv4Addr,
    zone: ZoneId,
    /// Start of the day, milliseconds since 1970.
    day: i64,
    /// Place in `sources`, or beyond: nothing of it is gathered yet.
    source: u32,
    /// Its last contact, and one from which on none is kept any more, where as many are kept as may be. Both hold over
    /// what was taken, too: all that one worker hands on is merged in the end.
    last: u64,
    above: u64,
}

impl Recent {
    fn is(&self, client: Ipv4Addr, zone: ZoneId, time: i64) -> bool {
        self.client == client && self.zone == zone && (0..DAY).contains(&time.wrapping_sub(self.day))
    }
}

#[derive(Debug)]
struct CompactSource {
    day: Window,
    address: Address,
    zone: ZoneId,
    /// The smallest hashes, in order.
    contacts: Vec<u64>,
}

impl CompactSource {
    /// Keeps a contact, if it is among the smallest; from which on none is kept any more.
    fn meet(&mut self, contact: u64) -> u64 {
        let contacts = &mut self.contacts;
        if let Err(place) = contacts.binary_search(&contact)
            && place < CONTACTS
        {
            contacts.insert(place, contact);
            contacts.truncate(CONTACTS);
        }
        contacts.get(CONTACTS - 1).copied().unwrap_or(u64::MAX)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct CompactTarget {
    /// Place in `sources`.
    source: u32,
    server: Address,
    zone: ZoneId,
    port: u16,
    protocol: u8,
    pane: u8,
}

#[derive(Debug)]
struct CompactRows {
    rows: Rows,
    first: CompactRow,
}

/// A row of evidence: see [`Row`].
#[derive(Debug, Clone, Copy)]
pub(in crate::detect) struct CompactRow {
    start: Option<i64>,
    /// Number of the object's URI.
    source: u32,
    line: i64,
    srcaddr: Option<Address>,
    srcport: Option<u16>,
    dstaddr: Option<Address>,
    action: Option<Action>,
    verdict: Verdict,
}

impl CompactRow {
    pub(in crate::detect) fn of(seen: &Seen<'_, '_>, texts: &mut Texts) -> Self {
        let record = seen.record;
        let mut address =
            |field| texts.address(End { written: record.text(field), address: record.address(field), port: None });
        let (srcaddr, dstaddr) = (address(Field::Srcaddr), address(Field::Dstaddr));
        Self {
            start: record.millis(Field::Start),
            source: texts.number(seen.source),
            line: seen.line,
            srcaddr,
            srcport: record.srcport(),
            dstaddr,
            action: record.action(),
            verdict: seen.judgement.verdict,
        }
    }

    /// Whether this one of the record comes before, by time and place.
    pub(in crate::detect) fn after(&self, start: Option<i64>, seen: &Seen<'_, '_>, texts: &Texts) -> bool {
        (start, seen.source, seen.line) < self.place(texts)
    }

    /// Whether it comes before the other.
    pub(in crate::detect) fn before(&self, other: &Self, texts: &Texts) -> bool {
        self.place(texts) < other.place(texts)
    }

    /// The same with the numbers that its texts have elsewhere.
    pub(in crate::detect) fn renumbered(self, numbers: &gather::Numbers) -> Self {
        let address = |address: Option<Address>| address.map(|address| numbers.address(address));
        let (srcaddr, dstaddr) = (address(self.srcaddr), address(self.dstaddr));
        Self { source: numbers.text(self.source), srcaddr, dstaddr, ..self }
    }

    fn place<'t>(&self, texts: &'t Texts) -> (Option<i64>, &'t str, i64) {
        (self.start, texts.get(self.source), self.line)
    }

    /// The row as it is kept of an hour; its destination's port and its protocol are not in it.
    pub(in crate::detect) fn first(&self, dstport: Option<u16>, protocol: Option<u8>, texts: &Texts) -> First {
        First {
            start: self.start,
            source: texts.shared(self.source),
            line: self.line,
            srcaddr: self.srcaddr.map(|address| texts.logged(address)),
            srcport: self.srcport,
            dstaddr: self.dstaddr.map(|address| texts.logged(address)),
            dstport,
            protocol,
            action: self.action,
            verdict: self.verdict,
        }
    }
}

impl Default for Gatherer {
    fn default() -> Self {
        Self {
            places: FxHashMap::default(),
            sources: Vec::new(),
            probes: FxHashMap::default(),
            recent: vec![None; RECENT].into_boxed_slice(),
        }
    }
}

/// A record as something that goes from a source to a destination.
struct Attempt {
    path: Path,
    day: Window,
    pane: u8,
    port: u16,
    protocol: u8,
    source_zone: ZoneId,
    destination_zone: ZoneId,
}

impl Attempt {
    fn of(seen: &Seen<'_, '_>) -> Option<Self> {
        let path = seen.judgement.path?;
        let (client, server) = seen.judgement.zones?;
        let protocol = seen.record.protocol().filter(|protocol| matches!(protocol, 6 | 17))?;
        let (_, port) = seen.record.srcport().zip(seen.record.dstport())?;
        let (day, pane) = pane(seen.time?);
        let (source_zone, destination_zone) = if path.client_is_source { (client, server) } else { (server, client) };
        Some(Self { path, day, pane, port, protocol, source_zone, destination_zone })
    }
}

impl Gatherer {
    /// Looks at a record; returns by how many bytes, about, the state grew.
    pub(in crate::detect) fn observe(&mut self, seen: &Seen<'_, '_>, texts: &mut Texts) -> usize {
        match seen.judgement.verdict {
            Verdict::Expected => self.contact(seen, texts),
            Verdict::Blocked | Verdict::Attempt | Verdict::Breach => self.probe(seen, texts),
            _ => None,
        }
        .unwrap_or(0)
    }

    fn probe(&mut self, seen: &Seen<'_, '_>, texts: &mut Texts) -> Option<usize> {
        let attempt = Attempt::of(seen)?;
        let path = attempt.path;
        if path.orientation == Orientation::Reply && path.confidence != Confidence::Weak {
            return None;
        }
        let ends = seen.ends();
        let (source, destination) =
            if ends.to_client { (ends.server, ends.client) } else { (ends.client, ends.server) };
        let server = texts.address(destination)?;
        let (source, mut grown) = self.source(attempt.day, texts.address(source)?, attempt.source_zone);
        let target = CompactTarget {
            source,
            server,
            zone: attempt.destination_zone,
            port: attempt.port,
            protocol: attempt.protocol,
            pane: attempt.pane,
        };
        let start = seen.record.millis(Field::Start);
        let rows = Rows {
            flows: 1,
            verdicts: Verdicts::only(seen.judgement.verdict),
            confidence: path.confidence,
            first_seen: start,
            last_seen: seen.time,
        };
        match self.probes.entry(target) {
            Entry::Vacant(entry) => {
                grown += TARGET_BYTES;
                entry.insert(CompactRows { rows, first: CompactRow::of(seen, texts) });
            }
            Entry::Occupied(entry) => {
                let have = entry.into_mut();
                have.rows.merge(&rows);
                if have.first.after(start, seen, texts) {
                    have.first = CompactRow::of(seen, texts);
                }
            }
        }
        Some(grown)
    }

    /// Half of all records come here, and nearly all of them are of a client and a contact that are known.
    fn contact(&mut self, seen: &Seen<'_, '_>, texts: &mut Texts) -> Option<usize> {
        let record = seen.record;
        let (path, (zone, _)) = (seen.judgement.path?, seen.judgement.zones?);
        if !path.client_is_source || zone == ZoneId::INTERNET {
            return None;
        }
        let client = record.address(record.source_field())?;
        let server = record.address(record.destination_field())?;
        let (port, protocol) = (record.dstport()?, record.protocol().filter(|protocol| matches!(protocol, 6 | 17))?);
        record.srcport()?;
        let contact = contact_hash(server, port, protocol);
        let time = seen.time?;
        let IpAddr::V4(client) = client else {
            let (source, grown) = self.source(pane(time).0, texts.address(seen.client())?, zone);
            self.sources.get_mut(source as usize)?.meet(contact);
            return Some(grown);
        };
        let slot = (u32::from(client) ^ u32::from(client) >> 10) as usize % RECENT;
        let (known, grown) = match self.recent.get(slot) {
            Some(Some(known)) if known.is(client, zone, time) => {
                if contact == known.last || contact >= known.above {
                    return None;
                }
                let mut known = *known;
                let mut grown = 0;
                if self.sources.len() <= known.source as usize {
                    (known.source, grown) = self.source(Window(Some(known.day)), Address::V4(client), zone);
                }
                (known, grown)
            }
            _ => {
                let day = time - time.rem_euclid(DAY);
                let (source, grown) = self.source(Window(Some(day)), Address::V4(client), zone);
                (Recent { client, zone, day, source, last: contact, above: u64::MAX }, grown)
            }
        };
        let above = self.sources.get_mut(known.source as usize)?.meet(contact);
        *self.recent.get_mut(slot)? = Some(Recent { last: contact, above: above.min(known.above), ..known });
        Some(grown)
    }

    /// The place of a source, and by how many bytes, about, the state grew.
    fn source(&mut self, day: Window, address: Address, zone: ZoneId) -> (u32, usize) {
        let next = self.sources.len() as u32;
        match self.places.entry((day, address, zone)) {
            Entry::Occupied(entry) => (*entry.get(), 0),
            Entry::Vacant(entry) => {
                entry.insert(next);
                self.sources.push(CompactSource { day, address, zone, contacts: Vec::new() });
                (next, SOURCE_BYTES)
            }
        }
    }

    /// What was gathered; starts anew, but does not gather again what cannot matter any more.
    pub(in crate::detect) fn hand_on(&mut self) -> Self {
        self.recent.iter_mut().flatten().for_each(|known| known.source = u32::MAX);
        Self {
            places: std::mem::take(&mut self.places),
            sources: std::mem::take(&mut self.sources),
            probes: std::mem::take(&mut self.probes),
            recent: Box::default(),
        }
    }

    /// The states of what was gathered, in no order.
    pub(in crate::detect) fn take(self, boundary: &Boundary, texts: &Texts) -> impl Iterator<Item = (Key, State)> {
        let mut numbers = Numbers { texts, objects: FxHashMap::default(), zones: FxHashMap::default() };
        // most sources have one, and a list that grows has room for four
        let mut counts = vec![0_usize; self.sources.len()];
        for target in self.probes.keys() {
            if let Some(count) = counts.get_mut(target.source as usize) {
                *count += 1;
            }
        }
        let mut probes: Vec<Vec<Probe>> = counts.into_iter().map(Vec::with_capacity).collect();
        let mut named = Vec::new();
        for (target, CompactRows { rows, first }) in self.probes {
            let Some(probes) = probes.get_mut(target.source as usize) else { continue };
            probes.push(Probe {
                target: Target {
                    server: texts.logged(target.server),
                    zone: numbers.zone(target.zone, boundary, &mut named),
                    port: target.port,
                    protocol: target.protocol,
                },
                pane: target.pane,
                guarded: boundary.is_protected(target.zone),
                rows,
                first: Row {
                    start: first.start,
                    source: numbers.object(first.source, &mut named),
                    line: first.line,
                    srcaddr: first.srcaddr.map(|address| texts.logged(address)),
                    srcport: first.srcport,
                    dstaddr: first.dstaddr.map(|address| texts.logged(address)),
                    action: first.action,
                    verdict: first.verdict,
                },
            });
        }
        let mut buckets: FxHashMap<(Window, u8), Vec<Source>> = FxHashMap::default();
        for (source, probes) in self.sources.into_iter().zip(probes) {
            let address = texts.logged(source.address);
            let zone = numbers.zone(source.zone, boundary, &mut named);
            let bucket = buckets.entry((source.day, bucket(&address))).or_default();
            bucket.push(Source { address, zone, targets: Targets::Each(probes), contacts: source.contacts });
        }
        buckets
            .into_iter()
            .map(move |((day, bucket), sources)| (state_key(day, bucket), State::Probes(Probes::new(&named, sources))))
    }
}

/// Numbers of the texts that go with the probes.
struct Numbers<'t> {
    texts: &'t Texts,
    objects: FxHashMap<u32, Number>,
    zones: FxHashMap<ZoneId, Number>,
}

impl Numbers<'_> {
    fn object(&mut self, number: u32, named: &mut Vec<String>) -> Number {
        *self.objects.entry(number).or_insert_with(|| add(named, self.texts.get(number)))
    }

    fn zone(&mut self, zone: ZoneId, boundary: &Boundary, named: &mut Vec<String>) -> Number {
        *self.zones.entry(zone).or_insert_with(|| add(named, boundary.zone_name(zone)))
    }
}

fn add(named: &mut Vec<String>, text: &str) -> Number {
    named.push(text.to_owned());
    (named.len() - 1) as Number
}

/// The hash of a contact. An IPv4 address is another than the IPv6 address that it can be mapped to.
pub(in crate::detect) fn contact_hash(server: IpAddr, port: u16, protocol: u8) -> u64 {
    match server {
        IpAddr::V4(address) => {
            hash(&(u64::from(u32::from(address)) << 24 | u64::from(port) << 8 | u64::from(protocol)))
        }
        IpAddr::V6(address) => hash(&(u128::from(address), port, protocol)),
    }
}
