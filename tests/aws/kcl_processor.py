"""A record processor of the Kinesis Client Library, as its MultiLangDaemon starts one for each shard.

It speaks the daemon's protocol: a JSON object a line on standard input, each of which is answered with its status;
meanwhile it may ask for a checkpoint, which is answered on standard input. What happens is appended to the file that
the environment variable EVENTS names, a JSON object a line, before it is answered: what the daemon knows to be
processed stands there. It needs nothing but Python.
"""

import json
import os
import sys


class Processor:
    def __init__(self, events):
        self.events = os.open(events, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self.shard = None

    def note(self, action, **more):
        """One write, so that lines of the processes of one daemon do not mix."""
        os.write(self.events, (json.dumps({"shard": self.shard, "action": action, **more}) + "\n").encode())

    def checkpoint(self, sequence=None):
        """All up to a record is processed; without one, all that was given, or the whole shard at its end."""
        say({"action": "checkpoint", "sequenceNumber": sequence, "subSequenceNumber": None})
        answer = json.loads(sys.stdin.readline())
        assert answer["action"] == "checkpoint", answer
        self.note("checkpoint", sequence=sequence, error=answer.get("error"))

    def on(self, message):
        action = message["action"]
        if action == "initialize":
            self.shard = message["shardId"]
            self.note(action, sequence=message["sequenceNumber"])
        elif action == "processRecords":
            sequences = [record["sequenceNumber"] for record in message["records"]]
            self.note(action, sequences=sequences)
            if sequences:
                self.checkpoint(sequences[-1])
        else:
            self.note(action)
            if action in ("shardEnded", "shutdownRequested"):
                self.checkpoint()
        say({"action": "status", "responseFor": action})


def say(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main():
    processor = Processor(os.environ["EVENTS"])
    while line := sys.stdin.readline():
        processor.on(json.loads(line))


if __name__ == "__main__":
    main()
