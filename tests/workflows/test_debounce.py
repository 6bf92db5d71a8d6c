"""Debounced runs on a real server: one of a burst goes, the others say which newer one did."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError

from domain.debounce import Newest
from domain.ids import debounce_id
from domain.run import TaskRunResult
from domain.states import RunState
from domain.task import Task
from tests.starter.harness import eventually_async
from tests.workflows.harness import (
    Handle,
    Runs,
    attributes_of,
    details_of,
    ended,
    event_types,
    on_event,
    succeed,
)
from workflows import debounce, debouncing

SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module", autouse=True)
async def _debouncing(runs: Runs) -> AsyncIterator[None]:
    async with runs.debouncing():
        yield


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs wait long enough to be told on a busy machine, too."""
    monkeypatch.setattr(debouncing, "LEAST_WAIT", 4 * SECOND)


def _task(runs: Runs) -> Task:
    return on_event(runs.script(succeed(), lines="overlap: allow"))


def _debounce_of(task: Task) -> str:
    return debounce_id(task.tenant_id, task.task_id, task.triggers[0].model_dump_json())


async def _ends(handles: Sequence[Handle]) -> list[str | None]:
    """The reason of each run that was superseded; None for one that went."""
    reasons = []
    for result in await asyncio.gather(*map(ended, handles)):
        assert isinstance(result, TaskRunResult)
        assert result.status in (RunState.SUCCESS, RunState.SKIPPED)
        reasons.append(result.reason)
    return reasons


def _superseded_by(*handles: Handle) -> set[str]:
    return {f"debounced: superseded by the event of {handle.id}" for handle in handles}


async def _knows(runs: Runs, task: Task, signals: int = 1) -> Handle:
    """The workflow of the task's rule, as soon as it knows of so many events."""
    handle: Handle = runs.client.get_workflow_handle(_debounce_of(task))

    async def so() -> bool:
        try:
            events = await event_types(handle)
        except RPCError:
            return False
        there = events.count("WORKFLOW_EXECUTION_SIGNALED") >= signals
        return there and events[-1] not in ("WORKFLOW_TASK_SCHEDULED", "WORKFLOW_TASK_STARTED")

    await eventually_async(so)
    return handle


@pytest.mark.usefixtures("_patient")
async def test_the_last_of_a_burst_goes(runs: Runs) -> None:
    """The others are SKIPPED, each for a newer one; what goes is due when the debounce is over."""
    task, start = _task(runs), datetime.now(UTC)
    handles = []
    for number in range(4):
        at = start + number * SECOND / 10
        handles.append(await runs.receive(task, str(number), at=at, debounce=SECOND))
    assert "- waits: until " in await details_of(handles[-1])
    *superseded, went = await _ends(handles)
    assert went is None
    for number, reason in enumerate(superseded, start=1):
        assert reason in _superseded_by(*handles[number:])
    (call,) = runs.plugin.calls[task.task_id]
    assert call.workflow_id == handles[-1].id
    fire = call.request.trigger
    assert (fire.nominal_time, fire.trigger_time) == (at, at + SECOND)
    found = await attributes_of(handles[-1])
    assert found["TriggerTime"] == at + SECOND
    assert found["ActualStart"] >= at + SECOND


@pytest.mark.usefixtures("_patient")
async def test_a_debounced_run_costs_few_events(runs: Runs) -> None:
    """Six more than a plain one; its `Debounce` workflow five for each event of a burst."""
    task = _task(runs)
    first = await runs.receive(task, "1", debounce=SECOND)
    knows = await _knows(runs, task)
    last = await runs.receive(task, "2", debounce=SECOND)
    await _ends([first, last])
    assert len(await event_types(last)) == 13 + 6
    assert len(await event_types(first)) == 17
    events = await event_types(knows)
    assert events.count("WORKFLOW_EXECUTION_SIGNALED") == 2
    assert len(events) == 1 + 4 + 5 + 1  # its start, a first event, one more, the idle timer


@pytest.mark.usefixtures("_patient")
async def test_a_long_burst_lets_one_through(runs: Runs) -> None:
    """Ten times the debounce after its beginning, however soon the next event comes."""
    task, start = _task(runs), datetime.now(UTC) - timedelta(seconds=13)
    handles = []
    for number in range(14):
        at = start + number * SECOND * 0.9
        handles.append(await runs.receive(task, str(number), at=at, debounce=SECOND))
        await _knows(runs, task, number + 1)
    reasons = await _ends(handles)
    assert [number for number, reason in enumerate(reasons) if reason is None] == [11, 13]


@pytest.mark.usefixtures("_patient")
async def test_a_run_that_was_ended_meanwhile_is_no_error(runs: Runs) -> None:
    """Who is superseded may be gone, and whoever was to be told of it is told all the same."""
    task = _task(runs)
    gone, cancelled, last = [
        await runs.receive(task, str(number), debounce=SECOND * 2) for number in range(3)
    ]
    await gone.terminate()
    await cancelled.cancel()
    newest = await runs.receive(task, "newest", debounce=SECOND)
    assert await _ends([last, newest]) == [*_superseded_by(newest), None]
    knows = await _knows(runs, task)
    assert (await knows.describe()).status is WorkflowExecutionStatus.RUNNING


async def test_told_again_nothing_changes(runs: Runs) -> None:
    """A worker that died may have told of its run before, and another one tells again."""
    task = _task(runs)
    handle = await runs.receive(task, debounce=SECOND)
    knows = await _knows(runs, task)
    at = (await attributes_of(handle)).get("TriggerTime") or datetime.now(UTC)
    for _ in range(3):
        again = Newest(run_id=handle.id, at=at, debounce=SECOND)
        await knows.signal("tell", again)
    assert await _ends([handle]) == [None]


async def test_a_run_that_has_gone_on_is_superseded_no_more(runs: Runs) -> None:
    """The word may come late: the run is under way, and both go."""
    task = _task(runs)
    handle = await runs.receive(task, at=datetime.now(UTC) - SECOND)
    await handle.signal("superseded", "run/acme/other/event/1")
    assert await _ends([handle]) == [None]


async def test_a_rule_without_events_is_forgotten(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its workflow ends by itself; the next event starts it again."""
    monkeypatch.setattr(debounce, "LINGER", timedelta(0))
    task = _task(runs)
    for event_id in ("1", "2"):
        assert await _ends([await runs.receive(task, event_id, debounce=SECOND)]) == [None]
        knows = runs.client.get_workflow_handle(_debounce_of(task))

        async def over(knows: Handle = knows) -> bool:
            status = (await knows.describe()).status
            return status is WorkflowExecutionStatus.COMPLETED

        await eventually_async(over)


@pytest.mark.usefixtures("_patient")
async def test_a_busy_rule_goes_on_as_a_new_run(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its history is long, and with all that it knows: one of the burst goes, as ever."""
    monkeypatch.setattr(debounce, "EVENTS_PER_RUN", 8)
    task, start = _task(runs), datetime.now(UTC)
    handles = []
    for number in range(12):
        at = start + number * SECOND / 20
        handles.append(await runs.receive(task, str(number), at=at, debounce=SECOND * 2))
    *superseded, went = await _ends(handles)
    assert went is None
    assert set(superseded) <= _superseded_by(*handles[1:])
    first, now = await _first_and_newest(runs, task)
    assert first != now


async def _first_and_newest(runs: Runs, task: Task) -> tuple[str, str]:
    found = await runs.client.get_workflow_handle(_debounce_of(task)).describe()
    info = found.raw_description.workflow_execution_info
    return info.first_run_id, found.run_id
