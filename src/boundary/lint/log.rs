//! L17, L18, L21: what is logged, and what the logs say back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::addresses::is_v6;
use super::view::View;
use super::{Lint, list};
use crate::boundary::model::{Place, ZoneId};
use crate::boundary::report::Level;
use crate::record::{Field, LogFormat};

/// What a lake says of the traffic, as far as lints need it. The caller fills it by a query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// An IPv6 address among the ends of the records, if there is one.
    pub ipv6: Option<IpAddr>,
    /// Interfaces (`interface_id`) that recorded anything, NODATA included.
    pub interfaces: BTreeSet<String>,
    /// Per zone name (the primary zones in `client_zone` and `server_zone`): records.
    pub zones: BTreeMap<String, ZoneTraffic>,
}

/// Records of one zone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ZoneTraffic {
    /// Recorded by an interface of the zone: `side` is `source` and the sender is in it, or `destination` and the receiver
    /// is. The sender is the client of a request and the server of a reply.
    pub logged: u64,
    /// With either end in the zone, whoever recorded them.
    pub seen: u64,
}

pub(super) fn check(view: &View<'_>, traffic: Option<&Traffic>, found: &mut Vec<Lint>) {
    fields(view, found);
    one_action(view, found);
    if let Some(traffic) = traffic {
        ipv6(view, traffic, found);
        unlogged(view, traffic, found);
    }
}

/// What it costs to do without a field.
struct Cost {
    level: Level,
    fields: &'static [Field],
    cost: &'static str,
}

/// In the order of the harm; `vpc-id` counts in a map with several VPCs only.
const COSTS: &[Cost] = &[
    Cost {
        level: Level::Error,
        fields: &[Field::Srcaddr, Field::Dstaddr, Field::Protocol, Field::Action],
        cost: "every record is unmapped",
    },
    Cost { level: Level::Warning, fields: &[Field::Srcport, Field::Dstport], cost: "ports count as 0" },
    Cost {
        level: Level::Warning,
        fields: &[Field::TcpFlags],
        cost: "who connected is a guess from policy and ports: a probe sent from a service's port looks like a reply",
    },
    Cost {
        level: Level::Warning,
        fields: &[Field::FlowDirection],
        cost: "which end recorded a flow inside the VPC is known from the inventory alone, and where that is silent an attempt seen at its source is judged a breach",
    },
    Cost {
        level: Level::Warning,
        fields: &[Field::VpcId],
        cost: "records are assigned to one of the VPCs by inventory or address, and those that fit two stay unmapped",
    },
    Cost {
        level: Level::Note,
        fields: &[Field::PktSrcaddr, Field::PktDstaddr],
        cost: "secondary addresses (pods) and what lies behind NAT show as the interface's primary address, in the wrong zone",
    },
    Cost { level: Level::Note, fields: &[Field::InterfaceId], cost: "silent interfaces go unnoticed" },
    Cost { level: Level::Note, fields: &[Field::LogStatus], cost: "gaps in the log go unnoticed" },
];

/// L17.
fn fields(view: &View<'_>, found: &mut Vec<Lint>) {
    let settings = view.map.flow_log.as_ref();
    let named = settings.and_then(|settings| settings.fields.as_ref());
    let bare = |name: &String| name.trim_start_matches("${").trim_end_matches('}').replace('_', "-");
    let format = match named {
        Some(names) => {
            let names: Vec<String> = names.iter().map(bare).collect();
            LogFormat::from_names(names.iter().map(String::as_str))
        }
        None => LogFormat::default(),
    };
    let several_vpcs = view.map.vpcs.len() > 1;
    let mut level = Level::Note;
    let mut costs = Vec::new();
    let mut missing = Vec::new();
    for cost in COSTS {
        let lacking =
            cost.fields.iter().filter(|field| !format.has(**field) && (**field != Field::VpcId || several_vpcs));
        let names: Vec<_> = lacking.map(|field| field.name()).collect();
        if !names.is_empty() {
            level = level.max(cost.level);
            costs.push(format!("without {}, {}", list(&names), cost.cost));
            missing.extend(names);
        }
    }
    if missing.is_empty() {
        return;
    }
    let subject = match (named, settings) {
        (Some(_), _) => "the log format lacks",
        (None, Some(_)) => "no fields are given, and AWS's default format lacks",
        (None, None) => "the map does not describe the flow log, and AWS's default format lacks",
    };
    let start = Place::default();
    let place = settings.map_or(&start, |settings| &settings.place);
    let message = format!("{subject} {}: {}", missing.join(", "), costs.join("; "));
    found.push(
        Lint::new("L17", level, place, message)
            .hint("add the fields to the flow log and to `fields` in [flow_log]; a format never changes, so it takes a new flow log"),
    );
}

/// L17, for a log that records one action only.
fn one_action(view: &View<'_>, found: &mut Vec<Lint>) {
    let Some(settings) = &view.map.flow_log else { return };
    let cost = match settings.traffic_type.as_deref() {
        Some("ACCEPT") => "no outage and no blocked traffic can be seen",
        Some("REJECT") => "no breach and no expected traffic can be seen",
        _ => return,
    };
    let only = settings.traffic_type.as_deref().unwrap_or_default();
    found.push(
        Lint::new("L17", Level::Warning, &settings.place, format!("the flow log records {only} only: {cost}"))
            .hint("log ALL traffic"),
    );
}

/// L18.
fn ipv6(view: &View<'_>, traffic: &Traffic, found: &mut Vec<Lint>) {
    let Some(address) = traffic.ipv6 else { return };
    let in_map = view.map.vpcs.iter().flat_map(|vpc| &vpc.cidrs).any(is_v6)
        || view.prefixes.iter().flatten().any(|(prefix, _)| is_v6(prefix));
    if !in_map {
        let start = Place::default();
        let place = view.map.vpcs.first().map_or(&start, |vpc| &vpc.place);
        found.push(
            Lint::new(
                "L18",
                Level::Warning,
                place,
                format!("the logs hold IPv6 traffic ({address}), and the map has IPv4 only"),
            )
            .hint("add the VPC's IPv6 cidr and those of its zones: until then this traffic is unmapped"),
        );
    }
}

/// L21. Of zones inside each other that are all silent, the outermost is named.
fn unlogged(view: &View<'_>, traffic: &Traffic, found: &mut Vec<Lint>) {
    let count = |zone: ZoneId| traffic.zones.get(view.map.zone_name(zone)).copied().unwrap_or_default();
    // A log from which the recording end cannot be told says nothing about who records.
    let ends_known = traffic.zones.values().any(|zone| zone.logged > 0);
    let state = |outer: ZoneId| {
        let mut total = ZoneTraffic::default();
        let mut alive = false;
        for (zone, _) in view.zones().filter(|(zone, _)| view.lineage(*zone).any(|around| around == outer)) {
            total.logged += count(zone).logged;
            total.seen += count(zone).seen;
            let mut enis = view.map.enis.iter().filter(|eni| eni.zone == Some(zone));
            alive |= enis.any(|eni| traffic.interfaces.contains(&eni.id));
        }
        (alive || total.logged > 0 || !ends_known && total.seen > 0, total)
    };
    for ((id, zone), home) in view.zones().zip(&view.homes) {
        let (logged, total) = state(id);
        let outer_is_silent = zone.parent.is_some_and(|parent| view.in_a_vpc(parent) && !state(parent).0);
        if home.is_none() || logged || outer_is_silent {
            continue;
        }
        let (level, message, hint) = if total.seen > 0 {
            let message = format!(
                "zone `{}` is not logged: {} records of its peers name it, and none is its own",
                zone.name, total.seen
            );
            (Level::Warning, message, "enable flow logs on its subnets: half of every conversation is missing")
        } else {
            let message = format!("zone `{}` is in no record of the lake", zone.name);
            (Level::Note, message, "check its addresses, that its subnets are logged, and whether it still exists")
        };
        found.push(Lint::new("L21", level, &zone.place, message).hint(hint));
    }
}
