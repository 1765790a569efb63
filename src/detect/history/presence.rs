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
    fn mark(&mut self, known: &Known) {
        let hour = known.first.div_euclid(60).rem_euclid(24);
        if let Some(hour) = self.minutes.get_mut(hour as usize) {
            *hour |= known.bits;
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

/// An interface that was seen lately: each record has one, and its id is long to hash. All that a record changes of it is in
/// one line of the cache.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Known {
    /// Its id, as words that overlap, and how many bytes that has.
    id: [u64; 3],
    length: u32,
    /// Number of its id.
    name: u32,
    /// First minute of the hour in which it was seen last, since 1970.
    first: i64,
    /// Minutes of that hour, as bits, before they are added to their day.
    bits: u64,
    /// The day's place in `faces`.
    face: u32,
    /// As that has them.
    zones: Option<[Option<ZoneId>; 2]>,
}

const _: () = assert!(size_of::<Known>() == 64, "a line of the cache");

impl Known {
    // no id that is looked up has no length
    const NOBODY: Self =
        Self { id: [0; 3], length: 0, name: u32::MAX, first: i64::MIN, bits: 0, face: u32::MAX, zones: None };

    fn is(&self, id: &[u64; 3], length: u32) -> bool {
        // one by one: to be compared as a whole they would have to be written first
        self.id[0] == id[0] && self.id[1] == id[1] && self.id[2] == id[2] && self.length == length
    }

    /// Adds the last hour to its day.
    fn put_away(&mut self, faces: &mut [Face]) {
        if let Some(face) = faces.get_mut(self.face as usize) {
            face.mark(self);
        }
        *self = Self { id: self.id, length: self.length, name: self.name, ..Self::NOBODY };
    }

    /// Leaves those of its zones that stand in this record too.
    fn narrow(&mut self, (client, server): (ZoneId, ZoneId), faces: &mut [Face]) {
        let stays = |zone: &ZoneId| *zone == client || *zone == server;
        if self.zones.is_some_and(|zones| zones.iter().flatten().all(stays)) {
            return;
        }
        self.zones = Some(match self.zones {
            None => [Some(client), Some(server)].map(|zone| zone.filter(|zone| *zone != ZoneId::INTERNET)),
            Some(zones) => zones.map(|zone| zone.filter(stays)),
        });
        if let Some(face) = faces.get_mut(self.face as usize) {
            face.zones = self.zones;
        }
    }
}

/// Interfaces that were seen lately, two to a slot, and one whose id is not of the usual length.
#[derive(Debug)]
struct Lately {
    slots: Vec<[Known; 2]>,
    odd: Known,
}

impl Default for Lately {
    fn default() -> Self {
        Self { slots: Vec::new(), odd: Known::NOBODY }
    }
}

impl Lately {
    const SLOTS: usize = 1 << 11;

    /// The interface with this id. Who makes room for it is put away.
    fn find(&mut self, id: &str, texts: &mut Texts, faces: &mut [Face]) -> &mut Known {
        // an id has 12 or 21 characters: three words that overlap, and how many there are, say all of it
        let bytes = id.as_bytes();
        let word = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let (first, last) = (bytes.first_chunk(), bytes.last_chunk());
        let middle = bytes.get(8..).and_then(<[u8]>::first_chunk).or(first);
        let (words, length) = ([word(first), word(middle), word(last)], bytes.len() as u32);
        let mixed = words.iter().fold(0, |sum: u64, word| (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        if self.slots.is_empty() {
            self.slots = vec![[Known::NOBODY; 2]; Self::SLOTS];
        }
        let usual = first.is_some() && bytes.len() <= 24;
        match self.slots.get_mut((mixed >> 53) as usize) {
            Some([one, other]) if usual => {
                if one.is(&words, length) {
                    return one;
                }
                if other.is(&words, length) {
                    return other;
                }
                other.put_away(faces);
                *other = *one;
                *one = Known { id: words, length, name: texts.number(id), ..Known::NOBODY };
                one
            }
            _ => {
                let name = texts.number(id);
                if self.odd.name != name {
                    self.odd.put_away(faces);
                    self.odd.name = name;
                }
                &mut self.odd
            }
        }
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Known> {
        self.slots.iter_mut().flatten().chain([&mut self.odd])
    }
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
    lately: Lately,
    /// The minute and the source of the last record.
    ticked: Option<(i64, u32)>,
}

impl Presence {
    /// There is a record of this source, time and interface, and between these zones, if the map places it; returns the
    /// number of the interface's id, and by how many bytes, about, the state grew.
    pub(super) fn see(
        &mut self,
        source: u32,
        time: i64,
        interface: &str,
        zones: Option<(ZoneId, ZoneId)>,
        texts: &mut Texts,
    ) -> (u32, usize) {
        let minute = time.div_euclid(MINUTE);
        let mut grown = 0;
        if self.ticked != Some((minute, source)) {
            grown += self.tick(source, time);
            self.ticked = Some((minute, source));
        }
        let Self { lately, days, faces, .. } = self;
        let known = lately.find(interface, texts, faces);
        let within = minute.wrapping_sub(known.first).cast_unsigned();
        if within < 60 {
            known.bits |= 1 << within;
        } else {
            known.put_away(faces);
            let (hour, within) = (minute.div_euclid(60), minute.rem_euclid(60));
            let (day, next) = (hour.div_euclid(24) * DAY, faces.len() as u32);
            known.face = *days.entry((known.name, day)).or_insert(next);
            if known.face == next {
                grown += INTERFACE_BYTES;
                faces.push(Face { day, name: known.name, minutes: [0; 24], zones: None });
            }
            known.zones = faces.get(known.face as usize).and_then(|face| face.zones);
            (known.first, known.bits) = (hour * 60, 1 << within);
        }
        if let Some(zones) = zones {
            known.narrow(zones, faces);
        }
        (known.name, grown)
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

    /// Adds the hours in which interfaces were seen last to their days.
    fn settle(&mut self) {
        self.lately.all().for_each(|known| known.put_away(&mut self.faces));
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
