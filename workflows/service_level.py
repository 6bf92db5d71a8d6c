"""A run's SLA, watched beside it by durable timers."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import FailureError, is_cancelled_exception

from domain.durations import ExpectInput
from domain.notices import (
    Breach,
    BreachKind,
    NoticeInput,
    RaiseInput,
    WorkOrderSeed,
    breach_id_of,
)
from domain.sla import Due, SlaClock, SlaStatus
from domain.states import RunState
from domain.task import Sla, Task
from workflows.interfaces import expect_duration, raise_notices
from workflows.outcome import cause_of
from workflows.surely import at_once, surely

EXPECT_WITHIN = timedelta(seconds=5)
LATE = timedelta(seconds=1)
"""A run that starts later than this is asked whether it can still finish in time."""

Seed = Callable[[str], WorkOrderSeed]
"""A work order about the run, given its cause."""


class ServiceLevel:
    """The SLA of one run.

    `show` is called when its status changes before the end, `breached` for a breach that is to
    cancel the run.
    """

    def __init__(
        self,
        task: Task,
        sla: Sla,
        since: datetime,
        *,
        seed: Seed,
        show: Callable[[SlaStatus], None],
        breached: Callable[[str], None],
    ) -> None:
        self._task = task
        self._sla = sla
        self._seed = seed
        self._show = show
        self._breached = breached
        self._monitored = True
        self._watching: asyncio.Task[None] | None = None
        self._raising = asyncio.Lock()
        self._changed = False
        self._over = False
        self._late: list[asyncio.Task[bool]] = []
        self.clock = SlaClock(sla, since)

    def watch(self) -> None:
        """Begin to look after the deadlines, now that something may take time."""
        if self._watching is None and not self._over:
            self._watching = asyncio.create_task(self._watch())

    async def queued(self) -> None:
        """The run waits: how long it will take decides until when that is no trouble."""
        self.watch()
        if self.clock.expected is None:
            await self._learn()

    async def started(self, now: datetime) -> None:
        """The run starts; late, it may be foreseen that it will not finish in time."""
        self._look()
        if self.clock.started is None and now <= self.clock.start_by:
            self.clock.started = now
        if self.clock.expected is None and now - self.clock.since > LATE:
            await self._learn()
        if self.clock.started is None:
            # Whoever cancels the run meanwhile does not cancel that.
            await asyncio.shield(self._raise(self.clock.due(now)))
            self.clock.started = now
        self._look()
        self.watch()

    def stop(self) -> None:
        """The run is held."""
        self.clock.stop(workflow.now())
        self._look()

    def go_on(self) -> None:
        """The run goes on."""
        self.clock.go_on(workflow.now())
        self._look()

    def conclude(self, state: RunState) -> tuple[SlaStatus | None, list[NoticeInput]]:
        """The run has ended so: what it shows, and what is still to be raised."""
        self._over = True
        due = self.clock.end(workflow.now(), state)
        status = self.clock.status(ended=state) if self._monitored else None
        return status, [self._notice(one) for one in due]

    async def finish(self) -> None:
        """Return when nothing is being raised any more."""
        async with self._raising:
            late, self._late = self._late, []
        for raising in late:
            await raising

    def _look(self) -> None:
        self._changed = True

    async def _watch(self) -> None:
        while (at := self.clock.next_at()) is not None or self.clock.stopped_at is not None:
            self._changed = False
            left = None if at is None else max(at - workflow.now(), timedelta(0))
            if left is None or left:
                try:
                    await workflow.wait_condition(
                        lambda: self._changed, timeout=left, timeout_summary="SLA"
                    )
                except TimeoutError:
                    pass
                else:
                    continue
            if self._over:
                return
            await self._raise(self.clock.due(workflow.now()))

    async def _raise(self, due: list[Due]) -> None:
        """Have it told; a breach may cancel the run."""
        if not due:
            return
        async with self._raising:
            notices = [self._notice(one) for one in due]
            request = RaiseInput(tenant_id=self._task.tenant_id, notices=notices)
            try:
                self._monitored = (await at_once(raise_notices, request)).monitored
            except FailureError as error:
                if is_cancelled_exception(error):
                    raise
                # The run goes on meanwhile, and waits for it only at its end.
                self._late.append(asyncio.create_task(raise_all(self._task.tenant_id, notices)))
        if not self._monitored or self._over:
            return
        if status := self.clock.status():
            self._show(status)
        breaches = [one for one in due if one.kind is not BreachKind.WARNING]
        if breaches and self._sla.on_breach == "cancel":
            self._breached(breaches[0].message)

    def _notice(self, due: Due) -> NoticeInput:
        warning = due.kind is BreachKind.WARNING
        orders = self._task.work_order in ("on_breach", "both") and not warning
        run_id = workflow.info().workflow_id
        return NoticeInput(
            breach=Breach(
                breach_id=breach_id_of(run_id, due.kind),
                kind=due.kind,
                tenant_id=self._task.tenant_id,
                task_id=self._task.task_id,
                run_id=run_id,
                expected_by=due.expected_by,
                observed_at=workflow.now(),
                severity=self._sla.severity,
                message=due.message,
            ),
            work_order=self._seed(f"SLA breach: {due.message}") if orders else None,
            streak=not warning,
        )

    async def _learn(self) -> None:
        """How long the run will take, as its last ones did."""
        try:
            found = await workflow.execute_local_activity(
                expect_duration,
                ExpectInput(
                    tenant_id=self._task.tenant_id,
                    task_id=self._task.task_id,
                    prior=self._task.expected_duration,
                ),
                start_to_close_timeout=EXPECT_WITHIN,
                retry_policy=RetryPolicy(maximum_attempts=1),
            )
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.warning(
                "no expectation",
                extra={"action": "expectation_failed", "reason": str(cause_of(error))},
            )
            return
        if found.p95_s is not None:
            self.clock.expected = timedelta(seconds=found.p95_s)
            self._look()


async def raise_all(tenant_id: str, notices: list[NoticeInput]) -> bool:
    """Start the notices; whether the tenant's SLAs are monitored at all."""
    try:
        request = RaiseInput(tenant_id=tenant_id, notices=notices)
        raised = await surely(raise_notices, request, "raises notices")
    except FailureError as error:
        workflow.logger.error(
            "notices not raised",
            extra={
                "action": "raise_failed",
                "run_id": workflow.info().workflow_id,
                "breaches": [notice.breach.breach_id for notice in notices],
                "reason": str(cause_of(error)),
            },
        )
        return True
    return raised.monitored
