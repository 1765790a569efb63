//! What a group did in one UTC day, hour by hour and member by member: the state of the detectors that compare with the
//! days before. Histories of one group and day merge in any order to the same history (I7, I8).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::beacon::CALLS;
use super::past::minutes;
use super::unanswered::is_answered;
use crate::boundary::Verdict;
use crate::detect::scan::Logged;
use crate::detect::sketch::hash;
use crate::detect::tally::Evidence;
use crate::record::Action;

/// Members of a group that are kept: of more, those whose hashes are the smallest. Interfaces are small.
pub(super) const MEMBERS: usize = 4096;
const INTERFACES: usize = 65_536;

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Who {
    /// Nobody in particular.
    Unknown,
    /// An address as logged.
    Address(Logged),
    /// A server's port, and the IANA number of its protocol.
    Port(u16, u8),
    /// An interface, by its id.
    Interface(String),
    /// Nobody: what AWS says that it skipped.
    Gap,
    /// Where records come from that have an order: a shard of a stream, by its id. Empty: files, which have none.
    Source(String),
}

impl Who {
    /// The address, where it is one.
    pub fn address(&self) -> Option<String> {
        if let Self::Address(address) = self { Some(address.to_string()) } else { None }
    }
}

/// A text that stands in many places: what one worker gathered has it once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(pub Arc<str>);

/// A row of `flows` as evidence, as it is kept of each hour. Ordered by time and place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct First {
    /// Start of the record, milliseconds since 1970.
    pub start: Option<i64>,
    /// URI of its object.
    pub source: Text,
    /// Line in the object.
    pub line: i64,
    /// Source address.
    pub srcaddr: Option<Logged>,
    /// Source port.
    pub srcport: Option<u16>,
    /// Destination address.
    pub dstaddr: Option<Logged>,
    /// Destination port.
    pub dstport: Option<u16>,
    /// IANA protocol number.
    pub protocol: Option<u8>,
    /// ACCEPT or REJECT.
    pub action: Option<Action>,
    /// The verdict.
    pub verdict: Verdict,
}

impl First {
    /// The row as an alert shows it.
    pub fn evidence(&self) -> Evidence {
        Evidence {
            start: self.start,
            source: Some(self.source.0.to_string()),
            line: self.line,
            srcaddr: self.srcaddr.as_ref().map(Logged::to_string),
            srcport: self.srcport,
            dstaddr: self.dstaddr.as_ref().map(Logged::to_string),
            dstport: self.dstport,
            protocol: self.protocol,
            action: self.action.map(|action| action.as_str().to_owned()),
            verdict: Some(self.verdict.as_str().to_owned()),
        }
    }
}

/// What one interface recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// Its id; empty where the format lacks it.
    pub interface: Text,
    /// Rows.
    pub flows: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Rows of one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hour {
    /// The hour of the day.
    pub hour: u8,
    /// Rows of short conversations; others stand beside them. Told apart where a service is asked for.
    pub short: bool,
    /// How many.
    pub flows: u64,
    /// Earliest start, milliseconds since 1970.
    pub first_seen: Option<i64>,
    /// Latest end, milliseconds since 1970.
    pub last_seen: Option<i64>,
    /// By interface, in order.
    pub sums: Vec<Sum>,
    /// The earliest of them.
    pub first: First,
}

impl Hour {
    /// What the interface with most of it recorded.
    pub fn most(&self, of: impl Fn(&Sum) -> u64) -> u64 {
        self.sums.iter().map(of).max().unwrap_or(0)
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.flows = self.flows.saturating_add(other.flows);
        self.first_seen = [self.first_seen, other.first_seen].into_iter().flatten().min();
        self.last_seen = [self.last_seen, other.last_seen].into_iter().flatten().max();
        if other.first < self.first {
            self.first = other.first;
        }
        for sum in other.sums {
            match self.sums.binary_search_by(|have| have.interface.cmp(&sum.interface)) {
                Ok(place) => {
                    if let Some(have) = self.sums.get_mut(place) {
                        have.flows = have.flows.saturating_add(sum.flows);
                        have.bytes = have.bytes.saturating_add(sum.bytes);
                    }
                }
                Err(place) => self.sums.insert(place, sum),
            }
        }
    }
}

/// Minutes of an hour in which there was something, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Minutes {
    /// The hour of the day.
    pub hour: u8,
    /// The first minute is the lowest bit.
    pub bits: u64,
}

/// Rows that end in one minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Each {
    /// The minute of the day.
    pub minute: u16,
    /// How many.
    pub flows: u64,
}

/// A port of a client, and when it was seen first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Call {
    /// The port.
    pub port: u16,
    /// The second of the day.
    pub second: u32,
}

/// A budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cap {
    /// Bytes in an hour.
    pub bytes: u64,
    /// Of requests and replies; else of what goes from client to server.
    pub both_ways: bool,
}

/// What the map wants watched, as far as it must be known to judge it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Terms {
    /// The bytes that are allowed; `None`: flows are counted.
    pub budget: Option<Cap>,
    /// Rows in each period, at least.
    pub least: Option<u64>,
    /// Rows in each period, at most.
    pub most: Option<u64>,
    /// The period, in minutes.
    pub minutes: u32,
    /// Whether the map permits any of it.
    pub permitted: bool,
    /// Which records count, for people.
    pub what: String,
    /// Which rows of the view `flows` count, as SQL.
    pub condition: String,
}

/// What one member did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Which one.
    pub who: Who,
    /// Hours with rows, in order.
    #[serde(skip)] // those of all members are stored together: see `stored`
    pub hours: Vec<Hour>,
    /// Hours in which it was seen, in order; of interfaces and the clock alone.
    pub minutes: Vec<Minutes>,
    /// Minutes with rows, in order; of expectations alone.
    pub each: Vec<Each>,
    /// By port, each of them once; of beacons alone. Of too many those whose ports have the smallest hashes.
    pub calls: Vec<Call>,
    /// Of an interface: the zones that stand in each of its records, in order; `None`: nothing was placed yet.
    pub zones: Option<Vec<String>>,
}

impl Member {
    fn merge(&mut self, other: Self) {
        self.hours.extend(other.hours);
        self.minutes.extend(other.minutes);
        self.each.extend(other.each);
        self.calls.extend(other.calls);
        self.zones = match (self.zones.take(), other.zones) {
            (Some(zones), Some(others)) => Some(zones.into_iter().filter(|zone| others.contains(zone)).collect()),
            (zones, others) => zones.or(others),
        };
    }

    fn settle(&mut self) {
        self.hours.sort_by_key(|hour| (hour.hour, hour.short));
        let mut once: Vec<Hour> = Vec::with_capacity(self.hours.len());
        for hour in self.hours.drain(..) {
            match once.last_mut().filter(|last| (last.hour, last.short) == (hour.hour, hour.short)) {
                Some(last) => last.merge(hour),
                None => once.push(hour),
            }
        }
        self.hours = once;
        self.minutes.sort_by_key(|minutes| minutes.hour);
        self.minutes.dedup_by(|next, last| {
            let same = next.hour == last.hour;
            if same {
                last.bits |= next.bits;
            }
            same
        });
        // of servers that reply: what was answered is not asked for, whoever called, and they are many
        if !self.hours.is_empty() && !self.minutes.is_empty() {
            let minutes = minutes(Some(self));
            self.hours.retain(|call| !is_answered(&minutes, call.hour));
        }
        self.each.sort_by_key(|each| each.minute);
        self.each.dedup_by(|next, last| {
            let same = next.minute == last.minute;
            if same {
                last.flows = last.flows.saturating_add(next.flows);
            }
            same
        });
        // the first of a port comes first
        self.calls.sort_unstable();
        self.calls.dedup_by_key(|call| call.port);
        if self.calls.len() > CALLS {
            self.calls.sort_by_cached_key(|call| hash(&call.port));
            self.calls.truncate(CALLS);
            self.calls.sort_unstable();
        }
    }
}

/// What the members of a group did in a day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The group's zone is a protected one.
    pub protected: bool,
    /// There were more members than are kept.
    pub cut: bool,
    /// What the map wants watched, where it is that.
    pub terms: Option<Box<Terms>>,
    /// In order, each of them once.
    pub members: Vec<Member>,
}

impl History {
    /// Of these members, in any order and each as often as it may be.
    pub fn new(protected: bool, members: Vec<Member>) -> Self {
        let mut new = Self { protected, cut: false, terms: None, members };
        new.settle();
        new
    }

    /// The member, if it did anything.
    pub fn member(&self, who: &Who) -> Option<&Member> {
        let place = self.members.binary_search_by(|member| member.who.cmp(who)).ok()?;
        self.members.get(place)
    }

    /// Adds what was gathered elsewhere; [`Self::settle`] must follow.
    pub(in crate::detect) fn merge(&mut self, other: Self) {
        self.protected |= other.protected;
        self.cut |= other.cut;
        // where the map was changed within a day, one of them
        self.terms = self.terms.take().max(other.terms);
        self.members.extend(other.members);
    }

    /// Puts what was added in order, each thing once, and no more than are kept. Who is among the smallest of all is
    /// among the smallest of each part, so it does not matter where that is done first.
    pub(in crate::detect) fn settle(&mut self) {
        self.members.sort_by(|one, other| one.who.cmp(&other.who));
        let mut once: Vec<Member> = Vec::with_capacity(self.members.len());
        for member in self.members.drain(..) {
            match once.last_mut().filter(|last| last.who == member.who) {
                Some(last) => last.merge(member),
                None => once.push(member),
            }
        }
        let most =
            if matches!(once.first(), Some(Member { who: Who::Interface(_), .. })) { INTERFACES } else { MEMBERS };
        if once.len() > most {
            self.cut = true;
            once.sort_by_cached_key(|member| hash(&member.who));
            once.truncate(most);
            once.sort_by(|one, other| one.who.cmp(&other.who));
        }
        once.iter_mut().for_each(Member::settle);
        self.members = once;
    }
}
