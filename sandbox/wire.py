"""One request on its connection: the answers, and the ways to break one.

Breaking needs the transport, which ASGI hides: `sandbox.server` puts it into the scope. After a
break the request must be seen to its end (`until_gone`): a handler that returns without an answer
while the connection is still up makes uvicorn log an error and answer 500.
"""

import socket
import struct
from asyncio import Transport
from typing import cast

from starlette.types import Receive, Scope, Send

from pluginkit.problems import MEDIA_TYPE, Problem

TRANSPORT = "sandbox.transport"

_RST_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 seconds


class Exchange:
    """The answer to one request. Use one of the methods, once."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._transport = cast(Transport, scope["extensions"][TRANSPORT])
        self._receive = receive
        self._send = send
        self.begun = False

    async def read_body(self) -> bytes | None:
        """The whole request body; None when the caller left before its end."""
        chunks: list[bytes] = []
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return None
            chunks.append(message.get("body", b""))
            if not message.get("more_body", False):
                return b"".join(chunks)

    async def answer(
        self, status: int, body: bytes, media_type: str = "application/json", **headers: str
    ) -> None:
        """A whole answer. Header names are given with underscores."""
        await self._begin(status, media_type, len(body), headers)
        await self._send({"type": "http.response.body", "body": body})

    async def answer_nothing(self) -> None:
        """A 204."""
        self.begun = True
        await self._send({"type": "http.response.start", "status": 204, "headers": []})
        await self._send({"type": "http.response.body", "body": b""})

    async def refuse(self, problem: Problem, **headers: str) -> None:
        """A problem as the answer."""
        await self.answer(problem.status, problem.body(), MEDIA_TYPE, **headers)

    async def refuse_as_told(self, status: int, retry_after: float | None) -> None:
        """A status of a script as a problem; `retry_after` in whole seconds."""
        wait = {} if retry_after is None else {"retry_after": f"{retry_after:.0f}"}
        await self.refuse(Problem(status, f"SCRIPTED_{status}", "as scripted"), **wait)

    async def garble(self) -> None:
        """A 200 that promises JSON and holds none."""
        await self.answer(200, b"<html>not what you asked for</html>")

    async def begin_slowly(self) -> None:
        """Status 200 and no length: a body comes blank by blank, then `end_slowly`."""
        await self._begin(200, "application/json", None, {})
        await self.blank()

    async def blank(self) -> None:
        """One byte that JSON allows before a document."""
        await self._send({"type": "http.response.body", "body": b" ", "more_body": True})

    async def end_slowly(self, body: bytes) -> None:
        """The document that the blanks led to."""
        await self._send({"type": "http.response.body", "body": body})

    async def close(self) -> None:
        """Close in order (FIN), without an answer or without the rest of one."""
        self._transport.close()
        await self.until_gone()

    async def reset(self) -> None:
        """Close with a TCP reset, without an answer."""
        connection = self._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        self._transport.abort()
        await self.until_gone()

    async def truncate(self, body: bytes) -> None:
        """Promise the whole body, send half of it and close."""
        await self._begin(200, "application/json", len(body), {})
        half = body[: len(body) // 2]
        await self._send({"type": "http.response.body", "body": half, "more_body": True})
        await self.close()

    async def until_gone(self) -> None:
        """Return when the connection is gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _begin(
        self, status: int, media_type: str, length: int | None, headers: dict[str, str]
    ) -> None:
        self.begun = True
        raw = [(b"content-type", media_type.encode())]
        if length is not None:
            raw.append((b"content-length", str(length).encode()))
        raw += [
            (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})
