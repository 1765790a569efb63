"""A stream at work on this machine: `make demo` starts it, Ctrl-C ends it.

Stand-ins of Kinesis, DynamoDB and S3 are started on loopback; made traffic with planted trouble is put into a stream of
two shards, as a subscription of CloudWatch Logs does; two workers follow it into a lake in S3; and the alerts of the
lake are shown as they appear.
"""

import argparse
import gzip
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import boto3
import duckdb

from kinesis import Feeder, Kinesis

ROOT = Path(__file__).parents[2]
MAP = ROOT / "testdata" / "artos" / "boundary.toml"
KEYS = {"AWS_ACCESS_KEY_ID": "demo", "AWS_SECRET_ACCESS_KEY": "demo", "AWS_REGION": "us-east-1"}
STREAM, LAKE = "flow-logs", "s3://demo/lake"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=0, help="end after so many seconds [default: never]")
    parser.add_argument("--feed", metavar="FOLDER", type=Path, help="only put the logs of this folder into a stream")
    options = parser.parse_args()
    if options.feed:
        return feed(options.feed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flowbound-demo-")))
        try:
            play(stack, folder, options.seconds)
        except KeyboardInterrupt:
            print("\nending: what was read is committed, shards are handed over", flush=True)


def play(stack, folder, seconds):
    aws = standin(stack, folder, [str(Path(os.environ["MINISTACK"]).resolve())], 4566, BIND_HOST="127.0.0.1", GATEWAY_PORT="4566")
    script = Path(os.environ["KINESIS_MOCK"]).resolve()
    node = ["node", str(script)]
    certificate = str(script.parent / "server.json")
    ports = {"KINESIS_MOCK_PLAIN_PORT": "4568", "KINESIS_MOCK_TLS_PORT": "4569"}
    standin(stack, folder, node, 4568, KINESIS_MOCK_CERT_PATH=certificate, LOG_LEVEL="ERROR", **ports)
    kinesis = Kinesis(4568)
    retry(lambda: kinesis.create(STREAM, 2))
    identity = {"aws_access_key_id": "demo", "aws_secret_access_key": "demo", "region_name": "us-east-1"}
    s3 = boto3.client("s3", endpoint_url=aws, **identity)
    retry(lambda: s3.create_bucket(Bucket="demo"))
    made = folder / "made"
    program = os.environ["FLOWBOUND"]
    generate = ["generate", "--map", MAP, "--flows", "40000", "--minutes", "120", "--out", made]
    subprocess.run([program, *map(str, generate)], check=True, stdout=subprocess.DEVNULL)
    header, lines = read(made)
    for number in (1, 2):
        worker(stack, folder, program, number, header, aws, kinesis.url)
    print(f"two workers follow {STREAM} into {LAKE}; metrics: http://127.0.0.1:9465/metrics\n", flush=True)
    feeder, seen, began = Feeder(kinesis, STREAM, lines, 1), set(), time.monotonic()
    while not seconds or time.monotonic() < began + seconds:
        end = time.monotonic() + 2
        while time.monotonic() < end:
            put(feeder)
        show(s3, folder / "alerts", seen)


def read(folder):
    """The header and the lines of the logs in a folder."""
    texts = [gzip.open(path, "rt").read().splitlines() for path in sorted(folder.rglob("*.log.gz"))]
    return texts[0][0], [line for text in texts for line in text[1:]]


def put(feeder):
    """Puts a little; at the end it begins again."""
    if feeder.at >= len(feeder.lines):
        feeder.at = 0
    feeder.feed(2)
    time.sleep(0.1)


def feed(folder):
    """Makes the bucket and the stream where they are not, and feeds for ever: the part of docker-compose.yml."""
    s3 = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    retry(lambda: s3.create_bucket(Bucket="demo"))
    kinesis = Kinesis(os.environ["AWS_ENDPOINT_URL_KINESIS"])
    retry(lambda: STREAM in kinesis.client.list_streams()["StreamNames"] or kinesis.create(STREAM, 2))
    feeder = Feeder(kinesis, STREAM, read(folder)[1], 1)
    while True:
        put(feeder)


def standin(stack, folder, command, port, **environment):
    log = stack.enter_context((folder / f"{port}.log").open("wb"))
    server = subprocess.Popen(command, cwd=folder, env={**os.environ, **environment}, stdout=log, stderr=log)
    stack.callback(lambda: (server.kill(), server.wait()))
    url = f"http://127.0.0.1:{port}"

    def answers():
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except urllib.error.HTTPError:
            pass

    retry(answers)
    return url


def retry(what):
    end = time.monotonic() + 30
    while True:
        try:
            return what()
        except Exception:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def worker(stack, folder, program, number, header, aws, url):
    command = [program, "stream", "--stream", STREAM, "--out", LAKE, "--map", MAP, "--log-format", header]
    command += ["--commit-age", 2, "--close-every", 2, "--s3-path-style", "--listen", f"127.0.0.1:{9464 + number}"]
    command += ["--worker", f"worker-{number}"]
    environment = {**os.environ, **KEYS, "AWS_ENDPOINT_URL": aws, "AWS_ENDPOINT_URL_KINESIS": url}
    process = subprocess.Popen(list(map(str, command)), env=environment, start_new_session=True)

    def end():
        process.send_signal(signal.SIGTERM)
        process.wait()

    stack.callback(end)


def show(s3, folder, seen):
    """Prints the alerts that were not there before."""
    folder.mkdir(exist_ok=True)
    for item in s3.list_objects_v2(Bucket="demo", Prefix="lake/alerts/").get("Contents", []):
        path = folder / item["Key"].replace("/", "_")
        if not path.exists():
            s3.download_file("demo", item["Key"], str(path))
    if not any(folder.iterdir()):
        return
    rows = duckdb.sql(
        f"SELECT alert_id, revision, severity, detector, flows, title FROM read_parquet('{folder}/*.parquet') "
        "ORDER BY window_start, alert_id, revision"
    ).fetchall()
    for alert_id, revision, severity, detector, flows, title in rows:
        if (alert_id, revision) not in seen and revision == 0:
            print(f"{severity:8} {detector:8} {flows:5} rows  {title}", flush=True)
        seen.add((alert_id, revision))


if __name__ == "__main__":
    random.seed(1)
    sys.exit(main())
