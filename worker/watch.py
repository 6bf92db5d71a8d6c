"""The part of a worker that watches: its own slots, and the schedule that makes it look."""

import asyncio
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

from activities.watch import WatchActivities, WatchOptions
from domain.attributes import WATCH
from domain.ids import WATCH_ID, WATCH_SCHEDULE_ID
from shared.metrics import WatchMetrics
from shared.registry import watch_queue
from shared.settings import Settings
from worker.build import new_worker
from workflows.registry import Registry
from workflows.watch import Watch

log = structlog.get_logger(__name__)

EVERY = timedelta(minutes=1)
CATCHUP = timedelta(minutes=1)
"""The watch catches up by its watermark, so that ticks of the past are of no use to it."""


@cache
def watch_metrics() -> WatchMetrics:
    """Those of this process: a name can be registered once."""
    return WatchMetrics()


def build_watch_worker(client: Client, settings: Settings) -> Worker:
    """Registries and the watch on slots of their own: no plugin that hangs delays them."""
    options = WatchOptions(
        task_queue=settings.task_queue,
        starts_per_second=settings.watch_starts_per_second,
        records_per_second=settings.watch_records_per_second,
        unpause=settings.watch_unpause,
    )
    watch = WatchActivities(client, options, watch_metrics())
    return new_worker(
        client,
        task_queue=watch_queue(settings.task_queue),
        workflows=[Registry, Watch],
        activities=[watch.watch_tick],
    )


async def create_watch_schedule(client: Client, settings: Settings) -> bool:
    """Let the watch run every minute; whether that was new. Errors: `RPCError`."""
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(
            WATCH,
            id=WATCH_ID,
            task_queue=watch_queue(settings.task_queue),
            static_summary="compares what was due with what ran",
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(EVERY)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCHUP),
    )
    try:
        await client.create_schedule(WATCH_SCHEDULE_ID, schedule, trigger_immediately=True)
    except ScheduleAlreadyRunningError:
        return False
    return True


async def keep_watch_scheduled(client: Client, settings: Settings) -> None:
    """Until cancelled: who watches the watch, should somebody delete its schedule."""
    while True:
        try:
            if await create_watch_schedule(client, settings):
                log.info("the watch is scheduled", action="watch_scheduled")
        except RPCError as error:
            log.warning("the watch's schedule", action="watch_unscheduled", reason=str(error))
        await asyncio.sleep(EVERY.total_seconds())
