"""The example of the docs, as a process of its own, with the real scheduler on the other side."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from structlog.testing import capture_logs
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle

from domain.attributes import TASK_RUN
from domain.ids import manual_run_id
from domain.run import ManualFire, TaskRunInput, TaskRunResult
from domain.states import RunState
from shared.settings import ROOT, Settings
from starter.executions import progress_of
from tests.api.harness import door
from tests.conftest import task_of
from tests.executions.harness import until
from tests.pluginkit.harness import OLD, Caller, served
from worker.main import build_worker, shared_parts
from worker.plugins import build_plugin_worker

Handle = WorkflowHandle[Any, TaskRunResult]


class PluginProcess:
    """`uvicorn plugin:app` on a port of its own; it can be killed and started again."""

    def __init__(self, folder: Path, secret_file: Path, scheduler_url: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._environment = {
            **os.environ,
            "PLUGIN_SECRET_FILE": str(secret_file),
            "PLUGIN_STORE": str(folder / "plugin.sqlite"),
            "SCHEDULER_URL": scheduler_url,
        }
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Return when it answers."""
        self._process = self._begin()
        async with httpx.AsyncClient(trust_env=False) as http:

            async def answers() -> bool:
                try:
                    return (await http.get(f"{self.url}/healthz")).is_success
                except httpx.TransportError:
                    return False

            await until(answers)

    def _begin(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "uvicorn", "--app-dir", "examples", "plugin:app"]
        options = ["--port", str(self._port), "--log-level", "error"]
        return subprocess.Popen([*command, *options], cwd=ROOT, env=self._environment)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal, and wait for the end."""
        assert self._process
        self._process.send_signal(number)
        self._process.wait(10)


@dataclass(frozen=True, slots=True)
class World:
    """A worker, an API and the plugin."""

    client: Client
    queue: str
    plugin: PluginProcess
    caller: Caller

    async def start(self, *, short: bool = False, **fields: Any) -> Handle:
        """A run of a task of its own; fields are those of the task."""
        lines = "{retry: {initial_interval: 1s, backoff: 1.0}, heartbeat_timeout: 2s}"
        task = task_of(lines, task_id=f"t-{uuid4()}", plugin_id="report-builder", **fields)
        return await self.client.start_workflow(
            TASK_RUN,
            TaskRunInput(task=task, manual=ManualFire(at=datetime.now(UTC)), short=short),
            id=manual_run_id(task.tenant_id, task.task_id, "1"),
            task_queue=self.queue,
            result_type=TaskRunResult,
        )

    async def rows(self, handle: Handle) -> int:
        """How far a run is, once its plugin has said so."""

        async def told() -> int | None:
            progress = await progress_of(self.client, handle.id)
            said = progress.progress if progress else None
            return (
                said["rows"] if isinstance(said, dict) and isinstance(said["rows"], int) else None
            )

        return await until(told)


@asynccontextmanager
async def _world(temporal: Client, folder: Path) -> AsyncIterator[World]:
    secret_file, queue = folder / "secret", f"pluginkit-{uuid4()}"
    secret_file.write_text(OLD)
    async with (
        door(temporal, folder, plugin_secret_file=secret_file) as opened,
        served(opened.app, lifespan="off") as scheduler_url,
    ):
        plugin = PluginProcess(folder, secret_file, scheduler_url)
        settings = Settings(task_queue=queue, plugin_url=plugin.url, plugin_secret_file=secret_file)
        await plugin.start()
        try:
            async with (
                shared_parts(temporal, settings) as parts,
                build_worker(parts),
                build_plugin_worker(parts),
            ):
                yield World(temporal, queue, plugin, Caller(parts.http, plugin.url))
        finally:
            plugin.end()


@pytest.fixture(scope="module")
async def world(temporal: Client, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One for all tests here; what they log fills nobody's screen."""
    with capture_logs():
        async with _world(temporal, tmp_path_factory.mktemp("example")) as made:
            yield made


@pytest.mark.parametrize("short", [False, True])
async def test_quick_work_is_answered(world: World, *, short: bool) -> None:
    """Within the call, whichever way it is made."""
    handle = await world.start(params={"rows": 0}, timeout="5s", short=short)
    result = await handle.result()
    assert (result.status, result.result) == (RunState.SUCCESS, {"rows": 0})


@pytest.mark.parametrize("short", [False, True])
async def test_slow_work_is_reported(world: World, *, short: bool) -> None:
    """The run shows how far it is, and ends with what the last report says."""
    handle = await world.start(params={"rows": 4}, timeout="5s", short=short)
    assert 1 <= await world.rows(handle) <= 4
    result = await handle.result()
    assert (result.status, result.result) == (RunState.SUCCESS, {"rows": 4})


async def test_wrong_params_end_the_run(world: World) -> None:
    """The error of the plugin is that of the run, and nothing is tried again."""
    handle = await world.start(params={"rows": "many"})
    with pytest.raises(WorkflowFailureError) as failure:
        await handle.result()
    assert "rows must be a whole number" in str(failure.value.cause)


async def test_a_cancelled_run_stops_the_work(world: World) -> None:
    """For good: the plugin answers whoever comes with its key that it was cancelled."""
    handle = await world.start(params={"rows": 10_000})
    await world.rows(handle)
    await handle.cancel()
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    said = {"plugin_id": "report-builder", "attempt": 9, "fence": 9}
    assert await world.caller.failure(handle.id, **said) == ("CANCELLED", False)


async def test_a_killed_plugin_is_asked_again(world: World) -> None:
    """Silence ends the attempt, and the next one has the work done from its beginning."""
    handle = await world.start(params={"rows": 8})
    await world.rows(handle)
    await asyncio.to_thread(world.plugin.end, signal.SIGKILL)
    await world.plugin.start()
    result = await handle.result()
    assert (result.status, result.result) == (RunState.SUCCESS, {"rows": 8})
    again = {"plugin_id": "report-builder", "attempt": 9, "fence": 9}
    assert await world.caller.result(handle.id, **again) == {"rows": 8}
