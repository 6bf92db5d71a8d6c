"""A way to Temporal, or to a service, that a test may close, and make silent or bad."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum


class Answers(StrEnum):
    """What becomes of the answers of who is at the other end; questions always arrive."""

    WHOLE = "whole"
    LOST = "lost"
    """The connection breaks instead."""
    CUT = "cut"
    """It breaks in the middle."""
    LATE = "late"
    """They come a second later."""
    DRIPPING = "dripping"
    """They come a byte at a time."""


@dataclass(slots=True)
class Way:
    """A port of this machine that leads to another.

    `silent`: connections are accepted, and nothing comes or goes. `closed`: they are refused.
    """

    target: str
    address: str = ""
    silent: bool = False
    answers: Answers = Answers.WHOLE
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
        self.reset()

    def reset(self) -> None:
        """Break what is open; what comes is let through."""
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self.target.rpartition(":")
        try:
            there_reader, there_writer = await asyncio.open_connection(host, int(port))
        except OSError:  # nobody is there: whoever came hears it at once
            writer.transport.abort()
            return
        self._open |= {writer, there_writer}
        with suppress(ConnectionError):
            await asyncio.gather(
                self._ask(reader, there_writer), self._answer(there_reader, writer)
            )
        for end in (writer, there_writer):
            end.transport.abort()
        self._open -= {writer, there_writer}

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(65536):
                await self._pass(piece, writer)
        writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(65536):
                match self.answers:
                    case Answers.LOST:
                        break
                    case Answers.CUT:
                        await self._pass(piece[: len(piece) // 2], writer)
                        break
                    case Answers.LATE:
                        await asyncio.sleep(1)
                    case Answers.DRIPPING:
                        for byte in piece:
                            await self._pass(bytes([byte]), writer)
                            await asyncio.sleep(0.1)
                        continue
                    case Answers.WHOLE:
                        pass
                await self._pass(piece, writer)
        writer.transport.abort()

    async def _pass(self, piece: bytes, writer: asyncio.StreamWriter) -> None:
        if not self.silent:  # what came meanwhile is lost, as behind a broken switch
            writer.write(piece)
            await writer.drain()


@asynccontextmanager
async def way_to(target: str) -> AsyncIterator[Way]:
    """An open way to `target` (host:port)."""
    way = Way(target)
    await way.open()
    try:
        yield way
    finally:
        way.close()
