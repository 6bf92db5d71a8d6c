"""Failed attempts as Temporal errors: the one place where an error code becomes an exception."""

from datetime import timedelta

from temporalio.exceptions import ApplicationError

LONGEST_RETRY_AFTER = timedelta(hours=1)
"""A plugin may ask for more patience than the task's policy, but not for ever."""


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
