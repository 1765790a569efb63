"""Every row and every alert of a lake, against a second implementation, and what the lake promises to DuckDB."""

import csv
import re
import shutil
from collections import Counter
from datetime import timedelta

import alerts_oracle
import duckdb
import flowlogs
import history_oracle
import lakes
import oracle
import pyarrow
import pyarrow.parquet
import pytest
import unanswered_oracle
import watch_oracle

FLOW_COLUMNS = [*flowlogs.LOG_COLUMNS, "extra", *oracle.COLUMNS, "source", "line"]
SCHEMAS = lakes.ROOT / "schemas"


def flows_of(lake):
    """{(source, line): row} as the lake has it."""
    rows = lakes.dicts(lake.connect().execute("FROM flows"))
    found = {(row["source"], row["line"]): row for row in rows}
    assert len(found) == len(rows), "a record stands in the lake twice"
    return found


def test_every_reference_system_is_here():
    assert {path.parent.name for path in lakes.TESTDATA.glob("*/boundary.toml")} == set(lakes.SYSTEMS)


def test_every_row(lake):
    """All columns of the log and all columns of the judgement, row by row."""
    found = flows_of(lake)
    expected = {(row["source"], row["line"]): row for row in lake.rows}
    assert found.keys() == expected.keys()
    differences = [
        f"{place} {name}: the lake has {found[place][name]!r}, the oracle {row[name]!r}"
        for place, row in expected.items()
        for name in FLOW_COLUMNS
        if found[place][name] != row[name]
    ]
    assert not differences, f"{len(differences)} differences\n" + "\n".join(differences[:20])


def test_what_was_planted_is_found(lake):
    """labels.csv says what the generator planted where, and what the map should say of it."""
    rows = {(row["source"].removeprefix(lake.logs.resolve().as_uri() + "/"), row["line"]): row for row in lake.rows}
    with (lake.logs.parent / "labels.csv").open(newline="") as file:
        labels = list(csv.DictReader(file))
    assert labels
    for label in labels:
        row = rows[label["file"], int(label["line"])]
        assert row["verdict"] == label["verdict"], label


def test_partitions_are_utc_of_start(lake):
    for row in flows_of(lake).values():
        start = row["start"]
        assert (row["date"], row["hour"]) == ((start.date(), start.hour) if start else (None, None))


def test_nothing_is_lost(lake):
    """I6: lines in are rows and quarantine; packets and bytes are conserved."""
    good = [record for _, _, record, _ in lake.lines if record is not None]
    bad = {(source, number): raw for source, number, record, raw in lake.lines if record is None}
    rows, packets, bytes_ = (
        lake.connect().execute("SELECT count(*), sum(packets)::HUGEINT, sum(bytes)::HUGEINT FROM flows").fetchone()
    )
    assert rows == len(good)
    assert packets == sum(record["packets"] or 0 for record in good)
    assert bytes_ == sum(record["bytes"] or 0 for record in good)
    quarantined = lake.quarantined()
    assert {(row["source"], row["line"]): row["raw"] for row in quarantined} == bad
    assert rows + len(quarantined) == len(lake.lines)


def test_every_alert(lake):
    def comparable(alerts):
        return Counter(repr({name: alert[name] for name in alerts_oracle.COLUMNS}) for alert in alerts)

    alerts = lakes.dicts(lake.connect().execute(lakes.STANDING))
    found = [alert for alert in alerts if alert["detector"] not in lakes.BESIDE]
    # of those that count, the reason is that of their rows; of the others it says what was seen, and the threshold
    reasons = Counter(alert["reason"] for alert in found if not alert["detector"].startswith("scan."))
    known = [alert for alert in lake.alerts if alert["detector"] not in lakes.BESIDE]
    assert reasons == Counter(alert["reason"] for alert in known if "reason" in alert)
    wrong = lakes.differences(comparable(found), comparable(known))
    assert not wrong, wrong


def test_every_alert_beside_other_days_and_of_what_the_map_wants_watched(lake):
    """None of these lakes has a day before; what needs none is found all the same."""
    found = {name: [alert for alert in lake.beside if alert["detector"] == name] for name in lakes.BESIDE}
    expected = {name: [] for name in lakes.BESIDE}
    for alert in history_oracle.alerts(lake.connect(), *lake.protected()):
        expected[alert["detector"]].append(alert)
    expected["unanswered"] = unanswered_oracle.alerts(lake.connect())
    of_map = lake.logs.parent / "boundary.toml"
    contradicted = lakes.CONTRADICTED.get(of_map.parent.name, ())
    for alert in watch_oracle.alerts(lake.rows, lake.boundary, of_map, contradicted):
        expected[alert["detector"]].append(alert)
    for name, alerts in expected.items():
        columns = alerts[0].keys() if alerts else []
        same = Counter(repr({column: alert[column] for column in columns}) for alert in found[name])
        assert same == Counter(repr(alert) for alert in alerts), name


def test_the_query_of_an_alert_returns_its_rows(lake):
    connection = lake.connect()
    expected = Counter(tuple(sorted(alert["records"])) for alert in lake.alerts if alert["records"])
    found = Counter()
    for flows, query in connection.execute("SELECT flows, query FROM alerts").fetchall():
        rows = lakes.dicts(connection.execute(query))
        assert len(rows) == flows, query
        if not rows:
            # withdrawn, as what was known later made another alert of it; or an alert of what is missing
            continue
        assert rows[0].keys() >= set(FLOW_COLUMNS), query
        found[tuple(sorted((row["source"], row["line"]) for row in rows))] += 1
    assert found == expected


def test_alert_ids(lake):
    connection = lake.connect()
    ids = connection.execute(
        "SELECT alert_id, revision FROM read_parquet(getvariable('lake') || '/alerts/**/*.parquet')"
    ).fetchall()
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch("[0-9a-f]{32}", alert_id) and revision >= 0 for alert_id, revision in ids)


def test_evidence_is_what_the_log_says(lake):
    rows = {(row["source"], row["line"]): row for row in lake.rows}
    found = lakes.dicts(lake.connect().execute(f"SELECT detector, flows, evidence FROM ({lakes.STANDING})"))
    shown = Counter((alert["detector"], alert["flows"], len(alert["evidence"])) for alert in found)
    assert shown == Counter((alert["detector"], alert["flows"], alert["evidence"]) for alert in lake.alerts)
    for alert in found:
        for item in alert["evidence"]:
            assert item == {name: rows[item["source"], item["line"]][name] for name in item}


@pytest.mark.parametrize("table", ["flows", "alerts"])
def test_the_schema_is_the_contract(lake, table):
    contract = duckdb.connect()
    contract.execute((SCHEMAS / f"{table}.sql").read_text())

    def columns(connection):
        return [(name, kind) for name, kind, *_ in connection.execute(f"DESCRIBE {table}").fetchall()]

    assert columns(lake.connect()) == columns(contract)


def arrow_type(column):
    if column in ("start", "end"):
        return pyarrow.timestamp("ms")
    if column in ("packets", "bytes", "line"):
        return pyarrow.int64()
    if column in flowlogs.NUMBERS or column == "server_port":
        return pyarrow.int32()
    return pyarrow.map_(pyarrow.string(), pyarrow.string()) if column == "extra" else pyarrow.string()


def test_another_reader_finds_the_same(lake):
    """Arrow's own reader, file by file: types as designed (times without a zone), metadata, and every row."""
    places, maps = [], set()
    for path in sorted(lake.path.glob("flows/**/*.parquet")):
        file = pyarrow.parquet.ParquetFile(path)
        schema = file.schema_arrow
        assert schema.names == FLOW_COLUMNS
        assert [schema.field(column).type for column in FLOW_COLUMNS] == [arrow_type(column) for column in FLOW_COLUMNS]
        metadata = {key.decode(): value.decode() for key, value in file.metadata.metadata.items()}
        assert metadata["flowbound.version"] and metadata["flowbound.schema_version"]
        table = file.read(["source", "line"])
        places += zip(table["source"].to_pylist(), table["line"].to_pylist(), strict=True)
        if table.num_rows:
            maps.add((metadata["flowbound.map_name"], metadata["flowbound.map_sha256"]))
    assert sorted(places) == sorted((row["source"], row["line"]) for row in lake.rows)
    [(name, sha256)] = maps
    assert name and re.fullmatch("[0-9a-f]{64}", sha256)


def test_the_log_columns_are_those_of_the_contract():
    contract = duckdb.connect()
    contract.execute((SCHEMAS / "flows.sql").read_text())
    columns = [name for name, *_ in contract.execute("DESCRIBE flows").fetchall()]
    assert columns == [*FLOW_COLUMNS, "date", "hour"]


# small lakes ---------------------------------------------------------------------------------------------------------

MAP = lakes.TESTDATA / "vectors" / "maps" / "artos.toml"
EXPECTED = "2 123456789012 eni-abc123 10.0.10.50 10.0.100.20 45234 5432 6 10 1024 1609459200 1609459260 ACCEPT OK"


@pytest.fixture
def small_lake(flowbound, tmp_path):
    """Makes a lake of some lines."""

    def make(lines, header=None, boundary=MAP):
        lakes.write_log(tmp_path / "logs" / "small.log.gz", lines, header)
        out = tmp_path / "lake"
        lakes.replay(flowbound, tmp_path / "logs", out, boundary)
        return lakes.Lake(out, tmp_path / "logs", oracle.load_map(boundary) if boundary else None)

    return make


def run_every_query(lake):
    connection = lake.connect()
    for path in sorted(lakes.QUERIES.glob("*.sql")):
        connection.execute(path.read_text())


def plain_count(lake, table):
    plain = f"SELECT count(*) FROM read_parquet('{lake.path}/{table}/**/*.parquet', hive_partitioning = true)"
    return duckdb.execute(plain).fetchone()[0]


def test_a_lake_without_alerts_answers(small_lake):
    lake = small_lake([EXPECTED])
    assert plain_count(lake, "flows") == 1
    assert plain_count(lake, "alerts") == 0
    test_every_row(lake)
    run_every_query(lake)


def test_a_lake_without_rows_answers(small_lake):
    lake = small_lake(["this is no flow log record"])
    assert plain_count(lake, "flows") == 0
    assert [row["raw"] for row in lake.quarantined()] == ["this is no flow log record"]
    run_every_query(lake)


def test_a_lake_without_a_map_answers(small_lake):
    heartbeat = "2 123456789012 eni-abc123 - - - - - - - 1609459200 1609459260 - NODATA"
    skipped = "2 123456789012 eni-abc123 - - - - - - - 1609459200 1609459260 - SKIPDATA"
    lake = small_lake([EXPECTED, heartbeat, skipped], boundary=None)
    assert [row["verdict"] for row in lake.rows] == [None, "nodata", "gap"]
    test_every_row(lake)
    run_every_query(lake)


def test_records_without_a_start_are_no_trouble(small_lake):
    """Their partition is DuckDB's own word for NULL: beside dated ones the plain query must still bind."""
    header = "version srcaddr dstaddr srcport dstport protocol start end action quantum-state"
    lake = small_lake(
        [
            "12 10.0.10.50 10.0.100.20 45234 5432 6 1609459200 1609459260 ACCEPT entangled",
            "12 10.0.10.50 10.0.100.20 45234 5432 6 - - ACCEPT -",
            "12 10.0.10.5 10.0.100.20 45234 5432 6 - - ACCEPT -",
            "12 10.0.10.50 10.0.100.20 45234 5432 6 1609459200123 1609459260456 ACCEPT -",
            "12 10.0.10.50 10.0.100.20 45234 5432 6 9609459200123 9609459260456 ACCEPT -",
        ],
        header,
    )
    assert plain_count(lake, "flows") == 5
    test_every_row(lake)
    test_partitions_are_utc_of_start(lake)
    test_every_alert(lake)
    test_the_query_of_an_alert_returns_its_rows(lake)
    run_every_query(lake)


def test_copies_of_both_interfaces_count_once(small_lake):
    """One flow, four records: request and reply, each at both ends; then the same again a minute later."""
    lines = [
        f"2 123456789012 {eni} {way} {start} {start + 50} ACCEPT OK"
        for start in (1609459200, 1609459260)
        for way in ("10.0.10.50 10.0.100.20 45234 5432 6 10 1000", "10.0.100.20 10.0.10.50 5432 45234 6 20 7000")
        for eni in ("eni-0node00000000000a", "eni-0rds000000000000a")
    ]
    connection = small_lake(lines).connect()
    [matrix] = lakes.dicts(connection.execute((lakes.QUERIES / "traffic_matrix.sql").read_text()))
    assert (matrix["client_zone"], matrix["server_zone"], matrix["expected"]) == ("eks-nodes", "rds", 8)
    assert (matrix["conversations"], matrix["packets"], matrix["bytes"]) == (1, 60, 16000)
    talkers = lakes.dicts(connection.execute((lakes.QUERIES / "top_talkers.sql").read_text()))
    assert [(row["address"], row["bytes_sent"], row["bytes_received"]) for row in talkers] == [
        ("10.0.10.50", 2000, 14000),
        ("10.0.100.20", 14000, 2000),
    ]


def test_a_log_that_comes_in_two_parts_gives_the_same_lake(lake, flowbound, tmp_path):
    """Replay what the first half of the files holds, then the folder with all of them, then once more."""
    logs = tmp_path / "logs"
    files = flowlogs.log_files(lake.logs)
    out = tmp_path / "lake"
    boundary = lake.logs.parent / "boundary.toml"
    for files_so_far in (files[: len(files) // 2], files, files):
        for path in files_so_far:
            copy = logs / path.relative_to(lake.logs)
            if not copy.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, copy)
        lakes.replay(flowbound, logs, out, boundary)
    parts = lakes.Lake(out, logs, lake.boundary)
    test_every_row(parts)
    test_nothing_is_lost(parts)
    test_the_query_of_an_alert_returns_its_rows(parts)
    test_alert_ids(parts)
    ids = "SELECT alert_id, flows, severity, first_seen, last_seen, bytes FROM alerts WHERE status <> 'closed' ORDER BY ALL"
    assert parts.connect().execute(ids).fetchall() == lake.connect().execute(ids).fetchall()


def test_windows_are_whole_hours_of_a_day_or_two(lake):
    windows = "SELECT detector, window_start, window_end FROM alerts WHERE NOT starts_with(detector, 'scan.')"
    for detector, start, end in lake.connect().execute(windows).fetchall():
        if detector in lakes.BESIDE or start is None:
            continue
        assert all((moment.minute, moment.second, moment.microsecond) == (0, 0, 0) for moment in (start, end))
        assert start < end <= start.replace(hour=0) + timedelta(days=2)
