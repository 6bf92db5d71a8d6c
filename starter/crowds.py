"""Room in the minutes of a tenant: tasks that would be one fire too many are moved by a spread."""

import asyncio
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

from temporalio.client import Client

from activities.registered import Known, Registered
from domain.attributes import LOAD_MEMO
from domain.crowd import Crowd, most_at_once
from domain.duration import format_duration
from domain.problems import InvalidInput, Problem
from domain.registration import Registration
from domain.task import Task
from shared.calls import at_once
from shared.errors import NoWorker
from shared.registry import open_registries
from starter.present import refresh
from starter.turns import Turns

FRESH_SECONDS = 2.0
"""For so long what was read of a crowded tenant is good for the next registration too."""
MOST_KEPT = 4
"""Crowded tenants that are kept read: each has thousands of tasks."""


class _Reading:
    """The tasks that a crowded tenant has, as of the last read."""

    def __init__(self, registered: Registered, crowd: Crowd) -> None:
        self.crowd = crowd
        self.tasks: dict[str, Task] = {}
        self._registered = registered
        self._read_at = float("-inf")

    async def refresh(self) -> None:
        """Know what is registered now, or was a moment ago. Errors: `NoWorker`, `RPCError`."""
        if time.monotonic() - self._read_at < FRESH_SECONDS:
            return
        await refresh(self._registered)
        await asyncio.to_thread(self._count, self._registered.tasks.values())
        self._read_at = time.monotonic()

    def _count(self, tasks: Iterable[Known]) -> None:
        """In a thread: the first time it is thousands of them."""
        now = {known.task.task_id: known.task for known in tasks}
        for task_id in self.tasks.keys() - now.keys():
            self.crowd.remove(task_id)
        for task_id, task in now.items():
            if self.tasks.get(task_id) is not task:
                self.crowd.add(task)
        self.tasks = now


_KEPT: OrderedDict[tuple[Client, str, str], _Reading] = OrderedDict()
_TURNS = Turns()


@dataclass(frozen=True, slots=True)
class Room:
    """A registration as it can be, its tasks moved where they had to be, and what to say of it."""

    registration: Registration
    warnings: list[str] = field(default_factory=list)


async def make_room(
    client: Client | None, registration: Registration, task_queue: str, *, alone: bool = False
) -> Room:
    """Keep every tenant's fires of one minute within what its policy allows.

    A tenant whose tasks could not exceed it costs one question, any other is read whole. Without a
    client, or when no worker says what a tenant has, its tasks of the file count alone; so they do
    when nothing else will be there, as `alone` says. Errors: `InvalidInput` with every task that
    fits nowhere, `RPCError`.
    """
    day = datetime.now(UTC).date()
    warnings: list[str] = []
    spreads: dict[int, timedelta] = {}
    problems: list[Problem] = []
    others = None if alone else client
    for tenant_id, tasks in (await _crowded(others, registration, day)).items():
        most = registration.most_fires[tenant_id]
        crowd, registered = Crowd(most, day), dict[str, Task]()
        if client:
            try:
                crowd, registered = await _read(client, tenant_id, task_queue, crowd)
            except NoWorker as error:
                warnings.append(f"{tenant_id}: fires are counted of these tasks only: {error}")
        if alone:
            crowd = Crowd(most, day)
        found, full = await asyncio.to_thread(crowd.place_all, tasks, registered)
        spreads |= found
        problems += [Problem(("tasks", index, "triggers"), _no_room(most)) for index in full]
        if moved := [spread for spread in found.values() if spread]:
            warnings.append(_moved(tenant_id, moved, most))
    if problems:
        raise InvalidInput(problems)
    moved_tasks = tuple(
        task.model_copy(update={"spread": spreads.get(index, task.spread)})
        for index, task in enumerate(registration.tasks)
    )
    return Room(replace(registration, tasks=moved_tasks), warnings)


async def _crowded(
    client: Client | None, registration: Registration, day: date
) -> dict[str, dict[int, Task]]:
    """The tasks, by their place, of tenants that have too many fires should all of them meet."""
    asked: defaultdict[str, dict[int, Task]] = defaultdict(dict)
    loads: Counter[str] = Counter()
    for index, task in enumerate(registration.tasks):
        if load := most_at_once(task, day):
            asked[task.tenant_id][index] = task
            loads[task.tenant_id] += load
    if client:
        asking = client

        async def add_registered(tenant_id: str) -> None:
            loads[tenant_id] += await _load(asking, tenant_id)

        await at_once(list(asked), add_registered)
    most = registration.most_fires
    return {name: tasks for name, tasks in asked.items() if loads[name] > most[name]}


async def _load(client: Client, tenant_id: str) -> int:
    """How many fires the tenant's tasks have in one minute, should all of them meet."""
    load = 0
    async for registry in client.list_workflows(open_registries(tenant_id)):
        own = (await registry.memo()).get(LOAD_MEMO)
        load += own if isinstance(own, int) else 0
    return load


async def _read(
    client: Client, tenant_id: str, task_queue: str, empty: Crowd
) -> tuple[Crowd, dict[str, Task]]:
    """What the tenant has, read not long ago: the caller's own. Errors: `NoWorker`, `RPCError`."""
    key = (client, tenant_id, task_queue)
    async with _TURNS.of(key):
        kept = _KEPT.pop(key, None)
        if kept is None or not kept.crowd.counts_like(empty):
            kept = _Reading(Registered(client, task_queue, tenant_id), empty)
        await kept.refresh()
        _KEPT[key] = kept
        while len(_KEPT) > MOST_KEPT:
            _KEPT.popitem(last=False)
        return kept.crowd.copy(), kept.tasks


def _moved(tenant_id: str, spreads: list[timedelta], most: int) -> str:
    which = "1 task is" if len(spreads) == 1 else f"{len(spreads):,} tasks are"
    return (
        f"{tenant_id}: {which} moved, by up to {format_duration(max(spreads))}, as more than "
        f"{most:,} fires would share a minute: with `stagger` you say yourself how far they spread"
    )


def _no_room(most: int) -> str:
    return (
        f"the tenant has {most:,} fires already in every minute that this task could have: give it "
        "other times, or allow more by `max_fires_per_minute` of the policy"
    )
