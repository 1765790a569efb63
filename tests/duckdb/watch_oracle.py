"""The alerts of what a map wants watched, budgets of exits and `[[expect]]`, computed a second time from judged records.

A row is a dict as in `alerts_oracle`. Minutes are whole ones since 1970; a period of an expectation is a number of them.

Hours in a row above a budget are one alert, which may go over midnight and ends by the next noon. So are periods in a
row of an expectation: where they are at most 12 hours long, and the first is told at 12:00 or later, they may go over
midnight and through the next day; others end with their day.
"""

import ipaddress
import tomllib
from datetime import datetime, timedelta

import oracle

EPOCH, MINUTE, HOUR, DAY = datetime(1970, 1, 1), timedelta(minutes=1), 60, 1440
LATENESS, LONGEST = 15, timedelta(minutes=20)


def minute_of(time):
    return (time - EPOCH) // MINUTE


def time_of(row):
    return row["end"] or row["start"]


class Watched:
    """Records that a rule allows, or between zones for some services."""

    def __init__(self, boundary, tables, entry, action=None):
        self.boundary, self.tables, self.entry = boundary, tables, entry
        self.action = entry.get("action", action)

    def __contains__(self, row):
        if "rule" in self.entry:
            return row["verdict"] == "expected" and self.entry["rule"] in (row["rule"] or "").split("+")
        return (
            row["orientation"] is not None
            and row["verdict"] != "stray"
            and self.is_in(row["client_zone"], self.entry["from"])
            and self.is_in(row["server_zone"], self.entry["to"])
            and (self.action is None or row["action"] == self.action)
            and self.serves(row["protocol"], row["server_port"])
        )

    def is_in(self, zone, wanted):
        assert "vpc" not in wanted, "not needed so far"
        known = self.boundary.zones.get(zone)
        return "any" in wanted or bool({zone, *(known.ancestors if known else [])} & set(wanted))

    def serves(self, protocol, port):
        wanted = self.entry.get("service", ["any"])
        if "any" in wanted:
            return True
        for service in (self.tables["service"][name] for name in wanted):
            if protocol in (1, 58) and service.get("icmp"):
                return True
            for ports in service.get({6: "tcp", 17: "udp"}.get(protocol), []):
                low, _, high = str(ports).partition("-")
                if int(low) <= (port or 0) <= int(high or low):
                    return True
        return False


def alert(detector, severity, rule, window, flows, **columns):
    start, end = (EPOCH + minute * MINUTE for minute in window)
    named = {"rule": rule, "window_start": start, "window_end": end, "flows": flows}
    return {"detector": detector, "severity": severity, **named, "bytes": None, **columns}


def alerts(rows, boundary, path, contradicted=()):
    """The alerts as dicts: detector, severity, rule, window_start, window_end, flows, bytes.

    `contradicted` are the expectations that the map itself does not permit.
    """
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    rows = [row for row in rows if time_of(row) is not None]
    for invariant in boundary.invariants:
        for way in invariant.get("exits", []):
            if "max_bytes_per_hour" in way:
                entry = {"from": invariant["zone"], **way}
                watched = Watched(boundary, tables, entry, action="ACCEPT")
                sent = [row for row in rows if row["from_client"] and row in watched]
                yield from budget(sent, "high", invariant["id"], way["max_bytes_per_hour"], by_client)
    rules = {rule["id"] for rule in boundary.rules}
    for expect in tables.get("expect", []):
        if expect.get("rule") is not None and expect["rule"] not in rules:
            continue
        if "every" in expect:
            severity = "low" if expect["id"] in contradicted else "medium"
            yield from expectation(rows, Watched(boundary, tables, expect), expect, severity)
        if "max_bytes_per_hour" in expect:
            watched = Watched(boundary, tables, expect, action="ACCEPT")
            moved = [row for row in rows if row in watched]
            yield from budget(moved, "medium", expect["id"], expect["max_bytes_per_hour"], by_inside(boundary))


def by_client(row):
    return row["client_addr"], row["interface_id"]


def by_inside(boundary):
    """The client and the interface, or where the client is outside of the VPCs the server and the interface."""
    cidrs = [cidr for each in boundary.vpc_cidrs.values() for cidr in each]

    def which(row):
        client_is_inside = oracle.inside(ipaddress.ip_address(row["client_addr"]), cidrs)
        return row["client_addr" if client_is_inside else "server_addr"], row["interface_id"]

    return which


def budget(rows, severity, rule, most, which):
    """`rows` are those that count; of `which` (member, copy) the largest copy of each member counts."""
    hours = {}
    for row in rows:
        hour = minute_of(time_of(row)) // HOUR
        key = which(row)
        sums, counted = hours.setdefault(hour, ({}, []))
        sums[key] = sums.get(key, 0) + (row["bytes"] or 0)
        counted.append(row)
    above = {}
    for hour, (sums, counted) in sorted(hours.items()):
        by_client = {}
        for (client, _), seen in sums.items():
            by_client[client] = max(by_client.get(client, 0), seen)
        measure = sum(by_client.values())
        if measure > most:
            above[hour * HOUR] = len(counted), measure
    for window in stretches(above, HOUR, 0, next_noon):
        of_all = [above[hour] for hour in range(*window, HOUR)]
        flows, moved = sum(flows for flows, _ in of_all), sum(moved for _, moved in of_all)
        yield alert("budget", severity, rule, window, flows, bytes=moved)


def next_noon(minute):
    """Noon of the next day."""
    return minute // DAY * DAY + DAY + DAY // 2


def expectation(rows, watched, expect, least_severity):
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    every = max(-(-int(expect["every"][:-1]) * units[expect["every"][-1]] // 60), 1)
    logged = sorted({minute_of(time_of(row)) for row in rows})
    spanned, skipped, counted = set(), set(), {}
    for row in rows:
        last = time_of(row)
        first = min(max(row["start"] or last, last - LONGEST), last)
        minutes = range(minute_of(first), minute_of(last) + 1)
        if row in watched:
            spanned.update(minutes)
            counted[minutes[-1]] = counted.get(minutes[-1], 0) + 1
        elif row["verdict"] == "gap":
            skipped.update(minutes)
    least, most = expect.get("min_flows", 0), expect.get("max_flows")
    few, many = {}, {}
    for day in sorted({minute // DAY for minute in logged}):
        oldest = (day - 7) * DAY
        known = [minute for minute in logged if oldest <= minute < (day + 1) * DAY]
        first = oldest if known[0] < oldest + 60 else known[0]
        now = min(max(minute for minute in logged if minute < (day + 2) * DAY), (day + 1) * DAY - 1)
        for start in range((day - 8) * DAY // every * every, (day + 1) * DAY, every):
            period = range(start, start + every)
            flows = sum(counted.get(minute, 0) for minute in period)
            told = day * DAY <= start + every + LATENESS <= now and start >= first
            missing = flows < least if least > 1 else least == 1 and not spanned & set(period)
            if told and missing and not skipped & set(period) and set(known) & set(period):
                few[start] = flows
            ends = day * DAY < start + every <= (day + 1) * DAY
            if most is not None and flows > most and ends:
                many[start] = flows

    def limit(moment):
        """The midnight before which all periods of an alert are told, by the moment in which the first is."""
        goes_on = every <= DAY // 2 and moment % DAY >= DAY // 2
        return (moment // DAY + 1 + goes_on) * DAY

    for severity, found, after in ((least_severity, few, every + LATENESS), ("medium", many, every - 1)):
        for window in stretches(found, every, after, limit):
            flows = sum(found[start] for start in range(*window, every))
            yield alert("expectation", severity, expect["id"], window, flows)


def stretches(starts, every, after, limit):
    """The windows of periods in a row. Each is told so long after its start, and before the limit of the first."""
    windows = []
    for start in starts:
        if windows and windows[-1][1] == start and start + after < limit(windows[-1][0] + after):
            windows[-1] = windows[-1][0], start + every
        else:
            windows.append((start, start + every))
    return windows
