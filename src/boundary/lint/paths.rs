//! L07, L09, L14, L20: what egress grants, ingress grants and invariants come to together.

use std::collections::BTreeMap;

use super::ports::PortSet;
use super::view::{Atom, Grant, View};
use super::ways::{Ban, Way, ban};
use super::{Lint, list, quoted};
use crate::boundary::model::{BoundaryMap, Expect, ExpectSubject, Invariant, RuleSide, Services, ZoneId};
use crate::boundary::report::Level;
use crate::record::Action;

pub(super) fn check(view: &View<'_>, ways: &[Way<'_, '_>], found: &mut Vec<Lint>) {
    let mut by_rule: BTreeMap<&str, Vec<&Way<'_, '_>>> = BTreeMap::new();
    for way in ways {
        by_rule.entry(&way.grant.rule.id).or_default().push(way);
    }
    for grant in view.grants.iter().filter(|grant| grant.selected) {
        half_path(view, grant, found);
        if let Some(ways) = by_rule.get(grant.rule.id.as_str()) {
            overridden(view, grant, ways, found);
        }
    }
    for expect in &view.map.expects {
        unmet(view, expect, ways, found);
    }
    data_from_internet(view, ways, found);
    for (id, _) in view.zones() {
        unreachable_service(view, id, found);
    }
}

/// L07 for a one-sided rule: pairs of its zones where no rule of the other side meets it.
fn half_path(view: &View<'_>, grant: &Grant<'_>, found: &mut Vec<Lint>) {
    let rule = grant.rule;
    let ingress = match rule.side {
        RuleSide::Path => return,
        RuleSide::Ingress => true,
        RuleSide::Egress => false,
    };
    let mut unmet = Vec::new();
    for from in &rule.from {
        for to in &rule.to {
            if meets_other_half(view, grant, *from, *to, ingress) == Some(false) {
                unmet.push(format!("`{}` to `{}`", view.map.zone_name(*from), view.map.zone_name(*to)));
            }
        }
    }
    if unmet.is_empty() {
        return;
    }
    let services = services(view.map, &rule.service);
    let (missing, hint) = if ingress {
        ("egress", "add the egress grant at the client's end, or remove the rule: nothing may use it")
    } else {
        ("ingress", "add the ingress grant at the server's end, or remove the rule: whatever leaves by it is refused")
    };
    let message = format!(
        "half a path: rule `{}` has no {missing} grant to meet it for {services} from {}",
        rule.id,
        list(unmet)
    );
    found.push(Lint::new("L07", Level::Warning, &rule.place, message).hint(hint));
}

/// Whether some client in `from` and some server in `to` have what the rule needs at the end that it does not speak
/// for; `None` where the two zones never meet.
fn meets_other_half(view: &View<'_>, grant: &Grant<'_>, from: ZoneId, to: ZoneId, ingress: bool) -> Option<bool> {
    let mut result = None;
    for (index, context) in view.contexts.iter().enumerate() {
        let (clients, servers) = (context.atoms_of(&[from]), context.atoms_of(&[to]));
        if clients.is_empty() || servers.is_empty() {
            continue;
        }
        let far = if ingress { &clients } else { &servers };
        let unmanaged = context.atoms.iter().enumerate().any(|(atom, a)| !a.managed && far.contains(atom));
        let met = unmanaged
            || view.grants.iter().any(|other| {
                other.selected
                    && (if ingress { other.is_egress() } else { other.is_ingress() })
                    && other.ends.get(index).is_some_and(|(f, t)| f.meets(&clients) && t.meets(&servers))
                    && other.ports.meets(&grant.ports)
            });
        result = Some(met || result == Some(true));
    }
    result
}

/// L14: invariants that take from a rule some or all of what it permits.
fn overridden(view: &View<'_>, grant: &Grant<'_>, mine: &[&Way<'_, '_>], found: &mut Vec<Lint>) {
    let id = &grant.rule.id;
    if mine.iter().all(|way| matches!(way.ban, Ban::Whole(_))) {
        let mut lint = Lint::new("L14", Level::Error, &grant.rule.place, String::new())
            .hint("remove the rule, or correct the invariant: as it is, the map says yes and no to the same traffic");
        let mut names = Vec::new();
        for invariant in mine.iter().filter_map(|way| banned_by(way)) {
            if !names.contains(&quoted(&invariant.id)) {
                names.push(quoted(&invariant.id));
                lint = lint.related(&invariant.place, "this forbids it");
            }
        }
        lint.message = format!("rule `{id}` permits nothing: all of it is forbidden by {}", list(names));
        found.push(lint);
        return;
    }
    // A pair of rules is reported at its ingress rule, which is the one that opens the server.
    let reported = mine.iter().filter(|way| !way.egress || way.partner.is_none());
    let mut by_invariant: BTreeMap<&str, Vec<&Way<'_, '_>>> = BTreeMap::new();
    for (way, invariant) in reported.filter_map(|way| banned_by(way).map(|invariant| (*way, invariant))) {
        by_invariant.entry(&invariant.id).or_default().push(way);
    }
    for (name, ways) in by_invariant {
        let Some(invariant) = ways.first().and_then(|way| banned_by(way)) else { continue };
        // Where `any` means the internet as well, addresses that hardly occur are not worth naming.
        let rare = |way: &&Way<'_, '_>| {
            let rare = [ZoneId::SPECIAL, ZoneId::PRIVATE_UNKNOWN];
            rare.contains(&way.client.primary) || rare.contains(&way.server.primary)
        };
        let only_rare = ways.iter().copied().all(|way| rare(&way));
        let mut pairs: Vec<String> = Vec::new();
        let mut lint = Lint::new("L14", Level::Warning, &grant.rule.place, String::new())
            .hint(format!("narrow the rule to what `{name}` leaves: the security group permits what must not be"))
            .related(&invariant.place, "the invariant wins");
        let mut partners: Vec<String> = Vec::new();
        for way in ways.iter().copied().filter(|way| only_rare || !rare(way)) {
            let pair = way.zones(view.map);
            if !pairs.contains(&pair) {
                pairs.push(pair);
            }
            if let Some(partner) = way.partner
                && !partners.contains(&quoted(&partner.rule.id))
            {
                partners.push(quoted(&partner.rule.id));
                lint = lint.related(&partner.rule.place, "the grant at the other end");
            }
        }
        let with = if partners.is_empty() { String::new() } else { format!(" (with {})", list(partners)) };
        lint.message = format!("rule `{id}`{with} permits {}, which invariant `{name}` forbids", list(pairs));
        found.push(lint);
    }
}

fn banned_by<'a>(way: &Way<'_, 'a>) -> Option<&'a Invariant> {
    match way.ban {
        Ban::None => None,
        Ban::Part(invariant) | Ban::Whole(invariant) => Some(invariant),
    }
}

/// L07 for an expectation: traffic that must be seen, and that the policy never allows.
fn unmet(view: &View<'_>, expect: &Expect, ways: &[Way<'_, '_>], found: &mut Vec<Lint>) {
    if expect.min_flows.is_none_or(|flows| flows == 0) {
        return;
    }
    let (what, reasons) = match &expect.subject {
        ExpectSubject::Rule(id) => {
            let Some(grant) = view.grants.iter().find(|grant| grant.rule.id == *id && grant.selected) else { return };
            let mut mine = ways.iter().filter(|way| way.grant.rule.id == *id).peekable();
            if mine.peek().is_none() {
                (format!("rule `{id}`"), vec![format!("no grant meets `{}` at its other end", grant.rule.id)])
            } else if mine.all(|way| matches!(way.ban, Ban::Whole(_))) {
                (format!("rule `{id}`"), vec!["invariants forbid all of it".to_owned()])
            } else {
                return;
            }
        }
        ExpectSubject::Path { action: Some(Action::Reject), .. } => return,
        ExpectSubject::Path { from, to, service, .. } => {
            let Some(reasons) = why_not(view, from, to, &PortSet::of(view.map, service)) else { return };
            let names = |zones: &[ZoneId]| list(zones.iter().map(|zone| quoted(view.map.zone_name(*zone))));
            (format!("{} to {} for {}", names(from), names(to), services(view.map, service)), reasons)
        }
    };
    let message =
        format!("expectation `{}` requires {what}, and the map does not permit it: {}", expect.id, list(reasons));
    found.push(
        Lint::new("L07", Level::Error, &expect.place, message).hint(
            "add the missing grant, or drop the expectation: it can only be met by traffic that counts as a breach",
        ),
    );
}

/// Why the policy allows none of it; `None` if it allows some.
fn why_not(view: &View<'_>, from: &[ZoneId], to: &[ZoneId], ports: &PortSet) -> Option<Vec<String>> {
    let (mut leaves, mut enters, mut bans) = (false, false, Vec::<String>::new());
    let mut unbanned = false;
    for (index, context) in view.contexts.iter().enumerate() {
        let (clients, servers) = (context.atoms_of(from), context.atoms_of(to));
        for (c, s) in clients.iter().flat_map(|c| servers.iter().map(move |s| (c, s))) {
            let (Some(client), Some(server)) = (context.atoms.get(c), context.atoms.get(s)) else { continue };
            if !client.local && !server.local {
                continue;
            }
            let open = |atom: &Atom, side: &dyn Fn(&Grant<'_>) -> bool| {
                if !atom.managed {
                    return ports.clone();
                }
                let mut sum = PortSet::default();
                let matching = view.grants.iter().filter(|grant| {
                    let ends = grant.ends.get(index);
                    grant.selected && side(grant) && ends.is_some_and(|(f, t)| f.contains(c) && t.contains(s))
                });
                matching.for_each(|grant| sum.add(&grant.ports.intersection(ports)));
                sum
            };
            let (out, into) = (open(client, &|grant| grant.is_egress()), open(server, &|grant| grant.is_ingress()));
            let through = out.intersection(&into);
            leaves |= !out.is_empty();
            enters |= !into.is_empty();
            // Where grants are missing, the invariants are still worth naming: the grant alone would not be enough.
            match ban(view, client, server, if through.is_empty() { ports } else { &through }) {
                Ban::Whole(invariant) => {
                    let reason = format!("invariant `{}` forbids it", invariant.id);
                    if !bans.contains(&reason) {
                        bans.push(reason);
                    }
                }
                Ban::None | Ban::Part(_) if !through.is_empty() => return None,
                Ban::None | Ban::Part(_) => unbanned = true,
            }
        }
    }
    let mut reasons = Vec::new();
    if !leaves {
        reasons.push("no egress grant lets it leave".to_owned());
    }
    if !enters {
        reasons.push("no ingress grant lets it in".to_owned());
    }
    if leaves && enters && bans.is_empty() {
        reasons.push("no egress and ingress grant meet".to_owned());
    }
    if !unbanned {
        reasons.extend(bans);
    }
    Some(reasons)
}

/// L09: zones tagged `data` that the grants open to the internet.
fn data_from_internet(view: &View<'_>, ways: &[Way<'_, '_>], found: &mut Vec<Lint>) {
    let is_data = |id: ZoneId| {
        view.lineage(id).filter_map(|id| view.zone(id)).any(|zone| zone.tags.iter().any(|tag| tag == "data"))
    };
    for (id, zone) in view.zones().filter(|(id, _)| is_data(*id)) {
        let open: Vec<_> = ways
            .iter()
            .filter(|way| way.ingress && way.server.primary == id && way.server.managed)
            .filter(|way| way.client.primary == ZoneId::INTERNET)
            .collect();
        // The ways that no invariant closes decide, if there are any.
        let left: Vec<_> = open.iter().copied().filter(|way| !matches!(way.ban, Ban::Whole(_))).collect();
        let shown = if left.is_empty() { &open } else { &left };
        if shown.is_empty() {
            continue;
        }
        let mut rules: Vec<String> = shown.iter().map(|way| quoted(&way.grant.rule.id)).collect();
        rules.dedup();
        let (level, but, hint) = if left.is_empty() {
            let mut bans: Vec<_> = open.iter().filter_map(|way| banned_by(way)).map(|i| quoted(&i.id)).collect();
            bans.dedup();
            let but = format!("; only {} forbids it", list(bans));
            (Level::Note, but, "narrow the rule: the security group itself lets the internet in")
        } else if left.iter().all(|way| way.grant.rule.exposure_accepted) {
            (
                Level::Warning,
                " (accepted)".to_owned(),
                "an invariant of kind `isolated` would say where this must not be",
            )
        } else {
            (Level::Error, String::new(), "name the clients in `from`, or accept the exposure in so many words")
        };
        let message = format!("zone `{}` holds data, and {} opens it to the internet{but}", zone.name, list(rules));
        let mut lint = Lint::new("L09", level, &zone.place, message).hint(hint);
        for way in shown {
            lint = lint.related(&way.grant.rule.place, "opened here");
        }
        found.push(lint);
    }
}

/// L20: a service on public addresses (a gateway endpoint's prefix list, an AWS service) that zones with their own
/// egress rules cannot reach by any of them.
fn unreachable_service(view: &View<'_>, id: ZoneId, found: &mut Vec<Lint>) {
    let Some(zone) = view.zone(id) else { return };
    if zone.prefix_lists.is_empty() && zone.kind.as_deref() != Some("aws-service") {
        return;
    }
    let mut cut_off = Vec::new();
    let mut rules = Vec::new();
    for (index, context) in view.contexts.iter().enumerate() {
        let Some((s, server)) = context.atoms.iter().enumerate().find(|(_, atom)| atom.primary == id && !atom.local)
        else {
            continue;
        };
        for (c, client) in context.atoms.iter().enumerate().filter(|(_, atom)| atom.managed && atom.in_vpc()) {
            let leaving: Vec<_> = view
                .grants
                .iter()
                .filter(|grant| grant.selected && grant.rule.side == RuleSide::Egress)
                .filter(|grant| grant.ends.get(index).is_some_and(|(from, _)| from.contains(c)))
                .collect();
            let reaches = view.grants.iter().any(|grant| {
                let ends = grant.ends.get(index);
                grant.selected && grant.is_egress() && ends.is_some_and(|(f, t)| f.contains(c) && t.contains(s))
            });
            // An invariant that keeps the two apart says that it is meant.
            let meant = ban(view, client, server, &PortSet::any()) != Ban::None;
            let name = quoted(view.map.zone_name(client.primary));
            if !leaving.is_empty() && !reaches && !meant && !cut_off.contains(&name) {
                cut_off.push(name);
                rules.extend(leaving);
            }
        }
    }
    if cut_off.is_empty() {
        return;
    }
    let message = format!("no egress rule of {} reaches `{}`", list(&cut_off), zone.name);
    let hint = "a gateway endpoint keeps the service's public addresses, so an egress rule to the VPC does not cover them: permit the zone, or forbid it by an invariant";
    let mut lint = Lint::new("L20", Level::Warning, &zone.place, message).hint(hint);
    for grant in rules {
        lint = lint.related(&grant.rule.place, "stops short of it");
    }
    found.push(lint);
}

/// The services of an entry by name.
fn services(map: &BoundaryMap, services: &Services) -> String {
    match services {
        Services::Any => "any service".to_owned(),
        Services::These(ids) => {
            list(ids.iter().filter_map(|id| map.services.get(usize::from(id.0))).map(|service| quoted(&service.name)))
        }
    }
}
