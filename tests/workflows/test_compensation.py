"""`TaskRun` on a real server: undoing what a run did that failed or was stopped."""

import asyncio
from datetime import timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError, CancelledError

from domain.attributes import REASON_MEMO
from domain.run import TaskRunResult
from domain.states import RunState
from tests.admission.harness import Governed, Place, new_tenant, succeeded
from tests.workflows.harness import (
    Runs,
    Step,
    attributes_of,
    circuit_open,
    details_of,
    ended,
    fail,
    fail_after,
    shows,
    skip,
    stay_open,
    succeed,
)
from tests.workflows.overtaken import overtaken

UNDO = "compensation: {plugin_id: undo, params: {action: rollback}}\nheartbeat_timeout: 5s\n"
ONCE = f"{UNDO}retry: {{max_attempts: 1}}"
TWICE = f"{UNDO}retry: {{max_attempts: 2, initial_interval: 100ms, max_interval: 100ms}}"


async def test_a_run_that_failed_for_good_is_undone(runs: Runs) -> None:
    """COMPENSATED is an end of its own: the run's attempts and reason, the undoing's result."""
    task = runs.script(
        fail("BUSY"), fail("BUSY"), succeed({"undone": 7}), lines=TWICE, params={"scope": "all"}
    )
    handle = await runs.start(task)
    result = await ended(handle)
    assert isinstance(result, TaskRunResult)
    assert (result.status, result.retry_count) == (RunState.COMPENSATED, 1)
    assert (result.result, result.compensation) == (None, {"undone": 7})
    assert result.reason == "it said BUSY; compensated by undo"
    found = await attributes_of(handle)
    assert (found["TaskStatus"], found["ErrorCode"]) == ("COMPENSATED", "BUSY")
    calls = [call.request for call in runs.plugin.calls[task.task_id]]
    assert [(call.plugin_id, call.attempt, call.compensates) for call in calls] == [
        (task.plugin_id, 1, False),
        (task.plugin_id, 2, False),
        ("undo", 1, True),
    ]
    assert calls[2].params == {"action": "rollback"}
    assert calls[2].trigger == calls[0].trigger


async def test_an_undoing_has_attempts_of_its_own(runs: Runs) -> None:
    """It may be repeated like any call, and the run's own count stays what it was."""
    task = runs.script(
        fail("BROKEN", retryable=False), fail("BUSY"), succeed("undone"), lines=TWICE
    )
    handle = await runs.start(task)
    result = await ended(handle)
    assert isinstance(result, TaskRunResult)
    assert (result.status, result.retry_count) == (RunState.COMPENSATED, 0)
    calls = [call.request for call in runs.plugin.calls[task.task_id]]
    assert [(call.compensates, call.attempt) for call in calls] == [
        (False, 1),
        (True, 1),
        (True, 2),
    ]
    text = await details_of(handle)
    assert "- attempt 1 failed at " in text
    assert "- compensation, attempt 1 failed at " in text


async def test_an_undoing_waits_for_an_open_circuit_with_patience_of_its_own(
    governed: Governed,
) -> None:
    """What the run waited before does not count, and the run's attempts stay known."""
    lines = f"{TWICE}\nqueue_timeout: 1s"
    steps = fail("BUSY"), circuit_open(), circuit_open(), circuit_open(0.1), succeed()
    task = governed.script(*steps, lines=lines)
    result = await ended(await governed.start(task))
    assert isinstance(result, TaskRunResult)
    assert (result.status, result.retry_count) == (RunState.COMPENSATED, 0)
    told = governed.outside.told(task.task_id)
    assert [(change.status, change.attempt) for change in told[-2:]] == [
        (RunState.COMPENSATING, 1),
        (RunState.COMPENSATED, 1),
    ]
    assert told[-1].error_code == "PLUGIN_CIRCUIT_OPEN"


async def test_a_cancelled_run_is_undone_and_stays_cancelled(runs: Runs) -> None:
    """The reason tells both."""
    task = runs.script(stay_open(heartbeats=True), succeed(), lines=ONCE)
    handle = await runs.start(task)
    await runs.plugin.called(task.task_id)
    await handle.cancel()
    assert isinstance(await ended(handle), CancelledError)
    description = await handle.describe()
    assert description.status is WorkflowExecutionStatus.CANCELED
    assert await description.memo_value(REASON_MEMO) == (
        "cancelled while its plugin was being called; compensated by undo"
    )
    assert (await attributes_of(handle))["TaskStatus"] == "CANCELLED"


@pytest.mark.parametrize("step", [fail("NO_UNDO"), skip("the flag is off")])
async def test_an_undoing_that_fails_names_both_causes(runs: Runs, step: Step) -> None:
    """FAILED with the run's own code: somebody has to look at what is left."""
    task = runs.script(fail("BUSY"), step, lines=ONCE)
    handle = await runs.start(task)
    error = await ended(handle)
    assert isinstance(error, ApplicationError)
    assert error.type == "BUSY"
    assert error.message.startswith("it said BUSY; its compensation failed too: ")
    assert error.message.endswith(("NO_UNDO: it said NO_UNDO", "the flag is off"))
    assert (await attributes_of(handle))["TaskStatus"] == "FAILED"


async def test_a_cancelled_run_whose_undoing_fails_has_failed(runs: Runs) -> None:
    """It is not over with the cancellation: effects are left, and the code says why."""
    task = runs.script(stay_open(heartbeats=True), fail("NO_UNDO"), lines=ONCE)
    handle = await runs.start(task)
    await runs.plugin.called(task.task_id)
    await handle.cancel()
    error = await ended(handle)
    assert isinstance(error, ApplicationError)
    assert error.type == "COMPENSATION_FAILED"
    assert "cancelled while its plugin was being called" in error.message
    assert "NO_UNDO: it said NO_UNDO" in error.message


async def test_nothing_stops_an_undoing(runs: Runs) -> None:
    """Neither a first cancellation during it nor a second one."""
    place = Place()
    task = runs.script(fail("BUSY"), place.stay, lines=ONCE)
    handle = await runs.start(task)
    await place.entered(handle)
    await shows(handle, TaskStatus="COMPENSATING")
    text = await details_of(handle)
    assert "- why: `BUSY`: it said BUSY" in text
    assert "- ended: " not in text
    await handle.cancel()
    await handle.cancel()
    await asyncio.sleep(0.5)
    assert place.inside == [handle.id]
    place.let_go()
    result = await ended(handle)
    assert isinstance(result, TaskRunResult)
    assert result.status is RunState.COMPENSATED
    assert not runs.outside.cancels[task.task_id]


async def test_locks_are_kept_until_it_is_done(governed: Governed) -> None:
    """Nobody of the group comes in between a run and what undoes it."""
    tenant, place = new_tenant(), Place()
    task = governed.script(
        fail("BUSY"), place.stay, lines=ONCE, tenant_id=tenant, mutex=["m"], overlap="allow"
    )
    first = await governed.go(task)
    await place.entered(first)
    second = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await shows(second, TaskStatus="QUEUED")
    await governed.holds(first, tenant=tenant)
    place.let_go()
    await succeeded(second)
    assert place.order() == [first.id, second.id]
    assert place.most_at_once() == 1
    await governed.nothing_is_left(tenant)


async def test_what_was_not_called_is_not_undone(runs: Runs) -> None:
    """Cancelled before its start, or stopped by its SLA in the very moment of it."""
    held = runs.script(succeed(), lines=ONCE)
    handle = await runs.start_held(held)
    await shows(handle, WaitsFor="paused")
    await handle.cancel()
    assert isinstance(await ended(handle), CancelledError)
    late = runs.script(
        succeed(),
        lines=f"{ONCE}\nsla: {{start_within: 1s, finish_within: 1d, on_breach: cancel}}",
    )
    result = await ended(await runs.start_found(late))
    assert isinstance(result, TaskRunResult)
    assert result.status is RunState.CANCELLED
    assert not runs.plugin.calls[held.task_id]
    assert not runs.plugin.calls[late.task_id]


@pytest.mark.parametrize("on_conflict", ["queue", "fail"])
async def test_what_is_undone_is_undone_under_its_lock(
    governed: Governed, monkeypatch: pytest.MonkeyPatch, on_conflict: str
) -> None:
    """A run that gave its mutex group away in a long back-off waits for it again to be undone."""
    monkeypatch.setattr("domain.recovery.LONG_BACKOFF", timedelta(seconds=0.3))
    tenant, place = new_tenant(), Place()
    task, first, second = await overtaken(
        *(governed, tenant, place, place.stay),
        on_conflict=on_conflict,
        heartbeat_timeout="5s",
        retry={"max_attempts": 2, "initial_interval": "1s"},
        compensation={"plugin_id": "undo"},
    )
    await place.entered(second)
    await shows(first, TaskStatus="RETRYING")
    await first.cancel()
    await governed.holds(second, tenant=tenant)
    await asyncio.sleep(0.5)
    assert place.inside == [second.id]
    place.let_go()
    assert isinstance(await ended(first), CancelledError)
    await succeeded(second)
    assert place.order() == [second.id, first.id]
    assert place.most_at_once() == 1
    last = governed.plugin.calls[task.task_id][-1].request
    assert last.compensates
    assert last.fence > governed.plugin.calls[task.task_id][0].request.fence
    await governed.nothing_is_left(tenant)


async def test_what_cannot_have_its_lock_again_is_not_undone_and_says_so(
    governed: Governed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Undoing beside the new holder could break its work: somebody has to look at it instead."""
    monkeypatch.setattr("domain.recovery.LONG_BACKOFF", timedelta(seconds=0.3))
    tenant, place = new_tenant(), Place()
    task, first, second = await overtaken(
        *(governed, tenant, place),
        queue_timeout="1s",
        retry={"max_attempts": 2, "initial_interval": "300ms"},
        compensation={"plugin_id": "undo"},
    )
    await place.entered(second)
    error = await ended(first)
    place.let_go()
    assert isinstance(error, ApplicationError)
    assert error.type == "BUSY"
    assert "; its compensation failed too: queue_timeout: " in error.message
    assert len(governed.plugin.calls[task.task_id]) == 1
    await succeeded(second)
    await governed.nothing_is_left(tenant)


async def test_a_run_that_comes_back_does_not_replace_a_newer_one(
    governed: Governed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `cancel_running` the newer run goes on, whatever the older one had still to try."""
    monkeypatch.setattr("domain.recovery.LONG_BACKOFF", timedelta(seconds=0.3))
    tenant, place, gate = new_tenant(), Place(), asyncio.Event()
    task = governed.script(
        *(fail_after(gate, "BUSY"), place.stay),
        tenant_id=tenant,
        overlap="cancel_running",
        heartbeat_timeout="5s",
        retry={"max_attempts": 2, "initial_interval": "2s"},
    )
    first = await governed.go(task)
    await governed.plugin.called(task.task_id)
    gate.set()
    await shows(first, TaskStatus="RETRYING")
    second = await governed.go(task)
    await place.entered(second)
    error = await ended(first)
    assert isinstance(error, ApplicationError)
    assert "the next attempt was not admitted: overlap: " in error.message
    place.let_go()
    await succeeded(second)
    await governed.nothing_is_left(tenant)
