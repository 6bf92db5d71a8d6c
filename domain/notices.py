"""What people are told of a run: SLA breaches, failures, and the work orders that follow.

The payloads between a run, the `Notice` workflow and the notification service.
"""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from domain.payload import Payload

Severity = Literal["low", "medium", "high", "critical"]


class BreachKind(StrEnum):
    """What happened, as the notification service is told it."""

    WARNING = "WARNING"
    START = "START"
    FINISH = "FINISH"
    CONSECUTIVE = "CONSECUTIVE"
    FAILED = "FAILED"


class Breach(Payload):
    """One thing to be told once. `expected_by`: None when nothing was expected by then.

    `breach_id` is made by `breach_id_of`: the same breach is the same id, however often it is seen.
    """

    breach_id: str
    kind: BreachKind
    tenant_id: str
    task_id: str
    run_id: str
    expected_by: datetime | None
    observed_at: datetime
    severity: Severity = "medium"
    message: str = ""


class FailedAttempt(Payload):
    """Evidence: one attempt of a run that came to nothing. `attempt` counts from 1."""

    attempt: int
    at: datetime
    error_code: str
    message: str
    compensation: bool = False


class WorkOrderSeed(Payload):
    """What a work order starts with, beside the breach that it is opened for.

    `temporal_run_id`: Temporal's own id of the run; `raise_notices` fills it in.
    """

    plugin_id: str
    error_code: str | None = None
    cause: str
    attempts: list[FailedAttempt] = Field(default_factory=list)
    trace_id: str | None = None
    temporal_run_id: str | None = None


class OrderBrief(Payload):
    """What a notification says of a work order."""

    work_order_id: str
    cause: str
    error_code: str | None = None
    due_at: datetime
    attempts: list[FailedAttempt] = Field(default_factory=list)


class NoticeInput(Payload):
    """The argument of `Notice`. `work_order`: None when the task wants none for this.

    `streak`: whether the runs before are looked at, for consecutive breaches. `order`: the work
    order that exists already and is what this tells about. `trace_id`: that of the run.
    """

    breach: Breach
    work_order: WorkOrderSeed | None = None
    streak: bool = False
    order: OrderBrief | None = None
    trace_id: str | None = None


class NotifyInput(Payload):
    """The argument of `notify`. `joined`: the work order was there before, and knows its due."""

    breach: Breach
    order: OrderBrief | None = None
    trace_id: str | None = None
    joined: bool = False


class Notified(Payload):
    """What the notification service answered. `asked`: False when there is none to ask."""

    work_order_id: str | None = None
    asked: bool = True


class LookInput(Payload):
    """The argument of `look_at_streak`: the breach whose run may be one of several."""

    breach: Breach
    trace_id: str | None = None


class Looked(Payload):
    """How many breached runs are in a row. `announced`: the breach id of their own notice.

    None when they are too few, or were announced before under another name.
    """

    runs: int = 0
    announced: str | None = None


class RaiseInput(Payload):
    """The argument of `raise_notices`: in order, all of one run."""

    tenant_id: str
    notices: list[NoticeInput]


class Raised(Payload):
    """What became of them. `monitored`: False when `task-sla-monitor` is off for the tenant.

    With the flag off only `FAILED` notices are raised.
    """

    monitored: bool = True


def breach_id_of(run_id: str, kind: BreachKind) -> str:
    """`run/acme/report-2026-11-23T02:00:00Z/finish`: once per run and kind."""
    return f"{run_id}/{kind.value.lower()}"
