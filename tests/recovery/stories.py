"""A notice and a work order with everything that can happen to them, for the replay tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.client import Client, WorkflowHandle

from domain.ids import notice_id
from domain.notices import BreachKind
from domain.work_orders import Act, OrderState
from tests.activities.server import http, raw_server
from tests.recovery.harness import TAKEN, Recovery, script
from tests.starter.harness import eventually_async
from worker.main import http_client

Handle = WorkflowHandle[Any, Any]


@asynccontextmanager
async def _recovery(client: Client, name: str) -> AsyncIterator[Recovery]:
    async with raw_server() as server, http_client() as calls:
        recovery = Recovery(client, server, calls, tenant=name)
        async with recovery.working():
            yield recovery


async def notice_story(client: Client) -> Handle:
    """Opens a work order, is told at the second try, and looks for a streak meanwhile."""
    async with _recovery(client, "notice") as recovery:
        script(recovery.server, http("503 Service Unavailable"), TAKEN)
        task = recovery.task(task_id="notice")
        await recovery.told(notice := recovery.notice(task, streak=True))
        return client.get_workflow_handle(notice_id(notice.breach.breach_id))


async def notice_joined_story(client: Client) -> Handle:
    """Finds that there is a work order, which another breach opened."""
    async with _recovery(client, "notice-joined") as recovery:
        task = recovery.task(task_id="notice-joined")
        await recovery.told(recovery.notice(task))
        await recovery.told(late := recovery.notice(task, BreachKind.FINISH))
        return client.get_workflow_handle(notice_id(late.breach.breach_id))


async def work_order_story(client: Client) -> Handle:
    """Escalates, is taken up, told of another breach, retried in vain, then resolved by a retry."""
    async with _recovery(client, "work-order") as recovery:
        task = recovery.task(task_id="work-order")
        await recovery.start_run(task)
        notice = recovery.notice(task)
        hours_ago = {"observed_at": datetime.now(UTC) - timedelta(hours=5)}
        breach = notice.breach.model_copy(update=hours_ago)
        await recovery.told(notice.model_copy(update={"breach": breach}))
        order = recovery.order(breach.run_id)

        async def escalated() -> bool:
            return (await order.view()).escalations == 1

        await eventually_async(escalated)
        await order.act(Act.ACKNOWLEDGE)
        await recovery.told(recovery.notice(task, BreachKind.FINISH))
        for number, how in ((1, "BROKEN"), (2, "SUCCESS")):
            run_id = (await order.act(Act.RETRY)).retry_run_id
            await _end(client, run_id or "", how)

            async def is_over(over: bool = number == 2) -> bool:
                status = (await order.view()).status
                return status is (OrderState.RESOLVED if over else OrderState.OPEN)

            await eventually_async(is_over)
        return order.handle


async def work_order_waived_story(client: Client) -> Handle:
    """Is refused a waiver without a reason, and then gets one."""
    async with _recovery(client, "work-order-waived") as recovery:
        task = recovery.task(task_id="work-order-waived")
        await recovery.told(notice := recovery.notice(task))
        order = recovery.order(notice.breach.run_id)
        await order.refused(Act.WAIVE)
        await order.act(Act.WAIVE, reason="why not")
        return order.handle


async def work_order_resolved_story(client: Client) -> Handle:
    """Somebody did by hand what the run was for."""
    async with _recovery(client, "work-order-resolved") as recovery:
        task = recovery.task(task_id="work-order-resolved")
        await recovery.told(notice := recovery.notice(task))
        order = recovery.order(notice.breach.run_id)
        await order.act(Act.RESOLVE, note="sent by hand")
        return order.handle


async def _end(client: Client, run_id: str, how: str) -> None:
    async def ended() -> bool:
        try:
            await client.get_workflow_handle(run_id).signal("end", how)
        except Exception:  # noqa: BLE001 - it has not begun yet
            return False
        return True

    await eventually_async(ended)
