"""Alerts to SNS, SQS and EventBridge, by a replay and by a stream."""

import json

import boto3
import pytest

import lakes
from kinesis import Feeder
from processes import IDENTITY, free_port, until
from workers import options, rows

SEVERE = ("high", "critical")


class Receivers:
    """A topic, queues and a bus of the stand-in, each with a queue in which what came can be read."""

    def __init__(self, url):
        session = boto3.Session(
            aws_access_key_id=IDENTITY["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=IDENTITY["AWS_SECRET_ACCESS_KEY"],
            region_name=IDENTITY["AWS_REGION"],
        )
        client = lambda service: session.client(service, endpoint_url=url)
        self.sqs, sns, events = client("sqs"), client("sns"), client("events")
        self.queues = {}
        for name in ("plain", "of-topic", "of-bus", "fifo.fifo"):
            attributes = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
            self.queues[name] = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self.topic = sns.create_topic(Name="alerts")["TopicArn"]
        sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=self._arn("of-topic"))
        events.create_event_bus(Name="security")
        pattern = json.dumps({"source": ["flowbound"], "detail-type": ["Alert"]})
        events.put_rule(Name="alerts", EventBusName="security", EventPattern=pattern)
        target = {"Id": "1", "Arn": self._arn("of-bus")}
        events.put_targets(Rule="alerts", EventBusName="security", Targets=[target])

    def _arn(self, name):
        told = self.sqs.get_queue_attributes(QueueUrl=self.queues[name], AttributeNames=["QueueArn"])
        return told["Attributes"]["QueueArn"]

    def sinks(self):
        """Tables of a config file."""
        return f"""
[[deliver]]
name = "topic"
to = "sns"
topic = "{self.topic}"
severity = "high"
[[deliver]]
name = "queue"
to = "sqs"
queue = "{self.queues["plain"]}"
severity = "high"
[[deliver]]
name = "fifo"
to = "sqs"
queue = "{self.queues["fifo.fifo"]}"
severity = "high"
format = "ocsf"
[[deliver]]
name = "bus"
to = "eventbridge"
bus = "security"
severity = "high"
"""

    def came(self, name):
        """Every message of a queue, which is empty then."""
        messages = []
        while True:
            told = self.sqs.receive_message(
                QueueUrl=self.queues[name],
                MaxNumberOfMessages=10,
                WaitTimeSeconds=1,
                MessageAttributeNames=["All"],
                AttributeNames=["All"],
            )
            if not told.get("Messages"):
                return messages
            for message in told["Messages"]:
                messages.append(message)
                self.sqs.delete_message(QueueUrl=self.queues[name], ReceiptHandle=message["ReceiptHandle"])


@pytest.fixture
def receivers(s3):
    return Receivers(s3.url)


def keys(alerts):
    return sorted((alert["alert_id"], alert["revision"]) for alert in alerts)


def known(program, lake):
    """Key of every severe alert of a lake."""
    out, _ = program.run("alerts", "--lake", lake, "--format", "json", "--severity", "high", "--all")
    return keys(map(json.loads, out.splitlines()))


def test_every_service_gets_every_alert_once(s3, receivers, program, tmp_path):
    config, lake = tmp_path / "flowbound.toml", tmp_path / "lake"
    config.write_text(receivers.sinks())
    replay = ("replay", lakes.LOGS, "--map", lakes.MAP, "--out", lake, "--config", config, "--json")
    out, _ = program.run(*replay, url=s3.url)
    expected = known(program, lake)
    assert len(expected) > 50
    assert json.loads(out)["deliveries"] == [
        {"sink": name, "delivered": len(expected), "failure": None, "behind": 0}
        for name in ("topic", "queue", "fifo", "bus")
    ]
    plain = receivers.came("plain")
    assert keys(json.loads(message["Body"]) for message in plain) == expected
    for message in plain:
        alert, attributes = json.loads(message["Body"]), message["MessageAttributes"]
        for name in ("severity", "detector", "alert_id"):
            assert attributes[name] == {"StringValue": alert[name], "DataType": "String"}
    notifications = [json.loads(message["Body"]) for message in receivers.came("of-topic")]
    assert keys(json.loads(told["Message"]) for told in notifications) == expected
    for told in notifications:
        alert = json.loads(told["Message"])
        assert told["Subject"] == alert["title"][:100]
        assert told["MessageAttributes"]["severity"]["Value"] == alert["severity"]
    events = [json.loads(message["Body"]) for message in receivers.came("of-bus")]
    assert keys(event["detail"] for event in events) == expected
    findings = []
    for message in receivers.came("fifo.fifo"):
        finding, attributes = json.loads(message["Body"]), message["Attributes"]
        alert_id, revision = finding["metadata"]["uid"].split(":")
        assert attributes["MessageDeduplicationId"] == f"{alert_id}-{revision}"
        assert attributes["MessageGroupId"] == alert_id
        findings.append((alert_id, int(revision)))
    assert sorted(findings) == expected
    # nothing new, nothing twice
    program.run(*replay, url=s3.url)
    assert [receivers.came(name) for name in receivers.queues] == [[]] * 4


def test_a_topic_that_is_not_there_is_told(s3, receivers, program, tmp_path):
    config, lake = tmp_path / "flowbound.toml", tmp_path / "lake"
    config.write_text(receivers.sinks().replace(":alerts", ":nowhere"))
    replay = ("replay", lakes.LOGS, "--map", lakes.MAP, "--out", lake, "--config", config)
    out, err = program.run(*replay, url=s3.url, exit_code=1)
    assert "Not delivered topic: 1 commit" in out and "SNS does not know the topic" in out, out
    assert "the sink topic did not get every alert" in err
    expected = known(program, lake)
    assert keys(json.loads(message["Body"]) for message in receivers.came("plain")) == expected
    config.write_text(receivers.sinks())
    program.run(*replay, url=s3.url)
    told = [json.loads(json.loads(message["Body"])["Message"]) for message in receivers.came("of-topic")]
    assert keys(told) == expected
    assert receivers.came("plain") == []


def test_a_stream_delivers_and_is_killed(s3, receivers, new_worker, program, kinesis, log, tmp_path):
    """At least once, through a kill; the receiver of the first worker is down, and the metrics say so."""
    header, lines = log
    stream, lake, config = kinesis.create("deliver", 2), tmp_path / "lake", tmp_path / "flowbound.toml"
    dead = f'[[deliver]]\nname = "hook"\nto = "webhook"\nurl = "http://127.0.0.1:{free_port()}/x"\n'
    config.write_text(receivers.sinks() + dead)
    settings = (*options(stream, lake, header, stream), "--config", config)
    first = new_worker("first", *settings, "--listen", "127.0.0.1:0")
    first.start()
    # the sinks are known before the first closing; so what is put now is theirs
    feed(kinesis, stream, lines[:2000])
    failed = 'flowbound_delivery_failures_total{sink="hook"}'
    until(lambda: float(first.metrics().get(failed, 0)) > 0, 60, first.log.read_text)
    assert float(first.metrics()['flowbound_undelivered_commits{sink="hook"}']) > 0
    first.kill()
    second = new_worker("second", *settings)
    second.start()
    feed(kinesis, stream, lines[2000:4000])
    until(lambda: len(rows(lake)) >= 4000, 90, lambda: second.log.read_text())
    second.end()
    out, _ = program.run("alerts", "--lake", lake, "--format", "json", "--severity", "high", "--all")
    last = {alert["alert_id"]: alert["revision"] for alert in map(json.loads, out.splitlines())}
    came = {}
    for message in receivers.came("plain"):
        alert = json.loads(message["Body"])
        came.setdefault(alert["alert_id"], set()).add(alert["revision"])
    assert last and {name: max(came.get(name, [-1])) for name in last} == last


def feed(kinesis, stream, lines):
    feeder = Feeder(kinesis, stream, lines, 1)
    while feeder.at < len(lines):
        feeder.feed(20)
