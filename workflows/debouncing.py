"""A run's side of a debounce: wait until no newer event can take its place, or one does."""

from collections.abc import Callable
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

from domain.debounce import DebounceInput
from domain.duration import format_duration
from domain.ids import debounce_id
from domain.run import TaskRunInput
from domain.states import RunState
from workflows.interfaces import debounce_event
from workflows.outcome import Outcome, cause_of
from workflows.story import utc
from workflows.surely import surely

LEAST_WAIT = timedelta(seconds=1)
"""After the run has told of itself: of many that waited for a worker, most are then superseded."""


class Debouncing:
    """Of one run."""

    def __init__(self, request: TaskRunInput) -> None:
        self._task = request.task
        self._fire = request.event
        self._newer: str | None = None

    @property
    def wanted(self) -> bool:
        """Whether a newer event may take the run's place at all."""
        return self._fire is not None and self._fire.debounce is not None

    def supersede(self, newer_run_id: str) -> None:
        """One did, if the run has not gone on meanwhile."""
        self._newer = newer_run_id

    async def wait(self, until: datetime, show: Callable[[str], None]) -> Outcome | None:
        """None when the run goes on; its end when a newer event's run goes instead."""
        fire = self._fire
        if fire is None or fire.debounce is None:
            return None
        length = format_duration(fire.debounce)
        show(f"until {utc(until)} for a newer event to take its place (debounce {length})")
        await self._tell_of(
            fire.at, fire.debounce, self._task.triggers[fire.rule].model_dump_json()
        )
        left = max(until - workflow.now(), LEAST_WAIT)
        try:
            await workflow.wait_condition(
                lambda: self._newer is not None, timeout=left, timeout_summary="debounce"
            )
        except TimeoutError:
            return None
        reason = f"debounced: superseded by the event of {self._newer}"
        return Outcome(RunState.SKIPPED, 0, reason=reason)

    async def _tell_of(self, at: datetime, debounce: timedelta, rule: str) -> None:
        """A run that cannot tell goes: its event would be lost else."""
        request = DebounceInput(
            debounce_id=debounce_id(self._task.tenant_id, self._task.task_id, rule),
            run_id=workflow.info().workflow_id,
            at=at,
            debounce=debounce,
        )
        try:
            await surely(debounce_event, request, "tells newer events of this run")
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.error(
                "not debounced",
                extra={
                    "action": "debounce_failed",
                    "run_id": request.run_id,
                    "reason": str(cause_of(error)),
                },
            )
