"""What the detectors find of what is planted, and what they say of ten days on which nothing happens.

    FLOWBOUND=target/debug/flowbound python tests/duckdb/detection.py      writes the table of docs/detection.md

Run by `make detection`. Each scenario is planted alone into a day of each reference system that follows on seven quiet
ones. It is found when an alert's own query returns rows that were planted, and the detectors that found it are named.
Quiet days hold what the map allows (steady clients, autoscaling pools, health checks, backups) and the noise of every
log, and of the scenarios only one, because the generator plants one at least. The ten days have three hundred thousand
records.
"""

import csv
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb

ROOT = Path(__file__).resolve().parents[2]
TESTDATA = ROOT / "testdata"
SYSTEMS = ["ez-cdc", "atlas", "artos", "eks-rds"]
PAGE = ROOT / "docs" / "detection.md"
BEGIN, END = "<!-- the table: make detection -->\n", "<!-- end of the table -->\n"
#: Planted into the quiet days: a gap in the log.
QUIET = "skipped-records"
#: The day of a scenario, how many come before it, and the records of each. Hosts follow from the map and the number of
#: records of a run: so each of these days is a run of its own, all of one size, each with its own seed.
DAY, BEFORE, RECORDS = date(2026, 11, 20), 7, 20_000


@dataclass
class Past:
    """The lake of the quiet days before the day of a scenario, and the interfaces that are in it."""

    lake: Path
    interfaces: set[str]


def run(flowbound, *arguments):
    return subprocess.run([flowbound, *map(str, arguments)], capture_output=True, text=True, check=False)


def scenarios(flowbound):
    """Names of all scenarios, and what each plants."""
    listed = run(flowbound, "generate", "--scenarios").stdout
    found = dict(re.findall(r"^ *([a-z0-9-]+) {2,}(\S.*)$", listed, re.MULTILINE))
    assert QUIET in found, listed
    return found


def generate(flowbound, system, scenario, out, start=DAY, days=1, records=RECORDS, seed=5):
    """Writes traffic with one scenario in it; False where that does not fit the map."""
    boundary = TESTDATA / system / "boundary.toml"
    span = ("--start", start, "--minutes", days * 24 * 60, "--flows", records, "--seed", seed)
    made = run(flowbound, "generate", "--map", boundary, *span, "--scenario", scenario, "--out", out)
    assert made.returncode == 0 or "does not fit this map" in made.stderr, made.stderr
    return made.returncode == 0


def replay(flowbound, system, lake, *logs):
    config = Path(lake).with_name("flowbound.toml")
    # off by default
    config.write_text("[detect.beacon]\nenabled = true\n")
    boundary = TESTDATA / system / "boundary.toml"
    done = run(flowbound, "replay", *logs, "--map", boundary, "--out", lake, "--config", config)
    assert done.returncode == 0, done.stderr


def past(flowbound, system, folder):
    """The quiet days before the day of any scenario in a system."""
    logs = [folder / str(back) for back in range(1, BEFORE + 1)]
    for back, out in enumerate(logs, start=1):
        assert generate(flowbound, system, QUIET, out, DAY - timedelta(days=back), seed=5 + back)
    lake = folder / "lake"
    replay(flowbound, system, lake, *(out / "AWSLogs" for out in logs))
    with connect(lake) as db:
        interfaces = db.execute("SELECT DISTINCT interface_id FROM flows").fetchall()
    return Past(lake, {interface for (interface,) in interfaces})


def connect(lake):
    db = duckdb.connect(config={"threads": 1})
    db.execute("SET VARIABLE lake = ?", [str(lake)])
    db.execute((ROOT / "queries" / "views.sql").read_text())
    return db


def alerts(lake, logs, since, known):
    """(Detector, severity, rule, whether it is of what was planted) of every alert whose window reaches into a day or later.

    An alert that counts rows is, if its own query returns one that was planted. One that counts none, of a silence, is
    if its query asks for an interface that only planted rows have, and neither others of that time nor `known` do.
    """
    with (logs / "labels.csv").open(newline="") as file:
        planted = {((logs / row["file"]).resolve().as_uri(), int(row["line"])) for row in csv.DictReader(file)}
    with connect(lake) as db:
        db.execute("CREATE TABLE loaded AS FROM flows WHERE date >= ?", [since])
        db.execute("CREATE OR REPLACE VIEW flows AS FROM loaded")
        rows = db.execute("SELECT DISTINCT interface_id, source, line FROM flows").fetchall()
        others = {interface for interface, *place in rows if tuple(place) not in planted}
        assert not known or others <= known, "the days before have other hosts"
        only_planted = {interface for interface, *_ in rows} - others - known
        found = []
        open_ones = "SELECT detector, severity, rule, flows, query FROM alerts WHERE status <> 'closed' AND window_end > ?"
        for detector, severity, rule, flows, query in db.execute(open_ones, [since]).fetchall():
            if flows:
                places = set(db.execute(f"SELECT source, line FROM ({query})").fetchall())
                assert len(places) == flows, query
                found.append((detector, severity, rule, bool(places & planted)))
            else:
                of_it = any(f"'{interface}'" in query for interface in only_planted)
                found.append((detector, severity, rule, of_it))
        return found


def found(flowbound, system, scenario, before, folder):
    """Names of the detectors that found it in the day after quiet ones; None where it does not fit the map."""
    logs, lake = folder / "logs", folder / "lake"
    if not generate(flowbound, system, scenario, logs):
        return None
    shutil.copytree(before.lake, lake)
    replay(flowbound, system, lake, logs / "AWSLogs")
    return {detector for detector, *_, planted in alerts(lake, logs, DAY, before.interfaces) if planted}


def false_alerts(flowbound, system, folder):
    """(Detector, severity, rule) of every alert of ten quiet days."""
    logs, lake = folder / "logs", folder / "lake"
    assert generate(flowbound, system, QUIET, logs, days=10, records=300_000)
    replay(flowbound, system, lake, logs / "AWSLogs")
    return [tuple(alert) for *alert, planted in alerts(lake, logs, DAY, set()) if not planted]


def column(flowbound, system, names):
    """The cells of a system: one for each scenario, and one for the ten quiet days."""
    cells = []
    with tempfile.TemporaryDirectory() as folder:
        before = past(flowbound, system, Path(folder))
        for scenario in names:
            with tempfile.TemporaryDirectory() as of_scenario:
                detectors = found(flowbound, system, scenario, before, Path(of_scenario))
            named = None if detectors is None else ", ".join(f"`{name}`" for name in sorted(detectors))
            cells.append("does not fit" if named is None else named or "**not found**")
    with tempfile.TemporaryDirectory() as folder:
        false = Counter(detector for detector, *_ in false_alerts(flowbound, system, Path(folder)))
    named = ", ".join(f"`{name}`" for name in sorted(false))
    return [*cells, f"{false.total() / 10:g}" + (f" ({named})" if named else "")]


def table(flowbound):
    """The table, as Markdown."""
    rows = [f"`{scenario}`: {plants}" for scenario, plants in scenarios(flowbound).items()]
    rows.append("*ten days on which nothing happens*: false alerts per day")
    with ThreadPoolExecutor() as threads:
        columns = threads.map(lambda system: column(flowbound, system, scenarios(flowbound)), SYSTEMS)
    lines = ["| planted | " + " | ".join(SYSTEMS) + " |", "|---|" + "---|" * len(SYSTEMS)]
    lines += ["| " + " | ".join(cells) + " |" for cells in zip(rows, *columns, strict=True)]
    return "\n".join(lines) + "\n"


def main():
    made = table(str(Path(os.environ["FLOWBOUND"]).resolve()))
    before, rest = PAGE.read_text().split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(before + BEGIN + "\n" + made + "\n" + END + after)


if __name__ == "__main__":
    sys.exit(main())
