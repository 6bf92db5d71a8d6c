"""Telling sinks of state changes: at once if they take them, else by a `Delivery` workflow."""

import asyncio
import random
from collections import OrderedDict
from datetime import UTC, datetime, timedelta

import httpx
import structlog
from temporalio import activity
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError

from activities.heartbeats import heartbeats
from activities.sink_line import Answer, SinkLine
from domain.attributes import DELIVER_CHANGES, DELIVERY, PUBLISH_CHANGES
from domain.cloud_event import Event, event_of
from domain.delivery import TAKE, Deliver, Delivered, DeliveryStart, Owed
from domain.events_out import Published, RunChanges, StateChange
from domain.ids import delivery_id, recovery_queue
from domain.recovery import LONGEST_RETRY_AFTER
from shared.metrics import EventMetrics
from shared.sinks import LiveSinks, ReadySink
from shared.tracing import is_sampled

log = structlog.get_logger(__name__)

SHORTEST_DELAY = timedelta(milliseconds=100)
FIRST_DELAY, LONGEST_DELAY = timedelta(seconds=1), timedelta(minutes=5)
"""Between the tries of a delivery, doubled each time; shorter when its time is nearly over."""
UNKNOWN_FOR = timedelta(minutes=10)
"""How long a sink may be unknown to a worker, whose file may be older than that of another."""
MOST_AT_ONCE = 100
"""Requests to one sink: if it hangs, others still have the slots that they need."""
CROWDED = timedelta(seconds=10)
HAND_OVER_WITHIN = timedelta(seconds=5)
MOST_HALFWAY = 10_000


class EventActivities:
    """The activities that reach sinks; one instance for a process, used from one event loop."""

    def __init__(
        self,
        client: Client,
        http: httpx.AsyncClient,
        sinks: LiveSinks,
        metrics: EventMetrics,
        *,
        task_queue: str,
    ) -> None:
        """`http` is for sinks alone: whoever hangs must not take the connections of others.

        `task_queue` is that of runs.
        """
        self._client = client
        self._http = http
        self._sinks = sinks
        self._metrics = metrics
        self._queue = recovery_queue(task_queue)
        self._lines: dict[str, SinkLine] = {}
        self._halfway: OrderedDict[str, dict[str, int]] = OrderedDict()

    def listens(self, tenant_id: str) -> bool:
        """Whether anybody wants to be told of a tenant's runs."""
        return bool(self._sinks.of(tenant_id))

    @activity.defn(name=PUBLISH_CHANGES)
    async def publish_changes(self, request: RunChanges) -> Published:
        """Tell a run's sinks; see `publish`."""
        return await self.publish(request)

    async def publish(self, changes: RunChanges) -> Published:
        """Tell the tenant's sinks, within about a second, or hand over what they did not take.

        Once something of a run was handed over, everything after it is. Errors: `RPCError`, when
        it cannot be handed over; publishing the same changes again is safe.
        """
        sinks = self._sinks.of(changes.tenant_id)
        if not sinks:
            return Published(sinks=False, handed_over=changes.handed_over)
        wanting = {sink.name: sink for sink in sinks if _wanted(sink, changes)}
        if not changes.changes or not wanting:
            return Published(sinks=True, handed_over=changes.handed_over)
        if changes.handed_over:
            owed = list(wanting)
        else:
            took = await asyncio.gather(*(self._offer(s, changes) for s in wanting.values()))
            owed = [name for name, taken in zip(wanting, took, strict=True) if not taken]
        if owed:
            self._remember(changes, [name for name in wanting if name not in owed])
            await self._hand_over(changes, owed)
        self._halfway.pop(changes.run_id, None)
        if not owed:
            return Published(sinks=True, handed_over=changes.handed_over)
        for name in owed:
            self._metrics.handed_over(name, len(_wanted(wanting[name], changes)))
        return Published(sinks=True, handed_over=True)

    @activity.defn(name=DELIVER_CHANGES)
    async def deliver_changes(self, request: Deliver) -> Delivered:
        """One request to one sink.

        Errors: `ApplicationError`, to be tried again after the delay that it names.
        """
        run, sink = request.changes, self._sinks.find(request.sink, request.changes.tenant_id)
        if sink is None:
            answer = Answer(message="is not in the sinks file, or no longer for this tenant")
            return self._later(request, run.changes, answer, UNKNOWN_FOR)
        wanted = _wanted(sink, run)
        if not wanted:
            return Delivered(settled=_sequences(run.changes))
        line = self._line(sink)
        if line.calls >= MOST_AT_ONCE:
            answer = Answer(message="has too many requests under way", retry_after=CROWDED)
        else:
            timeout = sink.sink.timeout.total_seconds()
            async with heartbeats():
                answer = await line.post(_events(run, wanted), timeout)
        return self._settle(request, sink, wanted, answer)

    async def close(self) -> None:
        """Stop telling."""
        for line in self._lines.values():
            await line.close()

    def _settle(
        self, request: Deliver, sink: ReadySink, wanted: list[StateChange], answer: Answer
    ) -> Delivered:
        run = request.changes
        if answer.taken:
            self._metrics.delivered(sink.name, len(wanted))
            return Delivered(settled=_sequences(run.changes), delivered=len(wanted))
        if not answer.final:
            return self._later(request, wanted, answer, sink.sink.retry_for)
        if len(wanted) > 1 and not answer.gone:
            return Delivered(one_by_one=True)
        self._give_up(sink.name, run, wanted, answer)
        return Delivered(settled=_sequences(run.changes), given_up=len(wanted))

    def _line(self, sink: ReadySink) -> SinkLine:
        """The way to a sink; what was known of it is forgotten when its file has changed."""
        line = self._lines.get(sink.name)
        if line is None or line.sink is not sink:
            line = self._lines[sink.name] = SinkLine(self._http, sink)
        return line

    async def _offer(self, sink: ReadySink, changes: RunChanges) -> bool:
        """Whether nothing of them is owed to the sink any more."""
        line = self._line(sink)
        told = self._halfway.get(changes.run_id, {}).get(sink.name, 0)
        wanted = [change for change in _wanted(sink, changes) if change.sequence > told]
        if not wanted:
            return True
        if not line.is_worth_a_try():
            return False
        answer = await line.offer(_events(changes, wanted))
        if answer.taken:
            self._metrics.delivered(sink.name, len(wanted))
        elif answer.gone:
            self._give_up(sink.name, changes, wanted, answer)
        return answer.taken or answer.gone

    async def _hand_over(self, changes: RunChanges, sinks: list[str]) -> None:
        """Have the run's `Delivery` workflow tell these sinks; starts it when there is none."""
        await self._client.start_workflow(
            DELIVERY,
            DeliveryStart(),
            id=delivery_id(changes.run_id),
            task_queue=self._queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=TAKE,
            start_signal_args=[Owed(changes=changes, sinks=sinks)],
            static_summary="tells sinks what they did not take at once",
            rpc_timeout=HAND_OVER_WITHIN,
        )

    def _remember(self, changes: RunChanges, took: list[str]) -> None:
        """Should handing over fail, the run publishes again: who took these, need not again."""
        told = self._halfway.setdefault(changes.run_id, {})
        told.update(dict.fromkeys(took, changes.changes[-1].sequence))
        if len(self._halfway) > MOST_HALFWAY:
            self._halfway.popitem(last=False)

    def _later(
        self,
        request: Deliver,
        wanted: list[StateChange],
        answer: Answer,
        retry_for: timedelta,
    ) -> Delivered:
        """Give up what is older than `retry_for`; when nothing is, raise what has it retried."""
        now = datetime.now(UTC)
        over = [change for change in wanted if now - change.at >= retry_for]
        if over:
            self._give_up(request.sink, request.changes, over, answer)
            return Delivered(settled=_sequences(over), given_up=len(over))
        left = min(change.at for change in wanted) + retry_for - now
        raise ApplicationError(
            f"the sink {request.sink} {answer.message}",
            type="SINK_UNAVAILABLE",
            next_retry_delay=_delay(activity.info().attempt, left, answer.retry_after),
        )

    def _give_up(
        self, sink: str, run: RunChanges, changes: list[StateChange], answer: Answer
    ) -> None:
        self._metrics.given_up(sink, len(changes))
        log.error(
            "sink not told",
            action="event_given_up",
            sink=sink,
            tenant_id=run.tenant_id,
            task_id=run.task_id,
            run_id=run.run_id,
            trace_id=run.trace_id,
            sequences=_sequences(changes),
            reason=answer.message,
        )


def _wanted(sink: ReadySink, run: RunChanges) -> list[StateChange]:
    return [change for change in run.changes if sink.sink.wants(change.status)]


def _events(run: RunChanges, changes: list[StateChange]) -> list[Event]:
    sampled = is_sampled(run.trace_id)
    return [event_of(run, change, sampled=sampled) for change in changes]


def _sequences(changes: list[StateChange]) -> list[int]:
    return [change.sequence for change in changes]


def _delay(attempt: int, left: timedelta, wish: timedelta | None) -> timedelta:
    """Until the next try; the last one is when the time is over, but never before `wish` is."""
    doubled = FIRST_DELAY * 2.0 ** min(attempt - 1, 20)
    # Many deliveries begin in the second in which a sink goes down.
    delay = min(doubled, LONGEST_DELAY) * random.uniform(0.75, 1.0)  # noqa: S311
    return max(SHORTEST_DELAY, min(delay, left), min(wish or timedelta(0), LONGEST_RETRY_AFTER))
