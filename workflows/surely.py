"""Work beside a run that must get done, and is nearly always done at once."""

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import FailureError, is_cancelled_exception

from domain.ids import plugin_queue

Request = TypeVar("Request")
Result = TypeVar("Result")

WITHIN = timedelta(seconds=7)
"""All tries together. After 8 s Temporal has to be told that a workflow task goes on, and replayed
its clock begins there: what was decided by the time before would be decided otherwise.
"""
TWICE = RetryPolicy(maximum_attempts=2)
GIVEN_UP_AFTER = timedelta(hours=24)
LONGEST_PAUSE = timedelta(minutes=1)


async def at_once(
    activity: Callable[[Request], Coroutine[Any, Any, Result]], request: Request
) -> Result:
    """Its result, as a local activity: one event, but the workflow task stays open meanwhile.

    Errors: `FailureError` after two tries, or when whoever waits is cancelled.
    """
    return await workflow.execute_local_activity(
        activity, request, start_to_close_timeout=WITHIN, retry_policy=TWICE
    )


async def surely(
    activity: Callable[[Request], Coroutine[Any, Any, Result]], request: Request, summary: str
) -> Result:
    """Its result: at once, and when that fails as an ordinary activity, for a day.

    Errors: `ActivityError` after that day; `FailureError` when whoever waits is cancelled.
    """
    try:
        return await at_once(activity, request)
    except FailureError as error:
        if is_cancelled_exception(error):
            raise
        return await workflow.execute_activity(
            activity,
            request,
            task_queue=plugin_queue(workflow.info().task_queue),
            start_to_close_timeout=WITHIN,
            schedule_to_close_timeout=GIVEN_UP_AFTER,
            retry_policy=RetryPolicy(maximum_interval=LONGEST_PAUSE),
            summary=summary,
        )
