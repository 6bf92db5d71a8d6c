"""Failures as Temporal errors: the one place where an error code becomes an exception."""

from datetime import timedelta

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.answers import Failure
from domain.events_out import Published
from domain.recovery import LONGEST_RETRY_AFTER
from domain.run import AttemptDetails


def attempt_failed(
    code: str,
    message: str,
    *,
    attempt: int,
    retryable: bool,
    retry_after: timedelta | None = None,
    waits: bool = False,
    retries: bool = True,
    published: Published | None = None,
    counted: bool = False,
) -> ApplicationError:
    """A failed attempt: `code` is the error's type, which the task's `non_retryable` names too.

    `counted`: the run counts its attempts and waits between them itself, as the details tell it.
    The other fields are those of `AttemptDetails`.
    """
    wait = min(retry_after, LONGEST_RETRY_AFTER) if retry_after else None
    details = AttemptDetails(
        attempt=attempt,
        retry_after_s=wait.total_seconds() if wait else None,
        waits=waits,
        retries=retries,
        published=published,
    )
    return ApplicationError(
        message,
        details.model_dump(mode="json", exclude_defaults=True),
        type=code,
        non_retryable=not retryable,
        next_retry_delay=None if counted else wait,
        # Logged by us in one line; the SDK would add a stack trace of its own for each.
        category=ApplicationErrorCategory.BENIGN,
    )


def failed(
    failure: Failure,
    *,
    attempt: int,
    retries: bool = True,
    published: Published | None = None,
    counted: bool = True,
) -> ApplicationError:
    """The failure of a call as `attempt_failed`; with `retries` off it is final, and says so."""
    retryable = failure.retryable and (retries or failure.waits)
    message = failure.message
    if failure.retryable and not retryable:
        message += " (not retried: the feature flag task-retry-queue is off)"
    return attempt_failed(
        failure.code,
        message,
        attempt=attempt,
        retryable=retryable,
        retry_after=failure.retry_after,
        waits=failure.waits,
        retries=retries,
        published=published,
        counted=counted,
    )


def service_failed(failure: Failure, longest: timedelta) -> ApplicationError:
    """A call of a service other than a plugin came to nothing; `longest` bounds its wait."""
    wait = failure.retry_after
    return ApplicationError(
        failure.message,
        type=failure.code,
        non_retryable=not failure.retryable,
        next_retry_delay=min(wait, longest) if wait else None,
    )
