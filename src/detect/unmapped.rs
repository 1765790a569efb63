//! `unmapped` and `fields`: what the map cannot speak about, and nothing watches.
//!
//! Key: the reason. Window: hours (`detect::hours`). Counts: records with verdict `unmapped`, of which
//! - `unmapped` those of a VPC that the map does not know (reason `vpc-not-in-map`);
//! - `fields` those that lack the source, the destination, the protocol or the action (reason `fields-missing`): the flow
//!   log has a format without them, as of a transit gateway.
//!
//! Other reasons tell of single addresses, which is no fault of the log.

use super::detector::{Counter, Detector, count};
use super::seen::Seen;
use super::tally::{Key, Tally};
use crate::boundary::Verdict;

/// What is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unmapped {
    /// The VPC, in the map.
    Vpc,
    /// Fields, in the record.
    Fields,
}

impl Detector for Unmapped {
    fn name(&self) -> &'static str {
        match self {
            Self::Vpc => "unmapped",
            Self::Fields => "fields",
        }
    }
}

impl Counter for Unmapped {
    fn verdict(&self) -> Verdict {
        Verdict::Unmapped
    }

    fn counts(&self, seen: &Seen<'_, '_>) -> bool {
        let reason = match self {
            Self::Vpc => "vpc-not-in-map",
            Self::Fields => "fields-missing",
        };
        seen.judgement.reason.word() == Some(reason)
    }

    fn title(&self, _: &Key, tally: &Tally) -> String {
        let records = count(tally.flows, "record");
        match self {
            Self::Vpc => format!("{records} of a VPC that the map does not know: nothing watches it"),
            Self::Fields => {
                let lack = if tally.flows == 1 { "lacks" } else { "lack" };
                format!(
                    "{records} {lack} the source, the destination, the protocol or the action: nothing watches them"
                )
            }
        }
    }
}
