"""What the tests of this folder share: the program, a stand-in of AWS that they start themselves, and S3 of it."""

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import pytest

import lakes

#: What the program and boto3 are told instead of this machine's own configuration.
IDENTITY = {
    "AWS_ACCESS_KEY_ID": "standin",
    "AWS_SECRET_ACCESS_KEY": "standin",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


def path_of(variable, what):
    value = os.environ.get(variable)
    if not value:
        pytest.exit(f"set {variable} to {what}, as `make aws` does", returncode=2)
    path = Path(value).resolve()
    if not path.is_file():
        pytest.exit(f"{variable} names {path}, which is no file", returncode=2)
    return str(path)


@pytest.fixture(scope="session")
def flowbound():
    """The binary, from the environment variable FLOWBOUND."""
    return path_of("FLOWBOUND", "the flowbound binary")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def standin(tmp_path_factory):
    """The port of a running stand-in; it ends with the tests."""
    program = path_of("MINISTACK", "the ministack program")
    port = free_port()
    folder = tmp_path_factory.mktemp("standin")
    environment = {**os.environ, **IDENTITY, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([program], cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).close()
                break
            except urllib.error.HTTPError:
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > end:
                    pytest.exit(f"the stand-in does not start: {(folder / 'log').read_text()}", returncode=2)
                time.sleep(0.05)
        yield port
    finally:
        server.kill()
        server.wait()


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
            self.client.download_file(bucket, key, str(path))
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

    def __init__(self, path):
        self.path = path
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "FLOWBOUND"))}
        self.environment = {**kept, **IDENTITY}

    def start(self, *arguments, url=None, **environment):
        command = [self.path, *map(str, arguments)]
        command += ["--endpoint-url", url] if url else []
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**self.environment, **environment},
        )

    def run(self, *arguments, url=None, exit_code=0, text="", **environment):
        """Standard output and error of a run that must end so."""
        with self.start(*arguments, url=url, **environment) as run:
            out, err = run.communicate(text)
        assert run.returncode == exit_code, f"{arguments} gave {run.returncode}\n{out}\n{err}"
        return out, err


@pytest.fixture(scope="session")
def program(flowbound):
    return Program(flowbound)


@pytest.fixture(scope="session")
def generated(program, tmp_path_factory):
    """Enough log for several commits."""
    out = tmp_path_factory.mktemp("generated")
    program.run("generate", "--map", lakes.MAP, "--flows", 20000, "--minutes", 120, "--seed", 11, "--out", out)
    return out
