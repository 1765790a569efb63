//! What sources tried in one UTC day and were not allowed: the state of the scan detectors.
//!
//! Most sources of a day are seen once, and there may be very many of them. So many sources share one state, those whose
//! addresses have the same hash modulo [`BUCKETS`]; a probe is small, and the texts that many have are numbers of one
//! list. States merge in any order to the same state (I7, I8): the probes of a source are a sorted list until there are
//! too many of them, sketches from then on, and which of both does not depend on the way there.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::super::sketch::{Sketch, hash};
use super::super::tally::Evidence;
use crate::boundary::{Confidence, Verdict};
use crate::record::Action;

/// Targets, counted anew in each pane, that are kept apart.
pub(super) const PROBES: usize = 4096;
/// Contacts in good order that are counted; more do not clear a source of more.
pub(super) const CONTACTS: usize = 16;
/// States of a day.
const BUCKETS: u64 = 256;
/// Rows of evidence.
pub(super) const EVIDENCE: usize = 10;

/// Length of a pane, in milliseconds: the longest time over which AWS aggregates a record.
pub(super) const PANE: i64 = 600_000;

/// An address as logged.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Logged {
    /// Can be written in one way only.
    V4(Ipv4Addr),
    /// An IPv6 address can be written in several ways: as it was.
    Written(String),
}

impl Logged {
    /// The address of a record's text.
    pub fn of(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Written(text.to_owned()), Self::V4)
    }
}

/// By hand: the order of the derive compares four bytes by a call.
impl Ord for Logged {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::V4(one), Self::V4(other)) => u32::from(*one).cmp(&u32::from(*other)),
            (Self::Written(one), Self::Written(other)) => one.cmp(other),
            (Self::V4(_), Self::Written(_)) => Ordering::Less,
            (Self::Written(_), Self::V4(_)) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Logged {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => address.fmt(f),
            Self::Written(text) => f.pad(text),
        }
    }
}

/// The number of a text, in the order of the texts.
pub type Number = u32;

/// Something that can be tried.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Target {
    /// Its address.
    pub server: Logged,
    /// Its zone, by number: where VPCs overlap, one address stands in two.
    pub zone: Number,
    /// Its port.
    pub port: u16,
    /// IANA protocol number.
    pub protocol: u8,
}

/// A set of verdicts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdicts(u16);

impl Verdicts {
    /// This one alone.
    pub fn only(verdict: Verdict) -> Self {
        Self(1 << verdict as u16)
    }

    /// These, and those of the other.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether this one is among them.
    pub fn contains(self, verdict: Verdict) -> bool {
        self.0 & Self::only(verdict).0 != 0
    }

    /// The verdict, where it is one.
    pub(super) fn single(self) -> Option<Verdict> {
        Verdict::ALL.iter().copied().find(|verdict| self == Self::only(*verdict))
    }
}

/// Rows, added up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// How many.
    pub flows: u64,
    /// Their verdicts.
    pub verdicts: Verdicts,
    /// The best confidence.
    pub confidence: Confidence,
    /// Earliest start, milliseconds since 1970.
    pub first_seen: Option<i64>,
    /// Latest end, milliseconds since 1970.
    pub last_seen: Option<i64>,
}

impl Rows {
    /// Adds others.
    pub(in crate::detect) fn merge(&mut self, other: &Self) {
        self.flows += other.flows;
        self.verdicts = self.verdicts.and(other.verdicts);
        // the order of Confidence is from the best down
        self.confidence = self.confidence.min(other.confidence);
        self.first_seen = [self.first_seen, other.first_seen].into_iter().flatten().min();
        self.last_seen = [self.last_seen, other.last_seen].into_iter().flatten().max();
    }
}

/// A row of `flows` as evidence, as far as its target does not say it. Ordered by time and place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row {
    /// Start of the record, milliseconds since 1970.
    pub start: Option<i64>,
    /// URI of its object, by number.
    pub source: Number,
    /// Line in the object.
    pub line: i64,
    /// Source address.
    pub srcaddr: Option<Logged>,
    /// Source port.
    pub srcport: Option<u16>,
    /// Destination address.
    pub dstaddr: Option<Logged>,
    /// ACCEPT or REJECT.
    pub action: Option<Action>,
    /// The verdict.
    pub verdict: Verdict,
}

impl Row {
    /// The row as an alert shows it.
    pub(super) fn evidence(&self, target: &Target, texts: &[String]) -> Evidence {
        Evidence {
            start: self.start,
            source: texts.get(self.source as usize).cloned(),
            line: self.line,
            srcaddr: self.srcaddr.as_ref().map(Logged::to_string),
            srcport: self.srcport,
            dstaddr: self.dstaddr.as_ref().map(Logged::to_string),
            dstport: Some(target.port),
            protocol: Some(target.protocol),
            action: self.action.map(|action| action.as_str().to_owned()),
            verdict: Some(self.verdict.as_str().to_owned()),
        }
    }
}

/// What was tried of one target in one pane of the day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The target.
    pub target: Target,
    /// The pane.
    pub pane: u8,
    /// The target stands in a protected zone.
    pub guarded: bool,
    /// Its rows.
    pub rows: Rows,
    /// The earliest of them.
    pub first: Row,
}

impl Probe {
    fn place(&self) -> (&Target, u8) {
        (&self.target, self.pane)
    }

    fn merge(&mut self, other: Self) {
        self.guarded |= other.guarded;
        self.rows.merge(&other.rows);
        if other.first < self.first {
            self.first = other.first;
        }
    }
}

/// What is kept of a source that tried too much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Crowd {
    /// First and last pane with a row.
    pub panes: (u8, u8),
    /// All rows.
    pub rows: Rows,
    /// The earliest row of each target, of the ten targets that were tried first. By target, so that it does not
    /// matter in how many parts its rows came.
    pub firsts: BTreeMap<Target, Row>,
    /// Targets.
    pub targets: Sketch,
    /// Servers.
    pub servers: Sketch,
    /// Ports with their protocols.
    pub ports: Sketch,
}

impl Crowd {
    fn of(first: &Probe) -> Self {
        Self {
            panes: (first.pane, first.pane),
            rows: Rows { flows: 0, ..first.rows.clone() },
            firsts: BTreeMap::new(),
            targets: Sketch::default(),
            servers: Sketch::default(),
            ports: Sketch::default(),
        }
    }

    fn first(&mut self, target: &Target, row: &Row) {
        match self.firsts.get_mut(target) {
            Some(first) if row < first => first.clone_from(row),
            Some(_) => {}
            None => drop(self.firsts.insert(target.clone(), row.clone())),
        }
        if self.firsts.len() > EVIDENCE {
            let latest = self.firsts.iter().max_by_key(|(_, row)| *row).map(|(target, _)| target.clone());
            latest.map(|target| self.firsts.remove(&target));
        }
    }

    fn add(&mut self, probe: &Probe, texts: &[String]) {
        self.first(&probe.target, &probe.first);
        let Target { server, zone, port, protocol } = &probe.target;
        // numbers are of one list only, sketches of all
        let zone = texts.get(*zone as usize);
        self.targets.insert(hash(&(zone, server, port, protocol)));
        self.servers.insert(hash(&(zone, server)));
        self.ports.insert(hash(&(port, protocol)));
        self.span((probe.pane, probe.pane), &probe.rows);
    }

    fn span(&mut self, (first, last): (u8, u8), rows: &Rows) {
        self.panes = (self.panes.0.min(first), self.panes.1.max(last));
        self.rows.merge(rows);
    }

    fn merge(&mut self, other: &Self) {
        self.span(other.panes, &other.rows);
        other.firsts.iter().for_each(|(target, row)| self.first(target, row));
        self.targets.merge(&other.targets);
        self.servers.merge(&other.servers);
        self.ports.merge(&other.ports);
    }

    fn renumber(&mut self, renumber: &mut impl FnMut(&mut Number)) {
        let firsts = std::mem::take(&mut self.firsts).into_iter();
        self.firsts = firsts
            .map(|(mut target, mut row)| {
                renumber(&mut target.zone);
                renumber(&mut row.source);
                (target, row)
            })
            .collect();
    }
}

/// The targets of a source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Targets {
    /// Each of them, by target and pane, each of which stands once.
    Each(Vec<Probe>),
    /// Too many.
    Crowd(Box<Crowd>),
}

/// What a source tried in a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Its address.
    pub address: Logged,
    /// Its zone, by number.
    pub zone: Number,
    /// What it tried and was not allowed.
    pub targets: Targets,
    /// Contacts that the map allows and that were let through, as the smallest of their hashes, in order: of a source
    /// inside alone, for they are what speaks for it. Sixteen at most.
    pub contacts: Vec<u64>,
}

impl Source {
    fn place(&self) -> (&Logged, Number) {
        (&self.address, self.zone)
    }

    /// Every number of a text.
    fn renumber(&mut self, renumber: &mut impl FnMut(&mut Number)) {
        renumber(&mut self.zone);
        match &mut self.targets {
            Targets::Crowd(crowd) => crowd.renumber(renumber),
            Targets::Each(probes) => {
                for probe in probes {
                    renumber(&mut probe.target.zone);
                    renumber(&mut probe.first.source);
                }
            }
        }
    }

    fn merge(&mut self, other: Self, texts: &[String]) {
        self.contacts.extend(other.contacts);
        match (&mut self.targets, other.targets) {
            (Targets::Each(probes), Targets::Each(more)) => probes.extend(more),
            (Targets::Crowd(crowd), Targets::Crowd(more)) => crowd.merge(&more),
            (Targets::Crowd(crowd), Targets::Each(more)) => more.iter().for_each(|probe| crowd.add(probe, texts)),
            (Targets::Each(probes), Targets::Crowd(mut crowd)) => {
                probes.iter().for_each(|probe| crowd.add(probe, texts));
                self.targets = Targets::Crowd(crowd);
            }
        }
    }

    /// Puts what was added in order, and makes a crowd of targets that are too many.
    fn settle(&mut self, texts: &[String]) {
        self.contacts.sort_unstable();
        self.contacts.dedup();
        self.contacts.truncate(CONTACTS);
        let Targets::Each(probes) = &mut self.targets else { return };
        // a stable sort finds lists that are sorted already, and merges them
        probes.sort_by(|one, other| one.place().cmp(&other.place()));
        if probes.windows(2).any(|pair| matches!(pair, [one, other] if one.place() == other.place())) {
            let mut once: Vec<Probe> = Vec::with_capacity(probes.len());
            for probe in probes.drain(..) {
                match once.last_mut().filter(|last| last.place() == probe.place()) {
                    Some(last) => last.merge(probe),
                    None => once.push(probe),
                }
            }
            *probes = once;
        }
        if probes.len() > PROBES
            && let Some(mut crowd) = probes.first().map(Crowd::of)
        {
            probes.iter().for_each(|probe| crowd.add(probe, texts));
            self.targets = Targets::Crowd(Box::new(crowd));
        }
    }
}

/// What the sources of a bucket tried in a day.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Probes {
    /// The texts that are numbers elsewhere, in order: zones, and the URIs of objects.
    pub texts: Vec<String>,
    /// By address and zone, each of which stands once.
    pub sources: Vec<Source>,
}

impl Probes {
    /// Of these sources, in any order and each as often as it may be, with the numbers of these texts, which may be more
    /// than are used.
    pub fn new(texts: &[String], sources: Vec<Source>) -> Self {
        let mut new = Self { texts: Vec::new(), sources };
        new.settle_with(texts);
        new
    }

    /// Adds what was gathered elsewhere; [`Self::settle`] must follow.
    pub(in crate::detect) fn merge(&mut self, other: Self) {
        let before = self.texts.len() as Number;
        self.texts.extend(other.texts);
        self.sources.extend(other.sources.into_iter().map(|mut source| {
            source.renumber(&mut |number| *number = number.saturating_add(before));
            source
        }));
    }

    /// What this source did, if it is there.
    pub(super) fn source(&self, address: &Logged, zone: &str) -> Option<&Source> {
        // numbers are in the order of the texts
        let zone = self.texts.binary_search_by(|text| text.as_str().cmp(zone)).ok()? as Number;
        let found = self.sources.binary_search_by(|source| source.place().cmp(&(address, zone))).ok()?;
        self.sources.get(found)
    }

    /// Keeps those of these texts that are used, in order.
    fn settle_texts(&mut self, texts: &[String]) {
        let mut used = vec![false; texts.len()];
        let mut mark = |number: &mut Number| {
            if let Some(used) = used.get_mut(*number as usize) {
                *used = true;
            }
        };
        self.sources.iter_mut().for_each(|source| source.renumber(&mut mark));
        let mut once: Vec<&String> = texts.iter().zip(&used).filter_map(|(text, used)| used.then_some(text)).collect();
        once.sort_unstable();
        once.dedup();
        let place = |text| once.binary_search(&text).map_or(0, |place| place as Number);
        let places: Vec<Number> =
            texts.iter().zip(&used).map(|(text, used)| if *used { place(text) } else { 0 }).collect();
        let mut renumber = |number: &mut Number| *number = places.get(*number as usize).copied().unwrap_or_default();
        self.sources.iter_mut().for_each(|source| source.renumber(&mut renumber));
        self.texts = once.into_iter().cloned().collect();
    }

    /// Puts what was added in order, each thing once.
    pub(in crate::detect) fn settle(&mut self) {
        let texts = std::mem::take(&mut self.texts);
        self.settle_with(&texts);
    }

    fn settle_with(&mut self, texts: &[String]) {
        self.settle_texts(texts);
        let before = self.rows();
        self.sources.sort_by(|one, other| one.place().cmp(&other.place()));
        let mut sources: Vec<Source> = Vec::with_capacity(self.sources.len());
        for source in self.sources.drain(..) {
            match sources.last_mut().filter(|last| last.place() == source.place()) {
                Some(last) => last.merge(source, &self.texts),
                None => sources.push(source),
            }
        }
        sources.iter_mut().for_each(|source| source.settle(&self.texts));
        self.sources = sources;
        // a row that is not the first any more may have been the only one from its object
        if self.rows() != before {
            let texts = std::mem::take(&mut self.texts);
            self.settle_texts(&texts);
        }
    }

    /// Rows of evidence.
    fn rows(&self) -> usize {
        let rows = |source: &Source| match &source.targets {
            Targets::Each(probes) => probes.len(),
            Targets::Crowd(crowd) => crowd.firsts.len(),
        };
        self.sources.iter().map(rows).sum()
    }
}

/// The bucket of an address. It stands in state files: that of an address must not change.
pub(in crate::detect) fn bucket(address: &Logged) -> u8 {
    let number = match address {
        Logged::V4(address) => hash(&u32::from(*address)),
        Logged::Written(text) => text.bytes().fold(0, |bits, byte| hash(&(bits, byte))),
    };
    // fewer than 256
    (number % BUCKETS) as u8
}
