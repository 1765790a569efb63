//! What one source tried in one UTC day and was not allowed: the state of the scan detectors.
//!
//! Probes merge in any order to the same probes (I7, I8): targets are a map until there are too many of them, sketches
//! from then on, and which of both does not depend on the way there.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::super::sketch::{Sketch, hash};
use super::super::tally::{Evidence, pairs};
use crate::boundary::Confidence;

/// Targets, counted anew in each pane, that are kept apart.
pub(super) const PROBES: usize = 4096;
/// Contacts in good order that are counted; more do not clear a source of more.
pub(super) const CONTACTS: usize = 16;
/// Rows of evidence.
const EVIDENCE: usize = 10;

/// Length of a pane, in milliseconds: the longest time over which AWS aggregates a record.
pub(super) const PANE: i64 = 600_000;

/// Something that can be tried.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Target {
    /// Address as logged.
    pub server: String,
    /// Its zone: where VPCs overlap, one address stands in two.
    pub zone: String,
    /// Its port.
    pub port: u16,
    /// IANA protocol number.
    pub protocol: u8,
}

/// The rows of one target in one pane; or of all, of a source that is a crowd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// How many.
    pub flows: u64,
    /// Their verdicts.
    pub verdicts: BTreeSet<String>,
    /// The best confidence.
    pub confidence: Option<String>,
    /// Earliest start, milliseconds since 1970.
    pub first_seen: Option<i64>,
    /// Latest end, milliseconds since 1970.
    pub last_seen: Option<i64>,
    /// The earliest row of each target, of the earliest ten, in order.
    pub evidence: Vec<Evidence>,
}

impl Rows {
    /// Adds others.
    pub(in crate::detect) fn merge(&mut self, other: &Self) {
        self.flows += other.flows;
        self.verdicts.extend(other.verdicts.iter().cloned());
        let rank = |text: &Option<String>| text.as_deref().and_then(Confidence::from_name);
        // the order of Confidence is from the best down
        if rank(&other.confidence).is_some_and(|new| rank(&self.confidence).is_none_or(|have| new < have)) {
            self.confidence.clone_from(&other.confidence);
        }
        self.first_seen = [self.first_seen, other.first_seen].into_iter().flatten().min();
        self.last_seen = [self.last_seen, other.last_seen].into_iter().flatten().max();
        for row in &other.evidence {
            if let Err(place) = self.evidence.binary_search(row) {
                self.evidence.insert(place, row.clone());
            }
        }
        self.evidence.truncate(EVIDENCE);
    }

    /// Adds others of the same target: one row of evidence is enough.
    fn merge_same(&mut self, other: &Self) {
        self.merge(other);
        self.evidence.truncate(1);
    }
}

/// What was tried of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The target stands in a protected zone.
    pub guarded: bool,
    /// Its rows by pane of the day.
    pub panes: BTreeMap<u8, Rows>,
}

/// What is kept of a source that tried too much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Crowd {
    /// First and last pane with a row.
    pub panes: (u8, u8),
    /// All rows; their evidence is beside.
    pub rows: Rows,
    /// The earliest row of each target, of the ten targets that were tried first. By target, so that it does not
    /// matter in how many parts its rows came.
    #[serde(with = "pairs")]
    pub firsts: BTreeMap<Target, Evidence>,
    /// Targets.
    pub targets: Sketch,
    /// Servers.
    pub servers: Sketch,
    /// Ports with their protocols.
    pub ports: Sketch,
}

impl Crowd {
    fn of(target: &Target, pane: u8, rows: &Rows) -> Self {
        let mut crowd = Self {
            panes: (pane, pane),
            rows: Rows { evidence: Vec::new(), ..rows.clone() },
            firsts: BTreeMap::new(),
            targets: Sketch::default(),
            servers: Sketch::default(),
            ports: Sketch::default(),
        };
        crowd.count(target, rows);
        crowd
    }

    fn count(&mut self, target: &Target, rows: &Rows) {
        rows.evidence.iter().for_each(|row| self.first(target, row));
        let Target { server, zone, port, protocol } = target;
        self.targets.insert(hash(&(zone, server, port, protocol)));
        self.servers.insert(hash(&(zone, server)));
        self.ports.insert(hash(&(port, protocol)));
    }

    fn first(&mut self, target: &Target, row: &Evidence) {
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

    fn add(&mut self, target: &Target, pane: u8, rows: &Rows) {
        self.count(target, rows);
        self.span((pane, pane), rows);
    }

    fn span(&mut self, (first, last): (u8, u8), rows: &Rows) {
        self.panes = (self.panes.0.min(first), self.panes.1.max(last));
        self.rows.merge(rows);
        self.rows.evidence.clear();
    }

    fn merge(&mut self, other: &Self) {
        self.span(other.panes, &other.rows);
        other.firsts.iter().for_each(|(target, row)| self.first(target, row));
        self.targets.merge(&other.targets);
        self.servers.merge(&other.servers);
        self.ports.merge(&other.ports);
    }
}

/// The targets of a source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Targets {
    /// Each of them.
    Each(#[serde(with = "pairs")] BTreeMap<Target, Probe>),
    /// Too many.
    Crowd(Box<Crowd>),
}

/// What a source tried in a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probes {
    /// The source is of the internet.
    pub external: bool,
    /// What it tried and was not allowed.
    pub targets: Targets,
    /// Contacts that the map allows and that were let through, as the smallest of their hashes: of an internal source
    /// alone, for they are what speaks for it. Sixteen at most.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub contacts: BTreeSet<u64>,
}

impl Probes {
    /// Nothing yet.
    pub fn new(external: bool) -> Self {
        Self { external, targets: Targets::Each(BTreeMap::new()), contacts: BTreeSet::new() }
    }

    /// Adds rows of a target, all of one pane.
    pub(in crate::detect) fn add(&mut self, target: Target, guarded: bool, pane: u8, rows: Rows) {
        match &mut self.targets {
            Targets::Crowd(crowd) => crowd.add(&target, pane, &rows),
            Targets::Each(targets) => {
                let probe = targets.entry(target).or_insert_with(|| Probe { guarded, panes: BTreeMap::new() });
                probe.guarded |= guarded;
                match probe.panes.get_mut(&pane) {
                    Some(have) => have.merge_same(&rows),
                    None => drop(probe.panes.insert(pane, rows)),
                }
            }
        }
    }

    /// Makes a crowd of targets that are too many.
    pub(in crate::detect) fn bound(&mut self) {
        if let Targets::Each(targets) = &self.targets
            && targets.values().map(|probe| probe.panes.len()).sum::<usize>() > PROBES
        {
            let mut probes = targets
                .iter()
                .flat_map(|(target, probe)| probe.panes.iter().map(move |(pane, rows)| (target, *pane, rows)));
            if let Some((target, pane, rows)) = probes.next() {
                let mut crowd = Crowd::of(target, pane, rows);
                probes.for_each(|(target, pane, rows)| crowd.add(target, pane, rows));
                self.targets = Targets::Crowd(Box::new(crowd));
            }
        }
    }

    /// Adds an allowed contact.
    pub(in crate::detect) fn contact(&mut self, hash: u64) {
        self.contacts.insert(hash);
        while self.contacts.len() > CONTACTS {
            self.contacts.pop_last();
        }
    }

    /// Adds what was gathered elsewhere for the same source and day.
    pub fn merge(&mut self, other: Self) {
        other.contacts.into_iter().for_each(|hash| self.contact(hash));
        let (mut crowd, targets) =
            match (std::mem::replace(&mut self.targets, Targets::Each(BTreeMap::new())), other.targets) {
                (Targets::Each(have), Targets::Each(more)) => {
                    self.targets = Targets::Each(have);
                    for (target, Probe { guarded, panes }) in more {
                        panes.into_iter().for_each(|(pane, rows)| self.add(target.clone(), guarded, pane, rows));
                    }
                    self.bound();
                    return;
                }
                (Targets::Crowd(mut crowd), Targets::Crowd(other)) => {
                    crowd.merge(&other);
                    (crowd, BTreeMap::new())
                }
                (Targets::Crowd(crowd), Targets::Each(targets)) | (Targets::Each(targets), Targets::Crowd(crowd)) => {
                    (crowd, targets)
                }
            };
        for (target, probe) in &targets {
            probe.panes.iter().for_each(|(pane, rows)| crowd.add(target, *pane, rows));
        }
        self.targets = Targets::Crowd(crowd);
    }
}
