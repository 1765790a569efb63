//! What the map says of one record. Small and `Copy`: names stay in the [`Boundary`](super::Boundary).

use super::model::{ServiceId, ZoneId};
use super::values::{Answered, Confidence, Orientation, OrientedBy, RejectedAt, Severity, Side, Verdict, Word};

/// The judgement of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    /// What the record is.
    pub verdict: Verdict,
    /// How bad that is.
    pub severity: Severity,
    /// Why.
    pub reason: Reason,
    /// What gets the credit: grants, or the invariant that forbade it.
    pub credit: Credit,
    /// Zones of client and server (of source and destination for `no-local-endpoint`); `None` where the map
    /// cannot place the record.
    pub zones: Option<(ZoneId, ZoneId)>,
    /// Who is client and who is server; `None` where that was not asked.
    pub path: Option<Path>,
}

/// The record as a conversation of a client with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// Whether the record goes with its connection or against it.
    pub orientation: Orientation,
    /// The step that decided that.
    pub oriented_by: OrientedBy,
    /// How sure it is.
    pub confidence: Confidence,
    /// Which end recorded it.
    pub side: Side,
    /// True when the packet's source is the client.
    pub client_is_source: bool,
    /// The narrowest declared service at the server's port, by name where several are equal.
    pub service: Option<ServiceId>,
}

/// Why a verdict was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A fixed word.
    Word(Word),
    /// Allowed and rejected: where, and whether the NACL layer explains it.
    Rejected {
        /// Where.
        at: RejectedAt,
        /// The stateless layer denies it.
        nacl: bool,
    },
    /// Not allowed: what is missing.
    Missing {
        /// The invariant or the grant.
        what: Missing,
        /// What the server did, where an accepted reply shows it.
        answered: Answered,
    },
}

/// What keeps a path from being allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Missing {
    /// This invariant forbids it: index into the map's invariants.
    Invariant(u16),
    /// No grant lets the client's zone send it.
    Egress(ZoneId),
    /// No grant lets the server's zone receive it.
    Ingress(ZoneId),
}

/// What the column `rule` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Credit {
    /// Nothing.
    Nobody,
    /// An invariant: index into the map's invariants.
    Invariant(u16),
    /// Grants: indices into the map's rules, for egress and ingress; the same one twice is named once.
    Grants {
        /// The grant at the client's end, if a rule gave it.
        egress: Option<u16>,
        /// The grant at the server's end, if a rule gave it.
        ingress: Option<u16>,
    },
}

impl Reason {
    /// The reason's text where it needs no name of the map.
    pub const fn word(self) -> Option<&'static str> {
        match self {
            Self::Word(word) => Some(word.as_str()),
            Self::Rejected { .. } | Self::Missing { .. } => None,
        }
    }

    /// The reason as one number: equal for equal reasons alone.
    pub const fn key(self) -> u64 {
        let (kind, value, detail) = match self {
            Self::Word(word) => (0, word as u16, 0),
            Self::Rejected { at, nacl } => (1, at as u16, nacl as u8),
            Self::Missing { what: Missing::Invariant(invariant), answered } => (2, invariant, answered as u8),
            Self::Missing { what: Missing::Egress(zone), answered } => (3, zone.0, answered as u8),
            Self::Missing { what: Missing::Ingress(zone), answered } => (4, zone.0, answered as u8),
        };
        kind << 32 | (value as u64) << 8 | detail as u64
    }
}

impl Credit {
    /// The credit as one number: equal for equal credits alone.
    pub const fn key(self) -> u64 {
        // 17 bits: no rule, or its index and one
        const fn grant(rule: Option<u16>) -> u64 {
            match rule {
                Some(rule) => rule as u64 + 1,
                None => 0,
            }
        }
        match self {
            Self::Nobody => 0,
            Self::Invariant(invariant) => 1 << 48 | invariant as u64,
            Self::Grants { egress, ingress } => 2 << 48 | grant(egress) << 24 | grant(ingress),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::fmt::Debug;

    use super::*;

    /// Numbers whose bits stand at both ends of their type.
    const NUMBERS: [u16; 8] = [0, 1, 2, 0xff, 0x100, 0x101, 0xfffe, 0xffff];

    fn assert_distinct<T: Debug + Copy + PartialEq>(values: &[T], key: impl Fn(T) -> u64) {
        let mut known = HashMap::new();
        for value in values {
            if let Some(other) = known.insert(key(*value), *value) {
                assert_eq!(other, *value, "the same key");
                panic!("{value:?} stands twice among the values");
            }
        }
    }

    #[test]
    fn every_reason_has_a_key_of_its_own() {
        let mut reasons: Vec<Reason> = Word::ALL.iter().map(|word| Reason::Word(*word)).collect();
        for at in RejectedAt::ALL {
            reasons.extend([false, true].map(|nacl| Reason::Rejected { at: *at, nacl }));
        }
        for (number, answered) in NUMBERS.iter().flat_map(|number| Answered::ALL.iter().map(move |it| (*number, *it))) {
            let zone = ZoneId(number);
            let missing = [Missing::Invariant(number), Missing::Egress(zone), Missing::Ingress(zone)];
            reasons.extend(missing.map(|what| Reason::Missing { what, answered }));
        }
        assert_distinct(&reasons, Reason::key);
    }

    #[test]
    fn every_credit_has_a_key_of_its_own() {
        let mut credits = vec![Credit::Nobody];
        credits.extend(NUMBERS.map(Credit::Invariant));
        let grants: Vec<Option<u16>> = [None].into_iter().chain(NUMBERS.map(Some)).collect();
        for egress in &grants {
            credits.extend(grants.iter().map(|ingress| Credit::Grants { egress: *egress, ingress: *ingress }));
        }
        assert_distinct(&credits, Credit::key);
    }
}
