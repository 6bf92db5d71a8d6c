"""Pulling messages from a durable consumer.

The client's own `fetch` takes whatever has a header `Status` for words of the server and drops it:
any sender could so make a message that is delivered for ever. Here a message is what can be
acknowledged.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.errors import TaskflowError

PULL_SECONDS = 10.0
"""How long one request for messages stands at the server."""
SLACK = 1.0
"""Seconds after that in which the server has to say so."""
_HEARTBEAT, _OVER = "100", "408"
_NANOSECONDS = 1_000_000_000


class PullBroken(TaskflowError):  # noqa: N818 - reads as what happened
    """The request ended otherwise than with its time: the consumer may be gone."""


class Pull:
    """One inbox for the requests of a process, one request at a time."""

    def __init__(self, connection: Client, stream: str, durable: str) -> None:
        self._connection = connection
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._inbox = connection.new_inbox()
        self._arrived: asyncio.Queue[Msg | None] = asyncio.Queue()
        self._request = 0
        self._subscription: Any = None

    async def open(self) -> None:
        """Listen for answers."""
        self._subscription = await self._connection.subscribe(f"{self._inbox}.*", cb=self._hear)

    def interrupt(self) -> None:
        """End the request that stands: a connection that was lost has lost it, too."""
        self._arrived.put_nowait(None)

    async def messages(self, wanted: int, seconds: float = PULL_SECONDS) -> AsyncIterator[Msg]:
        """At most about `wanted` messages, each as it comes; ends after `seconds` at the latest.

        Errors: `PullBroken`; those of the client for a connection that is closed.
        """
        self._request += 1
        reply = f"{self._inbox}.{self._request}"
        asked = {"batch": wanted, "expires": int(seconds * _NANOSECONDS)}
        await self._connection.publish(self._next, json.dumps(asked).encode(), reply=reply)
        end = time.monotonic() + seconds + SLACK
        while wanted > 0:
            try:
                async with asyncio.timeout(end - time.monotonic()):
                    message = await self._arrived.get()
            except TimeoutError:
                raise PullBroken("the server did not answer a request for messages") from None
            if message is None:
                return
            if _is_kept(message):
                wanted -= 1
                yield message
            elif message.subject == reply and (status := _status(message)):
                if status.startswith(_OVER):
                    return
                raise PullBroken(f"NATS ended a request for messages: {status}")

    async def close(self) -> list[Msg]:
        """Ask no more; what was delivered and not yet handed on."""
        await self._subscription.drain()
        rest = []
        while not self._arrived.empty():
            message = self._arrived.get_nowait()
            if message and _is_kept(message):
                rest.append(message)
        return rest

    async def _hear(self, message: Msg) -> None:
        self._arrived.put_nowait(message)


def _is_kept(message: Msg) -> bool:
    """Whether it is of a stream, and no word of the server."""
    return message.reply.startswith("$JS.ACK.")


def _status(message: Msg) -> str | None:
    """What the server says of a request; None while it stands."""
    headers = message.headers or {}
    status = headers.get("Status", "")
    return None if status == _HEARTBEAT else f"{status} {headers.get('Description', '')}".strip()
