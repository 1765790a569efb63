"""The detectors that compare with the days before: alerts of a lake against `history_oracle`.

One log is made of cases whose alerts are known by hand; the others are ten days of chance.
"""

from collections import Counter
from datetime import datetime
from functools import cache, cached_property

import history_oracle
import lakes
import oracle
import pytest
import watch_oracle
from history_cases import cases
from history_logs import MAP, SEEDS, Log, soup
from history_oracle import DAY, DETECTORS, HOUR, MINUTE


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

    wrong = lakes.differences(comparable(history.found), comparable(history.expected))
    assert not wrong, wrong


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


#: Limits about what is usual in ten days of chance: some hours are above each.
LIMITS = """
expect = [
    { id = "reads", rule = "databases", max_bytes_per_hour = 2500000 },
    { id = "leaves", from = ["app"], to = ["internet"], service = ["https"], max_bytes_per_hour = 300000000 },
    { id = "answers", rule = "open", max_bytes_per_hour = 1800000 },
    { id = "few", from = ["any"], to = ["web"], min_flows = 8, max_flows = 22, every = "1h" },
    { id = "daily", from = ["worker"], to = ["any"], min_flows = 20, max_flows = 90, every = "2d" },
]
"""


def test_what_the_map_wants_watched(flowbound, tmp_path):
    boundary = tmp_path / "boundary.toml"
    boundary.write_text(MAP.replace("[vpc.main]", LIMITS + "\n[vpc.main]", 1))
    soup(SEEDS[0]).write(tmp_path / "logs")
    lakes.replay(flowbound, tmp_path / "logs", tmp_path / "lake", boundary)
    lake = lakes.Lake(tmp_path / "lake", tmp_path / "logs", oracle.load_map(boundary))
    columns = ("detector", "severity", "rule", "window_start", "window_end", "flows", "bytes")

    def comparable(alerts):
        return Counter(tuple(alert[name] for name in columns) for alert in alerts)

    found = [alert for alert in lake.beside if alert["detector"] in ("budget", "expectation")]
    expected = comparable(watch_oracle.alerts(lake.rows, lake.boundary, boundary))
    assert comparable(found) - expected == expected - comparable(found) == Counter()
    assert {rule for _, _, rule, *_ in expected} == {"reads", "leaves", "answers", "few", "daily"}
    for alert in found:
        assert len(alert["records"]) == alert["flows"], alert["query"]


MIDNIGHT = datetime(2026, 5, 20)
EXPECT = """
[[expect]]
id = "{id}"
rule = "databases"
every = "{every}"
{limits}
"""


def stand(lake, detector):
    """The alerts of a detector that stand, without what tells how they came to be."""
    last = f"SELECT * EXCLUDE (revision, status) FROM alerts WHERE status <> 'closed' AND detector = '{detector}'"
    return lakes.dicts(lakes.Lake(lake, None, None).connect().execute(f"{last} ORDER BY alert_id"))


def in_two(flowbound, folder, first, second, boundary):
    """The lake of two logs, one read after the other, and the lake of both at once."""
    folder.joinpath("boundary.toml").write_text(boundary)
    for name, log in (("first", first), ("second", second)):
        log.write(folder / "logs" / name)
        lakes.replay(flowbound, folder / "logs" / name, folder / "lake", folder / "boundary.toml")
    lakes.replay(flowbound, folder / "logs", folder / "at-once", folder / "boundary.toml")
    return folder / "lake", folder / "at-once"


def test_a_gap_whose_end_moves_to_the_day_before(flowbound, tmp_path):
    """It ends on the second day, and then on the first: two days told of a gap that begins in the same minute."""
    first, second = Log(), Log()
    for minute in [*range(-600, -120, 10), *range(31, 240, 10)]:
        first.nodata(MIDNIGHT + minute * MINUTE, "eni-a")
    second.nodata(MIDNIGHT - 25 * MINUTE, "eni-a")
    lake, at_once = in_two(flowbound, tmp_path, first, second, MAP)
    found = stand(lake, "late")
    windows = [(alert["window_start"], alert["window_end"]) for alert in found]
    assert windows == [(MIDNIGHT - 129 * MINUTE, MIDNIGHT - 25 * MINUTE)]
    assert found == stand(at_once, "late")


def test_a_period_of_too_few_that_becomes_one_of_too_many(flowbound, tmp_path):
    """Too few of the last hour of a day is told on the next one, too many on that day."""
    first, second = Log(), Log()
    for minute in range(-300, 300, 10):
        first.nodata(MIDNIGHT + minute * MINUTE, "eni-a")
    for log, minutes in ((first, [*range(-290, -60, 20), -30, *range(20, 300, 20)]), (second, [-31, -32, -33, -34])):
        for minute in minutes:
            log.add(MIDNIGHT + minute * MINUTE, "10.50.1.1", "10.50.10.1:5432")
    boundary = MAP + EXPECT.format(id="used", every="1h", limits="min_flows = 2\nmax_flows = 4")
    lake, at_once = in_two(flowbound, tmp_path, first, second, boundary)
    found = stand(lake, "expectation")
    assert [(alert["window_start"], alert["flows"]) for alert in found] == [(MIDNIGHT - HOUR, 5)]
    assert found == stand(at_once, "expectation")


def test_a_new_map_is_not_asked_about_what_was_before_it(flowbound, tmp_path):
    """Nobody counted for an expectation before the map had it."""
    for day in range(4):
        log = Log()
        for minute in range(0, 1440, 20):
            log.nodata(MIDNIGHT + day * DAY + minute * MINUTE, "eni-a")
            if day < 2:
                log.add(MIDNIGHT + day * DAY + minute * MINUTE, "10.50.1.1", "10.50.10.1:5432")
        log.write(tmp_path / "logs" / str(day))
    boundary, lake = tmp_path / "boundary.toml", tmp_path / "lake"
    boundary.write_text(MAP)
    lakes.replay(flowbound, tmp_path / "logs" / "0", lake, boundary)
    lakes.replay(flowbound, tmp_path / "logs" / "1", lake, boundary)
    boundary.write_text(MAP + EXPECT.format(id="used", every="1d", limits="min_flows = 1"))
    lakes.replay(flowbound, tmp_path / "logs" / "2", lake, boundary, options=["--new-map"])
    # the second day was under another map
    assert stand(lake, "expectation") == []
    lakes.replay(flowbound, tmp_path / "logs" / "3", lake, boundary)
    found = stand(lake, "expectation")
    assert [alert["window_start"] for alert in found] == [MIDNIGHT + 2 * DAY]
