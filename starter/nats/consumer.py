"""The consumer: each message is taken, parked or given back, and acknowledged after that alone."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from domain.events_in import CloudEvent
from domain.problems import InvalidInput
from shared.errors import TaskflowError, TemporalUnreachable
from starter.events import Received
from starter.nats.metrics import NatsMetrics
from starter.nats.parking import Parking
from starter.nats.pulling import Pull
from starter.nats.reading import read_event
from starter.nats.subjects import tenant_of

log = structlog.get_logger(__name__)

AT_ONCE = 32
"""Messages under way at once in one process."""
GRACE = 8.0
"""Seconds for those under way when the process is to stop."""
FAREWELL = 2.0
"""Seconds for NATS to hear that nothing more is wanted; it may be frozen."""
LONGEST_OUTAGE_DELAY = 60
LONGEST_FAILURE_DELAY = 600
"""Seconds after which at most a message comes again."""
LONGEST_HOLD = 15.0
"""Seconds at most between two looks whether Temporal is back."""


Take = Callable[[str, CloudEvent], Awaitable[Received]]
"""Starts the runs of a tenant's event; returns once all exist. Errors: `TemporalUnreachable`."""


@dataclass(slots=True)
class Hold:
    """Keeps a process from asking for messages while Temporal does not answer."""

    seconds: float = 0.0
    until: float = 0.0

    def lengthen(self) -> None:
        """One more message was not taken; those of the same moment count once."""
        now = time.monotonic()
        if now >= self.until:
            self.seconds = min(self.seconds * 2 or 0.5, LONGEST_HOLD)
            self.until = now + self.seconds

    def end(self) -> None:
        """One was taken."""
        self.seconds = 0.0


@dataclass(slots=True)
class Consumer:
    """Takes the messages of one connection."""

    pull: Pull
    parking: Parking
    take: Take
    metrics: NatsMetrics
    ack_wait: float
    _hold: Hold = field(default_factory=Hold)
    _under_way: dict[asyncio.Task[None], Msg] = field(default_factory=dict)

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop; what was delivered by then is ended or given back.

        Errors: `PullBroken`, and those of the client when its connection is closed.
        """
        pulling = asyncio.create_task(self._pull())
        beside = [asyncio.create_task(stop.wait()), asyncio.create_task(self._keep())]
        try:
            await asyncio.wait({pulling, beside[0]}, return_when=asyncio.FIRST_COMPLETED)
            pulling.cancel()
            with suppress(asyncio.CancelledError):
                await pulling
        finally:
            pulling.cancel()
            await self._end()
            for task in beside:
                task.cancel()

    async def _pull(self) -> None:
        while True:
            wanted = await self._room()
            async for message in self.pull.messages(wanted):
                task = asyncio.create_task(self._handle(message))
                self._under_way[task] = message
                task.add_done_callback(self._under_way.pop)

    async def _room(self) -> int:
        """How many messages to ask for: one at a time until Temporal is known to be back."""
        while True:
            await asyncio.sleep(max(0.0, self._hold.until - time.monotonic()))
            most = 1 if self._hold.seconds else AT_ONCE
            if len(self._under_way) < most:
                return most - len(self._under_way)
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)

    async def _keep(self) -> None:
        """Tell NATS of all that takes long, so that nobody else gets it."""
        while True:
            await asyncio.sleep(self.ack_wait / 3)
            for message in list(self._under_way.values()):
                with suppress(NatsError):
                    await message.in_progress()

    async def _end(self) -> None:
        """End what is under way; give back what is not, for others to have at once."""
        with suppress(NatsError, TimeoutError):
            async with asyncio.timeout(FAREWELL):
                for message in await self.pull.close():
                    await self._give_back(message, "stopping", 0)
        if not self._under_way:
            return
        await asyncio.wait(self._under_way, timeout=GRACE)
        late = dict(self._under_way)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for message in late.values():
            if not message.is_acked:
                await self._give_back(message, "stopping", 0)

    async def _handle(self, message: Msg) -> None:
        """One message, and one line that says what became of it."""
        began = time.monotonic()
        about = message.metadata
        self.metrics.received.add()
        if about.num_delivered > 1:
            self.metrics.redelivered.add()
        line: dict[str, Any] = {
            "subject": message.subject,
            "stream_sequence": about.sequence.stream,
            "deliveries": about.num_delivered,
        }
        try:
            tenant_id = tenant_of(message.subject)
            event = read_event(message.headers or {}, message.data)
        except InvalidInput as error:
            outcome = await self._park(message, error, line)
        else:
            line |= {
                "tenant_id": tenant_id,
                "event_id": event.id,
                "event_source": event.source,
                "event_type": event.type,
            }
            outcome = await self._take(message, tenant_id, event, line)
        line["duration_ms"] = round((time.monotonic() - began) * 1000)
        log.info("event", action="nats_event", outcome=outcome, **line)

    async def _take(
        self, message: Msg, tenant_id: str, event: CloudEvent, line: dict[str, Any]
    ) -> str:
        try:
            found = await self.take(tenant_id, event)
        except TemporalUnreachable as error:
            self._hold.lengthen()
            line["reason"] = str(error)
            delay = _growing(message, LONGEST_OUTAGE_DELAY)
            return await self._give_back(message, "unreachable", delay)
        except Exception as error:
            # Whatever it is, the event is not lost: it comes again, ever more rarely.
            line["reason"] = f"{type(error).__name__}: {error}"
            if not isinstance(error, TaskflowError):
                log.exception("an event could not be taken", action="nats_failed")
            delay = _growing(message, LONGEST_FAILURE_DELAY)
            return await self._give_back(message, "failed", delay)
        self._hold.end()
        line["runs"] = [run.run_id for run in found.runs]
        line |= {"paused": found.paused} if found.paused else {}
        line |= {"failed_filters": len(found.failed_filters)} if found.failed_filters else {}
        if found.retry_after_s is not None:
            return await self._give_back(message, "limited", max(found.retry_after_s, 1))
        self.metrics.started.add(amount=len(found.runs))
        if not found.runs:
            self.metrics.unmatched.add()
        await _tell(message.ack())
        return "started" if found.runs else "paused" if found.paused else "unmatched"

    async def _park(self, message: Msg, why: InvalidInput, line: dict[str, Any]) -> str:
        line["reason"] = str(why)
        try:
            kept = await self.parking.park(message, why)
        except NatsError as error:
            line["reason"] += f"; and it cannot be parked now: {error}"
            delay = _growing(message, LONGEST_OUTAGE_DELAY)
            return await self._give_back(message, "not_parked", delay)
        if kept:
            self.metrics.parked.add()
            await _tell(message.ack())
            return "parked"
        self.metrics.dropped.add()
        log.error(
            "no stream keeps what is parked: a message is dropped",
            action="nats_dropped",
            **line,
        )
        await _tell(message.term())
        return "dropped"

    async def _give_back(self, message: Msg, reason: str, delay: float) -> str:
        self.metrics.naks.add(reason)
        await _tell(message.nak(delay))
        return reason


def _growing(message: Msg, most: int) -> int:
    """Seconds: twice as many after each delivery."""
    doublings = min(message.metadata.num_delivered - 1, 16)
    return min(1 << doublings, most)


async def _tell(answer: Awaitable[None]) -> None:
    """An answer that does not reach NATS is no harm: the message comes again, to the same end."""
    try:
        await answer
    except NatsError as error:
        log.warning("NATS was not told", action="nats_not_told", reason=str(error))
