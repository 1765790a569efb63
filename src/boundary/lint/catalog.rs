//! What each lint is: the table that the documentation is made from.

use std::fmt::Write as _;

use crate::boundary::report::Level::{self, Error, Note, Warning};

/// One lint, described.
#[derive(Debug, Clone, Copy)]
pub struct LintInfo {
    /// `L01` to `L21`.
    pub code: &'static str,
    /// What it finds, in one line.
    pub title: &'static str,
    /// Its levels, each with the case that has it.
    pub levels: &'static [(Level, &'static str)],
    /// Why it matters and what exactly counts.
    pub why: &'static str,
    /// Entries that trip it when they are added to [`EXAMPLE_MAP`]; empty for a lint that traffic trips.
    pub example: &'static str,
}

impl LintInfo {
    /// The lint with this code.
    pub fn from_code(code: &str) -> Option<&'static Self> {
        LINTS.iter().find(|info| info.code.eq_ignore_ascii_case(code))
    }

    /// The lint in Markdown: what `map check --explain` prints and `docs/lints.md` consists of.
    pub fn markdown(&self) -> String {
        let mut text = format!("## {} {}\n\n", self.code, self.title);
        for (level, case) in self.levels {
            // writing to a `String` cannot fail
            writeln!(text, "- **{level}**: {case}").unwrap_or_default();
        }
        writeln!(text, "\n{}", self.why).unwrap_or_default();
        if !self.example.is_empty() {
            write!(text, "\n```toml\n{}```\n", self.example).unwrap_or_default();
        }
        text
    }
}

/// The whole of `docs/lints.md`.
pub fn lints_markdown() -> String {
    let mut text = String::from(INTRODUCTION);
    for info in LINTS {
        text.push('\n');
        text.push_str(&info.markdown());
    }
    text
}

/// The text of [`EXAMPLE_MAP`]: a macro, because `concat!` takes literals only.
macro_rules! example_map {
    () => {
        r#"version = 1
name = "example"

[vpc.main]
cidrs = ["10.0.0.0/16"]

[zone.web]
cidrs = ["10.0.1.0/24"]
security_groups = ["web"]
[zone.db]
cidrs = ["10.0.2.0/24"]
security_groups = ["db"]
tags = ["data"]

[service.https]
tcp = ["443"]
[service.postgresql]
tcp = ["5432"]
"#
    };
}

const INTRODUCTION: &str = concat!(
    "# Lints\n\n<!-- Generated from src/boundary/lint/catalog.rs; UPDATE_GOLDEN=1 cargo test lints_md rewrites it. -->\n\n",
    "`flowbound map check` reads a map and prints what is legal in it and probably not meant. A lint of level **error** ",
    "says that the map contradicts itself or promises what cannot hold (exit code 4); a **warning** that something is ",
    "probably not meant; a **note** that something is worth knowing. L18 and L21 also need traffic (`--lake`).\n\n",
    "Lints about one entry look at every entry of the map. Lints about how entries work together (L07, L09, L13, L14, ",
    "L20) look at those that take part under `--env` and `--mode`; L05 and L06 compare the environments and modes of ",
    "the rules themselves.\n\nEach example below trips its lint when it is added to this map:\n\n```toml\n",
    example_map!(),
    "```\n"
);

/// The map that the examples are added to.
pub const EXAMPLE_MAP: &str = example_map!();

/// Every lint, in the order of the codes.
pub const LINTS: &[LintInfo] = &[
    LintInfo {
        code: "L01",
        title: "two unrelated zones claim the same prefix",
        levels: &[(Error, "always: an address cannot be in both")],
        why: "Zones in the same VPC (or both outside every VPC) list an equal CIDR or address, inventory included, and neither lies around the other. Which zone such an address gets is then decided by depth and by name, so one of them is silently empty.",
        example: r#"[zone.api]
cidrs = ["10.0.1.0/24"]
"#,
    },
    LintInfo {
        code: "L02",
        title: "a zone lies outside its VPC or its parent",
        levels: &[
            (
                Error,
                "addresses outside the CIDRs of the zone's VPC: they are never local, so the zone's rules do not hold for them",
            ),
            (
                Warning,
                "addresses outside the ranges of the zone's parent: the address plan and the zones disagree, and the zones win",
            ),
        ],
        why: "A zone belongs to the VPC that it names, or to the only VPC if one of its addresses is inside. A zone made of interfaces (security groups, subnets, a role) must lie in some VPC.",
        example: r#"[zone.cache]
vpc = "main"
cidrs = ["10.1.0.0/24"]
"#,
    },
    LintInfo {
        code: "L03",
        title: "a zone, or the whole map, is empty",
        levels: &[
            (Warning, "a zone: rules that name it match nothing"),
            (Error, "the map has no VPC: every record is unmapped"),
        ],
        why: "The zone has no selector at all and no zone inside it; or all it has are security groups, subnets or interfaces, which count through the inventory only, and the map has no inventory.",
        example: r#"[zone.cache]
description = "to be filled in"
"#,
    },
    LintInfo {
        code: "L04",
        title: "a security group, subnet, interface or prefix list is unknown",
        levels: &[(Warning, "always: the selector matches nothing")],
        why: "The map has an inventory, and no interface of it is in the zone; or a prefix list has no resolved CIDRs; or an interface is missing from the inventory or stands in another zone there. (Unknown names of zones, services and VPCs are errors of form: such a map cannot be read.)",
        example: r#"[zone.s3]
prefix_lists = ["pl-63a5400a"]
"#,
    },
    LintInfo {
        code: "L05",
        title: "a rule stands twice, or contradicts another",
        levels: &[
            (
                Error,
                "the two differ in severity, exposure, expires or optional; or two NACL entries have one number and differ",
            ),
            (Warning, "the two are the same"),
        ],
        why: "Two rules of one side, environment and mode match the same clients, servers and services, whatever their zones are called. Network ACLs have each number once per direction.",
        example: r#"[[rule]]
id = "web-db"
from = ["web"]
to = ["db"]
service = ["postgresql"]
[[rule]]
id = "web-db-again"
from = ["web"]
to = ["db"]
service = ["postgresql"]
severity = "critical"
"#,
    },
    LintInfo {
        code: "L06",
        title: "a rule is shadowed by a wider one",
        levels: &[(Warning, "always: removing the rule would change no verdict")],
        why: "Every client, server, protocol and port that the rule matches is matched by one other rule, on the rule's sides, in all of its environments and modes, at least until it expires. A zone is inside its parents and `any`, and inside `vpc` if its addresses are in the VPC's CIDRs. The narrow rule gives a false sense of control: it looks like the permission, and the wide one is.",
        example: r#"[[rule]]
id = "web-db"
from = ["web"]
to = ["db"]
service = ["postgresql"]
[[rule]]
id = "all-db"
from = ["vpc"]
to = ["db"]
service = ["postgresql", "https"]
"#,
    },
    LintInfo {
        code: "L07",
        title: "a path is permitted by half, or required and not permitted",
        levels: &[
            (Error, "an expectation with min_flows watches a path that the policy never allows"),
            (
                Warning,
                "an ingress rule that no egress grant of its clients meets, or an egress rule that no ingress grant of its servers meets",
            ),
        ],
        why: "Security groups are two-sided: traffic needs an egress grant at the client and an ingress grant at the server. Ends outside the VPC, NAT and transit gateways need none. Each pair of a rule's zones is looked at by itself; one client and one server that meet are enough.",
        example: r#"[[rule]]
id = "db-from-web"
side = "ingress"
from = ["web"]
to = ["db"]
service = ["postgresql"]
"#,
    },
    LintInfo {
        code: "L08",
        title: "a rule is open to or towards the whole internet",
        levels: &[(Warning, "unless the rule says `exposure = \"accepted\"`")],
        why: "The rule admits clients from `any`, `internet` or a zone of 0.0.0.0/0 or ::/0, or lets its clients reach them.",
        example: r#"[[rule]]
id = "web-in"
side = "ingress"
from = ["internet"]
to = ["web"]
service = ["https"]
"#,
    },
    LintInfo {
        code: "L09",
        title: "a zone that holds data is reachable from the internet",
        levels: &[
            (Error, "grants open it, and the rule does not accept the exposure"),
            (Warning, "grants open it, and the rule says `exposure = \"accepted\"`"),
            (Note, "grants open it, and only an invariant forbids it: the security group still lets the internet in"),
        ],
        why: "The zone, or one around it, has the tag `data`.",
        example: r#"[[rule]]
id = "db-in"
side = "ingress"
from = ["any"]
to = ["db"]
service = ["postgresql"]
"#,
    },
    LintInfo {
        code: "L10",
        title: "a rule permits more than 1,024 ports",
        levels: &[(Warning, "unless the exposure is accepted"), (Note, "with `exposure = \"accepted\"`")],
        why: "All TCP and UDP ports of the rule's services together, or every protocol. Beside being permissive, a wide rule cannot tell which end of a connection is the server, so records without TCP flags are oriented by weaker means.",
        example: r#"[service.high]
tcp = ["1024-65535"]
[[rule]]
id = "web-db"
from = ["web"]
to = ["db"]
service = ["high"]
"#,
    },
    LintInfo {
        code: "L11",
        title: "a range of addresses where a security group is possible",
        levels: &[(Note, "always")],
        why: "A zone inside a VPC is an end of a rule and selects by CIDRs wider than one address, without security groups. Gateways (roles nat and tgw) have no group, and zones with a `kind` are not ours. Whatever gets an address in the range has the rights of the rule.",
        example: r#"[zone.batch]
cidrs = ["10.0.3.0/24"]
[[rule]]
id = "batch-db"
from = ["batch"]
to = ["db"]
service = ["postgresql"]
"#,
    },
    LintInfo {
        code: "L12",
        title: "an owner or a description is missing",
        levels: &[(
            Note,
            "one for all zones without an owner, one each for rules and invariants without a description",
        )],
        why: "An alert shows them to the person it wakes. A zone inside another has its owner; AWS services need none.",
        example: r#"[zone.cache]
cidrs = ["10.0.3.0/24"]
"#,
    },
    LintInfo {
        code: "L13",
        title: "a network ACL stops what the map permits",
        levels: &[
            (
                Error,
                "an entry admits requests and nothing admits any reply; or a rule's path crosses the ACL and no entry admits any request of it",
            ),
            (Warning, "replies are admitted for some of the addresses or ports only"),
            (
                Note,
                "replies are admitted from port 32768 only, and clients of NAT gateways, load balancers and Lambda use ports from 1024",
            ),
        ],
        why: "ACLs are stateless: each direction needs its entry, and replies go to ephemeral ports. What no entry admits is denied. Traffic within one CIDR of the zone does not cross its ACL.",
        example: r#"[[nacl]]
zone = "web"
number = 100
egress = true
action = "allow"
protocol = "tcp"
cidr = "10.0.2.0/24"
ports = "5432"
"#,
    },
    LintInfo {
        code: "L14",
        title: "an invariant overrides a grant",
        levels: &[
            (Error, "invariants forbid all that a rule permits"),
            (Warning, "an invariant forbids some of what a rule permits"),
        ],
        why: "The invariant wins, so what it catches is a breach; but the security group that the grant describes lets it pass. Either the group is too wide or the invariant too strict.",
        example: r#"[[rule]]
id = "web-out"
side = "egress"
from = ["web"]
to = ["any"]
service = ["https"]
exposure = "accepted"
[[invariant]]
id = "web-stays-inside"
kind = "isolated"
zone = ["web"]
peer = ["internet"]
"#,
    },
    LintInfo {
        code: "L15",
        title: "addresses of a VPC that belong to somebody else",
        levels: &[
            (Error, "two VPCs peer and overlap: AWS refuses such a peering"),
            (Warning, "a VPC overlaps a zone of kind `on-prem`, or is not in a private range"),
        ],
        why: "Private ranges are RFC 1918, 100.64.0.0/10 and RFC 4193; for IPv6 also global unicast, which Amazon hands out.",
        example: r#"[zone.office]
cidrs = ["10.0.128.0/17"]
kind = "on-prem"
"#,
    },
    LintInfo {
        code: "L16",
        title: "a VPC is too small",
        levels: &[
            (Warning, "all of its IPv4 CIDRs together are a /24 or smaller"),
            (Note, "the CIDRs of its zones leave no room for another subnet, not even a /28"),
        ],
        why: "AWS keeps five addresses of every subnet, and containers take one each.",
        example: r#"[vpc.lab]
cidrs = ["10.9.0.0/24"]
"#,
    },
    LintInfo {
        code: "L17",
        title: "the flow log records too little",
        levels: &[
            (Error, "srcaddr, dstaddr, protocol or action is missing: nothing can be judged"),
            (
                Warning,
                "ports, tcp-flags, flow-direction or, with several VPCs, vpc-id is missing; or one action only is logged",
            ),
            (Note, "pkt-srcaddr, pkt-dstaddr, interface-id or log-status is missing"),
        ],
        why: "Looked at is `fields` of [flow_log], else AWS's default format, which lacks tcp-flags, flow-direction, vpc-id and the pkt-* fields. The message says what each costs.",
        example: r#"[flow_log]
traffic_type = "ALL"
"#,
    },
    LintInfo {
        code: "L18",
        title: "IPv6 traffic, and a map without IPv6",
        levels: &[(Warning, "always; needs a lake")],
        why: "The lake holds records with IPv6 addresses, and no VPC or zone of the map has an IPv6 range: that traffic is unmapped and goes unjudged.",
        example: "",
    },
    LintInfo {
        code: "L19",
        title: "a rule has expired",
        levels: &[(Warning, "from the day after `expires`")],
        why: "A verdict is a function of the record and the map and knows no clock: an expired rule goes on permitting until it is removed.",
        example: r#"[[rule]]
id = "migration"
from = ["web"]
to = ["db"]
service = ["postgresql"]
expires = "2020-01-31"
"#,
    },
    LintInfo {
        code: "L20",
        title: "an AWS service that egress rules do not reach",
        levels: &[(Warning, "always")],
        why: "A zone with prefix lists or of kind `aws-service` lies on public addresses: a gateway endpoint does not change them. Zones that have egress rules, none of which reaches it, are cut off from it, as when all egress goes to the VPC's CIDR. An invariant that keeps the two apart says that it is meant.",
        example: r#"[zone.s3]
prefix_lists = ["pl-63a5400a"]
cidrs = ["52.216.0.0/15"]
kind = "aws-service"
[[rule]]
id = "web-out"
side = "egress"
from = ["web"]
to = ["vpc"]
"#,
    },
    LintInfo {
        code: "L21",
        title: "a zone is not logged",
        levels: &[
            (Warning, "records of its peers name it, and none was recorded by an interface of its own"),
            (Note, "no record names it at all"),
        ],
        why: "Needs a lake. An interface of the inventory that recorded anything, NODATA included, shows that its zone is logged, and so does a zone inside it. Where the log cannot tell which end recorded, being seen is enough.",
        example: "",
    },
];
