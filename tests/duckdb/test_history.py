"""The detectors that compare with the days before: alerts of a lake against `history_oracle`, about midnight too.

One log is made of cases whose alerts are known by hand; the others are ten days of chance. What the map wants watched
is compared with `watch_oracle`.
"""

import random
from collections import Counter
from datetime import datetime
from functools import cache, cached_property

import history_oracle
import lakes
import oracle
import pytest
import watch_oracle
from history_cases import cases
from history_logs import MAP, SEEDS, Log, hit, soup
from history_oracle import DAY, DETECTORS, HOUR, MINUTE


class History:
    """What a lake has when it has got a part of the log in a folder too, and what the oracle says of the rows in it."""

    def __init__(self, flowbound, folder, lake, part="logs"):
        self.folder, boundary = folder, folder / "boundary.toml"
        lakes.replay(flowbound, folder / part, lake, boundary)
        self.lake = lakes.Lake(lake, folder / "logs", oracle.load_map(boundary))

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

    @property
    def standing(self):
        """All alerts that are not withdrawn, without what tells how they came to be."""
        last = "SELECT * EXCLUDE (revision, status) FROM alerts WHERE status <> 'closed' ORDER BY alert_id"
        return lakes.dicts(self.connection.execute(last))


@pytest.fixture(scope="module")
def histories(flowbound, tmp_path_factory):
    """Makes the History of "cases" or of a seed, once."""

    @cache
    def make(name):
        folder = tmp_path_factory.mktemp("history")
        folder.joinpath("boundary.toml").write_text(MAP)
        log = cases() if name == "cases" else soup(name)
        log.write(folder / "logs")
        return History(flowbound, folder, folder / "lake")

    return make


@pytest.fixture(scope="module", params=["cases", *SEEDS])
def history(request, histories):
    return histories(request.param)


def differences(history, detectors=DETECTORS):
    """What is wrong with the alerts of some detectors, as text."""

    def comparable(alerts):
        rows = [{name: alert[name] for name in history_oracle.COLUMNS} for alert in alerts]
        return Counter(repr(row) for row in rows if row["detector"] in detectors)

    return lakes.differences(comparable(history.found), comparable(history.expected))


@pytest.mark.parametrize("detector", DETECTORS)
def test_every_alert(history, detector):
    wrong = differences(history, [detector])
    assert not wrong, wrong


def test_the_query_of_an_alert_returns_its_rows(history):
    assert history.found
    for alert in history.found:
        rows = history.connection.execute(f"SELECT source, line FROM ({alert['query']})").fetchall()
        assert len(rows) == alert["flows"], alert["query"]
        assert {(item["source"], item["line"]) for item in alert["evidence"]} <= set(rows)


def test_the_oracle_agrees_with_what_is_known(histories):
    """What stands beside each case, by hand."""
    history = histories("cases")
    wrong = []
    for detector, where, by_hand in cases().expected:
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


def goes_over_midnight(alert):
    return alert["window_start"].date() < (alert["window_end"] - MINUTE).date()


def test_chance_goes_over_midnight_and_up_to_noon(histories):
    """Of all detectors that compare hours; somewhere the same goes on then."""

    def key(alert):
        return [alert[name] for name in ("detector", "client_addr", "server_zone", "server_addr", "server_port")]

    to_noon, goes_on = set(), False
    for seed in SEEDS:
        hours = [alert for alert in histories(seed).expected if alert["detector"] in DETECTORS[:3]]
        begun = [(key(alert), alert["window_start"]) for alert in hours]
        for alert in filter(goes_over_midnight, hours):
            if alert["window_end"].hour == 12:
                to_noon.add(alert["detector"])
                goes_on |= (key(alert), alert["window_end"]) in begun
    assert to_noon == {"exfiltration", "blocked-spike", "brute-force"}
    assert goes_on


@pytest.mark.parametrize("order", ["by chance", "last first"])
def test_days_may_come_one_by_one_in_any_order(histories, flowbound, tmp_path, order):
    """After each of them the alerts are those of what has come so far."""
    at_once = histories(SEEDS[1])
    days = sorted(at_once.folder.glob("logs/*/*"), reverse=True)
    if order == "by chance":
        random.Random(1).shuffle(days)
    for day in days:
        so_far = History(flowbound, at_once.folder, tmp_path / "lake", day)
        wrong = differences(so_far)
        assert not wrong, f"after {day.name}: {wrong}"
    assert so_far.standing == at_once.standing


def test_days_may_come_in_two_parts(histories, flowbound, tmp_path):
    """The later days first, then those before them, which are their past."""
    at_once = histories(SEEDS[0])
    for part in ("logs/late", "logs/early"):
        in_two = History(flowbound, at_once.folder, tmp_path / "lake", part)
    assert at_once.found
    assert in_two.standing == at_once.standing


#: Limits about what is usual in ten days of chance: some hours are above each.
LIMITS = """
expect = [
    { id = "reads", rule = "databases", max_bytes_per_hour = 2500000 },
    { id = "leaves", from = ["app"], to = ["internet"], service = ["https"], max_bytes_per_hour = 300000000 },
    { id = "answers", rule = "open", max_bytes_per_hour = 1800000 },
    { id = "few", from = ["any"], to = ["web"], min_flows = 8, max_flows = 22, every = "1h" },
    { id = "daily", from = ["worker"], to = ["any"], min_flows = 20, max_flows = 90, every = "2d" },
    { id = "often", from = ["worker"], to = ["web"], min_flows = 3, every = "30m" },
    { id = "shifts", from = ["worker"], to = ["web"], max_flows = 15, every = "3h" },
]
"""


def watched(flowbound, folder, log, boundary):
    """The lake of a log, and what the oracle says of budgets and expectations in it."""
    of_map = folder / "boundary.toml"
    of_map.write_text(boundary)
    log.write(folder / "logs")
    lakes.replay(flowbound, folder / "logs", folder / "lake", of_map)
    lake = lakes.Lake(folder / "lake", folder / "logs", oracle.load_map(of_map))
    return lake, list(watch_oracle.alerts(lake.rows, lake.boundary, of_map))


def compare_watched(found, expected):
    def comparable(alerts):
        columns = ("detector", "severity", "rule", "window_start", "window_end", "flows", "bytes")
        return Counter(repr({name: alert[name] for name in columns}) for alert in alerts)

    wrong = lakes.differences(comparable(found), comparable(expected))
    assert not wrong, wrong


def compare_lake(lake, expected):
    found = [alert for alert in lake.beside if alert["detector"] in ("budget", "expectation")]
    compare_watched(found, expected)
    for alert in found:
        assert len(alert["records"]) == alert["flows"], alert["query"]


def test_what_the_map_wants_watched(flowbound, tmp_path):
    boundary = MAP.replace("[vpc.main]", LIMITS + "\n[vpc.main]", 1)
    lake, expected = watched(flowbound, tmp_path, soup(SEEDS[1]), boundary)
    rules = {"reads", "leaves", "answers", "few", "daily", "often", "shifts"}
    assert {alert["rule"] for alert in expected} == rules
    assert {alert["rule"] for alert in expected if goes_over_midnight(alert)} >= {"leaves", "often", "shifts"}
    compare_lake(lake, expected)


MIDNIGHT = datetime(2026, 5, 20)
#: What is wanted of a port, the hours in which that is not so, and those of each alert; the second day begins at 24.
NIGHTS = [
    ("max_bytes_per_hour = 999", [(22, 27)], [(22, 27)]),
    # up to noon, whenever it began
    ("max_bytes_per_hour = 999", [(22, 38)], [(22, 36), (36, 38)]),
    ("max_bytes_per_hour = 999", [(3, 37)], [(3, 36), (36, 37)]),
    ("max_bytes_per_hour = 999", [(0, 72)], [(0, 36), (36, 60), (60, 72)]),
    ("max_bytes_per_hour = 999", [(22, 24), (25, 27)], [(22, 24), (25, 27)]),
    ("max_bytes_per_hour = 999", [(22, 23), (24, 26)], [(22, 23), (24, 26)]),
    # too few are told 15 minutes after the end, of the last hour of a day on the next; from noon on over midnight
    ("every = '1h'\nmin_flows = 1", [(22, 26)], [(22, 26)]),
    ("every = '1h'\nmin_flows = 1", [(22, 24), (25, 27)], [(22, 24), (25, 27)]),
    ("every = '1h'\nmin_flows = 1", [(10, 30)], [(10, 23), (23, 30)]),
    ("every = '1h'\nmin_flows = 1", [(11, 50)], [(11, 47), (47, 50)]),
    ("every = '1h'\nmin_flows = 1", [(23, 50)], [(23, 47), (47, 50)]),
    ("every = '15m'\nmin_flows = 1", [(11.25, 30)], [(11.25, 23.5), (23.5, 30)]),
    ("every = '15m'\nmin_flows = 1", [(11.5, 50)], [(11.5, 47.5), (47.5, 50)]),
    ("every = '12h'\nmin_flows = 1", [(0, 72)], [(0, 36), (36, 60)]),
    ("every = '1d'\nmin_flows = 1", [(0, 48)], [(0, 24), (24, 48)]),
    # too many are told at the end, of the last hour of a day on that day
    ("every = '1h'\nmax_flows = 1", [(22, 26)], [(22, 26)]),
    ("every = '1h'\nmax_flows = 1", [(23, 25), (26, 27)], [(23, 25), (26, 27)]),
    ("every = '1h'\nmax_flows = 1", [(11, 30)], [(11, 24), (24, 30)]),
    ("every = '1h'\nmax_flows = 1", [(12, 50)], [(12, 48), (48, 50)]),
    ("every = '12h'\nmax_flows = 1", [(0, 48)], [(0, 24), (24, 48)]),
    ("every = '12h'\nmax_flows = 1", [(12, 72)], [(12, 48), (48, 72)]),
    # more than half a day
    ("every = '18h'\nmax_flows = 1", [(30, 66)], [(30, 48), (48, 66)]),
    ("every = '1d'\nmax_flows = 1", [(0, 48)], [(0, 24), (24, 48)]),
]


def nights():
    """A map and a log of `NIGHTS` and of an exit, and what is to come of them."""
    boundary = MAP.replace("exits = [{", "exits = [{ max_bytes_per_hour = 999,")
    log, expected = Log(), []
    for minute in range(0, 3 * 1440, 10):
        log.nodata(MIDNIGHT + minute * MINUTE, "eni-a")

    def case(rule, severity, wanted, ends, hours, windows):
        missing = "min_flows" in wanted
        for minute in range(5, 3 * 1440, 15):
            is_so = any(begin <= minute / 60 < end for begin, end in hours)
            if is_so != missing:
                log.add(MIDNIGHT + minute * MINUTE, *ends)
        for begin, end in windows:
            flows = 0 if missing else 4 * (end - begin)
            detector, sent = ("budget", 900 * flows) if "bytes" in wanted else ("expectation", None)
            of_all = hit(severity, MIDNIGHT + begin * HOUR, (end - begin) * HOUR, flows, rule=rule, bytes=sent)
            expected.append({"detector": detector, **of_all})

    case("stays", "high", "max_bytes_per_hour = 999", ("10.50.2.1", "9.9.9.9:443"), *NIGHTS[1][1:])
    for port, (wanted, *hours_and_windows) in enumerate(NIGHTS, 9000):
        boundary += f"""
            [service.port-{port}]
            tcp = ["{port}"]
            [[expect]]
            id = "of-{port}"
            from = ["app"]
            to = ["web"]
            service = ["port-{port}"]
            {wanted}
        """
        case(f"of-{port}", "medium", wanted, ("10.50.1.1", f"10.50.4.1:{port}"), *hours_and_windows)
    return boundary, log, expected


def test_what_the_map_wants_watched_at_night(flowbound, tmp_path):
    """The oracle agrees with what is known, and the program with the oracle, whichever day comes first."""
    boundary, log, by_hand = nights()
    lake, expected = watched(flowbound, tmp_path, log, boundary)
    compare_watched(expected, by_hand)
    compare_lake(lake, expected)
    for half in ("late", "early"):
        lakes.replay(flowbound, tmp_path / "logs" / half, tmp_path / "parts", tmp_path / "boundary.toml")
    for detector in ("budget", "expectation"):
        assert stand(tmp_path / "parts", detector) == stand(lake.path, detector)


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
