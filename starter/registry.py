"""Registering tasks: what would change, changing it, and finding what is registered."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from temporalio.client import (
    Client,
    Schedule,
    ScheduleAlreadyRunningError,
    ScheduleDescription,
    ScheduleListDescription,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError

from domain.due import next_due
from domain.ids import parse_schedule_id, schedule_id
from domain.problems import InvalidInput, Problem
from domain.registration import Registration
from domain.registry import PutTask
from domain.repair import CannotCompile
from domain.task import Task
from shared.calls import Advance, at_once, is_missing
from shared.registry import Key, forget, put_of, remember
from shared.schedules import (
    SPEC_DIGEST,
    Circumstances,
    circumstances_of,
    digest_of,
    schedule_attributes,
    schedule_of,
    seed_of,
    task_of,
    trigger_text,
)
from shared.search_attributes import register_search_attributes
from starter.rpc import temporal_errors
from starter.verify import misfires

VERIFIED_BELOW = 100
"""Up to this many schedules are read one by one and compared whole. Beyond it a schedule whose
listed digest is the wanted one counts as unchanged: reading one costs as much as writing one."""
MOST_VERIFIED = 200
SHOWN_TIMES = 3
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


@dataclass(slots=True)
class Plan:
    """What `apply` would do, and after it what it did."""

    created: list[Wanted] = field(default_factory=list)
    updated: list[Change] = field(default_factory=list)
    unchanged: int = 0
    deleted: list[Key] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def as_json(self, now: datetime) -> dict[str, Any]:
        """The document of `plan` and `apply`; conflicts are null because nothing forecasts them."""
        return {
            "created": [
                {**_ids(wanted.key), "next_times": [_text(at) for at in wanted.next_times]}
                for wanted in self.created
            ],
            "updated": [
                {
                    **_ids(change.wanted.key),
                    "changes": change.changes,
                    "times_before": [_text(at) for at in change.times_before],
                    "next_times": [_text(at) for at in change.wanted.next_times],
                }
                for change in self.updated
            ],
            "unchanged": self.unchanged,
            "deleted": [_ids(key) for key in self.deleted],
            "conflicts_before": None,
            "conflicts_after": None,
            "warnings": self.warnings,
        }


async def listed(
    client: Client, tenants: Iterable[str] | None = None
) -> dict[Key, ScheduleListDescription]:
    """Every registered task (of these tenants), as Temporal's eventually consistent list has it."""
    found: dict[Key, ScheduleListDescription] = {}
    with temporal_errors():
        for query in [None] if tenants is None else [f"TenantId = '{t}'" for t in tenants]:
            async for entry in await client.list_schedules(query):
                if key := parse_schedule_id(entry.id):
                    found[key] = entry
    return found


async def make_plan(
    client: Client,
    registration: Registration,
    *,
    task_queue: str,
    prune: bool = False,
    total: Total = silent,
) -> Plan:
    """Compare a file with what is registered; changes nothing but the search attributes.

    `prune` also deletes the tasks of the file's tenants that the file does not have.
    """
    with temporal_errors():
        await register_search_attributes(client)
        circumstances = await circumstances_of(client, registration.tasks, task_queue)
    present = await listed(client, registration.tenant_ids())
    plan = Plan()
    compare: list[Wanted] = []
    for wanted in _all_wanted(registration, circumstances):
        task = wanted.task
        if not wanted.next_times:
            plan.warnings.append(f"{task.tenant_id}/{task.task_id} never fires again")
        entry = present.get(wanted.key)
        if entry is None:
            plan.created.append(wanted)
        elif (
            len(present) > VERIFIED_BELOW
            and entry.typed_search_attributes.get(SPEC_DIGEST) == wanted.digest
        ):
            plan.unchanged += 1
        else:
            compare.append(wanted)

    async def compare_one(wanted: Wanted) -> None:
        try:
            description = await client.get_schedule_handle(wanted.id).describe()
        except RPCError as error:
            if not is_missing(error):
                raise
            plan.created.append(wanted)
            return
        if changes := _changes(description, wanted):
            before = description.info.next_action_times[:SHOWN_TIMES]
            state = description.schedule.state
            plan.updated.append(
                Change(wanted, changes, list(before), state.paused, state.note or "")
            )
        else:
            plan.unchanged += 1

    with temporal_errors():
        await at_once(compare, compare_one, total("Comparing", len(compare)))
    if prune:
        plan.deleted = sorted(
            present.keys() - {(t.tenant_id, t.task_id) for t in registration.tasks}
        )
    plan.updated.sort(key=lambda change: change.wanted.key)
    return plan


async def carry_out(client: Client, plan: Plan, *, total: Total = silent) -> Plan:
    """Do what a plan says. What it finds done already by somebody else it does not do again.

    Errors: `TemporalUnreachable` when Temporal goes away in the middle; each schedule is then
    either as it was or as wanted, and the same apply again finishes the rest.
    """
    done = Plan(unchanged=plan.unchanged, warnings=plan.warnings)

    async def create(wanted: Wanted) -> None:
        try:
            await client.create_schedule(
                wanted.id,
                wanted.schedule,
                search_attributes=schedule_attributes(wanted.task, wanted.digest),
            )
        except ScheduleAlreadyRunningError:
            await replace(Change(wanted, [], []))
        else:
            done.created.append(wanted)

    async def replace(change: Change) -> None:
        wanted = change.wanted
        changes: list[str] = []

        async def update(current: ScheduleUpdateInput) -> ScheduleUpdate | None:
            changes[:] = _changes(current.description, wanted)
            if not changes:
                return None
            schedule = wanted.schedule
            schedule.state = current.description.schedule.state  # a paused task stays paused
            return ScheduleUpdate(schedule, schedule_attributes(wanted.task, wanted.digest))

        try:
            await client.get_schedule_handle(wanted.id).update(update)
        except RPCError as error:
            if not is_missing(error):
                raise
            await create(wanted)
            return
        if changes:
            done.updated.append(Change(wanted, changes, change.times_before))
        else:
            done.unchanged += 1

    async def delete(key: Key) -> None:
        try:
            await client.get_schedule_handle(schedule_id(*key)).delete()
        except RPCError as error:
            if not is_missing(error):
                raise
        done.deleted.append(key)

    count = len(plan.created) + len(plan.updated) + len(plan.deleted)
    advance = total("Applying", count)
    # First what should be, then the schedules: killed in between, the watch finishes creating.
    puts = [wanted.as_put() for wanted in plan.created]
    puts += [
        change.wanted.as_put(paused=change.paused, note=change.note) for change in plan.updated
    ]
    with temporal_errors():
        await forget(client, plan.deleted)
        await remember(client, puts)
        await at_once(plan.created, create, advance)
        await at_once(plan.updated, replace, advance)
        await at_once(plan.deleted, delete, advance)
        await _verify(client, done, total)
    done.created.sort(key=lambda wanted: wanted.key)
    done.updated.sort(key=lambda change: change.wanted.key)
    done.deleted.sort()
    return done


async def _verify(client: Client, done: Plan, total: Total) -> None:
    """Ask the server itself what the new schedules will do around clock changes.

    Equal specs are asked about once, and at most `MOST_VERIFIED` of them.
    """
    changed = [*done.created, *(change.wanted for change in done.updated)]
    distinct = {str(wanted.schedule.spec): wanted for wanted in changed}
    asked = [wanted for wanted in distinct.values() if wanted.schedule.spec.calendars]

    async def ask(wanted: Wanted) -> None:
        for found in await misfires(client, wanted.id, wanted.task, now=datetime.now(UTC)):
            done.warnings.append(
                f"{wanted.task.tenant_id}/{wanted.task.task_id} does not fire as its triggers say "
                f"around {_text(found.after)}: {len(found.extra)} too many, "
                f"{len(found.missing)} missing"
            )

    asked = asked[:MOST_VERIFIED]
    await at_once(asked, ask, total("Verifying", len(asked)))


def _all_wanted(registration: Registration, circumstances: Circumstances) -> list[Wanted]:
    """The schedule of every task. Errors: `InvalidInput` with each that cannot be compiled."""
    made: list[Wanted] = []
    problems: list[Problem] = []
    for index, task in enumerate(registration.tasks):
        try:
            made.append(_wanted(task, registration.weight_of(task.tenant_id), circumstances))
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


def _changes(description: ScheduleDescription, wanted: Wanted) -> list[str]:
    """What differs between a schedule and the wanted one, in words; empty when nothing does."""
    current = description.schedule
    task = task_of(current)
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
        return ["settings of the schedule: queue, weight, version or the clock changes it mends"]
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


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
