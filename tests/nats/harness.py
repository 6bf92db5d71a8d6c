"""A stream of its own for each test, a consumer in this process, and what it is told to take."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, ConsumerInfo
from nats.js.errors import NotFoundError
from prometheus_client import CollectorRegistry

from domain.events_in import CloudEvent
from shared.settings import Settings
from starter.events import Received, Started
from starter.intake import Limited
from starter.nats.consumer import Take
from starter.nats.metrics import NatsMetrics
from starter.nats.process import NatsProcess

EVENT = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.created"}


def event(**fields: Any) -> bytes:
    """A structured event, changed by fields."""
    return json.dumps({**EVENT, **fields}).encode()


def came(*runs: str, retry_after: int | None = None) -> Received:
    """These runs, and one that is not started yet if there is a time after which it may be."""
    return Received(
        *("1", "/shop", "order.created"),
        runs=[Started("t", run) for run in runs],
        limited=[] if retry_after is None else [Limited("u", retry_after)],
    )


@dataclass
class Recorder:
    """Takes events: remembers each, and answers as its script for the event's id says."""

    script: dict[str, list[Callable[[], Awaitable[Received]]]] = field(default_factory=dict)
    taken: list[tuple[str, CloudEvent]] = field(default_factory=list)

    async def take(self, tenant_id: str, event: CloudEvent) -> Received:
        """Start one run, if the script has nothing else left."""
        self.taken.append((tenant_id, event))
        if steps := self.script.get(event.id):
            return await steps.pop(0)()
        return came(f"run/{tenant_id}/t/event/{event.id}")

    @property
    def ids(self) -> list[str]:
        """Ids of the events in the order in which they came, repeats included."""
        return [event.id for _, event in self.taken]


@dataclass
class Place:
    """One stream with its parked subject, and what looks at both."""

    settings: Settings
    connection: Client
    js: JetStreamContext
    tenant: str

    async def publish(self, body: bytes, headers: dict[str, str] | None = None) -> int:
        """Send a message for the tenant; its sequence."""
        return await self.publish_to(self.subject(), body, headers)

    async def publish_to(
        self, subject: str, body: bytes, headers: dict[str, str] | None = None
    ) -> int:
        """The same, to any subject."""
        return (await self.js.publish(subject, body, headers=headers)).seq

    def subject(self, tenant: str | None = None) -> str:
        """Where events of a tenant go."""
        return self.settings.nats_subject.removesuffix("*") + (tenant or self.tenant)

    async def consumer(self, **options: Any) -> None:
        """Make the durable consumer before the process does, otherwise than it would."""
        name = self.settings.nats_durable
        wanted = {"filter_subject": self.settings.nats_subject, "ack_policy": "explicit"}
        await self.js.add_consumer(
            self.settings.nats_stream,
            ConsumerConfig(name=name, durable_name=name, **{**wanted, **options}),
        )

    async def state(self) -> ConsumerInfo:
        """How far the durable consumer is."""
        found: ConsumerInfo = await self.js.consumer_info(
            self.settings.nats_stream, self.settings.nats_durable
        )
        return found

    async def all_settled(self) -> bool:
        """Whether every message was acknowledged for good."""
        found = await self.state()
        return not found.num_pending and not found.num_ack_pending

    async def waited_for(self, processes: int) -> bool:
        """Whether so many processes wait for messages."""
        try:
            return (await self.state()).num_waiting == processes
        except NotFoundError:
            return False

    async def parked(self) -> list[Msg]:
        """All that was parked."""
        name = await self.js.find_stream_name_by_subject(self.settings.nats_parked_subject)
        stored = (await self.js.stream_info(name)).state
        return [
            await self.js.get_msg(name, seq)  # type: ignore[misc]
            for seq in range(stored.first_seq, stored.last_seq + 1)
        ]


@asynccontextmanager
async def place_on(url: str, **settings: Any) -> AsyncIterator[Place]:
    """Streams of their own on a server."""
    name = f"S{uuid4().hex[:10]}"
    found = Settings(
        nats_url=url,
        nats_stream=name,
        nats_subject=f"{name}.events.*",
        nats_parked_subject=f"{name}.parked",
        **settings,
    )
    connection = await nats.connect(
        url, max_reconnect_attempts=-1, reconnect_time_wait=0.1, error_cb=_quiet
    )
    try:
        js = connection.jetstream()
        await js.add_stream(name=name, subjects=[found.nats_subject])
        await js.add_stream(name=f"{name}_PARKED", subjects=[found.nats_parked_subject])
        yield Place(found, connection, js, "acme")
    finally:
        await connection.close()


@dataclass
class Consuming:
    """A process's work in this process: its counters, and how it is told to stop."""

    stop: asyncio.Event
    work: asyncio.Task[None]
    registry: CollectorRegistry

    def count(self, name: str, **labels: str) -> float:
        """A counter, 0 when nothing was counted."""
        return self.registry.get_sample_value(f"task_nats_{name}_total", labels) or 0.0

    async def end(self) -> None:
        """Tell it to stop, and wait until it has."""
        self.stop.set()
        async with asyncio.timeout(15):
            await self.work


@asynccontextmanager
async def consuming(place: Place, take: Take, **options: Any) -> AsyncIterator[Consuming]:
    """What `taskflow nats` does after its settings are read."""
    registry = CollectorRegistry()
    stop = asyncio.Event()
    process = NatsProcess(place.settings, take, NatsMetrics(registry), **options)
    consuming = Consuming(stop, asyncio.create_task(process.run(stop)), registry)
    try:
        yield consuming
    finally:
        await consuming.end()


async def _quiet(error: Exception) -> None:
    """Servers of tests go away."""
