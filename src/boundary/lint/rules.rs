//! L05, L06, L08, L10, L19: rules by themselves and among themselves.

use super::view::{Grant, View};
use super::{Lint, list, quoted};
use crate::boundary::model::{Nacl, RuleSide, Selector, ZoneId};
use crate::boundary::report::Level;

/// More ports than this in one rule is wide; the evaluator calls the same width *narrow* in orientation.
const WIDE: u32 = 1024;

pub(super) fn check(view: &View<'_>, today: Option<&str>, found: &mut Vec<Lint>) {
    for (index, grant) in view.grants.iter().enumerate() {
        exposed(view, grant, found);
        wide(grant, found);
        expired(grant, today, found);
        let twin = view.grants.iter().take(index).find(|earlier| same(earlier, grant));
        match twin {
            Some(earlier) => found.push(duplicate(earlier, grant)),
            None => shadowed(view, grant, found),
        }
    }
    for (index, nacl) in view.map.nacls.iter().enumerate() {
        let twin =
            view.map.nacls.iter().take(index).find(|earlier| {
                (earlier.zone, earlier.egress, earlier.number) == (nacl.zone, nacl.egress, nacl.number)
            });
        if let Some(earlier) = twin {
            found.push(duplicate_nacl(view, earlier, nacl));
        }
    }
}

/// Every connection that `inner` matches is matched by `outer`, on the same sides, whenever `inner` takes part.
fn covers(outer: &Grant<'_>, inner: &Grant<'_>) -> bool {
    let sides = outer.rule.side == RuleSide::Path || outer.rule.side == inner.rule.side;
    let lasts = match (&outer.rule.expires, &inner.rule.expires) {
        (None, _) => true,
        (Some(outer), Some(inner)) => inner <= outer,
        (Some(_), None) => false,
    };
    let mut matches_something = false;
    sides
        && lasts
        && always(&outer.rule.when, &inner.rule.when)
        && outer.ports.covers(&inner.ports)
        && outer.ends.iter().zip(&inner.ends).all(|((outer_from, outer_to), (from, to))| {
            let empty = from.is_empty() || to.is_empty();
            matches_something |= !empty;
            empty || from.is_subset(outer_from) && to.is_subset(outer_to)
        })
        && matches_something
}

/// Whenever `inner` takes part, so does `outer`.
fn always(outer: &Selector, inner: &Selector) -> bool {
    let env = outer
        .env
        .as_ref()
        .is_none_or(|outer| inner.env.as_ref().is_some_and(|inner| inner.iter().all(|env| outer.contains(env))));
    env && (outer.mode.is_none() || outer.mode == inner.mode)
}

/// Two rules that say the same of the same traffic, whatever they are called.
fn same(a: &Grant<'_>, b: &Grant<'_>) -> bool {
    let sorted = |zones: &[ZoneId]| {
        let mut zones = zones.to_vec();
        zones.sort_unstable();
        zones.dedup();
        zones
    };
    let literal = || sorted(&a.rule.from) == sorted(&b.rule.from) && sorted(&a.rule.to) == sorted(&b.rule.to);
    let in_effect = || a.ends == b.ends && a.ends.iter().any(|(from, to)| !from.is_empty() && !to.is_empty());
    a.rule.side == b.rule.side
        && a.ports == b.ports
        && always(&a.rule.when, &b.rule.when)
        && always(&b.rule.when, &a.rule.when)
        && (literal() || in_effect())
}

/// L05.
fn duplicate(earlier: &Grant<'_>, later: &Grant<'_>) -> Lint {
    let (a, b) = (earlier.rule, later.rule);
    let differences: Vec<&str> = [
        ("severity", a.severity != b.severity),
        ("exposure", a.exposure_accepted != b.exposure_accepted),
        ("expires", a.expires != b.expires),
        ("optional", a.optional != b.optional),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect();
    let lint = if differences.is_empty() {
        let message = format!("rules `{}` and `{}` grant the same", a.id, b.id);
        Lint::new("L05", Level::Warning, &b.place, message).hint("remove one of them")
    } else {
        let what = list(&differences);
        let message = format!("rules `{}` and `{}` grant the same and contradict each other in {what}", a.id, b.id);
        Lint::new("L05", Level::Error, &b.place, message).hint(format!("remove one of them, or agree on {what}"))
    };
    lint.related(&a.place, format!("`{}` is here", a.id))
}

/// L05 for the stateless layer, where a number stands once in each direction.
fn duplicate_nacl(view: &View<'_>, earlier: &Nacl, later: &Nacl) -> Lint {
    let direction = if later.egress { "egress" } else { "ingress" };
    let zone = view.map.zone_name(later.zone);
    let message = format!("the NACL of zone `{zone}` has two {direction} entries with number {}", later.number);
    let equal = (earlier.allow, earlier.protocol, earlier.cidr, earlier.ports)
        == (later.allow, later.protocol, later.cidr, later.ports);
    let level = if equal { Level::Warning } else { Level::Error };
    Lint::new("L05", level, &later.place, message)
        .hint("AWS has each number once per direction, and the numbers are the order: give one of them another number")
        .related(&earlier.place, "the first one")
}

/// L06. Of several rules that cover it, those are named which no other of them covers.
fn shadowed(view: &View<'_>, grant: &Grant<'_>, found: &mut Vec<Lint>) {
    let mut by: Vec<&Grant<'_>> = view
        .grants
        .iter()
        .filter(|other| other.rule.id != grant.rule.id && covers(other, grant) && !same(other, grant))
        .collect();
    let all = by.clone();
    by.retain(|one| !all.iter().any(|other| other.rule.id != one.rule.id && covers(other, one) && !same(other, one)));
    let Some(first) = by.first() else { return };
    let id = &grant.rule.id;
    let names = list(by.iter().map(|other| quoted(&other.rule.id)));
    let each = if by.len() == 1 { "which permits" } else { "each of which permits" };
    let message = format!("rule `{id}` is shadowed by {names}, {each} all that it permits");
    let mut hint = format!("remove `{id}`; or narrow `{}`, if `{id}` is what is meant", first.rule.id);
    if grant.rule.severity.is_some_and(|severity| by.iter().all(|other| other.rule.severity != Some(severity))) {
        hint.push_str(" (its severity is still used for outages)");
    }
    let mut lint = Lint::new("L06", Level::Warning, &grant.rule.place, message).hint(hint);
    for other in &by {
        lint = lint.related(&other.rule.place, format!("`{}` permits more", other.rule.id));
    }
    found.push(lint);
}

/// L08.
fn exposed(view: &View<'_>, grant: &Grant<'_>, found: &mut Vec<Lint>) {
    let rule = grant.rule;
    if rule.exposure_accepted {
        return;
    }
    let whole_world = |zone: &ZoneId| {
        [ZoneId::ANY, ZoneId::INTERNET].contains(zone)
            || view.zone(*zone).is_some_and(|zone| zone.cidrs.iter().any(|cidr| cidr.prefix_len() == 0))
    };
    let names = |zones: &[ZoneId]| list(zones.iter().map(|zone| quoted(view.map.zone_name(*zone))));
    let mut what = Vec::new();
    if grant.is_ingress() && rule.from.iter().any(whole_world) {
        what.push(format!("opens {} to the whole internet", names(&rule.to)));
    }
    if grant.is_egress() && rule.to.iter().any(whole_world) {
        what.push(format!("lets {} reach the whole internet", names(&rule.from)));
    }
    if !what.is_empty() {
        let message = format!("rule `{}` {}", rule.id, list(&what));
        found.push(
            Lint::new("L08", Level::Warning, &rule.place, message)
                .hint("name the peers; or write `exposure = \"accepted\"`, so that the reader knows it is meant"),
        );
    }
}

/// L10.
fn wide(grant: &Grant<'_>, found: &mut Vec<Lint>) {
    let rule = grant.rule;
    let what = match grant.ports.ports() {
        None => "every protocol and port".to_owned(),
        Some(ports) if ports > WIDE => format!("{ports} ports ({})", grant.ports),
        Some(_) => return,
    };
    let level = if rule.exposure_accepted { Level::Note } else { Level::Warning };
    let message = format!("rule `{}` permits {what}", rule.id);
    found.push(
        Lint::new("L10", level, &rule.place, message).hint(format!(
            "name the ports that are used; a rule of more than {WIDE} also cannot tell client from server"
        )),
    );
}

/// L19.
fn expired(grant: &Grant<'_>, today: Option<&str>, found: &mut Vec<Lint>) {
    let rule = grant.rule;
    // ISO dates compare as text
    if let (Some(today), Some(expires)) = (today, &rule.expires)
        && expires.as_str() < today
    {
        let message = format!("rule `{}` expired on {expires}, and still permits", rule.id);
        found.push(
            Lint::new("L19", Level::Warning, &rule.place, message)
                .hint("remove it or renew the date: a verdict knows no clock and does not end a rule by itself"),
        );
    }
}
