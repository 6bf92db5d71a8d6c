"""`watch_tick`: compare what was due with what happened, and act on the difference."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce

import structlog
from temporalio import activity
from temporalio.client import Client

from activities.absent_fires import AbsentFires, Tallies, counted, seen_run, tenant_of
from activities.heartbeats import heartbeats
from activities.registered import Known, Registered
from activities.schedule_check import Checked, ScheduleCheck
from domain.agenda import Agenda, Fire
from domain.attributes import TASK_RUN, WATCH_TICK
from domain.ids import parse_run_id, scheduled_run_id
from domain.watch import (
    MOST_FINDINGS,
    Counts,
    SeenRun,
    TickInput,
    TickResult,
    Verdict,
    judge_run,
)
from shared.metrics import WatchMetrics
from shared.watch import last_watch

log = structlog.get_logger(__name__)

MOST_FIRES = 50_000
"""Judged in one activity: what is more waits for the next, so that memory stays bounded."""
SETTLING = timedelta(minutes=10)
"""After a task was registered or changed: whether its schedule was there already is looked up."""
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """Whose tasks are watched, how fast fires are caught up, and whether foreign pauses end."""

    task_queue: str
    starts_per_second: float = 20.0
    records_per_second: float = 50.0
    unpause: bool = False


class WatchActivities:
    """One instance for a worker: it remembers the registries between ticks."""

    def __init__(self, client: Client, options: WatchOptions, metrics: WatchMetrics) -> None:
        self._client = client
        self._options = options
        self._metrics = metrics
        self._registered = Registered(client, options.task_queue)
        self._schedules = ScheduleCheck(
            client, self._registered, task_queue=options.task_queue, unpause=options.unpause
        )
        self._agenda: Agenda | None = None
        self._one_at_a_time = asyncio.Lock()

    @activity.defn(name=WATCH_TICK)
    async def watch_tick(self, request: TickInput) -> TickResult:
        """One window. Doing it again is safe; errors: `RPCError`, and Temporal tries it again."""
        async with self._one_at_a_time, heartbeats():
            return await self.tick(request)

    async def tick(self, request: TickInput) -> TickResult:
        """The same outside an activity, as benchmarks call it."""
        began = time.perf_counter()
        checked = await self._schedules.run(request.now)
        after = request.after
        if after is None:  # somebody deleted the watch's schedule, and its memory with it
            last = await last_watch(self._client)
            after = last.watermark if last else request.until
        fires = await asyncio.to_thread(self._due, after, request.until)
        agenda = self._agenda
        watermark = max(after, agenda.position if agenda else after)
        judging = _Judging(self._client, self._options, self._registered, self._schedules)
        tallies, waiting = await judging.run(fires, after, watermark, request, checked)
        tenants = {tenant_id: _counts_of(tally) for tenant_id, tally in tallies.items()}
        counts = reduce(Counts.plus_all, tenants.values(), Counts())
        result = TickResult(
            watermark=watermark,
            counts=counts.plus_all(checked.counts),
            waiting=waiting,
            findings=checked.findings[:MOST_FINDINGS],
        )
        tasks = (known.task for known in self._registered.tasks.values())
        self._metrics.know((task.tenant_id, task.plugin_id) for task in tasks)
        self._metrics.count(result.counts, tenants)
        took = time.perf_counter() - began
        self._metrics.ticked(request.now, took)
        log.info(
            "watch tick",
            action="watch_tick",
            duration_ms=round(took * 1000),
            watermark=watermark,
            tasks=len(self._registered.tasks),
            **result.counts.model_dump(),
        )
        return result

    def _due(self, after: datetime, until: datetime) -> list[Fire]:
        """In a thread, as it may take seconds when the position is not where it was left."""
        if self._agenda is None or self._agenda.position != after:
            self._agenda = Agenda(after, self._registered.namespace_id)
        self._agenda.sync({key: known.spans for key, known in self._registered.tasks.items()})
        return self._agenda.take(until, MOST_FIRES)


class _Judging:
    """The fires of one window."""

    def __init__(
        self,
        client: Client,
        options: WatchOptions,
        registered: Registered,
        schedules: ScheduleCheck,
    ) -> None:
        self._client = client
        self._options = options
        self._tasks = registered.tasks
        self._schedules = schedules

    async def run(
        self,
        fires: list[Fire],
        after: datetime,
        until: datetime,
        request: TickInput,
        checked: Checked,
    ) -> tuple[Tallies, list[str]]:
        """What became of every fire and of the runs that waited; and the runs that still wait."""
        tallies: Tallies = defaultdict(Counter)
        earlier = [run_id for run_id in request.waiting if parse_run_id(run_id)]
        first = min([after, *(fire.scheduled for fire in fires)])
        runs = await self._listed(_earliest(earlier, first), until)
        verdicts: dict[str, Verdict] = {}
        absent: list[Fire] = []
        for fire in fires:
            run_id = scheduled_run_id(*fire.key, fire.scheduled)
            if run := runs.get(run_id):
                verdicts[run_id] = judge_run(fire.at, run, now=request.now)
            else:
                absent.append(fire)
        absent = await self._expected(absent, request.now)
        acting = AbsentFires(
            self._client,
            starts_per_second=self._options.starts_per_second,
            records_per_second=self._options.records_per_second,
        )
        settled = await acting.settle(
            absent, self._tasks, now=request.now, paused_in_temporal=checked.paused_in_temporal
        )
        counted(settled, tallies)
        waiting = [one.run_id for one in settled if one.verdict is Verdict.WAITING]
        for run_id, verdict in verdicts.items():
            tallies[tenant_of(run_id)][verdict] += 1
            if verdict is Verdict.WAITING:
                waiting.append(run_id)
        for tally in tallies.values():
            tally["due"] = tally.total()
        for run_id in earlier:
            run = runs.get(run_id)
            verdict = judge_run(run.scheduled_time, run, now=request.now) if run else Verdict.LATE
            if verdict is Verdict.WAITING:
                waiting.append(run_id)
            else:
                tallies[tenant_of(run_id)].update({verdict: 1, Verdict.WAITING: -1})
        return tallies, waiting

    async def _listed(self, after: datetime, until: datetime) -> dict[str, SeenRun]:
        """The runs that schedules made for these nominal times."""
        # On SQLite the very second of a bound may be left out: ask for one more on each side.
        query = (
            f"WorkflowType = '{TASK_RUN}' "
            f"AND TemporalScheduledStartTime >= '{(after - _SECOND).isoformat()}' "
            f"AND TemporalScheduledStartTime <= '{(until + _SECOND).isoformat()}'"
        )
        found: dict[str, SeenRun] = {}
        async for execution in self._client.list_workflows(query, page_size=1000):
            if run := seen_run(execution):
                found[run.run_id] = run
        return found

    async def _expected(self, absent: list[Fire], now: datetime) -> list[Fire]:
        """Without those that came between a task's registration and its schedule."""
        found: list[Fire] = []
        for fire in absent:
            known = self._tasks[fire.key]
            if not _settling(known, fire.at) or await self._schedules.expects(
                known, fire.at, now=now
            ):
                found.append(fire)
        return found


def _counts_of(tally: Mapping[str, int]) -> Counts:
    return Counts(**{str(name): number for name, number in tally.items()})


def _settling(known: Known, at: datetime) -> bool:
    return any(span.since < at <= span.since + SETTLING for span in known.spans)


def _earliest(waiting: list[str], after: datetime) -> datetime:
    """From when to list runs, so that those that waited are among them."""
    times = [parsed.scheduled_time for run_id in waiting if (parsed := parse_run_id(run_id))]
    return min([after, *(at for at in times if at)])
