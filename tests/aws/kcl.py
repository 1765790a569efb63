"""A worker of the Kinesis Client Library 3 in Java, and the lease table that it shares with the program."""

import json
import sys
from pathlib import Path

import boto3

from processes import environment, kill

PROCESSOR = Path(__file__).with_name("kcl_processor.py")

#: The failover time, and with it what the library derives from it, is shorter than its own, and so is what it has
#: for the load of workers: otherwise a lease takes minutes to move. A worker looks for leases that it was given once in
#: the failover time, as ever.
PROPERTIES = """
executableName = {python} {processor}
processingLanguage = python/3
streamName = {stream}
applicationName = {application}
workerId = {worker}
AwsCredentialsProvider = DefaultCredentialsProvider
regionName = us-east-1
kinesisEndpoint = {kinesis}
dynamoDBEndpoint = {dynamodb}
initialPositionInStream = TRIM_HORIZON
retrievalMode = POLLING
metricsLevel = NONE
maxRecords = 20
idleTimeBetweenReadsInMillis = 500
failoverTimeMillis = {failover}000
varianceBalancingFrequency = 1
disableWorkerMetrics = true
workerMetricsReporterFreqInMillis = 3000
shardSyncIntervalMillis = 2000
parentShardPollIntervalMillis = 1000
"""

LOGGING = """
<configuration>
  <appender name="ERR" class="ch.qos.logback.core.ConsoleAppender">
    <target>System.err</target>
    <encoder><pattern>%d{HH:mm:ss.SSS} %-5level %logger{0} %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="ERR"/></root>
</configuration>
"""


class Java:
    """A process of the library's MultiLangDaemon, with processors of ours."""

    def __init__(self, processes, jars, java, folder, **properties):
        self.processes, self.folder, self.properties = processes, folder, properties
        self.command = [java, "-Xmx256m", "-XX:+UseSerialGC", "-Daws.cborEnabled=false", "-cp", f"{jars}/*"]
        self.command += ["software.amazon.kinesis.multilang.MultiLangDaemon", "--properties-file"]
        self.logging = folder / "logback.xml"
        self.logging.write_text(LOGGING)
        self.process, self.starts = None, 0

    @property
    def name(self):
        """Its name in the fleet: another one with every start."""
        return f"java-{self.starts}"

    def start(self):
        self.starts += 1
        settings = self.folder / f"{self.name}.properties"
        names = {"python": sys.executable, "processor": PROCESSOR, "worker": self.name}
        settings.write_text(PROPERTIES.format(**names, **self.properties))
        command = [*self.command, settings, "--log-configuration", self.logging]
        told = environment(EVENTS=str(self.folder / f"{self.name}.events"))
        with (self.folder / f"{self.name}.log").open("wb") as log:
            self.process = self.processes.start(command, env=told, stdout=log, stderr=log)
        return self

    def kill(self):
        """With its processors."""
        kill(self.process)

    def events(self, start=None):
        """What its processors did, in order; by default, since the last start."""
        path = self.folder / f"java-{start or self.starts}.events"
        if not path.exists():
            return []
        lines = path.read_text().splitlines(keepends=True)
        # the last line may be half written
        return [json.loads(line) for line in lines if line.endswith("\n")]


def by_shard(events):
    shards = {}
    for event in events:
        shards.setdefault(event["shard"], []).append(event)
    return shards


class Leases:
    """The lease table, read without the program or the library."""

    def __init__(self, port, application):
        self.table = application
        self.client = boto3.client(
            "dynamodb",
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="us-east-1",
            aws_access_key_id="standin",
            aws_secret_access_key="standin",
        )

    def all(self):
        """Every lease by its shard: attributes, with their values alone."""
        try:
            items = self.client.scan(TableName=self.table, ConsistentRead=True)["Items"]
        except self.client.exceptions.ResourceNotFoundException:
            return {}
        leases = [{name: next(iter(value.values())) for name, value in item.items()} for item in items]
        return {lease["leaseKey"]: lease for lease in leases}

    def open(self):
        """Those of shards that are not read to their end."""
        return {shard: lease for shard, lease in self.all().items() if lease["checkpoint"] != "SHARD_END"}

    def of(self, worker):
        """The shards that a worker has, but for those that it still waits for."""
        mine = {shard for shard, lease in self.open().items() if lease.get("leaseOwner") == worker}
        return {shard for shard in mine if "checkpointOwner" not in self.all()[shard]}

    def expire_leader(self, milliseconds):
        """Shortens the lock of a dead leader, which is 120 s; from release 3.2 on that is an option of the library."""
        self.client.update_item(
            TableName=f"{self.table}-CoordinatorState",
            Key={"key": {"S": "Leader"}},
            UpdateExpression="SET leaseDuration = :duration",
            ConditionExpression="attribute_exists(ownerName)",
            ExpressionAttributeValues={":duration": {"S": str(milliseconds)}},
        )
