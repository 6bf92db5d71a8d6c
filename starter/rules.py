"""The event rules of all tenants, as one process knows them: kept from the registries, live.

A look lists the registries and reads those that changed. When Temporal or the workers do not
answer, what was known stays in force: its age says so.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from prometheus_client import CollectorRegistry
from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError

from domain.attributes import VERSION_MEMO
from domain.ids import parse_registry_id, registry_id
from domain.registry import LIMITS_SHARD, Snapshot, shard_of
from domain.rules import RuleIndex
from shared.calls import AT_ONCE, at_once
from shared.errors import TaskflowError, TemporalUnreachable
from shared.metrics import EventIntakeMetrics
from shared.registry import Key, open_registries, read_shard, watch_queue
from starter.intake import Intake
from starter.rpc import temporal_errors
from starter.rule_shards import RuleShard, built, tenant_of

log = structlog.get_logger(__name__)

EVERY = 2.0
"""Seconds between two looks; more when a look takes long."""
SHARD_WITHIN = timedelta(seconds=5)
"""Patience with one registry."""
MOST_OF_THE_TIME = 0.1
"""Share of the time that looks may take."""
OLD = 15.0
"""Seconds after which whoever asks is told how old the rules are."""

Clients = Callable[[], AbstractAsyncContextManager[Client]]
"""Gives the process's client for a few calls. Errors: `TemporalUnreachable`."""


class Rules:
    """One for a process, used from one event loop. `index` is replaced as a whole."""

    def __init__(
        self, clients: Clients, task_queue: str, metrics: EventIntakeMetrics | None = None
    ) -> None:
        self._clients = clients
        self._watch_queue = watch_queue(task_queue)
        self.metrics = metrics or EventIntakeMetrics(CollectorRegistry())
        self._shards: dict[str, RuleShard] = {}
        self._unread: set[str] = set()
        self._looking = asyncio.Lock()
        self._first: asyncio.Task[None] | None = None
        self._looked_at: float | None = None
        self._problem: str | None = "the event rules were not read yet"
        self.index = RuleIndex()
        self.intake = Intake(self.metrics)

    @property
    def ready(self) -> bool:
        """Whether the rules were read since this process began."""
        return self._looked_at is not None

    @property
    def age(self) -> float | None:
        """Seconds since all rules were as they are known here; None before they were read."""
        return None if self._looked_at is None else time.monotonic() - self._looked_at

    async def problem(self) -> str | None:
        """Why events cannot be taken, in a sentence; None when they can."""
        return None if self.ready else self._problem

    def stale(self) -> str | None:
        """That the rules may have changed meanwhile, in words; None while they are fresh."""
        age = self.age
        if age is None or age < OLD:
            return None
        why = f": {self._problem}" if self._problem else ""
        return f"the rules are those of {age:.0f} s ago{why}"

    async def confirm(self, tenant_id: str) -> None:
        """Return when the tenant's rules are known. Errors: `TemporalUnreachable`."""
        if not self._knows(tenant_id):
            if self._first is None or self._first.done():  # one look for all who wait for one
                self._first = asyncio.create_task(self._try())
            await asyncio.shield(self._first)
        if not self._knows(tenant_id):
            raise TemporalUnreachable(
                f"which tasks an event runs is not known: {self._problem}. Send it again."
            )

    @asynccontextmanager
    async def live(self) -> AsyncIterator[None]:
        """Look again and again, until the end of the block."""
        looking = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.wait([looking])

    async def refresh_now(self, keys: Iterable[Key] = ()) -> None:
        """Look now: at the registries of these tasks alone, whose list may lag, else at all.

        Errors: `TaskflowError`; what was known then stays in force.
        """
        async with self._looking:
            look = _Look()
            try:
                named = sorted({shard for key in keys for shard in _shards_of(key)})
                changed = named or await self._listed()
                # In parts, for each of which the client has its patience.
                for begin in range(0, len(changed), AT_ONCE):
                    async with self._clients() as client:
                        await look.read(client, changed[begin : begin + AT_ONCE])
            except TaskflowError as error:
                self._failed(str(error))
                await self._take(look)
                raise
            await self._take(look)
            self._note(look, named)

    async def _listed(self) -> list[str]:
        """Registries that are not known as they are, and those that are listed no more."""
        changed: list[str] = []
        gone = set(self._shards)
        async with self._clients() as client:
            with temporal_errors():
                async for registry in client.list_workflows(open_registries(), page_size=1000):
                    # Those of another task queue need its workers to answer, which may be gone.
                    if parse_registry_id(registry.id) and registry.task_queue == self._watch_queue:
                        gone.discard(registry.id)
                        known = self._shards.get(registry.id)
                        version = (await registry.memo()).get(VERSION_MEMO)
                        if known is None or known.version != version:
                            changed.append(registry.id)
        return [*changed, *sorted(gone)]

    async def _take(self, look: "_Look") -> None:
        if look.snapshots:
            # In a thread: thousands of tasks take seconds, and requests are answered meanwhile.
            self._shards, self.index = await asyncio.to_thread(
                built, dict(self._shards), self.index, look.snapshots
            )
            self.metrics.rules(len(self.index))

    def _note(self, look: "_Look", named: list[str]) -> None:
        """What was not read, and how old all of it is. Errors: `TemporalUnreachable`."""
        lacking = look.silent.keys() - self._shards.keys()
        if self.ready:
            # What came after the first look is a change like any other: it shows a little later,
            # and events of the tenant's other rules do not wait for it.
            lacking &= self._unread
        self._unread = (self._unread - look.snapshots.keys()) | lacking if named else lacking
        if look.silent:
            why = next(iter(look.silent.values()))
            self._failed(f"{len(look.silent)} registries did not answer ({why}): is a worker up?")
        elif not named:
            self._problem = None
        whole = not look.silent or (look.snapshots and not self.ready)
        if whole and not named:
            self._looked_at = time.monotonic()
        if look.silent and (named or not self.ready):
            raise TemporalUnreachable(str(self._problem))

    def _failed(self, problem: str) -> None:
        self._problem = problem
        self.metrics.refresh_failed()
        log.warning("rules not read", action="rules_not_read", reason=problem)

    async def _keep(self) -> None:
        while True:
            began = time.monotonic()
            await self._try()
            # After one that failed the next comes soon: what took long was waiting for nothing.
            took = 0.0 if self._problem else time.monotonic() - began
            await asyncio.sleep(max(EVERY, took / MOST_OF_THE_TIME))

    async def _try(self) -> None:
        try:
            await self.refresh_now()
        except TaskflowError:
            pass  # it is in the log
        except Exception as error:  # a look that breaks must not be the last one
            self._failed(f"{type(error).__name__}: {error}")
            log.exception("a look at the rules broke", action="rules_look_broke")

    def _knows(self, tenant_id: str) -> bool:
        return self.ready and all(tenant_of(shard) != tenant_id for shard in self._unread)


@dataclass(slots=True)
class _Look:
    """What registries answered, and why others did not."""

    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)

    async def read(self, client: Client, workflow_ids: list[str]) -> None:
        """Ask these."""
        await at_once(workflow_ids, lambda workflow_id: self._read(client, workflow_id))

    async def _read(self, client: Client, workflow_id: str) -> None:
        try:
            snapshot = await read_shard(client, workflow_id, patience=SHARD_WITHIN)
        except (RPCError, WorkflowQueryFailedError) as error:
            self.silent[workflow_id] = str(error)[:200]
        else:
            self.snapshots[workflow_id] = snapshot


def _shards_of(key: Key) -> tuple[str, str]:
    """The registry of a task, and that of its tenant's limits."""
    return registry_id(key[0], shard_of(key[1])), registry_id(key[0], LIMITS_SHARD)
