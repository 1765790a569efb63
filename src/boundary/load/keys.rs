//! THE table of a map's keys: name, shape, meaning.
//!
//! The decoder looks up every key that it reads here (so an unknown key is one that is not here), takes the legal
//! words and numbers from here, and the JSON Schema is written from here. A key is added here, in `entries.rs`, which reads it, and in
//! `export.rs`, which writes it.

/// A table of the map and its keys.
#[derive(Debug)]
pub(super) struct Table {
    /// What one of them is called in messages and in the schema.
    pub(super) name: &'static str,
    /// What it is.
    pub(super) doc: &'static str,
    /// Keys that it always may have.
    pub(super) keys: &'static [Key],
    /// Variants with keys of their own; empty where there is one form only.
    pub(super) cases: &'static [Case],
}

/// A variant of a table.
#[derive(Debug)]
pub(super) struct Case {
    /// Its name; the value of `kind` where the table has that key.
    pub(super) name: &'static str,
    /// What it says.
    pub(super) doc: &'static str,
    /// Its own keys.
    pub(super) keys: &'static [Key],
}

/// A key.
#[derive(Debug)]
pub(super) struct Key {
    /// Its name.
    pub(super) name: &'static str,
    /// What may stand there.
    pub(super) shape: Shape,
    /// Whether it must be there.
    pub(super) required: bool,
    /// What it means.
    pub(super) doc: &'static str,
}

/// What may stand at a key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// Any string.
    Text,
    /// A list of any strings.
    Texts,
    /// The name of a thing.
    Name,
    /// A list of names, not empty.
    Names,
    /// A boolean.
    Flag,
    /// An integer from the first to the second, both included.
    Number(i64, i64),
    /// One of these integers.
    OneOf(&'static [i64]),
    /// One of these words.
    Word(&'static [&'static str]),
    /// A network in CIDR form.
    Cidr,
    /// A list of networks in CIDR form; may it be empty?
    Cidrs {
        /// An empty list means something.
        empty: bool,
    },
    /// A list of addresses.
    Addresses,
    /// One port or one range of ports.
    Ports,
    /// A list of ports and ranges.
    PortList,
    /// A protocol, by name or number.
    Protocol,
    /// A day.
    Date,
    /// A span of time.
    Duration,
    /// A zone, declared or built in.
    Zone,
    /// A declared zone.
    DeclaredZone,
    /// A list of zones; may it be empty?
    Zones {
        /// An empty list means something.
        empty: bool,
    },
    /// A list of services, or `any`.
    Services,
    /// A VPC of the map.
    Vpc,
    /// A list of VPCs of the map.
    Vpcs,
    /// A rule of the map.
    Rule,
    /// One table.
    One(&'static Table),
    /// A table of tables by name.
    Named(&'static Table),
    /// A list of tables.
    Many(&'static Table),
}

const fn key(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key { name, shape, required: false, doc }
}

const fn must(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key { name, shape, required: true, doc }
}

use Shape::*;

const ZONES: Shape = Zones { empty: false };
const OWNER: Key = key("owner", Text, "Who answers for it.");
const DESCRIPTION: Key = key("description", Text, "What it is, and why.");
const SEVERITY: Shape = Word(&["info", "low", "medium", "high", "critical"]);
const ENV: Key = key("env", Names, "Environments in which it takes part; all of them where the key is absent.");
const MODE: Key = key("mode", Name, "Mode in which it takes part; also when no mode is selected.");
const FROM: Key = must("from", ZONES, "Zones of the client.");
const TO: Key = must("to", ZONES, "Zones of the server.");
const SERVICE: Key = key("service", Services, "What the server offers; everything where the key is absent.");
const ALLOW: Shape = Zones { empty: true };
const GUARDED: Key = must("zone", ZONES, "The zones that it guards.");

/// The largest value of a number in a map: what every JSON reader keeps exactly.
const LARGEST: i64 = (1 << 53) - 1;

/// The whole map, and each file of it.
pub(super) const MAP: Table = Table {
    name: "map",
    doc: "Who may talk to whom, on which port: the security boundaries that flowbound judges flow logs by.",
    keys: &[
        must("version", OneOf(&[1]), "Version of this format."),
        must("name", Name, "Name of the map."),
        key("default", Word(&["deny"]), "What no rule permits is denied."),
        key("include", Texts, "Files that belong to the map too, by paths relative to this one."),
        key("env", Name, "The environment that is selected when the command line names none."),
        key("flow_log", One(&FLOW_LOG), FLOW_LOG.doc),
        key("vpc", Named(&VPC), VPC.doc),
        key("zone", Named(&ZONE), ZONE.doc),
        key("service", Named(&SERVICES), SERVICES.doc),
        key("rule", Many(&RULE), RULE.doc),
        key("nacl", Many(&NACL), NACL.doc),
        key("invariant", Many(&INVARIANT), INVARIANT.doc),
        key("expect", Many(&EXPECT), EXPECT.doc),
        key("eni", Named(&ENI), ENI.doc),
    ],
    cases: &[],
};

/// `[flow_log]`.
pub(super) const FLOW_LOG: Table = Table {
    name: "flow_log",
    doc: "What the flow log is said to record; compared with what arrives.",
    keys: &[
        key("traffic_type", Word(&["ALL", "ACCEPT", "REJECT"]), "Which traffic is logged."),
        key("max_aggregation_interval", OneOf(&[60, 600]), "Seconds over which a record is collected at most."),
        key("retention_days", Number(1, 36_500), "Days that the log is kept."),
        key("destination", Text, "Where the log goes."),
        key("fields", Texts, "Fields of the log format; the default format where the key is absent."),
    ],
    cases: &[],
};

/// `[vpc.NAME]`.
pub(super) const VPC: Table = Table {
    name: "vpc",
    doc: "A VPC.",
    keys: &[
        key("id", Name, "Its AWS id, matched with the field `vpc-id`."),
        must("cidrs", Cidrs { empty: false }, "Its address ranges."),
        key("peers", Vpcs, "VPCs whose addresses are local too."),
        key("accounts", Texts, "Accounts that own it."),
        OWNER,
        DESCRIPTION,
    ],
    cases: &[],
};

/// `[zone.NAME]`.
pub(super) const ZONE: Table = Table {
    name: "zone",
    doc: "Addresses that share a boundary.",
    keys: &[
        key("vpc", Vpc, "The VPC that it lies in; may be absent when the map has one VPC."),
        key("cidrs", Cidrs { empty: true }, "Its address ranges."),
        key("addresses", Addresses, "Its single addresses; they win over ranges."),
        key("subnets", Texts, "Subnet ids; they count through the inventory."),
        key("security_groups", Texts, "Security groups by name or id; they count through the inventory."),
        key("enis", Texts, "Interface ids; they count through the inventory."),
        key("prefix_lists", Texts, "Prefix list ids; they count through the resolved `cidrs`."),
        key("parent", DeclaredZone, "The zone around it: what holds for the parent holds for the child."),
        key("role", Word(&["nat", "tgw", "lb", "endpoint"]), "Its part in the network."),
        key("kind", Word(&["aws-service", "on-prem", "partner", "saas"]), "What lies outside the VPC there."),
        key("tags", Texts, "Free words; `data` marks a zone that must be protected."),
        OWNER,
        DESCRIPTION,
    ],
    cases: &[],
};

/// `[service.NAME]`.
pub(super) const SERVICES: Table = Table {
    name: "service",
    doc: "Ports by name.",
    keys: &[
        key("tcp", PortList, "TCP ports and ranges."),
        key("udp", PortList, "UDP ports and ranges."),
        key("icmp", Flag, "ICMP and ICMPv6."),
        OWNER,
        DESCRIPTION,
    ],
    cases: &[],
};

/// `[[rule]]`.
pub(super) const RULE: Table = Table {
    name: "rule",
    doc: "A grant.",
    keys: &[
        must("id", Name, "Its id, unique among rules and invariants."),
        key("side", Word(&["path", "ingress", "egress"]), "The end that it speaks for; both for `path`, the default."),
        FROM,
        TO,
        SERVICE,
        key("severity", SEVERITY, "Severity of an outage on this path."),
        OWNER,
        DESCRIPTION,
        ENV,
        MODE,
        key("exposure", Word(&["accepted"]), "The exposure to the world is known and meant."),
        key("expires", Date, "Last day of validity."),
        key("optional", Flag, "Silence on this path is no finding."),
    ],
    cases: &[],
};

/// `[[nacl]]`.
pub(super) const NACL: Table = Table {
    name: "nacl",
    doc: "An entry of a network ACL; explains rejections and never permits.",
    keys: &[
        key("id", Name, "Name of the ACL."),
        must("zone", Zone, "The zone whose subnets it guards."),
        must("number", Number(1, 32_767), "Its number: the smallest that matches decides."),
        must("egress", Flag, "Outgoing traffic, or incoming."),
        must("action", Word(&["allow", "deny"]), "What it does."),
        must("protocol", Protocol, "Its protocol; `-1` is every one."),
        must("cidr", Cidr, "The remote addresses."),
        key("ports", Ports, "Destination ports; all where the key is absent."),
        OWNER,
        DESCRIPTION,
    ],
    cases: &[],
};

/// `[[invariant]]`.
pub(super) const INVARIANT: Table = Table {
    name: "invariant",
    doc: "What must not be; beats every rule.",
    keys: &[
        must("id", Name, "Its id, unique among rules and invariants."),
        must("kind", Name, "What it says."),
        key("severity", SEVERITY, "Severity of a breach."),
        OWNER,
        DESCRIPTION,
        ENV,
        MODE,
    ],
    cases: &[
        Case { name: "no-inbound", doc: "Nobody connects to the zones.", keys: &[GUARDED] },
        Case {
            name: "isolated",
            doc: "The zones and the peers never meet.",
            keys: &[
                GUARDED,
                must("peer", ZONES, "The zones that they never meet."),
                key("direction", Word(&["in", "both"]), "`in`: only requests of the peers count."),
            ],
        },
        Case {
            name: "only-from",
            doc: "Only these connect to the zones.",
            keys: &[GUARDED, must("allow", ALLOW, "The zones that may.")],
        },
        Case {
            name: "only-to",
            doc: "The zones connect only to these.",
            keys: &[GUARDED, must("allow", ALLOW, "The zones that they may reach.")],
        },
        Case {
            name: "confined",
            doc: "The zones do not leave the VPC and its peers but by an exit.",
            keys: &[GUARDED, key("exits", Many(&EXIT), "The ways out.")],
        },
        Case { name: "forbid", doc: "This never happens.", keys: &[FROM, TO, SERVICE] },
        Case {
            name: "placement",
            doc: "No address of the zones lies in these; checked on the inventory.",
            keys: &[GUARDED, must("not_in", ZONES, "Where they must not be.")],
        },
    ],
};

/// `exits` of a confined invariant.
pub(super) const EXIT: Table = Table {
    name: "exit",
    doc: "A permitted way out.",
    keys: &[
        key("from", ZONES, "Zones of the client; those of the invariant where the key is absent."),
        TO,
        SERVICE,
        key("max_bytes_per_hour", Number(0, LARGEST), "Budget; judged over time, not on one record."),
    ],
    cases: &[],
};

/// `[[expect]]`.
pub(super) const EXPECT: Table = Table {
    name: "expect",
    doc: "What must be seen, or not seen, over time.",
    keys: &[
        must("id", Name, "Its id, unique among expectations."),
        key("min_flows", Number(0, LARGEST), "At least so many flows in the period."),
        key("max_flows", Number(0, LARGEST), "At most so many flows in the period."),
        key("every", Duration, "The period of these; whole days where it is longer than one, and 7 at most."),
        key(
            "max_bytes_per_hour",
            Number(0, LARGEST),
            "At most so many bytes in an hour of the clock (UTC), both ways.",
        ),
        OWNER,
        DESCRIPTION,
    ],
    cases: &[
        Case { name: "rule", doc: "Traffic that a rule permits.", keys: &[must("rule", Rule, "Id of the rule.")] },
        Case {
            name: "path",
            doc: "Traffic between zones.",
            keys: &[FROM, TO, SERVICE, key("action", Word(&["ACCEPT", "REJECT"]), "Only this action; else both.")],
        },
    ],
};

/// `[eni.ID]`.
pub(super) const ENI: Table = Table {
    name: "eni",
    doc: "A network interface: the inventory.",
    keys: &[
        key("addresses", Addresses, "Its private addresses, the primary first."),
        key("zone", DeclaredZone, "Its zone."),
        OWNER,
        DESCRIPTION,
    ],
    cases: &[],
};

/// What to do about a key that people bring from other tools.
pub(super) fn foreign(table: &str, key: &str) -> Option<&'static str> {
    match (table, key) {
        ("rule", "action") => Some("rules only permit: what must not be is an `[[invariant]]`"),
        ("rule", "port" | "ports" | "protocol" | "tcp" | "udp") => {
            Some("declare a `[service.NAME]` with these ports and name it in `service`")
        }
        ("rule" | "invariant", "name") => Some("the name of a rule or invariant is its `id`"),
        _ => None,
    }
}
