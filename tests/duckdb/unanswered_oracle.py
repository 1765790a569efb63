"""The alerts of the detector `unanswered`, computed a second time from the rows of a lake.

DuckDB counts the calls of each pane of ten minutes and finds the panes with answers; Python looks at the panes of one
server's port, whatever the day. A pane is found if it has enough calls and no answer. An alert counts the calls of its
found panes alone: what lies between them does not count, be it too few calls or answered ones. One that begins at 12:00
UTC or later may go over midnight and through the next day; others end with their day.
"""

from bisect import bisect_left

from history_oracle import DAY, MINUTE, Sum, alert, day_of
from scans_oracle import limit

DEFAULTS = {"enabled": True, "calls": 3}

PANE = 10 * MINUTE
#: The panes in which an answer may come, from that of the calls on.
ANSWERED_WITHIN = (0, 1)
#: So long after the pane in which an answer may still come all answers are taken to be there.
LATENESS = 15 * MINUTE
#: Records of so long, from the beginning of a pane's day on, tell how far event time has come.
TOLD_WITHIN = 2 * DAY
#: From one pane of an alert to the next one at most.
TOGETHER = 7 * PANE

KEY = ("server_zone", "server_addr", "server_port")

#: What calls and answers have in common; each is a condition of its own, so that a test can leave it out.
ALLOWED = (
    "verdict = 'expected'",
    "action = 'ACCEPT'",
    "protocol = 6",
    "srcport IS NOT NULL",
    "dstport IS NOT NULL",
    "confidence <> 'weak'",
    "server_zone <> 'internet'",
)
CALL = (
    *ALLOWED,
    "client_addr = coalesce(pkt_srcaddr, srcaddr)",
    "orientation <> 'reply'",
    "client_zone <> 'internet'",
    "packets <= 7",
    "bytes <= 64 * packets",
)
ANSWER = (*ALLOWED, "orientation = 'reply'")

#: Every row that has a time, and the time at which its pane begins.
TIMED = """
WITH timed AS (
    SELECT *, time_bucket(INTERVAL 10 minutes, time) AS pane
    FROM (SELECT *, coalesce("end", start) AS time FROM flows)
    WHERE time IS NOT NULL
)
"""
LAST_TIMES = f"{TIMED} SELECT max(time) AS last FROM timed GROUP BY date_trunc('day', time) ORDER BY last"


def calls_of_panes(connection):
    """{(zone, server, port): {pane: Sum}}; the measure is the calls of the interface that saw most."""
    rows = connection.execute(
        f"""
        {TIMED}, per_interface AS (
            SELECT server_zone, server_addr, dstport, pane, interface_id, count(*) AS flows,
                min(start) AS first_seen, max(time) AS last_seen
            FROM timed WHERE {" AND ".join(CALL)} GROUP BY ALL
        )
        SELECT * EXCLUDE (interface_id, flows, first_seen, last_seen),
            max(flows), sum(flows)::BIGINT, min(first_seen), max(last_seen)
        FROM per_interface GROUP BY ALL
        """
    ).fetchall()
    found = {}
    for *key, pane, most, flows, first_seen, last_seen in rows:
        found.setdefault(tuple(key), {})[pane] = Sum(most, flows, first_seen, last_seen)
    return found


def answered_panes(connection):
    """(zone, server, port, pane) of each pane in which a server answered somebody."""
    panes = f"SELECT DISTINCT server_zone, server_addr, srcport, pane FROM timed WHERE {' AND '.join(ANSWER)}"
    return set(connection.execute(f"{TIMED} {panes}").fetchall())


def found_panes(connection, settings_of=lambda zone: DEFAULTS):
    """As `calls_of_panes`, with the panes that are found alone, in their order.

    `connection` has the views of queries/views.sql, `settings_of` knows the settings of a server's zone.
    """
    found = {}
    last_times = [last for (last,) in connection.execute(LAST_TIMES).fetchall()]
    answered = answered_panes(connection)

    def come_to(pane):
        """How far event time has come, for the panes of this one's day."""
        return last_times[bisect_left(last_times, day_of(pane) + TOLD_WITHIN) - 1]

    for key, panes in calls_of_panes(connection).items():
        settings = settings_of(key[0])
        found[key] = {
            pane: total
            for pane, total in sorted(panes.items())
            if settings["enabled"]
            and total.measure >= settings["calls"]
            and not any((*key, pane + later * PANE) in answered for later in ANSWERED_WITHIN)
            and come_to(pane) >= pane + 2 * PANE + LATENESS
        }
    return found


def alerts(connection, settings_of=lambda zone: DEFAULTS):
    """The alerts as dicts with the keys of `history_oracle.COLUMNS`, of what `found_panes` is asked for."""
    found = []
    for key, panes in found_panes(connection, settings_of).items():
        for run in runs(panes):
            all_of_it, *others = [panes[pane] for pane in run]
            window = run[0], run[-1] + PANE
            columns = dict(zip(KEY, key, strict=True)) | {"protocol": 6, "verdict": "expected"}
            found.append(alert("unanswered", "medium", window, sum(others, start=all_of_it), **columns))
    return found


def calls_of(connection, alert, found):
    """(source, line) of the calls that an alert counts, by its key and those of the `found_panes` in its window."""
    key = tuple(alert[name] for name in KEY)
    panes = [pane for pane in found[key] if alert["window_start"] <= pane < alert["window_end"]]
    of_alert = "(server_zone, server_addr, dstport) = (?, ?, ?) AND list_contains(?::TIMESTAMP[], pane)"
    where, values = " AND ".join((*CALL, of_alert)), [*key, panes]
    return set(connection.execute(f"{TIMED} SELECT source, line FROM timed WHERE {where}", values).fetchall())


def runs(panes):
    """The panes that are one alert, as lists."""
    found = []
    for pane in panes:
        if found and pane - found[-1][-1] <= TOGETHER and pane < limit(found[-1][0]):
            found[-1].append(pane)
        else:
            found.append([pane])
    return found
