"""Registers tasks and makes the watch look, at times that the test chooses."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from prometheus_client import CollectorRegistry
from temporalio.client import Client, ScheduleHandle

from activities.watch import WatchActivities, WatchOptions
from domain.document import Document
from domain.ids import schedule_id
from domain.policy import Policy
from domain.registration import read_registration
from domain.task import Task
from domain.watch import TickInput, TickResult
from shared.metrics import WatchMetrics
from shared.settings import Settings
from starter.plan import Plan
from starter.registry import carry_out, listed, make_plan
from starter.runs import RunView, list_runs
from tests.starter.harness import eventually_async
from tests.workflows.harness import Runs, succeed

LATER = timedelta(minutes=2)
"""Beyond what a command may need between the registry and a schedule."""


class Watched:
    """Tasks of a tenant of their own, and a watch in this process that nobody else triggers."""

    def __init__(self, client: Client, policy: Policy) -> None:
        self.client = client
        self.policy = policy
        self.runs = Runs(client)
        self.settings = Settings(task_queue=self.runs.queue)

    def watch(self, **options: Any) -> WatchActivities:
        """A watch as a worker that has just started has it."""
        fast = {"starts_per_second": 500.0, "records_per_second": 500.0}
        given = WatchOptions(task_queue=self.settings.task_queue, **(fast | options))
        return WatchActivities(self.client, given, WatchMetrics(CollectorRegistry()))

    async def register(self, **fields: Any) -> Task:
        """Apply one task, its plugin succeeding, and wait until the lists show it."""
        said = {
            "tenant_id": f"t{uuid4().hex[:8]}",
            "task_id": f"t-{uuid4().hex[:8]}",
            "plugin_id": "p",
            "triggers": [{"every": "1h"}],
        }
        registration = read_registration(Document({"tasks": [said | fields]}), self.policy)
        [task] = registration.tasks
        self.runs.plugin.scripts.setdefault(task.task_id, [succeed()])
        plan = await make_plan(self.client, registration, task_queue=self.settings.task_queue)
        await self.carry_out(plan)

        async def there() -> bool:
            return (task.tenant_id, task.task_id) in await listed(self.client, [task.tenant_id])

        await eventually_async(there)
        await asyncio.sleep(1)  # the registry's own line in the list
        return task

    async def carry_out(self, plan: Plan) -> Plan:
        """What `taskflow apply` does after planning."""
        return await carry_out(self.client, plan)

    def schedule(self, task: Task) -> ScheduleHandle:
        """The task's schedule in Temporal."""
        return self.client.get_schedule_handle(schedule_id(task.tenant_id, task.task_id))

    async def deleted(self, task: Task) -> None:
        """Delete the schedule behind our back, and wait until the lists show that."""
        await self.schedule(task).delete()

        async def gone() -> bool:
            return not await listed(self.client, [task.tenant_id])

        await eventually_async(gone)

    async def runs_of(self, task: Task, count: int | None = None) -> list[RunView]:
        """The task's runs by nominal time, once all of them (or `count`) have ended."""
        found: list[RunView] = []

        async def ended() -> bool:
            found[:] = await list_runs(
                self.client, tenant_id=task.tenant_id, task_id=task.task_id, limit=1000
            )
            enough = count is None or len(found) >= count
            return enough and all(run.ended for run in found)

        await eventually_async(ended, within=30)
        return sorted(found, key=lambda run: run.nominal_time or datetime.min.replace(tzinfo=UTC))


async def look(
    watch: WatchActivities,
    after: datetime,
    until: datetime,
    *,
    now: datetime | None = None,
    waiting: list[str] | None = None,
) -> TickResult:
    """One tick; `now` is long after every command, unless it is given."""
    return await watch.tick(
        TickInput(
            after=after,
            until=until,
            now=now or datetime.now(UTC) + LATER,
            waiting=waiting or [],
        )
    )


def own(result: TickResult, task: Task) -> list[str]:
    """What a tick found of one task."""
    name = f"{task.tenant_id}/{task.task_id}: "
    return [text.removeprefix(name) for text in result.findings if text.startswith(name)]
