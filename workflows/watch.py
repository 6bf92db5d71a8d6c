"""`Watch`: one look, every minute, at whether everything that was due has happened."""

from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from domain.attributes import WATCH
    from domain.watch import (
        GRACE,
        MOST_FINDINGS,
        WINDOW,
        Counts,
        TickInput,
        TickResult,
        WatchResult,
    )
    from workflows.interfaces import watch_tick

MOST_WINDOWS = 100
"""Of one run; the next one goes on where it ended."""
SILENCE = timedelta(seconds=30)
LONGEST = timedelta(hours=6)
"""Of one window: after an outage it starts many runs, slowly on purpose."""


@workflow.defn(name=WATCH)
class Watch:
    """Carries the watermark from run to run: no instant is judged twice, and none is left out."""

    @workflow.run
    async def run(self) -> WatchResult:
        """Judge from where the last run ended up to now, window by window."""
        last = (
            workflow.get_last_completion_result(WatchResult)
            if workflow.has_last_completion_result()
            else None
        )
        now = workflow.now()
        goal = now - GRACE
        watermark = last.watermark if last else None
        waiting = last.waiting if last else []
        counts, findings = Counts(), list[str]()
        for _ in range(MOST_WINDOWS):
            tick = await self._tick(watermark, goal, now, waiting)
            watermark, waiting = tick.watermark, tick.waiting
            counts = counts.plus_all(tick.counts)
            findings += tick.findings
            if watermark >= goal:
                break
        return WatchResult(
            watermark=watermark or goal,
            ticked_at=now,
            tick=counts,
            totals=counts.plus_all(last.totals) if last else counts,
            waiting=waiting,
            findings=findings[:MOST_FINDINGS],
        )

    async def _tick(
        self, after: datetime | None, goal: datetime, now: datetime, waiting: list[str]
    ) -> TickResult:
        until = min(goal, after + WINDOW) if after else goal
        return await workflow.execute_activity(
            watch_tick,
            TickInput(after=after, until=until, now=now, waiting=waiting),
            start_to_close_timeout=LONGEST,
            heartbeat_timeout=SILENCE,
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=2), maximum_interval=timedelta(seconds=30)
            ),
        )
