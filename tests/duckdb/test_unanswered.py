"""The detector `unanswered`: alerts of a lake against `unanswered_oracle`.

One log is made of cases whose alerts are known by hand; the others are three days of chance.
"""

import json
import random
import subprocess
from collections import Counter
from functools import cache, cached_property

import lakes
import oracle
import pytest
import unanswered_oracle
from history_oracle import COLUMNS, DAY, MINUTE, day_of
from unanswered_logs import MAP, SEEDS, Calls, at, cases, hourly, pane, soup

#: What another replay and a backtest are asked to find; a zone begins with what is set for all.
SETTINGS = {"calls": 2, "zones": {"orders": {"calls": 4}, "web": {"enabled": False}}}
#: What is gathered is handed on in parts.
LITTLE = ("--detect-memory", "1", "--threads", "1")
STANDING = "SELECT * EXCLUDE (revision, status) FROM alerts WHERE detector = 'unanswered' AND status <> 'closed'"


class Replayed:
    """A lake that the program makes of a log, with or without settings of the detector."""

    def __init__(self, flowbound, log, folder, settings=None):
        self.flowbound, self.log, self.folder, self.logs = flowbound, log, folder, folder / "logs"
        self.settings = settings or {}
        (folder / "boundary.toml").write_text(MAP)
        (folder / "config.toml").write_text(lakes.toml(self.settings, "detect.unanswered"))
        log.write(self.logs)
        self.parts = sorted(log.parts)

    def replay(self, out, part="", options=()):
        """The lake when it has got this part of the log too."""
        options = ("--config", self.folder / "config.toml", *options)
        lakes.replay(self.flowbound, self.logs / part, out, self.folder / "boundary.toml", options=options)
        return lakes.Lake(out, self.logs, oracle.load_map(self.folder / "boundary.toml"))

    @cached_property
    def lake(self):
        return self.replay(self.folder / "lake")

    @cached_property
    def connection(self):
        return self.lake.loaded()

    @cached_property
    def expected(self):
        return unanswered_oracle.alerts(self.connection, settings_of(self.settings))

    @cached_property
    def found(self):
        return standing(self.connection)


def standing(connection):
    """The alerts as the lake has them, but for those that are withdrawn."""
    return lakes.dicts(connection.execute(f"{STANDING} ORDER BY alert_id"))


def settings_of(settings):
    """Those of each zone, as `unanswered_oracle` asks for them."""
    of_all = unanswered_oracle.DEFAULTS | {name: value for name, value in settings.items() if name != "zones"}
    return lambda zone: of_all | settings.get("zones", {}).get(zone, {})


def comparable(alerts):
    return Counter(repr([alert.get(name) for name in (*COLUMNS, "rule")]) for alert in alerts)


def differences(found, expected):
    """What is wrong, as text."""
    return lakes.differences(comparable(found), comparable(expected))


@pytest.fixture(scope="module")
def replays(flowbound, tmp_path_factory):
    """Makes the lake of "cases" or of a seed, once."""

    @cache
    def make(name):
        log = cases() if name == "cases" else soup(name)
        return Replayed(flowbound, log, tmp_path_factory.mktemp("unanswered"))

    return make


@pytest.fixture(params=["cases", *SEEDS])
def replayed(request, replays):
    return replays(request.param)


def test_the_oracle_agrees_with_what_is_known(replays):
    """What stands beside each case, by hand; and nothing else is found."""
    replayed = replays("cases")
    wrong, known = [], 0
    for server, by_hand in replayed.log.expected:
        addr, port = server.rsplit(":", 1)
        found = [row for row in replayed.expected if (row["server_addr"], row["server_port"]) == (addr, int(port))]
        found.sort(key=lambda row: row["window_start"])
        told = [{name: row.get(name) for name in columns} for row, columns in zip(found, by_hand, strict=False)]
        if len(found) != len(by_hand) or told != list(by_hand):
            wrong.append(f"{server}\n  by hand    {list(by_hand)}\n  the oracle {found}")
        known += len(by_hand)
    assert not wrong, "\n".join([f"{len(wrong)} cases", *wrong[:5]])
    assert len(replayed.expected) == known


def test_every_alert(replayed):
    assert not replayed.lake.quarantined()
    wrong = differences(replayed.found, replayed.expected)
    assert not wrong, wrong


def test_the_query_of_an_alert_returns_its_rows(replayed):
    assert replayed.found
    found = unanswered_oracle.found_panes(replayed.connection)
    for alert in replayed.found:
        rows = replayed.connection.execute(f"SELECT source, line FROM ({alert['query']})").fetchall()
        assert len(rows) == alert["flows"], alert["query"]
        assert set(rows) == unanswered_oracle.calls_of(replayed.connection, alert, found), alert["query"]


#: What another condition says too: without it the same is found.
SAID_TWICE = {
    "CALL": {
        "action = 'ACCEPT'",
        "dstport IS NOT NULL",
        "client_addr = coalesce(pkt_srcaddr, srcaddr)",
        "orientation <> 'reply'",
    },
    "ANSWER": {"action = 'ACCEPT'", "srcport IS NOT NULL", "server_zone <> 'internet'"},
}
#: Midnights at which alerts might end: each, the second one, none.
LIMITS = [lambda first: day_of(first) + DAY, lambda first: day_of(first) + 2 * DAY, lambda first: first + 9 * DAY]
OTHERWISE = [
    *[(name, one) for name in SAID_TWICE for one in getattr(unanswered_oracle, name)],
    *[("ANSWERED_WITHIN", panes) for panes in ((0,), (1,), (0, 1, 2), (-1, 0, 1))],
    *[("LATENESS", minutes * MINUTE) for minutes in (0, 30)],
    ("TOLD_WITHIN", DAY),
    *[("TOGETHER", panes * unanswered_oracle.PANE) for panes in (6, 8)],
    *[("limit", limit) for limit in LIMITS],
]


def test_chance_decides_by_each_part_of_the_definition(replays, monkeypatch):
    """Where one is left out, or is another, the alerts of some seed are others."""
    assert all(len(replays(seed).expected) >= 20 for seed in SEEDS)
    makes_none = {name: set() for name in SAID_TWICE}
    for name, other in OTHERWISE:
        with monkeypatch.context() as context:
            if name in SAID_TWICE:
                conditions = getattr(unanswered_oracle, name)
                context.setattr(unanswered_oracle, name, tuple(one for one in conditions if one != other))
            else:
                context.setattr(unanswered_oracle, name, other)
            alerts = [comparable(unanswered_oracle.alerts(replays(seed).connection)) for seed in SEEDS]
        if alerts == [comparable(replays(seed).expected) for seed in SEEDS]:
            makes_none.setdefault(name, set()).add(other)
    assert makes_none == SAID_TWICE


@pytest.mark.parametrize("order", ["by chance", "last first"])
@pytest.mark.parametrize("name, options", [("cases", ()), (SEEDS[0], LITTLE), (SEEDS[1], ())])
def test_files_may_come_one_by_one_in_any_order(replays, tmp_path, name, options, order):
    """After each the alerts are those of what has come so far; the files have records of other days too."""
    at_once = replays(name)
    parts = at_once.parts[::-1]
    if order == "by chance":
        random.Random(len(at_once.expected)).shuffle(parts)
    for part in parts:
        connection = at_once.replay(tmp_path / "lake", part, options).loaded()
        wrong = differences(standing(connection), unanswered_oracle.alerts(connection))
        assert not wrong, f"after {part} of {parts}: {wrong}"
    assert standing(connection) == at_once.found
    closed = "SELECT count(*) FROM alerts WHERE detector = 'unanswered' AND status = 'closed'"
    assert name == "cases" or connection.execute(closed).fetchone() > (0,), "no alert had to go"


def test_it_waits_for_answers_and_is_withdrawn_where_one_comes_late(flowbound, tmp_path):
    log, server = Calls(), "10.60.10.1:7000"
    log.calls(server, pane("10:00", 3), part=0)
    log.calls(server, [at("10:34:59")], part=1)
    # nothing of the server: any record tells how far the lake has come
    log.record(at("10:35"), "9.9.9.9:40000", "10.60.10.1:22", action="REJECT", part=2)
    log.calls(server, pane("9:20", 3), part=3)
    log.answers(server, [at("10:19:59.999")], part=4)
    log.answers(server, [at("9:20")], part=5)
    replayed = Replayed(flowbound, log, tmp_path)
    earlier, later = (at("9:20"), at("9:30"), 3), (at("10:00"), at("10:10"), 3)
    both = at("9:20"), at("10:10"), 6
    assert told(replayed, "012345") == [[], [], [later], [both], [earlier], []]
    assert told(replayed, "543210") == [[], [], [], [], [], []]
    assert told(replayed, "023514") == [[], [later], [both], [later], [later], []]


def test_so_it_does_over_midnight(flowbound, tmp_path):
    log, server = Calls(), "10.60.10.1:7000"
    log.calls(server, pane("23:50", 3), part=0)
    log.nodata(at("24:24:59"), part=1)
    log.nodata(at("24:25"), part=2)
    log.answers(server, [at("24:09:59.999")], part=3)
    replayed, found = Replayed(flowbound, log, tmp_path), [(at("23:50"), at("24:00"), 3)]
    assert told(replayed, "0123") == [[], [], found, []]
    assert told(replayed, "2013") == [[], found, found, []]
    assert told(replayed, "3210") == [[], [], [], []]


def test_what_comes_late_to_its_morning_decides_where_it_ends(flowbound, tmp_path):
    """It is then another alert, and what is on the next day is one of its own, or of the first one again."""
    log, server = Calls(), "10.60.10.1:7000"
    log.calls(server, hourly("12:30", "25:30"), part=0)
    log.nodata(at("26:05"), part=0)
    log.calls(server, pane("11:30", 3), part=1)
    log.answers(server, [at("11:45")], part=2)
    replayed, one = Replayed(flowbound, log, tmp_path), [(at("12:30"), at("25:40"), 42)]
    two = [(at("11:30"), at("23:40"), 39), (at("24:30"), at("25:40"), 6)]
    assert told(replayed, "012") == [one, two, one]
    assert told(replayed, "102") == [[], two, one]
    assert told(replayed, "201") == [[], one, one]


def told(replayed, parts):
    """What the lake tells after each of the parts: the windows and the flows of its alerts."""
    found = []
    for part in parts:
        lake = replayed.replay(replayed.folder / f"lake-{parts}", part)
        alerts = sorted(standing(lake.connect()), key=lambda alert: alert["window_start"])
        found.append([(alert["window_start"], alert["window_end"], alert["flows"]) for alert in alerts])
    return found


@pytest.mark.parametrize("order, flows", [("0123", [6, 9, 9, 6]), ("0213", [6, 6, 9, 6]), ("0312", [6, 6, 6, 6])])
def test_what_lies_between_counts_while_it_is_found(flowbound, tmp_path, order, flows):
    """The window stays as it is, where calls and an answer come late to a pane in the middle of it."""
    log, server = Calls(), "10.60.10.1:7000"
    log.calls(server, [*pane("10:00", 3), *pane("10:30", 2), *pane("11:00", 3)], part=0)
    log.record(at("11:35"), "9.9.9.9:40000", "10.60.10.1:22", action="REJECT", part=0)
    log.calls(server, [at("10:39:59")], part=1)
    # enough is in this pane, not in those two
    log.calls(server, [at("10:20"), at("10:40")], part=2)
    log.answers(server, [at("10:30")], part=3)
    replayed, told = Replayed(flowbound, log, tmp_path), []
    for part in order:
        connection = replayed.replay(tmp_path / "lake", part).loaded()
        [alert] = standing(connection)
        assert (alert["window_start"], alert["window_end"]) == (at("10:00"), at("11:10"))
        rows = connection.execute(f"SELECT source, line FROM ({alert['query']})").fetchall()
        found = unanswered_oracle.found_panes(connection)
        assert set(rows) == unanswered_oracle.calls_of(connection, alert, found), alert["query"]
        assert len(rows) == alert["flows"]
        told.append(alert["flows"])
    assert told == flows


def test_settings_are_those_of_the_servers_zone(flowbound, tmp_path, replays):
    """Also in a backtest of a lake that was made without them."""
    before = replays(SEEDS[0])
    after = Replayed(flowbound, before.log, tmp_path, SETTINGS)
    wrong = differences(after.found, after.expected)
    assert not wrong, wrong
    assert {alert["server_zone"] for alert in after.expected} == {"app", "data", "orders", "partner"}
    command = [flowbound, "backtest", "--lake", before.folder / "lake", "--config", tmp_path / "config.toml", "--json"]
    assert before.found
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    changes = Counter((each["change"], each["window_start"], each["flows"]) for each in told["changes"])
    alerts = {"gone": by_first_pane(before.expected), "new": by_first_pane(after.expected)}
    both = alerts["gone"].keys() & alerts["new"].keys()
    assert both and changes == Counter(
        (change, f"{alert['window_start'].isoformat()}Z", alert["flows"])
        for change, of_it in alerts.items()
        for key, alert in of_it.items()
        if key not in both
    )
    assert {change for change, *_ in changes} == {"gone", "new"}


def by_first_pane(alerts):
    """An alert is the same while it begins with the same pane."""
    names = (*unanswered_oracle.KEY, "window_start")
    return {tuple(alert[name] for name in names): alert for alert in alerts}


def test_it_can_be_switched_off(flowbound, tmp_path, replays):
    assert Replayed(flowbound, replays("cases").log, tmp_path, {"enabled": False}).found == []
