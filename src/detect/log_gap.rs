//! `log-gap`: AWS skipped records (SKIPDATA), each of which may stand for many flows.
//!
//! Key: the reason. Window: hours (`detect::hours`). Counts: every record with verdict `gap`. Works without a map.

use super::detector::{Counter, Detector, count};
use super::seen::Seen;
use super::tally::{Key, Tally};
use crate::boundary::Verdict;

pub(super) struct LogGap;

impl Detector for LogGap {
    fn name(&self) -> &'static str {
        "log-gap"
    }
}

impl Counter for LogGap {
    fn verdict(&self) -> Verdict {
        Verdict::Gap
    }

    fn counts(&self, _: &Seen<'_, '_>) -> bool {
        true
    }

    fn title(&self, _: &Key, tally: &Tally) -> String {
        format!("flow logs have gaps: AWS skipped data {}", count(tally.flows, "time"))
    }
}
