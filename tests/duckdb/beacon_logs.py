"""Logs for the detector `beacon`: cases at each threshold, one below it and one above, and days of chance."""

import random
from datetime import datetime, timedelta
from itertools import accumulate

import lakes
from history_logs import Log, hit
from history_oracle import DAY, EPOCH

SECOND = timedelta(seconds=1)
#: How long the record of a call is.
LASTS = 59 * SECOND
QUARTER = 900
TODAY = datetime(2026, 5, 5)
SERVER = "9.9.9.9:443"

#: The settings of the cases; a zone's begin with what is set for all.
SETTINGS = {
    "enabled": True,
    "zones": {
        "web": {"conversations": 3, "hours": 0, "kilobytes": 1, "score": 75},
        "data": {"enabled": False},
    },
}
BEHIND_NAT = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action "
    "log-status pkt-srcaddr"
)


class Calls(Log):
    """A log of calls; those that a NAT gateway recorded are in another format."""

    def __init__(self):
        super().__init__()
        self.behind_nat = []
        self.hosts = iter(range(1, 255))

    def calls(self, host, begins, server=SERVER, *, day=TODAY, sent=1000, port=20000, **columns):
        """A call at each second of a day, each from the next port. `sent`: bytes of all, or of each."""
        sent = sent if isinstance(sent, list) else [sent] * len(begins)
        for number, (begin, size) in enumerate(zip(begins, sent, strict=True)):
            self.add(day + begin * SECOND + LASTS, f"{host}:{port + number}", server, bytes=size, **columns)

    def without_start(self, host, port, sent):
        """A record of which only the end is known."""
        self.line(TODAY + DAY / 2, "eni-a", f"{host} 9.9.9.9 {port} 443 6 1 {sent} TIMES ACCEPT OK")

    def case(self, flows, begins=(), zone=1, **calls):
        """A host of its own that calls; as many flows as its one alert has, 0: it has none; None: told elsewhere."""
        host = f"10.50.{zone}.{next(self.hosts)}"
        self.calls(host, begins, **calls)
        if flows is not None:
            self.comes(host, flows)
        return host

    def comes(self, host, flows, day=TODAY, **more):
        self.expect("beacon", {"client_addr": host}, *([hit("low", day, DAY, flows, **more)] if flows else []))

    def write(self, folder):
        """Two files a day, of every other line, each in a folder of its own by the half of the days it is in."""
        days = sorted(self.days)
        for number, day in enumerate(days):
            half = "early" if number < len(days) // 2 else "late"
            for part in (0, 1):
                lakes.write_log(folder / f"{half}-{part}" / f"{day}.log.gz", self.days[day][part::2])
        if self.behind_nat:
            lakes.write_log(folder / "early-0" / "nat.log.gz", self.behind_nat, BEHIND_NAT)


def every(pause, count, first=3 * 3600):
    return [first + number * pause for number in range(count)]


def after(pauses, first=3 * 3600):
    return list(accumulate(pauses, initial=first))


def cases():
    log = Calls()
    for some in (regular, thresholds, regularity, calls, times, ports, interfaces, zones, not_counted):
        some(log)
    return log


def regular(log):
    """A call each quarter of an hour, with all that its alert says."""
    ends = {"client_zone": "app", "server_zone": "internet", "server_addr": "9.9.9.9", "server_port": 443}
    seen = {"first_seen": TODAY, "last_seen": TODAY + DAY - 841 * SECOND}
    log.calls("10.50.1.254", every(QUARTER, 96, 0))
    log.comes("10.50.1.254", 96, client_addr="10.50.1.254", **ends, protocol=6, **seen, bytes=None, verdict=None)
    log.case(96, every(QUARTER, 96, 0), zone=2)
    # the gateway stands in the zone that the settings make the most of
    for number, begin in enumerate(every(QUARTER, 24)):
        start = (TODAY - EPOCH) // SECOND + begin
        fields = f"10.50.4.254 9.9.9.9 {1024 + number} 443 6 1 1000 {start} {start + 59} ACCEPT OK 10.50.1.253"
        log.behind_nat.append(f"2 123456789012 eni-nat {fields}")
    log.comes("10.50.1.253", 24)
    log.comes("10.50.4.254", 0)


def thresholds(log):
    for count, flows in ((23, 0), (24, 24), (25, 25)):
        log.case(flows, every(QUARTER, count))
    for last, flows in ((14399, 0), (14400, 25), (14401, 25)):
        log.case(flows, [*every(600, 24, 0), last])
    for last, flows in ((19_999, 24), (20_000, 24), (20_001, 0)):
        log.case(flows, every(QUARTER, 24), sent=[20_000] * 23 + [last])


def regularity(log):
    """Of 400 points 360 are a score of 90. What is not told of has 100."""

    def pauses(low, high, lows=6, middles=7):
        return [1000 - low] * lows + [1000] * middles + [1000 + high] * (24 - lows - middles)

    # a deviation of 39, 40, 40 and 41, and no skew: the first quarter is the middle
    for jitter, flows in ((399, 25), (400, 25), (409, 25), (410, 0)):
        log.case(flows, after(pauses(jitter, jitter)))
    # a deviation of 10, and a skew of 29 (86 of 286 is 30), 30, 30 and 31 of the upper quarter
    for high, flows in ((185, 25), (186, 25), (189, 25), (190, 0)):
        log.case(flows, after(pauses(100, high, lows=7, middles=11)))
    # as symmetrical as can be; and the like of lower quarters, a skew of 30 and of 31
    log.case(25, after(pauses(100, 100, lows=7, middles=6)))
    for low, flows in ((189, 25), (190, 0)):
        log.case(flows, after(pauses(low, 100, lows=7, middles=11)))
    # a spread of 99 thousandths of the middle is no skew, one of 100 is
    for high, flows in ((89, 25), (90, 0)):
        log.case(flows, after(pauses(10, high, lows=7, middles=11)))
    # eight hours of four calls: deviations of 39, 40, 40 and 41
    for jitter, flows in ((399, 32), (400, 32), (409, 32), (410, 0)):
        hours = [1000 - jitter] * 2 + [1000] * 3 + [1000 + jitter] * 3
        log.case(flows, every(QUARTER, 32), sent=[size for size in hours for _ in range(4)])
    # the sizes are the means of hours: what differs within one does not count, nor does what is left of a division
    log.case(32, every(QUARTER, 32), sent=[10, 190, 1790, 2010] * 8)
    log.case(32, every(QUARTER, 32), sent=[0, 0, 0, 4, 0, 0, 0, 7] * 4)
    # nothing was sent: no size is near to a middle of 0
    log.case(0, every(QUARTER, 24), sent=0)
    log.case(0, every(QUARTER, 24), sent="-")
    # no two begin alike
    log.case(0, after([60 * (1 + number * number % 23) for number in range(30)]))


def calls(log):
    """A port is a call, which begins once; those of the same second are one."""
    log.case(0, [*every(QUARTER, 23), 3 * 3600])
    for sent, flows in ((0, 25), (1, 0)):
        log.case(flows, [*every(QUARTER, 24), 3 * 3600], sent=[20_000] * 24 + [sent])
    # one connection that lasts all day, one port for all calls, and one of them used twice
    for begins in (every(QUARTER, 96, 0), every(60, 1440, 0)):
        host = log.case(0)
        for begin in begins:
            log.calls(host, [begin])
    for count, flows in ((23, 0), (24, 25)):
        host = log.case(flows, every(QUARTER, count))
        log.calls(host, [3 * 3600 + QUARTER * count])
    host = log.case(0)
    for begin in every(QUARTER, 96, 0):
        log.calls(host, [begin], "9.9.9.9:123", port=123, protocol=17)
        log.calls(host, [begin], "9.9.9.9:9000", port=9123, protocol=17)
    # records that go on, the later first
    host = log.case(72)
    for later in (400, 130, 0):
        log.calls(host, every(QUARTER, 24, 3 * 3600 + later))
    # of another server, port or protocol they are others'
    for server, other in ((SERVER, "9.9.9.8:443"), (SERVER, "9.9.9.9:9000")):
        host = log.case(0, every(2 * QUARTER, 12))
        log.calls(host, every(2 * QUARTER, 12, 3 * 3600 + QUARTER), other, port=30000)
    host = log.case(0, every(2 * QUARTER, 12), server="9.9.9.9:9000")
    log.calls(host, every(2 * QUARTER, 12, 3 * 3600 + QUARTER), "9.9.9.9:9000", port=30000, protocol=17)
    log.case(24, every(QUARTER, 24), server="9.9.9.9:9000", protocol=17)


def times(log):
    tomorrow = TODAY + DAY
    # each day is judged alone
    log.case(0, every(QUARTER, 24, 86400 - 12 * QUARTER))
    host = log.case(None, every(QUARTER, 23, 86400 - 23 * QUARTER))
    log.calls(host, every(QUARTER, 24, 0), day=tomorrow)
    log.comes(host, 24, tomorrow)
    host = log.case(None, every(QUARTER, 96, 43200))
    log.expect("beacon", {"client_addr": host}, *(hit("low", day, DAY, 48) for day in (TODAY, tomorrow)))
    # a record is of the day in which it ends, and begins there in the first second at the earliest
    for last, flows in ((14399, 0), (14400, 25)):
        host = log.case(None)
        log.calls(host, [-30, *every(600, 23, 600), last], day=tomorrow)
        log.comes(host, flows, tomorrow, first_seen=tomorrow - 30 * SECOND)
    # without a start it is no call, but its bytes and it itself count
    for count, flows in ((23, 0), (24, 25)):
        log.without_start(log.case(flows, every(QUARTER, count)), 30000, 1000)
    for sent, flows in ((0, 25), (1, 0)):
        log.without_start(log.case(flows, every(QUARTER, 24), sent=20_000), 30000, sent)
    # without an end it is of the time at which it starts
    host = log.case(None)
    for number, begin in enumerate(every(QUARTER, 24)):
        start = TODAY + begin * SECOND
        log.line(None, "eni-a", f"{host} 9.9.9.9 {20000 + number} 443 6 1 900 TIMES ACCEPT OK", start)
    log.comes(host, 24, last_seen=TODAY + (3 * 3600 + 23 * QUARTER) * SECOND)


def ports(log):
    each_minute = every(60, 1440, 0)
    log.case(1439, each_minute[1:])
    log.case(1440, each_minute)
    log.case(0, [*each_minute, 600])
    log.without_start(log.case(1441, each_minute), 30000, 1000)
    # one of them again; and on another day it is another matter
    host = log.case(1441, each_minute)
    log.calls(host, [30])
    host = log.case(None, [*each_minute, 600])
    log.calls(host, every(QUARTER, 24), day=TODAY + DAY)
    log.comes(host, 24, TODAY + DAY)


def interfaces(log):
    """Bytes and rows of an hour are each those of the interface that recorded most of them."""
    begins = every(QUARTER, 24)
    # no interface is one too
    for interface in ("eni-b", "-"):
        for sent, flows in ((20_000, 48), (20_001, 0)):
            host = log.case(flows, begins, sent=20_000)
            log.calls(host, begins, sent=[20_000] * 23 + [sent], interface=interface)
    # by turns, which no interface alone has seen
    for sent, flows in ((20_000, 48), (20_001, 0)):
        by_turns = [sent * (number // 4 % 2) for number in range(24)]
        host = log.case(flows, begins, sent=by_turns)
        log.calls(host, begins, sent=[0 if size else 20_000 for size in by_turns], interface="-")
    # half of the hours twice: as many rows in each
    host = log.case(36, begins)
    log.calls(host, begins[:12], interface="eni-b")
    # half of the hours in one record, of more bytes than the four
    host = log.case(27, begins)
    log.calls(host, begins[:12:4], sent=4004, interface="-")


def zones(log):
    """Settings are those of the client's zone; its parent's do not count."""
    begins = every(QUARTER, 24)
    log.case(0, begins, zone=10)
    log.case(24, begins, zone=11)
    log.case(24, begins, zone=200)
    for count, flows in ((2, 0), (3, 3), (4, 4)):
        log.case(flows, every(QUARTER, count), zone=4)
    log.case(3, every(1, 3), zone=4)
    log.case(0, every(QUARTER, 3))
    for last, flows in ((999, 3), (1000, 3), (1001, 0)):
        log.case(flows, every(QUARTER, 3), zone=4, sent=[1000, 1000, last])
    # the pauses have 200 points and 199, the sizes 100
    for pauses, flows in (([1000] * 9, 10), ([990] * 3 + [1000] * 3 + [1010] * 3, 0)):
        log.case(flows, after(pauses), zone=4, sent=0)


def not_counted(log):
    """What is refused, comes back, is guessed, or goes elsewhere. Beside as many that count it is no flow of theirs."""
    begins = every(QUARTER, 24)
    log.case(0, begins, action="REJECT")
    # nobody knows a service at this port, of this protocol
    log.case(0, begins, server="9.9.9.9:80")
    log.case(0, begins, server="9.9.9.9:443", protocol=17)
    log.case(0, begins, server="9.9.9.9:443", protocol=47)
    log.case(0, begins, server="10.50.4.250:443")
    log.case(0, begins, server="198.51.100.1:443")
    only_replies, beside = log.case(0), log.case(24, begins)
    log.calls(beside, [begin + 60 for begin in begins], action="REJECT", port=30000, sent=10**6)
    for host in (only_replies, beside):
        for number, begin in enumerate(begins):
            time = TODAY + begin * SECOND + LASTS
            log.add(time, SERVER, f"{host}:{20000 + number}", bytes=10**6)
    # into the VPC
    for number, begin in enumerate(begins):
        log.add(TODAY + begin * SECOND + LASTS, f"9.9.9.9:{20000 + number}", "10.50.4.250:443")
    log.comes("9.9.9.9", 0)
    # no ports are known, and no time
    host = log.case(0, begins[:23])
    log.line(TODAY + begins[23] * SECOND, "eni-a", f"{host} 9.9.9.9 - 443 6 1 900 TIMES ACCEPT OK", TODAY)
    log.days[TODAY.date()].append(f"2 123456789012 eni-a {host} 9.9.9.9 30000 443 6 1 900 - - ACCEPT OK")


SEEDS = (2, 5, 8)
SOUP_DAYS = 3


def soup(seed):
    """Three days of hosts that call servers of the internet, from strictly to by chance."""
    rng = random.Random(seed)
    log = Calls()
    for number in range(90):
        host = f"10.50.{rng.choice([1, 2, 3, 4, 10, 11, 200])}.{rng.randint(1, 60)}"
        server = f"9.9.9.{rng.randrange(30)}:{rng.choice([443, 443, 9000, 80])}"
        caller(rng, log, host, server, rng.randrange(1024, 50000))
    return log


def caller(rng, log, host, server, port):
    """The calls of one program on a host, as its interface and perhaps the gateway's record them."""
    pause = rng.choice([30, 60, 300, 600, 900, 1800, 3600])
    jitter = rng.choice([0, 0.02, 0.1, 0.3, 0.6, 1])
    size = rng.choice([100, 1000, 15_000, 20_000, 40_000])
    spread = rng.choice([0, 0.05, 0.3, 0.8])
    missed, again, copied = (rng.choice([0, 0, 0.02, 0.3]) for _ in range(3))
    time = TODAY + rng.randrange(86400) * SECOND
    last = min(time + rng.choice([3, 5, 12, 48]) * DAY / 24, TODAY + SOUP_DAYS * DAY)
    while time < last:
        wait = rng.expovariate(1 / pause) if jitter == 1 else pause * rng.uniform(1 - jitter, 1 + jitter)
        time += max(1, round(wait)) * SECOND
        if rng.random() < missed:
            continue
        # a port that is taken again soon, by chance that of a call before
        port = 1024 + (port + rng.choice([1, 1, 1, 1, 0 if again else 1]) - 1024) % (60000 if again < 0.1 else 200)
        for part in range(3 if rng.random() < again else 1):
            sent = round(size * rng.uniform(1 - spread, 1 + spread))
            action = "REJECT" if rng.random() < 0.01 else "ACCEPT"
            columns = {"bytes": sent if rng.random() < 0.99 else "-", "action": action}
            end = time + part * 60 * SECOND + LASTS
            log.add(end, f"{host}:{port}", server, interface=f"eni-{host}", **columns)
            if rng.random() < copied:
                log.add(end + rng.randrange(-20, 20) * SECOND, f"{host}:{port}", server, interface="-", **columns)
            if rng.random() < 0.3:
                log.add(end, server, f"{host}:{port}", interface=f"eni-{host}", bytes=sent)
            if rng.random() < 0.01:
                ends = f"{host} {server.replace(':', f' {port} ')} 6 1 {sent} TIMES ACCEPT OK"
                log.line(end, "eni-b", ends)
                log.line(None, "eni-b", ends, time)
