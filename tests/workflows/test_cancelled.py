"""`TaskRun` on a real server: cancellation, in whatever state it meets a run."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.exceptions import CancelledError

from domain.attributes import PUBLISH_CHANGES, RAISE_NOTICES, REASON_MEMO
from domain.events_out import Published, RunChanges
from domain.notices import Raised, RaiseInput
from domain.run import ManualFire, TaskRunResult
from domain.states import RunState
from tests.workflows.harness import (
    Handle,
    RecordingPlugin,
    Runs,
    Step,
    attributes_of,
    circuit_open,
    details_of,
    ended,
    fail,
    shows,
    stay_open,
    succeed,
    succeed_when_cancelled,
)
from tests.workflows.outside import Outside

BEATS = {"heartbeat_timeout": "5s"}
SLOW = "retry: {max_attempts: 3, initial_interval: 1m}"


async def _cancelled(handle: Handle) -> str:
    """The reason of a run that ends CANCELLED, for Temporal too."""
    assert isinstance(await ended(handle), CancelledError)
    description = await handle.describe()
    assert description.status is WorkflowExecutionStatus.CANCELED
    found = await attributes_of(handle)
    assert (found["TaskStatus"], found.get("WaitsFor")) == ("CANCELLED", None)
    return str(await description.memo_value(REASON_MEMO))


async def test_a_cancellation_reaches_the_plugin(runs: Runs) -> None:
    """It is told once, under the key it knows, before the run is over."""
    task = runs.script(stay_open(heartbeats=True), **BEATS)
    handle = await runs.start(task)
    await runs.plugin.called(task.task_id)
    await handle.cancel()
    assert await _cancelled(handle) == "cancelled while its plugin was being called"
    (told,) = runs.outside.cancels[task.task_id]
    assert (told.key, told.attempt, told.plugin_id) == (handle.id, 1, task.plugin_id)
    assert runs.plugin.closed[task.task_id] == 1


async def test_work_that_is_done_in_spite_of_it_is_a_success(runs: Runs) -> None:
    """What the plugin did is done, and its result is the run's."""
    task = runs.script(succeed_when_cancelled({"rows": 7}), **BEATS)
    handle = await runs.start(task)
    await runs.plugin.called(task.task_id)
    await handle.cancel()
    result = await ended(handle)
    assert isinstance(result, TaskRunResult)
    assert (result.status, result.result) == (RunState.SUCCESS, {"rows": 7})
    assert len(runs.outside.cancels[task.task_id]) == 1


@pytest.mark.parametrize("step", [fail("BUSY"), circuit_open(60)], ids=["failed", "circuit"])
async def test_a_run_is_cancelled_in_its_back_off(runs: Runs, step: Step) -> None:
    """Nothing is being called, so there is nobody to tell, and no attempt follows."""
    task = runs.script(step, lines=SLOW)
    handle = await runs.start(task)
    await shows(handle, TaskStatus="RETRYING")
    await handle.cancel()
    assert await _cancelled(handle) == "cancelled while it waited for its next attempt"
    assert len(runs.plugin.calls[task.task_id]) == 1
    assert not runs.outside.cancels[task.task_id]


async def test_a_held_run_can_be_cancelled(runs: Runs) -> None:
    """Nobody has to let it go first."""
    task = runs.script(succeed())
    handle = await runs.start_held(task)
    await shows(handle, WaitsFor="paused")
    await handle.cancel()
    assert await _cancelled(handle) == "cancelled before it started"
    assert not runs.plugin.calls[task.task_id]
    assert "its plugin was not called" in await details_of(handle)


async def test_a_plugin_that_cannot_be_told_delays_nothing(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends CANCELLED when its call is closed, and the failure is a line in the log."""
    monkeypatch.setattr("workflows.attempts.CANCEL_FOR", timedelta(seconds=1))
    task = runs.script(stay_open(heartbeats=True), **BEATS)

    def unreachable() -> None:
        raise ConnectionError("nobody there")

    runs.outside.on_cancel[task.task_id] = unreachable
    handle = await runs.start(task)
    await runs.plugin.called(task.task_id)
    await handle.cancel()
    assert await _cancelled(handle)


@dataclass(slots=True)
class Slow(Outside):
    """Takes its time, once, to tell anybody anything."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def _dawdle(self) -> None:
        if not self.begun.is_set():
            self.begun.set()
            await asyncio.sleep(1.5)

    @activity.defn(name=PUBLISH_CHANGES)
    async def publish_changes(self, request: RunChanges) -> Published:
        """After a while."""
        await self._dawdle()
        return self.hear(request)

    @activity.defn(name=RAISE_NOTICES)
    async def raise_notices(self, request: RaiseInput) -> Raised:
        """After a while."""
        await self._dawdle()
        self.notices[request.notices[0].breach.task_id] += request.notices
        return Raised()


@pytest.fixture
async def slow(temporal: Client) -> AsyncIterator[tuple[Runs, Slow]]:
    """Runs that wait for the outside; their workflow tasks are short, so that news comes soon."""
    outside = Slow(listening=True)
    runs = Runs(temporal)
    runs.plugin = RecordingPlugin(outside=outside)
    async with runs.worker():
        yield runs, outside


async def test_a_run_is_cancelled_while_others_are_told_of_it(slow: tuple[Runs, Slow]) -> None:
    """Whoever listens may be slow: the cancellation counts nevertheless, and they hear of it."""
    runs, outside = slow
    task = runs.script(fail("BUSY"), lines=SLOW)
    handle = await runs.start(task, task_timeout=timedelta(seconds=1))
    await outside.begun.wait()
    await handle.cancel()
    assert await _cancelled(handle) == "cancelled while it waited for its next attempt"
    assert outside.statuses(task.task_id) == ["PENDING", "RUNNING", "RETRYING", "CANCELLED"]


async def test_a_run_is_cancelled_while_a_breach_is_raised(slow: tuple[Runs, Slow]) -> None:
    """The breach is raised once, and the plugin that was not called is not: nor is its undoing."""
    runs, outside = slow
    lines = "sla: {start_within: 1s, finish_within: 1d}\ncompensation: {plugin_id: undo}"
    task = runs.script(succeed(), lines=lines)
    fire = ManualFire(at=datetime.now(UTC) - timedelta(hours=1))
    handle = await runs.start(task, fire, task_timeout=timedelta(seconds=1))
    await outside.begun.wait()
    await handle.cancel()
    assert await _cancelled(handle)
    assert not runs.plugin.calls[task.task_id]
    assert outside.kinds(task.task_id) == ["START"]
    assert (await attributes_of(handle))["SlaStatus"] == "START_BREACHED"
