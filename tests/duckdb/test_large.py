"""Five million records: nothing is lost, nothing is doubled, and memory stays flat (I6).

DuckDB reads the log text by itself and adds up; the lake must give the same sums.
"""

import json
import resource
import subprocess

import duckdb
import lakes

RECORDS = 5_000_000
MAP = lakes.TESTDATA / "artos" / "boundary.toml"


def test_five_million_records_add_up_in_bounded_memory(flowbound, tmp_path):
    made = tmp_path / "made"
    subprocess.run(
        [flowbound, "generate", "--map", MAP, "--flows", str(RECORDS), "--out", made],
        check=True,
        capture_output=True,
    )
    lake = tmp_path / "lake"
    # a child that is waited for alone: its peak is not another one's
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    done = subprocess.run(
        [flowbound, "replay", made / "AWSLogs", "--map", MAP, "--out", lake, "--threads", "2", "--json"],
        check=True,
        capture_output=True,
    )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    summary = json.loads(done.stdout)

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
    assert peak == before or peak < 400 * 1024, f"peak memory was {peak // 1024} MiB"
