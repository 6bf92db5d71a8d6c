"""A dry run of a task file: what registering it would do, and how its first fires would go."""

import secrets
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import httpx
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities.capacity import CapacityActivities
from domain.agenda import Key
from domain.blackout import judge
from domain.capacity import CapacityRelease, CapacityRequest
from domain.due import due_times
from domain.forecast import ConflictAhead
from domain.ids import scheduled_run_id
from domain.limits import limits_of
from domain.registration import Registration
from domain.simulation import Outcome
from domain.task import Task
from domain.trace import trace_id, traceparent
from shared.schedules import seed_of
from shared.settings import Settings
from starter.conflicts import HOURS, Compared, compare
from starter.plan import Plan
from starter.present import Present, nothing_present, read_present
from starter.registry import make_plan
from starter.times import rfc3339

FIRST_FIRES = 3
_LOST = (Outcome.SKIPPED, Outcome.FAILED, Outcome.QUEUE_TIMEOUT)


@dataclass(frozen=True, slots=True)
class FireAhead:
    """One of the first fires of a task, and what it would meet."""

    nominal_time: datetime
    trigger_time: datetime
    verdict: str
    because: list[str]
    wait_s: float | None = None

    @property
    def well(self) -> bool:
        """Whether it would run, if only after a wait."""
        return self.verdict in ("runs", "waits", "runs_beside", "put_off", "cancels")

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
    """One task of the file: `change` is what applying does to it; `capacity` None: not asked."""

    task: Task
    change: str
    fires: list[FireAhead]
    capacity: str | None = None
    capacity_ok: bool = True
    proposal: dict[str, str | int] | None = None

    @property
    def well(self) -> bool:
        """Whether all its first fires would run, and it would get its capacity."""
        return self.capacity_ok and all(fire.well for fire in self.fires)

    def as_json(self) -> dict[str, Any]:
        """A task in the document of `dryrun`."""
        return {
            "tenant_id": self.task.tenant_id,
            "task_id": self.task.task_id,
            "change": self.change,
            "ok": self.well,
            "fires": [fire.as_json() for fire in self.fires],
            "capacity": self.capacity,
            "proposal": self.proposal,
        }


@dataclass(slots=True)
class Rehearsal:
    """The whole file."""

    tasks: list[TaskRehearsal]
    conflicts_before: int
    conflicts_after: int
    tenants: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def well(self) -> bool:
        """Whether nothing of the file would fail, be skipped or wait for ever."""
        return all(task.well for task in self.tasks)

    def as_json(self) -> dict[str, Any]:
        """The document of `dryrun`."""
        return {
            "ok": self.well,
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
    Errors: `InvalidInput` for what cannot be compiled or does not fit its tenant.
    """
    if client:
        plan = await make_plan(client, registration, task_queue=settings.task_queue, touch=False)
        present = await read_present(client, settings.task_queue, registration.tenant_ids(), now)
    else:
        plan, present = None, nothing_present(now)
    compared = compare(present, list(registration.tasks), set(), _limits(registration), hours=hours)
    rehearsal = Rehearsal(
        _tasks(registration, plan, present, compared),
        compared.before.total,
        compared.after.total,
        tenants=[change.as_json() for change in plan.tenants] if plan else [],
        warnings=list(plan.warnings) if plan else [],
    )
    if capacity:
        await _ask_capacity(rehearsal.tasks, settings, now)
    return rehearsal


def _limits(registration: Registration) -> dict[str, Any]:
    return {tenant_id: limits_of(tenant) for tenant_id, tenant in registration.tenants.items()}


def _tasks(
    registration: Registration, plan: Plan | None, present: Present, compared: Compared
) -> list[TaskRehearsal]:
    met: defaultdict[str, list[ConflictAhead]] = defaultdict(list)
    proposals: dict[Key, dict[str, str | int]] = {}
    for conflict in compared.after.conflicts:
        met[conflict.run_id].append(conflict)
        if conflict.proposal:
            key = (conflict.tenant_id, conflict.tasks[0])
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
        fires = [] if present.paused(key) else list(_fires(task, present, compared, met))
        change = "paused" if present.paused(key) else change_of(key)
        found.append(TaskRehearsal(task, change, fires, proposal=proposals.get(key)))
    return found


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
            verdict, because = "skipped", [window.reason or "a blackout"]
        elif window.reason:
            verdict, because = "put_off", [window.reason]
            wait = (window.at - due.trigger_time) / timedelta(seconds=1)
        for conflict in met.get(run_id, ()):
            if conflict.kind != "blackout":
                verdict, wait = str(conflict.outcome), conflict.wait_s
                because.append(conflict.sentence())
        if due.trigger_time > compared.after.end:
            because.append("later than the hours that were rehearsed")
        yield FireAhead(due.nominal_time, due.trigger_time, verdict, because, wait)


async def _ask_capacity(tasks: list[TaskRehearsal], settings: Settings, now: datetime) -> None:
    """Reserve for each task as its run would, and give back at once."""
    async with httpx.AsyncClient(trust_env=False, follow_redirects=False) as http:
        service = CapacityActivities(http, settings.capacity_url, settings.capacity_timeout)
        for rehearsed in tasks:
            task = rehearsed.task
            if not task.resources:
                continue
            if settings.capacity_url is None:
                rehearsed.capacity = "no capacity service is configured (TASKFLOW_CAPACITY_URL)"
                continue
            rehearsed.capacity_ok, rehearsed.capacity = await _reserve(service, task, now)


async def _reserve(service: CapacityActivities, task: Task, now: datetime) -> tuple[bool, str]:
    reservation = f"dryrun/{task.tenant_id}/{task.task_id}/{secrets.token_hex(4)}"
    parent = traceparent(trace_id(reservation, ""), 1)
    try:
        answer = await service.reserve(
            CapacityRequest(
                reservation_id=reservation,
                tenant_id=task.tenant_id,
                task_id=task.task_id,
                resources=task.resources,
                start=now,
                duration=task.expected_duration or task.timeout,
            ),
            parent,
        )
        await service.release(
            CapacityRelease(
                reservation_id=reservation, tenant_id=task.tenant_id, task_id=task.task_id
            ),
            parent,
        )
    except ApplicationError as error:
        return False, f"the capacity service did not decide: {error.message}"
    if answer.granted:
        return True, "there is enough now"
    return False, f"not enough now: {answer.reason or 'no reason given'}"
