"""The API's connection to Temporal: made when it is first needed, and never waited for long."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client

from shared.errors import TemporalUnreachable
from starter.rpc import reach, temporal_errors

QUICK = 2.0
"""Seconds of patience with a server that did not answer the last time."""
REMEMBERED = 1.0
"""Seconds for which the answer of a look holds."""


class TemporalLink:
    """One client for the process. Temporal's core makes broken connections again by itself.

    After a call that was not answered the next ones ask briefly whether the server is back, all of
    them together once: an outage answers requests within seconds and not within the whole deadline.
    """

    def __init__(
        self, patience: float, reach: Callable[[float], Awaitable[Client]] = reach
    ) -> None:
        self._patience = patience
        self._reach = reach
        self._client: Client | None = None
        self._doubted = False
        self._look: asyncio.Task[Client] | None = None
        self._problem: tuple[float, str | None] | None = None

    @asynccontextmanager
    async def client(self, patience: float | None = None) -> AsyncIterator[Client]:
        """The client, for calls that end within `patience` seconds together.

        Errors: `TemporalUnreachable` when they do not, and `TaskflowError` for other RPC errors.
        """
        seconds = patience or self._patience
        try:
            async with asyncio.timeout(seconds) as deadline:
                client = await self._found()
                with temporal_errors():
                    yield client
        except TimeoutError:
            if not deadline.expired():
                raise
            self._doubted = True
            raise TemporalUnreachable(
                f"Temporal did not answer within {seconds:g} s: what was asked may have been done "
                "in part. Ask again: whatever was done is not done twice."
            ) from None
        except TemporalUnreachable:
            self._doubted = True
            raise

    async def problem(self) -> str | None:
        """Why Temporal cannot be used now, in a sentence; None when it can. Quick."""
        if self._problem and time.monotonic() < self._problem[0] + REMEMBERED:
            return self._problem[1]
        try:
            async with asyncio.timeout(QUICK):
                await self._together()
        except (TimeoutError, TemporalUnreachable):
            self._doubted = True
            said: str | None = "Temporal does not answer"
        else:
            said = None
        self._problem = (time.monotonic(), said)
        return said

    async def close(self) -> None:
        """Give up a look that is under way."""
        if self._look:
            self._look.cancel()
            await asyncio.wait([self._look])

    async def _found(self) -> Client:
        if self._client and not self._doubted:
            return self._client
        return await self._together()

    async def _together(self) -> Client:
        """One look for all who want one; it goes on when one of them leaves."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._ask())
            self._look.add_done_callback(_heard)
        return await asyncio.shield(self._look)

    async def _ask(self) -> Client:
        patience = min(QUICK, self._patience) if self._doubted else self._patience
        if self._client is None:
            self._client = await self._reach(patience)
        else:
            with temporal_errors():
                await self._client.workflow_service.get_system_info(
                    GetSystemInfoRequest(), timeout=timedelta(seconds=patience)
                )
        self._doubted = False
        return self._client


def _heard(look: "asyncio.Task[Client]") -> None:
    """An error that nobody waited for is no news: the next look tells it again."""
    if not look.cancelled():
        look.exception()
