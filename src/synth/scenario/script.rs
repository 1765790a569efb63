//! What scenarios are written with: finding a place in the map, and planting records there.

use std::net::IpAddr;

use super::Unfit;
use crate::boundary::model::{RuleSide, VpcId};
use crate::boundary::{BoundaryMap, Verdict, ZoneId};
use crate::record::Action;
use crate::synth::dice::{Dice, stable_hash};
use crate::synth::hosts::{End, Group, is_gateway, lineage};
use crate::synth::lanes::{Lane, Lanes};
use crate::synth::network::{Network, Standing, TCP};
use crate::synth::options::{Span, WINDOW};
use crate::synth::record::{Body, Record};
use crate::synth::talk::{Leg, Load, Talk};

/// Ports that are tried on a server when no grant names one.
const FALLBACK: [u16; 6] = [443, 22, 8443, 3389, 5432, 9000];
/// Most groups on each side of a search.
const MOST_GROUPS: usize = 256;

/// A planted record and what it means.
#[derive(Debug, Clone)]
pub(in crate::synth) struct Planted {
    pub(in crate::synth) record: Record,
    pub(in crate::synth) label: Label,
}

/// What a planted record means: one row of `labels.csv`.
#[derive(Debug, Clone)]
pub(in crate::synth) struct Label {
    pub(in crate::synth) scenario: &'static str,
    pub(in crate::synth) verdict: Verdict,
    /// The detector of single verdicts that has to raise an alert; empty where none has.
    pub(in crate::synth) detector: &'static str,
    pub(in crate::synth) path: Option<LabelPath>,
    pub(in crate::synth) note: &'static str,
}

/// Who talked to whom.
#[derive(Debug, Clone, Copy)]
pub(in crate::synth) struct LabelPath {
    pub(in crate::synth) client: IpAddr,
    pub(in crate::synth) server: IpAddr,
    pub(in crate::synth) port: u16,
    pub(in crate::synth) protocol: u8,
}

/// A client, a server and a port, found by what the policy says of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) client: End,
    pub(super) server: End,
    pub(super) protocol: u8,
    pub(super) port: u16,
}

/// One scenario's tools and its records.
pub(super) struct Script<'n> {
    pub(super) network: &'n Network<'n>,
    pub(super) lanes: &'n Lanes,
    /// An interface of a VPC that the map does not know.
    pub(super) foreign: u32,
    pub(super) span: Span,
    pub(super) dice: Dice,
    pub(super) records: Vec<Planted>,
    name: &'static str,
    index: usize,
}

impl<'n> Script<'n> {
    pub(super) fn new(
        network: &'n Network<'n>,
        lanes: &'n Lanes,
        foreign: u32,
        span: Span,
        seed: u64,
        name: &'static str,
        index: usize,
    ) -> Self {
        Self { network, lanes, foreign, span, dice: Dice::new(seed, name), records: Vec::new(), name, index }
    }

    pub(super) fn map(&self) -> &'n BoundaryMap {
        self.network.map()
    }

    pub(super) fn groups(&self) -> &'n [Group] {
        &self.network.hosts.groups
    }

    // ---- when

    /// The scenario's own time: somewhere between a tenth and eight tenths of the span.
    pub(super) fn moment(&self) -> u64 {
        let tenths = 100 + stable_hash(&[self.name.as_bytes()]) % 700;
        self.span.windows * tenths / 1000
    }

    /// The `n`-th of `of` windows that are spread over the whole span.
    pub(super) fn spread(&self, n: u64, of: u64) -> u64 {
        self.span.windows * n / of.max(1)
    }

    /// How many of something that is noticed by its number, and when: in one hour, if the span has one.
    pub(super) fn burst(&self) -> (u64, u64) {
        let many = (self.span.windows / 5).clamp(30, 250);
        let moment = self.moment();
        (many, if many > 30 { moment - moment % 60 } else { moment })
    }

    // ---- where

    /// The group of a kind of address outside of the map, IPv4.
    fn outside(&self, zone: ZoneId) -> Result<&'n Group, Unfit> {
        self.groups()
            .iter()
            .find(|group| group.zone == zone && group.vpc.is_none() && !group.v6)
            .ok_or("the map claims every address that could be used for it")
    }

    /// A host of the internet that only this scenario uses.
    pub(super) fn stranger(&self) -> Result<End, Unfit> {
        let group = self.outside(ZoneId::INTERNET)?;
        let hosts = if group.spare.is_empty() { &group.ends } else { &group.spare };
        hosts.get(self.index % hosts.len().max(1)).copied().ok_or("the map claims the whole internet")
    }

    /// A private address of nobody.
    pub(super) fn nobody(&self) -> Result<End, Unfit> {
        let group = self.outside(ZoneId::PRIVATE_UNKNOWN)?;
        group.first().copied().ok_or("the map claims every private address")
    }

    /// The groups of interfaces that have security groups, with ordinary ends.
    pub(super) fn local(&self) -> Vec<usize> {
        self.select(|group| group.vpc.is_some() && !group.ends.is_empty())
    }

    /// The local groups of zones that hold data.
    pub(super) fn data(&self) -> Vec<usize> {
        let map = self.map();
        self.select(|group| {
            let tagged = |zone: ZoneId| zone.index().is_some_and(|z| map.zones[z].tags.iter().any(|tag| tag == "data"));
            group.vpc.is_some() && lineage(map, group.zone).any(tagged)
        })
    }

    /// The groups that a test selects, but never those of gateways.
    pub(super) fn select(&self, test: impl Fn(&Group) -> bool) -> Vec<usize> {
        let groups = self.groups().iter().enumerate();
        groups
            .filter(|(_, group)| !is_gateway(self.map(), group.zone) && test(group))
            .map(|(index, _)| index)
            .take(MOST_GROUPS)
            .collect()
    }

    /// The groups in one of these zones, but never those of gateways.
    pub(super) fn zones(&self, zones: &[ZoneId]) -> Vec<usize> {
        self.select(|group| zones.iter().any(|zone| self.network.is_in(group, *zone)))
    }

    /// TCP ports that grants offer on a group's servers, then some that they do not.
    pub(super) fn ports_at(&self, server: usize) -> Vec<u16> {
        let group = &self.groups()[server];
        let rules = self.map().rules.iter().filter(|rule| {
            rule.side != RuleSide::Egress
                && self.network.takes_part(&rule.when)
                && rule.to.iter().any(|zone| self.network.is_in(group, *zone))
        });
        let offered = rules.take(32).flat_map(|rule| self.network.ports_of(&rule.service));
        offered.filter(|(protocol, _)| *protocol == TCP).map(|(_, port)| port).chain(FALLBACK).collect()
    }

    /// The first client and server, from these groups, of which the policy says what is wanted; on one of the ports,
    /// or where none are given, on those that the server's zone offers.
    pub(super) fn find(
        &self,
        clients: &[usize],
        servers: &[usize],
        ports: &[u16],
        wanted: impl Fn(Standing) -> bool,
    ) -> Option<Case> {
        for server_group in servers {
            let own_ports = if ports.is_empty() { self.ports_at(*server_group) } else { Vec::new() };
            let ports = if ports.is_empty() { &own_ports } else { ports };
            for client_group in clients {
                let ends = self.groups()[*client_group].first().zip(self.groups()[*server_group].first());
                let Some((client, server)) = ends else { continue };
                if let Some(case) = self.case(client, server, ports, &wanted) {
                    return Some(case);
                }
            }
        }
        None
    }

    /// The first port on which the policy says of client and server what is wanted.
    pub(super) fn case(
        &self,
        client: &End,
        server: &End,
        ports: &[u16],
        wanted: impl Fn(Standing) -> bool,
    ) -> Option<Case> {
        let vpc = server.vpc.or(client.vpc)?;
        let in_one_vpc = client.vpc.is_none_or(|own| own == vpc);
        let one_family = client.address.is_ipv4() == server.address.is_ipv4();
        if !in_one_vpc || !one_family || client.address == server.address || !self.seen_as_meant(vpc, client, server) {
            return None;
        }
        let port = ports.iter().copied().find(|port| wanted(self.standing(vpc, client, server, *port)))?;
        Some(Case { client: *client, server: *server, protocol: TCP, port })
    }

    /// What the policy says of TCP to a port, seen from a VPC.
    pub(super) fn standing(&self, vpc: VpcId, client: &End, server: &End, port: u16) -> Standing {
        self.network.standing(vpc, client, server, TCP, port)
    }

    /// True when the VPC sees both ends in the zones that they are meant to be in.
    pub(super) fn seen_as_meant(&self, vpc: VpcId, client: &End, server: &End) -> bool {
        [client, server].iter().all(|end| self.network.boundary.zone_of(vpc, end.address) == end.zone)
    }

    /// The lanes of TCP that fit, at most one for each server's zone and port; those of protected servers first.
    pub(super) fn lanes(&self, fits: impl Fn(&Group, &Group) -> bool) -> Vec<Lane> {
        let mut seen = std::collections::BTreeSet::new();
        let mut lanes: Vec<Lane> = self.lanes.all.to_vec();
        lanes.retain(|lane| {
            let (client, server) = (&self.groups()[lane.client], &self.groups()[lane.server]);
            lane.protocol == TCP && fits(client, server) && seen.insert((server.zone, lane.port))
        });
        lanes.sort_by_key(|lane| !self.is_protected(self.groups()[lane.server].zone));
        lanes
    }

    /// A conversation on a lane between its first ends.
    pub(super) fn on_lane(&mut self, lane: &Lane) -> Result<Talk, Unfit> {
        let ends = (self.groups()[lane.client].ends.first(), self.groups()[lane.server].ends.last());
        let (Some(client), Some(server)) = ends else { return Err("a zone has no address") };
        Ok(lane.between(self.network, &mut self.dice, *client, *server))
    }

    fn is_protected(&self, zone: ZoneId) -> bool {
        self.network.boundary.is_protected(zone)
    }

    // ---- what

    /// A conversation of a case, from a fresh port.
    pub(super) fn talk(&mut self, case: &Case) -> Talk {
        let client_port = self.network.client_port(&mut self.dice, case.protocol, false);
        let Case { client, server, protocol, port } = *case;
        Talk { client, server, protocol, client_port, port, nat: None }
    }

    /// Plants one record, if an interface stands on this leg.
    pub(super) fn plant(
        &mut self,
        talk: &Talk,
        leg: Leg,
        load: Load,
        window: u64,
        verdict: Verdict,
        note: &'static str,
    ) {
        let Some((interface, flow)) = talk.flow(&self.network.hosts, leg, load) else { return };
        let detector = match verdict {
            Verdict::Breach => "breach",
            Verdict::Attempt => "attempt",
            Verdict::Outage if !Leg::REQUEST.contains(&leg) => "return-path",
            Verdict::Outage if leg == Leg::ServerIn && talk.client.zone != ZoneId::INTERNET => "one-sided",
            Verdict::Outage => "outage",
            Verdict::Blocked if self.is_protected(talk.server.zone) => "blocked",
            _ => "",
        };
        let path = LabelPath {
            client: talk.client.address,
            server: talk.server.address,
            port: talk.port,
            protocol: talk.protocol,
        };
        self.plant_body(interface, Body::Flow(flow), window, verdict, detector, Some(path), note);
    }

    /// Plants a record of any kind.
    #[expect(clippy::too_many_arguments, reason = "the one place where a planted record and its label come together")]
    pub(super) fn plant_body(
        &mut self,
        interface: u32,
        body: Body,
        window: u64,
        verdict: Verdict,
        detector: &'static str,
        path: Option<LabelPath>,
        note: &'static str,
    ) {
        let (first, last) = match body {
            Body::Flow(_) => {
                let first = self.dice.below(WINDOW as u64 - 5);
                (first, self.dice.between(first, WINDOW as u64 - 1))
            }
            Body::NoData | Body::SkipData => (0, WINDOW as u64 - 1),
        };
        let start = self.span.window(window);
        let record = Record { interface, start: start + first as i64, end: start + last as i64, body };
        let label = Label { scenario: self.name, verdict, detector, path, note };
        self.records.push(Planted { record, label });
    }

    /// A conversation that the policy allows: expected on every leg.
    pub(super) fn allowed(
        &mut self,
        talk: &Talk,
        (request, reply): ((u64, u64), (u64, u64)),
        window: u64,
        note: &'static str,
    ) {
        for (legs, (packets, bytes), flags) in [(Leg::REQUEST, request, 3), (Leg::REPLY, reply, 19)] {
            for leg in legs {
                self.plant(talk, leg, Load::accepted(packets, bytes, flags), window, Verdict::Expected, note);
            }
        }
    }

    /// A whole conversation that the policy does not allow and that took place: a breach wherever it is seen, but for
    /// the request at a client's end that may send it. There it looks like any other until the server answers.
    pub(super) fn offence(
        &mut self,
        talk: &Talk,
        (request, reply): ((u64, u64), (u64, u64)),
        window: u64,
        note: &'static str,
    ) {
        let accepted = |(packets, bytes), flags| Load::accepted(packets, bytes, flags);
        // UDP has no flags
        let (syn, syn_ack) = if talk.protocol == TCP { (3, 19) } else { (0, 0) };
        let sent =
            if self.at_client(talk).is_some_and(Standing::leaves_legally) { Verdict::Attempt } else { Verdict::Breach };
        self.plant(talk, Leg::ClientOut, accepted(request, syn), window, sent, note);
        self.plant(talk, Leg::ServerIn, accepted(request, syn), window, Verdict::Breach, note);
        self.plant(talk, Leg::ServerOut, accepted(reply, syn_ack), window, Verdict::Breach, note);
        self.plant(talk, Leg::ClientIn, accepted(reply, syn_ack), window, Verdict::Breach, note);
    }

    /// The first packets of a conversation that the policy does not allow and that was refused: at the server's end
    /// if the client's lets it out, else already there.
    pub(super) fn refusal(&mut self, talk: &Talk, window: u64, note: &'static str) {
        let packets = self.dice.between(1, 3);
        let load = |action| Load { packets, bytes: packets * 60, tcp_flags: 2, action };
        let (refused, passed) = (load(Action::Reject), load(Action::Accept));
        match self.at_client(talk) {
            Some(standing) if standing.leaves_legally() => {
                self.plant(talk, Leg::ClientOut, passed, window, Verdict::Attempt, note);
                self.plant(talk, Leg::ServerIn, refused, window, Verdict::Blocked, note);
            }
            Some(standing) if !standing.leaves => {
                self.plant(talk, Leg::ClientOut, refused, window, Verdict::Blocked, note);
            }
            _ => self.plant(talk, Leg::ServerIn, refused, window, Verdict::Blocked, note),
        }
    }

    /// What the policy says of a conversation at the client's interface, if it has one.
    fn at_client(&self, talk: &Talk) -> Option<Standing> {
        let vpc = talk.client.vpc?;
        Some(self.network.standing(vpc, &talk.client, &talk.server, talk.protocol, talk.port))
    }
}
