"""A dry run of a task file: what registering it would do, and how its first fires would go."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from temporalio.client import Client

from domain.agenda import Key
from domain.blackout import judge
from domain.due import due_times, next_due
from domain.forecast import ConflictAhead
from domain.ids import scheduled_run_id
from domain.limits import limits_of, takes_events
from domain.registration import Registration
from domain.simulation import Outcome
from domain.task import Task
from shared.schedules import seed_of
from shared.settings import Settings
from starter.capacity import ask_capacity
from starter.conflicts import HOURS, Compared, compare
from starter.crowds import make_room
from starter.plan import Plan
from starter.present import Present, nothing_present, read_present
from starter.registry import make_plan
from starter.times import rfc3339

FIRST_FIRES = 3
_LOST = (Outcome.SKIPPED, Outcome.FAILED, Outcome.QUEUE_TIMEOUT)


@dataclass(frozen=True, slots=True)
class FireAhead:
    """One of the first fires of a task, and what it would meet.

    `verdict`: `runs`, `waits` (for `wait_s` seconds), `put_off` (by a blackout, for `wait_s`),
    `runs_beside` (in spite of a conflict: `on_conflict: warn`), `cancels` (an earlier run), and of
    those that do not run: `blackout`, `skipped`, `queue_timeout`, `failed`. `not_rehearsed`: it is
    due after the hours that were looked at.
    """

    nominal_time: datetime
    trigger_time: datetime
    verdict: str
    because: list[str]
    wait_s: float | None = None

    def as_json(self) -> dict[str, Any]:
        """A fire in the document of `dryrun`."""
        return {
            "nominal_time": rfc3339(self.nominal_time),
            "trigger_time": rfc3339(self.trigger_time),
            "verdict": self.verdict,
            "because": self.because,
            "wait_s": self.wait_s,
        }


@dataclass(slots=True)
class TaskRehearsal:
    """One task of the file.

    `change`: what applying does to it, `create`, `update` or `unchanged`; a task that is `paused`
    stays so, and has no fires. `fires`: the first ones. `lost`: how many fires of the hours looked
    at a conflict with other tasks would skip or fail. `never_runs`: blackouts skip all that it ever
    has. `capacity`: what the capacity service says, None: it was not asked.
    """

    task: Task
    change: str
    paused: bool
    fires: list[FireAhead]
    lost: int = 0
    never_runs: bool = False
    capacity: str | None = None
    capacity_ok: bool = True
    proposal: dict[str, str | int] | None = None

    @property
    def well(self) -> bool:
        """Whether it loses no fire to a conflict, runs at all, and would get its capacity.

        Fires that a blackout skips, or the task's own run before, are as the file wants it.
        """
        return self.capacity_ok and not self.lost and not self.never_runs

    def as_json(self) -> dict[str, Any]:
        """A task in the document of `dryrun`."""
        return {
            "tenant_id": self.task.tenant_id,
            "task_id": self.task.task_id,
            "change": self.change,
            "paused": self.paused,
            "ok": self.well,
            "lost": self.lost,
            "fires": [fire.as_json() for fire in self.fires],
            "capacity": self.capacity,
            "proposal": self.proposal,
        }


@dataclass(slots=True)
class Rehearsal:
    """The whole file."""

    tasks: list[TaskRehearsal]
    hours: float
    conflicts_before: int
    conflicts_after: int
    tenants: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def well(self) -> bool:
        """Whether every task of the file is well."""
        return all(task.well for task in self.tasks)

    def as_json(self) -> dict[str, Any]:
        """The document of `dryrun`; `tenants` are those whose limits the file changes."""
        return {
            "ok": self.well,
            "hours": self.hours,
            "tasks": [task.as_json() for task in self.tasks],
            "tenants": self.tenants,
            "conflicts_before": self.conflicts_before,
            "conflicts_after": self.conflicts_after,
            "warnings": self.warnings,
        }


async def rehearse(
    client: Client | None,
    registration: Registration,
    settings: Settings,
    *,
    now: datetime,
    hours: float = HOURS,
    capacity: bool = False,
) -> Rehearsal:
    """Rehearse a checked file against what is registered; without a client, by itself.

    Nothing is changed, but that `capacity` reserves for each task with resources, and gives back.
    Errors: `InvalidInput` for what cannot be compiled or does not fit its tenant, `TaskflowError`
    when no worker can say what is registered, `TemporalUnreachable`.
    """
    if client:
        plan = await make_plan(client, registration, task_queue=settings.task_queue, touch=False)
        registration, warnings = plan.registration, list(plan.warnings)
        present = await read_present(client, settings.task_queue, registration.tenant_ids(), now)
    else:
        plan, present = None, nothing_present(now)
        room = await make_room(None, registration, settings.task_queue)
        registration = room.registration
        warnings = room.warnings + _warnings(registration.tasks, now)
    compared = await asyncio.to_thread(
        compare, present, list(registration.tasks), set(), _limits(registration), hours=hours
    )
    rehearsal = Rehearsal(
        _tasks(registration, plan, present, compared),
        hours,
        compared.before.total,
        compared.after.total,
        tenants=[change.as_json() for change in plan.tenants] if plan else [],
        warnings=warnings,
    )
    if capacity:
        answers = await ask_capacity([task.task for task in rehearsal.tasks], settings, now)
        for rehearsed in rehearsal.tasks:
            if answer := answers.get((rehearsed.task.tenant_id, rehearsed.task.task_id)):
                rehearsed.capacity_ok, rehearsed.capacity = answer
    return rehearsal


def _warnings(tasks: Iterable[Task], now: datetime) -> list[str]:
    """Of a file by itself."""
    said = [
        f"{task.tenant_id}/{task.task_id} never fires again"
        for task in tasks
        if not takes_events(task) and not next_due(task, 1, after=now)
    ]
    if any(task.jitter for task in tasks):
        said.append("jitter is known to Temporal only: fires are shown as if they had none")
    return said


def _limits(registration: Registration) -> dict[str, Any]:
    return {tenant_id: limits_of(tenant) for tenant_id, tenant in registration.tenants.items()}


def _tasks(
    registration: Registration, plan: Plan | None, present: Present, compared: Compared
) -> list[TaskRehearsal]:
    met: defaultdict[str, list[ConflictAhead]] = defaultdict(list)
    proposals: dict[Key, dict[str, str | int]] = {}
    lost: defaultdict[Key, set[str]] = defaultdict(set)
    for conflict in compared.after.conflicts:
        key = (conflict.tenant_id, conflict.tasks[0])
        met[conflict.run_id].append(conflict)
        if conflict.outcome in _LOST and not _is_own(conflict):
            lost[key].add(conflict.run_id)
        if conflict.proposal:
            proposals.setdefault(key, conflict.proposal.as_json())
    created = {wanted.key for wanted in plan.created} if plan else set()
    updated = {change.wanted.key for change in plan.updated} if plan else set()

    def change_of(key: Key) -> str:
        if plan is None or key in created:
            return "create"
        return "update" if key in updated else "unchanged"

    found = []
    for task in registration.tasks:
        key = (task.tenant_id, task.task_id)
        paused = present.paused(key)
        fires = [] if paused else list(_fires(task, present, compared, met))
        rehearsed = TaskRehearsal(
            task,
            change_of(key),
            paused,
            fires,
            lost=len(lost[key]),
            never_runs=bool(fires) and not next_due(task, 1, after=present.now),
            proposal=proposals.get(key),
        )
        found.append(rehearsed)
    return found


def _is_own(conflict: ConflictAhead) -> bool:
    """Whether the task's own rules are all that it meets: its blackouts, its overlap."""
    return conflict.kind == "blackout" or conflict.resource == "overlap"


def _fires(
    task: Task,
    present: Present,
    compared: Compared,
    met: dict[str, list[ConflictAhead]],
) -> Iterable[FireAhead]:
    """The first fires; what comes after the hours that were looked at is only named."""
    seed = seed_of(task, present.namespace_id)
    for due in islice(due_times(task, after=present.now, seed=seed), FIRST_FIRES):
        run_id = scheduled_run_id(task.tenant_id, task.task_id, due.scheduled_time)
        window = judge(task, due.trigger_time)
        verdict, because, wait = "runs", [], None
        if window.skipped:
            verdict, because = "blackout", [f"it is skipped: {window.reason}"]
        elif window.reason:
            verdict, because = "put_off", [f"it is {window.reason}"]
            wait = (window.at - due.trigger_time) / timedelta(seconds=1)
        for conflict in met.get(run_id, ()):
            if conflict.kind != "blackout":
                if conflict.kind != "sla":
                    verdict, wait = str(conflict.outcome), conflict.wait_s
                because.append(f"it {conflict.outcome_text()}")
        if verdict == "runs" and due.trigger_time > compared.after.end:
            verdict = "not_rehearsed"
        yield FireAhead(due.nominal_time, due.trigger_time, verdict, because, wait)
