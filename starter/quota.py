"""A tenant's quota: what its runs may hold, what they hold now, and changing it while they run."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError

from domain.decisions import Blocker
from domain.governor import GovernorView
from domain.ledger_state import ledger_of
from domain.limits import CONCURRENT, TenantLimits, limit_of, named
from shared.calls import at_once
from shared.errors import NotFound
from shared.governor import view_governor
from shared.tenants import all_limits, read_limits
from starter.rpc import temporal_errors
from starter.tenants import TenantChange, change_tenants, changes_of

PATIENCE_SECONDS = 3.0
"""For a governor's books; one that is new has nobody to ask, and knows what is held in a moment."""


@dataclass(frozen=True, slots=True)
class Row:
    """One dimension: how much there is (None: no limit), in use, and how many runs wait for it.

    `used` and `waiting` are None where no governor tells.
    """

    dimension: str
    limit: int | None
    used: int | None
    waiting: int | None

    @property
    def name(self) -> str:
        """As people call it."""
        kind, _, task_id = self.dimension.partition(":")
        return f"runs of {task_id}" if kind == "overlap" else named(self.dimension)

    def as_json(self) -> dict[str, Any]:
        """A row of the document of `quota`."""
        kind, _, name = self.dimension.partition(":")
        return {
            "kind": "max_concurrent" if kind == CONCURRENT else kind,
            "name": name or None,
            "limit": self.limit,
            "used": self.used,
            "waiting": self.waiting,
        }


@dataclass(frozen=True, slots=True)
class QuotaView:
    """A tenant's limits and what its governor has on its books; `books` is None when unknown."""

    tenant_id: str
    limits: TenantLimits
    books: GovernorView | None
    rows: list[Row]
    changes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """One tenant of the document of `quota`."""
        state = self.books.state if self.books else None
        limits = self.limits.model_dump(mode="json", include=_DECLARED)
        return {
            "tenant_id": self.tenant_id,
            "limits": limits,
            "known": self.books is not None,
            "in_use": [row.as_json() for row in self.rows],
            "holders": [holder.request.run_id for holder in state.holders] if state else [],
            "queue": [request.run_id for request in state.waiting] if state else [],
            "counters": state.counters if state else {},
            "changes": self.changes,
        }


_DECLARED = {"max_concurrent", "resources", "mutex_groups", "fairness_weight"}

Wanted = Mapping[str, int | None]
"""Limits to set, by dimension; None takes a limit away."""


async def show_quotas(client: Client, tenant_id: str | None) -> list[QuotaView]:
    """One tenant's quota, or that of all who have one. Errors: `NotFound` for an unknown tenant."""
    with temporal_errors():
        if tenant_id is None:
            tenants = await all_limits(client)
        else:
            limits = await read_limits(client, tenant_id)
            tenants = {} if limits is None else {tenant_id: limits}
        views: list[QuotaView] = []

        async def view(tenant: tuple[str, TenantLimits]) -> None:
            views.append(await _view(client, *tenant))

        await at_once(list(tenants.items()), view)
        views.sort(key=lambda view: view.tenant_id)
    if not views and tenant_id:
        raise NotFound(
            f"tenant {tenant_id!r} has no quota: declare it in a task file, or set one with "
            f"`taskflow quota {tenant_id} --max-concurrent N`"
        )
    return views


async def set_quota(
    client: Client, tenant_id: str, wanted: Wanted, *, task_queue: str
) -> QuotaView:
    """Change some of a tenant's limits, live; what is not named stays as it is."""
    with temporal_errors():
        before = await read_limits(client, tenant_id)
        limits = _changed(before or TenantLimits(), wanted)
        changes = changes_of(before, limits)
        if changes:
            change = TenantChange(tenant_id, limits, changes)
            await change_tenants(client, [change], task_queue=task_queue)
        view = await _view(client, tenant_id, limits)
    return replace(view, changes=changes)


async def _view(client: Client, tenant_id: str, limits: TenantLimits) -> QuotaView:
    books: GovernorView | None = None
    # No worker answers, or not in time: what is in use is not known, the limits are.
    with suppress(TimeoutError, RPCError, WorkflowQueryFailedError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                books = await view_governor(client, tenant_id)
                if books is None or not books.restoring:
                    break
                await asyncio.sleep(0.1)
    return QuotaView(tenant_id, limits, books, _rows(limits, books))


def _rows(limits: TenantLimits, books: GovernorView | None) -> list[Row]:
    """Every dimension that is limited or in use, in a fixed order."""
    names = [CONCURRENT]
    names += [f"resource:{name}" for name in sorted(limits.resources)]
    names += [f"mutex:{name}" for name in sorted(limits.mutex_groups)]
    if books is None:
        return [Row(name, limit_of(limits, name), None, None) for name in names]
    ledger = ledger_of(books.state)
    used = ledger.used
    waiting: dict[str, int] = {}
    for run_id in ledger.waiting:
        for blocker in _blockers(ledger.explain(run_id)):
            waiting[blocker.dimension] = waiting.get(blocker.dimension, 0) + 1
    names += sorted(name for name in used.keys() - set(names) if used[name])
    return [
        Row(name, limit_of(limits, name), used.get(name, 0), waiting.get(name, 0)) for name in names
    ]


def _blockers(decision: Any) -> tuple[Blocker, ...]:
    return getattr(decision, "blockers", ())


def _changed(before: TenantLimits, wanted: Wanted) -> TenantLimits:
    def merged(kind: str, old: Mapping[str, int]) -> dict[str, int]:
        own = {n.removeprefix(kind): c for n, c in wanted.items() if n.startswith(kind)}
        return {name: count for name, count in {**old, **own}.items() if count is not None}

    return before.model_copy(
        update={
            "max_concurrent": wanted.get(CONCURRENT, before.max_concurrent),
            "resources": merged("resource:", before.resources),
            "mutex_groups": merged("mutex:", before.mutex_groups),
        }
    )
