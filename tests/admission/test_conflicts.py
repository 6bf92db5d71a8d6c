"""Overlap rules and `on_conflict`: what becomes of a run that meets another one."""

import asyncio

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError, CancelledError

from domain.attributes import REASON_MEMO
from domain.run import TaskRunResult
from domain.states import RunState
from tests.admission.harness import Governed, Place, new_tenant, skipped, succeeded, waiting
from tests.workflows.harness import attributes_of, details_of, ended


async def test_overlap_skip_does_not_run_beside_an_earlier_run(governed: Governed) -> None:
    """The later run ends SKIPPED and names the earlier one; a run by hand goes beside it."""
    place, tenant = Place(), new_tenant()
    task = governed.at(place, tenant, overlap="skip", resources={"slots": 1})
    first = await governed.go(task)
    await place.entered(first)
    assert await skipped(await governed.go(task)) == f"overlap: {first.id} was still under way"
    by_hand = await governed.go(task, manual=True)
    await place.entered(first, by_hand)
    place.let_go()
    await succeeded(first, by_hand)
    await governed.nothing_is_left(tenant)


async def test_overlap_queue_runs_one_after_the_other(governed: Governed) -> None:
    """Runs of a task wait for each other in the order in which they asked."""
    place, tenant = Place(), new_tenant()
    task = governed.at(place, tenant, overlap="queue")
    first = await governed.go(task)
    await place.entered(first)
    second = await governed.go(task)
    await waiting(second)
    third = await governed.go(task)
    await waiting(third)
    place.let_go()
    await succeeded(first, second, third)
    assert place.order() == [first.id, second.id, third.id]
    assert place.most_at_once() == 1
    await governed.nothing_is_left(tenant)


async def test_overlap_allow_runs_side_by_side(governed: Governed) -> None:
    """Nothing keeps runs of one task apart but what else they need."""
    place, tenant = Place(), new_tenant()
    task = governed.at(place, tenant, overlap="allow", resources={"slots": 1})
    runs = [await governed.go(task) for _ in range(3)]
    await place.entered(*runs)
    place.let_go()
    await succeeded(*runs)
    await governed.nothing_is_left(tenant)


async def test_overlap_cancel_running_replaces_the_older_run(governed: Governed) -> None:
    """The older run ends CANCELLED and names the newer, which starts when its call is closed."""
    place, tenant = Place(), new_tenant()
    task = governed.at(place, tenant, overlap="cancel_running")
    older = await governed.go(task)
    await place.entered(older)
    newer = await governed.go(task)
    assert isinstance(await ended(older), CancelledError)
    description = await older.describe()
    assert description.status is WorkflowExecutionStatus.CANCELED
    assert await description.memo_value(REASON_MEMO) == f"overlap: {newer.id} replaces it"
    assert (await attributes_of(older))["TaskStatus"] == "CANCELLED"
    place.let_go()
    await succeeded(newer)
    assert place.order() == [older.id, newer.id]
    assert place.most_at_once() == 1
    await governed.nothing_is_left(tenant)


async def test_overlap_cancel_running_skips_an_older_run_that_waits(governed: Governed) -> None:
    """Of those that wait only the newest is of use: the older end SKIPPED and name it."""
    place, tenant = Place(), new_tenant()
    holder = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await place.entered(holder)
    task = governed.at(place, tenant, overlap="cancel_running", mutex=["m"])
    older = await governed.go(task)
    await waiting(older)
    newer = await governed.go(task)
    assert await skipped(older) == f"overlap: {newer.id} is newer"
    await waiting(newer)
    place.let_go()
    await succeeded(holder, newer)
    await governed.nothing_is_left(tenant)


async def test_overlap_cancel_running_holds_for_a_task_that_is_cancelled_over_and_over(
    governed: Governed,
) -> None:
    """Ten runs in a row: never two at once, the last one is served, each other says by whom."""
    place, tenant = Place(), new_tenant()
    task = governed.at(place, tenant, overlap="cancel_running")
    runs = []
    for _ in range(10):
        runs.append(await governed.go(task))
        await asyncio.sleep(0.3)
    ends = await asyncio.gather(*(ended(run) for run in runs[:-1]))
    for run, end in zip(runs, ends, strict=False):
        reason = await (await run.describe()).memo_value(REASON_MEMO)
        assert reason.startswith("overlap: run/")
        if isinstance(end, TaskRunResult):
            assert (end.status, reason[-8:]) == (RunState.SKIPPED, "is newer")
        else:
            assert isinstance(end, CancelledError)
            assert reason.endswith(" replaces it")
    await place.entered(runs[-1])
    place.let_go()
    await succeeded(runs[-1])
    assert place.most_at_once() == 1
    await governed.nothing_is_left(tenant)


async def test_on_conflict_queue_waits(governed: Governed) -> None:
    """The default: whoever meets a conflict goes when it is over."""
    place, tenant = Place(), new_tenant()
    holder = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await place.entered(holder)
    second = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await waiting(second)
    place.let_go()
    await succeeded(holder, second)
    assert place.order() == [holder.id, second.id]
    assert place.most_at_once() == 1
    await governed.nothing_is_left(tenant)


async def test_on_conflict_skip_ends_skipped(governed: Governed) -> None:
    """The reason says what was held, and by whom."""
    place, tenant = Place(), new_tenant()
    holder = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await place.entered(holder)
    reason = await skipped(
        await governed.go(governed.at(place, tenant, mutex=["m"], on_conflict="skip"))
    )
    assert reason.startswith("conflict: mutex group m (limit 1, 1 in use)")
    assert holder.id in reason
    place.let_go()
    await succeeded(holder)
    await governed.nothing_is_left(tenant)


async def test_on_conflict_fail_fails_the_run(governed: Governed) -> None:
    """The run is FAILED with the code CONFLICT, and its workflow is red in Temporal too."""
    place, tenant = Place(), new_tenant()
    holder = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await place.entered(holder)
    run = await governed.go(governed.at(place, tenant, mutex=["m"], on_conflict="fail"))
    error = await ended(run)
    assert isinstance(error, ApplicationError)
    assert error.type == "CONFLICT"
    assert holder.id in error.message
    found = await attributes_of(run)
    assert (found["TaskStatus"], found["ErrorCode"]) == ("FAILED", "CONFLICT")
    assert place.inside == [holder.id]
    place.let_go()
    await succeeded(holder)
    await governed.nothing_is_left(tenant)


async def test_on_conflict_warn_runs_beside_and_says_so(governed: Governed) -> None:
    """It runs at once, and its reason names what it ran beside."""
    place, tenant = Place(), new_tenant()
    holder = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await place.entered(holder)
    beside = await governed.go(governed.at(place, tenant, mutex=["m"], on_conflict="warn"))
    await place.entered(holder, beside)
    place.let_go(beside)
    [result] = await succeeded(beside)
    assert result.reason
    assert "warning: it runs beside the holders of mutex group m" in result.reason
    assert "- why: warning: " in await details_of(beside)
    # It counted for nothing: the group is still held once, and free when the holder ends.
    await governed.holds(holder, tenant=tenant)
    place.let_go()
    await succeeded(holder, await governed.go(governed.at(place, tenant, mutex=["m"])))
    await governed.nothing_is_left(tenant)


@pytest.mark.parametrize("rule", ["skip", "fail"])
async def test_on_conflict_holds_for_the_first_runs_of_a_tenant(
    governed: Governed, rule: str
) -> None:
    """While a governor begins everybody waits for it; then each meets its own rule."""
    place, tenant = Place(), new_tenant()
    tasks = [governed.at(place, tenant, mutex=["m"], on_conflict=rule) for _ in range(4)]
    runs = await asyncio.gather(*(governed.go(task) for task in tasks))

    async def end(number: int) -> bool:
        result = await ended(runs[number])
        return isinstance(result, TaskRunResult) and result.status is RunState.SUCCESS

    ends = [asyncio.create_task(end(number)) for number in range(4)]
    while sum(task.done() for task in ends) < 3:
        assert len(set(place.inside)) <= 1
        await asyncio.sleep(0.1)
        if sum(task.done() for task in ends) == 3:
            place.let_go()
    assert sum(await asyncio.gather(*ends)) == 1
    assert place.most_at_once() == 1
    await governed.nothing_is_left(tenant)
