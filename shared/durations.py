"""How long runs took lately, read from Temporal's visibility."""

from collections.abc import Collection

from temporalio.client import Client
from temporalio.common import SearchAttributeKey

from domain.attributes import DURATION_MS, TASK_ID, TASK_RUN, TASK_STATUS, TENANT_ID
from domain.durations import MOST_RUNS, Durations, Expected, Key
from domain.ids import parse_run_id
from domain.states import RunState

LIMIT = 20_000
"""Runs that are read: seconds of listing. Of tasks that run more rarely than these, nothing is
learned, and what they say of themselves counts.
"""
MOST_NAMED = 50
"""Tenants that a query names; for more, the runs of all are read."""

_DURATION = SearchAttributeKey.for_int(DURATION_MS)


async def learn_durations(
    client: Client, tenants: Collection[str] | None = None, limit: int = LIMIT
) -> Durations:
    """From the newest `limit` successful runs (of these tenants). Errors: `RPCError`."""
    conditions = [f"WorkflowType = '{TASK_RUN}'", f"{TASK_STATUS} = '{RunState.SUCCESS}'"]
    if tenants and len(tenants) <= MOST_NAMED:
        names = ", ".join(f"'{tenant}'" for tenant in sorted(tenants))
        conditions.append(f"{TENANT_ID} IN ({names})")
    return await _learn(client, conditions, limit)


async def learn_duration(client: Client, tenant_id: str, task_id: str) -> Expected | None:
    """From the newest runs of one task; None while they are too few. Errors: `RPCError`."""
    conditions = [
        f"WorkflowType = '{TASK_RUN}'",
        f"{TASK_STATUS} = '{RunState.SUCCESS}'",
        f"{TENANT_ID} = '{tenant_id}'",
        f"{TASK_ID} = '{task_id}'",
    ]
    return (await _learn(client, conditions, MOST_RUNS)).learned((tenant_id, task_id))


async def _learn(client: Client, conditions: list[str], limit: int) -> Durations:
    newest: dict[Key, list[float]] = {}
    query = " AND ".join(conditions)
    async for run in client.list_workflows(query, limit=limit, page_size=min(limit, 1000)):
        parsed, milliseconds = parse_run_id(run.id), run.typed_search_attributes.get(_DURATION)
        if parsed is None or milliseconds is None:
            continue
        runs = newest.setdefault((parsed.tenant_id, parsed.task_id), [])
        if len(runs) < MOST_RUNS:
            runs.append(milliseconds / 1000)
    return Durations((key, runs[::-1]) for key, runs in newest.items())
