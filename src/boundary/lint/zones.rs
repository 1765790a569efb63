//! L03, L04, L11, L12: what is said of a zone, and what is not.

use super::view::{View, has_selector};
use super::{Lint, list, quoted};
use crate::boundary::model::{Place, Role, Zone, ZoneId};
use crate::boundary::report::Level;

pub(super) fn check(view: &View<'_>, found: &mut Vec<Lint>) {
    if view.map.vpcs.is_empty() {
        let message = "the map has no VPC: no address is local, and every record is unmapped".to_owned();
        let hint = "add [vpc.NAME] with its id and cidrs";
        found.push(Lint::new("L03", Level::Error, &Place::default(), message).hint(hint));
    }
    for (id, zone) in view.zones() {
        empty_or_unresolved(view, id, zone, found);
        unknown_interfaces(view, id, zone, found);
        range_instead_of_group(view, id, zone, found);
    }
    undocumented(view, found);
}

/// L03: no address can be in the zone. L04: because what it names is unknown.
fn empty_or_unresolved(view: &View<'_>, id: ZoneId, zone: &Zone, found: &mut Vec<Lint>) {
    if view.map.zones.iter().any(|child| child.parent == Some(id)) {
        return;
    }
    let place = &zone.place;
    if !has_selector(zone) {
        let message = format!("zone `{}` is empty: it selects no address, and no zone has it as parent", zone.name);
        let hint = "give it cidrs, addresses or a selector that the inventory resolves, or remove it";
        found.push(Lint::new("L03", Level::Warning, place, message).hint(hint));
        return;
    }
    let unresolved_lists = !zone.prefix_lists.is_empty() && zone.cidrs.is_empty();
    if unresolved_lists {
        let message =
            format!("zone `{}` names {}, and no cidrs say what is in it", zone.name, list(&zone.prefix_lists));
        let hint = "import the prefix list, or write its ranges as the zone's cidrs";
        found.push(Lint::new("L04", Level::Warning, place, message).hint(hint));
    }
    if !view.prefixes_of(id).is_empty() || unresolved_lists {
        return;
    }
    let resolved_elsewhere = |name: &String| {
        let others = view.zones().filter(|(other, _)| *other != id && !view.prefixes_of(*other).is_empty());
        others.into_iter().any(|(_, other)| other.security_groups.contains(name) || other.subnets.contains(name))
    };
    let names = zone.security_groups.iter().chain(&zone.subnets);
    let unknown: Vec<_> = names.filter(|name| !resolved_elsewhere(name)).collect();
    if view.map.enis.is_empty() || unknown.is_empty() {
        let message =
            format!("zone `{}` matches nothing: it has no addresses, and no interface of the inventory", zone.name);
        let hint = "import the inventory, or give the zone cidrs or addresses to fall back on";
        found.push(Lint::new("L03", Level::Warning, place, message).hint(hint));
    } else {
        let message =
            format!("zone `{}` names {}, which no interface and no other zone resolves", zone.name, list(unknown));
        let hint = "check the name, or import an inventory that has it";
        found.push(Lint::new("L04", Level::Warning, place, message).hint(hint));
    }
}

/// L04: interfaces that the inventory does not have, or has in another zone.
fn unknown_interfaces(view: &View<'_>, id: ZoneId, zone: &Zone, found: &mut Vec<Lint>) {
    if view.map.enis.is_empty() {
        return;
    }
    for name in &zone.enis {
        let eni = view.map.enis.iter().find(|eni| eni.id == *name);
        let message = match eni {
            None => format!("zone `{}` names interface {name}, which the inventory does not have", zone.name),
            Some(eni) if eni.zone.is_some_and(|at| view.lineage(at).any(|around| around == id)) => continue,
            Some(eni) => format!(
                "zone `{}` names interface {name}, but the inventory puts it in {}",
                zone.name,
                eni.zone.map_or("no zone".to_owned(), |at| quoted(view.map.zone_name(at)))
            ),
        };
        let mut lint = Lint::new("L04", Level::Warning, &zone.place, message)
            .hint(format!("the inventory decides: set `zone = \"{}\"` at [eni.{name}]", zone.name));
        if let Some(eni) = eni {
            lint = lint.related(&eni.place, "the inventory's entry");
        }
        found.push(lint);
    }
}

/// L11: an end of a rule that is a range of addresses, in a VPC where it could be a security group.
fn range_instead_of_group(view: &View<'_>, id: ZoneId, zone: &Zone, found: &mut Vec<Lint>) {
    let wide: Vec<_> =
        zone.cidrs.iter().filter(|cidr| cidr.prefix_len() < cidr.max_prefix_len()).map(ToString::to_string).collect();
    let gateway = matches!(zone.role, Some(Role::Nat | Role::Tgw));
    if !view.in_a_vpc(id) || wide.is_empty() || gateway || zone.kind.is_some() || !zone.security_groups.is_empty() {
        return;
    }
    let rules: Vec<_> = view.map.rules.iter().filter(|rule| rule.from.contains(&id) || rule.to.contains(&id)).collect();
    if rules.is_empty() {
        return;
    }
    let ids = list(rules.iter().map(|rule| quoted(&rule.id)));
    let message = format!("zone `{}` is an end of {ids} and selects whole ranges ({})", zone.name, list(wide));
    found.push(
        Lint::new("L11", Level::Note, &zone.place, message)
            .hint("name its security groups: whatever gets an address in the range has these rights, group or not"),
    );
}

/// An entry that lacks something.
struct Entry<'a> {
    name: &'a str,
    place: &'a Place,
}

/// L12: one finding for each kind of entry, which names those that lack something.
fn undocumented(view: &View<'_>, found: &mut Vec<Lint>) {
    let owned = |id: ZoneId| view.lineage(id).any(|id| view.zone(id).is_some_and(|zone| zone.owner.is_some()));
    // Who answers for an AWS service is known.
    let zones = view.zones().filter(|(id, zone)| !owned(*id) && zone.kind.as_deref() != Some("aws-service"));
    let zones = zones.map(|(_, zone)| Entry { name: &zone.name, place: &zone.place }).collect();
    let rules = view.map.rules.iter().filter(|rule| rule.description.is_none());
    let rules = rules.map(|rule| Entry { name: &rule.id, place: &rule.place }).collect();
    let invariants = view.map.invariants.iter().filter(|invariant| invariant.description.is_none());
    let invariants = invariants.map(|invariant| Entry { name: &invariant.id, place: &invariant.place }).collect();
    let kinds: [(&str, &str, Vec<Entry<'_>>); 3] =
        [("zone", "owner", zones), ("rule", "description", rules), ("invariant", "description", invariants)];
    for (kind, lack, entries) in kinds {
        let Some(first) = entries.first() else { continue };
        let (noun, verb) = if entries.len() == 1 { (kind.to_owned(), "has") } else { (format!("{kind}s"), "have") };
        let message = format!("{noun} {} {verb} no {lack}", list(entries.iter().map(|entry| quoted(entry.name))));
        let hint = match lack {
            "owner" => "say who answers for it; a zone inside another has its parent's owner",
            _ => "say what it is for: an alert shows it to whoever is woken",
        };
        found.push(Lint::new("L12", Level::Note, first.place, message).hint(hint));
    }
}
