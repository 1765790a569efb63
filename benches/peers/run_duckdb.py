"""DuckDB: gzip logs to zoned and judged Parquet.

dict: stages a typed table, finds the zone of each distinct address once, joins back
case: one pass, a balanced CASE tree over the ranges
"""

import duckdb

from common import INTERNET, THREADS, V6_PREFIX, V6_ZONE, arguments, ranges, rule_keys

TYPES = {"text": "VARCHAR", 8: "UTINYINT", 16: "USMALLINT", 64: "BIGINT"}

shape, columns, logs, boundary, out = arguments()
duck = duckdb.connect(config={"threads": THREADS})
duck.execute("SET preserve_insertion_order = false")
duck.execute(f"SET temp_directory = '{out}/tmp'")

types = ", ".join(f"'{name}': '{TYPES[kind]}'" for name, kind in columns.items())
read = (
    f"read_csv('{logs}', delim = ' ', header = true, auto_detect = false, quote = '', escape = '', nullstr = '-', "
    f"columns = {{{types}}})"
)
keys = ", ".join(f"({key})" for key in rule_keys(boundary))
duck.execute(f"CREATE TABLE rules AS SELECT key::UBIGINT AS key FROM (VALUES {keys}) rules (key)")


def number(address):
    """An IPv4 address as a number, null for IPv6."""
    parts = [f"split_part({address}, '.', {part})::UINTEGER * {256 ** (4 - part)}" for part in (1, 2, 3, 4)]
    return f"CASE WHEN contains({address}, ':') THEN NULL ELSE ({' + '.join(parts)})::UINTEGER END"


def zone6(address):
    return (
        f"CASE WHEN {address} IS NULL THEN 0 WHEN starts_with({address}, '{V6_PREFIX}') THEN {V6_ZONE} "
        f"ELSE {INTERNET} END"
    )


def tree(value, zones):
    """log2(n) comparisons."""
    if len(zones) == 1:
        return str(zones[0][1])
    middle = len(zones) // 2
    return (
        f"CASE WHEN {value} < {zones[middle][0]} THEN {tree(value, zones[:middle])} "
        f"ELSE {tree(value, zones[middle:])} END"
    )


if shape == "dict":
    values = ", ".join(map(str, ranges(boundary)))
    duck.execute(f"CREATE TABLE ranges AS SELECT * FROM (VALUES {values}) ranges (first, zone)")
    duck.execute(f"CREATE TEMP TABLE logs AS SELECT * FROM {read}")
    duck.execute(f"""
        CREATE TEMP TABLE zones AS
        WITH addresses AS (SELECT srcaddr AS address FROM logs UNION SELECT dstaddr FROM logs),
            numbered AS (SELECT address, {number('address')} AS number FROM addresses WHERE address IS NOT NULL)
        SELECT address, coalesce(zone, {zone6('address')})::UTINYINT AS zone
        FROM numbered ASOF LEFT JOIN ranges ON number >= first""")
    zoned = """
        SELECT logs.*, coalesce(s.zone, 0) AS src_zone, coalesce(d.zone, 0) AS dst_zone
        FROM logs LEFT JOIN zones s ON srcaddr = s.address LEFT JOIN zones d ON dstaddr = d.address"""
elif shape == "case":
    zones = ranges(boundary)
    zoned = f"""
        SELECT * EXCLUDE (src, dst),
            CASE WHEN src IS NULL THEN {zone6('srcaddr')} ELSE {tree('src', zones)} END AS src_zone,
            CASE WHEN dst IS NULL THEN {zone6('dstaddr')} ELSE {tree('dst', zones)} END AS dst_zone
        FROM (SELECT *, {number('srcaddr')} AS src, {number('dstaddr')} AS dst FROM {read})"""
else:
    raise SystemExit(f"no shape {shape}")

duck.execute(f"""
    COPY (
        WITH zoned AS ({zoned}),
            keyed AS (SELECT *,
                ((CASE WHEN dstport <= srcport THEN src_zone ELSE dst_zone END)::UBIGINT << 40)
                | ((CASE WHEN dstport <= srcport THEN dst_zone ELSE src_zone END)::UBIGINT << 32)
                | (protocol::UBIGINT << 24) | least(srcport, dstport)::UBIGINT AS flow FROM zoned)
        SELECT keyed.* EXCLUDE (flow) REPLACE (src_zone::UTINYINT AS src_zone, dst_zone::UTINYINT AS dst_zone),
            (CASE WHEN log_status <> 'OK' THEN 0
                WHEN key IS NULL THEN CASE action WHEN 'ACCEPT' THEN 2 ELSE 4 END
                ELSE CASE action WHEN 'ACCEPT' THEN 1 ELSE 3 END END)::UTINYINT AS verdict
        FROM keyed LEFT JOIN rules ON key = flow
    ) TO '{out}/flows.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)""")
