"""The alerts of the detector `unanswered`, computed a second time from the rows of a lake.

DuckDB counts the calls of each pane of ten minutes and finds the panes with answers; Python looks at the panes of one
server's port and day. A pane is found if it has enough calls and no answer. An alert counts the calls of its found
panes alone: what lies between them does not count, be it too few calls or answered ones.
"""

from datetime import datetime, time

from history_oracle import MINUTE, Sum, alert

DEFAULTS = {"enabled": True, "calls": 3}

PANE = 10
#: Nothing is known of what comes after it.
LAST_PANE = 143
#: The panes in which an answer may come, from that of the calls on.
ANSWERED_WITHIN = (0, 1)
#: So many minutes after the pane in which an answer may still come all answers are taken to be there.
LATENESS = 15
#: From one pane of an alert to the next one at most.
TOGETHER = 7

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

#: Every row that has a time, by the minute and the pane of its day.
TIMED = f"""
WITH timed AS (
    SELECT *, date_diff('minute', day, time) AS in_minute, in_minute // {PANE} AS pane
    FROM (SELECT *, coalesce("end", start) AS time, date_trunc('day', time)::TIMESTAMP AS day FROM flows)
    WHERE time IS NOT NULL
)
"""
LAST_MINUTES = f"{TIMED} SELECT day, max(in_minute) FROM timed GROUP BY ALL"


def calls_of_panes(connection):
    """{(zone, server, port, day): {pane: Sum}}; the measure is the calls of the interface that saw most."""
    rows = connection.execute(
        f"""
        {TIMED}, per_interface AS (
            SELECT server_zone, server_addr, dstport, day, pane, interface_id, count(*) AS flows,
                min(start) AS first_seen, max(time) AS last_seen
            FROM timed WHERE {" AND ".join(CALL)} GROUP BY ALL
        )
        SELECT * EXCLUDE (interface_id, flows, first_seen, last_seen),
            max(flows), sum(flows)::BIGINT, min(first_seen), max(last_seen)
        FROM per_interface GROUP BY ALL
        """
    ).fetchall()
    found = {}
    for *key_and_day, pane, most, flows, first_seen, last_seen in rows:
        found.setdefault(tuple(key_and_day), {})[pane] = Sum(most, flows, first_seen, last_seen)
    return found


def answered_panes(connection):
    """(zone, server, port, day, pane) of each pane in which a server answered somebody."""
    panes = f"SELECT DISTINCT server_zone, server_addr, srcport, day, pane FROM timed WHERE {' AND '.join(ANSWER)}"
    return set(connection.execute(f"{TIMED} {panes}").fetchall())


def found_panes(connection, settings_of=lambda zone: DEFAULTS):
    """As `calls_of_panes`, with the panes that are found alone, in their order.

    `connection` has the views of queries/views.sql, `settings_of` knows the settings of a server's zone.
    """
    found = {}
    last_minutes = dict(connection.execute(LAST_MINUTES).fetchall())
    answered = answered_panes(connection)
    for (*key, day), panes in calls_of_panes(connection).items():
        settings = settings_of(key[0])
        found[*key, day] = {
            pane: total
            for pane, total in sorted(panes.items())
            if settings["enabled"]
            and total.measure >= settings["calls"]
            and not any((*key, day, pane + later) in answered for later in ANSWERED_WITHIN)
            and pane != LAST_PANE
            and last_minutes[day] >= (pane + 2) * PANE + LATENESS
        }
    return found


def alerts(connection, settings_of=lambda zone: DEFAULTS):
    """The alerts as dicts with the keys of `history_oracle.COLUMNS`, of what `found_panes` is asked for."""
    found = []
    for (*key, day), panes in found_panes(connection, settings_of).items():
        for run in runs(panes):
            all_of_it, *others = [panes[pane] for pane in run]
            window = day + run[0] * PANE * MINUTE, day + (run[-1] + 1) * PANE * MINUTE
            columns = dict(zip(KEY, key, strict=True)) | {"protocol": 6, "verdict": "expected"}
            found.append(alert("unanswered", "medium", window, sum(others, start=all_of_it), **columns))
    return found


def calls_of(connection, alert, found):
    """(source, line) of the calls that an alert counts, by its key and those of the `found_panes` in its window."""
    key = [alert[name] for name in KEY]
    day = datetime.combine(alert["window_start"], time())
    first, end = ((alert[name] - day) // (PANE * MINUTE) for name in ("window_start", "window_end"))
    panes = [pane for pane in found[*key, day] if first <= pane < end]
    of_alert = "(server_zone, server_addr, dstport, day) = (?, ?, ?, ?) AND list_contains(?::BIGINT[], pane)"
    where, values = " AND ".join((*CALL, of_alert)), [*key, day, panes]
    return set(connection.execute(f"{TIMED} SELECT source, line FROM timed WHERE {where}", values).fetchall())


def runs(panes):
    """The panes that are one alert, as lists."""
    found = []
    for pane in panes:
        if found and pane - found[-1][-1] <= TOGETHER:
            found[-1].append(pane)
        else:
            found.append([pane])
    return found
