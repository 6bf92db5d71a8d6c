"""Compensation: undoing what a run did that failed or was stopped."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError

from domain.states import RunState
from workflows.attempts import Calls
from workflows.failures import Failures
from workflows.outcome import Outcome, outcome_of_result, published_of
from workflows.telling import Changes


async def undo(
    outcome: Outcome,
    calls: Calls,
    failures: Failures,
    changes: Changes,
    *,
    fence: int,
    plugin_id: str,
    tell: Callable[[], None],
) -> Outcome:
    """The end of a run that had come to `outcome`. `tell` is called after each failed attempt."""
    number = 1
    while True:
        untold = changes.untold()
        try:
            result = await calls.call(number, fence, untold)
        except FailureError as error:
            changes.told(published_of(error), untold)
            found = await failures.after(error, number, None)
            if isinstance(found, Outcome):
                return not_undone(outcome, found)
            number = found.attempt
            tell()
            await workflow.sleep(
                max(found.at - workflow.now(), timedelta(0)), summary="next attempt to undo"
            )
            continue
        changes.told(result.published, untold)
        return _undone(outcome, outcome_of_result(result), plugin_id)


def _undone(outcome: Outcome, result: Outcome, plugin_id: str) -> Outcome:
    """The end of a run whose compensation was answered."""
    if result.state is not RunState.SUCCESS:
        return not_undone(outcome, result)
    reason = f"{outcome.reason}; compensated by {plugin_id}"
    cancelled = outcome.state is RunState.CANCELLED
    state = RunState.CANCELLED if cancelled else RunState.COMPENSATED
    return replace(outcome, state=state, reason=reason, compensation=result.result)


def not_undone(outcome: Outcome, failed: Outcome) -> Outcome:
    """The end of a run whose compensation failed too: somebody has to look at what is left."""
    why = f"{failed.error_code}: {failed.reason}" if failed.error_code else failed.reason
    reason = f"{outcome.reason}; its compensation failed too: {why}"
    code = outcome.error_code or "COMPENSATION_FAILED"
    return replace(outcome, state=RunState.FAILED, error_code=code, reason=reason)
