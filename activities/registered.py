"""What the registries say, kept in this process: an unchanged registry is listed and not read."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from temporalio.client import Client, Schedule, WorkflowExecution

from domain.agenda import Key, Span, Spans
from domain.attributes import VERSION_MEMO
from domain.compiled import Horizon
from domain.ids import parse_registry_id, registry_id
from domain.limits import TenantLimits, skips_in_temporal
from domain.registry import LIMITS_SHARD, Entry, Snapshot, shard_of, unpack_task
from domain.task import Task
from shared.calls import at_once
from shared.registry import open_registries, read_shard, watch_queue
from shared.schedules import (
    Circumstances,
    digest_of,
    namespace_id_of,
    same_making,
    schedule_of,
    seed_of,
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Known:
    """A registered task, read."""

    key: Key
    entry: Entry
    task: Task
    spans: Spans
    namespace_id: str | None
    limits: Mapping[str, TenantLimits] = field(compare=False)
    """Of all tenants, as they are at the last `refresh`."""
    digests: dict[tuple[datetime, bool], str] = field(default_factory=dict, compare=False)
    """By the start of a quarter: one is the same for all of it, and costs a hash of the task."""

    @property
    def limited(self) -> bool:
        """Whether its tenant has a `max_concurrent`."""
        limits = self.limits.get(self.key[0])
        return limits is not None and limits.max_concurrent is not None

    @property
    def skips_in_temporal(self) -> bool:
        """Whether its schedule makes no run while the one before is under way."""
        return skips_in_temporal(self.task, limited=self.limited)

    @property
    def seed(self) -> str | None:
        """What the jitter of its fires is made of."""
        return seed_of(self.task, self.namespace_id)

    def digest(self, now: datetime) -> str:
        """What the digest of its schedule should be at `now`, clock changes ahead mended.

        That of its registration when another version of taskflow wrote it.
        """
        kind = (Horizon.of(now).start, self.limited)
        if kind not in self.digests:
            wanted = digest_of(self.task, self.entry.weight, self._circumstances(now))
            ours = same_making(wanted, self.entry.digest)
            self.digests[kind] = wanted if ours else self.entry.digest
        return self.digests[kind]

    def is_ours(self, now: datetime) -> bool:
        """Whether this version of taskflow would make the same schedule as the registering one."""
        circumstances = self._circumstances(now)
        wanted = digest_of(self.task, self.entry.weight, circumstances)
        return same_making(wanted, self.entry.digest)

    def schedule(self, now: datetime) -> Schedule:
        """Its schedule as this version makes it at `now`."""
        return schedule_of(self.task, self.entry.weight, self._circumstances(now))

    def _circumstances(self, now: datetime) -> Circumstances:
        limited = frozenset({self.key[0]} if self.limited else ())
        return Circumstances(self.entry.task_queue, now, self.namespace_id, limited)


@dataclass(frozen=True, slots=True)
class _Shard:
    version: int
    snapshot: Snapshot
    known: dict[Key, Known]


class Registered:
    """Every registered task of this task queue (and tenant), as of the last `refresh`."""

    def __init__(self, client: Client, task_queue: str, tenant_id: str | None = None) -> None:
        self._client = client
        self._query = open_registries(tenant_id)
        self._task_queue = task_queue
        self._watch_queue = watch_queue(task_queue)
        self._shards: dict[str, _Shard] = {}
        self._fresh: set[str] = set()
        self._reading = asyncio.Lock()
        self.tasks: dict[Key, Known] = {}
        self.limits: dict[str, TenantLimits] = {}
        self.namespace_id: str | None = None

    async def refresh(self) -> None:
        """List the registries and read those that changed. Errors: `RPCError`."""
        self._fresh.clear()
        if self.namespace_id is None:
            self.namespace_id = await namespace_id_of(self._client)
        changed: list[str] = []
        gone = set(self._shards)
        async for registry in self._client.list_workflows(self._query, page_size=1000):
            # Those of another task queue need its workers to answer, which may be gone.
            if parse_registry_id(registry.id) and registry.task_queue == self._watch_queue:
                gone.discard(registry.id)
                cached = self._shards.get(registry.id)
                if cached is None or cached.version != await _version_of(registry):
                    changed.append(registry.id)
        await at_once([*changed, *gone], self._read)
        if changed or gone:
            self.tasks = {
                key: known for shard in self._shards.values() for key, known in shard.known.items()
            }

    async def confirm(self, key: Key) -> Known | None:
        """A task as its registry has it since `refresh`: no list, so no lag. Errors: `RPCError`."""
        return (await self._fresh_shard(key)).known.get(key)

    async def removed_at(self, key: Key) -> datetime | None:
        """When somebody deleted the task, if nobody registered it since. Errors: `RPCError`."""
        return (await self._fresh_shard(key)).snapshot.removed.get(key[1])

    def has_no_room_for(self, key: Key) -> bool:
        """Whether the task's registry could not take it."""
        shard = self._shards.get(registry_id(key[0], shard_of(key[1])))
        return shard is not None and key[1] in shard.snapshot.left_out

    async def _fresh_shard(self, key: Key) -> _Shard:
        workflow_id = registry_id(key[0], shard_of(key[1]))
        async with self._reading:
            if workflow_id not in self._fresh:
                await self._read(workflow_id)
                self._fresh.add(workflow_id)
        return self._shards[workflow_id]

    async def _read(self, workflow_id: str) -> None:
        snapshot = await read_shard(self._client, workflow_id)
        self._note_limits(workflow_id, snapshot)
        before = self._shards.get(workflow_id)
        if before is None or before.version != snapshot.version:
            known = await asyncio.to_thread(self._decode, workflow_id, snapshot, before)
            self._shards[workflow_id] = _Shard(snapshot.version, snapshot, known)

    def _note_limits(self, workflow_id: str, snapshot: Snapshot) -> None:
        parsed = parse_registry_id(workflow_id)
        if parsed is None or parsed[1] != LIMITS_SHARD:
            return
        if snapshot.limits:
            self.limits[parsed[0]] = snapshot.limits
        else:
            self.limits.pop(parsed[0], None)

    def _decode(
        self, workflow_id: str, snapshot: Snapshot, before: _Shard | None
    ) -> dict[Key, Known]:
        """In a thread: ten thousand tasks take seconds, and plugin calls need their heartbeats."""
        parsed = parse_registry_id(workflow_id)
        tenant_id = parsed[0] if parsed else ""
        found: dict[Key, Known] = {}
        for task_id, entry in snapshot.entries.items():
            key = (tenant_id, task_id)
            same = before.known.get(key) if before else None
            if same and same.entry == entry:
                found[key] = same
            elif entry.task_queue == self._task_queue:
                try:
                    found[key] = Known(
                        key,
                        entry,
                        unpack_task(entry.task),
                        _spans(entry),
                        self.namespace_id,
                        self.limits,
                    )
                except ValueError as error:
                    log.error(  # noqa: TRY400 - one bad entry, said in a line
                        "a registered task cannot be read",
                        action="registry_unreadable",
                        tenant_id=tenant_id,
                        task_id=task_id,
                        reason=str(error)[:300],
                    )
        return found


async def _version_of(registry: WorkflowExecution) -> int | None:
    version = (await registry.memo()).get(VERSION_MEMO)
    return version if isinstance(version, int) else None


def _spans(entry: Entry) -> Spans:
    return tuple(
        Span(stretch.since, stretch.until, unpack_task(stretch.task or entry.task))
        for stretch in entry.stretches
    )
