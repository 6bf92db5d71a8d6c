"""The part of a worker that watches and looks ahead: its own slots, and what makes it look."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

import structlog
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
)
from temporalio.service import RPCError
from temporalio.worker import Worker

from activities.forecast import ForecastActivities
from activities.rollup import RollupActivities
from activities.watch import WatchActivities, WatchOptions
from domain.attributes import CANARY, FORECAST, ROLLUP_LOOK, WATCH
from domain.ids import (
    CANARY_ID,
    CANARY_SCHEDULE_ID,
    FORECAST_ID,
    FORECAST_SCHEDULE_ID,
    ROLLUP_LOOK_ID,
    ROLLUP_SCHEDULE_ID,
    WATCH_ID,
    WATCH_SCHEDULE_ID,
)
from shared.builds import build_of
from shared.metrics import ForecastMetrics, WatchMetrics
from shared.registry import watch_queue
from shared.settings import Settings
from worker.build import new_worker
from workflows.forecast import Forecast
from workflows.registry import Registry
from workflows.rollup import Rollup, RollupLook
from workflows.watch import Watch

log = structlog.get_logger(__name__)

LOOK_AFTER_SECONDS = 60.0
"""How often a worker makes sure that the schedules of its own are there."""


@dataclass(frozen=True, slots=True)
class Routine:
    """Something that workers do every so often, on a schedule of its own in Temporal.

    `offset`: how far into each `every`, counted from 1970. `queue`: which task queue, from that of
    runs. `longest`: when it is given up, if it is not done. A schedule that is there already keeps
    what it was made with: delete it, and it is made again as it is said here.
    """

    schedule_id: str
    workflow: str
    workflow_id: str
    every: timedelta
    summary: str
    offset: timedelta = timedelta(0)
    queue: Callable[[str], str] = watch_queue
    longest: timedelta | None = None


WATCHING = Routine(
    WATCH_SCHEDULE_ID, WATCH, WATCH_ID, timedelta(minutes=1), "compares what was due with what ran"
)
FORECASTING = Routine(
    FORECAST_SCHEDULE_ID,
    FORECAST,
    FORECAST_ID,
    timedelta(minutes=5),
    "looks for what will collide",
    # Between full minutes: it sees what most crons lead to, and is not in their way.
    offset=timedelta(minutes=2, seconds=30),
)
ROLLING_UP = Routine(
    ROLLUP_SCHEDULE_ID,
    ROLLUP_LOOK,
    ROLLUP_LOOK_ID,
    # A day is counted once, soon after it; the other looks are for runs that ended later.
    timedelta(hours=1),
    "keeps how the tasks of each day did",
    offset=timedelta(minutes=12, seconds=30),
)
PROBING = Routine(
    CANARY_SCHEDULE_ID,
    CANARY,
    CANARY_ID,
    timedelta(minutes=1),
    "goes the way of runs, to see whether it is open",
    offset=timedelta(seconds=20),
    queue=str,  # of the runs themselves
    longest=timedelta(seconds=50),
)
CATCHUP = timedelta(minutes=1)
"""All know how far they came, so that looks of the past are of no use to them."""


@cache
def watch_metrics() -> WatchMetrics:
    """Those of this process: a name can be registered once."""
    return WatchMetrics()


@cache
def forecast_metrics() -> ForecastMetrics:
    """The same for the forecast."""
    return ForecastMetrics()


def build_watch_worker(client: Client, settings: Settings) -> Worker:
    """Registries, watch, forecast and roll-ups: no plugin that hangs delays them."""
    options = WatchOptions(
        task_queue=settings.task_queue,
        starts_per_second=settings.watch_starts_per_second,
        records_per_second=settings.watch_records_per_second,
        unpause=settings.watch_unpause,
    )
    watch = WatchActivities(client, options, watch_metrics())
    ahead = ForecastActivities(
        client,
        forecast_metrics(),
        task_queue=settings.task_queue,
        hours=settings.forecast_hours,
    )
    rollups = RollupActivities(
        client, task_queue=settings.task_queue, months=settings.rollup_months
    )
    return new_worker(
        client,
        task_queue=watch_queue(settings.task_queue),
        workflows=[Registry, Watch, Forecast, Rollup, RollupLook],
        activities=[watch.watch_tick, ahead.forecast_tick, rollups.roll_up_days],
        build=build_of(settings),
    )


def routines_of(settings: Settings) -> list[Routine]:
    """What workers of these settings keep scheduled."""
    wanted = [
        (settings.watch, WATCHING),
        (settings.forecast, FORECASTING),
        (settings.rollups, ROLLING_UP),
        (settings.canary, PROBING),
    ]
    return [routine for on, routine in wanted if on]


async def create_routine(client: Client, settings: Settings, routine: Routine) -> bool:
    """Have it done from now on; whether that was new. Errors: `RPCError`."""
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(
            routine.workflow,
            id=routine.workflow_id,
            task_queue=routine.queue(settings.task_queue),
            execution_timeout=routine.longest,
            static_summary=routine.summary,
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(routine.every, routine.offset)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCHUP),
    )
    try:
        await client.create_schedule(routine.schedule_id, schedule, trigger_immediately=True)
    except ScheduleAlreadyRunningError:
        return False
    return True


async def keep_scheduled(client: Client, settings: Settings) -> None:
    """Until cancelled: who watches the watch, should somebody delete its schedule.

    A canary that is turned off ends: its runs would fill lists, and nobody would look at them.
    """
    if not settings.canary:
        with contextlib.suppress(RPCError):
            await client.get_schedule_handle(CANARY_SCHEDULE_ID).delete()
    while True:
        for routine in routines_of(settings):
            name = routine.schedule_id
            try:
                if await create_routine(client, settings, routine):
                    log.info("scheduled", action="routine_scheduled", schedule=name)
            except RPCError as error:
                reason = str(error)
                log.warning("not scheduled", action="routine_failed", schedule=name, reason=reason)
        await asyncio.sleep(LOOK_AFTER_SECONDS)
