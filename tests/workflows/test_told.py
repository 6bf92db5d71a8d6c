"""`TaskRun` on a real server: whoever listens hears every move of a run, once and in order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import Client

from domain.run import TaskRunResult
from domain.states import STATES, RunState
from domain.task import Task
from tests.admission.harness import Governed, Place, new_tenant, succeeded, waiting
from tests.workflows.harness import (
    Runs,
    circuit_open,
    ended,
    event_types,
    fail,
    shows,
    skip,
    stay_open,
    succeed,
)
from tests.workflows.overtaken import overtaken

QUICK = "retry: {max_attempts: 2, initial_interval: 100ms, max_interval: 100ms}"
AGAIN: dict[str, Any] = {"retry": {"max_attempts": 2, "initial_interval": "300ms"}}
UNDO: dict[str, Any] = {"compensation": {"plugin_id": "undo"}}
ONCE: dict[str, Any] = {"retry": {"max_attempts": 1}}
ALWAYS = [{"cron": "* * * * *", "duration": "5m"}]


async def test_a_straight_run_is_told_with_its_call_and_at_its_end(governed: Governed) -> None:
    """The call carries what was before it, and one more publication the end."""
    task = governed.script(succeed())
    handle = await governed.start(task)
    await handle.result()
    (call,) = governed.plugin.calls[task.task_id]
    assert call.request.changes
    assert [change.status for change in call.request.changes.changes] == ["PENDING", "RUNNING"]
    assert governed.outside.statuses(task.task_id) == ["PENDING", "RUNNING", "SUCCESS"]
    assert governed.outside.publications[task.task_id] == 2
    assert call.request.changes.run_id == handle.id
    assert "MARKER_RECORDED" in await event_types(handle)


@pytest.mark.parametrize("lines", ["", QUICK])
async def test_nobody_is_told_when_nobody_listens(runs: Runs, lines: str) -> None:
    """The first call learns it, and no event of the run's history is spent on it."""
    steps = [fail("BUSY"), succeed()] if lines else [succeed()]
    task = runs.script(*steps, lines=lines)
    handle = await runs.start(task)
    await handle.result()
    assert runs.outside.statuses(task.task_id) == ["PENDING", "RUNNING"]
    assert runs.outside.publications[task.task_id] == 1
    assert all(call.request.changes is None for call in runs.plugin.calls[task.task_id][1:])
    assert "recovers" not in str((await handle.fetch_history()).events) or lines
    events = await event_types(handle)
    assert events.count("MARKER_RECORDED") == (1 if lines else 0)  # that of the version


async def test_a_short_back_off_is_told_with_the_next_call(governed: Governed) -> None:
    """One publication for each call and one for the end: none for what is over in a moment."""
    task = governed.script(fail("BUSY"), succeed(), lines=QUICK)
    await ended(await governed.start(task))
    assert governed.outside.statuses(task.task_id) == [
        "PENDING",
        "RUNNING",
        "RETRYING",
        "RUNNING",
        "SUCCESS",
    ]
    assert governed.outside.publications[task.task_id] == 3


async def test_a_long_back_off_is_told_before_it_begins(governed: Governed) -> None:
    """Who listens knows for the whole time why nothing comes."""
    lines = "retry: {max_attempts: 2, initial_interval: 1m}"
    task = governed.script(fail("BUSY"), lines=lines)
    handle = await governed.start(task)
    await shows(handle, TaskStatus="RETRYING")
    assert governed.outside.statuses(task.task_id) == ["PENDING", "RUNNING", "RETRYING"]
    await handle.cancel()
    await ended(handle)
    assert governed.outside.statuses(task.task_id)[-1] == "CANCELLED"


async def test_what_a_lost_worker_was_to_tell_is_told_again(governed: Governed) -> None:
    """At least once, always the same and in order: who listens knows it by its sequence."""
    lines = f"{QUICK}\nheartbeat_timeout: 1s"
    task = governed.script(stay_open(heartbeats=False), succeed(), lines=lines)
    result = await ended(await governed.start(task))
    assert isinstance(result, TaskRunResult)
    statuses = governed.outside.statuses(task.task_id)
    assert statuses == ["PENDING", "RUNNING", "RETRYING", "RUNNING", "SUCCESS"]
    assert len(governed.outside.changes[task.task_id]) > len(statuses)


Story = Callable[[Governed], Awaitable[Task]]
"""Plays a run to its end; what it gives is the run's task."""


async def _straight(governed: Governed) -> Task:
    task = governed.script(fail("BUSY"), succeed(), lines=QUICK)
    await ended(await governed.start(task))
    return task


async def _skipped(governed: Governed) -> Task:
    task = governed.script(skip("the flag is off"))
    await ended(await governed.start(task))
    return task


async def _in_a_blackout(governed: Governed) -> Task:
    task = governed.script(succeed(), blackouts=ALWAYS)
    await ended(await governed.fire(task))
    return task


async def _missed(governed: Governed) -> Task:
    task = governed.script(succeed())
    await ended(await governed.start_found(task, RunState.MISSED))
    return task


async def _held_and_cancelled(governed: Governed) -> Task:
    task = governed.script(succeed())
    handle = await governed.start_held(task)
    await shows(handle, WaitsFor="paused")
    await handle.cancel()
    await ended(handle)
    return task


async def _failed(governed: Governed) -> Task:
    task = governed.script(fail("BUSY", retryable=False))
    await ended(await governed.start(task))
    return task


async def _cancelled(governed: Governed) -> Task:
    task = governed.script(stay_open(heartbeats=True), heartbeat_timeout="5s")
    handle = await governed.start(task)
    await governed.plugin.called(task.task_id)
    await handle.cancel()
    await ended(handle)
    return task


async def _cancelled_in_back_off(governed: Governed, **fields: Any) -> Task:
    lines = "retry: {max_attempts: 2, initial_interval: 1m}"
    task = governed.script(fail("BUSY"), succeed(), lines=lines, **fields)
    handle = await governed.start(task)
    await shows(handle, TaskStatus="RETRYING")
    await handle.cancel()
    await ended(handle)
    return task


async def _cancelled_and_undone(governed: Governed) -> Task:
    return await _cancelled_in_back_off(governed, **UNDO)


async def _undone(governed: Governed) -> Task:
    task = governed.script(fail("BUSY"), succeed(), **ONCE, **UNDO)
    await ended(await governed.start(task))
    return task


async def _not_undone(governed: Governed) -> Task:
    task = governed.script(fail("BUSY"), **ONCE, **UNDO)
    await ended(await governed.start(task))
    return task


async def _behind(
    governed: Governed, *, cancel: bool = False, let_go: bool = True, **fields: Any
) -> Task:
    """A run that meets one that holds its mutex group."""
    tenant, place = new_tenant(), Place()
    holder = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await place.entered(holder)
    task = governed.at(place, tenant, mutex=["m"], **fields)
    handle = await governed.go(task)
    if let_go:
        await waiting(handle)
    if cancel:
        await handle.cancel()
    if let_go:
        place.let_go()
    await ended(handle)
    place.let_go()
    return task


async def _waited(governed: Governed) -> Task:
    return await _behind(governed)


async def _cancelled_in_the_queue(governed: Governed) -> Task:
    return await _behind(governed, cancel=True)


async def _refused(governed: Governed) -> Task:
    return await _behind(governed, on_conflict="fail", let_go=False)


async def _waited_too_long(governed: Governed) -> Task:
    return await _behind(governed, queue_timeout="1s", let_go=False)


async def _overtaken(governed: Governed, *, cancel: bool = False, **fields: Any) -> Task:
    """A run whose mutex group is taken by another one in its back-off, until the run has ended.

    `cancel`: until it was cancelled in the queue; it has to be admitted again to be undone.
    """
    tenant, place = new_tenant(), Place()
    said: dict[str, Any] = {"tenant_id": tenant, "mutex": ["m"], "overlap": "allow"}
    await succeeded(await governed.go(governed.script(succeed(), **said)))  # its governor is up
    more = {"overlap": "allow", **AGAIN, **fields}
    task, first, second = await overtaken(governed, tenant, place, succeed(), **more)
    await place.entered(second)
    if cancel:
        await shows(first, TaskStatus="QUEUED")
        await first.cancel()
    else:
        await ended(first)
    place.let_go()
    await ended(first)
    await ended(second)
    return task


async def _overtaken_and_failed(governed: Governed) -> Task:
    return await _overtaken(governed, queue_timeout="1s")


async def _overtaken_and_undone(governed: Governed) -> Task:
    return await _overtaken(governed, cancel=True, **UNDO)


async def _overtaken_and_refused(governed: Governed) -> Task:
    return await _overtaken(governed, on_conflict="fail")


async def _circuit_stays_open(governed: Governed) -> Task:
    task = governed.script(circuit_open(0.5), queue_timeout="1s")
    await ended(await governed.start(task))
    return task


STORIES: tuple[Story, ...] = (
    *(_straight, _skipped, _in_a_blackout, _missed, _held_and_cancelled, _failed, _cancelled),
    *(_cancelled_in_back_off, _cancelled_and_undone, _undone, _not_undone, _waited, _refused),
    *(_cancelled_in_the_queue, _waited_too_long, _overtaken_and_failed, _overtaken_and_undone),
    *(_overtaken_and_refused, _circuit_stays_open),
)


@pytest.fixture
async def listened(temporal: Client, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Governed]:
    """Runs to all of which somebody listens, and whose back-offs are long."""
    monkeypatch.setattr("domain.recovery.LONG_BACKOFF", timedelta(seconds=0.3))
    governed = Governed(temporal)
    governed.outside.listening = True
    async with governed.working():
        yield governed


async def test_every_move_of_the_table_happens_and_is_told(listened: Governed) -> None:
    """The table of states is what runs do: no more and no less, each move after the one before."""
    tasks = await asyncio.gather(*(story(listened) for story in STORIES))
    moves = {
        story.__name__: listened.outside.moves(task.task_id)
        for story, task in zip(STORIES, tasks, strict=True)
    }
    happened = set().union(*moves.values())
    assert happened == {(before, after) for before in RunState for after in STATES[before].next}
