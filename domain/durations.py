"""How long a task's runs take: learned from its last runs, else as the task says, else a guess."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from statistics import median
from typing import Literal

from domain.payload import Payload
from domain.task import Task

MOST_RUNS = 20
"""Runs of a task that count: enough for a 95th percentile, few enough to follow a change."""
LEAST_RUNS = 3
"""Below this many, one odd run would be most of what is known."""
DEFAULT_S = 60.0
"""Seconds that a run is taken to last when neither runs nor the task say anything."""

Key = tuple[str, str]
"""(tenant_id, task_id)."""

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Expected:
    """How long a run will take, in seconds; `source` says how this is known.

    Of `task` and `default` both figures are the same: there is nothing to tell them apart.
    """

    median_s: float
    p95_s: float
    source: Literal["learned", "task", "default"]


class ExpectInput(Payload):
    """The argument of `expect_duration`; `prior`: what the task says of itself."""

    tenant_id: str
    task_id: str
    prior: timedelta | None = None


class Expectation(Payload):
    """Its result: the 95th percentile, None when nobody knows."""

    p95_s: float | None = None


class Durations:
    """The last durations of each task's runs, in seconds, oldest first."""

    def __init__(self, pairs: Iterable[tuple[Key, Sequence[float]]] = ()) -> None:
        self._runs: dict[Key, deque[float]] = {}
        for key, seconds in pairs:
            for duration in seconds:
                self.add(key, duration)

    def add(self, key: Key, seconds: float) -> None:
        """Another run, later than those before; the oldest beyond `MOST_RUNS` is forgotten."""
        self._runs.setdefault(key, deque(maxlen=MOST_RUNS)).append(max(0.0, seconds))

    def pairs(self) -> Iterator[tuple[Key, list[float]]]:
        """What makes the same durations again."""
        return ((key, list(runs)) for key, runs in self._runs.items())

    def learned(self, key: Key) -> Expected | None:
        """What the task's runs say; None while there are fewer than `LEAST_RUNS`."""
        runs = self._runs.get(key, ())
        if len(runs) < LEAST_RUNS:
            return None
        ordered = sorted(runs)
        return Expected(median(ordered), ordered[ceil(0.95 * len(ordered)) - 1], "learned")

    def expected(self, task: Task) -> Expected:
        """How long the task's next run will take."""
        if found := self.learned((task.tenant_id, task.task_id)):
            return found
        if task.expected_duration is not None:
            prior = task.expected_duration / _SECOND
            return Expected(prior, prior, "task")
        return Expected(DEFAULT_S, DEFAULT_S, "default")
