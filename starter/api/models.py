"""What answers hold, for OpenAPI: the documents of `--json`, field by field.

Answers are made by the `as_json` of the service layer and not by these models, so that both doors
say the same; tests compare them.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from domain.run import TriggerKind
from domain.sla import SlaStatus
from domain.states import RunState


class Doc(BaseModel):
    """A document, or a part of one. More fields may come, none goes and none is renamed."""

    model_config = ConfigDict(extra="allow")


class Ids(Doc):
    """Which task."""

    tenant_id: str
    task_id: str


class TaskRow(Ids):
    """A task in a list. `last_status`: of its newest run."""

    plugin_id: str | None
    paused: bool
    note: str | None
    triggers: list[dict[str, Any]]
    next_times: list[datetime]
    last_status: RunState | None


class TaskList(Doc):
    """A page of tasks; `next_cursor` is null on the last one."""

    tasks: list[TaskRow]
    next_cursor: str | None


class Levels(Doc):
    """A run's service level so far; null while nothing is known."""

    start: SlaStatus | None
    finish: SlaStatus | None


class HeldBy(Doc):
    """Who holds a run."""

    by: str
    at: datetime
    reason: str | None


class OfEvent(Doc):
    """The event that a run is of."""

    id: str
    source: str
    type: str


class Run(Ids):
    """A run. Its times are in UTC, and null where they have not come."""

    run_id: str
    plugin_id: str | None
    trigger_kind: TriggerKind | None
    event: OfEvent | None
    nominal_time: datetime | None
    trigger_time: datetime | None
    actual_start: datetime | None
    ended_at: datetime | None
    duration_ms: int | None
    status: RunState
    reason: str | None
    retry_count: int
    error_code: str | None
    sla: Levels
    waits_for: str | None
    queue_position: int | None
    paused: HeldBy | None
    trace_id: str


class RunList(Doc):
    """A page of runs; `next_cursor` is null on the last one."""

    runs: list[Run]
    next_cursor: str | None


class Fires(Doc):
    """What Temporal did with the task's fires."""

    started: int
    skipped_overlap: int
    missed_catchup: int


class OpenAttempt(Doc):
    """A plugin call under way, or waiting for its time."""

    run_id: str
    attempt: int
    max_attempts: int
    next_at: datetime | None
    last_failure: str | None
    accepted_at: datetime | None
    progress: JsonValue
    message: str | None


class TaskDocument(Doc):
    """A task in full: `task` with every field, what it left out included."""

    task: dict[str, Any]
    etag: str
    paused: bool
    note: str | None
    next_times: list[datetime]
    fires: Fires
    created_at: datetime
    updated_at: datetime | None
    runs: list[Run]
    attempts: list[OpenAttempt]


class Created(Ids):
    """A new task, and when it fires first."""

    next_times: list[datetime]


class Updated(Created):
    """A task that said something else before."""

    changes: list[str]
    times_before: list[datetime]


class TenantChanges(Doc):
    """A tenant whose limits change."""

    tenant_id: str
    changes: list[str]


class Proposal(Doc):
    """The smallest change that clears a conflict."""

    task_id: str
    shift_s: int
    text: str


class Conflict(Doc):
    """A run that will not go as its trigger says. `tasks`: its own, then those in its way."""

    at: datetime
    tenant_id: str
    kind: Literal["mutex", "quota", "sla", "blackout"]
    resource: str
    tasks: list[str]
    wait_s: float | None
    outcome: str
    run_id: str
    timezone: str
    proposal: Proposal | None


class RegisteredTask(Ids):
    """What was done to one task."""

    result: Literal["created", "updated", "unchanged"]
    etag: str


class RegisteredTasks(Doc):
    """What registering did. Numbers of conflicts are null when they were not looked for."""

    created: list[Created]
    updated: list[Updated]
    unchanged: int
    deleted: list[Ids]
    tenants: list[TenantChanges]
    conflicts_before: int | None
    conflicts_after: int | None
    new_conflicts: list[Conflict]
    warnings: list[str]
    tasks: list[RegisteredTask]


class Paused(Ids):
    """`runs`: those that were asked to hold."""

    paused: Literal[True]
    runs: list[str]


class Resumed(Ids):
    """`recreated`: Temporal had dropped the schedule; `runs`: those that go on."""

    paused: Literal[False]
    recreated: bool
    runs: list[str]


class Triggered(Doc):
    """The run that was started, now or by the same key before."""

    run_id: str


class Deleted(Ids):
    """The task is registered no more."""

    deleted: Literal[True]


class CancelRequested(Doc):
    """The run ends CANCELLED, unless it ends first."""

    run_id: str
    cancel_requested: Literal[True]


class WhyDocument(Ids):
    """A verdict in a word, and the sentences that explain it."""

    at: datetime | None
    timezone: str
    run_id: str | None
    verdict: str
    because: list[str]
    holder: str | None
    position: int | None
    expected_start: datetime | None


class ForecastDocument(Doc):
    """`conflicts_total` counts those too that are too many to list."""

    from_: datetime = Field(alias="from")
    to: datetime
    tasks: int
    fires: int
    conflicts_total: int
    conflicts: list[Conflict]


class FireAhead(Doc):
    """One of the first fires of a task, and what it would meet."""

    nominal_time: datetime
    trigger_time: datetime
    verdict: str
    because: list[str]
    wait_s: float | None


class RehearsedTask(Ids):
    """`lost`: fires of the hours looked at that a conflict would skip or fail."""

    change: Literal["create", "update", "unchanged"]
    paused: bool
    ok: bool
    lost: int
    fires: list[FireAhead]
    capacity: str | None
    proposal: Proposal | None


class Rehearsed(Doc):
    """`ok`: whether every task is well."""

    ok: bool
    hours: float
    tasks: list[RehearsedTask]
    tenants: list[TenantChanges]
    conflicts_before: int
    conflicts_after: int
    warnings: list[str]


class Level(Doc):
    """How a task, or all of them, did: `due` fires, how they went, and what runs came to."""

    due: int
    on_time: int
    on_time_rate: float | None
    success_rate: float | None
    missed: int
    skipped: int
    retries: int
    breaches: int
    p50_latency_s: float | None
    p99_latency_s: float | None
    late: int
    waiting: int
    runs: int
    succeeded: int
    failed: int
    on_time_met: bool | None
    success_met: bool | None


class LevelRow(Level, Ids):
    """Of one task."""


class Targets(Doc):
    """What rates are to reach at least."""

    on_time_rate: float
    success_rate: float


class SlaReportDocument(Doc):
    """A rate is null where nothing is counted. `warnings` say what could not be told.

    `rolled_up_days`: whole days that came from roll-ups. `gone_days`: those of which not everything
    is known any more.
    """

    since: datetime
    until: datetime
    targets: Targets
    rows: list[LevelRow]
    totals: Level
    rolled_up_days: int
    gone_days: list[str]
    warnings: list[str]
