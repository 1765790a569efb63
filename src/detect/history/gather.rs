//! What one worker gathers of members and their hours, in a compact form: see `detect::gather`.

use rustc_hash::FxHashMap;

use super::presence::{Presence, seen_in};
use super::state::{History, Hour, Member, Sum, Terms, Who};
use super::{BUDGETS, DESTINATIONS, EXITS, EXPECTATIONS, PORTS, REFUSED, SERVICES, group_key};
use crate::boundary::{Boundary, Confidence, Verdict, Watch, WatchKind, ZoneId};
use crate::detect::gather::{Address, Texts};
use crate::detect::scan::{CompactRow, Logged};
use crate::detect::seen::Seen;
use crate::detect::state::State;
use crate::detect::tally::Key;
use crate::detect::window::{DAY, HOUR};
use crate::record::{Action, Field};

/// A short conversation has no more packets in a record of its client.
const SHORT_PACKETS: u64 = 15;
/// Nor more bytes.
const SHORT_BYTES: u64 = 20_000;

/// Bytes of a member's hour once it is taken, about.
const HOUR_BYTES: usize = 640;

/// What a member belongs to.
#[derive(Debug, Clone, Copy)]
enum Family {
    /// What leaves a zone for the internet, by its source.
    Exits,
    /// What was refused, by client zone, client and server zone; members are servers.
    Refused,
    /// Requests to a protected service, by client.
    Services,
    /// Requests of a confined zone, by server.
    Destinations,
    /// Requests to a protected zone, by port.
    Ports,
    /// What goes through an exit with a budget, by client. Its port is the number of the watch.
    Budget,
}

/// A member of a group, in an hour.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Start of the hour, milliseconds since 1970.
    hour: i64,
    family: Family,
    short: bool,
    zones: (ZoneId, ZoneId),
    /// Of the group.
    client: Option<Address>,
    /// The member, where it is one.
    address: Option<Address>,
    port: u16,
    protocol: u8,
}

impl Place {
    /// The same in three words, to be looked up by: a hash of so few is quick.
    fn packed(&self) -> [u64; 3] {
        let address = |address: Option<Address>| match address {
            None => (0, 0),
            Some(Address::V4(address)) => (1, u64::from(u32::from(address))),
            Some(Address::Written(number)) => (2, u64::from(number)),
        };
        let ((client_kind, client), (kind, address)) = (address(self.client), address(self.address));
        let (from, to) = self.zones;
        let kinds = (self.family as u64) << 5 | u64::from(self.short) << 4 | client_kind << 2 | kind;
        let zones = u64::from(from.0) << 16 | u64::from(to.0);
        let port = u64::from(self.port) << 16 | u64::from(self.protocol) << 8 | kinds;
        [self.hour.cast_unsigned(), zones << 32 | port, client << 32 | address]
    }
}

/// What changes with each record of a place.
#[derive(Debug)]
struct Cell {
    first_seen: Option<i64>,
    last_seen: i64,
    /// Of the interface that came first.
    sum: CompactSum,
}

#[derive(Debug, Clone, Copy)]
struct CompactSum {
    /// Number of the interface's id.
    interface: u32,
    flows: u64,
    bytes: u64,
}

impl CompactSum {
    fn add(&mut self, bytes: u64) {
        self.flows += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// What seldom does.
#[derive(Debug)]
struct Rest {
    place: Place,
    /// Of other interfaces.
    sums: Vec<CompactSum>,
    /// The earliest row; it starts at `first_seen`.
    first: CompactRow,
    dstport: Option<u16>,
    protocol: Option<u8>,
}

/// Members and their hours of one worker.
#[derive(Debug, Default)]
pub(in crate::detect) struct Gatherer {
    /// By packed place.
    places: FxHashMap<[u64; 3], u32>,
    cells: Vec<Cell>,
    rest: Vec<Rest>,
    presence: Presence,
}

impl Gatherer {
    /// Looks at a record of this source; returns by how many bytes, about, the state grew.
    pub(in crate::detect) fn observe(&mut self, seen: &Seen<'_, '_>, source: u32, texts: &mut Texts) -> usize {
        let (Some(time), Some(boundary)) = (seen.time(), seen.boundary) else { return 0 };
        let (record, judgement) = (seen.record, seen.judgement);
        let interface = self.presence.interface(record.text(Field::InterfaceId).unwrap_or_default(), texts);
        let mut grown = self.presence.see(source, interface, time);
        let start = record.millis(Field::Start);
        if judgement.verdict == Verdict::Gap && !boundary.watches().is_empty() {
            grown += self.presence.expect(boundary.watches().len(), start, time);
        }
        let (Some(path), Some((client, server))) = (judgement.path, judgement.zones) else { return grown };
        self.presence.narrow(interface, client, server);
        for (number, watch) in boundary.watches().iter().enumerate() {
            if let WatchKind::Expectation { .. } = watch.kind
                && watch.sees(record, judgement)
            {
                grown += self.presence.expect(number, start, time);
            }
        }
        let ends = seen.ends();
        let place = Place {
            hour: time - time.rem_euclid(HOUR),
            family: Family::Exits,
            short: false,
            zones: (client, server),
            client: None,
            address: None,
            port: 0,
            protocol: 0,
        };
        let mut add = |place, texts: &mut Texts| grown += self.add(place, seen, time, interface, texts);
        if matches!(judgement.verdict, Verdict::Blocked | Verdict::Attempt) {
            let known = client != ZoneId::INTERNET;
            let client = if known { texts.address(ends.client) } else { None };
            add(Place { family: Family::Refused, client, address: texts.address(ends.server), ..place }, texts);
        }
        if record.action() != Some(Action::Accept) {
            return grown;
        }
        for (number, watch) in (0..).zip(boundary.watches()) {
            if let WatchKind::Budget { .. } = watch.kind
                && path.client_is_source
                && watch.sees(record, judgement)
            {
                let zones = (ZoneId::ANY, ZoneId::ANY);
                let address = texts.address(ends.client);
                add(Place { family: Family::Budget, port: number, zones, address, ..place }, texts);
            }
        }
        let (source, destination, from) =
            if path.client_is_source { (client, server, ends.client) } else { (server, client, ends.server) };
        if destination == ZoneId::INTERNET && source != ZoneId::INTERNET {
            add(Place { zones: (source, destination), address: texts.address(from), ..place }, texts);
        }
        if !path.client_is_source || path.confidence == Confidence::Weak {
            return grown;
        }
        let (Some(port), Some(protocol @ (6 | 17)), Some(_)) = (record.dstport(), record.protocol(), record.srcport())
        else {
            return grown;
        };
        let place = Place { port, protocol, ..place };
        let expected = judgement.verdict == Verdict::Expected;
        if boundary.is_protected(server) {
            if expected && client != ZoneId::INTERNET {
                let short = number(seen, Field::Packets) <= SHORT_PACKETS && number(seen, Field::Bytes) <= SHORT_BYTES;
                let address = texts.address(ends.client);
                add(Place { family: Family::Services, short, address, ..place }, texts);
            } else if expected || judgement.verdict == Verdict::Breach {
                // those of services are added when all is taken
                add(Place { family: Family::Ports, zones: (ZoneId::ANY, server), ..place }, texts);
            }
        }
        if expected && boundary.is_confined(client) {
            add(Place { family: Family::Destinations, address: texts.address(ends.server), ..place }, texts);
        }
        grown
    }

    fn add(&mut self, place: Place, seen: &Seen<'_, '_>, time: i64, interface: u32, texts: &mut Texts) -> usize {
        let start = seen.record.millis(Field::Start);
        let bytes = number(seen, Field::Bytes);
        let next = self.cells.len() as u32;
        let found = *self.places.entry(place.packed()).or_insert(next);
        if found == next {
            let sum = CompactSum { interface, flows: 1, bytes };
            self.cells.push(Cell { first_seen: start, last_seen: time, sum });
            self.rest.push(Rest {
                place,
                sums: Vec::new(),
                first: CompactRow::of(seen, texts),
                dstport: seen.record.dstport(),
                protocol: seen.record.protocol(),
            });
            return HOUR_BYTES;
        }
        let Some(cell) = self.cells.get_mut(found as usize) else { return 0 };
        // what has no start comes first, and is no first time
        let early = start.is_none_or(|start| cell.first_seen.is_none_or(|first| start <= first));
        if cell.sum.interface == interface && !early {
            cell.last_seen = cell.last_seen.max(time);
            cell.sum.add(bytes);
            return 0;
        }
        let Some(rest) = self.rest.get_mut(found as usize) else { return 0 };
        cell.first_seen = [cell.first_seen, start].into_iter().flatten().min();
        cell.last_seen = cell.last_seen.max(time);
        let mut sums = std::iter::once(&mut cell.sum).chain(&mut rest.sums);
        match sums.find(|sum| sum.interface == interface) {
            Some(sum) => sum.add(bytes),
            None => rest.sums.push(CompactSum { interface, flows: 1, bytes }),
        }
        if early && rest.first.after(start, seen, texts) {
            rest.first = CompactRow::of(seen, texts);
            rest.dstport = seen.record.dstport();
            rest.protocol = seen.record.protocol();
        }
        0
    }

    /// The states of what was gathered, in no order.
    pub(in crate::detect) fn take(self, boundary: &Boundary, texts: &Texts) -> Vec<(Key, State)> {
        let mut groups: FxHashMap<Key, (bool, Vec<Member>)> = FxHashMap::default();
        let mut put = |key: Key, protected: bool, member: Option<Member>| {
            let (guarded, members) = groups.entry(key).or_default();
            *guarded |= protected;
            members.extend(member);
        };
        self.presence.take(boundary, texts, &mut put);
        for (cell, rest) in self.cells.into_iter().zip(self.rest) {
            let place = rest.place;
            let day = place.hour - place.hour.rem_euclid(DAY);
            let (client, server) = place.zones;
            let name = |zone: ZoneId| Some(boundary.zone_name(zone).to_owned());
            let hour = Hour {
                // fewer than 24
                hour: ((place.hour - day) / HOUR) as u8,
                short: place.short,
                ..cell.expand(&rest, texts)
            };
            let who = match place.family {
                Family::Ports => Who::Port(place.port, place.protocol),
                _ => place.address.map_or(Who::Unknown, |address| Who::Address(logged(address, texts))),
            };
            let member = |who, hour| Some(Member { hours: vec![hour], ..seen_in(who, [0; 24]) });
            let service = |family| Key {
                client_zone: name(client),
                server_zone: name(server),
                server_port: Some(place.port),
                protocol: Some(place.protocol),
                ..group_key(day, family)
            };
            let ports = || Key { server_zone: name(server), ..group_key(day, PORTS) };
            let (key, protected) = match place.family {
                Family::Exits => {
                    let key = Key { client_zone: name(client), server_zone: name(server), ..group_key(day, EXITS) };
                    (key, boundary.is_protected(client))
                }
                Family::Refused => {
                    let key = Key { client_zone: name(client), server_zone: name(server), ..group_key(day, REFUSED) };
                    let client = place.client.map(|address| logged(address, texts).to_string());
                    (Key { client_addr: client, ..key }, false)
                }
                Family::Services => {
                    let of_port = Hour { short: false, ..hour.clone() };
                    put(ports(), false, member(Who::Port(place.port, place.protocol), of_port));
                    (service(SERVICES), false)
                }
                Family::Destinations => (service(DESTINATIONS), false),
                Family::Ports => (ports(), false),
                Family::Budget => match boundary.watches().get(usize::from(place.port)) {
                    Some(watch) => (watched(day, watch), false),
                    None => continue,
                },
            };
            put(key, protected, member(who, hour));
        }
        let state = |(key, (protected, members)): (Key, _)| {
            let watch = boundary.watches().iter().find(|watch| {
                watched(0, watch).detector == key.detector
                    && (key.rule.as_ref(), key.reason.as_ref()) == (Some(&watch.id), Some(&watch.what))
            });
            let terms = watch.map(|watch| Box::new(terms(watch)));
            (key, State::History(History { terms, ..History::new(protected, members) }))
        };
        groups.into_iter().map(state).collect()
    }
}

impl Cell {
    fn expand(&self, rest: &Rest, texts: &Texts) -> Hour {
        let all = || std::iter::once(&self.sum).chain(&rest.sums);
        let sum = |sum: &CompactSum| Sum {
            interface: texts.get(sum.interface).to_owned(),
            flows: sum.flows,
            bytes: sum.bytes,
        };
        let mut sums: Vec<Sum> = all().map(sum).collect();
        sums.sort_by(|one, other| one.interface.cmp(&other.interface));
        Hour {
            hour: 0,
            short: false,
            flows: all().map(|sum| sum.flows).sum(),
            first_seen: self.first_seen,
            last_seen: Some(self.last_seen),
            sums,
            first: Some(Box::new(rest.first.evidence(rest.dstport, rest.protocol, texts))),
        }
    }
}

fn number(seen: &Seen<'_, '_>, field: Field) -> u64 {
    seen.record.number(field).and_then(|value| u64::try_from(value).ok()).unwrap_or(0)
}

/// The key of what the map wants watched.
pub(super) fn watched(day: i64, watch: &Watch) -> Key {
    let family = if let WatchKind::Budget { .. } = watch.kind { BUDGETS } else { EXPECTATIONS };
    Key { rule: Some(watch.id.clone()), reason: Some(watch.what.clone()), ..group_key(day, family) }
}

fn terms(watch: &Watch) -> Terms {
    let (budget, least, most, minutes) = match watch.kind {
        WatchKind::Budget { bytes } => (Some(bytes), None, None, 60),
        WatchKind::Expectation { least, most, minutes } => (None, least, most, minutes),
    };
    Terms { budget, least, most, minutes, what: watch.what.clone(), condition: watch.condition.clone() }
}

fn logged(address: Address, texts: &Texts) -> Logged {
    match address {
        Address::V4(address) => Logged::V4(address),
        Address::Written(number) => Logged::Written(texts.get(number).to_owned()),
    }
}
