"""A stream into a lake: exactly once, whatever happens to workers, shards and answers."""

import os
import random
import signal
import time
import urllib.error

import duckdb
import pytest

import lakes
from kinesis import Feeder, envelope
from processes import until
from proxy import FaultProxy
from workers import alerts, expected, full_disk, logs, options, rows

#: `make soak` plays more.
ROUNDS = int(os.environ.get("SOAK_ROUNDS", "2"))


def follow_to_the_end(worker, lake, count):
    worker.start()
    until(lambda: len(rows(lake)) >= count, 60, lambda: f"{len(rows(lake))} of {count}\n{worker.log.read_text()}")
    worker.end()


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_exactly_once_whatever_happens(new_worker, program, kinesis, log, tmp_path, seed):
    """Four shards and two workers; shards split and merge, workers are killed, stopped, continued and replaced.

    vectordotdev/vector#33: a source with leases and checkpoints, through resharding.
    """
    header, lines = log
    dice = random.Random(seed)
    stream = kinesis.create(f"chaos-{seed}-{dice.randrange(10**9)}", 4)
    lake, calm = tmp_path / "lake", tmp_path / "calm"
    feeder = Feeder(kinesis, stream, lines, seed)
    settings = options(stream, lake, header, stream)
    workers = [new_worker(name, *settings) for name in ("one", "two")]
    for worker in workers:
        worker.start()
    done = []
    for _ in range(14):
        for _ in range(dice.randrange(1, 5)):
            feeder.feed(4)
            time.sleep(0.1)
        worker = dice.choice(workers)
        action = dice.choice(["split", "merge", "kill", "stop", "replace", "nothing"])
        done.append(f"{action} {worker.name}")
        if action == "split" and len(kinesis.open_shards(stream)) < 8:
            kinesis.split(stream, dice)
        elif action == "merge" and len(kinesis.open_shards(stream)) > 2:
            kinesis.merge(stream, dice)
        elif action == "kill":
            worker.kill()
            worker.start()
        elif action == "stop":
            worker.signal(signal.SIGSTOP)
            feeder.feed(4)
            time.sleep(3)
            worker.signal(signal.SIGCONT)
        elif action == "replace":
            worker.end()
            worker.start()
    put = expected(kinesis, stream, header)
    assert len(put) == feeder.at > 0

    def told():
        return f"seed {seed}: {len(rows(lake))} of {len(put)} rows after {done}\n{logs(tmp_path)}"

    until(lambda: len(rows(lake)) >= len(put), 60, told)
    for worker in workers:
        worker.end()
    assert rows(lake) == put, told()
    program.run("lake", "check", lake)
    # an undisturbed worker says the same
    settings = options(stream, calm, header, f"{stream}-calm", "--local-state", tmp_path / "leases.json")
    follow_to_the_end(new_worker("calm", *settings), calm, len(put))
    assert rows(calm) == put
    assert alerts(calm) and alerts(lake) == alerts(calm), told()


def test_the_containers_know_the_format(log):
    """docker-compose.yml says which fields the made traffic has."""
    text = (lakes.TESTDATA.parent / "docker-compose.yml").read_text()
    assert log[0] in " ".join(text.split())


def test_metrics_and_readiness(new_worker, kinesis, log, tmp_path):
    header, lines = log
    stream = kinesis.create(f"metrics-{os.getpid()}", 1)
    settings = options(stream, tmp_path / "lake", header, stream, "--listen", "127.0.0.1:0")
    worker = new_worker("one", *settings).start()

    def ready():
        try:
            return worker.get("/readyz")
        except urllib.error.HTTPError as error:
            assert error.code == 503, error
            return None

    until(ready, 30, worker.log.read_text)
    kinesis.put(stream, random.Random(1), [envelope(lines[:50]), b"\x00 no flow log", envelope(lines[50:70])])
    rows_of = 'flowbound_rows_total{shard="shardId-000000000000"}'
    until(lambda: worker.metrics().get(rows_of) == "70", 30, lambda: worker.get("/metrics"))
    assert worker.metrics()['flowbound_quarantined_lines_total{reason="not_text"}'] == "1"
    assert worker.get("/healthz") == "ok\n"
    worker.end()
    assert len(rows(tmp_path / "lake")) == 70
    assert len(list((tmp_path / "lake" / "quarantine").iterdir())) == 1


def test_a_stream_that_is_made_anew_is_another(new_worker, program, kinesis, log, tmp_path):
    """One stream is deleted, and one of the same name takes its place: both are in one lake."""
    header, lines = log
    stream, put = f"anew-{os.getpid()}", []
    for number in (1, 2):
        kinesis.create(stream, number)
        kinesis.put(stream, random.Random(number), [envelope(lines[number * 100 :][:50])])
        put += expected(kinesis, stream, header)
        settings = list(options(stream, tmp_path / "lake", header, "unused"))
        named = settings.index("--name")
        del settings[named : named + 2]
        follow_to_the_end(new_worker(f"worker-{number}", *settings), tmp_path / "lake", len(put))
        kinesis.delete(stream)
        # it is told from the one before by the second in which it was made
        time.sleep(1.1)
    assert rows(tmp_path / "lake") == sorted(put, key=lambda row: row[:2])
    program.run("lake", "check", tmp_path / "lake")


def test_log_groups_of_two_formats(new_worker, kinesis, log, tmp_path):
    """What is not in its group's format is quarantined whole, with the reason; the rest is read."""
    header, lines = log
    stream = kinesis.create(f"formats-{os.getpid()}", 1)
    plain = "2 123456789012 eni-0a 10.0.1.5 10.0.2.9 49152 5432 6 10 840 1790640000 1790640058 ACCEPT OK"
    messages = [envelope(lines[:20], "ours"), envelope([plain, lines[20], plain], "theirs")]
    messages += [envelope([lines[21], plain], "ours"), envelope([plain], "unnamed")]
    kinesis.put(stream, random.Random(1), messages)
    version_2 = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end"
    formats = f"ours={header}; theirs={version_2} action log-status"
    settings = options(stream, tmp_path / "lake", header, stream, "--group-formats", formats)
    follow_to_the_end(new_worker("one", *settings), tmp_path / "lake", 23)
    assert len(rows(tmp_path / "lake")) == 23
    with duckdb.connect() as db:
        told = db.execute(
            f"SELECT reason, count(*) FROM read_json('{tmp_path}/lake/quarantine/**/*.ndjson*') GROUP BY ALL"
        ).fetchall()
    assert told == [("field_count", 3)]


def test_a_full_disk_is_waited_for(new_worker, kinesis, log, tmp_path):
    """A limit of file size is a full disk that a test can make, and take away again."""
    header, lines = log
    stream = kinesis.create(f"full-{os.getpid()}", 1)
    Feeder(kinesis, stream, lines, 1).feed(400)
    put = expected(kinesis, stream, header)
    settings = list(options(stream, tmp_path / "lake", header, stream))
    # a commit with a large file
    settings[settings.index("--commit-age") + 1] = 3
    worker = new_worker("one", *settings)
    with full_disk(worker.start()):
        until(lambda: "File too large" in worker.log.read_text(), 60, worker.log.read_text)
        worker.alive()
        assert rows(tmp_path / "lake") == []
    until(lambda: len(rows(tmp_path / "lake")) >= len(put), 90, worker.log.read_text)
    worker.end()
    assert rows(tmp_path / "lake") == put
    assert not [path for path in (tmp_path / "lake" / "_flowbound" / "staging").rglob("*") if path.is_file()]


def test_faults_of_every_service(new_worker, standin, s3, kinesis, kinesis_port, log, tmp_path):
    """Answers are lost, late, cut and refused, by all three services; the lake is in S3."""
    header, lines = log
    stream = kinesis.create(f"faults-{os.getpid()}", 2)
    feeder = Feeder(kinesis, stream, lines, 5)
    feeder.feed(40)
    faults = {"lost": 0.02, "unsent": 0.02, "error": 0.02, "slow": 0.02, "conflict": 0.1, "expired": 0.05}
    faults |= {"truncate": 0.02, "stall": 0.005}
    with (
        FaultProxy(standin, faults, seed=5, stall_seconds=10) as aws,
        FaultProxy(kinesis_port, faults, seed=6, stall_seconds=10) as streams,
    ):
        settings = options(stream, "s3://lake/of/faults", header, stream, "--s3-path-style")
        url = f"http://127.0.0.1:{streams.port}"
        workers = [new_worker(name, *settings, url=url, port=aws.port) for name in ("one", "two")]
        for worker in workers:
            worker.start()

        def all_happened():
            feeder.feed(2)
            return {request.fault for request in aws.requests + streams.requests} > set(faults)

        until(all_happened, 90, lambda: logs(tmp_path))
        put = expected(kinesis, stream, header)
        lake = tmp_path / "lake"

        def complete():
            for worker in workers:
                worker.alive()
            return len(rows(s3.download("s3://lake/of/faults", lake))) >= len(put)

        until(complete, 90, lambda: logs(tmp_path))
        for worker in workers:
            worker.end()
    assert rows(s3.download("s3://lake/of/faults", lake)) == put
    left = lakes.leftovers(s3.keys("s3://lake/of/faults"), "of/faults")
    assert not [key for key in left if "/staging/" in key], left


def test_a_stream_and_a_replay_say_the_same(new_worker, program, kinesis, log, tmp_path):
    """The same records from Kinesis, by enhanced fan-out, and from files."""
    header, lines = log
    stream = kinesis.create(f"same-{os.getpid()}", 2)
    lines = lines[:4000]
    Feeder(kinesis, stream, lines, 1).feed(400)
    arn = kinesis.client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
    consumer = kinesis.client.register_stream_consumer(StreamARN=arn, ConsumerName="flowbound")["Consumer"]
    (tmp_path / "all.log").write_text("\n".join([header, *lines]))
    program.run("replay", tmp_path / "all.log", "--map", lakes.MAP, "--out", tmp_path / "replay")
    state = ("--local-state", tmp_path / "leases.json", "--efo", consumer["ConsumerARN"])
    settings = options(stream, tmp_path / "stream", header, stream, *state)
    follow_to_the_end(new_worker("one", *settings), tmp_path / "stream", len(lines))
    with duckdb.connect() as db:
        def read(lake, columns):
            files = f"read_parquet('{tmp_path}/{lake}/flows/**/*.parquet', hive_partitioning = true)"
            return db.execute(f"SELECT {columns} FROM {files} ORDER BY ALL").fetchall()

        columns = "* EXCLUDE (source, line)"
        assert read("stream", columns) == read("replay", columns)
        # the evidence names its rows by place, and of rows of one time the first by place are kept
        told = "alert_id, detector, severity, title, flows, conversations, packets, bytes, first_seen, last_seen"

        def last(lake):
            files = f"read_parquet('{tmp_path}/{lake}/alerts/**/*.parquet', hive_partitioning = true)"
            newest = "QUALIFY row_number() OVER (PARTITION BY alert_id ORDER BY revision DESC) = 1"
            return db.execute(f"SELECT {told} FROM {files} {newest} ORDER BY ALL").fetchall()

        assert last("stream") and last("stream") == last("replay")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"--stream": "no-such-stream"}, ["cannot describe the stream no-such-stream", "ResourceNotFound"]),
        ({"--efo": "arn:aws:kinesis:us-east-1:123456789012:stream/other/consumer/x:1"}, ["--efo", "consumers begin with"]),
        ({"--out": "s3://no-such-bucket/lake"}, ["no-such-bucket"]),
        ({"--start": "yesterday"}, ["trim-horizon, latest, or a time"]),
        ({"--commit-age": "0"}, ["--commit-age"]),
        ({"--listen": "127.0.0.1:{taken}"}, ["cannot listen on 127.0.0.1:", "in use"]),
    ],
)
def test_what_cannot_be_done_is_said(new_worker, standin, kinesis, log, tmp_path, change, words):
    stream = "mistakes"
    if stream not in kinesis.client.list_streams()["StreamNames"]:
        kinesis.create(stream, 1)
    # leases are bound to a lake, and each of these has its own
    name = f"mistakes-{tmp_path.name}"
    given = [str(option) for option in options(stream, tmp_path / "lake", log[0], name, "--s3-path-style")]
    for option, value in change.items():
        if option in given:
            given[given.index(option) + 1] = value
        else:
            given += [option, value.format(taken=standin)]
    worker = new_worker("one", *given).start()
    assert worker.process.wait(30) in (1, 2)
    text = worker.log.read_text()
    for word in words:
        assert word in text, text


def test_leases_are_of_one_stream_and_lake(new_worker, kinesis, log, tmp_path):
    """Two lakes by one set of leases would have half of the stream each."""
    header, lines = log
    stream = kinesis.create(f"leases-{os.getpid()}", 1)
    kinesis.put(stream, random.Random(1), [envelope(lines[:10])])
    follow_to_the_end(new_worker("one", *options(stream, tmp_path / "lake", header, stream)), tmp_path / "lake", 10)
    other = new_worker("two", *options(stream, tmp_path / "other", header, stream)).start()
    assert other.process.wait(30) == 2
    assert f"into the lake {tmp_path}/lake" in other.log.read_text()


def test_a_stream_that_is_made_anew_meanwhile_ends_it(new_worker, kinesis, log, tmp_path):
    header, lines = log
    stream = kinesis.create(f"meanwhile-{os.getpid()}", 1)
    kinesis.put(stream, random.Random(1), [envelope(lines[:10])])
    worker = new_worker("one", *options(stream, tmp_path / "lake", header, stream)).start()
    until(lambda: len(rows(tmp_path / "lake")) == 10, 60, worker.log.read_text)
    kinesis.delete(stream)
    time.sleep(1.1)
    kinesis.create(stream, 1)
    kinesis.put(stream, random.Random(2), [envelope(lines[10:20])])
    assert worker.process.wait(60) == 1
    assert "was deleted and made anew" in worker.log.read_text()
    assert len(rows(tmp_path / "lake")) == 10
