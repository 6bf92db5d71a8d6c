"""What should exist: a shard of a tenant's tasks, and every change that it can take.

Signals carry the sender's clock (`at`): a worker that was down takes them up late, and which fires
were expected must not depend on that.
"""

from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from itertools import groupby

from pydantic import Field

from domain.limits import TenantLimits
from domain.packing import pack, unpack
from domain.payload import Payload
from domain.task import Task

SHARDS = 16
"""Shards of a tenant; part of every registry's id, so it never changes."""
LIMITS_SHARD = 0
"""The shard that has the tenant's limits too."""
MOST_BYTES = 1_400_000
"""Of one shard's tasks: Temporal refuses a payload of 2 MB, and would fail the registry for it."""
MOST_STRETCHES = 5
"""Of one task: those that the watch may still have to judge."""
FORGET_REMOVED = timedelta(days=1)

BATCH_TASKS = 100
BATCH_BYTES = 500_000


class Stretch(Payload):
    """From when to when fires were expected; `task` is packed, None for the entry's own."""

    since: datetime
    until: datetime | None = None
    task: str | None = None


class Entry(Payload):
    """A task that should exist: `task` packed, and the stretches in which it was to fire.

    `load`: the most fires that it has in one minute.
    """

    task: str
    weight: float
    digest: str
    task_queue: str
    changed_at: datetime
    paused: bool = False
    note: str = ""
    load: int = 1
    stretches: list[Stretch] = Field(default_factory=list)

    @property
    def size(self) -> int:
        """Characters that this takes in a payload, nearly."""
        return 400 + len(self.task) + sum(80 + len(s.task or "") for s in self.stretches)


class PutTask(Payload):
    """A task as it should be from now on."""

    task_id: str
    task: str
    weight: float
    digest: str
    task_queue: str
    paused: bool = False
    note: str = ""
    load: int = 1


class Put(Payload):
    """The signal `put`."""

    at: datetime
    tasks: list[PutTask]


class Remove(Payload):
    """The signal `remove`."""

    at: datetime
    task_ids: list[str]


class SetPaused(Payload):
    """The signal `set_paused`: `paused` or running again, and the note of who and why."""

    at: datetime
    task_ids: list[str]
    paused: bool
    note: str = ""


class Configure(Payload):
    """The signal `configure`: what the tenant's runs may hold from now on. Of shard 0 only."""

    at: datetime
    limits: TenantLimits


class Snapshot(Payload):
    """A shard as it is: entries and removals by task id.

    `left_out` names tasks that had no room: nothing is known of them, and nothing is done to them.
    `limits` are the tenant's, in its shard 0; None when nobody ever declared any.
    """

    version: int = 0
    entries: dict[str, Entry] = Field(default_factory=dict)
    removed: dict[str, datetime] = Field(default_factory=dict)
    left_out: list[str] = Field(default_factory=list)
    limits: TenantLimits | None = None


class Shard:
    """The state of a registry. Every change may come twice and late; the second changes nothing."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.version = snapshot.version
        self._entries = dict(snapshot.entries)
        self._removed = dict(snapshot.removed)
        self._left_out = set(snapshot.left_out)
        self.limits = snapshot.limits
        self._size = sum(entry.size for entry in self._entries.values())

    @property
    def load(self) -> int:
        """The most fires that its tasks can have in one minute, should all of them meet."""
        return sum(entry.load for entry in self._entries.values())

    def snapshot(self) -> Snapshot:
        """Everything, for the watch and for the next run of the registry."""
        return Snapshot(
            version=self.version,
            entries=self._entries,
            removed=self._removed,
            left_out=sorted(self._left_out),
            limits=self.limits,
        )

    def configure(self, change: Configure) -> None:
        """Remember the tenant's limits; what was said earlier and comes later changes nothing."""
        before = self.limits.changed_at if self.limits else None
        if before and change.at < before:
            return
        self.limits = change.limits
        self._grow(change.at)

    def put(self, batch: Put) -> None:
        """Remember tasks. A task that is there keeps whether it is paused."""
        for wanted in batch.tasks:
            old = self._entries.get(wanted.task_id)
            if old and old.digest == wanted.digest:
                continue
            self._removed.pop(wanted.task_id, None)
            self._keep(wanted.task_id, old, _entry(wanted, old, batch.at), batch.at)
        self._forget(batch.at)

    def remove(self, batch: Remove) -> None:
        """Forget tasks, and remember for a day that this was wanted."""
        for task_id in batch.task_ids:
            entry = self._entries.pop(task_id, None)
            self._size -= entry.size if entry else 0
            self._left_out.discard(task_id)
            self._removed[task_id] = batch.at
            self._grow(batch.at)
        self._forget(batch.at)

    def set_paused(self, batch: SetPaused) -> None:
        """Expect no more fires of these tasks, or expect them again."""
        for task_id in batch.task_ids:
            old = self._entries.get(task_id)
            if old is None or (old.paused, old.note) == (batch.paused, batch.note):
                continue
            stretches = old.stretches
            if batch.paused:
                stretches = _closed(stretches, batch.at)
            elif old.paused:
                stretches = [*stretches, Stretch(since=batch.at)]
            update = {"paused": batch.paused, "note": batch.note, "stretches": stretches}
            self._keep(task_id, old, old.model_copy(update=update), batch.at)

    def _grow(self, now: datetime) -> None:
        # Beside the clock, so that a registry that was lost and begins anew repeats no version.
        self.version = max(self.version + 1, int(now.timestamp()))

    def _keep(self, task_id: str, old: Entry | None, new: Entry, now: datetime) -> None:
        new = new.model_copy(update={"stretches": new.stretches[-MOST_STRETCHES:]})
        size = self._size - (old.size if old else 0)
        self._grow(now)
        if size + new.size > MOST_BYTES:
            self._entries.pop(task_id, None)
            self._left_out.add(task_id)
            self._size = size
            return
        self._left_out.discard(task_id)
        self._entries[task_id] = new
        self._size = size + new.size

    def _forget(self, now: datetime) -> None:
        for task_id in [i for i, at in self._removed.items() if at < now - FORGET_REMOVED]:
            del self._removed[task_id]


def _entry(wanted: PutTask, old: Entry | None, at: datetime) -> Entry:
    paused, note = (old.paused, old.note) if old else (wanted.paused, wanted.note)
    past = []
    if old:
        ended = _closed(old.stretches, at)
        past = [s.model_copy(update={"task": s.task or old.task}) for s in ended]
    return Entry(
        task=wanted.task,
        weight=wanted.weight,
        digest=wanted.digest,
        task_queue=wanted.task_queue,
        changed_at=at,
        paused=paused,
        note=note,
        load=wanted.load,
        stretches=past if paused else [*past, Stretch(since=at)],
    )


def _closed(stretches: list[Stretch], at: datetime) -> list[Stretch]:
    """The same with the open one ended."""
    return [s if s.until else s.model_copy(update={"until": at}) for s in stretches]


def shard_of(task_id: str) -> int:
    """Which shard of its tenant a task is in, for ever."""
    return int.from_bytes(blake2b(task_id.encode(), digest_size=4).digest()) % SHARDS


def pack_task(task: Task) -> str:
    """A whole task as short ASCII text."""
    return pack(task.model_dump_json())


@lru_cache(maxsize=100_000)
def unpack_task(text: str) -> Task:
    """`pack_task` backwards; fields of a newer version are left out. Errors: `ValueError`."""
    return Task.model_validate_json(unpack(text), extra="ignore")


def batches(puts: list[tuple[str, PutTask]]) -> list[tuple[str, int, list[PutTask]]]:
    """(tenant, shard, tasks) for each signal: as few as the bounds on tasks and bytes allow."""
    found: list[tuple[str, int, list[PutTask]]] = []

    def place(item: tuple[str, PutTask]) -> tuple[str, int]:
        return item[0], shard_of(item[1].task_id)

    for (tenant_id, shard), group in groupby(sorted(puts, key=place), place):
        tasks: list[PutTask] = []
        size = 0
        for _, put in group:
            if tasks and (len(tasks) == BATCH_TASKS or size + len(put.task) > BATCH_BYTES):
                found.append((tenant_id, shard, tasks))
                tasks, size = [], 0
            tasks.append(put)
            size += len(put.task)
        found.append((tenant_id, shard, tasks))
    return found
