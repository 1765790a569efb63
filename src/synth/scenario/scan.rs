//! Looking for what is open.

use super::Unfit;
use super::script::{Case, Script};
use crate::boundary::{Verdict, ZoneId};
use crate::synth::hosts::{End, contains, is_gateway};
use crate::synth::network::{Standing, TCP};
use crate::synth::talk::{Leg, Load, Talk};

/// Ports of a vertical scan.
const PORTS: u16 = 60;
/// Hosts of a sweep.
const HOSTS: usize = 30;
const LACK: Unfit = "the internet may reach every port of every host";

/// One refused probe at the server.
fn probe(script: &mut Script<'_>, case: &Case, window: u64, flags: u8, note: &'static str) {
    let talk = script.talk(case);
    script.plant(&talk, Leg::ServerIn, Load::rejected(1, 44, flags), window, Verdict::Blocked, note);
}

/// Every local host of IPv4 that a stranger must not reach on the port.
fn closed(script: &Script<'_>, stranger: End, port: u16) -> Vec<Case> {
    let groups = script.groups().iter().filter(|group| !is_gateway(script.map(), group.zone));
    let ends = groups.flat_map(|group| &group.ends).filter(|end| end.vpc.is_some());
    ends.filter_map(|server| script.case(&stranger, server, &[port], |standing| !standing.allow)).collect()
}

pub(super) fn ssh(script: &mut Script<'_>) -> Result<(), Unfit> {
    let cases = closed(script, script.stranger()?, 22);
    for n in 0..12 {
        let case = *script.dice.pick(&cases).ok_or(LACK)?;
        probe(script, &case, script.moment() + n / 2, 2, "the internet knocks at SSH");
    }
    Ok(())
}

pub(super) fn nodeport(script: &mut Script<'_>) -> Result<(), Unfit> {
    let ranges = script.map().services.iter().flat_map(|service| &service.tcp);
    let range = ranges.copied().find(|range| (30_000..=32_767).contains(&range.lo) && range.width() > 1);
    let range = range.ok_or("the map has no service with node ports")?;
    let cases = closed(script, script.stranger()?, range.lo);
    for n in 0..12 {
        let port = script.dice.port(range.lo, range.hi);
        let case = Case { port, ..*script.dice.pick(&cases).ok_or(LACK)? };
        probe(script, &case, script.moment() + n / 2, 2, "the internet knocks at node ports");
    }
    Ok(())
}

/// From a low port to a low port: whoever only looks at ports takes it for a reply.
pub(super) fn low_port(script: &mut Script<'_>) -> Result<(), Unfit> {
    let cases = closed(script, script.stranger()?, 22);
    let each = [(443, 0), (53, 0), (80, 0), (443, 2), (123, 2), (25, 1)];
    for (n, (client_port, flags)) in (0..).zip(each.into_iter().chain(each)) {
        let case = *script.dice.pick(&cases).ok_or(LACK)?;
        let talk = Talk { client_port, ..script.talk(&case) };
        let note = "a probe from a low port";
        let load = Load::rejected(1, 44, flags);
        script.plant(&talk, Leg::ServerIn, load, script.moment() + n, Verdict::Blocked, note);
    }
    Ok(())
}

pub(super) fn vertical(script: &mut Script<'_>) -> Result<(), Unfit> {
    let (target, stranger) = target(script)?;
    for n in 0..PORTS {
        // every seventeenth port from 20 on: well-known ones and others
        let port = 20 + n * 17;
        if let Some(case) = script.case(&stranger, &target, &[port], |standing| !standing.allow) {
            probe(script, &case, script.moment() + u64::from(n / 20), 2, "a port scan");
        }
    }
    Ok(())
}

pub(super) fn slow(script: &mut Script<'_>) -> Result<(), Unfit> {
    let (target, stranger) = target(script)?;
    for n in 0..40 {
        let port = 1000 + n * 13;
        if let Some(case) = script.case(&stranger, &target, &[port], |standing| !standing.allow) {
            probe(script, &case, script.spread(n.into(), 40), 2, "a slow port scan");
        }
    }
    Ok(())
}

/// A host that the internet must not reach, and a stranger.
fn target(script: &Script<'_>) -> Result<(End, End), Unfit> {
    let stranger = script.stranger()?;
    let case = closed(script, stranger, 22).into_iter().next_back().ok_or(LACK)?;
    Ok((case.server, stranger))
}

pub(super) fn sweep_external(script: &mut Script<'_>) -> Result<(), Unfit> {
    let cases = closed(script, script.stranger()?, 3389);
    for (n, case) in cases.iter().take(HOSTS).enumerate() {
        probe(script, case, script.moment() + n as u64 / 15, 2, "a sweep over all hosts");
    }
    if cases.is_empty() { Err(LACK) } else { Ok(()) }
}

/// A host of the VPC tries addresses, most of which nobody has: only its own interface records that.
pub(super) fn sweep_internal(script: &mut Script<'_>) -> Result<(), Unfit> {
    let lack = "every host may reach every address of its VPC";
    for client in script.local() {
        let client = script.groups()[client].ends[0];
        let Some(vpc) = client.vpc.filter(|_| client.address.is_ipv4()) else { continue };
        let cidrs = &script.map().vpcs[usize::from(vpc.0)].cidrs;
        let mut cases: Vec<(Case, Standing)> = Vec::new();
        for n in 0..16 * HOSTS as u64 {
            let Some(address) = crate::synth::hosts::neighbour(client.address, n + 1) else { break };
            let zone = script.network.boundary.zone_of(vpc, address);
            if !contains(cidrs, address) || zone == ZoneId::ANY || is_gateway(script.map(), zone) {
                continue;
            }
            let server = End { address, zone, vpc: Some(vpc), interface: None, ..client };
            let standing = script.standing(vpc, &client, &server, 445);
            let unanswered = !standing.allow && (!standing.leaves || standing.leaves_legally());
            if unanswered && cases.len() < HOSTS {
                cases.push((Case { client, server, protocol: TCP, port: 445 }, standing));
            }
        }
        if cases.len() < HOSTS / 2 {
            continue;
        }
        for (n, (case, standing)) in cases.iter().enumerate() {
            let talk = script.talk(case);
            let window = script.moment() + n as u64 / 15;
            let note = "a host tries the whole VPC";
            if standing.leaves {
                script.plant(&talk, Leg::ClientOut, Load::accepted(1, 60, 2), window, Verdict::Attempt, note);
            } else {
                script.plant(&talk, Leg::ClientOut, Load::rejected(1, 60, 2), window, Verdict::Blocked, note);
            }
        }
        return Ok(());
    }
    Err(lack)
}
