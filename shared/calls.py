"""Calls to Temporal: many at once, within bounds, and looks at workflows."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowQueryRejectedError
from temporalio.common import QueryRejectCondition
from temporalio.service import RPCError, RPCStatusCode

AT_ONCE = 50
"""Calls under way at once: enough to keep a server busy, not enough to crowd out its runs."""

Item = TypeVar("Item")
View = TypeVar("View")
Advance = Callable[[], None]


def is_missing(error: RPCError) -> bool:
    """Whether the thing asked for does not exist."""
    return error.status is RPCStatusCode.NOT_FOUND


async def look_at(
    client: Client,
    workflow_id: str,
    query: str,
    result_type: type[View],
    *,
    patience: timedelta | None = None,
) -> View | None:
    """What an open workflow answers to a query; None when there is none. Needs a worker.

    Errors: `RPCError`, among them that none answers within `patience`, `WorkflowQueryFailedError`.
    """
    handle = client.get_workflow_handle(workflow_id)
    while True:
        try:
            found: View = await handle.query(
                query,
                result_type=result_type,
                reject_condition=QueryRejectCondition.NOT_OPEN,
                rpc_timeout=patience,
            )
        except WorkflowQueryRejectedError as error:
            if error.status is WorkflowExecutionStatus.CONTINUED_AS_NEW:
                continue  # in this very moment: the run after it knows
            return None
        except RPCError as error:
            if not is_missing(error):
                raise
            return None
        return found


async def at_once(
    items: Sequence[Item], work: Callable[[Item], Awaitable[None]], advance: Advance | None = None
) -> None:
    """Do `work` for every item, `AT_ONCE` at a time; the first error stops all and is raised."""
    waiting = iter(items)

    async def drain() -> None:
        for item in waiting:
            await work(item)
            if advance:
                advance()

    drains = [asyncio.create_task(drain()) for _ in range(min(AT_ONCE, len(items)))]
    try:
        await asyncio.gather(*drains)
    finally:
        for task in drains:
            task.cancel()
        await asyncio.gather(*drains, return_exceptions=True)


@dataclass(slots=True)
class Pace:
    """Lets so many through in a second, evenly: an outage must not end in a flood."""

    per_second: float
    _next: float = field(default=0.0)

    async def wait(self) -> None:
        """Return when the next one may go."""
        now = time.monotonic()
        self._next = max(self._next, now)
        delay = self._next - now
        self._next += 1 / self.per_second
        await asyncio.sleep(delay)
