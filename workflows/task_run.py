"""`TaskRun`: one fire of one task, from its trigger to its end state."""

import asyncio
from datetime import UTC, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeUpdate
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.workflow import ActivityCancellationType

with workflow.unsafe.imports_passed_through():
    from domain.attributes import REASON_MEMO, TASK_RUN
    from domain.blackout import judge
    from domain.due import due_of
    from domain.run import ExecuteInput, Fire, TaskRunInput, TaskRunResult, TriggerKind, kind_of
    from domain.states import RunState, check_move
    from domain.trace import trace_id
    from workflows import attributes as sa
    from workflows.interfaces import execute_plugin
    from workflows.outcome import Outcome, outcome_of_error, outcome_of_result
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

    @workflow.run
    async def run(self, request: TaskRunInput) -> TaskRunResult:
        """The story of a run.

        Errors: `ApplicationError` whose type is the error code when the run ends `FAILED`, so that
        Temporal shows it failed too; the cancellation itself when it ends `CANCELLED`.
        """
        if request.finding and request.finding.status:
            return self._settle(Outcome(request.finding.status, 0, reason=request.finding.reason))
        try:
            if skipped := await self._wait():
                return self._settle(skipped)
            self._admit()
            outcome = await self._execute()
        except (ActivityError, asyncio.CancelledError) as error:
            outcome = self._recover(error)
            self._settle(outcome)
            if outcome.state is RunState.CANCELLED:
                raise asyncio.CancelledError(outcome.reason) from error
            raise ApplicationError(
                outcome.reason or "", type=outcome.error_code, non_retryable=True
            ) from error
        return self._settle(outcome)

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

    def _admit(self) -> None:
        """A run that needs nothing goes straight on."""
        self._move(RunState.RUNNING)
        workflow.upsert_search_attributes(
            [
                sa.TASK_STATUS.value_set(self._state),
                *self._trigger_attributes(),
                sa.ACTUAL_START.value_set(self._started),
            ]
        )

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
        if self._state is RunState.PENDING:
            return Outcome(RunState.CANCELLED, 0, reason="cancelled before it started")
        return outcome_of_error(error, self._task.retry.max_attempts)

    def _settle(self, outcome: Outcome) -> TaskRunResult:
        """Make the end known: search attributes, the reason, the story."""
        never_started = self._state is RunState.PENDING
        self._move(outcome.state, outcome)
        duration = round((workflow.now() - self._started) / timedelta(milliseconds=1))
        retries = max(0, outcome.attempts - 1)
        updates: list[SearchAttributeUpdate[Any]] = [
            sa.TASK_STATUS.value_set(self._state),
            sa.RETRY_COUNT.value_set(retries),
            sa.DURATION_MS.value_set(duration),
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
