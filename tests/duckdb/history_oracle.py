"""The alerts of the detectors that compare with the days before, computed a second time from the rows of a lake.

DuckDB adds the rows up, into hours, days and minutes; Python judges what it added up, one key at a time. Numbers are
exact: what stands at a threshold is found or not, and no rounding decides it.

A day finds an hour, of its own or of the next morning, that is too much beside the seven days before the day. Hours in
a row that their own day finds are one alert. One that has the last hour of its day goes on while either day finds the
next hour, up to noon.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from statistics import median, pvariance

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
EPOCH = datetime(1970, 1, 1)
PAST = 7 * DAY
TOGETHER = 10

DETECTORS = "exfiltration blocked-spike brute-force new-source new-destination new-service silent late".split()

#: The columns that are compared with the lake's.
COLUMNS = (
    "detector severity client_zone client_addr server_zone server_addr server_port protocol window_start window_end "
    "flows bytes first_seen last_seen verdict"
).split()

#: Every row that has a time. `placed`: the map knows both ends. `from_client`: the packets went to the server, as in
#: the view `traffic`; where nobody knows which end connected, the client may also be the one that they went to.
RECORDS = """
CREATE OR REPLACE TEMP TABLE records AS
SELECT
    *,
    date_trunc('hour', time) AS in_hour,
    date_trunc('minute', time) AS in_minute,
    date_trunc('day', time)::TIMESTAMP AS in_day,
    if(from_client, client_zone, server_zone) AS source_zone,
    if(from_client, server_zone, client_zone) AS destination_zone,
    if(client_zone = 'internet', NULL, client_addr) AS known_client,
    protocol IN (6, 17) AND srcport IS NOT NULL AND dstport IS NOT NULL AS has_ports,
    list_contains(getvariable('protected'), server_zone) AS guarded,
    list_contains(getvariable('confined'), client_zone) AS confined
FROM (
    SELECT
        *,
        coalesce("end", start) AS time,
        coalesce(pkt_srcaddr, srcaddr) AS source_addr,
        client_addr = source_addr AND orientation <> 'reply' AS from_client,
        client_zone IS NOT NULL AND server_zone IS NOT NULL AND orientation IS NOT NULL AS placed
    FROM flows
)
WHERE time IS NOT NULL
"""
LET_IN = "placed AND from_client AND confidence <> 'weak' AND has_ports AND action = 'ACCEPT'"
ALLOWED = f"{LET_IN} AND verdict = 'expected'"


@dataclass
class Sum:
    """What the rows of a key add up to in an hour or a day."""

    measure: int
    flows: int
    first_seen: datetime | None
    last_seen: datetime

    def __add__(self, other):
        firsts = [seen for seen in (self.first_seen, other.first_seen) if seen is not None]
        last_seen = max(self.last_seen, other.last_seen)
        return Sum(self.measure + other.measure, self.flows + other.flows, min(firsts, default=None), last_seen)


def alerts(connection, protected, confined):
    """The alerts as dicts with the keys of `COLUMNS`.

    `connection` has the views of queries/views.sql. `protected` are the names of the zones that are worth an alert,
    `confined` those of the zones in a confined invariant; in both with the zones inside them.
    """
    connection.execute("SET VARIABLE protected = ?::VARCHAR[]", [sorted(protected)])
    connection.execute("SET VARIABLE confined = ?::VARCHAR[]", [sorted(confined)])
    connection.execute(RECORDS)
    return [
        *exfiltration(connection, protected),
        *blocked_spike(connection),
        *brute_force(connection),
        *new_source(connection),
        *new_destination(connection),
        *new_service(connection),
        *silent(connection),
        *late(connection),
    ]


def alert(detector, severity, window, found=None, **columns):
    return {
        **dict.fromkeys(COLUMNS),
        "detector": detector,
        "severity": severity,
        "window_start": window[0],
        "window_end": window[1],
        "flows": found.flows if found else 0,
        "first_seen": found.first_seen if found else window[0],
        "last_seen": found.last_seen if found else window[1],
        **columns,
    }


def day_of(time):
    return time.replace(hour=0, minute=0, second=0, microsecond=0)


def in_past(times, day):
    """Those of some hours or days that are in the seven days before a day."""
    return [time for time in times if day - PAST <= time < day]


def logged(connection, unit):
    """The days, hours or minutes of any record, in order."""
    return [time for (time,) in connection.execute(f"SELECT DISTINCT {unit} FROM records ORDER BY 1").fetchall()]


def sums(connection, keys, unit, measure, where):
    """{values of the keys: {hour or day: Sum}}; the measure is that of the interface that saw most."""
    rows = connection.execute(
        f"""
        WITH per_interface AS (
            SELECT {keys}, {unit}, interface_id, coalesce({measure}, 0)::HUGEINT AS seen,
                count(*) AS flows, min(start) AS first_seen, max(time) AS last_seen
            FROM records WHERE {where} GROUP BY ALL
        )
        SELECT {keys}, {unit}, max(seen), sum(flows), min(first_seen), max(last_seen)
        FROM per_interface GROUP BY ALL ORDER BY {unit}
        """
    ).fetchall()
    found = {}
    for *key, time, seen, flows, first_seen, last_seen in rows:
        found.setdefault(tuple(key), {})[time] = Sum(int(seen), int(flows), first_seen, last_seen)
    return found


# hours -----------------------------------------------------------------------------------------------------------


def stretches(hours, severity_of):
    """(severity, window, Sum) of each alert of a key; where a day does not find an hour `severity_of` gives None."""
    found = []
    for hour, this in sorted(hours.items()):
        severity = severity_of(day_of(hour), this.measure)
        if found and goes_on(found[-1][1], hour):
            of_all, (start, _), so_far = found[-1]
            if severity or severity_of(day_of(start), this.measure):
                found[-1] = (of_all, (start, hour + HOUR), so_far + this)
        elif severity:
            found.append((severity, (hour, hour + HOUR), this))
    return found


def goes_on(window, hour):
    """Whether an hour follows those of an alert, and is before noon of the day after the one in which it began."""
    start, end = window
    return end == hour < day_of(start) + DAY + 12 * HOUR


def positive_points(hours, day):
    """The measures above zero of the past of a day."""
    return [hours[past].measure for past in in_past(hours, day) if hours[past].measure > 0]


def robust_z(measure, points):
    points = [Fraction(point) for point in points]
    middle = median(points)
    spread = median(abs(point - middle) for point in points)
    return (measure - middle) / max(Fraction("1.4826") * spread, middle / 10, 1)


def exfiltration(connection, protected):
    sent = "placed AND action = 'ACCEPT' AND destination_zone = 'internet' AND source_zone <> 'internet'"
    for (zone, addr), hours in sums(connection, "source_zone, source_addr", "in_hour", "sum(bytes)", sent).items():

        def severity(day, measure, zone=zone, hours=hours):
            if measure < 500_000_000:
                return None
            points = positive_points(hours, day)
            if len(points) < 5:
                return "low"
            if robust_z(measure, points) < 10 or 2 * measure < 3 * max(points):
                return None
            return "high" if zone in protected else "medium"

        for severity_of_all, window, found in stretches(hours, severity):
            ends = {"client_zone": zone, "client_addr": addr, "server_zone": "internet"}
            yield alert("exfiltration", severity_of_all, window, found, **ends, bytes=found.measure)


def blocked_spike(connection):
    keys = "client_zone, known_client, server_zone, server_addr"
    all_hours = logged(connection, "in_hour")
    refused = sums(connection, keys, "in_hour", "count(*)", "placed AND verdict IN ('blocked', 'attempt')")
    for (client_zone, client_addr, server_zone, server_addr), hours in refused.items():

        def severity(day, measure, client_zone=client_zone, hours=hours):
            past = in_past(all_hours, day)
            if measure < 100 or len(past) < 24:
                return None
            points = [Fraction(hours[other].measure if other in hours else 0) for other in past]
            above = measure - sum(points) / len(points)
            if above <= 0 or above**2 <= 9 * pvariance(points) or 2 * measure < 3 * max(points):
                return None
            return "low" if client_zone == "internet" else "medium"

        ends = {"client_zone": client_zone, "client_addr": client_addr}
        ends |= {"server_zone": server_zone, "server_addr": server_addr}
        for severity_of_all, window, found in stretches(hours, severity):
            yield alert("blocked-spike", severity_of_all, window, found, **ends)


def brute_force(connection):
    keys = "client_zone, client_addr, server_zone, server_port, protocol"
    short = f"{ALLOWED} AND client_zone <> 'internet' AND guarded AND packets <= 15 AND bytes <= 20000"
    for key, hours in sums(connection, keys, "in_hour", "count(*)", short).items():

        def severity(day, measure, hours=hours):
            if measure < 100:
                return None
            points = positive_points(hours, day)
            if len(points) < 5:
                return "low"
            return "medium" if measure >= 3 * max(points) else None

        columns = dict(zip(keys.split(", "), key, strict=True))
        for severity_of_all, window, found in stretches(hours, severity):
            yield alert("brute-force", severity_of_all, window, found, **columns, verdict="expected")


# days ------------------------------------------------------------------------------------------------------------


def new_members(connection, group, member, where, steady):
    """(day, columns of group and member, Sum) of the members that a day has and its past has not.

    Where there are more than ten in a group the member's columns are null, and the Sum is that of all. `steady`: only
    in groups whose members do not change.
    """
    all_days = logged(connection, "in_day")
    groups = {}
    for key, days in sums(connection, f"{group}, {member}", "in_day", "count(*)", where).items():
        width = len(group.split(", "))
        groups.setdefault(key[:width], {})[key[width:]] = days
    names = f"{group}, {member}".split(", ")
    for key, members in groups.items():
        for day in sorted({day for days in members.values() for day in days}):
            new = {name: days[day] for name, days in members.items() if day in days and not in_past(days, day)}
            if not new or len(in_past(all_days, day)) < 3 or (steady and changes(members, day) >= 2):
                continue
            if len(new) <= TOGETHER:
                found = list(new.items())
            else:
                first, *others = new.values()
                found = [((None,) * len(next(iter(new))), sum(others, start=first))]
            for name, total in found:
                yield day, dict(zip(names, key + name, strict=True)), total


def changes(members, day):
    """How many days of the past, but for the first, have a member that no day of the past before has."""
    firsts = [min(past) for past in (in_past(days, day) for days in members.values()) if past]
    return len({first for first in firsts if first != min(firsts)})


def new_source(connection):
    group = "client_zone, server_zone, server_port, protocol"
    where = f"{ALLOWED} AND client_zone <> 'internet' AND guarded"
    for day, columns, found in new_members(connection, group, "client_addr", where, steady=True):
        yield alert("new-source", "low", (day, day + DAY), found, **columns, verdict="expected")


def new_destination(connection):
    group = "client_zone, server_zone, server_port, protocol"
    for day, columns, found in new_members(connection, group, "server_addr", f"{ALLOWED} AND confined", steady=True):
        yield alert("new-destination", "low", (day, day + DAY), found, **columns, verdict="expected")


def new_service(connection):
    where = f"{LET_IN} AND verdict IN ('expected', 'breach') AND guarded"
    for day, columns, found in new_members(connection, "server_zone", "server_port, protocol", where, steady=False):
        yield alert("new-service", "medium", (day, day + DAY), found, **columns)


# minutes ---------------------------------------------------------------------------------------------------------


def minute_number(time):
    return (time - EPOCH) // MINUTE


def minute_time(number):
    return EPOCH + number * MINUTE


def between(minutes, first, last):
    """Those of sorted numbers that are at least `first` and at most `last`."""
    return minutes[bisect_left(minutes, first) : bisect_right(minutes, last)]


def silences(minutes, day, last_logged):
    """(m, end) of the silences of an interface that belong to a day, of its minutes on that day and the day before."""
    found = []
    for m, following in pairwise([*minutes, None]):
        if following is not None and following <= m + 40:
            continue
        before = between(minutes, m - 360, m)
        if minutes[0] > m - 120 or len(before) < 2:
            continue
        pause = max(later - earlier for earlier, later in pairwise(before))
        if pause > 20:
            continue
        limit = max(40, 3 * pause)
        established = m + limit + 1
        if following is not None and following < established:
            continue
        if day <= established < day + 1440 and established <= last_logged:
            found.append((m, last_logged + 1 if following is None else following))
    return found


def zones_of_interfaces(connection):
    """{(interface, day): the zones that are an end of each of its placed records of the day}"""
    ends = "SELECT DISTINCT interface_id, in_day, client_zone, server_zone FROM records WHERE placed"
    zones = {}
    for interface, day, *pair in connection.execute(ends).fetchall():
        zones[interface, day] = zones.get((interface, day), set(pair)) & set(pair)
    return zones


def silent(connection):
    seen = "SELECT DISTINCT interface_id, in_minute FROM records WHERE interface_id IS NOT NULL ORDER BY ALL"
    minutes = {}
    for interface, minute in connection.execute(seen).fetchall():
        minutes.setdefault(interface, []).append(minute_number(minute))
    all_minutes = [minute_number(minute) for minute in logged(connection, "in_minute")]
    ends = zones_of_interfaces(connection)
    for date in logged(connection, "in_day"):
        day = minute_number(date)
        last_logged = between(all_minutes, day, day + 1439)[-1]
        of_zone = {}
        for interface, all_of_it in minutes.items():
            known = [ends[interface, on] for on in (date - DAY, date) if (interface, on) in ends]
            left = set.intersection(*known) - {"internet"} if known else set()
            two_days = between(all_of_it, day - 1440, day + 1439)
            of_interface = (two_days, silences(two_days, day, last_logged))
            of_zone.setdefault(left.pop() if len(left) == 1 else None, []).append(of_interface)
        for zone, interfaces in of_zone.items():
            left = [(*silence, number) for number, (_, found) in enumerate(interfaces) for silence in found]
            left.sort(reverse=True, key=lambda silence: silence[0])
            while left:
                m, end, number = left[0]
                together = zone_silence(interfaces, m, left) if zone is not None else []
                severity = "high" if len(together) >= 2 else "low"
                if severity == "low":
                    together = [(m, end, number)]
                window = m + 1, min(end for _, end, _ in together)
                yield alert("silent", severity, tuple(map(minute_time, window)), server_zone=zone)
                left = [silence for silence in left if silence not in together]


def zone_silence(interfaces, m, silences):
    """The silences over the minute after m of all interfaces heard in the two hours before; none if one goes on."""
    lately = [number for number, (minutes, _) in enumerate(interfaces) if between(minutes, m - 120, m)]
    over = [silence for silence in silences if m - 120 <= silence[0] <= m and silence[1] > m + 1]
    return over if {number for _, _, number in over} == set(lately) else []


def late(connection):
    all_minutes = logged(connection, "in_minute")
    for earlier, later in pairwise(all_minutes):
        if later - earlier > 61 * MINUTE and day_of(later) - day_of(earlier) <= DAY:
            yield alert("late", "medium", (earlier + MINUTE, later))
