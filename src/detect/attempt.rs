//! `attempt`: a packet left legally for where it may not arrive, and what became of it.
//!
//! Key: client, server, port, protocol. Window: an hour. Counts: every record with verdict `attempt`. What became of it
//! other records of the same key and hour tell, which it does not count: *let in*, where the server's interface
//! accepted it or a reply of it was accepted (verdict `breach`); *refused*, where the server's interface rejected it
//! (`blocked`). Only clients outside the internet are looked at: of the others no interface records that they send.
//!
//! Severity: `high` at least, if it was let in; `low` if it was refused and nothing else is known; else the
//! verdict's own.

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
        let let_in = tally.outcomes.contains(&Outcome::LetIn);
        let refused = tally.outcomes.contains(&Outcome::Refused);
        match (let_in, refused) {
            (true, _) => tally.severity().max(Severity::High),
            (false, true) => tally.severity().min(Severity::Low),
            (false, false) => tally.severity(),
        }
    }

    fn title(&self, key: &Key, tally: &Tally) -> String {
        let became = match (tally.outcomes.contains(&Outcome::LetIn), tally.outcomes.contains(&Outcome::Refused)) {
            (true, _) => "and was let in",
            (false, true) => "and was refused there",
            (false, false) => "and nothing tells whether it was let in",
        };
        format!("{} tried {}, where it may not arrive, {became}", client(key), server(key))
    }
}
