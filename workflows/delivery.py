"""`Delivery`: tells sinks of a run's state changes that they did not take at once."""

import asyncio
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType

with workflow.unsafe.imports_passed_through():
    from domain.attributes import DELIVER_CHANGES, DELIVERY
    from domain.delivery import (
        TAKE,
        Debts,
        Deliver,
        Delivered,
        DeliveryResult,
        DeliveryStart,
        Owed,
    )

IDLE = timedelta(seconds=30)
"""How long it waits for more of its run; what comes later starts it again."""
EVENTS_PER_RUN = 2_000
ATTEMPT_WITHIN = timedelta(seconds=75)
"""Longer than any sink's timeout."""
SILENT_FOR = timedelta(seconds=20)
"""After which a worker is taken for lost."""
RETRIES = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=5))
"""When the activity broke in a way that it did not foresee; else it names its delays itself."""


@activity.defn(name=DELIVER_CHANGES)
async def deliver_changes(request: Deliver) -> Delivered:
    """Tell one sink, in one request. It fails for as long as it makes sense to try again."""
    raise NotImplementedError(f"a worker implements this: {request.sink}")


@workflow.defn(name=DELIVERY)
class Delivery:
    """One run's debts to its sinks.

    Each sink is told in order, one request after the other; sinks do not wait for each other. The
    signal changes the debts at once and awaits nothing: it is in what the next run begins with, or
    delivered to that run, and Temporal lets no run end that has not seen all of its signals.
    """

    @workflow.init
    def __init__(self, start: DeliveryStart) -> None:
        self._debts = Debts(start)
        self._telling: dict[str, asyncio.Task[None]] = {}

    @workflow.run
    async def run(self, start: DeliveryStart) -> DeliveryResult:
        """Until everything is delivered or given up, and nothing more comes for a while."""
        if not await self._tell_all():
            for task in self._telling.values():
                task.cancel()
            await asyncio.gather(*self._telling.values(), return_exceptions=True)
            workflow.continue_as_new(self._debts.state())
        return DeliveryResult(delivered=self._debts.delivered, given_up=self._debts.given_up)

    @workflow.signal(name=TAKE)
    def take(self, owed: Owed) -> None:
        """More to tell."""
        self._debts.take(owed)

    async def _tell_all(self) -> bool:
        """Whether all is done; False when the history is full before."""
        while not self._is_full():
            for sink in self._debts.owing(self._telling):
                self._telling[sink] = asyncio.create_task(self._tell(sink))
            if self._telling:
                await workflow.wait_condition(
                    lambda: not self._telling or self._has_more() or self._is_full()
                )
                continue
            try:
                await workflow.wait_condition(
                    lambda: self._has_more() or self._is_full(), timeout=IDLE
                )
            except TimeoutError:
                if not self._has_more():
                    return True
        return False

    async def _tell(self, sink: str) -> None:
        """Until nothing is owed to the sink."""
        try:
            while not self._is_full() and (deliver := self._debts.next_for(sink)):
                told = await workflow.execute_activity(
                    deliver_changes,
                    deliver,
                    start_to_close_timeout=ATTEMPT_WITHIN,
                    heartbeat_timeout=SILENT_FOR,
                    retry_policy=RETRIES,
                    cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                    summary=sink,
                )
                self._debts.settle(sink, told)
        finally:
            del self._telling[sink]

    def _has_more(self) -> bool:
        return bool(self._debts.owing(self._telling))

    def _is_full(self) -> bool:
        info = workflow.info()
        return (
            info.get_current_history_length() >= EVENTS_PER_RUN
            or info.is_continue_as_new_suggested()
        )
