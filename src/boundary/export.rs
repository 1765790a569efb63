//! A map in its own JSON form: what a program reads, and what a generated map looks like.

use serde_json::{Map, Value, json};

use super::load::{duration_text, ports_text, protocol_text};
use super::model::{
    BoundaryMap, Exit, ExpectSubject, FlowLogSettings, InvariantKind, Nacl, PortRange, RuleSide, Selector, ServiceId,
    Services, VpcId, ZoneId,
};

/// The map as one JSON document of the same structure as its files, without what was left at its default.
///
/// Loading it gives the same map, but that JSON objects have no order: VPCs, zones, services and interfaces come back
/// sorted by name. Includes are merged.
pub fn to_json(map: &BoundaryMap) -> Value {
    let export = Export(map);
    let mut top = Object::default();
    top.put("version", 1);
    top.put("name", &*map.name);
    top.maybe("env", map.env.as_deref());
    top.maybe("flow_log", map.flow_log.as_ref().map(flow_log));
    let vpcs = map.vpcs.iter().map(|vpc| {
        let mut object = Object::default();
        object.maybe("id", vpc.id.as_deref());
        object.list("cidrs", vpc.cidrs.iter().map(ToString::to_string));
        object.list("peers", vpc.peers.iter().map(|&peer| export.vpc(peer)));
        object.list("accounts", vpc.accounts.clone());
        object.about(vpc.owner.as_deref(), vpc.description.as_deref());
        (vpc.name.clone(), object.into())
    });
    top.named("vpc", vpcs);
    let zones = map.zones.iter().map(|zone| {
        let mut object = Object::default();
        object.maybe("vpc", zone.vpc.map(|vpc| export.vpc(vpc)));
        object.list("cidrs", zone.cidrs.iter().map(ToString::to_string));
        object.list("addresses", zone.addresses.iter().map(ToString::to_string));
        object.list("subnets", zone.subnets.clone());
        object.list("security_groups", zone.security_groups.clone());
        object.list("enis", zone.enis.clone());
        object.list("prefix_lists", zone.prefix_lists.clone());
        object.maybe("parent", zone.parent.map(|parent| map.zone_name(parent)));
        object.maybe("role", zone.role.map(|role| role.as_str()));
        object.maybe("kind", zone.kind.as_deref());
        object.list("tags", zone.tags.clone());
        object.about(zone.owner.as_deref(), zone.description.as_deref());
        (zone.name.clone(), object.into())
    });
    top.named("zone", zones);
    let services = map.services.iter().map(|service| {
        let mut object = Object::default();
        object.list("tcp", service.tcp.iter().map(|&range| ports_text(range)));
        object.list("udp", service.udp.iter().map(|&range| ports_text(range)));
        object.flag("icmp", service.icmp);
        object.about(service.owner.as_deref(), service.description.as_deref());
        (service.name.clone(), object.into())
    });
    top.named("service", services);
    top.list(
        "rule",
        map.rules.iter().map(|rule| {
            let mut object = Object::default();
            object.put("id", &*rule.id);
            object.maybe("side", (rule.side != RuleSide::Path).then(|| rule.side.as_str()));
            object.put("from", export.zones(&rule.from));
            object.put("to", export.zones(&rule.to));
            object.maybe("service", export.services(&rule.service));
            object.maybe("severity", rule.severity.map(|severity| severity.as_str()));
            object.about(rule.owner.as_deref(), rule.description.as_deref());
            object.when(&rule.when);
            object.maybe("exposure", rule.exposure_accepted.then_some("accepted"));
            object.maybe("expires", rule.expires.as_deref());
            object.flag("optional", rule.optional);
            Value::from(object)
        }),
    );
    top.list("nacl", map.nacls.iter().map(|nacl| export.nacl(nacl)));
    top.list(
        "invariant",
        map.invariants.iter().map(|invariant| {
            let mut object = export.invariant(&invariant.kind);
            object.put("id", &*invariant.id);
            object.maybe("severity", invariant.severity.map(|severity| severity.as_str()));
            object.about(invariant.owner.as_deref(), invariant.description.as_deref());
            object.when(&invariant.when);
            Value::from(object)
        }),
    );
    top.list(
        "expect",
        map.expects.iter().map(|expect| {
            let mut object = Object::default();
            object.put("id", &*expect.id);
            match &expect.subject {
                ExpectSubject::Rule(rule) => object.put("rule", &**rule),
                ExpectSubject::Path { from, to, service, action } => {
                    object.put("from", export.zones(from));
                    object.put("to", export.zones(to));
                    object.maybe("service", export.services(service));
                    object.maybe("action", action.map(|action| action.as_str()));
                }
            }
            object.maybe("min_flows", expect.min_flows);
            object.maybe("max_flows", expect.max_flows);
            object.maybe("every", expect.every.map(duration_text));
            object.maybe("max_bytes_per_hour", expect.max_bytes_per_hour);
            object.about(expect.owner.as_deref(), expect.description.as_deref());
            Value::from(object)
        }),
    );
    let enis = map.enis.iter().map(|eni| {
        let mut object = Object::default();
        object.list("addresses", eni.addresses.iter().map(ToString::to_string));
        object.maybe("zone", eni.zone.map(|zone| map.zone_name(zone)));
        object.about(eni.owner.as_deref(), eni.description.as_deref());
        (eni.id.clone(), object.into())
    });
    top.named("eni", enis);
    top.into()
}

fn flow_log(settings: &FlowLogSettings) -> Value {
    let mut object = Object::default();
    object.maybe("traffic_type", settings.traffic_type.as_deref());
    object.maybe("max_aggregation_interval", settings.max_aggregation_interval);
    object.maybe("retention_days", settings.retention_days);
    object.maybe("destination", settings.destination.as_deref());
    object.maybe("fields", settings.fields.as_ref().map(|fields| json!(fields)));
    object.into()
}

/// Ids to names.
struct Export<'a>(&'a BoundaryMap);

impl Export<'_> {
    fn vpc(&self, vpc: VpcId) -> &str {
        self.0.vpcs.get(usize::from(vpc.0)).map_or("", |vpc| &vpc.name)
    }

    fn service(&self, service: ServiceId) -> &str {
        self.0.services.get(usize::from(service.0)).map_or("", |service| &service.name)
    }

    fn zones(&self, zones: &[ZoneId]) -> Value {
        zones.iter().map(|&zone| self.0.zone_name(zone)).collect()
    }

    /// Nothing for every service, which is the default.
    fn services(&self, services: &Services) -> Option<Value> {
        match services {
            Services::Any => None,
            Services::These(these) => Some(these.iter().map(|&service| self.service(service)).collect()),
        }
    }

    fn nacl(&self, nacl: &Nacl) -> Value {
        let mut object = Object::default();
        object.maybe("id", nacl.id.as_deref());
        object.put("zone", self.0.zone_name(nacl.zone));
        object.put("number", nacl.number);
        object.put("egress", nacl.egress);
        object.put("action", if nacl.allow { "allow" } else { "deny" });
        object.put("protocol", nacl.protocol.map_or_else(|| "-1".to_owned(), protocol_text));
        object.put("cidr", nacl.cidr.to_string());
        object.maybe("ports", (nacl.ports != PortRange::ALL).then(|| ports_text(nacl.ports)));
        object.about(nacl.owner.as_deref(), nacl.description.as_deref());
        object.into()
    }

    fn invariant(&self, kind: &InvariantKind) -> Object {
        let mut object = Object::default();
        object.put("kind", kind.as_str());
        match kind {
            InvariantKind::NoInbound { zone } => object.put("zone", self.zones(zone)),
            InvariantKind::Isolated { zone, peer, inbound_only } => {
                object.put("zone", self.zones(zone));
                object.put("peer", self.zones(peer));
                object.maybe("direction", inbound_only.then_some("in"));
            }
            InvariantKind::OnlyFrom { zone, allow } | InvariantKind::OnlyTo { zone, allow } => {
                object.put("zone", self.zones(zone));
                object.put("allow", self.zones(allow));
            }
            InvariantKind::Confined { zone, exits } => {
                object.put("zone", self.zones(zone));
                object.list("exits", exits.iter().map(|exit| self.exit(exit)));
            }
            InvariantKind::Forbid { from, to, service } => {
                object.put("from", self.zones(from));
                object.put("to", self.zones(to));
                object.maybe("service", self.services(service));
            }
            InvariantKind::Placement { zone, not_in } => {
                object.put("zone", self.zones(zone));
                object.put("not_in", self.zones(not_in));
            }
        }
        object
    }

    fn exit(&self, exit: &Exit) -> Value {
        let mut object = Object::default();
        object.maybe("from", (!exit.from.is_empty()).then(|| self.zones(&exit.from)));
        object.put("to", self.zones(&exit.to));
        object.maybe("service", self.services(&exit.service));
        object.maybe("max_bytes_per_hour", exit.max_bytes_per_hour);
        object.into()
    }
}

/// A JSON object that leaves out what is not there.
#[derive(Default)]
struct Object(Map<String, Value>);

impl Object {
    fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    fn maybe(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    fn flag(&mut self, key: &str, flag: bool) {
        self.maybe(key, flag.then_some(true));
    }

    fn list(&mut self, key: &str, items: impl IntoIterator<Item = impl Into<Value>>) {
        let items: Vec<Value> = items.into_iter().map(Into::into).collect();
        self.maybe(key, (!items.is_empty()).then_some(items));
    }

    fn named(&mut self, key: &str, entries: impl Iterator<Item = (String, Value)>) {
        let entries: Map<_, _> = entries.collect();
        self.maybe(key, (!entries.is_empty()).then_some(entries));
    }

    fn about(&mut self, owner: Option<&str>, description: Option<&str>) {
        self.maybe("owner", owner);
        self.maybe("description", description);
    }

    fn when(&mut self, when: &Selector) {
        self.maybe("env", when.env.as_ref().map(|env| json!(env)));
        self.maybe("mode", when.mode.as_deref());
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object.0)
    }
}
