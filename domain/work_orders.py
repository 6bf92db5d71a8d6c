"""Work orders: their states, who may do what in which, by when, and how they escalate.

Pure: time is an argument, and rules are tables.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import Field

from domain.ids import manual_run_id, parse_run_id, run_id_prefix
from domain.notices import Breach, BreachKind, FailedAttempt, OrderBrief, Severity, WorkOrderSeed
from domain.payload import Payload
from domain.run import TaskRunInput

PREPARE_RETRY = "prepare_retry"
"""Name of the activity that says what a retried run is started with; pinned."""
CONCERN = "concern"
"""Name of the signal that another breach concerns a work order; pinned."""
ANNOUNCED = "announced"
"""Name of the signal with the id that the notification service gave; pinned."""
VIEW = "view"
"""Name of the query for all that a work order says; pinned."""
ORDER_MEMO = "work_order"
"""Memo field of a work order: what a list of them shows, a `WorkOrderRow`."""

NOTES_KEPT = 50
ATTEMPTS_KEPT = 50
BREACHES_KEPT = 20
RETRIES_KEPT = 20
MOST_TEXT = 500
"""Characters of a note, and of each sentence of the evidence."""


class OrderState(StrEnum):
    """`TaskStatus` of a work order; the last two are ends."""

    OPEN = "OPEN"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    RETRYING = "RETRYING"
    RESOLVED = "RESOLVED"
    WAIVED = "WAIVED"


class Act(StrEnum):
    """What a person does to a work order: the names of its updates."""

    ACKNOWLEDGE = "acknowledge"
    RETRY = "retry"
    WAIVE = "waive"
    RESOLVE = "resolve"


@dataclass(frozen=True, slots=True)
class OrderRule:
    """What a state means, who moves a work order on from it, and what may be done in it."""

    meaning: str
    moved_by: str
    acts: frozenset[Act] = frozenset()


ORDER_STATES: dict[OrderState, OrderRule] = {
    OrderState.OPEN: OrderRule(
        "nobody has taken it up yet, and it escalates", "a person", frozenset(Act)
    ),
    OrderState.ACKNOWLEDGED: OrderRule(
        "somebody works on it", "its owner", frozenset({Act.RETRY, Act.WAIVE, Act.RESOLVE})
    ),
    OrderState.RETRYING: OrderRule("its task runs once more", "the retried run"),
    OrderState.RESOLVED: OrderRule("a retry succeeded, or a person says so", "nobody: an end"),
    OrderState.WAIVED: OrderRule("a person decided to leave it", "nobody: an end"),
}

DUE_AFTER: dict[Severity, timedelta] = {
    "low": timedelta(hours=72),
    "medium": timedelta(hours=24),
    "high": timedelta(hours=4),
    "critical": timedelta(hours=1),
}
"""By when a work order should be done, from its opening."""

ESCALATES_AFTER: dict[Severity, timedelta] = {
    "low": timedelta(hours=24),
    "medium": timedelta(hours=4),
    "high": timedelta(hours=1),
    "critical": timedelta(minutes=15),
}
"""How long a work order may stay open before somebody else is told."""

SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high", "critical")


def is_closed(state: OrderState) -> bool:
    """Whether nothing more happens to a work order."""
    return state in (OrderState.RESOLVED, OrderState.WAIVED)


def refusal(act: Act, state: OrderState, *, owner: str | None, retry: str | None) -> str | None:
    """Why something cannot be done in a state, in words; None when it can."""
    if act in ORDER_STATES[state].acts:
        return None
    if is_closed(state):
        return f"it is {state} already, and nothing more happens to it"
    if state is OrderState.RETRYING:
        return f"it is being retried as {retry}: wait for that run's end, or cancel the run"
    return f"it is {state} already, by {owner or 'somebody'}"


def due_at(severity: Severity, since: datetime) -> datetime:
    """By when a work order of this severity should be done."""
    return since + DUE_AFTER[severity]


def raised(severity: Severity) -> Severity:
    """One higher, or the highest."""
    return SEVERITIES[min(SEVERITIES.index(severity) + 1, len(SEVERITIES) - 1)]


def higher(one: Severity, other: Severity) -> Severity:
    """The higher of two."""
    return max(one, other, key=SEVERITIES.index)


def escalates_at(severity: Severity, since: datetime, told: Severity | None) -> datetime | None:
    """When a work order that stays open is told about again, one severity higher.

    `told`: what the last escalation said. None after one that said `critical`: there is no more to
    say.
    """
    return None if told == "critical" else since + ESCALATES_AFTER[severity]


class Note(Payload):
    """Something that happened to a work order: who did what, when."""

    at: datetime
    who: str
    what: str


class Retried(Payload):
    """A run that a work order started. `status`: None while it is under way."""

    run_id: str
    by: str
    at: datetime
    ended_at: datetime | None = None
    status: str | None = None
    error_code: str | None = None
    reason: str | None = None


class OrderInput(Payload):
    """The argument of `WorkOrder`, and of its signal `concern`: a breach and its evidence."""

    breach: Breach
    seed: WorkOrderSeed


class AcknowledgeOrder(Payload):
    """The argument of the update `acknowledge`."""

    by: str


class RetryOrder(Payload):
    """The argument of the update `retry`."""

    by: str


class WaiveOrder(Payload):
    """The argument of the update `waive`."""

    by: str
    reason: str = ""


class ResolveOrder(Payload):
    """The argument of the update `resolve`."""

    by: str
    note: str = ""


class WorkOrderRow(Payload):
    """What a list of work orders shows of one."""

    work_order_id: str
    tenant_id: str
    task_id: str
    plugin_id: str
    run_id: str
    status: OrderState
    owner: str | None = None
    cause: str
    error_code: str | None = None
    severity: Severity
    opened_at: datetime
    due_at: datetime
    external_id: str | None = None
    retry_run_id: str | None = None


class WorkOrderView(WorkOrderRow):
    """All that a work order says: the answer of its query and updates, and its result."""

    closed_at: datetime | None = None
    temporal_run_id: str | None = None
    trace_id: str | None = None
    attempts: list[FailedAttempt] = Field(default_factory=list)
    breaches: list[Breach] = Field(default_factory=list)
    retries: list[Retried] = Field(default_factory=list)
    notes: list[Note] = Field(default_factory=list)
    escalations: int = 0

    def row(self) -> WorkOrderRow:
        """The part for lists."""
        return WorkOrderRow.model_validate(self.model_dump())

    def brief(self) -> OrderBrief:
        """The part that notifications carry."""
        return OrderBrief(
            work_order_id=self.work_order_id,
            cause=self.cause,
            error_code=self.error_code,
            due_at=self.due_at,
            attempts=self.attempts,
        )


class PrepareRetry(Payload):
    """The argument of `prepare_retry`: the run that failed."""

    tenant_id: str
    task_id: str
    run_id: str


class RetryPlan(Payload):
    """What a retried run is started with, but for its time.

    `weight`: of the tenant, for fairness. `registered`: whether it is the task as it is registered
    now, and not as it was. `nominal_time`: what the failed run was for, when that is known.
    """

    request: TaskRunInput
    task_queue: str
    weight: float = 1.0
    registered: bool = True
    nominal_time: datetime | None = None


def opened_by(request: OrderInput, order_id: str) -> WorkOrderView:
    """A work order as it begins, made from the breach alone, so that whoever tells of it knows."""
    breach, seed = request.breach, request.seed
    return WorkOrderView(
        work_order_id=order_id,
        tenant_id=breach.tenant_id,
        task_id=breach.task_id,
        plugin_id=seed.plugin_id,
        run_id=breach.run_id,
        status=OrderState.OPEN,
        cause=seed.cause[:MOST_TEXT],
        error_code=seed.error_code,
        severity=breach.severity,
        opened_at=breach.observed_at,
        due_at=due_at(breach.severity, breach.observed_at),
        temporal_run_id=seed.temporal_run_id,
        trace_id=seed.trace_id,
        attempts=trimmed(seed.attempts),
        breaches=[breach],
        notes=[Note(at=breach.observed_at, who="taskflow", what=f"opened: {told(breach)}")],
    )


def concerned(view: WorkOrderView, request: OrderInput) -> WorkOrderView:
    """A work order that another breach concerns too; the same breach again changes nothing.

    The cause stays the first one, unless the run has failed since: that says more than a breach.
    """
    breach, seed = request.breach, request.seed
    if any(known.breach_id == breach.breach_id for known in view.breaches):
        return view
    seen = {(attempt.at, attempt.attempt) for attempt in view.attempts}
    new = [one for one in trimmed(seed.attempts) if (one.at, one.attempt) not in seen]
    failed = breach.kind is BreachKind.FAILED
    return view.model_copy(
        update={
            "cause": seed.cause[:MOST_TEXT] if failed else view.cause,
            "error_code": (seed.error_code if failed else None) or view.error_code,
            "severity": higher(view.severity, breach.severity),
            "due_at": min(view.due_at, due_at(breach.severity, breach.observed_at)),
            "attempts": [*view.attempts, *new][-ATTEMPTS_KEPT:],
            "breaches": [*view.breaches[: BREACHES_KEPT - 1], breach],
        }
    )


def trimmed(attempts: list[FailedAttempt]) -> list[FailedAttempt]:
    """The last attempts, their messages short: a history keeps them."""
    return [
        attempt.model_copy(update={"message": attempt.message[:MOST_TEXT]})
        for attempt in attempts[-ATTEMPTS_KEPT:]
    ]


def told(breach: Breach) -> str:
    """A breach in a few words."""
    return f"{breach.kind} of {breach.run_id}" + (f": {breach.message}" if breach.message else "")


def escalation_id(first_breach_id: str, number: int) -> str:
    """`<breach id>/escalation-1`: once for each."""
    return f"{first_breach_id}/escalation-{number}"


_RETRY_KEY = re.compile(r"[a-z]+-retry-\d+/(?P<origin>.+)", re.DOTALL | re.ASCII)


def retry_run_id(tenant_id: str, task_id: str, breach: Breach, number: int) -> str:
    """`run/acme/report/manual/failed-retry-1/2026-11-23T02:00:00Z`: asked twice, it is one run.

    `breach` is the one that the work order was opened for: another one of the same run, after that
    work order was closed, opens another, whose retries are others.
    """
    origin = breach.run_id.removeprefix(run_id_prefix(tenant_id, task_id))[1:]
    key = f"{breach.kind.value.lower()}-retry-{number}/{origin}"
    return manual_run_id(tenant_id, task_id, key)


def origin_of(run_id: str) -> str:
    """The run that a retried run stands for; of any other run itself."""
    parsed = parse_run_id(run_id)
    found = _RETRY_KEY.fullmatch(parsed.key) if parsed and parsed.key else None
    if parsed is None or found is None:
        return run_id
    prefix = run_id_prefix(parsed.tenant_id, parsed.task_id)
    scheduled = f"{prefix}-{found['origin']}"
    at = parse_run_id(scheduled)
    if at and at.scheduled_time and at.task_id == parsed.task_id:
        return scheduled
    return f"{prefix}/{found['origin']}"
