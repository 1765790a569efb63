//! The verdict of an oriented record, its reason and its severity: evaluator.md §8.

use super::flow::Flow;
use super::nacl::NaclAnswer;
use super::orientation::Oriented;
use super::policy::Grant;
use super::ports::Protocol;
use super::{Boundary, Located};
use crate::boundary::judgement::{Credit, Judgement, Missing, Path, Reason};
use crate::boundary::model::ZoneId;
use crate::boundary::values::{Answered, Confidence, Orientation, RejectedAt, Severity, Side, Verdict, Word};
use crate::record::{FlowRecord, LogStatus};

/// A late packet is one of so many at most: those of a connection that is over.
const LATE_PACKETS: i64 = 3;

impl Judgement {
    /// The judgement of a record that tells of no traffic, which needs no map; `None` for every other record.
    pub fn of_status(record: &FlowRecord<'_>) -> Option<Self> {
        let (verdict, word, severity) = match record.status()? {
            LogStatus::Ok => return None,
            LogStatus::NoData => (Verdict::NoData, Word::Quiet, Severity::Info),
            LogStatus::SkipData => (Verdict::Gap, Word::Skipped, Severity::Medium),
        };
        Some(Self { severity, ..Self::unplaced(verdict, word) })
    }

    /// The map cannot speak about the record.
    pub(super) fn unmapped(word: Word, zones: Option<(ZoneId, ZoneId)>) -> Self {
        Self { zones, ..Self::unplaced(Verdict::Unmapped, word) }
    }

    fn unplaced(verdict: Verdict, word: Word) -> Self {
        let (severity, reason, credit) = (Severity::Low, Reason::Word(word), Credit::Nobody);
        Self { verdict, severity, reason, credit, zones: None, path: None }
    }
}

/// The case of the decision table that fits, and what was asked on the way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ruling {
    pub(super) verdict: Verdict,
    pub(super) reason: Reason,
    /// Case 1: the policy does not count.
    pub(super) nat_unsolicited: bool,
    /// What the network ACL says, where that was asked.
    pub(super) nacl: Option<NaclAnswer>,
}

impl Boundary {
    /// The first case that fits.
    #[inline(always)]
    pub(super) fn rule_on(&self, flow: &Flow, at: &Located, oriented: &Oriented, side: Side) -> Ruling {
        let policy = &oriented.policy;
        let is_reply = oriented.orientation == Orientation::Reply;
        let server = self.zones.class(oriented.server);
        let client = self.zones.class(oriented.client);
        let ruling = |verdict, reason| Ruling { verdict, reason, nat_unsolicited: false, nacl: None };
        let word = |verdict, word| ruling(verdict, Reason::Word(word));

        let from_outside = !client.local && !client.private;
        if oriented.orientation == Orientation::Request && server.nat && from_outside {
            // a NAT gateway has no group: AWS logs the packet as accepted, and drops it
            let verdict = if flow.accepted() { Verdict::Attempt } else { Verdict::Blocked };
            return Ruling { nat_unsolicited: true, ..word(verdict, Word::NatUnsolicited) };
        }
        match (policy.allow, flow.accepted()) {
            (true, true) => word(Verdict::Expected, Word::Allowed),
            (true, false) if is_late(flow, is_reply) => word(Verdict::Stray, Word::LatePacket),
            // backscatter; a blocked return path shows over many records, to detection
            (true, false) if is_reply && server.primary == ZoneId::INTERNET => {
                word(Verdict::Stray, Word::UnsolicitedReply)
            }
            (true, false) => {
                let at_end = match (is_reply, side) {
                    (true, _) => RejectedAt::ReturnPath,
                    (false, Side::Source) => RejectedAt::Source,
                    (false, Side::Destination) => RejectedAt::Destination,
                    (false, Side::Transit | Side::Unknown) => RejectedAt::Somewhere,
                };
                let answer = self.ask_nacl(flow, at, side);
                let nacl = answer.is_some_and(|answer| !answer.allow);
                Ruling { nacl: answer, ..ruling(Verdict::Outage, Reason::Rejected { at: at_end, nacl }) }
            }
            (false, accepted) => {
                let what = match policy.f {
                    Some(invariant) => Missing::Invariant(invariant),
                    None if policy.e == Grant::None => Missing::Egress(client.primary),
                    None => Missing::Ingress(server.primary),
                };
                let left_legally = !is_reply
                    && matches!(side, Side::Source | Side::Transit)
                    && policy.e.permits()
                    && policy.i == Grant::None;
                let (verdict, answered) = match (accepted, is_reply) {
                    (false, _) => (Verdict::Blocked, Answered::Unknown),
                    (true, _) if left_legally => (Verdict::Attempt, Answered::Unknown),
                    (true, false) => (Verdict::Breach, Answered::Unknown),
                    (true, true) if flow.flags.is_some_and(|flags| flags.rst() && !flags.syn()) => {
                        (Verdict::Breach, Answered::Refused)
                    }
                    (true, true) => (Verdict::Breach, Answered::Responded),
                };
                ruling(verdict, Reason::Missing { what, answered })
            }
        }
    }

    /// The judgement that a ruling comes to.
    #[inline(always)]
    pub(super) fn judgement(&self, oriented: &Oriented, side: Side, ruling: &Ruling) -> Judgement {
        let policy = &oriented.policy;
        let (client, server) = (self.zones.class(oriented.client), self.zones.class(oriented.server));
        let credit = match (policy.f, policy.e.rule(), policy.i.rule()) {
            (Some(invariant), ..) => Credit::Invariant(invariant),
            (None, None, None) => Credit::Nobody,
            (None, egress, ingress) if policy.allow && !ruling.nat_unsolicited => Credit::Grants { egress, ingress },
            _ => Credit::Nobody,
        };
        Judgement {
            verdict: ruling.verdict,
            severity: self.weigh(oriented, ruling.verdict).severity(),
            reason: ruling.reason,
            credit,
            zones: Some((client.primary, server.primary)),
            path: Some(Path {
                orientation: oriented.orientation,
                oriented_by: oriented.by,
                confidence: oriented.confidence,
                side,
                client_is_source: !oriented.reversed,
                service: self.services.at(oriented.server_port),
            }),
        }
    }

    /// How bad a verdict is, and who says so.
    #[inline(always)]
    pub(super) fn weigh(&self, oriented: &Oriented, verdict: Verdict) -> Weight {
        let weight = |base, by| Weight { base, by, lowered: false };
        let serious = match verdict {
            Verdict::Breach => {
                let said = oriented.policy.f.and_then(|invariant| {
                    let severity = self.map.invariants.get(usize::from(invariant))?.severity?;
                    Some((severity, WeightBy::Invariant(invariant)))
                });
                said.unwrap_or((Severity::High, WeightBy::Verdict))
            }
            Verdict::Outage => {
                let rules = [oriented.policy.e, oriented.policy.i].into_iter().filter_map(Grant::rule);
                let said = rules.filter_map(|rule| {
                    let severity = self.map.rules.get(usize::from(rule))?.severity?;
                    Some((severity, WeightBy::Rule(rule)))
                });
                said.max_by_key(|(severity, _)| *severity).unwrap_or((Severity::High, WeightBy::Verdict))
            }
            Verdict::Attempt => return weight(Severity::Medium, WeightBy::Verdict),
            Verdict::Blocked if self.zones.class(oriented.client).in_vpc => {
                return weight(Severity::Medium, WeightBy::ClientInVpc);
            }
            Verdict::Blocked => return weight(Severity::Low, WeightBy::Verdict),
            // expected and stray; the others are never ruled on
            _ => return weight(Severity::Info, WeightBy::Verdict),
        };
        Weight { lowered: oriented.confidence == Confidence::Weak, ..weight(serious.0, serious.1) }
    }
}

/// A severity and where it comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weight {
    pub(super) base: Severity,
    pub(super) by: WeightBy,
    /// One step lower, because the orientation is weak.
    pub(super) lowered: bool,
}

/// Who says how bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WeightBy {
    Verdict,
    ClientInVpc,
    Invariant(u16),
    Rule(u16),
}

impl Weight {
    pub(super) fn severity(self) -> Severity {
        if self.lowered { self.base.lowered() } else { self.base }
    }
}

/// The last packets of a connection that its tracking has forgotten.
fn is_late(flow: &Flow, is_reply: bool) -> bool {
    flow.packets <= LATE_PACKETS
        && match (flow.kind(), flow.flags) {
            (Protocol::Tcp, Some(flags)) => !flags.syn(),
            (Protocol::Tcp, None) | (Protocol::Udp, _) => is_reply,
            (Protocol::Icmp | Protocol::Other, _) => false,
        }
}
