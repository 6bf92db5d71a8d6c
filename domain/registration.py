"""From a task file to tasks that can be scheduled, or to everything that is wrong with it."""

from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from domain.checks import check_task
from domain.document import Document
from domain.layers import TaskSpec, merge, said
from domain.limits import limits_of
from domain.policy import Policy
from domain.problems import InvalidInput, Path, Problem, problems_of
from domain.task import Task
from domain.tenant import Tenant


@dataclass(frozen=True, slots=True)
class Registration:
    """A file that is right: whole tasks, and the tenants it names."""

    tasks: tuple[Task, ...]
    tenants: dict[str, Tenant] = field(default_factory=dict)
    most_fires: dict[str, int] = field(default_factory=dict)
    """How many fires of a tenant may share a minute."""

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
    names = tenants.keys() | {task.tenant_id for task in tasks}
    return Registration(tuple(tasks), tenants, {name: policy.most_fires_of(name) for name in names})


def _read_tenants(raws: list[Any], problems: list[Problem]) -> dict[str, Tenant]:
    tenants: dict[str, Tenant] = {}
    for index, raw in enumerate(raws):
        at: Path = ("tenants", index)
        try:
            tenant = Tenant.model_validate(raw)
        except ValidationError as error:
            problems += problems_of(error, at)
            continue
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
        if task is None:
            return None
        least = self._policy.min_interval_of(task.tenant_id)
        tenant = self._tenants.get(task.tenant_id)
        limits = limits_of(tenant) if tenant else None
        misfits = check_task(task, said=spec.keys(), least_interval=least, limits=limits)
        self._problems += [Problem((*at, *p.path), p.message) for p in misfits]
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
