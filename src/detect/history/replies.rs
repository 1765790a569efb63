//! Which servers replied over TCP, and in which panes of ten minutes: what `unanswered` asks for beside the calls.
//!
//! Nearly every second record is a reply. So what one changes is a bit, and where that is is remembered of each server that
//! replied lately.

use rustc_hash::FxHashMap;

use super::presence::{MINUTE, seen_in};
use super::state::{Member, Minutes, Who};
use super::unanswered::PANE;
use super::{REPLIES, group_key};
use crate::boundary::{Boundary, ZoneId};
use crate::detect::gather::{Address, Texts};
use crate::detect::tally::Key;
use crate::detect::window::DAY;

/// Bytes of a server that replies in a day once it is taken, about, beside the hours in which it does.
const REPLIER_BYTES: usize = 240;
/// Panes of a word: those of eight hours.
const WORD: usize = 48;

/// Servers that replied over TCP, by day, with the panes in which they did as bits.
#[derive(Debug, Default)]
pub(super) struct Replies {
    places: FxHashMap<Replier, u32>,
    repliers: Vec<Replier>,
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

/// A server that replied lately, and its place.
#[derive(Debug, Clone, Copy)]
struct Recent {
    address: u32,
    port: u16,
    zone: ZoneId,
    /// Days since 1970.
    day: i32,
    place: u32,
}

impl Replies {
    /// So many that few servers share one: those that are not used are never touched.
    const SLOTS: usize = 1 << 13;

    /// Where the panes of a server's day are; `None`: it did not reply, as far as is known.
    fn place(&mut self, replier: Replier) -> Option<u32> {
        let Address::V4(address) = replier.address else { return self.places.get(&replier).copied() };
        let Replier { port, zone, .. } = replier;
        let (address, day) = (u32::from(address), i32::try_from(replier.day).ok()?);
        let mixed = (u64::from(address) << 16 | u64::from(port)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let slot = self.recent.get_mut((mixed >> 51) as usize);
        if let Some(known) = &slot
            && (known.address, known.port, known.zone, known.day) == (address, port, zone, day)
        {
            return Some(known.place);
        }
        let place = self.places.get(&replier).copied()?;
        slot.into_iter().for_each(|slot| *slot = Recent { address, port, zone, day, place });
        Some(place)
    }

    /// It replied in this pane of the day; returns by how many bytes, about, the state grew.
    pub(super) fn add(&mut self, replier: Replier, pane: u8) -> usize {
        if self.recent.is_empty() {
            let nobody = Recent { address: 0, port: 0, zone: ZoneId::ANY, day: i32::MIN, place: 0 };
            self.recent = vec![nobody; Self::SLOTS].into();
        }
        let found = self.place(replier);
        let place = found.unwrap_or_else(|| {
            self.repliers.push(replier);
            self.panes.push([0; 3]);
            let place = self.panes.len() as u32 - 1;
            self.places.insert(replier, place);
            place
        });
        let mut grown = if found.is_none() { REPLIER_BYTES } else { 0 };
        if let Some(word) = self.panes.get_mut(place as usize).and_then(|panes| panes.get_mut(usize::from(pane) / WORD))
        {
            let place = usize::from(pane) % WORD;
            if *word >> (place / 6 * 6) & 0b11_1111 == 0 {
                grown += size_of::<Minutes>();
            }
            *word |= 1 << place;
        }
        grown
    }

    /// Whether it is known that it replied in this pane of the day.
    pub(super) fn has(&mut self, replier: Replier, pane: u8) -> bool {
        let Some(place) = self.place(replier) else { return false };
        self.panes.get(place as usize).is_some_and(|panes| is_set(panes, pane))
    }

    /// Those that replied, in the order in which they came.
    pub(super) fn repliers(&self) -> impl Iterator<Item = &Replier> {
        self.repliers.iter()
    }

    /// The one at this place of that order, as a member of its group.
    pub(super) fn member(&self, place: u32, texts: &Texts) -> Option<Member> {
        let (replier, panes) = self.repliers.get(place as usize).zip(self.panes.get(place as usize))?;
        let mut minutes = [0; 24];
        for (hour, first) in minutes.iter_mut().zip((0_u8..).step_by(6)) {
            let of_hour = (0..6).filter(|pane| is_set(panes, first + pane));
            *hour = of_hour.fold(0, |bits: u64, pane| bits | 1 << (i64::from(pane) * PANE));
        }
        Some(seen_in(Who::Address(texts.logged(replier.address)), minutes))
    }
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
