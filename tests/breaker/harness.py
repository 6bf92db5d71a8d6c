"""A plugin that can fall ill, worker processes' halves that call it, and a look at its breaker."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from temporalio import activity
from temporalio.client import Client, Interceptor, OutboundInterceptor
from temporalio.worker import Worker

from domain.attributes import NOTICE, NOTIFY
from domain.ids import breaker_id, recovery_queue
from domain.notices import Notified, NotifyInput
from domain.outcomes import BreakerView
from shared.breaker_calls import view_breaker
from shared.breakers import Breakers, Wait
from tests.starter.harness import eventually_async
from worker.build import workflow_runner
from workflows.breaker import Breaker
from workflows.notice import Notice
from workflows.work_order import WorkOrder


@dataclass(slots=True)
class Plugin:
    """Called by several processes: how it is, and how often it was called at once while ill."""

    plugin_id: str
    ill: bool = True
    takes: float = 0.05
    calls: int = 0
    inside: int = 0
    most_inside: int = 0

    async def call(self) -> str | None:
        """One call; the error code that it comes to."""
        self.calls += 1
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            await asyncio.sleep(self.takes)
        finally:
            self.inside -= 1
        return "PLUGIN_UNAVAILABLE" if self.ill else None


@dataclass(slots=True)
class Caller:
    """What one worker process does with attempts: ask, call or wait, record."""

    breakers: Breakers
    plugin: Plugin
    waits: list[Wait] = field(default_factory=list)

    async def attempt(self, tenant_id: str, key: str, attempt: int = 1) -> str | Wait | None:
        """One attempt, as the activity makes it."""
        if wait := await self.breakers.admit(self.plugin.plugin_id, key, attempt):
            self.waits.append(wait)
            return wait
        code = await self.plugin.call()
        self.breakers.record(self.plugin.plugin_id, tenant_id, code)
        return code

    async def learns(self) -> None:
        """Return once this process knows that the circuit is open."""
        async with asyncio.timeout(15):
            while not self.breakers.is_open(self.plugin.plugin_id):
                self.breakers.record("another plugin", "t", None)
                await asyncio.sleep(0.05)

    async def until_done(self, tenant_id: str, key: str) -> None:
        """As a run does: wait as it is told, try again as long as it fails."""
        attempt = 0
        while True:
            attempt += 1
            found = await self.attempt(tenant_id, key, attempt)
            if found is None:
                return
            pause = 0.2
            if isinstance(found, Wait):
                pause = (found.retry_at - datetime.now(UTC)) / timedelta(seconds=1)
            await asyncio.sleep(max(pause, 0.01))


@dataclass(slots=True)
class Scene:
    """A plugin of its own on a shared server."""

    client: Client
    queue: str
    told: list[NotifyInput]
    plugin: Plugin = field(default_factory=lambda: Plugin(f"p-{uuid4()}"))

    @asynccontextmanager
    async def process(self, **options: Any) -> AsyncIterator[Caller]:
        """One worker process: it shares nothing with another but the server."""
        breakers = Breakers(self.client, self.queue, **options)
        try:
            yield Caller(breakers, self.plugin)
        finally:
            await breakers.close()

    async def opens(self, caller: Caller) -> None:
        """Twelve calls of two tenants fail, and the circuit is open."""
        await asyncio.gather(*(caller.attempt(f"t{n % 2}", f"r{n}") for n in range(12)))
        await eventually_async(lambda: self.is_("OPEN"))

    async def view(self) -> BreakerView | None:
        """The breaker as it is."""
        return await view_breaker(self.client, self.plugin.plugin_id)

    async def is_(self, state: str) -> bool:
        """Whether the breaker is in this state."""
        view = await self.view()
        return view is not None and view.circuit.state == state

    async def notices(self) -> list[str]:
        """The ids of the notices that the plugin's breaker started."""
        history = await self.client.get_workflow_handle(
            breaker_id(self.plugin.plugin_id)
        ).fetch_history()
        starts = [
            event.start_child_workflow_execution_initiated_event_attributes
            for event in history.events
            if event.HasField("start_child_workflow_execution_initiated_event_attributes")
        ]
        assert all(start.workflow_type.name == NOTICE for start in starts)
        return [start.workflow_id for start in starts]


@asynccontextmanager
async def recovering(client: Client, queue: str) -> AsyncIterator[list[NotifyInput]]:
    """The worker of breakers and notices; what it tells the notification service."""
    told: list[NotifyInput] = []

    @activity.defn(name=NOTIFY)
    async def notify(request: NotifyInput) -> Notified:
        told.append(request)
        return Notified(work_order_id="WO-1")

    async with Worker(
        client,
        task_queue=recovery_queue(queue),
        workflows=[Breaker, Notice, WorkOrder],
        activities=[notify],
        workflow_runner=workflow_runner(),
    ):
        yield told


class Calls(Interceptor):
    """Counts what a client asks of Temporal."""

    def __init__(self) -> None:
        self.made: Counter[str] = Counter()

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002 - the SDK's name
        """Put the counter before the client's calls."""
        made = self.made

        class Counting(OutboundInterceptor):
            def list_workflows(self, input: Any) -> Any:  # noqa: A002 - the SDK's name
                made["list"] += 1
                return super().list_workflows(input)

            async def start_workflow_update(self, input: Any) -> Any:  # noqa: A002 - as above
                made["update"] += 1
                return await super().start_workflow_update(input)

            async def start_update_with_start_workflow(self, input: Any) -> Any:  # noqa: A002 - as above
                made["start"] += 1
                return await super().start_update_with_start_workflow(input)

        return Counting(next)
