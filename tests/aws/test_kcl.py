"""A worker of the Kinesis Client Library in Java and the program share one stream: leases move both ways."""

import os
import random
import shutil
from pathlib import Path

import pytest

from kcl import Java, Leases, by_shard
from kinesis import Feeder
from processes import path_of, until
from workers import expected, logs, options, rows

FAILOVER = 4


@pytest.fixture(scope="session")
def java():
    found = shutil.which("java")
    if not found:
        pytest.exit("java is missing: a runtime of Java 17 or later is needed, as openjdk-17-jre-headless", returncode=2)
    return found


@pytest.fixture(scope="session")
def jars():
    """The folder of the library's jars."""
    kcl = path_of("KCL", "the folder of kclpy-ext", Path.is_dir)
    return Path(kcl) / "amazon_kclpy" / "jars"


def place(source):
    """(Shard, number) of a record."""
    shard, number = source.removeprefix("kinesis://").split("/")[1:]
    return shard, int(number)


def test_leases_move_both_ways_and_nothing_is_lost(new_worker, processes, java, jars, standin, kinesis, log, tmp_path):
    header, lines = log
    dice = random.Random(3)
    stream = kinesis.create(f"java-{os.getpid()}", 4)
    lake = tmp_path / "lake"
    leases = Leases(standin, stream)
    feeder = Feeder(kinesis, stream, lines, 3)
    endpoints = {"kinesis": kinesis.url, "dynamodb": f"http://127.0.0.1:{standin}"}
    theirs = Java(processes, jars, java, tmp_path, stream=stream, application=stream, failover=FAILOVER, **endpoints)
    ours = new_worker("ours", *options(stream, lake, header, stream, failover=FAILOVER))

    def told():
        table = "\n".join(str(lease) for lease in leases.all().values())
        return f"{table}\n{theirs.events()[-20:]}\n{logs(tmp_path)}"

    def feed_until(what, seconds=60):
        def fed():
            feeder.feed(2)
            return what()

        until(fed, seconds, told)

    def reads(many):
        """Java has as many leases, and checkpointed in each since its last start."""
        shards = leases.of(theirs.name)
        read = {e["shard"] for e in theirs.events() if e["action"] == "checkpoint" and e["sequence"]}
        return len(shards) >= many and shards <= read

    # Java alone
    theirs.start()
    feed_until(lambda: reads(4), 120)

    # the program joins: leases come by hand-over, and no other way
    ours.start()
    feed_until(lambda: leases.of(ours.name) and rows(lake))
    first = by_shard(theirs.events())
    given = [shard for shard, events in first.items() if "shutdownRequested" in [e["action"] for e in events]]
    lost = [shard for shard, events in first.items() if events[-1]["action"] == "leaseLost"]
    assert given and set(lost) <= set(given), told()

    # a shard of each splits; both go on with the children
    split = {kinesis.split(stream, dice, leases.of(worker.name).__contains__) for worker in (theirs, ours)}
    feed_until(lambda: not split & set(leases.open()) and len(leases.open()) == 6)
    feed_until(lambda: leases.of(theirs.name) | leases.of(ours.name) == set(leases.open()))

    # Java dies: the program has it all
    theirs.kill()
    leases.expire_leader(FAILOVER * 1000)
    feed_until(lambda: leases.of(ours.name) == set(leases.open()))

    # Java is back: it is given its part
    theirs.start()
    feed_until(lambda: reads(3), 120)

    # the program ends: Java goes on where it was
    ours.end()
    feed_until(lambda: leases.of(theirs.name) == set(leases.open()), 120)
    put = expected(kinesis, stream, header)
    assert len(put) == feeder.at > 0

    def by_java():
        events = theirs.events(1) + theirs.events(2)
        processed = [e for e in events if e["action"] == "processRecords"]
        return {(e["shard"], int(number)) for e in processed for number in e["sequences"]}

    def missing():
        done = by_java() | {place(source) for source, *_ in rows(lake)}
        return [row for row in put if place(row[0]) not in done]

    until(lambda: not missing(), 60, told)
    found = rows(lake)
    assert len({row[:2] for row in found}) == len(found), "exactly once"
    assert set(found) <= set(put)
    heads = {}
    for shard, number in (place(row[0]) for row in found):
        heads[shard] = max(number, heads.get(shard, 0))
    # what Java was given once and for all, it was given at the lake's end
    second = by_shard(theirs.events(2))
    given = {shard: [e["sequence"] for e in events if e["action"] == "initialize"] for shard, events in second.items()}
    once = {shard: int(begun[0]) for shard, begun in given.items() if shard in heads and len(begun) == 1}
    assert once and once == {shard: heads[shard] for shard in once}, told()
    for shard, events in first.items():
        before = before_hand_over(events)
        assert all(place(row[0])[1] > before for row in found if place(row[0])[0] == shard), shard


def before_hand_over(events):
    """The last checkpoint of a processor's first time."""
    last = 0
    for event in events:
        if event["action"] == "leaseLost":
            break
        if event["action"] == "checkpoint" and event["sequence"] and not event["error"]:
            last = int(event["sequence"])
    return last
