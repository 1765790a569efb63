//! What the map does not allow, and what was refused.

use super::Unfit;
use super::script::{Case, Script};
use crate::boundary::model::{Role, Services};
use crate::boundary::{Verdict, ZoneId};
use crate::synth::hosts::role;
use crate::synth::network::{Standing, TCP};
use crate::synth::talk::{Leg, Load, Talk};

/// Cases of one scenario.
const MOST: usize = 6;

fn denied(standing: Standing) -> bool {
    !standing.allow
}

/// Plants each case so many times as refused; an error if there is none.
fn refuse_all(
    script: &mut Script<'_>,
    cases: &[Case],
    times: u64,
    note: &'static str,
    lack: Unfit,
) -> Result<(), Unfit> {
    for case in cases {
        for n in 0..times {
            let talk = script.talk(case);
            script.refusal(&talk, script.moment() + n, note);
        }
    }
    if cases.is_empty() { Err(lack) } else { Ok(()) }
}

pub(super) fn attempt(script: &mut Script<'_>) -> Result<(), Unfit> {
    let local = script.local();
    let found = local.iter().filter_map(|client| script.find(&[*client], &local, &[], Standing::leaves_legally));
    let cases: Vec<Case> = found.take(MOST).collect();
    refuse_all(
        script,
        &cases,
        2,
        "left legally, refused at the server",
        "no zone may send what another must not accept",
    )
}

/// The protected groups.
fn protected(script: &Script<'_>) -> Vec<usize> {
    let groups = script.local();
    groups.into_iter().filter(|group| script.network.boundary.is_protected(script.groups()[*group].zone)).collect()
}

pub(super) fn internal(script: &mut Script<'_>) -> Result<(), Unfit> {
    let (clients, servers) = (script.local(), protected(script));
    let cases: Vec<Case> =
        servers.iter().filter_map(|server| script.find(&clients, &[*server], &[], denied)).take(MOST).collect();
    refuse_all(
        script,
        &cases,
        4,
        "a protected server refuses a host of the VPC",
        "no protected server refuses anybody inside",
    )
}

pub(super) fn external(script: &mut Script<'_>) -> Result<(), Unfit> {
    let stranger = script.stranger()?;
    let servers = protected(script);
    let ends = servers.iter().filter_map(|group| Some((*group, script.groups()[*group].ends.first()?)));
    let cases: Vec<Case> = ends
        .filter_map(|(group, server)| script.case(&stranger, server, &script.ports_at(group), denied))
        .take(MOST)
        .collect();
    refuse_all(script, &cases, 4, "a protected server refuses the internet", "no protected server refuses the internet")
}

/// One client of the VPC again and again, or where none is refused, the internet.
pub(super) fn spike(script: &mut Script<'_>) -> Result<(), Unfit> {
    let (local, servers) = (script.local(), protected(script));
    let inside = servers.iter().find_map(|server| script.find(&local, &[*server], &[], denied));
    let case = match inside {
        Some(case) => case,
        None => {
            let stranger = script.stranger()?;
            let ends = servers.iter().filter_map(|group| Some((*group, script.groups()[*group].ends.first()?)));
            let mut cases =
                ends.filter_map(|(group, server)| script.case(&stranger, server, &script.ports_at(group), denied));
            cases.next().ok_or("no protected server refuses anybody")?
        }
    };
    let (many, start) = script.burst();
    for n in 0..many {
        let talk = script.talk(&case);
        script.refusal(&talk, start + n / 10, "refused again and again");
    }
    Ok(())
}

pub(super) fn bastion(script: &mut Script<'_>) -> Result<(), Unfit> {
    let map = script.map();
    let clients = script.select(|group| {
        group
            .zone
            .index()
            .is_some_and(|z| ["bastion", "jump", "admin"].iter().any(|word| map.zones[z].name.contains(word)))
    });
    let found = script.data().into_iter().filter_map(|server| script.find(&clients, &[server], &[], denied));
    let cases: Vec<Case> = found.take(2).collect();
    refuse_all(
        script,
        &cases,
        3,
        "an administrator tries the data store",
        "no administrators' zone is kept from a data store",
    )
}

/// Ports that a zone's members offer to each other alone.
pub(super) fn self_only(script: &mut Script<'_>) -> Result<(), Unfit> {
    let mut cases = Vec::new();
    for rule in &script.map().rules {
        if rule.from != rule.to || rule.service == Services::Any || !script.network.takes_part(&rule.when) {
            continue;
        }
        let ports = script.network.ports_of(&rule.service);
        let ports: Vec<u16> = ports.into_iter().filter(|port| port.0 == TCP).map(|(_, port)| port).take(1).collect();
        if !ports.is_empty() && cases.len() < MOST {
            cases.extend(script.find(&script.local(), &script.zones(&rule.to), &ports, denied));
        }
    }
    refuse_all(
        script,
        &cases,
        2,
        "the port is for the zone's own members",
        "no grant is for a zone's own members alone",
    )
}

/// The endpoint's addresses are public, so a grant for the VPC alone does not cover them.
pub(super) fn aws_service(script: &mut Script<'_>) -> Result<(), Unfit> {
    let servers = script.select(|group| group.ends.first().is_some_and(|end| end.aws_service.is_some()));
    let local = script.local();
    let case = script.find(&local, &servers, &[443], |standing| !standing.allow && !standing.leaves);
    let case = case.ok_or("the map has no AWS service outside of the VPC that somebody must not reach")?;
    for n in 0..3 {
        let talk = script.talk(&case);
        let load = Load::rejected(1, 60, 2);
        script.plant(&talk, Leg::ClientOut, load, script.moment() + n, Verdict::Blocked, "no grant lets it out");
    }
    let talk = script.talk(&case);
    script.offence(&talk, ((12, 1400), (14, 18_000)), script.moment() + 9, "it got out: group and map differ");
    Ok(())
}

/// A NAT gateway has no security group: it logs ACCEPT and drops what it did not ask for.
pub(super) fn nat_unsolicited(script: &mut Script<'_>) -> Result<(), Unfit> {
    let stranger = script.stranger()?;
    let nat = script.groups().iter().find(|group| {
        role(script.map(), group.zone) == Some(Role::Nat)
            && group.vpc.is_some_and(|vpc| script.network.boundary.zone_of(vpc, stranger.address) == ZoneId::INTERNET)
    });
    let nat = *nat.and_then(|group| group.first()).ok_or("the map has no NAT gateway")?;
    for (n, port) in (0..).zip([22, 23, 443, 3389, 8080]) {
        let client_port = script.network.client_port(&mut script.dice, TCP, false);
        let talk = Talk { client: stranger, server: nat, protocol: TCP, client_port, port, nat: None };
        let load = Load::accepted(1, 44, 2);
        let note = "the NAT gateway drops what it did not ask for";
        script.plant(&talk, Leg::ServerIn, load, script.moment() + n, Verdict::Attempt, note);
    }
    Ok(())
}
