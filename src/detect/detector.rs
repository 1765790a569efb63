//! What a detector is.

use super::seen::Seen;
use super::tally::{Key, Outcome, Tally};
use crate::boundary::{Severity, Verdict};

/// One question to the judged records. Stateless: its state is what the engine keeps per key and day.
pub trait Detector: Sync {
    /// The name in the column `detector`; part of every alert's id.
    fn name(&self) -> &'static str;

    /// Raised when the definition changes, so that ids change with it.
    fn version(&self) -> u32 {
        1
    }
}

/// A detector that is told apart from others by its name alone.
pub(super) struct Kind {
    pub(super) name: &'static str,
}

impl Detector for Kind {
    fn name(&self) -> &'static str {
        self.name
    }
}

/// A detector that counts records of one verdict: a tally for each key and hour, and an alert for hours that belong
/// together (`detect::hours`).
pub trait Counter: Detector {
    /// The one verdict whose records it counts.
    fn verdict(&self) -> Verdict;

    /// Whether it counts a record that has this verdict.
    fn counts(&self, seen: &Seen<'_, '_>) -> bool;

    /// What else its rows have in common, as SQL over the view `flows`: what [`counts`](Self::counts) asks and the key
    /// does not say.
    fn conditions(&self) -> &'static [&'static str] {
        &[]
    }

    /// Verdicts of other records that tell what became of those that it counts.
    fn beside(&self) -> &'static [Verdict] {
        &[]
    }

    /// What a record with one of these verdicts tells. It must have the same key.
    fn outcome(&self, _: &Seen<'_, '_>) -> Option<Outcome> {
        None
    }

    /// Whether each rule, or reason where there is none, has an alert of its own.
    fn by_cause(&self) -> bool {
        true
    }

    /// How bad it is: the worst of its rows.
    fn severity(&self, tally: &Tally) -> Severity {
        tally.severity()
    }

    /// Whether each client has an alert of its own.
    fn by_client(&self) -> bool {
        true
    }

    /// What happened, in one sentence.
    fn title(&self, key: &Key, tally: &Tally) -> String;
}

/// `rds 10.0.100.20:5432/tcp`, or what of it is known.
pub(super) fn server(key: &Key) -> String {
    let address = key.server_addr.as_deref().unwrap_or("an unknown server");
    let zone = key.server_zone.as_deref().map_or(String::new(), |zone| format!("{zone} "));
    let protocol = match key.protocol {
        Some(1 | 58) => return format!("{zone}{address} by ICMP"),
        Some(6) => "tcp".to_owned(),
        Some(17) => "udp".to_owned(),
        Some(other) => return format!("{zone}{address} by protocol {other}"),
        None => return format!("{zone}{address}"),
    };
    let bracketed = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    format!("{zone}{bracketed}:{}/{protocol}", key.server_port.unwrap_or(0))
}

/// `bastion 10.0.10.5`.
pub(super) fn client(key: &Key) -> String {
    let address = key.client_addr.as_deref().unwrap_or("somebody");
    key.client_zone.as_deref().map_or(address.to_owned(), |zone| format!("{zone} {address}"))
}

/// `3 flows`.
pub(super) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
