"""A way to a server that can be cut and mended again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starter.dev.ports import HOST, Wanted, settle


class Proxy:
    """Passes bytes between a port of its own and a server's."""

    def __init__(self, target: str) -> None:
        self._target = target.rsplit(":", 1)
        [self._port] = settle([Wanted("proxy", "", 0)])
        self._listener: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._ways: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """Where to connect to instead."""
        return f"{HOST}:{self._port}"

    async def mend(self) -> None:
        """Take connections, again."""
        self._listener = await asyncio.start_server(self._connected, HOST, self._port)

    def cut(self) -> None:
        """Break all connections, and refuse others."""
        if self._listener:
            self._listener.close()
        for writer in self._open:
            writer.transport.abort()

    async def close(self) -> None:
        """Cut, and wait until nothing is left."""
        self.cut()
        await asyncio.gather(*self._ways)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        for source, sink in ((reader, there_writer), (there_reader, writer)):
            self._open.add(sink)
            way = asyncio.create_task(self._pass(source, sink))
            self._ways.add(way)
            way.add_done_callback(self._ways.discard)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
        self._open.discard(sink)
        sink.close()
        with suppress(OSError):
            await sink.wait_closed()


@asynccontextmanager
async def proxy_to(target: str) -> AsyncIterator[Proxy]:
    """A way that is open."""
    proxy = Proxy(target)
    await proxy.mend()
    try:
        yield proxy
    finally:
        await proxy.close()
