//! The scenarios: what can go wrong, planted with the verdict that it means.
//!
//! A scenario is a function that looks for the part of the map that it needs and plants records there, or says what
//! the map lacks. It knows the *policy* (who is allowed to do what) and decides itself what its records mean.

mod abuse;
mod breach;
mod coverage;
mod invariant;
mod outage;
mod refused;
mod scan;
mod script;

use super::GenerateError;
use super::lanes::Lanes;
use super::network::Network;
use super::options::{GenerateOptions, Span};
pub(super) use script::Label;
use script::{Planted, Script};

/// What the map lacks for a scenario.
type Unfit = &'static str;

/// One scenario.
#[derive(Debug, Clone, Copy)]
pub struct ScenarioInfo {
    /// Its name, for `--scenario` and the column `scenario`.
    pub name: &'static str,
    /// What it plants.
    pub plants: &'static str,
    /// The facts of the acceptance table (`testdata/ACCEPTANCE.md`) that its records violate, or the threat they show.
    pub rows: &'static [&'static str],
    run: fn(&mut Script<'_>) -> Result<(), Unfit>,
}

macro_rules! scenarios {
    ($($name:literal $run:path: $plants:literal, [$($row:literal)*];)*) => {
        /// Every scenario, in the order in which they are listed for people.
        pub const SCENARIOS: &[ScenarioInfo] = &[
            $(ScenarioInfo { name: $name, plants: $plants, rows: &[$($row),*], run: $run },)*
        ];
    };
}

scenarios! {
    "no-inbound" invariant::no_inbound: "somebody connects to a zone that nobody may connect to", ["E01" "A10"];
    "isolated-in" invariant::isolated_in: "the peer of an isolated zone connects to it",
        ["R01" "R07" "R09" "A19" "A20" "K02"];
    "isolated-out" invariant::isolated_out: "an isolated zone connects to its peer",
        ["R01" "R07" "R09" "R17" "R35" "R38" "A19" "K02"];
    "only-from" invariant::only_from: "another than the permitted clients connects", ["E10" "E11" "R08" "R39" "K01"];
    "only-to" invariant::only_to: "a zone connects to another than its permitted servers", [];
    "confined-exfiltration" invariant::confined: "a confined zone sends much to the internet", ["E05" "E12"];
    "forbid" invariant::forbid: "what an invariant forbids is accepted", ["E06" "E09" "R42"];
    "no-egress" breach::no_egress: "a zone without the grant to leave connects to another", ["A01" "R30" "R40" "R46" "K11"];
    "no-ingress" breach::no_ingress: "a server accepts what only its client's end permits",
        ["A01" "R46" "K01"];
    "other-source" breach::other_source: "a granted service answers somebody else",
        ["A08" "A09" "A11" "A12" "A13" "E10" "E11" "R08" "R32" "K04" "K06" "K14"];
    "wrong-port" breach::wrong_port: "a permitted pair talks on another port", ["E05" "A06" "R36" "R39"];
    "exposed-to-internet" breach::exposed: "the internet reaches what it must not", ["E09" "A21" "R01" "R23" "K02"];
    "ssh-exposed" breach::ssh: "SSH answers the internet", ["R42"];
    "external-initiates" breach::external_initiates: "an outside service connects to its client", ["E06" "E14"];
    "source-to-sink" breach::source_to_sink: "one data store connects to another", ["E15"];
    "data-to-internet" breach::data_to_internet: "a data store connects to the internet", ["R07" "R30" "K11" "A19"];
    "wrong-environment" breach::wrong_environment: "what only another environment grants is accepted", ["A18"];
    "wrong-mode" breach::wrong_mode: "what only another mode grants is accepted", ["E17"];
    "peer-vpc" breach::peer: "a host of a peered VPC connects without a grant", ["K01"];
    "unzoned" breach::unzoned: "an address of the VPC that no zone claims connects", ["R02"];
    "private-unknown" breach::private_unknown: "a private address of nobody connects", ["R22"];
    "udp-from-elsewhere" breach::udp: "a UDP service answers somebody else", ["R21"];
    "client-ip-preserved" breach::client_ip_preserved: "a load balancer's target sees the client itself", ["K15"];
    "attempt" refused::attempt: "a packet leaves legally and is refused at the other end", ["A13" "R15" "K01"];
    "blocked-internal" refused::internal: "protected servers refuse clients from inside", ["R08" "E10" "K01"];
    "blocked-external" refused::external: "protected servers refuse the internet", ["E09" "R07" "A21" "K02"];
    "bastion-to-database" refused::bastion: "an administrator's host tries a data store", ["R31" "K02"];
    "self-only-port" refused::self_only: "a port for a zone's own members refuses others", ["R15" "R16"];
    "aws-service-blocked" refused::aws_service: "traffic to an AWS service is refused at its source, then accepted",
        ["R27" "R28"];
    "nat-unsolicited" refused::nat_unsolicited: "the internet knocks at a NAT gateway", ["E09" "A21"];
    "ssh-probe" scan::ssh: "the internet knocks at SSH", ["R42" "E09"];
    "nodeport-probe" scan::nodeport: "the internet knocks at node ports", ["R23"];
    "low-port-probe" scan::low_port: "probes from low ports that look like replies", ["E09" "R01"];
    "port-scan" scan::vertical: "one host tries many ports of another", ["R01" "E01" "A21"];
    "sweep-external" scan::sweep_external: "the internet tries one port of every host", ["E09" "A21" "R01"];
    "sweep-internal" scan::sweep_internal: "a host tries one port all over the VPC", ["R46" "A01"];
    "slow-scan" scan::slow: "one port in some minutes, for hours", ["R01" "A21"];
    "outage-source" outage::at_source: "permitted traffic is refused where it leaves",
        ["E02" "E03" "E04" "E20" "A11" "R12"];
    "outage-destination" outage::at_destination: "permitted traffic is refused where it arrives",
        ["E03" "E04" "A11" "R29"];
    "outage-return-path" outage::return_path: "replies of permitted traffic are refused", ["E21"];
    "one-sided" outage::one_sided: "requests leave and nobody sees them arrive", [];
    "nat-bypass" abuse::nat_bypass: "a private host leaves by the internet gateway itself",
        ["E08" "E16" "A03" "R01" "R04" "R27"];
    "through-nat" abuse::through_nat: "traffic to an AWS service goes through the NAT gateway", ["A04"];
    "budget-exceeded" abuse::budget: "more bytes than an exit's budget", ["E12" "E13"];
    "bulk-on-http" abuse::bulk_on_http: "much data on the port that only redirects", ["A15"];
    "exfiltration" abuse::exfiltration: "a host sends very much to the internet in an hour", [];
    "exfiltration-trickle" abuse::trickle: "a data store sends a little to the internet, again and again",
        ["E12" "R07" "K02"];
    "beacon" abuse::beacon: "a host reports to the internet at regular times", [];
    "brute-force" abuse::brute_force: "many short conversations with a protected service", ["E10" "R29" "A13"];
    "unusual-source" abuse::unusual_source: "a permitted client that was never seen before", ["R29" "A08"];
    "new-destination" abuse::new_destination: "a permitted server that was never seen before", [];
    "unmapped-vpc" coverage::unmapped_vpc: "records of a VPC that the map does not know", [];
    "spoofed-source" coverage::spoofed: "neither address is local to the interface", [];
    "ipv6-from-nowhere" coverage::ipv6: "IPv6 from the internet", [];
    "skipped-records" coverage::skipped: "AWS says that it lost records", ["E25"];
    "silent-interface" coverage::silent: "an interface stops logging", ["E25"];
    "blocked-spike" refused::spike: "far more is refused than on other days", ["A21" "E09" "R08"];
}

/// Everything that is planted.
pub(super) struct Plan {
    /// In order of time.
    pub(super) records: Vec<Planted>,
    /// Records by scenario.
    pub(super) scenarios: Vec<(&'static str, u64)>,
    /// What does not fit the map, and why.
    pub(super) skipped: Vec<(&'static str, &'static str)>,
}

/// Plants the scenarios that are asked for.
pub(super) fn plan(
    network: &Network<'_>,
    lanes: &Lanes,
    foreign: u32,
    options: &GenerateOptions,
    span: Span,
) -> Result<Plan, GenerateError> {
    let mut plan = Plan { records: Vec::new(), scenarios: Vec::new(), skipped: Vec::new() };
    let mut fitting = Vec::new();
    let mut unfit = None;
    for (index, info) in SCENARIOS.iter().enumerate() {
        let mut script = Script::new(network, lanes, foreign, span, options.seed, info.name, index);
        let outcome = (info.run)(&mut script);
        let wanted = options.scenario.as_ref().is_none_or(|name| name == info.name);
        match outcome {
            Ok(()) => {
                fitting.push(info.name);
                if wanted {
                    plan.scenarios.push((info.name, script.records.len() as u64));
                    plan.records.append(&mut script.records);
                }
            }
            Err(why) if options.scenario.is_none() => plan.skipped.push((info.name, why)),
            Err(why) if wanted => unfit = Some(why),
            Err(_) => {}
        }
    }
    if let Some(name) = options.scenario.clone()
        && plan.scenarios.is_empty()
    {
        let fitting = fitting.join(", ");
        return Err(match unfit {
            Some(why) => GenerateError::UnfitScenario { name, why, fitting },
            None => GenerateError::UnknownScenario { name, fitting },
        });
    }
    plan.records.sort_by_key(|planted| planted.record.end);
    Ok(plan)
}
