//! `attempt`: a packet left legally for where it may not arrive, and what became of it.
//!
//! Key: client, server, port, protocol. Window: hours (`detect::hours`). Counts: every record with verdict `attempt`.
//! What became of it other records of the same key and hours tell, which it does not count: *let in*, where the
//! server's interface accepted it or a reply of it was accepted (verdict `breach`) in any of the hours; *refused*, where
//! the server's interface rejected it (`blocked`) in every hour in which it was tried, or in one beside it, since the
//! intervals of two interfaces do not begin together (up to the end of the day after the one in which it began). Only
//! clients outside the internet are looked at: of the others no interface records that they send.
//!
//! Severity: `low` if it was refused and nothing else is known, else the verdict's own. What was let in has a `breach` of
//! the same path, as severe as it is: nobody is called twice for it.

use super::detector::{Counter, Detector, client, server};
use super::seen::Seen;
use super::tally::{Key, Outcome, Tally};
use crate::boundary::{Orientation, Severity, Side, Verdict, ZoneId};

pub(super) struct Attempt;

impl Detector for Attempt {
    fn name(&self) -> &'static str {
        "attempt"
    }
}

impl Counter for Attempt {
    fn verdict(&self) -> Verdict {
        Verdict::Attempt
    }

    fn counts(&self, _: &Seen<'_, '_>) -> bool {
        true
    }

    fn beside(&self) -> &'static [Verdict] {
        &[Verdict::Blocked, Verdict::Breach]
    }

    fn outcome(&self, seen: &Seen<'_, '_>) -> Option<Outcome> {
        let (path, (client, _)) = (seen.judgement.path?, seen.judgement.zones?);
        if client == ZoneId::INTERNET {
            return None;
        }
        let (reply, arrived) = (path.orientation == Orientation::Reply, path.side == Side::Destination);
        match seen.judgement.verdict {
            Verdict::Breach if reply || arrived => Some(Outcome::LetIn),
            Verdict::Blocked if arrived && !reply => Some(Outcome::Refused),
            _ => None,
        }
    }

    fn by_cause(&self) -> bool {
        false
    }

    fn severity(&self, tally: &Tally) -> Severity {
        match became(tally) {
            (false, true) => tally.severity().min(Severity::Low),
            _ => tally.severity(),
        }
    }

    fn title(&self, key: &Key, tally: &Tally) -> String {
        let became = match became(tally) {
            (true, _) => "and was let in: see its breach",
            (false, true) => "and was refused there",
            (false, false) => "and it is not known whether it was let in",
        };
        format!("{} tried {}, where it may not arrive, {became}", client(key), server(key))
    }
}

/// Whether it was let in, and whether it was refused.
fn became(tally: &Tally) -> (bool, bool) {
    (tally.outcomes.contains(&Outcome::LetIn), tally.outcomes.contains(&Outcome::Refused))
}
