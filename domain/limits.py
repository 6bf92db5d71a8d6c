"""What a tenant's runs may hold at once, and what one run of a task needs of it.

A *dimension* is one thing that can run short: the tenant's concurrency (`concurrent`), a named
resource (`resource:gpu`), a mutex group (`mutex:warehouse`) or a task's own overlap rule
(`overlap:daily-report`). A run needs some units of some dimensions, all of them or none.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Literal

from pydantic import Field

from domain.payload import Payload
from domain.task import EventTrigger, Overlap, Task
from domain.tenant import Tenant

CONCURRENT = "concurrent"
GROUP_LIMIT = 1
"""Of a mutex group that the tenant does not name: at most one run holds it."""

Units = tuple[tuple[str, int], ...]
"""How much of which dimensions, in a fixed order."""
OnConflict = Literal["queue", "skip", "fail", "warn"]


class TenantLimits(Payload):
    """What a tenant's runs may hold at once; None and absent resources are unlimited."""

    max_concurrent: int | None = None
    resources: dict[str, int] = Field(default_factory=dict)
    mutex_groups: dict[str, int] = Field(default_factory=dict)
    fairness_weight: float = 1.0
    changed_at: datetime | None = None

    def same_as(self, other: "TenantLimits | None") -> bool:
        """Whether both say the same, whenever they said it."""
        return other is not None and other.model_copy(update={"changed_at": self.changed_at}) == (
            self
        )


def limits_of(tenant: Tenant) -> TenantLimits:
    """The limits that a task file declares for a tenant."""
    return TenantLimits(
        max_concurrent=tenant.quota.max_concurrent,
        resources=dict(tenant.quota.resources),
        mutex_groups=dict(tenant.mutex_groups),
        fairness_weight=tenant.fairness_weight,
    )


@dataclass(frozen=True, slots=True)
class Demand:
    """What every run of a task needs: `units` of each dimension, in a fixed order."""

    task_id: str
    units: Units
    overlap: Overlap = Overlap.ALLOW
    priority: int = 3
    on_conflict: OnConflict = "queue"


def demand_of(task: Task, *, manual: bool = False) -> Demand:
    """What a run of the task asks for.

    A run by hand is a person's decision: `overlap: skip` does not keep it from running, all other
    rules hold for it too.
    """
    return _demand(
        task.task_id,
        tuple(sorted(task.resources.items())),
        tuple(sorted(set(task.mutex))),
        Overlap.ALLOW if manual and task.overlap is Overlap.SKIP else task.overlap,
        task.priority,
        task.on_conflict,
    )


@lru_cache(maxsize=50_000)
def _demand(  # noqa: PLR0917 - the key of a cache
    task_id: str,
    resources: tuple[tuple[str, int], ...],
    mutex: tuple[str, ...],
    overlap: Overlap,
    priority: int,
    on_conflict: OnConflict,
) -> Demand:
    units = [(CONCURRENT, 1)]
    units += [(f"resource:{name}", count) for name, count in resources]
    units += [(f"mutex:{group}", 1) for group in mutex]
    if overlap in (Overlap.QUEUE, Overlap.CANCEL_RUNNING):
        units.append((f"overlap:{task_id}", 1))
    return Demand(task_id, tuple(units), overlap, priority, on_conflict)


def is_governed(task: Task, *, limited: bool) -> bool:
    """Whether the task's runs ask for admission; `limited`: its tenant has a `max_concurrent`.

    `overlap: skip` alone asks nobody: Temporal's own schedule keeps it, at no cost. But no schedule
    sees the runs of events.
    """
    return (
        limited
        or bool(task.resources or task.mutex)
        or task.overlap in (Overlap.QUEUE, Overlap.CANCEL_RUNNING)
        or (task.overlap is Overlap.SKIP and takes_events(task))
    )


def takes_events(task: Task) -> bool:
    """Whether events make runs of the task."""
    return any(isinstance(trigger, EventTrigger) for trigger in task.triggers)


def skips_in_temporal(task: Task, *, limited: bool) -> bool:
    """Whether the task's schedule itself keeps a fire from overlapping the run before."""
    return task.overlap is Overlap.SKIP and not is_governed(task, limited=limited)


def limit_of(limits: TenantLimits, dimension: str) -> int | None:
    """How many units there are; None is as many as anybody wants."""
    kind, _, name = dimension.partition(":")
    if kind == "mutex":
        return limits.mutex_groups.get(name, GROUP_LIMIT)
    if kind == "resource":
        return limits.resources.get(name)
    return limits.max_concurrent if kind == CONCURRENT else 1


def impossible(demand: Demand, limits: TenantLimits) -> str | None:
    """Why no run of this demand can ever be admitted; None when one can."""
    for dimension, wanted in demand.units:
        limit = limit_of(limits, dimension)
        if limit is not None and wanted > limit:
            return f"{named(dimension)}: {wanted} can never be met, the tenant has {limit}"
    return None


def named(dimension: str) -> str:
    """A dimension as people call it."""
    kind, _, name = dimension.partition(":")
    match kind:
        case "mutex":
            return f"mutex group {name}"
        case "resource":
            return f"resource {name}"
        case "overlap":
            return "the task's own runs"
        case _:
            return "the tenant's max_concurrent"
