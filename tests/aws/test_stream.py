"""A stream into a lake: exactly once, whatever happens to workers, shards and answers."""

import os
import random
import signal
import time
import urllib.request

import duckdb
import pytest

import lakes
from kinesis import Feeder, envelope
from processes import free_port, until
from proxy import FaultProxy
from workers import alerts, expected, logs, options, rows

#: `make soak` plays more.
ROUNDS = int(os.environ.get("SOAK_ROUNDS", "2"))


def follow_to_the_end(worker, lake, count):
    worker.start()
    until(lambda: len(rows(lake)) >= count, 60, lambda: f"{len(rows(lake))} of {count}\n{worker.log.read_text()}")
    worker.end()


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_exactly_once_whatever_happens(new_worker, kinesis, log, tmp_path, seed):
    """Four shards and two workers; shards split and merge, workers are killed, stopped, continued and replaced."""
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
    port = free_port()
    settings = options(stream, tmp_path / "lake", header, stream, "--listen", f"127.0.0.1:{port}")
    worker = new_worker("one", *settings).start()

    def get(path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    until(lambda: get("/readyz")[0] == 200, 30, worker.log.read_text)
    kinesis.put(stream, random.Random(1), [envelope(lines[:50]), b"\x00 no flow log", envelope(lines[50:70])])
    rows_line = 'flowbound_rows_total{shard="shardId-000000000000"} 70'
    until(lambda: rows_line in get("/metrics")[1].splitlines(), 30, lambda: get("/metrics")[1])
    text = get("/metrics")[1]
    assert 'flowbound_quarantined_lines_total{reason="not_text"} 1' in text, text
    assert get("/healthz") == (200, "ok\n")
    worker.end()
    assert len(rows(tmp_path / "lake")) == 70
    assert len(list((tmp_path / "lake" / "quarantine").iterdir())) == 1


def test_faults_of_every_service(new_worker, standin, s3, kinesis, kinesis_port, log, tmp_path):
    """Answers are lost, late, cut and refused, by all three services; the lake is in S3."""
    header, lines = log
    stream = kinesis.create(f"faults-{os.getpid()}", 2)
    feeder = Feeder(kinesis, stream, lines, 5)
    feeder.feed(40)
    faults = {"lost": 0.02, "unsent": 0.02, "error": 0.02, "slow": 0.02, "conflict": 0.1, "stall": 0.02}
    with FaultProxy(standin, faults, seed=5) as aws, FaultProxy(kinesis_port, faults, seed=6) as streams:
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
        ({"--stream": "no-such-stream"}, ["no-such-stream", "shards"]),
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
    given = [str(option) for option in options(stream, tmp_path / "lake", log[0], "mistakes", "--s3-path-style")]
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
