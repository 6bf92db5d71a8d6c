"""Calling a plugin: one HTTP request per attempt, with heartbeats and a deadline."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import structlog
from pydantic import JsonValue
from temporalio import activity

from activities.answers import Failure, read_answer
from activities.errors import attempt_failed
from activities.heartbeats import heartbeats
from domain.attributes import EXECUTE_PLUGIN
from domain.run import ExecuteInput, ExecuteResult, fence_of
from domain.states import RunState
from domain.task import Flags
from domain.trace import trace_id, traceparent

log = structlog.get_logger(__name__)

FlagsOf = Callable[[str], Flags]
"""The feature flags of a tenant, as they are now."""


class PluginActivities:
    """The activities that reach plugin runtimes; one instance per worker, safe to share."""

    def __init__(self, client: httpx.AsyncClient, base_url: str, flags_of: FlagsOf) -> None:
        self._client = client
        self._base_url = base_url.rstrip("/")
        self._flags_of = flags_of

    @activity.defn(name=EXECUTE_PLUGIN)
    async def execute_plugin(self, request: ExecuteInput) -> ExecuteResult:
        """One attempt.

        Errors: `ApplicationError` whose type is the error code; Temporal retries it by the task's
        policy, or not at all when the failure is final or `task-retry-queue` is off.
        """
        info = activity.info()
        flags = self._flags_of(request.tenant_id)
        if not flags.task_scheduler_v3:
            return ExecuteResult(
                status=RunState.SKIPPED,
                attempt=info.attempt,
                reason="the feature flag task-scheduler-v3 is off",
            )
        started = datetime.now(UTC)
        async with heartbeats(_interval(info)):
            answer = await self._call(request, info, started)
        error_code = answer.code if isinstance(answer, Failure) else None
        _log_attempt(request, info, started, error_code)
        if not isinstance(answer, Failure):
            return ExecuteResult(status=RunState.SUCCESS, attempt=info.attempt, result=answer)
        message = answer.message
        retryable = answer.retryable and flags.task_retry_queue
        if answer.retryable and not retryable:
            message += " (not retried: the feature flag task-retry-queue is off)"
        raise attempt_failed(
            answer.code,
            message,
            attempt=info.attempt,
            retryable=retryable,
            retry_after=answer.retry_after,
        )

    async def _call(
        self, request: ExecuteInput, info: activity.Info, started: datetime
    ) -> JsonValue | Failure:
        """The request and its whole answer, within the attempt's timeout."""
        run_id = info.workflow_id or ""
        trace = trace_id(run_id, info.workflow_run_id or "")
        try:
            async with (
                # One deadline for everything: httpx's own are per read, and an answer that drips
                # a byte a second would never meet them.
                asyncio.timeout(request.timeout.total_seconds()),
                self._client.stream(
                    "POST",
                    f"{self._base_url}/plugin/runtime/{request.plugin_id}/execute",
                    json={
                        "run_id": run_id,
                        "attempt": info.attempt,
                        "tenant_id": request.tenant_id,
                        "task_id": request.task_id,
                        "params": request.params,
                        "trigger": request.trigger.model_dump(mode="json"),
                        "deadline": (started + request.timeout).isoformat(),
                        "fence": fence_of(request.fence, info.attempt),
                    },
                    headers={
                        "Idempotency-Key": run_id,
                        "traceparent": traceparent(trace, info.attempt),
                    },
                ) as response,
            ):
                return await read_answer(response, now=datetime.now(UTC))
        except TimeoutError:
            seconds = f"{request.timeout.total_seconds():g} s"
            return Failure("PLUGIN_TIMEOUT", f"the plugin did not answer within {seconds}")
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            return Failure("PLUGIN_UNAVAILABLE", f"the call to the plugin broke: {reason}")


def _interval(info: activity.Info) -> float:
    """Seconds between heartbeats: often enough that silence means a lost worker."""
    return (info.heartbeat_timeout or timedelta(seconds=30)).total_seconds() / 3


def _log_attempt(
    request: ExecuteInput, info: activity.Info, started: datetime, error_code: str | None
) -> None:
    log.info(
        "attempt ended",
        action="attempt_ended",
        task_id=request.task_id,
        tenant_id=request.tenant_id,
        run_id=info.workflow_id,
        trigger_time=request.trigger.trigger_time,
        actual_start=started,
        duration_ms=round((datetime.now(UTC) - started) / timedelta(milliseconds=1)),
        status=RunState.FAILED if error_code else RunState.SUCCESS,
        retry_count=info.attempt - 1,
        error_code=error_code,
        trace_id=trace_id(info.workflow_id or "", info.workflow_run_id or ""),
    )
