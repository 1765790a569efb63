//! When something was there: records of the lake, its interfaces, and what the map expects.
//!
//! Every record comes by here. So what it changes stands in few bytes, of each interface those of its last hour.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::gather::watched;
use super::state::{Each, Member, Minutes, Who};
use super::{CLOCK, INTERFACES, group_key};
use crate::boundary::{Boundary, ZoneId};
use crate::detect::gather::{Numbers, Texts};
use crate::detect::tally::Key;
use crate::detect::window::DAY;

/// A minute, in milliseconds.
pub(super) const MINUTE: i64 = 60_000;
/// The longest aggregation interval, in milliseconds.
const LONGEST: i64 = 600_000;

/// Bytes of an interface's day once it is taken, about.
const INTERFACE_BYTES: usize = 640;
/// Bytes of what is expected in a day, likewise: rows of every minute.
const EXPECTED_BYTES: usize = 48 * 1024;

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

impl Face {
    /// Adds what was seen in an hour of the day.
    fn mark(&mut self, current: &Current) {
        let hour = current.first.div_euclid(60).rem_euclid(24);
        if let Some(hour) = self.minutes.get_mut(hour as usize) {
            *hour |= current.bits;
        }
    }
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
pub(in crate::detect) fn shard(source: &str) -> &str {
    source.strip_prefix("kinesis://").and_then(|path| path.split('/').nth(1)).unwrap_or_default()
}

/// Ids of interfaces that were seen lately, with their numbers: each record has one, and its text is long to hash.
#[derive(Debug, Default)]
struct Names(Vec<Pair>);

/// Two that have a slot in common, in one line of the cache.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Pair([Name; 2]);

#[derive(Debug, Clone, Copy)]
struct Name {
    text: [u64; 3],
    length: u32,
    number: u32,
}

impl Name {
    fn is(&self, text: &[u64; 3], length: u32) -> bool {
        // one by one: to be compared as a whole they would have to be written first
        self.text[0] == text[0] && self.text[1] == text[1] && self.text[2] == text[2] && self.length == length
    }
}

impl Names {
    const SLOTS: usize = 1 << 11;

    fn number(&mut self, text: &str, texts: &mut Texts) -> u32 {
        // an id has 12 or 21 characters: three words that overlap, and how many there are, say all of it
        let bytes = text.as_bytes();
        let word = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let (first, last) = (bytes.first_chunk(), bytes.last_chunk());
        let middle = bytes.get(8..).and_then(<[u8]>::first_chunk).or(first);
        if first.is_none() || bytes.len() > 24 {
            return texts.number(text);
        }
        let (words, length) = ([word(first), word(middle), word(last)], bytes.len() as u32);
        let mixed = words.iter().fold(0, |sum: u64, word| (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let slot = (mixed >> 53) as usize;
        if self.0.is_empty() {
            // no text that comes here has no length
            self.0 = vec![Pair([Name { text: [0; 3], length: 0, number: 0 }; 2]); Self::SLOTS];
        }
        let Some(Pair([one, other])) = self.0.get_mut(slot) else { return texts.number(text) };
        if one.is(&words, length) {
            return one.number;
        }
        if !other.is(&words, length) {
            *other = *one;
            *one = Name { text: words, length, number: texts.number(text) };
            return one.number;
        }
        other.number
    }
}

/// The hour in which an interface was seen last, before it is added to its day.
#[derive(Debug, Clone, Copy)]
struct Current {
    /// Its first minute, since 1970.
    first: i64,
    /// Its minutes, as bits.
    bits: u64,
    /// Place in `faces`.
    face: u32,
    zones: Option<[Option<ZoneId>; 2]>,
}

impl Current {
    const NONE: Self = Self { first: i64::MIN, bits: 0, face: u32::MAX, zones: None };
}

/// When something was there.
#[derive(Debug, Default)]
pub(super) struct Presence {
    days: FxHashMap<(u32, i64), u32>,
    faces: Vec<Face>,
    clocks: Vec<CompactClock>,
    /// The clock that was seen last.
    clock: usize,
    expected: Vec<Expected>,
    names: Names,
    /// By number of an interface's id.
    current: Vec<Current>,
    /// The minute and the source of the last record.
    ticked: Option<(i64, u32)>,
}

impl Presence {
    /// The number of an interface's id.
    pub(super) fn interface(&mut self, id: &str, texts: &mut Texts) -> u32 {
        self.names.number(id, texts)
    }

    /// There is a record of this source, interface and time; returns by how many bytes, about, the state grew.
    pub(super) fn see(&mut self, source: u32, interface: u32, time: i64) -> usize {
        let minute = time.div_euclid(MINUTE);
        let mut grown = 0;
        if self.ticked != Some((minute, source)) {
            grown += self.tick(source, time);
            self.ticked = Some((minute, source));
        }
        grown + self.face(interface, minute)
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

    /// There is a record of something that is expected; returns by how many bytes, about, the state grew.
    pub(super) fn expect(&mut self, watch: usize, start: Option<i64>, time: i64) -> usize {
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
    fn face(&mut self, name: u32, minute: i64) -> usize {
        let place = name as usize;
        if self.current.len() <= place {
            self.current.resize(place + 1, Current::NONE);
        }
        let Some(current) = self.current.get_mut(place) else { return 0 };
        let within = minute.wrapping_sub(current.first).cast_unsigned();
        if within < 60 {
            current.bits |= 1 << within;
            return 0;
        }
        let (hour, within) = (minute.div_euclid(60), minute.rem_euclid(60));
        if let Some(face) = self.faces.get_mut(current.face as usize) {
            face.mark(current);
        }
        let (day, next) = (hour.div_euclid(24) * DAY, self.faces.len() as u32);
        let mut grown = 0;
        let face = *self.days.entry((name, day)).or_insert(next);
        if face == next {
            grown = INTERFACE_BYTES;
            self.faces.push(Face { day, name, minutes: [0; 24], zones: None });
        }
        let zones = self.faces.get(face as usize).and_then(|face| face.zones);
        *current = Current { first: hour * 60, bits: 1 << within, face, zones };
        grown
    }

    /// Leaves those of the interface's zones that stand in this record too.
    pub(super) fn narrow(&mut self, name: u32, client: ZoneId, server: ZoneId) {
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

    /// Adds the hours in which interfaces were seen last to their days.
    fn settle(&mut self) {
        for current in &mut self.current {
            if let Some(face) = self.faces.get_mut(current.face as usize) {
                face.mark(current);
            }
            *current = Current::NONE;
        }
    }

    /// Adds what another worker saw, with the numbers that its texts have here.
    pub(super) fn absorb(&mut self, mut other: Self, numbers: &Numbers) {
        self.settle();
        other.settle();
        for Face { day, name, minutes, zones } in other.faces {
            let (name, next) = (numbers.text(name), self.faces.len() as u32);
            let place = *self.days.entry((name, day)).or_insert(next);
            match self.faces.get_mut(place as usize) {
                Some(face) => {
                    add(&mut face.minutes, &minutes);
                    face.zones = match (face.zones, zones) {
                        (Some(have), Some(zones)) => Some(have.map(|zone| zone.filter(|_| zones.contains(&zone)))),
                        (have, zones) => have.or(zones),
                    };
                }
                None => self.faces.push(Face { day, name, minutes, zones }),
            }
        }
        for CompactClock { day, source, minutes } in other.clocks {
            let source = numbers.text(source);
            match self.clocks.iter_mut().find(|clock| (clock.day, clock.source) == (day, source)) {
                Some(clock) => add(&mut clock.minutes, &minutes),
                None => self.clocks.push(CompactClock { day, source, minutes }),
            }
        }
        for more in other.expected {
            match self.expected.iter_mut().find(|have| (have.watch, have.day) == (more.watch, more.day)) {
                Some(have) => {
                    add(&mut have.minutes, &more.minutes);
                    for (minute, flows) in more.each {
                        *have.each.entry(minute).or_default() += flows;
                    }
                }
                None => self.expected.push(more),
            }
        }
    }

    /// Hands over what was gathered: keys, and a member, if anybody was there.
    pub(super) fn take(mut self, boundary: &Boundary, texts: &Texts, put: &mut impl FnMut(Key, Option<Member>)) {
        self.settle();
        for Face { day, name, minutes, zones } in self.faces {
            let id = texts.get(name);
            if id.is_empty() {
                continue;
            }
            let named = |zones: [Option<ZoneId>; 2]| {
                let names = zones.into_iter().flatten().map(|zone| boundary.zone_name(zone).to_owned());
                let mut names: Vec<String> = names.collect();
                names.sort();
                names.dedup();
                names
            };
            let member = Member { zones: zones.map(named), ..seen_in(Who::Interface(id.to_owned()), minutes) };
            put(group_key(day, INTERFACES), Some(member));
        }
        for Expected { watch, day, minutes, each } in self.expected {
            let each = each.into_iter().map(|(minute, flows)| Each { minute, flows }).collect();
            match boundary.watches().get(watch) {
                Some(watch) => {
                    let member = Member { each, ..seen_in(Who::Unknown, minutes) };
                    put(watched(day, watch), Some(member));
                }
                None => {
                    for watch in boundary.watches() {
                        put(watched(day, watch), Some(seen_in(Who::Gap, minutes)));
                    }
                }
            }
        }
        for CompactClock { day, source, minutes } in self.clocks {
            // what is expected and does not come has a history too, wherever there are records
            boundary.watches().iter().for_each(|watch| put(watched(day, watch), None));
            let who = Who::Source(texts.get(source).to_owned());
            put(group_key(day, CLOCK), Some(seen_in(who, minutes)));
        }
    }
}

/// Adds minutes of the hours of a day to others.
fn add(minutes: &mut [u64; 24], more: &[u64; 24]) {
    for (hour, more) in minutes.iter_mut().zip(more) {
        *hour |= more;
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

/// A member that was seen in these minutes of the hours of a day.
pub(super) fn seen_in(who: Who, minutes: [u64; 24]) -> Member {
    let hours = (0..).zip(minutes).filter(|(_, bits)| *bits != 0);
    // there are many of them, and room that grows is made several times
    let mut minutes = Vec::with_capacity(hours.clone().count());
    minutes.extend(hours.map(|(hour, bits)| Minutes { hour, bits }));
    Member { who, hours: Vec::new(), minutes, each: Vec::new(), calls: Vec::new(), zones: None }
}
