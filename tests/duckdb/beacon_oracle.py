"""The alerts of the detector `beacon`, computed a second time from the rows of a lake.

As in `history_oracle`, DuckDB adds the rows up and Python judges what it added up, in whole numbers.
"""

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from history_oracle import DAY, Sum, alert

DEFAULTS = {"enabled": False, "conversations": 24, "hours": 4, "kilobytes": 20, "score": 90}
MOST_PORTS = 1440

KEY = ("client_zone", "client_addr", "server_zone", "server_addr", "server_port", "protocol")
KEY_DAY = ", ".join([*KEY, "day"])

#: What the rows of a key add up to in a day. `begins`: the second of the day in which each port began; one that began
#: the day before did so in the first. `hours`: of every hour the bytes of the interface that saw most bytes, and the
#: rows of the one that saw most rows.
DAYS = f"""
WITH counted AS (
    SELECT *, date_trunc('hour', time) AS in_hour, date_trunc('day', time)::TIMESTAMP AS day
    FROM (SELECT *, coalesce("end", start) AS time FROM flows)
    WHERE client_addr = coalesce(pkt_srcaddr, srcaddr) AND orientation <> 'reply' AND confidence <> 'weak'
        AND protocol IN (6, 17) AND srcport IS NOT NULL AND dstport IS NOT NULL
        AND action = 'ACCEPT' AND server_zone = 'internet' AND client_zone <> 'internet' AND time IS NOT NULL
), per_port AS (
    SELECT {KEY_DAY}, srcport, date_diff('second', day, greatest(min(start), day)) AS begin
    FROM counted WHERE start IS NOT NULL GROUP BY {KEY_DAY}, srcport
), per_interface AS (
    SELECT {KEY_DAY}, in_hour, interface_id, sum(coalesce(bytes, 0)) AS seen, count(*) AS flows
    FROM counted GROUP BY ALL
), per_hour AS (
    SELECT {KEY_DAY}, in_hour, max(seen)::BIGINT AS seen, max(flows) AS flows FROM per_interface GROUP BY ALL
)
FROM (
    SELECT {KEY_DAY}, count(*) AS flows, min(start) AS first_seen, max(time) AS last_seen FROM counted GROUP BY ALL
)
JOIN (SELECT {KEY_DAY}, list(begin) AS begins FROM per_port GROUP BY ALL) USING ({KEY_DAY})
JOIN (SELECT {KEY_DAY}, list((seen, flows)) AS hours FROM per_hour GROUP BY ALL) USING ({KEY_DAY})
"""


@dataclass
class KeyDay:
    """A key on a day: the seconds in which calls began, (bytes, rows) of its hours, and what its alert would say."""

    key: dict
    day: datetime
    total: Sum
    ports: int
    begins: list
    hours: list

    @property
    def bytes(self):
        return sum(sent for sent, _ in self.hours)

    @property
    def span(self):
        return self.begins[-1] - self.begins[0]

    @property
    def score(self):
        """How regular the calls are, of 100; None where there is but one."""
        pauses = [later - earlier for earlier, later in pairwise(self.begins)]
        return (points(pauses) + points([sent // rows for sent, rows in self.hours])) // 4 if pauses else None

    def calls_enough(self, settings):
        """Whether all but the score speaks for an alert."""
        return (
            settings["enabled"]
            and self.ports <= MOST_PORTS
            and len(self.begins) >= settings["conversations"]
            and self.span >= settings["hours"] * 3600
            and self.bytes <= settings["kilobytes"] * 1000 * len(self.begins)
        )

    def is_beacon(self, settings):
        return self.calls_enough(settings) and self.score is not None and self.score >= settings["score"]


def points(numbers):
    """How symmetrical some numbers are and how near to their middle: 100 points each."""
    low, middle, high = quarters(numbers)
    skew = 0
    if low < middle < high and (high - low) * 10 >= middle:
        skew = min(100, abs(low + high - 2 * middle) * 100 // (high - low))
    _, distance, _ = quarters([abs(number - middle) for number in numbers])
    deviation = 100 if middle == 0 else min(100, distance * 100 // middle)
    return 100 - skew + 100 - deviation


def quarters(numbers):
    in_order = sorted(numbers)
    return [in_order[part * len(in_order) // 4] for part in (1, 2, 3)]


def key_days(connection):
    """Every key on every day of a lake; `connection` has the views of queries/views.sql."""
    found = []
    for *key, day, flows, first_seen, last_seen, begins, hours in connection.execute(DAYS).fetchall():
        total = Sum(0, flows, first_seen, last_seen)
        columns = dict(zip(KEY, key, strict=True))
        found.append(KeyDay(columns, day, total, len(begins), sorted(set(begins)), hours))
    return found


def alerts(days, settings_of):
    """The alerts as dicts with the keys of `history_oracle.COLUMNS`; `settings_of` knows the settings of a zone."""
    return [
        alert("beacon", "low", (each.day, each.day + DAY), each.total, **each.key)
        for each in days
        if each.is_beacon(settings_of(each.key["client_zone"]))
    ]
