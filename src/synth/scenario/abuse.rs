//! Traffic whose amount, rhythm or way is wrong, whatever the map says of each record.

use super::Unfit;
use super::script::{Case, Script};
use crate::boundary::ZoneId;
use crate::boundary::model::{Expect, InvariantKind, Role, VpcId};
use crate::synth::hosts::{End, role};
use crate::synth::lanes::Lane;
use crate::synth::network::{Standing, TCP};
use crate::synth::talk::Talk;

fn denied(standing: Standing) -> bool {
    !standing.allow
}

/// A private host with a public address: `traffic-path` 8 where the NAT gateway should be on the way.
pub(super) fn nat_bypass(script: &mut Script<'_>) -> Result<(), Unfit> {
    let note = "left by the internet gateway itself (traffic-path 8)";
    let size = ((14, 1900), (16, 21_000));
    let through_nat: Vec<Lane> = script.lanes(|client, _| client.vpc.is_some());
    let lane = through_nat.iter().find(|lane| lane.nat.is_some()).copied();
    if let Some(lane) = lane {
        for n in 0..3 {
            let talk = Talk { nat: None, ..script.on_lane(&lane)? };
            script.allowed(&talk, size, script.moment() + n, note);
        }
    }
    let stranger = script.stranger()?;
    let kept = |script: &Script<'_>, group: usize| {
        let client = script.groups()[group].ends.first()?;
        script.case(client, &stranger, &[443], denied)
    };
    let case = script.local().into_iter().find_map(|group| kept(script, group));
    if let Some(case) = case {
        for n in 0..2 {
            let talk = script.talk(&case);
            script.offence(&talk, size, script.moment() + n, note);
        }
    }
    if lane.is_none() && case.is_none() { Err("every host may use the internet gateway") } else { Ok(()) }
}

/// An AWS service that has a gateway endpoint, reached through the NAT gateway: it costs, and it leaves the VPC.
pub(super) fn through_nat(script: &mut Script<'_>) -> Result<(), Unfit> {
    let lanes = script.lanes(|client, server| {
        client.vpc.is_some() && server.ends.first().is_some_and(|end| end.aws_service.is_some())
    });
    let gateway = |vpc: VpcId, server: &End, port: u16| {
        let groups = script.groups().iter().filter(|group| group.vpc == Some(vpc) && !group.v6);
        let nats = groups.filter(|group| role(script.map(), group.zone) == Some(Role::Nat));
        nats.filter_map(|group| group.ends.first()).find(|nat| script.standing(vpc, nat, server, port).allow).copied()
    };
    let found = lanes.iter().find_map(|lane| {
        let (client, server) = (&script.groups()[lane.client], &script.groups()[lane.server]);
        Some((*lane, gateway(client.vpc?, server.ends.first()?, lane.port)?))
    });
    let (lane, nat) = found.ok_or("no AWS service outside is reached from a VPC with a NAT gateway")?;
    for n in 0..3 {
        let nat_port = script.network.client_port(&mut script.dice, TCP, true);
        let talk = Talk { nat: Some((nat, nat_port)), ..script.on_lane(&lane)? };
        let size = ((2_000, 140_000), (9_000, 12_600_000));
        script.allowed(&talk, size, script.moment() + n, "through the NAT gateway instead of the gateway endpoint");
    }
    Ok(())
}

/// Each record is allowed; the bytes of an hour are too many.
pub(super) fn budget(script: &mut Script<'_>) -> Result<(), Unfit> {
    let lack = "no exit of a confined zone has a budget";
    let exits = script.map().invariants.iter().filter(|invariant| script.network.takes_part(&invariant.when));
    let exits = exits.filter_map(|invariant| match &invariant.kind {
        InvariantKind::Confined { zone, exits } => Some((zone, exits)),
        _ => None,
    });
    let mut exits = exits.flat_map(|(zone, exits)| exits.iter().map(move |exit| (zone, exit)));
    let (zone, exit, most) = exits.find_map(|(zone, exit)| Some((zone, exit, exit.max_bytes_per_hour?))).ok_or(lack)?;
    let clients = script.zones(if exit.from.is_empty() { zone } else { &exit.from });
    let servers = script.zones(&exit.to);
    let lane = script
        .lanes
        .all
        .iter()
        .copied()
        .find(|lane| lane.protocol == TCP && clients.contains(&lane.client) && servers.contains(&lane.server));
    let lane = lane.ok_or(lack)?;
    for n in 0..6 {
        let talk = script.on_lane(&lane)?;
        let bytes = most / 4 + n;
        let size = ((bytes / 1400 + 1, bytes), (bytes / 2800 + 1, bytes / 50));
        script.allowed(&talk, size, script.moment() + n, "permitted, but more than the budget of an hour");
    }
    Ok(())
}

/// Bytes of a conversation that does more than redirect.
const BULK: u64 = 74_000_000;

pub(super) fn bulk_on_http(script: &mut Script<'_>) -> Result<(), Unfit> {
    let lanes = script.lanes(|_, server| server.vpc.is_some());
    let lane = lanes.iter().find(|lane| {
        let redirects = |other: &Lane| other.server == lane.server && other.port == 443;
        lane.port == 80 && script.lanes.all.iter().any(redirects)
    });
    let lane = *lane.ok_or("no server offers both port 80 and port 443")?;
    let limited = |expect: &Expect| expect.max_bytes_per_hour.is_some_and(|most| most < 4 * BULK);
    if !script.map().expects.iter().any(limited) {
        return Err("the map limits the bytes of nothing");
    }
    for n in 0..4 {
        let talk = script.on_lane(&lane)?;
        let size = ((30_000, 1_800_000), (52_000, BULK + n));
        script.allowed(&talk, size, script.moment() + n, "much data on port 80, which should only redirect");
    }
    Ok(())
}

/// A conversation with a host of the internet that only this scenario uses: on a lane if the map allows one.
enum Outwards {
    Allowed(Lane, End),
    Denied(Case),
}

impl Outwards {
    fn of(script: &Script<'_>) -> Result<Self, Unfit> {
        let stranger = script.stranger()?;
        let lanes =
            script.lanes(|client, server| client.vpc.is_some() && server.zone == ZoneId::INTERNET && !server.v6);
        if let Some(lane) = lanes.first() {
            return Ok(Self::Allowed(*lane, stranger));
        }
        let clients = script.local();
        let clients = clients.iter().filter_map(|group| script.groups()[*group].ends.first());
        let mut cases = clients.filter_map(|client| script.case(client, &stranger, &[443], denied));
        cases.next().map(Self::Denied).ok_or("no host could reach the internet over IPv4")
    }

    fn plant(
        &self,
        script: &mut Script<'_>,
        size: ((u64, u64), (u64, u64)),
        window: u64,
        note: &'static str,
    ) -> Result<(), Unfit> {
        match self {
            Self::Allowed(lane, stranger) => {
                let talk = Talk { server: *stranger, ..script.on_lane(lane)? };
                script.allowed(&talk, size, window, note);
            }
            Self::Denied(case) => {
                let talk = script.talk(case);
                script.offence(&talk, size, window, note);
            }
        }
        Ok(())
    }
}

pub(super) fn exfiltration(script: &mut Script<'_>) -> Result<(), Unfit> {
    let outwards = Outwards::of(script)?;
    for n in 0..8 {
        let size = ((92_000, 130_000_000 + n), (40_000, 2_100_000));
        outwards.plant(script, size, script.moment() + n, "one host sends a gigabyte to the internet")?;
    }
    Ok(())
}

pub(super) fn beacon(script: &mut Script<'_>) -> Result<(), Unfit> {
    let outwards = Outwards::of(script)?;
    for n in 0..24 {
        outwards.plant(script, ((6, 720), (5, 610)), script.spread(n, 24), "a report at regular times")?;
    }
    Ok(())
}

pub(super) fn trickle(script: &mut Script<'_>) -> Result<(), Unfit> {
    let stranger = script.stranger()?;
    let data = script.data();
    let clients = data.iter().filter_map(|group| script.groups()[*group].ends.first());
    let case = clients.filter_map(|client| script.case(client, &stranger, &[443], denied)).next();
    let case = case.ok_or("no data store is kept from the internet")?;
    for n in 0..20 {
        let talk = script.talk(&case);
        let size = ((40, 52_000), (20, 1_040));
        script.offence(&talk, size, script.spread(n, 20), "a little of the data, again and again");
    }
    Ok(())
}

pub(super) fn brute_force(script: &mut Script<'_>) -> Result<(), Unfit> {
    let lane = protected_lane(script).ok_or("nobody may talk to a protected server")?;
    let (many, start) = script.burst();
    for n in 0..many {
        let talk = script.on_lane(&lane)?;
        let size = ((7, 690), (6, 640));
        script.allowed(&talk, size, start + n / 10, "short conversations, one after the other");
    }
    Ok(())
}

pub(super) fn unusual_source(script: &mut Script<'_>) -> Result<(), Unfit> {
    let mut lanes = script.lanes(|client, server| !client.spare.is_empty() && server.vpc.is_some());
    lanes.sort_by_key(|lane| script.groups()[lane.client].vpc.is_none());
    let lane = *lanes.first().ok_or("no zone of clients has another address")?;
    let client = script.groups()[lane.client].spare[0];
    for n in 0..5 {
        let talk = Talk { client, ..script.on_lane(&lane)? };
        let size = ((18, 2_400), (22, 19_000));
        script.allowed(&talk, size, script.moment() + n, "a permitted client that was never seen before");
    }
    Ok(())
}

pub(super) fn new_destination(script: &mut Script<'_>) -> Result<(), Unfit> {
    let boundary = script.network.boundary;
    let lanes = script
        .lanes(|client, server| boundary.is_confined(client.zone) && server.vpc.is_none() && !server.spare.is_empty());
    let lane = *lanes.first().ok_or("no confined zone may talk to a server outside that has other addresses")?;
    let spare = &script.groups()[lane.server].spare;
    let server = spare[spare.len() - 1];
    for n in 0..5 {
        let talk = Talk { server, ..script.on_lane(&lane)? };
        let size = ((25, 31_000), (22, 4_800));
        script.allowed(&talk, size, script.moment() + n, "a permitted server that was never seen before");
    }
    Ok(())
}

fn protected_lane(script: &Script<'_>) -> Option<Lane> {
    let lanes = script.lanes(|_, server| server.vpc.is_some());
    let protected = |lane: &Lane| script.network.boundary.is_protected(script.groups()[lane.server].zone);
    lanes.into_iter().next().filter(protected)
}
