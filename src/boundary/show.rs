//! A map as a person reads it on a terminal.

use super::load::{duration_text, ports_text, protocol_text};
use super::model::{
    BoundaryMap, Exit, Expect, ExpectSubject, InvariantKind, PortRange, Rule, RuleSide, Selector, Service, ServiceId,
    Services, VpcId, Zone, ZoneId,
};

/// Addresses and groups of a zone that are shown; a prefix list may have hundreds.
const MEMBERS: usize = 6;

/// An overview of a map: VPCs, zones as a tree, services, grants by side, invariants and expectations in words,
/// network ACLs, and the size of the inventory.
pub fn show(map: &BoundaryMap) -> String {
    let page = Page(map);
    let sections = [
        page.head(),
        section("VPCs", &page.vpcs()),
        section("Zones", &page.zones()),
        section("Services", &page.services()),
        section("Grants at both ends", &page.grants(RuleSide::Path)),
        section("Grants at the client's end (egress)", &page.grants(RuleSide::Egress)),
        section("Grants at the server's end (ingress)", &page.grants(RuleSide::Ingress)),
        section("Invariants", &page.invariants()),
        section("Expectations", &page.expects()),
        section("Network ACLs", &page.nacls()),
        section("Inventory", &page.inventory()),
    ];
    let text = sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n");
    // Free text of the map may hold anything; a terminal must not obey it.
    text.replace(|c: char| c.is_control() && c != '\n', "\u{fffd}")
}

/// A heading, and rows in columns; nothing where there are no rows.
fn section(heading: &str, rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let cell = |row: &[String], column: usize| row.get(column).map_or(0, |cell| cell.chars().count());
    // One long cell must not push the rest of every row off the screen.
    let width = |column| rows.iter().map(|row| cell(row, column)).max().unwrap_or_default().min(44);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = format!("{heading}\n");
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

struct Page<'a>(&'a BoundaryMap);

impl Page<'_> {
    fn head(&self) -> String {
        let map = self.0;
        let mut text = format!("{}: what no grant permits is denied\n", map.name);
        if let Some(env) = &map.env {
            text.push_str(&format!("  environment: {env}\n"));
        }
        if let Some(log) = &map.flow_log {
            let mut parts = Vec::new();
            parts.extend(log.traffic_type.clone());
            parts.extend(log.max_aggregation_interval.map(|seconds| format!("records of at most {seconds} s")));
            parts.extend(log.retention_days.map(|days| format!("kept {days} days")));
            parts.extend(log.destination.as_ref().map(|to| format!("to {to}")));
            parts.extend(log.fields.as_ref().map(|fields| format!("{} fields", fields.len())));
            text.push_str(&format!("  flow log: {}\n", parts.join(", ")));
        }
        let files: Vec<&str> = map.files.iter().map(|file| file.name.as_str()).collect();
        text.push_str(&format!("  read from: {}\n  sha256: {}\n", files.join(", "), map.sha256));
        text
    }

    fn vpcs(&self) -> Vec<Vec<String>> {
        let row = |vpc: &super::model::Vpc| {
            let peers = names(vpc.peers.iter().map(|&peer| self.vpc(peer)));
            let peers = if peers.is_empty() { peers } else { format!("peers {peers}") };
            vec![vpc.name.clone(), vpc.id.clone().unwrap_or_default(), names(&vpc.cidrs), peers]
        };
        self.0.vpcs.iter().map(row).collect()
    }

    fn zones(&self) -> Vec<Vec<String>> {
        let map = self.0;
        let mut children = vec![Vec::new(); map.zones.len()];
        let mut stack = Vec::new();
        for (index, zone) in map.zones.iter().enumerate().rev() {
            match zone.parent.and_then(ZoneId::index).and_then(|parent| children.get_mut(parent)) {
                Some(siblings) => siblings.push(index),
                None => stack.push((index, 0)),
            }
        }
        let mut rows = Vec::new();
        while let Some((index, depth)) = stack.pop() {
            rows.extend(map.zones.get(index).map(|zone| self.zone(zone, depth)));
            stack.extend(children.get(index).into_iter().flatten().map(|&child| (child, depth + 1)));
        }
        rows
    }

    fn zone(&self, zone: &Zone, depth: usize) -> Vec<String> {
        // A circle is no map, but a chain may be long.
        let name = format!("{:indent$}{}", "", zone.name, indent = 2 * depth.min(12));
        let cidrs = zone.cidrs.iter().map(ToString::to_string);
        let mut members: Vec<String> = cidrs.chain(zone.addresses.iter().map(ToString::to_string)).collect();
        let groups = [&zone.security_groups, &zone.prefix_lists, &zone.subnets, &zone.enis];
        members.extend(groups.into_iter().flatten().cloned());
        let more = members.len().saturating_sub(MEMBERS);
        members.truncate(MEMBERS);
        members.extend((more > 0).then(|| format!("and {more} more")));
        let mut marks = Vec::new();
        marks.extend(zone.role.map(|role| format!("role {}", role.as_str())));
        marks.extend(zone.kind.clone());
        marks.extend(zone.vpc.filter(|_| self.0.vpcs.len() > 1).map(|vpc| format!("vpc {}", self.vpc(vpc))));
        marks.extend(zone.tags.iter().map(|tag| format!("#{tag}")));
        vec![name, marks.join(" "), names(members)]
    }

    fn services(&self) -> Vec<Vec<String>> {
        self.0.services.iter().map(|service| vec![service.name.clone(), ports(service)]).collect()
    }

    fn grants(&self, side: RuleSide) -> Vec<Vec<String>> {
        let grant = |rule: &Rule| {
            let mut marks = when(&rule.when);
            marks.extend(rule.severity.map(|severity| format!("severity {severity}")));
            marks.extend(rule.expires.as_ref().map(|day| format!("until {day}")));
            marks.extend(rule.exposure_accepted.then(|| "exposure accepted".to_owned()));
            marks.extend(rule.optional.then(|| "optional".to_owned()));
            let path = format!("{} -> {}", self.names(&rule.from), self.names(&rule.to));
            vec![path, format!(": {}", self.served(&rule.service)), rule.id.clone(), marks.join(", ")]
        };
        self.0.rules.iter().filter(|rule| rule.side == side).map(grant).collect()
    }

    fn invariants(&self) -> Vec<Vec<String>> {
        let row = |invariant: &super::model::Invariant| {
            let mut marks: Vec<String> = invariant.severity.iter().map(ToString::to_string).collect();
            marks.extend(when(&invariant.when));
            vec![invariant.id.clone(), marks.join(", "), self.invariant(&invariant.kind)]
        };
        self.0.invariants.iter().map(row).collect()
    }

    fn invariant(&self, kind: &InvariantKind) -> String {
        match kind {
            InvariantKind::NoInbound { zone } => format!("no connections to {}", self.names(zone)),
            InvariantKind::Isolated { zone, peer, inbound_only } => {
                let (zone, peer) = (self.names(zone), self.names(peer));
                if *inbound_only {
                    format!("no connections from {peer} to {zone}")
                } else {
                    format!("no connections between {zone} and {peer}")
                }
            }
            InvariantKind::OnlyFrom { zone, allow } if allow.is_empty() => {
                format!("no connections to {}", self.names(zone))
            }
            InvariantKind::OnlyFrom { zone, allow } => {
                format!("connections to {} only from {}", self.names(zone), self.names(allow))
            }
            InvariantKind::OnlyTo { zone, allow } if allow.is_empty() => {
                format!("no connections from {}", self.names(zone))
            }
            InvariantKind::OnlyTo { zone, allow } => {
                format!("connections from {} only to {}", self.names(zone), self.names(allow))
            }
            InvariantKind::Confined { zone, exits } => {
                let zone = self.names(zone);
                let exits: Vec<String> = exits.iter().map(|exit| self.exit(exit)).collect();
                let exits = if exits.is_empty() { String::new() } else { format!(", except {}", exits.join("; ")) };
                format!("no connections from {zone} out of the VPC and its peers{exits}")
            }
            InvariantKind::Forbid { from, to, service } => {
                format!("no connections from {} to {} : {}", self.names(from), self.names(to), self.served(service))
            }
            InvariantKind::Placement { zone, not_in } => {
                format!("no address of {} in {}", self.names(zone), self.names(not_in))
            }
        }
    }

    fn exit(&self, exit: &Exit) -> String {
        let from = if exit.from.is_empty() { String::new() } else { format!("{} -> ", self.names(&exit.from)) };
        let budget = exit.max_bytes_per_hour.map(|bytes| format!(", {bytes} bytes an hour")).unwrap_or_default();
        format!("{from}{} : {}{budget}", self.names(&exit.to), self.served(&exit.service))
    }

    fn expects(&self) -> Vec<Vec<String>> {
        let row = |expect: &Expect| {
            let count = match (expect.min_flows, expect.max_flows) {
                (Some(min), Some(max)) => Some(format!("{min} to {max} flows")),
                (Some(min), None) => Some(format!("at least {min} flows")),
                (None, Some(max)) => Some(format!("at most {max} flows")),
                (None, None) => None,
            };
            let every = expect.every.map(duration_text).unwrap_or_default();
            let count = count.map(|count| format!("{count} every {every}"));
            let weight = expect.max_bytes_per_hour.map(|bytes| format!("at most {bytes} bytes an hour"));
            let limits: Vec<String> = count.into_iter().chain(weight).collect();
            let subject = match &expect.subject {
                ExpectSubject::Rule(rule) => format!("by {rule}"),
                ExpectSubject::Path { from, to, service, action } => {
                    let action = action.map(|action| format!(", {}", action.as_str())).unwrap_or_default();
                    format!("{} -> {} : {}{action}", self.names(from), self.names(to), self.served(service))
                }
            };
            vec![expect.id.clone(), limits.join(", "), subject]
        };
        self.0.expects.iter().map(row).collect()
    }

    fn nacls(&self) -> Vec<Vec<String>> {
        let row = |nacl: &super::model::Nacl| {
            let zone = self.0.zone_name(nacl.zone).to_owned();
            let way = if nacl.egress { "out to" } else { "in from" };
            let verb = if nacl.allow { "allow" } else { "deny" };
            let protocol = nacl.protocol.map_or_else(|| "any".to_owned(), protocol_text);
            let ports = if nacl.ports == PortRange::ALL { String::new() } else { ports_text(nacl.ports) };
            let what = [protocol, ports].join(" ");
            let remote = format!("{way} {}", nacl.cidr);
            vec![zone, nacl.number.to_string(), verb.to_owned(), remote, what, nacl.id.clone().unwrap_or_default()]
        };
        self.0.nacls.iter().map(row).collect()
    }

    /// How many interfaces and addresses each zone has.
    fn inventory(&self) -> Vec<Vec<String>> {
        let mut zones = std::collections::BTreeMap::new();
        for eni in &self.0.enis {
            let (interfaces, addresses) = zones.entry(eni.zone).or_insert((0, 0));
            *interfaces += 1;
            *addresses += eni.addresses.len();
        }
        let row = |(zone, (interfaces, addresses)): (Option<ZoneId>, (usize, usize))| {
            let zone = zone.map_or("no zone", |zone| self.0.zone_name(zone)).to_owned();
            vec![zone, format!("interfaces {interfaces}"), format!("addresses {addresses}")]
        };
        zones.into_iter().map(row).collect()
    }

    fn vpc(&self, vpc: VpcId) -> &str {
        self.0.vpcs.get(usize::from(vpc.0)).map_or("", |vpc| &vpc.name)
    }

    fn names(&self, zones: &[ZoneId]) -> String {
        names(zones.iter().map(|&zone| self.0.zone_name(zone)))
    }

    /// Services with their ports.
    fn served(&self, services: &Services) -> String {
        let name = |&service: &ServiceId| {
            let service = self.0.services.get(usize::from(service.0))?;
            Some(format!("{} ({})", service.name, ports(service)))
        };
        match services {
            Services::Any => "any".to_owned(),
            Services::These(these) => names(these.iter().filter_map(name)),
        }
    }
}

fn names(all: impl IntoIterator<Item = impl ToString>) -> String {
    all.into_iter().map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}

fn ports(service: &Service) -> String {
    let ports = |protocol: &str, ranges: &[PortRange]| {
        let ranges: Vec<String> = ranges.iter().map(|&range| ports_text(range)).collect();
        (!ranges.is_empty()).then(|| format!("{protocol} {}", ranges.join(",")))
    };
    let icmp = service.icmp.then(|| "icmp".to_owned());
    let parts = [ports("tcp", &service.tcp), ports("udp", &service.udp), icmp];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn when(when: &Selector) -> Vec<String> {
    let env = when.env.as_ref().map(|env| format!("env {}", names(env)));
    let mode = when.mode.as_ref().map(|mode| format!("mode {mode}"));
    env.into_iter().chain(mode).collect()
}
