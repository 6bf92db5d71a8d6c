"""`Debounce`: knows the newest event of a rule, and tells the run of the one before it."""

import asyncio
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from domain.attributes import DEBOUNCE, TELL_SUPERSEDED
    from domain.debounce import TELL, Burst, DebounceStart, Newest, TellSuperseded
    from workflows.surely import TWICE, WITHIN

EVENTS_PER_RUN = 2_000
LINGER = timedelta(seconds=10)
"""How much longer than the debounce it stays: a run that waited for a worker tells late."""
AGAIN_AFTER = timedelta(seconds=1)


@activity.defn(name=TELL_SUPERSEDED)
async def tell_superseded(request: TellSuperseded) -> None:
    """Tell runs that newer ones take their place; those that have ended need not know."""
    raise NotImplementedError(f"a worker implements this: {len(request.runs)}")


@workflow.defn(name=DEBOUNCE)
class Debounce:
    """One rule's burst of events.

    The signal changes the burst at once and awaits nothing: it is in what the next run begins with,
    or delivered to that run, and Temporal lets no run end that has not seen all of its signals.
    One timer is open at a time, and a signal cancels none: a burst costs no timers.
    """

    @workflow.init
    def __init__(self, start: DebounceStart) -> None:
        self._burst = Burst(start)
        debounce = start.newest.debounce if start.newest else timedelta(0)
        self._until = workflow.now() + debounce + LINGER

    @workflow.run
    async def run(self, start: DebounceStart) -> None:
        """Until no event can take the place of another any more."""
        idle = asyncio.create_task(self._idle())
        while not self._is_full():
            if self._burst.untold:
                await self._tell()
                continue
            await workflow.wait_condition(
                lambda: bool(self._burst.untold) or idle.done() or self._is_full()
            )
            if idle.done() and not self._burst.untold:
                return
        idle.cancel()
        workflow.continue_as_new(self._burst.state())

    @workflow.signal(name=TELL)
    def tell(self, event: Newest) -> None:
        """The run of an event waits for a newer one."""
        self._burst.take(event)
        self._until = max(self._until, workflow.now() + event.debounce + LINGER)

    async def _tell(self) -> None:
        """All who are to be told by now, in one event of the history."""
        runs, self._burst.untold = self._burst.untold, []
        try:
            await workflow.execute_local_activity(
                tell_superseded,
                TellSuperseded(runs=runs),
                start_to_close_timeout=WITHIN,
                retry_policy=TWICE,
            )
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            self._burst.untold = [*runs, *self._burst.untold]
            await workflow.sleep(AGAIN_AFTER, summary="to tell them again")

    async def _idle(self) -> None:
        while (left := self._until - workflow.now()) > timedelta(0):
            await workflow.sleep(left, summary="idle")

    def _is_full(self) -> bool:
        info = workflow.info()
        return (
            info.get_current_history_length() >= EVENTS_PER_RUN
            or info.is_continue_as_new_suggested()
        )
