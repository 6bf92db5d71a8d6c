"""One run, and asking it to stop."""

import asyncio
from datetime import UTC, datetime

from fastapi import APIRouter, Request
from fastapi.responses import Response
from temporalio.client import Client

from domain.sla import BREACHES
from domain.work_orders import WorkOrderView
from shared.errors import TaskflowError, TemporalUnreachable
from starter import control
from starter.answer import Why
from starter.api.console import PREFIX
from starter.api.console.acts import act
from starter.api.console.explained import Explained, told
from starter.api.console.render import page
from starter.api.console.visit import Operating, Reading
from starter.api.keyed import at_length
from starter.api.routes.ids import RunId
from starter.behind import FAILURES
from starter.runs import RunView, show_run
from starter.why import explain_run
from starter.work_orders import show_work_order

router = APIRouter(prefix=f"{PREFIX}/runs")


@router.get("/{run_id:path}")
async def show(request: Request, visit: Reading, run_id: RunId) -> Response:
    """As it is now, and why."""
    now, queue = datetime.now(UTC), visit.context.settings.task_queue

    async def work(client: Client) -> tuple[RunView, Explained, WorkOrderView | None]:
        tenant_id = visit.tenant_id
        run = await show_run(client, tenant_id, run_id)
        why, order = await asyncio.gather(
            told(explain_run(client, tenant_id, run_id, now=now, task_queue=queue)),
            _order_of(client, run),
        )
        return run, why, order

    run, why, order = await at_length(visit.access, work)
    zone = why.zone if isinstance(why, Why) else "UTC"
    names = {"run": run, "why": why, "order": order, "zone": zone}
    return page(request, "run.html", names, visit=visit)


@router.post("/{run_id:path}/cancel")
async def cancel(visit: Operating, run_id: RunId) -> Response:
    """It closes its plugin call and ends CANCELLED. One that has ended already is 409."""

    async def work(client: Client) -> None:
        await control.cancel(client, visit.tenant_id, run_id)

    await at_length(visit.access, work)
    return act(visit, "cancelled", "runs", run_id)


async def _order_of(client: Client, run: RunView) -> WorkOrderView | None:
    """Its work order, if it has one that answers; most runs cannot have one."""
    if run.status not in FAILURES and run.sla not in BREACHES:
        return None
    try:
        return await show_work_order(client, run.tenant_id, run.run_id)
    except TemporalUnreachable:
        raise
    except TaskflowError:
        return None
