//! Invariants that are broken: one conversation, or more, for each invariant of a kind.

use super::Unfit;
use super::script::Script;
use crate::boundary::ZoneId;
use crate::boundary::model::{Exit, InvariantKind, Services};
use crate::synth::network::TCP;

/// Invariants of one kind that are broken.
const MOST: usize = 6;
/// A request and its reply, in packets and bytes.
const SIZE: ((u64, u64), (u64, u64)) = ((9, 1260), (8, 5400));

/// Clients, servers and services of an invariant's offence.
type Offence<'m> = (Vec<ZoneId>, Vec<ZoneId>, Option<&'m Services>);

pub(super) fn no_inbound(script: &mut Script<'_>) -> Result<(), Unfit> {
    break_each(script, "no no-inbound invariant can be broken", |kind| match kind {
        InvariantKind::NoInbound { zone } => Some((vec![ZoneId::ANY], zone.clone(), None)),
        _ => None,
    })
}

pub(super) fn isolated_in(script: &mut Script<'_>) -> Result<(), Unfit> {
    break_each(script, "no isolated invariant can be broken inwards", |kind| match kind {
        InvariantKind::Isolated { zone, peer, .. } => Some((peer.clone(), zone.clone(), None)),
        _ => None,
    })
}

pub(super) fn isolated_out(script: &mut Script<'_>) -> Result<(), Unfit> {
    break_each(script, "no isolated invariant can be broken outwards", |kind| match kind {
        InvariantKind::Isolated { zone, peer, inbound_only: false } => Some((zone.clone(), peer.clone(), None)),
        _ => None,
    })
}

pub(super) fn only_from(script: &mut Script<'_>) -> Result<(), Unfit> {
    break_each(script, "no only-from invariant can be broken", |kind| match kind {
        InvariantKind::OnlyFrom { zone, .. } => Some((vec![ZoneId::ANY], zone.clone(), None)),
        _ => None,
    })
}

pub(super) fn only_to(script: &mut Script<'_>) -> Result<(), Unfit> {
    break_each(script, "no only-to invariant can be broken", |kind| match kind {
        InvariantKind::OnlyTo { zone, .. } => Some((zone.clone(), vec![ZoneId::ANY], None)),
        _ => None,
    })
}

pub(super) fn forbid(script: &mut Script<'_>) -> Result<(), Unfit> {
    break_each(script, "no forbid invariant can be broken", |kind| match kind {
        InvariantKind::Forbid { from, to, service } => Some((from.clone(), to.clone(), Some(service))),
        _ => None,
    })
}

/// Much data leaves a confined zone, in several windows.
pub(super) fn confined(script: &mut Script<'_>) -> Result<(), Unfit> {
    let stranger = script.stranger()?;
    let mut found = false;
    for (index, invariant) in script.map().invariants.iter().enumerate() {
        let InvariantKind::Confined { zone, exits } = &invariant.kind else { continue };
        if !script.network.takes_part(&invariant.when) {
            continue;
        }
        let hit = |standing: crate::synth::network::Standing| standing.invariant == Some(index as u16);
        let ports: Vec<u16> = exits.iter().flat_map(|exit| tcp_ports(script, exit)).chain([443, 8443]).collect();
        for client in script.zones(zone).into_iter().take(3) {
            let Some(client) = script.groups()[client].ends.first() else { continue };
            let Some(case) = script.case(client, &stranger, &ports, hit) else { continue };
            found = true;
            for n in 0..6 {
                let talk = script.talk(&case);
                let size = ((62_000 + n, 88_000_000 + n * 1_000), (31_000, 1_612_000));
                script.offence(&talk, size, script.moment() + n, "a confined zone sends much to the internet");
            }
        }
    }
    if found { Ok(()) } else { Err("no confined invariant can be broken") }
}

fn tcp_ports(script: &Script<'_>, exit: &Exit) -> Vec<u16> {
    let ports = script.network.ports_of(&exit.service);
    ports.into_iter().filter(|(protocol, _)| *protocol == TCP).map(|(_, port)| port).collect()
}

/// Breaks the invariants of one kind: once by a client inside the VPC and once by one outside, where both can be.
fn break_each(
    script: &mut Script<'_>,
    lack: Unfit,
    offence_of: impl Fn(&InvariantKind) -> Option<Offence<'_>>,
) -> Result<(), Unfit> {
    let mut broken = 0;
    for (index, invariant) in script.map().invariants.iter().enumerate() {
        let Some((from, to, service)) = offence_of(&invariant.kind) else { continue };
        if broken >= MOST || !script.network.takes_part(&invariant.when) {
            continue;
        }
        let ports: Vec<u16> = service.map_or(Vec::new(), |service| {
            let ports = script.network.ports_of(service);
            ports.into_iter().filter(|(protocol, _)| *protocol == TCP).map(|(_, port)| port).collect()
        });
        if service.is_some() && ports.is_empty() {
            continue;
        }
        let (clients, servers) = (script.zones(&from), script.zones(&to));
        let (inside, outside): (Vec<usize>, Vec<usize>) =
            clients.into_iter().partition(|group| script.groups()[*group].vpc.is_some());
        let mut found = false;
        for clients in [inside, outside] {
            let hit = |standing: crate::synth::network::Standing| standing.invariant == Some(index as u16);
            let Some(case) = script.find(&clients, &servers, &ports, hit) else { continue };
            found = true;
            for again in 0..2 {
                let talk = script.talk(&case);
                script.offence(&talk, SIZE, script.moment() + 3 * again, "an invariant is broken");
            }
        }
        broken += usize::from(found);
    }
    if broken > 0 { Ok(()) } else { Err(lack) }
}
