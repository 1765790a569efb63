"""Logs for the detectors that compare with the days before: a map, a log line by line, and ten days of chance."""

import random
from datetime import datetime, timedelta

import lakes
from history_oracle import EPOCH, MINUTE

MAP = """
version = 1
name = "history"
default = "deny"
rule = [
    { id = "databases", from = ["app"], to = ["data", "vault"], service = ["postgresql", "pool"] },
    { id = "web", from = ["app", "worker"], to = ["web"], service = ["https", "pool"] },
    { id = "open", from = ["internet", "app"], to = ["web", "portal"], service = ["https"], exposure = "accepted" },
    { id = "out", from = ["app", "worker"], to = ["internet", "partner"], service = ["https"], exposure = "accepted" },
    { id = "probe", side = "egress", from = ["app"], to = ["web"], service = ["probe"] },
]
invariant = [
    { id = "vault-only-from-app", kind = "only-from", zone = ["vault"], allow = ["app"] },
    { id = "stays", kind = "confined", zone = ["worker"], exits = [{ to = ["internet"], service = ["https"] }] },
]

[vpc.main]
id = "vpc-0123456789abcdef0"
cidrs = ["10.50.0.0/16"]

[service]
postgresql = { tcp = ["5432"], udp = ["5432"] }
https = { tcp = ["443"] }
pool = { tcp = ["9000-9099"], udp = ["9000-9099"] }
probe = { tcp = ["7777"] }

[eni.eni-prober]
addresses = ["10.50.1.77"]
zone = "app"

[zone]
app = { cidrs = ["10.50.1.0/24"] }
worker = { cidrs = ["10.50.2.0/23"] }
batch = { cidrs = ["10.50.3.0/24"], parent = "worker" }
web = { cidrs = ["10.50.4.0/24"] }
data = { cidrs = ["10.50.10.0/23"], tags = ["data"] }
orders = { cidrs = ["10.50.11.0/24"], parent = "data" }
vault = { cidrs = ["10.50.12.0/24"] }
portal = { cidrs = ["10.50.13.0/24"], tags = ["data"] }
partner = { cidrs = ["198.51.100.0/24"] }
"""
#: Small protected zones, of which a case may have one for itself.
MAP += "\n".join(f'cell-{n} = {{ cidrs = ["10.50.{100 + n}.0/24"], tags = ["data"] }}' for n in range(30))


class Log:
    """Lines of AWS's default format by day, and what is to come of them."""

    def __init__(self):
        self.days = {}
        self.expected = []

    def line(self, time, interface, fields, start=None):
        times = " ".join("-" if at is None else str((at - EPOCH) // timedelta(seconds=1)) for at in (start, time))
        fields = fields.replace("TIMES", times)
        self.days.setdefault((time or start).date(), []).append(f"2 123456789012 {interface} {fields}")

    def nodata(self, time, interface):
        self.line(time, interface, "- - - - - - - TIMES - NODATA", time)

    def add(self, time, src, dst, *, interface="eni-a", action="ACCEPT", protocol=6, packets=20, bytes=900, count=1):
        """`count` records that end at a time. An address is the client's, with `:port` the server's."""
        for number in range(count):
            (srcaddr, srcport), (dstaddr, dstport) = (
                end.split(":") if ":" in end else (end, 40000 + number) for end in (src, dst)
            )
            ends = f"{srcaddr} {dstaddr} {srcport} {dstport} {protocol}"
            start = time - timedelta(seconds=59)
            self.line(time, interface, f"{ends} {packets} {bytes} TIMES {action} OK", start)

    def expect(self, detector, where, *found):
        """What comes of a case: all alerts of a detector with these columns, in order of time."""
        self.expected.append((detector, where, found))

    def write(self, folder):
        """One file a day, in the folder `early` or `late` by the half of the days it is in."""
        days = sorted(self.days)
        for number, day in enumerate(days):
            half = "early" if number < len(days) // 2 else "late"
            lakes.write_log(folder / half / f"{day}.log.gz", self.days[day])


def hit(severity, start, span, flows, **more):
    """An alert that is to come: its window begins at `start` and lasts for `span`."""
    return {"severity": severity, "window_start": start, "window_end": start + span, "flows": flows, **more}


SEEDS = (1, 3, 12)
SOUP_DAYS = 10
ZONES = {"1": 4, "2": 2, "3": 1, "4": 3, "10": 3, "11": 1}


def soup(seed):
    """Ten days of hosts that do what the map allows, and now and then something else."""
    rng = random.Random(seed)
    log = Log()
    first = datetime(2026, 9, 1)
    minutes = SOUP_DAYS * 1440
    hosts = [f"10.50.{zone}.{number}" for zone, many in ZONES.items() for number in range(1, many + 1)]
    of_zone = {zone: [host for host in hosts if host.split(".")[2] == zone] for zone in ZONES}
    off = {host: [] for host in hosts}

    def pause(some, longest, shortest=20):
        start, length = rng.randrange(minutes), rng.randint(shortest, longest)
        for host in some:
            off[host].append((start + rng.randint(-9, 9), start + length + rng.randint(-9, 9)))

    for host in hosts:
        for _ in range(rng.randrange(4)):
            pause([host], 400)
    for zone in ("1", "4", "10"):
        pause(of_zone[zone], 500, 60)
    for _ in range(3):
        start, length = rng.randrange(minutes), rng.randint(50, 75)
        for host in hosts:
            off[host].append((start, start + length))
    off = {host: {minute for span in spans for minute in range(*span)} for host, spans in off.items()}

    def seen(minute, host):
        return 0 <= minute < minutes and minute not in off[host]

    def flow(minute, src, dst, seen_by=0.9, count=1, **columns):
        """Records of one minute, at the interfaces of both ends, if these work."""
        for end in (src, dst):
            host = end.split(":")[0]
            if host in off and seen(minute, host) and rng.random() < seen_by:
                time = first + minute * MINUTE + timedelta(seconds=rng.randrange(60))
                log.add(time, src, dst, interface=f"eni-{host}", count=count, **columns)

    for host in hosts:
        rhythm = rng.choice([5, 7, 10, 12, 15, 18])
        for minute in range(0, minutes, rhythm):
            if seen(minute, host):
                log.nodata(first + minute * MINUTE, f"eni-{host}")

    apps, workers, webs, stores = of_zone["1"], of_zone["2"] + of_zone["3"], of_zone["4"], of_zone["10"] + of_zone["11"]
    for hour in range(SOUP_DAYS * 24):

        def some(hour=hour):
            return hour * 60 + rng.randrange(60)

        for app in apps:
            flow(some(), app, f"{rng.choice(stores)}:5432", bytes=rng.randint(100, 10**6))
            if rng.random() < 0.2:
                flow(some(), app, f"{rng.choice(stores)}:5432", count=rng.randint(1, 12), packets=rng.randint(4, 17))
            if rng.random() < 0.01:
                for later in range(rng.randint(1, 3)):
                    flow(some(hour + later), app, f"{stores[0]}:5432", count=rng.randint(60, 180), packets=12)
        for host in apps + workers + stores:
            if rng.random() < 0.15:
                flow(some(), host, f"9.9.9.{rng.randrange(4)}:443", bytes=int(rng.lognormvariate(17, 1)))
            if rng.random() < 0.01:
                for later in range(rng.randint(1, 3)):
                    flow(some(hour + later), host, "9.9.9.1:443", bytes=rng.randrange(4 * 10**8, 4 * 10**9))
        for web in webs:
            flow(some(), f"{web}:443", f"9.9.9.{rng.randrange(200)}", bytes=rng.randint(100, 10**6))
            flow(some(), rng.choice(workers), f"{web}:443")
            if rng.random() < 0.02:
                flow(some(), web, f"{stores[0]}:5432", action="REJECT", count=rng.randint(1, 90))
            if rng.random() < 0.01:
                for later in range(rng.randint(1, 3)):
                    flow(some(hour + later), web, f"{stores[1]}:22", action="REJECT", count=rng.randint(70, 200))
        if rng.random() < 0.3:
            many = rng.choice([3, 7, 150]) if rng.random() < 0.1 else 5
            for number in range(many):
                flow(some(), f"9.9.{number}.9", f"{stores[2]}:5432", 1, action="REJECT")
        # ports with clients, or servers, that are mostly the same, that change, and a crowd
        if rng.random() < 0.2:
            flow(some(), f"10.50.1.{rng.choice([20, 20, 20, 20, 21, 22])}", f"{stores[0]}:{rng.choice([9001, 9002])}")
            flow(some(), workers[0], f"10.50.4.{rng.choice([20, 20, 20, 20, 21, 22])}:9003", 1)
        if rng.random() < 0.05:
            flow(some(), f"10.50.1.{rng.randrange(30, 250)}", f"{stores[1]}:9004", 1)
            flow(some(), workers[1], f"10.50.4.{rng.randrange(30, 250)}:9005")
        if rng.random() < 0.02:
            port = rng.choice([9006, 9007, 9008])
            for number in range(rng.randint(8, 16)):
                flow(some(), f"10.50.1.{30 + number}", f"{stores[0]}:{port}", 1)
                flow(some(), workers[2], f"10.50.4.{30 + number}:{port}")
                flow(some(), webs[0], f"{stores[3]}:{9010 + number}", protocol=rng.choice([6, 17]))
        if rng.random() < 0.1:
            flow(some(), rng.choice(hosts), f"{rng.choice(stores)}:{rng.randrange(9000, 9030)}")
            flow(some(), f"9.9.9.{rng.randrange(9)}", f"{rng.choice(stores)}:{rng.randrange(700, 710)}", bytes=9)
            flow(some(), f"{rng.choice(stores)}:{rng.randrange(9000, 9030)}", rng.choice(apps))
    # hours in a row about midnight, mostly of somebody who did less before
    for midnight in range(24, SOUP_DAYS * 24, 24):
        for host in rng.sample(apps + workers + stores, 3):
            for hour, times in night(rng, midnight):
                flow(some(hour), host, "9.9.9.2:443", 1, bytes=int(6 * 10**8 * times))
        for app, web in zip(rng.sample(apps, 2), rng.sample(webs, 2), strict=True):
            server, port = f"10.50.{rng.choice([10, 11])}.{rng.choice([50, 51])}", rng.choice([5432, 9050])
            for hour, times in night(rng, midnight):
                flow(some(hour), app, f"{server}:{port}", 1, count=int(100 * times), packets=12)
            for hour, times in night(rng, midnight):
                flow(some(hour), web, f"{server}:22", 1, action="REJECT", count=int(100 * times))
    # times that are missing, lines that say nothing, and records that end in another hour than they begin in
    ends = f"{apps[0]} {stores[0]} 40000 5432 6 5 500 TIMES ACCEPT OK"
    for _ in range(200):
        time = first + rng.randrange(minutes * 60) * timedelta(seconds=1)
        log.line(time, f"eni-{apps[0]}", ends, time - rng.randrange(600) * timedelta(seconds=1))
        log.line(None, "-", ends, time)
        log.line(time, "-", "- - - - - - - TIMES - SKIPDATA")
    log.days[first.date()].append("2 123456789012 eni-x 10.50.1.1 10.50.10.1 1024 5432 6 1 40 - - ACCEPT OK")
    return log


def night(rng, midnight):
    """Hours in a row about a midnight, and how much of something is in each; in some it may be less."""
    level, lesser = rng.choice([1, 1, 1.4, 2]), rng.choice([0, 0, 0.1, 0.3])
    for hour in range(midnight - rng.choice([0, 1, 1, 2, 3, 6]), midnight + rng.choice([1, 2, 3, 5, 12, 14])):
        yield hour, level * (rng.choice([0, 0.8]) if rng.random() < lesser else rng.choice([1, 1, 1, 1.2, 1.6]))
