"""Work orders as people and tools see them, and what they do to them."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError
from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from domain.attributes import WORK_ORDER
from domain.ids import run_of_work_order, work_order_id
from domain.work_orders import (
    ORDER_MEMO,
    VIEW,
    AcknowledgeOrder,
    Act,
    OrderState,
    ResolveOrder,
    RetryOrder,
    WaiveOrder,
    WorkOrderRow,
    WorkOrderView,
    is_closed,
)
from shared.errors import NotFound, Refused, TaskflowError
from starter.rpc import temporal_errors
from starter.times import rfc3339
from workflows import attributes as sa

PATIENCE_SECONDS = 10.0
"""For a worker's answer; one that is up gives it in milliseconds."""

MOST_ID = 1000
"""Characters of an id that Temporal knows."""
_ANSWERED_LATE = (RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED)
Handle = WorkflowHandle[Any, WorkOrderView]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which work orders a list has; None is every one."""

    tenant_id: str | None = None
    task_id: str | None = None
    status: OrderState | None = None
    limit: int = 50


async def list_work_orders(client: Client, wanted: Wanted) -> list[WorkOrderRow]:
    """Those that are not closed first, by when they are due; then the closed, the latest first.

    What changed within the last second may not show yet.
    """
    conditions = [f"WorkflowType = '{WORK_ORDER}'"]
    conditions += [f"TenantId = '{wanted.tenant_id}'"] if wanted.tenant_id else []
    conditions += [f"TaskId = '{wanted.task_id}'"] if wanted.task_id else []
    conditions += [f"TaskStatus = '{wanted.status}'"] if wanted.status else []
    found: dict[str, tuple[datetime, WorkOrderRow]] = {}
    with temporal_errors():
        listed = client.list_workflows(
            " AND ".join(conditions), limit=wanted.limit, page_size=min(wanted.limit, 1000)
        )
        async for execution in listed:
            row = await _row_of(execution)
            before = found.get(execution.id)
            # A run whose first work order was closed may have another: the later one counts.
            if row and not (before and before[0] > execution.start_time):
                found[execution.id] = (execution.start_time, row)
    rows = [row for _, row in found.values()]
    unfinished = [row for row in rows if not is_closed(row.status)]
    closed = [row for row in rows if is_closed(row.status)]
    return sorted(unfinished, key=lambda row: row.due_at) + sorted(
        closed, key=lambda row: row.opened_at, reverse=True
    )


async def show_work_order(client: Client, tenant_id: str | None, named: str) -> WorkOrderView:
    """All that one says. Errors: `NotFound`; `TaskflowError` when no worker answers."""
    handle, closed = await _find(client, tenant_id, named)
    if closed:  # its result says the same, and needs no worker
        return await _result(handle)
    with temporal_errors(missing=_missing(named)):
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                view: WorkOrderView = await handle.query(VIEW, result_type=WorkOrderView)
        except (TimeoutError, WorkflowQueryFailedError) as error:
            raise _silent(handle.id) from error
        except RPCError as error:
            if error.status in _ANSWERED_LATE or "no poller" in error.message:
                raise _silent(handle.id) from error
            raise
    return view


async def acknowledge(
    client: Client, tenant_id: str | None, named: str, *, by: str
) -> WorkOrderView:
    """Take it up. Errors, as of all that follow: `NotFound`, `Refused` when its state forbids."""
    return await _act(client, tenant_id, named, Act.ACKNOWLEDGE, AcknowledgeOrder(by=by))


async def retry(client: Client, tenant_id: str | None, named: str, *, by: str) -> WorkOrderView:
    """Run its task once more; `retry_run_id` is the run that starts."""
    return await _act(client, tenant_id, named, Act.RETRY, RetryOrder(by=by))


async def waive(
    client: Client, tenant_id: str | None, named: str, *, by: str, reason: str
) -> WorkOrderView:
    """Leave it as it is, for a reason."""
    return await _act(client, tenant_id, named, Act.WAIVE, WaiveOrder(by=by, reason=reason))


async def resolve(
    client: Client, tenant_id: str | None, named: str, *, by: str, note: str = ""
) -> WorkOrderView:
    """It was put right by other means."""
    return await _act(client, tenant_id, named, Act.RESOLVE, ResolveOrder(by=by, note=note))


def row_as_json(row: WorkOrderRow) -> dict[str, Any]:
    """A work order in the document of a list."""
    return {name: _json(getattr(row, name)) for name in WorkOrderRow.model_fields}


def view_as_json(view: WorkOrderView) -> dict[str, Any]:
    """All of a work order; the fields of a list come first."""
    rest = view.model_dump(exclude=set(WorkOrderRow.model_fields))
    return row_as_json(view) | {name: _json(value) for name, value in rest.items()}


def _json(value: Any) -> Any:
    match value:
        case datetime():
            return rfc3339(value)
        case dict():
            return {name: _json(item) for name, item in value.items()}
        case list():
            return [_json(item) for item in value]
    return value


async def _act(
    client: Client,
    tenant_id: str | None,
    named: str,
    act: Act,
    request: AcknowledgeOrder | RetryOrder | WaiveOrder | ResolveOrder,
) -> WorkOrderView:
    handle, closed = await _find(client, tenant_id, named)
    if closed:
        raise await _too_late(handle)
    with temporal_errors():
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                view: WorkOrderView = await handle.execute_update(
                    act.value, request, result_type=WorkOrderView
                )
        except WorkflowUpdateFailedError as error:
            said = error.cause
            words = said.message if isinstance(said, ApplicationError) else str(said)
            raise Refused(words) from error
        except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
            raise _silent(handle.id) from error
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:  # closed meanwhile
                raise await _too_late(handle) from error
            raise
    return view


async def _find(client: Client, tenant_id: str | None, named: str) -> tuple[Handle, bool]:
    """A work order by its own id or its run's, and whether it is closed. Errors: `NotFound`."""
    order_id = work_order_id(run_of_work_order(named) or named)
    if len(order_id) > MOST_ID:
        raise NotFound(_missing(named[:MOST_ID]))
    handle: Handle = client.get_workflow_handle(order_id, result_type=WorkOrderView)
    with temporal_errors(missing=_missing(named)):
        description = await handle.describe()
    owner = description.typed_search_attributes.get(sa.TENANT_ID)
    if description.workflow_type != WORK_ORDER or (tenant_id and owner != tenant_id):
        raise NotFound(_missing(named))
    # The very one that was found: another may be opened for the same run meanwhile.
    handle = client.get_workflow_handle(
        handle.id, run_id=description.run_id, result_type=WorkOrderView
    )
    return handle, description.status is not WorkflowExecutionStatus.RUNNING


async def _result(handle: Handle) -> WorkOrderView:
    with temporal_errors():
        try:
            return await handle.result(rpc_timeout=timedelta(seconds=PATIENCE_SECONDS))
        except WorkflowFailureError as error:
            message = f"{handle.id} was ended in Temporal, and says nothing any more"
            raise Refused(message) from error


async def _too_late(handle: Handle) -> Refused:
    view = await _result(handle)
    return Refused(f"{handle.id}: it is {view.status} already, and nothing more happens to it")


async def _row_of(execution: WorkflowExecution) -> WorkOrderRow | None:
    memo = await execution.memo()
    try:
        return WorkOrderRow.model_validate(memo.get(ORDER_MEMO))
    except ValidationError:
        return None


def _missing(named: str) -> str:
    return f"there is no work order {named!r}: `taskflow work-orders list` shows what there is"


def _silent(order_id: str) -> TaskflowError:
    return TaskflowError(
        f"no worker answers for {order_id} within {PATIENCE_SECONDS:g} s, and it may do so later: "
        "start one with `taskflow worker`, then look what it says"
    )
