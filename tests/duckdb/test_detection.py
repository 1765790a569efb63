"""Whoever looks for what was planted finds it, and says nothing of days on which nothing happens.

The table of docs/detection.md has every scenario; here are those that the detectors promise to find.
"""

from concurrent.futures import ThreadPoolExecutor

import detection
import lakes
import pytest

#: The detectors of which one at least must find a scenario, wherever it fits.
PROMISED = {
    "port-scan": {"scan.vertical"},
    "sweep-external": {"scan.horizontal"},
    "sweep-internal": {"scan.horizontal"},
    "slow-scan": {"scan.slow"},
    "outage-source": {"outage"},
    "outage-destination": {"one-sided", "outage"},
    "outage-return-path": {"return-path"},
    "attempt": {"attempt"},
    **dict.fromkeys(["unmapped-vpc", "spoofed-source"], {"unmapped"}),
    "ipv6-from-nowhere": {"unmapped", "blocked"},
    "low-port-probe": {"blocked"},
    "skipped-records": {"log-gap"},
    **dict.fromkeys(["budget-exceeded", "bulk-on-http"], {"budget"}),
    "exfiltration": {"exfiltration"},
    "blocked-spike": {"blocked-spike"},
    "brute-force": {"brute-force"},
    "unusual-source": {"new-source"},
    "wrong-port": {"new-service"},
    "silent-interface": {"silent"},
    "one-sided": {"unanswered"},
    **dict.fromkeys(["no-egress", "no-ingress", "other-source", "no-inbound", "only-from", "forbid"], {"breach"}),
    **dict.fromkeys(["isolated-in", "isolated-out", "confined-exfiltration"], {"breach"}),
}


@pytest.fixture(scope="module")
def past(flowbound, tmp_path_factory):
    """By system: the quiet days before a scenario's."""
    folder = tmp_path_factory.mktemp("past")
    return on_each(lambda system: detection.past(flowbound, system, folder / system))


def on_each(work):
    """{system: what comes of the work on it}, of all at the same time."""
    with ThreadPoolExecutor() as threads:
        return dict(zip(detection.SYSTEMS, threads.map(work, detection.SYSTEMS), strict=True))


@pytest.mark.parametrize("scenario", PROMISED)
def test_what_is_promised_is_found_wherever_it_fits(flowbound, past, scenario, tmp_path):
    def detectors_of(system):
        return detection.found(flowbound, system, scenario, past[system], tmp_path / system)

    found = {system: detectors for system, detectors in on_each(detectors_of).items() if detectors is not None}
    assert found, "it fits nowhere"
    for system, detectors in found.items():
        assert detectors & PROMISED[scenario], (system, detectors)


@pytest.mark.parametrize("system", detection.SYSTEMS)
def test_ten_quiet_days(flowbound, system, tmp_path):
    """No alert above low, and none but of silence (idle interfaces of a made log have no record for an hour, AWS writes
    one every interval) and of what a map expects that it does not permit."""
    found = detection.false_alerts(flowbound, system, tmp_path)
    assert {severity for _, severity, _ in found} <= {"low"}
    unmet = {rule for detector, _, rule in found if detector == "expectation"}
    assert unmet == lakes.CONTRADICTED.get(system, set())
    assert {detector for detector, *_ in found} <= {"silent", "expectation"}
