//! The boundary map after reading: every name resolved, every address parsed.
//!
//! Zones, services and VPCs are indices here; names are kept for people. [`ZoneId`] covers the built-in zones
//! too, so that a rule's `from` and `to` are plain lists of zones.

use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;

use super::values::Severity;

/// A zone, declared or built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ZoneId(
    /// Index: the built-in zones first, then the declared ones in the order of the file.
    pub u16,
);

impl ZoneId {
    /// Every address is in it.
    pub const ANY: Self = Self(0);
    /// Addresses in the CIDRs of the record's VPC.
    pub const VPC: Self = Self(1);
    /// Local addresses that no zone claims.
    pub const VPC_UNZONED: Self = Self(2);
    /// Loopback, link-local, multicast, broadcast.
    pub const SPECIAL: Self = Self(3);
    /// Private addresses that are neither local nor in a declared zone.
    pub const PRIVATE_UNKNOWN: Self = Self(4);
    /// Public addresses in no declared zone.
    pub const INTERNET: Self = Self(5);
    /// Names of the built-in zones, in the order of their ids.
    pub const BUILT_IN: [&'static str; 6] = ["any", "vpc", "vpc:unzoned", "special", "private-unknown", "internet"];

    /// The id of the declared zone with this index in [`BoundaryMap::zones`].
    pub const fn declared(index: usize) -> Self {
        Self(index as u16 + Self::BUILT_IN.len() as u16)
    }

    /// The index in [`BoundaryMap::zones`], or `None` for a built-in zone.
    pub const fn index(self) -> Option<usize> {
        (self.0 as usize).checked_sub(Self::BUILT_IN.len())
    }
}

/// A VPC of the map: index into [`BoundaryMap::vpcs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VpcId(
    /// The index.
    pub u16,
);

/// A service of the map: index into [`BoundaryMap::services`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId(
    /// The index.
    pub u16,
);

/// Where in the map's files something stands, for messages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Index into [`BoundaryMap::files`].
    pub file: u16,
    /// Bytes of the file.
    pub span: Range<usize>,
}

/// One file of the map: the one named on the command line, then what it includes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapFile {
    /// Path as given or as included.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// A whole boundary map, correct in itself: what `map check` lets through without an error of form.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundaryMap {
    /// Name of the map, for people and for file metadata.
    pub name: String,
    /// The environment that is selected when the command line names none.
    pub env: Option<String>,
    /// What the flow log is said to record.
    pub flow_log: Option<FlowLogSettings>,
    /// VPCs in the order of the file.
    pub vpcs: Vec<Vpc>,
    /// Declared zones in the order of the file; see [`ZoneId::declared`].
    pub zones: Vec<Zone>,
    /// Services in the order of the file.
    pub services: Vec<Service>,
    /// Grants.
    pub rules: Vec<Rule>,
    /// Entries of network ACLs.
    pub nacls: Vec<Nacl>,
    /// What must not be, in the order of the file (the first that is hit is named).
    pub invariants: Vec<Invariant>,
    /// What must be seen, or not seen, over time.
    pub expects: Vec<Expect>,
    /// Inventory of interfaces.
    pub enis: Vec<Eni>,
    /// The files, the first being the one that was named.
    pub files: Vec<MapFile>,
    /// SHA-256 over the files, 64 hexadecimal digits: the identity of the map in commits and file metadata.
    pub sha256: String,
}

impl BoundaryMap {
    /// A zone's name, declared or built in.
    pub fn zone_name(&self, zone: ZoneId) -> &str {
        match zone.index() {
            Some(index) => &self.zones[index].name,
            None => ZoneId::BUILT_IN[zone.0 as usize],
        }
    }
}

/// `[flow_log]`: compared with what arrives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FlowLogSettings {
    /// ALL, ACCEPT or REJECT.
    pub traffic_type: Option<String>,
    /// Seconds: 60 or 600.
    pub max_aggregation_interval: Option<u32>,
    /// Days that the log is kept.
    pub retention_days: Option<u32>,
    /// Where the log goes.
    pub destination: Option<String>,
    /// Fields of the log format; the AWS default where none are given.
    pub fields: Option<Vec<String>>,
    /// Where it stands.
    pub place: Place,
}

/// `[vpc.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vpc {
    /// Name in the map.
    pub name: String,
    /// AWS id, matched with the field `vpc-id`.
    pub id: Option<String>,
    /// Address ranges, v4 and v6.
    pub cidrs: Vec<IpNet>,
    /// VPCs whose addresses are local too.
    pub peers: Vec<VpcId>,
    /// Accounts that own it.
    pub accounts: Vec<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What it is, and why.
    pub description: Option<String>,
    /// Where it stands.
    pub place: Place,
}

/// What a zone is for the evaluator beside its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// NAT gateway: unmanaged, hides clients.
    Nat,
    /// Transit gateway: unmanaged.
    Tgw,
    /// Load balancer.
    Lb,
    /// Interface endpoint.
    Endpoint,
}

impl Role {
    /// The word in the map.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nat => "nat",
            Self::Tgw => "tgw",
            Self::Lb => "lb",
            Self::Endpoint => "endpoint",
        }
    }

    /// The role of a word.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Nat, Self::Tgw, Self::Lb, Self::Endpoint].into_iter().find(|role| role.as_str() == name)
    }
}

/// `[zone.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Name in the map.
    pub name: String,
    /// The VPC it names, if it names one.
    pub vpc: Option<VpcId>,
    /// Address ranges.
    pub cidrs: Vec<IpNet>,
    /// Single addresses.
    pub addresses: Vec<IpAddr>,
    /// Subnet ids; count through the inventory.
    pub subnets: Vec<String>,
    /// Security group names or ids; count through the inventory.
    pub security_groups: Vec<String>,
    /// Interface ids; count through the inventory.
    pub enis: Vec<String>,
    /// Prefix list ids; count through the resolved CIDRs.
    pub prefix_lists: Vec<String>,
    /// The zone around it (never a circle).
    pub parent: Option<ZoneId>,
    /// Its part in the network.
    pub role: Option<Role>,
    /// aws-service, on-prem, partner or saas.
    pub kind: Option<String>,
    /// Free words; `data` marks a protected zone.
    pub tags: Vec<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What it is.
    pub description: Option<String>,
    /// Where it stands.
    pub place: Place,
}

/// Ports from `lo` to `hi`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortRange {
    /// First port.
    pub lo: u16,
    /// Last port.
    pub hi: u16,
}

impl PortRange {
    /// Every port.
    pub const ALL: Self = Self { lo: 0, hi: u16::MAX };

    /// True when the port is in the range.
    pub const fn contains(self, port: u16) -> bool {
        self.lo <= port && port <= self.hi
    }

    /// Number of ports.
    pub const fn width(self) -> u32 {
        self.hi as u32 - self.lo as u32 + 1
    }
}

/// `[service.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Name in the map.
    pub name: String,
    /// TCP ports.
    pub tcp: Vec<PortRange>,
    /// UDP ports.
    pub udp: Vec<PortRange>,
    /// ICMP and ICMPv6.
    pub icmp: bool,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What it is.
    pub description: Option<String>,
    /// Where it stands.
    pub place: Place,
}

/// Which services an entry is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Services {
    /// Every protocol and port: `any` is in the list, or there is no list.
    Any,
    /// These.
    These(Vec<ServiceId>),
}

/// Which end of a conversation a rule speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuleSide {
    /// Both ends (the default).
    Path,
    /// The server's end.
    Ingress,
    /// The client's end.
    Egress,
}

impl RuleSide {
    /// The word in the map.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    /// The side of a word.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Path, Self::Ingress, Self::Egress].into_iter().find(|side| side.as_str() == name)
    }
}

/// When an entry takes part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    /// Environments; `None` is every one.
    pub env: Option<Vec<String>>,
    /// Mode; `None` is every one.
    pub mode: Option<String>,
}

/// `[[rule]]`: a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Unique among rules and invariants.
    pub id: String,
    /// Which end it speaks for.
    pub side: RuleSide,
    /// Zones of the client.
    pub from: Vec<ZoneId>,
    /// Zones of the server.
    pub to: Vec<ZoneId>,
    /// What the server offers.
    pub service: Services,
    /// Severity of an outage on this path.
    pub severity: Option<Severity>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// When it takes part.
    pub when: Selector,
    /// The map says that this exposure is known and meant (`exposure = "accepted"`).
    pub exposure_accepted: bool,
    /// Last day of validity, `YYYY-MM-DD`.
    pub expires: Option<String>,
    /// Silence on this path is no finding.
    pub optional: bool,
    /// Where it stands.
    pub place: Place,
}

/// `[[nacl]]`: one entry of the stateless layer; explains rejections and never permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nacl {
    /// Name, if it has one.
    pub id: Option<String>,
    /// The zone whose subnets the ACL guards.
    pub zone: ZoneId,
    /// Order of evaluation.
    pub number: u32,
    /// Outgoing (true) or incoming.
    pub egress: bool,
    /// Permits (true) or denies.
    pub allow: bool,
    /// Protocol number; `None` is every one (`-1`).
    pub protocol: Option<u8>,
    /// The remote addresses.
    pub cidr: IpNet,
    /// Destination ports.
    pub ports: PortRange,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Where it stands.
    pub place: Place,
}

/// One permitted way out of a confined zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Zones of the client; empty means the invariant's own zones.
    pub from: Vec<ZoneId>,
    /// Zones of the server.
    pub to: Vec<ZoneId>,
    /// What the server offers.
    pub service: Services,
    /// Budget; judged over time, not on one record.
    pub max_bytes_per_hour: Option<u64>,
}

/// What an invariant says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvariantKind {
    /// Nobody connects to the zones.
    NoInbound {
        /// The zones.
        zone: Vec<ZoneId>,
    },
    /// The zones and the peers never meet.
    Isolated {
        /// The zones.
        zone: Vec<ZoneId>,
        /// The peers.
        peer: Vec<ZoneId>,
        /// Only as the peer's request (`direction = "in"`).
        inbound_only: bool,
    },
    /// Only these connect to the zones.
    OnlyFrom {
        /// The zones.
        zone: Vec<ZoneId>,
        /// Who may.
        allow: Vec<ZoneId>,
    },
    /// The zones connect only to these.
    OnlyTo {
        /// The zones.
        zone: Vec<ZoneId>,
        /// Whom they may reach.
        allow: Vec<ZoneId>,
    },
    /// The zones do not leave the VPC and its peers but by an exit.
    Confined {
        /// The zones.
        zone: Vec<ZoneId>,
        /// The ways out.
        exits: Vec<Exit>,
    },
    /// This never happens.
    Forbid {
        /// Zones of the client.
        from: Vec<ZoneId>,
        /// Zones of the server.
        to: Vec<ZoneId>,
        /// What the server offers.
        service: Services,
    },
    /// The zones do not lie in these; checked on the inventory, never on a record.
    Placement {
        /// The zones.
        zone: Vec<ZoneId>,
        /// Where they must not be.
        not_in: Vec<ZoneId>,
    },
}

impl InvariantKind {
    /// The word in the map.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NoInbound { .. } => "no-inbound",
            Self::Isolated { .. } => "isolated",
            Self::OnlyFrom { .. } => "only-from",
            Self::OnlyTo { .. } => "only-to",
            Self::Confined { .. } => "confined",
            Self::Forbid { .. } => "forbid",
            Self::Placement { .. } => "placement",
        }
    }
}

/// `[[invariant]]`: beats every grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invariant {
    /// Unique among rules and invariants.
    pub id: String,
    /// What it says.
    pub kind: InvariantKind,
    /// Severity of a breach.
    pub severity: Option<Severity>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Why.
    pub description: Option<String>,
    /// When it takes part.
    pub when: Selector,
    /// Where it stands.
    pub place: Place,
}

/// What an expectation watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectSubject {
    /// Traffic credited to a rule: its id.
    Rule(String),
    /// Traffic between zones.
    Path {
        /// Zones of the client.
        from: Vec<ZoneId>,
        /// Zones of the server.
        to: Vec<ZoneId>,
        /// What the server offers.
        service: Services,
        /// ACCEPT or REJECT; both where it is `None`.
        action: Option<crate::record::Action>,
    },
}

/// `[[expect]]`: judged over time, by detection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expect {
    /// Unique among expectations.
    pub id: String,
    /// What is watched.
    pub subject: ExpectSubject,
    /// At least so many flows in the period.
    pub min_flows: Option<u64>,
    /// At most so many flows in the period.
    pub max_flows: Option<u64>,
    /// The period of both, in seconds.
    pub every: Option<u32>,
    /// At most so many bytes both ways in an hour.
    pub max_bytes_per_hour: Option<u64>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What it is, and why.
    pub description: Option<String>,
    /// Where it stands.
    pub place: Place,
}

impl Expect {
    /// The longest period, in seconds: a day is judged beside the seven before.
    pub const LONGEST: u32 = 7 * Self::DAY;
    /// A longer period is one of whole days, in seconds: periods are judged day by day.
    pub const DAY: u32 = 86_400;
}

/// `[eni.ID]`: one interface of the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eni {
    /// AWS id.
    pub id: String,
    /// Its private addresses, the primary first.
    pub addresses: Vec<IpAddr>,
    /// Its zone.
    pub zone: Option<ZoneId>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What it is, and why.
    pub description: Option<String>,
    /// Where it stands.
    pub place: Place,
}
