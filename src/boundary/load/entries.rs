//! From the trees of a map's files to the model: one function for each table.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::super::model::{
    BoundaryMap, Eni, Exit, Expect, ExpectSubject, FlowLogSettings, Invariant, InvariantKind, Nacl, PortRange, Role,
    Rule, RuleSide, Selector, Service, Vpc, VpcId, Zone, ZoneId,
};
use super::super::values::Severity;
use super::gather::{Named, identity, many, named, once, open, unique};
use super::keys::{self, Case};
use super::names::{ANY_SERVICE, Names};
use super::node::Node;
use super::problem::Sink;
use super::scope::{Decoder, Scope};
use super::words;
use crate::record::Action;

/// Reads the files of a map, in their order. The result is a map only if `sink` stays empty.
pub(super) fn decode(roots: &[Node], sink: &mut Sink) -> BoundaryMap {
    let mut decoder = Decoder { sink, names: Names::default() };
    let mut files = Vec::with_capacity(roots.len());
    for root in roots {
        let file = decoder.open(root, &root.place, "the map".to_owned(), &keys::MAP, None);
        // The first file says which format it has; every other one may.
        if files.is_empty() || file.has("version") {
            decoder.number(&file, "version");
        }
        decoder.word(&file, "default");
        decoder.texts(&file, "include");
        files.push(file);
    }
    let name = once(&mut decoder, &files, "name", Decoder::name).unwrap_or_default().to_owned();
    let env = once(&mut decoder, &files, "env", Decoder::name).map(str::to_owned);
    let flow_log = once(&mut decoder, &files, "flow_log", flow_log);

    let (vpcs, index) = named(&mut decoder, &files, "vpc", &[]);
    decoder.names.vpcs = index;
    let (zones, index) = named(&mut decoder, &files, "zone", &ZoneId::BUILT_IN);
    decoder.names.zones = index;
    let (services, index) = named(&mut decoder, &files, "service", &[ANY_SERVICE]);
    decoder.names.services = index;
    let (enis, _) = named(&mut decoder, &files, "eni", &[]);

    let vpcs = vpcs.into_iter().map(|entry| vpc(&mut decoder, entry)).collect::<Vec<_>>();
    check_vpcs(&mut decoder, &vpcs);
    let zones = zones.into_iter().map(|entry| zone(&mut decoder, entry)).collect::<Vec<_>>();
    check_parents(&mut decoder, &zones);
    let services = services.into_iter().map(|entry| service(&mut decoder, entry)).collect();
    let enis = enis.into_iter().map(|entry| eni(&mut decoder, entry)).collect();

    // Rules and invariants share one namespace: the lake's column `rule` names either.
    let mut ids = HashMap::new();
    let mut rules = Vec::new();
    for node in many(&mut decoder, &files, "rule") {
        if let Some((id, place)) = identity(node, "id") {
            decoder.names.rules.declare(id, place).ok();
            unique(&mut decoder, &mut ids, id, place);
        }
        rules.push(rule(&mut decoder, node));
    }
    let mut invariants = Vec::new();
    for node in many(&mut decoder, &files, "invariant") {
        if let Some((id, place)) = identity(node, "id") {
            unique(&mut decoder, &mut ids, id, place);
        }
        invariants.push(invariant(&mut decoder, node));
    }
    let mut ids = HashMap::new();
    let mut expects = Vec::new();
    for node in many(&mut decoder, &files, "expect") {
        if let Some((id, place)) = identity(node, "id") {
            unique(&mut decoder, &mut ids, id, place);
        }
        expects.push(expect(&mut decoder, node));
    }
    let nacls = many(&mut decoder, &files, "nacl").into_iter().map(|node| nacl(&mut decoder, node)).collect();

    BoundaryMap {
        name,
        env,
        flow_log,
        vpcs,
        zones,
        services,
        rules,
        nacls,
        invariants,
        expects,
        enis,
        files: Vec::new(),
        sha256: String::new(),
    }
}

fn flow_log<'a>(decoder: &mut Decoder<'a>, file: &Scope<'a>, key: &str) -> Option<FlowLogSettings> {
    let node = decoder.value(file, key)?;
    let scope = decoder.open(node, &node.place, "`[flow_log]`".to_owned(), &keys::FLOW_LOG, None);
    let small = |count: Option<u64>| count.and_then(|count| u32::try_from(count).ok());
    Some(FlowLogSettings {
        traffic_type: decoder.word(&scope, "traffic_type").map(str::to_owned),
        max_aggregation_interval: small(decoder.count(&scope, "max_aggregation_interval")),
        retention_days: small(decoder.count(&scope, "retention_days")),
        destination: decoder.text(&scope, "destination"),
        fields: decoder.texts(&scope, "fields"),
        place: node.place.clone(),
    })
}

fn vpc<'a>(decoder: &mut Decoder<'a>, (name, place, node): Named<'a>) -> Vpc {
    let scope = decoder.open(node, place, format!("vpc `{name}`"), &keys::VPC, None);
    decoder.filled(&scope, "cidrs", "name its address ranges, like `10.0.0.0/16`");
    Vpc {
        name: name.to_owned(),
        id: decoder.name(&scope, "id").map(str::to_owned),
        cidrs: decoder.parsed_list(&scope, "cidrs", words::cidr).unwrap_or_default(),
        peers: decoder.vpcs(&scope, "peers"),
        accounts: decoder.texts(&scope, "accounts").unwrap_or_default(),
        owner: decoder.text(&scope, "owner"),
        description: decoder.text(&scope, "description"),
        place: place.clone(),
    }
}

/// Two VPCs with one id would make the VPC of a record a matter of chance.
fn check_vpcs(decoder: &mut Decoder<'_>, vpcs: &[Vpc]) {
    let mut ids: HashMap<&str, &Vpc> = HashMap::new();
    for (index, vpc) in vpcs.iter().enumerate() {
        if vpc.peers.iter().any(|&VpcId(peer)| usize::from(peer) == index) {
            let problem = decoder.sink.add(&vpc.place, format!("vpc `{}` is its own peer", vpc.name));
            problem.hint("its own addresses are local anyway: remove it from `peers`");
        }
        let Some(id) = &vpc.id else { continue };
        match ids.entry(id) {
            Entry::Vacant(slot) => {
                slot.insert(vpc);
            }
            Entry::Occupied(first) => {
                let message = format!("vpc `{}` and vpc `{}` have the same id `{id}`", first.get().name, vpc.name);
                let problem = decoder.sink.add(&vpc.place, message);
                problem.hint("describe each VPC once").related(&first.get().place, "first described here");
            }
        }
    }
}

fn zone<'a>(decoder: &mut Decoder<'a>, (name, place, node): Named<'a>) -> Zone {
    let scope = decoder.open(node, place, format!("zone `{name}`"), &keys::ZONE, None);
    Zone {
        name: name.to_owned(),
        vpc: decoder.vpc(&scope, "vpc"),
        cidrs: decoder.parsed_list(&scope, "cidrs", words::cidr).unwrap_or_default(),
        addresses: decoder.parsed_list(&scope, "addresses", words::address).unwrap_or_default(),
        subnets: decoder.texts(&scope, "subnets").unwrap_or_default(),
        security_groups: decoder.texts(&scope, "security_groups").unwrap_or_default(),
        enis: decoder.texts(&scope, "enis").unwrap_or_default(),
        prefix_lists: decoder.texts(&scope, "prefix_lists").unwrap_or_default(),
        parent: decoder.zone(&scope, "parent"),
        role: decoder.word(&scope, "role").and_then(Role::from_name),
        kind: decoder.word(&scope, "kind").map(str::to_owned),
        tags: decoder.texts(&scope, "tags").unwrap_or_default(),
        owner: decoder.text(&scope, "owner"),
        description: decoder.text(&scope, "description"),
        place: place.clone(),
    }
}

/// Reports every circle of parents once, at the zone of it that comes first.
fn check_parents(decoder: &mut Decoder<'_>, zones: &[Zone]) {
    let parent = |index: usize| zones.get(index).and_then(|zone| zone.parent).and_then(ZoneId::index);
    // The walk in which a zone was first seen: meeting one's own track again is a circle.
    let mut seen = vec![usize::MAX; zones.len()];
    for start in 0..zones.len() {
        let mut next = Some(start);
        while let Some(index) = next {
            match seen.get_mut(index) {
                Some(walk) if *walk == usize::MAX => *walk = start,
                Some(walk) if *walk == start => {
                    circle(decoder, zones, index, parent);
                    break;
                }
                _ => break,
            }
            next = parent(index);
        }
    }
}

fn circle(decoder: &mut Decoder<'_>, zones: &[Zone], start: usize, parent: impl Fn(usize) -> Option<usize>) {
    let rest = std::iter::successors(parent(start), |&index| parent(index)).take_while(|&index| index != start);
    let names: Vec<&str> = std::iter::once(start)
        .chain(rest)
        .chain([start])
        .filter_map(|i| zones.get(i))
        .map(|z| z.name.as_str())
        .collect();
    if let Some(zone) = zones.get(start) {
        let problem = decoder.sink.add(&zone.place, format!("zone `{}` lies inside itself", zone.name));
        problem.hint(format!("remove one `parent` of {}", names.join(" -> ")));
    }
}

fn service<'a>(decoder: &mut Decoder<'a>, (name, place, node): Named<'a>) -> Service {
    let scope = decoder.open(node, place, format!("service `{name}`"), &keys::SERVICES, None);
    let problems = decoder.sink.len();
    let service = Service {
        name: name.to_owned(),
        tcp: decoder.parsed_list(&scope, "tcp", words::ports).unwrap_or_default(),
        udp: decoder.parsed_list(&scope, "udp", words::ports).unwrap_or_default(),
        icmp: decoder.flag(&scope, "icmp").unwrap_or_default(),
        owner: decoder.text(&scope, "owner"),
        description: decoder.text(&scope, "description"),
        place: place.clone(),
    };
    if service.tcp.is_empty() && service.udp.is_empty() && !service.icmp && decoder.sink.len() == problems {
        let problem = decoder.sink.missing(place, format!("service `{name}` covers nothing"));
        problem.hint("give it ports in `tcp` or `udp`, or `icmp = true`");
    }
    service
}

fn eni<'a>(decoder: &mut Decoder<'a>, (name, place, node): Named<'a>) -> Eni {
    let scope = decoder.open(node, place, format!("eni `{name}`"), &keys::ENI, None);
    Eni {
        id: name.to_owned(),
        addresses: decoder.parsed_list(&scope, "addresses", words::address).unwrap_or_default(),
        zone: decoder.zone(&scope, "zone"),
        owner: decoder.text(&scope, "owner"),
        description: decoder.text(&scope, "description"),
        place: place.clone(),
    }
}

fn when<'a>(decoder: &mut Decoder<'a>, scope: &Scope<'a>) -> Selector {
    decoder.filled(scope, "env", "name an environment, or leave the key out for every one");
    Selector { env: decoder.texts(scope, "env"), mode: decoder.name(scope, "mode").map(str::to_owned) }
}

fn severity<'a>(decoder: &mut Decoder<'a>, scope: &Scope<'a>) -> Option<Severity> {
    decoder.word(scope, "severity").and_then(Severity::from_name)
}

fn rule<'a>(decoder: &mut Decoder<'a>, node: &'a Node) -> Rule {
    let scope = open(decoder, node, &keys::RULE, None);
    let id = decoder.name(&scope, "id").unwrap_or_default().to_owned();
    if id.contains('+') {
        let problem = decoder.sink.add(scope.place(), format!("the id of a rule cannot be `{id}`"));
        problem.hint("leave the `+` out: the column `rule` joins the rules of both ends by it");
    }
    Rule {
        id,
        side: decoder.word(&scope, "side").and_then(RuleSide::from_name).unwrap_or(RuleSide::Path),
        from: decoder.zones(&scope, "from"),
        to: decoder.zones(&scope, "to"),
        service: decoder.services(&scope, "service"),
        severity: severity(decoder, &scope),
        owner: decoder.text(&scope, "owner"),
        description: decoder.text(&scope, "description"),
        when: when(decoder, &scope),
        exposure_accepted: decoder.word(&scope, "exposure").is_some(),
        expires: decoder.parsed(&scope, "expires", words::day),
        optional: decoder.flag(&scope, "optional").unwrap_or_default(),
        place: scope.place().clone(),
    }
}

fn nacl<'a>(decoder: &mut Decoder<'a>, node: &'a Node) -> Nacl {
    let scope = open(decoder, node, &keys::NACL, None);
    Nacl {
        id: decoder.name(&scope, "id").map(str::to_owned),
        zone: decoder.zone(&scope, "zone").unwrap_or(ZoneId::ANY),
        number: decoder.count(&scope, "number").and_then(|number| u32::try_from(number).ok()).unwrap_or_default(),
        egress: decoder.flag(&scope, "egress").unwrap_or_default(),
        allow: decoder.word(&scope, "action") == Some("allow"),
        protocol: decoder.parsed(&scope, "protocol", words::protocol).flatten(),
        cidr: decoder.parsed(&scope, "cidr", words::cidr).unwrap_or_default(),
        ports: decoder.parsed(&scope, "ports", words::ports).unwrap_or(PortRange::ALL),
        owner: decoder.text(&scope, "owner"),
        description: decoder.text(&scope, "description"),
        place: scope.place().clone(),
    }
}

fn invariant<'a>(decoder: &mut Decoder<'a>, node: &'a Node) -> Invariant {
    let cases = keys::INVARIANT.cases;
    let named = identity(node, "kind").and_then(|(kind, _)| cases.iter().find(|case| case.name == kind));
    let scope = open(decoder, node, &keys::INVARIANT, named);
    let kind = match named {
        Some(case) => invariant_kind(decoder, &scope, case.name),
        None => {
            if let (Some(node), Some(kind)) = (scope.node("kind"), decoder.name(&scope, "kind")) {
                decoder.one_of(node, kind, &format!("`kind` of {}", scope.what()), cases.iter().map(|case| case.name));
            }
            InvariantKind::NoInbound { zone: Vec::new() }
        }
    };
    Invariant {
        id: decoder.name(&scope, "id").unwrap_or_default().to_owned(),
        kind,
        severity: severity(decoder, &scope),
        owner: decoder.text(&scope, "owner"),
        description: decoder.text(&scope, "description"),
        when: when(decoder, &scope),
        place: scope.place().clone(),
    }
}

fn invariant_kind<'a>(decoder: &mut Decoder<'a>, scope: &Scope<'a>, kind: &str) -> InvariantKind {
    match kind {
        "isolated" => InvariantKind::Isolated {
            zone: decoder.zones(scope, "zone"),
            peer: decoder.zones(scope, "peer"),
            inbound_only: decoder.word(scope, "direction") == Some("in"),
        },
        "only-from" => {
            InvariantKind::OnlyFrom { zone: decoder.zones(scope, "zone"), allow: decoder.zones(scope, "allow") }
        }
        "only-to" => InvariantKind::OnlyTo { zone: decoder.zones(scope, "zone"), allow: decoder.zones(scope, "allow") },
        "confined" => InvariantKind::Confined { zone: decoder.zones(scope, "zone"), exits: exits(decoder, scope) },
        "forbid" => InvariantKind::Forbid {
            from: decoder.zones(scope, "from"),
            to: decoder.zones(scope, "to"),
            service: decoder.services(scope, "service"),
        },
        "placement" => {
            InvariantKind::Placement { zone: decoder.zones(scope, "zone"), not_in: decoder.zones(scope, "not_in") }
        }
        _ => InvariantKind::NoInbound { zone: decoder.zones(scope, "zone") },
    }
}

fn exits<'a>(decoder: &mut Decoder<'a>, scope: &Scope<'a>) -> Vec<Exit> {
    let items = decoder.items(scope, "exits").unwrap_or_default();
    let exit = |node: &'a Node| {
        let what = format!("an exit of {}", scope.what());
        let exit = decoder.open(node, &node.place, what, &keys::EXIT, None);
        Exit {
            from: decoder.zones(&exit, "from"),
            to: decoder.zones(&exit, "to"),
            service: decoder.services(&exit, "service"),
            max_bytes_per_hour: decoder.count(&exit, "max_bytes_per_hour"),
        }
    };
    items.iter().map(exit).collect()
}

fn expect<'a>(decoder: &mut Decoder<'a>, node: &'a Node) -> Expect {
    let members = node.members().unwrap_or_default();
    let has = |key| members.iter().any(|member| member.key == key);
    let (by_rule, by_path) = (has("rule"), has("from") || has("to"));
    let case = match (by_rule, by_path) {
        (true, false) => Some("rule"),
        (false, true) => Some("path"),
        _ => None,
    };
    let case = keys::EXPECT.cases.iter().find(|known| Some(known.name) == case);
    let scope = open(decoder, node, &keys::EXPECT, case);
    let what = scope.what();
    if by_rule && by_path {
        let problem = decoder.sink.add(scope.place(), format!("{what} watches a rule and a path"));
        problem.hint("keep either `rule`, or `from` and `to`");
    } else if case.is_none() && scope.is_table() {
        let problem = decoder.sink.missing(scope.place(), format!("{what} watches nothing"));
        problem.hint("name a `rule`, or zones in `from` and `to`");
    }
    let subject = match case {
        Some(Case { name: "path", .. }) => ExpectSubject::Path {
            from: decoder.zones(&scope, "from"),
            to: decoder.zones(&scope, "to"),
            service: decoder.services(&scope, "service"),
            action: decoder.word(&scope, "action").and_then(Action::from_name),
        },
        Some(_) => ExpectSubject::Rule(decoder.rule(&scope, "rule").unwrap_or_default()),
        None => ExpectSubject::Rule(String::new()),
    };
    let (min_flows, max_flows) = (decoder.count(&scope, "min_flows"), decoder.count(&scope, "max_flows"));
    let max_bytes_per_hour = decoder.count(&scope, "max_bytes_per_hour");
    let (counts, weighs) = (scope.has("min_flows") || scope.has("max_flows"), scope.has("max_bytes_per_hour"));
    if !counts && !weighs && scope.is_table() {
        let problem = decoder.sink.missing(scope.place(), format!("{what} sets no limit"));
        problem.hint("give `min_flows`, `max_flows` or `max_bytes_per_hour`");
    }
    if counts && !scope.has("every") {
        let problem = decoder.sink.missing(scope.place(), format!("{what} lacks `every`"));
        problem.hint("add `every`: the period in which flows are counted, like `10m`");
    }
    if weighs && !counts && scope.has("every") {
        let problem = decoder.sink.add(scope.place(), format!("{what} has `every`, and counts no flows"));
        problem.hint("drop it, or give `min_flows` or `max_flows`: bytes are those of an hour");
    }
    if let (ExpectSubject::Path { action: Some(Action::Reject), .. }, true) = (&subject, weighs) {
        let problem = decoder.sink.add(scope.place(), format!("{what} limits the bytes of what is refused"));
        problem.hint("what is refused carries nothing: limit its number by `max_flows`");
    }
    if let (Some(min), Some(max)) = (min_flows, max_flows)
        && min > max
    {
        let problem =
            decoder.sink.add(scope.place(), format!("{what} can never hold: min_flows {min}, max_flows {max}"));
        problem.hint("`min_flows` must not be above `max_flows`");
    }
    let every = decoder.parsed(&scope, "every", words::duration);
    let length = every.unwrap_or_default();
    if length > Expect::LONGEST {
        let problem = decoder.sink.add(scope.place(), format!("{what} has a period of more than 7 days"));
        problem.hint("so much is known when a day is judged: `every` is `7d` at most");
    } else if length > Expect::DAY && !length.is_multiple_of(Expect::DAY) {
        let problem = decoder.sink.add(scope.place(), format!("{what} has a period of a day and a part of one"));
        problem.hint("above a day `every` is whole days, like `2d`: periods are judged day by day");
    }
    Expect {
        id: decoder.name(&scope, "id").unwrap_or_default().to_owned(),
        subject,
        min_flows,
        max_flows,
        every,
        max_bytes_per_hour,
        owner: decoder.text(&scope, "owner"),
        description: decoder.text(&scope, "description"),
        place: scope.place().clone(),
    }
}
