//! How a history is stored: each text once, and the hours of all members in one list.
//!
//! Most of a history are hours, and most of an hour are texts that stand in many: the URI of an object, the id of an
//! interface. So they are written once and are numbers elsewhere, in the order in which they come; and lists within
//! lists are one list with lengths, to be read without room for each.

use std::sync::Arc;
use std::vec::IntoIter;

use rustc_hash::FxHashMap;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::state::{First, History, Hour, Member, Sum, Terms, Text};
use crate::boundary::Verdict;
use crate::detect::scan::Logged;
use crate::record::Action;

/// The whole of it; see [`History`].
#[derive(Serialize, Deserialize)]
struct Stored<'t, T, M, A> {
    protected: bool,
    cut: bool,
    terms: T,
    /// Without their hours.
    members: M,
    #[serde(borrow)]
    texts: Vec<&'t str>,
    /// Hours of each member.
    lengths: Vec<u32>,
    hours: Vec<StoredHour<A>>,
    sums: Vec<StoredSum>,
}

/// See [`Sum`].
#[derive(Serialize, Deserialize)]
struct StoredSum {
    interface: u32,
    flows: u64,
    bytes: u64,
}

/// See [`Hour`] and [`First`].
#[derive(Serialize, Deserialize)]
struct StoredHour<A> {
    hour: u8,
    short: bool,
    flows: u64,
    first_seen: Option<i64>,
    last_seen: Option<i64>,
    /// How many.
    sums: u32,
    start: Option<i64>,
    source: u32,
    line: i64,
    srcaddr: Option<A>,
    srcport: Option<u16>,
    dstaddr: Option<A>,
    dstport: Option<u16>,
    protocol: Option<u8>,
    action: Option<Action>,
    verdict: Verdict,
}

/// Texts as they come, each once.
#[derive(Default)]
struct Numbers<'t> {
    /// By where it stands: what one worker gathered has a text once.
    places: FxHashMap<*const u8, u32>,
    numbers: FxHashMap<&'t str, u32>,
    texts: Vec<&'t str>,
}

impl<'t> Numbers<'t> {
    fn of(&mut self, text: &'t Text) -> u32 {
        let Self { places, numbers, texts } = self;
        *places.entry(text.0.as_ptr()).or_insert_with(|| {
            *numbers.entry(&text.0).or_insert_with(|| {
                texts.push(&text.0);
                texts.len() as u32 - 1
            })
        })
    }
}

impl Serialize for History {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut numbers = Numbers::default();
        let (mut hours, mut sums) = (Vec::new(), Vec::new());
        for hour in self.members.iter().flat_map(|member| &member.hours) {
            let Hour { hour, short, flows, first_seen, last_seen, sums: of_hour, first } = hour;
            hours.push(StoredHour {
                hour: *hour,
                short: *short,
                flows: *flows,
                first_seen: *first_seen,
                last_seen: *last_seen,
                sums: of_hour.len() as u32,
                start: first.start,
                source: numbers.of(&first.source),
                line: first.line,
                srcaddr: first.srcaddr.as_ref(),
                srcport: first.srcport,
                dstaddr: first.dstaddr.as_ref(),
                dstport: first.dstport,
                protocol: first.protocol,
                action: first.action,
                verdict: first.verdict,
            });
            sums.extend(of_hour.iter().map(|sum| StoredSum {
                interface: numbers.of(&sum.interface),
                flows: sum.flows,
                bytes: sum.bytes,
            }));
        }
        let stored = Stored {
            protected: self.protected,
            cut: self.cut,
            terms: &self.terms,
            members: &self.members,
            texts: numbers.texts,
            lengths: self.members.iter().map(|member| member.hours.len() as u32).collect(),
            hours,
            sums,
        };
        stored.serialize(serializer)
    }
}

impl<'d> Deserialize<'d> for History {
    fn deserialize<D: Deserializer<'d>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Stored::<Option<Box<Terms>>, Vec<Member>, Logged>::deserialize(deserializer)?;
        let Stored { protected, cut, terms, mut members, texts, lengths, hours, sums } = stored;
        let texts: Vec<Arc<str>> = texts.into_iter().map(Arc::from).collect();
        let wrong = || D::Error::custom("a history has other hours than it counts");
        if lengths.len() != members.len() {
            return Err(wrong());
        }
        let (mut hours, mut sums) = (hours.into_iter(), sums.into_iter());
        for (member, length) in members.iter_mut().zip(lengths) {
            let of_member = take(&mut hours, length, |hour| hour.expand(&mut sums, &texts));
            member.hours = of_member.ok_or_else(wrong)?;
        }
        if hours.len() + sums.len() > 0 {
            return Err(wrong());
        }
        Ok(Self { protected, cut, terms, members })
    }
}

impl StoredHour<Logged> {
    fn expand(self, sums: &mut IntoIter<StoredSum>, texts: &[Arc<str>]) -> Option<Hour> {
        let text = |number: u32| texts.get(number as usize).cloned().map(Text);
        let sum = |StoredSum { interface, flows, bytes }| Some(Sum { interface: text(interface)?, flows, bytes });
        Some(Hour {
            hour: self.hour,
            short: self.short,
            flows: self.flows,
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            sums: take(sums, self.sums, sum)?,
            first: First {
                start: self.start,
                source: text(self.source)?,
                line: self.line,
                srcaddr: self.srcaddr,
                srcport: self.srcport,
                dstaddr: self.dstaddr,
                dstport: self.dstport,
                protocol: self.protocol,
                action: self.action,
                verdict: self.verdict,
            },
        })
    }
}

/// The next ones of a list, in a list that has no room for more: there are very many. `None`: there are fewer.
fn take<T, U>(list: &mut IntoIter<T>, length: u32, mut of: impl FnMut(T) -> Option<U>) -> Option<Vec<U>> {
    let length = length as usize;
    if length > list.len() {
        return None;
    }
    let mut taken = Vec::with_capacity(length);
    for next in list.take(length) {
        taken.push(of(next)?);
    }
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one member did in one hour, by two interfaces, stored with this change.
    fn changed(
        change: impl FnOnce(&mut Stored<'_, Option<Box<Terms>>, Vec<Member>, Logged>),
    ) -> postcard::Result<History> {
        let hour = StoredHour {
            hour: 5,
            short: false,
            flows: 3,
            first_seen: Some(1),
            last_seen: Some(2),
            sums: 2,
            start: Some(1),
            source: 2,
            line: 7,
            srcaddr: None,
            srcport: None,
            dstaddr: None,
            dstport: None,
            protocol: None,
            action: None,
            verdict: Verdict::Expected,
        };
        let sum = |interface, flows| StoredSum { interface, flows, bytes: 9 };
        let member = super::super::presence::seen_in(super::super::state::Who::Port(1, 6), [0; 24]);
        let mut stored = Stored {
            protected: true,
            cut: false,
            terms: None,
            members: vec![member],
            texts: vec!["eni-1", "eni-2", "file:///x"],
            lengths: vec![1],
            hours: vec![hour],
            sums: vec![sum(0, 1), sum(1, 2)],
        };
        change(&mut stored);
        postcard::from_bytes(&postcard::to_stdvec(&stored).unwrap())
    }

    #[test]
    fn what_is_stored_has_the_hours_that_it_counts() {
        let history = changed(|_| {}).unwrap();
        let hour = &history.members[0].hours[0];
        let sums: Vec<_> = hour.sums.iter().map(|sum| (&*sum.interface.0, sum.flows)).collect();
        assert_eq!((sums, &*hour.first.source.0), (vec![("eni-1", 1), ("eni-2", 2)], "file:///x"));
        assert!(changed(|stored| stored.lengths[0] = 2).is_err(), "an hour too few");
        assert!(changed(|stored| stored.lengths[0] = 0).is_err(), "an hour too many");
        assert!(changed(|stored| stored.lengths.clear()).is_err(), "a member too many");
        assert!(changed(|stored| stored.hours[0].sums = 3).is_err(), "an interface too few");
        assert!(changed(|stored| stored.hours[0].sums = 1).is_err(), "an interface too many");
        assert!(changed(|stored| stored.hours[0].sums = u32::MAX).is_err(), "and no room for what is not there");
        assert!(changed(|stored| stored.hours[0].source = 3).is_err(), "no such text");
        assert!(changed(|stored| stored.sums[1].interface = 3).is_err(), "no such text");
    }
}
