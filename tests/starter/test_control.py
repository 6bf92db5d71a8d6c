"""Acting on one task: its schedule survives, and every call is the runs it should be."""

import asyncio
from datetime import UTC, datetime

import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from domain.ids import schedule_id
from shared.errors import NotFound, Refused
from shared.schedules import Circumstances, schedule_attributes, schedule_of
from starter import control
from tests.conftest import task_of

QUEUE = "nobody-works-here"
TASK = "daily-report"


@pytest.fixture
async def registered(temporal: Client, tenant: str) -> str:
    """The schedule id of a registered task whose runs nobody takes up."""
    task = task_of(tenant_id=tenant)
    await temporal.create_schedule(
        schedule_id(tenant, TASK),
        schedule_of(task, 1.0, Circumstances(QUEUE, datetime.now(UTC))),
        search_attributes=schedule_attributes(task, "digest"),
    )
    return schedule_id(tenant, TASK)


async def test_five_triggers_within_a_second_are_five_runs(
    temporal: Client, tenant: str, registered: str
) -> None:
    """Temporal's own trigger makes one run of two in a second, silently; ours makes each."""
    began = datetime.now(UTC)
    runs = await asyncio.gather(*(control.trigger(temporal, tenant, TASK) for _ in range(5)))

    assert len(set(runs)) == 5
    for run_id in runs:
        description = await temporal.get_workflow_handle(run_id).describe()
        assert description.status is WorkflowExecutionStatus.RUNNING
        assert description.start_time.timestamp() - began.timestamp() < 5


async def test_the_same_key_is_one_run(temporal: Client, tenant: str, registered: str) -> None:
    """However many callers use a key at once, Temporal has one execution of it."""
    runs = await asyncio.gather(
        *(control.trigger(temporal, tenant, TASK, key="order-7") for _ in range(5))
    )

    assert len(set(runs)) == 1
    handle = temporal.get_workflow_handle(runs[0])
    first = (await handle.describe()).run_id
    await handle.terminate()
    assert await control.trigger(temporal, tenant, TASK, key="order-7") == runs[0]
    assert (await handle.describe()).run_id == first


async def test_resume_makes_a_schedule_again_that_temporal_dropped(
    temporal: Client, tenant: str, registered: str
) -> None:
    """A schedule deleted between unpause and a second look comes back running and as it was."""
    await control.pause(temporal, tenant, TASK, who="ann", reason="")
    handle = temporal.get_schedule_handle(registered)
    before = await handle.describe()

    async def drop() -> None:
        while (await handle.describe()).schedule.state.paused:  # noqa: ASYNC110 - the server tells
            await asyncio.sleep(0.01)
        await handle.delete()

    dropping = asyncio.create_task(drop())
    recreated = await control.resume(temporal, tenant, TASK, who="ann")
    await dropping

    after = await handle.describe()
    assert recreated is True
    assert after.schedule.state.paused is False
    assert after.schedule.spec == before.schedule.spec
    assert after.schedule.policy == before.schedule.policy
    assert after.typed_search_attributes == before.typed_search_attributes


async def test_recreate_leaves_a_schedule_that_is_there_alone(
    temporal: Client, tenant: str, registered: str
) -> None:
    """Somebody who was quicker is not overwritten."""
    lost = await temporal.get_schedule_handle(registered).describe()

    assert await control.recreate(temporal, lost, "again") is False


async def test_only_runs_of_ones_own_tenant_can_be_cancelled(
    temporal: Client, tenant: str, registered: str
) -> None:
    """Another tenant's run is as if it were not there, and an ended one is refused."""
    run_id = await control.trigger(temporal, tenant, TASK)
    handle = temporal.get_workflow_handle(run_id)

    with pytest.raises(NotFound):
        await control.cancel(temporal, f"{tenant}-b", run_id)
    with pytest.raises(NotFound):
        await control.cancel(temporal, None, "some-other-workflow")
    assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
    await handle.terminate()
    with pytest.raises(Refused, match="has ended already"):
        await control.cancel(temporal, tenant, run_id)
