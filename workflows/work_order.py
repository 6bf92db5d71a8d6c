"""`WorkOrder`: what a person has to do about a run, until it is done or somebody decides not to."""

from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import (
    Priority,
    RetryPolicy,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    TemporalError,
    WorkflowAlreadyStartedError,
)
from temporalio.workflow import ChildWorkflowCancellationType, ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from domain.attributes import NOTICE, TASK_RUN, WORK_ORDER
    from domain.ids import notice_id, parse_run_id
    from domain.notices import NoticeInput, Severity
    from domain.run import ManualFire, TaskRunResult, TriggerKind
    from domain.run_metrics import ORDERS_CLOSED, ORDERS_OPENED
    from domain.states import RunState
    from domain.work_orders import (
        ANNOUNCED,
        CONCERN,
        MOST_TEXT,
        NOTES_KEPT,
        RETRIES_KEPT,
        VIEW,
        AcknowledgeOrder,
        Act,
        Note,
        OrderInput,
        OrderState,
        PrepareRetry,
        ResolveOrder,
        Retried,
        RetryOrder,
        RetryPlan,
        WaiveOrder,
        WorkOrderView,
        concerned,
        escalates_at,
        escalation_id,
        is_closed,
        opened_by,
        raised,
        refusal,
        retry_run_id,
        told,
    )
    from workflows import attributes as sa
    from workflows.counting import count
    from workflows.notice_activities import prepare_retry
    from workflows.order_attributes import memo_of, updates_of
    from workflows.order_story import tell_order

US = "taskflow"
"""Who does what no person did."""


@workflow.defn(name=WORK_ORDER)
class WorkOrder:
    """One for a run. Updates decide at once and await nothing; what follows happens in `run`."""

    @workflow.init
    def __init__(self, request: OrderInput) -> None:
        self._first = request.breach
        self._view = opened_by(request, workflow.info().workflow_id)
        self._open_since = self._view.opened_at
        self._told: Severity | None = None
        self._retries = 0
        self._shown: Any = None
        workflow.set_current_details(tell_order(self._view))

    @workflow.run
    async def run(self, request: OrderInput) -> WorkOrderView:
        """Retry when asked to, escalate while nobody takes it up, end when it is closed."""
        count(ORDERS_OPENED, tenant_id=self._view.tenant_id)
        while not is_closed(self._view.status):
            if self._view.status is OrderState.RETRYING:
                await self._retry()
            elif await self._nothing_until(self._escalates_at()):
                await self._escalate()
        await workflow.wait_condition(workflow.all_handlers_finished)
        count(ORDERS_CLOSED, how=self._view.status.value)
        return self._view

    @workflow.query(name=VIEW)
    def view(self) -> WorkOrderView:
        """All that there is to know."""
        return self._view

    @workflow.signal(name=CONCERN)
    def concern(self, request: OrderInput) -> None:
        """Another breach concerns this run, or one that retried it."""
        after = concerned(self._view, request)
        if after is not self._view:
            self._view = after
            self._change(US, told(request.breach))

    @workflow.signal(name=ANNOUNCED)
    def announced(self, external_id: str) -> None:
        """What the notification service calls it; the first word counts."""
        if self._view.external_id is None:
            self._change(US, f"announced as {external_id}", external_id=external_id)

    @workflow.update(name=Act.ACKNOWLEDGE.value)
    def acknowledge(self, request: AcknowledgeOrder) -> WorkOrderView:
        """Somebody takes it up; it escalates no more."""
        return self._change(
            request.by, "acknowledged it", status=OrderState.ACKNOWLEDGED, owner=request.by
        )

    @acknowledge.validator
    def _may_acknowledge(self, request: AcknowledgeOrder) -> None:
        self._check(Act.ACKNOWLEDGE, request.by)

    @workflow.update(name=Act.RETRY.value)
    def retry(self, request: RetryOrder) -> WorkOrderView:
        """Run the task once more; who asks for it owns the work order if nobody does."""
        self._retries += 1
        view = self._view
        run_id = retry_run_id(view.tenant_id, view.task_id, self._first, self._retries)
        retried = Retried(run_id=run_id, by=request.by, at=workflow.now())
        return self._change(
            request.by,
            f"asked for a retry: {run_id}",
            status=OrderState.RETRYING,
            owner=view.owner or request.by,
            retry_run_id=run_id,
            retries=[*view.retries, retried][-RETRIES_KEPT:],
        )

    @retry.validator
    def _may_retry(self, request: RetryOrder) -> None:
        self._check(Act.RETRY, request.by)
        if parse_run_id(self._view.run_id) is None:
            raise _refused(f"{self._view.work_order_id}: it is about no run that could run again")

    @workflow.update(name=Act.WAIVE.value)
    def waive(self, request: WaiveOrder) -> WorkOrderView:
        """Leave it as it is, for a reason."""
        return self._change(request.by, f"waived it: {request.reason}", status=OrderState.WAIVED)

    @waive.validator
    def _may_waive(self, request: WaiveOrder) -> None:
        self._check(Act.WAIVE, request.by)
        if not request.reason.strip():
            raise _refused("say why it can be left as it is")

    @workflow.update(name=Act.RESOLVE.value)
    def resolve(self, request: ResolveOrder) -> WorkOrderView:
        """It was put right by other means."""
        note = f": {request.note}" if request.note.strip() else ""
        return self._change(request.by, f"resolved it{note}", status=OrderState.RESOLVED)

    @resolve.validator
    def _may_resolve(self, request: ResolveOrder) -> None:
        self._check(Act.RESOLVE, request.by)

    def _check(self, act: Act, by: str) -> None:
        if not by.strip():
            raise _refused("say who does it")
        view = self._view
        if why := refusal(act, view.status, owner=view.owner, retry=view.retry_run_id):
            raise _refused(f"{view.work_order_id}: {why}")

    def _change(self, who: str, what: str, **fields: Any) -> WorkOrderView:
        """Note what happened, and show it."""
        now = workflow.now()
        note = Note(at=now, who=who[:100], what=what[:MOST_TEXT])
        if is_closed(fields.get("status", self._view.status)):
            fields["closed_at"] = now
        # The first note says what it was opened for, and stays.
        first, *others = self._view.notes
        notes = [first, *[*others, note][-(NOTES_KEPT - 1) :]]
        self._view = self._view.model_copy(update={**fields, "notes": notes})
        workflow.set_current_details(tell_order(self._view))
        row = self._view.row()
        if row != self._shown:
            self._shown = row
            workflow.upsert_search_attributes(updates_of(self._view))
            workflow.upsert_memo(memo_of(self._view))
        return self._view

    def _escalates_at(self) -> datetime | None:
        if self._view.status is not OrderState.OPEN:
            return None
        return escalates_at(self._view.severity, self._open_since, self._told)

    async def _nothing_until(self, at: datetime | None) -> bool:
        """Wait for what a person does; whether nobody did anything in time."""
        state = self._view.status

        def news() -> bool:
            return self._view.status is not state or self._escalates_at() != at

        if at is None:
            await workflow.wait_condition(news)
            return False
        left = max(at - workflow.now(), timedelta(0))
        try:
            await workflow.wait_condition(
                news, timeout=left, timeout_summary="somebody takes it up, or it escalates"
            )
        except TimeoutError:
            return self._view.status is state
        return False

    async def _escalate(self) -> None:
        """Have it told again, one severity higher."""
        number, severity = self._view.escalations + 1, raised(self._view.severity)
        self._told, self._open_since = severity, workflow.now()
        what = f"nobody has taken it up: told again as {severity}"
        self._change(US, what, severity=severity, escalations=number)
        breach = self._first.model_copy(
            update={
                "breach_id": escalation_id(self._first.breach_id, number),
                "observed_at": workflow.now(),
                "severity": severity,
                "message": f"nobody has taken up {self._view.work_order_id} "
                f"({self._view.cause[:MOST_TEXT]})",
            }
        )
        notice = NoticeInput(breach=breach, order=self._view.brief(), trace_id=self._view.trace_id)
        try:
            await workflow.start_child_workflow(
                NOTICE,
                notice,
                id=notice_id(breach.breach_id),
                parent_close_policy=ParentClosePolicy.ABANDON,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                static_summary=f"escalation {number}: {severity}",
            )
        except WorkflowAlreadyStartedError:
            return  # a work order of this run that was closed got so far: this breach was told

    async def _retry(self) -> None:
        """Start the run, wait for its end however long that takes, and make of it what it is."""
        retried = self._view.retries[-1]
        try:
            end = await self._run_again(retried.run_id)
        except ActivityError as error:
            end = {"status": "FAILED", "reason": f"it was not started: {error.cause or error}"}
        except WorkflowAlreadyStartedError:
            end = {"status": "FAILED", "reason": "another run has this id: ask once more"}
        done = retried.model_copy(update={**end, "ended_at": workflow.now()})
        retries = [*self._view.retries[:-1], done]
        if done.status == RunState.SUCCESS:
            what = f"{done.run_id} succeeded"
            self._change(US, what, status=OrderState.RESOLVED, retries=retries)
            return
        self._open_since = workflow.now()
        code = f"{done.error_code}: " if done.error_code else ""
        self._change(
            US,
            f"{done.run_id} ended {done.status}: {code}{done.reason or 'no reason given'}",
            status=OrderState.OPEN,
            retries=retries,
            error_code=done.error_code or self._view.error_code,
        )

    async def _run_again(self, run_id: str) -> dict[str, Any]:
        """How the run ended, as fields of `Retried`."""
        view = self._view
        plan = await workflow.execute_activity(
            prepare_retry,
            PrepareRetry(tenant_id=view.tenant_id, task_id=view.task_id, run_id=view.run_id),
            start_to_close_timeout=timedelta(minutes=1),
            schedule_to_close_timeout=timedelta(minutes=15),
            retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=30)),
            summary="what the run is started with",
        )
        handle = await workflow.start_child_workflow(
            TASK_RUN,
            plan.request.model_copy(update={"manual": self._fire_of(plan)}),
            id=run_id,
            task_queue=plan.task_queue,
            result_type=TaskRunResult,
            parent_close_policy=ParentClosePolicy.ABANDON,
            cancellation_type=ChildWorkflowCancellationType.ABANDON,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            search_attributes=_attributes_of(plan),
            priority=Priority(
                priority_key=plan.request.task.priority,
                fairness_key=view.tenant_id,
                fairness_weight=plan.weight,
            ),
            static_summary=f"retry of {view.run_id}",
        )
        try:
            result = await handle
        except ChildWorkflowError as error:
            return _end_of(error.cause or error)
        return {"status": result.status.value, "reason": result.reason}

    def _fire_of(self, plan: RetryPlan) -> ManualFire:
        payload = plan.request.manual.payload if plan.request.manual else None
        return ManualFire(at=workflow.now(), payload=payload, nominal_time=plan.nominal_time)


def _attributes_of(plan: RetryPlan) -> TypedSearchAttributes:
    task = plan.request.task
    return TypedSearchAttributes(
        [
            SearchAttributePair(sa.TENANT_ID, task.tenant_id),
            SearchAttributePair(sa.TASK_ID, task.task_id),
            SearchAttributePair(sa.PLUGIN_ID, task.plugin_id),
            SearchAttributePair(sa.TASK_STATUS, RunState.PENDING.value),
            SearchAttributePair(sa.TRIGGER_KIND, TriggerKind.MANUAL.value),
        ]
    )


def _end_of(cause: BaseException) -> dict[str, Any]:
    """A run that did not end with a result: failed, cancelled, terminated."""
    if isinstance(cause, ApplicationError):
        code, reason = cause.type, cause.message
        return {"status": "FAILED", "error_code": code, "reason": reason[:MOST_TEXT]}
    if isinstance(cause, CancelledError):
        return {"status": "CANCELLED", "reason": "it was cancelled"}
    reason = str(cause) if isinstance(cause, TemporalError) else type(cause).__name__
    return {"status": "FAILED", "reason": reason[:MOST_TEXT]}


def _refused(why: str) -> ApplicationError:
    return ApplicationError(why, type="REFUSED", non_retryable=True)
