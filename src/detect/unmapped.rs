//! `unmapped` and `fields`: what the map cannot speak about, and nothing watches.
//!
//! Key: the reason. Window: hours (`detect::hours`). Counts: records with verdict `unmapped`, of which
//! - `fields` those that lack the source, the destination, the protocol or the action (reason `fields-missing`): the flow
//!   log has a format without them, as of a transit gateway;
//! - `unmapped` all others: of a VPC that the map does not know (`vpc-not-in-map`), of one that is not clear from their
//!   addresses (`vpc-ambiguous`), or between addresses of which neither is in the VPC (`no-local-endpoint`): a host
//!   forwards for others or forges their addresses, or the map lacks one of the VPC's ranges, as that of IPv6.

use super::detector::{Counter, Detector, count};
use super::seen::Seen;
use super::tally::{Key, Tally};
use crate::boundary::Verdict;

/// What is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unmapped {
    /// A VPC or an address, in the map.
    Place,
    /// Fields, in the record.
    Fields,
}

impl Detector for Unmapped {
    fn name(&self) -> &'static str {
        match self {
            Self::Place => "unmapped",
            Self::Fields => "fields",
        }
    }
}

impl Counter for Unmapped {
    fn verdict(&self) -> Verdict {
        Verdict::Unmapped
    }

    fn counts(&self, seen: &Seen<'_, '_>) -> bool {
        (*self == Self::Fields) == (seen.judgement.reason.word() == Some("fields-missing"))
    }

    fn title(&self, key: &Key, tally: &Tally) -> String {
        let records = count(tally.flows, "record");
        let (lack, them) = if tally.flows == 1 { ("lacks", "it") } else { ("lack", "them") };
        match (self, key.cause()) {
            (Self::Fields, _) => {
                format!(
                    "{records} {lack} the source, the destination, the protocol or the action: nothing watches {them}"
                )
            }
            (Self::Place, "no-local-endpoint") => {
                format!("{records} between addresses that are both outside of the VPC: nothing watches {them}")
            }
            (Self::Place, "vpc-ambiguous") => {
                format!("{records} of a VPC that their addresses do not tell: nothing watches {them}")
            }
            (Self::Place, _) => format!("{records} of a VPC that the map does not know: nothing watches {them}"),
        }
    }
}
