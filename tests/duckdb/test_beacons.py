"""The detector `beacon`: alerts of a lake against `beacon_oracle`.

One log is made of cases whose alerts are known by hand; the others are three days of chance.
"""

from collections import Counter
from functools import cache, cached_property

import beacon_oracle
import lakes
import oracle
import pytest
from beacon_logs import SEEDS, SETTINGS, cases, soup
from history_logs import MAP
from history_oracle import COLUMNS

#: What is gathered is handed on in parts.
LITTLE = ("--detect-memory", "1", "--threads", "1")
STANDING = "SELECT * EXCLUDE (revision, status) FROM alerts WHERE detector = 'beacon' AND status <> 'closed'"


class Replayed:
    """A lake that the program makes of a log, with and without settings of the detector."""

    def __init__(self, flowbound, folder, logs, settings=SETTINGS, parts=("",), options=()):
        boundary, config = folder / "boundary.toml", folder / "config.toml"
        boundary.write_text(MAP)
        config.write_text(lakes.toml(settings, "detect.beacon"))
        for part in parts:
            lakes.replay(flowbound, logs / part, folder / "lake", boundary, options=("--config", config, *options))
        self.settings, self.logs = settings, logs
        self.lake = lakes.Lake(folder / "lake", logs, oracle.load_map(boundary))

    @cached_property
    def connection(self):
        return self.lake.loaded()

    @cached_property
    def days(self):
        return beacon_oracle.key_days(self.connection)

    @cached_property
    def expected(self):
        return beacon_oracle.alerts(self.days, self.settings_of)

    @cached_property
    def found(self):
        """The alerts as the lake has them, but for those that are withdrawn."""
        return lakes.dicts(self.connection.execute(f"{STANDING} ORDER BY alert_id"))

    def settings_of(self, zone):
        of_all = {name: value for name, value in self.settings.items() if name != "zones"}
        return beacon_oracle.DEFAULTS | of_all | self.settings.get("zones", {}).get(zone, {})


def differences(found, expected):
    """What is wrong, as text."""

    def comparable(alerts):
        return Counter(repr({name: alert[name] for name in COLUMNS}) for alert in alerts)

    return lakes.differences(comparable(found), comparable(expected))


@pytest.fixture(scope="module")
def known():
    """The log of cases."""
    return cases()


@pytest.fixture(scope="module")
def logs(known, tmp_path_factory):
    """The folder with the log of "cases" or of a seed, written once."""

    @cache
    def write(name):
        folder = tmp_path_factory.mktemp("logs")
        (known if name == "cases" else soup(name)).write(folder)
        return folder

    return write


@pytest.fixture(scope="module")
def replays(flowbound, logs, tmp_path_factory):
    """Makes the lake of "cases" or of a seed, once."""
    return cache(lambda name: Replayed(flowbound, tmp_path_factory.mktemp("beacons"), logs(name)))


@pytest.fixture(params=["cases", *SEEDS])
def replayed(request, replays):
    return replays(request.param)


def test_every_alert(replayed):
    assert not replayed.lake.quarantined()
    wrong = differences(replayed.found, replayed.expected)
    assert not wrong, wrong


def test_the_query_of_an_alert_returns_its_rows(replayed):
    assert replayed.found
    for alert in replayed.found:
        rows = replayed.connection.execute(alert["query"]).fetchall()
        assert len(rows) == alert["flows"], alert["query"]


def test_the_oracle_agrees_with_what_is_known(known, replays):
    """What stands beside each case, by hand."""
    wrong = []
    for _, where, by_hand in known.expected:
        of_case = [row for row in replays("cases").expected if row["client_addr"] == where["client_addr"]]
        of_case.sort(key=lambda row: row["window_start"])
        told = [{name: row[name] for name in columns} for row, columns in zip(of_case, by_hand, strict=False)]
        if len(of_case) != len(by_hand) or told != list(by_hand):
            wrong.append(f"{where}\n  by hand    {list(by_hand)}\n  the oracle {of_case}")
    assert not wrong, "\n".join([f"{len(wrong)} cases", *wrong[:5]])


def test_chance_finds_some_and_not_all(replays):
    """Of each seed; and the score alone decides of some."""
    for seed in SEEDS:
        replayed = replays(seed)
        enough = [each for each in replayed.days if each.calls_enough(replayed.settings_of(each.key["client_zone"]))]
        assert 5 <= len(replayed.expected) <= len(enough) - 5
        assert len(enough) <= len(replayed.days) / 2


@pytest.mark.parametrize("name, options", [("cases", ()), ("cases", LITTLE), (SEEDS[0], LITTLE)])
def test_the_log_may_come_in_parts_and_in_any_order(flowbound, replays, tmp_path, name, options):
    """The later days first, half of the lines of each at a time."""
    at_once = replays(name)
    parts = sorted((part.name for part in at_once.logs.iterdir()), reverse=True)
    assert len(parts) == 4
    in_parts = Replayed(flowbound, tmp_path, at_once.logs, parts=parts, options=options)
    assert in_parts.found == at_once.found


@pytest.mark.parametrize("seed", SEEDS)
def test_little_memory_makes_no_difference(flowbound, replays, tmp_path, seed):
    little = Replayed(flowbound, tmp_path, replays(seed).logs, options=LITTLE)
    assert little.found == replays(seed).found
    assert gathered(little) > gathered(replays(seed)), "all was gathered in one part"


def gathered(replayed):
    """How many files have what detectors gathered for other days."""
    return len(list(replayed.lake.path.glob("_flowbound/state/**/*.history")))


def test_it_is_off_until_it_is_switched_on(flowbound, logs, tmp_path):
    assert Replayed(flowbound, tmp_path, logs("cases"), settings={}).found == []


def test_it_may_be_on_in_one_zone(flowbound, logs, tmp_path):
    replayed = Replayed(flowbound, tmp_path, logs("cases"), settings={"zones": {"app": {"enabled": True}}})
    assert {alert["client_zone"] for alert in replayed.expected} == {"app"}
    wrong = differences(replayed.found, replayed.expected)
    assert not wrong, wrong
