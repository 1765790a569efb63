"""S3 in and out: the same rows and alerts as from local files, whatever the layout, and whatever happens."""

import json
import random
import subprocess
import sys
import time

import lakes
import pytest
from proxy import FaultProxy

LAKE = "s3://lake/of/artos"


@pytest.fixture(scope="module")
def local(program, tmp_path_factory):
    """The lake of the reference logs, local to local."""
    lake = tmp_path_factory.mktemp("local") / "lake"
    program.run("replay", lakes.LOGS, "--map", lakes.MAP, "--out", lake)
    return lake


@pytest.fixture(scope="module")
def undisturbed(program, generated, tmp_path_factory):
    """The lake of the generated logs, local to local."""
    lake = tmp_path_factory.mktemp("undisturbed") / "lake"
    program.run(*replay(generated / "AWSLogs", lake))
    return lake


def replay(logs, lake, *more):
    """Small commits, so that there are several."""
    return ["replay", logs, "--map", lakes.MAP, "--out", lake, "--commit-mib", "0.1", "--json", *more]


@pytest.mark.parametrize("layout", lakes.LAYOUTS)
def test_every_layout_gives_the_rows_of_local_files(program, s3, local, tmp_path, layout):
    """grafana/loki#16560: keys by the hour are not read."""
    count = lakes.upload(s3, lakes.LOGS, layout=layout)
    s3.put("s3://logs/AWSLogs/aws-logs-write-test", b"x")
    s3.put("s3://logs/AWSLogs/", b"")
    s3.put("s3://logs/AWSLogs/123456789012/CloudTrail/us-east-1/2026/11/20/x.json.gz", b"no flow log")
    out, err = program.run("replay", "s3://logs", "--map", lakes.MAP, "--out", LAKE, "--json", url=s3.url)
    summary = json.loads(out)
    assert (summary["objects"], summary["lake"]) == (count, LAKE), err
    assert lakes.differences(local, s3.download(LAKE, tmp_path / "lake")) == {}
    assert lakes.leftovers(s3.keys(LAKE), "of/artos") == []
    before = s3.keys(LAKE)
    out, _ = program.run("replay", "s3://logs/", "--map", lakes.MAP, "--out", LAKE, "--json", url=s3.url)
    assert json.loads(out)["objects"] == 0
    assert s3.keys(LAKE) == before


def test_an_object_and_a_local_lake(program, s3, tmp_path):
    path = next(iter(sorted(lakes.LOGS.rglob("*.log.gz"))))
    key = lakes.key_of("plain", path.name)
    s3.put(f"s3://logs/{key}", path.read_bytes())
    s3.put(f"s3://logs/{key}.other", b"not meant")
    out, _ = program.run("replay", f"s3://logs/{key}", "--out", tmp_path / "lake", "--json", url=s3.url)
    assert json.loads(out)["objects"] == 1
    assert json.loads(out)["rows"] > 0


def test_standard_input_to_s3(program, s3, tmp_path):
    line = "2 123456789012 eni-0a 10.0.1.5 10.0.2.9 49152 5432 6 10 840 1790640000 1790640058 ACCEPT OK\n"
    out, _ = program.run("replay", "-", "--out", LAKE, "--json", url=s3.url, text=line, TMPDIR=str(tmp_path))
    assert json.loads(out)["rows"] == 1
    assert list(tmp_path.iterdir()) == [], "the temporary folder is gone"


def test_a_lake_is_no_input(program, s3):
    lakes.upload(s3, lakes.LOGS)
    program.run("replay", "s3://logs/AWSLogs", "--out", "s3://logs/AWSLogs-lake", url=s3.url)
    out, _ = program.run("replay", "s3://logs", "--out", "s3://logs/AWSLogs-lake", "--json", url=s3.url)
    assert json.loads(out)["objects"] == 0
    for inside in ("AWSLogs-lake", "AWSLogs-lake/", "AWSLogs-lake/flows", "AWSLogs-lake/flows/date=2026-11-20"):
        _, err = program.run("replay", f"s3://logs/{inside}", "--out", LAKE, url=s3.url, exit_code=2)
        assert "is a lake" in err, inside


def test_overwriting_reads_the_rest_of_a_commit_again(program, s3, local, tmp_path):
    lakes.upload(s3, lakes.LOGS)
    program.run("replay", "s3://logs", "--out", LAKE, url=s3.url)
    one = s3.keys("s3://logs")[0][0]
    _, err = program.run("replay", "s3://logs", "--map", lakes.MAP, "--out", LAKE, url=s3.url, exit_code=2)
    assert "--overwrite" in err
    program.run("replay", f"s3://logs/{one}", "--map", lakes.MAP, "--overwrite", "--out", LAKE, url=s3.url)
    assert lakes.differences(local, s3.download(LAKE, tmp_path / "lake")) == {}


def test_only_folders_that_can_hold_the_span_are_listed(program, s3):
    for month in (10, 11):
        for day in range(1, 31):
            for account in ("111111111111", "222222222222"):
                stamp = f"2026{month}{day:02}T1200Z"
                for region in ("us-east-1", "eu-west-1"):
                    name = f"{account}_vpcflowlogs_{region}_fl-1_{stamp}_{day:08}.log.gz"
                    s3.put(f"s3://logs/{lakes.key_of('hourly', name)}", b"x")
    with FaultProxy(int(s3.url.rsplit(":", 1)[1])) as proxy:
        program.run(
            *("replay", "s3://logs", "--out", LAKE, "--json", "--account", "222222222222", "--region", "eu-west-1"),
            *("--since", "2026-11-10T12:00", "--until", "2026-11-10T12:05"),
            url=proxy.url,
        )
    lists = [r.target for r in proxy.requests if r.method == "GET" and r.target.startswith("/logs") and "list-type" in r.target]
    gets = [r.target for r in proxy.requests if r.method == "GET" and "AWSLogs" in r.target.split("?")[0]]
    # bucket, AWSLogs, account, service, region, year, month, day, hour
    # and two more: whether the bucket is there at all, and whether it is a lake
    assert 8 <= len(lists) <= 11, lists
    assert len(gets) == 1, gets
    assert not any("111111111111" in target for target in lists + gets)


def test_what_is_wrong_is_told(program, s3, tmp_path):
    lakes.upload(s3, lakes.LOGS)
    for arguments, exit_code, message in [
        (["replay", "s3://nowhere", "--out", LAKE], 1, "there is no bucket nowhere"),
        (["replay", "s3://logs", "--out", "s3://nowhere/lake"], 1, "there is no bucket nowhere"),
        (["replay", "s3://logs/none", "--out", LAKE], 2, "no file or folder s3://logs/none"),
        (["replay", "s3://logs", "--account", "000000000000", "--out", LAKE], 2, "no file in s3://logs is of the time"),
    ]:
        out, err = program.run(*arguments, url=s3.url, exit_code=exit_code)
        assert message in err, err
    local = next(iter(lakes.LOGS.rglob("*.log.gz")))
    _, err = program.run("replay", local, "--out", LAKE, exit_code=1, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert "no AWS credentials were found" in err
    _, err = program.run("replay", local, "--out", LAKE, exit_code=1, AWS_REGION="")
    assert "no AWS region is known" in err


def test_an_endpoint_that_does_not_listen(program, tmp_path):
    local = next(iter(lakes.LOGS.rglob("*.log.gz")))
    _, err = program.run("replay", local, "--out", LAKE, url="http://127.0.0.1:9", exit_code=1)
    assert "S3 cannot be reached" in err
    assert "refused" in err


def test_a_local_replay_asks_nothing_of_aws(program, tmp_path):
    """Not even with variables that would make the configuration fail."""
    log = next(iter(lakes.LOGS.rglob("*.log.gz")))
    began = time.monotonic()
    program.run("replay", log, "--out", tmp_path / "lake", AWS_PROFILE="none", AWS_EC2_METADATA_DISABLED="false")
    assert time.monotonic() - began < 5


def test_everything_written_is_encrypted(program, s3, generated):
    lakes.upload(s3, generated)
    with FaultProxy(int(s3.url.rsplit(":", 1)[1])) as proxy:
        program.run(*replay("s3://logs", LAKE, "--sse-kms-key-id", "alias/ours", "--requester-pays"), url=proxy.url)
    written = [r for r in proxy.requests if r.method == "PUT" or r.method == "POST" and r.target.endswith("?uploads")]
    written = [r for r in written if "partNumber" not in r.target]
    assert any("x-amz-copy-source" in r.headers for r in written)
    assert any("if-none-match" in r.headers for r in written)
    for request in written:
        assert request.headers.get("x-amz-server-side-encryption") == "aws:kms", request
        assert request.headers.get("x-amz-server-side-encryption-aws-kms-key-id") == "alias/ours", request
    read = [r for r in proxy.requests if r.method == "GET" and r.target.startswith("/logs")]
    assert read
    assert all(r.headers.get("x-amz-request-payer") == "requester" for r in read)


FAULTS = {
    "answers lost": {"lost": 0.05},
    "errors": {"error": 0.08, "slow": 0.08, "conflict": 0.3},
    "bodies broken": {"truncate": 0.2},
    "everything": {"lost": 0.03, "unsent": 0.03, "error": 0.03, "slow": 0.03, "conflict": 0.1, "truncate": 0.05, "stall": 0.02},
}


@pytest.mark.parametrize("faults", FAULTS)
@pytest.mark.parametrize("seed", [1, 2])
def test_faults_change_nothing(program, s3, generated, undisturbed, tmp_path, faults, seed):
    lakes.upload(s3, generated)
    with FaultProxy(int(s3.url.rsplit(":", 1)[1]), FAULTS[faults], seed) as proxy:
        program.run(*replay("s3://logs", LAKE), url=proxy.url)
    assert any(request.fault for request in proxy.requests)
    assert lakes.differences(undisturbed, s3.download(LAKE, tmp_path / "lake")) == {}
    assert lakes.leftovers(s3.keys(LAKE), "of/artos") == []


@pytest.mark.parametrize("moment", range(4))
def test_killed_at_a_random_moment(program, s3, generated, undisturbed, tmp_path, moment):
    lakes.upload(s3, generated)
    dice = random.Random(moment)
    for _ in range(2):
        with program.start(*replay("s3://logs", LAKE), url=s3.url) as run:
            time.sleep(dice.uniform(0.1, 3))
            run.kill()
    program.run(*replay("s3://logs", LAKE), url=s3.url)
    assert lakes.differences(undisturbed, s3.download(LAKE, tmp_path / "lake")) == {}
    assert lakes.leftovers(s3.keys(LAKE), "of/artos") == []


def test_two_at_once_write_each_row_once(program, s3, generated, undisturbed, tmp_path):
    lakes.upload(s3, generated)
    for _ in range(10):
        runs = [program.start(*replay("s3://logs", LAKE), url=s3.url) for _ in range(2)]
        ended = [(run.communicate()[1], run.returncode) for run in runs]
        for err, code in ended:
            assert code in (0, 1), err
        if all(code == 0 for _, code in ended):
            break
    else:
        pytest.fail(f"they never both ended well: {ended}")
    assert lakes.differences(undisturbed, s3.download(LAKE, tmp_path / "lake")) == {}
    assert lakes.leftovers(s3.keys(LAKE), "of/artos") == []


#: Runs a command; its peak memory in KiB is all that goes to standard error. A process of its own, for a child's peak
#: begins with that of the process that it was forked from.
WATCH = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
"""


def peak(program, s3, source, lake):
    """Peak memory of a replay in MiB."""
    command = [program.path, "replay", source, "--out", lake, "--json", "--threads", "2", "--endpoint-url", s3.url]
    run = subprocess.run(
        [sys.executable, "-c", WATCH, *map(str, command)],
        env=program.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["rows"] % 20000 == 0
    return int(run.stderr) // 1024


def test_a_large_object_needs_no_more_memory_than_a_small_one(program, s3, generated, tmp_path):
    """20 and 100 MB, packed seven times. (Gzip members one after the other are one gzip file.)

    matanolabs/matano#155, elastic/beats#30140: large files take more memory than there is.
    """
    members = b"".join(path.read_bytes() for path in sorted(generated.rglob("*.log.gz")))
    times = 20_000_000 // len(members) + 1
    peaks = {}
    for name, repeated in (("small", times), ("large", times * 5)):
        s3.put(f"s3://logs/{name}.log.gz", members * repeated)
        peaks[name] = peak(program, s3, f"s3://logs/{name}.log.gz", tmp_path / name)
    assert peaks["large"] < peaks["small"] + 24, peaks
    # parts on their way to S3 are bounded, too
    assert peak(program, s3, "s3://logs/large.log.gz", LAKE) < 200
