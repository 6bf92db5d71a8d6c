"""Many calls to Temporal at once, within bounds."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from temporalio.service import RPCError, RPCStatusCode

AT_ONCE = 50
"""Calls under way at once: enough to keep a server busy, not enough to crowd out its runs."""

Item = TypeVar("Item")
Advance = Callable[[], None]


def is_missing(error: RPCError) -> bool:
    """Whether the thing asked for does not exist."""
    return error.status is RPCStatusCode.NOT_FOUND


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
