"""One tenant's part of a forecast: its fires, what they meet, and what would clear that."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import inf

from domain.admission import Ledger
from domain.agenda import Fire, Key, Spans
from domain.durations import Durations
from domain.fires_ahead import fires_ahead, judged, moved
from domain.later import said_later
from domain.ledger_state import LedgerState, ledger_of
from domain.limits import TenantLimits, demand_of, is_governed
from domain.proposals import MOST_SHIFT_S, InTheWay, Scene
from domain.simulation import Arrival, Job, Met, Outcome, Simulation
from domain.task import Overlap, Task
from domain.triggers import zone_of

MOST_PROPOSALS = 10
"""Of one tenant, for the tasks that lose most: who has carried these out looks again."""
NEVER_S = 3600.0
"""A run that never comes counts as much as one that waits for so long."""
_SECOND = timedelta(seconds=1)
_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Proposal:
    """Move a task's fires by `shift_s` seconds, whole minutes, and it meets no conflict."""

    task_id: str
    shift_s: int
    text: str

    def as_json(self) -> dict[str, str | int]:
        """The proposal in the `forecast` document."""
        return {"task_id": self.task_id, "shift_s": self.shift_s, "text": self.text}


@dataclass(slots=True)
class _Loss:
    """What a task's conflicts cost it."""

    total_s: float = 0.0
    longest_s: float = 0.0


class TenantAhead:
    """`look`, then read `fires`, `total` and `met`, and ask for `proposals`."""

    def __init__(
        self,
        tasks: Mapping[Key, Spans],
        limits: TenantLimits,
        durations: Durations,
        *,
        start: datetime,
        end: datetime,
        namespace_id: str | None,
        state: LedgerState | None,
        slack_s: float = 0.0,
    ) -> None:
        self._spans = tasks
        self._limits = limits
        self._durations = durations
        self._start, self._end = start, end
        self._namespace_id = namespace_id
        self._state = state
        self._slack_s = slack_s
        self._tasks: dict[str, Task] = {}
        self._losses: dict[str, _Loss] = {}
        self._scarce: set[str] = set()
        self._scene: Scene | None = None
        self._most = 0
        self.fires = 0
        self.total = 0
        self.met: list[Met] = []

    @property
    def tasks(self) -> int:
        """How many tasks can fire in the window, whether they do or not."""
        return len(self._tasks)

    def zone(self, task_id: str) -> str:
        """The zone that a task's times are shown in."""
        return zone_of(self._tasks[task_id])

    def look(self, most: int, advance: Callable[[], None] | None) -> None:
        """Simulate; of the conflicts the first `most` are kept, and all are counted."""
        self._most = most
        limited = self._limits.max_concurrent is not None
        jobs: dict[str, Job] = {}
        arrivals: list[Arrival] = []
        for key, spans in self._spans.items():
            if advance:
                advance()
            last = spans[-1] if spans else None
            if last is None or (last.until is not None and last.until <= self._start):
                continue
            task = last.task
            self._tasks[task.task_id] = task
            fires = self._fires(key)
            self.fires += len(fires)
            found = judged(task, fires, self._start, self._windows_end)
            for met in found.met:
                self._meet(met)
            job = job_of(task, self._durations, self._slack_s)
            if is_governed(task, limited=limited):
                jobs[task.task_id] = job
                arrivals += found.arrivals
            else:
                self._alone(task, job, found.arrivals)
        if jobs:
            self._simulate(jobs, arrivals)

    def proposals(self, work: int) -> dict[str, Proposal]:
        """By task, for those that lose most; a task that no small shift helps has none.

        `work`: how many fires may be simulated again to find them.
        """
        found: dict[str, Proposal] = {}
        if self._scene:
            self._scene.work = work
        worst = sorted(self._losses, key=lambda task: (-self._losses[task].total_s, task))
        for task_id in worst[:MOST_PROPOSALS]:
            if proposal := self._proposal(task_id):
                found[task_id] = proposal
        return found

    @property
    def _windows_end(self) -> datetime:
        """Until when blackouts matter: to the last fire that a proposal could move."""
        return self._end + MOST_SHIFT_S * _SECOND

    def _fires(self, key: Key) -> list[Fire]:
        return list(
            fires_ahead(
                key,
                self._spans[key],
                start=self._start,
                end=self._end,
                namespace_id=self._namespace_id,
            )
        )

    def _ledger(self) -> Ledger:
        ledger = ledger_of(self._state) if self._state else Ledger(self._limits)
        if self._state:
            ledger.set_limits(self._limits, self._start.timestamp())
        return ledger

    def _simulate(self, jobs: dict[str, Job], arrivals: list[Arrival]) -> None:
        arrivals.sort()
        start = self._start.timestamp()
        simulation = Simulation(self._ledger(), jobs)
        for met in simulation.run(arrivals, start):
            self._meet(met)
        self._scene = Scene(
            self._ledger, jobs, arrivals, start, set(self._scarce), simulation.peaks
        )

    def _alone(self, task: Task, job: Job, arrivals: list[Arrival]) -> None:
        """A task that asks nobody: with `overlap: skip` it meets its own earlier run."""
        free = -inf
        for at, run_id, task_id in arrivals:
            if task.overlap is Overlap.SKIP and at < free:
                dimension = f"overlap:{task_id}"
                self._meet(Met(at, run_id, task_id, dimension, (task_id,), Outcome.SKIPPED))
                continue
            free = at + job.median_s
            if breach := job.breach(0.0):
                self._meet(Met(at, run_id, task_id, breach, (), Outcome.WAITS, 0.0))

    def _meet(self, met: Met) -> None:
        self.total += 1
        if len(self.met) < self._most:
            self.met.append(met)
        self._scarce.add(met.dimension)
        if not met.is_own:
            loss = self._losses.setdefault(met.task_id, _Loss())
            loss.total_s += NEVER_S if met.wait is None else met.wait
            loss.longest_s = max(loss.longest_s, met.wait or 0.0)

    def _proposal(self, task_id: str) -> Proposal | None:
        task = self._tasks[task_id]
        fires = self._fires((task.tenant_id, task_id))
        if not fires:
            return None

        def at(shift: float) -> list[Arrival] | InTheWay:
            later = moved(task, fires, shift * _SECOND, self._namespace_id)
            found = judged(task, later, self._start, self._windows_end)
            if found.met:
                return InTheWay(found.latest_end - found.met[-1].at)
            return found.arrivals

        times = [fire.scheduled for fire in fires]
        gaps = [(after - before) / _SECOND for before, after in pairwise(times)]
        most = min([MOST_SHIFT_S, *(gap - _MINUTE_S for gap in gaps)])
        scene = self._scene or Scene(self._ledger, {}, (), 0.0, set(), {}, work=1)
        # A blackout that puts a run off does so for other reasons than one that waits its turn.
        first = 0.0 if task.blackouts else self._losses[task_id].longest_s
        shift = scene.clearing_shift(task_id, at, first, most)
        if shift is None:
            return None
        text = said_later(task, shift * _SECOND, self._start, self._end)
        return Proposal(task_id, shift, text)


def job_of(task: Task, durations: Durations, slack_s: float = 0.0) -> Job:
    """What a simulation knows of a task; `slack_s` as in `domain.forecast.forecast`."""
    expected = durations.expected(task)
    sla = task.sla
    return Job(
        task_id=task.task_id,
        demand=demand_of(task),
        median_s=expected.median_s + slack_s,
        p95_s=0.0 if expected.source == "default" else expected.p95_s,
        queue_timeout_s=task.queue_timeout / _SECOND,
        start_within_s=sla.start_within / _SECOND if sla else inf,
        finish_within_s=sla.finish_within / _SECOND if sla else inf,
    )
