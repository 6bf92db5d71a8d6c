"""What a worker looks up in Temporal to show it, and that nothing keeps it from working."""

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from shared import metric_names as names
from shared.metric_names import Metric
from shared.settings import Settings
from starter.dev.ports import HOST
from tests.admission.harness import Governed, Place, new_tenant, succeeded, waiting
from tests.starter.harness import eventually_async
from worker import looks as module
from worker.looks import CANARY_EVERY, CANARY_LATE, Looks
from worker.metrics import Measures


class Shown:
    """Looks into a registry of their own."""

    def __init__(self, client: Client, queue: str) -> None:
        self.registry = CollectorRegistry()
        self.looks = Looks(client, Settings(task_queue=queue), self.registry)

    def value(self, metric: Metric, **labels: str) -> float | None:
        """What it is."""
        return self.registry.get_sample_value(metric.name, labels)


@pytest.fixture(scope="module")
async def governed(temporal: Client) -> AsyncIterator[Governed]:
    """Runs that wait for each other."""
    made = Governed(temporal)
    async with made.working():
        yield made


async def test_queues_are_shown_by_tenant_and_empty_when_they_are(governed: Governed) -> None:
    """How many wait, and how long the first of them has."""
    shown = Shown(governed.client, governed.queue)
    place, tenant = Place(), new_tenant()
    holder = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await place.entered(holder)
    others = [await governed.go(governed.at(place, tenant, mutex=["m"])) for _ in range(2)]
    await waiting(*others)

    async def seen() -> bool:
        await shown.looks.queues()
        return shown.value(names.QUEUE_DEPTH, tenant_id=tenant) == 2

    await eventually_async(seen, within=20)
    age = shown.value(names.QUEUE_AGE, tenant_id=tenant)
    assert age
    assert 0 < age < 60
    place.let_go()
    await succeeded(holder, *others)

    async def empty() -> bool:
        await shown.looks.queues()
        return shown.value(names.QUEUE_DEPTH, tenant_id=tenant) == 0

    await eventually_async(empty, within=20)
    assert shown.value(names.QUEUE_AGE, tenant_id=tenant) == 0


async def test_what_no_worker_takes_is_a_backlog(temporal: Client) -> None:
    """Temporal knows how many tasks wait, and since when."""
    queue = new_tenant()
    shown = Shown(temporal, queue)
    await shown.looks.backlog()
    labels = {"queue": queue, "kind": "workflow"}
    assert shown.value(names.BACKLOG, **labels) == 0
    for number in range(2):
        name = f"{queue}-{number}"
        await temporal.start_workflow("Nobody", id=name, task_queue=queue)

    async def grown() -> bool:
        await shown.looks.backlog()
        age = shown.value(names.BACKLOG_AGE, **labels)
        return shown.value(names.BACKLOG, **labels) == 2 and bool(age)

    await eventually_async(grown, within=20)
    for number in range(2):
        await temporal.get_workflow_handle(f"{queue}-{number}").terminate()


async def test_a_look_that_fails_is_counted_said_once_and_made_again(
    temporal: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others go on, and what was shown stays."""
    shown = Shown(temporal, new_tenant())
    shown.looks._of(names.ORDERS_OPEN).set(7)

    async def broken(_query: str) -> None:
        raise RPCError("not today", RPCStatusCode.UNAVAILABLE, b"")

    monkeypatch.setattr(temporal, "count_workflows", broken)
    monkeypatch.setattr(module, "EVERY_SECONDS", 0.02)
    looking = asyncio.create_task(shown.looks.keep_looking())

    async def failed_twice() -> bool:
        counted = shown.value(names.LOOKS_FAILED, what="work_orders")
        return counted is not None and counted >= 2

    with capture_logs() as logs:
        await eventually_async(failed_twice, within=20)
    looking.cancel()
    said = [line["what"] for line in logs if line.get("action") == "metrics_look_failed"]
    assert said == ["work_orders"]
    assert shown.value(names.ORDERS_OPEN) == 7
    assert shown.value(names.LOOKS_FAILED, what="backlog") == 0


def test_a_canary_that_does_not_come_is_told_of_each_minute(temporal: Client) -> None:
    """Not while it may still come, and not for every look."""
    shown = Shown(temporal, "q")
    start = datetime.now(UTC)
    with capture_logs() as logs:
        for seconds in range(0, 300, 15):
            shown.looks.miss_canary(start + timedelta(seconds=seconds))
    minutes = (timedelta(seconds=299) - CANARY_LATE) // CANARY_EVERY + 1
    assert not shown.value(names.CANARY_FAILED)  # each worker would count it: a sum means nothing
    assert [line["action"] for line in logs] == ["canary_missing"] * minutes


async def test_a_port_that_is_taken_is_said_and_taken_when_it_is_free(
    temporal: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker works meanwhile: nothing of it waits for the port."""
    monkeypatch.setattr("worker.metrics.AGAIN_SECONDS", 0.1)
    monkeypatch.setattr("worker.metrics.measured_runtime", lambda _registry: None)
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with capture_logs() as logs:
            measures = Measures(Settings(metrics_port=port), CollectorRegistry())
        assert [line["action"] for line in logs] == ["metrics_failed"]
        assert f"port {port}" in logs[0]["reason"]
    async with measures.kept(temporal), httpx.AsyncClient(trust_env=False) as http:

        async def served() -> bool:
            try:
                answer = await http.get(f"http://{HOST}:{port}/metrics")
            except httpx.TransportError:
                return False
            return "task_worker_info{" in answer.text

        await eventually_async(served, within=20)


async def test_without_a_port_nothing_is_measured(temporal: Client) -> None:
    """Nobody could read it: the SDK counts nothing, and nothing is looked up."""
    registry = CollectorRegistry()
    measures = Measures(Settings(metrics_port=None), registry)
    assert measures.runtime is None
    async with measures.kept(temporal):
        assert list(registry.collect()) == []
