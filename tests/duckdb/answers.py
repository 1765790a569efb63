"""What each file of queries/ should answer, computed in plain Python from the judged log lines.

One function per file, with the file's name; its arguments beside the lake are the file's variables. Rows come in the
order in which the file gives them. `ANSWERS` is the list; a test fails for a file that is not in it.
"""

from collections import Counter
from datetime import datetime, timedelta
from itertools import groupby

from oracle import SEVERITIES

OUTSIDE = ("internet", "private-unknown", "special")
ANSWERS = {}


def answer(function):
    ANSWERS[function.__name__] = function
    return function


def nulls_last(*values):
    """A sort key in the order of SQL: nulls after everything else."""
    return tuple((value is None, value) for value in values)


def by_time(row):
    return nulls_last(row["start"], row["source"], row["line"])


def grouped(rows, *names):
    """{values of the columns: rows}, in the order of the values."""

    def key(row):
        return nulls_last(*(row[name] for name in names))

    return {tuple(value for _, value in k): list(group) for k, group in groupby(sorted(rows, key=key), key=key)}


def named(names, values, **more):
    return {**dict(zip(names, values, strict=True)), **more}


def distinct(rows, name):
    return len({row[name] for row in rows} - {None})


def times(rows):
    return {
        "first_seen": min((row["start"] for row in rows if row["start"]), default=None),
        "last_seen": max((row["end"] for row in rows if row["end"]), default=None),
    }


def worst(rows):
    return max((row["severity"] for row in rows), key=SEVERITIES.index)


def ok(rows):
    return [row for row in rows if row["log_status"] in ("OK", None)]


def once(rows, column, key):
    """The sum of a column where the largest sum of an interface counts, per key."""
    sums = {}
    for row in rows:
        copies = sums.setdefault(tuple(row[name] for name in key), Counter())
        copies[row["interface_id"]] += row[column] or 0
    return sum(max(copies.values()) for copies in sums.values())


LEG = ("client_addr", "client_port", "server_addr", "server_port", "protocol", "from_client")
TRAVEL = ("src", "srcport", "dst", "dstport", "protocol")


def conversations(rows):
    return len({tuple(row[name] for name in LEG[:5]) for row in rows})


def src_zone(row):
    return row["server_zone"] if row["from_client"] is False else row["client_zone"]


def dst_zone(row):
    return row["client_zone"] if row["from_client"] is False else row["server_zone"]


def inside_zones(lake):
    """The zones that lie in a VPC, from the map itself; the view in views.sql has to guess them from the records."""
    zones = {"vpc:unzoned"}
    for row in lake.rows:
        if row["client_addr"] is None:
            continue
        for address, zone in ((row["client_addr"], row["client_zone"]), (row["server_addr"], row["server_zone"])):
            if lake.lies_in_a_vpc(address) and zone not in OUTSIDE:
                zones.add(zone)
    return zones


@answer
def newest_on_ports(lake, ports=(5432, 8040)):
    rows = [row for row in lake.rows if row["dstport"] in ports]
    rows.sort(key=lambda row: (row["source"], row["line"]))
    rows.sort(key=lambda row: row["start"] or datetime.min, reverse=True)
    return [{name: row[name] for name in ("start", "srcaddr", "dstaddr", "dstport", "action")} for row in rows[:100]]


@answer
def top_rejects(lake):
    counts = Counter((row["srcaddr"], row["dstport"]) for row in lake.rows if row["action"] == "REJECT")
    top = sorted(counts.items(), key=lambda item: (-item[1], nulls_last(*item[0])))[:20]
    return [{"srcaddr": srcaddr, "dstport": dstport, "count": count} for (srcaddr, dstport), count in top]


@answer
def rejects_on_port(lake, port=5432):
    names = (
        "version account_id interface_id srcaddr dstaddr srcport dstport protocol packets bytes start end action "
        "log_status"
    ).split()
    rows = [row for row in lake.rows if row["action"] == "REJECT" and row["dstport"] == port]
    return [{name: row[name] for name in names} for row in sorted(rows, key=by_time)]


@answer
def clients_admitted(lake, ports=(5432, 443)):
    names = ("server_zone", "server_port", "client_zone", "verdict", "rule")
    rows = [
        row for row in lake.rows if row["action"] == "ACCEPT" and row["client_addr"] and row["server_port"] in ports
    ]
    return [
        named(
            names,
            key,
            clients=distinct(group, "client_addr"),
            servers=distinct(group, "server_addr"),
            records=len(group),
            **times(group),
        )
        for key, group in grouped(rows, *names).items()
    ]


@answer
def endpoint_usage(lake, endpoint_zones=("vpce", "control-plane-endpoint")):
    names = ("server_zone", "server_addr", "client_zone")
    answers = []
    for key, group in grouped([row for row in lake.rows if row["server_zone"] in endpoint_zones], *names).items():
        accepted = [row for row in group if row["action"] == "ACCEPT"]
        answers.append(
            named(
                names,
                key,
                clients=distinct(group, "client_addr"),
                accepted=len(accepted),
                rejected=len(group) - len(accepted),
                last_accepted=times(accepted)["last_seen"],
            )
        )
    return answers


@answer
def rejects_by_source_and_port(lake, rows=100):
    names = ("client_zone", "client_addr", "server_zone", "server_port", "protocol", "verdict")
    rejects = [row for row in lake.rows if row["action"] == "REJECT" and row["client_addr"]]
    answers = [
        named(names, key, records=len(group), servers=distinct(group, "server_addr"), **times(group))
        for key, group in grouped(rejects, *names).items()
    ]
    order = ("client_addr", "server_zone", "server_port", "protocol", "verdict", "client_zone")
    answers.sort(key=lambda row: (-row["records"], nulls_last(*(row[name] for name in order))))
    return answers[:rows]


@answer
def breaches_by_path(lake):
    names = ("client_zone", "server_zone", "server_port", "protocol", "reason")
    breaches = [row for row in lake.rows if row["verdict"] == "breach"]
    answers = [
        named(
            names,
            key,
            severity=worst(group),
            records=len(group),
            conversations=conversations(group),
            clients=distinct(group, "client_addr"),
            servers=distinct(group, "server_addr"),
            packets=once(group, "packets", LEG),
            bytes=once(group, "bytes", LEG),
            **times(group),
        )
        for key, group in grouped(breaches, *names).items()
    ]
    return sorted(answers, key=lambda row: (-SEVERITIES.index(row["severity"]), -row["records"]))


@answer
def outages(lake):
    names = ("client_zone", "server_zone", "server_port", "protocol", "rule", "reason")
    path = grouped([row for row in lake.rows if row["verdict"] == "expected"], *names[:4])
    answers = [
        named(
            names,
            key,
            severity=worst(group),
            records=len(group),
            clients=distinct(group, "client_addr"),
            servers=distinct(group, "server_addr"),
            accepted=len(path.get(key[:4], [])),
            **times(group),
        )
        for key, group in grouped([row for row in lake.rows if row["verdict"] == "outage"], *names).items()
    ]
    return sorted(answers, key=lambda row: (-SEVERITIES.index(row["severity"]), -row["records"]))


@answer
def traffic_matrix(lake):
    names = ("client_zone", "server_zone")
    answers = []
    for key, group in grouped([row for row in lake.rows if row["client_addr"]], *names).items():
        verdicts = Counter(row["verdict"] for row in group)
        answers.append(
            named(
                names,
                key,
                conversations=conversations(group),
                packets=once(group, "packets", LEG),
                bytes=once(group, "bytes", LEG),
                **{name: verdicts[name] for name in "expected breach attempt blocked outage stray".split()},
            )
        )
    return answers


@answer
def top_talkers(lake, rows=20):
    talkers = {}
    accepted = [
        {**row, "src_zone": src_zone(row), "dst_zone": dst_zone(row)}
        for row in ok(lake.rows)
        if row["action"] == "ACCEPT"
    ]
    for key, group in grouped(accepted, *TRAVEL, "src_zone", "dst_zone").items():
        src, _, dst, _, _, from_zone, to_zone = key
        moved = once(group, "bytes", TRAVEL)
        for address, zone, peer, place in ((src, from_zone, dst, 0), (dst, to_zone, src, 1)):
            talker = talkers.setdefault((address, zone), ([0, 0], set()))
            talker[0][place] += moved
            talker[1].add(peer)
    answers = [
        {"address": address, "zone": zone, "bytes_sent": sent, "bytes_received": received, "peers": len(peers)}
        for (address, zone), ((sent, received), peers) in talkers.items()
    ]
    answers.sort(key=lambda row: (-row["bytes_sent"] - row["bytes_received"], nulls_last(row["address"], row["zone"])))
    return answers[:rows]


@answer
def exposed_services(lake):
    names = ("server_zone", "server_port", "protocol", "service", "client_zone", "verdict", "rule")
    inside = inside_zones(lake)
    rows = [
        row
        for row in lake.rows
        if row["client_addr"]
        and row["action"] == "ACCEPT"
        and row["orientation"] != "reply"
        and row["verdict"] != "attempt"
        and row["server_zone"] in inside
        and row["client_zone"] not in inside
    ]
    return [
        named(
            names,
            key,
            clients=distinct(group, "client_addr"),
            servers=distinct(group, "server_addr"),
            records=len(group),
            **times(group),
        )
        for key, group in grouped(rows, *names).items()
    ]


@answer
def bytes_leaving(lake):
    names = ("src_zone", "dst_zone", "verdict")
    inside = inside_zones(lake)
    rows = [
        {**row, "src_zone": src_zone(row), "dst_zone": dst_zone(row)}
        for row in lake.rows
        if row["client_addr"] and row["action"] == "ACCEPT"
    ]
    leaving = [row for row in rows if row["src_zone"] in inside and row["dst_zone"] not in inside]
    answers = [
        named(
            names,
            key,
            sources=distinct(group, "src"),
            destinations=distinct(group, "dst"),
            packets=once(group, "packets", TRAVEL),
            bytes=once(group, "bytes", TRAVEL),
        )
        for key, group in grouped(leaving, *names).items()
    ]
    return sorted(answers, key=lambda row: -row["bytes"])


@answer
def silent_interfaces(lake, silence=timedelta(minutes=30)):
    answers = []
    log_end = times(lake.rows)["last_seen"]
    for (interface_id,), group in grouped([row for row in lake.rows if row["interface_id"]], "interface_id").items():
        statuses = Counter(row["log_status"] or "OK" for row in group)
        seen = times(group)
        if seen["last_seen"] and seen["last_seen"] < log_end - silence:
            state = "stopped"
        elif statuses["SKIPDATA"]:
            state = "gaps"
        elif not statuses["OK"]:
            state = "idle"
        else:
            continue
        counts = {"ok": statuses["OK"], "nodata": statuses["NODATA"], "skipdata": statuses["SKIPDATA"]}
        answers.append({"state": state, "interface_id": interface_id, **seen, **counts})
    answers.sort(key=lambda row: nulls_last(row["last_seen"], row["interface_id"]))
    return sorted(answers, key=lambda row: row["state"], reverse=True)


@answer
def unusual_sources(lake, recent=timedelta(hours=1), server_zones=None):
    names = ("client_zone", "client_addr", "server_zone", "server_port", "protocol")
    since = max(row["start"] for row in lake.rows if row["start"]) - recent
    rows = [
        row
        for row in lake.rows
        if row["client_addr"] and row["service"] and (server_zones is None or row["server_zone"] in server_zones)
    ]
    answers = []
    for key, group in grouped(rows, *names).items():
        service = [row for row in rows if (row["server_zone"], row["server_port"], row["protocol"]) == key[2:]]
        first_seen = times(group)["first_seen"]
        if first_seen < since or times(service)["first_seen"] >= since:
            continue
        answers.append(
            named(
                names,
                key,
                first_seen=first_seen,
                service=group[0]["service"],
                verdicts=sorted({row["verdict"] for row in group}),
                records=len(group),
            )
        )
    order = ("first_seen", "client_addr", "server_zone", "server_port", "protocol", "client_zone")
    return sorted(answers, key=lambda row: tuple(row[name] for name in order))


@answer
def port_scans(lake, min_ports=15, min_servers=25):
    rows = [
        {**row, "hour": row["start"] and row["start"].replace(minute=0, second=0, microsecond=0)}
        for row in lake.rows
        if row["client_addr"]
        and row["orientation"] != "reply"
        and row["protocol"] in (6, 17)
        and row["verdict"] in ("blocked", "attempt", "outage")
    ]
    answers = []
    for kind, fixed, varied, enough in (
        ("ports", "server_addr", "server_port", min_ports),
        ("servers", "server_port", "server_addr", min_servers),
    ):
        names = ("hour", "client_zone", "client_addr", fixed)
        for key, group in grouped(rows, *names).items():
            targets = distinct(group, varied)
            if targets >= enough:
                answers.append(
                    named(names, key, kind=kind, targets=targets, records=len(group), **{varied: None}, **times(group))
                )
    order = ("client_addr", "server_addr", "server_port", "client_zone")
    return sorted(
        answers,
        key=lambda row: (
            row["kind"],
            nulls_last(row["hour"]),
            -row["targets"],
            nulls_last(*(row[name] for name in order)),
        ),
    )


@answer
def verdicts_per_hour(lake):
    rows = [
        {**row, "hour": row["start"] and row["start"].replace(minute=0, second=0, microsecond=0)} for row in lake.rows
    ]
    answers = []
    for (hour,), group in grouped(rows, "hour").items():
        verdicts = Counter(row["verdict"] for row in group)
        names = "expected breach attempt blocked outage stray unmapped nodata gap".split()
        answers.append({"hour": hour, "records": len(group), **{name: verdicts[name] for name in names}})
    return answers


def alerts_in_order(lake):
    """Two alerts that are equally bad and old come in the order of their ids, which only the lake knows."""
    alerts = sorted(lake.alerts, key=lambda alert: alert["last_seen"] or datetime.min, reverse=True)
    return sorted(alerts, key=lambda alert: -SEVERITIES.index(alert["severity"]))


@answer
def alerts_overview(lake):
    names = (
        "severity confidence detector client_zone client_addr server_zone server_addr server_port protocol flows "
        "conversations bytes first_seen last_seen"
    ).split()
    return [named(names, [alert[name] for name in names], status="new") for alert in alerts_in_order(lake)]


@answer
def alert_records(lake, alert=None):
    names = (
        "start end interface_id srcaddr srcport dstaddr dstport protocol packets bytes action tcp_flags side "
        "orientation confidence verdict reason source line"
    ).split()
    records = alert["records"] if alert else set()
    rows = [row for row in lake.rows if (row["source"], row["line"]) in records]
    return [{name: row[name] for name in names} for row in sorted(rows, key=by_time)]


@answer
def address_story(lake, address=None):
    clients = grouped([row for row in lake.rows if row["client_addr"]], "client_addr")
    if address is None:

        def wickedness(item):
            verdicts = Counter(row["verdict"] for row in item[1])
            return -verdicts["breach"], -verdicts["attempt"], item[0]

        [address] = min(clients.items(), key=wickedness)[0]
    story = []
    for row in lake.rows:
        if row["client_addr"] == address:
            story.append({**row, "acts_as": "client", "peer": row["server_addr"], "peer_zone": row["server_zone"]})
        elif row["server_addr"] == address:
            story.append({**row, "acts_as": "server", "peer": row["client_addr"], "peer_zone": row["client_zone"]})
    names = ("acts_as", "peer", "peer_zone", "server_port", "protocol", "action", "verdict", "reason")
    answers = [
        named(
            names,
            key,
            records=len(group),
            packets=once(group, "packets", LEG),
            bytes=once(group, "bytes", LEG),
            **times(group),
        )
        for key, group in grouped(story, *names).items()
    ]
    order = "first_seen last_seen acts_as peer server_port protocol action verdict reason peer_zone".split()
    return sorted(answers, key=lambda row: nulls_last(*(row[name] for name in order)))


@answer
def attempt_outcomes(lake):
    one = ("client_zone", "client_addr", "client_port", "server_zone", "server_addr", "server_port", "protocol")
    names = ("outcome", "client_zone", "client_addr", "server_zone", "server_addr", "server_port", "protocol")
    rows = []
    for group in grouped([row for row in lake.rows if row["client_addr"]], *one).values():
        verdicts = {row["verdict"] for row in group}
        if "attempt" not in verdicts:
            continue
        breaches = [row["reason"] for row in group if row["verdict"] == "breach"]
        if any(not reason.endswith("/refused") for reason in breaches):
            outcome = "answered"
        elif breaches:
            outcome = "refused"
        else:
            outcome = "contained" if "blocked" in verdicts else "unseen"
        rows.append({**group[0], **times(group), "outcome": outcome, "seen": times(group)})
    answers = [
        named(
            names,
            key,
            conversations=len(group),
            first_seen=min(row["seen"]["first_seen"] for row in group),
            last_seen=max(row["seen"]["last_seen"] for row in group),
        )
        for key, group in grouped(rows, *names).items()
    ]
    order = ("client_addr", "server_addr", "server_port", "protocol", "client_zone", "server_zone")
    return sorted(
        answers, key=lambda row: (row["outcome"], -row["conversations"], nulls_last(*(row[name] for name in order)))
    )


@answer
def unanswered(lake):
    one = ("client_zone", "server_zone", "client_addr", "client_port", "server_addr", "server_port")
    verdicts = ("expected", "stray", "outage")
    kept = [
        row
        for row in lake.rows
        if row["orientation"] in ("request", "reply") and row["protocol"] == 6 and row["verdict"] in verdicts
    ]
    paths = {}
    for key, group in grouped(kept, *one).items():
        requests = [row for row in group if row["from_client"]]
        refused = any(row["verdict"] == "outage" for row in group)
        if not refused and any(row["verdict"] == "expected" for row in requests):
            arrived = any(row["side"] == "destination" for row in requests)
            path = paths.setdefault((*key[:2], *key[4:]), {"answered": 0, "missed": []})
            if any(row["action"] == "ACCEPT" and not row["from_client"] for row in group):
                path["answered"] += 1
            else:
                path["missed"].append((arrived, times(group)))
    answers = [
        {
            **dict(zip(("client_zone", "server_zone", "server_addr", "server_port"), key, strict=True)),
            "unanswered": len(path["missed"]),
            "arrived": sum(arrived for arrived, _ in path["missed"]),
            "answered": path["answered"],
            "first_seen": min(seen["first_seen"] for _, seen in path["missed"]),
            "last_seen": max(seen["last_seen"] for _, seen in path["missed"]),
        }
        for key, path in paths.items()
        if path["missed"]
    ]
    order = ("server_addr", "server_port", "client_zone", "server_zone")
    return sorted(answers, key=lambda row: (-row["unanswered"], nulls_last(*(row[name] for name in order))))


@answer
def rule_usage(lake):
    credits = [
        {**row, "rule": rule, "kind": "grant" if row["verdict"] in ("expected", "outage", "stray") else "invariant"}
        for row in lake.rows
        if row["rule"]
        for rule in row["rule"].split("+")
    ]
    answers = [
        named(
            ("kind", "rule"),
            key,
            records=len(group),
            against_the_map=sum(row["verdict"] in ("breach", "outage") for row in group),
            clients=distinct(group, "client_addr"),
            servers=distinct(group, "server_addr"),
            ports=distinct(group, "server_port"),
            **times(group),
        )
        for key, group in grouped(credits, "kind", "rule").items()
    ]
    return sorted(answers, key=lambda row: (row["kind"], -row["records"], row["rule"]))


@answer
def lake_contents(lake):
    names = ("account_id", "vpc_id")
    return [
        named(
            names,
            key,
            records=len(group),
            interfaces=distinct(group, "interface_id"),
            sources=distinct(group, "source"),
            **times(group),
        )
        for key, group in grouped(lake.rows, *names).items()
    ]
