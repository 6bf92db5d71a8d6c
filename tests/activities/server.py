"""An HTTP server made of bytes: it reads real requests and sends whatever a test tells it to."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]
"""What a request gets, written by hand; the connection closes after it."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came over the wire; header names in lower case."""

    line: str
    headers: dict[str, str]
    body: Any


@dataclass(slots=True)
class RawServer:
    """`answer` is for every request from now on; `requests` are all that came.

    `stopped` is the answer to DELETE.
    """

    url: str
    answer: Answer
    stopped: Answer
    requests: list[Request] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a caller has gone away."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
            headers = {
                name.lower(): value
                for name, _, value in (line.partition(": ") for line in head[1:] if line)
            }
            length = int(headers.get("content-length", 0))
            body = json.loads(await reader.readexactly(length)) if length else None
            self.requests.append(Request(head[0], headers, body))
            answer = self.stopped if head[0].startswith("DELETE ") else self.answer
            answering = asyncio.create_task(_answer(answer, writer))
            if not await reader.read():
                self.left.set()
                answering.cancel()
            await answering
        writer.close()


async def _answer(answer: Answer, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, asyncio.CancelledError):
        await answer(writer)
        await writer.drain()
        writer.close()


def http(status: str, body: bytes = b"", **headers: str) -> Answer:
    """A whole, correct answer; header names with underscores for hyphens."""
    lines = {"content-length": str(len(body))} | {
        k.replace("_", "-"): v for k, v in headers.items()
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return raw(f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body)


def ok(document: object) -> Answer:
    """A 200 with a JSON body; text stands for itself."""
    text = document if isinstance(document, str) else json.dumps(document)
    return http("200 OK", text.encode(), content_type="application/json")


def raw(data: bytes) -> Answer:
    """These bytes, and then the end of the connection."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return answer


def drip(data: bytes) -> Answer:
    """A byte every few milliseconds, endlessly."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        position = 0
        while True:
            writer.write(data[position : position + 1] or b" ")
            await writer.drain()
            position += 1
            await asyncio.sleep(0.01)

    return answer


def silence(seconds: float, then: Answer) -> Answer:
    """Nothing for a while, and then another answer."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        await then(writer)

    return answer


def reset(after: bytes = b"") -> Answer:
    """Some bytes and then a TCP reset."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(after)
        await writer.drain()
        wire = writer.get_extra_info("socket")
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return answer


@asynccontextmanager
async def raw_server() -> AsyncIterator[RawServer]:
    """A server on a free port of this machine; it says SUCCESS until told otherwise."""
    served = RawServer("", ok({"status": "SUCCESS"}), http("200 OK"))
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        served.url = f"http://127.0.0.1:{port}"
        yield served
