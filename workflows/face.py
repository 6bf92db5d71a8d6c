"""What the world sees of a run while it goes on: search attributes, details, the reason."""

from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeUpdate

from domain.attributes import REASON_MEMO
from domain.governor import Answer
from domain.notices import FailedAttempt
from domain.run import Fire
from domain.sla import SlaClock, SlaStatus
from domain.states import RunState
from domain.task import Task
from workflows import attributes as sa
from workflows.outcome import Outcome
from workflows.story import tell

PAUSED = "paused"
"""`WaitsFor` of a run that a person holds."""

Updates = list[SearchAttributeUpdate[Any]]


class Face:
    """Of one run. Every method is one event in the history at most."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._waits: tuple[int | None, str | None] = (None, None)
        self._status: RunState | None = None
        self._fired = False

    def waiting(
        self, state: RunState, fire: Fire, *, waits_for: str | None, position: int | None = None
    ) -> None:
        """The run waits for something, at a position if there is one."""
        updates = self._place(position, waits_for)
        if state is not self._status:
            updates += [sa.TASK_STATUS.value_set(state), *self._trigger(fire)]
            self._status = state
        self._upsert(updates)

    def put_off(self, fire: Fire) -> None:
        """The run's time has changed."""
        self._fired = False
        self._upsert(self._trigger(fire))

    def running(self, fire: Fire, started: datetime, retries: int) -> None:
        """The plugin is being called."""
        self._status = RunState.RUNNING
        updates: Updates = [sa.TASK_STATUS.value_set(self._status), *self._trigger(fire)]
        if retries:
            updates.append(sa.RETRY_COUNT.value_set(retries))
        else:
            updates.append(sa.ACTUAL_START.value_set(started))
        self._upsert(updates + self._place(None, None))

    def moved(self, state: RunState) -> None:
        """The run is in another state."""
        self._status = state
        self._upsert([sa.TASK_STATUS.value_set(state), *self._place(None, None)])

    def service_level(self, status: SlaStatus | None) -> None:
        """A deadline has passed, or is about to; None: nobody is to see any of it."""
        key = sa.SLA_STATUS
        self._upsert([key.value_set(status) if status else key.value_unset()])

    def settled(
        self,
        fire: Fire,
        outcome: Outcome,
        *,
        retries: int,
        duration_ms: int,
        sla: SlaStatus | None,
    ) -> None:
        """The end."""
        updates: Updates = [
            sa.TASK_STATUS.value_set(outcome.state),
            sa.RETRY_COUNT.value_set(retries),
            sa.DURATION_MS.value_set(duration_ms),
            *self._place(None, None),
            *self._trigger(fire),
        ]
        if outcome.error_code:
            updates.append(sa.ERROR_CODE.value_set(outcome.error_code))
        if sla:
            updates.append(sa.SLA_STATUS.value_set(sla))
        self._upsert(updates)
        if outcome.reason:
            workflow.upsert_memo({REASON_MEMO: outcome.reason[:500]})

    def tell(
        self,
        fire: Fire,
        state: RunState,
        started: datetime,
        *,
        outcome: Outcome | None = None,
        waiting: str | None = None,
        failures: list[FailedAttempt] | None = None,
        clock: SlaClock | None = None,
    ) -> None:
        """The story so far, for Temporal's Web UI."""
        workflow.set_current_details(
            tell(
                self._task,
                fire,
                state,
                started=started,
                outcome=outcome,
                waiting=waiting,
                now=workflow.now(),
                failures=failures or [],
                clock=clock,
            )
        )

    def _trigger(self, fire: Fire) -> Updates:
        """Kind and time, told once."""
        if self._fired:
            return []
        self._fired = True
        return [
            sa.TRIGGER_KIND.value_set(fire.kind),
            sa.TRIGGER_TIME.value_set(fire.trigger_time),
        ]

    def _place(self, position: int | None, waits_for: str | None) -> Updates:
        """What the run waits for and its place in the queue, as far as it has changed."""
        before, self._waits = self._waits, (position, waits_for)
        updates: Updates = []
        if before[1] != waits_for:
            key = sa.WAITS_FOR
            updates.append(key.value_set(waits_for) if waits_for else key.value_unset())
        if before[0] != position:
            number = sa.QUEUE_POSITION
            updates.append(number.value_set(position) if position else number.value_unset())
        return updates

    def _upsert(self, updates: Updates) -> None:
        if updates:
            workflow.upsert_search_attributes(updates)


def said(answer: Answer) -> str:
    """Why a run waits, in words."""
    why = answer.reason or "; ".join(answer.blockers)
    return f"position {answer.position}: {why}" if answer.position else why


def duration_ms(since: datetime, now: datetime) -> int:
    """Whole milliseconds."""
    return round((now - since) / timedelta(milliseconds=1))
