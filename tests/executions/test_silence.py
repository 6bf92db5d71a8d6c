"""Executions that were accepted and then not heard of, or only of, for a while."""

import asyncio
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.client import Client
from temporalio.worker import Worker

from domain.executions import Progress
from shared.executions import open_execution
from tests.activities.server import RawServer
from tests.executions.harness import ACCEPTED, Executions, until
from tests.executions.one_call import OneCall
from tests.watch.processes import process
from worker.build import workflow_runner


async def test_a_plugin_that_says_nothing_more_loses_its_attempt(executions: Executions) -> None:
    """After the heartbeat timeout; what is known of it says that it had been accepted."""
    run = await executions.start(heartbeat=2)
    told = await run.accepted()
    end = await run.end()
    assert end.code == "TIMEOUT_HEARTBEAT"
    progress = Progress.model_validate(end.details[0])
    assert (progress.accepted, progress.attempt, progress.sequence) == (True, 1, -1)
    assert await told.outcome(0, "SUCCESS") == "ALREADY_ENDED"


async def test_each_report_of_progress_is_a_heartbeat(executions: Executions) -> None:
    """An execution twice as long as the heartbeat timeout lives by what it reports."""
    run = await executions.start(heartbeat=2)
    told = await run.accepted()
    for sequence in range(10):
        await asyncio.sleep(0.45)
        assert await told.outcome(sequence) == "taken"
    await told.report(10, "SUCCESS")
    assert (await run.end()).result


async def test_a_report_of_a_call_still_open_does_not_disturb_it(executions: Executions) -> None:
    """The plugin may tell its progress before it answers; what it answers is what counts."""
    release = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        await release.wait()
        await ACCEPTED(writer)

    executions.server.answer = answer
    run = await executions.start()
    told = await run.told()
    assert await told.outcome(3, progress="early") == "taken"
    release.set()
    await run.accepted()
    assert await told.outcome(4, "SUCCESS", result="end") == "taken"
    end = await run.end()
    assert end.result is not None
    assert end.result.result == "end"


@pytest.mark.fault(1)
async def test_the_report_ends_it_though_its_worker_was_killed(
    temporal: Client, runtime: RawServer, tmp_path: Path
) -> None:
    """Between the 202 and the report no worker is needed, nor is one for the report itself."""
    queue = f"killed-{uuid4()}"
    runtime.answer = ACCEPTED
    environment = {
        "TEMPORAL_ADDRESS": temporal.service_client.config.target_host,
        "TASKFLOW_TASK_QUEUE": queue,
        "TASKFLOW_PLUGIN_URL": runtime.url,
    }
    command = (sys.executable, "-m", "tests.executions.plugin_worker")
    runs = Worker(
        temporal, task_queue=queue, workflows=[OneCall], workflow_runner=workflow_runner()
    )
    async with runs:
        with process(tmp_path / "worker.log", *command, **environment) as worker:
            run = await Executions(temporal, queue, runtime).start()
            told = await run.accepted()
            worker.kill()
            worker.wait(10)
        assert await told.outcome(0, progress="alone") == "taken"
        assert await told.outcome(1, "SUCCESS", result="alone") == "taken"
        end = await run.end()
    assert end.result is not None
    assert end.result.result == "alone"
    assert len(run.calls()) == 1


async def test_the_acceptance_is_not_lost_to_a_heartbeat(executions: Executions) -> None:
    """A call that was open for long has heartbeats held back: none of them comes after the 202."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(
            6.4
        )  # a beat each other second; those of 4 and 6 are held back until 6.8
        await ACCEPTED(writer)

    executions.server.answer = answer
    runs = await asyncio.gather(*(executions.start(heartbeat=6) for _ in range(20)))
    tolds = await asyncio.gather(*(run.accepted() for run in runs))
    await asyncio.gather(*(told.report(7, progress="kept") for told in tolds))

    async def kept() -> list[int]:
        described = await asyncio.gather(*(run.handle.describe() for run in runs))
        found = [await open_execution(executions.client, one) for one in described]
        return [one.progress.sequence for one in found if one and one.progress]

    for _ in range(3):
        assert await kept() == [7] * 20
        await asyncio.sleep(0.3)
    await asyncio.gather(*(told.report(8, "SUCCESS") for told in tolds))
    assert all([(await run.end()).result for run in runs])


async def test_the_202_may_have_any_body(executions: Executions) -> None:
    """What it says is nobody's business, also when it is endless or broken off."""
    head = b"HTTP/1.1 202 Accepted\r\n"

    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(head + b"\r\n")
        while True:
            writer.write(b"x" * 4096)
            await writer.drain()

    async def dripping(writer: asyncio.StreamWriter) -> None:
        writer.write(head + b"content-length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.2)

    async def cut(writer: asyncio.StreamWriter) -> None:
        writer.write(head + b"content-length: 1000\r\n\r\n{")

    for answer in (endless, dripping, cut):
        executions.server.answer = answer
        began = time.monotonic()
        run = await executions.start()
        told = await run.accepted()
        assert time.monotonic() - began < 3
        await told.report(0, "SUCCESS")
        assert (await run.end()).result


async def test_progress_says_when_it_was_accepted(executions: Executions) -> None:
    """A person can see since when a plugin works on its own."""
    before = datetime.now(UTC)
    run = await executions.start()
    told = await run.accepted()
    progress = await told.progress()
    assert progress is not None
    assert progress.accepted_at is not None
    assert before <= progress.accepted_at <= datetime.now(UTC) + timedelta(seconds=1)
    await told.report(0, message="on")

    async def newer() -> Progress | None:
        found = await told.progress()
        return found if found and found.sequence == 0 else None

    assert (await until(newer)).accepted_at == progress.accepted_at
    await told.report(1, "SUCCESS")
    await run.end()
