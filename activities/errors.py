"""Failures as Temporal errors: the one place where an error code becomes an exception."""

from datetime import timedelta

from temporalio.exceptions import ApplicationError

from activities.answers import Failure

LONGEST_RETRY_AFTER = timedelta(hours=1)
"""A plugin may ask for more patience than the task's policy, but not for ever."""

LONGEST_CAPACITY_WAIT = timedelta(minutes=5)
"""A run that waits for capacity is late already: a service that recovers should be met soon."""


def attempt_failed(
    code: str,
    message: str,
    *,
    attempt: int,
    retryable: bool,
    retry_after: timedelta | None = None,
) -> ApplicationError:
    """A failed attempt: `code` is the error's type, which the task's `non_retryable` names too."""
    return ApplicationError(
        message,
        {"attempt": attempt},
        type=code,
        non_retryable=not retryable,
        next_retry_delay=min(retry_after, LONGEST_RETRY_AFTER) if retry_after else None,
    )


def capacity_failed(failure: Failure) -> ApplicationError:
    """A call of the capacity service that came to nothing."""
    wait = failure.retry_after
    return ApplicationError(
        failure.message,
        type=failure.code,
        non_retryable=not failure.retryable,
        next_retry_delay=min(wait, LONGEST_CAPACITY_WAIT) if wait else None,
    )
