"""What `flowbound alerts` shows, against what DuckDB reads in the same lake."""

import json
import subprocess
from datetime import datetime

import duckdb
import lakes


def shown(flowbound, lake, *arguments):
    command = [flowbound, "alerts", "--lake", lake.path, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def comparable(value):
    """A value of DuckDB as the program writes it, but for fractions of seconds."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, dict):
        return {name: comparable(member) for name, member in value.items()}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    return value


def read(value):
    """The same of a value that the program wrote; what is a time there ends in Z."""
    if isinstance(value, str) and value.endswith("Z") and value[:2] == "20":
        return datetime.fromisoformat(value).replace(tzinfo=None).isoformat(timespec="seconds")
    if isinstance(value, dict):
        return {name: read(member) for name, member in value.items()}
    if isinstance(value, list):
        return [read(item) for item in value]
    return value


def test_every_alert_is_listed(flowbound, lake):
    alerts = lakes.dicts(lake.connect().execute("SELECT * EXCLUDE (date) FROM alerts"))
    expected = {alert["alert_id"]: comparable(alert) for alert in alerts if alert["status"] != "closed"}
    listed = [read(json.loads(line)) for line in shown(flowbound, lake, "--format", "json").splitlines()]
    assert expected and len(listed) == len(expected)
    for alert in listed:
        assert alert == expected[alert["alert_id"]]
        assert list(alert) == list(expected[alert["alert_id"]])


def test_what_is_shown_can_be_pasted(flowbound, lake):
    """The query that is shown with an alert gives its rows, in a DuckDB that knows nothing of the lake."""
    one_of_each = "SELECT alert_id, flows FROM alerts QUALIFY row_number() OVER (PARTITION BY detector ORDER BY alert_id) = 1"
    for alert_id, flows in lake.connect().execute(one_of_each).fetchall():
        text = shown(flowbound, lake, "--id", alert_id)
        _, query = text.split("Its rows, in DuckDB:\n")
        assert len(duckdb.connect().execute(query).fetchall()) == flows, text
