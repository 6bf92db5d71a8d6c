"""Runs and blackouts: skipped with the reason, or put off by a durable timer, in skipped time."""

from datetime import UTC, datetime, timedelta

from domain.attributes import REASON_MEMO
from domain.run import ManualFire, TaskRunResult
from domain.states import RunState
from tests.workflows.harness import Runs, attributes_of, details_of, ended, succeed

ALWAYS = {"cron": "* * * * *", "duration": "5m"}
HALF_DAYS = {"cron": "0 0,12 * * *", "duration": "11h59m", "then": "defer"}


async def test_a_run_in_a_blackout_is_skipped_with_the_reason(runs: Runs) -> None:
    """No call is made; state, times and reason are there for lists and the Web UI."""
    task = runs.script(succeed(), blackouts=[ALWAYS])
    handle = await runs.fire(task)
    result = await ended(handle)
    assert isinstance(result, TaskRunResult)
    assert result.status is RunState.SKIPPED
    assert not runs.plugin.calls[task.task_id]
    found = await attributes_of(handle)
    assert found["TaskStatus"] == "SKIPPED"
    assert "TriggerTime" in found
    reason = await (await handle.describe()).memo_value(REASON_MEMO)
    assert str(reason).startswith("in a blackout (* * * * *, UTC) until ")
    assert "its plugin was not called" in await details_of(handle)


async def test_a_run_by_hand_goes_through_a_blackout(runs: Runs) -> None:
    """What a person asks for is run: a blackout holds the clock and not people."""
    task = runs.script(succeed(), blackouts=[ALWAYS])
    result = await ended(await runs.start(task, ManualFire(at=datetime.now(UTC))))
    assert isinstance(result, TaskRunResult)
    assert result.status is RunState.SUCCESS


async def test_a_run_put_off_starts_when_the_window_ends(skipping: Runs) -> None:
    """The run waits hours in a durable timer, and is then due and started at the window's end."""
    task = skipping.script(succeed(), blackouts=[HALF_DAYS])
    handle = await skipping.fire(task)
    result = await ended(handle)
    assert isinstance(result, TaskRunResult)
    assert result.status is RunState.SUCCESS
    found = await attributes_of(handle)
    due, started = found["TriggerTime"], found["ActualStart"]
    assert (due + timedelta(minutes=1)).hour in (0, 12)
    assert timedelta(0) <= started - due < timedelta(seconds=5)
    assert skipping.plugin.calls[task.task_id][0].request.trigger.trigger_time == due


async def test_a_run_that_waits_for_a_window_can_be_cancelled(runs: Runs) -> None:
    """It ends CANCELLED without a call, and until then it says what it waits for."""
    task = runs.script(succeed(), blackouts=[HALF_DAYS])
    handle = await runs.fire(task)
    assert "- waits: put off by a blackout" in await details_of(handle)
    await handle.cancel()
    assert isinstance(await ended(handle), BaseException)
    assert (await attributes_of(handle))["TaskStatus"] == "CANCELLED"
    assert not runs.plugin.calls[task.task_id]
