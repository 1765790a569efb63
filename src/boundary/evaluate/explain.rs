//! A judgement with every step on the way, for people.

use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};

use super::flow::Flow;
use super::nacl::NaclAnswer;
use super::orientation::Oriented;
use super::policy::{Grant, Policy};
use super::ports::{NARROW, Protocol};
use super::side::{FoundBy, SideBy};
use super::verdict::{Weight, WeightBy};
use super::zones::{AddressClass, ClassId};
use super::{Boundary, Course, Evaluation, Located};
use crate::boundary::judgement::{Judgement, Reason};
use crate::boundary::model::VpcId;
use crate::boundary::values::{Answered, Orientation, OrientedBy, Side, Verdict, Word};
use crate::record::{Field, FlowRecord, LogStatus, TcpFlags};

/// How a judgement came about: the facts in the order in which they were found. Its text has one fact a line and
/// ends with the verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The judgement: the one that [`Boundary::judge`] gives.
    pub judgement: Judgement,
    /// What led to it.
    pub facts: Vec<Fact>,
    /// The judgement in one line, as `breach (critical): db-only-from-nodes`.
    pub outcome: String,
}

/// One fact of an explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is about, in a word.
    pub name: &'static str,
    /// The fact.
    pub text: String,
}

impl Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Fact { name, text } in &self.facts {
            writeln!(f, "{name:<12} {text}")?;
        }
        write!(f, "{:<12} {}", "verdict", self.outcome)
    }
}

impl Boundary {
    /// The judgement of one record with every step on the way.
    pub fn explain(&self, record: &FlowRecord<'_>) -> Explanation {
        let Evaluation { judgement, flow, located, course } = self.evaluate(record);
        let mut facts = Vec::new();
        let mut fact = |name, text| facts.push(Fact { name, text });
        let Some(flow) = flow else {
            let why = match record.status() {
                Some(status) if status != LogStatus::Ok => format!("log-status is {}", status.as_str()),
                _ => "lacks srcaddr, dstaddr, protocol or action, without which nothing can be said".to_owned(),
            };
            fact("record", why);
            return self.explanation(judgement, facts);
        };
        fact("record", describe(record, &flow));
        let Some((at, found_by)) = located else {
            let why = match record.text(Field::VpcId) {
                Some(id) => format!("vpc-id {id} is no VPC of the map"),
                None => "no vpc-id, no inventory for the interface, and no address that only one VPC has".to_owned(),
            };
            fact("vpc", why);
            return self.explanation(judgement, facts);
        };
        fact("vpc", self.vpc_fact(record, at.vpc, found_by));
        fact("source", self.address_fact(flow.src, record.source_field(), at.src));
        fact("destination", self.address_fact(flow.dst, record.destination_field(), at.dst));
        let Some(Course { oriented, side: (side, side_by), ruling }) = course else {
            fact("case", "neither address is in the CIDRs of the VPC or of its peers".to_owned());
            return self.explanation(judgement, facts);
        };
        fact("forward", self.policy_fact(&flow, at.src, at.dst, flow.dstport));
        fact("reversed", self.policy_fact(&flow, at.dst, at.src, flow.srcport));
        fact("orientation", self.orientation_fact(&flow, &at, &oriented));
        fact("path", self.path_fact(&flow, &oriented));
        fact("side", side_fact(record, side, side_by));
        if let Some(answer) = ruling.nacl {
            fact("nacl", self.nacl_fact(answer));
        }
        fact("case", case_fact(ruling.verdict, ruling.reason).to_owned());
        fact("severity", self.weight_fact(self.weigh(&oriented, ruling.verdict)));
        self.explanation(judgement, facts)
    }

    fn explanation(&self, judgement: Judgement, facts: Vec<Fact>) -> Explanation {
        let mut outcome = format!("{} ({}): {}", judgement.verdict, judgement.severity, self.reason(judgement.reason));
        if let Some(rule) = self.rule(judgement.credit).map(|rule| rule.to_string())
            && !outcome.ends_with(&rule)
        {
            outcome += &format!(", by {rule}");
        }
        Explanation { judgement, facts, outcome }
    }

    fn vpc_fact(&self, record: &FlowRecord<'_>, vpc: VpcId, found_by: FoundBy) -> String {
        let name = self.map.vpcs.get(usize::from(vpc.0)).map_or("", |vpc| &vpc.name);
        let how = match found_by {
            FoundBy::VpcId => "by vpc-id",
            FoundBy::OnlyVpc => "the only one of the map",
            FoundBy::Inventory => return format!("{name}, by the zone of {}", text(record, Field::InterfaceId)),
            FoundBy::Source => "the only one that has the source in its CIDRs",
            FoundBy::Destination => "the only one that has the destination in its CIDRs",
        };
        format!("{name}, {how}")
    }

    fn address_fact(&self, address: IpAddr, field: Field, class: ClassId) -> String {
        let AddressClass { primary, set, managed, local, .. } = self.zones.class(class);
        let set: Vec<&str> = set.iter().map(|zone| self.zone_name(*zone)).collect();
        let kind = match (local, managed) {
            (_, true) => "managed",
            (true, false) => "local, unmanaged",
            (false, false) => "not local, unmanaged",
        };
        format!("{address} ({}) in {}; zone set {}; {kind}", field.name(), self.zone_name(*primary), set.join(" "))
    }

    fn policy_fact(&self, flow: &Flow, client: ClassId, server: ClassId, port: u16) -> String {
        let policy = self.policies.of(client, server, self.ports.at(flow.kind(), port));
        let zone = |class| self.zone_name(self.zones.class(class).primary);
        let Policy { e, i, f, allow, narrow } = policy;
        let answer = match (allow, narrow) {
            (true, true) => "allowed, narrow",
            (true, false) => "allowed, wide",
            (false, _) => "not allowed",
        };
        let mut text = format!("{} -> {} {}: {answer}; ", zone(client), zone(server), service_port(flow, port));
        let grants = format!("egress {}, ingress {}", self.grant_text(e), self.grant_text(i));
        text += &grants;
        if let Some(invariant) = f {
            text += &format!("; forbidden by {}", self.invariant_id(invariant));
        }
        text
    }

    fn grant_text(&self, grant: Grant) -> String {
        match grant {
            Grant::Rule { rule, width: 1 } => format!("{} (1 port)", self.rule_id(rule)),
            Grant::Rule { rule, width } => format!("{} ({width} ports)", self.rule_id(rule)),
            Grant::Unmanaged => "unmanaged".to_owned(),
            Grant::None => "none".to_owned(),
        }
    }

    fn orientation_fact(&self, flow: &Flow, at: &Located, oriented: &Oriented) -> String {
        let Flow { srcport, dstport, .. } = *flow;
        let (client_port, server_port) =
            (if oriented.reversed { dstport } else { srcport }, oriented.server_port.number);
        let reading = if oriented.reversed { "reversed" } else { "forward" };
        let mut why = match oriented.by {
            OrientedBy::Proto => format!("protocol {} has neither requests nor replies", flow.protocol),
            OrientedBy::Flags => format!("tcp-flags say {}", flow.flags.map_or_else(String::new, flag_names)),
            OrientedBy::Policy => format!("only the {reading} reading is allowed by a grant of at most {NARROW} ports"),
            OrientedBy::Service => {
                let service = self.services.at(oriented.server_port);
                let name = service.map_or("", |service| self.service_name(service));
                format!("only port {server_port} is a declared service's ({name})")
            }
            OrientedBy::Nat => {
                let gateway = if oriented.reversed { at.dst } else { at.src };
                let zone = self.zone_name(self.zones.class(gateway).primary);
                format!("the NAT gateway {zone} has port {client_port}, so it is the client")
            }
            OrientedBy::WellKnown => format!("only port {server_port} is below 1024"),
            OrientedBy::Ephemeral => format!("only port {} is 32768 or above", srcport.max(dstport)),
            OrientedBy::LowerPort => format!("port {} is the lower one", srcport.min(dstport)),
            OrientedBy::Tie if srcport == dstport => "the ports are equal".to_owned(),
            OrientedBy::Tie => "both ports are below 1024".to_owned(),
        };
        if !flow.accepted() && matches!(oriented.by, OrientedBy::Ephemeral | OrientedBy::LowerPort) {
            why += "; what is rejected between two high ports is a request";
        }
        format!("{} by {} ({}): {why}", oriented.orientation, oriented.by, oriented.confidence)
    }

    fn path_fact(&self, flow: &Flow, oriented: &Oriented) -> String {
        let reading = match (oriented.reversed, oriented.orientation) {
            (false, _) => "the forward policy counts",
            (true, Orientation::Reply) => "the reversed policy counts",
            (true, _) => "the reversed policy counts, because it alone allows this",
        };
        let (client, server) = if oriented.reversed { (flow.dst, flow.src) } else { (flow.src, flow.dst) };
        let mut text = format!("client {client}, server {server} {}", service_port(flow, oriented.server_port.number));
        if let Some(service) = self.services.at(oriented.server_port) {
            text += &format!(" ({})", self.service_name(service));
        }
        text + "; " + reading
    }

    fn nacl_fact(&self, NaclAnswer { allow, entry }: NaclAnswer) -> String {
        let Some(entry) = entry.and_then(|index| self.map.nacls.get(index)) else {
            return "no entry matches, which denies".to_owned();
        };
        let answer = if allow { "allows" } else { "denies" };
        let name = entry.id.as_deref().map(|id| format!(" ({id})")).unwrap_or_default();
        format!("entry {} of {}{name} {answer} it", entry.number, self.zone_name(entry.zone))
    }

    fn weight_fact(&self, weight: Weight) -> String {
        let mut text = match weight.by {
            WeightBy::Verdict => format!("{} for this verdict", weight.base),
            WeightBy::ClientInVpc => format!("{}, because the client is in the VPC", weight.base),
            WeightBy::Invariant(invariant) => format!("{}, says {}", weight.base, self.invariant_id(invariant)),
            WeightBy::Rule(rule) => format!("{}, says {}", weight.base, self.rule_id(rule)),
        };
        if weight.lowered {
            text += &format!("; one step lower for a weak orientation: {}", weight.severity());
        }
        text
    }
}

fn text<'a>(record: &FlowRecord<'a>, field: Field) -> &'a str {
    record.text(field).unwrap_or("-")
}

fn describe(record: &FlowRecord<'_>, flow: &Flow) -> String {
    let end = |address, port| match flow.kind() {
        Protocol::Tcp | Protocol::Udp => SocketAddr::new(address, port).to_string(),
        Protocol::Icmp | Protocol::Other => address.to_string(),
    };
    let mut line = format!("{} -> {}", end(flow.srcaddr, flow.srcport), end(flow.dstaddr, flow.dstport));
    line += &match flow.kind() {
        Protocol::Tcp => " tcp".to_owned(),
        Protocol::Udp => " udp".to_owned(),
        Protocol::Icmp | Protocol::Other => format!(" protocol {}", flow.protocol),
    };
    if let Some(flags) = flow.flags {
        line += &format!(", tcp-flags {} ({})", flags.0, flag_names(flags));
    }
    let packets = if flow.packets == 1 { "packet" } else { "packets" };
    line += &format!(", {} {packets}, {}", flow.packets, flow.action.as_str());
    line + ", seen by " + text(record, Field::InterfaceId)
}

/// The names of the flags that AWS records.
fn flag_names(flags: TcpFlags) -> String {
    let names = [(flags.0 & 1 != 0, "FIN"), (flags.syn(), "SYN"), (flags.rst(), "RST"), (flags.ack(), "ACK")];
    let set: Vec<&str> = names.into_iter().filter_map(|(set, name)| set.then_some(name)).collect();
    if set.is_empty() { "none".to_owned() } else { set.join(" ") }
}

/// The server's port as people write it; protocols without ports have their number.
fn service_port(flow: &Flow, port: u16) -> String {
    match flow.kind() {
        Protocol::Tcp => format!("tcp {port}"),
        Protocol::Udp => format!("udp {port}"),
        Protocol::Icmp | Protocol::Other => format!("protocol {}", flow.protocol),
    }
}

fn side_fact(record: &FlowRecord<'_>, side: Side, by: SideBy) -> String {
    let interface = text(record, Field::InterfaceId);
    let why = match (by, side) {
        (SideBy::Gateway, _) => format!("{interface} is a gateway's"),
        (SideBy::Direction, _) => format!("flow-direction is {}", text(record, Field::FlowDirection)),
        (SideBy::Inventory, Side::Source) => format!("srcaddr is an address of {interface}"),
        (SideBy::Inventory, Side::Destination) => format!("dstaddr is an address of {interface}"),
        (SideBy::Inventory, _) => format!("neither address is one of {interface}"),
        (SideBy::Cidrs, Side::Source) => "only srcaddr is in the VPC".to_owned(),
        (SideBy::Cidrs, _) => "only dstaddr is in the VPC".to_owned(),
        (SideBy::Nothing, _) => "no flow-direction, no inventory, and not exactly one address in the VPC".to_owned(),
    };
    format!("{side}: {why}")
}

/// The case of the decision table, in words.
fn case_fact(verdict: Verdict, reason: Reason) -> &'static str {
    match (verdict, reason) {
        (_, Reason::Word(Word::NatUnsolicited)) => {
            "a request from outside to a NAT gateway, which drops what nobody asked for"
        }
        (Verdict::Stray, Reason::Word(Word::LatePacket)) => {
            "allowed and rejected, but these are the last packets of a connection"
        }
        (Verdict::Stray, _) => "allowed and rejected, but nobody asked the internet for this reply",
        (Verdict::Expected, _) => "allowed and accepted",
        (Verdict::Outage, _) => "allowed and rejected",
        (Verdict::Blocked, _) => "not allowed, and rejected",
        (Verdict::Attempt, _) => "not allowed; it left legally, and the server's group should refuse it",
        (Verdict::Breach, Reason::Missing { answered: Answered::Refused, .. }) => {
            "not allowed, and accepted; the server refused"
        }
        (Verdict::Breach, Reason::Missing { answered: Answered::Responded, .. }) => {
            "not allowed, and accepted; the server answers"
        }
        (Verdict::Breach, _) => "not allowed, and accepted",
        (Verdict::Unmapped | Verdict::NoData | Verdict::Gap, _) => "not judged",
    }
}
