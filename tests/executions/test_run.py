"""Runs as the product has them, with plugins that accept and report."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import Client, WorkflowHandle

from domain.attributes import TASK_RUN
from domain.ids import manual_run_id
from domain.recovery import is_short
from domain.run import ManualFire, TaskRunInput, TaskRunResult
from domain.states import RunState
from tests.activities.server import RawServer, http
from tests.conftest import task_of
from tests.executions.harness import ACCEPTED, Run
from tests.workflows.harness import attributes_of, ended
from worker.governor import build_governor_worker
from worker.main import Parts, build_worker
from worker.plugins import build_plugin_worker


@dataclass(frozen=True, slots=True)
class Runs:
    """Starts runs by hand on a queue of their own."""

    client: Client
    queue: str
    server: RawServer

    async def start(self, **fields: Any) -> tuple[Run, WorkflowHandle[Any, TaskRunResult]]:
        """A run of a task with these fields."""
        task = task_of(task_id=f"t-{uuid4()}", **fields)
        handle: WorkflowHandle[Any, TaskRunResult] = await self.client.start_workflow(
            TASK_RUN,
            TaskRunInput(task=task, manual=ManualFire(at=datetime.now(UTC)), short=is_short(task)),
            id=manual_run_id(task.tenant_id, task.task_id, "1"),
            task_queue=self.queue,
            result_type=TaskRunResult,
        )
        return Run(handle, self.server, self.client), handle


@pytest.fixture
async def runs(temporal: Client, runtime: RawServer, parts: Parts) -> AsyncIterator[Runs]:
    """Workers as a worker process has them."""
    queue = f"runs-{uuid4()}"
    own = replace(parts, settings=parts.settings.model_copy(update={"task_queue": queue}))
    runtime.answer, runtime.stopped = ACCEPTED, http("200 OK")
    async with (
        build_worker(own),
        build_governor_worker(temporal, own.settings, own.capacity),
        build_plugin_worker(own),
    ):
        yield Runs(temporal, queue, runtime)


async def test_a_run_ends_as_its_plugin_reports(runs: Runs) -> None:
    """Two attempts, the first of which reports a failure; the result is that of the second."""
    run, handle = await runs.start(retry={"max_attempts": 2, "initial_interval": "100ms"})
    await (await run.accepted(1)).report(0, "FAILED", error_code="BUSY", message="later")
    second = await run.accepted(2)
    await second.report(0, progress=50)
    await second.report(1, "SUCCESS", result={"rows": 3})
    result = await ended(handle)
    assert isinstance(result, TaskRunResult)
    assert (result.status, result.retry_count, result.result) == (
        RunState.SUCCESS,
        1,
        {"rows": 3},
    )


async def test_a_short_call_may_be_accepted_too(runs: Runs) -> None:
    """Made within the run's own workflow task first, and then where a report is waited for."""
    run, handle = await runs.start(timeout="5s")
    told = await run.accepted()
    await told.report(0, "SUCCESS", result=1)
    result = await ended(handle)
    assert isinstance(result, TaskRunResult)
    assert result.result == 1
    assert [call.body["attempt"] for call in run.calls()] == [1, 1]
    assert len({call.body["nonce"] for call in run.calls()}) == 1


async def test_a_silent_plugin_is_called_again(runs: Runs) -> None:
    """Its first attempt is over, and it hears so when it speaks again."""
    run, handle = await runs.start(
        heartbeat_timeout="2s", retry={"max_attempts": 2, "initial_interval": "100ms"}
    )
    first = await run.accepted(1)
    second = await run.accepted(2)
    assert await first.outcome(7, "SUCCESS", result="old") == "OLD_ATTEMPT"
    await second.report(0, "SUCCESS", result="new")
    result = await ended(handle)
    assert isinstance(result, TaskRunResult)
    assert (result.result, result.retry_count) == ("new", 1)


async def test_a_cancelled_run_tells_its_plugin_and_ends(runs: Runs) -> None:
    """Though the plugin never reports."""
    run, handle = await runs.start(heartbeat_timeout="5m", timeout="10m")
    told = await run.accepted()
    await handle.cancel()
    await ended(handle)
    assert (await attributes_of(handle))["TaskStatus"] == RunState.CANCELLED
    assert len(run.stops()) == 1
    assert await told.outcome(0, "SUCCESS") == "ALREADY_ENDED"
