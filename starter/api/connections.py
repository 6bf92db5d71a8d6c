"""Connections whose request never comes, or never comes whole: they are left after a while.

uvicorn bounds only the time between two requests. Bodies are bounded where they are read.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 30.0
"""In which a request's head must have come, and what is left of a body that nobody reads."""


class Connection(H11Protocol):
    """One connection."""

    _leaves: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Somebody is there."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """A part of something came."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """A request was answered, perhaps before its body had come."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there."""
        self._stay()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """While a request is answered it may take its time; the time of the rest is one."""
        request: Any = self.cycle  # None before the first, which uvicorn's types do not say
        if request is not None and not request.response_complete:
            self._stay()
        elif self._leaves is None and not self.transport.is_closing():
            self._leaves = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _stay(self) -> None:
        if self._leaves is not None:
            self._leaves.cancel()
            self._leaves = None
