"""What a file changes of its tenants: quotas, mutex groups and weights."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from temporalio.client import Client

from domain.checks import limit_checks
from domain.limits import TenantLimits, limits_of
from domain.problems import InvalidInput, Problem
from domain.registration import Registration
from shared import governor
from shared.calls import at_once
from shared.tenants import read_limits, write_limits

_NONE = "none"
_UNDECLARED = "undeclared"
"""Of a mutex group: not without a limit, but held by one run at a time."""


@dataclass(frozen=True, slots=True)
class TenantChange:
    """A tenant whose limits are to be others: `changes` in words."""

    tenant_id: str
    limits: TenantLimits
    changes: list[str]

    def as_json(self) -> dict[str, Any]:
        """The tenant in the document of `plan` and `apply`."""
        return {"tenant_id": self.tenant_id, "changes": self.changes}


@dataclass(frozen=True, slots=True)
class Tenants:
    """The tenants of a file: their limits once it is applied, and what that changes."""

    limits: dict[str, TenantLimits]
    changes: list[TenantChange]

    @property
    def limited(self) -> frozenset[str]:
        """Those all of whose runs ask for admission."""
        return frozenset(
            tenant_id
            for tenant_id, limits in self.limits.items()
            if limits.max_concurrent is not None
        )

    def weight_of(self, tenant_id: str) -> float:
        """The tenant's fairness weight."""
        return self.limits[tenant_id].fairness_weight


async def compare_tenants(client: Client, registration: Registration) -> Tenants:
    """What the file says of its tenants against what is remembered of them.

    A tenant that the file does not declare keeps what it has, and its tasks must fit that.
    Errors: `RPCError`; `InvalidInput` with every task that does not fit.
    """
    stored: dict[str, TenantLimits | None] = {}

    async def read(tenant_id: str) -> None:
        stored[tenant_id] = await read_limits(client, tenant_id)

    await at_once(registration.tenant_ids(), read)
    limits = {
        tenant_id: limits_of(tenant)
        if (tenant := registration.tenants.get(tenant_id))
        else before or TenantLimits()
        for tenant_id, before in stored.items()
    }
    problems = [
        Problem(("tasks", index, *problem.path), problem.message)
        for index, task in enumerate(registration.tasks)
        if task.tenant_id not in registration.tenants
        for problem in limit_checks(task, limits[task.tenant_id])
    ]
    if problems:
        raise InvalidInput(problems)
    changes = [
        TenantChange(tenant_id, limits[tenant_id], changes)
        for tenant_id in sorted(registration.tenants)
        if (changes := changes_of(stored[tenant_id], limits[tenant_id]))
    ]
    return Tenants(limits, changes)


def changes_of(before: TenantLimits | None, after: TenantLimits) -> list[str]:
    """What differs, in words; empty when nothing does."""
    old = before or TenantLimits()
    changes = []
    if old.max_concurrent != after.max_concurrent:
        changes.append(_changed("max_concurrent", old.max_concurrent, after.max_concurrent))
    changes += _named("resource", old.resources, after.resources)
    changes += _named("mutex group", old.mutex_groups, after.mutex_groups, _UNDECLARED)
    if old.fairness_weight != after.fairness_weight:
        changes.append(_changed("fairness_weight", old.fairness_weight, after.fairness_weight))
    return changes


async def change_tenants(
    client: Client, changes: Iterable[TenantChange], *, task_queue: str
) -> None:
    """Remember the limits, then tell the governors: who runs goes on. Errors: `RPCError`."""

    async def change(one: TenantChange) -> None:
        limits = await write_limits(client, one.tenant_id, one.limits, task_queue=task_queue)
        await governor.configure(client, one.tenant_id, limits, task_queue=task_queue)

    await at_once(list(changes), change)


def _named(
    what: str, before: Mapping[str, int], after: Mapping[str, int], absent: str = _NONE
) -> list[str]:
    return [
        _changed(f"{what} {name}", before.get(name), after.get(name), absent)
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _changed(what: str, before: float | None, after: float | None, absent: str = _NONE) -> str:
    old, new = (absent if value is None else f"{value:,}" for value in (before, after))
    return f"{what}: {old} -> {new}"
