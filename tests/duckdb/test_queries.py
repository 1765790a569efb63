"""Every file of queries/ in real DuckDB, on the lake of every reference system, against answers.py."""

from datetime import timedelta

import lakes
import pytest
from answers import ANSWERS

FILES = sorted(path for path in lakes.QUERIES.glob("*.sql") if path.name != "views.sql")

#: Values of the variables, beside the defaults, that a file is tried with.
VARIABLES = {
    "newest_on_ports": [{"ports": [443]}],
    "rejects_on_port": [{"port": 22}],
    "clients_admitted": [{"ports": [80, 8080, 9098]}],
    "endpoint_usage": [{"endpoint_zones": ["rds", "postgres", "alb"]}],
    "rejects_by_source_and_port": [{"rows": 3}],
    "top_talkers": [{"rows": 1000}],
    "silent_interfaces": [{"silence": timedelta(minutes=1)}, {"silence": timedelta(days=1)}],
    "unusual_sources": [{"recent": timedelta(minutes=10)}, {"server_zones": ["rds", "msk"]}],
    "port_scans": [{"min_ports": 2, "min_servers": 2}],
    "address_story": [{"address": "10.0.10.5"}, {"address": "192.0.2.255"}],
}
CASES = [
    pytest.param(path, variables, id=f"{path.stem}-{number}" if number else path.stem)
    for path in FILES
    for number, variables in enumerate([{}, *VARIABLES.get(path.stem, [])])
]


def run(connection, path, variables):
    for name, value in variables.items():
        connection.execute(f"SET VARIABLE {name} = ?", [value])
    return lakes.dicts(connection.execute(path.read_text()))


def test_every_file_has_an_answer():
    assert FILES, f"no queries in {lakes.QUERIES}"
    assert {path.stem for path in FILES} == set(ANSWERS)
    assert set(VARIABLES) <= set(ANSWERS)


@pytest.mark.parametrize("path", [lakes.QUERIES / "views.sql", *FILES], ids=lambda path: path.stem)
def test_the_first_line_is_the_question(path):
    first, second = path.read_text().splitlines()[:2]
    assert first.startswith("-- ") and "?" in first
    assert second == "--" or not second.startswith("--")


@pytest.mark.parametrize(("path", "variables"), [case for case in CASES if not case.values[0].stem.startswith("alert")])
def test_answer(lake, path, variables):
    got = run(lake.connect(), path, variables)
    assert got == ANSWERS[path.stem](lake, **variables)


def test_alerts_overview(lake):
    connection = lake.connect()
    got = run(connection, lakes.QUERIES / "alerts_overview.sql", {})
    # the title is the program's to word; the order of ids breaks ties that the answer cannot know
    places = [(row.pop("title"), row.pop("alert_id")) for row in got]
    assert all(title and len(alert_id) == 32 for title, alert_id in places)
    expected = ANSWERS["alerts_overview"](lake)
    assert [(row["severity"], row["last_seen"]) for row in got] == [
        (row["severity"], row["last_seen"]) for row in expected
    ]
    assert sorted(map(repr, got)) == sorted(repr({name: row[name] for name in got[0]}) for row in expected)


def test_alert_records(lake):
    connection = lake.connect()
    path = lakes.QUERIES / "alert_records.sql"
    overview = run(connection, lakes.QUERIES / "alerts_overview.sql", {})
    assert overview, "a reference system without an alert shows nothing"

    def possible(shown):
        """The records of the alerts that look like this one in the overview."""
        names = "detector client_addr server_addr server_port protocol flows first_seen last_seen".split()
        alike = [alert for alert in lake.alerts if all(alert[name] == shown[name] for name in names)]
        return [ANSWERS["alert_records"](lake, alert=alert) for alert in alike]

    assert run(connection, path, {}) in possible(overview[0])
    one_of_each = {shown["detector"]: shown for shown in overview}
    for shown in one_of_each.values():
        assert run(connection, path, {"alert": shown["alert_id"][:12]}) in possible(shown)


def test_an_unknown_alert_has_no_records(lake):
    assert run(lake.connect(), lakes.QUERIES / "alert_records.sql", {"alert": "none"}) == []
