"""How fast a stream is followed from the stand-in, over HTTP: `make bench-standin`. What the program does alone, without a
service, `cargo bench --bench stream` says."""

import gzip
import os
import random
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import lakes
from kinesis import Kinesis, envelope
from processes import Processes, environment, free_port, path_of, until
from workers import rows

FLOWS, EVENTS, SHARDS = 1_500_000, 500, 4


def main():
    program, standin = path_of("FLOWBOUND", "the flowbound binary"), path_of("MINISTACK", "the ministack program")
    started = Processes()
    try:
        with tempfile.TemporaryDirectory() as folder:
            measure(started, program, standin, Path(folder))
    finally:
        started.end()


def measure(started, program, standin, folder):
    port, metrics = free_port(), free_port()
    kinesis = Kinesis(port)
    told = {**os.environ, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
    started.serve([standin], folder, kinesis.client.list_streams, env=told)
    kinesis.create("logs", SHARDS)
    made = folder / "made"
    generate = ["generate", "--map", lakes.MAP, "--flows", FLOWS, "--minutes", 60, "--out", made]
    subprocess.run([program, *map(str, generate)], check=True, stdout=subprocess.DEVNULL)
    texts = [gzip.open(path, "rt").read().splitlines() for path in sorted(made.rglob("*.log.gz"))]
    header, lines = texts[0][0], [line for text in texts for line in text[1:]]
    dice = random.Random(1)
    records = [envelope(lines[at : at + EVENTS]) for at in range(0, len(lines), EVENTS)]
    for at in range(0, len(records), 50):
        kinesis.put("logs", dice, records[at : at + 50])
    command = [program, "stream", "--stream", "logs", "--map", lakes.MAP, "--out", folder / "lake", "--log-format", header]
    command += ["--local-state", folder / "leases.json", "--commit-age", "600", "--listen", f"127.0.0.1:{metrics}"]
    told = environment(AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}", FLOWBOUND_LOG="error")
    worker = started.start(command, env=told)

    def read():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=5) as answer:
                text = answer.read().decode().splitlines()
        except OSError:
            return 0
        return sum(int(line.split()[-1]) for line in text if line.startswith("flowbound_kinesis_records_total{"))

    until(lambda: read() > 0, 60, lambda: "nothing is read")
    # the start does not count
    first, began = read(), time.monotonic()
    until(lambda: read() >= len(records), 300, lambda: f"{read()} of {len(records)}")
    seconds = time.monotonic() - began
    worker.terminate()
    assert worker.wait(60) == 0
    assert len(rows(folder / "lake")) == len(lines)
    size = sum(map(len, records)) / 1e6
    rate = (len(records) - first) * EVENTS / seconds / 1e6
    print(
        f"{len(lines)} records in {len(records)} envelopes ({size:.1f} MB) of {SHARDS} shards, "
        f"the last {len(records) - first} of them in {seconds:.1f} s: {rate:.2f} million records a second"
    )


if __name__ == "__main__":
    main()
