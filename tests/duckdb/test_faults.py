"""Faults: the program is killed, its disk is full, two of it write one lake. What is in the lake stays right.

I1, I5, I7 and I8 of ARCHITECTURE.md, from outside: the binary, a real file system, and DuckDB to look at the result.
"""

import random
import resource
import shutil
import subprocess
import time
from pathlib import Path

import duckdb
import pytest

import lakes

MOMENTS = 20
MAP = lakes.TESTDATA / "artos" / "boundary.toml"


@pytest.fixture(scope="module")
def logs(flowbound, tmp_path_factory):
    """Enough log for several commits: some seconds of work."""
    out = tmp_path_factory.mktemp("generated")
    subprocess.run(
        [flowbound, "generate", "--map", MAP, "--flows", "60000", "--minutes", "180", "--seed", "11", "--out", out],
        check=True,
        capture_output=True,
    )
    return out / "AWSLogs"


def command(flowbound, logs, lake):
    # a quarter MiB a commit: several commits, so that a kill falls between and into them
    return [flowbound, "replay", logs, "--map", MAP, "--out", lake, "--commit-mib", "0.25", "--threads", "2", "--json"]


@pytest.fixture(scope="module")
def undisturbed(flowbound, logs, tmp_path_factory):
    lake = tmp_path_factory.mktemp("undisturbed") / "lake"
    started = time.monotonic()
    subprocess.run(command(flowbound, logs, lake), check=True, capture_output=True)
    return lake, time.monotonic() - started


def table(lake, name):
    return f"read_parquet('{lake}/{name}/**/*.parquet', hive_partitioning = true)"


def differences(one, other, name):
    """Rows that are in one lake and not in the other, as many times as they are."""
    a, b = table(one, name), table(other, name)
    sql = f"SELECT count(*) FROM (({{0}}) EXCEPT ALL ({{1}}))"
    with duckdb.connect() as db:
        return [
            db.execute(sql.format(f"FROM {x}", f"FROM {y}")).fetchone()[0] for x, y in ((a, b), (b, a))
        ]


def leftovers(lake):
    """Everything below _flowbound that is no commit, no state and not the lock."""
    inside = Path(lake) / "_flowbound"
    kept = {"commits": [".json"], "state": [".state", ".history"]}
    return [
        str(path)
        for path in inside.rglob("*")
        if path.is_file() and path.name != "lock" and path.suffix not in kept.get(path.relative_to(inside).parts[0], [])
    ]


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_killed_at_a_random_moment(flowbound, logs, undisturbed, tmp_path, moment):
    whole, seconds = undisturbed
    dice = random.Random(moment)
    lake = tmp_path / "lake"
    # every third run is killed twice
    for _ in range(2 if moment % 3 == 0 else 1):
        run = subprocess.Popen(command(flowbound, logs, lake), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(dice.uniform(0, seconds))
        run.kill()
        run.wait()
        run.stderr.close()
    subprocess.run(command(flowbound, logs, lake), check=True, capture_output=True)
    assert differences(whole, lake, "flows") == [0, 0]
    assert differences(whole, lake, "alerts") == [0, 0]
    assert leftovers(lake) == []


def test_what_a_killed_run_shows_is_committed(flowbound, logs, undisturbed, tmp_path):
    """I5: whatever is visible after a kill is a part of the whole, each row once."""
    whole, seconds = undisturbed
    lake = tmp_path / "lake"
    run = subprocess.Popen(command(flowbound, logs, lake), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list((lake / "_flowbound" / "commits").rglob("*2.json")):
        assert run.poll() is None, "it ended before its second commit"
        time.sleep(0.005)
    run.kill()
    run.wait()
    missing, extra = differences(whole, lake, "flows")
    assert missing > 0, "it was killed too late to show anything"
    assert extra == 0


@pytest.mark.parametrize("limit", [100, 3_000, 30_000, 100_000])
def test_a_full_disk_leaves_nothing_half_written(flowbound, logs, undisturbed, tmp_path, limit):
    """A file size limit is a full disk that a test can make: writing past it fails, be it rows, state or commit."""
    whole, _ = undisturbed
    lake = tmp_path / "lake"

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    run = subprocess.run(
        command(flowbound, logs, lake),
        capture_output=True,
        text=True,
        preexec_fn=small_files,
        # Python ignores SIGXFSZ and restores it for its children: kept ignored, the write answers EFBIG
        restore_signals=False,
        check=False,
    )
    assert run.returncode == 1, run.stderr
    assert "make room and run the same command again" in run.stderr
    assert leftovers(lake) == []
    assert not list((lake / "flows").rglob("*.parquet"))
    subprocess.run(command(flowbound, logs, lake), check=True, capture_output=True)
    assert differences(whole, lake, "flows") == [0, 0]


def test_a_lake_has_one_writer_at_a_time(flowbound, logs, tmp_path):
    lake = tmp_path / "lake"
    first = subprocess.Popen(command(flowbound, logs, lake), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (lake / "_flowbound" / "lock").exists():
        time.sleep(0.005)
    second = subprocess.run(command(flowbound, logs, lake), capture_output=True, text=True, check=False)
    assert first.wait() == 0
    assert second.returncode == 1
    assert "another flowbound is writing" in second.stderr


def test_the_same_input_again_adds_nothing(flowbound, logs, undisturbed, tmp_path):
    whole, _ = undisturbed
    before = sorted((path, path.stat().st_mtime_ns) for path in Path(whole).rglob("*.parquet"))
    again = subprocess.run(command(flowbound, logs, whole), capture_output=True, text=True, check=True)
    assert '"objects":0' in again.stdout
    assert sorted((path, path.stat().st_mtime_ns) for path in Path(whole).rglob("*.parquet")) == before


@pytest.mark.parametrize("days", [1, 8])
def test_days_of_many_commits_need_few_open_files(flowbound, tmp_path, days):
    """Every commit has state of its day, and a day is read beside others: in rounds, whatever the limit of open files is."""
    header = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
    for number in range(150 * days):
        start = 1790640000 + number % days * 86400
        line = f"2 123456789012 eni-0a 203.0.113.7 10.0.100.20 {40000 + number} 5432 6 1 40 {start} {start + 58} REJECT OK"
        lakes.write_log(tmp_path / "logs" / f"{number}.log.gz", [line], header)

    def few_files():
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))

    lake = tmp_path / "lake"
    done = subprocess.run(
        [flowbound, "replay", tmp_path / "logs", "--map", MAP, "--out", lake, "--commit-mib", "0", "--threads", "1"],
        preexec_fn=few_files,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with duckdb.connect() as db:
        alerts = db.execute(f"SELECT detector, flows, conversations FROM {table(lake, 'alerts')} ORDER BY 1")
        alerts = alerts.fetchall()
        missing = db.execute(f"SELECT detector, coalesce(rule, ''), count(*) FROM {table(lake, 'alerts')} WHERE flows = 0 GROUP BY 1, 2")
        missing = sorted(missing.fetchall())
    # the map says that nothing may be refused there
    assert [alert for alert in alerts if alert[1]] == days * [("blocked", 150, 150)] + days * [("expectation", 150, None)]
    # a period of an hour or less, or a gap, is told when the next day has begun; one of a whole day when that day's lateness is over
    told = [("app-talks-to-db", 1), ("bastion-reachable", 1), ("developers-reach-db", 2), ("nodes-pull-layers", 2), ("pods-assume-roles", 1)]
    expected = [("expectation", rule, days - later) for rule, later in told] + [("late", "", days - 1)]
    assert missing == [alert for alert in expected if alert[2] > 0]
    assert leftovers(lake) == []


def test_a_retention_job_does_not_block_the_lake(flowbound, logs, tmp_path):
    lake = tmp_path / "lake"
    subprocess.run(command(flowbound, logs, lake), check=True, capture_output=True)
    for folder in ("flows", "alerts"):
        for day in (lake / folder).glob("date=2*"):
            shutil.rmtree(day)
    again = subprocess.run(command(flowbound, logs, lake), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
