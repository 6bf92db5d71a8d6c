"""How an execution ended, as a value, whatever way Temporal told it."""

from dataclasses import dataclass
from datetime import timedelta

from pydantic import JsonValue
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    FailureError,
    RetryState,
    TimeoutError,  # noqa: A004 - Temporal's own name for it
    TimeoutType,
    is_cancelled_exception,
)

from domain.events_out import Published
from domain.recovery import Failure, read_details
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
    compensation: JsonValue = None


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


def cause_of(error: BaseException) -> BaseException:
    """What an activity failed of: the SDK wraps it, but for local activities."""
    return (error.cause or error) if isinstance(error, ActivityError) else error


def failure_of_error(error: FailureError, attempt: int) -> Failure:
    """An attempt that failed; what Temporal itself found out carries no details of ours."""
    cause = cause_of(error)
    if isinstance(cause, ApplicationError):
        details = read_details(list(cause.details))
        wait = details.retry_after_s if details else None
        return Failure(
            attempt,
            cause.type or "UNKNOWN",
            cause.message,
            retryable=not cause.non_retryable,
            retry_after=timedelta(seconds=wait) if wait is not None else None,
            waits=details.waits if details else False,
            retries=details.retries if details else True,
        )
    if isinstance(cause, TimeoutError) and cause.type is TimeoutType.HEARTBEAT:
        reason = "neither the plugin nor the worker that called it reported in time"
        return Failure(attempt, "WORKER_LOST", reason)
    if isinstance(cause, TimeoutError):
        reason = "the plugin did not answer within the task's timeout"
        return Failure(attempt, "PLUGIN_TIMEOUT", reason)
    return Failure(attempt, "INTERNAL", str(cause))


def published_of(error: FailureError) -> Published | None:
    """What became of the state changes that a failed attempt carried."""
    cause = cause_of(error)
    found = read_details(list(cause.details)) if isinstance(cause, ApplicationError) else None
    return found.published if found else None


def has_details(error: FailureError) -> bool:
    """Whether a failed attempt said itself why, so that it knew the flags too."""
    cause = cause_of(error)
    return isinstance(cause, ApplicationError) and read_details(list(cause.details)) is not None


def outcome_of_error(error: BaseException, max_attempts: int) -> Outcome:
    """An execution whose attempts Temporal counted: it was cancelled, or its last one failed."""
    # An attempt that failed after the cancellation: only for that is it the last one.
    stopped = isinstance(error, ActivityError) and error.retry_state is RetryState.CANCEL_REQUESTED
    if stopped or is_cancelled_exception(error):
        return Outcome(RunState.CANCELLED, 1, reason="cancelled while its plugin was being called")
    cause = cause_of(error)
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
    return Outcome(RunState.FAILED, attempts, error_code="INTERNAL", reason=str(cause))
