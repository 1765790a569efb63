//! The evaluator a second time: straight from the rules, over the map as it is, with nothing worked out beforehand.
//! Slow and obvious, so that a mistake in the compiled one shows as a difference.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::boundary::evaluate::Selection;
use crate::boundary::model::{BoundaryMap, InvariantKind, Role, Rule, RuleSide, Selector, Services, VpcId, ZoneId};
use crate::boundary::values::Severity;
use crate::record::{Action, Field, FlowRecord, LogStatus};

/// Columns of the lake that the map decides, as far as a test compares them.
pub(super) fn judge(map: &BoundaryMap, selection: &Selection, record: &FlowRecord<'_>) -> Value {
    let env = selection.env.clone().or(map.env.clone());
    Reference { map, env, mode: selection.mode.clone() }.judge(record)
}

/// True when the packet's source or destination has a security group that the map can speak for.
pub(super) fn touches_a_managed_end(map: &BoundaryMap, record: &FlowRecord<'_>) -> bool {
    let reference = Reference { map, env: None, mode: None };
    let (Some(src), Some(dst)) = (record.address(record.source_field()), record.address(record.destination_field()))
    else {
        return false;
    };
    let Ok(vpc) = reference.vpc(record, src, dst) else { return false };
    reference.end(vpc, src).managed || reference.end(vpc, dst).managed
}

struct Reference<'m> {
    map: &'m BoundaryMap,
    env: Option<String>,
    mode: Option<String>,
}

struct End {
    address: IpAddr,
    primary: ZoneId,
    set: HashSet<ZoneId>,
    local: bool,
    managed: bool,
}

#[derive(Clone, Copy)]
enum Permit<'m> {
    Rule(&'m Rule, u32),
    Unmanaged,
    None,
}

struct Said<'m> {
    e: Permit<'m>,
    i: Permit<'m>,
    f: Option<usize>,
    allow: bool,
    narrow: bool,
}

fn meets(zones: &[ZoneId], set: &HashSet<ZoneId>) -> bool {
    zones.iter().any(|zone| set.contains(zone))
}

fn within(address: IpAddr, cidrs: &[IpNet]) -> bool {
    cidrs.iter().any(|cidr| cidr.contains(&address))
}

fn within_any(address: IpAddr, cidrs: &[&str]) -> bool {
    cidrs.iter().any(|cidr| cidr.parse::<IpNet>().unwrap().contains(&address))
}

const SPECIAL: [&str; 6] =
    ["169.254.0.0/16", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "fe80::/10", "ff00::/8"];
const PRIVATE: [&str; 5] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"];

impl<'m> Reference<'m> {
    // 1
    fn takes_part(&self, when: &Selector) -> bool {
        let env = match (&when.env, &self.env) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(envs), Some(env)) => envs.contains(env),
        };
        let mode = match (&when.mode, &self.mode) {
            (None, _) | (_, None) => true,
            (Some(mode), Some(selected)) => mode == selected,
        };
        env && mode
    }

    // 3
    fn vpc(&self, record: &FlowRecord<'_>, src: IpAddr, dst: IpAddr) -> Result<VpcId, &'static str> {
        let id = |index: usize| VpcId(index as u16);
        if let Some(wanted) = record.text(Field::VpcId) {
            let found = self.map.vpcs.iter().position(|vpc| vpc.id.as_deref() == Some(wanted));
            return found.map(id).ok_or("vpc-not-in-map");
        }
        if self.map.vpcs.len() == 1 {
            return Ok(VpcId(0));
        }
        let eni = record.text(Field::InterfaceId).and_then(|eni| self.map.enis.iter().find(|known| known.id == eni));
        if let Some(vpc) = eni.and_then(|eni| self.map.zones[eni.zone?.index()?].vpc) {
            return Ok(vpc);
        }
        for address in [src, dst] {
            let holders: Vec<_> =
                (0..self.map.vpcs.len()).filter(|index| within(address, &self.map.vpcs[*index].cidrs)).collect();
            if let [one] = holders.as_slice() {
                return Ok(id(*one));
            }
        }
        Err("vpc-ambiguous")
    }

    fn in_vpc(&self, vpc: VpcId, address: IpAddr) -> bool {
        within(address, &self.map.vpcs[vpc.0 as usize].cidrs)
    }

    fn local(&self, vpc: VpcId, address: IpAddr) -> bool {
        self.in_vpc(vpc, address) || self.map.vpcs[vpc.0 as usize].peers.iter().any(|peer| self.in_vpc(*peer, address))
    }

    // 4
    fn home(&self, zone: ZoneId) -> Option<VpcId> {
        let declared = &self.map.zones[zone.index().unwrap()];
        if declared.vpc.is_some() || self.map.vpcs.len() != 1 {
            return declared.vpc;
        }
        let cidrs = &self.map.vpcs[0].cidrs;
        let lies_inside = declared.cidrs.iter().any(|own| cidrs.iter().any(|cidr| cidr.contains(own)))
            || declared.addresses.iter().chain(self.inventory(zone)).any(|address| within(*address, cidrs));
        lies_inside.then_some(VpcId(0))
    }

    fn inventory(&self, zone: ZoneId) -> impl Iterator<Item = &IpAddr> {
        self.map.enis.iter().filter(move |eni| eni.zone == Some(zone)).flat_map(|eni| &eni.addresses)
    }

    fn ancestors(&self, zone: ZoneId) -> Vec<ZoneId> {
        let mut ancestors = Vec::new();
        let mut at = zone;
        while let Some(parent) = at.index().and_then(|index| self.map.zones[index].parent) {
            ancestors.push(parent);
            at = parent;
        }
        ancestors
    }

    fn end(&self, vpc: VpcId, address: IpAddr) -> End {
        let peers = &self.map.vpcs[vpc.0 as usize].peers;
        let mut matches = Vec::new();
        for index in 0..self.map.zones.len() {
            let (id, zone) = (ZoneId::declared(index), &self.map.zones[index]);
            let scope = match self.home(id) {
                Some(home) if home == vpc => 0,
                Some(home) if peers.contains(&home) => 1,
                Some(_) => continue,
                None => 2,
            };
            let (kind, length) = if self.inventory(id).any(|own| *own == address) {
                (0, 0)
            } else if zone.addresses.contains(&address) {
                (1, 0)
            } else if let Some(cidr) =
                zone.cidrs.iter().filter(|cidr| cidr.contains(&address)).max_by_key(|cidr| cidr.prefix_len())
            {
                (2, cidr.prefix_len())
            } else {
                continue;
            };
            matches.push((scope, kind, Reverse(length), Reverse(self.ancestors(id).len()), zone.name.clone(), id));
        }
        let local = self.local(vpc, address);
        let primary = match matches.into_iter().min() {
            Some((.., id)) => id,
            None if local => ZoneId::VPC_UNZONED,
            None if within_any(address, &SPECIAL) => ZoneId::SPECIAL,
            None if within_any(address, &PRIVATE) => ZoneId::PRIVATE_UNKNOWN,
            None => ZoneId::INTERNET,
        };
        let mut set: HashSet<ZoneId> = self.ancestors(primary).into_iter().collect();
        set.insert(primary);
        set.insert(ZoneId::ANY);
        if self.in_vpc(vpc, address) {
            set.insert(ZoneId::VPC);
        }
        let managed = local && !matches!(self.role(Some(primary)), Some(Role::Nat | Role::Tgw));
        End { address, primary, set, local, managed }
    }

    fn role(&self, zone: Option<ZoneId>) -> Option<Role> {
        zone.and_then(ZoneId::index).and_then(|index| self.map.zones[index].role)
    }

    // 5
    fn service_width(&self, service: usize, protocol: u8, port: u16) -> Option<u32> {
        let service = &self.map.services[service];
        let ranges = match protocol {
            6 => &service.tcp,
            17 => &service.udp,
            1 | 58 => return service.icmp.then_some(1),
            _ => return None,
        };
        ranges.iter().filter(|range| range.lo <= port && port <= range.hi).map(|range| range.width()).min()
    }

    fn width(&self, services: &Services, protocol: u8, port: u16) -> Option<u32> {
        match services {
            Services::Any => Some(65_536),
            Services::These(ids) => ids.iter().filter_map(|id| self.service_width(id.0 as usize, protocol, port)).min(),
        }
    }

    fn specificity(&self, named: &[ZoneId], end: &End) -> u8 {
        if named.contains(&end.primary) {
            3
        } else if named.iter().any(|zone| zone.index().is_some() && end.set.contains(zone)) {
            2
        } else {
            u8::from(named.contains(&ZoneId::VPC) && end.set.contains(&ZoneId::VPC))
        }
    }

    fn best(&self, other: RuleSide, client: &End, server: &End, protocol: u8, port: u16) -> Option<Permit<'m>> {
        let mut matching = Vec::new();
        for rule in &self.map.rules {
            if !self.takes_part(&rule.when) || rule.side == other {
                continue;
            }
            if !meets(&rule.from, &client.set) || !meets(&rule.to, &server.set) {
                continue;
            }
            if let Some(width) = self.width(&rule.service, protocol, port) {
                let specificity = self.specificity(&rule.from, client) + self.specificity(&rule.to, server);
                matching.push((Reverse(specificity), width, &rule.id, rule));
            }
        }
        let (_, width, _, rule) =
            matching.into_iter().min_by_key(|(specificity, width, id, _)| (*specificity, *width, *id))?;
        Some(Permit::Rule(rule, width))
    }

    fn hit(&self, kind: &InvariantKind, client: &End, server: &End, protocol: u8, port: u16) -> bool {
        match kind {
            InvariantKind::NoInbound { zone } => meets(zone, &server.set),
            InvariantKind::OnlyFrom { zone, allow } => meets(zone, &server.set) && !meets(allow, &client.set),
            InvariantKind::OnlyTo { zone, allow } => meets(zone, &client.set) && !meets(allow, &server.set),
            InvariantKind::Isolated { zone, peer, inbound_only } => {
                meets(zone, &server.set) && meets(peer, &client.set)
                    || !inbound_only && meets(zone, &client.set) && meets(peer, &server.set)
            }
            InvariantKind::Forbid { from, to, service } => {
                meets(from, &client.set) && meets(to, &server.set) && self.width(service, protocol, port).is_some()
            }
            InvariantKind::Confined { zone, exits } => {
                meets(zone, &client.set)
                    && !server.local
                    && !exits.iter().any(|exit| {
                        meets(if exit.from.is_empty() { zone } else { &exit.from }, &client.set)
                            && meets(&exit.to, &server.set)
                            && self.width(&exit.service, protocol, port).is_some()
                    })
            }
            InvariantKind::Placement { .. } => false,
        }
    }

    fn policy(&self, client: &End, server: &End, protocol: u8, port: u16) -> Said<'m> {
        let unruled = |managed| if managed { Permit::None } else { Permit::Unmanaged };
        let e = self.best(RuleSide::Ingress, client, server, protocol, port).unwrap_or(unruled(client.managed));
        let i = self.best(RuleSide::Egress, client, server, protocol, port).unwrap_or(unruled(server.managed));
        let f = self.map.invariants.iter().position(|invariant| {
            self.takes_part(&invariant.when) && self.hit(&invariant.kind, client, server, protocol, port)
        });
        let width = |permit| if let Permit::Rule(_, width) = permit { width } else { 65_536 };
        let allow = !matches!(e, Permit::None) && !matches!(i, Permit::None) && f.is_none();
        Said { e, i, f, allow, narrow: width(e).min(width(i)) <= 1024 }
    }

    fn declared_service(&self, protocol: u8, port: u16) -> Option<(u32, &str)> {
        let services = self.map.services.iter().enumerate();
        services
            .filter_map(|(index, service)| Some((self.service_width(index, protocol, port)?, service.name.as_str())))
            .min()
    }

    fn judge(&self, record: &FlowRecord<'_>) -> Value {
        let name = |zone: ZoneId| self.map.zone_name(zone);
        let early = |verdict: &str, reason: &str, severity: &str, zones: Option<(ZoneId, ZoneId)>| {
            json!({
                "client_zone": zones.map(|zones| name(zones.0)), "server_zone": zones.map(|zones| name(zones.1)),
                "orientation": null, "oriented_by": null, "confidence": null, "side": null, "verdict": verdict,
                "rule": null, "reason": reason, "severity": severity, "service": null, "client_is_source": null,
            })
        };
        // 2
        match record.status() {
            Some(LogStatus::NoData) => return early("nodata", "quiet", "info", None),
            Some(LogStatus::SkipData) => return early("gap", "skipped", "medium", None),
            _ => {}
        }
        // 3
        let (Some(srcaddr), Some(dstaddr), Some(protocol), Some(action)) =
            (record.address(Field::Srcaddr), record.address(Field::Dstaddr), record.protocol(), record.action())
        else {
            return early("unmapped", "fields-missing", "low", None);
        };
        let accept = action == Action::Accept;
        let src = record.address(Field::PktSrcaddr).unwrap_or(srcaddr);
        let dst = record.address(Field::PktDstaddr).unwrap_or(dstaddr);
        let srcport = record.srcport().unwrap_or(0);
        let dstport = record.dstport().unwrap_or(0);
        let vpc = match self.vpc(record, src, dst) {
            Ok(vpc) => vpc,
            Err(reason) => return early("unmapped", reason, "low", None),
        };
        let (source, destination) = (self.end(vpc, src), self.end(vpc, dst));
        if !source.local && !destination.local {
            return early("unmapped", "no-local-endpoint", "low", Some((source.primary, destination.primary)));
        }

        // 6
        let forward = self.policy(&source, &destination, protocol, dstport);
        let reversed = self.policy(&destination, &source, protocol, srcport);
        let flags = record.tcp_flags().map(|flags| flags.0);
        let (orientation, by, confidence) =
            self.orient(record, (&source, &destination), (&forward, &reversed), srcport, dstport);
        let use_reversed = match orientation {
            "reply" => true,
            "none" => !forward.allow && reversed.allow && (reversed.narrow || protocol == 1 || protocol == 58),
            "unknown" => srcport == dstport && !forward.allow && reversed.allow && reversed.narrow,
            _ => false,
        };
        let (client, server, policy, server_port) = if use_reversed {
            (&destination, &source, &reversed, srcport)
        } else {
            (&source, &destination, &forward, dstport)
        };

        let side = self.side(record, vpc, srcaddr, dstaddr);

        // 8
        let reply = orientation == "reply";
        let packets = record.number(Field::Packets).unwrap_or(0);
        let syn = flags.is_some_and(|flags| flags & 2 != 0);
        let late = packets <= 3
            && (protocol == 6 && flags.is_some() && !syn
                || protocol == 6 && flags.is_none() && reply
                || protocol == 17 && reply);
        let invariant = policy.f.map(|index| &self.map.invariants[index]);
        let missing = match (invariant, policy.e) {
            (Some(invariant), _) => invariant.id.clone(),
            (None, Permit::None) => format!("no-egress:{}", name(client.primary)),
            _ => format!("no-ingress:{}", name(server.primary)),
        };
        let unsolicited = orientation == "request"
            && self.role(Some(server.primary)) == Some(Role::Nat)
            && !client.local
            && !within_any(client.address, &PRIVATE);
        let (verdict, reason) = if unsolicited {
            (if accept { "attempt" } else { "blocked" }, "nat-unsolicited".to_owned())
        } else if policy.allow && accept {
            ("expected", "allowed".to_owned())
        } else if policy.allow {
            if late {
                ("stray", "late-packet".to_owned())
            } else if reply && server.primary == ZoneId::INTERNET {
                ("stray", "unsolicited-reply".to_owned())
            } else {
                let place = match (reply, side) {
                    (true, _) => "return-path",
                    (_, "source") => "rejected-at-source",
                    (_, "destination") => "rejected-at-destination",
                    _ => "rejected",
                };
                let denied = self.nacl_denies(vpc, srcaddr, dstaddr, protocol, dstport, side);
                ("outage", format!("{place}{}", if denied { "/nacl" } else { "" }))
            }
        } else if !accept {
            ("blocked", missing)
        } else if !reply
            && (side == "source" || side == "transit")
            && !matches!(policy.e, Permit::None)
            && matches!(policy.i, Permit::None)
        {
            ("attempt", missing)
        } else if reply {
            let refused = flags.is_some_and(|flags| flags & 4 != 0 && flags & 2 == 0);
            ("breach", missing + if refused { "/refused" } else { "/responded" })
        } else {
            ("breach", missing)
        };

        let ids: Vec<&str> = [policy.e, policy.i]
            .iter()
            .filter_map(|permit| if let Permit::Rule(rule, _) = permit { Some(rule.id.as_str()) } else { None })
            .collect();
        let rule = match (invariant, ids.as_slice()) {
            (Some(invariant), _) => Some(invariant.id.clone()),
            (None, _) if !policy.allow || unsolicited => None,
            (None, []) => None,
            (None, [one]) => Some((*one).to_owned()),
            (None, [first, second, ..]) if first == second => Some((*first).to_owned()),
            (None, all) => Some(all.join("+")),
        };
        let carried = [policy.e, policy.i]
            .iter()
            .filter_map(|permit| if let Permit::Rule(rule, _) = permit { rule.severity } else { None })
            .max();
        let mut severity = match verdict {
            "expected" | "stray" => Severity::Info,
            "blocked" if client.set.contains(&ZoneId::VPC) => Severity::Medium,
            "blocked" => Severity::Low,
            "attempt" => Severity::Medium,
            "breach" => invariant.and_then(|invariant| invariant.severity).unwrap_or(Severity::High),
            _ => carried.unwrap_or(Severity::High),
        };
        if confidence == "weak" && (verdict == "breach" || verdict == "outage") {
            let steps = [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
            severity = steps[steps.iter().position(|step| *step == severity).unwrap().saturating_sub(1)];
        }
        json!({
            "client_zone": name(client.primary), "server_zone": name(server.primary), "orientation": orientation,
            "oriented_by": by, "confidence": confidence, "side": side, "verdict": verdict, "rule": rule,
            "reason": reason, "severity": severity.as_str(),
            "service": self.declared_service(protocol, server_port).map(|(_, name)| name),
            "client_is_source": !use_reversed,
        })
    }

    fn orient(
        &self,
        record: &FlowRecord<'_>,
        (source, destination): (&End, &End),
        (forward, reversed): (&Said<'_>, &Said<'_>),
        srcport: u16,
        dstport: u16,
    ) -> (&'static str, &'static str, &'static str) {
        let protocol = record.protocol().unwrap();
        if protocol != 6 && protocol != 17 {
            return ("none", "proto", "weak");
        }
        if let (6, Some(flags)) = (protocol, record.tcp_flags())
            && flags.0 & 2 != 0
        {
            return (if flags.0 & 16 != 0 { "reply" } else { "request" }, "flags", "certain");
        }
        let which = |request: bool, reply: bool| {
            if request {
                "request"
            } else if reply {
                "reply"
            } else {
                ""
            }
        };
        let forward_counts = srcport >= 1024 && forward.allow && forward.narrow;
        let reversed_counts = dstport >= 1024 && reversed.allow && reversed.narrow;
        if forward_counts != reversed_counts {
            return (which(forward_counts, reversed_counts), "policy", "strong");
        }
        let known = |port| self.declared_service(protocol, port).is_some_and(|(width, _)| width <= 1024);
        let forward_counts = srcport >= 1024 && known(dstport);
        let reversed_counts = dstport >= 1024 && known(srcport);
        if forward_counts != reversed_counts {
            return (which(forward_counts, reversed_counts), "service", "strong");
        }
        let source_nat = self.role(Some(source.primary)) == Some(Role::Nat) && srcport >= 1024;
        let destination_nat = self.role(Some(destination.primary)) == Some(Role::Nat) && dstport >= 1024;
        if source_nat != destination_nat {
            return (which(source_nat, destination_nat), "nat", "strong");
        }
        if (srcport < 1024) != (dstport < 1024) {
            return (which(dstport < 1024, srcport < 1024), "well-known", "weak");
        }
        let rejected = record.action() == Some(Action::Reject);
        if (srcport >= 32_768) != (dstport >= 32_768) {
            return (which(rejected || srcport >= 32_768, true), "ephemeral", "weak");
        }
        if srcport >= 1024 && dstport >= 1024 && srcport != dstport {
            return (which(rejected || dstport < srcport, true), "lower-port", "weak");
        }
        ("unknown", "tie", "weak")
    }

    // 7
    fn side(&self, record: &FlowRecord<'_>, vpc: VpcId, srcaddr: IpAddr, dstaddr: IpAddr) -> &'static str {
        let eni = record.text(Field::InterfaceId).and_then(|eni| self.map.enis.iter().find(|known| known.id == eni));
        if matches!(self.role(eni.and_then(|eni| eni.zone)), Some(Role::Nat | Role::Tgw)) {
            return "transit";
        }
        match record.text(Field::FlowDirection) {
            Some("egress") => return "source",
            Some("ingress") => return "destination",
            _ => {}
        }
        if let Some(eni) = eni
            && !eni.addresses.is_empty()
        {
            return if eni.addresses.contains(&srcaddr) {
                "source"
            } else if eni.addresses.contains(&dstaddr) {
                "destination"
            } else {
                "transit"
            };
        }
        match (self.in_vpc(vpc, srcaddr), self.in_vpc(vpc, dstaddr)) {
            (true, false) => "source",
            (false, true) => "destination",
            _ => "unknown",
        }
    }

    // 9
    fn nacl_denies(
        &self,
        vpc: VpcId,
        srcaddr: IpAddr,
        dstaddr: IpAddr,
        protocol: u8,
        dstport: u16,
        side: &str,
    ) -> bool {
        let (local, remote) = match side {
            "source" => (srcaddr, dstaddr),
            "destination" => (dstaddr, srcaddr),
            _ => return false,
        };
        let set = self.end(vpc, local).set;
        let mut entries: Vec<_> = self.map.nacls.iter().filter(|entry| set.contains(&entry.zone)).collect();
        let zones = entries.iter().filter_map(|entry| Some(&self.map.zones[entry.zone.index()?]));
        if entries.is_empty()
            || zones
                .into_iter()
                .any(|zone| zone.cidrs.iter().any(|cidr| cidr.contains(&local) && cidr.contains(&remote)))
        {
            return false;
        }
        entries.sort_by_key(|entry| entry.number);
        for entry in entries {
            if entry.egress == (side == "source")
                && (entry.protocol.is_none() || entry.protocol == Some(protocol))
                && entry.cidr.contains(&remote)
                && entry.ports.lo <= dstport
                && dstport <= entry.ports.hi
            {
                return !entry.allow;
            }
        }
        true
    }
}
