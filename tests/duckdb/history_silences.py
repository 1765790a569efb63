"""The cases of `silent` and `late`, as those of `history_cases`: an epoch of their own each."""

from datetime import datetime

from history_logs import hit
from history_oracle import DAY, HOUR, MINUTE

#: Three days, of which the last ends at 20:00.
QUIET = datetime(2026, 5, 4)
QUIET_END = QUIET + 2 * DAY + 20 * HOUR
LATE = datetime(2026, 6, 1)


def silence(severity, start, end, **more):
    """An alert that is to come of a time without records."""
    return hit(severity, start, end - start, 0, first_seen=start, last_seen=end, **more)


def silent(log):
    names = iter(f"eni-quiet-{number}" for number in range(99))
    for minute in range(0, 68 * 60 + 1, 5):
        log.nodata(QUIET + minute * MINUTE, "eni-quiet")
    log.nodata(QUIET + DAY - MINUTE, "eni-quiet")
    log.nodata(QUIET + 2 * DAY - MINUTE, "eni-quiet")

    def case(last, then=None, end=None, *, step=5, history=180, early=(), found=True):
        """An interface that is seen every `step` minutes until `last` (day, hour, minute), and `then` minutes later.

        It is silent until it is seen again, or until `end`.
        """
        last = QUIET + last[0] * DAY + last[1] * HOUR + last[2] * MINUTE
        name = next(names)
        for before in [*range(0, history + 1, step), *early]:
            log.nodata(last - before * MINUTE, name)
        if then:
            log.nodata(last + then * MINUTE, name)
        end = end or (last + then * MINUTE if then else QUIET + 2 * DAY)
        start = last + MINUTE
        where = {"window_start": start, "severity": "low"}
        log.expect("silent", where, *([silence("low", start, end, server_zone=None)] if found else []))

    # forty minutes, and three times a rarer rhythm; with a pause above twenty the log was not whole before either
    case((1, 10, 1), 40, found=False)
    case((1, 10, 2), 41)
    case((1, 10, 3), 40, step=13, history=182, found=False)
    case((1, 10, 4), 41, step=13, history=182)
    case((1, 10, 6), 42, step=14, history=182, found=False)
    case((1, 10, 7), 43, step=14, history=182)
    case((1, 10, 8), 60, step=20, found=False)
    case((1, 10, 9), 61, step=20)
    case((1, 10, 11))
    case((1, 10, 12), 57, step=19, history=190, found=False)
    case((1, 10, 13), 58, step=19, history=190)
    case((1, 10, 14), step=20)
    case((1, 10, 16), 64, step=21, history=189, found=False)
    case((1, 10, 17), step=21, history=189, found=False)
    # too short a time before it; a single minute of the day before is enough, one of the day before that is not
    case((1, 11, 1), history=119, step=7, found=False)
    case((1, 11, 2), history=120)
    case((1, 11, 3), history=115, early=[121])
    case((2, 1, 1), history=60, early=[1501], end=QUIET_END + MINUTE)
    case((2, 1, 2), history=60, early=[1503], found=False)
    # a pause counts as rhythm for six hours
    case((1, 11, 6), 45, history=345, early=[360], found=False)
    case((1, 11, 7), 46, history=345, early=[360])
    case((1, 11, 8), 40, history=345, early=[361], found=False)
    case((1, 11, 9), 41, history=345, early=[361])
    case((1, 11, 11), 60, history=340, early=[360], found=False)
    case((1, 11, 12), 61, history=340, early=[360])
    case((1, 11, 13), history=335, early=[356], found=False)
    case((1, 11, 14), 41, history=335, early=[361])
    case((1, 11, 16), history=300, early=[360], found=False)
    # without two minutes in these there is no rhythm
    case((1, 11, 17), history=0, early=[361], found=False)
    case((1, 11, 18), history=0, early=[360], found=False)
    case((1, 11, 19), history=1, step=1, early=[361])
    # over midnight: the silence is of the day in which it is established, and ends there
    case((0, 23, 18), 220, end=QUIET + DAY)
    case((0, 23, 19), 220)
    case((0, 23, 31), 40, found=False)
    case((0, 23, 32), 41)
    case((0, 21, 1), 26 * 60, end=QUIET + DAY)
    case((1, 23, 41), end=QUIET_END + MINUTE)
    # the log goes on for long enough, or does not
    case((2, 19, 19), end=QUIET_END + MINUTE)
    case((2, 19, 20), found=False)
    whole_zones(log)


def whole_zones(log):
    cells = iter(range(30))

    def at(text):
        return QUIET + DAY + int(text[:2]) * HOUR + int(text[3:]) * MINUTE

    def every(number, first, last, step=5):
        """Sightings of an interface, `step` minutes from each other."""
        return [
            (number, at(first) + minute * MINUTE) for minute in range(0, (at(last) - at(first)) // MINUTE + 1, step)
        ]

    def case(lasts, *found, then=(), outside="9.9.9.9:443"):
        """A zone whose interfaces are last seen at these times, HH:MM of the second day, but for what is seen `then`.

        `found` are (severity, last minute, end). None for a time: an interface that is seen only then. `*` stands for
        the zone's part of an address.
        """
        cell = next(cells)
        outside = outside.replace("*", str(100 + cell))
        for number, last in enumerate(lasts):
            host = f"10.50.{100 + cell}.{10 + number}"
            before = [at(last) - before * MINUTE for before in range(0, 181, 5)] if last else []
            for time in before + [time for which, time in then if which == number]:
                log.add(time, host, outside, interface=f"eni-{host}")
        alerts = [silence(severity, at(last) + MINUTE, at(end)) for severity, last, end in found]
        log.expect("silent", {"server_zone": f"cell-{cell}"}, *alerts)
        return cell

    end, last_logged = "24:00", "44:01"
    case(["10:00"], ("low", "10:00", end))
    case(["10:00", "09:20"], ("high", "10:00", end))
    case(["10:00", "09:20", "10:00"], ("high", "10:00", end))
    apart = [("low", "09:20", end), ("low", "10:00", end)]
    # one that goes on; one that nobody knows yet, whose silence is none; one whose log has too long pauses
    case(["10:00", "09:20", "10:00"], *apart, ("low", "23:40", last_logged), then=every(2, "10:00", "23:40", 20))
    case(["10:00", "09:20", None], *apart, then=every(2, "08:00", "08:00"))
    case(["10:00", "09:20", None], ("high", "10:00", end), then=every(2, "07:59", "07:59"))
    case(["10:00", "09:20", None], *apart, then=every(2, "06:00", "09:30", 21))
    case(["10:00", "09:20", None], ("high", "10:00", end), then=every(2, "06:00", "09:40", 20))
    # one that was silent long before; two hours before is not long
    case(["10:00", "09:20", "07:59"], ("low", "07:59", end), ("high", "10:00", end))
    case(["10:00", "08:00"], ("high", "10:00", end))
    case(["10:00", "07:59"], ("low", "07:59", end), ("low", "10:00", end))
    case(["11:00", "09:30", "08:30"], ("low", "08:30", end), ("high", "11:00", end))
    # the first that is seen again ends it; who is seen again before the last is silent is not silent with it
    case(["10:00", "09:20"], ("high", "10:00", "20:10"), then=[(0, at("21:05")), (1, at("20:10"))])
    case(["10:00", "09:00"], ("high", "10:00", "10:02"), then=[(1, at("10:02"))])
    case(["10:00", "09:00"], ("low", "09:00", "10:01"), ("low", "10:00", end), then=[(1, at("10:01"))])
    case(["10:00", "09:00"], ("low", "09:00", "10:00"), ("low", "10:00", end), then=[(1, at("10:00"))])
    # of the morning, and a later one: of one interface, of one that is new, and of the zone again
    morning = ("high", "04:00", "06:00")
    others = every(0, "06:00", "44:00") + every(1, "06:10", "44:00")
    case(["04:00"] * 3, morning, ("low", "20:00", end), then=others + every(2, "06:20", "20:00"))
    case(["04:00", "04:00", None], ("high", "04:00", end), ("low", "20:00", end), then=every(2, "17:00", "20:00"))
    again = every(0, "06:00", "20:00") + every(1, "06:10", "19:00")
    case(["04:00"] * 2, morning, ("high", "20:00", end), then=again)
    # over midnight, and on both sides of it
    case(["23:30", "23:50"], ("high", "23:50", last_logged))
    case(["23:18", "23:19"], ("low", "23:18", end), ("low", "23:19", last_logged))
    case(["23:17", "23:18"], ("high", "23:18", end))
    # one zone at both ends is that zone; of two nobody knows which
    case(["12:00", "12:00"], ("high", "12:00", end), outside="10.50.*.9:443")
    other_zone = {"window_start": QUIET + DAY + 13 * HOUR + MINUTE, "server_zone": None}
    log.expect("silent", other_zone, *[silence("low", other_zone["window_start"], QUIET + 2 * DAY)] * 2)
    case(["13:00", "13:00"], outside="10.50.4.9:443")
    # until another record leaves one
    cell = case(["13:30", "13:30"], ("high", "13:30", end), outside="10.50.4.9:443")
    for host in (f"10.50.{100 + cell}.10", f"10.50.{100 + cell}.11"):
        log.add(QUIET + DAY + 13 * HOUR, "10.50.1.9", f"{host}:443", interface=f"eni-{host}")


def late(log):
    def logged(first, last, step=10 * MINUTE):
        while first < last:
            log.nodata(first, "eni-late")
            first += step
        log.nodata(last, "eni-late")

    def time(day, hour, minute):
        return LATE + day * DAY + hour * HOUR + minute * MINUTE

    stretches = [
        (time(0, 0, 0), time(0, 12, 0)),
        (time(0, 13, 1), time(0, 15, 0)),  # sixty minutes without
        (time(0, 16, 2), time(0, 19, 0)),  # sixty-one
        (time(0, 20, 3), time(0, 23, 29)),
        (time(1, 0, 30), time(1, 5, 30)),  # sixty over midnight
        (time(2, 11, 0), time(2, 23, 29)),
        (time(3, 0, 31), time(3, 9, 0)),  # sixty-one over midnight
        (time(5, 9, 0), time(5, 10, 0)),  # a day without any is not late
    ]
    for first, last in stretches:
        logged(first, last)
    late = [(stretches[before][1] + MINUTE, stretches[before + 1][0]) for before in (1, 2, 4, 5)]
    log.expect("late", {}, *[silence("medium", start, end, server_zone=None) for start, end in late])
