//! What the map says of one record. Small and `Copy`: names stay in the [`Boundary`](super::Boundary).

use super::model::{ServiceId, ZoneId};
use super::values::{Confidence, Orientation, OrientedBy, Severity, Side, Verdict};

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
    Word(&'static str),
    /// Allowed and rejected: where, and whether the NACL layer explains it.
    Rejected {
        /// `return-path`, `rejected-at-source`, `rejected-at-destination` or `rejected`.
        place: &'static str,
        /// The stateless layer denies it.
        nacl: bool,
    },
    /// Not allowed: what is missing.
    Missing {
        /// The invariant or the grant.
        what: Missing,
        /// `/refused` or `/responded` for an accepted reply, else empty.
        suffix: &'static str,
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
            Self::Word(word) => Some(word),
            Self::Rejected { .. } | Self::Missing { .. } => None,
        }
    }
}
