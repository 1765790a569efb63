"""Alerts that go over midnight: those of a lake against `alerts_oracle` and `scans_oracle`, however the days came.

One log is made of cases whose alerts are known by hand; the others are four days of chance.
"""

import random
from collections import Counter
from datetime import datetime, timedelta
from functools import cache, cached_property

import alerts_oracle
import lakes
import oracle
import pytest
from history_oracle import DETECTORS
from night_logs import DAYS, MAP, SECOND, SEEDS, cases, soup

#: The detectors that compare with other days are not looked at here.
CONFIG = "\n".join(f"[detect.{name}]\nenabled = false" for name in DETECTORS)
STANDING = "SELECT * EXCLUDE (revision, status) FROM alerts WHERE status <> 'closed' ORDER BY alert_id"


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


def differences(lake, expected):
    """What is wrong with the alerts that stand and with the rows that their queries find, as text."""
    connection = lake.loaded()
    found = lakes.dicts(connection.execute(lakes.STANDING))
    for alert in found:
        rows = connection.execute(f"SELECT source, line FROM ({alert['query']})").fetchall()
        alert |= {"records": set(rows), "rows": len(rows), "evidence": len(alert["evidence"])}
    expected = [{**alert, "rows": alert["flows"]} for alert in expected]

    def comparable(alerts):
        columns = (*alerts_oracle.COLUMNS, "rows", "evidence")
        return Counter(
            (repr({name: alert[name] for name in columns}), tuple(sorted(alert["records"]))) for alert in alerts
        )

    found, expected = comparable(found), comparable(expected)
    missing = sorted(text for text, _ in expected - found)
    unexpected = sorted(text for text, _ in found - expected)
    if missing or unexpected:
        return "\n".join([f"{len(missing)} missing", *missing[:4], f"{len(unexpected)} unexpected", *unexpected[:4]])
    return ""


def test_every_alert(logged):
    wrong = differences(logged.at_once, logged.expected)
    assert not wrong, wrong


@pytest.mark.parametrize("order", ["by chance", "last first"])
def test_days_may_come_one_by_one_in_any_order(logged, tmp_path, order):
    """After each of them the alerts are those of what has come so far."""
    parts = logged.parts[::-1] if order == "last first" else random.Random(len(logged.rows)).sample(logged.parts, DAYS)
    for number, part in enumerate(parts, start=1):
        lake = logged.replay(tmp_path / "lake", part)
        wrong = differences(lake, logged.expected_of(frozenset(parts[:number])))
        assert not wrong, f"after {parts[:number]}: {wrong}"
    last = [lakes.dicts(each.connect().execute(STANDING)) for each in (lake, logged.at_once)]
    assert last[0] == last[1]


def test_chance_goes_over_midnight_and_ends_there(logs):
    """Of what may last: over one midnight, and up to one after which the same begins at once."""
    names = "detector client_zone client_addr server_zone server_addr server_port protocol rule reason".split()
    lasting = ["breach", "blocked", "attempt", "outage", "log-gap", "scan.vertical"]
    over, cut, severities, crowds, slow = Counter(), Counter(), set(), 0, 0
    for seed in SEEDS:
        alerts = [alert for alert in logs(seed).expected if alert["window_start"]]
        begins = {(*(alert.get(name) for name in names), alert["window_start"]) for alert in alerts}
        for alert in alerts:
            detector, start, end = alert["detector"], alert["window_start"], alert["window_end"]
            if start.date() != (end - SECOND).date():
                over[detector] += 1
                severities |= {alert["severity"]} if detector == "attempt" else set()
                crowds += detector == "scan.vertical" and alert["server_addr"] is None
            at_midnight = end == datetime.combine(end, datetime.min.time())
            cut[detector] += at_midnight and (*(alert.get(name) for name in names), end) in begins
            slow += detector == "scan.slow"
            assert end - start <= timedelta(hours=36)
    assert all(over[name] for name in [*lasting, "scan.horizontal"]), over
    assert all(cut[name] for name in lasting), cut
    assert severities == {"low", "medium"}
    assert crowds and slow and not over["scan.slow"]


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
