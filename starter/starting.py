"""Starting a run that no schedule starts: by hand, or of an event."""

from datetime import timedelta
from typing import Any

import structlog
from temporalio.client import Client
from temporalio.common import (
    Priority,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError

from domain.attributes import EVENT_MEMO, TASK_RUN
from domain.run import TaskRunInput, TriggerKind, brief_of
from domain.states import RunState
from domain.trace import trace_id
from shared.schedules import run_attributes, summary_of
from workflows import attributes as sa

log = structlog.get_logger(__name__)


async def start_run(
    client: Client, request: TaskRunInput, run_id: str, *, task_queue: str, priority: Priority
) -> bool:
    """Start it, unless there is one of this id, or was for as long as Temporal retains it.

    Whether this call started it; a call whose answer was lost and that is made again by the client
    did. Errors: `RPCError`.
    """
    memo: dict[str, Any] = {}
    due = request.manual.at if request.manual else None
    attributes = run_attributes(request.task, TriggerKind.MANUAL)
    if request.event:
        memo[EVENT_MEMO] = brief_of(request.event)
        due = request.event.at + (request.event.debounce or timedelta(0))
        attributes = TypedSearchAttributes(
            [
                *run_attributes(request.task, TriggerKind.EVENT),
                SearchAttributePair(sa.TRIGGER_TIME, due),
            ]
        )
    try:
        handle = await client.start_workflow(
            TASK_RUN,
            request,
            id=run_id,
            task_queue=task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            memo=memo or None,
            search_attributes=attributes,
            priority=priority,
            static_summary=summary_of(request.task),
        )
    except WorkflowAlreadyStartedError:
        return False
    log.info(
        "run started",
        action="run_started",
        run_id=run_id,
        trigger_time=due,
        status=RunState.PENDING,
        trace_id=trace_id(run_id, handle.first_execution_run_id or ""),
    )
    return True
