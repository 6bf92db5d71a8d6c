"""What the routes of the outside world share: a log, waits that end early, refusals as problems.

They are bare ASGI endpoints, not FastAPI functions: benchmarks run beside them, so every request
has to be cheap, and breaking a connection needs what lies below the framework.
"""

import asyncio
import json
from abc import ABC, abstractmethod
from datetime import UTC, datetime

from starlette.types import Receive, Scope, Send

from pluginkit.problems import Problem
from sandbox.journal import Journal, JournalError
from sandbox.wire import Exchange


def now() -> str:
    """The time as the log writes it: RFC 3339, UTC, microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Sleepers:
    """Waits that all end when the sandbox stops, and those of one owner when they are woken."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[bool], object] = {}
        self._stopping = False

    def stop(self) -> None:
        """Wake whoever waits, and let nobody wait from now on."""
        self._stopping = True
        for sleeper in self._waiting:
            if not sleeper.done():
                sleeper.set_result(False)

    def wake(self, owner: object) -> None:
        """Wake whoever waits for this very owner."""
        for sleeper, waits_for in self._waiting.items():
            if waits_for is owner and not sleeper.done():
                sleeper.set_result(False)

    async def sleep(self, seconds: float, owner: object = None) -> bool:
        """False when the sandbox stops, or the owner is woken, before the time is over."""
        if seconds <= 0:
            return True
        if self._stopping:
            return False
        loop = asyncio.get_running_loop()
        sleeper: asyncio.Future[bool] = loop.create_future()
        timer = loop.call_later(seconds, _wake, sleeper)
        self._waiting[sleeper] = owner
        try:
            return await sleeper
        finally:
            timer.cancel()
            del self._waiting[sleeper]


def _wake(sleeper: asyncio.Future[bool]) -> None:
    if not sleeper.done():
        sleeper.set_result(True)


class Endpoint(ABC):
    """A route that writes what it does into the log."""

    def __init__(self, journal: Journal, sleepers: Sleepers) -> None:
        self._journal = journal
        self._sleep = sleepers.sleep
        self._wake = sleepers.wake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        exchange = Exchange(scope, receive, send)
        body = await exchange.read_body()
        if body is None:
            return
        try:
            await self.serve(scope, body, exchange)
        except Problem as problem:
            await exchange.refuse(problem)
        except JournalError as error:
            if exchange.begun:
                await exchange.close()
            else:
                await exchange.refuse(Problem(500, "LOG_FAILED", str(error)))

    @abstractmethod
    async def serve(self, scope: Scope, body: bytes, exchange: Exchange) -> None:
        """Answer the request, or break its connection. May raise Problem before an answer."""

    def _write(self, line: object) -> None:
        """Queue a line of the log."""
        self._journal.append(json.dumps(line).encode())

    async def _commit(self, line: object) -> None:
        """Write a line of the log and return when it is on disk."""
        await self._journal.commit(json.dumps(line).encode())
