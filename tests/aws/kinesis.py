"""Kinesis of a stand-in: streams, what is put into them, and what they hold, read without the program."""

import gzip
import json
import random
import time

import boto3


class Kinesis:
    """A client of the stand-in, and the streams of one test."""

    def __init__(self, place):
        """At a port of this machine, or a URL."""
        self.url = place if isinstance(place, str) else f"http://127.0.0.1:{place}"
        self.client = boto3.client(
            "kinesis",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="standin",
            aws_secret_access_key="standin",
        )

    def create(self, stream, shards):
        self.client.create_stream(StreamName=stream, ShardCount=shards)
        self.wait(stream)
        return stream

    def delete(self, stream):
        """Until it is gone."""
        self.client.delete_stream(StreamName=stream)
        end = time.monotonic() + 30
        while stream in self.client.list_streams()["StreamNames"]:
            assert time.monotonic() < end, f"{stream} does not go"
            time.sleep(0.05)

    def wait(self, stream):
        """Until a split or merge is done."""
        end = time.monotonic() + 30
        while self._summary(stream)["StreamStatus"] != "ACTIVE":
            assert time.monotonic() < end, f"{stream} does not become active"
            time.sleep(0.05)

    def _summary(self, stream):
        return self.client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]

    def shards(self, stream):
        found, token = [], {}
        while True:
            answer = self.client.list_shards(**(token or {"StreamName": stream}))
            found += answer["Shards"]
            if "NextToken" not in answer:
                return found
            token = {"NextToken": answer["NextToken"]}

    def open_shards(self, stream):
        """Those that take records, in the order of their hash keys."""
        shards = [s for s in self.shards(stream) if "EndingSequenceNumber" not in s["SequenceNumberRange"]]
        return sorted(shards, key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))

    def put(self, stream, dice, payloads):
        """Puts records under random partition keys; those that are refused again, until all are in."""
        records = [{"Data": payload, "PartitionKey": f"{dice.random()}"} for payload in payloads]
        while records:
            answer = self.client.put_records(StreamName=stream, Records=records)["Records"]
            records = [record for record, told in zip(records, answer) if "ErrorCode" in told]

    def split(self, stream, dice, wanted=lambda shard: True):
        """Splits a shard into halves, of those that are wanted; its id."""
        shard = dice.choice([shard for shard in self.open_shards(stream) if wanted(shard["ShardId"])])
        start, end = (int(shard["HashKeyRange"][key]) for key in ("StartingHashKey", "EndingHashKey"))
        middle = str((start + end) // 2)
        self.client.split_shard(StreamName=stream, ShardToSplit=shard["ShardId"], NewStartingHashKey=middle)
        self.wait(stream)
        return shard["ShardId"]

    def merge(self, stream, dice, wanted=lambda one, other: True):
        """Merges two neighbours, of those that are wanted; their ids."""
        shards = [shard["ShardId"] for shard in self.open_shards(stream)]
        one, other = dice.choice([pair for pair in zip(shards, shards[1:]) if wanted(*pair)])
        self.client.merge_shards(StreamName=stream, ShardToMerge=one, AdjacentShardToMerge=other)
        self.wait(stream)
        return one, other

    def held(self, stream):
        """(source, line, text) of every flow record in the stream."""
        for shard in self.shards(stream):
            name = shard["ShardId"]
            iterator = self.client.get_shard_iterator(
                StreamName=stream, ShardId=name, ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            quiet = 0
            while iterator and quiet < 3:
                answer = self.client.get_records(ShardIterator=iterator)
                for record in answer["Records"]:
                    source = f"kinesis://{stream}/{name}/{record['SequenceNumber']}"
                    for line, text in enumerate(lines_of(record["Data"]), 1):
                        yield source, line, text
                quiet = 0 if answer["Records"] or answer.get("MillisBehindLatest") else quiet + 1
                iterator = answer.get("NextShardIterator")


def envelope(lines, group="flow-logs"):
    """A record as a subscription of CloudWatch Logs puts it."""
    events = [{"id": f"{number:056}", "timestamp": 0, "message": line} for number, line in enumerate(lines)]
    content = {
        "messageType": "DATA_MESSAGE",
        "owner": "123456789012",
        "logGroup": group,
        "logStream": "eni-0a-all",
        "subscriptionFilters": ["all"],
        "logEvents": events,
    }
    return gzip.compress(json.dumps(content).encode(), mtime=0)


def lines_of(payload):
    return [event["message"] for event in json.loads(gzip.decompress(payload))["logEvents"]]


class Feeder:
    """Puts the lines of a log, in envelopes of random size."""

    def __init__(self, kinesis, stream, lines, seed):
        self.kinesis, self.stream, self.lines, self.dice = kinesis, stream, lines, random.Random(seed)
        self.at = 0

    def feed(self, envelopes):
        payloads = []
        for _ in range(envelopes):
            many = self.dice.randrange(1, 40)
            lines = self.lines[self.at : self.at + many]
            self.at += len(lines)
            if lines:
                payloads.append(envelope(lines))
        if payloads:
            self.kinesis.put(self.stream, self.dice, payloads)
