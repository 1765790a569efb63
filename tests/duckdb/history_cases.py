"""A log of cases: what stands at each threshold, one below it and one above, and by hand what comes of it.

A case has hosts, ports or a zone of its own; where it is about the log as a whole (logged hours and days) it has an
epoch of its own, with more than a week of nothing before it. They share one log: a replay for each would take minutes.
"""

from datetime import datetime, timedelta

from history_logs import Log, hit
from history_oracle import DAY, HOUR, MINUTE
from history_silences import late, silent

# hours ----------------------------------------------------------------------------------------------------

#: Ten logged days. Most cases are judged on the ninth, whose past begins with the second.
FIRST = datetime(2026, 3, 2)
TODAY = FIRST + 8 * DAY
NOON = TODAY + 12 * HOUR + 30 * MINUTE
#: A day with 24 logged hours before it, and one with 23.
AFTER_24, AFTER_23 = datetime(2026, 3, 23), datetime(2026, 4, 6)


def baseline(log):
    """Two interfaces that never rest."""
    for half_hour in range(10 * 48):
        for interface in ("eni-a", "eni-b"):
            log.nodata(FIRST + half_hour * 30 * MINUTE, interface)
    for day, hours in ((AFTER_24, 24), (AFTER_23, 23)):
        for hour in range(-hours, 24):
            log.nodata(day + hour * HOUR, "eni-a")


def exfiltration(log):
    hosts = iter(range(1, 255))
    outside = "8.8.4.4:443"
    low, medium, high = ([hit(severity, hour_of(NOON), HOUR, 1)] for severity in ("low", "medium", "high"))

    def case(points, measures, found, zone=1, first=NOON - DAY):
        """A host that sent `points` in the hours from `first` backwards, and `measures` in those from noon on."""
        host = f"10.50.{zone}.{next(hosts)}"
        for number, point in enumerate(points):
            log.add(first - number * HOUR, host, outside, bytes=point)
        for number, measure in enumerate(measures):
            if measure is not None:
                log.add(NOON + number * HOUR, host, outside, bytes=measure)
        log.expect("exfiltration", {"client_addr": host}, *found)
        return host

    # nothing to compare with: the floor alone
    case([], [499_999_999], [])
    case([], [500_000_000], low)
    case([], [500_000_001], low)
    # four points and five, five of which one is none, and the seventh day before, whose day before is not of the past
    case([1000] * 4, [500_000_000], low)
    case([1000] * 5, [500_000_000], medium)
    case([1000] * 5, [499_999_999], [])
    case([1000] * 5, [500_000_000], high, zone=10)
    case([1000] * 5, [500_000_000], high, zone=11)
    case([1000, 0, 1000, 1000, 1000], [500_000_000], low)
    case([1000] * 5, [500_000_000], medium, first=FIRST + DAY + 4 * HOUR)
    case([1000] * 5, [500_000_000], low, first=FIRST + DAY + 3 * HOUR + 59 * MINUTE)
    # z = 10: by a tenth of the median; by the MAD of an odd number; of an even one. And half as much again as the most
    for points, threshold in (
        ([300_000_000] * 5, 600_000_000),
        ([99_999_999, 50_000_000, 200_000_000, 300_000_001, 310_000_000], 1_682_600_015),
        ([100_000_000] * 3 + [400_000_001] * 3, 2_473_900_008),
        ([1000] * 4 + [400_000_000], 600_000_000),
    ):
        case(points, [threshold - 1], [])
        case(points, [threshold], medium)
        case(points, [threshold + 1], medium)
    # hours in a row are one alert; not over a pause or a lesser hour
    row, other = 600_000_000, 700_000_000
    first, third = hour_of(NOON), hour_of(NOON) + 2 * HOUR
    case([], [row, other, row], [hit("low", first, 3 * HOUR, 3, bytes=2 * row + other)])
    case([1] * 5, [row, other], [hit("medium", first, 2 * HOUR, 2, bytes=row + other)])
    case([], [row, None, row], [hit("low", first, HOUR, 1), hit("low", third, HOUR, 1)])
    case([], [row, 499_999_999, row], [hit("low", first, HOUR, 1), hit("low", third, HOUR, 1)])
    # the interface that saw most counts, for the key and not for each conversation; no interface is one too
    host = case([], [], [hit("low", first, HOUR, 4, bytes=500_000_000)])
    for interface, amount in (("eni-a", 300_000_000), ("eni-b", 499_999_999), ("-", 7), ("eni-a", 200_000_000)):
        log.add(NOON, host, "9.9.9.9:443", interface=interface, bytes=amount)
    host = case([], [], [])
    for interface in ("eni-a", "eni-b", "-"):
        log.add(NOON, host, outside, interface=interface, bytes=499_999_999)
    host = case([], [], [hit("low", first, 2 * HOUR, 4, bytes=1_300_000_000)])
    for interface, amounts in (("eni-a", (600_000_000, 500_000_000)), ("-", (500_000_000, 700_000_000))):
        for number, amount in enumerate(amounts):
            log.add(NOON + number * HOUR, host, outside, interface=interface, bytes=amount)
    # where nobody knows which end connected it is still known which one sent
    for sender, receiver in (("10.50.1.200", "9.9.9.9"), ("9.9.9.9", "10.50.1.201")):
        log.add(NOON, f"{sender}:443", f"{receiver}:443", bytes=500_000_000)
    log.expect("exfiltration", {"client_addr": "10.50.1.200"}, *low)
    log.expect("exfiltration", {"client_addr": "10.50.1.201"})
    log.expect("exfiltration", {"client_addr": "9.9.9.9"})
    # answers are sent too; what is refused, what comes in, and what goes elsewhere is not
    log.add(NOON, "10.50.4.200:443", "9.9.9.9", bytes=500_000_000)
    log.expect("exfiltration", {"client_addr": "10.50.4.200"}, hit("low", first, HOUR, 1, client_zone="web"))
    log.add(NOON, "10.50.4.201", outside, bytes=500_000_000, action="REJECT")
    log.add(NOON, "9.9.9.9", "10.50.4.201:443", bytes=500_000_000)
    log.add(NOON, "10.50.4.201", "198.51.100.7:443", bytes=500_000_000)
    log.expect("exfiltration", {"client_addr": "10.50.4.201"})
    log.expect("exfiltration", {"client_zone": "internet"})


def blocked_spike(log):
    hosts = iter(range(1, 255))

    def case(points, measures, found, noon=NOON):
        """A host that was refused so often in hours of the day before, and so often from noon on."""
        host = f"10.50.4.{next(hosts)}"
        for number, point in enumerate(points):
            log.add(noon - 13 * HOUR - number * HOUR, host, "10.50.10.9:5432", action="REJECT", count=point)
        for number, measure in enumerate(measures):
            log.add(noon + number * HOUR, host, "10.50.10.9:5432", action="REJECT", count=measure)
        log.expect("blocked-spike", {"client_addr": host}, *found)
        return host

    def found(flows, noon=NOON, hours=1):
        return [hit("medium", hour_of(noon), hours * HOUR, flows, server_addr="10.50.10.9")]

    case([], [99], [])
    case([], [100], found(100))
    case([], [101], found(101))
    # as many logged hours as are needed, and one less
    noon = AFTER_24 + 12 * HOUR + 30 * MINUTE
    case([], [100], found(100, noon), noon)
    case([], [300], [], AFTER_23 + 12 * HOUR + 30 * MINUTE)
    # 60 in 12 of 24 hours: mean and deviation are 30
    for measure in (119, 120):
        case([60] * 12, [measure], [], noon)
    case([60] * 12, [121], found(121, noon), noon)
    # half as much again as the largest, here the only one
    case([80], [119], [], noon)
    case([80], [120], found(120, noon), noon)
    case([80], [121], found(121, noon), noon)
    # hours in a row are one alert
    case([], [100, 130, 110], found(340, hours=3))
    case([], [100, 99, 110], [*found(100), *found(110, NOON + 2 * HOUR)])
    # the interface that saw most
    host = case([], [99], [])
    log.add(NOON, host, "10.50.10.9:5432", interface="eni-b", action="REJECT", count=99)
    log.add(NOON, host, "10.50.10.9:5432", interface="-", action="REJECT", count=99)
    host = case([], [99], found(199))
    log.add(NOON, host, "10.50.10.9:5432", interface="-", action="REJECT", count=100)
    # all of the internet is one client; servers are not, nor is what is accepted
    for client in ("9.9.9.8", "9.9.9.9"):
        log.add(NOON, client, "10.50.10.40:22", action="REJECT", count=50)
        log.add(NOON, client, "10.50.10.41:22", action="REJECT", count=49)
        log.add(NOON, client, "10.50.10.41:22", count=49)
        log.add(NOON, client, "10.50.10.42:22", action="REJECT", count=49)
    everybody = {"client_zone": "internet", "client_addr": None}
    log.expect("blocked-spike", {"server_addr": "10.50.10.40"}, hit("low", hour_of(NOON), HOUR, 100, **everybody))
    log.expect("blocked-spike", {"client_zone": "internet", "server_addr": "10.50.10.41"})
    log.expect("blocked-spike", {"client_zone": "internet", "server_addr": "10.50.10.42"})
    # what left and should not arrive, at its own interface: `attempt`
    log.add(NOON, "10.50.1.77", "10.50.4.9:7777", interface="eni-prober", count=60)
    log.add(NOON, "10.50.1.77", "10.50.4.9:7777", interface="eni-prober", action="REJECT", count=40)
    log.expect("blocked-spike", {"client_addr": "10.50.1.77"}, hit("medium", hour_of(NOON), HOUR, 100))


def brute_force(log):
    hosts = iter(range(1, 255))

    def case(points, measures, found, server="10.50.10.9:5432", client="10.50.1.*", **columns):
        """A client with so many short conversations in hours of the day before, and so many from noon on."""
        end = client.replace("*", str(next(hosts)))
        client = end.split(":")[0]
        columns = {"packets": 15, "bytes": 20_000, **columns}
        for number, point in enumerate(points):
            log.add(NOON - DAY - number * HOUR, end, server, count=point, **columns)
        for number, measure in enumerate(measures):
            log.add(NOON + number * HOUR, end, server, count=measure, **columns)
        log.expect("brute-force", {"client_addr": client}, *found)
        return client

    def found(severity, flows, noon=NOON, hours=1, **more):
        return [hit(severity, hour_of(noon), hours * HOUR, flows, **more)]

    case([], [99], [])
    case([], [100], found("low", 100))
    case([], [101], found("low", 101))
    case([1] * 4, [100], found("low", 100))
    case([1] * 5, [99], [])
    case([1] * 5, [100], found("medium", 100))
    case([1] * 3 + [40], [119], found("low", 119))
    case([1] * 4 + [40], [119], [])
    case([1] * 4 + [40], [120], found("medium", 120))
    case([1] * 4 + [40], [121], found("medium", 121))
    case([], [100], [], packets=16)
    case([], [100], [], bytes=20_001)
    case([], [100, 101], found("low", 201, hours=2))
    case([], [100, 0, 101], [*found("low", 100), *found("low", 101, NOON + 2 * HOUR)])
    # longer ones are not counted, and are no points either
    host = case([], [99], [])
    log.add(NOON, host, "10.50.10.9:5432", packets=16, count=9)
    log.add(NOON, host, "10.50.10.9:5432", action="REJECT", packets=9, count=9)
    host = case([1] * 4, [100], found("low", 100))
    log.add(NOON - 2 * DAY, host, "10.50.10.9:5432", packets=16, count=99)
    # both interfaces
    host = case([], [99], found("low", 199))
    log.add(NOON, host, "10.50.10.9:5432", interface="eni-b", packets=15, count=100)
    # servers of a zone are one; zones, ports and protocols are not
    host = case([], [50], found("low", 100, server_zone="data", server_addr=None))
    log.add(NOON, host, "10.50.10.10:5432", packets=1, count=50)
    log.add(NOON, host, "10.50.10.10:9090", packets=1, count=99)
    log.add(NOON, host, "10.50.11.10:5432", packets=1, count=99)
    log.add(NOON, host, "10.50.10.9:5432", protocol=17, packets=1, count=99)
    case([], [100], found("low", 100, protocol=17), protocol=17)
    case([], [100], found("low", 100, server_zone="vault"), server="10.50.12.9:9091")
    # where nobody knows which end connected it is no request, and no point either
    case([], [100], [], server="10.50.13.9:443", client="10.50.1.*:443")
    log.add(NOON, "10.50.13.9:443", "10.50.1.251:443", packets=1, count=100)
    log.expect("brute-force", {"client_addr": "10.50.1.251"})
    host = case([1] * 4, [100], found("low", 100), server="10.50.13.9:443")
    log.add(NOON - 2 * DAY, f"{host}:443", "10.50.13.9:443", packets=1)
    # answers, what the map forbids, zones without protection, and the internet
    log.add(NOON, "10.50.10.9:5432", "10.50.1.250", packets=1, count=100)
    log.expect("brute-force", {"client_addr": "10.50.1.250"})
    case([], [100], [], client="10.50.4.*")
    case([], [100], [], server="10.50.4.9:443")
    case([], [100], [], server="10.50.13.9:443", client="9.9.9.*")
    case([], [100], found("low", 100), server="10.50.13.9:443")


def hour_of(time):
    return time.replace(minute=0, second=0, microsecond=0)


# midnight -------------------------------------------------------------------------------------------------


def nights(log):
    """Hours about the midnight at which TODAY ends: 24 is the first of tomorrow, and 36 the one after its noon."""

    def cases_of(detector, clients, server, unit, **columns):
        numbers = iter(range(120, 200))

        def case(first, measures, *found, yesterday=(1,) * 5, long_ago=(), today=TODAY):
            """A client with these measures in the hours from `first` on. Its alerts: severity, first hour, end.

            Both days compare with what it did `yesterday`, today alone with what it did seven days before, `long_ago`.
            """
            client = f"{clients}.{next(numbers)}"

            def time(hour):
                return today + hour * HOUR + 30 * MINUTE

            for begin, of_each in ((-7 * 24, long_ago), (-24, yesterday), (first, measures)):
                for hour, measure in enumerate(of_each, begin):
                    log.add(time(hour), client, server, **columns, **{unit: measure})
            hits = []
            for severity, begin, end in found:
                total = sum(measures[begin - first : end - first])
                sums = {"flows": total} if unit == "count" else {"flows": end - begin, "bytes": total}
                seen = {"first_seen": time(begin) - timedelta(seconds=59), "last_seen": time(end - 1)}
                hits.append(hit(severity, today + begin * HOUR, (end - begin) * HOUR, **sums, **seen))
            log.expect(detector, {"client_addr": client}, *hits)

        return case

    sent = cases_of("exfiltration", "10.50.1", "8.8.4.4:443", "bytes")
    refused = cases_of("blocked-spike", "10.50.4", "10.50.10.9:5432", "count", action="REJECT")
    tried = cases_of("brute-force", "10.50.1", "10.50.10.9:5432", "count", packets=15)
    million = 1_000_000
    # today finds `row`, and no less; tomorrow, after hours of it, finds `more`, and no less
    for case, row, more in ((sent, 500 * million, 750 * million), (refused, 100, 150), (tried, 100, 300)):
        # what today finds goes on, though tomorrow compares with the hours before midnight
        case(23, [row] * 2, ("medium", 23, 25))
        case(22, [row] * 5, ("medium", 22, 27))
        case(0, [row] * 37, ("medium", 0, 36))
        # up to noon; from then on it is tomorrow's
        case(22, [row] * 14, ("medium", 22, 36))
        case(22, [row] * 14 + [more - 1], ("medium", 22, 36))
        case(22, [row] * 14 + [more] * 2, ("medium", 22, 36), ("medium", 36, 38))
        # after an hour that neither finds tomorrow alone decides too, be it after midnight or before it
        for less in (0, row - 1):
            case(22, [row, row, less, more - 1, more], ("medium", 22, 24), ("medium", 26, 27))
            case(23, [row, row, less, row, more], ("medium", 23, 25), ("medium", 27, 28))
            case(22, [row, less, more, more - 1], ("medium", 22, 23), ("medium", 24, 25))
        case(24, [row] * 2, ("medium", 24, 26))
    for case, row, more, point, enough in (
        (sent, 500 * million, 750 * million, 400 * million, 600 * million),
        (tried, 100, 300, 40, 120),
    ):
        four, five = (1,) * 4, (point, 1, 1, 1, 1)
        # where today has nothing to compare with the alert is low to its end; tomorrow has
        case(22, [row] * 2 + [more], ("low", 22, 25), yesterday=four)
        case(23, [row] * 14, ("low", 23, 36), yesterday=four)
        case(23, [row] * 13 + [more], ("low", 23, 36), ("medium", 36, 37), yesterday=four)
        # where tomorrow has nothing it finds what today does not
        case(23, [enough] + [row] * 13, ("medium", 23, 36), ("low", 36, 37), yesterday=(), long_ago=five)
        case(23, [enough - 1] + [row] * 13, ("low", 24, 37), yesterday=(), long_ago=five)
        # two nights
        case(-1, [row] * 38, ("low", -1, 12), ("low", 12, 36), yesterday=())
    # what today alone finds, and tomorrow alone
    refused(23, [120, 120], ("medium", 23, 25), long_ago=[80])
    refused(23, [119, 120], long_ago=[80])
    refused(23, [70, 110], ("medium", 24, 25), long_ago=[80])
    # today has 24 logged hours before it; or 23, and tomorrow 47
    refused(23, [100, 100], ("medium", 23, 25), yesterday=(), today=AFTER_24)
    refused(23, [300, 449, 450], ("medium", 25, 26), yesterday=(), today=AFTER_23)


# days -----------------------------------------------------------------------------------------------------


def new_members(log, detector, client, server, member):
    """Cases of new-source and new-destination alike; `*` is the place of the member in its address."""
    ports = iter(range(9000, 9099))
    members = {name: 100 + number for number, name in enumerate("abcdefghijklm")}

    def case(days, *found):
        """`found` are (day, member or None for all of them, flows); members are named by letters."""
        port = next(ports)
        for day, names in days.items():
            for name in names:
                ends = [end.replace("*", str(members[name])) for end in (client, f"{server}:{port}")]
                log.add(FIRST + day * DAY + 12 * HOUR, *ends)
        addr = client if member == "client_addr" else server
        found = [
            hit("low", FIRST + day * DAY, DAY, flows, **{member: name and addr.replace("*", str(members[name]))})
            for day, name, flows in found
        ]
        log.expect(detector, {"server_port": port}, *found)
        return port

    steady = dict.fromkeys(range(9), "a")
    case(steady)
    case({**steady, 8: "ab"}, (8, "b", 1))
    # two logged days are not enough, three are
    case({0: "a", 1: "a", 2: "b"})
    case({0: "a", 2: "a", 3: "b"}, (3, "b", 1))
    case({3: "a"}, (3, "a", 1))
    # one change, two, and one that comes too early to count
    case({1: "a", 2: "ab", 8: "c"}, (8, "c", 1))
    case({1: "a", 2: "b", 3: "c", 8: "d"}, (3, "c", 1))
    case({1: "ab", 2: "c", 3: "abc", 8: "abcd"}, (8, "d", 1))
    case({0: "a", 1: "b", 2: "c", 8: "d"}, (8, "d", 1))
    case({0: "a", 1: "b", 2: "c", 7: "d"})
    case({0: "a", 1: "b", 2: "c", 7: "d", 8: "e"})
    # somebody who comes back is new again after eight days, and no sooner
    case({0: "a", 7: "a"})
    case({0: "a", 8: "a"}, (8, "a", 1))
    # up to ten are told one by one
    case({8: "abcdefghij"}, *((8, name, 1) for name in "abcdefghij"))
    case({1: "l", 8: "abcdefghijkl"}, (8, None, 11))
    # every record of the day is counted, of every interface
    port = case({8: "a"}, (8, "a", 3))
    ends = (client.replace("*", "100"), f"{server.replace('*', '100')}:{port}")
    log.add(NOON, *ends, interface="eni-b", bytes=10**9, count=2)
    log.add(NOON, *ends, action="REJECT")
    # answers alone make nobody known
    port = case({})
    log.add(NOON, f"{server.replace('*', '100')}:{port}", client.replace("*", "100"))


def doubtful_members(log, detector, client, server, member):
    """Where nobody knows which end connected it is no request: it is not counted, and makes nobody known."""
    for number, requests in ((231, 0), (232, 1)):
        ends = [end.replace("*", str(number)) for end in (client, server)]
        for time in (FIRST + DAY, NOON):
            log.add(time, f"{ends[0]}:443", f"{ends[1]}:443")
        log.add(NOON, ends[0], f"{ends[1]}:443", count=requests)
        where = {member: ends[0] if member == "client_addr" else ends[1], "server_port": 443}
        log.expect(detector, where, *[hit("low", TODAY, DAY, 1)] * requests)


def new_source(log):
    new_members(log, "new-source", "10.50.1.*", "10.50.12.9", "client_addr")
    doubtful_members(log, "new-source", "10.50.1.*", "10.50.13.9", "client_addr")
    for src, dst in (("9.9.9.9", "10.50.13.9:443"), ("10.50.1.9", "10.50.4.9:443"), ("10.50.4.9", "10.50.10.9:9050")):
        log.add(NOON, src, dst)
    log.expect("new-source", {"client_zone": "internet"})
    log.expect("new-source", {"server_zone": "web"})
    log.expect("new-source", {"client_zone": "web"})


def new_destination(log):
    new_members(log, "new-destination", "10.50.2.9", "10.50.4.*", "server_addr")
    doubtful_members(log, "new-destination", "10.50.2.9", "10.50.4.*", "server_addr")
    log.add(NOON, "10.50.3.9", "9.9.9.9:443")
    inside = {"client_zone": "batch", "server_zone": "internet", "server_addr": "9.9.9.9"}
    log.expect("new-destination", {"client_zone": "batch"}, hit("low", TODAY, DAY, 1, **inside))
    log.add(NOON, "10.50.1.9", "10.50.4.9:443")
    log.expect("new-destination", {"client_zone": "app"})


def new_service(log):
    cells = iter(range(20))

    def case(days, *found, src="10.50.1.9", **columns):
        """Services of a zone by day, and what is found: (day, port or None for all of them, flows)."""
        cell = next(cells)
        for day, ports in days.items():
            for port in ports:
                log.add(FIRST + day * DAY + 12 * HOUR, src, f"10.50.{100 + cell}.9:{port}", **columns)
        found = [hit("medium", FIRST + day * DAY, DAY, flows, server_port=port) for day, port, flows in found]
        log.expect("new-service", {"server_zone": f"cell-{cell}"}, *found)
        return cell

    case({1: [443], 8: [443]})
    case({1: [443], 8: [443, 5432]}, (8, 5432, 1))
    case({0: [443], 8: [443]}, (8, 443, 1))
    case({0: [443], 7: [443]})
    # logged days
    case({2: [443]})
    case({3: [443]}, (3, 443, 1))
    # services may change as they like
    case({day: [9000 + day] for day in range(9)}, *((day, 9000 + day, 1) for day in range(3, 9)))
    # ten and eleven
    case({8: range(9000, 9010)}, *((8, port, 1) for port in range(9000, 9010)))
    case({8: range(9000, 9011)}, (8, None, 11))
    # a guess is no service, nor is what is refused, nor an answer
    case({8: [999, 6000]})
    case({8: [443]}, action="REJECT")
    case({8: [443]}, (8, 443, 1), src="9.9.9.9")
    cell = case({8: [443]}, (8, 443, 3))
    log.add(NOON, "10.50.1.8", f"10.50.{100 + cell}.8:443", interface="eni-b", count=2)
    cell = case({1: [9000], 8: [9000]}, (8, 9000, 1))
    log.add(NOON, "10.50.1.9", f"10.50.{100 + cell}.9:9000", protocol=17)
    log.add(NOON, f"10.50.{100 + cell}.9:5432", "10.50.1.9")


def cases():
    log = Log()
    for add in (baseline, exfiltration, blocked_spike, brute_force, nights, new_source, new_destination, new_service):
        add(log)
    silent(log)
    late(log)
    return log
