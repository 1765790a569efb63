"""Whoever looks for what was planted finds it, and says nothing of days on which nothing happens.

The table of docs/detection.md has every scenario; here are those that the detectors promise to find.
"""

import detection
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
    "unmapped-vpc": {"unmapped"},
    "skipped-records": {"log-gap"},
    **dict.fromkeys(["no-egress", "no-ingress", "other-source", "no-inbound", "only-from", "forbid"], {"breach"}),
    **dict.fromkeys(["isolated-in", "isolated-out", "confined-exfiltration"], {"breach"}),
}


@pytest.mark.parametrize("scenario", PROMISED)
def test_what_is_promised_is_found_wherever_it_fits(flowbound, scenario, tmp_path):
    found = {system: detection.found(flowbound, system, scenario, tmp_path / system) for system in detection.SYSTEMS}
    found = {system: detectors for system, detectors in found.items() if detectors is not None}
    assert found, "it fits nowhere"
    for system, detectors in found.items():
        assert detectors & PROMISED[scenario], (system, detectors)


@pytest.mark.parametrize("system", detection.SYSTEMS)
def test_ten_quiet_days(flowbound, system, tmp_path):
    assert detection.false_alerts(flowbound, system, tmp_path) == []
