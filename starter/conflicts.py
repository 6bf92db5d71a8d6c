"""What will collide before a change and after it, by the code that will decide about it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, pairwise

from temporalio.client import Client

from domain.agenda import Key, Span, Spans
from domain.due import due_times
from domain.forecast import ConflictAhead, Forecast, forecast, window
from domain.limits import TenantLimits, is_governed
from domain.task import Overlap, Task
from shared.errors import TaskflowError, TemporalUnreachable
from starter.plan import Plan
from starter.present import Present, read_present

HOURS = 24.0
"""How far a plan looks ahead."""
FEW_FIRES = 5
_SECOND = timedelta(seconds=1)


async def add_conflicts(client: Client, plan: Plan, now: datetime) -> None:
    """Tell in a plan what will collide in the next hours without it, and with it.

    Costs nothing where no limit governs anything; a warning says why there is no answer, and then
    both numbers stay None.
    """
    registration = plan.registration
    if not can_collide(plan):
        plan.conflicts_before = plan.conflicts_after = 0
        return
    try:
        present = await read_present(client, plan.task_queue, registration.tenant_ids(), now)
    except TemporalUnreachable:
        raise
    except TaskflowError as error:
        plan.warnings.append(f"conflicts are not foreseen: {error}")
        return
    compared = await asyncio.to_thread(
        compare, present, list(registration.tasks), set(plan.deleted), plan.limits
    )
    plan.conflicts_before, plan.conflicts_after = compared.before.total, compared.after.total
    plan.new_conflicts = compared.new()


def can_collide(plan: Plan) -> bool:
    """Whether a limit governs any run, before the change or after it."""
    limited = {name for name, own in plan.limits.items() if own.max_concurrent is not None}
    before = [change.before for change in plan.updated if change.before]
    return (
        bool(plan.tenants or plan.deleted)
        or any(
            own.max_concurrent is not None or own.resources or own.mutex_groups
            for own in plan.limits.values()
        )
        or any(
            is_governed(task, limited=task.tenant_id in limited)
            for task in [*plan.registration.tasks, *before]
        )
    )


@dataclass(frozen=True, slots=True)
class Compared:
    """Two forecasts of the same hours: as things are, and as they would be."""

    before: Forecast
    after: Forecast

    def new(self) -> list[ConflictAhead]:
        """The conflicts that the change brings, in order of time."""
        known = {_identity(conflict) for conflict in self.before.conflicts}
        return [found for found in self.after.conflicts if _identity(found) not in known]


def compare(
    present: Present,
    wanted: list[Task],
    deleted: set[Key],
    limits: Mapping[str, TenantLimits],
    *,
    hours: float = HOURS,
) -> Compared:
    """Forecast without and with a change: tasks that are `wanted` and `deleted`, other `limits`.

    Only tasks that some limit governs are looked at, and those whose own runs may overlap: no other
    run ever waits or is skipped.
    """
    after_tasks = {key: spans for key, spans in present.tasks.items() if key not in deleted}
    for task in wanted:
        key = (task.tenant_id, task.task_id)
        if not present.paused(key):
            after_tasks[key] = (Span(present.now, None, task),)
    before = _look(present, present.tasks, present.limits, hours, propose=False)
    after = _look(present, after_tasks, {**present.limits, **limits}, hours, propose=True)
    return Compared(before, after)


def _look(
    present: Present,
    tasks: Mapping[Key, Spans],
    limits: Mapping[str, TenantLimits],
    hours: float,
    *,
    propose: bool,
) -> Forecast:
    def may_collide(key: Key, spans: Spans) -> bool:
        own = limits.get(key[0])
        limited = own is not None and own.max_concurrent is not None
        return any(
            is_governed(span.task, limited=limited) or _meets_itself(span.task, present)
            for span in spans[-1:]
        )

    start, end = window(present.now, hours)
    return forecast(
        {key: spans for key, spans in tasks.items() if may_collide(key, spans)},
        limits,
        present.durations,
        start=start,
        end=end,
        namespace_id=present.namespace_id,
        ledgers=present.books,
        propose=propose,
    )


def _meets_itself(task: Task, present: Present) -> bool:
    """Whether a run is likely to be under way still at the next fire: told by the next few."""
    if task.overlap is not Overlap.SKIP:
        return False
    lasts = present.durations.expected(task).median_s
    times = [due.scheduled_time for due in islice(due_times(task, after=present.now), FEW_FIRES)]
    return any((after - before) / _SECOND < lasts for before, after in pairwise(times))


def _identity(conflict: ConflictAhead) -> tuple[datetime, str, str, str, str]:
    kind, resource = conflict.kind, conflict.resource
    return conflict.at, conflict.tenant_id, kind, resource, conflict.tasks[0]
