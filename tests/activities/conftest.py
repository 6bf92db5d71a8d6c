"""The plugin activity as a worker wires it, with a server of bytes at the other end."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.capacity import CapacityActivities
from activities.plugin import PluginActivities
from domain.run import ExecuteInput, ExecuteResult, Fire, TriggerKind
from domain.task import Flags
from tests.activities.server import Answer, RawServer, raw_server
from worker.main import http_client

RUN_ID = "run/acme/report-2026-11-23T02:00:00Z"
TEMPORAL_RUN_ID = "0193-temporal"
_AT = datetime(2026, 11, 23, 2, tzinfo=UTC)


def request_of(**fields: Any) -> ExecuteInput:
    """What a workflow asks for; the least, changed by fields."""
    least: dict[str, Any] = {
        "tenant_id": "acme",
        "task_id": "report",
        "plugin_id": "builder",
        "params": {},
        "trigger": Fire(kind=TriggerKind.CRON, nominal_time=_AT, trigger_time=_AT),
        "timeout": timedelta(seconds=5),
    }
    return ExecuteInput.model_validate(least | fields)


@dataclass(slots=True)
class Caller:
    """Runs one attempt at a time in an environment like a worker's."""

    server: RawServer
    execute: Callable[[ExecuteInput], Awaitable[ExecuteResult]]
    environment: ActivityEnvironment
    beats: list[datetime] = field(default_factory=list)

    async def call(self, answer: Answer | None = None, **fields: Any) -> ExecuteResult:
        """One attempt; the server gives `answer` to it and to what follows."""
        if answer:
            self.server.answer = answer
        result: ExecuteResult = await self.environment.run(self.execute, request_of(**fields))
        return result

    async def failed(self, answer: Answer | None = None, **fields: Any) -> ApplicationError:
        """One attempt that must fail, and its error."""
        with pytest.raises(ApplicationError) as failure:
            await self.call(answer, **fields)
        return failure.value

    def attempt(self, number: int) -> None:
        """From now on it is this attempt."""
        self.environment.info = replace(self.environment.info, attempt=number)


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    """A plugin runtime made of bytes."""
    async with raw_server() as served:
        yield served


@pytest.fixture
async def flags() -> dict[str, Flags]:
    """The flags by tenant; a test may put others in."""
    return {"acme": Flags()}


@pytest.fixture(scope="package")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """The product's own HTTP client; making one costs more than most tests here."""
    async with http_client() as made:
        yield made


@pytest.fixture
async def caller(server: RawServer, flags: dict[str, Flags], client: httpx.AsyncClient) -> Caller:
    """The activity, as a worker makes it."""
    environment = ActivityEnvironment()
    environment.info = replace(
        environment.info,
        attempt=1,
        workflow_id=RUN_ID,
        workflow_run_id=TEMPORAL_RUN_ID,
        heartbeat_timeout=timedelta(milliseconds=90),
    )
    activities = PluginActivities(client, f"{server.url}/", flags.__getitem__)
    made = Caller(server, activities.execute_plugin, environment)
    environment.on_heartbeat = lambda *_: made.beats.append(datetime.now(UTC))
    return made


@pytest.fixture
async def capacity(server: RawServer, client: httpx.AsyncClient) -> CapacityActivities:
    """The activities of capacity, as a worker makes them."""
    return CapacityActivities(client, f"{server.url}/", 5.0)
