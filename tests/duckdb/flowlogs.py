"""Flow log files, read in plain Python: gzip or text, a header line or the default format.

The table of columns is checked against the program's own (`schemas/flows.sql`) by a test; it is written a second
time here so that the two can disagree.
"""

import gzip
import ipaddress
from datetime import datetime, timedelta
from pathlib import Path

#: Every column of a log, in the order of the AWS documentation, by the version that brought it.
FIELDS = """
version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status
vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr
region az-id sublocation-type sublocation-id
pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path
ecs-cluster-arn ecs-cluster-name ecs-container-instance-arn ecs-container-instance-id ecs-container-id
ecs-second-container-id ecs-service-name ecs-task-definition-arn ecs-task-arn ecs-task-id
reject-reason resource-id encryption-status
instance-tag instance-tag-2 interface-tag interface-tag-2 asg-tag asg-tag-2 interface-type
next-hop-interface-id next-hop-subnet-id next-hop-az-id next-hop-vpc-id next-hop-interface-type
""".split()
LOG_COLUMNS = [field.replace("-", "_") for field in FIELDS]
DEFAULT_FORMAT = LOG_COLUMNS[:14]

NUMBERS = {
    "version": 65535,
    "srcport": 65535,
    "dstport": 65535,
    "protocol": 255,
    "packets": 2**63 - 1,
    "bytes": 2**63 - 1,
    "tcp_flags": 255,
    "traffic_path": 255,
    "encryption_status": 255,
}
TIMES = ("start", "end")
ADDRESSES = ("srcaddr", "dstaddr", "pkt_srcaddr", "pkt_dstaddr")
WORDS = {"action": ("ACCEPT", "REJECT"), "log_status": ("OK", "NODATA", "SKIPDATA")}
EPOCH = datetime(1970, 1, 1)


class BadLine(ValueError):
    """A line that belongs in the quarantine."""


def header_of(line):
    """The names of a header line, or None for a line of data."""
    names = [token.removeprefix("${").removesuffix("}") for token in line.split()]
    known = sum(name.replace("-", "_") in LOG_COLUMNS for name in names)
    return names if names and names[0][:1].isalpha() and 2 * known > len(names) else None


def number(text, largest):
    if not text.isascii() or not text.isdigit() or int(text) > largest:
        raise BadLine(f"no number up to {largest}: {text}")
    return int(text)


def record_of(line, names=None):
    """One line as a dict of lake columns; what the log lacks is None. Values of names unknown to AWS go to `extra`."""
    names = names or DEFAULT_FORMAT
    tokens = line.split()
    if len(tokens) != len(names):
        raise BadLine(f"{len(tokens)} tokens in a format of {len(names)}")
    record = dict.fromkeys(LOG_COLUMNS)
    seen, extra = set(), {}
    for name, token in zip(names, tokens, strict=True):
        column = name.replace("-", "_")
        if column in seen:
            continue
        seen.add(column)
        if token == "-":
            continue
        if column in NUMBERS:
            record[column] = number(token, NUMBERS[column])
        elif column in TIMES:
            value = number(token, 253_402_300_799_999)
            record[column] = EPOCH + timedelta(milliseconds=value if value > 2147483647 else value * 1000)
        elif column in ADDRESSES:
            try:
                ipaddress.ip_address(token)
            except ValueError as error:
                raise BadLine(str(error)) from None
            record[column] = token
        elif column in WORDS:
            if token not in WORDS[column]:
                raise BadLine(f"{column}: {token}")
            record[column] = token
        elif column in record:
            record[column] = token
        else:
            extra[name] = token
    record["extra"] = extra or None
    return record


def lines_of(path):
    raw = Path(path).read_bytes()
    if raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)
    return raw.decode("utf-8").split("\n")


def read_file(path):
    """Yields (line number from 1, record or None for a bad line, the raw line); headers and blank lines are neither."""
    names = DEFAULT_FORMAT
    for line_number, line in enumerate(lines_of(path), start=1):
        if not line.strip():
            continue
        header = header_of(line)
        if header:
            names = header
            continue
        try:
            yield line_number, record_of(line, names), line
        except BadLine:
            yield line_number, None, line


def log_files(folder):
    return sorted(path for path in Path(folder).rglob("*") if path.suffix in (".gz", ".log", ".txt"))
