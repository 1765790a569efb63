//! What the map, or the log itself, is blind to.

use super::Unfit;
use super::script::Script;
use crate::boundary::{Verdict, ZoneId};
use crate::synth::hosts::End;
use crate::synth::network::TCP;
use crate::synth::record::Body;
use crate::synth::talk::{Leg, Load, Talk};

/// A conversation between two addresses, seen by one interface.
fn between(script: &mut Script<'_>, client: &str, server: &str, interface: u32) -> Option<Talk> {
    let end = |address: &str| {
        let address = address.parse().ok()?;
        let interface = Some(interface);
        Some(End { address, zone: ZoneId::ANY, vpc: None, interface, aws_service: None, route: 1 })
    };
    let client_port = script.network.client_port(&mut script.dice, TCP, false);
    Some(Talk { client: end(client)?, server: end(server)?, protocol: TCP, client_port, port: 443, nat: None })
}

pub(super) fn unmapped_vpc(script: &mut Script<'_>) -> Result<(), Unfit> {
    for n in 0..4 {
        let interface = script.foreign;
        let talk = between(script, "10.99.0.5", "10.99.0.9", interface).ok_or("no address")?;
        let Some((_, flow)) = talk.flow(&script.network.hosts, Leg::ClientOut, Load::accepted(9, 1200, 3)) else {
            continue;
        };
        let note = "the VPC is not in the map";
        script.plant_body(interface, Body::Flow(flow), script.moment() + n, Verdict::Unmapped, "unmapped", None, note);
    }
    Ok(())
}

/// A host that forwards for others, or forges their addresses.
pub(super) fn spoofed(script: &mut Script<'_>) -> Result<(), Unfit> {
    let sender = *script.local().first().ok_or("the map has no interface")?;
    let sender = script.groups()[sender].ends[0];
    let (a, b) = (script.stranger()?, script.nobody()?);
    for n in 0..3 {
        let client_port = script.network.client_port(&mut script.dice, TCP, false);
        let client = End { interface: sender.interface, ..b };
        let talk = Talk { client, server: a, protocol: TCP, client_port, port: 443, nat: None };
        let Some((interface, mut flow)) = talk.flow(&script.network.hosts, Leg::ClientOut, Load::accepted(5, 400, 2))
        else {
            continue;
        };
        // forged packets show what they claim, not the interface's own address
        flow.srcaddr = b.address;
        let note = "neither address is local";
        script.plant_body(interface, Body::Flow(flow), script.moment() + n, Verdict::Unmapped, "unmapped", None, note);
    }
    Ok(())
}

pub(super) fn ipv6(script: &mut Script<'_>) -> Result<(), Unfit> {
    let internet = script.select(|group| group.zone == ZoneId::INTERNET && group.v6);
    let stranger = internet.first().and_then(|group| script.groups()[*group].spare.first());
    let stranger = *stranger.ok_or("the map claims every IPv6 address that could be used for it")?;
    let targets = script.select(|group| group.v6 && group.vpc.is_some() && !group.ends.is_empty());
    let case = script.find(&internet, &targets, &[22], |standing| !standing.allow);
    for n in 0..4 {
        if let Some(case) = case {
            let talk = script.talk(&case);
            let load = Load::rejected(1, 64, 2);
            let note = "IPv6 from the internet is refused";
            script.plant(&talk, Leg::ServerIn, load, script.moment() + n, Verdict::Blocked, note);
            continue;
        }
        // the map knows no IPv6 in its VPCs: it cannot speak of it
        let local = *script.local().first().ok_or("the map has no interface")?;
        let interface = script.groups()[local].ends[0].interface.ok_or("the map has no interface")?;
        let (client, server) = (stranger.address.to_string(), format!("2001:db8:f10b::{:x}", n + 1));
        let talk = between(script, &client, &server, interface).ok_or("no address")?;
        let Some((_, flow)) = talk.flow(&script.network.hosts, Leg::ServerIn, Load::accepted(3, 240, 2)) else {
            continue;
        };
        let note = "IPv6 in a VPC that has none in the map";
        script.plant_body(interface, Body::Flow(flow), script.moment() + n, Verdict::Unmapped, "unmapped", None, note);
    }
    Ok(())
}

pub(super) fn skipped(script: &mut Script<'_>) -> Result<(), Unfit> {
    for (n, group) in (0..).zip(script.local().into_iter().take(3)) {
        let interface = script.groups()[group].ends[0].interface.ok_or("the map has no interface")?;
        let note = "AWS lost records of this interface";
        script.plant_body(interface, Body::SkipData, script.moment() + n, Verdict::Gap, "log-gap", None, note);
    }
    if script.records.is_empty() { Err("the map has no interface") } else { Ok(()) }
}

/// An interface that sends heartbeats in the first half of the time, and then nothing any more.
pub(super) fn silent(script: &mut Script<'_>) -> Result<(), Unfit> {
    let spare = script.select(|group| group.vpc.is_some() && !group.ends.is_empty() && !group.spare.is_empty());
    let group = *spare.first().ok_or("no zone has an address to spare")?;
    let interface = script.groups()[group].spare.last().and_then(|end| end.interface).ok_or("no interface")?;
    for window in (0..script.span.windows / 2).step_by(10) {
        let note = "its heartbeats end in the middle of the time";
        script.plant_body(interface, Body::NoData, window, Verdict::NoData, "", None, note);
    }
    Ok(())
}
