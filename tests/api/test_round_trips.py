"""What each route asks of Temporal: calls are nearly all that a request costs."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.runtime import BUFFERED_METRIC_KIND_COUNTER, MetricBuffer, Runtime, TelemetryConfig

from domain.registry import LIMITS_SHARD, shard_of
from shared.settings import Settings
from tests.api.harness import door
from tests.api.operator import Operator, run_path
from worker.watch import build_watch_worker

_BESIDE = {"GetSystemInfo", "ListWorkflowExecutions", "QueryWorkflow"}
"""What the pulse and the looks at the event rules ask meanwhile."""
_READ = {"DescribeSchedule": 1, "DescribeWorkflowExecution": 1}
"""The task as it is, and its tenant's limits."""
_CREATED = {"CreateSchedule": 1, "SignalWithStartWorkflowExecution": 1}
"""The task's schedule, and its registry, which remembers that it should exist."""
_IDS = [task_id for task_id in map(str, range(100)) if shard_of(task_id) != LIMITS_SHARD]
"""Not those of the registry with the limits: while a worker is at it, they are read again."""


@dataclass(frozen=True, slots=True)
class Asking:
    """A caller of an API, and what that asks of Temporal on a client of its own."""

    ann: Operator
    buffer: MetricBuffer

    def asked(self) -> dict[str, int]:
        """The calls since the last look, by operation."""
        found: Counter[str] = Counter()
        for update in self.buffer.retrieve_updates():
            is_counter = update.metric.kind == BUFFERED_METRIC_KIND_COUNTER
            if is_counter and update.metric.name == "temporal_request":
                found[str(update.attributes["operation"])] += int(update.value)
        return {name: count for name, count in found.items() if name not in _BESIDE}

    async def register(self, number: int, *triggers: dict[str, str]) -> dict[str, int]:
        """What registering a task asks."""
        self.asked()
        said = {"task_id": _IDS[number], "triggers": list(triggers)}
        assert (await self.ann.register(**said)).is_success
        return self.asked()


@asynccontextmanager
async def _asking(temporal: Client, folder: Path, tenant: str) -> AsyncIterator[Asking]:
    buffer = MetricBuffer(10_000)
    client = await Client.connect(
        temporal.service_client.config.target_host,
        data_converter=temporal.data_converter,
        runtime=Runtime(telemetry=TelemetryConfig(metrics=buffer)),
    )
    settings = Settings(task_queue=f"queue-{tenant}")
    async with (
        build_watch_worker(temporal, settings),
        door(client, folder, task_queue=settings.task_queue) as opened,
    ):
        asking = Asking(Operator.of(opened, tenant), buffer)
        # The first registration of a process makes sure of the search attributes.
        await asking.register(0, {"event": "order.created"})
        await opened.context.rules.refresh_now([(tenant, _IDS[0])])
        yield asking


@pytest.fixture
async def asking(temporal: Client, tmp_path: Path, tenant: str) -> AsyncIterator[Asking]:
    """One that has a task of events."""
    async with _asking(temporal, tmp_path, tenant) as made:
        yield made


async def test_registering_asks_as_little_as_it_can(asking: Asking) -> None:
    """Two reads, and two writes for what is new; a zone whose clock changes is verified."""
    tokyo = {"cron": "0 2 * * *", "timezone": "Asia/Tokyo"}
    berlin = {"cron": "0 2 * * *", "timezone": "Europe/Berlin"}
    assert await asking.register(1, tokyo) == _READ | _CREATED
    assert await asking.register(1, tokyo) == _READ
    verified = await asking.register(2, berlin)
    # Once for each clock change of two years.
    assert verified.pop("ListScheduleMatchingTimes") in (4, 5)
    assert verified == _READ | _CREATED


async def test_an_event_asks_once_for_each_run_and_again_nothing(asking: Asking) -> None:
    """Starting is all that there is to ask; a process knows for a while what it has started."""
    event = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.created"}
    for expected in ({"StartWorkflowExecution": 1}, {}):
        asking.asked()
        assert (await asking.ann.call("POST", "/events", event)).status_code == 202
        assert asking.asked() == expected
    assert (await asking.ann.call("POST", "/events", event | {"type": "x"})).status_code == 202
    assert asking.asked() == {}


async def test_a_run_by_hand_asks_for_its_task_and_starts(asking: Asking) -> None:
    """And the run itself is one look."""
    await asking.register(1, {"every": "1d"})
    answer = await asking.ann.call("POST", f"/tasks/{_IDS[1]}/trigger", {})
    assert asking.asked() == {"DescribeSchedule": 1, "StartWorkflowExecution": 1}
    assert (await asking.ann.call("GET", run_path(answer.json()["run_id"]))).is_success
    assert asking.asked() == {"DescribeWorkflowExecution": 1}
