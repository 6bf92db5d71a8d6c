"""State changes of a run, on their way to whoever listens."""

import logging

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

from domain.events_out import Published, RunChanges, StateChange
from domain.states import RunState
from domain.task import Task
from domain.trace import trace_id
from workflows.interfaces import publish_changes
from workflows.outcome import cause_of
from workflows.surely import at_once, surely


class Changes:
    """What was not told yet. Nobody may be listening: the first answer says so."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._untold: list[StateChange] = []
        self._sequence = 0
        self._heard: bool | None = None
        self._handed_over = False

    def note(
        self,
        status: RunState,
        previous: RunState | None,
        *,
        attempt: int = 0,
        reason: str | None = None,
        error_code: str | None = None,
    ) -> None:
        """The run has moved."""
        self._sequence += 1
        if self._heard is not False:
            self._untold.append(
                StateChange(
                    sequence=self._sequence,
                    status=status,
                    previous=previous,
                    at=workflow.now(),
                    attempt=attempt,
                    reason=reason,
                    error_code=error_code,
                )
            )

    def hint(self, *, listens: bool | None) -> None:
        """What others know about who listens."""
        if listens is not None and self._heard is None:
            self._heard = listens

    @property
    def undecided(self) -> bool:
        """Whether nothing was ever said about who listens."""
        return self._heard is None

    def untold(self) -> RunChanges | None:
        """What to tell now; None when there is nothing, or nobody."""
        if self._heard is False or not self._untold:
            return None
        info = workflow.info()
        return RunChanges(
            tenant_id=self._task.tenant_id,
            task_id=self._task.task_id,
            plugin_id=self._task.plugin_id,
            run_id=info.workflow_id,
            trace_id=trace_id(info.workflow_id, info.run_id),
            changes=list(self._untold),
            handed_over=self._handed_over,
        )

    def told(self, published: Published | None, up_to: RunChanges | None) -> None:
        """What became of them; None: they are still to be told."""
        if published is None or up_to is None:
            return
        self._heard = published.sinks
        self._handed_over = self._handed_over or published.handed_over
        last = up_to.changes[-1].sequence
        self._untold = [change for change in self._untold if change.sequence > last]

    async def publish(self, *, at_the_end: bool = False) -> None:
        """Tell now. What stays untold is told with the next; at the end it is tried for a day."""
        untold = self.untold()
        if untold is None:
            return
        try:
            if at_the_end:
                published = await surely(publish_changes, untold, "tells of its moves")
            else:
                published = await at_once(publish_changes, untold)
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.log(
                logging.ERROR if at_the_end else logging.WARNING,
                "state changes not told",
                extra={
                    "action": "publish_failed",
                    "run_id": untold.run_id,
                    "reason": str(cause_of(error)),
                },
            )
        else:
            self.told(published, untold)
