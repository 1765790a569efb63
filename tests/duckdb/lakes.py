"""Lakes made by the program from the reference systems, each beside what its rows should be."""

import gzip
import ipaddress
import json
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import alerts_oracle
import duckdb
import flowlogs
import history_oracle
import oracle

ROOT = Path(__file__).parents[2]
TESTDATA = ROOT / "testdata"
QUERIES = ROOT / "queries"
SYSTEMS = ("artos", "atlas", "eks-rds", "ez-cdc")


#: The detectors whose alerts `history_oracle`, `watch_oracle` and `unanswered_oracle` compute from the rows of a lake.
BESIDE = {*history_oracle.DETECTORS, "budget", "expectation", "unanswered"}
#: Expectations of the maps that the same maps do not permit (`map check` tells of them, L07): rightly never met.
CONTRADICTED = {
    "atlas": {"connect-captures-rds", "kafka-ui-behind-alb", "kafka-ui-reads-msk"},
    "artos": {"developers-reach-db", "nodes-pull-layers"},
}
STANDING = "SELECT * FROM alerts WHERE status <> 'closed'"


@dataclass
class Lake:
    """A lake, the logs that it was made from, and the map that judged them (None: no map)."""

    path: Path
    logs: Path
    boundary: oracle.Map | None

    @cached_property
    def lines(self):
        """(URI of the file, line number, record or None, raw line) of every line that is data."""
        return [
            (path.resolve().as_uri(), number, record, raw)
            for path in flowlogs.log_files(self.logs)
            for number, record, raw in flowlogs.read_file(path)
        ]

    @cached_property
    def rows(self):
        """Every row of `flows` as it should be, with `src`, `dst` and the oracle's BESIDE beside it."""
        rows = []
        for source, number, record, _ in self.lines:
            if record is None:
                continue
            rows.append(
                {
                    **record,
                    **oracle.judge(self.boundary, record),
                    "source": source,
                    "line": number,
                    "src": record["pkt_srcaddr"] or record["srcaddr"],
                    "dst": record["pkt_dstaddr"] or record["dstaddr"],
                }
            )
        return rows

    @cached_property
    def alerts(self):
        """Every alert as it should be; those of `BESIDE` as they are, which other tests compare."""
        return alerts_oracle.alerts(self.rows) + self.beside

    @cached_property
    def beside(self):
        """The alerts of `BESIDE` that stand, each with the rows that its own query finds."""
        connection = self.connect()
        alerts = [alert for alert in dicts(connection.execute(STANDING)) if alert["detector"] in BESIDE]
        for alert in alerts:
            found = connection.execute(f"SELECT source, line FROM ({alert['query']})").fetchall()
            alert |= {"records": found, "evidence": len(alert["evidence"])}
        return alerts

    def protected(self):
        """Names of the protected zones, and of the confined ones."""
        sets = {name: {name, *zone.ancestors} for name, zone in self.boundary.zones.items()}
        confining = [invariant["zone"] for invariant in self.boundary.invariants if invariant["kind"] == "confined"]
        confined = {name for name, zones in sets.items() if zones & set().union(*confining)}
        return {name for name, zones in sets.items() if self.boundary.protected(zones)}, confined

    def lies_in_a_vpc(self, address):
        """Whether an address is inside a VPC of the map."""
        address = ipaddress.ip_address(address)
        return any(oracle.inside(address, cidrs) for cidrs in self.boundary.vpc_cidrs.values())

    def connect(self):
        """DuckDB with the views of queries/views.sql on this lake."""
        connection = duckdb.connect()
        connection.execute("SET VARIABLE lake = ?", [str(self.path)])
        connection.execute((QUERIES / "views.sql").read_text())
        return connection

    def loaded(self):
        """The same, whose flows are read once."""
        connection = self.connect()
        connection.execute("CREATE TABLE loaded AS FROM flows")
        connection.execute("CREATE OR REPLACE VIEW flows AS FROM loaded")
        return connection

    def quarantined(self):
        """The quarantine's objects."""
        return [
            json.loads(line)
            for path in sorted(self.path.glob("quarantine/*.ndjson"))
            for line in path.read_text(encoding="utf-8").splitlines()
        ]


def replay(flowbound, logs, out, boundary=None, exit_codes=(0,), options=()):
    """Runs `flowbound replay`; everything that it says is in the message when it fails."""
    command = [flowbound, "replay", str(logs), "--out", str(out), *options]
    if boundary is not None:
        command += ["--map", str(boundary)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in exit_codes, f"{command} gave {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def toml(settings, table):
    """The settings of a detector as a table of the config file; JSON writes its values as TOML does."""
    values = [f"{name} = {json.dumps(value)}" for name, value in settings.items() if name != "zones"]
    zones = [toml(of_zone, f'{table}.zones."{zone}"') for zone, of_zone in settings.get("zones", {}).items()]
    return "\n".join([f"[{table}]", *values, *zones])


def differences(found, expected):
    """What is wrong with counted alerts, as text; empty: nothing."""
    missing, unexpected = list(expected - found), list(found - expected)
    if missing or unexpected:
        return "\n".join([f"{len(missing)} missing", *missing[:5], f"{len(unexpected)} unexpected", *unexpected[:5]])
    return ""


def write_log(path, lines, header=None):
    """A log file as AWS delivers it, for tests that need lines of their own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join([*([header] if header else []), *lines]) + "\n"
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def dicts(relation):
    """The rows of a DuckDB result, as dicts."""
    names = [column[0] for column in relation.description]
    return [dict(zip(names, row, strict=True)) for row in relation.fetchall()]
