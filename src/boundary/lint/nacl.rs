//! L13: network ACLs that stop what the map permits.
//!
//! An ACL is stateless: what leaves needs an entry, and the reply needs another the other way, to the client's ephemeral
//! port. Both questions are of one kind: does the ACL admit *any* (or *all*) of a set of addresses and ports? Its answer
//! changes only where an entry's CIDR or port range begins or ends, so it is enough to ask at those points.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::ports::PortSet;
use super::view::{Atom, View, overlap};
use super::ways::{Ban, Way};
use super::{Lint, list, quoted};
use crate::boundary::model::{Nacl, PortRange, Role, Rule, ZoneId};
use crate::boundary::report::Level;

/// Ports that clients of all systems use, so that no reply path does without them.
const COMMON_EPHEMERAL: PortRange = PortRange { lo: 32768, hi: 65535 };
/// Ports that AWS's NAT gateways, load balancers and Lambda use too.
const EPHEMERAL: PortRange = PortRange { lo: 1024, hi: 65535 };

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;

pub(super) fn check(view: &View<'_>, ways: &[Way<'_, '_>], found: &mut Vec<Lint>) {
    let mut acls: BTreeMap<ZoneId, Acl<'_>> = BTreeMap::new();
    for entry in &view.map.nacls {
        acls.entry(entry.zone).or_default().entries.push(entry);
    }
    for (zone, acl) in &mut acls {
        acl.entries.sort_by_key(|entry| entry.number);
        for entry in &acl.entries {
            no_return_path(view, acl, *zone, entry, found);
        }
        grants_not_admitted(view, acl, *zone, ways, found);
    }
}

/// The entries of one ACL, both directions, in the order of their numbers.
#[derive(Debug, Default)]
struct Acl<'a> {
    entries: Vec<&'a Nacl>,
}

impl<'a> Acl<'a> {
    /// The entries that speak of this direction and protocol.
    fn side(&self, egress: bool, protocol: u8) -> impl Iterator<Item = &'a Nacl> {
        let speaks = move |entry: &&&Nacl| entry.egress == egress && entry.protocol.is_none_or(|p| p == protocol);
        self.entries.iter().filter(speaks).copied()
    }

    /// What becomes of one packet; without an entry it is denied.
    fn admits(&self, egress: bool, protocol: u8, remote: IpAddr, port: u16) -> bool {
        let hits = |entry: &&Nacl| entry.cidr.contains(&remote) && entry.ports.contains(port);
        self.side(egress, protocol).find(hits).is_some_and(|entry| entry.allow)
    }

    /// The answers for all of these addresses and ports, one for each point where it can change.
    fn answers(
        &self,
        egress: bool,
        protocol: u8,
        remote: &IpNet,
        ports: PortRange,
    ) -> impl Iterator<Item = (IpAddr, bool)> {
        let mut addresses = vec![remote.network()];
        let mut first_ports = vec![ports.lo];
        for entry in self.side(egress, protocol) {
            if overlap(&entry.cidr, remote) {
                addresses.extend([Some(entry.cidr.network()), after(&entry.cidr)].into_iter().flatten());
            }
            first_ports.push(entry.ports.lo);
            first_ports.extend(entry.ports.hi.checked_add(1));
        }
        addresses.retain(|address| remote.contains(address));
        first_ports.retain(|port| ports.contains(*port));
        let points: Vec<_> =
            addresses.iter().flat_map(|address| first_ports.iter().map(|port| (*address, *port))).collect();
        points.into_iter().map(move |(address, port)| (address, self.admits(egress, protocol, address, port)))
    }
}

/// The first address behind a prefix.
fn after(prefix: &IpNet) -> Option<IpAddr> {
    match prefix {
        IpNet::V4(net) => net.broadcast().to_bits().checked_add(1).map(|bits| IpAddr::V4(bits.into())),
        IpNet::V6(net) => net.broadcast().to_bits().checked_add(1).map(|bits| IpAddr::V6(bits.into())),
    }
}

/// An entry that admits requests, and nothing that admits the replies.
fn no_return_path(view: &View<'_>, acl: &Acl<'_>, zone: ZoneId, entry: &Nacl, found: &mut Vec<Lint>) {
    if !entry.allow || is_return_path(acl, entry) {
        return;
    }
    let protocols = match entry.protocol {
        None => vec![TCP, UDP],
        Some(protocol) => vec![protocol],
    };
    let answers = |ports: PortRange| -> Vec<bool> {
        let of =
            |protocol: &u8| acl.answers(!entry.egress, *protocol, &entry.cidr, ports).map(|(_, admitted)| admitted);
        protocols.iter().flat_map(of).collect()
    };
    let has_ports = protocols.iter().any(|protocol| [TCP, UDP].contains(protocol));
    let common = answers(if has_ports { COMMON_EPHEMERAL } else { PortRange { lo: 0, hi: 0 } });
    let (way, back) = if entry.egress { ("egress", "ingress") } else { ("ingress", "egress") };
    let (level, what) = if !common.contains(&true) {
        (Level::Error, "no")
    } else if common.contains(&false) {
        (Level::Warning, "not for all of its addresses and ports an")
    } else if has_ports && answers(EPHEMERAL).contains(&false) {
        (Level::Note, "only for ports from 32768 an")
    } else {
        return;
    };
    let name = entry.id.as_ref().map_or_else(|| format!("{way} entry {}", entry.number), |id| quoted(id));
    let message = format!(
        "no return path: {name} of the NACL of zone `{}` admits {way} of {}, and there is {what} {back} entry for the replies",
        view.map.zone_name(zone),
        entry_text(entry),
    );
    let hint = match level {
        Level::Note => "clients behind NAT gateways, load balancers and Lambda use ports from 1024: admit 1024-65535",
        _ => "a NACL is stateless: admit the ephemeral ports (1024-65535, at least 32768-65535) the other way",
    };
    found.push(Lint::new("L13", level, &entry.place, message).hint(hint));
}

/// The entry is there for replies: it is for ephemeral ports alone, or for so many that it serves the requests of an
/// entry the other way too.
fn is_return_path(acl: &Acl<'_>, entry: &Nacl) -> bool {
    let for_replies = |entry: &Nacl| entry.ports.hi >= COMMON_EPHEMERAL.lo;
    let serves = |other: &&Nacl| {
        let requests = other.protocol.is_none_or(|protocol| [TCP, UDP].contains(&protocol)) && !for_replies(other);
        other.allow && other.egress != entry.egress && requests && overlap(&other.cidr, &entry.cidr)
    };
    for_replies(entry) && (entry.ports.lo >= EPHEMERAL.lo || acl.entries.iter().copied().any(|other| serves(&other)))
}

/// `tcp/5432 to 10.20.10.0/24`.
fn entry_text(entry: &Nacl) -> String {
    let ports = match (entry.ports.lo, entry.ports.hi) {
        (0, 65535) => String::new(),
        (lo, hi) if lo == hi => format!("/{lo}"),
        (lo, hi) => format!("/{lo}-{hi}"),
    };
    let protocol = match entry.protocol {
        None => "everything".to_owned(),
        Some(TCP) => "tcp".to_owned(),
        Some(UDP) => "udp".to_owned(),
        Some(ICMP) => "icmp".to_owned(),
        Some(number) => format!("protocol {number}"),
    };
    format!("{protocol}{ports} {} {}", if entry.egress { "to" } else { "from" }, entry.cidr)
}

/// What of a rule the ACL does not admit in one direction.
struct Stopped<'a> {
    rule: &'a Rule,
    pairs: Vec<String>,
    ports: PortSet,
}

/// Grants whose requests have to cross the ACL, and that it does not admit.
fn grants_not_admitted(view: &View<'_>, acl: &Acl<'_>, zone: ZoneId, ways: &[Way<'_, '_>], found: &mut Vec<Lint>) {
    let mut stopped: BTreeMap<(&str, bool), Stopped<'_>> = BTreeMap::new();
    for way in ways.iter().filter(|way| !matches!(way.ban, Ban::Whole(_))) {
        let ends = [(true, way.egress, way.client, way.server), (false, way.ingress, way.server, way.client)];
        for (egress, counts, local, remote) in ends {
            if !counts || !local.set.contains(&zone) {
                continue;
            }
            let Some(remotes) = addresses(view, remote) else { continue };
            let ports = not_admitted(acl, egress, &remotes, &way.ports);
            if stays_inside(view, zone, local, &remotes) || ports.is_empty() {
                continue;
            }
            let key = (way.grant.rule.id.as_str(), egress);
            let new = || Stopped { rule: way.grant.rule, pairs: Vec::new(), ports: PortSet::default() };
            let entry = stopped.entry(key).or_insert_with(new);
            entry.ports.add(&ports);
            let pair = way.zones(view.map);
            if !entry.pairs.contains(&pair) {
                entry.pairs.push(pair);
            }
        }
    }
    for ((id, egress), Stopped { rule, pairs, ports }) in stopped {
        let direction = if egress { "egress" } else { "ingress" };
        let message = format!(
            "rule `{id}` permits {ports} from {}, and the NACL of zone `{}` has no {direction} entry for it",
            list(pairs),
            view.map.zone_name(zone),
        );
        let mut lint = Lint::new("L13", Level::Error, &rule.place, message)
            .hint(format!("add the {direction} entry, and one for the replies; what no entry admits is rejected"));
        if let Some(first) = acl.entries.first() {
            lint = lint.related(&first.place, "the ACL");
        }
        found.push(lint);
    }
}

/// The remote addresses of a kind; `None` for kinds that nobody means by a rule (gateways, what is not zoned).
fn addresses(view: &View<'_>, atom: &Atom) -> Option<Vec<IpNet>> {
    match view.zone(atom.primary) {
        Some(zone) if matches!(zone.role, Some(Role::Nat | Role::Tgw)) => None,
        Some(_) => {
            let prefixes = view.prefixes_of(atom.primary);
            (!prefixes.is_empty()).then(|| prefixes.iter().map(|(prefix, _)| *prefix).collect())
        }
        None => (atom.primary == ZoneId::INTERNET)
            .then(|| vec![IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())]),
    }
}

/// Some of it does not cross the subnet's edge, where the ACL sits: one CIDR of the ACL's zone holds both ends.
fn stays_inside(view: &View<'_>, zone: ZoneId, local: &Atom, remotes: &[IpNet]) -> bool {
    let Some(zone) = view.zone(zone) else { return false };
    zone.cidrs.iter().any(|cidr| {
        view.prefixes_of(local.primary).iter().any(|(prefix, _)| overlap(cidr, prefix))
            && remotes.iter().any(|remote| cidr.contains(remote))
    })
}

/// The ranges of ports of which the ACL admits nothing, to none of the addresses.
fn not_admitted(acl: &Acl<'_>, egress: bool, remotes: &[IpNet], ports: &PortSet) -> PortSet {
    let admits = |protocol: u8, range: PortRange| {
        remotes.iter().any(|remote| {
            // The internet is written as everything; what an entry says of private addresses is not about it.
            let counts = |address: IpAddr| remote.prefix_len() > 0 || !is_private(address);
            acl.answers(egress, protocol, remote, range).any(|(address, admitted)| admitted && counts(address))
        })
    };
    let all = PortRange { lo: 0, hi: 65535 };
    if ports.any {
        // Whatever is admitted at all will do.
        let some = [TCP, UDP, ICMP].into_iter().any(|protocol| admits(protocol, all));
        return if some { PortSet::default() } else { PortSet::any() };
    }
    PortSet {
        any: false,
        tcp: ports.tcp.iter().copied().filter(|range| !admits(TCP, *range)).collect(),
        udp: ports.udp.iter().copied().filter(|range| !admits(UDP, *range)).collect(),
        icmp: ports.icmp && !admits(ICMP, all),
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(address) => address.is_unique_local(),
    }
}
