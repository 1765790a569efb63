"""The alerts of the scan detectors, computed a second time from judged records: see src/detect/scan/mod.rs.

Straight from the definition, row by row: every window of an hour that begins with a pane is looked at, whatever the
day, and every set is made of the rows themselves. What is slow is looked for in every day, and in every night from noon
to noon.
"""

from datetime import timedelta


PANE = timedelta(minutes=10)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
TOGETHER = 10
#: So many contacts of a day are kept.
KEPT = 16
CONFIDENCES = ["weak", "strong", "certain"]


def event_time(row):
    return row["end"] or row["start"]


def pane(row):
    time = event_time(row)
    return time.replace(minute=time.minute - time.minute % 10, second=0, microsecond=0)


def day(time):
    return time.replace(hour=0, minute=0, second=0, microsecond=0)


def limit(first):
    """The midnight that an alert does not go over: the first after its first hour or pane, from noon on the second."""
    return day(first) + (DAY if first.hour < 12 else 2 * DAY)


def two_ends(row):
    """(Zone of the source, zone of the destination, whether that is protected)."""
    if row["from_client"]:
        return row["client_zone"], row["server_zone"], row["protected"]
    return row["server_zone"], row["client_zone"], row["client_protected"]


def counts(row):
    """Whether the row tells of TCP or UDP with all that a probe or a contact needs."""
    needed = ("client_addr", "src", "dst", "srcport", "dstport")
    return row["protocol"] in (6, 17) and event_time(row) and all(row[name] is not None for name in needed)


def is_probe(row):
    sure_reply = row["orientation"] == "reply" and row["confidence"] != "weak"
    return row["verdict"] in ("blocked", "attempt", "breach") and counts(row) and not sure_reply


def target(row):
    return row["dst"], two_ends(row)[1], row["dstport"], row["protocol"]


def stretches(rows, enough):
    """(First pane, last pane) of every stretch of time whose windows of an hour hold enough."""
    by_pane = grouped(rows, pane)
    panes = sorted(by_pane)
    found = []
    for number, first in enumerate(panes):
        goes_on = found and first < limit(found[-1][0]) and first <= found[-1][1] + HOUR
        # the windows of a stretch end with it
        end = min(first + HOUR, limit(found[-1][0] if goes_on else first))
        window = [time for time in panes[number : number + 6] if time < end]
        if not enough([row for time in window for row in by_pane[time]]):
            continue
        if goes_on:
            found[-1] = found[-1][0], max(window[-1], found[-1][1])
        else:
            found.append((first, window[-1]))
    return found


def grouped(rows, key):
    groups = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def alerts(rows):
    """The alerts as `alerts_oracle.alerts` gives them."""
    probes = grouped(filter(is_probe, rows), lambda row: (two_ends(row)[0], row["src"]))
    contacts = {}
    for row in rows:
        if row["verdict"] == "expected" and counts(row) and row["from_client"] and row["client_zone"] != "internet":
            to = (row["server_addr"], row["server_port"], row["protocol"])
            contacts.setdefault((day(event_time(row)), row["client_zone"], row["client_addr"]), set()).add(to)
    return [alert for source, of_source in probes.items() for alert in of_one(source, of_source, contacts)]


def of_one(source, rows, contacts):
    external = source[0] == "internet"
    days = grouped(rows, lambda row: day(event_time(row)))
    for of_day in days.values():
        assert len({(target(row), pane(row)) for row in of_day}) <= 4096, "estimates are not compared here"

    def ports(window):
        return len({row["dstport"] for row in window}) >= 15

    def servers(window):
        seen = {target(row)[:2] for row in window}
        guarded = {target(row)[:2] for row in window if two_ends(row)[2]}
        return len(seen) >= 25 or not external and len(guarded) >= 10

    vertical = scans("scan.vertical", rows, lambda row: target(row)[:2], ports)
    horizontal = scans("scan.horizontal", rows, lambda row: target(row)[2:], servers)
    # told in the alert of a fast one, be it of the day before
    told = {day(time) for *_, panes in vertical + horizontal for time in panes}
    slow = slow_scans(days, {date: contacts.get((date, *source), set()) for date in days}, told)
    found = together(vertical) + together(horizontal) + slow
    return [alert(source, kind, key, panes, rows, external) for kind, key, panes in found]


def scans(kind, rows, key, enough):
    return [(kind, name, panes) for name, group in grouped(rows, key).items() for panes in stretches(group, enough)]


def slow_scans(days, contacts, told):
    """Scans of a day, or of a night from noon to noon; none with a day of which another alert tells.

    `days` are the rows and `contacts` those of the source, by day.
    """

    def walks(rows, *dates):
        kept = [contacts[date] for date in dates]
        targets, too_many = len({target(row) for row in rows}), any(len(some) > KEPT for some in kept)
        # which of them are kept is not known here: those of two days are as many as of one, or more
        assert not too_many or len(dates) == 1 or targets < KEPT + 4
        known = KEPT if too_many else len(set().union(*kept))
        return targets >= max(8, known + 4) and not told.intersection(dates)

    nights = {}
    for date in days:
        # with nothing on one of its days a night finds no more than the other day
        if date + DAY in days:
            noon = date + DAY / 2
            rows = [row for row in days[date] + days[date + DAY] if noon <= event_time(row) < noon + DAY]
            if walks(rows, date, date + DAY):
                nights[date] = rows
    # all that these two days have
    whole = {date for date, rows in nights.items() if len(rows) == len(days[date]) + len(days[date + DAY])}
    in_whole = whole | {date + DAY for date in whole}
    alone = {date for date in days if date not in in_whole and walks(days[date], date)}
    others = {date for date in nights if not {date, date + DAY} & (in_whole | alone)}
    found = [days[date] for date in alone] + [nights[date] for date in whole | others]
    return [("scan.slow", None, (min(map(pane, rows)), max(map(pane, rows)))) for rows in found]


def together(found):
    """Scans of one kind; more than ten that begin on the same day are one, of the source alone."""
    told = []
    for of_day in grouped(found, lambda scan: day(scan[2][0])).values():
        if len(of_day) > TOGETHER:
            kind = of_day[0][0]
            of_day = [(kind, None, (min(panes[0] for *_, panes in of_day), max(panes[1] for *_, panes in of_day)))]
        told += of_day
    return told


def alert(source, kind, key, panes, rows, external):
    vertical = kind == "scan.vertical" and key is not None
    horizontal = kind == "scan.horizontal" and key is not None
    of_key = (lambda row: target(row)[:2] == key) if vertical else (lambda row: target(row)[2:] == key)
    rows = [row for row in rows if panes[0] <= pane(row) <= panes[1] and (key is None or of_key(row))]
    verdicts = {row["verdict"] for row in rows}
    return {
        "detector": kind,
        "severity": "high" if "breach" in verdicts else "low" if external else "medium",
        "confidence": max((row["confidence"] for row in rows), key=CONFIDENCES.index),
        "first_seen": min((row["start"] for row in rows if row["start"]), default=None),
        "last_seen": max(event_time(row) for row in rows),
        "window_start": panes[0],
        "window_end": panes[1] + PANE,
        "client_zone": source[0],
        "client_addr": source[1],
        "server_zone": key[1] if vertical else None,
        "server_addr": key[0] if vertical else None,
        "server_port": key[0] if horizontal else None,
        "protocol": key[1] if horizontal else None,
        "verdict": verdicts.pop() if len(verdicts) == 1 else None,
        "rule": None,
        "flows": len(rows),
        "conversations": None,
        "packets": None,
        "bytes": None,
        "distinct_ports": len({target(row)[2:] for row in rows}),
        "distinct_servers": len({target(row)[:2] for row in rows}),
        "records": {(row["source"], row["line"]) for row in rows},
        "evidence": min(10, len({(target(row), pane(row)) for row in rows})),
    }
