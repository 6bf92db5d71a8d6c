"""`TaskRun`: one fire of one task, from its trigger to its end state."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    FailureError,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from domain.attributes import HOLDING, NUDGE, PAUSE, RESUME, STOP, SUPERSEDED, TASK_RUN
    from domain.blackout import judge
    from domain.governor import Answer, Holding
    from domain.limits import is_governed
    from domain.notices import (
        NoticeInput,
    )
    from domain.recovery import RetryAt
    from domain.run import (
        PauseInput,
        TaskRunInput,
        TaskRunResult,
        TriggerKind,
    )
    from domain.run_line import RunLine
    from domain.states import RunState, check_move
    from domain.trace import trace_id
    from workflows.admission import Admission
    from workflows.aftermath import failure_notices, seed_of
    from workflows.attempts import Calls, recovers
    from workflows.counting import run_compensated, run_ended, run_retries, run_started
    from workflows.debouncing import Debouncing
    from workflows.face import PAUSED, Face, duration_ms, said
    from workflows.failures import Failures
    from workflows.firing import fire_of
    from workflows.outcome import (
        Outcome,
        cause_of,
        outcome_of_error,
        outcome_of_result,
        published_of,
    )
    from workflows.pausing import Pause
    from workflows.service_level import ServiceLevel, raise_all
    from workflows.shielded import shielded
    from workflows.telling import Changes
    from workflows.undoing import not_undone
    from workflows.undoing import undo as undo_run

WORTH_TELLING = timedelta(seconds=5)
"""A wait that is longer is told to who listens before it begins."""


@workflow.defn(name=TASK_RUN)
class TaskRun:
    """A run: wait for its time, be admitted, execute, recover, settle."""

    @workflow.init
    def __init__(self, request: TaskRunInput) -> None:
        self._task = request.task
        self._short = request.short
        self._fire = fire_of(request)
        self._started = workflow.now()
        self._has_started = False
        self._ended: tuple[int, int, str | None] | None = None
        self._state = RunState.PENDING
        self._attempt = 0
        self._begun = 0
        self._not_before: datetime | None = None
        self._failures = Failures(self._task, [], plugin_id=self._task.plugin_id)
        self._story: asyncio.Task[Outcome] | None = None
        self._breach: str | None = None
        self._face = Face(self._task)
        self._pause = Pause()
        self._debouncing = Debouncing(request)
        self._changes = Changes(self._task)
        self._changes.note(self._state, None)
        self._level: ServiceLevel | None = None
        manual = self._fire.kind is TriggerKind.MANUAL
        self._admission = (
            Admission(
                self._task,
                manual=manual,
                show=self._show_queued,
                paused=lambda: self._pause.wanted,
            )
            if is_governed(self._task, limited=request.limited)
            else None
        )

    @workflow.run
    async def run(self, request: TaskRunInput) -> TaskRunResult:
        """The story of a run.

        Errors: `ApplicationError` whose type is the error code when the run ends `FAILED`, so that
        Temporal shows it failed too; the cancellation itself when it ends `CANCELLED` by one.
        """
        if request.finding and request.finding.status:
            self._begin_service_level()
            outcome = Outcome(request.finding.status, 0, reason=request.finding.reason)
        else:
            try:
                outcome = await self._wait() or await self._work()
            except (FailureError, asyncio.CancelledError) as error:
                outcome = self._stopped(error)
            self._story = None
            outcome = await shielded(self._compensate(outcome))
            if self._admission:
                await shielded(self._admission.give_back())
        result, notices = self._settle(outcome)
        await shielded(self._announce(notices))
        if outcome.state is RunState.CANCELLED and not self._breach:
            raise asyncio.CancelledError(outcome.reason)
        if outcome.state is RunState.FAILED:
            raise ApplicationError(
                outcome.reason or "", type=outcome.error_code, non_retryable=True
            )
        return result

    @workflow.signal(name=NUDGE)
    def nudge(self) -> None:
        """The governor's answer may be another one by now."""
        if self._admission:
            self._admission.nudge()

    @workflow.signal(name=STOP)
    def stop(self, newer_run_id: str) -> None:
        """For which newer run this one is about to be cancelled."""
        if self._admission:
            self._admission.stopped_by = newer_run_id

    @workflow.signal(name=SUPERSEDED)
    def supersede(self, newer_run_id: str) -> None:
        """The run of a newer event goes instead, if this one still waits for such."""
        self._debouncing.supersede(newer_run_id)

    @workflow.signal(name=PAUSE)
    def pause(self, asked: PauseInput) -> None:
        """Hold at the next safe point: before admission, before an attempt, in a back-off."""
        self._pause.pause(asked)
        if self._state is RunState.RUNNING:
            self._tell(waiting=f"to be held before its next attempt: {self._pause.told()}")

    @workflow.signal(name=RESUME)
    def resume(self) -> None:
        """Go on."""
        self._pause.resume()
        if self._state is RunState.RUNNING:
            self._tell()

    def run_line(self) -> RunLine:
        """What each line of the log says of the run; how it ended is null before that."""
        info, failed = workflow.info(), self._failures.seen
        underway = (None, max(0, self._attempt - 1), failed[-1].error_code if failed else None)
        duration, retries, error_code = self._ended or underway
        return RunLine(
            task_id=self._task.task_id,
            tenant_id=self._task.tenant_id,
            run_id=info.workflow_id,
            trigger_time=self._fire.trigger_time,
            actual_start=self._started if self._has_started else None,
            duration_ms=duration,
            status=self._state,
            retry_count=retries,
            error_code=error_code,
            trace_id=trace_id(info.workflow_id, info.run_id),
        )

    @workflow.query(name=HOLDING)
    def holding(self) -> Holding:
        """What the run holds or waits for, for a governor that begins anew."""
        return self._admission.holding() if self._admission else Holding()

    async def _wait(self) -> Outcome | None:
        """Sit out what puts the run off, newer events and blackouts; an outcome when one skips it.

        A run by hand is a person's decision, and no blackout holds it.
        """
        if self._debouncing.wanted:
            superseded = await self._debouncing.wait(self._fire.trigger_time, self._tell_waiting)
            self._started = workflow.now()
            if superseded:
                return superseded
        if self._fire.kind is not TriggerKind.MANUAL and self._task.blackouts:
            verdict = judge(self._task, self._fire.trigger_time)
            if verdict.skipped:
                return Outcome(RunState.SKIPPED, 0, reason=verdict.reason)
            if verdict.reason:
                self._fire = self._fire.model_copy(update={"trigger_time": verdict.at})
                self._face.put_off(self._fire)
                self._tell(waiting=verdict.reason)
                delay = verdict.at - workflow.now()
                if delay > timedelta(0):
                    await workflow.sleep(delay, summary=verdict.reason)
                self._started = workflow.now()
        self._begin_service_level()
        return None

    async def _work(self) -> Outcome:
        """Call the plugin until it has done its work or the retry policy gives up."""
        task = self._task
        self._story = asyncio.current_task()
        calls = Calls(
            task,
            self._fire,
            plugin_id=task.plugin_id,
            params=task.params,
            short=self._short and self._admission is None,
        )
        number = 1
        while True:
            await self._hold()
            if refused := await self._admit():
                return self._refused(refused)
            if self._admission and not self._admission.admitted:
                continue  # it was held while it waited
            await self._begin(number)
            found = await self._call(calls, number)
            if isinstance(found, Outcome):
                return found
            number = found.attempt
            await self._back_off(found)

    async def _hold(self) -> None:
        """Return when the run may go on: nobody holds it, and its next attempt has its time."""
        while True:
            held = self._pause.wanted
            if held:
                await self._be_held()
            left = (self._not_before or workflow.now()) - workflow.now()
            if left <= timedelta(0):
                self._not_before = None
                return
            if held:
                self._show_back_off()
            try:
                await workflow.wait_condition(
                    lambda: self._pause.wanted, timeout=left, timeout_summary="next attempt"
                )
            except TimeoutError:
                continue

    async def _be_held(self) -> None:
        if self._admission:
            await self._admission.give_back()
        if self._level:
            self._level.watch()
            self._level.stop()
        self._face.waiting(self._state, self._fire, waits_for=PAUSED)
        await self._pause.hold(self._tell_waiting)
        self._face.waiting(self._state, self._fire, waits_for=None)
        if self._level:
            self._level.go_on()

    async def _admit(self) -> Outcome | None:
        """Be admitted, or not; a run that needs nothing goes straight on."""
        if self._admission and not self._admission.admitted:
            return await self._admission.obtain()
        return None

    async def _show_queued(self, answer: Answer) -> None:
        """Queued: at which position, behind whom."""
        before, first = self._state, self._state is not RunState.QUEUED
        if first:
            self._state = check_move(self._state, RunState.QUEUED)
        self._tell(waiting=said(answer))
        self._face.waiting(
            self._state,
            self._fire,
            waits_for=answer.waits_for,
            position=answer.position or None,
        )
        if first:
            self._changes.hint(listens=answer.listens)
            self._changes.note(self._state, before, attempt=self._attempt, reason=said(answer))
            if answer.listens:
                await self._changes.publish()
            if self._level:
                await self._level.queued()

    async def _begin(self, number: int) -> None:
        """An attempt is about to start."""
        self._attempt = number
        first, self._has_started = not self._has_started, True
        if first:
            self._started = workflow.now()
            run_started(self._task, self._fire, self._started)
        elif number > self._begun:
            run_retries(self._task)
        self._begun = max(self._begun, number)
        self._move(RunState.RUNNING)
        self._face.running(self._fire, self._started, retries=number - 1)
        if first and self._level:
            try:
                await self._level.started(self._started)
                if self._breach:
                    await asyncio.sleep(0)  # where the cancellation for it comes through
            except (FailureError, asyncio.CancelledError):
                self._attempt = number - 1  # the plugin was not called
                raise

    async def _call(self, calls: Calls, number: int) -> Outcome | RetryAt:
        """One attempt, and what follows on it."""
        untold = self._changes.untold()
        fence = self._admission.fence if self._admission else 0
        try:
            result = await calls.call(number, fence, untold)
        except FailureError as error:
            if not recovers():
                return outcome_of_error(error, self._task.retry.max_attempts)
            self._changes.told(published_of(error), untold)
            finish_by = self._level.clock.finish_by if self._level else None
            found = await self._failures.after(error, number, finish_by)
            self._attempt = self._failures.called
            return found
        self._changes.told(result.published, untold)
        return outcome_of_result(result)

    async def _back_off(self, retry: RetryAt) -> None:
        """Make known that and why the run waits; a long wait keeps nothing from others."""
        self._not_before = retry.at
        self._move(RunState.RETRYING, reason=self._failures.why)
        self._show_back_off()
        if retry.at - workflow.now() >= WORTH_TELLING:
            await self._changes.publish()
        if retry.gives_back and self._admission:
            await self._admission.give_back()

    def _show_back_off(self) -> None:
        self._tell(waiting=self._failures.why)
        self._face.waiting(self._state, self._fire, waits_for=self._failures.waits_for)

    def _refused(self, refused: Outcome) -> Outcome:
        """Not admitted; a run that was under way already has failed by that."""
        if not self._has_started:
            return refused
        last = self._failures.of_the_run()
        message = last.message if last else self._failures.why
        return Outcome(
            RunState.FAILED,
            self._attempt,
            error_code=last.error_code if last else "PLUGIN_CIRCUIT_OPEN",
            reason=f"{message}; and the next attempt was not admitted: {refused.reason}",
        )

    def _stopped(self, error: BaseException) -> Outcome:
        """What a cancellation, or a failure of Temporal's own, makes of the run."""
        if isinstance(error, ActivityError) and not recovers():
            return outcome_of_error(error, self._task.retry.max_attempts)
        if isinstance(error, FailureError) and not is_cancelled_exception(error):
            return Outcome(
                RunState.FAILED, self._attempt, error_code="INTERNAL", reason=str(cause_of(error))
            )
        if self._breach:
            reason = f"SLA breach: {self._breach}"
        elif self._admission and (newer := self._admission.stopped_by):
            reason = f"overlap: {newer} replaces it"
        else:
            reason = {
                RunState.PENDING: "cancelled before it started",
                RunState.QUEUED: "cancelled while it waited",
                RunState.RETRYING: "cancelled while it waited for its next attempt",
            }.get(self._state, "cancelled while its plugin was being called")
        return Outcome(RunState.CANCELLED, self._attempt, reason=reason)

    async def _compensate(self, outcome: Outcome) -> Outcome:
        """Undo what a run did that failed or was stopped, if its task says how."""
        task, undo = self._task, self._task.compensation
        ill = outcome.state in (RunState.FAILED, RunState.CANCELLED)
        if undo is None or not ill or not self._attempt:
            return outcome
        if refused := await self._regain():
            not_done = not_undone(outcome, refused)
            run_compensated(undo.plugin_id, not_done)
            return not_done
        self._move(RunState.COMPENSATING, reason=outcome.reason)
        self._face.moved(self._state)
        self._tell(outcome)
        plugin_id = undo.plugin_id
        undone = await undo_run(
            outcome,
            Calls(task, self._fire, plugin_id=plugin_id, params=undo.params, compensates=True),
            Failures(task, self._failures.seen, plugin_id=plugin_id, compensation=True),
            self._changes,
            fence=self._admission.fence if self._admission else 0,
            plugin_id=plugin_id,
            tell=lambda: self._tell(outcome),
        )
        run_compensated(plugin_id, undone)
        return undone

    async def _regain(self) -> Outcome | None:
        """Be admitted again to undo what was done under a lock that was given back meanwhile."""
        while self._admission and not self._admission.admitted:
            if self._pause.wanted:
                await self._be_held()
            if refused := await self._admission.obtain(insist=True):
                return refused
        return None

    def _settle(self, outcome: Outcome) -> tuple[TaskRunResult, list[NoticeInput]]:
        """Make the end known: search attributes, the reason, the story; and what to raise."""
        warning = self._admission.warning if self._admission else None
        if warning and not outcome.reason:
            outcome = replace(outcome, reason=f"warning: {warning}")
        status, notices = self._level.conclude(outcome.state) if self._level else (None, [])
        expected_by = self._level.clock.finish_by if self._level else None
        notices += failure_notices(self._task, self._failures, outcome, expected_by)
        self._move(outcome.state, reason=outcome.reason, error_code=outcome.error_code)
        self._tell(outcome)
        run_ended(self._task, outcome, started=self._started if self._has_started else None)
        duration = duration_ms(self._started, workflow.now())
        retries = max(0, outcome.attempts - 1)
        self._face.settled(self._fire, outcome, retries=retries, duration_ms=duration, sla=status)
        self._ended = (duration, retries, outcome.error_code)
        workflow.logger.info("run ended", extra={"action": "run_ended", "sla": status})
        result = TaskRunResult(
            status=self._state,
            retry_count=retries,
            duration_ms=duration,
            result=outcome.result,
            reason=outcome.reason,
            compensation=outcome.compensation,
        )
        return result, notices

    async def _announce(self, notices: list[NoticeInput]) -> None:
        """Tell who is to be told of the end: whoever looks after breaches, and who listens."""
        if self._level:
            await self._level.finish()
        if notices and not await raise_all(self._task.tenant_id, notices) and self._level:
            self._face.service_level(None)
        if self._changes.untold() and (not self._changes.undecided or recovers()):
            await self._changes.publish(at_the_end=True)

    def _begin_service_level(self) -> None:
        if self._task.sla:
            self._level = ServiceLevel(
                self._task,
                self._task.sla,
                self._fire.trigger_time,
                seed=lambda cause: seed_of(self._task, self._failures, cause),
                show=self._face.service_level,
                breached=self._cancel_for,
            )

    def _cancel_for(self, breach: str) -> None:
        """The task would rather have no run than one that breaks its SLA."""
        if self._story:
            self._breach = breach
            self._story.cancel()

    def _move(
        self, state: RunState, *, reason: str | None = None, error_code: str | None = None
    ) -> None:
        previous, self._state = self._state, check_move(self._state, state)
        self._changes.note(
            state, previous, attempt=self._attempt, reason=reason, error_code=error_code
        )
        if state is RunState.RUNNING:
            self._tell()

    def _tell_waiting(self, why: str) -> None:
        self._tell(waiting=why)

    def _tell(self, outcome: Outcome | None = None, *, waiting: str | None = None) -> None:
        self._face.tell(
            self._fire,
            self._state,
            self._started,
            outcome=outcome,
            waiting=waiting,
            failures=self._failures.seen,
            clock=self._level.clock if self._level else None,
        )
