//! `unmapped`: a VPC that the map does not know sends logs.
//!
//! Key: the reason. Window: an hour. Counts: every record with verdict `unmapped` and reason `vpc-not-in-map`.

use super::detector::{Counter, Detector, count};
use super::seen::Seen;
use super::tally::{Key, Tally};
use crate::boundary::Verdict;

pub(super) struct Unmapped;

impl Detector for Unmapped {
    fn name(&self) -> &'static str {
        "unmapped"
    }
}

impl Counter for Unmapped {
    fn verdict(&self) -> Verdict {
        Verdict::Unmapped
    }

    fn counts(&self, seen: &Seen<'_, '_>) -> bool {
        seen.judgement.reason.word() == Some("vpc-not-in-map")
    }

    fn title(&self, _: &Key, tally: &Tally) -> String {
        format!("{} of a VPC that the map does not know: nothing watches it", count(tally.flows, "record"))
    }
}
