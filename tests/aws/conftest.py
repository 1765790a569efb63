"""What the tests of this folder share: the program, a stand-in of AWS that they start themselves, and S3 of it."""

import gzip
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

import lakes
from kinesis import Kinesis
from processes import IDENTITY, Processes, environment, free_port, path_of
from queues import Follower, Queue
from workers import Worker


@pytest.fixture(scope="session")
def processes():
    """All that is started. Stand-ins end with the tests."""
    started = Processes()
    yield started
    started.end()


@pytest.fixture(autouse=True)
def nothing_is_left_running(processes):
    """What a test starts ends with it, however it ends."""
    before = processes.running()
    yield
    processes.end(but=before)


@pytest.fixture(scope="session")
def flowbound():
    """The binary, from the environment variable FLOWBOUND."""
    return path_of("FLOWBOUND", "the flowbound binary")


@pytest.fixture(scope="session")
def standin(processes, tmp_path_factory):
    """The port of a running stand-in."""
    program = path_of("MINISTACK", "the ministack program")
    port = free_port()
    told = {**os.environ, **IDENTITY, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}

    def answers():
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).close()
        except urllib.error.HTTPError:
            pass

    processes.serve([program], tmp_path_factory.mktemp("standin"), answers, env=told)
    return port


@pytest.fixture(scope="session")
def kinesis_port(processes, tmp_path_factory):
    """The port of a running stand-in of Kinesis."""
    script = Path(path_of("KINESIS_MOCK", "main.js of kinesis-local"))
    port = free_port()
    told = {
        **os.environ,
        "KINESIS_MOCK_CERT_PATH": str(script.parent / "server.json"),
        "KINESIS_MOCK_PLAIN_PORT": str(port),
        "KINESIS_MOCK_TLS_PORT": str(free_port()),
        "SHARD_LIMIT": "1000",
        "LOG_LEVEL": "ERROR",
    }
    streams = Kinesis(port)
    folder = tmp_path_factory.mktemp("kinesis")
    processes.serve(["node", script], folder, streams.client.list_streams, env=told)
    return port


@pytest.fixture
def kinesis(kinesis_port):
    return Kinesis(kinesis_port)


def reset(port):
    """The stand-in forgets everything."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/_ministack/reset", method="POST")
    urllib.request.urlopen(request, timeout=30).close()


class S3:
    """S3 of the stand-in, with two buckets: `logs` and `lake`."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"
        self.client = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="standin",
            aws_secret_access_key="standin",
        )

    def put(self, uri, content):
        bucket, key = uri.removeprefix("s3://").split("/", 1)
        self.client.put_object(Bucket=bucket, Key=key, Body=content)

    def keys(self, uri):
        """(Key, ETag) of every object below a place, in order."""
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [(item["Key"], item["ETag"]) for page in pages for item in page.get("Contents", [])]

    def download(self, uri, folder):
        """Copies all that is below a place to a local folder, under the names that it has below the place."""
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        shutil.rmtree(folder, ignore_errors=True)
        for key, _ in self.keys(uri):
            path = folder / key.removeprefix(prefix).lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self.client.download_file(bucket, key, str(path))
            except ClientError as error:
                # of a lake that is being written, what was staged goes away, before its length is asked or after
                if error.response["Error"]["Code"] not in ("404", "NoSuchKey"):
                    raise
        return folder


@pytest.fixture(scope="session")
def s3_of_the_session(standin):
    return S3(standin)


@pytest.fixture
def s3(standin, s3_of_the_session):
    """S3 with two empty buckets."""
    reset(standin)
    for bucket in ("logs", "lake"):
        s3_of_the_session.client.create_bucket(Bucket=bucket)
    return s3_of_the_session


class Program:
    """Runs the program against an endpoint."""

    def __init__(self, path, processes):
        self.path, self.processes, self.environment = path, processes, environment()

    def start(self, *arguments, url=None, stderr=subprocess.PIPE, **more):
        command = [self.path, *arguments]
        command += ["--endpoint-url", url] if url else []
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": stderr}
        return self.processes.start(command, text=True, env={**self.environment, **more}, **pipes)

    def run(self, *arguments, url=None, exit_code=0, text="", **more):
        """Standard output and error of a run that must end so."""
        with self.start(*arguments, url=url, **more) as run:
            out, err = run.communicate(text)
        assert run.returncode == exit_code, f"{arguments} gave {run.returncode}\n{out}\n{err}"
        return out, err


@pytest.fixture(scope="session")
def program(flowbound, processes):
    return Program(flowbound, processes)


@pytest.fixture(scope="session")
def generated(program, tmp_path_factory):
    """Enough log for several commits."""
    out = tmp_path_factory.mktemp("generated")
    program.run("generate", "--map", lakes.MAP, "--flows", 20000, "--minutes", 120, "--seed", 11, "--out", out)
    return out


@pytest.fixture(scope="session")
def log(generated):
    """(format, lines) of a generated log."""
    lines = []
    for path in sorted(generated.rglob("*.log.gz")):
        header, *more = gzip.open(path, "rt").read().splitlines()
        lines += more
    return header, lines


@pytest.fixture
def new_worker(processes, flowbound, standin, kinesis, tmp_path):
    """Makes workers of a stream by name and options; they are not started yet."""

    def make(name, *options, url=kinesis.url, port=standin):
        return Worker(processes, flowbound, tmp_path, name, url, port, *options)

    return make


@pytest.fixture
def queue(s3):
    """An empty queue that is not told of any bucket yet."""
    return Queue(s3.url)


@pytest.fixture
def follow(program, queue, s3, tmp_path):
    """Follows the queue into a lake, by name and options."""

    def start(lake, name="follower", *options, url=s3.url, **more):
        return Follower(program, tmp_path, queue, url, lake, name, *options, **more)

    return start
