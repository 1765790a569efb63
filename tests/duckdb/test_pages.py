"""Files of our own page writer, and the same rows by the stock writer of the parquet crate: other readers find no
difference. The Rust test of the same name makes the files (every type, nulls, empty batches, random schemas)."""

import os
import subprocess
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).resolve().parents[2]
TEST = "lake::pages::tests::both_writers_write_the_same"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Pairs of files with the same rows: ours, and the stock writer's."""
    folder = tmp_path_factory.mktemp("pages")
    environment = dict(os.environ, FLOWBOUND_PAGES=str(folder))
    command = ["cargo", "test", "--locked", "--quiet", "--lib", "--", "--exact", TEST]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    ours = sorted(folder.glob("*.own.parquet"))
    assert len(ours) == 24
    return [(own, own.with_name(own.name.replace(".own.", ".stock."))) for own in ours]


def test_duckdb_reads_the_same(files):
    for own, stock in files:
        counts = [duckdb.sql(f"SELECT count(*) FROM '{file}'").fetchone() for file in (own, stock)]
        assert counts[0] == counts[1], own.name
        for one, other in ((own, stock), (stock, own)):
            rows = duckdb.sql(f"SELECT * FROM '{one}' EXCEPT ALL SELECT * FROM '{other}'").fetchall()
            assert rows == [], own.name


def test_duckdb_skips_by_our_bounds(files):
    """A filter uses the bounds in the metadata: with wrong ones rows would be missing."""
    for own, stock in files:
        columns = duckdb.sql(f"DESCRIBE SELECT * FROM '{own}'").fetchall()
        for column in (name for name, kind, *_ in columns if not kind.startswith("MAP")):
            probes = duckdb.sql(f"SELECT DISTINCT {column} FROM '{stock}' WHERE {column} IS NOT NULL LIMIT 20").fetchall()
            for (value,) in probes:
                found = [
                    duckdb.execute(f"SELECT count(*) FROM '{file}' WHERE {column} = $1", [value]).fetchone()
                    for file in (own, stock)
                ]
                assert found[0] == found[1], (own.name, column, value)


def test_pyarrow_reads_the_same(files):
    for own, stock in files:
        assert pq.read_table(own).equals(pq.read_table(stock)), own.name
