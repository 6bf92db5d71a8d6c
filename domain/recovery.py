"""What follows on a failed attempt, as a value: another one and when, or none and why.

Pure: the workflow acts on it, and `why` explains with it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from domain.duration import format_duration
from domain.notices import FailedAttempt
from domain.run import FENCES_PER_GRANT, AttemptDetails
from domain.task import Overlap, Retry, Task

LONG_BACKOFF = timedelta(seconds=30)
"""A run that waits this long for its next attempt gives back what it holds, and asks again."""
LONGEST_RETRY_AFTER = timedelta(hours=1)
"""A plugin, service or sink may ask for more patience than policy has, but not for ever."""
LEAST_WAIT = timedelta(milliseconds=100)
LONGEST_SHORT = timedelta(seconds=5)
"""Calls with no longer a timeout are made within the run's own workflow task."""
MOST_REASON = 500


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed. `waits`: the plugin was not called, its circuit is open.

    `retries`: False when the flag `task-retry-queue` is off. `retry_after`: the plugin's own wish.
    """

    attempt: int
    code: str
    message: str
    retryable: bool = True
    retry_after: timedelta | None = None
    waits: bool = False
    retries: bool = True

    def evidence(self, at: datetime, *, compensation: bool = False) -> FailedAttempt:
        """As work orders show it."""
        return FailedAttempt(
            attempt=self.attempt,
            at=at,
            error_code=self.code,
            message=self.message[:MOST_REASON],
            compensation=compensation,
        )


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Another attempt, number `attempt`, at `at`.

    `gives_back`: the wait is so long that locks and capacity are not kept meanwhile. `late`: what
    to say when that is past the finish deadline.
    """

    at: datetime
    attempt: int
    gives_back: bool
    late: str | None = None


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No other attempt; `why` in words."""

    why: str


Recovery = RetryAt | GiveUp


def decide(
    failure: Failure,
    retry: Retry,
    *,
    now: datetime,
    finish_by: datetime | None = None,
    patience: datetime | None = None,
) -> Recovery:
    """What follows on a failure.

    `finish_by`: the run's finish deadline, if it has one. `patience`: until when an open circuit is
    waited for; a wait for one is no attempt.
    """
    if failure.waits:
        at = now + max(failure.retry_after or LEAST_WAIT, LEAST_WAIT)
        if patience is not None and now >= patience:
            return GiveUp("the plugin's circuit stayed open for too long")
        at = min(at, patience) if patience is not None else at
        return _another(failure.attempt, at, now, finish_by)
    if not failure.retries:
        return GiveUp("the feature flag task-retry-queue is off")
    if not failure.retryable or failure.code in retry.non_retryable:
        return GiveUp(f"{failure.code} is not retryable")
    most = min(retry.max_attempts, FENCES_PER_GRANT - 1)
    if failure.attempt >= most:
        return GiveUp(f"all {most} attempts failed" if most > 1 else "its only attempt failed")
    at = now + delay_after(failure, retry)
    return _another(failure.attempt + 1, at, now, finish_by)


def delay_after(failure: Failure, retry: Retry) -> timedelta:
    """How long after this failed attempt the next one comes."""
    if failure.retry_after is not None:
        return min(max(failure.retry_after, LEAST_WAIT), LONGEST_RETRY_AFTER)
    delay = retry.initial_interval
    for _ in range(failure.attempt - 1):
        delay = min(delay * retry.backoff, retry.max_interval)
        if delay >= retry.max_interval:
            break
    return min(delay, retry.max_interval)


def _another(attempt: int, at: datetime, now: datetime, finish_by: datetime | None) -> RetryAt:
    late = None
    if finish_by is not None and at > finish_by:
        past = format_duration(timedelta(seconds=round((at - finish_by).total_seconds())))
        late = f"{past} after its finish deadline"
    return RetryAt(at, attempt, at - now >= LONG_BACKOFF, late)


def read_details(details: Any) -> AttemptDetails | None:
    """What a failed attempt's error carries; None when it carries nothing of ours."""
    match details:
        case [{"attempt": int()} as found, *_]:
            return AttemptDetails.model_validate(found)
    return None


def is_short(task: Task) -> bool:
    """Whether the first call of the task's runs may be made within the run's own workflow task.

    Such a call that is made again after a crash carries the same fence, so nothing that excludes
    others may hang on it; and it holds up the run's other news, so it must be short. Of governed
    runs it never is: a message of the governor meanwhile would have it made again.
    """
    return (
        task.timeout <= LONGEST_SHORT
        and not task.mutex
        and task.overlap not in (Overlap.QUEUE, Overlap.CANCEL_RUNNING)
    )
