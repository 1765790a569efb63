"""The detectors that compare with the days before: alerts of a lake against `history_oracle`.

One log is made of cases whose alerts are known by hand; the others are ten days of chance.
"""

from collections import Counter
from functools import cache, cached_property

import history_oracle
import lakes
import oracle
import pytest
from history_cases import cases
from history_logs import MAP, SEEDS, soup
from history_oracle import DETECTORS


class History:
    """A log, the lake that the program makes of it, and what the oracle says of the rows in it."""

    def __init__(self, flowbound, log, folder):
        self.log, self.logs, self.boundary = log, folder / "logs", folder / "boundary.toml"
        self.boundary.write_text(MAP)
        log.write(self.logs)
        lakes.replay(flowbound, self.logs, folder / "lake", self.boundary)
        self.lake = lakes.Lake(folder / "lake", self.logs, oracle.load_map(self.boundary))

    @cached_property
    def connection(self):
        return self.lake.loaded()

    @cached_property
    def expected(self):
        return history_oracle.alerts(self.connection, *self.lake.protected())

    @cached_property
    def found(self):
        """The alerts of these detectors as the lake has them, but for those that are withdrawn."""
        alerts = lakes.dicts(self.connection.execute("SELECT * FROM alerts WHERE status <> 'closed'"))
        return [alert for alert in alerts if alert["detector"] in DETECTORS]


@pytest.fixture(scope="module")
def histories(flowbound, tmp_path_factory):
    """Makes the History of "cases" or of a seed, once."""

    @cache
    def make(name):
        log = cases() if name == "cases" else soup(name)
        return History(flowbound, log, tmp_path_factory.mktemp("history"))

    return make


@pytest.fixture(scope="module", params=["cases", *SEEDS])
def history(request, histories):
    return histories(request.param)


@pytest.mark.parametrize("detector", DETECTORS)
def test_every_alert(history, detector):
    def comparable(alerts):
        rows = [{name: alert[name] for name in history_oracle.COLUMNS} for alert in alerts]
        return Counter(repr(row) for row in rows if row["detector"] == detector)

    found, expected = comparable(history.found), comparable(history.expected)
    missing, unexpected = list(expected - found), list(found - expected)
    assert not missing and not unexpected, "\n".join(
        [f"{len(missing)} alerts are missing", *missing[:5], f"{len(unexpected)} are unexpected", *unexpected[:5]]
    )


def test_the_query_of_an_alert_returns_its_rows(history):
    assert history.found
    for alert in history.found:
        rows = history.connection.execute(alert["query"]).fetchall()
        assert len(rows) == alert["flows"], alert["query"]


def test_the_oracle_agrees_with_what_is_known(histories):
    """What stands beside each case, by hand."""
    history = histories("cases")
    wrong = []
    for detector, where, by_hand in history.log.expected:
        of_case = {"detector": detector, **where}
        found = [row for row in history.expected if all(row[name] == value for name, value in of_case.items())]
        order = ("window_start", "client_addr", "server_addr", "server_port")
        found.sort(key=lambda row: [str(row[name]) for name in order])
        told = [{name: row[name] for name in columns} for row, columns in zip(found, by_hand, strict=False)]
        if len(found) != len(by_hand) or told != list(by_hand):
            wrong.append(f"{of_case}\n  by hand    {list(by_hand)}\n  the oracle {found}")
    assert not wrong, "\n".join([f"{len(wrong)} cases", *wrong[:5]])


def test_chance_finds_something_of_each(histories):
    found = Counter(alert["detector"] for seed in SEEDS for alert in histories(seed).expected)
    assert all(found[detector] for detector in DETECTORS), found


def test_days_may_come_in_any_order(histories, flowbound, tmp_path):
    """The later days first, then those before them, which are their past."""
    at_once = histories(SEEDS[0])
    for half in ("late", "early"):
        lakes.replay(flowbound, at_once.logs / half, tmp_path / "lake", at_once.boundary)
    in_two = lakes.Lake(tmp_path / "lake", at_once.logs, at_once.lake.boundary)
    last = "SELECT * EXCLUDE (revision, status) FROM alerts WHERE status <> 'closed' ORDER BY alert_id"
    assert at_once.found
    assert lakes.dicts(in_two.connect().execute(last)) == lakes.dicts(at_once.connection.execute(last))
