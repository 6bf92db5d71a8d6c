"""`TaskRun` on a real server: a short first call is made within the run's own workflow task."""

import asyncio
from datetime import timedelta

import pytest
from temporalio.exceptions import CancelledError

from domain.run import TaskRunResult
from domain.states import RunState
from tests.admission.harness import Governed
from tests.workflows.harness import (
    Runs,
    accept,
    ended,
    event_types,
    fail,
    stay_open,
    succeed,
)

QUICK = "timeout: 5s\nretry: {max_attempts: 3, initial_interval: 100ms, max_interval: 100ms}"


async def test_a_short_call_costs_few_events(runs: Runs) -> None:
    """One event instead of an activity's three, and no workflow task more than the first."""
    task = runs.script(succeed({"rows": 7}), lines=QUICK)
    usual = runs.script(succeed({"rows": 7}), lines=QUICK)
    handle, other = await runs.start(task, short=True), await runs.start(usual)
    result, expected = await asyncio.gather(handle.result(), other.result())
    assert (result.status, result.result) == (expected.status, expected.result)
    (call,) = runs.plugin.calls[task.task_id]
    assert (call.local, call.request.short, call.attempt) == (True, True, 1)
    assert not runs.plugin.calls[usual.task_id][0].local
    short, long = await event_types(handle), await event_types(other)
    assert short.count("WORKFLOW_TASK_SCHEDULED") == 1
    assert "ACTIVITY_TASK_SCHEDULED" not in short
    assert len(long) - len(short) >= 5


async def test_a_short_call_that_fails_is_followed_by_ordinary_ones(runs: Runs) -> None:
    """Only the first is made at once; the counting goes on."""
    task = runs.script(fail("BUSY"), fail("BUSY"), succeed(), lines=QUICK)
    result = await ended(await runs.start(task, short=True))
    assert isinstance(result, TaskRunResult)
    assert (result.status, result.retry_count) == (RunState.SUCCESS, 2)
    calls = runs.plugin.calls[task.task_id]
    assert [(call.local, call.request.short, call.attempt) for call in calls] == [
        (True, True, 1),
        (False, False, 2),
        (False, False, 3),
    ]


@pytest.mark.parametrize("listening", [True, False])
async def test_work_that_was_accepted_is_waited_for_by_an_ordinary_call(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, *, listening: bool
) -> None:
    """The same attempt once more, under the same key; and nothing is told twice."""
    monkeypatch.setattr(runs.outside, "listening", listening)
    task = runs.script(accept(), succeed("later"), lines=QUICK)
    handle = await runs.start(task, short=True)
    result = await ended(handle)
    assert isinstance(result, TaskRunResult)
    assert (result.status, result.result, result.retry_count) == (RunState.SUCCESS, "later", 0)
    calls = runs.plugin.calls[task.task_id]
    assert [(call.local, call.attempt) for call in calls] == [(True, 1), (False, 1)]
    assert calls[1].request.changes is None
    told = ["PENDING", "RUNNING", "SUCCESS"] if listening else ["PENDING", "RUNNING"]
    assert runs.outside.statuses(task.task_id) == told
    assert runs.outside.publications[task.task_id] == (2 if listening else 1)


async def test_a_short_call_that_hangs_is_a_timeout(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Temporal ends it, as it ends an ordinary call, and the next attempt is one."""
    monkeypatch.setattr("workflows.attempts.ANSWER_MARGIN", timedelta(seconds=-4))
    task = runs.script(stay_open(heartbeats=False), succeed(), lines=QUICK)
    result = await ended(await runs.start(task, short=True))
    assert isinstance(result, TaskRunResult)
    assert (result.status, result.retry_count) == (RunState.SUCCESS, 1)


async def test_a_cancellation_reaches_a_short_call_too(runs: Runs) -> None:
    """When Temporal has the chance to tell of it: the call is closed, and the plugin is told."""
    task = runs.script(stay_open(heartbeats=False), lines=QUICK)
    handle = await runs.start(task, short=True, task_timeout=timedelta(seconds=1))
    await runs.plugin.called(task.task_id)
    await handle.cancel()
    assert isinstance(await ended(handle), CancelledError)
    assert [told.key for told in runs.outside.cancels[task.task_id]] == [handle.id]
    assert runs.plugin.closed[task.task_id] == len(runs.plugin.calls[task.task_id]) == 1


@pytest.mark.parametrize(
    "fields", [{"mutex": ["m"]}, {"overlap": "queue"}, {"timeout": "6s"}], ids=str
)
async def test_what_may_not_be_called_twice_is_not_called_so(
    governed: Governed, fields: dict[str, object]
) -> None:
    """A call that excludes others, or one that takes long, is an ordinary one from the first."""
    task = governed.script(succeed(), lines=QUICK, **fields)
    result = await ended(await governed.start(task, short=True))
    assert isinstance(result, TaskRunResult)
    assert result.status is RunState.SUCCESS
    assert [call.local for call in governed.plugin.calls[task.task_id]] == [False]
