"""The way to one sink: signed requests, what came of them, and when it is better left alone."""

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import structlog

from activities.answers import RETRYABLE_4XX, read_body, retry_after
from domain.cloud_event import Event, body_of, message_id
from domain.delivery import MOST_EVENTS
from shared.sinks import ReadySink
from shared.webhooks import sign

log = structlog.get_logger(__name__)

AT_ONCE_SECONDS = 0.98
"""For an answer to an offer; with `MERGE_SECONDS`, nobody waits longer than a second."""
MERGE_SECONDS = 0.02
"""What is offered so soon after other offers goes with them in one request."""
REST_SECONDS = 10.0
"""After a failure nothing is offered for so long: not every run must learn that a sink is down."""
MAX_ANSWER_BYTES = 64 * 1024
"""Of an answer that nobody reads: the connection serves again when it is shorter."""

_NOT_FINAL = RETRYABLE_4XX | {httpx.codes.CONFLICT}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a sink said. `final`: it will not take this; `gone`: nor anything else, ever."""

    taken: bool = False
    message: str = ""
    final: bool = False
    gone: bool = False
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """Events of one run, and who waits to hear whether the sink took them."""

    events: list[Event]
    answer: asyncio.Future[Answer]


class SinkLine:
    """One sink as this worker knows it; used from one event loop."""

    def __init__(self, http: httpx.AsyncClient, sink: ReadySink) -> None:
        self.sink = sink
        self.calls = 0
        """Requests that are under way."""
        self._http = http
        self._gone: Answer | None = None
        self._rests_until: float | None = None
        self._offers: list[Offer] = []
        self._sending: set[asyncio.Task[None]] = set()
        self._next: asyncio.Task[None] | None = None

    def is_worth_a_try(self) -> bool:
        """Whether to offer something now. After a rest one may try, and the others do not wait."""
        now = time.monotonic()
        if self._rests_until is None:
            return True
        if now < self._rests_until:
            return False
        self._rests_until = now + REST_SECONDS
        return True

    async def offer(self, events: list[Event]) -> Answer:
        """Send events of one run, with what others offer meanwhile; answers within a second."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._offers.append(Offer(events, answer))
        if self._next is None:
            self._next = self._start(self._send_offers(wait=self.calls > 0))
        return await answer

    async def post(self, events: list[Event], timeout: float) -> Answer:  # noqa: ASYNC109 - a sink's own
        """One request, signed now; `timeout` in seconds for all of it."""
        if self._gone:
            return self._gone
        self.calls += 1
        try:
            answer = await self._request(events, timeout)
        finally:
            self.calls -= 1
        if answer.gone:
            self._gone = answer
            log.warning("sink gone", action="sink_gone", sink=self.sink.name, reason=answer.message)
        if answer.taken:
            self._rests_until = None
        elif not answer.final:
            if self._rests_until is None:
                reason = answer.message
                log.warning("sink fails", action="sink_fails", sink=self.sink.name, reason=reason)
            self._rests_until = time.monotonic() + REST_SECONDS
        return answer

    async def close(self) -> None:
        """Stop sending; nobody offers anything any more."""
        while self._sending:
            for task in self._sending:
                task.cancel()
            await asyncio.gather(*self._sending, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        return task

    async def _send_offers(self, *, wait: bool) -> None:
        """Everything that is offered, a run's events together and in order."""
        if wait:
            await asyncio.sleep(MERGE_SECONDS)
        self._next = None
        offers, self._offers = self._offers, []
        batch: list[Offer] = []
        size = 0
        for offer in offers:
            if batch and size + len(offer.events) > MOST_EVENTS:
                self._start(self._send(batch))
                batch, size = [], 0
            batch.append(offer)
            size += len(offer.events)
        self._start(self._send(batch))

    async def _send(self, offers: list[Offer]) -> None:
        answer = Answer(message="nothing was sent")
        try:
            wanted = [offer for offer in offers if not offer.answer.cancelled()]
            if wanted:
                timeout = min(AT_ONCE_SECONDS, self.sink.sink.timeout.total_seconds())
                events = [event for offer in wanted for event in offer.events]
                answer = await self.post(events, timeout)
        finally:
            for offer in offers:
                if not offer.answer.done():
                    offer.answer.set_result(answer)

    async def _request(self, events: list[Event], timeout: float) -> Answer:  # noqa: ASYNC109
        content_type, body = body_of(events)
        now = datetime.now(UTC)
        headers = sign(self.sink.secrets, message_id(events), body, now=now) | {
            "content-type": content_type,
            "traceparent": str(events[0]["traceparent"]),
        }
        answer: Answer | None = None
        try:
            async with (
                asyncio.timeout(timeout),
                self._http.stream(
                    "POST", self.sink.sink.url, content=body, headers=headers
                ) as response,
            ):
                answer = _read(response, now)
                await read_body(response, MAX_ANSWER_BYTES)
        except TimeoutError:
            return answer or Answer(message=f"no answer within {timeout:g} s")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            return answer or Answer(message=f"the call broke: {reason}")
        return answer


def _read(response: httpx.Response, now: datetime) -> Answer:
    status = response.status_code
    if response.is_success:
        return Answer(taken=True)
    return Answer(
        message=f"answered {status} {response.reason_phrase}".rstrip(),
        final=response.is_client_error and status not in _NOT_FINAL,
        gone=status == httpx.codes.GONE,
        retry_after=retry_after(response.headers.get("retry-after"), now),
    )
