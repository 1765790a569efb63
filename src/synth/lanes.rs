//! The lanes: who may talk to whom, on which port, as the policy sees it from every interface that records it.
//!
//! Lanes are found by walking the grants, not all pairs of zones: a large map has millions of pairs and thousands of
//! grants. A lane is used only if the evaluator allows it from the VPC of each interface on the way, and if a record
//! of it without TCP flags cannot be read the wrong way round: the client's port is never one that a declared service
//! could be taken for, and the server's is below the ephemeral ports or a declared service's.

use std::collections::BTreeSet;

use super::dice::{Dice, stable_hash};
use super::hosts::{End, Group, is_gateway, lineage, role};
use super::network::{ICMP, ICMP_V6, Network};
use super::talk::Talk;
use crate::boundary::ZoneId;
use crate::boundary::model::{Role, VpcId};

/// Most lanes, for maps with thousands of grants.
const MOST_LANES: usize = 8192;
/// Most groups of a built-in zone that one grant is tried with.
const MOST_GROUPS: usize = 64;
/// First port of the ephemeral range: a server above it is only recognised by its service.
const EPHEMERAL: u16 = 32_768;

/// Conversations that the policy allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lane {
    /// Group of the clients.
    pub(super) client: usize,
    /// Group of the servers.
    pub(super) server: usize,
    pub(super) protocol: u8,
    pub(super) port: u16,
    /// Group of the NAT gateways on the way.
    pub(super) nat: Option<usize>,
    /// The client takes its ports from 1024 up, as load balancers do.
    low_client_ports: bool,
}

/// All lanes, and how often each is used.
pub(super) struct Lanes {
    pub(super) all: Vec<Lane>,
    /// Indices of lanes, each as often as its weight.
    wheel: Vec<u32>,
    /// Lanes that were not used yet: the first conversations take each once.
    fresh: usize,
}

impl Lanes {
    /// Finds the lanes of the map.
    pub(super) fn new(network: &Network<'_>) -> Self {
        let map = network.map();
        let taking_part: Vec<_> = map.rules.iter().filter(|rule| network.takes_part(&rule.when)).collect();
        let per_rule = (MOST_LANES / taking_part.len().max(1)).max(4);
        let mut found = BTreeSet::new();
        for rule in taking_part {
            let clients = some(network.groups_in(&rule.from));
            let servers = some(network.groups_in(&rule.to));
            let ports = network.ports_of(&rule.service);
            let before = found.len();
            'rule: for client in &clients {
                for server in &servers {
                    for (protocol, port) in &ports {
                        found.extend(lane(network, *client, *server, *protocol, *port));
                        if found.len() - before >= per_rule || found.len() >= MOST_LANES {
                            break 'rule;
                        }
                    }
                }
            }
        }
        let all: Vec<Lane> = found.into_iter().collect();
        let wheel = all.iter().enumerate().flat_map(|(index, lane)| {
            // services that the map names are busier than what a wide grant lets through
            let hash = stable_hash(&[&(lane.client as u64).to_le_bytes(), &lane.port.to_le_bytes()]);
            let weight = if network.is_narrow(lane.protocol, lane.port) { 4 + hash % 13 } else { 1 + hash % 3 };
            std::iter::repeat_n(index as u32, weight as usize)
        });
        Self { wheel: wheel.collect(), all, fresh: 0 }
    }

    /// The next lane to use, if the map allows anything.
    pub(super) fn next(&mut self, dice: &mut Dice) -> Option<Lane> {
        if let Some(lane) = self.all.get(self.fresh) {
            self.fresh += 1;
            return Some(*lane);
        }
        dice.pick(&self.wheel).map(|index| self.all[*index as usize])
    }
}

impl Lane {
    /// A conversation on this lane, between ordinary ends.
    pub(super) fn talk(&self, network: &Network<'_>, dice: &mut Dice) -> Option<Talk> {
        let groups = &network.hosts.groups;
        let client = *dice.pick(&groups[self.client].ends)?;
        let server = *dice.pick(&groups[self.server].ends)?;
        (client != server).then(|| self.between(network, dice, client, server))
    }

    /// A conversation on this lane, between these ends.
    pub(super) fn between(&self, network: &Network<'_>, dice: &mut Dice, client: End, server: End) -> Talk {
        let nat = self.nat.and_then(|group| dice.pick(&network.hosts.groups[group].ends).copied());
        let portless = matches!(self.protocol, ICMP | ICMP_V6);
        let mut port = |low| if portless { 0 } else { network.client_port(dice, self.protocol, low) };
        Talk {
            client,
            server,
            protocol: self.protocol,
            client_port: port(self.low_client_ports),
            port: self.port,
            nat: nat.map(|nat| (nat, port(true))),
        }
    }
}

/// All of them if they are few, else some, evenly spread.
fn some(groups: Vec<usize>) -> Vec<usize> {
    let step = groups.len().div_ceil(MOST_GROUPS).max(1);
    groups.into_iter().step_by(step).collect()
}

/// The lane between two groups, if the policy allows it wherever it is recorded.
fn lane(network: &Network<'_>, client: usize, server: usize, protocol: u8, port: u16) -> Option<Lane> {
    let map = network.map();
    let (from, to) = (&network.hosts.groups[client], &network.hosts.groups[server]);
    // what passes a gateway is shown on the way of the lane that it serves, not as a lane of its own
    if from.v6 != to.v6 || is_gateway(map, from.zone) || is_gateway(map, to.zone) {
        return None;
    }
    if from.zone == ZoneId::PRIVATE_UNKNOWN || to.zone == ZoneId::PRIVATE_UNKNOWN {
        return None;
    }
    let protocol = if protocol == ICMP && from.v6 { ICMP_V6 } else { protocol };
    let telling = port < 1024 || network.is_narrow(protocol, port);
    if !telling && port >= EPHEMERAL {
        return None;
    }
    let (a, b) = (from.ends.first()?, to.ends.last()?);
    let recorded_in = [from.vpc, to.vpc];
    let allowed = |vpc: &VpcId| {
        network.boundary.zone_of(*vpc, a.address) == from.zone
            && network.boundary.zone_of(*vpc, b.address) == to.zone
            && network.standing(*vpc, a, b, protocol, port).allow
    };
    let reachable = match recorded_in {
        [None, None] => false,
        [Some(a), Some(b)] if a != b => map.vpcs[a.0 as usize].peers.contains(&b),
        _ => true,
    };
    if !reachable || !recorded_in.iter().flatten().all(allowed) {
        return None;
    }
    let nat = nat_between(network, from, to, protocol, port);
    let low_client_ports = telling && role(map, from.zone) == Some(Role::Lb);
    Some(Lane { client, server, protocol, port, nat, low_client_ports })
}

/// The NAT gateways that a private client's traffic to the internet passes.
fn nat_between(network: &Network<'_>, from: &Group, to: &Group, protocol: u8, port: u16) -> Option<usize> {
    let map = network.map();
    let (vpc, server) = (from.vpc?, to.ends.first()?);
    if from.v6 || to.vpc.is_some() || server.route != 8 {
        return None;
    }
    network.hosts.groups.iter().position(|group| {
        let same_tier = lineage(map, group.zone).any(|zone| lineage(map, from.zone).any(|around| around == zone));
        role(map, group.zone) == Some(Role::Nat)
            && group.vpc == Some(vpc)
            && !group.v6
            && !same_tier
            && group.ends.first().is_some_and(|nat| network.standing(vpc, nat, server, protocol, port).allow)
    })
}
