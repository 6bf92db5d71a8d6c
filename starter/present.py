"""What is registered and what its runs do now: where every look ahead begins."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.forecast import read_books
from activities.registered import Registered
from domain.agenda import Key, Spans
from domain.durations import Durations
from domain.ledger_state import LedgerState
from domain.limits import TenantLimits
from shared.durations import learn_durations
from shared.errors import NoWorker
from starter.rpc import temporal_errors

PATIENCE_SECONDS = 10.0
"""For the registries to answer: a worker does it in one, ten thousand tasks take three."""
NO_WORKER = (
    "no worker answers, and only a worker can say what is registered: start one with "
    "`taskflow worker`, or everything with `taskflow dev`"
)
_UNANSWERED = (
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.FAILED_PRECONDITION,  # no worker ever polled for it
)


@dataclass(frozen=True, slots=True)
class Present:
    """As of `now`, by tenant or by task; paused tasks have no open span.

    `books`: who holds and who waits, of the tenants that have a governor.
    """

    now: datetime
    tasks: dict[Key, Spans]
    limits: dict[str, TenantLimits]
    durations: Durations
    books: dict[str, LedgerState]
    namespace_id: str | None

    def paused(self, key: Key) -> bool:
        """Whether the task is registered and does not fire for now."""
        spans = self.tasks.get(key)
        return spans is not None and (not spans or spans[-1].until is not None)


def nothing_present(now: datetime) -> Present:
    """As if nothing were registered."""
    return Present(now, {}, {}, Durations(), {}, None)


async def read_present(
    client: Client, task_queue: str, tenants: Collection[str] | None, now: datetime
) -> Present:
    """Read the registries, the governors and the last runs of these tenants, None: of all.

    Errors: `NoWorker`, `TemporalUnreachable`.
    """
    names = [*tenants] if tenants is not None else []
    registered = Registered(client, task_queue, names[0] if len(names) == 1 else None)

    def wanted(tenant_id: str) -> bool:
        return tenants is None or tenant_id in tenants

    with temporal_errors():
        await refresh(registered)
        tasks = {key: k.spans for key, k in registered.tasks.items() if wanted(key[0])}
        limits = {name: own for name, own in registered.limits.items() if wanted(name)}
        # Where nothing is registered, nothing has run, and a new namespace cannot even be asked.
        durations = await learn_durations(client, tenants) if tasks else Durations()
        books = await read_books(client, sorted({key[0] for key in tasks}))
    return Present(now, tasks, limits, durations, books, registered.namespace_id)


async def refresh(registered: Registered) -> None:
    """Read what the registries say now. Errors: `NoWorker`, `RPCError`."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await registered.refresh()
    except TimeoutError:
        raise NoWorker(NO_WORKER) from None
    except RPCError as error:
        if not is_unanswered(error):
            raise
        raise NoWorker(NO_WORKER) from error


def is_unanswered(error: RPCError) -> bool:
    """Whether no worker answered a query in time."""
    return error.status in _UNANSWERED
