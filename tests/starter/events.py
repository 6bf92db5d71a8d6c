"""A tenant whose tasks are run by events: told to the registries, as registering them does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from temporalio.client import Client

from domain.limits import TenantLimits
from domain.task import Task
from shared.errors import TemporalUnreachable
from shared.registry import forget, put_of, remember, set_paused
from shared.tenants import write_limits
from starter.rules import Rules
from tests.conftest import task_of


class EventTenant:
    """One tenant on a task queue. `down`: whether the processes of its `rules` reach Temporal.

    `asked`: how often they wanted a client.
    """

    def __init__(self, client: Client, queue: str, tenant_id: str) -> None:
        self.client = client
        self.queue = queue
        self.tenant_id = tenant_id
        self.down = False
        self.asked = 0

    def rules(self) -> Rules:
        """What one process knows."""
        return Rules(self.client_of, self.queue)

    def task(self, task_id: str, *more: dict[str, Any], **trigger: Any) -> Task:
        """A task that `order.created` runs; `trigger` are more fields of that rule."""
        triggers = [{"event": "order.created"} | trigger, *more]
        return task_of(
            tenant_id=self.tenant_id, task_id=task_id, triggers=triggers, overlap="allow"
        )

    async def register(self, task_id: str, *more: dict[str, Any], **trigger: Any) -> Task:
        """The registry knows it afterwards."""
        task = self.task(task_id, *more, **trigger)
        await self.register_all([task])
        return task

    async def register_all(self, tasks: list[Task]) -> None:
        """The same of many."""
        at = datetime.now(UTC).isoformat()
        await remember(
            self.client, [put_of(t, weight=1.0, digest=at, task_queue=self.queue) for t in tasks]
        )

    async def pause(self, task_id: str, *, paused: bool) -> None:
        """No more runs, or runs again."""
        await set_paused(self.client, (self.tenant_id, task_id), paused=paused, note="")

    async def remove(self, task_id: str) -> None:
        """The registry forgets it."""
        await forget(self.client, [(self.tenant_id, task_id)])

    async def limit(self, most: int) -> None:
        """All runs of the tenant ask for admission."""
        limits = TenantLimits(max_concurrent=most)
        await write_limits(self.client, self.tenant_id, limits, task_queue=self.queue)

    @asynccontextmanager
    async def client_of(self) -> AsyncIterator[Client]:
        """The client as a process has it."""
        self.asked += 1
        if self.down:
            raise TemporalUnreachable("Temporal is down")
        yield self.client
