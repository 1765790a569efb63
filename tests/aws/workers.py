"""Workers of a stream, and what the lake that they write must hold."""

import contextlib
import re
import resource
import signal
import urllib.request
from pathlib import Path

import duckdb

import lakes
from processes import environment, kill, until


class Worker:
    """A process of `flowbound stream`."""

    def __init__(self, processes, flowbound, folder, name, url, port, *options):
        self.environment = environment(
            FLOWBOUND_LOG="info", AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}", AWS_ENDPOINT_URL_KINESIS=url
        )
        self.command = [flowbound, "stream", *options]
        self.processes, self.folder, self.stem = processes, folder, name
        self.log, self.process, self.starts = None, None, 0

    @property
    def name(self):
        """Its name in the fleet: another one with every start."""
        return f"{self.stem}-{self.starts}"

    def start(self):
        self.starts += 1
        self.log = self.folder / f"{self.name}.log"
        with self.log.open("wb") as log:
            command = [*self.command, "--worker", self.name]
            # writing past a limit of file size is to fail, not to kill
            pipes = {"stdout": log, "stderr": log, "restore_signals": False}
            self.process = self.processes.start(command, env=self.environment, **pipes)
        return self

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        kill(self.process)

    def end(self, timeout=60):
        """SIGTERM, once the process catches it, and all that belongs to it."""
        until(lambda: self._catches(signal.SIGTERM), 30, self.log.read_text)
        self.signal(signal.SIGTERM)
        assert self.process.wait(timeout) == 0, self.log.read_text()

    def get(self, path, seconds=30):
        """What a worker that was told to `--listen` on any port answers; it is waited for until it does listen."""
        until(self._address, seconds, self.log.read_text)
        with urllib.request.urlopen(f"http://{self._address()}{path}", timeout=10) as answer:
            return answer.read().decode()

    def _catches(self, number):
        self.alive()
        caught = re.search(r"SigCgt:\s*([0-9a-f]+)", Path(f"/proc/{self.process.pid}/status").read_text())
        return int(caught[1], 16) >> number - 1 & 1

    def _address(self):
        self.alive()
        told = re.search(r"listening address=\"?([0-9.:]+)", self.log.read_text())
        return told and told[1]

    def metrics(self):
        return dict(line.rsplit(" ", 1) for line in self.get("/metrics").splitlines() if line[0] != "#")

    def alive(self):
        assert self.process.poll() is None, self.log.read_text()


@contextlib.contextmanager
def full_disk(worker, limit=50_000):
    """No file of this worker's can become longer."""
    before = resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (limit, before[1]))
    yield
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, before)


def options(stream, lake, header, name, *more, failover=2):
    return [
        *("--stream", stream, "--out", lake, "--name", name, "--map", lakes.MAP, "--log-format", header),
        *("--commit-age", "0.5", "--close-every", "1", "--failover", failover, *more),
    ]


def logs(folder):
    """What every process said."""
    return "\n".join(f"{path.name}:\n{path.read_text()}" for path in sorted(folder.glob("*.log")))


def rows(lake):
    """What the lake holds, with its lineage."""
    if not list(Path(lake).glob("flows/*/*/*.parquet")):
        return []
    with duckdb.connect() as db:
        return db.execute(
            "SELECT source, line, interface_id, srcaddr, dstaddr, srcport, dstport, packets, bytes, action "
            f"FROM read_parquet('{lake}/flows/**/*.parquet', hive_partitioning = true) ORDER BY source, line"
        ).fetchall()


def expected(kinesis, stream, header):
    """The same, from the stream itself."""
    names = header.split()
    wanted = ["interface-id", "srcaddr", "dstaddr", "srcport", "dstport", "packets", "bytes", "action"]
    places = [names.index(name) for name in wanted]

    def value(name, text):
        if text == "-":
            return None
        return int(text) if name in ("srcport", "dstport", "packets", "bytes") else text

    found = []
    for source, line, text in kinesis.held(stream):
        parts = text.split()
        found.append((source, line, *(value(name, parts[place]) for name, place in zip(wanted, places))))
    return sorted(found, key=lambda row: row[:2])


def alerts(lake):
    """The last revision of every alert, but for what tells of revisions."""
    if not list(Path(lake).glob("alerts/*/*.parquet")):
        return []
    with duckdb.connect() as db:
        return db.execute(
            f"""SELECT * EXCLUDE (revision, status) FROM (
                SELECT * FROM read_parquet('{lake}/alerts/**/*.parquet', hive_partitioning = true)
                QUALIFY row_number() OVER (PARTITION BY alert_id ORDER BY revision DESC) = 1) ORDER BY alert_id"""
        ).fetchall()
