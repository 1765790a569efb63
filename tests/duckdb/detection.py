"""What the detectors find of what is planted, and what they say of ten days on which nothing happens.

    FLOWBOUND=target/debug/flowbound python tests/duckdb/detection.py      writes the table of docs/detection.md

Run by `make detection`. Each scenario is planted alone into a day of each reference system. It is found when an alert's own
query returns rows that were planted, and the detectors that found it are named. The ten days hold what the map allows
(steady clients, autoscaling pools, health checks, backups) and the noise of every log, three hundred thousand records of
them, and of the scenarios only the one that the generator cannot leave out.
"""

import csv
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb

ROOT = Path(__file__).resolve().parents[2]
TESTDATA = ROOT / "testdata"
SYSTEMS = ["ez-cdc", "atlas", "artos", "eks-rds"]
PAGE = ROOT / "docs" / "detection.md"
BEGIN, END = "<!-- the table: make detection -->\n", "<!-- end of the table -->\n"
#: Planted into the quiet days, because the generator plants one scenario at least: a gap in the log.
QUIET = "skipped-records"


def run(flowbound, *arguments):
    return subprocess.run([flowbound, *map(str, arguments)], capture_output=True, text=True, check=False)


def scenarios(flowbound):
    """Names of all scenarios, and what each plants."""
    listed = run(flowbound, "generate", "--scenarios").stdout
    found = dict(re.findall(r"^ *([a-z0-9-]+) {2,}(\S.*)$", listed, re.MULTILINE))
    assert QUIET in found, listed
    return found


class Made:
    """Generated traffic of one scenario in a system, and its lake."""

    def __init__(self, flowbound, system, scenario, flows, minutes, folder):
        boundary = TESTDATA / system / "boundary.toml"
        span = ("--flows", flows, "--minutes", minutes, "--seed", 5)
        folder.mkdir(exist_ok=True)
        logs, self.lake = folder / "logs", folder / "lake"
        made = run(flowbound, "generate", "--map", boundary, *span, "--scenario", scenario, "--out", logs)
        self.fits = made.returncode == 0
        if not self.fits:
            assert "does not fit this map" in made.stderr, made.stderr
            return
        done = run(flowbound, "replay", logs / "AWSLogs", "--map", boundary, "--out", self.lake)
        assert done.returncode == 0, done.stderr
        with (logs / "labels.csv").open(newline="") as file:
            self.planted = {((logs / row["file"]).resolve().as_uri(), int(row["line"])) for row in csv.DictReader(file)}

    def alerts(self):
        """(Detector, severity, whether it counts a row that was planted) of every alert, whose query is asked."""
        with duckdb.connect() as db:
            db.execute("SET VARIABLE lake = ?", [str(self.lake)])
            db.execute((ROOT / "queries" / "views.sql").read_text())
            found = []
            alerts = "SELECT detector, severity, flows, query FROM alerts WHERE flows > 0"
            for detector, severity, flows, query in db.execute(alerts).fetchall():
                rows = set(db.execute(f"SELECT source, line FROM ({query})").fetchall())
                assert len(rows) == flows, query
                found.append((detector, severity, bool(rows & self.planted)))
            return found


def found(flowbound, system, scenario, folder):
    """Names of the detectors that found it; None where it does not fit the map."""
    made = Made(flowbound, system, scenario, 20_000, 24 * 60, folder)
    return {detector for detector, _, planted in made.alerts() if planted} if made.fits else None


def false_alerts(flowbound, system, folder):
    """(Detector, severity) of every alert of ten quiet days."""
    made = Made(flowbound, system, QUIET, 300_000, 10 * 24 * 60, folder)
    return [(detector, severity) for detector, severity, planted in made.alerts() if not planted]


def table(flowbound):
    """The table, as Markdown."""
    lines = ["| planted | " + " | ".join(SYSTEMS) + " |", "|---|" + "---|" * len(SYSTEMS)]
    for scenario, plants in scenarios(flowbound).items():
        cells = []
        for system in SYSTEMS:
            with tempfile.TemporaryDirectory() as folder:
                detectors = found(flowbound, system, scenario, Path(folder))
            named = None if detectors is None else ", ".join(f"`{name}`" for name in sorted(detectors))
            cells.append("does not fit" if named is None else named or "**not found**")
        lines.append(f"| `{scenario}`: {plants} | " + " | ".join(cells) + " |")
    quiet = []
    for system in SYSTEMS:
        with tempfile.TemporaryDirectory() as folder:
            quiet.append(f"{len(false_alerts(flowbound, system, Path(folder))) / 10:g}")
    lines.append("| *ten days on which nothing happens*: false alerts per day | " + " | ".join(quiet) + " |")
    return "\n".join(lines) + "\n"


def main():
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(before + BEGIN + "\n" + table(str(Path(os.environ["FLOWBOUND"]).resolve())) + "\n" + END + after)


if __name__ == "__main__":
    sys.exit(main())
