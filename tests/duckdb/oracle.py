"""The evaluator, a second time.

What a record's verdict is, in plain Python: no tries, no compiled tables, nothing shared with the program in
Rust, so that a mistake in one of the two shows as a difference between them. The numbers of the sections are
those of the evaluator's rules: 1 the selected map, 2 status, 3 endpoints and VPC, 4 zone of an address, 5 policy,
6 orientation, 7 side, 8 verdict, 9 NACL.

`judge(load_map(path, env, mode), record)` answers with the columns of the lake that depend on the map. A record
is a dict with the column names of the lake (`pkt_srcaddr`); a missing key is a null.
"""

import ipaddress
import json
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
SYN, RST, ACK = 2, 4, 16

# a port range of more ports than this is too wide to tell which end is the server
NARROW = 1024
ALL_PORTS = 65536

SEVERITIES = ["info", "low", "medium", "high", "critical"]

SPECIAL = [
    ipaddress.ip_network(cidr)
    for cidr in ("169.254.0.0/16", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "fe80::/10", "ff00::/8")
]
PRIVATE = [
    ipaddress.ip_network(cidr)
    for cidr in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
]

COLUMNS = (
    "client_addr server_addr server_port client_zone server_zone service orientation oriented_by confidence side "
    "verdict rule reason severity"
).split()

#: What the lake does not hold, and the tests need: the client's port, whether the record's source is the client, and
#: whether the server, or the client, stands in a protected zone.
BESIDE = ("client_port", "from_client", "protected", "client_protected")

#: What stands in the place of a rule at an end that has no security group.
UNMANAGED = "unmanaged"


def inside(address, networks):
    return any(address in network for network in networks)


def networks(texts):
    return [ipaddress.ip_network(text) for text in texts or ()]


def addresses(texts):
    return [ipaddress.ip_address(text) for text in texts or ()]


def meets(names, zones):
    return any(name in zones for name in names or ())


def read_map(path):
    """The tables of a map and of the files that it includes, as one."""
    path = Path(path)
    text = path.read_text(encoding="utf-8")
    merged = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    for name in merged.pop("include", []):
        for key, value in read_map(path.parent / name).items():
            if isinstance(value, list):
                merged[key] = merged.get(key, []) + value
            elif isinstance(value, dict):
                merged[key] = {**merged.get(key, {}), **value}
            else:
                merged.setdefault(key, value)
    return merged


class Zone(NamedTuple):
    name: str
    vpc: str | None  # the VPC that it belongs to; None for a global zone
    cidrs: list
    addresses: list
    inventory: list  # the addresses of interfaces that stand in this zone
    ancestors: list  # names: its parent, the parent's parent, ...
    role: str | None
    tags: list


class Map:
    """A boundary map of which only what takes part is left (section 1)."""

    def __init__(self, tables, env=None, mode=None):
        env = env or tables.get("env")

        def takes_part(entry):
            if "env" in entry and env not in entry["env"]:
                return False
            return "mode" not in entry or mode is None or entry["mode"] == mode

        self.vpc_ids = {name: vpc.get("id") for name, vpc in tables.get("vpc", {}).items()}
        self.vpc_cidrs = {name: networks(vpc.get("cidrs")) for name, vpc in tables.get("vpc", {}).items()}
        self.vpc_peers = {name: vpc.get("peers", []) for name, vpc in tables.get("vpc", {}).items()}
        self.services = tables.get("service", {})
        self.rules = [rule for rule in tables.get("rule", []) if takes_part(rule)]
        self.invariants = [invariant for invariant in tables.get("invariant", []) if takes_part(invariant)]
        self.nacls = sorted(tables.get("nacl", []), key=lambda entry: entry["number"])
        self.eni_addresses = {name: addresses(eni.get("addresses")) for name, eni in tables.get("eni", {}).items()}
        self.eni_zone = {name: eni.get("zone") for name, eni in tables.get("eni", {}).items()}
        self.zones = {name: self._zone(name, tables["zone"]) for name in tables.get("zone", {})}
        self.zone_vpc = {name: zone.get("vpc") for name, zone in tables.get("zone", {}).items()}
        self.place = lru_cache(maxsize=None)(self._place)
        self.policy = lru_cache(maxsize=None)(self._policy)

    def _zone(self, name, tables):
        table = tables[name]
        ancestors = []
        parent = table.get("parent")
        while parent is not None:
            ancestors.append(parent)
            parent = tables[parent].get("parent")
        zone = Zone(
            name=name,
            vpc=table.get("vpc"),
            cidrs=networks(table.get("cidrs")),
            addresses=addresses(table.get("addresses")),
            inventory=[
                address
                for eni, eni_zone in self.eni_zone.items()
                if eni_zone == name
                for address in self.eni_addresses[eni]
            ],
            ancestors=ancestors,
            role=table.get("role"),
            tags=table.get("tags", []),
        )
        if zone.vpc is None and len(self.vpc_cidrs) == 1:
            [(vpc, cidrs)] = self.vpc_cidrs.items()
            lies_inside = any(inside(address, cidrs) for address in zone.addresses + zone.inventory) or any(
                mine.version == cidr.version and mine.subnet_of(cidr) for mine in zone.cidrs for cidr in cidrs
            )
            if lies_inside:
                zone = zone._replace(vpc=vpc)
        return zone

    # section 3 -------------------------------------------------------------------------------------------------

    def local(self, vpc, address):
        return any(inside(address, self.vpc_cidrs[name]) for name in [vpc, *self.vpc_peers[vpc]])

    def vpc_of(self, record, src, dst):
        """The record's VPC, or (None, why it has none)."""
        if record.get("vpc_id") is not None:
            for name, vpc_id in self.vpc_ids.items():
                if vpc_id == record["vpc_id"]:
                    return name, None
            return None, "vpc-not-in-map"
        if len(self.vpc_cidrs) == 1:
            return next(iter(self.vpc_cidrs)), None
        eni_zone = self.eni_zone.get(record.get("interface_id"))
        if eni_zone is not None and self.zone_vpc.get(eni_zone) is not None:
            return self.zone_vpc[eni_zone], None
        for address in (src, dst):
            holders = [name for name, cidrs in self.vpc_cidrs.items() if inside(address, cidrs)]
            if len(holders) == 1:
                return holders[0], None
        return None, "vpc-ambiguous"

    # section 4 -------------------------------------------------------------------------------------------------

    def _place(self, vpc, address):
        """(primary zone, zone set) of an address, seen from this VPC."""
        own = [zone for zone in self.zones.values() if zone.vpc == vpc]
        of_peers = [zone for zone in self.zones.values() if zone.vpc in self.vpc_peers[vpc]]
        of_all = [zone for zone in self.zones.values() if zone.vpc is None]
        built_in = {"any"}
        if inside(address, self.vpc_cidrs[vpc]):
            built_in.add("vpc")
        for candidates in (own, of_peers, of_all):
            matches = []
            for zone in candidates:
                if address in zone.inventory:
                    quality = (0, 0)
                elif address in zone.addresses:
                    quality = (1, 0)
                elif inside(address, zone.cidrs):
                    quality = (2, -max(cidr.prefixlen for cidr in zone.cidrs if address in cidr))
                else:
                    continue
                matches.append((quality, -len(zone.ancestors), zone.name))
            if matches:
                primary = min(matches)[2]
                return primary, frozenset([primary, *self.zones[primary].ancestors, *built_in])
        if self.local(vpc, address):
            primary = "vpc:unzoned"
        elif inside(address, SPECIAL):
            primary = "special"
        elif inside(address, PRIVATE):
            primary = "private-unknown"
        else:
            primary = "internet"
        return primary, frozenset([primary, *built_in])

    def role(self, zone):
        return self.zones[zone].role if zone in self.zones else None

    def managed(self, vpc, address):
        return self.local(vpc, address) and self.role(self.place(vpc, address)[0]) not in ("nat", "tgw")

    def protected(self, zone_set):
        """Whether attempts on a server in these zones are worth an alert: one holds data, or an invariant guards it."""
        if any("data" in self.zones[name].tags for name in zone_set if name in self.zones):
            return True
        guards = ("no-inbound", "only-from", "isolated")
        return any(meets(invariant["zone"], zone_set) for invariant in self.invariants if invariant["kind"] in guards)

    # section 5 -------------------------------------------------------------------------------------------------

    def service_width(self, name, protocol, port):
        """Ports of the narrowest range of a service that holds the port; None where it does not match."""
        if name == "any":
            return ALL_PORTS
        service = self.services[name]
        if protocol in (ICMP, ICMPV6):
            return 1 if service.get("icmp") else None
        ranges = service.get({TCP: "tcp", UDP: "udp"}.get(protocol), [])
        widths = []
        for text in ranges:
            first, _, last = str(text).partition("-")
            first, last = int(first), int(last or first)
            if first <= port <= last:
                widths.append(last - first + 1)
        return min(widths, default=None)

    def services_width(self, entry, protocol, port):
        """The smallest width of an entry's services; an entry that names none means `any`."""
        widths = [self.service_width(name, protocol, port) for name in entry.get("service", ["any"])]
        return min((width for width in widths if width is not None), default=None)

    def best_rule(self, side, client, server, protocol, port):
        """(rule, width) of the grant that gets the credit at one end, or (None, None)."""
        candidates = []
        for rule in self.rules:
            if rule.get("side", "path") not in (side, "path"):
                continue
            if not meets(rule["from"], client[1]) or not meets(rule["to"], server[1]):
                continue
            width = self.services_width(rule, protocol, port)
            if width is None:
                continue
            specificity = self.specificity(rule["from"], client) + self.specificity(rule["to"], server)
            candidates.append((-specificity, width, rule["id"], rule))
        if not candidates:
            return None, None
        _, width, _, rule = min(candidates, key=lambda candidate: candidate[:3])
        return rule, width

    def specificity(self, named, end):
        primary, zone_set = end
        if primary in named:
            return 3
        if any(name in zone_set and name in self.zones for name in named):
            return 2
        return 1 if "vpc" in named and "vpc" in zone_set else 0

    def hit(self, invariant, client, server, server_local, protocol, port):
        kind = invariant["kind"]
        cz, sz = client[1], server[1]
        zone = invariant.get("zone", [])
        if kind == "no-inbound":
            return meets(zone, sz)
        if kind == "only-from":
            return meets(zone, sz) and not meets(invariant["allow"], cz)
        if kind == "only-to":
            return meets(zone, cz) and not meets(invariant["allow"], sz)
        if kind == "isolated":
            inward = meets(zone, sz) and meets(invariant["peer"], cz)
            outward = meets(zone, cz) and meets(invariant["peer"], sz)
            return inward or (outward and invariant.get("direction") != "in")
        if kind == "forbid":
            return (
                meets(invariant["from"], cz)
                and meets(invariant["to"], sz)
                and self.services_width(invariant, protocol, port) is not None
            )
        if kind == "confined":
            if not meets(zone, cz) or server_local:
                return False
            return not any(
                meets(way.get("from") or zone, cz)
                and meets(way["to"], sz)
                and self.services_width(way, protocol, port) is not None
                for way in invariant.get("exits", [])
            )
        return False  # placement is not judged on single records

    def _policy(self, vpc, client, server, protocol, port):
        client_place, server_place = self.place(vpc, client), self.place(vpc, server)
        egress, egress_width = self.best_rule("egress", client_place, server_place, protocol, port)
        if egress is None and not self.managed(vpc, client):
            egress, egress_width = UNMANAGED, None
        ingress, ingress_width = self.best_rule("ingress", client_place, server_place, protocol, port)
        if ingress is None and not self.managed(vpc, server):
            ingress, ingress_width = UNMANAGED, None
        server_local = self.local(vpc, server)
        forbidden = None
        for invariant in self.invariants:
            if self.hit(invariant, client_place, server_place, server_local, protocol, port):
                forbidden = invariant
                break
        return Policy(
            client=client,
            server=server,
            port=port,
            client_zone=client_place[0],
            server_zone=server_place[0],
            client_set=client_place[1],
            server_set=server_place[1],
            egress=egress,
            ingress=ingress,
            invariant=forbidden,
            allow=egress is not None and ingress is not None and forbidden is None,
            narrow=min(egress_width or ALL_PORTS, ingress_width or ALL_PORTS) <= NARROW,
        )

    # sections 6 to 9 -------------------------------------------------------------------------------------------

    def declared_service(self, protocol, port):
        """The narrowest declared service at a port, as (width, name); None where there is none."""
        found = []
        for name in self.services:
            width = self.service_width(name, protocol, port)
            if width is not None:
                found.append((width, name))
        return min(found, default=None)

    def orient(self, record, forward, backward, srcport, dstport):
        """(orientation, which step decided, confidence)"""
        protocol, flags = record["protocol"], record.get("tcp_flags")
        if protocol not in (TCP, UDP):
            return "none", "proto", "weak"
        if protocol == TCP and flags is not None and flags & SYN:
            return ("reply" if flags & ACK else "request"), "flags", "certain"

        def one_counts(forward_counts, backward_counts):
            if forward_counts == backward_counts:
                return None
            return "request" if forward_counts else "reply"

        way = one_counts(
            srcport >= 1024 and forward.allow and forward.narrow,
            dstport >= 1024 and backward.allow and backward.narrow,
        )
        if way:
            return way, "policy", "strong"

        def known(port):
            service = self.declared_service(protocol, port)
            return service is not None and service[0] <= NARROW

        way = one_counts(srcport >= 1024 and known(dstport), dstport >= 1024 and known(srcport))
        if way:
            return way, "service", "strong"

        # the client of a forward reading is the source
        way = one_counts(
            self.role(forward.client_zone) == "nat" and srcport >= 1024,
            self.role(forward.server_zone) == "nat" and dstport >= 1024,
        )
        if way:
            return way, "nat", "strong"
        way = one_counts(dstport < 1024, srcport < 1024)
        if way:
            return way, "well-known", "weak"
        rejected = record["action"] == "REJECT"
        way = one_counts(srcport >= 32768, dstport >= 32768)
        if way:
            return ("request" if rejected else way), "ephemeral", "weak"
        if srcport >= 1024 and dstport >= 1024 and srcport != dstport:
            way = one_counts(dstport < srcport, srcport < dstport)
            return ("request" if rejected else way), "lower-port", "weak"
        return "unknown", "tie", "weak"

    def counting_policy(self, orientation, record, forward, backward, srcport, dstport):
        if orientation == "reply":
            return backward
        if orientation == "none" and not forward.allow and backward.allow:
            if backward.narrow or record["protocol"] in (ICMP, ICMPV6):
                return backward
        if orientation == "unknown" and srcport == dstport and not forward.allow:
            if backward.allow and backward.narrow:
                return backward
        return forward

    def side(self, record, vpc):
        eni = record.get("interface_id")
        if self.role(self.eni_zone.get(eni)) in ("nat", "tgw"):
            return "transit"
        direction = record.get("flow_direction")
        if direction in ("egress", "ingress"):
            return "source" if direction == "egress" else "destination"
        srcaddr, dstaddr = ipaddress.ip_address(record["srcaddr"]), ipaddress.ip_address(record["dstaddr"])
        if self.eni_addresses.get(eni):
            if srcaddr in self.eni_addresses[eni]:
                return "source"
            return "destination" if dstaddr in self.eni_addresses[eni] else "transit"
        source_inside = inside(srcaddr, self.vpc_cidrs[vpc])
        if source_inside != inside(dstaddr, self.vpc_cidrs[vpc]):
            return "source" if source_inside else "destination"
        return "unknown"

    def nacl_denies(self, record, vpc, side):
        if side not in ("source", "destination"):
            return False
        srcaddr, dstaddr = ipaddress.ip_address(record["srcaddr"]), ipaddress.ip_address(record["dstaddr"])
        local, remote = (srcaddr, dstaddr) if side == "source" else (dstaddr, srcaddr)
        zone_set = self.place(vpc, local)[1]
        entries = [entry for entry in self.nacls if entry["zone"] in zone_set]
        if not entries:
            return False
        for entry in entries:
            zone = self.zones.get(entry["zone"])
            if zone and any(local in cidr and remote in cidr for cidr in zone.cidrs):
                return False
        for entry in entries:
            if entry.get("egress", False) != (side == "source"):
                continue
            numbers = {"tcp": TCP, "udp": UDP, "icmp": ICMP, "icmpv6": ICMPV6}
            protocol = str(entry.get("protocol", "-1"))
            if protocol != "-1" and int(numbers.get(protocol, protocol)) != record["protocol"]:
                continue
            if remote not in ipaddress.ip_network(entry["cidr"]):
                continue
            first, _, last = str(entry.get("ports", "0-65535")).partition("-")
            if not int(first) <= (record.get("dstport") or 0) <= int(last or first):
                continue
            return entry["action"] == "deny"
        return True


class Policy(NamedTuple):
    client: object
    server: object
    port: int
    client_zone: str
    server_zone: str
    client_set: frozenset
    server_set: frozenset
    egress: object
    ingress: object
    invariant: dict | None
    allow: bool
    narrow: bool


def load_map(path, env=None, mode=None):
    return Map(read_map(path), env, mode)


def answer(**known):
    return {**dict.fromkeys([*COLUMNS, *BESIDE]), **known}


def judge(boundary, record):
    """The columns of `COLUMNS` and `BESIDE` for one record; `boundary` is None where the lake is made without a map."""
    status = record.get("log_status")
    if status == "NODATA":
        return answer(verdict="nodata", reason="quiet", severity="info")
    if status == "SKIPDATA":
        return answer(verdict="gap", reason="skipped", severity="medium")
    if boundary is None:
        return answer()
    if any(record.get(name) is None for name in ("srcaddr", "dstaddr", "protocol", "action")):
        return answer(verdict="unmapped", reason="fields-missing", severity="low")
    source = record["srcaddr"] if record.get("pkt_srcaddr") is None else record["pkt_srcaddr"]
    destination = record["dstaddr"] if record.get("pkt_dstaddr") is None else record["pkt_dstaddr"]
    src, dst = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    vpc, why_not = boundary.vpc_of(record, src, dst)
    if vpc is None:
        return answer(verdict="unmapped", reason=why_not, severity="low")
    if not boundary.local(vpc, src) and not boundary.local(vpc, dst):
        return answer(
            verdict="unmapped",
            reason="no-local-endpoint",
            severity="low",
            client_zone=boundary.place(vpc, src)[0],
            server_zone=boundary.place(vpc, dst)[0],
        )

    protocol = record["protocol"]
    srcport, dstport = record.get("srcport") or 0, record.get("dstport") or 0
    forward = boundary.policy(vpc, src, dst, protocol, dstport)
    backward = boundary.policy(vpc, dst, src, protocol, srcport)
    orientation, oriented_by, confidence = boundary.orient(record, forward, backward, srcport, dstport)
    policy = boundary.counting_policy(orientation, record, forward, backward, srcport, dstport)
    side = boundary.side(record, vpc)
    verdict, reason, allow = decide(boundary, record, vpc, policy, orientation, side)
    rules = [end for end in (policy.egress, policy.ingress) if isinstance(end, dict)]

    if policy.invariant:
        rule = policy.invariant["id"]
    elif allow and rules:
        rule = "+".join(dict.fromkeys(entry["id"] for entry in rules))
    else:
        rule = None

    if verdict in ("expected", "stray"):
        severity = "info"
    elif verdict == "blocked":
        severity = "medium" if "vpc" in policy.client_set else "low"
    elif verdict == "attempt":
        severity = "medium"
    elif verdict == "breach":
        severity = (policy.invariant or {}).get("severity", "high")
    else:
        carried = [entry["severity"] for entry in rules if "severity" in entry]
        severity = max(carried, key=SEVERITIES.index, default="high")
    if verdict in ("breach", "outage") and confidence == "weak":
        severity = SEVERITIES[max(SEVERITIES.index(severity) - 1, 0)]

    source_is_client = policy is forward
    service = boundary.declared_service(protocol, policy.port)
    return answer(
        client_addr=source if source_is_client else destination,
        server_addr=destination if source_is_client else source,
        server_port=record.get("dstport" if source_is_client else "srcport"),
        client_zone=policy.client_zone,
        server_zone=policy.server_zone,
        service=service[1] if service else None,
        orientation=orientation,
        oriented_by=oriented_by,
        confidence=confidence,
        side=side,
        verdict=verdict,
        rule=rule,
        reason=reason,
        severity=severity,
        client_port=record.get("srcport" if source_is_client else "dstport"),
        from_client=source_is_client,
        protected=boundary.protected(policy.server_set),
        client_protected=boundary.protected(policy.client_set),
    )


def decide(boundary, record, vpc, policy, orientation, side):
    """Section 8: (verdict, reason, whether it counts as allowed)"""
    accepted = record["action"] == "ACCEPT"
    protocol, flags = record["protocol"], record.get("tcp_flags")

    if (
        orientation == "request"
        and boundary.role(policy.server_zone) == "nat"
        and not boundary.local(vpc, policy.client)
        and not inside(policy.client, PRIVATE)
    ):
        return ("attempt" if accepted else "blocked"), "nat-unsolicited", False

    if policy.allow and accepted:
        return "expected", "allowed", True

    if policy.allow:
        late = (record.get("packets") or 0) <= 3 and (
            (protocol == TCP and flags is not None and not flags & SYN)
            or (protocol == TCP and flags is None and orientation == "reply")
            or (protocol == UDP and orientation == "reply")
        )
        if late:
            return "stray", "late-packet", True
        if orientation == "reply" and policy.server_zone == "internet":
            return "stray", "unsolicited-reply", True
        if orientation == "reply":
            reason = "return-path"
        elif side in ("source", "destination"):
            reason = f"rejected-at-{side}"
        else:
            reason = "rejected"
        if boundary.nacl_denies(record, vpc, side):
            reason += "/nacl"
        return "outage", reason, True

    if policy.invariant:
        missing = policy.invariant["id"]
    elif policy.egress is None:
        missing = f"no-egress:{policy.client_zone}"
    else:
        missing = f"no-ingress:{policy.server_zone}"
    if not accepted:
        return "blocked", missing, False
    if (
        orientation != "reply"
        and side in ("source", "transit")
        and policy.egress is not None
        and policy.ingress is None
    ):
        return "attempt", missing, False
    if orientation == "reply":
        refused = flags is not None and flags & RST and not flags & SYN
        missing += "/refused" if refused else "/responded"
    return "breach", missing, False
