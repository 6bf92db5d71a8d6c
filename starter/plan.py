"""What an apply would change: tasks as they are wanted, compared with schedules as they are."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from temporalio.client import Schedule, ScheduleDescription

from domain.due import next_due
from domain.forecast import ConflictAhead
from domain.ids import schedule_id
from domain.limits import TenantLimits
from domain.problems import InvalidInput, Problem
from domain.registration import Registration
from domain.registry import PutTask
from domain.repair import CannotCompile
from domain.task import Task
from shared.calls import Advance
from shared.registry import Key, put_of
from shared.schedules import (
    SPEC_DIGEST,
    Circumstances,
    digest_of,
    schedule_of,
    seed_of,
    trigger_text,
)
from starter.conditions import tag_of
from starter.forecast import conflict_json
from starter.tenants import TenantChange, Tenants
from starter.times import rfc3339

SHOWN_TIMES = 3
MOST_NEW = 100
"""New conflicts in a document: `forecast` has all."""
MOST_SHOWN = 80
"""Characters of one side of a change."""

Total = Callable[[str, int], Advance]
"""Starts a progress display: what is done, and how many times; gives the function that advances."""


def silent(_what: str, _count: int) -> Advance:
    """No display."""
    return lambda: None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A task as its file wants it, and the schedule that says so."""

    task: Task
    weight: float
    task_queue: str
    schedule: Schedule
    digest: str
    next_times: list[datetime]

    @property
    def key(self) -> Key:
        return self.task.tenant_id, self.task.task_id

    @property
    def id(self) -> str:
        return schedule_id(*self.key)

    @property
    def tag(self) -> str:
        return tag_of(self.task, self.weight, self.task_queue)

    def as_put(self, *, paused: bool = False, note: str = "") -> tuple[str, PutTask]:
        """The same for the registry, which remembers that it should exist."""
        return put_of(
            self.task,
            weight=self.weight,
            digest=self.digest,
            task_queue=self.task_queue,
            paused=paused,
            note=note,
        )


@dataclass(frozen=True, slots=True)
class Change:
    """A task whose schedule is there and not as wanted: which fields, and its times before."""

    wanted: Wanted
    changes: list[str]
    times_before: list[datetime]
    paused: bool = False
    note: str = ""
    before: Task | None = None
    tag_before: str | None = None


@dataclass(slots=True)
class Plan:
    """What `apply` would do, and after it what it did."""

    registration: Registration
    """As it would be applied: with the spreads of tasks that must be moved."""
    task_queue: str = ""
    created: list[Wanted] = field(default_factory=list)
    updated: list[Change] = field(default_factory=list)
    unchanged: int = 0
    deleted: list[Key] = field(default_factory=list)
    tenants: list[TenantChange] = field(default_factory=list)
    limits: dict[str, TenantLimits] = field(default_factory=dict)
    conflicts_before: int | None = None
    conflicts_after: int | None = None
    new_conflicts: list[ConflictAhead] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    tags: dict[Key, str] = field(default_factory=dict)
    """Of every task of the file, as it is wanted: see `starter.conditions`."""

    def as_json(self) -> dict[str, Any]:
        """The document of `plan` and `apply`.

        `conflicts_before` and `conflicts_after`: how many lie in the next 24 hours without the
        change and with it, null where that could not be told (a warning says why). `new_conflicts`:
        the first that the change brings, as in the document of `forecast`.
        """
        return {
            "created": [
                {**_ids(wanted.key), "next_times": [rfc3339(at) for at in wanted.next_times]}
                for wanted in self.created
            ],
            "updated": [
                {
                    **_ids(change.wanted.key),
                    "changes": change.changes,
                    "times_before": [rfc3339(at) for at in change.times_before],
                    "next_times": [rfc3339(at) for at in change.wanted.next_times],
                }
                for change in self.updated
            ],
            "unchanged": self.unchanged,
            "deleted": [_ids(key) for key in self.deleted],
            "tenants": [change.as_json() for change in self.tenants],
            "conflicts_before": self.conflicts_before,
            "conflicts_after": self.conflicts_after,
            "new_conflicts": [
                conflict_json(conflict) for conflict in self.new_conflicts[:MOST_NEW]
            ],
            "warnings": self.warnings,
        }


def all_wanted(
    registration: Registration, tenants: Tenants, circumstances: Circumstances
) -> list[Wanted]:
    """The schedule of every task. Errors: `InvalidInput` with each that cannot be compiled."""
    made: list[Wanted] = []
    problems: list[Problem] = []
    for index, task in enumerate(registration.tasks):
        try:
            made.append(_wanted(task, tenants.weight_of(task.tenant_id), circumstances))
        except CannotCompile as error:
            problems.append(Problem(("tasks", index, "triggers"), str(error)))
    if problems:
        raise InvalidInput(problems)
    return made


def _wanted(task: Task, weight: float, circumstances: Circumstances) -> Wanted:
    seed = seed_of(task, circumstances.namespace_id)
    return Wanted(
        task,
        weight,
        circumstances.task_queue,
        schedule_of(task, weight, circumstances),
        digest_of(task, weight, circumstances),
        next_due(task, SHOWN_TIMES, after=circumstances.now, seed=seed),
    )


def changes_of(description: ScheduleDescription, task: Task | None, wanted: Wanted) -> list[str]:
    """What differs between a schedule and the wanted one, in words; empty when nothing does.

    `task`: that of the schedule, None when it has none that can be read.
    """
    current = description.schedule
    if task is None:
        return ["the schedule was not made by this version of taskflow"]
    before, after = task.model_dump(mode="json"), wanted.task.model_dump(mode="json")
    changes = [
        f"{name}: {_short(name, before.get(name))} -> {_short(name, after[name])}"
        for name in after
        if before.get(name) != after[name]
    ]
    if changes:
        return changes
    if description.typed_search_attributes.get(SPEC_DIGEST) != wanted.digest:
        what = "queue, weight, admission, version or the clock changes it mends"
        return [f"settings of the schedule: {what}"]
    if current.spec != wanted.schedule.spec or current.policy != wanted.schedule.policy:
        return ["the schedule was changed in Temporal: restored"]
    return []


def _short(name: str, value: Any) -> str:
    if name == "triggers" and isinstance(value, list):
        text = "; ".join(trigger_text(trigger) for trigger in value)
    else:
        text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 3]}..."


def _ids(key: Key) -> dict[str, str]:
    return {"tenant_id": key[0], "task_id": key[1]}
