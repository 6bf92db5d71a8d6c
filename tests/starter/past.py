"""A past of which everything is known: tasks that were registered, and what became of fires."""

from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.client import Client
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
)

from domain.attributes import REASON_MEMO, REGISTRY, TASK_RUN
from domain.ids import registry_id, scheduled_run_id
from domain.registry import Put, Snapshot, shard_of
from domain.run import ManualFire, TaskRunInput, TriggerKind
from domain.states import RunState
from domain.task import Task
from shared.registry import put_of, watch_queue
from shared.schedules import run_attributes
from starter.sla_report import SlaReport, make_report
from tests.conftest import task_of
from tests.starter.harness import eventually_async
from workflows import attributes as sa

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


class Past:
    """A tenant whose tasks were registered some time ago, and runs as Temporal would list them."""

    def __init__(
        self, client: Client, queue: str, tenant_id: str, start: datetime | None = None
    ) -> None:
        self.client = client
        self.queue = queue
        self.tenant_id = tenant_id
        self.now = datetime.now(UTC)
        # Nothing of a task is due at a whole ten minutes that is not asked for.
        hours_ago = self.now.replace(minute=0, second=0, microsecond=0) - 3 * 60 * MINUTE
        self.start = start or hours_ago
        self._runs = 0

    async def task(self, task_id: str, **fields: Any) -> Task:
        """A task that fires every ten minutes since `start`."""
        said = {"triggers": [{"every": "10m"}], **fields}
        task = task_of(tenant_id=self.tenant_id, task_id=task_id, **said)
        put = put_of(task, weight=1.0, digest="d", task_queue=self.queue)[1]
        await self.client.start_workflow(
            REGISTRY,
            Snapshot(),
            id=registry_id(self.tenant_id, shard_of(task_id)),
            task_queue=watch_queue(self.queue),
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal="put",
            start_signal_args=[Put(at=self.start - MINUTE, tasks=[put])],
        )
        return task

    def at(self, number: int) -> datetime:
        """The fire of this number, from 0."""
        return self.start + number * 10 * MINUTE

    async def ran(self, task: Task, number: int, late: timedelta, **shown: Any) -> None:
        """The run of a fire began so late; `shown`: its attributes, by name."""
        at = self.at(number)
        run_id = scheduled_run_id(task.tenant_id, task.task_id, at)
        shown = {"ACTUAL_START": at + late, "TRIGGER_TIME": at, **shown}
        await self.run(task, run_id, TriggerKind.INTERVAL, **shown)

    async def run(
        self, task: Task, run_id: str, kind: TriggerKind, *, reason: str = "", **shown: Any
    ) -> None:
        """A run that shows these attributes; no worker ever takes it up."""
        values = {"TASK_STATUS": RunState.SUCCESS, **shown}
        pairs = [SearchAttributePair(getattr(sa, key), value) for key, value in values.items()]
        known = [pair for pair in run_attributes(task, kind) if pair.key != sa.TASK_STATUS]
        await self.client.start_workflow(
            TASK_RUN,
            TaskRunInput(task=task, manual=ManualFire(at=self.now)),
            id=run_id,
            task_queue=f"{self.queue}-nobody",
            search_attributes=TypedSearchAttributes([*known, *pairs]),
            memo={REASON_MEMO: reason} if reason else None,
        )
        self._runs += 1

    async def report(self, first: int = 0, last: int = 5, **options: Any) -> SlaReport:
        """Of the fires with these numbers, once Temporal lists all runs."""
        await self.listed()
        return await make_report(
            self.client,
            self.tenant_id,
            self.at(first) - SECOND,
            self.at(last) + SECOND,
            options.pop("now", self.now),
            task_queue=self.queue,
        )

    async def listed(self) -> None:
        """Return once Temporal lists all runs."""

        async def all_there() -> bool:
            count = await self.client.count_workflows(
                f"WorkflowType = '{TASK_RUN}' AND TenantId = '{self.tenant_id}'"
            )
            return count.count == self._runs

        await eventually_async(all_there, within=20)

    def forgot(self, count: int) -> None:
        """So many of its runs are not to be listed any more."""
        self._runs -= count
