//! `outage`, `one-sided` and `return-path`: traffic that the map allows was rejected. The three share the verdict and
//! differ in where it was rejected, which is where to look first.
//!
//! Key: grants, client, server, port, protocol. Window: hours (`detect::hours`). Counts: every record with verdict
//! `outage`, of which
//! - `return-path` those that were rejected on the way back to the client: security groups let replies pass, so a network
//!   ACL without the ephemeral ports is nearly always the cause;
//! - `one-sided` those that were rejected where they arrived, of a client that is not in the internet: the record of a
//!   REJECT at the receiver's interface says that the sender's own let it go, so it is the receiver's security group
//!   or network ACL;
//! - `outage` the others: rejected at the sender's own interface, at a gateway, or nothing tells.
//!
//! Which of both copies of a packet arrives first, or at all, does not matter: each record tells by itself.

use super::detector::{Counter, Detector, client, server};
use super::seen::Seen;
use super::tally::{Key, Tally};
use crate::boundary::{Reason, RejectedAt, Verdict, ZoneId};

/// Where it was rejected.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outage {
    /// At the sender, at a gateway, or nothing tells.
    Anywhere,
    /// At the receiver, after the sender let it go.
    OneSided,
    /// On the way back.
    ReturnPath,
}

impl Outage {
    fn of(seen: &Seen<'_, '_>) -> Self {
        let from_internet = seen.judgement.zones.is_some_and(|(client, _)| client == ZoneId::INTERNET);
        match seen.judgement.reason {
            Reason::Rejected { at: RejectedAt::ReturnPath, .. } => Self::ReturnPath,
            Reason::Rejected { at: RejectedAt::Destination, .. } if !from_internet => Self::OneSided,
            _ => Self::Anywhere,
        }
    }
}

impl Detector for Outage {
    fn name(&self) -> &'static str {
        match self {
            Self::Anywhere => "outage",
            Self::OneSided => "one-sided",
            Self::ReturnPath => "return-path",
        }
    }
}

impl Counter for Outage {
    fn verdict(&self) -> Verdict {
        Verdict::Outage
    }

    fn counts(&self, seen: &Seen<'_, '_>) -> bool {
        Self::of(seen) == *self
    }

    fn conditions(&self) -> &'static [&'static str] {
        match self {
            Self::Anywhere => &[
                "NOT starts_with(reason, 'return-path')",
                "NOT (starts_with(reason, 'rejected-at-destination') AND client_zone <> 'internet')",
            ],
            Self::OneSided => &["starts_with(reason, 'rejected-at-destination')"],
            Self::ReturnPath => &["starts_with(reason, 'return-path')"],
        }
    }

    fn title(&self, key: &Key, tally: &Tally) -> String {
        let (client, server, rule) = (client(key), server(key), key.cause());
        let by_nacl = tally.reasons.iter().any(|reason| reason.ends_with("/nacl"));
        let nacl = if by_nacl { ", by a network ACL as the map has it" } else { "" };
        match self {
            Self::Anywhere => {
                let reasons: Vec<&str> = tally.reasons.iter().map(String::as_str).collect();
                let place = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
                format!("{client} is refused at {server}, which {rule} allows{place}")
            }
            Self::OneSided => {
                format!("{client} leaves for {server}, which {rule} allows, and is refused where it arrives{nacl}")
            }
            Self::ReturnPath => {
                format!("{client} reaches {server}, which {rule} allows, and the replies are refused{nacl}")
            }
        }
    }
}
