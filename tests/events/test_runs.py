"""Whole runs on workers as the product builds them: what sinks hear of them."""

from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import Client

from domain.attributes import TASK_RUN
from domain.ids import manual_run_id
from domain.problems import InvalidInput
from domain.run import ManualFire, TaskRunInput, TaskRunResult
from domain.states import RunState
from sandbox.client import SandboxClient
from shared.settings import Settings
from tests.conftest import task_of
from tests.events.harness import RecordingSink, Telling
from worker.main import build_worker, shared_parts
from worker.plugins import build_plugin_worker
from worker.recovery import build_recovery_worker


@pytest.fixture
async def settings(
    telling: Telling, sink: RecordingSink, plugin_url: str, plugin: SandboxClient
) -> Settings:
    """Of a worker that tells the sink."""
    telling.listen(sink)
    queue = telling.queue
    return Settings(task_queue=queue, plugin_url=plugin_url, sinks_file=telling.file)


async def _run(client: Client, settings: Settings, **fields: Any) -> tuple[str, TaskRunResult]:
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(shared_parts(client, settings))
        for build in (build_recovery_worker, build_worker, build_plugin_worker):
            await stack.enter_async_context(build(parts))
        task = task_of(task_id=f"t-{uuid4()}", **fields)
        run_id = manual_run_id(task.tenant_id, task.task_id, "1")
        result: TaskRunResult = await client.execute_workflow(
            TASK_RUN,
            TaskRunInput(task=task, manual=ManualFire(at=datetime.now(UTC))),
            id=run_id,
            task_queue=settings.task_queue,
            result_type=TaskRunResult,
        )
    return run_id, result


async def test_a_run_is_told_from_its_start_to_its_end(
    temporal: Client, settings: Settings, sink: RecordingSink
) -> None:
    """Every state, each following the one before, in one trace."""
    run_id, result = await _run(temporal, settings)
    assert result.status is RunState.SUCCESS
    told = [e["data"] for e in sink.taken if e["subject"] == run_id]
    assert [d["status"] for d in told] == ["PENDING", "RUNNING", "SUCCESS"]
    assert [d["previous"] for d in told] == [None, "PENDING", "RUNNING"]
    assert [d["sequence"] for d in told] == [1, 2, 3]
    assert len({d["trace_id"] for d in told}) == 1


async def test_a_sink_that_is_down_for_all_of_a_run_hears_it_later(
    temporal: Client, settings: Settings, sink: RecordingSink, telling: Telling
) -> None:
    """The run does not wait for it."""
    sink.say = lambda: 503
    run_id, result = await _run(temporal, settings)
    assert result.status is RunState.SUCCESS
    assert sink.sequences(run_id) == []
    sink.say = lambda: 200
    async with telling.recovery():
        await sink.took(run_id, 1, 2, 3)
    assert sink.twice() == []


async def test_a_worker_does_not_start_without_a_secret(
    temporal: Client, settings: Settings, sink: RecordingSink, telling: Telling
) -> None:
    """It says which one is missing."""
    (telling.file.parent / sink.name).unlink()
    with pytest.raises(InvalidInput, match="cannot be read: no such file"):
        async with shared_parts(temporal, settings):
            pass
