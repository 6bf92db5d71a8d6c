"""Fires that no run came of, and runs that came late."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from domain.ids import scheduled_run_id
from domain.states import RunState
from domain.task import Task
from domain.watch import MOST_RECORDS, Counts
from starter import control
from starter.runs import RunView, list_runs
from tests.starter.harness import eventually_async
from tests.watch.harness import Watched, look
from tests.workflows.harness import stay_open
from worker.watch import build_watch_worker

HOUR = timedelta(hours=1)


def hour() -> datetime:
    """The last full hour."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


async def without_schedule(watched: Watched, **fields: object) -> Task:
    """A registered task of an hourly schedule that fires nothing while the test looks."""
    return await watched.register(triggers=[{"every": "1h"}], **fields)


async def test_a_fire_beyond_the_catchup_is_a_missed_run_with_a_reason(watched: Watched) -> None:
    """It calls no plugin, ends at once, is found by its nominal time, and is made once."""
    task = await without_schedule(watched, catchup="10m")
    due = hour() + HOUR
    window = (due - timedelta(seconds=1), due)
    tick = await look(watched.watch(), *window, now=due + timedelta(minutes=11))
    again = await look(watched.watch(), *window, now=due + timedelta(minutes=12))

    [run] = await watched.runs_of(task, 1)
    assert run.run_id == scheduled_run_id(task.tenant_id, task.task_id, due)
    assert (run.status, run.nominal_time, run.trigger_time) == (RunState.MISSED, due, due)
    assert run.reason == "no run was made; found 11m late, and the task's catchup is 10m"
    assert run.actual_start is None
    assert not watched.runs.plugin.calls[task.task_id]
    assert (tick.counts.missed, again.counts.missed) == (1, 1), "the same fire, judged again"
    await control.delete(watched.client, task.tenant_id, task.task_id)


@pytest.mark.fault(9)
async def test_a_fire_inside_the_catchup_runs_late_and_once(watched: Watched) -> None:
    """The plugin is told the nominal time, and the run says that the watch started it."""
    task = await without_schedule(watched, catchup="10m")
    due = hour() + HOUR
    window = (due - timedelta(seconds=1), due)
    for minutes in (2, 3):
        tick = await look(watched.watch(), *window, now=due + timedelta(minutes=minutes))
        assert tick.counts.started == 1
    [run] = await watched.runs_of(task, 1)
    assert (run.status, run.nominal_time) == (RunState.SUCCESS, due)
    assert run.reason == "started by the watch: its schedule made no run"
    [call] = watched.runs.plugin.calls[task.task_id]
    assert call.request.trigger.nominal_time == due
    await control.delete(watched.client, task.tenant_id, task.task_id)


@pytest.mark.fault(9)
async def test_a_long_outage_is_summed_up_and_counted_exactly(watched: Watched) -> None:
    """Few records for a task, the last of which counts the rest."""
    task = await watched.register(triggers=[{"every": "10m"}], catchup="10m")
    first = hour() + HOUR
    last = first + 5 * HOUR
    tick = await look(watched.watch(), first, last, now=last + HOUR)
    runs = await watched.runs_of(task, MOST_RECORDS)
    assert tick.counts.missed == 30
    assert len(runs) == MOST_RECORDS
    assert {run.status for run in runs} == {RunState.MISSED}
    assert f"; {30 - MOST_RECORDS} more until {last:%Y-%m-%d %H:%M:%S} UTC" in (
        runs[-1].reason or ""
    )
    await control.delete(watched.client, task.tenant_id, task.task_id)


async def test_a_fire_during_the_tasks_own_run_is_skipped(watched: Watched) -> None:
    """`overlap: skip` holds for late runs too: of two, the second finds the first under way."""
    task_id = f"t-{uuid4().hex[:8]}"
    watched.runs.plugin.scripts[task_id] = [stay_open(heartbeats=True)]
    task = await watched.register(
        task_id=task_id, triggers=[{"every": "10m"}], overlap="skip", heartbeat_timeout="1s"
    )
    first = hour() + HOUR + timedelta(minutes=10)
    second = first + timedelta(minutes=10)
    third = second + timedelta(minutes=10)
    tick = await look(watched.watch(), first - timedelta(seconds=1), second, now=second)
    later = await look(watched.watch(), second, third, now=third)
    assert (tick.counts.started, tick.counts.skipped) == (1, 1)
    assert (later.counts.started, later.counts.skipped) == (0, 1)
    running = scheduled_run_id(task.tenant_id, task.task_id, first)
    await watched.runs.plugin.called(task.task_id)
    await watched.client.get_workflow_handle(running).cancel()
    runs = await watched.runs_of(task, 3)
    assert [run.status for run in runs] == [
        RunState.CANCELLED,
        RunState.SKIPPED,
        RunState.SKIPPED,
    ]
    assert {run.reason for run in runs[1:]} == {f"overlap: {running} was still under way"}
    await control.delete(watched.client, task.tenant_id, task.task_id)


@pytest.mark.fault(5)
async def test_lateness_is_counted_while_no_worker_takes_runs_up(watched: Watched) -> None:
    """A run that nobody started waits, then is late; started soon enough it was on time."""
    other = Watched(watched.client, watched.policy)
    async with build_watch_worker(other.client, other.settings):
        began = datetime.now(UTC)
        task = await other.register(triggers=[{"every": "10s"}], overlap="allow")
        found: list[RunView] = []

        async def fired() -> bool:
            found[:] = await list_runs(other.client, tenant_id=task.tenant_id)
            return bool(found)

        await eventually_async(fired)
        [run] = found
        assert run.nominal_time
        await control.pause(other.client, task.tenant_id, task.task_id, who="test", reason="")
        due, watch = run.nominal_time, other.watch()
        first = await look(watch, began, due, now=due + timedelta(seconds=30))
        assert first.counts == Counts(due=1, waiting=1)
        assert first.waiting == [run.run_id]
        later = due + timedelta(seconds=61)
        late = await look(watch, due, due, now=later, waiting=first.waiting)
        async with other.runs.worker():
            await other.runs_of(task, 1)
        on_time = await look(watch, due, due, now=later, waiting=first.waiting)
        assert first.counts.plus_all(late.counts) == Counts(due=1, late=1)
        assert first.counts.plus_all(on_time.counts) == Counts(due=1, on_time=1)
        assert late.waiting == on_time.waiting == []
        await control.delete(other.client, task.tenant_id, task.task_id)
