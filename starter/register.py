"""Registering tasks for a caller: by the code of `taskflow apply`, within the caller's tenant."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any
from weakref import WeakSet

from temporalio.client import Client

from domain.document import Document
from domain.policy import Policy
from domain.problems import InvalidInput, Problem, shown
from shared.errors import NotFound, TaskflowError
from shared.registry import Key
from starter.callers import Caller, Forbidden, Scope
from starter.conditions import Condition, tag_now
from starter.conflicts import add_conflicts, can_collide
from starter.plan import Plan
from starter.registry import carry_out, make_plan
from starter.taskdoc import TaskDocument, read_task_document
from starter.turns import Turns

UNFORESEEN = "conflicts are not foreseen: ask for them with `conflicts=true`"

_TURNS = Turns()
_PREPARED: WeakSet[Client] = WeakSet()
"""Clients of namespaces that have our search attributes: that is made sure of once."""


class Change(StrEnum):
    """What registering did to a task."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Registered:
    """What was done, task by task in the order of the document, and as a whole."""

    plan: Plan

    def changes(self) -> dict[Key, Change]:
        """What was done to each task."""
        created = {wanted.key for wanted in self.plan.created}
        updated = {change.wanted.key for change in self.plan.updated}
        return {
            key: Change.CREATED
            if key in created
            else Change.UPDATED
            if key in updated
            else Change.UNCHANGED
            for key in ((task.tenant_id, task.task_id) for task in self.plan.registration.tasks)
        }

    def before(self, key: Key) -> str | None:
        """The tag that the task had; None when it is new, or nobody can say any more."""
        for change in self.plan.updated:
            if change.wanted.key == key:
                return change.tag_before or None
        return self.after(key) if self.changes()[key] is Change.UNCHANGED else None

    def after(self, key: Key) -> str:
        """The tag that the task has now."""
        return self.plan.tags[key]

    def digest(self, tag: Callable[[Key], str | None]) -> str:
        """One for all tasks, of what `before` or `after` says of each."""
        tags = [[*key, tag(key)] for key in sorted(self.changes())]
        return blake2b(json.dumps(tags).encode(), digest_size=16).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """The document of `register`: that of `apply`, and what was done to each task."""
        tasks = [
            {"tenant_id": key[0], "task_id": key[1], "result": change, "etag": self.after(key)}
            for key, change in self.changes().items()
        ]
        return {**self.plan.as_json(), "tasks": tasks}


def read_body(
    document: Document, policy: Policy, caller: Caller, tenant_id: str, *, source: str = ""
) -> TaskDocument:
    """The tasks of a request: one as an object, or `{"tasks": [...]}`, all of one tenant.

    Only an admin may declare `tenants`, and name others than `tenant_id`. Errors: `NotFound` for
    another tenant's task, whether there is such a tenant or not; `Forbidden`; `InvalidInput` with
    every problem.
    """
    if not caller.is_admin:
        _check_own(document.data, tenant_id)
    return read_task_document(document, policy, tenant=tenant_id, source=source)


async def register(
    client: Client,
    document: TaskDocument,
    *,
    task_queue: str,
    condition: Condition = Condition(),  # noqa: B008 - frozen
    conflicts: bool = False,
) -> Registered:
    """Have these tasks registered as they are said; whatever else is registered stays.

    `conflicts`: also look for those that this brings, which reads all that the tenant has. Errors:
    `InvalidInput` for what does not fit what is registered, or a condition about several tasks;
    `PreconditionFailed`; `TemporalUnreachable`, after which the same again does the rest.
    """
    if not condition:
        return await _register(client, document, task_queue, None, conflicts=conflicts)
    if len(document.registration.tasks) != 1 or document.registration.tenants:
        message = "a condition goes with one task: leave out If-Match and If-None-Match"
        raise InvalidInput([Problem((), message)])
    [task] = document.registration.tasks
    key = (task.tenant_id, task.task_id)
    async with _TURNS.of(key):
        condition.check(await tag_now(client, key))
        return await _register(client, document, task_queue, condition, conflicts=conflicts)


async def _register(
    client: Client,
    document: TaskDocument,
    task_queue: str,
    condition: Condition | None,
    *,
    conflicts: bool,
) -> Registered:
    touch = client not in _PREPARED
    try:
        with document.placing():
            plan = await make_plan(
                client, document.registration, task_queue=task_queue, touch=touch
            )
            _PREPARED.add(client)
            if conflicts or not can_collide(plan):
                await add_conflicts(client, plan, datetime.now(UTC))
            else:
                plan.warnings.append(UNFORESEEN)
        done = await carry_out(client, plan, guard=condition.check if condition else None)
    except TaskflowError:
        _PREPARED.discard(client)  # a server that was away may be another one when it is back
        raise
    return Registered(done)


def _check_own(data: Any, tenant_id: str) -> None:
    """Before anything else is said of the body. Errors: `NotFound`, `Forbidden`."""
    if not isinstance(data, dict):
        return
    listed = data.get("tasks")
    for raw in [data, *(listed if isinstance(listed, list) else [])]:
        named = raw.get("tenant_id") if isinstance(raw, dict) else None
        if isinstance(named, str) and named != tenant_id:
            raise NotFound(f"there is no tenant {shown(named)}")
    if "tenants" in data:
        raise Forbidden(Scope.ADMIN)
