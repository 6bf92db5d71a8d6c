"""Workers for calls of plugins: what they hand on, how they stop, and what holds no slot."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio.client import Client
from temporalio.worker import Worker

from activities.plugin import PluginActivities
from domain.events_out import Published, RunChanges
from domain.run import AttemptDetails
from domain.task import Flags
from tests.activities.server import RawServer, ok, silence
from tests.executions.harness import ACCEPTED, Executions
from tests.executions.one_call import OneCall
from worker.build import workflow_runner
from worker.main import Parts
from worker.plugins import build_plugin_worker

_DELIVERED = Published(sinks=True, handed_over=True)


@asynccontextmanager
async def _own(
    temporal: Client, runtime: RawServer, parts: Parts, **flags: bool
) -> AsyncIterator[tuple[Executions, Worker]]:
    """Runs on a queue of their own, and the worker for their calls, which tells of changes."""
    queue = f"own-{uuid4()}"

    async def publish(changes: RunChanges) -> Published:
        return _DELIVERED

    plugins = PluginActivities(parts.http, runtime.url, lambda _: Flags(**flags), publish=publish)
    settings = parts.settings.model_copy(update={"task_queue": queue})
    runtime.answer = ACCEPTED
    calls = build_plugin_worker(replace(parts, settings=settings, plugins=plugins))
    runs = Worker(
        temporal, task_queue=queue, workflows=[OneCall], workflow_runner=workflow_runner()
    )
    async with runs, calls:
        yield Executions(temporal, queue, runtime), calls


async def test_what_was_told_before_the_202_goes_back_with_the_report(
    temporal: Client, runtime: RawServer, parts: Parts
) -> None:
    """The worker that told it is not there any more when the execution ends."""
    changes = RunChanges(
        tenant_id="acme", task_id="long", plugin_id="builder", run_id="r", trace_id="t", changes=[]
    )
    async with _own(temporal, runtime, parts) as (executions, _):
        good, bad = [await executions.start(changes=changes) for _ in range(2)]
        told = await good.accepted()
        await told.report(0, progress=1)
        await told.report(1, "SUCCESS")
        end = await good.end()
        assert end.result is not None
        assert end.result.published == _DELIVERED
        await (await bad.accepted()).report(0, "FAILED")
        end = await bad.end()
        assert AttemptDetails.model_validate(end.details[0]).published == _DELIVERED


async def test_a_reported_failure_is_final_where_retries_are_off(
    temporal: Client, runtime: RawServer, parts: Parts
) -> None:
    """The flag counts as it was when the plugin accepted; the report need not know of it."""
    async with _own(temporal, runtime, parts, task_retry_queue=False) as (executions, _):
        run = await executions.start()
        await (await run.accepted()).report(0, "FAILED", error_code="BUSY")
        end = await run.end()
        assert (end.code, end.non_retryable) == ("BUSY", True)
        assert "task-retry-queue is off" in end.message
        assert AttemptDetails.model_validate(end.details[0]) == AttemptDetails(
            attempt=1, retries=False
        )


@pytest.mark.fault(6)
async def test_a_worker_that_stops_gives_up_its_calls_in_time(
    temporal: Client, runtime: RawServer, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past its grace: the attempt failed and may be tried again, and what was accepted lives on."""
    monkeypatch.setattr("worker.build.GRACE", timedelta(seconds=1))
    async with _own(temporal, runtime, parts) as (executions, calls):
        accepted = await executions.start()
        told = await accepted.accepted()
        runtime.answer = silence(60, ok({"status": "SUCCESS"}))
        held = await executions.start()
        await held.told()
        began = time.monotonic()
        await calls.shutdown()
        assert time.monotonic() - began < 4
        end = await held.end()
        assert (end.code, end.non_retryable) == ("WORKER_LOST", False)
        assert "stopped" in end.message
        assert await told.outcome(0, "SUCCESS") == "taken"
        assert (await accepted.end()).result


async def test_a_hundred_accepted_executions_hold_no_slot(
    temporal: Client, runtime: RawServer, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that can make four calls at a time has a hundred plugins at work."""
    monkeypatch.setattr("worker.plugins.MAX_CALLS", 4)
    async with _own(temporal, runtime, parts) as (executions, _):
        runs = await asyncio.gather(*(executions.start() for _ in range(100)))
        tolds = await asyncio.gather(*(run.accepted() for run in runs))
        await asyncio.gather(*(told.report(0, "SUCCESS") for told in tolds))
        assert all([(await run.end()).result for run in runs])
