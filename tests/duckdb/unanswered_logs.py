"""Logs for the detector `unanswered`: cases whose alerts are known by hand, and three days of chance."""

import random
from datetime import datetime, timedelta
from itertools import count

import lakes
from history_oracle import DAY, EPOCH, HOUR, MINUTE

SECOND = timedelta(seconds=1)
FIRST = datetime(2026, 3, 30)
FORMAT = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action "
    "log-status tcp-flags pkt-srcaddr vpc-id"
)
VPC, OTHER_VPC = "vpc-0123456789abcdef0", "vpc-0123456789abcdef1"
SYN, SYN_ACK = 2, 18

MAP = f"""
version = 1
name = "unanswered"
default = "deny"
rule = [
    {{ id = "pool", from = ["app", "batch"], to = ["data", "partner"], service = ["pool"] }},
    {{ id = "wide", from = ["app"], to = ["data"], service = ["wide"] }},
    {{ id = "open", from = ["internet", "app"], to = ["web"], service = ["pool"], exposure = "accepted" }},
    {{ id = "out", from = ["app"], to = ["internet"], service = ["pool"], exposure = "accepted" }},
    {{ id = "peers", from = ["app"], to = ["app"], service = ["pool"] }},
    {{ id = "twins", from = ["twin"], to = ["twin"], service = ["pool"] }},
]

[vpc]
main = {{ id = "{VPC}", cidrs = ["10.60.0.0/16", "fd00:60::/32"] }}
other = {{ id = "{OTHER_VPC}", cidrs = ["10.60.0.0/16"] }}

[service]
pool = {{ tcp = ["7000-7999"], udp = ["7000-7999"] }}
# too wide to tell the server's end by it
wide = {{ tcp = ["20000-29999"] }}

[zone]
app = {{ vpc = "main", cidrs = ["10.60.1.0/24", "fd00:60:1::/48"] }}
batch = {{ vpc = "main", cidrs = ["10.60.2.0/24"] }}
data = {{ vpc = "main", cidrs = ["10.60.10.0/23", "fd00:60:10::/48"] }}
orders = {{ vpc = "main", cidrs = ["10.60.11.0/24"], parent = "data" }}
web = {{ vpc = "main", cidrs = ["10.60.12.0/24"] }}
# the same addresses in another VPC
twin = {{ vpc = "other", cidrs = ["10.60.0.0/16"] }}
partner = {{ cidrs = ["198.51.100.0/24"] }}
"""
#: What a record says if nothing else is asked for.
USUAL = {"interface": "eni-a", "protocol": 6, "packets": 3, "bytes": 180, "action": "ACCEPT", "flags": "-"}
USUAL |= {"behind": "-", "vpc": VPC}


class Calls:
    """A log in parts, which are the files of its days, and what is to come of it."""

    def __init__(self):
        self.parts = {}
        self.expected = []
        self.numbers = count()

    def record(self, time, src, dst, *, known="start end", part=None, **columns):
        """`known` says which times are; `behind` is who sent it, where the source is a gateway."""
        begin = time - 9 * SECOND if "end" in known else time
        start, end = (stamp(at) if name in known else "-" for name, at in (("start", begin), ("end", time)))
        (srcaddr, srcport), (dstaddr, dstport) = src.rsplit(":", 1), dst.rsplit(":", 1)
        columns = USUAL | columns
        assert columns.keys() == USUAL.keys()
        fields = "{interface} {ends} {protocol} {packets} {bytes} {times} {action} OK {flags} {behind} {vpc}"
        ends, times = f"{srcaddr} {dstaddr} {srcport} {dstport}", f"{start} {end}"
        self.line(time, fields.format(ends=ends, times=times, **columns), part)

    def line(self, time, fields, part=None):
        """A line in the file of its day, or of another one."""
        part = time.date() if part is None else part
        self.parts.setdefault(str(part), []).append(f"7 123456789012 {fields}")

    def nodata(self, time, status="NODATA", part=None):
        self.line(time, f"eni-quiet - - - - - - - {stamp(time - MINUTE)} {stamp(time)} - {status} - - -", part)

    def calls(self, server, times, client="10.60.1.1:40000", **columns):
        for time in times:
            self.record(time, client, server, **columns)

    def answers(self, server, times, client="10.60.1.1:40000", packets=9, bytes=9000, **columns):
        for time in times:
            self.record(time, server, client, packets=packets, bytes=bytes, **columns)

    def server(self, zone="10.60.10", first_port=7000):
        """A port of its own for a case."""
        number = next(self.numbers)
        return f"{zone}.{1 + number // 20}:{first_port + number % 20}"

    def case(self, calls, *found, answers=(), server=None):
        """Calls and answers of a server, and the alerts that are to come of it, with what is added later."""
        server = server or self.server()
        self.calls(server, calls)
        self.answers(server, answers)
        self.expected.append((server, found))
        return server

    def write(self, folder):
        for part, lines in self.parts.items():
            lakes.write_log(folder / part / "flow.log.gz", lines, FORMAT)


def stamp(time):
    """Seconds, or where there are parts of one milliseconds."""
    unit = timedelta(milliseconds=1) if time.microsecond else SECOND
    return (time - EPOCH) // unit


def at(clock, day=0):
    """A time by the clock of a day: 10:00, 10:00:59 or 10:00:59.999; the next day begins at 24:00."""
    hours, minutes, *seconds = clock.split(":")
    return FIRST + day * DAY + timedelta(hours=int(hours), minutes=int(minutes), seconds=float(*seconds or ["0"]))


def pane(clock, many, day=0):
    """So many times in the ten minutes that begin here."""
    return [at(clock, day) + (number + 1) * MINUTE for number in range(many)]


def hourly(begin, end):
    """Three calls in the ten minutes that begin here, and in those of each hour after it."""
    hours = (at(end) - at(begin)) // HOUR
    return [time + hour * HOUR for hour in range(hours + 1) for time in pane(begin, 3)]


def hit(start, end, flows, day=0, **more):
    return {"window_start": at(start, day), "window_end": at(end, day), "flows": flows, **more}


TEN = hit("10:00", "10:10", 3)


def cases():
    log = Calls()
    counted = (whole, thresholds, answers, others, interfaces, together, times)
    for some in (*counted, midnight, nights, lateness, zones, not_counted):
        some(log)
    for day in (0, 1, 2):
        log.nodata(at("23:59:59", day))
    return log


def whole(log):
    """All that an alert says."""
    server = log.case(
        [at("10:00:05"), at("10:04"), at("10:09:59")],
        {
            **{"detector": "unanswered", "severity": "medium", "verdict": "expected", "rule": None},
            **{"client_zone": None, "client_addr": None, "server_zone": "data", "server_addr": "10.60.10.1"},
            **{"server_port": 7000, "protocol": 6, "flows": 3, "window_start": at("10:00"), "window_end": at("10:10")},
            **{"first_seen": at("9:59:56"), "last_seen": at("10:09:59")},
        },
    )
    assert server == "10.60.10.1:7000"


def thresholds(log):
    for many, flows in ((2, 0), (3, 3), (4, 4)):
        log.case(pane("10:00", many), *([hit("10:00", "10:10", flows)] if flows else []))
    # a pane has its first second, and not that of the next one
    log.case([at("10:00"), at("10:05"), at("10:09:59.999")], TEN)
    log.case([at("10:00"), at("10:05"), at("10:10")])
    log.case([at("9:59:59.999"), at("10:05"), at("10:06")])
    # (packets, bytes) of the third call
    for size in ((7, 448), (7, 447), (1, 64), (1, 40), (0, 0)):
        server = log.case(pane("10:00", 2), TEN)
        log.calls(server, [at("10:05")], packets=size[0], bytes=size[1])
    for size in ((8, 512), (8, 40), (7, 449), (1, 65), (0, 1), ("-", 40), (1, "-"), ("-", "-")):
        server = log.case(pane("10:00", 2))
        log.calls(server, [at("10:05")], packets=size[0], bytes=size[1])


def answers(log):
    for when in ("10:00", "10:05", "10:09:59.999", "10:10", "10:19:59.999"):
        log.case(pane("10:00", 3), answers=[at(when)])
    for when in ("9:59:59.999", "10:20"):
        log.case(pane("10:00", 3), TEN, answers=[at(when)])
    # it may be of any size, and to anybody
    for size in ((1, 40), (10**6, 10**9), (0, 0), ("-", "-")):
        server = log.case(pane("10:00", 3))
        log.answers(server, [at("10:05")], packets=size[0], bytes=size[1])
    for client in ("10.60.1.1:50000", "10.60.1.9:40000", "10.60.2.9:40000"):
        server = log.case(pane("10:00", 3))
        log.answers(server, [at("10:05")], client)
    server = log.case(pane("10:00", 3), server=log.server("10.60.12"))
    log.answers(server, [at("10:15")], "9.9.9.9:40000")
    # an answer is known by its flags where the port is too wide
    server = log.case([], server=log.server(first_port=20000))
    log.calls(server, pane("10:00", 3), flags=SYN)
    log.answers(server, [at("10:05")], flags=SYN_ACK)
    # no interface's, and without a start or an end
    for columns in ({"interface": "-"}, {"known": "start"}, {"known": "end"}):
        server = log.case(pane("10:00", 3))
        log.answers(server, [at("10:15")], **columns)


def others(log):
    """What is no answer of this server's port."""
    server = log.case(pane("10:00", 3), TEN)
    addr, port = server.split(":")
    for other in (f"{addr}:7900", f"10.60.10.254:{port}", f"10.60.11.1:{port}", f"10.60.12.1:{port}"):
        log.answers(other, pane("10:00", 9))
    for columns in (
        {"protocol": 17},
        {"action": "REJECT"},
        # of nobody whom it may answer
        {"client": "10.60.12.9:40000"},
        # its own calls, from the port that it serves
        {"flags": SYN},
        # no port, and no time
        {"client": "10.60.1.1:-", "flags": SYN_ACK},
        {"known": ""},
    ):
        server = log.case(pane("10:00", 3), TEN)
        log.answers(server, pane("10:00", 9), **columns)
    # guessed
    server = log.case([], TEN, server=log.server(first_port=20000))
    log.calls(server, pane("10:00", 3), flags=SYN)
    log.answers(server, pane("10:00", 9))
    # calls that are too large are no answer either
    server = log.case(pane("10:00", 3), TEN)
    log.calls(server, pane("10:00", 9), packets=99, bytes=9999)
    # both ends have the same address, or the same port
    for answers, found in (((), (TEN,)), ([at("10:05")], ())):
        server = log.case([], *found, server=log.server("10.60.1"))
        client = server.replace(":7", ":4")
        log.calls(server, pane("10:00", 3), client)
        log.answers(server, answers, client)
    server = log.case([], TEN)
    log.calls(server, pane("10:00", 3), f"10.60.1.1:{server.split(':')[1]}", flags=SYN)


def interfaces(log):
    """The interface with most calls counts; the alert has the rows of all."""
    for here, there, flows in ((2, 2, 0), (2, 3, 5), (3, 1, 4), (3, 3, 6)):
        for other in ("eni-b", "-"):
            server = log.case(pane("10:00", here), *([hit("10:00", "10:10", flows)] if flows else []))
            log.calls(server, pane("10:00", there), interface=other)
    # no interface is one too
    server = log.case([], TEN)
    log.calls(server, pane("10:00", 3), interface="-")
    # by whomever
    server = log.case([], TEN)
    for number, time in enumerate(pane("10:00", 3)):
        log.calls(server, [time], f"10.60.{1 + number % 2}.{number}:{1024 + number}")
    # of two ports, and of two servers, each counts alone
    server = log.case(pane("10:00", 2))
    log.case(pane("10:00", 2))
    log.calls(server.replace("10.60.10.", "10.60.11."), pane("10:00", 2))


def together(log):
    log.case([*pane("10:00", 3), *pane("11:10", 3)], hit("10:00", "11:20", 6))
    log.case([*pane("10:00", 3), *pane("11:20", 3)], hit("10:00", "10:10", 3), hit("11:20", "11:30", 3))
    log.case([*pane("10:00", 3), *pane("10:10", 3), *pane("11:20", 4)], hit("10:00", "11:30", 10))
    log.case(
        [*pane("2:00", 3), *pane("3:10", 3), *pane("4:20", 3), *pane("5:40", 3), *pane("6:50", 3)],
        hit("2:00", "4:30", 9),
        hit("5:40", "7:00", 6),
    )
    # panes that are not found do not count, be they few or answered: before, between, or after
    log.case([*pane("9:50", 2), *pane("10:00", 3), *pane("10:10", 2)], TEN)
    log.case([*pane("10:00", 3), *pane("10:20", 2), *pane("10:40", 1), *pane("11:00", 3)], hit("10:00", "11:10", 6))
    log.case(
        [*pane("9:50", 5), *pane("10:00", 3), *pane("10:30", 5), *pane("11:00", 3), *pane("11:30", 5)],
        hit("10:00", "11:10", 6),
        answers=[at("9:55"), at("10:30"), at("11:40")],
    )
    # those of all interfaces in what is found, and of none in what is not
    server = log.case([*pane("10:00", 3), *pane("10:20", 2), *pane("11:00", 3)], hit("10:00", "11:10", 8))
    log.calls(server, [*pane("10:00", 1), *pane("10:20", 2), *pane("11:00", 1)], interface="eni-b")
    # nor do they tell when it began
    began = {"first_seen": at("11:00:51"), "last_seen": at("11:03")}
    server = log.case([*pane("10:20", 2), *pane("11:00", 3)], hit("10:00", "11:10", 6, **began))
    log.calls(server, pane("10:00", 3), known="end")
    # the answer in the pane after takes the pane before it, so what is left lies too far apart
    log.case(
        [*pane("10:00", 3), *pane("10:40", 3), *pane("11:20", 3)],
        hit("10:00", "10:10", 3),
        hit("11:20", "11:30", 3),
        answers=[at("10:50")],
    )


def times(log):
    # the time is the end, or where there is none the start
    server = log.case([], hit("10:00", "10:10", 3, first_seen=None, last_seen=at("10:03")))
    log.calls(server, pane("10:00", 3), known="end")
    server = log.case([], hit("10:00", "10:10", 3, first_seen=at("10:01"), last_seen=at("10:03")))
    log.calls(server, pane("10:00", 3), known="start")
    server = log.case(pane("10:00", 2), hit("10:00", "10:10", 3, first_seen=at("10:00:51"), last_seen=at("10:02")))
    log.calls(server, [at("10:01:30")], known="end")
    # no time is no call
    log.calls(log.case(pane("10:00", 2)), [at("10:05")], known="")


def midnight(log):
    """What is about 0:00 of the second day."""
    for clock, end in (("23:20", "23:30"), ("23:30", "23:40"), ("23:40", "23:50"), ("23:50", "24:00")):
        log.case(pane(clock, 3), hit(clock, end, 3))
    log.case(pane("24:00", 3), hit("24:00", "24:10", 3))
    # no pane goes over
    log.case([*pane("23:50", 2), *pane("24:00", 1)])
    log.case([at("23:59:59.999"), at("24:00"), at("24:01")])
    # an answer may come on the next day, and answers nothing that comes after it
    for when in ("23:50", "23:59:59.999", "24:00", "24:05", "24:09:59.999"):
        log.case(pane("23:50", 3), answers=[at(when)])
    for when in ("23:49:59.999", "24:10"):
        log.case(pane("23:50", 3), hit("23:50", "24:00", 3), answers=[at(when)])
    log.case(pane("23:40", 3), answers=[at("23:59:59.999")])
    log.case(pane("23:40", 3), hit("23:40", "23:50", 3), answers=[at("24:00")])
    log.case([at("24:00"), at("24:01"), at("24:02")], hit("24:00", "24:10", 3), answers=[at("23:59:59.999")])
    log.case(
        [*pane("23:40", 3), *pane("23:50", 4), *pane("24:00", 5), *pane("24:10", 3)],
        hit("23:40", "24:20", 6),
        answers=[at("24:05")],
    )
    # nor does one at the same hour of another day
    log.case(pane("23:50", 3), hit("23:50", "24:00", 3), answers=[at("0:05")])
    log.case(pane("0:00", 3), hit("0:00", "0:10", 3), answers=[at("23:55"), at("24:05")])
    # a record that begins the day before
    log.case([at("24:00:05"), *pane("24:00", 2)], hit("24:00", "24:10", 3, first_seen=at("23:59:56")))


def nights(log):
    """Alerts that go over a midnight, and those that end there."""
    outage = [time + number * 10 * MINUTE for number in range(6) for time in pane("23:30", 3)]
    seen = {"first_seen": at("23:30:51"), "last_seen": at("24:23")}
    log.case(outage, hit("23:30", "24:30", 18, **seen))
    log.case([*pane("23:20", 3), *pane("23:50", 9), *pane("24:00", 4)], hit("23:20", "24:10", 16))
    log.case([*pane("23:20", 3), *pane("24:30", 3)], hit("23:20", "24:40", 6))
    log.case([*pane("23:20", 3), *pane("24:40", 3)], hit("23:20", "23:30", 3), hit("24:40", "24:50", 3))
    # what begins before noon ends with its day, from noon on with the next
    log.case(hourly("11:50", "29:50"), hit("11:50", "24:00", 39), hit("24:50", "30:00", 18))
    log.case([*hourly("11:50", "23:50"), *pane("24:00", 4)], hit("11:50", "24:00", 39), hit("24:00", "24:10", 4))
    log.case(hourly("12:00", "29:00"), hit("12:00", "29:10", 54))
    log.case(hourly("12:00", "52:00"), hit("12:00", "47:10", 108), hit("48:00", "52:10", 15))
    log.case(hourly("13:50", "48:50"), hit("13:50", "48:00", 105), hit("48:50", "49:00", 3))
    days = hit("11:00", "23:10", 39), hit("24:00", "47:10", 72), hit("48:00", "49:10", 6)
    log.case(hourly("11:00", "49:00"), *days)
    # what follows goes on from noon on as well
    log.case([*pane("23:50", 3), *hourly("36:00", "49:00")], hit("23:50", "24:00", 3), hit("36:00", "49:10", 42))
    morning, evening = hit("23:50", "25:00", 6), hit("37:30", "49:40", 39)
    log.case([*hourly("23:50", "24:50"), *hourly("37:30", "49:30")], morning, evening)
    log.case([*pane("10:30", 3), *hourly("12:00", "25:00")], hit("10:30", "10:40", 3), hit("12:00", "25:10", 42))
    # it begins with what is found
    log.case([*pane("11:30", 2), *hourly("12:30", "25:30")], hit("12:30", "25:40", 42))
    log.case([*pane("11:30", 3), *hourly("12:30", "25:30")], hit("12:30", "25:40", 42), answers=[at("11:45")])


def lateness(log):
    """Until when a lake has records, of the day of the calls or of the next; each case has three days of its own."""
    days = count(4, 3)

    def case(calls, clock, *found):
        """Calls in the panes of these clocks, a last record, and the alert's first pane, last pane and flows."""
        day = next(days)
        hits = [hit(first, last, flows, day) for first, last, flows in found]
        log.case([time for first in calls for time in pane(first, 3, day)], *hits)
        return at(clock, day)

    ten = "10:00", "10:10", 3
    log.nodata(case(["10:00"], "10:34:59.999"))
    for clock in ("10:35", "10:35:59", "24:00", "47:59:59"):
        log.nodata(case(["10:00"], clock, ten))
    # not those of a third day, be it that they begin before it
    for first in ("10:00", "23:50"):
        log.nodata(case([first], "48:00"))
    for first, end, too_early, early_enough in (
        ("23:20", "23:30", "23:54:59", "23:55"),
        ("23:30", "23:40", "24:04:59", "24:05"),
        ("23:40", "23:50", "24:14:59", "24:15"),
        ("23:50", "24:00", "24:24:59.999", "24:25"),
    ):
        log.nodata(case([first], too_early))
        log.nodata(case([first], early_enough, (first, end, 3)))
    # of some panes the first are known, of which the others are not yet a part
    log.nodata(case(["10:00", "10:10"], "10:44:59", ten))
    log.nodata(case(["23:30", "23:40", "23:50"], "24:24", ("23:30", "23:50", 6)))
    log.nodata(case(["23:40", "23:50", "24:00"], "24:34", ("23:40", "24:00", 6)))
    log.nodata(case(["23:40", "23:50", "24:00"], "24:35", ("23:40", "24:10", 9)))
    # any record will do
    log.nodata(case(["10:00"], "10:35", ten), "SKIPDATA")
    log.record(case(["10:00"], "10:35", ten), "9.9.9.9:40000", "10.60.10.1:22", action="REJECT", known="start")
    day = next(days)
    log.case([*pane("10:00", 3, day), at("10:35", day)], hit(*ten, day))


def zones(log):
    log.case(pane("10:00", 3), {**TEN, "server_zone": "orders"}, server=log.server("10.60.11"))
    log.case(pane("10:00", 3), {**TEN, "server_zone": "web"}, server=log.server("10.60.12"))
    # outside, but no part of the internet
    log.case(pane("10:00", 3), {**TEN, "server_zone": "partner"}, server=log.server("198.51.100"))
    log.case(pane("10:00", 3), {**TEN, "server_zone": "app"}, server=log.server("10.60.1"))
    log.case(pane("10:00", 3), server=log.server("9.9.9"))
    for when, found in (("10:15", ()), ("10:20", (TEN,))):
        server = log.case([], *found, server=log.server("fd00:60:10:").replace(".", ":"))
        log.calls(server, pane("10:00", 3), "fd00:60:1::1:40000")
        log.answers(server, [at(when)], "fd00:60:1::2:40000")
    # the same addresses elsewhere, which do not answer, and which answer others
    server = log.case(pane("10:00", 3), {**TEN, "server_zone": "data"})
    log.answers(server, [at("10:05")], vpc=OTHER_VPC)
    server = log.case(pane("10:00", 3), {**TEN, "server_zone": "twin"}, answers=[at("10:05")])
    log.calls(server, pane("10:00", 3), vpc=OTHER_VPC)
    server = log.case(pane("10:00", 2))
    log.calls(server, pane("10:00", 2), vpc=OTHER_VPC)
    # clients of the internet
    server = log.case(pane("10:00", 2), server=log.server("10.60.12"))
    log.calls(server, pane("10:00", 9), "9.9.9.9:40000")


def not_counted(log):
    for columns in (
        {"protocol": 17},
        {"action": "REJECT"},
        # accepted, and not allowed
        {"client": "10.60.12.9:40000"},
        {"client": "10.60.1.1:-", "flags": SYN},
        {"flags": SYN_ACK},
    ):
        server = log.case(pane("10:00", 2))
        log.calls(server, pane("10:00", 9), **columns)
        server = log.case(pane("10:00", 3), TEN)
        log.calls(server, pane("10:00", 9), **columns)
    # guessed, and told by flags
    log.case(pane("10:00", 9), server=log.server(first_port=20000))
    server = log.case(pane("10:00", 9), TEN, server=log.server(first_port=20000))
    log.calls(server, pane("10:00", 3), flags=SYN)
    # of a client behind a gateway
    server = log.case([], TEN)
    log.calls(server, pane("10:00", 3), "10.60.12.9:40000", behind="10.60.1.1")


# three days of chance ------------------------------------------------------------------------------------------------

SEEDS = (4, 6)
SOUP_DAYS = 3
#: Clients and servers, with the flags of calls; the usual comes more often.
PLACES = [
    *[("10.60.1", "10.60.10", 7000, "-")] * 8,
    *[("10.60.2", "10.60.11", 7000, "-")] * 3,
    *[("10.60.1", "10.60.12", 7000, "-")] * 3,
    ("9.9.9", "10.60.12", 7000, "-"),
    ("10.60.1", "9.9.9", 7000, "-"),
    ("10.60.1", "198.51.100", 7000, "-"),
    *[("10.60.1", "10.60.1", 7000, "-")] * 2,
    ("10.60.1", "10.60.10", 20000, "-"),
    ("10.60.1", "10.60.10", 20000, SYN),
    # not allowed
    ("10.60.2", "10.60.12", 7000, "-"),
]
#: The panes with answers, from a pane with calls on.
ANSWERS = [(), (), (), (0,), (1,), (2,), (-1,), (2, -1), (0, 1, 2)]
#: What is like an answer, and is none.
NEARLY = [
    {"protocol": 17},
    {"action": "REJECT"},
    {"client": "10.60.12.9:40000"},
    {"client": "10.60.1.1:-", "flags": SYN_ACK},
    {"flags": SYN},
    {"known": ""},
]


def soup(seed):
    """Three days of calls, of which the first two are whole and the last one ends early."""
    rng = random.Random(seed)
    log = Calls()
    last = FIRST + 2 * DAY + rng.randrange(12 * 60, 20 * 60) * MINUTE
    time = FIRST
    while time <= last:
        log.nodata(time)
        time += 5 * MINUTE
    for number in range(220):
        service(rng, log, number, last)
    for number in range(220, 240):
        outage(rng, log, number, last)
    for lines in log.parts.values():
        rng.shuffle(lines)
    return log


def service(rng, log, number, last):
    """What calls a port of a server, and what comes back."""
    clients, servers, first_port, flags = rng.choice(PLACES)
    addr, port = f"{servers}.{100 + number % 7}", first_port + number
    recorded = rng.choice([("eni-client",), ("eni-server",), ("-",), ("eni-client", "eni-server"), None])
    answered, nearly = rng.choice(ANSWERS), rng.choice([None, *NEARLY])
    late = {add: rng.choice([None, None, None, *range(SOUP_DAYS)]) for add in (log.calls, log.answers)}
    last_pane = (last - FIRST) // (10 * MINUTE)
    now = rng.choice([rng.randrange(last_pane), rng.choice([136, 280]) + rng.randrange(8), last_pane - 6])

    def some(pane):
        return some_time(rng, pane)

    def tell(add, time, **columns):
        """Of some ports all calls, or all answers, come with the file of one day, of others some with any."""
        day = late[add] if late[add] is not None else rng.randrange(SOUP_DAYS) if rng.random() < 0.05 else None
        if time <= last:
            add(f"{addr}:{port}", [time], part=None if day is None else (FIRST + day * DAY).date(), **columns)

    for _ in range(rng.randint(1, 6)):
        for _ in range(rng.choice([2, 3, 3, 3, 4, 6])):
            time, columns = some(now), some_call(rng, clients) | {"flags": flags}
            if rng.random() < 0.1:
                columns |= {"client": f"{clients}.9:{rng.choice(['-', port])}", "flags": SYN}
            for interface in recorded or [rng.choice(["eni-client", "eni-server"])]:
                if rng.random() < 0.95:
                    tell(log.calls, time + rng.choice([0, 0, 0, 1, 30]) * SECOND, interface=interface, **columns)
        for later in answered:
            if rng.random() < 0.7:
                # a call with a SYN to a wide port has answers of which nobody knows that they are such
                of_wide = rng.choice(["-", SYN_ACK]) if flags == SYN else "-"
                client = rng.choice([f"{clients}.1:40000", f"{clients}.2:50000"])
                tell(log.answers, some(now + later), client=client, flags=of_wide)
        if nearly is not None and rng.random() < 0.5:
            tell(log.answers, some(now), **nearly)
        if rng.random() < 0.1:
            # another port, another server
            log.answers(rng.choice([f"{addr}:7900", f"{servers}.1:{port}"]), [min(some(now), last)])
        now += rng.choice([1, 1, 1, 2, 3, 6, 7, 8, 9])


def outage(rng, log, number, last):
    """A server that is away for up to two days, often from about noon on, and next to never answers."""
    server = f"10.60.10.{100 + number % 7}:{7000 + number}"
    now = rng.randrange(2) * 144 + rng.choice([60, *range(69, 76), 90, 130])
    end, longest = now + rng.choice([50, 100, 200, 300]), rng.choice([4, 7, 7, 8])
    late = rng.choice([None, None, *range(SOUP_DAYS)])
    part = None if late is None else (FIRST + late * DAY).date()
    while now < end:
        for add, many in ((log.calls, rng.choice([2, *[3] * 9])), (log.answers, int(rng.random() < 0.01))):
            times = [some_time(rng, now) for _ in range(many)]
            add(server, [time for time in times if time <= last], part=part)
        now += rng.randint(1, longest)


def some_time(rng, pane):
    """A time in a pane, be it its first or its last second."""
    seconds = rng.choice([0, 599, 599.999, rng.randrange(600), rng.randrange(600)])
    return FIRST + pane * 10 * MINUTE + timedelta(seconds=seconds)


def some_call(rng, clients):
    """The columns of a call, which now and then is none."""
    packets = rng.choice([1, 3, 3, 6, 7, 7, 7, 8, 9]) if rng.random() < 0.5 else 3
    most = packets * 64
    client_port = rng.choice([1024, 7001, 40000, rng.randrange(32768, 60000)])
    return {
        "client": f"{clients}.{rng.randint(1, 3)}:{client_port}",
        "packets": packets,
        "bytes": rng.choice([most, most, most + 1, most - 1, 0, "-"]) if rng.random() < 0.3 else most - 20,
        "action": "REJECT" if rng.random() < 0.03 else "ACCEPT",
        "protocol": 17 if rng.random() < 0.03 else 6,
        "known": rng.choice(["start", "end", "", *["start end"] * 30]),
    }
