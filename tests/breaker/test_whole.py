"""The product's own workers, a real plugin runtime, and a plugin that fails for everybody."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import Client

from domain.attributes import TASK_STATUS, WAITS_FOR
from sandbox.client import SandboxClient
from shared.breaker_calls import view_breaker
from shared.settings import Settings
from tests.admission.harness import Governed, governed_task, succeeded
from tests.starter.harness import eventually_async
from tests.workflows.harness import attributes_of, details_of
from worker.main import build_worker, shared_parts
from worker.plugins import build_plugin_worker
from worker.recovery import build_recovery_worker

RUNS = 30
RETRY: dict[str, Any] = {
    "max_attempts": 4,
    "initial_interval": "500ms",
    "backoff": 1,
    "max_interval": "500ms",
    "non_retryable": [],
}


@pytest.fixture
async def governed(temporal: Client, plugin_url: str) -> AsyncIterator[Governed]:
    """Starts runs for workers as `python -m worker` has them."""
    governed = Governed(temporal)
    settings = Settings(task_queue=governed.queue, plugin_url=plugin_url)
    async with (
        shared_parts(temporal, settings) as parts,
        build_recovery_worker(parts),
        build_worker(parts),
        build_plugin_worker(parts),
    ):
        yield governed


async def test_runs_of_a_plugin_that_fails_wait_and_go_when_it_is_well(
    governed: Governed, plugin: SandboxClient
) -> None:
    """They outlive an illness that is longer than all their retries, and say what they wait for."""
    plugin_id = f"p-{uuid4().hex[:8]}"
    await plugin.configure(plugin_id, script=["503"])
    tasks = [
        governed_task(f"t{n % 3}", plugin_id=plugin_id, retry=RETRY, heartbeat_timeout="30s")
        for n in range(RUNS)
    ]
    runs = await asyncio.gather(*(governed.go(task) for task in tasks))

    async def is_open() -> bool:
        view = await view_breaker(governed.client, plugin_id)
        return view is not None and view.circuit.state == "OPEN"

    await eventually_async(is_open)
    await asyncio.sleep(3)
    before = len(await plugin.deliveries(plugin_id=plugin_id))
    assert "calls within 60 s failed" in await details_of(runs[0])
    found = await attributes_of(runs[0])
    assert (found[TASK_STATUS], found[WAITS_FOR]) == ("RETRYING", f"circuit:{plugin_id}")
    await asyncio.sleep(10)
    after = len(await plugin.deliveries(plugin_id=plugin_id))
    assert 1 <= after - before <= 2  # probes
    await plugin.configure(plugin_id)
    await succeeded(*runs, within=timedelta(minutes=2))
