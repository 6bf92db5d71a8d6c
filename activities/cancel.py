"""Telling a plugin that nobody wants an execution any more, and closing one that it accepted."""

import asyncio
from collections.abc import Sequence
from urllib.parse import quote

import httpx
import structlog
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.call import Secrets, headers, signature
from activities.errors import attempt_failed
from domain.attributes import CANCEL_EXECUTION
from domain.run import CancelInput
from domain.trace import attempt_span, trace_id
from shared.executions import OpenExecution, open_execution
from shared.tracing import parent_header
from shared.webhooks import Secret

log = structlog.get_logger(__name__)

CANCEL_SECONDS = 10.0
"""For the whole of a call that tells a plugin to stop."""

_FINE = frozenset({404, 405, 409, 410})
"""It knows no such execution, cannot be stopped, or has ended it: there is no more to be done."""


class CancelActivities:
    """The activity that cancels executions; one instance per worker, safe to share."""

    def __init__(self, http: httpx.AsyncClient, base_url: str, secrets: Secrets = tuple) -> None:
        self._http = http
        self._base_url = base_url
        self._secrets = secrets

    @activity.defn(name=CANCEL_EXECUTION)
    async def cancel_execution(self, request: CancelInput) -> None:
        """Tell the plugin, then end the attempt if the plugin had accepted it.

        A call that a worker holds open is left to that worker: its heartbeat tells it.
        Errors: `ApplicationError`, retryable, when the plugin could not be told.
        """
        info = activity.info()
        trace = trace_id(info.workflow_id or "", info.workflow_run_id or "")
        compensates = request.key != info.workflow_id
        span = attempt_span(trace, request.attempt, compensates=compensates)
        status = await tell_to_stop(
            self._http,
            self._base_url,
            plugin_id=request.plugin_id,
            key=request.key,
            parent=parent_header(trace, span),
            secrets=self._secrets(),
        )
        closed = await _close(activity.client(), info, request)
        log.info(
            "execution cancelled",
            action="execution_cancelled",
            tenant_id=request.tenant_id,
            task_id=request.task_id,
            run_id=info.workflow_id,
            plugin_id=request.plugin_id,
            http_status=status,
            closed=closed,
            retry_count=request.attempt - 1,
            trace_id=trace,
        )


async def tell_to_stop(
    http: httpx.AsyncClient,
    base_url: str,
    *,
    plugin_id: str,
    key: str,
    parent: str,
    secrets: Sequence[Secret] = (),
) -> int:
    """The status of the plugin's answer. Errors: `ApplicationError`, when it was not told."""
    path = f"/plugin/runtime/{plugin_id}/executions/{quote(key, safe='')}"
    try:
        async with (
            asyncio.timeout(CANCEL_SECONDS),
            http.stream(
                "DELETE",
                f"{base_url.rstrip('/')}{path}",
                headers=headers(key, parent) | signature(secrets, "cancel", plugin_id, key),
            ) as response,
        ):
            status = response.status_code
    except TimeoutError:
        reason = f"no answer within {CANCEL_SECONDS:g} s"
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
    else:
        if response.is_success or status in _FINE:
            return status
        reason = f"it answered {status}"
    raise ApplicationError(
        f"the plugin could not be told to stop: {reason}", type="PLUGIN_NOT_TOLD"
    )


async def _close(client: Client, info: activity.Info, request: CancelInput) -> bool:
    """End the attempt that waits for a report nobody needs. Returns whether there was one."""
    handle = client.get_workflow_handle(info.workflow_id or "", run_id=info.workflow_run_id)
    found = await open_execution(client, await handle.describe(), sure=False)
    compensates = request.key != info.workflow_id
    if found is None or not found.accepted:
        return False
    if (found.attempt, found.compensates) != (request.attempt, compensates):
        return False
    return await close_cancelled(client, found)


async def close_cancelled(client: Client, found: OpenExecution) -> bool:
    """End an accepted attempt as cancelled; False when it has ended already."""
    handle = found.handle(client)
    try:
        try:
            await handle.report_cancellation()
        except RPCError as error:
            if error.status is not RPCStatusCode.INVALID_ARGUMENT:
                raise
            # The run did not ask for it to be cancelled: then it is to go on all the same.
            message = "the execution was cancelled"
            failure = attempt_failed(
                "CANCELLED", message, attempt=found.attempt, retryable=False, counted=True
            )
            await handle.fail(failure)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True
