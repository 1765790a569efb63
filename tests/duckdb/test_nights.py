"""Alerts that go over midnight: those of a lake against `alerts_oracle` and `scans_oracle`, however the days came.

One log is made of cases whose alerts are known by hand; the others are four days of chance.
"""

import random
from collections import Counter
from functools import cache, cached_property
from itertools import pairwise

import alerts_oracle
import lakes
import oracle
import pytest
from history_oracle import DETECTORS, HOUR
from night_logs import DAYS, MAP, SECOND, SEEDS, cases, soup

#: The detectors that compare with other days are not looked at here.
CONFIG = "\n".join(f"[detect.{name}]\nenabled = false" for name in DETECTORS)
STANDING = "SELECT * EXCLUDE (revision, status) FROM alerts WHERE status <> 'closed' ORDER BY alert_id"
#: What alerts of one key have in common.
KEY = "detector client_zone client_addr server_zone server_addr server_port protocol rule".split()


class Logged:
    """A log with a folder for each day, and what the oracle says of the rows in it."""

    def __init__(self, flowbound, log, folder):
        self.flowbound, self.log, self.folder, self.logs = flowbound, log, folder, folder / "logs"
        (folder / "boundary.toml").write_text(MAP)
        (folder / "config.toml").write_text(CONFIG)
        log.write(self.logs)
        self.parts = sorted(part.name for part in self.logs.iterdir())
        self.boundary = oracle.load_map(folder / "boundary.toml")
        self.rows = lakes.Lake(None, self.logs, self.boundary).rows
        self.expected_of = cache(self._expected_of)

    def _expected_of(self, parts):
        """The alerts, when no more of the log has come."""
        return alerts_oracle.alerts([row for row in self.rows if row["source"].split("/")[-2] in parts])

    @property
    def expected(self):
        return self.expected_of(frozenset(self.parts))

    def replay(self, out, part=""):
        """What the lake has when it has got this part of the log too."""
        config = ("--config", self.folder / "config.toml")
        lakes.replay(self.flowbound, self.logs / part, out, self.folder / "boundary.toml", options=config)
        return lakes.Lake(out, self.logs, self.boundary)

    @cached_property
    def at_once(self):
        return self.replay(self.folder / "lake")


@pytest.fixture(scope="module")
def logs(flowbound, tmp_path_factory):
    """Makes the log of "cases" or of a seed, once."""

    @cache
    def make(name):
        return Logged(flowbound, cases() if name == "cases" else soup(name), tmp_path_factory.mktemp("nights"))

    return make


@pytest.fixture(params=["cases", *SEEDS])
def logged(request, logs):
    return logs(request.param)


def differences(lake, expected, with_rows=True):
    """What is wrong with the alerts that stand, and with the rows that the query of each finds, as text."""
    connection = lake.loaded() if with_rows else lake.connect()
    found = lakes.dicts(connection.execute(lakes.STANDING))
    for alert in found if with_rows else ():
        alert["records"] = connection.execute(f"SELECT source, line FROM ({alert['query']})").fetchall()

    def comparable(alerts):
        rows = [({name: alert[name] for name in alerts_oracle.COLUMNS}, alert) for alert in alerts]
        return Counter((repr(row), tuple(sorted(alert["records"] if with_rows else ()))) for row, alert in rows)

    found, expected = comparable(found), comparable(expected)
    missing, unexpected = ([alert for alert, _ in some] for some in (expected - found, found - expected))
    if missing or unexpected:
        return "\n".join([f"{len(missing)} missing", *missing[:3], f"{len(unexpected)} unexpected", *unexpected[:3]])
    return ""


def test_every_alert(logged):
    assert not logged.at_once.quarantined()
    wrong = differences(logged.at_once, logged.expected)
    assert not wrong, wrong


@pytest.mark.parametrize("order", ["by chance", "last first"])
def test_days_may_come_one_by_one_in_any_order(logged, tmp_path, order):
    """After each of them the alerts are those of what has come so far."""
    parts = logged.parts[::-1] if order == "last first" else random.Random(len(logged.rows)).sample(logged.parts, DAYS)
    for number, part in enumerate(parts, start=1):
        lake = logged.replay(tmp_path / "lake", part)
        # queries take their time, so they are asked when all is there
        wrong = differences(lake, logged.expected_of(frozenset(parts[:number])), with_rows=number == DAYS)
        assert not wrong, f"after {parts[:number]}: {wrong}"
    in_parts, at_once = (lakes.dicts(each.connect().execute(STANDING)) for each in (lake, logged.at_once))
    assert in_parts == at_once


def test_chance_goes_over_midnight_and_ends_there(logs):
    """All that may last: over one midnight, and up to one after which the same goes on as another alert."""
    lasting = {"breach", "blocked", "attempt", "outage", "log-gap", "scan.vertical"}
    over, cut = [], set()
    for seed in SEEDS:
        of_key = {}
        for alert in logs(seed).expected:
            start, end = alert["window_start"], alert["window_end"]
            if start is None:
                continue
            assert end - start <= 36 * HOUR
            if start.date() != (end - SECOND).date():
                over.append(alert)
            key = (*(alert[name] for name in KEY), alert.get("reason"))
            of_key.setdefault(key, []).append((start, end))
        for (detector, *_), windows in of_key.items():
            if any(start - end < HOUR for (_, end), (start, _) in pairwise(sorted(windows))):
                cut.add(detector)
    assert {alert["detector"] for alert in over} == {*lasting, "scan.horizontal", "scan.slow"}
    assert {alert["severity"] for alert in over if alert["detector"] == "attempt"} == {"low", "medium"}
    assert any(alert["detector"] == "scan.vertical" and alert["server_addr"] is None for alert in over)
    assert cut >= lasting


def test_the_oracle_agrees_with_what_is_known(logs):
    """What stands beside each case, by hand."""
    logged = logs("cases")
    wrong = []
    for detector, where, by_hand in logged.log.expected:
        of_case = {"detector": detector, **where}
        found = [alert for alert in logged.expected if all(alert[name] == value for name, value in of_case.items())]
        found.sort(key=lambda alert: alert["window_start"])
        told = [{name: alert[name] for name in columns} for alert, columns in zip(found, by_hand, strict=False)]
        if len(found) != len(by_hand) or told != list(by_hand):
            wrong.append(f"{of_case}\n  by hand    {list(by_hand)}\n  the oracle {told}, {len(found)} in all")
    assert not wrong, "\n".join([f"{len(wrong)} cases", *wrong[:5]])
