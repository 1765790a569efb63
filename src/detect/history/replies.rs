//! Which servers replied over TCP, and in which panes of ten minutes: what `unanswered` asks for beside the calls.
//!
//! Nearly every second record is a reply. So what one changes is a bit, and where that is is remembered of each server that
//! replied lately.

use rustc_hash::FxHashMap;

use super::presence::{MINUTE, seen_in};
use super::state::{MEMBERS, Member, Minutes, Who};
use super::unanswered::PANE;
use super::{REPLIES, group_key};
use crate::boundary::{Boundary, ZoneId};
use crate::detect::gather::{Address, Numbers, Texts};
use crate::detect::sketch::hash;
use crate::detect::tally::Key;
use crate::detect::window::DAY;

/// Bytes of a server that replies in a day, about.
const REPLIER_BYTES: usize = 160;
/// Bytes of one once it is taken, likewise, with all hours of the day. Groups are taken one by one.
const TAKEN_BYTES: usize = size_of::<Member>() + 24 * size_of::<Minutes>() + 16;
/// Panes of a word: those of eight hours.
const WORD: usize = 48;
/// Panes of a day.
const PANES: i32 = 3 * WORD as i32;

/// Servers that replied over TCP, by day, with the panes in which they did as bits.
#[derive(Debug, Default)]
pub(super) struct Replies {
    places: FxHashMap<Replier, u32>,
    repliers: Vec<Replier>,
    /// How many there are of each group, and of the largest.
    groups: FxHashMap<Group, usize>,
    largest: usize,
    panes: Vec<[u64; 3]>,
    /// Those of IPv4 that replied lately, by some bits of address and port: nearly every second record is a reply.
    recent: Box<[Recent]>,
}

/// A server's port of TCP in a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Replier {
    pub(super) address: Address,
    pub(super) port: u16,
    pub(super) zone: ZoneId,
    /// Days since 1970.
    pub(super) day: i64,
}

/// Servers of a zone that reply from a port in a day: the day, since 1970, the zone and the port.
pub(super) type Group = (i64, ZoneId, u16);

/// A server that replied lately, and its place: in few bytes, so that many stay near.
#[derive(Debug, Clone, Copy)]
struct Recent {
    address: u32,
    port: u16,
    zone: ZoneId,
    /// The last in which it is known to have replied, in panes since 1970.
    pane: i32,
    place: u32,
}

impl Recent {
    const NOBODY: Self = Self { address: 0, port: 0, zone: ZoneId::ANY, pane: i32::MIN, place: 0 };

    /// Whether it is the same server.
    fn is(&self, other: &Self) -> bool {
        (self.address, self.port, self.zone) == (other.address, other.port, other.zone)
    }

    fn day(&self) -> i32 {
        self.pane.div_euclid(PANES)
    }
}

impl Replies {
    /// So many that few servers share one: those that are not used are never touched.
    const SLOTS: usize = 1 << 13;

    /// Adds what another worker saw, with the numbers that its texts have here.
    pub(super) fn absorb(&mut self, other: Self, numbers: &Numbers) {
        for (replier, panes) in other.repliers.into_iter().zip(other.panes) {
            let place = self.place(Replier { address: numbers.address(replier.address), ..replier });
            if let Some(have) = self.panes.get_mut(place as usize) {
                have.iter_mut().zip(panes).for_each(|(word, more)| *word |= more);
            }
        }
    }

    /// Where its panes stand.
    fn place(&mut self, replier: Replier) -> u32 {
        let next = self.repliers.len() as u32;
        let place = *self.places.entry(replier).or_insert(next);
        if place == next {
            self.repliers.push(replier);
            self.panes.push([0; 3]);
            let group = self.groups.entry(replier.group()).or_default();
            *group += 1;
            self.largest = self.largest.max(*group).min(MEMBERS + 1);
        }
        place
    }

    /// It replied in this pane of the day; returns by how many bytes, about, the state grew.
    pub(super) fn add(&mut self, replier: Replier, pane: u8) -> usize {
        if self.recent.is_empty() {
            self.recent = vec![Recent::NOBODY; Self::SLOTS].into();
        }
        let slot = replier.slot(pane);
        let known = slot.and_then(|(slot, of)| Some((self.recent.get(slot)?, of)));
        let known = match known {
            Some((known, of)) if known.is(&of) && known.pane == of.pane => return 0,
            Some((known, of)) if known.is(&of) && known.day() == of.day() => Some(known.place),
            _ => None,
        };
        let before = weight(self.repliers.len(), self.largest);
        let place = known.unwrap_or_else(|| self.place(replier));
        if let Some((slot, of)) = slot
            && let Some(known) = self.recent.get_mut(slot)
        {
            *known = Recent { place, ..of };
        }
        if let Some(word) = self.panes.get_mut(place as usize).and_then(|panes| panes.get_mut(usize::from(pane) / WORD))
        {
            *word |= 1 << (usize::from(pane) % WORD);
        }
        weight(self.repliers.len(), self.largest) - before
    }

    /// Whether it is known that it replied in this pane of the day.
    pub(super) fn has(&self, replier: Replier, pane: u8) -> bool {
        let known = replier.slot(pane).and_then(|(slot, of)| Some((self.recent.get(slot)?, of)));
        let place = match known {
            Some((known, of)) if known.is(&of) && known.pane == of.pane => return true,
            Some((known, of)) if known.is(&of) && known.day() == of.day() => Some(known.place),
            _ => self.places.get(&replier).copied(),
        };
        place.and_then(|place| self.panes.get(place as usize)).is_some_and(|panes| is_set(panes, pane))
    }

    /// Those that replied, by group, as places. Of more than are kept those that matter, and one: see `History::settle`.
    pub(super) fn groups(&self, texts: &Texts) -> FxHashMap<Group, Vec<u32>> {
        let mut groups: FxHashMap<Group, Vec<u32>> = FxHashMap::default();
        for (place, replier) in (0..).zip(&self.repliers) {
            groups.entry(replier.group()).or_default().push(place);
        }
        for places in groups.values_mut().filter(|places| places.len() > MEMBERS + 1) {
            let who = |place: &u32| self.repliers.get(*place as usize).map(|replier| replier.who(texts));
            places.sort_by_cached_key(|place| who(place).map(|who| (hash(&who), who)));
            places.truncate(MEMBERS + 1);
        }
        groups
    }

    /// The one at this place, as a member of its group.
    pub(super) fn member(&self, place: u32, texts: &Texts) -> Option<Member> {
        let (replier, panes) = self.repliers.get(place as usize).zip(self.panes.get(place as usize))?;
        let mut minutes = [0; 24];
        for (hour, first) in minutes.iter_mut().zip((0_u8..).step_by(6)) {
            let of_hour = (0..6).filter(|pane| is_set(panes, first + pane));
            *hour = of_hour.fold(0, |bits: u64, pane| bits | 1 << (i64::from(pane) * PANE));
        }
        Some(seen_in(replier.who(texts), minutes))
    }
}

impl Replier {
    fn group(&self) -> Group {
        (self.day, self.zone, self.port)
    }

    fn who(&self, texts: &Texts) -> Who {
        Who::Address(texts.logged(self.address))
    }

    /// Its slot among those that replied lately, and what would stand there. `None`: it is not of IPv4.
    fn slot(&self, pane: u8) -> Option<(usize, Recent)> {
        let Address::V4(address) = self.address else { return None };
        let (address, port, zone) = (u32::from(address), self.port, self.zone);
        // no record is of a time after the year 9999
        let pane = i32::try_from(self.day * i64::from(PANES) + i64::from(pane)).ok()?;
        let mixed = (u64::from(address) << 16 | u64::from(port)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Some(((mixed >> 51) as usize, Recent { address, port, zone, pane, place: 0 }))
    }
}

/// Bytes of so many, and of the largest group once it is taken, about.
fn weight(repliers: usize, largest: usize) -> usize {
    repliers * REPLIER_BYTES + largest * TAKEN_BYTES
}

/// Whether this pane of the day is among them.
fn is_set(panes: &[u64; 3], pane: u8) -> bool {
    panes.get(usize::from(pane) / WORD).is_some_and(|word| word >> (usize::from(pane) % WORD) & 1 == 1)
}

/// The pane of the day.
pub(super) fn pane(time: i64) -> u8 {
    // fewer than 144
    (time.rem_euclid(DAY) / (PANE * MINUTE)) as u8
}

/// The key of the servers of a zone that reply from a port of TCP, or are called there.
pub(super) fn key(day: i64, server: ZoneId, port: u16, boundary: &Boundary) -> Key {
    let server_zone = Some(boundary.zone_name(server).to_owned());
    Key { server_zone, server_port: Some(port), protocol: Some(6), ..group_key(day, REPLIES) }
}
