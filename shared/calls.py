"""Many calls to Temporal at once, within bounds."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
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
