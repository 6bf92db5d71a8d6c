"""Tells the scheduler of one accepted execution: heartbeats while it is done, then how it ended."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime

from pydantic import JsonValue

from pluginkit.answers import failure
from pluginkit.reports import Heard, Report, Reporter, Sequence, final, running
from pluginkit.work import Stopped, Work

log = logging.getLogger(__name__)

MOST_BETWEEN_BEATS = 10.0
"""Seconds: a cancellation comes with the answer to a heartbeat, too."""
LEAST_BETWEEN_BEATS = 0.5
"""However often the work tells its progress."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds between attempts to tell the end."""
LATE_SECONDS = 600.0
"""How long after the deadline the end is still told: clocks may differ."""
SEND_SECONDS = 10.0
UNTOLD = failure(
    "RESULT_REFUSED", "the scheduler did not take what the work came to", retryable=False
)
"""Better than silence until the deadline."""


class Herald:
    """Speaks for one piece of work. `cancel` is called when nobody wants it any more.

    Without `beats` it tells the end alone, and does not hear before that nobody wants the work.
    """

    def __init__(
        self,
        work: Work,
        reporter: Reporter,
        cancel: Callable[[], Awaitable[None]],
        *,
        beats: bool = True,
    ) -> None:
        self._work = work
        self._reporter = reporter
        self._cancel = cancel
        self._beats = beats
        self._sequence = Sequence()
        self._sent_at = -math.inf

    async def tell(self) -> None:
        """Until the end is told, or nobody wants to know it."""
        if self._beats:
            await self._beat()
        answer = await asyncio.shield(self._work.ended)
        if self._work.stopped is Stopped.SUPERSEDED:
            return
        for pause in _pauses():
            heard, wait = await self._send(final(answer), SEND_SECONDS)
            if heard is Heard.REFUSED and answer is not UNTOLD:
                answer = UNTOLD
                continue
            if heard is not Heard.NOTHING:
                return
            await asyncio.sleep(max(pause, wait))
            if self._work.newest.left(datetime.now(UTC)) < -LATE_SECONDS:
                break
        log.error(
            "the end of %s could not be told",
            self._work.newest.run_id,
            extra={"action": "end_not_told"},
        )

    async def _beat(self) -> None:
        """Heartbeats, until the work has ended."""
        work = self._work
        heard, wait = Heard.TAKEN, 0.0
        while not work.ended.done():
            interval = self._interval()
            await self._rest(interval if heard is not Heard.NOTHING else max(wait, interval / 3))
            if work.ended.done():
                return
            about = work.newest
            heard, wait = await self._send(
                running(work.progress, work.message), min(interval, SEND_SECONDS)
            )
            if heard is Heard.CANCELLED and work.stopped is None:
                await self._cancel()
            elif heard is Heard.REFUSED:  # what the work tells must not be its end
                work.progress = work.message = None
            elif heard is Heard.OVER and work.newest is about and not work.ended.done():
                work.stop(Stopped.SUPERSEDED)

    def _interval(self) -> float:
        """A third of the silence that is allowed, so that one report may get lost."""
        allowed = self._work.newest.heartbeat_timeout
        return min(allowed / 3 if allowed else MOST_BETWEEN_BEATS, MOST_BETWEEN_BEATS)

    async def _rest(self, seconds: float) -> None:
        """Until the next heartbeat is due: sooner when there are news."""
        work = self._work
        least = min(seconds, max(0.0, self._sent_at + LEAST_BETWEEN_BEATS - time.monotonic()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(least):
                await asyncio.shield(work.ended)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds - least):
                await work.news.wait()
        work.news.clear()

    async def _send(self, said: dict[str, JsonValue], seconds: float) -> tuple[Heard, float]:
        work = self._work
        self._sent_at = time.monotonic()
        report = Report(work.plugin_id, work.newest, self._sequence.next(), said)
        return await self._reporter.send(report, seconds)


def _pauses() -> Iterator[float]:
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * 2, LONGEST_PAUSE)
