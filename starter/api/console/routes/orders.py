"""Work orders: what people have to look after, and what they do about it."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from temporalio.client import Client

from domain.ids import run_of_work_order
from domain.problems import InvalidInput, Problem, shown
from domain.work_orders import MOST_TEXT, ORDER_STATES, OrderState, WorkOrderView
from starter import work_orders
from starter.api.console import PREFIX
from starter.api.console.acts import act, reason_of
from starter.api.console.explained import zone_in
from starter.api.console.render import page
from starter.api.console.visit import Operating, Reading, Visit
from starter.api.keyed import at_length
from starter.work_orders import Wanted

router = APIRouter(prefix=f"{PREFIX}/work-orders")

MOST = 200

Named = Annotated[str, Path(description="A run's id, or that of its work order")]


@router.get("")
async def list_orders(request: Request, visit: Reading, status: str = "") -> Response:
    """Those to do first, by when they are due."""
    if status and status not in set(OrderState):
        raise InvalidInput([Problem(("status",), f"{shown(status)} is no state of a work order")])
    wanted = Wanted(visit.tenant_id, status=OrderState(status) if status else None, limit=MOST)
    async with visit.context.temporal.client() as client:
        rows = await work_orders.list_work_orders(client, wanted)
    names = {"rows": rows, "status": status, "states": list(OrderState), "most": MOST}
    return page(request, "orders.html", names, visit=visit)


@router.get("/{named:path}")
async def show(request: Request, visit: Reading, named: Named) -> Response:
    """One with its evidence, and what may be done to it."""

    async def work(client: Client) -> tuple[WorkOrderView, str]:
        view = await work_orders.show_work_order(client, visit.tenant_id, named)
        return view, await zone_in(client, view.tenant_id, view.task_id)

    view, zone = await at_length(visit.access, work)
    rule = ORDER_STATES[view.status]
    names = {"order": view, "rule": rule, "zone": zone, "acts": {one.value for one in rule.acts}}
    return page(request, "order.html", names, visit=visit)


@router.post("/{named:path}/acknowledge")
async def acknowledge(visit: Operating, named: Named) -> Response:
    """Take it up."""
    return await _do(visit, named, "acknowledged", work_orders.acknowledge)


@router.post("/{named:path}/retry")
async def retry(visit: Operating, named: Named) -> Response:
    """Run its task once more."""
    return await _do(visit, named, "retried", work_orders.retry)


@router.post("/{named:path}/waive")
async def waive(visit: Operating, named: Named) -> Response:
    """Leave it as it is, for a reason."""
    reason = _reason(visit)
    return await _do(visit, named, "waived", partial(work_orders.waive, reason=reason))


@router.post("/{named:path}/resolve")
async def resolve(visit: Operating, named: Named) -> Response:
    """It was put right by other means: the reason says by which."""
    note = _reason(visit)
    return await _do(visit, named, "resolved", partial(work_orders.resolve, note=note))


async def _do(
    visit: Visit, named: str, told: str, what: Callable[..., Awaitable[WorkOrderView]]
) -> Response:
    async def work(client: Client) -> WorkOrderView:
        return await what(client, visit.tenant_id, named, by=visit.caller.name)

    view = await at_length(visit.access, work)
    visit.audit.about(work_order_id=view.work_order_id, status=view.status)
    run_id = run_of_work_order(view.work_order_id) or view.work_order_id
    return act(visit, told, "work-orders", run_id)


def _reason(visit: Visit) -> str:
    """Errors: `InvalidInput` for none, or too long a one."""
    reason = reason_of(visit)
    if not reason:
        raise InvalidInput([Problem(("reason",), "must say something: others will read it")])
    if len(reason) > MOST_TEXT:
        raise InvalidInput([Problem(("reason",), f"must be at most {MOST_TEXT} characters")])
    return reason
