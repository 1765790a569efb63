"""Five million records: nothing is lost, nothing is doubled, and memory stays flat (I6).

DuckDB reads the log text by itself and adds up; the lake must give the same sums.
"""

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


def test_five_million_records_add_up_in_bounded_memory(flowbound, tmp_path):
    made = tmp_path / "made"
    subprocess.run(
        [flowbound, "generate", "--map", MAP, "--flows", str(RECORDS), "--out", made],
        check=True,
        capture_output=True,
    )
    lake = tmp_path / "lake"
    command = [flowbound, "replay", made / "AWSLogs", "--map", MAP, "--out", lake, "--threads", "2", "--json"]
    # run by a small process of its own: a child's peak begins with that of the process that it was forked from,
    # and this one has DuckDB in it
    watched = subprocess.run(
        [sys.executable, "-c", WATCH, *map(str, command)], capture_output=True, text=True, check=False
    )
    assert watched.returncode == 0, watched.stderr
    summary = json.loads(watched.stdout)
    peak = int(watched.stderr)

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
