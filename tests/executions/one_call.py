"""A workflow that calls a plugin as runs do, and tells how each attempt ended."""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    TimeoutError,  # noqa: A004 - Temporal's own name for it
    is_cancelled_exception,
)
from temporalio.workflow import ActivityCancellationType

from domain.executions import compensation_key
from domain.ids import plugin_queue
from domain.payload import Payload
from domain.run import CancelInput, ExecuteInput, ExecuteResult
from workflows.interfaces import cancel_execution, execute_plugin


class Wanted(Payload):
    """`attempts`: how many, each an activity of its own; 0 leaves two of them to Temporal."""

    request: ExecuteInput
    heartbeat_timeout: timedelta = timedelta(seconds=30)
    attempts: int = 1


class Ended(Payload):
    """How one attempt ended: with a result, or by an error."""

    result: ExecuteResult | None = None
    code: str | None = None
    message: str = ""
    details: tuple[Any, ...] = ()
    non_retryable: bool = False


@workflow.defn
class OneCall:
    """As many attempts as wanted, until one succeeds or the run is cancelled."""

    @workflow.run
    async def run(self, wanted: Wanted) -> list[Ended]:
        """The ends of all attempts."""
        if not wanted.attempts:
            return [await self._attempt(wanted, wanted.request, most=2)]
        ends: list[Ended] = []
        for attempt in range(1, wanted.attempts + 1):
            request = wanted.request.model_copy(update={"attempt": attempt})
            ends.append(await self._attempt(wanted, request))
            if ends[-1].result or ends[-1].code == "CANCELLED":
                break
        return ends

    async def _attempt(self, wanted: Wanted, request: ExecuteInput, *, most: int = 1) -> Ended:
        call = workflow.start_activity(
            execute_plugin,
            request,
            task_queue=plugin_queue(workflow.info().task_queue),
            start_to_close_timeout=request.timeout + timedelta(seconds=5),
            heartbeat_timeout=wanted.heartbeat_timeout,
            retry_policy=RetryPolicy(
                maximum_attempts=most, initial_interval=timedelta(milliseconds=100)
            ),
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        try:
            try:
                return Ended(result=await asyncio.shield(call))
            except asyncio.CancelledError:
                call.cancel()
                await asyncio.shield(self._cancel(request))
                return Ended(result=await asyncio.shield(call))
        except ActivityError as error:
            return _ended(error)

    async def _cancel(self, request: ExecuteInput) -> None:
        run_id = workflow.info().workflow_id
        await workflow.execute_activity(
            cancel_execution,
            CancelInput(
                tenant_id=request.tenant_id,
                task_id=request.task_id,
                plugin_id=request.plugin_id,
                key=compensation_key(run_id) if request.compensates else run_id,
                attempt=request.attempt or 1,
            ),
            task_queue=plugin_queue(workflow.info().task_queue),
            start_to_close_timeout=timedelta(seconds=15),
            schedule_to_close_timeout=timedelta(minutes=1),
        )


def _ended(error: ActivityError) -> Ended:
    cause = error.cause
    if is_cancelled_exception(error):
        return Ended(code="CANCELLED")
    if isinstance(cause, TimeoutError) and cause.type:
        details = tuple(cause.last_heartbeat_details)
        return Ended(code=f"TIMEOUT_{cause.type.name}", details=details)
    assert isinstance(cause, ApplicationError)
    return Ended(
        code=cause.type,
        message=cause.message,
        details=tuple(cause.details),
        non_retryable=cause.non_retryable,
    )
