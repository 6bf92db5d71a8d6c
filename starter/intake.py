"""Starting the runs of events: each once, and no more in a minute than its rule allows."""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime

from temporalio.client import Client
from temporalio.service import RPCError

from domain.events_in import CloudEvent
from domain.ids import event_run_id
from domain.recovery import is_short
from domain.rules import Rule
from domain.run import EventFire, TaskRunInput
from shared.calls import AT_ONCE, is_missing
from shared.metrics import EventIntakeMetrics
from shared.schedules import priority_of
from starter.rates import Rates
from starter.starting import start_run

KNOWN_FOR = 60.0
"""Seconds for which a run that is there need not be asked for: whoever sends a large batch again,
because it took too long, comes further each time.
"""
MOST_KNOWN = 100_000


@dataclass(frozen=True, slots=True)
class Limited:
    """A run that was not started: when to send the event again, in whole seconds."""

    task_id: str
    retry_after_s: int


class Intake:
    """One for a process, used from one event loop.

    What comes twice at the same time is started once and answered twice: whether a run counts
    against its rule's limit is decided by whoever starts it.
    """

    def __init__(self, metrics: EventIntakeMetrics) -> None:
        self._metrics = metrics
        self._rates = Rates()
        self._under_way: dict[str, asyncio.Task[int | None]] = {}
        self._known: dict[str, float] = {}  # run ids and when they were seen, oldest first
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def start(
        self, client: Client, rule: Rule, event: CloudEvent, at: datetime
    ) -> str | Limited:
        """The id of the event's run, which there is now. Errors: `RPCError`; then ask again."""
        task = rule.task
        run_id = event_run_id(task.tenant_id, task.task_id, event.source, event.id)
        if self._is_known(run_id):
            self._metrics.duplicate()
            return run_id
        starting = self._under_way.get(run_id)
        if starting is None:
            starting = asyncio.create_task(self._started(client, rule, event, at, run_id))
            self._under_way[run_id] = starting
            starting.add_done_callback(lambda task: self._over(run_id, task))
        else:
            self._metrics.duplicate()
        # Whoever asked first may leave: the others wait for the same run.
        wait = await asyncio.shield(starting)
        return run_id if wait is None else Limited(task.task_id, wait)

    def _is_known(self, run_id: str) -> bool:
        since = time.monotonic() - KNOWN_FOR
        while self._known and (
            self._known[first := next(iter(self._known))] < since or len(self._known) > MOST_KNOWN
        ):
            del self._known[first]
        return run_id in self._known

    async def _started(
        self, client: Client, rule: Rule, event: CloudEvent, at: datetime, run_id: str
    ) -> int | None:
        """None when there is a run, else the seconds after which there may be."""
        async with self._slots:
            wait = await self._rates.take(client, rule, run_id)
            if wait is not None:
                if not await _exists(client, run_id):
                    self._metrics.limited()
                    return wait
                self._metrics.duplicate()
                return None
            is_new = False
            try:
                is_new = await _start(client, rule, event, at, run_id)
            finally:
                if not is_new:
                    self._rates.give_back(rule, run_id)
            (self._metrics.started if is_new else self._metrics.duplicate)()
            return None

    def _over(self, run_id: str, starting: "asyncio.Task[int | None]") -> None:
        del self._under_way[run_id]
        # Whoever waits hears of an error; nobody may.
        if not starting.cancelled() and not starting.exception() and starting.result() is None:
            self._known[run_id] = time.monotonic()


async def _start(client: Client, rule: Rule, event: CloudEvent, at: datetime, run_id: str) -> bool:
    source, task = rule.source, rule.task
    fire = EventFire(at=at, event=event.as_json(), rule=rule.index, debounce=rule.trigger.debounce)
    request = TaskRunInput(task=task, event=fire, limited=source.limited, short=is_short(task))
    return await start_run(
        client,
        request,
        run_id,
        task_queue=source.task_queue,
        priority=priority_of(task, source.weight),
    )


async def _exists(client: Client, run_id: str) -> bool:
    try:
        await client.get_workflow_handle(run_id).describe()
    except RPCError as error:
        if not is_missing(error):
            raise
        return False
    return True
