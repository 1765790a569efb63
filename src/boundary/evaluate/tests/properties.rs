//! What holds for every map and every record.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::random::{self, RawRecord};
use super::reference;
use super::support::columns;
use crate::boundary::evaluate::memo::Budget;
use crate::boundary::evaluate::policy::Policies;
use crate::boundary::evaluate::ports::{PortClasses, Protocol};
use crate::boundary::evaluate::zones::{ClassId, Zones};
use crate::boundary::evaluate::{Boundary, Selection};
use crate::boundary::judgement::Path;
use crate::boundary::model::{BoundaryMap, VpcId};
use crate::boundary::values::{Orientation, OrientedBy, Verdict};

fn records() -> impl Strategy<Value = Vec<RawRecord>> {
    vec(random::raw_record(), 1..40)
}

fn case() -> impl Strategy<Value = (BoundaryMap, Selection, Vec<RawRecord>)> {
    (random::map(), random::selection(), records())
}

proptest! {
    #[test]
    fn the_compiled_map_agrees_with_the_reference((map, selection, records) in case()) {
        let boundary = Boundary::new(map.clone(), &selection);
        for raw in records {
            let record = raw.record();
            let compiled = columns(&boundary, &boundary.judge(&record));
            prop_assert_eq!(compiled, reference::judge(&map, &selection, &record), "{}", boundary.explain(&record));
        }
    }

    #[test]
    fn a_judgement_depends_on_no_other_record((map, selection, records) in case()) {
        let boundary = Boundary::new(map.clone(), &selection);
        let first: Vec<_> = records.iter().map(|raw| boundary.judge(&raw.record())).collect();
        let fresh = Boundary::new(map, &selection);
        let mut again: Vec<_> = records.iter().rev().map(|raw| fresh.judge(&raw.record())).collect();
        again.reverse();
        prop_assert_eq!(&first, &again);
        for (raw, first) in records.iter().zip(&first) {
            prop_assert_eq!(&boundary.judge(&raw.record()), first);
            prop_assert_eq!(&boundary.explain(&raw.record()).judgement, first);
        }
    }

    #[test]
    fn the_syn_ack_of_an_expected_request_is_expected((map, selection, records) in case()) {
        let boundary = Boundary::new(map.clone(), &selection);
        for raw in records {
            // both in one VPC: without vpc-id, the VPC may be found by the source, which the reply turns round
            let raw = RawRecord { vpc_id: Some("vpc-0"), ..raw };
            let judgement = boundary.judge(&raw.record());
            let is_request = judgement.path.is_some_and(|path| path.orientation == Orientation::Request);
            if judgement.verdict == Verdict::Expected && is_request && raw.protocol == Some(6) {
                let reply = RawRecord { flags: Some(18), ..raw.turned() };
                let answer = boundary.judge(&reply.record());
                prop_assert_eq!(answer.verdict, Verdict::Expected, "{}", boundary.explain(&reply.record()));
                prop_assert_eq!(answer.zones, judgement.zones);
                prop_assert_eq!(answer.credit, judgement.credit);
            }
        }
    }

    #[test]
    fn without_grants_nothing_at_a_managed_end_is_expected((map, selection, records) in case()) {
        let bare = BoundaryMap { rules: Vec::new(), ..map };
        let boundary = Boundary::new(bare.clone(), &selection);
        for raw in records {
            let record = raw.record();
            if reference::touches_a_managed_end(&bare, &record) {
                prop_assert_ne!(boundary.judge(&record).verdict, Verdict::Expected, "{}", boundary.explain(&record));
            }
        }
    }

    #[test]
    fn both_interfaces_of_a_flow_agree_on_client_and_server((map, selection, records) in case()) {
        let boundary = Boundary::new(map, &selection);
        for raw in records {
            let at_source = RawRecord { vpc_id: Some("vpc-0"), direction: Some("egress"), ..raw.clone() };
            let at_destination =
                RawRecord { interface_id: Some("eni-9"), direction: Some("ingress"), ..at_source.clone() };
            let (source, destination) = (boundary.judge(&at_source.record()), boundary.judge(&at_destination.record()));
            prop_assert_eq!(source.zones, destination.zones);
            let client = |path: Option<Path>| path.map(|path| (path.client_is_source, path.service));
            prop_assert_eq!(client(source.path), client(destination.path));
        }
    }

    #[test]
    fn what_is_tabulated_is_what_is_decided((map, selection) in (random::map(), random::selection()), entries in 0usize..400) {
        let zones = Zones::new(&map);
        let ports = PortClasses::new(&map);
        let policies = |budget| Policies::new(&map, &selection, &zones, &ports, budget);
        let decided = policies(Budget { pairs: 0, entries: 0 });
        let tabulated = [policies(Budget::USUAL), policies(Budget { entries, ..Budget::USUAL })];
        let classes = || (0..zones.classes().len() as u32).map(ClassId);
        for (client, server) in classes().flat_map(|client| classes().map(move |server| (client, server))) {
            for protocol in Protocol::ALL {
                for port in [0, 22, 23, 54, 443, 444, 1023, 1024, 1025, 2047, 2048, 2049, 8101, 32_768, 65_534, 65_535] {
                    let port = ports.at(protocol, port);
                    let expected = decided.of(client, server, port);
                    for tabulated in &tabulated {
                        prop_assert_eq!(tabulated.of(client, server, port), expected);
                    }
                }
            }
        }
    }

    #[test]
    fn the_public_policy_is_the_one_that_counts((map, selection, records) in case()) {
        let boundary = Boundary::new(map, &selection);
        for raw in records {
            let raw = RawRecord { vpc_id: Some("vpc-0"), pkt_srcaddr: None, pkt_dstaddr: None, ..raw };
            let judgement = boundary.judge(&raw.record());
            let (Some(path), Some((client_zone, server_zone))) = (judgement.path, judgement.zones) else { continue };
            let forward = if path.client_is_source { raw.clone() } else { raw.turned() };
            let (client, server) = (forward.srcaddr.unwrap(), forward.dstaddr.unwrap());
            prop_assert_eq!(boundary.zone_of(VpcId(0), client), client_zone);
            prop_assert_eq!(boundary.zone_of(VpcId(0), server), server_zone);
            let (protocol, port) = (raw.protocol.unwrap() as u8, forward.dstport.unwrap_or(0) as u16);
            let policy = boundary.policy(VpcId(0), client, server, protocol, port);
            prop_assert!(judgement.verdict != Verdict::Expected || policy.allow);
            prop_assert!(judgement.verdict != Verdict::Breach || !policy.allow);
        }
    }
}

#[test]
fn a_boundary_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Boundary>();
}

/// The properties say little if random cases never come near the interesting places.
#[test]
fn random_cases_reach_every_verdict_and_every_step() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeMap::<String, usize>::new();
    for _ in 0..400 {
        let (map, selection, records) = case().new_tree(&mut runner).unwrap().current();
        let boundary = Boundary::new(map, &selection);
        for raw in records {
            let columns = columns(&boundary, &boundary.judge(&raw.record()));
            for key in ["verdict", "oriented_by", "side"] {
                *seen.entry(format!("{key} {}", columns[key])).or_default() += 1;
            }
            let reason = columns["reason"].as_str().unwrap();
            *seen.entry(reason.split([':', '0', '1', '2', '3']).next().unwrap().to_owned()).or_default() += 1;
        }
    }
    let words = Verdict::ALL.iter().map(|verdict| format!("verdict \"{verdict}\""));
    let words = words.chain(OrientedBy::ALL.iter().map(|by| format!("oriented_by \"{by}\"")));
    let reasons =
        ["nat-unsolicited", "late-packet", "unsolicited-reply", "return-path/nacl", "rejected-at-source", "i"];
    for word in words.chain(reasons.map(str::to_owned)) {
        assert!(seen.contains_key(&word), "no {word} in {seen:#?}");
    }
}
