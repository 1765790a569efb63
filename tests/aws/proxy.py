"""A proxy between a program and a stand-in of AWS that loses, delays, breaks and refuses, by a seed.

Every request is kept in `requests`, so that tests can count and look at what was asked. Faults are chosen by dice, each
with its own probability:

    lost      the request has its effect, and the connection ends without an answer
    unsent    the connection ends, and the request has no effect
    error     500, without effect
    slow      503 SlowDown (S3) or a throttle of the service, without effect
    conflict  409, without effect; only for writes on a condition
    expired   the iterator is too old, without effect; only for GetRecords of Kinesis
    truncate  the answer breaks off in the middle of its body, headers whole
    stall     the answer comes late

By hand: `python proxy.py PORT_OF_STANDIN --faults lost=0.1,stall=0.01 --seed 7` prints the proxy's port.
"""

import argparse
import asyncio
import random
import threading
from dataclasses import dataclass, field

#: Bytes of a request's or an answer's head at most.
HEAD = 1 << 18

#: Faults that are an answer: S3's status and code, and the code of services that speak JSON.
REFUSALS = {
    "error": (500, "InternalError", "InternalFailure"),
    "slow": (503, "SlowDown", "ProvisionedThroughputExceededException"),
    "conflict": (409, "ConditionalRequestConflict", "TransactionConflictException"),
    "expired": (400, "InvalidRequest", "ExpiredIteratorException"),
}


@dataclass
class Request:
    """What was asked, what was done to it, and what the answer was (None: there was none)."""

    method: str
    target: str
    headers: dict
    fault: str | None = None
    status: int | None = None


@dataclass
class FaultProxy:
    """Listens on a free port of 127.0.0.1 while it is entered (`with FaultProxy(...) as proxy`)."""

    upstream: int
    faults: dict = field(default_factory=dict)
    seed: int = 0
    stall_seconds: float = 1.0
    requests: list = field(default_factory=list)
    port: int = 0

    def __enter__(self):
        self._dice = random.Random(self.seed)
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()

        async def serve():
            server = await asyncio.start_server(self._connection, "127.0.0.1", 0, limit=HEAD)
            self.port = server.sockets[0].getsockname()[1]
            self._server = server
            ready.set()

        def run():
            asyncio.set_event_loop(self._loop)
            self._loop.create_task(serve())
            self._loop.run_forever()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        if not ready.wait(10):
            raise RuntimeError("the proxy did not start")
        return self

    def __exit__(self, *_):
        async def end():
            self._server.close()
            for task in asyncio.all_tasks():
                if task is not asyncio.current_task():
                    task.cancel()
            self._loop.call_soon(self._loop.stop)

        asyncio.run_coroutine_threadsafe(end(), self._loop)
        self._thread.join(10)

    @property
    def url(self):
        """The endpoint to give the program."""
        return f"http://127.0.0.1:{self.port}"

    def _fault(self, request):
        for fault, probability in self.faults.items():
            if self._dice.random() < probability:
                if fault == "conflict" and "if-none-match" not in request.headers:
                    continue
                if fault == "expired" and not request.headers.get("x-amz-target", "").endswith(".GetRecords"):
                    continue
                return fault
        return None

    async def _connection(self, reader, writer):
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader, writer):
        """One request and its answer; whether the connection goes on."""
        head = await reader.readuntil(b"\r\n\r\n")
        (method, target), headers = parse_head(head)
        request = Request(method, target, headers)
        request.fault = self._fault(request)
        self.requests.append(request)
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await read_body(reader, headers)
        if request.fault == "unsent":
            return False
        if request.fault in REFUSALS:
            request.status, answer = refusal(request)
            writer.write(answer)
            await writer.drain()
            return True
        status, answer_head, answer_body = await self._forward(method, head, body)
        if request.fault == "lost":
            return False
        if request.fault == "stall":
            await asyncio.sleep(self.stall_seconds)
        request.status = status
        writer.write(answer_head)
        if request.fault == "truncate" and len(answer_body) > 1:
            writer.write(answer_body[: self._dice.randrange(len(answer_body))])
            await writer.drain()
            return False
        writer.write(answer_body)
        await writer.drain()
        return True

    async def _forward(self, method, head, body):
        """Sends the request on a connection of its own; the answer, with its length said in its head."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream, limit=HEAD)
        try:
            first, rest = head.split(b"\r\n", 1)
            kept = [
                line
                for line in rest.rstrip(b"\r\n").split(b"\r\n")
                if line.split(b":")[0].lower() not in (b"connection", b"expect", b"transfer-encoding", b"content-length")
            ]
            kept += [b"content-length: %d" % len(body), b"connection: close"]
            writer.write(b"\r\n".join([first, *kept]) + b"\r\n\r\n" + body)
            await writer.drain()
            answer = await reader.readuntil(b"\r\n\r\n")
            status = int(answer.split(b" ", 2)[1])
            lines = answer.rstrip(b"\r\n").split(b"\r\n")
            _, headers = parse_head(answer)
            bodiless = method == "HEAD" or status in (204, 304)
            content = b"" if bodiless else await read_body(reader, headers, until_end=True)
            kept = [
                line
                for line in lines[1:]
                if line.split(b":")[0].lower() not in (b"connection", b"transfer-encoding")
                and (bodiless or line.split(b":")[0].lower() != b"content-length")
            ]
            if not bodiless:
                kept.append(b"content-length: %d" % len(content))
            return status, b"\r\n".join([lines[0], *kept]) + b"\r\n\r\n", content
        finally:
            writer.close()


def parse_head(head):
    """(The first two words, headers with lower-case names) of a request or an answer."""
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return first.split(" ")[:2], headers


async def read_body(reader, headers, until_end=False):
    """The body that follows a head, without its chunks' framing."""
    if "chunked" in headers.get("transfer-encoding", ""):
        body = b""
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        while (await reader.readline()).strip():
            pass
        return body
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    return await reader.read() if until_end else b""


def refusal(request):
    """(Status, whole answer) of a request that is refused without effect, in the service's own form."""
    status, s3_code, json_code = REFUSALS[request.fault]
    if "x-amz-target" in request.headers:
        status = 500 if request.fault == "error" else 400
        kind, body = "application/x-amz-json-1.1", f'{{"__type": "{json_code}", "message": "by the proxy"}}'
    else:
        kind, body = "application/xml", f"<Error><Code>{s3_code}</Code><Message>by the proxy</Message></Error>"
    if request.method == "HEAD":
        body = ""
    head = f"HTTP/1.1 {status} Refused\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return status, (head + body).encode()


def main():
    """Runs until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("upstream", type=int)
    parser.add_argument("--faults", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stall-seconds", type=float, default=1.0)
    args = parser.parse_args()
    pairs = (pair.split("=") for pair in args.faults.split(",") if pair)
    faults = {name: float(probability) for name, probability in pairs}
    with FaultProxy(args.upstream, faults, args.seed, args.stall_seconds) as proxy:
        print(proxy.port, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
