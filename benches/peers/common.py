"""What the three peers share: the columns of the logs, and the map as the generator wrote it."""

import csv
import sys

THREADS = 2

# Name and type: text, or the bits of an unsigned number. "start" and "end" are words of SQL.
V2 = {
    "version": 8, "account_id": "text", "interface_id": "text", "srcaddr": "text", "dstaddr": "text", "srcport": 16,
    "dstport": 16, "protocol": 8, "packets": 64, "bytes": 64, "start_": 64, "end_": 64, "action": "text",
    "log_status": "text",
}
V5 = V2 | {
    "vpc_id": "text", "subnet_id": "text", "instance_id": "text", "tcp_flags": 8, "type": "text",
    "pkt_srcaddr": "text", "pkt_dstaddr": "text", "region": "text", "az_id": "text", "sublocation_type": "text",
    "sublocation_id": "text", "pkt_src_aws_service": "text", "pkt_dst_aws_service": "text", "flow_direction": "text",
    "traffic_path": 8,
}
COLUMNS = {"v2": V2, "v5": V5}

# The one IPv6 prefix of the map, as text, and its zone; any other IPv6 address is the internet's.
V6_PREFIX, V6_ZONE, INTERNET = "2600:1f18:1000:aa", 3, 1

# Verdicts: 0 no data, 1 expected, 2 breach, 3 outage, 4 blocked.


def rows(folder, name):
    """The rows of a CSV file of the map."""
    with open(f"{folder}/{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


def ranges(folder):
    """Disjoint ranges of IPv4 in order: the first address, as a number, and the zone."""
    return [(int(row["first"]), int(row["zone"])) for row in rows(folder, "ranges")]


def rule_keys(folder):
    """The rules, each as one number."""
    names = ("client", "server", "protocol", "port")
    rules = ([int(row[name]) for name in names] for row in rows(folder, "rules"))
    return [client << 40 | server << 32 | protocol << 24 | port for client, server, protocol, port in rules]


def arguments():
    """SHAPE VERSION LOGS MAP OUT"""
    shape, version, logs, boundary, out = sys.argv[1:]
    return shape, COLUMNS[version], f"{logs}/*.log.gz", boundary, out
