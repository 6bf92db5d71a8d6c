"""From a task file to tasks that can be scheduled, or to everything that is wrong with it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import Field, SerializeAsAny, ValidationError

from domain.cron import CronExpression
from domain.document import Document
from domain.layers import TaskDefaults, TaskSpec, merge, said
from domain.policy import Policy
from domain.problems import InvalidInput, Path, Problem, problems_of
from domain.task import (
    Count,
    CronTrigger,
    IntervalTrigger,
    Model,
    Name,
    OneOffTrigger,
    Quota,
    Task,
)
from domain.triggers import zone_of
from domain.unbuilt import unbuilt_in_task, unbuilt_in_tenant

MAX_PARAMS_BYTES = 64 * 1024
MIN_CATCHUP = timedelta(seconds=10)  # Temporal's own least
FIRST_YEAR, LAST_YEAR = 1970, 2199  # times in nanoseconds, as the server keeps them, end in 2262


class Tenant(Model):
    """What a task file says about a tenant."""

    tenant_id: Name
    quota: Quota = Quota()
    mutex_groups: dict[Name, Count] = Field(default_factory=dict)
    fairness_weight: Annotated[float, Field(strict=True, ge=0.001, le=1000)] = 1.0
    defaults: SerializeAsAny[TaskDefaults] = TaskDefaults()  # type: ignore[valid-type]


@dataclass(frozen=True, slots=True)
class Registration:
    """A file that is right: whole tasks, and the tenants it names."""

    tasks: tuple[Task, ...]
    tenants: dict[str, Tenant] = field(default_factory=dict)

    def weight_of(self, tenant_id: str) -> float:
        """The tenant's fairness weight."""
        tenant = self.tenants.get(tenant_id)
        return tenant.fairness_weight if tenant else 1.0

    def tenant_ids(self) -> list[str]:
        """Every tenant that the file names, declared or not."""
        return sorted(self.tenants.keys() | {task.tenant_id for task in self.tasks})


def read_registration(
    document: Document, policy: Policy, *, tenant: str | None = None
) -> Registration:
    """Check a whole file.

    `tenant` is what a task that names none belongs to. Errors: `InvalidInput` with every problem of
    the file, each with its path and line.
    """
    problems: list[Problem] = []
    data = document.data
    if not isinstance(data, dict) or not ({"tasks", "tenants"} & data.keys()):
        message = "a task file is a mapping with the key `tasks` (and, if need be, `tenants`)"
        raise InvalidInput(document.placed([Problem((), message)]))
    problems += [
        Problem((key,), "is not a known key: a file has `tasks` and `tenants`")
        for key in data.keys() - {"tasks", "tenants"}
    ]
    lists: dict[str, list[Any]] = {}
    for key in ("tasks", "tenants"):
        lists[key] = data[key] if isinstance(data.get(key), list) else []
        if data.get(key) is not None and not isinstance(data[key], list):
            problems.append(Problem((key,), "must be a list"))
    most = policy.limits.max_tasks_per_file
    if len(lists["tasks"]) > most:
        problems.append(
            Problem(("tasks",), f"{len(lists['tasks'])} tasks: a file holds {most} at most")
        )
        raise InvalidInput(document.placed(problems))

    tenants = _read_tenants(lists["tenants"], problems)
    reader = _TaskReader(policy, tenants, tenant, problems)
    tasks = [
        task
        for index, raw in enumerate(lists["tasks"])
        if (task := reader.read(raw, ("tasks", index)))
    ]
    if problems:
        raise InvalidInput(document.placed(problems))
    return Registration(tuple(tasks), tenants)


def _read_tenants(raws: list[Any], problems: list[Problem]) -> dict[str, Tenant]:
    tenants: dict[str, Tenant] = {}
    for index, raw in enumerate(raws):
        at: Path = ("tenants", index)
        try:
            tenant = Tenant.model_validate(raw)
        except ValidationError as error:
            problems += problems_of(error, at)
            continue
        problems += unbuilt_in_tenant(said(tenant), at)
        if tenant.tenant_id in tenants:
            problems.append(Problem((*at, "tenant_id"), f"{tenant.tenant_id!r} stands twice"))
        tenants[tenant.tenant_id] = tenant
    return tenants


class _TaskReader:
    """Reads one task after the other, and remembers which ids it has seen."""

    def __init__(
        self,
        policy: Policy,
        tenants: dict[str, Tenant],
        tenant: str | None,
        problems: list[Problem],
    ) -> None:
        self._policy = policy
        self._tenants = tenants
        self._tenant = tenant
        self._problems = problems
        self._seen: dict[tuple[str, str], int] = {}

    def read(self, raw: Any, at: Path) -> Task | None:
        if isinstance(raw, dict) and self._tenant and "tenant_id" not in raw:
            raw = {"tenant_id": self._tenant, **raw}
        try:
            spec = said(TaskSpec.model_validate(raw))
        except ValidationError as error:
            self._problems += problems_of(error, at)
            return None
        task = self._layered(spec, at)
        unbuilt = unbuilt_in_task(spec, at)
        self._problems += unbuilt
        if task is None:
            return None
        self._problems += [Problem((*at, *p.path), p.message) for p in self._checks(task, spec)]
        key = (task.tenant_id, task.task_id)
        if (first := self._seen.setdefault(key, int(at[-1]))) != at[-1]:
            message = (
                f"{task.task_id!r} of tenant {task.tenant_id!r} stands twice: also tasks[{first}]"
            )
            self._problems.append(Problem((*at, "task_id"), message))
        return task

    def _layered(self, spec: dict[str, Any], at: Path) -> Task | None:
        tenant = self._tenants.get(spec["tenant_id"])
        merged = merge(
            said(self._policy.defaults),
            self._policy.defaults_of(spec["tenant_id"]),
            said(tenant.defaults) if tenant else {},
            spec,
            sla_defaults=said(self._policy.sla_defaults),
        )
        try:
            return Task.model_validate(merged)
        except ValidationError as error:
            self._problems += problems_of(error, at)
            return None

    def _checks(self, task: Task, spec: dict[str, Any]) -> Iterator[Problem]:
        """Values that are each right and do not fit together."""
        least = self._policy.min_interval_of(task.tenant_id)
        yield from _trigger_checks(task, least)
        yield from _one_off_checks(task)
        yield from _time_checks(task, spec)
        size = len(task.model_dump_json(include={"params"}))
        if size > MAX_PARAMS_BYTES:
            yield Problem(("params",), f"{size} bytes: the limit is {MAX_PARAMS_BYTES}")
        tenant = self._tenants.get(task.tenant_id)
        if tenant:
            yield from _quota_checks(task, tenant)


def _trigger_checks(task: Task, least: timedelta) -> Iterator[Problem]:
    for index, trigger in enumerate(task.triggers):
        at = ("triggers", index)
        if isinstance(trigger, IntervalTrigger):
            if trigger.every < max(least, timedelta(seconds=1)):
                yield Problem((*at, "every"), f"more often than the least interval, {least}")
            elif trigger.every % timedelta(seconds=1):
                yield Problem((*at, "every"), "must be whole seconds")
            if trigger.offset >= trigger.every > timedelta(0):
                yield Problem((*at, "offset"), "must be shorter than `every`")
            elif trigger.offset % timedelta(seconds=1):
                yield Problem((*at, "offset"), "must be whole seconds")
        elif (
            isinstance(trigger, CronTrigger)
            and least > timedelta(minutes=1)
            and (gap := _least_gap(trigger.expression())) < least
        ):
            yield Problem((*at, "cron"), f"fires {gap} apart: the least interval is {least}")


def _one_off_checks(task: Task) -> Iterator[Problem]:
    zone = ZoneInfo(zone_of(task))
    for index, trigger in enumerate(task.triggers):
        if not isinstance(trigger, OneOffTrigger):
            continue
        at = ("triggers", index, "at")
        if not FIRST_YEAR <= trigger.at.year <= LAST_YEAR:
            yield Problem(at, f"must be in a year from {FIRST_YEAR} to {LAST_YEAR}")
            continue
        local = trigger.at.astimezone(zone)
        if trigger.at.microsecond:
            yield Problem(at, "must be a whole second")
        elif local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset():
            message = f"the clock of {zone.key} reads this time twice: make it a task of its own"
            yield Problem(at, message)


def _least_gap(cron: CronExpression) -> timedelta:
    """The least time between two fires, taking every day for one that the expression means."""
    times = sorted(60 * hour + minute for hour in cron.hours for minute in cron.minutes)
    later = [*times[1:], times[0] + 24 * 60]
    return timedelta(minutes=min(after - at for at, after in zip(times, later, strict=True)))


def _time_checks(task: Task, spec: dict[str, Any]) -> Iterator[Problem]:
    second = timedelta(seconds=1)
    for name in ("timeout", "heartbeat_timeout"):
        if getattr(task, name) < second:
            yield Problem((name,), "must be at least 1s")
    if {"timeout", "heartbeat_timeout"} <= spec.keys() and task.heartbeat_timeout > task.timeout:
        yield Problem(("heartbeat_timeout",), "must not be longer than `timeout`")
    if task.catchup < MIN_CATCHUP:
        yield Problem(("catchup",), f"must be at least {MIN_CATCHUP.seconds}s")
    if task.retry.initial_interval < timedelta(milliseconds=100):
        yield Problem(("retry", "initial_interval"), "must be at least 100ms")
    if task.retry.max_interval < task.retry.initial_interval:
        yield Problem(("retry", "max_interval"), "must not be shorter than `initial_interval`")
    if task.sla and task.sla.start_within > task.sla.finish_within:
        yield Problem(("sla", "start_within"), "must not be longer than `finish_within`")


def _quota_checks(task: Task, tenant: Tenant) -> Iterator[Problem]:
    for name, wanted in task.resources.items():
        limit = tenant.quota.resources.get(name)
        if limit is not None and wanted > limit:
            message = f"{wanted} can never be met: the tenant's quota is {limit}"
            yield Problem(("resources", name), message)
    for index, group in enumerate(task.mutex):
        if group not in tenant.mutex_groups:
            known = ", ".join(sorted(tenant.mutex_groups)) or "none"
            yield Problem(
                ("mutex", index), f"{group!r} is not a mutex group of the tenant: {known}"
            )
