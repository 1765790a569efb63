//! What one worker gathers of members and their hours, in a compact form: see `detect::gather`.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::state::{Each, History, Hour, Member, Minutes, Sum, Terms, Who};
use super::{BUDGETS, CLOCK, DESTINATIONS, EXITS, EXPECTATIONS, INTERFACES, PORTS, REFUSED, SERVICES, group_key};
use crate::boundary::{Boundary, Confidence, Verdict, Watch, WatchKind, ZoneId};
use crate::detect::gather::{Address, Texts};
use crate::detect::scan::{CompactRow, Logged};
use crate::detect::seen::Seen;
use crate::detect::state::State;
use crate::detect::tally::Key;
use crate::detect::window::{DAY, HOUR};
use crate::record::{Action, Field};

/// A minute, in milliseconds.
pub(super) const MINUTE: i64 = 60_000;
/// A short conversation has no more packets in a record of its client.
const SHORT_PACKETS: u64 = 15;
/// Nor more bytes.
const SHORT_BYTES: u64 = 20_000;

/// Bytes of an interface's day once it is taken, about.
const INTERFACE_BYTES: usize = 640;
/// Bytes of what is expected in a day, likewise: rows of every minute.
const EXPECTED_BYTES: usize = 48 * 1024;
/// The longest aggregation interval.
const LONGEST: i64 = 600_000;
/// Bytes of a member's hour, likewise.
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

/// An interface in a day.
#[derive(Debug)]
struct Face {
    /// Start of the day, milliseconds since 1970.
    day: i64,
    /// Number of its id.
    name: u32,
    /// Of each hour, the minutes as bits.
    minutes: [u64; 24],
    /// The zones that stand in each of its records; before the first none is left out.
    zones: Option<[Option<ZoneId>; 2]>,
}

/// When a source has records, in a day.
#[derive(Debug)]
struct CompactClock {
    /// Start of the day, milliseconds since 1970.
    day: i64,
    /// Number of the source.
    source: u32,
    /// Of each hour, the minutes as bits.
    minutes: [u64; 24],
}

/// What is expected, in a day.
#[derive(Debug)]
struct Expected {
    /// Number of the watch; beyond all of them: what AWS skipped.
    watch: usize,
    /// Start of the day, milliseconds since 1970.
    day: i64,
    /// Of each hour, the minutes with a record that spans them, as bits.
    minutes: [u64; 24],
    /// Rows that end in a minute.
    each: BTreeMap<u16, u64>,
}

/// The shard of a record of a stream; nothing of others.
pub(super) fn shard(source: &str) -> &str {
    source.strip_prefix("kinesis://").and_then(|path| path.split('/').nth(1)).unwrap_or_default()
}

/// Ids of interfaces that were seen lately, with their numbers: each record has one, and its text is long to hash.
#[derive(Debug, Default)]
struct Names(Vec<Name>);

#[derive(Debug, Clone, Copy)]
struct Name {
    text: [u64; 3],
    number: u32,
}

impl Names {
    const SLOTS: usize = 1 << 10;

    fn number(&mut self, text: &str, texts: &mut Texts) -> u32 {
        // an id has 12 or 21 characters: three words that overlap, and how many there are, say all of it
        let bytes = text.as_bytes();
        let word = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let (first, last) = (bytes.first_chunk(), bytes.last_chunk());
        let middle = bytes.get(8..).and_then(<[u8]>::first_chunk).or(first);
        if first.is_none() || bytes.len() > 24 {
            return texts.number(text);
        }
        let text_words = [word(first), word(middle), word(last) ^ (bytes.len() as u64) << 56];
        let mixed = text_words.iter().fold(0, |sum: u64, word| (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let slot = (mixed >> 54) as usize;
        if self.0.is_empty() {
            // no text has such bytes
            self.0 = vec![Name { text: [u64::MAX; 3], number: 0 }; Self::SLOTS];
        }
        let Some(name) = self.0.get_mut(slot) else { return texts.number(text) };
        if name.text != text_words {
            *name = Name { text: text_words, number: texts.number(text) };
        }
        name.number
    }
}

/// What is known of an interface already: nearly every record finds its minute marked.
#[derive(Debug, Clone, Copy)]
struct Current {
    /// The minute, since 1970.
    minute: i64,
    /// Place in `faces`.
    face: u32,
    zones: Option<[Option<ZoneId>; 2]>,
}

/// Members and their hours of one worker.
#[derive(Debug, Default)]
pub(in crate::detect) struct Gatherer {
    /// By packed place.
    places: FxHashMap<[u64; 3], u32>,
    cells: Vec<Cell>,
    rest: Vec<Rest>,
    days: FxHashMap<(u32, i64), u32>,
    faces: Vec<Face>,
    clocks: Vec<CompactClock>,
    expected: Vec<Expected>,
    /// The clock that was seen last.
    clock: usize,
    names: Names,
    /// By number of an interface's id: when it was seen last.
    current: Vec<Current>,
    /// The minute and the source of the last record.
    ticked: (i64, u32),
}

impl Gatherer {
    /// Looks at a record of this source; returns by how many bytes, about, the state grew.
    pub(in crate::detect) fn observe(&mut self, seen: &Seen<'_, '_>, source: u32, texts: &mut Texts) -> usize {
        let (Some(time), Some(boundary)) = (seen.time(), seen.boundary) else { return 0 };
        let (record, judgement) = (seen.record, seen.judgement);
        let interface = self.names.number(record.text(Field::InterfaceId).unwrap_or_default(), texts);
        let minute = time.div_euclid(MINUTE);
        let mut grown = 0;
        if self.ticked != (minute, source) {
            grown += self.tick(source, time);
            self.ticked = (minute, source);
        }
        if judgement.verdict == Verdict::Gap && !boundary.watches().is_empty() {
            grown += self.expect(boundary.watches().len(), record.millis(Field::Start), time);
        }
        grown += self.see(interface, minute);
        let (Some(path), Some((client, server))) = (judgement.path, judgement.zones) else { return grown };
        self.narrow(interface, client, server);
        for (number, watch) in boundary.watches().iter().enumerate() {
            if let WatchKind::Expectation { .. } = watch.kind
                && watch.sees(record, judgement)
            {
                grown += self.expect(number, record.millis(Field::Start), time);
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

    /// The number of the source of these records.
    pub(in crate::detect) fn source(source: &str, texts: &mut Texts) -> u32 {
        texts.number(shard(source))
    }

    /// There is a record of this time.
    fn tick(&mut self, source: u32, time: i64) -> usize {
        let is = |clock: &CompactClock| clock.source == source && (0..DAY).contains(&(time - clock.day));
        let mut grown = 0;
        if !self.clocks.get(self.clock).is_some_and(is) {
            self.clock = self.clocks.iter().position(is).unwrap_or(self.clocks.len());
            if self.clock == self.clocks.len() {
                grown = INTERFACE_BYTES;
                self.clocks.push(CompactClock { day: time - time.rem_euclid(DAY), source, minutes: [0; 24] });
            }
        }
        if let Some(clock) = self.clocks.get_mut(self.clock) {
            mark(&mut clock.minutes, time - clock.day);
        }
        grown
    }

    /// There is a record of something that is expected.
    fn expect(&mut self, watch: usize, start: Option<i64>, time: i64) -> usize {
        let mut grown = 0;
        // no record is of more time than that
        let first = start.map_or(time, |start| start.clamp(time.saturating_sub(2 * LONGEST), time));
        for minute in first.div_euclid(MINUTE)..=time.div_euclid(MINUTE) {
            let moment = minute * MINUTE;
            let is = |expected: &&mut Expected| expected.watch == watch && (0..DAY).contains(&(moment - expected.day));
            if self.expected.iter_mut().find(is).is_none() {
                grown += EXPECTED_BYTES;
                let day = moment - moment.rem_euclid(DAY);
                self.expected.push(Expected { watch, day, minutes: [0; 24], each: BTreeMap::new() });
            }
            if let Some(expected) = self.expected.iter_mut().find(is) {
                mark(&mut expected.minutes, moment - expected.day);
                if moment + MINUTE > time {
                    // fewer than 1440
                    *expected.each.entry(((moment - expected.day) / MINUTE) as u16).or_default() += 1;
                }
            }
        }
        grown
    }

    /// The interface is seen in this minute, since 1970.
    fn see(&mut self, name: u32, minute: i64) -> usize {
        let place = name as usize;
        if self.current.len() <= place {
            self.current.resize(place + 1, Current { minute: i64::MIN, face: u32::MAX, zones: None });
        }
        let Some(current) = self.current.get_mut(place).filter(|current| current.minute != minute) else { return 0 };
        let moment = minute * MINUTE;
        let (day, next) = (moment - moment.rem_euclid(DAY), self.faces.len() as u32);
        let mut grown = 0;
        let face = *self.days.entry((name, day)).or_insert(next);
        if face == next {
            grown = INTERFACE_BYTES;
            self.faces.push(Face { day, name, minutes: [0; 24], zones: None });
        }
        if let Some(seen) = self.faces.get_mut(face as usize) {
            mark(&mut seen.minutes, moment - day);
            *current = Current { minute, face, zones: seen.zones };
        }
        grown
    }

    /// Leaves those of the interface's zones that stand in this record too.
    fn narrow(&mut self, name: u32, client: ZoneId, server: ZoneId) {
        let Some(current) = self.current.get_mut(name as usize) else { return };
        let stays = |zone: &ZoneId| *zone == client || *zone == server;
        if current.zones.is_some_and(|zones| zones.iter().flatten().all(stays)) {
            return;
        }
        let zones = match current.zones {
            None => [Some(client), Some(server)].map(|zone| zone.filter(|zone| *zone != ZoneId::INTERNET)),
            Some(zones) => zones.map(|zone| zone.filter(stays)),
        };
        current.zones = Some(zones);
        if let Some(face) = self.faces.get_mut(current.face as usize) {
            face.zones = current.zones;
        }
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
        let watched = |day, watch: &Watch| {
            let family = if let WatchKind::Budget { .. } = watch.kind { BUDGETS } else { EXPECTATIONS };
            Key { rule: Some(watch.id.clone()), reason: Some(watch.what.clone()), ..group_key(day, family) }
        };
        // what is expected and does not come has a history too, wherever there are records
        for watch in boundary.watches() {
            let days = self.clocks.iter().map(|clock| watched(clock.day, watch));
            groups.extend(days.map(|key| (key, (false, Vec::new()))));
        }
        let mut put = |key: Key, protected: bool, member: Member| {
            let (guarded, members) = groups.entry(key).or_default();
            *guarded |= protected;
            members.push(member);
        };
        for Face { day, name, minutes, zones } in self.faces {
            let id = texts.get(name);
            if id.is_empty() {
                continue;
            }
            let named = |zones: [Option<ZoneId>; 2]| {
                let mut names: Vec<String> =
                    zones.into_iter().flatten().map(|zone| boundary.zone_name(zone).to_owned()).collect();
                names.sort();
                names.dedup();
                names
            };
            let member = Member { zones: zones.map(named), ..seen_in(Who::Interface(id.to_owned()), minutes) };
            put(group_key(day, INTERFACES), false, member);
        }
        for Expected { watch, day, minutes, each } in self.expected {
            let each = each.into_iter().map(|(minute, flows)| Each { minute, flows }).collect();
            match boundary.watches().get(watch) {
                Some(watch) => {
                    let member = Member { each, ..seen_in(Who::Unknown, minutes) };
                    put(watched(day, watch), false, member);
                }
                None => {
                    for watch in boundary.watches() {
                        put(watched(day, watch), false, seen_in(Who::Gap, minutes));
                    }
                }
            }
        }
        for CompactClock { day, source, minutes } in self.clocks {
            put(group_key(day, CLOCK), false, seen_in(Who::Source(texts.get(source).to_owned()), minutes));
        }
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
            let member = |who, hour| Member { hours: vec![hour], ..seen_in(who, [0; 24]) };
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

/// Marks the minute of a moment of the day.
fn mark(minutes: &mut [u64; 24], moment: i64) {
    // fewer than 1440
    let minute = moment / MINUTE;
    if let Some(hour) = minutes.get_mut((minute / 60) as usize) {
        *hour |= 1 << (minute % 60);
    }
}

fn number(seen: &Seen<'_, '_>, field: Field) -> u64 {
    seen.record.number(field).and_then(|value| u64::try_from(value).ok()).unwrap_or(0)
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

fn seen_in(who: Who, minutes: [u64; 24]) -> Member {
    let hours = (0..).zip(minutes).filter(|(_, bits)| *bits != 0);
    let minutes = hours.map(|(hour, bits)| Minutes { hour, bits }).collect();
    Member { who, hours: Vec::new(), minutes, each: Vec::new(), zones: None }
}
