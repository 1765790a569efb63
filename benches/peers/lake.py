"""What DuckDB says of the files that the systems wrote.

check VERSION MAP FLOWBOUND PEER...   a fingerprint of each output; all must be equal
size LAKE OUT                         bytes of the lake's flow files, and of the same rewritten by DuckDB
read ROUNDS LAKE STOCK                milliseconds of each query on both, by rounds, in turns
"""

import glob
import json
import os
import sys
import time

import duckdb

from common import COLUMNS, THREADS

# flowbound's words in the numbers of common.py; words that cannot occur on these logs have none
VERDICTS = {"nodata": 0, "gap": 0, "expected": 1, "breach": 2, "attempt": 2, "outage": 3, "blocked": 4}

QUERIES = {
    "sums of all rows": "SELECT sum(bytes), sum(packets), max(\"end\") FROM flows",
    "rows of a verdict": "SELECT verdict, count(*), sum(bytes) FROM flows GROUP BY ALL ORDER BY ALL",
    "zone by zone": "SELECT client_zone, server_zone, count(*), sum(bytes) FROM flows GROUP BY ALL ORDER BY ALL",
    "distinct sources": "SELECT count(DISTINCT srcaddr) FROM flows",
    "one rare address": "SELECT count(*), sum(bytes) FROM flows WHERE srcaddr = '{rare}'",
    "one busy address": "SELECT dstport, count(*) FROM flows WHERE dstaddr = '{busy}' GROUP BY ALL ORDER BY ALL",
    "top talkers": "SELECT srcaddr, sum(bytes) AS sum FROM flows GROUP BY ALL ORDER BY sum DESC, srcaddr LIMIT 10",
    "a quarter of an hour": "SELECT count(*), sum(bytes) FROM flows "
    "WHERE start >= TIMESTAMP '2026-11-20 06:00' AND start < TIMESTAMP '2026-11-20 06:15'",
    "breaches": "SELECT start, client_addr, server_addr, server_port, reason, source, line FROM flows "
    "WHERE verdict = 'breach' ORDER BY start, source, line LIMIT 100",
}


def main():
    command, *args = sys.argv[1:]
    duck = duckdb.connect(config={"threads": THREADS})
    duck.execute("SET TimeZone = 'UTC'")
    print(json.dumps({"check": check, "size": size, "read": read}[command](duck, *args)))


def flows(lake):
    return f"read_parquet('{lake}/flows/**/*.parquet', hive_partitioning = true)"


def check(duck, version, boundary, lake, *peers):
    kinds = COLUMNS[version].items()
    typed = ", ".join(f"{name}::{'VARCHAR' if kind == 'text' else 'BIGINT'} AS {name}" for name, kind in kinds)
    word = "".join(f" WHEN '{word}' THEN {number}" for word, number in VERDICTS.items())
    zones = f"read_csv('{boundary}/zones.csv', header = true)"
    ours = f"""
        SELECT f.* REPLACE (CASE verdict {word} END AS verdict), epoch(start)::BIGINT AS start_,
            epoch("end")::BIGINT AS end_,
            coalesce(CASE orientation WHEN 'reply' THEN s.zone ELSE c.zone END, 0) AS src_zone,
            coalesce(CASE orientation WHEN 'reply' THEN c.zone ELSE s.zone END, 0) AS dst_zone
        FROM {flows(lake)} f LEFT JOIN {zones} c ON c.name = client_zone LEFT JOIN {zones} s ON s.name = server_zone"""
    names = ["rows", "packets", "bytes", "src_zones", "dst_zones", "verdicts", "row_hash"]
    found = {}
    for out, rows in [(lake, ours)] + [(peer, f"SELECT * FROM '{peer}/flows.parquet'") for peer in peers]:
        answer = duck.execute(f"""
            SELECT count(*), sum(packets), sum(bytes), sum(src_zone), sum(dst_zone),
                [{', '.join(f'count(*) FILTER (verdict = {number})' for number in range(5))}],
                sum(hash({', '.join(COLUMNS[version])}, src_zone, dst_zone, verdict))::VARCHAR
            FROM (SELECT {typed}, src_zone::BIGINT AS src_zone, dst_zone::BIGINT AS dst_zone,
                verdict::BIGINT AS verdict FROM ({rows}))""").fetchone()
        found[out] = dict(zip(names, answer))
    return found


def size(duck, lake, out):
    ours = theirs = 0
    for number, path in enumerate(sorted(glob.glob(f"{lake}/flows/**/*.parquet", recursive=True))):
        copy = f"{out}/{number}.parquet"
        duck.execute(
            f"COPY (FROM read_parquet('{path}', hive_partitioning = false)) TO '{copy}' "
            "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE 262144)"
        )
        ours += os.path.getsize(path)
        theirs += os.path.getsize(copy)
    return {"flowbound": ours, "duckdb": theirs}


def read(duck, rounds, lake, stock):
    addresses = {
        "rare": "SELECT srcaddr FROM {} GROUP BY ALL HAVING count(*) = 1 ORDER BY srcaddr LIMIT 1",
        "busy": "SELECT dstaddr FROM {} GROUP BY ALL ORDER BY count(*) DESC, dstaddr LIMIT 1",
    }
    addresses = {name: duck.execute(query.format(flows(lake))).fetchone()[0] for name, query in addresses.items()}
    times = {name: {lake: [], stock: []} for name in QUERIES}
    for number in range(int(rounds) + 1):
        for name, query in QUERIES.items():
            answers = []
            for files in (lake, stock) if number % 2 else (stock, lake):
                text = query.format(**addresses).replace("FROM flows", f"FROM {flows(files)}")
                start = time.perf_counter()
                answers.append(duck.execute(text).fetchall())
                if number:  # the first round is warm-up
                    times[name][files].append(1000 * (time.perf_counter() - start))
            if answers[0] != answers[1]:
                raise SystemExit(f"{name}: the stock writer's files answer otherwise")
    return {name: [files[lake], files[stock]] for name, files in times.items()}


main()
