"""`TaskRun` on a real server: what follows on attempts that fail."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from domain.attributes import PAUSE, RESUME
from domain.run import FlagsNow, TaskRunResult, fence_of
from domain.states import RunState
from tests.admission.harness import Governed, Place, new_tenant, succeeded
from tests.workflows.harness import (
    Runs,
    asked_to_hold,
    attributes_of,
    circuit_open,
    crash,
    details_of,
    ended,
    fail,
    fail_after,
    shows,
    stay_open,
    succeed,
)
from tests.workflows.overtaken import overtaken

QUICK = "retry: {max_attempts: 3, initial_interval: 100ms, backoff: 1, max_interval: 100ms}"
SLOW = "retry: {max_attempts: 3, initial_interval: 2s, backoff: 1, max_interval: 2s}"
_LONG = "domain.recovery.LONG_BACKOFF"


async def test_a_run_that_waits_for_its_next_attempt_says_so(governed: Governed) -> None:
    """RETRYING, why and when next: in search attributes, details and for who listens."""
    task = governed.script(fail("BUSY"), succeed(), lines=SLOW)
    handle = await governed.start(task)
    await shows(handle, TaskStatus="RETRYING")
    text = await details_of(handle)
    assert "**RETRYING**" in text
    assert "- waits: BUSY: it said BUSY; next attempt at " in text
    assert "- attempt 1 failed at " in text
    result = await ended(handle)
    assert isinstance(result, TaskRunResult)
    assert (result.status, result.retry_count) == (RunState.SUCCESS, 1)
    told = governed.outside.told(task.task_id)
    assert [(change.status, change.attempt) for change in told] == [
        (RunState.PENDING, 0),
        (RunState.RUNNING, 1),
        (RunState.RETRYING, 1),
        (RunState.RUNNING, 2),
        (RunState.SUCCESS, 2),
    ]
    assert "next attempt at" in (told[2].reason or "")


async def test_a_plugin_that_names_a_time_is_called_then(runs: Runs) -> None:
    """`Retry-After` replaces the policy's interval, which would have been a minute."""
    task = runs.script(
        fail("PLUGIN_THROTTLED", retry_after=timedelta(seconds=1)),
        succeed(),
        lines="retry: {max_attempts: 3, initial_interval: 1m}",
    )
    before = datetime.now(UTC)
    result = await ended(await runs.start(task))
    assert isinstance(result, TaskRunResult)
    assert result.retry_count == 1
    assert timedelta(seconds=1) <= datetime.now(UTC) - before < timedelta(seconds=10)


async def test_a_failed_attempt_that_says_the_flag_is_off_is_the_last(runs: Runs) -> None:
    """`task-retry-queue` is read where the attempt is made."""
    task = runs.script(fail("BUSY", retries=False), lines=QUICK)
    error = await ended(await runs.start(task))
    assert isinstance(error, ApplicationError)
    assert error.type == "BUSY"
    assert len(runs.plugin.calls[task.task_id]) == 1


@pytest.mark.parametrize("silent", [True, False])
async def test_an_attempt_that_could_not_say_anything_obeys_the_flag_too(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, *, silent: bool
) -> None:
    """A lost worker knows no flags, and neither does an error that nobody planned."""
    monkeypatch.setattr(runs.outside, "flags", FlagsNow(task_retry_queue=False))
    step = stay_open(heartbeats=False) if silent else crash(ZeroDivisionError("oh"))
    task = runs.script(step, lines=f"{QUICK}\nheartbeat_timeout: 1s")
    error = await ended(await runs.start(task))
    assert isinstance(error, ApplicationError)
    assert error.type == ("WORKER_LOST" if silent else "ZeroDivisionError")
    assert len(runs.plugin.calls[task.task_id]) == 1


@pytest.mark.parametrize("long", [True, False])
async def test_only_a_long_back_off_lets_others_in(
    governed: Governed, monkeypatch: pytest.MonkeyPatch, *, long: bool
) -> None:
    """A run that waits long gives its mutex back and asks again; one that waits shortly keeps it.

    Its next attempt has a higher fence either way.
    """
    monkeypatch.setattr(_LONG, timedelta(seconds=0.3 if long else 60))
    tenant, place = new_tenant(), Place()
    task, first, second = await overtaken(
        *(governed, tenant, place, place.stay),
        heartbeat_timeout="1s",
        retry={"max_attempts": 2, "initial_interval": "300ms"},
    )
    await place.entered(second if long else first)
    await shows(first if long else second, TaskStatus="QUEUED")
    await governed.holds(second if long else first, tenant=tenant)
    place.let_go()
    await succeeded(first, second)
    assert place.order() == ([second.id, first.id] if long else [first.id, second.id])
    assert place.most_at_once() == 1
    calls = governed.plugin.calls[task.task_id]
    fences = [fence_of(call.request.fence, call.attempt) for call in calls]
    assert all(before < after for before, after in pairwise(fences))
    assert (calls[0].request.fence < calls[1].request.fence) is long
    await governed.nothing_is_left(tenant)


async def test_a_run_that_is_not_admitted_again_fails_with_its_last_code(
    governed: Governed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was under way already: that it was refused is the end of it, and no skipped fire."""
    monkeypatch.setattr(_LONG, timedelta(seconds=0.3))
    tenant, place = new_tenant(), Place()
    _, first, second = await overtaken(
        *(governed, tenant, place),
        on_conflict="fail",
        retry={"max_attempts": 2, "initial_interval": "300ms"},
    )
    await place.entered(second)
    error = await ended(first)
    place.let_go()
    assert isinstance(error, ApplicationError)
    assert error.type == "BUSY"
    assert error.message.startswith("it said BUSY; and the next attempt was not admitted: ")
    assert (await attributes_of(first))["RetryCount"] == 0
    await succeeded(second)
    await governed.nothing_is_left(tenant)


async def test_an_open_circuit_is_waited_for_and_is_no_attempt(runs: Runs) -> None:
    """The run's next call is still its first attempt."""
    task = runs.script(circuit_open(0.3), succeed(), lines="retry: {max_attempts: 1}")
    handle = await runs.start(task)
    result = await ended(handle)
    assert isinstance(result, TaskRunResult)
    assert (result.status, result.retry_count) == (RunState.SUCCESS, 0)
    assert [call.attempt for call in runs.plugin.calls[task.task_id]] == [1, 1]
    assert "WaitsFor" not in await attributes_of(handle)


async def test_a_circuit_that_stays_open_ends_the_run(runs: Runs) -> None:
    """After `queue_timeout`; nothing was called, so nothing is counted and nothing undone."""
    lines = "queue_timeout: 1s\ncompensation: {plugin_id: undo}\nretry: {max_attempts: 2}"
    task = runs.script(circuit_open(0.4), lines=lines)
    handle = await runs.start(task)
    error = await ended(handle)
    assert isinstance(error, ApplicationError)
    assert error.type == "PLUGIN_CIRCUIT_OPEN"
    calls = runs.plugin.calls[task.task_id]
    assert [(call.attempt, call.request.compensates) for call in calls] == [(1, False)] * len(calls)
    assert (await attributes_of(handle))["RetryCount"] == 0
    assert "its plugin was not called" in await details_of(handle)


async def test_a_circuit_that_opens_between_attempts_counts_those_that_were(runs: Runs) -> None:
    """One attempt failed, and the second never came: the run failed after one."""
    lines = f"queue_timeout: 1s\n{QUICK}"
    task = runs.script(fail("BUSY"), circuit_open(), lines=lines)
    handle = await runs.start(task)
    error = await ended(handle)
    assert isinstance(error, ApplicationError)
    assert error.type == "PLUGIN_CIRCUIT_OPEN"
    assert (await attributes_of(handle))["RetryCount"] == 0
    text = await details_of(handle)
    assert "and 1 attempt" in text
    assert "- attempt 1 failed at " in text


async def test_a_held_run_goes_on_with_its_back_off(runs: Runs) -> None:
    """Held while it waits, it says who holds it; let go, it says again what it waits for."""
    task = runs.script(circuit_open(600))
    handle = await runs.start(task)
    circuit = f"circuit:{task.plugin_id}"
    await shows(handle, TaskStatus="RETRYING", WaitsFor=circuit)
    await handle.signal(PAUSE, asked_to_hold())
    await shows(handle, TaskStatus="RETRYING", WaitsFor="paused")
    assert "- waits: paused by ann at " in await details_of(handle)
    await handle.signal(RESUME)
    await shows(handle, TaskStatus="RETRYING", WaitsFor=circuit)
    assert "next attempt at" in await details_of(handle)
    await handle.cancel()
    await ended(handle)
    assert len(runs.plugin.calls[task.task_id]) == 1


async def test_a_held_run_holds_nothing_itself(governed: Governed) -> None:
    """What a person holds in its back-off, however short that is, keeps nothing from others."""
    tenant = new_tenant()
    said: dict[str, Any] = {"tenant_id": tenant, "mutex": ["m"], "overlap": "allow"}
    gate = asyncio.Event()
    task = governed.script(fail_after(gate, "BUSY"), succeed(), lines=QUICK, **said)
    first = await governed.go(task)
    await governed.plugin.called(task.task_id)
    await first.signal(PAUSE, asked_to_hold())
    gate.set()
    await shows(first, TaskStatus="RETRYING", WaitsFor="paused")
    await succeeded(await governed.go(governed.script(succeed(), **said)))
    await first.signal(RESUME)
    result = await ended(first)
    assert isinstance(result, TaskRunResult)
    assert (result.status, result.retry_count) == (RunState.SUCCESS, 1)
    calls = governed.plugin.calls[task.task_id]
    assert calls[0].request.fence < calls[1].request.fence
    await governed.nothing_is_left(tenant)


async def test_a_run_that_is_to_be_held_keeps_its_call(runs: Runs) -> None:
    """The call that is under way is never interrupted; the next one waits."""
    task = runs.script(fail("BUSY"), succeed(), lines=QUICK)
    handle = await runs.start_held(task)
    await shows(handle, WaitsFor="paused")
    assert not runs.plugin.calls[task.task_id]
    await handle.signal(RESUME)
    await runs.plugin.called(task.task_id)
    await handle.signal(PAUSE, asked_to_hold())
    await shows(handle, TaskStatus="RETRYING", WaitsFor="paused")
    assert len(runs.plugin.calls[task.task_id]) == 1
    await handle.signal(RESUME)
    result = await ended(handle)
    assert isinstance(result, TaskRunResult)
    assert result.retry_count == 1
