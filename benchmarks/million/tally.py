"""What all tenants come to together: a number for each second, and one line for each tenant."""

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from math import ceil
from operator import sub

from benchmarks.million.play import Played, Seconds

LINES = ("named", "fired", "asked", "again", "queued", "left", "released", "began", "over")
MINUTE = 60
Spread = dict[str, float]


@dataclass(frozen=True, slots=True)
class TenantLine:
    """One tenant. Peaks: the most in a second or minute; `answer_s`: how late an answer comes."""

    tasks: int
    fires: int
    peak_second: int
    peak_minute: int
    most_running: int
    most_waiting: int
    decisions: int
    decisions_second: int
    decisions_minute: int
    answer_s: float


class Tally:
    """Takes tenants one after the other, and keeps of each what the figures need."""

    def __init__(self, seconds: int, decisions_per_second: float) -> None:
        """`decisions_per_second`: what one governor is taken to hold."""
        self.seconds = seconds
        self._governor = decisions_per_second
        self.lines = {name: array("l", bytes(8 * seconds)) for name in LINES}
        self.tenants: list[TenantLine] = []
        self.ends: Counter[str] = Counter()
        self.ledgers: Counter[str] = Counter()
        self.waits = array("f")
        self.fires = self.conflicts = self.breaches = 0
        self.not_conserved: list[str] = []

    def add(self, played: Played) -> None:
        """Count a tenant. What comes after the window is not in its lines."""
        for name, line in self.lines.items():
            for second, count in getattr(played, name).items():
                if second < self.seconds:
                    line[second] += count
        self.tenants.append(self._line_of(played))
        self.ends += played.ends
        self.ledgers.update(played.ledger)
        self.waits.extend(played.waits)
        self.fires += played.fires
        self.conflicts += played.conflicts
        self.breaches += played.breaches
        if not played.is_conserved():
            self.not_conserved.append(played.tenant_id)

    def running(self) -> list[int]:
        """Runs under way at the end of each second."""
        return list(accumulate(map(sub, self.lines["began"], self.lines["over"])))

    def waiting(self) -> list[int]:
        """Runs that wait for their grant at the end of each second."""
        return list(accumulate(map(sub, self.lines["queued"], self.lines["left"])))

    def of_tenants(self) -> dict[str, Spread]:
        """Of each field the median tenant, the one in a hundred, the first, and all together."""
        found = {}
        for field in fields(TenantLine):
            values = sorted(getattr(line, field.name) for line in self.tenants)
            found[field.name] = {
                "p50": at_share(values, 0.5),
                "p99": at_share(values, 0.99),
                "max": values[-1],
                "sum": sum(values),
            }
        return found

    def _line_of(self, played: Played) -> TenantLine:
        decisions = _inside(played.asked + played.again, self.seconds)
        fired = _inside(played.fired, self.seconds)
        return TenantLine(
            tasks=played.tasks,
            fires=played.fires,
            peak_second=max(fired.values(), default=0),
            peak_minute=_most_in_a_minute(fired),
            most_running=_most(played.began, played.over),
            most_waiting=_most(played.queued, played.left),
            decisions=sum(decisions.values()),
            decisions_second=max(decisions.values(), default=0),
            decisions_minute=_most_in_a_minute(decisions),
            answer_s=longest_wait(decisions, self._governor),
        )


def spread_of(values: Sequence[float]) -> Spread:
    """Of a line: its mean, percentiles and most."""
    ordered = sorted(values)
    if not ordered:
        return {"mean": 0.0, "p50": 0.0, "p99": 0.0, "max": 0.0}
    return {
        "mean": sum(ordered) / len(ordered),
        "p50": at_share(ordered, 0.5),
        "p99": at_share(ordered, 0.99),
        "max": ordered[-1],
    }


def busiest_minute(line: Sequence[int]) -> float:
    """Of a line: the mean of its busiest minute."""
    return max(sum(line[at : at + MINUTE]) / MINUTE for at in range(0, len(line), MINUTE))


def at_share(ordered: Sequence[float], share: float) -> float:
    """A percentile by its nearest rank."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def longest_wait(load: Mapping[int, int], rate: float) -> float:
    """Seconds until the last of a load is done, each from its own second, at so many a second."""
    backlog = worst = 0.0
    before = 0
    for second in sorted(second for second, count in load.items() if count):
        backlog = max(0.0, backlog - rate * (second - before)) + load[second]
        before, worst = second, max(worst, backlog)
    return worst / rate


def rate_needed(load: Mapping[int, int], within: float) -> float:
    """The least rate at which none waits for longer than `within` seconds, to a thousandth."""
    load = {second: count for second, count in load.items() if count}
    low, high = 0.0, sum(load.values()) / within
    while high - low > high / 1000:
        middle = (low + high) / 2
        low, high = (low, middle) if longest_wait(load, middle) <= within else (middle, high)
    return high


def _inside(seconds: Seconds, end: int) -> Seconds:
    return Counter({second: count for second, count in seconds.items() if second < end})


def _most_in_a_minute(seconds: Seconds) -> int:
    minutes: Counter[int] = Counter()
    for second, count in seconds.items():
        minutes[(second + 1) // MINUTE] += count  # the window begins after its first instant
    return max(minutes.values(), default=0)


def _most(more: Seconds, fewer: Seconds) -> int:
    """The most at once; who goes in a second is gone before others come."""
    level = most = 0
    for second in sorted(more.keys() | fewer.keys()):
        level += more[second] - fewer[second]
        most = max(most, level)
    return most
