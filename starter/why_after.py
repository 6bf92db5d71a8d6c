"""`why`, of what a run leads to beside its own story: its SLA, and the work order about it."""

from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError

from domain.ids import work_order_id
from domain.sla import SlaStatus
from domain.work_orders import ORDER_MEMO, OrderState, WorkOrderRow, origin_of
from shared.calls import is_missing
from starter.answer import Asked
from starter.runs import RunView

_BROKEN = {
    SlaStatus.START_BREACHED: "its SLA is broken: it did not start in time",
    SlaStatus.FINISH_BREACHED: "its SLA is broken: it did not finish in time",
    SlaStatus.BREACHED: "its SLA is broken: it neither started nor finished in time",
}


def sla_sentences(run: RunView) -> list[str]:
    """What was broken, or warned of; nothing about a run that keeps to it."""
    if run.sla is SlaStatus.WARNED:
        kept = "it kept its SLA, after a warning that it might not"
        return [kept if run.ended else "a warning was given that it may break its SLA"]
    return [_BROKEN[run.sla]] if run.sla in _BROKEN else []


async def order_sentences(asked: Asked, run_id: str) -> list[str]:
    """The work order that is open about it, or about the run that it retries. Errors: `RPCError`.

    Read from its description, which needs no worker.
    """
    order_id = work_order_id(origin_of(run_id))
    try:
        found = await asked.client.get_workflow_handle(order_id).describe()
    except RPCError as error:
        if not is_missing(error):
            raise
        return []
    memo = await found.memo()
    if found.status is not WorkflowExecutionStatus.RUNNING or ORDER_MEMO not in memo:
        return []
    row = WorkOrderRow.model_validate(memo[ORDER_MEMO])
    owner = f", owned by {row.owner}" if row.owner else ""
    text = f"a work order about it is {row.status}{owner}, due at {asked.clock(row.due_at)}"
    if row.status is OrderState.RETRYING and row.retry_run_id not in (None, run_id):
        text += f"; {row.retry_run_id} retries it"
    return [f"{text}: `taskflow work-orders show {order_id}`"]
