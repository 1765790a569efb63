//! What the map wants watched over time: budgets of exits and of expectations, and how often. A verdict knows nothing
//! of them; a record is asked whether it is one of those that count, and SQL finds the same rows in the lake.

use std::collections::BTreeMap;

use super::policy::Policies;
use super::ports::{Port, PortClasses, Protocol, Span, spans};
use super::zones::{ClassId, Zones, lineage};
use super::{Boundary, Selection};
use crate::boundary::Judgement;
use crate::boundary::judgement::Credit;
use crate::boundary::model::{BoundaryMap, Expect, ExpectSubject, InvariantKind, Services, ZoneId};
use crate::boundary::values::Verdict;
use crate::record::{Action, FlowRecord};

/// What is asked of the records that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchKind {
    /// Their bytes in an hour are at most so many.
    Budget {
        /// Bytes.
        bytes: u64,
        /// Both ways; else those from client to server.
        both_ways: bool,
    },
    /// Their number in each period is at least and at most this.
    Expectation {
        /// At least, if anything.
        least: Option<u64>,
        /// At most, if anything.
        most: Option<u64>,
        /// The period, in minutes: whole ones.
        minutes: u32,
    },
}

/// Something that the map wants watched.
#[derive(Debug)]
pub struct Watch {
    /// Id of the expectation, or of the invariant that has the exit.
    pub id: String,
    /// What is asked.
    pub kind: WatchKind,
    /// Which records count, for people.
    pub what: String,
    /// Which rows of the view `flows` count, as SQL.
    pub condition: String,
    /// Whether the map permits any of it. What must be seen and is not permitted can only be met by breaches: the map
    /// contradicts itself (lint L07).
    pub permitted: bool,
    /// By id of the zone, whether records count whose client, and whose server, may be in it.
    client: Box<[bool]>,
    server: Box<[bool]>,
    subject: Subject,
    /// By id of the zone, whether it has addresses in a VPC.
    inside: Box<[bool]>,
}

#[derive(Debug)]
enum Subject {
    /// What this rule allows: its index.
    Rule(u16),
    Path {
        /// By protocol.
        ports: [Vec<Span>; 4],
        action: Option<Action>,
    },
}

impl Watch {
    /// Whether the bytes of a client in this zone are those that one interface sees of the client; else of the server.
    /// The interface of an end sees all of it, and of what is outside there is none.
    pub fn is_by_client(&self, client: ZoneId) -> bool {
        self.inside.get(usize::from(client.0)).is_some_and(|inside| *inside)
    }

    /// Whether the policy allows any of the traffic that counts.
    fn is_permitted(&self, policies: &Policies, zones: &Zones, ports: &PortClasses) -> bool {
        // of a group one is enough, and one that is local
        let ends = |is: &[bool], end: usize| {
            let classes = (0..).map(ClassId).zip(zones.classes());
            let of = classes.filter(|(_, class)| is_in(is, class.primary));
            let of = of.map(|(id, class)| ((policies.groups(id)[end], class.local), id));
            of.collect::<BTreeMap<_, _>>().into_iter().map(|((_, local), id)| (id, local)).collect::<Vec<_>>()
        };
        let (clients, servers) = (ends(&self.client, 0), ends(&self.server, 1));
        // between two ports where a service begins or ends nothing tells ports apart
        let ports: Vec<Port> = match &self.subject {
            Subject::Rule(_) => ports.first_ports().collect(),
            Subject::Path { ports: watched, .. } => {
                let spans = |port: &Port| watched.get(port.protocol as usize).into_iter().flatten();
                ports.first_ports().filter(|port| spans(port).any(|span| span.ports.contains(port.number))).collect()
            }
        };
        let allowed = |client, server, port: &Port| {
            let policy = policies.of(client, server, *port);
            let credited = match &self.subject {
                Subject::Rule(rule) => [policy.e.rule(), policy.i.rule()].contains(&Some(*rule)),
                Subject::Path { .. } => true,
            };
            policy.allow && credited
        };
        clients.iter().any(|(client, near)| {
            let mut reached = servers.iter().filter(|(_, local)| *near || *local);
            reached.any(|(server, _)| ports.iter().any(|port| allowed(*client, *server, port)))
        })
    }

    /// Whether a record counts.
    pub fn sees(&self, record: &FlowRecord<'_>, judgement: &Judgement) -> bool {
        let (Some(path), Some((from, to))) = (judgement.path, judgement.zones) else { return false };
        match &self.subject {
            Subject::Rule(rule) => {
                let credited = |grant: Option<u16>| grant == Some(*rule);
                judgement.verdict == Verdict::Expected
                    && matches!(judgement.credit, Credit::Grants { egress, ingress } if credited(egress) || credited(ingress))
            }
            Subject::Path { ports, action } => {
                let port = if path.client_is_source { record.dstport() } else { record.srcport() };
                let protocol = record.protocol().map(Protocol::of);
                // what comes after its connection was closed is refused, and no harm
                judgement.verdict != Verdict::Stray
                    && is_in(&self.client, from)
                    && is_in(&self.server, to)
                    && action.is_none_or(|action| record.action() == Some(action))
                    && protocol
                        .and_then(|protocol| ports.get(protocol as usize))
                        .is_some_and(|spans| spans.iter().any(|span| span.ports.contains(port.unwrap_or(0))))
            }
        }
    }
}

fn is_in(zones: &[bool], zone: ZoneId) -> bool {
    zones.get(usize::from(zone.0)).is_some_and(|is| *is)
}

impl Boundary {
    /// What the map wants watched, of what takes part.
    pub fn watches(&self) -> &[Watch] {
        &self.watches
    }

    /// Those that may count a record between these zones, with their places in [`Self::watches`]. Every record is asked
    /// for them, and between most zones there is none: so a watch is a bit, with every 64th after it.
    pub fn watching(&self, client: ZoneId, server: ZoneId) -> impl Iterator<Item = (u16, &Watch)> {
        let of = |zone: ZoneId| self.watching.get(usize::from(zone.0)).copied().unwrap_or_default();
        let ([as_client, _], [_, as_server]) = (of(client), of(server));
        let mut left = as_client & as_server;
        let bits = std::iter::from_fn(move || {
            let bit = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            (bit < u64::BITS).then_some(bit as usize)
        });
        let of_bit = |bit| (0_u16..).zip(&self.watches).skip(bit).step_by(u64::BITS as usize);
        bits.flat_map(of_bit)
    }
}

/// By zone, the bits of those that may count its records where it is the client's, and where it is the server's.
pub(super) fn by_zone(watches: &[Watch], map: &BoundaryMap) -> Box<[[u64; 2]]> {
    let of = |zone: u16| {
        let bits = (0..u64::BITS).cycle().map(|bit| 1_u64 << bit);
        bits.zip(watches).fold([0; 2], |[as_client, as_server], (bit, watch)| {
            let of = |zones| if is_in(zones, ZoneId(zone)) { bit } else { 0 };
            [as_client | of(&watch.client), as_server | of(&watch.server)]
        })
    };
    (0..ZoneId::declared(map.zones.len()).0).map(of).collect()
}

/// All that takes part: exits first, then expectations, each in the order of the file.
pub(super) fn watches(map: &BoundaryMap, selection: &Selection, zones: &Zones) -> Box<[Watch]> {
    let inside = within(map, zones, &[ZoneId::VPC]);
    let mut found: Vec<Watch> = Vec::new();
    for invariant in map.invariants.iter().filter(|invariant| selection.includes(&invariant.when)) {
        let InvariantKind::Confined { zone, exits } = &invariant.kind else { continue };
        for exit in exits {
            let Some(bytes) = exit.max_bytes_per_hour else { continue };
            let from = if exit.from.is_empty() { zone } else { &exit.from };
            let path = path(map, zones, (from, &exit.to, &exit.service), Some(Action::Accept));
            let watch = watch(&invariant.id, WatchKind::Budget { bytes, both_ways: false }, path, &inside);
            match found.iter_mut().find(|other| other.id == watch.id && other.what == watch.what) {
                // the same traffic twice: the smaller budget says all
                Some(same) if smaller(&watch, same) => *same = watch,
                Some(_) => {}
                None => found.push(watch),
            }
        }
    }
    for expect in &map.expects {
        let flows = expect.every.map(|every| WatchKind::Expectation {
            least: expect.min_flows.filter(|least| *least > 0),
            most: expect.max_flows,
            minutes: every.div_ceil(60).max(1),
        });
        let bytes = expect.max_bytes_per_hour.map(|bytes| WatchKind::Budget { bytes, both_ways: true });
        for kind in flows.into_iter().chain(bytes) {
            let subject = subject(map, selection, zones, expect, kind);
            found.extend(subject.map(|subject| watch(&expect.id, kind, subject, &inside)));
        }
    }
    found.into()
}

fn smaller(one: &Watch, other: &Watch) -> bool {
    let bytes = |watch: &Watch| if let WatchKind::Budget { bytes, .. } = watch.kind { bytes } else { u64::MAX };
    bytes(one) < bytes(other)
}

fn watch(id: &str, kind: WatchKind, counted: Counted, inside: &[bool]) -> Watch {
    let Counted { client, server, subject, what, condition } = counted;
    Watch { id: id.to_owned(), kind, what, condition, permitted: true, client, server, subject, inside: inside.into() }
}

/// Which records a watch counts.
struct Counted {
    client: Box<[bool]>,
    server: Box<[bool]>,
    subject: Subject,
    what: String,
    condition: String,
}

/// Notes what the map does not permit of what must be seen. (A refusal needs no permission.)
pub(super) fn note_what_is_not_permitted(
    watches: &mut [Watch],
    policies: &Policies,
    zones: &Zones,
    ports: &PortClasses,
) {
    for watch in watches {
        let refused = matches!(watch.subject, Subject::Path { action: Some(Action::Reject), .. });
        if matches!(watch.kind, WatchKind::Expectation { least: Some(_), .. }) && !refused {
            watch.permitted = watch.is_permitted(policies, zones, ports);
        }
    }
}

/// `None`: its rule does not take part.
fn subject(
    map: &BoundaryMap,
    selection: &Selection,
    zones: &Zones,
    expect: &Expect,
    kind: WatchKind,
) -> Option<Counted> {
    let (accepted, ways) = match kind {
        // what is refused carries nothing
        WatchKind::Budget { .. } => (Some(Action::Accept), ", both ways"),
        WatchKind::Expectation { .. } => (None, ""),
    };
    match &expect.subject {
        ExpectSubject::Rule(id) => {
            let place = map.rules.iter().position(|rule| rule.id == *id && selection.includes(&rule.when))?;
            // as many rules as a map may have
            let rule = u16::try_from(place).ok()?;
            let id_text = id.replace('\'', "''");
            let condition = format!("verdict = 'expected' AND list_contains(string_split(rule, '+'), '{id_text}')");
            let rule_of_map = map.rules.get(place)?;
            Some(Counted {
                client: within(map, zones, &rule_of_map.from),
                server: within(map, zones, &rule_of_map.to),
                subject: Subject::Rule(rule),
                what: format!("what {id} allows{ways}"),
                condition,
            })
        }
        ExpectSubject::Path { from, to, service, action } => {
            let counted = path(map, zones, (from, to, service), action.or(accepted));
            let action = action.map_or(String::new(), |action| format!(", {}", action.as_str()));
            Some(Counted { what: format!("{}{action}{ways}", counted.what), ..counted })
        }
    }
}

fn path(
    map: &BoundaryMap,
    zones: &Zones,
    (from, to, service): (&[ZoneId], &[ZoneId], &Services),
    action: Option<Action>,
) -> Counted {
    let (client, server) = (within(map, zones, from), within(map, zones, to));
    let ports = Protocol::ALL.map(|protocol| spans(map, service, protocol));
    let mut conditions = vec!["verdict <> 'stray' AND orientation IS NOT NULL".to_owned()];
    for (column, zones) in [("client_zone", &client), ("server_zone", &server)] {
        if zones.iter().all(|is| *is) {
            continue;
        }
        let names = (0..).map(ZoneId).zip(zones.iter()).filter(|(_, is)| **is).map(|(zone, _)| map.zone_name(zone));
        let names: Vec<String> = names.map(|name| format!("'{}'", name.replace('\'', "''"))).collect();
        conditions.push(match names.len() {
            0 => "false".to_owned(),
            _ => format!("{column} IN ({})", names.join(", ")),
        });
    }
    if *service != Services::Any {
        let numbers = ["protocol = 6", "protocol = 17", "protocol IN (1, 58)"];
        let mut each = Vec::new();
        for (protocol, spans) in numbers.into_iter().zip(&ports) {
            for span in spans {
                let (low, high) = (span.ports.lo, span.ports.hi);
                each.push(format!("{protocol} AND coalesce(server_port, 0) BETWEEN {low} AND {high}"));
            }
        }
        conditions.push(if each.is_empty() { "false".to_owned() } else { format!("({})", each.join(" OR ")) });
    }
    if let Some(action) = action {
        conditions.push(format!("action = '{}'", action.as_str()));
    }
    let names = |zones: &[ZoneId]| zones.iter().map(|zone| map.zone_name(*zone)).collect::<Vec<_>>().join(", ");
    let services = match service {
        Services::Any => "any service".to_owned(),
        Services::These(ids) => {
            let names = ids.iter().filter_map(|id| map.services.get(usize::from(id.0)));
            names.map(|service| service.name.as_str()).collect::<Vec<_>>().join(", ")
        }
    };
    let what = format!("{} to {} for {services}", names(from), names(to));
    Counted { client, server, subject: Subject::Path { ports, action }, what, condition: conditions.join(" AND ") }
}

/// The zones that are one of these or inside of one, by id; of a built-in zone as `vpc`, those with addresses in it.
fn within(map: &BoundaryMap, zones: &Zones, wanted: &[ZoneId]) -> Box<[bool]> {
    let all = (0..ZoneId::declared(map.zones.len()).0).map(ZoneId);
    let any = wanted.contains(&ZoneId::ANY);
    let mut is: Vec<bool> = all.map(|id| any || lineage(map, id).any(|zone| wanted.contains(&zone))).collect();
    for class in zones.classes().iter().filter(|class| wanted.iter().any(|zone| class.is_in(*zone))) {
        if let Some(is) = is.get_mut(usize::from(class.primary.0)) {
            *is = true;
        }
    }
    is.into()
}
