"""Calls of breakers in Temporal: exchanges, the list of them, a look at one."""

import asyncio
from datetime import timedelta
from typing import Any

import structlog
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from domain.attributes import BREAKER
from domain.ids import breaker_id, recovery_queue
from domain.outcomes import (
    BRIEF_MEMO,
    BreakerAnswer,
    BreakerExchange,
    BreakerStart,
    BreakerView,
    CircuitBrief,
)
from shared.calls import is_missing, look_at

log = structlog.get_logger(__name__)

RETRY_SECONDS = 0.2


def summary_of(plugin_id: str) -> str:
    """One line for Temporal's lists."""
    return f"circuit breaker of {plugin_id}"


async def exchange_with(
    client: Client, task_queue: str, plugin_id: str, exchange: BreakerExchange, patience: float
) -> BreakerAnswer | None:
    """One update, again while there is patience.

    None when there is no breaker, and no failure to start one for. Errors: `TimeoutError`.
    """
    async with asyncio.timeout(patience):
        while True:
            try:
                return await _update(client, task_queue, plugin_id, exchange, patience)
            except WorkflowUpdateRPCTimeoutOrCancelledError as error:
                raise TimeoutError(f"the breaker of {plugin_id} did not answer") from error
            except (RPCError, WorkflowUpdateFailedError) as error:
                # It has just gone on as a new run, or the server is busy.
                log.debug("breaker", action="breaker_retry", reason=str(error))
            await asyncio.sleep(RETRY_SECONDS)


async def _update(
    client: Client, task_queue: str, plugin_id: str, exchange: BreakerExchange, patience: float
) -> BreakerAnswer | None:
    limit = timedelta(seconds=patience)
    handle = client.get_workflow_handle(breaker_id(plugin_id))
    try:
        told: BreakerAnswer = await handle.execute_update(
            "exchange", exchange, result_type=BreakerAnswer, rpc_timeout=limit
        )
    except RPCError as error:
        if not is_missing(error):
            raise
    else:
        return told
    if not any(outcome.failures for outcome in exchange.outcomes):
        return None
    start: WithStartWorkflowOperation[Any, None] = WithStartWorkflowOperation(
        BREAKER,
        BreakerStart(plugin_id=plugin_id),
        id=breaker_id(plugin_id),
        task_queue=recovery_queue(task_queue),
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        static_summary=summary_of(plugin_id),
    )
    # The SDK puts a failure there too, and asyncio complains when nobody looks.
    started = asyncio.ensure_future(start.workflow_handle())
    started.add_done_callback(lambda task: task.cancelled() or task.exception())
    try:
        told = await client.execute_update_with_start_workflow(
            "exchange",
            exchange,
            start_workflow_operation=start,
            result_type=BreakerAnswer,
            rpc_timeout=limit,
        )
    finally:
        started.cancel()
    return told


async def all_briefs(client: Client, *, patience: float = 5.0) -> list[CircuitBrief]:
    """The circuits of all breakers that run, as Temporal's list has them, which lags a little.

    Errors: `TimeoutError`, `RPCError`.
    """
    query = f"WorkflowType = '{BREAKER}' AND ExecutionStatus = 'Running'"
    found: list[CircuitBrief] = []
    async with asyncio.timeout(patience):
        async for breaker in client.list_workflows(query, page_size=1000):
            brief: CircuitBrief | None = await breaker.memo_value(
                BRIEF_MEMO, None, type_hint=CircuitBrief
            )
            if brief:
                found.append(brief)
    return found


async def view_breaker(
    client: Client, plugin_id: str, *, patience: float = 5.0
) -> BreakerView | None:
    """A breaker as it is now; None when there is none. Needs a worker.

    Errors: `RPCError`, among them that none answers in time.
    """
    limit = timedelta(seconds=patience)
    return await look_at(client, breaker_id(plugin_id), "view", BreakerView, patience=limit)
