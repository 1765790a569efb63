//! `breach`: traffic that the map does not allow was accepted.
//!
//! Key: rule or reason, client, server, port, protocol. Window: hours (`detect::hours`). Counts: every record with
//! verdict `breach`.

use super::detector::{Counter, Detector, client, server};
use super::seen::Seen;
use super::tally::{Key, Tally};
use crate::boundary::Verdict;

pub(super) struct Breach;

impl Detector for Breach {
    fn name(&self) -> &'static str {
        "breach"
    }
}

impl Counter for Breach {
    fn verdict(&self) -> Verdict {
        Verdict::Breach
    }

    fn counts(&self, _: &Seen<'_, '_>) -> bool {
        true
    }

    fn title(&self, key: &Key, _: &Tally) -> String {
        let why = match &key.rule {
            Some(rule) => format!("which {rule} forbids"),
            None => format!("which no rule allows ({})", key.cause()),
        };
        format!("{} was let through to {}, {why}", client(key), server(key))
    }
}
