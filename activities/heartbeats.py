"""Telling Temporal that an activity is still at it: silence then means a lost worker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio import activity

EVERY_SECONDS = 5.0


@asynccontextmanager
async def heartbeats(seconds: float = EVERY_SECONDS) -> AsyncIterator[None]:
    """Heartbeat every so many seconds; slow is not lost."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(seconds)
            activity.heartbeat()

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
