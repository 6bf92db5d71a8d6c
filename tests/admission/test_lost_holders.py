"""Runs that end without a word: what they held is freed, once, and who waits goes on."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus

from domain.attributes import TASK_RUN
from domain.ids import manual_run_id
from domain.run import TaskRunInput, TaskRunResult, TriggerKind
from domain.task import Task
from shared.schedules import run_attributes
from tests.admission.harness import Governed, Place, new_tenant, succeeded, waiting
from tests.starter.harness import eventually_async
from tests.workflows.harness import Handle


async def _gone(run: Handle, status: WorkflowExecutionStatus) -> None:
    async def so() -> bool:
        return (await run.describe()).status is status

    await eventually_async(so, within=20)


@pytest.mark.fault(20)
@pytest.mark.soak
async def test_a_terminated_holder_is_freed_within_a_minute(governed: Governed) -> None:
    """With the product's own pauses: the next goes on in time, and one only."""
    place, tenant = Place(), new_tenant()
    holder = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await place.entered(holder)
    others = [await governed.go(governed.at(place, tenant, mutex=["m"])) for _ in range(2)]
    await waiting(*others)
    await holder.terminate()
    place.let_go(*others)
    await succeeded(*others)
    assert place.most_at_once() == 1
    await governed.nothing_is_left(tenant)


@pytest.mark.fault(20)
@pytest.mark.usefixtures("impatient")
async def test_everybody_who_is_terminated_is_freed(governed: Governed) -> None:
    """Holders and waiting runs of many groups: each group's survivor goes, alone."""
    places, tenant = [Place() for _ in range(10)], new_tenant()

    async def group(number: int) -> None:
        place = places[number]
        tasks = [governed.at(place, tenant, mutex=[f"m{number}"]) for _ in range(3)]
        holder = await governed.go(tasks[0])
        await place.entered(holder)
        second = await governed.go(tasks[1])
        await waiting(second)
        last = await governed.go(tasks[2])
        await waiting(last)
        await asyncio.gather(second.terminate(), holder.terminate())
        place.let_go(last)
        await succeeded(last, within=timedelta(seconds=30))
        assert place.order() == [holder.id, last.id]
        assert place.most_at_once() == 1

    await asyncio.gather(*(group(number) for number in range(10)))
    view = await governed.books(tenant)
    assert view.state.counters["swept"] == 20
    await governed.nothing_is_left(tenant)


@pytest.mark.fault(20)
@pytest.mark.soak
@pytest.mark.usefixtures("impatient")
async def test_a_holder_that_times_out_is_freed(governed: Governed) -> None:
    """A workflow that Temporal closes by its own timeout runs no line of ours any more."""
    place, tenant = Place(), new_tenant()
    holder = await _go_for(governed, governed.at(place, tenant, mutex=["m"]), timedelta(seconds=3))
    await place.entered(holder)
    second = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await waiting(second)
    await _gone(holder, WorkflowExecutionStatus.TIMED_OUT)
    place.let_go(second)
    await succeeded(second, within=timedelta(seconds=30))
    assert place.most_at_once() == 1
    await governed.nothing_is_left(tenant)


@pytest.mark.usefixtures("impatient")
async def test_a_holder_that_is_slow_is_never_taken_for_lost(governed: Governed) -> None:
    """Sweep after sweep, who is alive keeps what it holds: only Temporal says who has ended."""
    place, tenant = Place(), new_tenant()
    holder = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await place.entered(holder)
    second = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await waiting(second)
    until = datetime.now(UTC) + timedelta(seconds=3)
    while datetime.now(UTC) < until:
        assert place.inside == [holder.id]
        await asyncio.sleep(0.2)
    place.let_go()
    await succeeded(holder, second)
    assert (await governed.books(tenant)).state.counters["swept"] == 0
    await governed.nothing_is_left(tenant)


async def _go_for(governed: Governed, task: Task, lifetime: timedelta) -> Handle:
    """Start a run that Temporal closes after so long."""
    handle = await governed.client.start_workflow(
        TASK_RUN,
        TaskRunInput(task=task),
        id=manual_run_id(task.tenant_id, task.task_id, "1"),
        task_queue=governed.queue,
        search_attributes=run_attributes(task, TriggerKind.MANUAL),
        run_timeout=lifetime,
        result_type=TaskRunResult,
    )
    return handle  # noqa: RET504 - the SDK does not type a workflow that is named by string
