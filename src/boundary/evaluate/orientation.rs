//! Who is client and who is server: evaluator.md §6.
//!
//! *Forward* reads the record as source → destination, *reversed* as destination → source. The steps are asked in
//! order, from what the packets say over what the map says to what port numbers suggest; the first that decides is
//! kept with its confidence.

use super::flow::Flow;
use super::policy::Policy;
use super::ports::Protocol;
use super::zones::ClassId;
use super::{Boundary, Located};
use crate::boundary::values::{Confidence, Orientation, OrientedBy};

/// The first port that a client may have, for the steps that look at ports.
const FIRST_CLIENT_PORT: u16 = 1024;

/// The first port that systems commonly give to clients.
const FIRST_EPHEMERAL_PORT: u16 = 32_768;

/// A record's orientation, and the policy that counts for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Oriented {
    pub(super) orientation: Orientation,
    pub(super) by: OrientedBy,
    pub(super) confidence: Confidence,
    /// The policy is that of the reversed reading: the record's destination is the client.
    pub(super) reversed: bool,
    pub(super) policy: Policy,
    pub(super) client: ClassId,
    pub(super) server: ClassId,
    pub(super) server_port: u16,
}

impl Boundary {
    /// The record as a conversation.
    pub(super) fn orient(&self, flow: &Flow, at: &Located) -> Oriented {
        let kind = flow.kind();
        let forward = || self.policies.of(at.src, at.dst, kind, flow.dstport);
        let reversed = || self.policies.of(at.dst, at.src, kind, flow.srcport);
        let settle = |orientation, by, confidence, is_reversed: bool, policy| {
            let (client, server, server_port) =
                if is_reversed { (at.dst, at.src, flow.srcport) } else { (at.src, at.dst, flow.dstport) };
            Oriented { orientation, by, confidence, reversed: is_reversed, policy, client, server, server_port }
        };

        if !matches!(kind, Protocol::Tcp | Protocol::Udp) {
            let settle = |is_reversed, policy| {
                settle(Orientation::None, OrientedBy::Proto, Confidence::Weak, is_reversed, policy)
            };
            let forward = forward();
            if !forward.allow {
                let reversed = reversed();
                // of ICMP, the answer to a permitted request looks like a request
                if reversed.allow && (reversed.narrow || kind == Protocol::Icmp) {
                    return settle(true, reversed);
                }
            }
            return settle(false, forward);
        }

        if let Some(flags) = flow.flags.filter(|flags| flow.is_tcp() && flags.syn()) {
            let (by, sure) = (OrientedBy::Flags, Confidence::Certain);
            return if flags.ack() {
                settle(Orientation::Reply, by, sure, true, reversed())
            } else {
                settle(Orientation::Request, by, sure, false, forward())
            };
        }

        let (forward, reversed) = (forward(), reversed());
        let (orientation, by, confidence) = self.orient_by_ports(flow, at, &forward, &reversed);
        let is_reversed = match orientation {
            Orientation::Reply => true,
            Orientation::Unknown => flow.srcport == flow.dstport && !forward.allow && reversed.allow && reversed.narrow,
            Orientation::Request | Orientation::None => false,
        };
        settle(orientation, by, confidence, is_reversed, if is_reversed { reversed } else { forward })
    }

    /// The steps below the flags, for TCP and UDP.
    fn orient_by_ports(
        &self,
        flow: &Flow,
        at: &Located,
        forward: &Policy,
        reversed: &Policy,
    ) -> (Orientation, OrientedBy, Confidence) {
        let Flow { srcport, dstport, .. } = *flow;
        // a client port: keeps a probe sent from port 443 to port 22 from passing as a reply
        let (src_may, dst_may) = (srcport >= FIRST_CLIENT_PORT, dstport >= FIRST_CLIENT_PORT);

        let counts = |policy: &Policy| policy.allow && policy.narrow;
        if let Some(orientation) = one_of(src_may && counts(forward), dst_may && counts(reversed)) {
            return (orientation, OrientedBy::Policy, Confidence::Strong);
        }
        let serves = |port| self.services.is_narrow(flow.kind(), port);
        if let Some(orientation) = one_of(src_may && serves(dstport), dst_may && serves(srcport)) {
            return (orientation, OrientedBy::Service, Confidence::Strong);
        }
        let nat = |class| self.zones.class(class).nat;
        if let Some(orientation) = one_of(src_may && nat(at.src), dst_may && nat(at.dst)) {
            return (orientation, OrientedBy::Nat, Confidence::Strong);
        }
        if let Some(orientation) = one_of(!dst_may, !src_may) {
            return (orientation, OrientedBy::WellKnown, Confidence::Weak);
        }

        // stateful groups do not reject replies: between two high ports, what is rejected is a probe
        let unless_rejected = |orientation| if flow.accepted() { orientation } else { Orientation::Request };
        if let Some(orientation) = one_of(srcport >= FIRST_EPHEMERAL_PORT, dstport >= FIRST_EPHEMERAL_PORT) {
            return (unless_rejected(orientation), OrientedBy::Ephemeral, Confidence::Weak);
        }
        // here both ports may be a client's, or neither
        if let Some(orientation) = one_of(src_may && dstport < srcport, src_may && srcport < dstport) {
            return (unless_rejected(orientation), OrientedBy::LowerPort, Confidence::Weak);
        }
        (Orientation::Unknown, OrientedBy::Tie, Confidence::Weak)
    }
}

/// A request if only the forward reading counts, a reply if only the reversed one does.
fn one_of(forward: bool, reversed: bool) -> Option<Orientation> {
    match (forward, reversed) {
        (true, false) => Some(Orientation::Request),
        (false, true) => Some(Orientation::Reply),
        _ => None,
    }
}
