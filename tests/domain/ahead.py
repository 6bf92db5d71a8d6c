"""Forecasts of a few tasks, as tests write them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from domain.agenda import Key, Span, Spans
from domain.durations import Durations
from domain.forecast import ConflictAhead, Forecast, forecast
from domain.limits import TenantLimits
from domain.task import Sla, Task
from tests.conftest import task_of

START = datetime(2026, 11, 23, tzinfo=UTC)
NAMESPACE = "4b7b7b0c-9c4e-4bd7-8b0e-0d3c7b1f5a10"


def nightly(task_id: str, minute: int = 0, **fields: Any) -> Task:
    """A task that fires once in the window, some minutes after two."""
    said = {"triggers": [{"cron": f"{minute} 2 * * *"}], "expected_duration": "4m", **fields}
    return task_of(task_id=task_id, **said)


def with_sla(task: Task, *, start_s: float, finish_s: float) -> Task:
    """The same with an SLA."""
    sla = Sla(
        start_within=timedelta(seconds=start_s),
        finish_within=timedelta(seconds=finish_s),
        warn_at=0.8,
        on_breach="notify",
        severity="low",
    )
    return task.model_copy(update={"sla": sla})


def spans_of(tasks: list[Task]) -> dict[Key, Spans]:
    """Registered for a year, and not paused."""
    since = START - timedelta(days=365)
    return {(task.tenant_id, task.task_id): (Span(since, None, task),) for task in tasks}


def ahead(
    *tasks: Task,
    limits: TenantLimits | None = None,
    durations: Durations | None = None,
    start: datetime = START,
    hours: float = 24,
    **more: Any,
) -> Forecast:
    """What happens to these tasks of the tenant `acme`."""
    return forecast(
        spans_of(list(tasks)),
        {"acme": limits or TenantLimits()},
        durations or Durations(),
        start=start,
        end=start + timedelta(hours=hours),
        namespace_id=NAMESPACE,
        **more,
    )


def told(conflict: ConflictAhead) -> tuple[object, ...]:
    """A conflict without its times."""
    return conflict.kind, conflict.resource, conflict.tasks, conflict.wait_s, conflict.outcome
