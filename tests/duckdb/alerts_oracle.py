"""The alerts, computed a second time from judged records: here those of the detectors that need only verdicts.

One alert per key and run of hours of event time (`end`, else `start`) between which no more than one is quiet. One that
begins at 12:00 UTC or later may go over midnight and through the next day; others end with their day. A row is a dict
with the columns of `flows` and what `lakes.Lake` adds to it: `src`, `dst`, and the oracle's `client_port`,
`from_client`, `protected`.
"""

from datetime import timedelta

import oracle
import scans_oracle

HOUR = timedelta(hours=1)
CONFIDENCES = ["weak", "strong", "certain"]

#: The columns that are compared with the lake's.
COLUMNS = (
    "detector severity confidence first_seen last_seen window_start window_end client_zone server_zone client_addr "
    "server_addr server_port protocol verdict rule flows conversations packets bytes distinct_ports distinct_servers"
).split()


def detector_of(row):
    """The detector that counts this record, if one does."""
    verdict = row["verdict"]
    if verdict in ("breach", "attempt"):
        return verdict
    if verdict == "outage":
        where = row["reason"].split("/")[0]
        if where == "return-path":
            return "return-path"
        return "one-sided" if where == "rejected-at-destination" and row["client_zone"] != "internet" else "outage"
    if verdict == "blocked" and row["protected"]:
        return "blocked"
    if verdict == "unmapped":
        return "fields" if row["reason"] == "fields-missing" else "unmapped"
    if verdict == "gap":
        return "log-gap"
    return None


def conversation(row):
    """The two ends, and whether the packets went to the server; None for a record that tells of no packets.

    A record that the map cannot place is taken as it stands, from client to server.
    """
    if row["src"] is None:
        return None
    if row["client_addr"] is None:
        return (row["src"], row["srcport"], row["dst"], row["dstport"], row["protocol"]), True
    ends = (row["client_addr"], row["client_port"], row["server_addr"], row["server_port"])
    return (*ends, row["protocol"]), row["from_client"]


def counted_once(rows, column):
    """The packets or bytes of rows that may be copies of two interfaces; see queries/views.sql."""
    sums = {}
    for row in rows:
        leg = conversation(row)
        if leg is not None:
            per_interface = sums.setdefault(leg, {})
            interface = row["interface_id"]
            per_interface[interface] = per_interface.get(interface, 0) + (row[column] or 0)
    return sum(max(per_interface.values()) for per_interface in sums.values())


def alerts(rows):
    """The alerts as dicts with the keys of `COLUMNS`, and `records`: (source, line) of the rows each one counts."""
    groups = {}
    for row in rows:
        detector = detector_of(row)
        if detector is None:
            continue
        placed = row["client_addr"] is not None
        by_client = detector != "blocked"
        by_cause = detector != "attempt"
        key = {
            "detector": detector,
            "rule": row["rule"] if by_cause else None,
            "cause": (row["rule"] or row["reason"]) if by_cause else None,
            # where VPCs overlap, one address stands in two zones: an alert never mixes two networks
            "client_zone": row["client_zone"] if placed and by_client else None,
            "server_zone": row["server_zone"] if placed else None,
            "client_addr": row["client_addr"] if by_client else None,
            "server_addr": row["server_addr"],
            "server_port": row["server_port"],
            "protocol": row["protocol"] if placed else None,
        }
        groups.setdefault(tuple(key.items()), []).append(row)
    became = what_became_of_attempts(rows)
    runs = ((dict(key), run) for key, group in groups.items() for run in runs_of(group))
    return [alert(key, run, became) for key, run in runs] + scans_oracle.alerts(rows)


def runs_of(rows):
    """Rows of one key, put apart where more than an hour is quiet, and at the midnight that no alert goes over."""
    timeless = [row for row in rows if hour(row) is None]
    runs = [timeless] if timeless else []
    first = last = None
    for row in sorted((row for row in rows if hour(row) is not None), key=hour):
        now = hour(row)
        if last is None or now - last > 2 * HOUR or now >= scans_oracle.limit(first):
            runs.append([])
            first = now
        runs[-1].append(row)
        last = now
    return runs


def hour(row):
    event_time = row["end"] or row["start"]
    return event_time and event_time.replace(minute=0, second=0, microsecond=0)


def path(row):
    names = "client_zone server_zone client_addr server_addr server_port protocol".split()
    return tuple(row[name] for name in names)


def what_became_of_attempts(rows):
    """By path, and by hour, whether something was let in (True), or refused where it arrived (False); of clients that are not
    in the internet."""
    became = {}
    for row in rows:
        arrived, reply = row["side"] == "destination", row["orientation"] == "reply"
        if row["client_zone"] == "internet":
            continue
        if row["verdict"] == "breach" and (reply or arrived):
            became.setdefault(path(row), []).append((hour(row), True))
        if row["verdict"] == "blocked" and arrived and not reply:
            became.setdefault(path(row), []).append((hour(row), False))
    return became


def severity(key, rows, became):
    worst = max(oracle.SEVERITIES.index(row["severity"]) for row in rows)
    if key["detector"] == "attempt":
        hours = [hour(row) for row in rows]
        told = became.get(path(rows[0]), [])
        within = lambda at: at in hours if None in (at, hours[0]) else min(hours) <= at <= max(hours)
        let_in = any(is_in for at, is_in in told if within(at))
        refusals = {at for at, is_in in told if not is_in}
        # a copy may be told in the hour beside, up to the end of the day after the one in which it began
        last = hours[0] and min(hours).replace(hour=0) + timedelta(days=2)
        near = lambda at, other: at == other or (at and other and abs(at - other) <= HOUR and other < last)
        if all(any(near(at, other) for other in refusals) for at in hours) and not let_in:
            worst = min(worst, oracle.SEVERITIES.index("low"))
    return oracle.SEVERITIES[worst]


def alert(key, rows, became):
    confidences = [row["confidence"] for row in rows if row["confidence"]]
    legs = [conversation(row) for row in rows]
    hours = [hour(row) for row in rows]
    return {
        **{name: value for name, value in key.items() if name != "cause"},
        "window_start": hours[0] and min(hours),
        "window_end": hours[0] and max(hours) + HOUR,
        "severity": severity(key, rows, became),
        "confidence": max(confidences, key=CONFIDENCES.index, default=None),
        "first_seen": min((row["start"] for row in rows if row["start"]), default=None),
        "last_seen": max((row["end"] or row["start"] for row in rows if row["end"] or row["start"]), default=None),
        "verdict": rows[0]["verdict"],
        "reason": ", ".join(sorted({row["reason"] for row in rows})),
        "flows": len(rows),
        # an alert that names no server is about logs: nobody talks in it
        **(
            {
                "conversations": len({leg[0] for leg in legs if leg is not None}),
                "packets": counted_once(rows, "packets"),
                "bytes": counted_once(rows, "bytes"),
            }
            if key["server_addr"] is not None
            else {"conversations": None, "packets": None, "bytes": None}
        ),
        "distinct_ports": None if key["server_port"] is None else 1,
        "distinct_servers": None if key["server_addr"] is None else 1,
        "records": {(row["source"], row["line"]) for row in rows},
        "evidence": min(10, len(rows)),
    }
