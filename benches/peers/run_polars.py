"""Polars: gzip logs to zoned and judged Parquet, by its streaming engine.

dict:   reads twice: finds the zone of each distinct address once, joins back
search: one pass, numpy.searchsorted over the ranges
"""

import os

from common import INTERNET, THREADS, V6_PREFIX, V6_ZONE, arguments, ranges, rule_keys

os.environ["POLARS_MAX_THREADS"] = str(THREADS)
import numpy
import polars as pl

TYPES = {"text": pl.String, 8: pl.UInt8, 16: pl.UInt16, 64: pl.Int64}

shape, columns, logs, boundary, out = arguments()
scan = pl.scan_csv(
    logs, separator=" ", has_header=False, skip_lines=1, schema={name: TYPES[kind] for name, kind in columns.items()},
    null_values="-", quote_char=None,
)
first, zones = (numpy.array(column) for column in zip(*ranges(boundary)))
first, zones = first.astype(numpy.uint32), zones.astype(numpy.uint8)
rules = pl.Series(rule_keys(boundary), dtype=pl.UInt64)


def find(numbers):
    found = zones[numpy.searchsorted(first, numbers.fill_null(0).to_numpy(), side="right") - 1]
    return pl.Series(numbers.name, found).set(numbers.is_null(), None)


def zone(column):
    address = pl.col(column)
    parts = pl.when(~address.str.contains(":", literal=True)).then(address).str.split_exact(".", 3)
    a, b, c, d = (parts.struct.field(f"field_{part}").cast(pl.UInt32) for part in range(4))
    four = (a * 2**24 + b * 2**16 + c * 2**8 + d).map_batches(find, return_dtype=pl.UInt8, is_elementwise=True)
    six = pl.when(address.str.starts_with(V6_PREFIX)).then(V6_ZONE).otherwise(INTERNET)
    return pl.when(address.is_null()).then(0).otherwise(pl.coalesce(four, six)).cast(pl.UInt8)


if shape == "search":
    zoned = scan.with_columns(src_zone=zone("srcaddr"), dst_zone=zone("dstaddr"))
elif shape == "dict":
    both = pl.concat([scan.select(address="srcaddr"), scan.select(address="dstaddr")])
    table = both.unique().collect(engine="streaming").with_columns(zone=zone("address")).lazy()
    zoned = scan
    for end in ("src", "dst"):
        ends = table.rename({"zone": f"{end}_zone"})
        zoned = zoned.join(ends, left_on=f"{end}addr", right_on="address", how="left", nulls_equal=True)
else:
    raise SystemExit(f"no shape {shape}")

col = pl.col
forward = col("dstport") <= col("srcport")
client = pl.when(forward).then("src_zone").otherwise("dst_zone").cast(pl.UInt64)
server = pl.when(forward).then("dst_zone").otherwise("src_zone").cast(pl.UInt64)
port = pl.min_horizontal("srcport", "dstport").cast(pl.UInt64)
key = client * 2**40 + server * 2**32 + col("protocol").cast(pl.UInt64) * 2**24 + port
allowed = key.is_in(rules.implode()).fill_null(False)
accepted = col("action") == "ACCEPT"
verdict = (
    pl.when(col("log_status") != "OK").then(0)
    .when(allowed).then(pl.when(accepted).then(1).otherwise(3))
    .otherwise(pl.when(accepted).then(2).otherwise(4))
)
zoned.with_columns(verdict=verdict.cast(pl.UInt8)).sink_parquet(
    f"{out}/flows.parquet", compression="zstd", compression_level=1, maintain_order=False
)
