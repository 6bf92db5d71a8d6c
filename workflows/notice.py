"""`Notice`: has one breach told, once, and opens the work order that follows from it."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, ApplicationError, WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from domain.attributes import NOTICE, WORK_ORDER
    from domain.ids import work_order_id
    from domain.notices import (
        LookInput,
        NoticeInput,
        Notified,
        NotifyInput,
        OrderBrief,
        WorkOrderSeed,
    )
    from domain.work_orders import ANNOUNCED, CONCERN, OrderInput, opened_by, origin_of
    from workflows.notice_activities import look_at_streak, notify
    from workflows.order_attributes import attributes_of, memo_of

TELL_FOR = timedelta(hours=24)
"""So long a notification service may be down, and nothing is lost."""
LOOK_FOR = timedelta(hours=24)
"""A run that broke its start may stay open for long, and is judged when it ends."""
TIMES_TO_OPEN = 5
"""A work order may be closed between finding that it exists and telling it."""
_BACK_OFF = RetryPolicy(
    initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=5)
)


@workflow.defn(name=NOTICE)
class Notice:
    """One breach. Its id is the breach's, so that whoever sees the breach again starts nothing."""

    @workflow.init
    def __init__(self, request: NoticeInput) -> None:
        self._breach = request.breach
        self._trace_id = request.trace_id
        self._order = request.order
        self._joined = request.order is not None
        workflow.set_current_details(
            f"**{request.breach.kind}** ({request.breach.severity}) of `{request.breach.run_id}`\n"
            f"\n{request.breach.message}"
        )

    @workflow.run
    async def run(self, request: NoticeInput) -> Notified:
        """Open the work order first, so that what is told can name it.

        Errors: `ApplicationError` of the failure's type when the notification service refuses the
        breach, or did not take it for a day.
        """
        if request.work_order:
            await self._open(request.work_order)
        if not request.streak:
            return await self._tell()
        notified, _ = await asyncio.gather(self._tell(), self._look(), return_exceptions=True)
        if isinstance(notified, BaseException):
            raise notified
        return notified

    async def _open(self, seed: WorkOrderSeed) -> None:
        """Have a work order, or let the one that there is know of this breach.

        A run that a work order started belongs to that work order, as long as it is open.
        """
        request = OrderInput(breach=self._breach, seed=seed)
        order_id = work_order_id(self._breach.run_id)
        view = opened_by(request, order_id)
        origin = origin_of(self._breach.run_id)
        if origin != self._breach.run_id and await _signal(work_order_id(origin), CONCERN, request):
            brief = view.brief().model_copy(update={"work_order_id": work_order_id(origin)})
            self._order, self._joined = brief, True
            return
        self._order = view.brief()
        for _ in range(TIMES_TO_OPEN):
            try:
                await workflow.start_child_workflow(
                    WORK_ORDER,
                    request,
                    id=order_id,
                    parent_close_policy=ParentClosePolicy.ABANDON,
                    # One that was closed before this breach is no answer to it.
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                    search_attributes=attributes_of(view),
                    memo=memo_of(view),
                    static_summary=view.cause[:200],
                )
            except WorkflowAlreadyStartedError:
                if await _signal(order_id, CONCERN, request):
                    self._joined = True
                    return
            else:
                return

    async def _tell(self) -> Notified:
        """The notification, and the id that came back."""
        request = NotifyInput(
            breach=self._breach, order=self._order, trace_id=self._trace_id, joined=self._joined
        )
        try:
            notified = await workflow.execute_activity(
                notify,
                request,
                schedule_to_close_timeout=TELL_FOR,
                start_to_close_timeout=timedelta(minutes=10),
                heartbeat_timeout=timedelta(seconds=30),
                retry_policy=_BACK_OFF,
                summary=f"{self._breach.kind}, {self._breach.severity}",
            )
        except ActivityError as error:
            cause = error.cause
            raise ApplicationError(
                f"nobody was told of {self._breach.breach_id}: {cause or error}",
                type=(cause.type if isinstance(cause, ApplicationError) else None)
                or "NOTIFICATION_UNAVAILABLE",
                non_retryable=True,
            ) from error
        if isinstance(self._order, OrderBrief) and notified.work_order_id:
            await _signal(self._order.work_order_id, ANNOUNCED, notified.work_order_id)
        return notified

    async def _look(self) -> None:
        """Whether this is one of several in a row; that nobody can say is no failure of this."""
        try:
            await workflow.execute_activity(
                look_at_streak,
                LookInput(breach=self._breach, trace_id=self._trace_id),
                schedule_to_close_timeout=LOOK_FOR,
                start_to_close_timeout=timedelta(minutes=10),
                heartbeat_timeout=timedelta(seconds=30),
                retry_policy=RetryPolicy(
                    initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1)
                ),
                summary="are there several in a row?",
            )
        except ActivityError as error:
            workflow.logger.warning(
                "no look at a streak",
                extra={
                    "action": "streak_not_seen",
                    "tenant_id": self._breach.tenant_id,
                    "task_id": self._breach.task_id,
                    "run_id": self._breach.run_id,
                    "reason": str(error.cause or error),
                },
            )


async def _signal(workflow_id: str, name: str, argument: object) -> bool:
    """Whether there is such a workflow, and it is open still."""
    try:
        await workflow.get_external_workflow_handle(workflow_id).signal(name, argument)
    except ApplicationError:
        return False
    return True
