"""Five million records: nothing is lost, nothing is doubled, and memory stays flat (I6); also under a flood.

DuckDB reads the log text by itself and adds up; the lake must give the same sums.
"""

import gzip
import ipaddress
import json
import subprocess
import sys

import duckdb
import lakes

RECORDS = 5_000_000
#: Runs a command; its peak memory in KiB is all that goes to standard error.
WATCH = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
"""
MAP = lakes.TESTDATA / "artos" / "boundary.toml"


def replayed(flowbound, logs, lake, *options):
    """The summary of a replay and its peak memory in KiB."""
    command = [flowbound, "replay", logs, "--map", MAP, "--out", lake, "--threads", "2", "--json", *options]
    # run by a small process of its own: a child's peak begins with that of the process that it was forked from,
    # and this one has DuckDB in it
    watched = subprocess.run(
        [sys.executable, "-c", WATCH, *map(str, command)], capture_output=True, text=True, check=False
    )
    assert watched.returncode == 0, watched.stderr
    return json.loads(watched.stdout), int(watched.stderr)


def test_a_flood_of_sources_is_one_alert_in_the_memory_that_is_asked_for(flowbound, tmp_path):
    """A million sources, all other, are refused at one port within an hour."""
    sources, start = 1_000_000, 1_795_132_800
    (tmp_path / "logs").mkdir()
    with gzip.open(tmp_path / "logs" / "flood.log.gz", "wt", compresslevel=1) as log:
        for number in range(sources):
            source = ipaddress.IPv4Address(0x0B000000 + number * 613)
            time = start + number * 3599 // sources
            log.write(f"2 123456789012 eni-1 {source} 10.0.100.20 {1024 + number % 60000} 5432 6 2 80 {time} {time} REJECT OK\n")
    peaks = {}
    for memory in ("1", "64"):
        lake = tmp_path / f"lake-{memory}"
        summary, peaks[memory] = replayed(flowbound, tmp_path / "logs", lake, "--detect-memory", memory)
        assert summary["rows"] == sources
        with duckdb.connect() as db:
            db.execute("SET VARIABLE lake = ?", [str(lake)])
            db.execute((lakes.TESTDATA.parent / "queries" / "views.sql").read_text())
            columns = "detector, flows, conversations, packets, bytes, query"
            ((detector, flows, conversations, packets, traffic, query),) = db.execute(
                # the map says that nothing may be refused there
                f"SELECT {columns} FROM alerts WHERE detector <> 'expectation'"
            ).fetchall()
            assert (detector, flows, packets, traffic) == ("blocked", sources, 2 * sources, 80 * sources)
            # the standard error is 1.6 %
            assert abs(conversations / sources - 1) < 0.05
            assert db.execute(f"SELECT count(*) FROM ({query})").fetchone() == (sources,)
    assert peaks["1"] < 150 * 1024, f"peak memory was {peaks['1'] // 1024} MiB"
    assert peaks["1"] < peaks["64"] - 30 * 1024, f"the option does nothing: {peaks}"


def test_five_million_records_add_up_in_bounded_memory(flowbound, tmp_path):
    made = tmp_path / "made"
    subprocess.run(
        [flowbound, "generate", "--map", MAP, "--flows", str(RECORDS), "--out", made],
        check=True,
        capture_output=True,
    )
    lake = tmp_path / "lake"
    summary, peak = replayed(flowbound, made / "AWSLogs", lake)

    sums = "count(*), sum(packets)::HUGEINT, sum(bytes)::HUGEINT, count(DISTINCT interface_id)"
    with duckdb.connect() as db:
        text = f"read_csv('{made}/AWSLogs/**/*.gz', delim = ' ', header = true, all_varchar = true, nullstr = '-')"
        from_text = db.execute(
            f"""SELECT count(*), sum(packets::HUGEINT), sum(bytes::HUGEINT), count(DISTINCT "interface-id") FROM {text}"""
        ).fetchone()
        table = f"read_parquet('{lake}/flows/**/*.parquet', hive_partitioning = true)"
        from_lake = db.execute(f"SELECT {sums} FROM {table}").fetchone()
        twice = db.execute(
            f"SELECT count(*) FROM (SELECT source, line FROM {table} GROUP BY ALL HAVING count(*) > 1)"
        ).fetchone()[0]
        misplaced = db.execute(
            f"SELECT count(*) FROM {table} WHERE date <> start::DATE OR hour::INTEGER <> date_part('hour', start)"
        ).fetchone()[0]
    assert from_lake == from_text
    assert from_lake[0] == RECORDS == summary["rows"]
    assert (str(from_lake[1]), str(from_lake[2])) == (summary["packets"], summary["bytes"])
    assert (twice, misplaced) == (0, 0)
    assert peak < 400 * 1024, f"peak memory was {peak // 1024} MiB"
