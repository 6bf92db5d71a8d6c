"""A tenant's runs ahead of time, through the very ledger that decides about them live.

Times are seconds since 1970. A run holds what it was granted for as long as its task's runs
usually take. At one instant, runs end first, then those are turned away that waited for too long,
then the runs that ask at that instant are decided together, as a governor decides them.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from heapq import heappop, heappush
from itertools import groupby
from math import inf
from operator import itemgetter

from domain.admission import Ledger
from domain.decisions import Decision, Granted, Queued, Refused, Request, first_of
from domain.ids import parse_run_id
from domain.limits import CONCURRENT, Demand, limit_of

Arrival = tuple[float, str, str]
"""When a run asks, its id, its task's id."""

START_WITHIN, FINISH_WITHIN = "sla:start_within", "sla:finish_within"
_END, _DEADLINE = 0, 1


class Outcome(StrEnum):
    """What becomes of a run that meets a conflict."""

    WAITS = "waits"
    QUEUE_TIMEOUT = "queue_timeout"
    SKIPPED = "skipped"
    FAILED = "failed"
    RUNS_BESIDE = "runs_beside"
    CANCELS = "cancels"
    """`overlap: cancel_running`: it runs at once, and an earlier run of its task does not end."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a simulation knows of a task; lengths in seconds, `inf` for a bound there is not.

    `p95_s` is 0 where nothing is known of how long runs take: a guess must not warn of an SLA.
    """

    task_id: str
    demand: Demand
    median_s: float
    p95_s: float
    queue_timeout_s: float = inf
    start_within_s: float = inf
    finish_within_s: float = inf

    def breach(self, wait: float) -> str | None:
        """Which part of its SLA a run is likely to break that waits so long."""
        if wait > self.start_within_s:
            return START_WITHIN
        return FINISH_WITHIN if wait + self.p95_s > self.finish_within_s else None


@dataclass(slots=True)
class Met:
    """A conflict: a run at `at`, the dimension that was short (or its SLA), and who had it.

    `wait`: seconds until it goes; None when it never does. `beside`: task ids, the first few.
    `noted`: the ledger takes note of it, as a governor's will.
    """

    at: float
    run_id: str
    task_id: str
    dimension: str
    beside: tuple[str, ...]
    outcome: Outcome
    wait: float | None = None
    noted: bool = False

    @property
    def is_own(self) -> bool:
        """Whether the task meets this wherever its fires are: its earlier run, its own length."""
        return self.dimension.startswith("overlap:") or (
            self.dimension == FINISH_WITHIN and self.wait == 0 and not self.beside
        )


class Simulation:
    """One tenant's time to come. `jobs` by task id; `ledger` is used up."""

    def __init__(self, ledger: Ledger, jobs: Mapping[str, Job]) -> None:
        self._ledger = ledger
        self._jobs = jobs
        self._events: list[tuple[float, int, str, int]] = []
        self._open: dict[str, Met] = {}
        quotas = [CONCURRENT, *(f"resource:{name}" for name in ledger.limits.resources)]
        self.peaks: dict[str, int] = dict.fromkeys(quotas, 0)
        """Of each quota the most units that were in use or waited for, or a little more."""
        self._largest = dict.fromkeys(quotas, 1)
        for demand in (job.demand for job in jobs.values()):
            for dimension, units in demand.units:
                if units > self._largest.get(dimension, units):
                    self._largest[dimension] = units
        ledger.conflicts = deque()  # unbounded: each is taken out as soon as it is in
        ledger.refused.clear()

    def run(self, arrivals: Sequence[Arrival], start: float) -> Iterator[Met]:
        """What the runs meet, each as soon as it is known what comes of it.

        `arrivals` are in order. It goes on past the last of them until nobody waits any more.
        """
        self._take_up(start)
        yield from self._follow(start)
        for at, group in groupby(arrivals, itemgetter(0)):
            yield from self._pass(at)
            somebody_waits = bool(self._ledger.waiting)
            yield from self._ask(list(group), at)
            if somebody_waits or self._ledger.waiting:
                yield from self._follow(at)
        while self._open and self._events:
            yield from self._pass(self._events[0][0])

    def _take_up(self, start: float) -> None:
        """When those who hold already will end, and until when those wait who wait already."""
        for run_id, holder in self._ledger.holders.items():
            job = self._jobs.get(holder.request.demand.task_id)
            median_s, p95_s = (job.median_s, job.p95_s) if job else (0.0, 0.0)
            ends = (holder.since + median_s, holder.since + p95_s, start + median_s)
            end = next((end for end in ends if end > start), start)
            heappush(self._events, (end, _END, run_id, holder.fence))
        for request in self._ledger.waiting.values():
            heappush(self._events, (request.deadline, _DEADLINE, request.run_id, 0))
        self._ledger.settle(start)

    def _pass(self, until: float) -> Iterator[Met]:
        """Everything that happens by itself up to an instant."""
        ledger, events = self._ledger, self._events
        while events and events[0][0] <= until:
            at, kind, run_id, fence = heappop(events)
            if kind == _END:
                holder = ledger.holders.get(run_id)
                if holder is None or holder.fence != fence:
                    continue  # it was cancelled for a newer one
                somebody_waits = bool(ledger.waiting)
                ledger.release(run_id, at)
                if not somebody_waits:
                    continue
            elif run_id in ledger.waiting:
                ledger.settle(at)
            else:
                continue
            yield from self._follow(at)

    def _ask(self, arrivals: list[Arrival], at: float) -> Iterator[Met]:
        """Decide about runs that come together."""
        ledger = self._ledger
        requests = []
        for _, run_id, task_id in arrivals:
            job = self._jobs[task_id]
            requests.append(Request(run_id, job.demand, at, at + job.queue_timeout_s))
        decisions = ledger.decide_all(requests, at)
        noted: dict[str, tuple[str, tuple[str, ...]]] = {}
        while ledger.conflicts:
            conflict = ledger.conflicts.popleft()
            noted[conflict.run_id] = conflict.dimension, conflict.blockers
        for request, decision in zip(requests, decisions, strict=True):
            job, run_id = self._jobs[request.demand.task_id], request.run_id
            if isinstance(decision, Granted):
                heappush(self._events, (at + job.median_s, _END, run_id, decision.fence))
                if run_id not in noted:
                    if breach := job.breach(0.0):
                        yield Met(at, run_id, job.task_id, breach, (), Outcome.WAITS, 0.0)
                    continue
            dimension, blockers = noted.get(run_id) or _blocked(decision)
            met = Met(
                at,
                run_id,
                job.task_id,
                dimension or self._impossible(request.demand),
                tuple(dict.fromkeys(self._task_of(blocker) for blocker in blockers)),
                Outcome.WAITS,
                noted=run_id in noted,
            )
            if isinstance(decision, Granted):
                met.outcome, met.wait = Outcome.RUNS_BESIDE, 0.0
                yield from self._known(met, job)
            elif isinstance(decision, Refused):
                ledger.release(run_id, at)
                met.outcome = _refused(decision.code, job)
                yield from self._known(met, job)
            else:
                self._open[run_id] = met
                if request.deadline < inf:
                    heappush(self._events, (request.deadline, _DEADLINE, run_id, 0))
        used, waiting = ledger.used, len(ledger.waiting)
        for dimension, peak in self.peaks.items():
            # Who waits reserves what it needs, and is in the way of others as if it held that.
            level = used.get(dimension, 0) + waiting * self._largest[dimension]
            if level > peak:
                self.peaks[dimension] = level

    def _follow(self, at: float) -> Iterator[Met]:
        """What follows from a decision: who may go now, who is turned away, who is stopped."""
        ledger = self._ledger
        while True:
            for run_id, newer in ledger.take_stop():
                ledger.release(run_id, at)
                if newer in self._open:
                    self._open[newer].outcome = Outcome.CANCELS
            woken = ledger.take_wake()
            if not woken:
                return
            for run_id in woken:
                met = self._open.pop(run_id, None)
                if holder := ledger.holders.get(run_id):
                    task_id = holder.request.demand.task_id
                    job = self._jobs.get(task_id)
                    end = at + (job.median_s if job else 0.0)
                    heappush(self._events, (end, _END, run_id, holder.fence))
                    if met:
                        met.wait = at - met.at
                elif refused := ledger.refused.get(run_id):
                    ledger.release(run_id, at)
                    if met:
                        met.outcome = _refused(refused.code, self._jobs[met.task_id])
                if met:
                    yield from self._known(met, self._jobs[met.task_id])

    def _known(self, met: Met, job: Job) -> Iterator[Met]:
        """The conflict, and beside it the SLA that it is likely to break."""
        yield met
        waited = job.queue_timeout_s if met.outcome is Outcome.QUEUE_TIMEOUT else met.wait
        if waited is not None and (breach := job.breach(waited)):
            yield Met(met.at, met.run_id, met.task_id, breach, met.beside, met.outcome, met.wait)

    def _task_of(self, run_id: str) -> str:
        holder = self._ledger.holders.get(run_id)
        request = holder.request if holder else self._ledger.waiting.get(run_id)
        if request:
            return request.demand.task_id
        parsed = parse_run_id(run_id)
        return parsed.task_id if parsed else run_id

    def _impossible(self, demand: Demand) -> str:
        """The dimension of which a run wants more than there is."""
        limits = self._ledger.limits
        for dimension, wanted in demand.units:
            limit = limit_of(limits, dimension)
            if limit is not None and wanted > limit:
                return dimension
        return f"overlap:{demand.task_id}"


def _blocked(decision: Decision) -> tuple[str, tuple[str, ...]]:
    """What a run waits for that had asked before the simulation began: no conflict is new then."""
    if not isinstance(decision, Queued) or not decision.blockers:
        return "", ()
    first = first_of(decision.blockers)
    return first.dimension, first.runs


def _refused(code: str, job: Job) -> Outcome:
    if code == "queue_timeout":
        return Outcome.QUEUE_TIMEOUT
    fails = code == "impossible" or (code == "conflict" and job.demand.on_conflict == "fail")
    return Outcome.FAILED if fails else Outcome.SKIPPED
