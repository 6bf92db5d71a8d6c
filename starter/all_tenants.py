"""All tenants at a glance, for admins: what is registered, paused, and waits for a person."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from temporalio.client import Client

from domain.attributes import REGISTRY
from domain.ids import parse_registry_id, parse_schedule_id
from domain.work_orders import is_closed
from starter.rpc import temporal_errors
from starter.work_orders import Wanted, list_work_orders

MOST_PAUSED = 2000
MOST_ORDERS = 1000


@dataclass(frozen=True, slots=True)
class TenantRow:
    """One tenant: tasks that are paused, work orders that are not closed, and those overdue."""

    tenant_id: str
    paused: int
    orders: int
    overdue: int


async def list_tenants(client: Client, now: datetime) -> list[TenantRow]:
    """Every tenant that has, or had, a task or limits; those with overdue work orders first.

    Errors: `TemporalUnreachable`.
    """
    names: set[str] = set()
    paused: Counter[str] = Counter()
    with temporal_errors():
        query = f"WorkflowType = '{REGISTRY}' AND ExecutionStatus = 'Running'"
        async for registry in client.list_workflows(query, page_size=1000):
            if parsed := parse_registry_id(registry.id):
                names.add(parsed[0])
        async for entry in await client.list_schedules("TemporalSchedulePaused = true"):
            if key := parse_schedule_id(entry.id):
                paused[key[0]] += 1
            if paused.total() >= MOST_PAUSED:
                break
    orders = await list_work_orders(client, Wanted(limit=MOST_ORDERS))
    unfinished = [row for row in orders if not is_closed(row.status)]
    waiting = Counter(row.tenant_id for row in unfinished)
    overdue = Counter(row.tenant_id for row in unfinished if row.due_at < now)
    rows = [
        TenantRow(name, paused[name], waiting[name], overdue[name])
        for name in names | set(paused) | set(waiting)
    ]
    return sorted(rows, key=lambda row: (-row.overdue, -row.orders, row.tenant_id))
