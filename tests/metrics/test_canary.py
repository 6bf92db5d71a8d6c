"""The canary's schedule: there while it is wanted, and gone when it is turned off."""

import asyncio
import contextlib
from datetime import timedelta

import pytest
from temporalio.client import Client, ScheduleActionStartWorkflow
from temporalio.service import RPCError, RPCStatusCode

from domain.attributes import CANARY
from domain.ids import CANARY_SCHEDULE_ID
from shared.settings import Settings
from tests.admission.harness import new_tenant
from tests.starter.harness import eventually_async
from worker.watch import PROBING, create_routine, keep_scheduled, routines_of


async def test_a_canary_is_scheduled_by_the_way_of_runs(temporal: Client) -> None:
    """On their task queue, each minute; given up before the next one is due."""
    settings = Settings(task_queue=new_tenant())
    assert PROBING in routines_of(settings)
    handle = temporal.get_schedule_handle(CANARY_SCHEDULE_ID)
    with contextlib.suppress(RPCError):
        await handle.delete()
    assert await create_routine(temporal, settings, PROBING)
    found = (await handle.describe()).schedule
    action = found.action
    assert isinstance(action, ScheduleActionStartWorkflow)
    assert (action.workflow, action.task_queue) == (CANARY, settings.task_queue)
    [interval] = found.spec.intervals
    assert interval.every == timedelta(minutes=1)
    assert action.execution_timeout
    assert action.execution_timeout < interval.every


async def test_a_canary_that_is_turned_off_ends(temporal: Client) -> None:
    """Its schedule goes, for nobody looks for what it finds."""
    on, off = (
        Settings(task_queue=new_tenant()),
        Settings(task_queue=new_tenant(), watch=False, forecast=False, rollups=False, canary=False),
    )
    assert routines_of(off) == []
    await create_routine(temporal, on, PROBING)
    keeping = asyncio.create_task(keep_scheduled(temporal, off))

    async def gone() -> bool:
        try:
            await temporal.get_schedule_handle(CANARY_SCHEDULE_ID).describe()
        except RPCError as error:
            return error.status is RPCStatusCode.NOT_FOUND
        return False

    await eventually_async(gone, within=20)
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping
