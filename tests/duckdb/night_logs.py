"""Logs about midnight: cases whose alerts are known by hand, and four days of chance."""

import random
from datetime import datetime, timedelta

import history_logs
import lakes
from history_logs import Log, hit
from history_oracle import DAY, HOUR, MINUTE

SECOND = timedelta(seconds=1)
#: Midnight as the first day begins; the third one begins a year.
FIRST = datetime(2026, 12, 30)
DAYS = 4
HOURS = DAYS * 24
#: Of some servers the interface is known, so what arrives there is known too.
MAP = f"""{history_logs.MAP}

[eni.eni-web]
addresses = {[f"10.50.4.{number}" for number in range(1, 20)]}
zone = "web"
"""
PROBER = "10.50.1.77"


class Nights(Log):
    """A log whose parts are the files of its days."""

    def tell(self, kind, number, time, **columns):
        """A record that the detector of this name counts; by its number it has a key of its own."""
        web = f"10.50.4.{number}"
        if kind == "breach":
            self.add(time, f"10.50.2.{number}", "10.50.4.100:22", **columns)
        if kind == "blocked":
            self.add(time, "9.9.9.9", f"10.50.10.{number}:22", action="REJECT", **columns)
        if kind == "attempt":
            self.add(time, PROBER, f"{web}:7777", interface="eni-prober", **columns)
        # what becomes of an attempt: these two are seen at the server
        if kind == "refused":
            self.add(time, PROBER, f"{web}:7777", interface="eni-web", action="REJECT", **columns)
        if kind == "let in":
            self.add(time, PROBER, f"{web}:7777", interface="eni-web", **columns)
        if kind == "outage":
            self.add(time, f"10.50.1.{number}", "10.50.10.100:5432", action="REJECT", **columns)
        if kind == "log-gap":
            self.line(time, "eni-a", "- - - - - - - TIMES - SKIPDATA", time - MINUTE)

    def scan(self, source, server, times, port=1):
        """A refused probe at each time, of the next port each."""
        for number, time in enumerate(times):
            self.add(time, source, f"{server}:{port + number}", action="REJECT")

    def sweep(self, source, servers, times):
        """A refused probe of the same port of each server, at a time each."""
        for server, time in zip(servers, times, strict=True):
            self.add(time, source, f"{server}:22", action="REJECT")

    def write(self, folder):
        """One file a day, each in a folder of its own."""
        for day, lines in self.days.items():
            lakes.write_log(folder / str(day) / "flow.log.gz", lines)


def at(hours, minutes=0):
    """A time by the clock of the first day; the next one begins at 24."""
    return FIRST + hours * HOUR + minutes * MINUTE


def within(time, count, minutes=8):
    """Times one after the other, all in the first minutes after one: as many probes of a burst."""
    return [time + number * minutes * MINUTE / count for number in range(count)]


def cases():
    log = Nights()
    hours_of_a_key(log)
    attempts(log)
    vertical(log)
    horizontal(log)
    more_than_ten(log)
    slow(log)
    slow_nights(log)
    return log


def hours_of_a_key(log):
    def case(hours, *found):
        """A client with a record in each of these hours. Its alerts: the first hour, the end, flows."""
        case.number += 1
        for hour in hours:
            log.tell("breach", case.number, at(hour, 30))
        hits = [hit("medium", at(begin), (end - begin) * HOUR, flows) for begin, end, flows in found]
        log.expect("breach", {"client_addr": f"10.50.2.{case.number}"}, *hits)

    case.number = 0
    # what begins before noon ends with its day, from noon on with the next
    case(range(11, 29), (11, 24, 13), (24, 29, 5))
    case(range(12, 29), (12, 29, 17))
    case(range(13, 72), (13, 48, 35), (48, 72, 24))
    case(range(24 + 12, 72), (36, 72, 36))
    case(range(0, 96), (0, 24, 24), (24, 48, 24), (48, 72, 24), (72, 96, 24))
    case([23, 24], (23, 25, 2))
    # one quiet hour may lie between, at midnight too
    case([22, 24], (22, 25, 2))
    case([23, 25], (23, 26, 2))
    case([22, 25], (22, 23, 1), (25, 26, 1))
    case([21, 24], (21, 22, 1), (24, 25, 1))
    # it is the run of hours that begins before noon or not, not what the key did before it
    case([3, 9, 11, 13, 15, 17, 19, 21, 23, 25], (3, 4, 1), (9, 24, 8), (25, 26, 1))
    case([9, 10, 13, *range(15, 26)], (9, 11, 2), (13, 26, 12))
    case([10, 13, 15, 17, 19, 21, 23, 24], (10, 11, 1), (13, 25, 7))
    # a night, a quiet morning, and the next night
    case([22, 23, 24, 25, 37, *range(38, 50)], (22, 26, 4), (37, 50, 13))
    case([23, 24, *range(26, 50)], (23, 48, 24), (48, 50, 2))
    # a record belongs to the hour in which it ends
    log.tell("log-gap", 1, at(24))
    log.tell("log-gap", 1, at(22, 59) + 59 * SECOND)
    log.expect("log-gap", {}, hit("medium", at(22), 3 * HOUR, 2))


def attempts(log):
    def case(found, **hours):
        """A server that is tried, refuses and lets in, in some hours. Its alerts: the first hour, severity, flows."""
        case.number += 1
        for kind, times in hours.items():
            for hour in times:
                log.tell(kind.replace("_", " "), case.number, at(hour, 30))
        hits = [
            {"severity": severity, "window_start": at(begin), "flows": flows} for begin, severity, flows in found
        ]
        log.expect("attempt", {"server_addr": f"10.50.4.{case.number}"}, *hits)

    case.number = 0
    # refused in the hour beside, which is of the next day, or of the day before
    case([(23, "low", 1)], attempt=[23], refused=[24])
    case([(24, "low", 1)], attempt=[24], refused=[23])
    case([(23, "medium", 1)], attempt=[23], refused=[25])
    case([(22, "low", 4)], attempt=[22, 23, 24, 26], refused=[23, 25])
    case([(22, "medium", 4)], attempt=[22, 23, 24, 26], refused=[21, 24])
    # the same at the midnight at which the alert ends; at its second nobody looks further
    case([(10, "low", 14)], attempt=range(10, 24), refused=[*range(10, 22), 24])
    case([(22, "medium", 26)], attempt=range(22, 48), refused=[*range(22, 46), 48])
    case([(22, "low", 25)], attempt=range(22, 47), refused=[*range(22, 46), 47])
    case([(22, "medium", 26)], attempt=range(22, 48), refused=[*range(22, 46), 49])
    # let in after midnight, while the same alert lasts, and when it is over
    case([(23, "medium", 2)], attempt=[23, 25], refused=[23, 25], let_in=[24])
    case([(11, "low", 7), (24, "medium", 1)], attempt=[*range(11, 24, 2), 24], refused=range(11, 26), let_in=[24])


def vertical(log):
    def case(bursts, *found, of=15):
        """A source that tries so many ports in a pane. Its alerts: the first pane, the end, flows."""
        case.number += 1
        source = f"9.9.1.{case.number}"
        for number, time in enumerate(bursts):
            log.scan(source, "10.50.4.200", within(time, of), 1 + number % 2 * of)
        hits = [hit("low", begin, end - begin, flows) for begin, end, flows in found]
        log.expect("scan.vertical", {"client_addr": source}, *hits)

    case.number = 0
    # of neither day alone it would be enough
    case([at(23, 40), at(24, 10)], (at(23, 40), at(24, 20), 16), of=8)
    case([at(23, 20), at(24, 10)], (at(23, 20), at(24, 20), 16), of=8)
    case([at(23, 10), at(24, 10)], of=8)
    # an hour after its last pane something may begin that goes on with it
    case([at(23, 0), at(24, 0)], (at(23), at(24, 10), 30))
    case([at(23, 10), at(24, 10), at(25, 10)], (at(23, 10), at(25, 20), 45))
    case([at(23, 10), at(24, 20)], (at(23, 10), at(23, 20), 15), (at(24, 20), at(24, 30), 15))
    # from noon on it goes over a midnight, and over no second one
    chain = [at(hour) for hour in range(12, 53)]
    case(chain, (at(12), at(47, 10), 36 * 15), (at(48), at(52, 10), 5 * 15))
    second = (at(24), at(47, 10), 24 * 15), (at(48), at(52, 10), 5 * 15)
    case([at(11, 50), *chain], (at(11, 50), at(23, 10), 13 * 15), *second)

    # a window of the last hour has only what is before the midnight at which its scan ends, and begins nothing else
    def about_midnight(begin, last, *found):
        """Bursts hour by hour, then eight ports before midnight and eight after it."""
        log.scan(f"9.9.1.{case.number + 1}", "10.50.4.200", within(at(23, 50), 8), 100)
        log.scan(f"9.9.1.{case.number + 1}", "10.50.4.200", within(at(24), 8), 120)
        case([begin + number * HOUR for number in range((last - begin) // HOUR + 1)], *found)

    about_midnight(at(11), at(23), (at(11), at(24), 13 * 15 + 8))
    about_midnight(at(11, 50), at(22, 50), (at(11, 50), at(23), 12 * 15))
    # where it may go on, it has all
    about_midnight(at(12, 50), at(22, 50), (at(12, 50), at(24, 10), 11 * 15 + 16))
    # after more than an hour it is over
    about_midnight(at(11, 40), at(22, 40), (at(11, 40), at(22, 50), 12 * 15), (at(23, 50), at(24, 10), 16))


def horizontal(log):
    """The servers of two days together are enough."""
    servers = [f"10.50.4.{100 + number}" for number in range(25)]
    log.sweep("9.9.3.1", servers, within(at(23, 31), 25, 56))
    log.expect("scan.horizontal", {"client_addr": "9.9.3.1"}, hit("low", at(23, 30), HOUR, 25))
    log.sweep("9.9.3.2", servers[:24], within(at(23, 31), 24, 56))
    log.expect("scan.horizontal", {"client_addr": "9.9.3.2"})
    # of protected ones, from inside
    stores = [f"10.50.10.{100 + number}" for number in range(10)]
    log.sweep("10.50.3.1", stores, within(at(47, 31), 10, 56))
    log.expect("scan.horizontal", {"client_addr": "10.50.3.1"}, hit("medium", at(47, 30), HOUR, 10))
    log.sweep("10.50.3.2", stores[:9], within(at(47, 31), 9, 56))
    log.expect("scan.horizontal", {"client_addr": "10.50.3.2"})


def more_than_ten(log):
    def case(evening, night, *found):
        """A source that tries so many servers from 23:50 to 0:10, and as many more after that."""
        case.number += 1
        source = f"9.9.4.{case.number}"
        for number in range(evening):
            log.scan(source, f"10.50.4.{200 + number}", within(at(23, 51), 16, 18))
        for number in range(night):
            log.scan(source, f"10.50.4.{220 + number}", within(at(24, 21), 15))
        log.expect("scan.vertical", {"client_addr": source, "server_addr": None}, *found)
        return source

    case.number = 0
    case(11, 10, hit("low", at(23, 50), 20 * MINUTE, 11 * 16, distinct_servers=11))
    case(10, 11, hit("low", at(24, 20), 10 * MINUTE, 11 * 15, distinct_servers=11))
    # those of two days are not added up
    source = case(10, 10)
    tens = [hit("low", at(23, 50), 20 * MINUTE, 16)] * 10 + [hit("low", at(24, 20), 10 * MINUTE, 15)] * 10
    log.expect("scan.vertical", {"client_addr": source}, *tens)
    # what lasts until the night is over is in one alert with what does not, and all that the source tried meanwhile
    source = case(11, 0, hit("low", at(23, 50), HOUR + 20 * MINUTE, 11 * 16 + 15 + 1, distinct_servers=12))
    log.scan(source, "10.50.4.200", within(at(25, 1), 15))
    log.scan(source, "10.50.4.250", [at(24, 40)])


def slow(log):
    def case(scans, targets, *found):
        """A source that tries so many ports at once, and by and by so many targets, on the second day."""
        case.number += 1
        source = f"9.9.5.{case.number}"
        for ports, time in scans:
            log.scan(source, "10.50.4.200", within(time, ports, 18), 100)
        for number in range(targets):
            log.scan(source, f"10.50.4.{150 + number}", [at(28 + number)], 25)
        log.expect("scan.slow", {"client_addr": source}, *found)

    case.number = 0
    case([], 8, hit("low", at(28), 7 * HOUR + 10 * MINUTE, 8))
    case([], 7)
    # a fast one of the day before, which ends there or on this day
    case([(15, at(23, 41))], 8, hit("low", at(28), 7 * HOUR + 10 * MINUTE, 8))
    case([(15, at(23, 51))], 8)
    case([(16, at(23, 1)), (15, at(24, 1))], 8)
    # one that begins on the same day or after it
    case([(16, at(47, 51))], 8)
    case([(16, at(48, 1))], 8, hit("low", at(28), 7 * HOUR + 10 * MINUTE, 8))


def slow_nights(log):
    """What is slow from noon to noon; the nights are mostly those of the second day."""

    def case(tried, *found, contacts=(), fast=()):
        """A source that tries, from a time on, one of these targets after the other, each 20 minutes.

        `contacts` are the times of what it may do, with servers as `tried` has targets, `fast` those of fast scans. Its
        alerts: the first pane, the end, flows.
        """
        case.number += 1
        source = f"10.50.1.{100 + case.number}" if contacts else f"9.9.6.{case.number}"
        for begin, targets in tried:
            for number, target in enumerate(targets):
                log.scan(source, f"10.50.4.{150 + target}", [begin + number * 20 * MINUTE], 25)
        for time, servers in contacts:
            for server in servers:
                log.add(time, source, f"10.50.10.{1 + server}:5432")
        for time in fast:
            log.scan(source, "10.50.4.200", within(time, 15, 18), 100)
        hits = [hit("medium" if contacts else "low", begin, end - begin, flows) for begin, end, flows in found]
        log.expect("scan.slow", {"client_addr": source}, *hits)

    case.number = 0
    evening, morning = at(44), at(50)
    five, more = range(5), range(5, 10)
    ten, twenty = range(10), range(10, 20)
    night = evening, at(51, 30), 10
    of_evening, of_morning = (evening, at(47, 10), 10), (morning, at(53, 10), 10)
    whole = evening, at(53, 10), 20
    case([(evening, five), (morning, more)], night)
    case([(evening, ten), (morning, twenty)], whole)
    case([(evening, ten), (morning, ten)], whole)
    # distinct targets
    case([(evening, range(4)), (morning, range(4, 8))], (evening, at(51, 10), 8))
    case([(evening, range(4)), (morning, range(4, 7))])
    case([(evening, five), (morning, five)])
    case([(evening, five), (morning, range(3, 8))], night)
    # where something else was on one of the days, each of them that finds enough is for itself
    case([(at(32), [0]), (evening, ten), (morning, twenty)], (at(32), at(47, 10), 11), of_morning)
    case([(evening, ten), (morning, twenty), (at(68), [0])], of_evening, (morning, at(68, 10), 11))
    case([(at(32), [0]), (evening, ten), (morning, more)], (at(32), at(47, 10), 11))
    case([(evening, five), (morning, ten), (at(68), [0])], (morning, at(68, 10), 11))
    # and where none does, the night has what is in it
    case([(at(32), [0]), (evening, five), (morning, more)], night)
    case([(evening, five), (morning, more), (at(68), [0])], night)
    case([(at(32), [20]), (evening, range(4)), (morning, range(4, 7)), (at(68), [21])])
    # noon, and the second before
    case([(at(36), [0]), (evening, ten), (morning, twenty)], (at(36), at(53, 10), 21))
    case([(at(36) - SECOND, [0]), (evening, ten), (morning, twenty)], (at(35, 50), at(47, 10), 11), of_morning)
    case([(evening, ten), (morning, twenty), (at(60) - SECOND, [0])], (evening, at(60), 21))
    case([(evening, ten), (morning, twenty), (at(60), [0])], of_evening, (morning, at(60, 10), 11))
    case([(at(36), five), (at(60) - SECOND, more[:3])])
    case([(at(36), five), (at(59), more[:3])], (at(36), at(59, 50), 8))
    case([(at(36) - SECOND, five), (at(58, 50), more[:4])], (at(36, 10), at(60), 8))
    # midnight
    case([(at(48) - SECOND, [0]), (at(48), range(1, 8))], (at(47, 50), at(50, 10), 8))

    # contacts of both days, at whatever hour, and of no others
    of_both = [(evening, five), (morning, more)]
    case(of_both, night, contacts=[(at(24), range(6))])
    case(of_both, contacts=[(at(24), range(7))])
    case(of_both, night, contacts=[(at(71, 59), range(6))])
    case(of_both, contacts=[(at(71, 59), range(7))])
    case(of_both, night, contacts=[(at(23, 59), range(7)), (at(72), range(7))])
    case(of_both, contacts=[(at(40), range(4)), (at(52), range(4, 7))])
    case(of_both, night, contacts=[(at(40), range(4)), (at(52), range(2, 6))])
    # those of two days may be more than are kept of one
    of_twelve = evening, at(53, 50), 24
    of_two = [(at(40), range(10)), (at(52), range(10, 20))]
    case([(evening, range(12)), (morning, range(12, 24))], of_twelve, contacts=of_two)
    case([(evening, range(12)), (morning, range(12, 23))], contacts=of_two)
    # too many for the night, and not for its days
    both_days = [(at(40), range(6)), (at(52), range(6, 11))]
    case([(evening, ten), (morning, range(10, 14))], of_evening, contacts=both_days)
    case([(evening, range(4)), (morning, range(4, 14))], of_morning, contacts=both_days)
    case([(evening, ten), (morning, range(10, 15))], (evening, at(51, 30), 15), contacts=both_days)

    # a fast scan of either day tells of the night as well, and not of the other day
    for time in (at(23, 51), at(26), at(46), at(53), at(71)):
        case(of_both, fast=[time])
    for time in (at(23, 41), at(72, 1)):
        case(of_both, night, fast=[time])
    both_tens = [(evening, ten), (morning, twenty)]
    case(both_tens, of_morning, fast=[at(40)])
    case(both_tens, of_evening, fast=[at(57)])
    case(both_tens, fast=[at(47, 51)])

    # nights that follow each other
    third = evening + DAY, morning + DAY
    case([*of_both, (third[1], five)], night)
    case([*of_both, (third[0], more)], night)
    case([*of_both, (third[0], range(10, 15))], (morning, at(69, 30), 10))
    case([*of_both, (third[0], more), (third[1], range(10, 15))], night, (third[0], at(75, 30), 10))
    case([*of_both, (third[0], more), (third[1], more)], night)
    case([(evening, five), (morning, five), (third[0], five), (third[1], more)], (third[0], at(75, 30), 10))
    case([(evening, ten), (third[0], five), (third[1], more)], of_evening, (third[0], at(75, 30), 10))
    case([(at(32), [0]), (evening, five), (morning, more), (third[1], ten)], night, (third[1], at(77, 10), 10))
    first = evening - DAY, morning - DAY
    twice = (at(20), at(27, 30), 10), (at(68), at(75, 30), 10)
    case([(first[0], five), (first[1], more), (third[0], five), (third[1], more)], *twice)
    two_days = (at(20), at(23, 10), 10), (at(26), at(45, 30), 15)
    case([(first[0], ten), (first[1], twenty), (evening, five), (morning, more)], *two_days)


# four days of chance -------------------------------------------------------------------------------------------------

SEEDS = (1, 4, 9)


def soup(seed):
    """Hours of keys, and scans, of which many go over a midnight; some lines come with the file of another day."""
    rng = random.Random(seed)
    log = Nights()
    for kind in ("breach", "blocked", "outage", "log-gap"):
        for number in range(1, 5):
            for hour in hours(rng):
                log.tell(kind, number, some_time(rng, hour), count=rng.randint(1, 2))
    for number in range(1, 7):
        tried = hours(rng)
        for hour in tried:
            log.tell("attempt", number, some_time(rng, hour))
            if rng.random() < 0.9:
                log.tell("refused", number, some_time(rng, hour + rng.choice([-1, 0, 0, 1])))
        if rng.random() < 0.5:
            log.tell("let in", number, some_time(rng, rng.choice(tried)))
    for number in range(1, 11):
        chain(rng, log, f"9.9.1.{number}", "10.50.4.200")
    for number in range(1, 4):
        halves(rng, log, f"9.9.2.{number}")
        many(rng, log, f"9.9.3.{number}")
        sweeps(rng, log, f"9.9.4.{number}", f"10.50.3.{number}")
    for number in range(1, 7):
        by_and_by(rng, log, rng.choice([f"9.9.5.{number}", f"10.50.1.{100 + number}"]))
    for number in range(1, 41):
        by_night(rng, log, rng.choice([f"9.9.6.{number}", f"10.50.1.{200 + number}"]))
    # of some no end is known, of one no time at all
    ends = "10.50.2.1 10.50.4.100 40000 22 6 1 40"
    for _ in range(30):
        log.line(None, "eni-a", f"{ends} TIMES ACCEPT OK", some_time(rng, rng.randrange(HOURS)))
    log.days[FIRST.date()].append(f"2 123456789012 eni-a {ends} - - ACCEPT OK")
    for lines in list(log.days.values()):
        rng.shuffle(lines)
        for _ in range(len(lines) // 50):
            log.days[rng.choice(list(log.days))].append(lines.pop())
    return log


def some_time(rng, hour):
    """In this hour, often at one of its ends."""
    hour = min(max(hour, 0), HOURS - 1)
    return FIRST + hour * HOUR + rng.choice([0, 3599, rng.randrange(3600), rng.randrange(3600)]) * SECOND


def hours(rng):
    """The hours of a key: runs that begin at any hour, often about noon or midnight, and last for up to three days."""
    found = set()
    for _ in range(rng.randint(1, 3)):
        begin = rng.randrange(DAYS) * 24 + rng.choice([11, 12, 13, 21, 22, 23, rng.randrange(24)])
        quiet = rng.choice([0, 0, 0.1, 0.3, 0.5])
        last = begin + rng.choice([1, 3, 14, 26, 40, 70])
        found |= {begin, *(hour for hour in range(begin, last) if rng.random() >= quiet)}
    return sorted(hour for hour in found if hour < HOURS)


def burst(rng, log, time, source, server, ports, minutes):
    """Probes of so many ports, by chance in some minutes; now and then one gets through."""
    for port in rng.sample(range(1, 31), ports):
        when = time + rng.randrange(minutes * 60) * SECOND
        if when < FIRST + DAYS * DAY:
            log.add(when, source, f"{server}:{port}", action="ACCEPT" if rng.random() < 0.001 else "REJECT")


def chain(rng, log, source, server, time=None):
    """Bursts with about an hour or less between them, for up to two days; of some chains not all are enough."""
    begin = rng.choice([at(11, 50), at(11, 59), at(12), at(18), at(23, 20), at(rng.randrange(24), rng.randrange(60))])
    time = time or begin + rng.randrange(DAYS - 1) * DAY
    last = time + rng.choice([1, 5, 14, 26, 40, 50]) * HOUR
    pauses = rng.choice([[5, 20, 40], [30, 50], [50, 55, 60, 65]])
    ports = rng.choice([[15, 16, 20], [8, 14, 15, 16, 20]])
    while time < last:
        minutes = rng.choice([1, 9, 20, 50])
        burst(rng, log, time, source, server, rng.choice(ports), minutes)
        time += (minutes + rng.choice(pauses)) * MINUTE


def halves(rng, log, source):
    """Eight ports before each midnight, and about eight after it."""
    for day in range(1, DAYS):
        midnight = FIRST + day * DAY
        log.scan(source, "10.50.4.200", within(midnight - rng.choice([10, 20, 30]) * MINUTE, 8))
        log.scan(source, "10.50.4.200", within(midnight + rng.choice([0, 10, 20, 30]) * MINUTE, rng.choice([7, 8])), 20)


def many(rng, log, source):
    """About ten servers, all about the same midnight."""
    midnight = FIRST + rng.randrange(1, DAYS) * DAY
    for number in range(rng.randint(9, 14)):
        time = midnight + rng.choice([-50, -40, -30, -20, -20, -10, -10, 0, 20]) * MINUTE
        for _ in range(rng.choice([1, 1, 2])):
            burst(rng, log, time, source, f"10.50.4.{200 + number}", rng.choice([14, 15, 16, 16]), 20)
            time += rng.randrange(20, 90) * MINUTE


def sweeps(rng, log, outside, inside):
    """One port of about as many servers as are enough, about midnight, perhaps again in an hour."""
    for source, network, enough in ((outside, "10.50.4", 25), (inside, "10.50.10", 10)):
        time = FIRST + rng.randrange(1, DAYS) * DAY - rng.randrange(10, 90) * MINUTE
        for _ in range(rng.randint(1, 4)):
            servers = [f"{network}.{100 + number}" for number in range(rng.randint(enough - 1, enough + 3))]
            log.sweep(source, servers, within(time, len(servers), rng.choice([20, 50, 58])))
            time += rng.randrange(40, 110) * MINUTE


def by_and_by(rng, log, source):
    """About eight targets a day; some hosts also do what they may, and some scan at once."""
    for day in range(DAYS):
        for number in range(rng.randint(6, 11)):
            log.scan(source, f"10.50.4.{150 + number}", [FIRST + day * DAY + rng.randrange(86400) * SECOND], 25)
        for number in range(rng.choice([0, 0, 3, 5])):
            log.add(FIRST + day * DAY + rng.randrange(86400) * SECOND, source, f"10.50.10.{number + 1}:5432")
    if rng.random() < 0.7:
        chain(rng, log, source, "10.50.4.200", at(rng.choice([11, 12, 20, 22]) + rng.randrange(DAYS - 1) * 24, 50))


def by_night(rng, log, source):
    """About eight targets in some nights, some of them twice; some hosts also do what they may, or scan by day."""
    for day in rng.sample(range(DAYS - 1), rng.choice([1, 1, 2, 3])):
        midnight = FIRST + (day + 1) * DAY
        for before in (True, False):
            for _ in range(rng.choice([3, 4, 5, 6, 7, 12])):
                time = rng.choice([0, 43199, *[rng.randrange(43200)] * 15]) - 43200 * before
                target = rng.randrange(20) + (0 if before else rng.choice([0, 10]))
                log.scan(source, f"10.50.4.{150 + target}", [midnight + time * SECOND], 25)
        if rng.random() < 0.5:
            time = midnight + rng.choice([-1, 1]) * rng.choice([43200, 43201, rng.randrange(43200, 86400)]) * SECOND
            log.scan(source, f"10.50.4.{150 + rng.randrange(20)}", [time], 25)
        for number in rng.choices(range(1, 9), k=rng.choice([0, 0, 4, 7, 10])):
            log.add(midnight + rng.randrange(-86400, 86400) * SECOND, source, f"10.50.10.{number}:5432")
        if rng.random() < 0.1:
            log.scan(source, "10.50.4.200", within(midnight + rng.randrange(-86400, 86000) * SECOND, 15, 5), 100)
