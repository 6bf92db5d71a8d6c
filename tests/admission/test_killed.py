"""Workers killed with SIGKILL: between a grant and its execution, and while runs hold."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from subprocess import Popen

import pytest

from domain.task import Task
from sandbox.client import SandboxClient
from shared.governor import view_governor
from shared.search_attributes import register_search_attributes
from tests.admission.harness import Governed, governed_task, never_two, new_tenant, succeeded
from tests.starter.harness import eventually_async
from tests.watch.processes import QUIET, Setting, process, setting, single_effects
from tests.workflows.harness import Handle

_PATIENT = {
    "max_attempts": 20,
    "initial_interval": "500ms",
    "backoff": 1,
    "max_interval": "1s",
    "non_retryable": [],
}
_LONG = timedelta(minutes=2)


@dataclass(slots=True)
class Workers:
    """One worker process at a time."""

    place: Setting
    log: Path
    environment: dict[str, str]
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    alive: Popen[bytes] | None = None

    def start(self) -> None:
        """Start the next one."""
        environment = self.place.environment | self.environment
        self.alive = self.stack.enter_context(process(self.log, *self.place.worker, **environment))

    def kill(self) -> None:
        """Kill the one that runs, and start the next."""
        assert self.alive
        os.kill(self.alive.pid, signal.SIGKILL)
        self.alive.wait()
        self.start()


@dataclass(frozen=True, slots=True)
class Scene:
    """A server, a worker to be killed, and a tenant."""

    governed: Governed
    workers: Workers
    sandbox: SandboxClient
    tenant: str

    def task(self, group: str) -> Task:
        """One that holds a mutex group and reserves outside."""
        return governed_task(
            self.tenant,
            mutex=[group],
            resources={"gpu": 1},
            heartbeat_timeout="2s",
            retry=_PATIENT,
        )

    async def settled(self, groups: dict[str, list[Task]], runs: list[Handle]) -> None:
        """The oracle: all served, one effect each, never two in a group, nothing left."""
        await succeeded(*runs, within=_LONG)
        deliveries = await self.sandbox.deliveries()
        assert single_effects(deliveries) == {run.id for run in runs}
        never_two(deliveries, {t.task_id: name for name, group in groups.items() for t in group})
        assert not (await self.sandbox.capacity()).reserved
        await self.governed.nothing_is_left(self.tenant, within=30)


@asynccontextmanager
async def _scene(folder: Path, plugin_url: str, sandbox: SandboxClient) -> AsyncIterator[Scene]:
    queue = "killed"
    place = setting(folder, plugin_url, queue)
    environment = {"TASKFLOW_CAPACITY_URL": plugin_url} | QUIET
    with process(folder / "server.log", *place.server):
        client = await place.client()
        await register_search_attributes(client)
        governed = Governed(client)
        governed.queue = queue
        workers = Workers(place, folder / "worker.log", environment)
        async with workers.stack:
            workers.start()
            yield Scene(governed, workers, sandbox, new_tenant())


@pytest.mark.fault(3)
@pytest.mark.soak
async def test_a_worker_killed_after_the_grant_and_while_runs_hold_leaves_nothing(
    plugin: SandboxClient, plugin_url: str, tmp_path: Path
) -> None:
    """Its runs go on with another worker, under the same grants and the same keys."""
    await plugin.configure("report-builder", latency=1.0)
    await plugin.configure_capacity(latency=2.0)
    async with _scene(tmp_path, plugin_url, plugin) as scene:
        groups = {f"m{n}": [scene.task(f"m{n}") for _ in range(2)] for n in range(4)}
        tasks = [task for group in groups.values() for task in group]
        runs = await asyncio.gather(*(scene.governed.go(task) for task in tasks))

        async def granted() -> bool:
            found = await view_governor(scene.governed.client, scene.tenant)
            return bool(found and found.state.holders)

        await eventually_async(granted, within=30)
        assert not await plugin.deliveries()
        scene.workers.kill()
        await plugin.configure_capacity()

        async def under_way() -> bool:
            return any(found.ended_at is None for found in await plugin.deliveries())

        await eventually_async(under_way, within=60)
        scene.workers.kill()
        await scene.settled(groups, runs)


@pytest.mark.fault(3)
@pytest.mark.soak
async def test_a_worker_killed_again_and_again_leaves_nothing(
    plugin: SandboxClient, plugin_url: str, tmp_path: Path
) -> None:
    """Every few seconds, wherever that meets whom, while runs keep coming."""
    await plugin.configure("report-builder", latency=0.5)
    await plugin.configure_capacity(latency=0.2)
    async with _scene(tmp_path, plugin_url, plugin) as scene:
        groups: dict[str, list[Task]] = {f"m{n}": [] for n in range(6)}
        runs: list[Handle] = []
        for round_ in range(8):
            for name, group in groups.items():
                group += [scene.task(name) for _ in range(2)]
                runs += await asyncio.gather(*(scene.governed.go(task) for task in group[-2:]))
            await asyncio.sleep(5 + round_ * 0.7)
            scene.workers.kill()
        await scene.settled(groups, runs)
