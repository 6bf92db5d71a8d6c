"""The attempts of a run, or of its compensation: one call of a plugin after the other."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, FailureError, is_cancelled_exception
from temporalio.workflow import ActivityCancellationType

from domain.events_out import RunChanges
from domain.executions import compensation_key
from domain.ids import plugin_queue
from domain.recovery import is_short
from domain.run import CancelInput, ExecuteInput, ExecuteResult, Fire
from domain.task import Params, Task
from workflows.interfaces import cancel_execution, execute_plugin
from workflows.shielded import shielded

ANSWER_MARGIN = timedelta(seconds=5)
"""Temporal gives an attempt this much longer than its own deadline, which can say more."""
CANCEL_WITHIN = timedelta(seconds=15)
CANCEL_FOR = timedelta(minutes=1)
ONCE = RetryPolicy(maximum_attempts=1)


def recovers() -> bool:
    """Whether the run recovers by itself; Temporal did it for runs that began before that.

    Asked only when something went wrong: the answer is written into the history.
    """
    return workflow.patched("recovers")


class Calls:
    """Calls of one plugin about one run."""

    def __init__(
        self,
        task: Task,
        fire: Fire,
        *,
        plugin_id: str,
        params: Params,
        compensates: bool = False,
        short: bool = False,
    ) -> None:
        self._task = task
        self._fire = fire
        self._plugin_id = plugin_id
        self._params = params
        self._compensates = compensates
        self._short = short and is_short(task)

    async def call(self, attempt: int, fence: int, changes: RunChanges | None) -> ExecuteResult:
        """One attempt.

        Errors: `FailureError`; `CancelledError` when the run was cancelled meanwhile, as soon as
        the call is closed. A call that came to its end in spite of it gives its result.
        """
        task = self._task
        request = ExecuteInput(
            tenant_id=task.tenant_id,
            task_id=task.task_id,
            plugin_id=self._plugin_id,
            params=self._params,
            trigger=self._fire,
            timeout=task.timeout,
            fence=fence,
            attempt=attempt,
            compensates=self._compensates,
            changes=changes,
        )
        if self._short and attempt == 1:
            found = await self._call_at_once(request)
            if not found.accepted:
                return found
            if found.published:
                later = await self._call(request.model_copy(update={"changes": None}))
                return later.model_copy(update={"published": found.published})
        return await self._call(request)

    async def _call_at_once(self, request: ExecuteInput) -> ExecuteResult:
        """Within this workflow task: fewer events, and as safe for a call that excludes nobody."""
        try:
            return await workflow.execute_local_activity(
                execute_plugin,
                request.model_copy(update={"short": True}),
                start_to_close_timeout=self._task.timeout + ANSWER_MARGIN,
                retry_policy=ONCE,
            )
        except FailureError as error:
            if is_cancelled_exception(error):
                await shielded(self._cancel(request.attempt))
                raise asyncio.CancelledError from error
            raise

    async def _call(self, request: ExecuteInput) -> ExecuteResult:
        call = workflow.start_activity(
            execute_plugin,
            request,
            # On the run's own queue: the server gives the call to the worker that asks for it, with
            # the answer to its workflow task, if that worker has a slot free.
            start_to_close_timeout=self._task.timeout + ANSWER_MARGIN,
            heartbeat_timeout=self._task.heartbeat_timeout,
            retry_policy=ONCE,
            # The run ends only when the call is closed: no plugin works on for a run that is over.
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=self._summary(request.attempt),
        )
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError as cancelled:
            call.cancel()
            if recovers():
                await shielded(self._cancel(request.attempt))
            try:
                return await shielded(_result_of(call))
            except ActivityError as error:
                raise cancelled from error

    async def _cancel(self, attempt: int) -> None:
        """Tell the plugin; one that cannot be told is left to the end of its call."""
        run_id = workflow.info().workflow_id
        try:
            await workflow.execute_activity(
                cancel_execution,
                CancelInput(
                    tenant_id=self._task.tenant_id,
                    task_id=self._task.task_id,
                    plugin_id=self._plugin_id,
                    key=compensation_key(run_id) if self._compensates else run_id,
                    attempt=attempt,
                ),
                task_queue=plugin_queue(workflow.info().task_queue),
                start_to_close_timeout=CANCEL_WITHIN,
                schedule_to_close_timeout=CANCEL_FOR,
                summary=f"tells {self._plugin_id} to stop",
            )
        except ActivityError as error:
            workflow.logger.warning(
                "the plugin could not be told",
                extra={
                    "action": "cancel_failed",
                    "run_id": run_id,
                    "reason": str(error.cause or error),
                },
            )

    def _summary(self, attempt: int) -> str:
        what = f"{self._plugin_id}, compensation" if self._compensates else self._plugin_id
        return what if attempt == 1 else f"{what}, attempt {attempt}"


async def _result_of(call: "asyncio.Task[ExecuteResult]") -> ExecuteResult:
    return await call
