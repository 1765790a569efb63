//! What one worker gathers of members and their hours, in a compact form: see `detect::gather`.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::places::{Cell, CompactSum, Family, Place, Rest};
use super::presence::{MINUTE, Presence, seen_in};
use super::replies::{self, Replier, Replies, pane};
use super::state::{Call, Cap, History, Member, Terms};
use super::unanswered::{BYTES, PACKETS, PANE};
use super::{BUDGETS, EXPECTATIONS, group_key};
use crate::boundary::{Boundary, Confidence, Verdict, Watch, WatchKind, ZoneId};
use crate::detect::gather::{Numbers, Texts};
use crate::detect::scan::CompactRow;
use crate::detect::seen::Seen;
use crate::detect::state::State;
use crate::detect::tally::Key;
use crate::detect::window::{DAY, HOUR};
use crate::record::{Action, Field};

/// A short conversation has no more packets in a record of its client.
const SHORT_PACKETS: i64 = 15;
/// Nor more bytes.
const SHORT_BYTES: i64 = 20_000;

/// Members' hours for which there is room at once.
const CELLS: usize = 1 << 13;

/// Bytes of a member's hour once it is taken, about.
const HOUR_BYTES: usize = 448;

/// Bytes of a call, likewise.
const CALL_BYTES: usize = 48;

/// Members and their hours of one worker.
#[derive(Debug, Default)]
pub(in crate::detect) struct Gatherer {
    /// By packed place.
    places: FxHashMap<[u64; 3], u32>,
    cells: Vec<Cell>,
    rest: Vec<Rest>,
    presence: Presence,
    /// Whether calls are kept at all: many know so many servers that it is not free.
    beacons: bool,
    /// The second of its day in which a call of a packed place begins, by its port.
    calls: FxHashMap<([u64; 3], u16), u32>,
    replies: Replies,
}

/// What makes a group's state.
#[derive(Default)]
struct Parts {
    protected: bool,
    /// Places of cells.
    cells: Vec<u32>,
    /// Places of those that replied.
    replies: Vec<u32>,
    ready: Vec<Member>,
}

impl Gatherer {
    /// Nothing yet; whether calls are kept for `beacon`.
    pub(in crate::detect) fn new(beacons: bool) -> Self {
        Self { beacons, ..Self::default() }
    }

    /// All that was gathered; begins anew.
    pub(in crate::detect) fn hand_on(&mut self) -> Self {
        std::mem::replace(self, Self::new(self.beacons))
    }

    /// Looks at a record of this source; returns by how many bytes, about, the state grew.
    pub(in crate::detect) fn observe(&mut self, seen: &Seen<'_, '_>, source: u32, texts: &mut Texts) -> usize {
        let (Some(time), Some(boundary)) = (seen.time, seen.boundary) else { return 0 };
        let (record, judgement) = (seen.record, seen.judgement);
        let placed = judgement.path.zip(judgement.zones);
        let (id, zones) = (record.text(Field::InterfaceId).unwrap_or_default(), placed.map(|(_, zones)| zones));
        let (interface, mut grown) = self.presence.see(source, time, id, zones, texts);
        let start = record.millis(Field::Start);
        if judgement.verdict == Verdict::Gap && !boundary.watches().is_empty() {
            grown += self.presence.expect(boundary.watches().len(), start, time);
        }
        let Some((path, (client, server))) = placed else { return grown };
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
        let accepted = record.action() == Some(Action::Accept);
        for (number, watch) in boundary.watching(client, server) {
            if !watch.sees(record, judgement) {
                continue;
            }
            match watch.kind {
                WatchKind::Expectation { .. } => grown += self.presence.expect(usize::from(number), start, time),
                WatchKind::Budget { both_ways, .. } if accepted && (both_ways || path.client_is_source) => {
                    let zones = (ZoneId::ANY, ZoneId::ANY);
                    let whose = if watch.is_by_client(client) { seen.client() } else { seen.server() };
                    let address = texts.address(whose);
                    let place = Place { family: Family::Budget, port: number, zones, address, ..place };
                    grown += self.add(place, seen, time, interface, texts);
                }
                WatchKind::Budget { .. } => {}
            }
        }
        let mut add = |place, by, texts: &mut Texts| grown += self.add(place, seen, time, by, texts);
        if matches!(judgement.verdict, Verdict::Blocked | Verdict::Attempt) {
            let known = client != ZoneId::INTERNET;
            let client = if known { texts.address(seen.client()) } else { None };
            let address = texts.address(seen.server());
            add(Place { family: Family::Refused, client, address, ..place }, interface, texts);
        }
        if !accepted {
            return grown;
        }
        let (source, destination) = if path.client_is_source { (client, server) } else { (server, client) };
        if destination == ZoneId::INTERNET && source != ZoneId::INTERNET {
            let address = texts.address(seen.sender());
            add(Place { zones: (source, destination), address, ..place }, interface, texts);
        }
        if path.confidence == Confidence::Weak {
            return grown;
        }
        let expected = judgement.verdict == Verdict::Expected;
        if !path.client_is_source {
            if expected && server != ZoneId::INTERNET && record.protocol() == Some(6) {
                grown += self.reply(seen, server, time, texts);
            }
            return grown;
        }
        let (Some(port), Some(protocol @ (6 | 17)), Some(client_port)) =
            (record.dstport(), record.protocol(), record.srcport())
        else {
            return grown;
        };
        let place = Place { port, protocol, ..place };
        if self.beacons && server == ZoneId::INTERNET && client != ZoneId::INTERNET {
            let (client, address) = (texts.address(seen.client()), texts.address(seen.server()));
            let place = Place { family: Family::Beacons, client, address, ..place };
            grown += self.add(place, seen, time, interface, texts) + self.call(&place, client_port, start);
        }
        if expected && protocol == 6 && client != ZoneId::INTERNET && server != ZoneId::INTERNET && is_call(seen) {
            grown += self.small(seen, place, time, interface, texts);
        }
        let mut add = |place, texts: &mut Texts| grown += self.add(place, seen, time, interface, texts);
        if boundary.is_protected(server) {
            if expected && client != ZoneId::INTERNET {
                let short = is_short(seen);
                let address = texts.address(seen.client());
                add(Place { family: Family::Services, short, address, ..place }, texts);
            } else if expected || judgement.verdict == Verdict::Breach {
                // those of services are added when all is taken
                add(Place { family: Family::Ports, zones: (ZoneId::ANY, server), ..place }, texts);
            }
        }
        if expected && boundary.is_confined(client) {
            add(Place { family: Family::Destinations, address: texts.address(seen.server()), ..place }, texts);
        }
        grown
    }

    /// A server replied; returns by how many bytes, about, the state grew.
    fn reply(&mut self, seen: &Seen<'_, '_>, zone: ZoneId, time: i64, texts: &mut Texts) -> usize {
        let record = seen.record;
        let (Some(port), Some(_)) = (record.srcport(), record.dstport()) else { return 0 };
        let Some(address) = texts.address(seen.server()) else { return 0 };
        let day = time.div_euclid(DAY);
        self.replies.add(Replier { address, port, zone, day }, pane(time))
    }

    /// A small request was sent to a server; returns by how many bytes, about, the state grew.
    fn small(&mut self, seen: &Seen<'_, '_>, place: Place, time: i64, interface: u32, texts: &mut Texts) -> usize {
        let Some(address) = texts.address(seen.server()) else { return 0 };
        let (_, server) = place.zones;
        let replier = Replier { address, port: place.port, zone: server, day: time.div_euclid(DAY) };
        // nobody asks for those that were answered: see `Member::settle`
        if self.replies.has(replier, pane(time)) {
            return 0;
        }
        let (zones, hour) = ((ZoneId::ANY, server), time - time.rem_euclid(PANE * MINUTE));
        let place = Place { hour, family: Family::Calls, zones, address: Some(address), ..place };
        self.add(place, seen, time, interface, texts)
    }

    /// There is a packet of this port of the client; returns by how many bytes, about, the state grew.
    fn call(&mut self, place: &Place, port: u16, start: Option<i64>) -> usize {
        let Some(start) = start else { return 0 };
        let day = place.day();
        // what began the day before was there at its end; fewer than 86,400
        let second = (start.saturating_sub(day).clamp(0, DAY - 1) / 1000) as u32;
        let (before, whose) = (self.calls.len(), Place { hour: day, ..*place });
        let first = self.calls.entry((whose.packed(), port)).or_insert(second);
        *first = second.min(*first);
        (self.calls.len() - before) * CALL_BYTES
    }

    fn add(&mut self, place: Place, seen: &Seen<'_, '_>, time: i64, interface: u32, texts: &mut Texts) -> usize {
        let start = seen.record.millis(Field::Start);
        let bytes = number(seen, Field::Bytes);
        let next = self.cells.len() as u32;
        if next == 0 {
            // to grow is to copy
            self.places.reserve(CELLS);
            self.cells.reserve(CELLS);
            self.rest.reserve(CELLS);
        }
        let found = *self.places.entry(place.packed()).or_insert(next);
        if found == next {
            let sum = CompactSum { interface, flows: 1, bytes };
            self.cells.push(Cell {
                first_seen: start.unwrap_or(Cell::NEVER),
                last_seen: time,
                sums: [sum, CompactSum::default()],
            });
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
        cell.last_seen = cell.last_seen.max(time);
        // what has no start comes first, and is no first time
        let early = start.is_none_or(|start| start <= cell.first_seen);
        if !early && let Some(sum) = cell.near(interface) {
            sum.add(bytes);
            return 0;
        }
        let Some(rest) = self.rest.get_mut(found as usize) else { return 0 };
        cell.sum(rest, interface).add(bytes);
        if early {
            cell.first_seen = cell.first_seen.min(start.unwrap_or(Cell::NEVER));
            if rest.first.after(start, seen, texts) {
                rest.first = CompactRow::of(seen, texts);
                rest.dstport = seen.record.dstport();
                rest.protocol = seen.record.protocol();
            }
        }
        0
    }

    /// Adds what another worker gathered, with the numbers that its texts have here.
    pub(in crate::detect) fn absorb(&mut self, other: Self, numbers: &Numbers, texts: &Texts) {
        let mut members: FxHashMap<[u64; 3], [u64; 3]> = FxHashMap::default();
        for (mut cell, rest) in other.cells.into_iter().zip(other.rest) {
            let was = rest.place;
            let rest = rest.renumbered(&mut cell, numbers);
            if !other.calls.is_empty() {
                members.insert(was.of_member().packed(), rest.place.of_member().packed());
            }
            self.put(cell, rest, texts);
        }
        for ((whose, port), second) in other.calls {
            let Some(whose) = members.get(&whose) else { continue };
            let first = self.calls.entry((*whose, port)).or_insert(second);
            *first = second.min(*first);
        }
        self.presence.absorb(other.presence, numbers);
        self.replies.absorb(other.replies, numbers);
    }

    /// Hands over the states of what was gathered, in the order of their keys. Each is put together when its turn comes: of
    /// all of them together there would be much.
    pub(in crate::detect) fn hand_over<E>(
        mut self,
        boundary: &Boundary,
        texts: &Texts,
        put: &mut impl FnMut(Key, State) -> Result<(), E>,
    ) -> Result<(), E> {
        self.add_ports(texts);
        let mut groups: BTreeMap<Key, Parts> = BTreeMap::new();
        // of nearly all groups there are many cells, and text is made once
        let mut packed: FxHashMap<[u64; 3], (Place, Vec<u32>)> = FxHashMap::default();
        let Self { rest, replies: replied, .. } = &mut self;
        for (number, Rest { place, .. }) in (0..).zip(&*rest) {
            // most calls, of which nothing would be left: see `Member::settle`
            if let Some((replier, pane)) = place.call()
                && (replied.has(replier, pane) || replied.has(replier, pane + 1))
            {
                continue;
            }
            let group = place.group();
            packed.entry(group.packed()).or_insert((group, Vec::new())).1.push(number);
        }
        for (group, cells) in packed.into_values() {
            let Some(key) = group.key(boundary, texts) else { continue };
            let parts = groups.entry(key).or_default();
            parts.protected |= matches!(group.family, Family::Exits) && boundary.is_protected(group.zones.0);
            parts.cells.extend(cells);
        }
        for ((day, zone, port), places) in self.replies.groups(texts) {
            groups.entry(replies::key(day * DAY, zone, port, boundary)).or_default().replies.extend(places);
        }
        std::mem::take(&mut self.presence)
            .take(boundary, texts, &mut |key, member| groups.entry(key).or_default().ready.extend(member));
        let mut calls: FxHashMap<[u64; 3], Vec<Call>> = FxHashMap::default();
        for ((whose, port), second) in std::mem::take(&mut self.calls) {
            calls.entry(whose).or_default().push(Call { port, second });
        }
        for (key, Parts { protected, cells, replies, ready: mut members }) in groups {
            self.expand(cells, &mut calls, texts, &mut members);
            members.extend(replies.into_iter().filter_map(|place| self.replies.member(place, texts)));
            let terms = terms(&key, boundary).map(Box::new);
            put(key, State::History(History { terms, ..History::new(protected, members) }))?;
        }
        Ok(())
    }

    /// The members that these cells are of.
    fn expand(
        &self,
        mut cells: Vec<u32>,
        calls: &mut FxHashMap<[u64; 3], Vec<Call>>,
        texts: &Texts,
        members: &mut Vec<Member>,
    ) {
        let cell = |number: &u32| Some((self.cells.get(*number as usize)?, self.rest.get(*number as usize)?));
        let whose = |number: &u32| cell(number).map(|(_, rest)| rest.place.of_member().packed());
        cells.sort_by_cached_key(whose);
        for of_member in cells.chunk_by(|one, other| whose(one) == whose(other)) {
            let Some((_, Rest { place, .. })) = of_member.first().and_then(cell) else { continue };
            let hours = of_member.iter().filter_map(cell).map(|(cell, rest)| cell.expand(rest, texts)).collect();
            let calls = calls.remove(&place.of_member().packed()).unwrap_or_default();
            members.push(Member { hours, calls, ..seen_in(place.who(texts), [0; 24]) });
        }
    }

    /// Adds what was done on the ports of protected zones: of services it is known already.
    fn add_ports(&mut self, texts: &Texts) {
        for number in 0..self.cells.len() {
            let (Some(cell), Some(rest)) = (self.cells.get(number), self.rest.get(number)) else { continue };
            let Family::Services = rest.place.family else { continue };
            let (_, server) = rest.place.zones;
            let zones = (ZoneId::ANY, server);
            let place = Place { family: Family::Ports, short: false, zones, address: None, ..rest.place };
            let (cell, rest) = (cell.clone(), Rest { place, ..rest.clone() });
            self.put(cell, rest, texts);
        }
    }

    /// Adds all that happened at a place.
    fn put(&mut self, cell: Cell, rest: Rest, texts: &Texts) {
        let next = self.cells.len() as u32;
        let found = *self.places.entry(rest.place.packed()).or_insert(next) as usize;
        match self.cells.get_mut(found).zip(self.rest.get_mut(found)) {
            Some((have, of_have)) => have.merge(of_have, &cell, &rest, texts),
            None => {
                self.cells.push(cell);
                self.rest.push(rest);
            }
        }
    }
}

fn number(seen: &Seen<'_, '_>, field: Field) -> u64 {
    seen.record.number(field).and_then(|value| u64::try_from(value).ok()).unwrap_or(0)
}

/// Whether a request is no more than attempts to connect.
fn is_call(seen: &Seen<'_, '_>) -> bool {
    let [packets, bytes] = [Field::Packets, Field::Bytes].map(|field| seen.record.number(field));
    packets.zip(bytes).is_some_and(|(packets, bytes)| packets <= PACKETS && bytes <= BYTES * packets)
}

/// Whether a request is of a short conversation.
fn is_short(seen: &Seen<'_, '_>) -> bool {
    let [packets, bytes] = [Field::Packets, Field::Bytes].map(|field| seen.record.number(field));
    packets.is_some_and(|packets| packets <= SHORT_PACKETS) && bytes.is_some_and(|bytes| bytes <= SHORT_BYTES)
}

/// The family of what the map wants watched.
fn family(watch: &Watch) -> &'static str {
    if let WatchKind::Budget { .. } = watch.kind { BUDGETS } else { EXPECTATIONS }
}

/// The key of what the map wants watched.
pub(super) fn watched(day: i64, watch: &Watch) -> Key {
    Key { rule: Some(watch.id.clone()), reason: Some(watch.what.clone()), ..group_key(day, family(watch)) }
}

/// What is asked of the group with this key, where the map wants it watched.
fn terms(key: &Key, boundary: &Boundary) -> Option<Terms> {
    let is = |watch: &&Watch| {
        key.detector == family(watch)
            && (key.rule.as_ref(), key.reason.as_ref()) == (Some(&watch.id), Some(&watch.what))
    };
    let watch = boundary.watches().iter().find(is)?;
    let (budget, least, most, minutes) = match watch.kind {
        WatchKind::Budget { bytes, both_ways } => (Some(Cap { bytes, both_ways }), None, None, 60),
        WatchKind::Expectation { least, most, minutes } => (None, least, most, minutes),
    };
    let (what, condition) = (watch.what.clone(), watch.condition.clone());
    Some(Terms { budget, least, most, minutes, permitted: watch.permitted, what, condition })
}
