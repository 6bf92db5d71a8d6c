"""A run's admission: ask its tenant's governor, wait for its turn, reserve, and give back."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, FailureError, is_cancelled_exception

from domain.capacity import CapacityAnswer, CapacityRelease, CapacityRequest
from domain.decisions import Request
from domain.duration import format_duration
from domain.governor import Answer, AskInput, Degraded, Holding, ReleaseInput
from domain.ids import plugin_queue
from domain.ledger_state import RequestState
from domain.limits import demand_of
from domain.task import Overlap, Task
from workflows.interfaces import (
    ask_governor,
    release_capacity,
    release_grant,
    reserve_capacity,
)
from workflows.outcome import Outcome, cause_of, outcome_of_refusal

FIRST_WAIT = timedelta(seconds=15)
LONGEST_WAIT = timedelta(seconds=60)
LEAST_WAIT = timedelta(seconds=1)
"""A run that waits asks again by itself, ever more rarely: a message to it may be lost."""
UNAVAILABLE_WAIT = timedelta(seconds=5)
ANSWER_WITHIN = timedelta(seconds=7)
"""Longer than a governor is waited for; why it is no longer is said in `workflows.surely`."""
CAPACITY_WAIT = timedelta(seconds=10)
CAPACITY_WITHIN = timedelta(seconds=20)
CAPACITY_ATTEMPTS = 3
RELEASE_WITHIN = timedelta(hours=1)
RELEASES = 4
"""How often a release is tried; then the governor's sweep finds that the run has ended."""


class Admission:
    """One run's side of it. `show` tells the world what the run waits for."""

    def __init__(
        self,
        task: Task,
        *,
        manual: bool,
        show: Callable[[Answer], Awaitable[None]],
        paused: Callable[[], bool],
    ) -> None:
        self._task = task
        self._manual = manual
        self._show = show
        self._paused = paused
        self._run_id = workflow.info().workflow_id
        self._request: Request | None = None
        self._asked: datetime | None = None
        self._insists = False
        self._nudged = False
        self._reserving = False
        self._call: asyncio.Task[CapacityAnswer] | None = None
        self._degraded: Degraded | None = None
        self.stopped_by: str | None = None
        self.admitted = False
        self.held = False
        self.fence = 0
        self.warning: str | None = None

    def nudge(self) -> None:
        """The answer may be another one by now."""
        self._nudged = True

    def holding(self) -> Holding:
        """What to tell a governor that begins anew."""
        if self._request is None:
            return Holding()
        return Holding(request=RequestState.of(self._request), held=self.held, fence=self.fence)

    async def obtain(self, *, insist: bool = False) -> Outcome | None:
        """Return when the run may go: None, or the end of a run that may not.

        `insist`: wait, whatever the task says of conflicts, and stop nobody for it.
        Also None, and not `admitted`, when the run is to be held meanwhile: it waits for nothing
        then, and asks anew later.
        """
        self._insists = insist
        now = workflow.now()
        self._asked = self._asked or now
        deadline = now + self._task.queue_timeout
        demand = demand_of(self._task, manual=self._manual or insist)
        replaces = demand.overlap is Overlap.CANCEL_RUNNING
        if insist:
            overlap = Overlap.QUEUE if replaces else demand.overlap
            demand = replace(demand, on_conflict="queue", overlap=overlap)
        # A run that comes back must not replace one that began in between.
        asked = self._asked if replaces else now
        self._request = Request(self._run_id, demand, asked.timestamp(), deadline.timestamp())
        pause, again = FIRST_WAIT, False
        while True:
            self._nudged, outside = False, False
            answer = await self._ask(self._request, again=again)
            if answer.kind == "refused":
                return outcome_of_refusal(answer.code, answer.reason, self._task.on_conflict)
            if answer.kind == "granted":
                self.held, self.fence, self.warning = True, answer.fence, answer.warning
                short = await self._reserve(answer)
                if not isinstance(short, CapacityAnswer):
                    self.admitted = short is None
                    return short
                await self._return_grant()
                blockers = [f"capacity: {short.reason}"]
                answer = Answer(kind="queued", blockers=blockers, waits_for="capacity")
                pause, outside = short.retry_after or CAPACITY_WAIT, True
            elif answer.kind == "unavailable":
                if answer.degraded == "fail_open" and not self._is_exclusive():
                    self._warn(f"admitted unasked: {answer.reason}")
                    self.admitted = True
                    return None
                pause = pause if again else UNAVAILABLE_WAIT
            await self._show(answer)
            await self._wait(pause, deadline, outside=outside)
            if self._paused():
                await self.give_back()
                return None
            if not answer.position and (end := self._timed_out(answer, deadline)):
                return end
            pause, again = min(pause * 2, LONGEST_WAIT), True

    async def give_back(self) -> None:
        """Release all that the run holds or may hold; a governor sweeps what this cannot."""
        self.admitted = False
        if self._request is None:
            return
        if self._call:  # a release that overtakes it would leave the reservation to nobody
            await asyncio.wait([self._call])
        late = self._reserving and not await self._release_capacity(attempts=2)
        await self._return_grant()
        self._request = None
        if late and not await self._release_capacity(attempts=0):
            workflow.logger.error(
                "capacity not given back",
                extra={"action": "capacity_leaked", "run_id": self._run_id},
            )

    async def _ask(self, request: Request, *, again: bool) -> Answer:
        try:
            return await workflow.execute_local_activity(
                ask_governor,
                AskInput(
                    tenant_id=self._task.tenant_id,
                    request=RequestState.of(request),
                    again=again,
                ),
                start_to_close_timeout=ANSWER_WITHIN,
                retry_policy=RetryPolicy(maximum_attempts=1),
            )
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            reason = f"asking for admission failed: {cause_of(error)}"
            return Answer(kind="unavailable", reason=reason)

    async def _wait(self, pause: timedelta, deadline: datetime, *, outside: bool) -> None:
        """Until asking again makes sense; a governor's nudge says nothing about what is outside."""
        left = max(min(pause, deadline - workflow.now()), LEAST_WAIT)
        try:
            await workflow.wait_condition(
                lambda: self._paused() or (self._nudged and not outside),
                timeout=left,
                timeout_summary="asks again",
            )
        except TimeoutError:
            return

    def _timed_out(self, answer: Answer, deadline: datetime) -> Outcome | None:
        """The deadline of a run that no governor has in its queue: of others it keeps it."""
        if workflow.now() < deadline:
            return None
        why = answer.reason or "; ".join(answer.blockers)
        waited = format_duration(self._task.queue_timeout)
        return outcome_of_refusal("queue_timeout", f"waited {waited}; {why}", "queue")

    def _is_exclusive(self) -> bool:
        """Whether running unasked could collide with a run that must not be collided with."""
        task = self._task
        return bool(task.mutex) or task.overlap in (Overlap.QUEUE, Overlap.CANCEL_RUNNING)

    async def _reserve(self, answer: Answer) -> CapacityAnswer | Outcome | None:
        """Reserve outside: None to go, an outcome to end, or what there is to wait for."""
        task = self._task
        if not answer.capacity or not task.resources:
            return None
        self._reserving = True
        expected = task.expected_duration or task.timeout
        try:
            self._call = workflow.start_activity(
                reserve_capacity,
                CapacityRequest(
                    reservation_id=self._run_id,
                    tenant_id=task.tenant_id,
                    task_id=task.task_id,
                    resources=task.resources,
                    start=workflow.now(),
                    duration=expected,
                ),
                task_queue=plugin_queue(workflow.info().task_queue),
                start_to_close_timeout=CAPACITY_WITHIN,
                retry_policy=RetryPolicy(maximum_attempts=CAPACITY_ATTEMPTS),
                summary="reserves capacity",
            )
            found = await asyncio.shield(self._call)
        except ActivityError as error:
            return self._capacity_silent(error, answer.degraded)
        if found.granted:
            return None
        self._reserving = False
        reason = found.reason or "not enough"
        if task.on_conflict == "warn":
            self._warn(f"capacity: {reason}")
            return None
        if task.on_conflict in ("skip", "fail") and not self._insists:
            return outcome_of_refusal("conflict", f"capacity: {reason}", task.on_conflict)
        return found

    def _capacity_silent(self, error: ActivityError, degraded: Degraded) -> CapacityAnswer | None:
        """Nobody knows whether there is capacity: go with a warning, or wait."""
        reason = f"the capacity service did not decide: {error.cause or error}"
        self._degraded = degraded
        workflow.logger.warning(
            "capacity unavailable",
            extra={
                "action": "capacity_unavailable",
                "run_id": self._run_id,
                "degraded": degraded,
                "reason": reason,
            },
        )
        if degraded == "fail_open":
            self._warn(reason)
            return None
        return CapacityAnswer(granted=False, reason=reason)

    async def _release_capacity(self, *, attempts: int) -> bool:
        """Whether the reservation is given back; `attempts` 0: for as long as `RELEASE_WITHIN`."""
        release = CapacityRelease(
            reservation_id=self._run_id,
            tenant_id=self._task.tenant_id,
            task_id=self._task.task_id,
        )
        try:
            await workflow.execute_activity(
                release_capacity,
                release,
                task_queue=plugin_queue(workflow.info().task_queue),
                start_to_close_timeout=CAPACITY_WITHIN,
                schedule_to_close_timeout=RELEASE_WITHIN,
                retry_policy=RetryPolicy(maximum_attempts=attempts, maximum_interval=LONGEST_WAIT),
                summary="gives capacity back",
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            return False
        self._reserving = False
        return True

    async def _return_grant(self) -> None:
        """The governor frees what the run held; it may not have heard of it at all."""
        try:
            await workflow.execute_local_activity(
                release_grant,
                ReleaseInput(
                    tenant_id=self._task.tenant_id, run_id=self._run_id, degraded=self._degraded
                ),
                start_to_close_timeout=ANSWER_WITHIN,
                retry_policy=RetryPolicy(maximum_attempts=RELEASES),
            )
        except FailureError as error:
            if is_cancelled_exception(error):
                raise  # it is given back at the run's end
            workflow.logger.warning(
                "not released: the governor's sweep does it",
                extra={
                    "action": "release_failed",
                    "run_id": self._run_id,
                    "reason": str(cause_of(error)),
                },
            )
        self.held, self._degraded = False, None

    def _warn(self, text: str) -> None:
        self.warning = f"{self.warning}; {text}" if self.warning else text
