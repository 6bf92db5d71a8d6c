"""What a cancellation does to a call that is open, and to an execution that was accepted."""

import asyncio
import time
from urllib.parse import quote

import pytest

from activities.cancel import close_cancelled
from shared.executions import open_execution
from tests.activities.server import Answer, http, ok, reset, silence
from tests.executions.harness import Executions

_WITHIN = 10.0
"""Seconds in which a plugin is to hear of a cancellation."""


async def test_a_call_that_is_open_is_hung_up_within_seconds(executions: Executions) -> None:
    """The worker hears of it by a heartbeat, however long the heartbeat timeout is."""
    executions.server.answer = silence(60, ok({"status": "SUCCESS"}))
    executions.server.left.clear()
    run = await executions.start(heartbeat=300)
    await run.told()
    began = time.monotonic()
    await run.handle.cancel()
    await asyncio.wait_for(executions.server.left.wait(), _WITHIN)
    assert (await run.end()).code == "CANCELLED"
    assert time.monotonic() - began < _WITHIN
    assert len(run.stops()) == 1


@pytest.mark.parametrize("compensates", [False, True])
async def test_an_accepted_execution_is_stopped_and_closed(
    executions: Executions, *, compensates: bool
) -> None:
    """The plugin is told once, under the key it knows, and the run waits for no report."""
    run = await executions.start(heartbeat=300, compensates=compensates)
    told = await run.accepted()
    began = time.monotonic()
    await run.handle.cancel()
    assert (await run.end()).code == "CANCELLED"
    assert time.monotonic() - began < 3
    (stop,) = run.stops()
    key = told.body["run_id"]
    path = f"/plugin/runtime/builder/executions/{quote(key, safe='')}"
    assert stop.line == f"DELETE {path} HTTP/1.1"
    assert stop.headers["idempotency-key"] == key
    (call,) = run.calls()
    assert stop.headers["traceparent"] == call.headers["traceparent"]
    assert await told.outcome(0, "SUCCESS") == "ALREADY_ENDED"


@pytest.mark.parametrize("status", ["204 No", "404 No", "405 No", "409 No", "410 Gone"])
async def test_a_plugin_that_cannot_be_stopped_keeps_no_run_open(
    executions: Executions, status: str
) -> None:
    """That it knows no such execution, or no such route, is as good as that it stopped."""
    executions.server.stopped = http(status)
    run = await executions.start(heartbeat=300)
    await run.accepted()
    await run.handle.cancel()
    assert (await run.end()).code == "CANCELLED"
    assert len(run.stops()) == 1


@pytest.mark.parametrize("broken", [http("503 No"), http("302 Found"), http("400 No"), reset()])
async def test_a_plugin_that_could_not_be_told_is_told_again(
    executions: Executions, broken: Answer
) -> None:
    """Until it answers; then the execution is closed."""

    async def first_broken(writer: asyncio.StreamWriter) -> None:
        await (broken if len(run.stops()) == 1 else http("200 OK"))(writer)

    run = await executions.start(heartbeat=300)
    await run.accepted()
    executions.server.stopped = first_broken
    await run.handle.cancel()
    assert (await run.end()).code == "CANCELLED"
    assert len(run.stops()) == 2


async def test_a_plugin_that_reports_hears_of_the_cancellation(executions: Executions) -> None:
    """One that was not told, or did not listen, is told in the answer to its report."""
    executions.server.stopped = http("503 No")
    run = await executions.start(heartbeat=300)
    told = await run.accepted()
    assert not (await told.report(0)).cancel_requested
    await run.handle.cancel()
    while not run.stops():  # noqa: ASYNC110 - the server is another's event to set
        await asyncio.sleep(0.02)
    assert (await told.report(1)).cancel_requested
    assert (await told.report(1)).cancel_requested
    assert (await told.report(2, "SUCCESS", result="all the same")).cancel_requested
    executions.server.stopped = http("200 OK")
    end = await run.end()
    assert end.result is not None
    assert end.result.result == "all the same"


async def test_a_cancellation_while_the_plugin_accepts_is_not_lost(executions: Executions) -> None:
    """It is told to stop before it knows of the execution, and again once it has accepted it."""
    executions.server.stopped = http("404 No")
    executions.server.answer = silence(1.5, http("202 Accepted"))
    run = await executions.start(heartbeat=300)
    await run.told()
    await run.handle.cancel()
    assert (await run.end()).code == "CANCELLED"
    assert len(run.stops()) == 2


async def test_an_execution_closed_unasked_lets_its_run_go_on(executions: Executions) -> None:
    """Temporal takes a cancellation only where the run asked for one; then it fails instead."""
    run = await executions.start(heartbeat=300, attempts=2)
    await run.accepted()
    found = await open_execution(executions.client, await run.handle.describe())
    assert found is not None
    assert found.accepted
    assert await close_cancelled(executions.client, found)
    assert not await close_cancelled(executions.client, found)
    (end,) = await run.ends()
    assert (end.code, end.non_retryable) == ("CANCELLED", True)
