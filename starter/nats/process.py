"""The process: consumes until a signal ends it, whatever goes away meanwhile."""

import asyncio
import contextlib
import os
import time
from pathlib import Path

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError

from shared.errors import Refused
from shared.settings import Settings
from starter.nats.connecting import Story, connect, shown
from starter.nats.consumer import FAREWELL, Consumer, Take
from starter.nats.metrics import NatsMetrics
from starter.nats.parking import Parking
from starter.nats.pulling import Pull, PullBroken
from starter.nats.stream import find_durable, make_streams

log = structlog.get_logger(__name__)

SHORTEST_WAIT, LONGEST_WAIT = 0.5, 10.0
"""Seconds before it is begun anew."""
HEALTHY_SECONDS = 30.0
"""What went well for so long is a new trouble when it fails."""


class NatsProcess:
    """Connects, finds its consumer, and takes messages; begins anew when that ends."""

    def __init__(
        self, settings: Settings, take: Take, metrics: NatsMetrics, *, create_stream: bool = False
    ) -> None:
        self._settings = settings
        self._take = take
        self._metrics = metrics
        self._create_stream = create_stream
        self._ready = False

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop.

        Errors: `Refused` for a stream or consumer that does not fit when the process begins; later
        it waits until they fit again.
        """
        wait = SHORTEST_WAIT
        while not stop.is_set():
            began = time.monotonic()
            try:
                await self._once(stop)
            except Refused as error:
                if not self._ready:
                    raise
                reason = str(error)
            except (PullBroken, NatsError, OSError) as error:
                reason = f"{type(error).__name__}: {error}"
            else:
                return
            if time.monotonic() > began + HEALTHY_SECONDS:
                wait = SHORTEST_WAIT
            log.warning("beginning anew", action="nats_anew", reason=reason, after_s=wait)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), wait)
            wait = min(wait * 2, LONGEST_WAIT)

    async def _once(self, stop: asyncio.Event) -> None:
        story = Story(shown(self._settings))
        connection = await connect(self._settings, story, stop)
        if connection is None:
            return
        try:
            await self._consume(connection, story, stop)
        finally:
            with contextlib.suppress(NatsError, OSError):
                async with asyncio.timeout(FAREWELL):
                    await connection.close()

    async def _consume(self, connection: Client, story: Story, stop: asyncio.Event) -> None:
        settings = self._settings
        js = connection.jetstream()
        if self._create_stream:
            for name in await make_streams(js, settings):
                log.info("stream made", action="nats_stream_made", stream=name)
        durable = await find_durable(js, settings)
        pull = Pull(connection, settings.nats_stream, settings.nats_durable)
        await pull.open()
        story.on_reconnect = pull.interrupt
        self._say_ready()
        await Consumer(
            pull=pull,
            parking=Parking(connection, js, settings.nats_parked_subject),
            take=self._take,
            metrics=self._metrics,
            ack_wait=durable.ack_wait,
        ).run(stop)

    def _say_ready(self) -> None:
        log.info(
            "consuming",
            action="nats_ready",
            url=shown(self._settings),
            stream=self._settings.nats_stream,
            durable=self._settings.nats_durable,
            subject=self._settings.nats_subject,
        )
        self._ready = True
        if ready_file := os.environ.get("TASKFLOW_READY_FILE"):
            Path(ready_file).touch()
