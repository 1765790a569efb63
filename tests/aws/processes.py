"""What the tests start, and how it ends: every process of a test is gone when the test is, however that went."""

import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

#: What programs are told instead of this machine's own configuration.
IDENTITY = {
    "AWS_ACCESS_KEY_ID": "standin",
    "AWS_SECRET_ACCESS_KEY": "standin",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


def environment(**more):
    """This process's environment without what concerns the program and AWS, and with the stand-ins' identity."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "FLOWBOUND"))}
    return {**kept, **IDENTITY, **more}


def path_of(variable, what, is_there=Path.is_file):
    """The path that an environment variable names."""
    value = os.environ.get(variable)
    if not value:
        pytest.exit(f"set {variable} to {what}, as `make aws` does", returncode=2)
    path = Path(value).resolve()
    if not is_there(path):
        pytest.exit(f"{variable} names {path}, which is not {what}", returncode=2)
    return str(path)


#: A thousand for each of twelve processes in which tests run, below those that connections of this machine take for their
#: own ends (Linux begins at 32768): what was free is still free when a server comes to bind it.
_FIRST = 20000 + 1000 * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 12)
#: In no order: another run of the tests may be under way.
_PORTS = iter(random.sample(range(_FIRST, _FIRST + 1000), 1000))


def free_port():
    """A port for a server that cannot choose one itself."""
    for port in _PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no port is free")


def until(what, seconds, say):
    """Waits for something; a test that waits longer has failed."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, say()
        time.sleep(0.2)


class Processes:
    """Processes, each with a session of its own, so that it is ended with all that it started."""

    def __init__(self):
        self._started = []

    def start(self, command, **options):
        process = subprocess.Popen(list(map(str, command)), start_new_session=True, **options)
        self._started.append(process)
        return process

    def serve(self, command, folder, answers, seconds=60, **options):
        """Starts a server, and waits until `answers` raises nothing any more."""
        log = Path(folder) / "log"
        with log.open("wb") as out:
            server = self.start(command, cwd=folder, stdout=out, stderr=out, **options)
        end = time.monotonic() + seconds
        while True:
            try:
                answers()
                return server
            except Exception:
                if server.poll() is not None or time.monotonic() > end:
                    pytest.exit(f"{command[0]} does not start: {log.read_text()}", returncode=2)
                time.sleep(0.1)

    def running(self):
        return [process for process in self._started if process.poll() is None]

    def end(self, but=()):
        """Kills all that runs, but for some."""
        for process in self.running():
            if process not in but:
                kill(process)
        self._started = self.running()


def kill(process):
    """Kills a process of this module, and what it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
