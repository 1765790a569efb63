//! Where what is gathered of members and their hours stands, in a compact form: see `gather`.

use super::gather::watched;
use super::presence::MINUTE;
use super::replies::{self, Replier};
use super::state::{Hour, Sum, Who};
use super::unanswered::PANE;
use super::{BEACONS, DESTINATIONS, EXITS, PORTS, REFUSED, SERVICES, group_key};
use crate::boundary::{Boundary, ZoneId};
use crate::detect::gather::{Address, Numbers, Texts};
use crate::detect::scan::CompactRow;
use crate::detect::tally::Key;
use crate::detect::window::{DAY, HOUR};

/// What a member belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Family {
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
    /// Calls of a host in the internet, by client, port and server.
    Beacons,
    /// What has a budget, by client or server. Its port is the number of the watch.
    Budget,
    /// Small requests over TCP, by server. Of panes of ten minutes, not of hours.
    Calls,
}

impl Family {
    /// Of the times in which its members are told apart, milliseconds.
    fn length(self) -> i64 {
        if let Self::Calls = self { PANE * MINUTE } else { HOUR }
    }
}

/// A member of a group, in an hour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Start of the hour, or of the pane, milliseconds since 1970.
    pub(super) hour: i64,
    pub(super) family: Family,
    pub(super) short: bool,
    pub(super) zones: (ZoneId, ZoneId),
    /// Of the group.
    pub(super) client: Option<Address>,
    /// The member, where it is one.
    pub(super) address: Option<Address>,
    pub(super) port: u16,
    pub(super) protocol: u8,
}

/// What changes with each record of a place, in one line of the cache.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(super) struct Cell {
    /// Earliest start; [`Self::NEVER`]: none is known.
    pub(super) first_seen: i64,
    pub(super) last_seen: i64,
    /// Of the interfaces that came first: both ends' of most. What has no rows is not used yet.
    pub(super) sums: [CompactSum; 2],
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CompactSum {
    /// Number of the interface's id.
    pub(super) interface: u32,
    pub(super) flows: u64,
    pub(super) bytes: u64,
}

impl CompactSum {
    pub(super) fn add(&mut self, bytes: u64) {
        self.flows += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// What seldom does.
#[derive(Debug, Clone)]
pub(super) struct Rest {
    pub(super) place: Place,
    /// Of interfaces beyond those of the cell.
    pub(super) sums: Vec<CompactSum>,
    /// The earliest row; it starts at `first_seen`.
    pub(super) first: CompactRow,
    pub(super) dstport: Option<u16>,
    pub(super) protocol: Option<u8>,
}

impl Rest {
    /// The same, and its cell, with the numbers that its texts have elsewhere.
    pub(super) fn renumbered(mut self, cell: &mut Cell, numbers: &Numbers) -> Self {
        let used = cell.sums.iter_mut().filter(|sum| sum.flows > 0);
        used.chain(&mut self.sums).for_each(|sum| sum.interface = numbers.text(sum.interface));
        let [client, address] = [self.place.client, self.place.address].map(|end| Some(numbers.address(end?)));
        Self { place: Place { client, address, ..self.place }, first: self.first.renumbered(numbers), ..self }
    }
}

impl Place {
    /// The same in three words, to be looked up by: a hash of so few is quick.
    pub(super) fn packed(&self) -> [u64; 3] {
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

    /// The group that it belongs to.
    pub(super) fn group(&self) -> Self {
        let (port, protocol) = if let Family::Ports = self.family { (0, 0) } else { (self.port, self.protocol) };
        Self { hour: self.day(), short: false, address: None, port, protocol, ..*self }
    }

    /// Where it is of small requests: to whom, and in which pane of the day.
    pub(super) fn call(&self) -> Option<(Replier, u8)> {
        let (Family::Calls, Some(address), (_, zone)) = (self.family, self.address, self.zones) else { return None };
        Some((Replier { address, port: self.port, zone, day: self.hour.div_euclid(DAY) }, replies::pane(self.hour)))
    }

    /// The same of all hours of its member.
    pub(super) fn of_member(&self) -> Self {
        Self { hour: self.day(), short: false, ..*self }
    }

    /// Start of its day, milliseconds since 1970.
    pub(super) fn day(&self) -> i64 {
        self.hour - self.hour.rem_euclid(DAY)
    }

    /// The member.
    pub(super) fn who(&self, texts: &Texts) -> Who {
        match self.family {
            Family::Ports => Who::Port(self.port, self.protocol),
            _ => self.address.map_or(Who::Unknown, |address| Who::Address(texts.logged(address))),
        }
    }

    /// The key of a group.
    pub(super) fn key(&self, boundary: &Boundary, texts: &Texts) -> Option<Key> {
        let of = |family| group_key(self.day(), family);
        let name = |zone: ZoneId| Some(boundary.zone_name(zone).to_owned());
        let client_addr = || self.client.map(|address| texts.written(address));
        let (client, server) = self.zones;
        let between = |family| Key { client_zone: name(client), server_zone: name(server), ..of(family) };
        let service = |family| Key { server_port: Some(self.port), protocol: Some(self.protocol), ..between(family) };
        Some(match self.family {
            Family::Exits => between(EXITS),
            Family::Refused => Key { client_addr: client_addr(), ..between(REFUSED) },
            Family::Beacons => Key { client_addr: client_addr(), ..service(BEACONS) },
            Family::Services => service(SERVICES),
            Family::Destinations => service(DESTINATIONS),
            Family::Ports => Key { server_zone: name(server), ..of(PORTS) },
            Family::Calls => replies::key(self.day(), server, self.port, boundary),
            Family::Budget => watched(self.day(), boundary.watches().get(usize::from(self.port))?),
        })
    }
}

impl Cell {
    /// After every time that a record can have.
    pub(super) const NEVER: i64 = i64::MAX;

    /// What this interface recorded, where it is among the first.
    pub(super) fn near(&mut self, interface: u32) -> Option<&mut CompactSum> {
        let sum = self.sums.iter_mut().find(|sum| sum.interface == interface || sum.flows == 0)?;
        sum.interface = interface;
        Some(sum)
    }

    /// What this interface recorded, wherever that stands.
    pub(super) fn sum<'s>(&'s mut self, rest: &'s mut Rest, interface: u32) -> &'s mut CompactSum {
        if let Some(sum) = self.near(interface) {
            return sum;
        }
        let sums = &mut rest.sums;
        let found = sums.iter().position(|sum| sum.interface == interface);
        let place = found.unwrap_or_else(|| {
            sums.push(CompactSum { interface, ..CompactSum::default() });
            sums.len() - 1
        });
        &mut sums[place]
    }

    /// What each interface recorded.
    fn all<'s>(&'s self, rest: &'s Rest) -> impl Iterator<Item = &'s CompactSum> {
        self.sums.iter().filter(|sum| sum.flows > 0).chain(&rest.sums)
    }

    /// Adds what another place has, each with its rest.
    pub(super) fn merge(&mut self, rest: &mut Rest, other: &Self, of_other: &Rest, texts: &Texts) {
        self.first_seen = self.first_seen.min(other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
        for sum in other.all(of_other) {
            let have = self.sum(rest, sum.interface);
            have.flows += sum.flows;
            have.bytes = have.bytes.saturating_add(sum.bytes);
        }
        if of_other.first.before(&rest.first, texts) {
            (rest.first, rest.dstport, rest.protocol) = (of_other.first, of_other.dstport, of_other.protocol);
        }
    }

    pub(super) fn expand(&self, rest: &Rest, texts: &Texts) -> Hour {
        let place = &rest.place;
        let all = || self.all(rest);
        let sum = |sum: &CompactSum| Sum { interface: texts.shared(sum.interface), flows: sum.flows, bytes: sum.bytes };
        let mut sums: Vec<Sum> = all().map(sum).collect();
        sums.sort_by(|one, other| one.interface.cmp(&other.interface));
        Hour {
            // fewer than 24, of panes than 144
            hour: ((place.hour - place.day()) / place.family.length()) as u8,
            short: place.short,
            flows: all().map(|sum| sum.flows).sum(),
            first_seen: Some(self.first_seen).filter(|first| *first != Self::NEVER),
            last_seen: Some(self.last_seen),
            sums,
            first: rest.first.first(rest.dstport, rest.protocol, texts),
        }
    }
}
