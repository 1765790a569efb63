"""What users of other tools complained of, each by the name of the issue, or of the tool that has the bug.

What takes S3, SQS or Kinesis to show has its test elsewhere, which names the issue: `ELSEWHERE`.
"""

import gzip
import json
import re
import subprocess
from pathlib import Path

import duckdb
import lakes
import oracle
import pyarrow
import pyarrow.parquet
import pytest

#: Where a complaint is shown that needs more than the program.
ELSEWHERE = {
    "vectordotdev/vector#33": "aws/test_stream.py::test_exactly_once_whatever_happens",
    "vectordotdev/vector#4910 and #20172": "aws/test_sqs.py::test_work_that_takes_longer_than_the_visibility_is_done_once",
    "redpanda-data/connect#4468": "aws/test_sqs.py::test_work_that_takes_longer_than_the_visibility_is_done_once",
    "elastic/beats#30140": "aws/test_s3.py::test_a_large_object_needs_no_more_memory_than_a_small_one",
    "matanolabs/matano#155": "aws/test_s3.py::test_a_large_object_needs_no_more_memory_than_a_small_one",
    "grafana/loki#16560": "aws/test_s3.py::test_every_layout_gives_the_rows_of_local_files",
}

MAP = """
version = 1
name = "peers"
[vpc.main]
id = "vpc-1"
cidrs = ["10.0.0.0/16"]
[zone.app]
cidrs = ["10.0.1.0/24"]
[zone.batch]
cidrs = ["10.0.1.128/28"]
[zone.db]
cidrs = ["10.0.2.0/24"]
tags = ["data"]
[service]
postgresql = { tcp = ["5432"] }
https = { tcp = ["443"] }
dns = { udp = ["53"] }
[[rule]]
id = "app-db"
from = ["app"]
to = ["db"]
service = ["postgresql"]
[[rule]]
id = "app-out"
from = ["app"]
to = ["internet"]
service = ["https"]
[[rule]]
id = "app-lookups"
from = ["app"]
to = ["internet"]
service = ["dns"]
[[rule]]
id = "batch-out"
from = ["batch"]
to = ["internet"]
service = ["dns"]
"""
V2 = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
START = 1_795_132_800
#: Detectors of what is missing speak of a log of a few minutes, too.
MISSING = ("late", "silent", "expectation")


def line(flow, action="ACCEPT", eni="eni-1", size=(5, 500), after=0):
    """A line of version 2: addresses, ports and protocol; packets and bytes; seconds after START."""
    packets, traffic = size
    return f"2 123456789012 {eni} {flow} {packets} {traffic} {START + after} {START + after + 50} {action} OK"


class Judged:
    """A lake of some log lines."""

    def __init__(self, flowbound, folder, lines, header=V2, options=(), exit_codes=(0,)):
        (folder / "map.toml").write_text(MAP)
        if lines is not None:
            lakes.write_log(folder / "logs" / "some.log.gz", lines, header)
        done = lakes.replay(
            flowbound, folder / "logs", folder / "lake", folder / "map.toml", exit_codes, ("--json", *options)
        )
        self.summary = json.loads(done.stdout)
        self.lake = lakes.Lake(folder / "lake", folder / "logs", oracle.load_map(folder / "map.toml"))
        self.db = self.lake.connect()

    def flows(self, columns):
        return self.db.execute(f"SELECT {columns} FROM flows ORDER BY source, line").fetchall()

    def alerts(self, columns="detector"):
        return self.db.execute(
            f"SELECT {columns} FROM alerts WHERE status <> 'closed' AND detector NOT IN {MISSING} ORDER BY ALL"
        ).fetchall()


@pytest.fixture
def judged(flowbound, tmp_path):
    """Makes a lake of log lines."""

    def judge(lines, **how):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        return Judged(flowbound, folder, lines, **how)

    return judge


@pytest.mark.parametrize(("complaint", "place"), ELSEWHERE.items())
def test_a_complaint_that_is_shown_elsewhere(complaint, place):
    path, name = place.split("::")
    text = (Path(__file__).parents[1] / path).read_text(encoding="utf-8")
    found = re.search(rf'def {name}\([^)]*\):\n    """(.*?)"""', text, re.DOTALL)
    assert found, f"{place} has no text"
    assert complaint in found[1], f"{place} is not about {complaint}"


def test_panther_alerts_on_a_reply_from_port_443(judged):
    made = judged([line("8.8.8.8 10.0.1.1 443 51000 6"), line("10.0.1.1 8.8.8.8 51000 443 6")])
    assert made.flows("verdict, orientation, rule") == [("expected", "reply", "app-out"), ("expected", "request", "app-out")]
    assert made.alerts() == []


def test_panther_ignores_the_action_and_calls_it_exposed(judged):
    flow = "203.0.113.7 10.0.2.9 40000 22 6"
    exposed = (lakes.QUERIES / "exposed_services.sql").read_text()
    refused = judged([line(flow, "REJECT")])
    assert (refused.flows("verdict"), refused.alerts()) == ([("blocked",)], [("blocked",)])
    assert refused.db.execute(exposed).fetchall() == []
    accepted = judged([line(flow)])
    assert (accepted.flows("verdict"), accepted.alerts()) == ([("breach",)], [("breach",)])
    assert [row[:2] for row in accepted.db.execute(exposed).fetchall()] == [("db", 22)]


V5 = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status "
    "vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr region az-id sublocation-type sublocation-id "
    "pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path"
)


def whole(ends="10.0.1.5 10.0.2.9 40000 5432 6", packet="10.0.1.5 10.0.2.9"):
    """A line of the 29 fields of version 5."""
    begin, rest = f"5 123456789012 eni-1 {ends} 5 500", "vpc-1 subnet-1 - 2 IPv4"
    return f"{begin} {START} {START + 50} ACCEPT OK {rest} {packet} us-east-1 use1-az1 - - - - ingress -"


def test_elastic_integrations_8532_skipdata_in_a_layout_of_29_fields(judged):
    assert len(V5.split()) == 29
    dashes = " ".join(["-"] * 13)
    gap = f"5 123456789012 eni-1 - - - - - - - {START} {START + 50} - SKIPDATA vpc-1 subnet-1 {dashes}"
    nothing = gap.replace("SKIPDATA", "NODATA")
    assert len(gap.split()) == 29
    made = judged([whole(), gap, nothing], header=V5)
    assert made.flows("log_status, verdict") == [("OK", "expected"), ("SKIPDATA", "gap"), ("NODATA", "nodata")]
    assert (made.summary["rows"], made.lake.quarantined()) == (3, [])
    assert ("log-gap",) in made.alerts()


def test_elastic_integrations_18521_an_unknown_layout_is_not_passed_over(judged):
    """Lines of another layout are told, counted and kept as they were; none becomes a row."""
    other = [whole(), whole(packet="- -")]
    made = judged([line("10.0.1.5 10.0.2.9 40000 5432 6"), *other])
    assert made.summary["rows"] == 1
    assert made.summary["quarantined"] == 2
    kept = made.lake.quarantined()
    assert [(record["line"], record["raw"]) for record in kept] == [(3, other[0]), (4, other[1])]
    # and a pipeline hears of it
    strict = judged(other, options=("--strict",), exit_codes=(3,))
    assert (strict.summary["rows"], strict.summary["quarantined"]) == (0, 2)


def test_vrl_227_fields_of_version_5_and_fields_that_nobody_knows(judged):
    made = judged([f"{whole()} of-tomorrow"], header=f"{V5} field-of-tomorrow")
    columns = "verdict, flow_direction, az_id, extra['field-of-tomorrow']"
    assert made.flows(columns) == [("expected", "ingress", "use1-az1", "of-tomorrow")]


def test_fields_of_versions_8_to_11(judged):
    fields = ["reject-reason", "resource-id", "encryption-status", "instance-tag", "next-hop-vpc-id"]
    made = judged(
        [f"{line('10.0.1.5 10.0.2.9 40000 5432 6', 'REJECT')} BPA nat-1 1 blue vpc-2"], header=" ".join([V2, *fields])
    )
    columns = ", ".join(["verdict", *(field.replace("-", "_") for field in fields)])
    assert made.flows(columns) == [("outage", "BPA", "nat-1", 1, "blue", "vpc-2")]


def test_a_packet_of_another_address_behind_nat(judged):
    """The interface of a NAT gateway: the packet's own addresses are judged."""
    made = judged([whole("10.0.3.7 10.0.2.9 40000 5432 6", "10.0.1.5 10.0.2.9")], header=V5)
    columns = "srcaddr, pkt_srcaddr, client_addr, client_zone, verdict"
    assert made.flows(columns) == [("10.0.3.7", "10.0.1.5", "10.0.1.5", "app", "expected")]


def test_vz_counts_bytes_of_both_interfaces_twice(judged):
    flow = "10.0.1.5 10.0.2.9 40000 22 6"
    made = judged([line(flow, eni="eni-app", size=(10, 1000)), line(flow, eni="eni-db", size=(10, 1000))])
    breaches = made.alerts("detector, flows, packets, bytes, conversations")
    assert [alert for alert in breaches if alert[0] == "breach"] == [("breach", 2, 10, 1000, 1)]


def test_elastic_detection_rules_2977_service_discovery_and_health_checks_are_no_scan(judged):
    lookups = [line(f"10.0.1.5 198.51.100.{n} {30000 + n} 53 17", size=(1, 70)) for n in range(200)]
    checks = [line(f"10.0.1.6 10.0.2.{n} {30000 + n} 5432 6", after=10 * n % 3000) for n in range(1, 200)]
    here = [line(f"127.0.0.1 127.0.0.1 {30000 + n} {n} 6") for n in range(1, 200)]
    assert [name for (name,) in judged(lookups + checks + here).alerts() if name.startswith("scan")] == []


@pytest.mark.parametrize(("ports", "scans"), [(1, 0), (14, 0), (15, 1), (16, 1)])
def test_elastic_detection_rules_5570_the_threshold_is_where_it_is_said_to_be(judged, ports, scans):
    refused = [line(f"203.0.113.7 10.0.2.9 40000 {1000 + n} 6", "REJECT", size=(1, 40)) for n in range(ports)]
    lookup = line("10.0.2.9 8.8.8.8 40000 53 17", "REJECT", size=(1, 70))
    # of fifteen ports; `scan.slow` asks for eight targets, and is another
    found = [name for (name,) in judged([*refused, lookup]).alerts() if name in ("scan.vertical", "scan.horizontal")]
    assert found == ["scan.vertical"] * scans


def test_malcolm_858_a_refused_packet_is_no_scan(judged):
    made = judged([line(f"203.0.113.{n} 10.0.2.9 40000 {1000 + n} 6", "REJECT") for n in range(100)])
    assert {name for (name,) in made.alerts()} == {"blocked"}


def test_sg_takes_udp_for_27(judged):
    made = judged([line(f"10.0.1.5 198.51.100.1 40000 53 {protocol}") for protocol in (17, 27, 6)])
    assert made.flows("protocol, verdict") == [(17, "expected"), (27, "breach"), (6, "breach")]


def test_sg_asks_the_last_group_alone(judged):
    """Rules add up: what any of them allows is allowed; and each says from where."""
    flows = ["10.0.1.5 198.51.100.1 40000 443 6", "10.0.1.5 198.51.100.1 40000 53 17"]
    others = ["10.0.2.9 198.51.100.1 40000 443 6", "10.0.1.130 198.51.100.1 40000 443 6"]
    made = judged(list(map(line, flows + others)))
    rules = [("expected", "app-out"), ("expected", "app-lookups"), ("breach", None), ("breach", None)]
    assert [(verdict, rule if verdict == "expected" else None) for verdict, rule in made.flows("verdict, rule")] == rules


def test_vector_11984_the_longest_prefix_is_the_zone(judged):
    made = judged([line(f"{source} 198.51.100.1 40000 53 17") for source in ("10.0.1.127", "10.0.1.128", "10.0.1.144")])
    assert made.flows("client_zone, rule") == [("app", "app-lookups"), ("batch", "batch-out"), ("app", "app-lookups")]


def test_sg_counts_a_day_again_when_it_is_run_again(flowbound, judged):
    made = judged([line("203.0.113.7 10.0.2.9 40000 22 6", after=60 * n) for n in range(20)])

    def files():
        return sorted((path, path.read_bytes()) for path in made.lake.path.rglob("*.parquet"))

    before, alerts = files(), made.alerts("alert_id, revision, flows")
    lakes.replay(flowbound, made.lake.logs, made.lake.path, made.lake.logs.parent / "map.toml")
    assert (files(), made.alerts("alert_id, revision, flows")) == (before, alerts)


def test_vector_1374_parquet_that_others_read(judged):
    made = judged([line("10.0.1.5 10.0.2.9 40000 5432 6"), line("10.0.1.5 10.0.2.9 40001 22 6")])
    files = [path for path in made.lake.path.glob("flows/**/*.parquet") if pyarrow.parquet.read_metadata(path).num_rows]
    (table,) = [pyarrow.parquet.ParquetFile(path).read() for path in files]
    assert table.select(["srcaddr", "dstport", "verdict"]).to_pylist() == [
        {"srcaddr": "10.0.1.5", "dstport": 5432, "verdict": "expected"},
        {"srcaddr": "10.0.1.5", "dstport": 22, "verdict": "breach"},
    ]


def test_elastic_integrations_4239_what_firehose_writes(flowbound, judged, tmp_path):
    lines = [line("10.0.1.5 10.0.2.9 40000 5432 6"), line("203.0.113.7 10.0.2.9 40000 5432 6", "REJECT")]
    folder = tmp_path / "firehose"
    (folder / "logs").mkdir(parents=True)
    # one after the other, with nothing between
    (folder / "logs" / "delivered").write_text("".join(json.dumps({"message": text}) for text in lines))
    made = Judged(flowbound, folder, None)
    columns = "srcaddr, dstaddr, srcport, action, verdict"
    assert (made.flows(columns), made.lake.quarantined()) == (judged(lines).flows(columns), [])


def test_opentelemetry_collector_contrib_44710_logs_without_a_header(judged):
    order = "srcaddr dstaddr action srcport dstport protocol start end"
    lines = [f"10.0.1.5 10.0.2.9 ACCEPT 40000 5432 6 {START} {START + 50}", f"10.0.1.5 10.0.2.9 ACCEPT 40000 {START} {START + 50}"]
    made = judged(lines, header=None, options=("--log-format", order))
    assert made.flows("srcaddr, dstport, verdict") == [("10.0.1.5", 5432, "expected")]
    assert [record["raw"] for record in made.lake.quarantined()] == lines[1:]


def test_opentelemetry_collector_contrib_38861_and_opensearch_catalog_195_text_and_parquet_are_one(
    flowbound, judged, tmp_path
):
    """What AWS writes as Parquet: columns with underscores, numbers of 32 and 64 bits; nothing where text has a dash."""
    text = judged([whole(), whole(packet="- -")], header=V5)
    wide = {"packets", "bytes", "start", "end"}
    narrow = {"version", "srcport", "dstport", "protocol", "tcp-flags", "traffic-path"}
    columns = {}
    for place, name in enumerate(V5.split()):
        values = [record.split()[place] for record in (whole(), whole(packet="- -"))]
        kind = pyarrow.int64() if name in wide else pyarrow.int32() if name in narrow else pyarrow.string()
        read = int if name in wide | narrow else str
        values = [None if value == "-" else read(value) for value in values]
        columns[name.replace("-", "_")] = pyarrow.array(values, kind)
    folder = tmp_path / "parquet"
    (folder / "logs").mkdir(parents=True)
    pyarrow.parquet.write_table(pyarrow.table(columns), folder / "logs" / "some.log.parquet", compression="gzip")
    made = Judged(flowbound, folder, None)
    same = "* EXCLUDE (source, line)"
    assert (made.flows(same), made.lake.quarantined()) == (text.flows(same), [])


def test_terraform_provision_984_which_rules_are_used(judged):
    """What is allowed and what is used: a rule that is not in the answer carried nothing."""
    made = judged([line(f"10.0.1.{n} 10.0.2.9 40000 5432 6") for n in (5, 6, 6)])
    usage = lakes.dicts(made.db.execute((lakes.QUERIES / "rule_usage.sql").read_text()))
    assert [(row["kind"], row["rule"], row["records"], row["clients"]) for row in usage] == [("grant", "app-db", 3, 2)]


def test_gsp_498_a_log_is_worth_its_volume(judged):
    """Every record says what it means, and what must be looked at is little."""
    lines = [line(f"10.0.1.5 10.0.2.9 {30000 + n} 5432 6", after=n % 3000) for n in range(5000)]
    made = judged([*lines, line("203.0.113.7 10.0.2.9 40000 22 6")])
    assert made.db.execute("SELECT verdict, count(*) FROM flows GROUP BY ALL ORDER BY 2").fetchall() == [
        ("breach", 1),
        ("expected", 5000),
    ]
    assert len(made.alerts()) <= 3
    with gzip.open(made.lake.logs / "some.log.gz") as log:
        text = len(log.read())
    stored = sum(path.stat().st_size for path in made.lake.path.glob("flows/**/*.parquet"))
    assert stored < text / 2, "71 columns in less than half of the log's bytes"


def test_modernisation_platform_6127_which_ports_are_used(judged):
    """To make a range smaller: the server's port counts, both ways, and no client's."""
    flows = [f"10.0.1.5 10.0.2.9 {30000 + n} 5432 6" for n in range(50)]
    replies = [f"10.0.2.9 10.0.1.5 5432 {30000 + n} 6" for n in range(50)]
    made = judged(list(map(line, flows + replies)))
    used = "SELECT rule, protocol, server_port, count(*) FROM flows GROUP BY ALL"
    assert made.db.execute(used).fetchall() == [("app-db", 6, 5432, 100)]
