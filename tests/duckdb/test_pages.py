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


def ask(query, *values):
    with duckdb.connect() as connection:
        return connection.execute(query, values).fetchall()


def test_duckdb_reads_the_same(files):
    for own, stock in files:
        assert ask(f"SELECT count(*) FROM '{own}'") == ask(f"SELECT count(*) FROM '{stock}'"), own.name
        for one, other in ((own, stock), (stock, own)):
            assert ask(f"SELECT * FROM '{one}' EXCEPT ALL SELECT * FROM '{other}'") == [], own.name


def test_duckdb_skips_by_our_bounds(files):
    """A filter uses the bounds in the metadata: with wrong ones rows would be missing."""
    for own, stock in files:
        columns = [name for name, kind, *_ in ask(f"DESCRIBE SELECT * FROM '{own}'") if not kind.startswith("MAP")]
        for column in columns:
            probes = ask(f"SELECT DISTINCT {column} FROM '{stock}' WHERE {column} IS NOT NULL LIMIT 20")
            for (value,) in probes:
                found = [ask(f"SELECT count(*) FROM '{file}' WHERE {column} = $1", value) for file in (own, stock)]
                assert found[0] == found[1], (own.name, column, value)


def test_pyarrow_reads_the_same(files):
    for own, stock in files:
        assert pq.read_table(own).equals(pq.read_table(stock)), own.name
