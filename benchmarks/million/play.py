"""One tenant's time to come, by the code that registers, forecasts and decides.

Fires are those of `domain.fires_ahead`, admissions those of `domain.simulation`, which plays them
through the tenant's own ledger: no rule stands here. What is left is to count.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from math import ceil, inf

from benchmarks.million.tenants import Drawn
from domain.admission import Ledger
from domain.agenda import Span
from domain.durations import Durations
from domain.fires import merge_times
from domain.fires_ahead import fires_ahead, judged
from domain.limits import is_governed
from domain.simulation import FINISH_WITHIN, START_WITHIN, Arrival, Job, Met, Outcome, Simulation
from domain.task import Overlap, Trigger
from domain.tenant_ahead import job_of
from domain.triggers import trigger_times
from workflows.admission import FIRST_WAIT, LONGEST_WAIT

REGISTERED = timedelta(days=365)
"""For so long the tasks were there when the window begins."""
AT_ONCE, WAITED = "at once", "after a wait"
QUEUE_TIMEOUT, OVERLAP, CONFLICT, BLACKOUT = "queue timeout", "overlap", "conflict", "blackout"
ENDS = (AT_ONCE, WAITED, QUEUE_TIMEOUT, OVERLAP, CONFLICT, BLACKOUT)
"""What comes of a fire: it runs, the first two, or it does not."""

_SLA = (START_WITHIN, FINISH_WITHIN)
_FIRST, _LONGEST = FIRST_WAIT.total_seconds(), LONGEST_WAIT.total_seconds()

Seconds = Counter[int]
"""How many in each second, counted from the start of the window."""


@dataclass(slots=True)
class Played:
    """What becomes of a tenant's fires.

    `named`: nominal times. `fired`: starts by Temporal's schedules. `asked`: runs that ask their
    governor, `again`: those that wait and ask once more. `queued`, `left`: runs that begin to wait,
    and that wait no longer. `began`, `over`: runs under way, governed or not; `released`: what
    governed ones give back. `ends`: of each fire, what came of it. `waits`: seconds, of the runs
    that waited and went. `ledger`: what that counted itself.
    """

    tenant_id: str
    tasks: int = 0
    fires: int = 0
    conflicts: int = 0
    breaches: int = 0
    named: Seconds = field(default_factory=Counter)
    fired: Seconds = field(default_factory=Counter)
    asked: Seconds = field(default_factory=Counter)
    again: Seconds = field(default_factory=Counter)
    queued: Seconds = field(default_factory=Counter)
    left: Seconds = field(default_factory=Counter)
    released: Seconds = field(default_factory=Counter)
    began: Seconds = field(default_factory=Counter)
    over: Seconds = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    ledger: dict[str, int] = field(default_factory=dict)

    def is_conserved(self) -> bool:
        """Whether each fire came to one end, and the ledger counted the same as is told here."""
        ledger, asks = self.ledger, sum(self.asked.values())
        return (
            self.fires == sum(self.ends.values())
            and ledger["attempts"] == asks
            and asks == ledger["granted"] + ledger["refused"] + ledger["timed_out"]
            and ledger["granted"] == sum(self.released.values())
            and ledger["timed_out"] == self.ends[QUEUE_TIMEOUT]
            and ledger["holding"] + ledger["waiting"] <= ledger["granted"]
        )


def play(drawn: Drawn, start: datetime, end: datetime, namespace_id: str) -> Played:
    """The fires with start < trigger time <= end; those that wait then go on until they go."""
    found = Played(drawn.tenant_id, tasks=len(drawn.tasks))
    limited = drawn.limits.max_concurrent is not None
    counting = _Counting(found, start.timestamp())
    jobs: dict[str, Job] = {}
    arrivals: list[Arrival] = []
    durations = Durations()
    for task in drawn.tasks:
        found.named.update(_named(tuple(task.triggers), start, end))
        key = (task.tenant_id, task.task_id)
        spans = (Span(start - REGISTERED, None, task),)
        fires = list(fires_ahead(key, spans, start=start, end=end, namespace_id=namespace_id))
        if not fires:
            continue
        found.fires += len(fires)
        judgement = judged(task, fires, start, end)
        for met in judgement.met:
            found.conflicts += 1
            found.ends[BLACKOUT] += met.outcome is Outcome.SKIPPED
        job = job_of(task, durations)
        if is_governed(task, limited=limited):
            jobs[task.task_id] = job
            arrivals += judgement.arrivals
        else:
            counting.alone(job, judgement.arrivals, skips=task.overlap is Overlap.SKIP)
    ledger = Ledger(drawn.limits)
    if jobs:
        arrivals.sort()
        simulation = Simulation(ledger, jobs)
        counting.governed(jobs, arrivals, simulation.run(arrivals, start.timestamp()))
    counters = ledger.counters
    found.ledger = {
        "attempts": counters.attempts,
        "granted": counters.granted,
        "refused": counters.refused,
        "timed_out": counters.timed_out,
        "holding": len(ledger.holders),
        "waiting": len(ledger.waiting),
    }
    return found


@lru_cache(maxsize=10_000)
def _named(triggers: tuple[Trigger, ...], start: datetime, end: datetime) -> tuple[int, ...]:
    """The seconds of the window that these triggers say."""
    times = merge_times(*(trigger_times(one, after=start, until=end) for one in triggers))
    return tuple(second_of(at.timestamp() - start.timestamp()) for at in times)


def second_of(after: float) -> int:
    """The second of the window, which has its end and not its start."""
    return ceil(after) - 1


class _Counting:
    """Into which second of the window everything falls."""

    def __init__(self, found: Played, start: float) -> None:
        self._found = found
        self._start = start

    def alone(self, job: Job, arrivals: list[Arrival], *, skips: bool) -> None:
        """A task that asks nobody: with `overlap: skip` its schedule makes no second run."""
        found, free = self._found, -inf
        for at, _, _ in arrivals:
            if skips and at < free:
                found.conflicts += 1
                found.ends[OVERLAP] += 1
                continue
            free = at + job.median_s
            if job.breach(0.0):
                found.breaches += 1
                found.conflicts += 1
            found.fired[self._second(at)] += 1
            self._run(at, job, AT_ONCE)

    def governed(
        self, jobs: dict[str, Job], arrivals: list[Arrival], conflicts: Iterator[Met]
    ) -> None:
        """Tasks whose runs ask: what is not told of went at once."""
        found = self._found
        told: dict[str, Met] = {}
        for met in conflicts:
            if met.dimension in _SLA:
                found.breaches += 1
            else:
                told[met.run_id] = met
            found.conflicts += 1
        for at, run_id, task_id in arrivals:
            second, job = self._second(at), jobs[task_id]
            found.fired[second] += 1
            found.asked[second] += 1
            short = told.get(run_id)
            if short is None or short.wait == 0:
                self._released(self._run(at, job, AT_ONCE))
            elif short.wait is not None:
                self._queued(at, short.wait)
                self._released(self._run(at + short.wait, job, WAITED))
                found.waits.append(short.wait)
            elif short.outcome is Outcome.QUEUE_TIMEOUT:
                self._queued(at, job.queue_timeout_s)
                found.ends[QUEUE_TIMEOUT] += 1
            else:
                own = short.dimension.startswith("overlap:")
                found.ends[OVERLAP if own else CONFLICT] += 1

    def _second(self, at: float) -> int:
        return second_of(at - self._start)

    def _run(self, at: float, job: Job, how: str) -> float:
        over = at + job.median_s
        self._found.ends[how] += 1
        self._found.began[self._second(at)] += 1
        self._found.over[self._second(over)] += 1
        return over

    def _released(self, at: float) -> None:
        self._found.released[self._second(at)] += 1

    def _queued(self, at: float, wait: float) -> None:
        """It asks again by itself, ever less often, and once more when it is woken."""
        self._found.queued[self._second(at)] += 1
        self._found.left[self._second(at + wait)] += 1
        self._found.again[self._second(at + wait)] += 1
        after, pause = _FIRST, _FIRST
        while after < wait:
            self._found.again[self._second(at + after)] += 1
            pause = min(2 * pause, _LONGEST)
            after += pause
