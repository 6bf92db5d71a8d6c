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
    """What a work order starts with, beside the breach that it is opened for."""

    plugin_id: str
    error_code: str | None = None
    cause: str
    attempts: list[FailedAttempt] = Field(default_factory=list)
    trace_id: str | None = None


class NoticeInput(Payload):
    """The argument of `Notice`. `work_order`: None when the task wants none for this.

    `streak`: whether the runs before are looked at, for consecutive breaches.
    """

    breach: Breach
    work_order: WorkOrderSeed | None = None
    streak: bool = False


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
