//! The lints' view of the policy against the evaluator: two ways of computing one thing.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::*;
use crate::boundary::evaluate::Boundary;
use crate::boundary::lint::ports::PortSet;
use crate::boundary::lint::view::View;
use crate::boundary::lint::ways::{Ban, ban, ways};
use crate::boundary::model::{PortRange, VpcId};

const OUTSIDE: [&str; 4] = ["8.8.8.8", "192.168.9.9", "169.254.1.1", "2001:4860::8888"];

/// For every pair of sample addresses and every port where an answer can change: the way is open in the view exactly if
/// the evaluator allows it.
fn agree(map: &BoundaryMap, selection: &Selection) -> usize {
    let boundary = Boundary::new(map.clone(), selection);
    let view = View::new(map, selection);
    let all = ways(&view);
    let mut addresses: Vec<IpAddr> = OUTSIDE.iter().map(|text| text.parse().unwrap()).collect();
    addresses.extend(map.vpcs.iter().flat_map(|vpc| &vpc.cidrs).map(|cidr| cidr.broadcast()));
    for prefix in view.prefixes.iter().flatten().map(|(prefix, _)| prefix) {
        addresses.extend([prefix.network(), prefix.broadcast()]);
    }
    let ranges = map.services.iter().flat_map(|service| service.tcp.iter().chain(&service.udp));
    let mut ports: Vec<u16> =
        ranges.flat_map(|r| [r.lo.saturating_sub(1), r.lo, r.hi, r.hi.saturating_add(1)]).collect();
    ports.sort_unstable();
    ports.dedup();
    let mut compared = 0;
    for (index, context) in view.contexts.iter().enumerate() {
        let vpc = VpcId(u16::try_from(index).unwrap());
        let cidrs = |vpc: VpcId| map.vpcs[usize::from(vpc.0)].cidrs.iter();
        let atom = |address: IpAddr| {
            let in_vpc = cidrs(vpc).any(|cidr| cidr.contains(&address));
            let peers = &map.vpcs[index].peers;
            let local = in_vpc || peers.iter().any(|peer| cidrs(*peer).any(|cidr| cidr.contains(&address)));
            let primary = boundary.zone_of(vpc, address);
            let found = context.atoms.iter().find(|a| a.primary == primary && a.in_vpc() == in_vpc && a.local == local);
            found.unwrap_or_else(|| panic!("no atom for {address} in {}", boundary.zone_name(primary)))
        };
        for (client, server) in addresses.iter().flat_map(|c| addresses.iter().map(move |s| (*c, *s))) {
            let (c, s) = (atom(client), atom(server));
            if !c.local && !s.local {
                continue;
            }
            let open: Vec<_> =
                all.iter().filter(|way| std::ptr::eq(way.client, c) && std::ptr::eq(way.server, s)).collect();
            for (protocol, port) in ports.iter().flat_map(|port| [(6u8, *port), (17, *port)]).chain([(1, 0)]) {
                let one = match protocol {
                    6 => PortSet { tcp: vec![PortRange { lo: port, hi: port }], ..PortSet::default() },
                    17 => PortSet { udp: vec![PortRange { lo: port, hi: port }], ..PortSet::default() },
                    _ => PortSet { icmp: true, ..PortSet::default() },
                };
                let granted = !c.managed && !s.managed || open.iter().any(|way| way.ports.covers(&one));
                let allowed = granted && !matches!(ban(&view, c, s, &one), Ban::Whole(_) | Ban::Part(_));
                let policy = boundary.policy(vpc, client, server, protocol, port);
                assert_eq!(policy.allow, allowed, "{client} -> {server} {protocol}/{port}: {policy:?}");
                compared += 1;
            }
        }
    }
    compared
}

#[test]
fn the_view_and_the_evaluator_agree_on_the_reference_maps() {
    for name in ["ez-cdc", "atlas", "artos", "eks-rds"] {
        for selection in [
            select(None, None),
            select(Some("staging"), Some("standard")),
            select(Some("production"), Some("privatelink")),
        ] {
            assert!(agree(&reference::reference(name), &selection) > 10_000);
        }
    }
}

/// What the lint finds in rules and ports the evaluator finds in policies: an expectation that the map does not permit.
#[test]
fn what_is_expected_and_not_permitted_is_so_for_both() {
    let agree = |map: BoundaryMap| {
        let quoted = |lint: &Lint| lint.message.strip_prefix("expectation `")?.split('`').next().map(str::to_owned);
        let told: BTreeSet<String> = on(&map, "L07").iter().filter_map(quoted).collect();
        let boundary = Boundary::new(map, &Selection::default());
        let found = boundary.watches().iter().filter(|watch| !watch.permitted).map(|watch| watch.id.clone());
        assert_eq!(found.collect::<BTreeSet<_>>(), told);
        told.len()
    };
    let reference = ["artos", "atlas", "eks-rds", "ez-cdc"].map(|system| {
        let path = format!("{}/testdata/{system}/boundary.toml", env!("CARGO_MANIFEST_DIR"));
        agree(map(&std::fs::read_to_string(path).unwrap()))
    });
    assert_eq!(reference, [2, 3, 0, 0]);
    let expect = |subject: &str| format!("[[expect]]\nid = \"alive\"\n{subject}\nmin_flows = 1\nevery = \"5m\"\n");
    let path = expect("from = [\"web\"]\nto = [\"db\"]\nservice = [\"postgresql\"]");
    let rule = |side: &str, service: &str| {
        format!("[[rule]]\nid = \"r\"\nside = \"{side}\"\nfrom = [\"web\"]\nto = [\"db\"]\nservice = [\"{service}\"]\n")
    };
    let closed = "[[invariant]]\nid = \"closed\"\nkind = \"no-inbound\"\nzone = [\"db\"]\n";
    let (open, half, other) = (rule("path", "postgresql"), rule("egress", "postgresql"), rule("path", "https"));
    let of_rule = expect("rule = \"r\"");
    for (text, count) in [
        (path.clone(), 1),
        (format!("{path}{open}"), 0),
        (format!("{path}{half}"), 1),
        (format!("{path}{other}"), 1),
        (format!("{path}{open}{closed}"), 1),
        (format!("{of_rule}{open}"), 0),
        (format!("{of_rule}{half}"), 1),
        (format!("{of_rule}{open}{closed}"), 1),
        (path.replace("min_flows = 1", "min_flows = 1\naction = \"REJECT\""), 0),
    ] {
        assert_eq!(agree(example(&text)), count, "{text}");
    }
}
