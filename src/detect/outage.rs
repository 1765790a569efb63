//! `outage`: traffic that the map allows was rejected.
//!
//! Key: grants, client, server, port, protocol. Window: an hour. Counts: every record with verdict `outage`; its
//! reasons say at which end, and whether the stateless layer explains it.

use super::detector::{Detector, client, server};
use super::seen::Seen;
use super::tally::{Key, Tally};
use crate::boundary::Verdict;

pub(super) struct Outage;

impl Detector for Outage {
    fn name(&self) -> &'static str {
        "outage"
    }

    fn verdict(&self) -> Verdict {
        Verdict::Outage
    }

    fn counts(&self, _: &Seen<'_, '_>) -> bool {
        true
    }

    fn title(&self, key: &Key, tally: &Tally) -> String {
        let reasons: Vec<&str> = tally.reasons.iter().map(String::as_str).collect();
        let place = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
        format!("{} is refused at {}, which {} allows{place}", client(key), server(key), key.cause())
    }
}
