"""The sandbox as a uvicorn server: it reaches below ASGI, and nothing holds up its end."""

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from sandbox.wire import TRANSPORT

_BACKLOG = 2048
GRACE_SECONDS = 0.5  # how long requests under way may go on after SIGTERM


class BreakableProtocol(H11Protocol):
    """HTTP/1.1 that lets the app at its transport, so that it can break the connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        app: ASGIApp = self.app

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"] = {TRANSPORT: self.transport}
            await app(scope, receive, send)

        self.app = with_transport


class SandboxServer(uvicorn.Server):
    """Prints its address when it listens; on SIGTERM cuts what is open after a short grace.

    `stop` is called when the grace is over, after all connections were cut.
    """

    def __init__(self, config: uvicorn.Config, address: str, stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._address = address
        self._stop = stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        sys.stdout.write(f"sandbox: {self._address}\n")
        sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End within the grace, whatever hangs."""
        asyncio.get_running_loop().call_later(GRACE_SECONDS, self._cut)
        await super().shutdown(sockets)

    def _cut(self) -> None:
        for connection in list(self.server_state.connections):
            if isinstance(connection, H11Protocol):
                connection.transport.abort()
        self._stop()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises OSError when the port is taken."""
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    # The protocol is named for asyncio: it turns Nagle's algorithm off only on sockets that say
    # TCP, and with it on every answer waits 40 ms for the caller's delayed ACK.
    listener = socket.socket(family, kind, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def serve(app: ASGIApp, listener: socket.socket, stop: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT, then return."""
    config = uvicorn.Config(
        app,
        http=BreakableProtocol,
        ws="none",
        access_log=False,
        log_level="error",
        # Longer than callers keep idle connections: a server that closes first makes calls fail
        # that were never lost by any script.
        timeout_keep_alive=120,
        # Only a guard: connections are cut long before, and what waits is woken.
        timeout_graceful_shutdown=2,
    )
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    server = SandboxServer(config, f"http://{shown}:{port}", stop)
    # uvicorn raises the signal again once it has shut down: with its own handler still there
    # the process ends with 0, and a signal before it is ready is not lost either.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.handle_exit)
    server.run(sockets=[listener])
