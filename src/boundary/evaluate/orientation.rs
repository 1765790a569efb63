//! Who is client and who is server: evaluator.md §6.
//!
//! *Forward* reads the record as source → destination, *reversed* as destination → source. The steps are asked in
//! order, from what the packets say over what the map says to what port numbers suggest; the first that decides is
//! kept with its confidence.

use super::flow::Flow;
use super::policy::Policy;
use super::ports::{Port, Protocol};
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
    pub(super) server_port: Port,
}

impl Boundary {
    /// The record as a conversation.
    #[inline(always)]
    pub(super) fn orient(&self, flow: &Flow, at: &Located) -> Oriented {
        let kind = flow.kind();
        let (dst_port, src_port) = (self.ports.at(kind, flow.dstport), self.ports.at(kind, flow.srcport));
        let mut forward = once(|| self.policies.of(at.src, at.dst, dst_port));
        let mut reversed = once(|| self.policies.of(at.dst, at.src, src_port));

        let (orientation, by, confidence) = if !matches!(kind, Protocol::Tcp | Protocol::Udp) {
            (Orientation::None, OrientedBy::Proto, Confidence::Weak)
        } else if let Some(flags) = flow.flags.filter(|flags| flow.is_tcp() && flags.syn()) {
            let orientation = if flags.ack() { Orientation::Reply } else { Orientation::Request };
            (orientation, OrientedBy::Flags, Confidence::Certain)
        } else {
            self.orient_by_ports(flow, at, &mut forward, &mut reversed)
        };
        let is_reversed = match orientation {
            Orientation::Request => false,
            Orientation::Reply => true,
            // of ICMP, the answer to a permitted request looks like a request
            Orientation::None => !forward().allow && reversed().allow && (reversed().narrow || kind == Protocol::Icmp),
            Orientation::Unknown => {
                flow.srcport == flow.dstport && !forward().allow && reversed().allow && reversed().narrow
            }
        };
        let (policy, client, server, server_port) =
            if is_reversed { (reversed(), at.dst, at.src, src_port) } else { (forward(), at.src, at.dst, dst_port) };
        Oriented { orientation, by, confidence, reversed: is_reversed, policy, client, server, server_port }
    }

    /// The steps below the flags, for TCP and UDP.
    #[inline]
    fn orient_by_ports(
        &self,
        flow: &Flow,
        at: &Located,
        forward: &mut impl FnMut() -> Policy,
        reversed: &mut impl FnMut() -> Policy,
    ) -> (Orientation, OrientedBy, Confidence) {
        let Flow { srcport, dstport, .. } = *flow;
        // a client port: keeps a probe sent from port 443 to port 22 from passing as a reply
        let (src_may, dst_may) = (srcport >= FIRST_CLIENT_PORT, dstport >= FIRST_CLIENT_PORT);

        let counts = |policy: Policy| policy.allow && policy.narrow;
        if let Some(orientation) = one_of(src_may && counts(forward()), dst_may && counts(reversed())) {
            return (orientation, OrientedBy::Policy, Confidence::Strong);
        }
        let serves = |port| self.services.is_narrow(self.ports.at(flow.kind(), port));
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

/// A policy that is asked for when it is first needed: most records need that of one reading only.
fn once(ask: impl Fn() -> Policy) -> impl FnMut() -> Policy {
    let mut known = None;
    move || *known.get_or_insert_with(&ask)
}

/// A request if only the forward reading counts, a reply if only the reversed one does.
fn one_of(forward: bool, reversed: bool) -> Option<Orientation> {
    match (forward, reversed) {
        (true, false) => Some(Orientation::Request),
        (false, true) => Some(Orientation::Reply),
        _ => None,
    }
}
