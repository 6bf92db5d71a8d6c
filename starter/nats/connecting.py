"""The connection to NATS: for ever sought, and what befalls it told in the log."""

import asyncio
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import nats
import structlog
from nats.aio.client import Client

from domain.problems import InvalidInput, Problem
from shared.settings import Settings

log = structlog.get_logger(__name__)

CONNECT_SECONDS = 5
RECONNECT_SECONDS = 1.0
"""Between two attempts to reach NATS."""
REPEATED_SECONDS = 60.0
"""After so long the same trouble is told again."""
PING_SECONDS = 20
"""Between two questions whether NATS is there still; two without an answer end the connection."""
_SCHEMES = ("nats", "tls", "ws", "wss")


class Story:
    """What the client tells of its connection, as lines of the log."""

    def __init__(self, shown_url: str) -> None:
        self.on_reconnect: Callable[[], None] | None = None
        self._url = shown_url
        self._told: tuple[str, float] = ("", 0.0)

    async def trouble(self, error: Exception) -> None:
        """Something failed; the client goes on by itself."""
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        said, at = self._told
        if reason != said or time.monotonic() > at + REPEATED_SECONDS:
            self._told = (reason, time.monotonic())
            log.warning("trouble with NATS", action="nats_trouble", url=self._url, reason=reason)

    async def lost(self) -> None:
        """The connection is gone, on purpose or not."""
        log.info("NATS is away", action="nats_away", url=self._url)

    async def back(self) -> None:
        """The connection is there again."""
        self._told = ("", 0.0)
        log.info("NATS is back", action="nats_back", url=self._url)
        if self.on_reconnect:
            self.on_reconnect()


def servers_of(settings: Settings) -> list[str]:
    """The addresses, of which any will do. Errors: `InvalidInput` that shows no password."""
    urls = settings.nats_url.replace(",", " ").split()
    problems = [
        Problem(
            ("TASKFLOW_NATS_URL",),
            "must be nats://HOST:PORT (or tls, ws, wss), and several with commas between them",
        )
        for url in urls or [""]
        if not _is_address(url)
    ]
    if problems:
        raise InvalidInput(problems[:1])
    return urls


def shown(settings: Settings) -> str:
    """The addresses without users and passwords."""
    parts = [urlsplit(url) for url in servers_of(settings)]
    return ", ".join(f"{part.scheme}://{part.netloc.rpartition('@')[2]}" for part in parts)


async def connect(settings: Settings, story: Story, stop: asyncio.Event) -> Client | None:
    """A connection that makes itself again for ever; None when told to stop first."""
    options: dict[str, Any] = {}
    if settings.nats_creds_file is not None:
        options["user_credentials"] = str(settings.nats_creds_file)
    connecting = asyncio.create_task(
        nats.connect(
            servers_of(settings),
            name="taskflow",
            error_cb=story.trouble,
            disconnected_cb=story.lost,
            reconnected_cb=story.back,
            connect_timeout=CONNECT_SECONDS,
            reconnect_time_wait=RECONNECT_SECONDS,
            ping_interval=PING_SECONDS,
            max_reconnect_attempts=-1,
            **options,
        )
    )
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if connecting.done():
        return connecting.result()
    connecting.cancel()
    await asyncio.wait({connecting})
    return None


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in _SCHEMES and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False
