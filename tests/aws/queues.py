"""A queue that S3 tells what it has got, in each of its ways, and a program that follows it."""

import json
import signal

import boto3

from processes import IDENTITY, until

ACCOUNT = "000000000000"

#: What a message becomes after so many receivings in vain.
RECEIVINGS = 50


class Queue:
    """A queue of the stand-in, and one for what nobody can read."""

    def __init__(self, url):
        session = boto3.Session(
            aws_access_key_id=IDENTITY["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=IDENTITY["AWS_SECRET_ACCESS_KEY"],
            region_name=IDENTITY["AWS_REGION"],
        )
        self._client = lambda service: session.client(service, endpoint_url=url)
        self.sqs = self._client("sqs")
        self.dead, dead_arn = self._make("dead")
        self.redrive(RECEIVINGS, dead_arn)

    def _make(self, name, **attributes):
        url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        told = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return url, told["Attributes"]["QueueArn"]

    def redrive(self, receivings, dead_arn=None):
        """Makes the queue, or changes after how many receivings a message is dead."""
        if dead_arn:
            self._dead_arn = dead_arn
        policy = json.dumps({"deadLetterTargetArn": self._dead_arn, "maxReceiveCount": receivings})
        if dead_arn:
            self.url, self.arn = self._make("logs", RedrivePolicy=policy)
        else:
            self.sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"RedrivePolicy": policy})

    def notify(self, way, bucket="logs"):
        """From now on S3 tells of this bucket in this way."""
        s3, events = self._client("s3"), ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
        if way == "direct":
            told = {"QueueConfigurations": [{"QueueArn": self.arn, "Events": events}]}
        elif way in ("sns", "raw sns"):
            told = {"TopicConfigurations": [{"TopicArn": self._topic(raw=way == "raw sns"), "Events": events}]}
        else:
            bus = self._client("events")
            bus.put_rule(Name="logs", EventPattern=json.dumps({"source": ["aws.s3"]}))
            target = self.arn if way == "eventbridge" else self._topic(raw=False)
            bus.put_targets(Rule="logs", Targets=[{"Id": "1", "Arn": target}])
            told = {"EventBridgeConfiguration": {}}
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=told)

    def _topic(self, raw):
        sns = self._client("sns")
        topic = sns.create_topic(Name="logs")["TopicArn"]
        delivery = {"RawMessageDelivery": "true"} if raw else {}
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=self.arn, Attributes=delivery)
        return topic

    def send(self, body):
        """Puts a message into the queue by hand; its id."""
        body = body if isinstance(body, str) else json.dumps(body)
        return self.sqs.send_message(QueueUrl=self.url, MessageBody=body)["MessageId"]

    def count(self, url=None):
        """(Messages that wait, messages that somebody holds)."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        told = self.sqs.get_queue_attributes(QueueUrl=url or self.url, AttributeNames=names)["Attributes"]
        return tuple(int(told[name]) for name in names)

    def filled(self, messages, seconds=30):
        """Waits until so many messages have come: S3 sends them a little later."""
        until(lambda: sum(self.count()) >= messages, seconds, lambda: f"{self.count()} of {messages} messages came")


def record(key, event="ObjectCreated:Put", bucket="logs"):
    """One record of a notification of S3; the key as it is to be written there."""
    return {
        "eventSource": "aws:s3",
        "eventName": event,
        "s3": {"bucket": {"name": bucket}, "object": {"key": key}},
    }


class Follower:
    """A process of `flowbound replay --sqs`."""

    def __init__(self, program, folder, queue, url, lake, name, *options, **more):
        self.queue, self.log = queue, folder / f"{name}.log"
        arguments = ["replay", "--sqs", queue.url, "--out", lake, "--json", *options]
        if "--commit-age" not in options:
            arguments += ["--commit-age", "1"]
        if "--sqs-visibility" not in options:
            # who ends while it waits may still be given the next message: a queue does not know that nobody listens
            arguments += ["--sqs-visibility", "5"]
        self.run = program.start(*arguments, url=url, FLOWBOUND_LOG="info", stderr=self.log.open("w"), **more)

    def said(self):
        return self.log.read_text()

    def says(self, what, seconds=60):
        """Waits until the program has said something."""

        def has():
            assert self.run.poll() is None or what in self.said(), self.said()
            return what in self.said()

        until(has, seconds, lambda: f"never said: {what}\n{self.said()}")

    def until_done(self, seconds=120, left=0):
        """Waits until no more messages are there than shall be left."""

        def done():
            assert self.run.poll() is None, self.said()
            return sum(self.queue.count()) <= left

        until(done, seconds, lambda: f"{self.queue.count()}\n{self.said()}")

    def end(self, exit_code=0, timeout=60):
        """SIGTERM, and all that belongs to it; the summary."""
        self.says("following")
        self.run.send_signal(signal.SIGTERM)
        out, _ = self.run.communicate(timeout=timeout)
        assert self.run.returncode == exit_code, self.said()
        return json.loads(out) if out else None
