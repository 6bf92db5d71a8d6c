"""What goes into a run and what comes out: the payloads of the workflow and its activities.

They are stored in Temporal's histories. Fields are added, with a default, and never renamed.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, JsonValue

from domain.duration import Duration
from domain.events_out import Published, RunChanges
from domain.payload import Payload
from domain.states import RunState
from domain.task import CronTrigger, IntervalTrigger, OneOffTrigger, Params, Task


class TriggerKind(StrEnum):
    """What made a run."""

    CRON = "cron"
    INTERVAL = "interval"
    ONE_OFF = "one_off"
    EVENT = "event"
    MANUAL = "manual"


class ManualFire(Payload):
    """A run by hand: when it was asked for, and with what.

    `nominal_time`: that of the run that it repeats, if it repeats one.
    """

    at: datetime
    payload: JsonValue = None
    nominal_time: datetime | None = None


class EventFire(Payload):
    """A run of an event: when it was received, and what it is, a structured CloudEvent.

    `rule`: which of the task's triggers it met. `debounce`: for how long a newer event of that rule
    may take the run's place; None when none may.
    """

    at: datetime
    event: dict[str, JsonValue]
    rule: int = 0
    debounce: Duration | None = None


MOST_SHOWN = 200


class EventBrief(Payload):
    """Which event a run is of, as lists show it; long names are cut."""

    id: str
    source: str
    type: str
    at: datetime


def brief_of(fire: EventFire) -> EventBrief:
    """What is shown of an event."""
    id_, source, type_ = (str(fire.event.get(n, ""))[:MOST_SHOWN] for n in ("id", "source", "type"))
    return EventBrief(id=id_, source=source, type=type_, at=fire.at)


def _lenient(task: Any) -> Any:
    """A stored task may have fields of a newer worker: what people write is checked elsewhere."""
    return task if isinstance(task, Task) else Task.model_validate(task, extra="ignore")


class Finding(Payload):
    """Of a run that the watch made, because no other came of a fire: for when, and why.

    With a `status`, `MISSED` or `SKIPPED`, the run only says so; with none it is run late.
    """

    scheduled_time: datetime
    reason: str
    status: RunState | None = None


class TaskRunInput(Payload):
    """The argument of `TaskRun`.

    `limited`: the tenant has a `max_concurrent`, so that every run of its asks for admission.
    `short`: a short first call may be made within the run's own workflow task.
    """

    task: Annotated[Task, BeforeValidator(_lenient)]
    manual: ManualFire | None = None
    event: EventFire | None = None
    jitter_seed: str | None = None
    finding: Finding | None = None
    limited: bool = False
    short: bool = False


class Fire(Payload):
    """Why and for when a run is: part of every call to the plugin."""

    kind: TriggerKind
    nominal_time: datetime
    trigger_time: datetime
    payload: JsonValue = None


FENCES_PER_GRANT = 1000
"""More than the attempts of a run: the fence of each is higher than that of the one before."""


class ExecuteInput(Payload):
    """The argument of `execute_plugin`: one attempt of a run.

    `attempt` counts from 1 in the run; 0 is of runs that began when Temporal counted them.
    `fence` is that of the run's grant, 0 for a run that asked for none. `compensates`: the call
    undoes what the run's attempts did. `short`: the answer must come with the call, no report
    later. `changes`: what to tell of the run meanwhile.
    """

    tenant_id: str
    task_id: str
    plugin_id: str
    params: Params
    trigger: Fire
    timeout: Duration
    fence: int = 0
    attempt: int = 0
    compensates: bool = False
    short: bool = False
    changes: RunChanges | None = None


class ExecuteResult(Payload):
    """What `execute_plugin` gives back; a failed attempt is an error instead.

    `accepted`: the plugin works on, and only a call that is not short can wait for its report.
    `published`: what became of the changes; None when they are still to be told.
    """

    status: RunState
    attempt: int
    result: JsonValue = None
    reason: str | None = None
    accepted: bool = False
    published: Published | None = None


class AttemptDetails(Payload):
    """What the error of a failed attempt carries beside its code and message.

    `retry_after_s`: the plugin's own wish. `waits`: the plugin was not called at all, because its
    circuit is open until about then. `retries`: False when `task-retry-queue` is off.
    """

    attempt: int
    retry_after_s: float | None = None
    waits: bool = False
    retries: bool = True
    published: Published | None = None


class CancelInput(Payload):
    """The argument of `cancel_execution`: tell the plugin that nobody wants its work any more.

    `key`: the run id as the plugin knows it.
    """

    tenant_id: str
    task_id: str
    plugin_id: str
    key: str
    attempt: int


class PauseInput(Payload):
    """The argument of the signal `pause` of a run."""

    by: str
    at: datetime
    reason: str = ""


def fence_of(grant: int, attempt: int) -> int:
    """The fence that a plugin gets: it grows with every grant, and with every attempt of one."""
    return grant * FENCES_PER_GRANT + attempt


class TaskRunResult(Payload):
    """The result of a run that did not fail."""

    status: RunState
    retry_count: int = 0
    duration_ms: int = 0
    result: JsonValue = None
    reason: str | None = None
    compensation: JsonValue = None


class FlagsInput(Payload):
    """The argument of `read_flags`."""

    tenant_id: str


class FlagsNow(Payload):
    """Its result: the tenant's feature flags as they are now."""

    task_scheduler_v3: bool = True
    task_sla_monitor: bool = True
    task_retry_queue: bool = True


def kind_of(task: Task, nominal_time: datetime) -> TriggerKind:
    """Which of a task's triggers a scheduled nominal time belongs to: the first that fits."""
    for trigger in task.triggers:
        match trigger:
            case OneOffTrigger(at=at) if at == nominal_time:
                return TriggerKind.ONE_OFF
            case IntervalTrigger(every=every, offset=offset):
                since_epoch = nominal_time.timestamp() - offset.total_seconds()
                if since_epoch % every.total_seconds() == 0:
                    return TriggerKind.INTERVAL
    if any(isinstance(trigger, CronTrigger) for trigger in task.triggers):
        return TriggerKind.CRON
    return TriggerKind.INTERVAL
