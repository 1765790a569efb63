"""The oracle itself: it must give the answers of the evaluator's own vectors before it may judge the program."""

import json
from pathlib import Path

import flowlogs
import oracle
import pytest

VECTORS = Path(__file__).parents[2] / "testdata" / "vectors"
CASES = [json.loads(line) for line in (VECTORS / "vectors.jsonl").read_text().splitlines()]

#: The format of the vectors with 20 fields.
EXTENDED = (
    "version account_id vpc_id interface_id srcaddr dstaddr srcport dstport protocol packets bytes start end action "
    "log_status tcp_flags flow_direction pkt_srcaddr pkt_dstaddr traffic_path"
).split()


def test_every_vector_is_here():
    assert len(CASES) == 76


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_vector(case):
    boundary = oracle.load_map(VECTORS / "maps" / case["map"], **case["options"])
    tokens = case["line"].split()
    record = flowlogs.record_of(case["line"], {14: flowlogs.DEFAULT_FORMAT, 20: EXTENDED}[len(tokens)])
    judged = oracle.judge(boundary, record)
    assert {key: judged[key] for key in case["expect"]} == case["expect"]
