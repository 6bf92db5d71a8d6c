"""For a task that meets conflicts: a small shift of its fires that clears them.

A shift is found by simulating again, with nothing but the tasks that share something scarce with
this one, and jumping ahead by what the simulation says is still in the way. What is found does
clear the conflicts. It is the smallest that does, unless moving the task lets others go in another
order, so that a jump goes past a smaller one.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, inf

from domain.admission import Ledger
from domain.limits import limit_of
from domain.simulation import Arrival, Job, Met, Outcome, Simulation

MOST_SHIFT_S = 3600.0
"""No task is asked to fire more than an hour later: that is another time, not a small change."""
MOST_TRIES = 12
"""Simulations for one task. Each jumps past what was in the way, so few are needed where one
clears at all.
"""
_MINUTE = 60.0
_SAME = 0.001
"""Seconds that two waits may differ and be the same: of floats since 1970."""

Outcomes = dict[tuple[str, str], tuple[Outcome, float]]
"""(run, dimension) -> what came of it, and the wait; `inf` for never."""


@dataclass(frozen=True, slots=True)
class InTheWay:
    """A fire cannot be where it is for so many seconds more, at the least."""

    seconds: float


Moved = Callable[[float], list[Arrival] | InTheWay]
"""A task's runs when its fires come so many seconds later, or what of its own is in the way."""


@dataclass
class Scene:
    """One tenant's runs ahead, simulated once.

    `ledger` makes a new one each time. `scarce`: the dimensions that were short at some time.
    `peaks`: the most units of each quota in use. `work`: fires that may be simulated again.
    """

    ledger: Callable[[], Ledger]
    jobs: Mapping[str, Job]
    arrivals: Sequence[Arrival]
    start: float
    scarce: set[str]
    peaks: Mapping[str, int]
    work: int = 0

    @cached_property
    def _takers(self) -> dict[str, list[str]]:
        """The tasks that need each dimension."""
        found: dict[str, list[str]] = {}
        for job in self.jobs.values():
            for dimension, _ in job.demand.units:
                found.setdefault(dimension, []).append(job.task_id)
        return found

    def clearing_shift(self, task_id: str, moved: Moved, first: float, most: float) -> int | None:
        """By how many seconds, whole minutes, the task must move so that it meets no conflict and
        nobody meets one, or a longer wait, because of it; None when nothing up to `most` does.

        `first`: the longest that one of its runs waits now: the search begins there.
        """
        shift = max(_MINUTE, ceil(first / _MINUTE) * _MINUTE)
        before: Outcomes | None = None
        wide = False
        for _ in range(MOST_TRIES):
            if shift > most or self.work <= 0:
                return None
            mine = moved(shift)
            if isinstance(mine, InTheWay):
                shift += _minutes(mine.seconds)
                continue
            if task_id not in self.jobs:
                return round(shift)
            others = self._sharing(task_id, wide=wide)
            if before is None:
                if 2 * len(others) > self.work:
                    return None  # it takes two simulations at the least
                before, roomy = self._without(others)
                if not roomy and not wide:
                    wide, before = True, None
                    continue
            found, roomy = self._with(task_id, mine, others, before)
            if found is not None:
                shift += _minutes(found)
            elif roomy or wide:
                return round(shift)
            else:
                wide, before = True, None
        return None

    def _sharing(self, task_id: str, *, wide: bool) -> list[Arrival]:
        """The runs of all other tasks that it can meet, or that can meet those.

        A quota that was never short is left out, unless `wide`: it brings the whole tenant in.
        """
        found, new = {task_id}, [task_id]
        while new:
            for dimension, _ in self.jobs[new.pop()].demand.units:
                quota = dimension in self.peaks
                if quota and not wide and dimension not in self.scarce:
                    continue
                fresh = [task for task in self._takers[dimension] if task not in found]
                found.update(fresh)
                new += fresh
        found.discard(task_id)
        return [arrival for arrival in self.arrivals if arrival[2] in found]

    def _without(self, others: Sequence[Arrival]) -> tuple[Outcomes, bool]:
        """What the others meet without the task."""
        self.work -= len(others)
        simulation = Simulation(self.ledger(), self.jobs)
        met = simulation.run(others, self.start)
        return {(m.run_id, m.dimension): _outcome(m) for m in met}, self._roomy(simulation)

    def _with(
        self, task_id: str, mine: list[Arrival], others: Sequence[Arrival], before: Outcomes
    ) -> tuple[float | None, bool]:
        """How far the moved task has to move on, at the least; None when it is in nobody's way."""
        job = self.jobs[task_id]
        patient = replace(  # it waits, whatever its rule, to learn for how long
            job, demand=replace(job.demand, on_conflict="queue"), queue_timeout_s=inf
        )
        simulation = Simulation(self.ledger(), {**self.jobs, task_id: patient})
        everybody = sorted([*others, *mine])
        times = [at for at, _, _ in mine]
        for met in simulation.run(everybody, self.start):
            left = self._in_the_way(met, task_id, times, before)
            if left is not None:
                self.work -= bisect_right(everybody, (met.at, "", ""))
                return left, True
        self.work -= len(everybody)
        return None, self._roomy(simulation)

    def _in_the_way(
        self, met: Met, task_id: str, times: list[float], before: Outcomes
    ) -> float | None:
        if met.task_id == task_id:
            return None if met.is_own else met.wait or _MINUTE
        outcome, wait = _outcome(met)
        known = before.get((met.run_id, met.dimension))
        if known and known[0] is outcome and wait <= known[1] + _SAME:
            return None
        # Whoever asks while one of our runs holds is in its way until ours comes after it.
        place = bisect_right(times, met.at) - 1
        return met.at - times[place] + _SAME if place >= 0 else _MINUTE

    def _roomy(self, simulation: Simulation) -> bool:
        """Whether the quotas that were left out had room for these and all others together."""
        limits = self.ledger().limits
        for dimension, peak in self.peaks.items():
            limit = limit_of(limits, dimension)
            if (
                dimension not in self.scarce
                and limit is not None
                and (simulation.peaks[dimension] + peak > limit)
            ):
                return False
        return True


def _outcome(met: Met) -> tuple[Outcome, float]:
    return met.outcome, inf if met.wait is None else met.wait


def _minutes(seconds: float) -> float:
    return max(_MINUTE, ceil(seconds / _MINUTE) * _MINUTE)
