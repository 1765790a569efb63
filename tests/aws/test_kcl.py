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
    return Path(path_of("KCL", "the folder of kclpy-ext", Path.is_dir)) / "amazon_kclpy" / "jars"


class Fleet:
    """A stream, a worker in Java, one of the program, and the leases that they share."""

    def __init__(self, kinesis, standin, stream, log, folder):
        self.header, lines = log
        self.kinesis, self.folder = kinesis, folder
        self.stream, self.lake = kinesis.create(stream, 4), folder / "lake"
        self.leases = Leases(standin, stream)
        self.feeder = Feeder(kinesis, stream, lines, 3)
        self.dice = random.Random(3)
        self.theirs = self.ours = None

    def settings(self):
        return options(self.stream, self.lake, self.header, self.stream, failover=FAILOVER)

    def told(self):
        table = "\n".join(str(lease) for lease in self.leases.all().values())
        events = [e for e in self.theirs.events() if e["action"] != "processRecords"]
        return f"{table}\n{events[-50:]}\n{logs(self.folder)}"

    def feed_until(self, what, seconds=90):
        def fed():
            self.feeder.feed(2)
            return what()

        until(fed, seconds, self.told)

    def reads(self, worker, many):
        """The worker has as many leases at least, and read on in each of them."""
        shards = self.leases.of(worker.name)
        if worker is self.theirs:
            read = {e["shard"] for e in worker.events() if e["action"] == "checkpoint" and e["sequence"]}
        else:
            read = {place(source)[0] for source, *_ in rows(self.lake)}
        return len(shards) >= many and shards <= read

    def has_all(self, worker):
        """The worker has every lease that is not finished."""
        return self.leases.of(worker.name) == set(self.leases.open())

    def nothing_was_taken(self):
        """Neither from the program, nor by it as the leader from the Java worker that runs: leases were handed over."""
        log = self.ours.log.read_text()
        given = [line for line in log.splitlines() if f'from="{self.theirs.name}"' in line]
        assert "lost a lease" not in log and not any("hand_over=false" in line for line in given), self.told()

    def check(self):
        """Every record was processed by Java or is in the lake, there once; all that is there was put."""
        put = expected(self.kinesis, self.stream, self.header)
        assert len(put) == self.feeder.at > 0

        def missing():
            events = [e for start in range(self.theirs.starts) for e in self.theirs.events(start + 1)]
            done = {(e["shard"], int(n)) for e in events if e["action"] == "processRecords" for n in e["sequences"]}
            done |= {place(source) for source, *_ in rows(self.lake)}
            return [row for row in put if place(row[0]) not in done]

        until(lambda: not missing(), 60, self.told)
        found = rows(self.lake)
        assert len({row[:2] for row in found}) == len(found), "exactly once"
        assert set(found) <= set(put)

    def ends(self, which):
        """One number of each shard in the lake: the least, or the greatest."""
        ends = {}
        for source, *_ in rows(self.lake):
            shard, number = place(source)
            ends[shard] = which(number, ends.get(shard, number))
        return ends


@pytest.fixture
def fleet(new_worker, processes, java, jars, standin, kinesis, log, tmp_path, request):
    stream = f"java-{request.node.name.split('_')[1]}-{os.getpid()}"
    fleet = Fleet(kinesis, standin, stream, log, tmp_path)
    endpoints = {"kinesis": kinesis.url, "dynamodb": f"http://127.0.0.1:{standin}"}
    properties = {"stream": stream, "application": stream, "failover": FAILOVER, **endpoints}
    fleet.theirs = Java(processes, jars, java, tmp_path, **properties)
    fleet.ours = new_worker("ours", *fleet.settings())
    return fleet


def place(source):
    """(Shard, number) of a record."""
    shard, number = source.removeprefix("kinesis://").split("/")[1:]
    return shard, int(number)


def test_leases_move_both_ways_and_nothing_is_lost(fleet):
    ours, theirs, leases = fleet.ours, fleet.theirs, fleet.leases

    # Java alone
    theirs.start()
    fleet.feed_until(lambda: fleet.reads(theirs, 4))

    # the program joins: leases come by hand-over, and in no other way
    ours.start()
    fleet.feed_until(lambda: fleet.reads(ours, 1))
    first = by_shard(theirs.events())
    given = {shard for shard, events in first.items() if "shutdownRequested" in [e["action"] for e in events]}
    lost = {shard for shard, events in first.items() if events[-1]["action"] == "leaseLost"}
    assert given and lost <= given, fleet.told()

    # a shard of each splits; both go on with the children
    split = {fleet.kinesis.split(fleet.stream, fleet.dice, leases.of(w.name).__contains__) for w in (theirs, ours)}
    fleet.feed_until(lambda: not split & set(leases.open()) and len(leases.open()) == 6)
    fleet.feed_until(lambda: leases.of(theirs.name) | leases.of(ours.name) == set(leases.open()))

    # Java dies: the program has it all
    theirs.kill()
    leases.expire_leader(FAILOVER * 1000)
    fleet.feed_until(lambda: fleet.has_all(ours))

    # Java is back: it is given its part, by hand-over
    theirs.start()
    fleet.feed_until(lambda: fleet.reads(theirs, 3))
    fleet.nothing_was_taken()

    # the program ends: Java goes on where it was
    ours.end()
    fleet.feed_until(lambda: fleet.has_all(theirs))
    fleet.check()
    begun = {shard: begins(events) for shard, events in by_shard(theirs.events()).items()}
    heads = fleet.ends(max)
    once = {shard: numbers[0] for shard, numbers in begun.items() if len(numbers) == 1 and shard in heads}
    assert once and once == {shard: str(heads[shard]) for shard in once}, fleet.told()
    # and the program began where Java had been, never before
    tails = fleet.ends(min)
    for shard, events in by_shard(theirs.events(1)).items():
        assert shard not in tails or tails[shard] > before_hand_over(events), (shard, fleet.told())


def begins(events):
    """Where Java's processors of a shard began."""
    return [event["sequence"] for event in events if event["action"] == "initialize"]


def before_hand_over(events):
    """The last checkpoint before a shard was given away for the first time."""
    last = 0
    for event in events:
        if event["action"] == "leaseLost":
            break
        if event["action"] == "checkpoint" and event["sequence"] and not event["error"]:
            last = int(event["sequence"])
    return last


def test_a_dead_leader_of_the_program_is_replaced_by_java(fleet):
    ours, theirs, leases = fleet.ours, fleet.theirs, fleet.leases

    # the program alone, with tables of its own making; then Java gets its part
    ours.start()
    fleet.feed_until(lambda: fleet.reads(ours, 4))
    theirs.start()
    fleet.feed_until(lambda: fleet.reads(theirs, 2))
    fleet.nothing_was_taken()

    # two shards become one, each of them another worker's
    mine = leases.of(ours.name)
    merged = set(fleet.kinesis.merge(fleet.stream, fleet.dice, lambda a, b: (a in mine) != (b in mine)))
    fleet.feed_until(lambda: not merged & set(leases.open()) and len(leases.open()) == 3)

    # it dies: Java leads, and has it all
    ours.kill()
    fleet.feed_until(lambda: fleet.has_all(theirs))
    fleet.check()

