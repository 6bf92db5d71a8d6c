"""`TaskRun`: one fire of one task, from its trigger to its end state."""

import asyncio
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeUpdate
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.workflow import ActivityCancellationType

with workflow.unsafe.imports_passed_through():
    from domain.attributes import HOLDING, NUDGE, REASON_MEMO, STOP, TASK_RUN
    from domain.blackout import judge
    from domain.due import due_of
    from domain.governor import Answer, Holding
    from domain.limits import is_governed
    from domain.run import ExecuteInput, Fire, TaskRunInput, TaskRunResult, TriggerKind, kind_of
    from domain.states import RunState, check_move
    from domain.trace import trace_id
    from workflows import attributes as sa
    from workflows.admission import Admission
    from workflows.interfaces import execute_plugin
    from workflows.outcome import Outcome, outcome_of_error, outcome_of_result
    from workflows.shielded import shielded
    from workflows.story import tell

ANSWER_MARGIN = timedelta(seconds=5)
"""Temporal gives an attempt this much longer than its own deadline, which can say more."""


@workflow.defn(name=TASK_RUN)
class TaskRun:
    """A run: wait for its time, be admitted, execute, recover, settle."""

    @workflow.init
    def __init__(self, request: TaskRunInput) -> None:
        self._task = request.task
        self._fire = _fire_of(request)
        self._started = workflow.now()
        self._state = RunState.PENDING
        self._shown: tuple[int, str | None] | None = None
        manual = self._fire.kind is TriggerKind.MANUAL
        self._admission = (
            Admission(self._task, manual=manual, show=self._show_waiting)
            if is_governed(self._task, limited=request.limited)
            else None
        )

    @workflow.run
    async def run(self, request: TaskRunInput) -> TaskRunResult:
        """The story of a run.

        Errors: `ApplicationError` whose type is the error code when the run ends `FAILED`, so that
        Temporal shows it failed too; the cancellation itself when it ends `CANCELLED`.
        """
        if request.finding and request.finding.status:
            return self._settle(Outcome(request.finding.status, 0, reason=request.finding.reason))
        try:
            outcome = await self._wait() or await self._admit() or await self._execute()
        except (ActivityError, asyncio.CancelledError) as error:
            outcome = self._recover(error)
        if self._admission:
            await shielded(self._admission.give_back())
        result = self._settle(outcome)
        if outcome.state is RunState.CANCELLED:
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

    @workflow.query(name=HOLDING)
    def holding(self) -> Holding:
        """What the run holds or waits for, for a governor that begins anew."""
        return self._admission.holding() if self._admission else Holding()

    async def _wait(self) -> Outcome | None:
        """Sit out the blackouts that put the run off; an outcome when one skips it.

        A run by hand is a person's decision, and no blackout holds it.
        """
        if self._fire.kind is TriggerKind.MANUAL or not self._task.blackouts:
            return None
        verdict = judge(self._task, self._fire.trigger_time)
        if verdict.skipped:
            return Outcome(RunState.SKIPPED, 0, reason=verdict.reason)
        if verdict.reason:
            self._fire = self._fire.model_copy(update={"trigger_time": verdict.at})
            workflow.upsert_search_attributes(self._trigger_attributes())
            self._tell(waiting=verdict.reason)
            delay = verdict.at - workflow.now()
            if delay > timedelta(0):
                await workflow.sleep(delay, summary=verdict.reason)
            self._started = workflow.now()
        return None

    async def _admit(self) -> Outcome | None:
        """Be admitted, or not; a run that needs nothing goes straight on."""
        if self._admission:
            if refused := await self._admission.obtain():
                return refused
            self._started = workflow.now()
        waited = self._waits_no_longer()
        self._move(RunState.RUNNING)
        workflow.upsert_search_attributes(
            [
                sa.TASK_STATUS.value_set(self._state),
                *self._trigger_attributes(),
                sa.ACTUAL_START.value_set(self._started),
                *waited,
            ]
        )
        return None

    def _show_waiting(self, answer: Answer) -> None:
        """Queued: at which position, behind whom."""
        why = answer.reason or "; ".join(answer.blockers)
        text = f"position {answer.position}: {why}" if answer.position else why
        position, waits_for = answer.position or None, answer.waits_for
        updates: list[SearchAttributeUpdate[Any]] = [
            sa.WAITS_FOR.value_set(waits_for) if waits_for else sa.WAITS_FOR.value_unset(),
            sa.QUEUE_POSITION.value_set(position) if position else sa.QUEUE_POSITION.value_unset(),
        ]
        if self._state is not RunState.QUEUED:
            self._state = check_move(self._state, RunState.QUEUED)
            updates += [sa.TASK_STATUS.value_set(self._state), *self._trigger_attributes()]
        self._tell(waiting=text)
        if (answer.position, answer.waits_for) != self._shown:
            self._shown = (answer.position, answer.waits_for)
            workflow.upsert_search_attributes(updates)

    def _waits_no_longer(self) -> list[SearchAttributeUpdate[Any]]:
        """Of a run that was queued: what showed its place."""
        if self._state is not RunState.QUEUED:
            return []
        return [sa.WAITS_FOR.value_unset(), sa.QUEUE_POSITION.value_unset()]

    async def _execute(self) -> Outcome:
        """Call the plugin until it has done its work or the task's retry policy gives up."""
        task, retry = self._task, self._task.retry
        result = await workflow.execute_activity(
            execute_plugin,
            ExecuteInput(
                tenant_id=task.tenant_id,
                task_id=task.task_id,
                plugin_id=task.plugin_id,
                params=task.params,
                trigger=self._fire,
                timeout=task.timeout,
                fence=self._admission.fence if self._admission else 0,
            ),
            start_to_close_timeout=task.timeout + ANSWER_MARGIN,
            heartbeat_timeout=task.heartbeat_timeout,
            retry_policy=RetryPolicy(
                initial_interval=retry.initial_interval,
                backoff_coefficient=retry.backoff,
                maximum_interval=retry.max_interval,
                maximum_attempts=retry.max_attempts,
                non_retryable_error_types=retry.non_retryable,
            ),
            # The run ends only when the call is closed: no plugin works on for a run that is over.
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=task.plugin_id,
        )
        return outcome_of_result(result)

    def _recover(self, error: BaseException) -> Outcome:
        """What a cancellation, or the failure of the last attempt, makes of the run."""
        if self._admission and (newer := self._admission.stopped_by):
            calls = int(self._state is RunState.RUNNING)
            return Outcome(RunState.CANCELLED, calls, reason=f"overlap: {newer} replaces it")
        if self._state is RunState.PENDING:
            return Outcome(RunState.CANCELLED, 0, reason="cancelled before it started")
        if self._state is RunState.QUEUED:
            return Outcome(RunState.CANCELLED, 0, reason="cancelled while it waited")
        return outcome_of_error(error, self._task.retry.max_attempts)

    def _settle(self, outcome: Outcome) -> TaskRunResult:
        """Make the end known: search attributes, the reason, the story."""
        never_started = self._state in (RunState.PENDING, RunState.QUEUED)
        warning = self._admission.warning if self._admission else None
        if warning and not outcome.reason:
            outcome = replace(outcome, reason=f"warning: {warning}")
        waited = self._waits_no_longer()
        self._move(outcome.state, outcome)
        duration = round((workflow.now() - self._started) / timedelta(milliseconds=1))
        retries = max(0, outcome.attempts - 1)
        updates: list[SearchAttributeUpdate[Any]] = [
            sa.TASK_STATUS.value_set(self._state),
            sa.RETRY_COUNT.value_set(retries),
            sa.DURATION_MS.value_set(duration),
            *waited,
        ]
        if never_started:
            updates += self._trigger_attributes()
        if outcome.error_code:
            updates.append(sa.ERROR_CODE.value_set(outcome.error_code))
        workflow.upsert_search_attributes(updates)
        if outcome.reason:
            workflow.upsert_memo({REASON_MEMO: outcome.reason[:500]})
        workflow.logger.info(
            "run ended",
            extra={
                "action": "run_ended",
                "task_id": self._task.task_id,
                "tenant_id": self._task.tenant_id,
                "run_id": workflow.info().workflow_id,
                "trigger_time": self._fire.trigger_time,
                "actual_start": self._started,
                "duration_ms": duration,
                "status": self._state,
                "retry_count": retries,
                "error_code": outcome.error_code,
                "trace_id": trace_id(workflow.info().workflow_id, workflow.info().run_id),
            },
        )
        return TaskRunResult(
            status=self._state,
            retry_count=retries,
            duration_ms=duration,
            result=outcome.result,
            reason=outcome.reason,
        )

    def _move(self, state: RunState, outcome: Outcome | None = None) -> None:
        self._state = check_move(self._state, state)
        self._tell(outcome)

    def _tell(self, outcome: Outcome | None = None, *, waiting: str | None = None) -> None:
        workflow.set_current_details(
            tell(
                self._task,
                self._fire,
                self._state,
                started=self._started,
                outcome=outcome,
                waiting=waiting,
                now=workflow.now(),
            )
        )

    def _trigger_attributes(self) -> list[SearchAttributeUpdate[Any]]:
        return [
            sa.TRIGGER_KIND.value_set(self._fire.kind),
            sa.TRIGGER_TIME.value_set(self._fire.trigger_time),
        ]


def _fire_of(request: TaskRunInput) -> Fire:
    """Kind, nominal time and trigger time; a run by hand carries them, a schedule sets them."""
    if request.manual:
        at = request.manual.at
        return Fire(
            kind=TriggerKind.MANUAL,
            nominal_time=at,
            trigger_time=at,
            payload=request.manual.payload,
        )
    info = workflow.info()
    scheduled = (
        request.finding.scheduled_time
        if request.finding
        else info.typed_search_attributes.get(sa.SCHEDULED_START) or info.start_time
    )
    due = due_of(request.task, scheduled.astimezone(UTC), request.jitter_seed)
    return Fire(
        kind=kind_of(request.task, due.nominal_time),
        nominal_time=due.nominal_time,
        trigger_time=due.trigger_time,
    )
