"""The forecast of what is registered: what will wait, be skipped or break its SLA, and why."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.registered import Registered
from domain.forecast import ConflictAhead, Forecast, forecast, window
from domain.ledger_state import LedgerState
from shared.calls import Advance
from shared.durations import learn_durations
from shared.errors import TaskflowError
from shared.tenants import all_limits
from starter.rpc import temporal_errors
from starter.times import rfc3339

PATIENCE = 10.0
"""Seconds for the registries to answer: a worker does it in one, ten thousand tasks take three."""
_NO_WORKER = (
    "no worker answers, and only a worker can say what is registered: start one with "
    "`taskflow worker`, or everything with `taskflow dev`"
)
_UNANSWERED = (
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.FAILED_PRECONDITION,  # no worker ever polled for it
)

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
    ledgers: Mapping[str, LedgerState] | None = None,
    total: Total = _silent,
) -> Forecast:
    """What happens in the next `hours` to the tasks (of a tenant) that are registered.

    `ledgers`: who holds and waits now, by tenant; nobody where there is none. Errors:
    `TaskflowError` when no worker answers, `TemporalUnreachable`.
    """
    registered = Registered(client, task_queue)
    with temporal_errors():
        await _refresh(registered)
        limits = await all_limits(client)
        durations = await learn_durations(client, [tenant_id] if tenant_id else None)
    tasks = {
        key: known.spans
        for key, known in registered.tasks.items()
        if tenant_id is None or key[0] == tenant_id
    }
    start, end = window(now, hours)
    # In a thread: it takes seconds for ten thousand tasks, and the connection is watched meanwhile.
    return await asyncio.to_thread(
        forecast,
        tasks,
        limits,
        durations,
        start=start,
        end=end,
        namespace_id=registered.namespace_id,
        ledgers=ledgers,
        advance=total("looking ahead", len(tasks)),
    )


def document(found: Forecast) -> dict[str, Any]:
    """The document of `forecast`; `conflicts_total` counts those too that are too many to list."""
    return {
        "from": rfc3339(found.start),
        "to": rfc3339(found.end),
        "tasks": found.tasks,
        "fires": found.fires,
        "conflicts_total": found.total,
        "conflicts": [_as_json(conflict) for conflict in found.conflicts],
    }


async def _refresh(registered: Registered) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            await registered.refresh()
    except TimeoutError:
        raise TaskflowError(_NO_WORKER) from None
    except RPCError as error:
        if error.status not in _UNANSWERED:
            raise
        raise TaskflowError(_NO_WORKER) from error


def _as_json(conflict: ConflictAhead) -> dict[str, Any]:
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
