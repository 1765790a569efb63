"""`replay --sqs`: what a queue names is in the lake once, as a plain replay has it, whatever happens on the way."""

import json
import random
import signal
import time

import lakes
import pytest
from processes import until
from proxy import FaultProxy
from queues import record

LAKE = "s3://lake/of/artos"
WAYS = ["direct", "sns", "raw sns", "eventbridge", "eventbridge through sns"]
OPTIONS = ("--map", lakes.MAP, "--close-every", "1")


@pytest.fixture(scope="module")
def local(program, tmp_path_factory):
    """The lake of the reference logs, by a plain replay."""
    lake = tmp_path_factory.mktemp("local") / "lake"
    program.run("replay", lakes.LOGS, "--map", lakes.MAP, "--out", lake)
    return lake


@pytest.fixture(scope="module")
def undisturbed(program, generated, tmp_path_factory):
    """The lake of the generated logs, by a plain replay."""
    lake = tmp_path_factory.mktemp("undisturbed") / "lake"
    program.run("replay", generated / "AWSLogs", "--map", lakes.MAP, "--out", lake)
    return lake


def port(s3):
    return int(s3.url.rsplit(":", 1)[1])


def upload(s3, folder):
    """Puts every log into the bucket `logs`; their keys."""
    lakes.upload(s3, folder)
    return [key for key, _ in s3.keys("s3://logs")]


def told(s3, queue, folder):
    """The same, and the queue is told of each."""
    keys = upload(s3, folder)
    for key in keys:
        queue.send({"Records": [record(key)]})
    return keys


def same(one, lake):
    """Whether both lakes have the same rows, and in the end the same alerts."""
    assert lakes.differences(one, lake, revisions=False) == {}


def in_s3(s3, folder):
    """The lake in S3, and whether it is tidy."""
    assert lakes.leftovers(s3.keys(LAKE), "of/artos") == []
    return s3.download(LAKE, folder / "downloaded")


@pytest.mark.parametrize("way", WAYS)
def test_every_way_gives_the_rows_of_a_plain_replay(s3, queue, follow, local, tmp_path, way):
    """Keys in Hive's form have `=`, which S3 encodes and EventBridge does not."""
    queue.notify(way)
    follower = follow(tmp_path / "lake", "follower", *OPTIONS)
    count = lakes.upload(s3, lakes.LOGS, layout="hive-hourly")
    # S3 tries whether it may send; EventBridge does not
    queue.filled(1)
    follower.says("committed")
    follower.until_done()
    summary = follower.end()
    # until the last is received, nothing may be held; so the sum is looked at again
    assert queue.count() == (0, 0)
    assert (summary["objects"], summary["skipped"]) == (count, []), follower.said()
    same(local, tmp_path / "lake")


def test_what_comes_twice_is_in_the_lake_once(s3, queue, follow, local, tmp_path):
    keys = upload(s3, lakes.LOGS)
    queue.send({"Records": [record(key) for key in keys]})
    for key in keys:
        queue.send({"Records": [record(key), record(key, "ObjectCreated:Copy")]})
    # what an answer held that the first one did not wait for comes again, after so long
    short = (*OPTIONS, "--sqs-visibility", "3")
    follower = follow(LAKE, "first", *short)
    follower.until_done()
    for key in keys:
        queue.send({"Records": [record(key)]})
    follower.until_done()
    summary = follower.end()
    assert (summary["objects"], summary["known_objects"]) == (len(keys), len(keys)), follower.said()
    for key in keys:
        queue.send({"Records": [record(key)]})
    again = follow(LAKE, "again", *short)
    again.until_done()
    summary = again.end()
    assert (summary["objects"], summary["known_objects"]) == (0, len(keys)), again.said()
    same(local, in_s3(s3, tmp_path))


def test_only_what_is_a_log_and_asked_for_is_read(s3, queue, follow, tmp_path):
    """A lake in the bucket that is told of would otherwise feed itself."""
    queue.notify("direct")
    name = "123456789012_vpcflowlogs_us-east-1_fl-1_20261120T1200Z_{}.log.gz"
    wanted = sorted(lakes.LOGS.rglob("*.log.gz"))[0].read_bytes()
    s3.put("s3://logs/" + lakes.key_of("hive", name.format("a")), wanted)
    for key in (
        lakes.key_of("plain", name.format("b").replace("us-east-1", "eu-west-1")),
        "AWSLogs/aws-logs-write-test",
        "AWSLogs/123456789012/CloudTrail/us-east-1/2026/11/20/x.json.gz",
        "AWSLogs/123456789012/vpcflowlogs/",
        "empty.log",
        "picture.png",
    ):
        s3.put(f"s3://logs/{key}", b"" if key.startswith("empty") else b"x")
    queue.send({"Records": [record("gone+%26+away.log.gz")]})
    queue.send({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "logs"})
    queue.filled(10)
    follower = follow("s3://logs/inside/lake", "follower", *OPTIONS, "--region", "us-east-1")
    follower.until_done()
    time.sleep(2)
    follower.until_done()
    summary = follower.end()
    assert (summary["objects"], summary["skipped"], summary["faults"]) == (1, [], []), follower.said()
    assert "gone & away.log.gz" in follower.said()
    assert "it is not there any more" in follower.said()


JUNK = ["", "hello", "{}", '{"Records": [{"eventSource": "aws:s3"}]}', "[" * 1000, json.dumps({"Records": [record("%FF")]})]


def test_what_is_no_notification_stays_until_it_is_dead(s3, queue, follow, local, tmp_path):
    ids = [queue.send(body or " ") for body in JUNK]
    told(s3, queue, lakes.LOGS)
    follower = follow(tmp_path / "lake", "follower", *OPTIONS, "--sqs-visibility", "1")
    follower.until_done(left=len(JUNK))
    follower.says("committed")
    time.sleep(4)
    assert sum(queue.count()) == len(JUNK), "they are not deleted"
    queue.redrive(3)
    follower.until_done()
    follower.end()
    assert sum(queue.count(queue.dead)) == len(JUNK)
    for message in ids:
        assert follower.said().count(message) == 1, "told once, however often it came"
    same(local, tmp_path / "lake")


def test_an_object_that_changed_is_left(s3, queue, follow, tmp_path):
    logs = sorted(lakes.LOGS.rglob("*.log.gz"))
    s3.put("s3://logs/a.log.gz", logs[0].read_bytes())
    queue.send({"Records": [record("a.log.gz")]})
    follower = follow(tmp_path / "lake", "follower", *OPTIONS, "--sqs-visibility", "2")
    follower.until_done()
    s3.put("s3://logs/a.log.gz", logs[1].read_bytes())
    s3.put("s3://logs/b.log.gz", logs[2].read_bytes())
    queue.send({"Records": [record("a.log.gz")]})
    queue.send({"Records": [record("b.log.gz")]})
    follower.says("it changed since it was replayed")
    time.sleep(3)
    assert sum(queue.count()) == 1
    summary = follower.end()
    assert summary["objects"] == 2
    assert [skipped["uri"] for skipped in summary["skipped"]] == ["s3://logs/a.log.gz"], "listed once"


class Only(FaultProxy):
    """Does to requests that are meant what it is told to do."""

    def meant(self, choose, fault, times=1 << 30):
        self._meant = (choose, fault)
        self._times = times
        return self

    def _fault(self, request):
        choose, fault = self._meant
        if self._times > 0 and choose(request):
            self._times -= 1
            return fault
        return None

    def count(self, action):
        return sum(asks(action)(request) for request in self.requests)


def asks(action):
    return lambda request: request.headers.get("x-amz-target") == f"AmazonSQS.{action}"


def reads_log(request):
    return request.method == "GET" and request.target.startswith("/logs/AWSLogs")


def looks_at_log(request):
    return request.method == "HEAD" and request.target.startswith("/logs/AWSLogs")


def test_work_that_takes_longer_than_the_visibility_is_done_once(s3, queue, follow, local, tmp_path):
    """vectordotdev/vector#4910 and #20172, redpanda-data/connect#4468: large objects outlive their messages."""
    keys = told(s3, queue, lakes.LOGS)
    with Only(port(s3), stall_seconds=0.4).meant(reads_log, "stall") as proxy:
        options = (*OPTIONS, "--sqs-visibility", "2", "--threads", "1")
        follower = follow(tmp_path / "lake", "follower", *options, url=proxy.url)
        until(lambda: any(map(reads_log, proxy.requests)), 60, follower.said)
        began, received = time.monotonic(), []
        while "committed" not in follower.said():
            # what is not kept, another worker would get
            answer = queue.sqs.receive_message(QueueUrl=queue.url, WaitTimeSeconds=1)
            received += answer.get("Messages", [])
            assert time.monotonic() - began < 60, follower.said()
        took = time.monotonic() - began
        follower.until_done()
        summary = follower.end()
    assert received == []
    assert took > 6, "it was to take three times as long as the visibility"
    assert summary["objects"] == len(keys), follower.said()
    reads = [request.target for request in proxy.requests if reads_log(request)]
    assert len(reads) == len(set(reads)) == len(keys), "each is read once"
    assert proxy.count("ChangeMessageVisibilityBatch") > 3
    same(local, tmp_path / "lake")


@pytest.mark.parametrize("moment", range(4))
def test_killed_at_a_random_moment(s3, queue, follow, generated, undisturbed, tmp_path, moment):
    keys = told(s3, queue, generated)
    dice = random.Random(moment)
    small = (*OPTIONS, "--commit-mib", "0.1", "--threads", "1", "--sqs-visibility", "3")
    committed = 0
    # most of the time is that of reading, so that it is in the middle of a unit
    with Only(port(s3), stall_seconds=0.3).meant(reads_log, "stall") as proxy:
        for number in range(3):
            follower = follow(LAKE, f"killed-{number}", *small, url=proxy.url)
            follower.says("following")
            time.sleep(dice.uniform(0.5, 2))
            follower.run.kill()
            follower.run.wait()
            committed += follower.said().count("committed")
    assert sum(queue.count()) > 0, f"{committed} committed of {len(keys)}: nothing is left to do"
    follower = follow(LAKE, "last", *small)
    follower.until_done()
    summary = follower.end()
    assert queue.count() == (0, 0)
    assert summary["objects"] <= len(keys) - committed
    same(undisturbed, in_s3(s3, tmp_path))


@pytest.mark.parametrize("fault", ["lost", "error", "slow"])
def test_deletions_that_fail(s3, queue, follow, local, tmp_path, fault):
    """The first deletions are answered by nothing but faults, for longer than the SDK tries; then all is well."""
    keys = told(s3, queue, lakes.LOGS)
    with Only(port(s3)).meant(asks("DeleteMessageBatch"), fault, times=10) as proxy:
        follower = follow(LAKE, "follower", *OPTIONS, "--sqs-visibility", "2", url=proxy.url)
        follower.until_done()
        summary = follower.end()
    assert proxy.count("DeleteMessageBatch") > 10
    assert summary["objects"] == len(keys), follower.said()
    assert queue.count() == (0, 0)
    same(local, in_s3(s3, tmp_path))


FAULTS = {
    "answers lost": {"lost": 0.05},
    "errors": {"error": 0.08, "slow": 0.08, "conflict": 0.3},
    "everything": {"lost": 0.03, "unsent": 0.03, "error": 0.03, "slow": 0.03, "conflict": 0.1, "truncate": 0.05},
}


@pytest.mark.parametrize("faults", FAULTS)
def test_faults_change_nothing(s3, queue, follow, generated, undisturbed, tmp_path, faults):
    keys = told(s3, queue, generated)
    with FaultProxy(port(s3), FAULTS[faults], 3) as proxy:
        # what is received by an answer that is lost comes again
        options = (*OPTIONS, "--commit-mib", "0.2", "--sqs-visibility", "5")
        follower = follow(LAKE, "follower", *options, url=proxy.url)
        follower.until_done(240)
        follower.end(timeout=120)
    assert any(request.fault for request in proxy.requests)
    same(undisturbed, in_s3(s3, tmp_path))


def test_a_bucket_that_does_not_answer_is_waited_for(s3, queue, follow, local, tmp_path):
    """Longer than the SDK tries; meanwhile messages are kept."""
    keys = told(s3, queue, lakes.LOGS)
    with Only(port(s3)).meant(looks_at_log, "error", times=20 * 8) as proxy:
        follower = follow(tmp_path / "lake", "follower", *OPTIONS, "--sqs-visibility", "3", url=proxy.url)
        follower.until_done(300)
        summary = follower.end()
    assert "tried again" in follower.said()
    assert (summary["objects"], summary["known_objects"]) == (len(keys), 0), follower.said()
    same(local, tmp_path / "lake")


@pytest.fixture(scope="module")
def large(generated, tmp_path_factory):
    """A folder with a log of more than one range of reading, and others. (Gzip members in a row are one gzip file.)"""
    folder = tmp_path_factory.mktemp("large")
    logs = sorted(generated.rglob("*.log.gz"))
    members = b"".join(path.read_bytes() for path in logs)
    (folder / "large.log.gz").write_bytes(members * (9_000_000 // len(members) + 1))
    for path in logs[:5]:
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize("first", [True, False], ids=["at its begin", "in the middle"])
def test_an_object_that_breaks_off_is_not_kept_in_part(program, s3, queue, follow, large, tmp_path, first):
    """Another time it is whole."""
    program.run("replay", large, "--map", lakes.MAP, "--out", tmp_path / "plain")
    logs = sorted(large.iterdir())
    for path in logs:
        s3.put(f"s3://logs/{path.name}", path.read_bytes())
        queue.send({"Records": [record(path.name)]})

    def is_meant(request):
        is_first = request.headers.get("range", "").startswith("bytes=0-")
        return request.method == "GET" and request.target.startswith("/logs/large") and is_first == first

    # a refusal that the SDK does not try again
    with Only(port(s3)).meant(is_meant, "conflict", times=1) as proxy:
        follower = follow(tmp_path / "lake", "follower", *OPTIONS, "--sqs-visibility", "3", url=proxy.url)
        follower.says("not read: its message stays in the queue")
        follower.until_done()
        summary = follower.end()
    assert (summary["objects"], summary["faults"], summary["skipped"]) == (len(logs), [], []), follower.said()
    same(tmp_path / "plain", tmp_path / "lake")


def test_a_replay_keeps_no_part_either(program, s3, large, tmp_path):
    """What cannot be read to its end is named and left to the next run; the rest of its unit is there."""
    for path in sorted(large.iterdir()):
        s3.put(f"s3://logs/{path.name}", path.read_bytes())

    def is_meant(request):
        in_the_middle = not request.headers.get("range", "").startswith("bytes=0-")
        return request.method == "GET" and request.target.startswith("/logs/large") and in_the_middle

    replay = ["replay", "s3://logs", "--map", lakes.MAP, "--out", tmp_path / "lake", "--json"]
    with Only(port(s3)).meant(is_meant, "conflict", times=1) as proxy:
        out, _ = program.run(*replay, url=proxy.url, exit_code=1)
    summary = json.loads(out)
    assert [skipped["uri"] for skipped in summary["skipped"]] == ["s3://logs/large.log.gz"], summary
    assert (summary["objects"], summary["faults"]) == (len(list(large.iterdir())) - 1, [])
    out, _ = program.run(*replay, url=s3.url)
    assert json.loads(out)["objects"] == 1
    program.run("replay", large, "--map", lakes.MAP, "--out", tmp_path / "plain")
    same(tmp_path / "plain", tmp_path / "lake")


@pytest.mark.parametrize("moment", range(3))
def test_a_signal_finishes_what_was_begun(s3, queue, follow, generated, undisturbed, tmp_path, moment):
    keys = told(s3, queue, generated)
    dice = random.Random(moment)
    small = (*OPTIONS, "--commit-mib", "0.2", "--sqs-visibility", "3")
    objects = 0
    for number in range(4):
        follower = follow(LAKE, f"ended-{number}", *small)
        time.sleep(dice.uniform(0.3, 1.5))
        summary = follower.end()
        objects += summary["objects"]
        assert summary["known_objects"] == 0, "what was committed was deleted"
    follower = follow(LAKE, "last", *small)
    follower.until_done()
    summary = follower.end()
    assert objects + summary["objects"] == len(keys)
    same(undisturbed, in_s3(s3, tmp_path))


def test_a_signal_while_nothing_comes(queue, follow, tmp_path):
    follower = follow(tmp_path / "lake", "follower", *OPTIONS)
    time.sleep(1)
    began = time.monotonic()
    assert follower.end()["objects"] == 0
    assert time.monotonic() - began < 5, "the answer of the queue is not waited for"


def test_a_second_signal_ends_at_once(s3, queue, follow, local, tmp_path):
    told(s3, queue, lakes.LOGS)
    with Only(port(s3), stall_seconds=60).meant(reads_log, "stall") as proxy:
        follower = follow(LAKE, "ended", *OPTIONS, "--sqs-visibility", "3", url=proxy.url)
        time.sleep(3)
        follower.run.send_signal(signal.SIGTERM)
        follower.says("again to end at once")
        assert follower.end(exit_code=1, timeout=5) is None
        assert "nothing is lost or doubled" in follower.said()
    follower = follow(LAKE, "next", *OPTIONS)
    follower.until_done()
    follower.end()
    same(local, in_s3(s3, tmp_path))


def test_two_workers_on_one_lake(s3, queue, follow, generated, undisturbed, tmp_path):
    queue.notify("direct")
    small = (*OPTIONS, "--commit-mib", "0.1", "--commit-age", "0.3")
    followers = [follow(LAKE, name, *small) for name in ("one", "other")]
    keys = upload(s3, generated)
    followers[0].says("committed")
    for key in keys[::3]:
        queue.send({"Records": [record(key)]})
    for follower in followers:
        follower.until_done()
    summaries = [follower.end() for follower in followers]
    assert sum(summary["objects"] for summary in summaries) == len(keys), summaries
    assert all(summary["objects"] for summary in summaries), "both had a part"
    same(undisturbed, in_s3(s3, tmp_path))


def test_another_map_is_told_before_the_first_message(program, s3, queue, follow, tmp_path):
    keys = upload(s3, lakes.LOGS)
    program.run("replay", f"s3://logs/{keys[0]}", "--out", LAKE, url=s3.url)
    follow_it = ["replay", "--sqs", queue.url, "--map", lakes.MAP, "--out", LAKE]
    _, err = program.run(*follow_it, url=s3.url, exit_code=2)
    assert "--new-map" in err
    # once it may be another one, what comes of the old one is known
    follower = follow(LAKE, "new", *OPTIONS, "--new-map")
    queue.send({"Records": [record(keys[1])]})
    follower.says("committed")
    follower.until_done()
    follower.end()
    follower = follow(LAKE, "next", *OPTIONS)
    queue.send({"Records": [record(keys[0]), record(keys[1]), record(keys[2])]})
    follower.says("committed")
    follower.until_done()
    summary = follower.end()
    assert (summary["objects"], summary["known_objects"]) == (1, 2)


def test_what_is_wrong_is_told(program, s3, queue, tmp_path):
    lake = tmp_path / "lake"
    nowhere = queue.url.replace("/logs", "/nowhere")
    abroad = "https://sqs.eu-west-1.amazonaws.com/000000000000/nowhere"
    for arguments, exit_code, message in [
        (["--sqs", nowhere], 1, f"there is no queue {nowhere}"),
        (["--sqs", abroad], 1, "use --aws-region eu-west-1"),
        (["--sqs", "logs"], 2, "begins with http"),
        ([], 2, "<INPUT>"),
        (["--sqs", queue.url, "s3://logs"], 2, "cannot be used with"),
        (["--sqs", queue.url, "--overwrite"], 2, "cannot be used with"),
        (["--sqs", queue.url, "--sqs-visibility", "0"], 2, "1..=43200"),
        (["--sqs", queue.url, "--commit-age", "0"], 2, "--commit-age 0"),
    ]:
        _, err = program.run("replay", *arguments, "--out", lake, url=s3.url, exit_code=exit_code)
        assert message in err, err
    _, err = program.run("replay", "--sqs", queue.url, "--out", lake, url="http://127.0.0.1:9", exit_code=1)
    assert "SQS cannot be reached" in err
    assert queue.url in err
