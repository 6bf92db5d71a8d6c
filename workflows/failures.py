"""What failed of a run so far, and what follows on it."""

from dataclasses import replace
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import FailureError, is_cancelled_exception

from domain.notices import FailedAttempt
from domain.recovery import GiveUp, RetryAt, decide
from domain.run import FlagsInput
from domain.states import RunState
from domain.task import Task
from workflows.interfaces import read_flags
from workflows.outcome import Outcome, failure_of_error, has_details
from workflows.story import utc

MOST_EVIDENCE = 20
FLAGS_WITHIN = timedelta(seconds=5)


class Failures:
    """Of a run's calls, or of those that undo it: `seen` is shared by both.

    `called`: how many calls have reached the plugin. `why` and `waits_for`: what to tell of the
    wait for the next attempt.
    """

    def __init__(
        self, task: Task, seen: list[FailedAttempt], *, plugin_id: str, compensation: bool = False
    ) -> None:
        self._task = task
        self._plugin_id = plugin_id
        self._compensation = compensation
        self._patience: datetime | None = None
        self.seen = seen
        self.called = 0
        self.why = ""
        self.waits_for: str | None = None

    async def after(
        self, error: FailureError, number: int, finish_by: datetime | None
    ) -> Outcome | RetryAt:
        """Another attempt, or the end."""
        failure = failure_of_error(error, number)
        if not has_details(error):
            failure = replace(failure, retries=await self._may_retry())
        now = workflow.now()
        self.called = number - 1 if failure.waits else number
        self.waits_for = f"circuit:{self._plugin_id}" if failure.waits else None
        if failure.waits:
            self._patience = self._patience or now + self._task.queue_timeout
        else:
            self._patience = None
            self.seen.append(failure.evidence(now, compensation=self._compensation))
            del self.seen[:-MOST_EVIDENCE]
        found = decide(
            failure, self._task.retry, now=now, finish_by=finish_by, patience=self._patience
        )
        if isinstance(found, GiveUp):
            return Outcome(
                RunState.FAILED, self.called, error_code=failure.code, reason=failure.message
            )
        late = f", {found.late}" if found.late else ""
        self.why = f"{failure.code}: {failure.message}; next attempt at {utc(found.at)}{late}"
        return found

    def of_the_run(self) -> FailedAttempt | None:
        """The last one that was no compensation's."""
        return next((one for one in reversed(self.seen) if not one.compensation), None)

    async def _may_retry(self) -> bool:
        """Whether the flag `task-retry-queue` is on, asked when no attempt could say so."""
        try:
            flags = await workflow.execute_local_activity(
                read_flags,
                FlagsInput(tenant_id=self._task.tenant_id),
                start_to_close_timeout=FLAGS_WITHIN,
                retry_policy=RetryPolicy(maximum_attempts=3),
            )
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            return True
        return flags.task_retry_queue
