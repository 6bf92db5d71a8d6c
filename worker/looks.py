"""What a worker looks up in Temporal, every so often, to show it: what no single process knows.

Every worker looks for itself. Were it the one whose watch ticked, another one would tick a minute
later, and the first would go on showing what it saw last. So all show the same, none is stale, and
whoever reads them takes the largest. A look costs a dozen short calls.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog
from prometheus_client import REGISTRY, CollectorRegistry
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from activities.open_streaks import longest_open_streaks
from domain import attributes as names_of
from domain.attributes import CANARY, FORECAST, TASK_RUN, WATCH, WORK_ORDER
from domain.ids import parse_run_id, plugin_queue, recovery_queue
from domain.states import RunState
from shared import metric_names as names
from shared.calls import at_once
from shared.governor import governor_queue, view_governor
from shared.metric_instruments import instruments_of
from shared.registry import watch_queue
from shared.settings import Settings
from shared.versions import deployment_of

log = structlog.get_logger(__name__)

EVERY_SECONDS = 15.0
LONGEST_SECONDS = 10.0
"""For one look; the others then have their turn."""
SELDOM = 4
"""Looks at streaks read more: only each fourth time."""
CANARY_EVERY = timedelta(minutes=1)
CANARY_LATE = timedelta(seconds=150)
"""After this one is missed, not late."""
MOST_QUEUED = 5000
_KINDS = {
    "workflow": TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    "activity": TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
}
_SHOWN = (
    names.QUEUE_DEPTH,
    names.QUEUE_AGE,
    names.STREAK,
    names.ORDERS_OPEN,
    names.STRANDED_RUNS,
)
_OPEN = "ExecutionStatus = 'Running'"


class Looks:
    """Of one worker. Whatever fails is counted and tried again; it keeps nobody from anything."""

    def __init__(
        self, client: Client, settings: Settings, registry: CollectorRegistry = REGISTRY
    ) -> None:
        self._client = client
        self._settings = settings
        self._of = instruments_of(registry).of
        self._failing: set[str] = set()
        self._canary_at = datetime.now(UTC)
        self._missed_at: datetime | None = None
        self._looks: list[tuple[str, int, Callable[[], Awaitable[None]]]] = [
            ("backlog", 1, self.backlog),
            ("queues", 1, self.queues),
            ("work_orders", 1, self.work_orders),
            ("streaks", SELDOM, self.streaks),
        ]
        if settings.deployment:
            self._looks.append(("versions", SELDOM, self.versions))
        if settings.watch:
            self._looks.append(("watch", 1, self.watch))
        if settings.forecast:
            self._looks.append(("forecast", 1, self.forecast))
        if settings.canary:
            self._looks.append(("canary", 1, self.canary))
        for what, _, _ in self._looks:
            self._of(names.LOOKS_FAILED).touch(what)
        for metric in _SHOWN:
            self._of(metric)

    async def keep_looking(self) -> None:
        """Until cancelled."""
        number = 0
        while True:
            for what, each, look in self._looks:
                if number % each == 0:
                    await self._look(what, look)
            if self._settings.canary:
                self.miss_canary(datetime.now(UTC))
            number += 1
            await asyncio.sleep(EVERY_SECONDS)

    async def _look(self, what: str, look: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                await look()
        except Exception as error:  # noqa: BLE001 - whatever it is, what is shown grows old, no more
            self._of(names.LOOKS_FAILED).add(what)
            if what not in self._failing:
                self._failing.add(what)
                reason = str(error)[:200] or type(error).__name__
                log.warning("no look", action="metrics_look_failed", what=what, reason=reason)
        else:
            self._failing.discard(what)

    async def backlog(self) -> None:
        """How much waits in Temporal's task queues, and for how long."""
        queue = self._settings.task_queue
        others = (governor_queue(queue), recovery_queue(queue), watch_queue(queue))
        for name in (queue, *others):
            for kind in _KINDS:
                await self._backlog_of(name, kind)
        await self._backlog_of(plugin_queue(queue), "activity")

    async def _backlog_of(self, queue: str, kind: str) -> None:
        found = await self._client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=self._client.namespace,
                task_queue=TaskQueue(name=queue),
                task_queue_type=_KINDS[kind],
                report_stats=True,
            )
        )
        age = found.stats.approximate_backlog_age.ToTimedelta().total_seconds()
        self._of(names.BACKLOG).set(found.stats.approximate_backlog_count, queue, kind)
        self._of(names.BACKLOG_AGE).set(age, queue, kind)

    async def queues(self) -> None:
        """Whose runs wait for admission: the lists say of whom, the governors how many."""
        query = (
            f"WorkflowType = '{TASK_RUN}' AND {_OPEN} "
            f"AND {names_of.TASK_STATUS} = '{RunState.QUEUED}'"
        )
        listed = self._client.list_workflows(query, limit=MOST_QUEUED, page_size=1000)
        parsed = [parse_run_id(run.id) async for run in listed]
        depths: dict[tuple[str, ...], float] = {}
        ages: dict[tuple[str, ...], float] = {}

        async def read(tenant_id: str) -> None:
            view = await view_governor(self._client, tenant_id)
            if view and view.state.waiting:
                now = datetime.now(UTC).timestamp()
                oldest = min(request.asked_at for request in view.state.waiting)
                depths[(tenant_id,)] = len(view.state.waiting)
                ages[(tenant_id,)] = max(0.0, now - oldest)

        await at_once(sorted({run.tenant_id for run in parsed if run}), read)
        self._of(names.QUEUE_DEPTH).show(depths)
        self._of(names.QUEUE_AGE).show(ages)

    async def work_orders(self) -> None:
        """How many are open."""
        counted = await self._client.count_workflows(f"WorkflowType = '{WORK_ORDER}' AND {_OPEN}")
        self._of(names.ORDERS_OPEN).set(counted.count)

    async def streaks(self) -> None:
        """The longest of each tenant."""
        longest = await longest_open_streaks(self._client)
        self._of(names.STREAK).show({(tenant,): runs for tenant, runs in longest.items()})

    async def versions(self) -> None:
        """Whose runs nobody can finish; each version that may be stopped shows zero."""
        settings = self._settings
        found = await deployment_of(self._client, settings.deployment, settings.task_queue)
        self._of(names.STRANDED_RUNS).show(
            {(row.build_id,): row.runs if row.stranded else 0 for row in found.versions}
        )

    async def watch(self) -> None:
        """When it looked last, whichever worker did."""
        if at := await self._last(WATCH):
            self._of(names.WATCH_TICK_AT).set(at.timestamp())

    async def forecast(self) -> None:
        """The same."""
        if at := await self._last(FORECAST):
            self._of(names.FORECAST_AT).set(at.timestamp())

    async def canary(self) -> None:
        """When one came through last, whichever worker did it."""
        if at := await self._last(CANARY):
            self._of(names.CANARY_AT).set(at.timestamp())
            self._canary_at = max(self._canary_at, at)

    def miss_canary(self, now: datetime) -> None:
        """Say each minute that none has come; `CANARY_AT` shows it, the same in every worker."""
        told_just_now = self._missed_at and now - self._missed_at < CANARY_EVERY
        if now - self._canary_at < CANARY_LATE or told_just_now:
            return
        self._missed_at = now
        since = self._canary_at.isoformat(timespec="seconds")
        log.error("no canary came through", action="canary_missing", since=since)

    async def _last(self, workflow: str) -> datetime | None:
        """When the newest of a kind completed, as Temporal's list has it."""
        query = f"WorkflowType = '{workflow}' AND ExecutionStatus = 'Completed'"
        async for execution in self._client.list_workflows(query, limit=1):
            return execution.close_time
        return None
