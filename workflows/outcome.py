"""How an execution ended, as a value, whatever way Temporal told it."""

from dataclasses import dataclass

from pydantic import JsonValue
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    RetryState,
    TimeoutError,  # noqa: A004 - Temporal's own name for it
    TimeoutType,
    is_cancelled_exception,
)

from domain.run import ExecuteResult
from domain.states import RunState


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end state of a run and what explains it."""

    state: RunState
    attempts: int
    result: JsonValue = None
    error_code: str | None = None
    reason: str | None = None


def outcome_of_result(result: ExecuteResult) -> Outcome:
    """An execution that gave an answer."""
    return Outcome(result.status, result.attempt, result=result.result, reason=result.reason)


_REFUSALS = {
    "overlap": (RunState.SKIPPED, None, "overlap: "),
    "superseded": (RunState.SKIPPED, None, "overlap: "),
    "queue_timeout": (RunState.SKIPPED, None, "queue_timeout: "),
    "impossible": (RunState.FAILED, "IMPOSSIBLE_DEMAND", ""),
}
_CONFLICTS = {
    "fail": (RunState.FAILED, "CONFLICT", ""),
    "skip": (RunState.SKIPPED, None, "conflict: "),
}


def outcome_of_refusal(code: str | None, reason: str | None, on_conflict: str) -> Outcome:
    """A run that was not admitted: what the refusal's code, or its `on_conflict`, makes of it."""
    state, error_code, what = _REFUSALS.get(code or "") or _CONFLICTS.get(
        on_conflict, _CONFLICTS["skip"]
    )
    return Outcome(state, 0, error_code=error_code, reason=f"{what}{reason}")


def outcome_of_error(error: BaseException, max_attempts: int) -> Outcome:
    """An execution that was cancelled, or whose last attempt failed."""
    # An attempt that failed after the cancellation: only for that is it the last one.
    stopped = isinstance(error, ActivityError) and error.retry_state is RetryState.CANCEL_REQUESTED
    if stopped or is_cancelled_exception(error):
        return Outcome(RunState.CANCELLED, 1, reason="cancelled while its plugin was being called")
    cause = error.cause if isinstance(error, ActivityError) else error
    reached = isinstance(error, ActivityError) and (
        error.retry_state is RetryState.MAXIMUM_ATTEMPTS_REACHED
    )
    attempts = max_attempts if reached else 1
    if isinstance(cause, ApplicationError):
        match cause.details:
            case [{"attempt": int(attempt)}]:
                attempts = attempt
        return Outcome(
            RunState.FAILED, attempts, error_code=cause.type or "UNKNOWN", reason=cause.message
        )
    if isinstance(cause, TimeoutError) and cause.type is TimeoutType.HEARTBEAT:
        reason = "the worker that called the plugin stopped reporting"
        return Outcome(RunState.FAILED, attempts, error_code="WORKER_LOST", reason=reason)
    if isinstance(cause, TimeoutError):
        reason = "the plugin did not answer within the task's timeout"
        return Outcome(RunState.FAILED, attempts, error_code="PLUGIN_TIMEOUT", reason=reason)
    return Outcome(RunState.FAILED, attempts, error_code="INTERNAL", reason=str(cause or error))
