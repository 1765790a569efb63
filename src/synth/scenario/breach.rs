//! What the map does not allow, and what was accepted all the same.

use super::Unfit;
use super::script::{Case, Script};
use crate::boundary::ZoneId;
use crate::boundary::model::{Role, RuleSide, Selector, Services};
use crate::synth::hosts::{End, Group, lineage, role};
use crate::synth::network::{Standing, TCP, UDP};

/// Cases of one scenario.
const MOST: usize = 6;
/// A request and its reply, in packets and bytes.
const SIZE: ((u64, u64), (u64, u64)) = ((11, 1570), (10, 8200));

fn denied(standing: Standing) -> bool {
    !standing.allow
}

/// Plants each case as an accepted conversation; an error if there is none.
fn plant_all(script: &mut Script<'_>, cases: &[Case], note: &'static str, lack: Unfit) -> Result<(), Unfit> {
    for (n, case) in cases.iter().enumerate() {
        let talk = script.talk(case);
        script.offence(&talk, SIZE, script.moment() + n as u64, note);
    }
    if cases.is_empty() { Err(lack) } else { Ok(()) }
}

/// The first case for each group of clients.
fn for_each_client(script: &Script<'_>, clients: &[usize], wanted: impl Fn(Standing) -> bool) -> Vec<Case> {
    let servers = script.local();
    clients.iter().filter_map(|client| script.find(&[*client], &servers, &[], &wanted)).take(MOST).collect()
}

pub(super) fn no_egress(script: &mut Script<'_>) -> Result<(), Unfit> {
    let wanted = |standing: Standing| !standing.leaves && standing.invariant.is_none();
    // hosts that answer and never ask come first
    let mut clients = script.local();
    clients.sort_by_key(|group| script.lanes.all.iter().any(|lane| lane.client == *group));
    let mut cases = for_each_client(script, &clients, wanted);
    let internet = script.stranger()?;
    let outwards = clients.iter().filter_map(|group| script.groups()[*group].ends.first());
    cases.extend(outwards.filter_map(|client| script.case(client, &internet, &[443], wanted)).take(2));
    plant_all(script, &cases, "no grant lets the client out", "every zone may connect to every other")
}

pub(super) fn no_ingress(script: &mut Script<'_>) -> Result<(), Unfit> {
    let wanted = |standing: Standing| standing.leaves_legally() && standing.invariant.is_none();
    let cases = for_each_client(script, &script.local(), wanted);
    plant_all(script, &cases, "no grant lets it in at the server", "no zone may send what another must not accept")
}

/// For each grant that opens a server, a client that it does not name.
pub(super) fn other_source(script: &mut Script<'_>) -> Result<(), Unfit> {
    let mut cases = Vec::new();
    for rule in &script.map().rules {
        if rule.side == RuleSide::Egress || rule.service == Services::Any || !script.network.takes_part(&rule.when) {
            continue;
        }
        let ports = script.network.ports_of(&rule.service);
        let ports: Vec<u16> = ports.into_iter().filter(|port| port.0 == TCP).map(|(_, port)| port).take(1).collect();
        let servers: Vec<usize> =
            script.zones(&rule.to).into_iter().filter(|group| script.groups()[*group].vpc.is_some()).collect();
        let granted: Vec<ZoneId> = rule.from.iter().flat_map(|zone| lineage(script.map(), *zone)).collect();
        let from_outside = script.zones(&rule.from).iter().all(|group| script.groups()[*group].vpc.is_none());
        // neighbours of those that are named come first, or strangers where strangers are named
        let mut clients = [script.local(), script.zones(&[ZoneId::INTERNET])].concat();
        clients.sort_by_key(|group| {
            let group = &script.groups()[*group];
            let near = lineage(script.map(), group.zone).any(|zone| granted.contains(&zone));
            if from_outside { group.vpc.is_some() } else { !near }
        });
        if !ports.is_empty() && cases.len() < 4 * MOST {
            cases.extend(script.find(&clients, &servers, &ports, denied));
        }
    }
    plant_all(script, &cases, "the service is granted to others", "every service is open to everybody")
}

/// Pairs that may talk, on a port that they may not use.
pub(super) fn wrong_port(script: &mut Script<'_>) -> Result<(), Unfit> {
    let mut pairs = std::collections::BTreeSet::new();
    let mut cases = Vec::new();
    for lane in &script.lanes.all {
        if lane.protocol == TCP && pairs.insert((lane.client, lane.server)) && cases.len() < 2 * MOST {
            cases.extend(script.find(&[lane.client], &[lane.server], &[80, 22, 3389, 8030, 9999], denied));
        }
    }
    plant_all(script, &cases, "the pair may talk, but not on this port", "pairs that may talk may use every port")
}

fn from_stranger(script: &Script<'_>, ports: &[u16]) -> Result<Vec<Case>, Unfit> {
    let stranger = script.stranger()?;
    let servers = script.local().into_iter().filter_map(|group| Some((group, script.groups()[group].ends.first()?)));
    let cases = servers.filter_map(|(group, server)| {
        let offered = if ports.is_empty() { script.ports_at(group) } else { ports.to_vec() };
        script.case(&stranger, server, &offered, denied)
    });
    Ok(cases.collect())
}

pub(super) fn exposed(script: &mut Script<'_>) -> Result<(), Unfit> {
    let mut cases = from_stranger(script, &[])?;
    cases.truncate(2 * MOST);
    plant_all(script, &cases, "the internet got in", "the internet may reach every server")
}

pub(super) fn ssh(script: &mut Script<'_>) -> Result<(), Unfit> {
    let mut cases = from_stranger(script, &[22])?;
    cases.truncate(2);
    plant_all(script, &cases, "SSH answers the internet", "SSH may be reached from the internet everywhere")
}

/// An outside service that only answers, and now asks.
pub(super) fn external_initiates(script: &mut Script<'_>) -> Result<(), Unfit> {
    let mut cases = Vec::new();
    for lane in &script.lanes.all {
        let (client, server) = (&script.groups()[lane.client], &script.groups()[lane.server]);
        if server.vpc.is_none() && server.zone != ZoneId::INTERNET && client.vpc.is_some() && cases.len() < 2 {
            cases.extend(script.find(&[lane.server], &[lane.client], &[8443, 443], denied));
        }
    }
    plant_all(
        script,
        &cases,
        "the outside service connects to its client",
        "no zone talks to a declared service outside",
    )
}

pub(super) fn source_to_sink(script: &mut Script<'_>) -> Result<(), Unfit> {
    let data = script.data();
    let mut cases = Vec::new();
    for client in &data {
        let others: Vec<usize> = data
            .iter()
            .copied()
            .filter(|other| script.groups()[*other].zone != script.groups()[*client].zone)
            .collect();
        cases.extend(script.find(&[*client], &others, &[], denied));
    }
    cases.truncate(2);
    plant_all(script, &cases, "one data store talks to another", "the map has no two data stores in one VPC")
}

pub(super) fn data_to_internet(script: &mut Script<'_>) -> Result<(), Unfit> {
    let stranger = script.stranger()?;
    let data = script.data();
    let clients = data.iter().filter_map(|group| script.groups()[*group].ends.first());
    let cases: Vec<Case> =
        clients.filter_map(|client| script.case(client, &stranger, &[443], denied)).take(MOST).collect();
    plant_all(script, &cases, "a data store talks to the internet", "no data store is kept from the internet")
}

pub(super) fn wrong_environment(script: &mut Script<'_>) -> Result<(), Unfit> {
    granted_elsewhere(script, |when| when.env.is_some(), "no grant is for another environment alone")
}

pub(super) fn wrong_mode(script: &mut Script<'_>) -> Result<(), Unfit> {
    let lack = "no grant is for another mode alone, or none is selected";
    let denied = granted_elsewhere(script, |when| when.mode.is_some(), lack);
    let through_gateway = gateway_of_another_mode(script);
    if denied.is_ok() || through_gateway { Ok(()) } else { Err(lack) }
}

/// The map cannot speak for a NAT gateway, so its use in a mode that should not need it is expected, record by record.
fn gateway_of_another_mode(script: &mut Script<'_>) -> bool {
    let map = script.map();
    let mut elsewhere =
        map.rules.iter().filter(|rule| rule.when.mode.is_some() && !script.network.takes_part(&rule.when));
    let lane = elsewhere.find_map(|rule| {
        script.lanes.all.iter().find(|lane| {
            let groups = script.groups();
            let gateway = lane.nat.map(|nat| &groups[nat]);
            let among = |group: &Group, zones: &[ZoneId]| zones.iter().any(|zone| script.network.is_in(group, *zone));
            lane.protocol == TCP
                && gateway.is_some_and(|gateway| among(gateway, &rule.from))
                && among(&groups[lane.server], &rule.to)
        })
    });
    let Some(lane) = lane.copied() else { return false };
    for n in 0..3 {
        let Ok(talk) = script.on_lane(&lane) else { return false };
        script.allowed(&talk, SIZE, script.moment() + n, "the gateway belongs to another mode");
    }
    true
}

/// What a grant would allow that does not take part.
fn granted_elsewhere(script: &mut Script<'_>, of: impl Fn(&Selector) -> bool, lack: Unfit) -> Result<(), Unfit> {
    let mut cases = Vec::new();
    for rule in &script.map().rules {
        if !of(&rule.when) || script.network.takes_part(&rule.when) || cases.len() >= MOST {
            continue;
        }
        let ports = script.network.ports_of(&rule.service);
        let ports: Vec<u16> = ports.into_iter().filter(|port| port.0 == TCP).map(|(_, port)| port).collect();
        let mut clients = script.zones(&rule.from);
        // strangers first: that is what such grants open
        clients.sort_by_key(|group| script.groups()[*group].vpc.is_some());
        cases.extend(script.find(&clients, &script.zones(&rule.to), &ports, denied));
    }
    plant_all(script, &cases, "granted only where it is not", lack)
}

/// A host of a peered VPC that no grant names.
pub(super) fn peer(script: &mut Script<'_>) -> Result<(), Unfit> {
    let mut talks = Vec::new();
    for server_group in script.local() {
        let server = script.groups()[server_group].ends[0];
        let peers = |end: &End| {
            let Some((own, other)) = server.vpc.zip(end.vpc) else { return false };
            let peers = |a: usize| &script.map().vpcs[a].peers;
            own != other && peers(own.0.into()).contains(&other) && peers(other.0.into()).contains(&own)
        };
        for client_group in script.local() {
            let client = script.groups()[client_group].ends[0];
            let both = [server.vpc, client.vpc];
            let refused_by_both = |port: u16| {
                both.iter().flatten().all(|vpc| {
                    script.seen_as_meant(*vpc, &client, &server)
                        && denied(script.standing(*vpc, &client, &server, port))
                })
            };
            let port = script.ports_at(server_group).into_iter().find(|port| refused_by_both(*port));
            if let Some(port) = port
                && client.address.is_ipv4() == server.address.is_ipv4()
                && talks.len() < 3
                && peers(&client)
            {
                talks.push(Case { client, server, protocol: TCP, port });
            }
        }
    }
    plant_all(
        script,
        &talks,
        "a host of the peered VPC got in",
        "the map has no peered VPCs, or lets them do everything",
    )
}

pub(super) fn unzoned(script: &mut Script<'_>) -> Result<(), Unfit> {
    let clients = script.select(|group| group.zone == ZoneId::VPC_UNZONED);
    let cases = for_each_client(script, &clients, denied);
    plant_all(script, &cases, "the client's address is in no zone", "the zones cover the VPCs entirely")
}

pub(super) fn private_unknown(script: &mut Script<'_>) -> Result<(), Unfit> {
    let nobody = script.nobody()?;
    let servers = script.local().into_iter().filter_map(|group| Some((group, script.groups()[group].ends.first()?)));
    let cases: Vec<Case> =
        servers.filter_map(|(group, server)| script.case(&nobody, server, &script.ports_at(group), denied)).collect();
    let cases: Vec<Case> = cases.into_iter().take(3).collect();
    plant_all(script, &cases, "a private address of nobody got in", "private addresses may reach every server")
}

pub(super) fn udp(script: &mut Script<'_>) -> Result<(), Unfit> {
    let stranger = script.stranger()?;
    let mut cases = Vec::new();
    for server in script.local().into_iter().filter_map(|group| script.groups()[group].ends.first()) {
        let Some(vpc) = server.vpc else { continue };
        let free = !script.network.standing(vpc, &stranger, server, UDP, 161).allow;
        if free && server.address.is_ipv4() && cases.len() < 3 {
            cases.push(Case { client: stranger, server: *server, protocol: UDP, port: 161 });
        }
    }
    plant_all(script, &cases, "UDP from elsewhere", "UDP may reach every server from the internet")
}

/// The client of a load balancer, seen where the balancer's own address should be.
pub(super) fn client_ip_preserved(script: &mut Script<'_>) -> Result<(), Unfit> {
    let mut cases = Vec::new();
    for inner in &script.lanes.all {
        let balancer = script.groups()[inner.client].zone;
        if inner.protocol != TCP || role(script.map(), balancer) != Some(Role::Lb) {
            continue;
        }
        let outer = script.lanes.all.iter().filter(|lane| {
            lane.server == inner.client && script.groups()[lane.client].vpc.is_none() && lane.protocol == TCP
        });
        for outer in outer {
            cases.extend(script.find(&[outer.client], &[inner.server], &[inner.port], denied));
        }
    }
    cases.truncate(2);
    plant_all(script, &cases, "the target sees the client itself", "no load balancer serves clients outside of the VPC")
}
