"""`TaskRun` on a real server: how runs end."""

from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError, CancelledError

from domain.attributes import REASON_MEMO
from domain.run import ManualFire, TaskRunResult, TriggerKind
from domain.states import RunState
from tests.workflows.harness import (
    Runs,
    attributes_of,
    crash,
    details_of,
    ended,
    fail,
    fail_when_cancelled,
    skip,
    stay_open,
    succeed,
)

_QUICK = "retry: {max_attempts: 3, initial_interval: 100ms, backoff: 1, max_interval: 100ms}"


async def test_a_run_calls_its_plugin_once_and_gives_back_its_result(runs: Runs) -> None:
    """The plugin gets what the task says, and the run ends with what the plugin gave."""
    task = runs.script(
        succeed({"rows": 7}), lines="params: {scope: all, deep: [1, {a: null}]}\ntimeout: 90s"
    )
    at = datetime(2026, 11, 23, 2, tzinfo=UTC)
    handle = await runs.start(task, ManualFire(at=at, payload={"why": "test"}))
    result = await handle.result()
    (call,) = runs.plugin.calls[task.task_id]
    assert (result.status, result.result, result.retry_count) == (
        RunState.SUCCESS,
        {"rows": 7},
        0,
    )
    assert call.request.params == task.params
    assert call.request.timeout == timedelta(seconds=90)
    assert (call.request.tenant_id, call.request.plugin_id) == (task.tenant_id, task.plugin_id)
    fire = call.request.trigger
    assert (fire.kind, fire.nominal_time, fire.trigger_time) == (TriggerKind.MANUAL, at, at)
    assert fire.payload == {"why": "test"}


async def test_a_failed_attempt_is_followed_by_another(runs: Runs) -> None:
    """Attempts are counted, and a run that succeeds in the end is a success."""
    task = runs.script(fail("BUSY"), fail("BUSY"), succeed(1), lines=_QUICK)
    handle = await runs.start(task)
    result = await handle.result()
    assert (result.status, result.retry_count) == (RunState.SUCCESS, 2)
    assert [call.attempt for call in runs.plugin.calls[task.task_id]] == [1, 2, 3]
    calls = runs.plugin.calls[task.task_id]
    requests = {c.request.model_dump_json(exclude={"attempt", "changes"}) for c in calls}
    assert len(requests) == 1, "every attempt is asked the same"
    found = await attributes_of(handle)
    assert (found["TaskStatus"], found["RetryCount"]) == ("SUCCESS", 2)
    assert "ErrorCode" not in found


async def test_a_run_out_of_attempts_fails_its_workflow(runs: Runs) -> None:
    """The error's type is the plugin's code, and the reason stands in the memo."""
    task = runs.script(fail("OUT_OF_PAPER"), lines=_QUICK)
    handle = await runs.start(task)
    error = await ended(handle)
    assert isinstance(error, ApplicationError)
    assert (error.type, error.message) == ("OUT_OF_PAPER", "it said OUT_OF_PAPER")
    assert len(runs.plugin.calls[task.task_id]) == 3
    description = await handle.describe()
    assert description.status is WorkflowExecutionStatus.FAILED
    assert await description.memo_value(REASON_MEMO) == "it said OUT_OF_PAPER"
    found = await attributes_of(handle)
    assert (found["TaskStatus"], found["RetryCount"], found["ErrorCode"]) == (
        "FAILED",
        2,
        "OUT_OF_PAPER",
    )


@pytest.mark.parametrize(
    ("lines", "retryable"),
    [(_QUICK, False), (_QUICK.replace("}", ", non_retryable: [NO_SUCH_REPORT]}"), True)],
)
async def test_what_is_not_retryable_is_not_retried(
    runs: Runs, lines: str, *, retryable: bool
) -> None:
    """Whether the plugin or the task says so, one attempt is all."""
    task = runs.script(fail("NO_SUCH_REPORT", retryable=retryable), lines=lines)
    handle = await runs.start(task)
    error = await ended(handle)
    assert isinstance(error, ApplicationError)
    assert error.type == "NO_SUCH_REPORT"
    assert len(runs.plugin.calls[task.task_id]) == 1
    assert (await attributes_of(handle))["RetryCount"] == 0


async def test_an_unplanned_error_ends_a_run_like_any_other(runs: Runs) -> None:
    """A bug in the activity fails the run with its kind as the code, and hangs nothing."""
    task = runs.script(crash(ZeroDivisionError("oh")), lines=_QUICK)
    handle = await runs.start(task)
    error = await ended(handle)
    assert isinstance(error, ApplicationError)
    assert (error.type, error.message) == ("ZeroDivisionError", "oh")
    assert (await attributes_of(handle))["RetryCount"] == 2


async def test_foreign_error_details_do_not_hang_a_run(runs: Runs) -> None:
    """Only our own errors carry the attempt: others' details are not ours to read."""
    foreign = ApplicationError("odd", "no mapping", 3, type="ODD", non_retryable=True)
    handle = await runs.start(runs.script(crash(foreign)))
    error = await ended(handle)
    assert isinstance(error, ApplicationError)
    assert error.type == "ODD"


async def test_a_cancelled_run_ends_when_its_call_is_closed(runs: Runs) -> None:
    """The plugin's call is closed before the run is over, and the run is CANCELLED."""
    task = runs.script(stay_open(heartbeats=True), lines="heartbeat_timeout: 5s")
    handle = await runs.start(task)
    await runs.plugin.called(task.task_id)
    await handle.cancel()
    assert isinstance(await ended(handle), CancelledError)
    assert runs.plugin.closed[task.task_id] == 1
    description = await handle.describe()
    assert description.status is WorkflowExecutionStatus.CANCELED
    assert "cancelled" in await description.memo_value(REASON_MEMO)
    assert (await attributes_of(handle))["TaskStatus"] == "CANCELLED"
    assert "**CANCELLED**" in await details_of(handle)


async def test_a_run_cancelled_before_a_worker_had_it_calls_nothing(temporal: Client) -> None:
    """A run that nobody took up yet ends CANCELLED, and its plugin never hears of it."""
    runs = Runs(temporal)
    task = runs.script(succeed())
    handle = await runs.start(task)
    await handle.cancel()
    async with runs.worker():
        assert isinstance(await ended(handle), CancelledError)
        assert (await attributes_of(handle))["TaskStatus"] == "CANCELLED"
    assert not runs.plugin.calls[task.task_id]


async def test_a_run_cancelled_between_attempts_is_cancelled(runs: Runs) -> None:
    """While a run waits for its next attempt it can be cancelled, and no attempt follows."""
    lines = "retry: {max_attempts: 3, initial_interval: 1m}"
    task = runs.script(fail("BUSY"), lines=lines)
    handle = await runs.start(task)
    await runs.plugin.called(task.task_id)
    await handle.cancel()
    assert isinstance(await ended(handle), CancelledError)
    assert len(runs.plugin.calls[task.task_id]) == 1
    assert (await attributes_of(handle))["TaskStatus"] == "CANCELLED"


async def test_an_attempt_that_fails_while_it_is_cancelled_is_cancelled(runs: Runs) -> None:
    """A failure that would have been tried again, had nobody cancelled, is not the run's end."""
    task = runs.script(fail_when_cancelled("BUSY"), lines="heartbeat_timeout: 5s")
    handle = await runs.start(task)
    await runs.plugin.called(task.task_id)
    await handle.cancel()
    assert isinstance(await ended(handle), CancelledError)
    assert (await handle.describe()).status is WorkflowExecutionStatus.CANCELED
    assert (await attributes_of(handle))["TaskStatus"] == "CANCELLED"
    assert len(runs.plugin.calls[task.task_id]) == 1


async def test_a_skipped_run_says_why(runs: Runs) -> None:
    """SKIPPED is an end without an error: the reason is in the result, the memo and the story."""
    handle = await runs.start(runs.script(skip("the flag is off")))
    result = await handle.result()
    assert (result.status, result.reason) == (RunState.SKIPPED, "the flag is off")
    assert await (await handle.describe()).memo_value(REASON_MEMO) == "the flag is off"
    assert (await attributes_of(handle))["TaskStatus"] == "SKIPPED"
    assert "- why: the flag is off" in await details_of(handle)


@pytest.mark.fault(1)
async def test_a_lost_worker_leads_to_the_next_attempt(runs: Runs) -> None:
    """Silence longer than the heartbeat timeout ends an attempt, and another one follows."""
    lines = f"{_QUICK}\nheartbeat_timeout: 1s"
    task = runs.script(stay_open(heartbeats=False), succeed("second"), lines=lines)
    result = await ended(await runs.start(task))
    assert isinstance(result, TaskRunResult)
    assert (result.status, result.result, result.retry_count) == (RunState.SUCCESS, "second", 1)


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ("retry: {max_attempts: 1}\nheartbeat_timeout: 1s", "WORKER_LOST"),
        ("retry: {max_attempts: 1}\nheartbeat_timeout: 1m\ntimeout: 1m", "PLUGIN_TIMEOUT"),
    ],
)
async def test_silence_is_named_for_what_it_was(
    runs: Runs, lines: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends by a timeout says whether the worker or the plugin was silent."""
    task = runs.script(stay_open(heartbeats=False), lines=lines)
    if code == "PLUGIN_TIMEOUT":
        # The server waits for the task's timeout and a margin: have both in a second.
        monkeypatch.setattr("workflows.attempts.ANSWER_MARGIN", timedelta(seconds=-59))
    error = await ended(await runs.start(task))
    assert isinstance(error, ApplicationError)
    assert error.type == code
