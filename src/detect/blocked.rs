//! `blocked`: attempts on a protected service, all of them refused.
//!
//! Key: rule or reason, server, port, protocol; whoever tries shares one alert. Window: hours (`detect::hours`).
//! Counts: every record with verdict `blocked` whose server stands in a protected zone (tag `data`, or named by a
//! no-inbound, only-from or isolated invariant).

use super::detector::{Counter, Detector, count, server};
use super::seen::Seen;
use super::tally::{Key, Tally};
use crate::boundary::Verdict;

pub(super) struct Blocked;

impl Detector for Blocked {
    fn name(&self) -> &'static str {
        "blocked"
    }
}

impl Counter for Blocked {
    fn verdict(&self) -> Verdict {
        Verdict::Blocked
    }

    fn counts(&self, seen: &Seen<'_, '_>) -> bool {
        seen.judgement.path.is_some()
            && seen
                .judgement
                .zones
                .zip(seen.boundary)
                .is_some_and(|((_, server), boundary)| boundary.is_protected(server))
    }

    fn by_client(&self) -> bool {
        false
    }

    fn title(&self, key: &Key, tally: &Tally) -> String {
        let (conversations, ..) = tally.counted_once();
        let about = if tally.is_estimated() { "about " } else { "" };
        format!("{about}{} on {} blocked by {}", count(conversations, "attempt"), server(key), key.cause())
    }
}
