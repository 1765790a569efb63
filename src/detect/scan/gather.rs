//! What one worker gathers of probes and contacts, in a compact form: see `detect::gather`.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::net::IpAddr;

use rustc_hash::FxHashMap;

use super::probes::{Probes, Rows, Target};
use super::{CONTACTS, pane, state_key};
use crate::boundary::{Boundary, Confidence, Orientation, Path, Verdict, ZoneId};
use crate::detect::gather::{Address, Texts};
use crate::detect::seen::{End, Seen};
use crate::detect::sketch::hash;
use crate::detect::state::State;
use crate::detect::tally::{Evidence, Key};
use crate::detect::window::{DAY, Window};
use crate::record::Field;

/// Contacts that were seen last, by a part of their hash: most records are of a contact that is known.
const RECENT: usize = 1 << 12;
/// Bytes of a source once it is taken, about.
const SOURCE_BYTES: usize = 1000;
/// Bytes of a target in a pane, compact and taken together, beside the name of its source.
const TARGET_BYTES: usize = 3700;

/// Probes and contacts of one worker.
#[derive(Debug)]
pub(in crate::detect) struct Gatherer {
    places: FxHashMap<(Window, Address, ZoneId), u32>,
    sources: Vec<Source>,
    probes: FxHashMap<CompactTarget, CompactRows>,
    recent: Box<[u64]>,
}

#[derive(Debug)]
struct Source {
    key: Key,
    external: bool,
    contacts: BTreeSet<u64>,
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
    server: String,
    guarded: bool,
    flows: u64,
    /// As bits.
    verdicts: u32,
    confidence: Confidence,
    first_seen: Option<i64>,
    last_seen: Option<i64>,
    first: Evidence,
}

impl Default for Gatherer {
    fn default() -> Self {
        Self {
            places: FxHashMap::default(),
            sources: Vec::new(),
            probes: FxHashMap::default(),
            recent: vec![0; RECENT].into_boxed_slice(),
        }
    }
}

/// A record as something that goes from a source to a destination.
struct Attempt<'b> {
    boundary: &'b Boundary,
    path: Path,
    day: Window,
    pane: u8,
    port: u16,
    protocol: u8,
    source_zone: ZoneId,
    destination_zone: ZoneId,
}

impl<'b> Attempt<'b> {
    fn of(seen: &Seen<'b, '_>) -> Option<Self> {
        let (boundary, path) = (seen.boundary?, seen.judgement.path?);
        let (client, server) = seen.judgement.zones?;
        let protocol = seen.record.protocol().filter(|protocol| matches!(protocol, 6 | 17))?;
        let (_, port) = seen.record.srcport().zip(seen.record.dstport())?;
        let (day, pane) = pane(seen.time()?);
        let (source_zone, destination_zone) = if path.client_is_source { (client, server) } else { (server, client) };
        Some(Self { boundary, path, day, pane, port, protocol, source_zone, destination_zone })
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
        let written = destination.written?;
        let (source, mut grown) = self.source(&attempt, source, texts)?;
        let target = CompactTarget {
            source,
            server,
            zone: attempt.destination_zone,
            port: attempt.port,
            protocol: attempt.protocol,
            pane: attempt.pane,
        };
        let start = seen.record.millis(Field::Start);
        let rows = self.probes.entry(target).or_insert_with(|| {
            grown += TARGET_BYTES + seen.source.len();
            CompactRows {
                server: written.to_owned(),
                guarded: attempt.boundary.is_protected(attempt.destination_zone),
                flows: 0,
                verdicts: 0,
                confidence: path.confidence,
                first_seen: None,
                last_seen: None,
                first: Evidence::of(seen),
            }
        });
        rows.flows += 1;
        rows.verdicts |= 1 << seen.judgement.verdict as u32;
        // the order of Confidence is from the best down
        rows.confidence = rows.confidence.min(path.confidence);
        rows.first_seen = [rows.first_seen, start].into_iter().flatten().min();
        rows.last_seen = [rows.last_seen, seen.time()].into_iter().flatten().max();
        let first = &rows.first;
        if (start, Some(seen.source), seen.line) < (first.start, first.source.as_deref(), first.line) {
            rows.first = Evidence::of(seen);
        }
        Some(grown)
    }

    /// Most records come here, and nearly all of them are of a contact that was seen lately: that is asked first.
    fn contact(&mut self, seen: &Seen<'_, '_>, texts: &mut Texts) -> Option<usize> {
        let record = seen.record;
        let (path, (client_zone, _)) = (seen.judgement.path?, seen.judgement.zones?);
        if client_zone == ZoneId::INTERNET {
            return None;
        }
        let source = record.address(record.source_field())?;
        let destination = record.address(record.destination_field())?;
        let (client, server, port) = match path.client_is_source {
            true => (source, destination, record.dstport()?),
            false => (destination, source, record.srcport()?),
        };
        let protocol = record.protocol()?;
        let about = (u64::from(port) << 8 | u64::from(protocol)) << 16 | u64::from(client_zone.0);
        let known = hash(&(folded(client), folded(server), about, seen.time()? / DAY));
        let slot = self.recent.get_mut(known as usize % RECENT)?;
        if std::mem::replace(slot, known) == known {
            return None;
        }
        let attempt = Attempt { source_zone: client_zone, ..Attempt::of(seen)? };
        let (source, grown) = self.source(&attempt, seen.ends().client, texts)?;
        let contacts = &mut self.sources.get_mut(source as usize)?.contacts;
        contacts.insert(contact_hash(server, port, protocol));
        if contacts.len() > CONTACTS {
            contacts.pop_last();
        }
        Some(grown)
    }

    /// The place of a source, and by how many bytes, about, the state grew.
    fn source(&mut self, attempt: &Attempt<'_>, end: End<'_>, texts: &mut Texts) -> Option<(u32, usize)> {
        let zone = attempt.source_zone;
        let place = (attempt.day, texts.address(end)?, zone);
        let next = self.sources.len() as u32;
        match self.places.entry(place) {
            std::collections::hash_map::Entry::Occupied(entry) => Some((*entry.get(), 0)),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(next);
                self.sources.push(Source {
                    key: state_key(attempt.day, attempt.boundary.zone_name(zone), end.written?),
                    external: zone == ZoneId::INTERNET,
                    contacts: BTreeSet::new(),
                });
                Some((next, SOURCE_BYTES))
            }
        }
    }

    /// Adds what was gathered to these states.
    pub(in crate::detect) fn take(self, boundary: &Boundary, states: &mut BTreeMap<Key, State>) {
        let mut gathered: Vec<Probes> = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            let mut probes = Probes::new(source.external);
            probes.contacts.clone_from(&source.contacts);
            gathered.push(probes);
        }
        for (target, rows) in self.probes {
            let Some(probes) = gathered.get_mut(target.source as usize) else { continue };
            let verdicts = Verdict::ALL.iter().filter(|verdict| rows.verdicts & 1 << **verdict as u32 != 0);
            let zone = boundary.zone_name(target.zone).to_owned();
            let (port, protocol) = (target.port, target.protocol);
            probes.add(
                Target { server: rows.server, zone, port, protocol },
                rows.guarded,
                target.pane,
                Rows {
                    flows: rows.flows,
                    verdicts: verdicts.map(|verdict| verdict.as_str().to_owned()).collect(),
                    confidence: Some(rows.confidence.as_str().to_owned()),
                    first_seen: rows.first_seen,
                    last_seen: rows.last_seen,
                    evidence: vec![rows.first],
                },
            );
        }
        for (source, mut probes) in self.sources.into_iter().zip(gathered) {
            probes.bound();
            match states.entry(source.key) {
                Entry::Vacant(entry) => drop(entry.insert(State::Probes(probes))),
                Entry::Occupied(entry) => entry.into_mut().merge(State::Probes(probes)),
            }
        }
    }
}

/// An address in 64 bits: of IPv4 exactly, of IPv6 well enough to tell what was seen lately.
fn folded(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => {
            let bits = u128::from(address);
            (bits >> 64) as u64 ^ bits as u64 ^ 1 << 63
        }
    }
}

/// The hash of a contact. An IPv4 address is another than the IPv6 address that it can be mapped to.
pub(in crate::detect) fn contact_hash(server: IpAddr, port: u16, protocol: u8) -> u64 {
    let number = match server {
        IpAddr::V4(address) => (false, u32::from(address).into()),
        IpAddr::V6(address) => (true, u128::from(address)),
    };
    hash(&(number, port, protocol))
}
