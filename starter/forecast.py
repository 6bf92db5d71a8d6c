"""The forecast of what is registered: what will wait, be skipped or break its SLA, and why."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from temporalio.client import Client

from domain.forecast import ConflictAhead, Forecast, forecast, window
from shared.calls import Advance
from starter.present import read_present
from starter.times import rfc3339

MOST_HOURS = 168
"""A forecast looks a week ahead at most."""

Total = Callable[[str, int], Advance]


def _silent(_what: str, _count: int) -> Advance:
    return lambda: None


async def make_forecast(
    client: Client,
    tenant_id: str | None,
    hours: float,
    now: datetime,
    *,
    task_queue: str,
    total: Total = _silent,
) -> Forecast:
    """What happens in the next `hours` to the tasks (of a tenant) that are registered.

    It begins with the runs that hold and wait now. Errors: `TaskflowError` when no worker answers,
    `TemporalUnreachable`.
    """
    present = await read_present(client, task_queue, [tenant_id] if tenant_id else None, now)
    start, end = window(now, hours)
    # In a thread: it takes seconds for ten thousand tasks, and the connection is watched meanwhile.
    return await asyncio.to_thread(
        forecast,
        present.tasks,
        present.limits,
        present.durations,
        start=start,
        end=end,
        namespace_id=present.namespace_id,
        ledgers=present.books,
        advance=total("looking ahead", len(present.tasks)),
    )


def document(found: Forecast) -> dict[str, Any]:
    """The document of `forecast`; `conflicts_total` counts those too that are too many to list."""
    return {
        "from": rfc3339(found.start),
        "to": rfc3339(found.end),
        "tasks": found.tasks,
        "fires": found.fires,
        "conflicts_total": found.total,
        "conflicts": [conflict_json(conflict) for conflict in found.conflicts],
    }


def conflict_json(conflict: ConflictAhead) -> dict[str, Any]:
    """One conflict, in the documents that have some."""
    return {
        "at": rfc3339(conflict.at),
        "tenant_id": conflict.tenant_id,
        "kind": conflict.kind,
        "resource": conflict.resource,
        "tasks": list(conflict.tasks),
        "wait_s": None if conflict.wait_s is None else round(conflict.wait_s, 3),
        "outcome": conflict.outcome,
        "run_id": conflict.run_id,
        "timezone": conflict.zone,
        "proposal": conflict.proposal.as_json() if conflict.proposal else None,
    }
