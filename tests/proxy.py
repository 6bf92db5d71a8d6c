"""A way to Temporal that a test may close, and make silent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass(slots=True)
class Way:
    """A port of this machine that leads to another.

    `silent`: connections are accepted, and nothing comes or goes. `closed`: they are refused.
    """

    target: str
    address: str = ""
    silent: bool = False
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def open(self) -> None:
        """Let requests through, by the same port as before."""
        port = int(self.address.rpartition(":")[2] or 0)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        """Break what is open, and refuse what comes."""
        if self._server:
            self._server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self.target.rpartition(":")
        there_reader, there_writer = await asyncio.open_connection(host, int(port))
        self._open |= {writer, there_writer}
        with suppress(ConnectionError):
            await asyncio.gather(self._pass(reader, there_writer), self._pass(there_reader, writer))
        for end in (writer, there_writer):
            end.transport.abort()
        self._open -= {writer, there_writer}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(65536):
                if not self.silent:  # what came meanwhile is lost, as behind a broken switch
                    writer.write(piece)
                    await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def way_to(target: str) -> AsyncIterator[Way]:
    """An open way to `target` (host:port)."""
    way = Way(target)
    await way.open()
    try:
        yield way
    finally:
        way.close()
