"""How a task did: its fires by how they went, and what its runs came to. Pure counting."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import timedelta
from enum import StrEnum
from math import ceil, floor, log10

from domain.sla import BREACHES, SlaStatus
from domain.states import RunState
from domain.watch import Verdict

MEDIAN, NEARLY_ALL = 0.5, 0.99
ON_TIME_TARGET, SUCCESS_TARGET = 0.98, 0.97
"""What the rates of a task are to reach at least."""
_DIGITS = 3
_MILLISECOND = timedelta(milliseconds=1)


class Fate(StrEnum):
    """What became of a fire that was due; as the watch judges it, told from its end."""

    ON_TIME = "on_time"
    LATE = "late"
    WAITING = "waiting"
    MISSED = "missed"
    SKIPPED = "skipped"


FATES = {
    Verdict.ON_TIME: Fate.ON_TIME,
    Verdict.LATE: Fate.LATE,
    Verdict.WAITING: Fate.WAITING,
    Verdict.SKIPPED: Fate.SKIPPED,
}


@dataclass(slots=True)
class Latencies:
    """Any number of them in little memory: to the millisecond, and to three digits."""

    _counts: Counter[float] = field(default_factory=Counter)

    def add(self, latency: timedelta) -> None:
        """One more; a run that began before its time was not late at all."""
        self._counts[_rounded(max(0, round(latency / _MILLISECOND)))] += 1

    def put(self, milliseconds: float, count: int) -> None:
        """So many more of one that was counted elsewhere."""
        self._counts[milliseconds] += count

    def counts(self) -> Iterable[tuple[float, int]]:
        """Milliseconds, and how many took so long."""
        return self._counts.items()

    def merge(self, other: "Latencies") -> None:
        """All of another."""
        self._counts.update(other._counts)

    def percentile(self, share: float) -> float | None:
        """Seconds within which that share of them lies; None of none."""
        rank = ceil(share * self._counts.total())
        for milliseconds in sorted(self._counts):
            rank -= self._counts[milliseconds]
            if rank <= 0:
                return milliseconds / 1000
        return None


@dataclass(slots=True)
class Level:
    """The counts of one task, or of several.

    `due`: fires, however they went. `runs`: those that called their plugin, by hand too.
    """

    due: int = 0
    on_time: int = 0
    late: int = 0
    waiting: int = 0
    missed: int = 0
    skipped: int = 0
    runs: int = 0
    succeeded: int = 0
    failed: int = 0
    retries: int = 0
    breaches: int = 0
    latencies: Latencies = field(default_factory=Latencies)

    def fire(self, fate: Fate, latency: timedelta | None = None, count: int = 1) -> None:
        """Fires that went so; `latency`: how long after its time one began."""
        self.due += count
        setattr(self, fate, getattr(self, fate) + count)
        if latency is not None:
            self.latencies.add(latency)

    def run(self, status: RunState, *, began: bool, retries: int, sla: SlaStatus | None) -> None:
        """A run, ended or under way."""
        self.runs += began
        self.succeeded += status is RunState.SUCCESS
        self.failed += status in (RunState.FAILED, RunState.COMPENSATED)
        self.retries += retries
        self.breaches += sla in BREACHES

    def merge(self, other: "Level") -> None:
        """All that another counted."""
        for one in fields(self):
            if one.name != "latencies":
                setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))
        self.latencies.merge(other.latencies)

    @property
    def on_time_rate(self) -> float | None:
        """Of the fires that were to run and are judged: those that a rule skipped do not count."""
        return _rate(self.on_time, self.on_time + self.late + self.missed)

    @property
    def success_rate(self) -> float | None:
        """Of the runs that ended by themselves: what somebody cancelled does not count."""
        return _rate(self.succeeded, self.succeeded + self.failed)

    @property
    def on_time_met(self) -> bool | None:
        """Whether it reaches the target; None where nothing is judged."""
        return None if (rate := self.on_time_rate) is None else rate >= ON_TIME_TARGET

    @property
    def success_met(self) -> bool | None:
        """The same of success."""
        return None if (rate := self.success_rate) is None else rate >= SUCCESS_TARGET

    def as_json(self) -> dict[str, int | float | bool | None]:
        """A row of the `sla-report` document."""
        return {
            "due": self.due,
            "on_time": self.on_time,
            "on_time_rate": self.on_time_rate,
            "success_rate": self.success_rate,
            "missed": self.missed,
            "skipped": self.skipped,
            "retries": self.retries,
            "breaches": self.breaches,
            "p50_latency_s": self.latencies.percentile(MEDIAN),
            "p99_latency_s": self.latencies.percentile(NEARLY_ALL),
            "late": self.late,
            "waiting": self.waiting,
            "runs": self.runs,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "on_time_met": self.on_time_met,
            "success_met": self.success_met,
        }


def _rate(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _rounded(number: int) -> int:
    """To three digits: 12,345 is 12,300."""
    if number < 10**_DIGITS:
        return number
    scale: int = 10 ** (floor(log10(number)) - _DIGITS + 1)
    return round(number / scale) * scale


def percent(rate: float | None) -> str:
    """For people. Cut off, not rounded: 99.99 % is not all."""
    return "" if rate is None else f"{int(rate * 10_000) / 100:g} %"
