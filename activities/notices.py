"""Telling of breaches: starting notices, calling the notification service, seeing streaks.

Only a whole, well-formed answer is one. After anything else the service may have taken the breach
or not: it is told again, under the same key, until it says so.
"""

from typing import Annotated, Any

import httpx
import structlog
from pydantic import Field, JsonValue, StrictStr
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionDescription
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from activities.heartbeats import heartbeats
from activities.plugin import FlagsOf
from activities.service import Service, ServiceAnswer
from activities.streaks import find_streak
from domain.attributes import LOOK_AT_STREAK, NOTICE, NOTIFY, RAISE_NOTICES
from domain.ids import notice_id, recovery_queue
from domain.notices import (
    Breach,
    BreachKind,
    Looked,
    LookInput,
    NoticeInput,
    Notified,
    NotifyInput,
    OrderBrief,
    Raised,
    RaiseInput,
)
from domain.recovery import LONGEST_RETRY_AFTER
from domain.streak import RUNS_MEMO, RUNS_TOLD, Ask, Streak, decide, streak_breach_id
from domain.trace import call_span, trace_id
from domain.work_orders import ORDER_MEMO, WorkOrderRow
from shared.calls import is_missing
from shared.metrics import NoticeMetrics
from shared.tracing import parent_header

log = structlog.get_logger(__name__)

PATH = "/notifications/sla-breach"
MOST_NAMED = 5
"""Runs of a streak that its message names."""


class _Said(ServiceAnswer):
    """The body of a 2xx."""

    work_order_id: Annotated[StrictStr, Field(min_length=1, max_length=256)] | None


class NoticeActivities:
    """One instance per worker. `timeout` is in seconds, for the whole of a call.

    Without a `base_url` nobody is told, and everything else happens all the same.
    """

    def __init__(
        self,
        client: Client,
        http: httpx.AsyncClient,
        base_url: str | None,
        timeout: float,
        *,
        task_queue: str,
        flags_of: FlagsOf,
        metrics: NoticeMetrics,
    ) -> None:
        """`task_queue`: that of runs."""
        self._client = client
        url = f"{base_url.rstrip('/')}{PATH}" if base_url else None
        self._service = (
            Service(http, url, timeout, "notification", LONGEST_RETRY_AFTER) if url else None
        )
        self._queue = recovery_queue(task_queue)
        self._flags_of = flags_of
        self._metrics = metrics

    @activity.defn(name=RAISE_NOTICES)
    async def raise_notices(self, request: RaiseInput) -> Raised:
        """Start each; one that was started before is done. Errors: `RPCError`."""
        monitored = self._flags_of(request.tenant_id).task_sla_monitor
        for notice in request.notices:
            if monitored or notice.breach.kind is BreachKind.FAILED:
                await self._start(_with_links(notice))
        return Raised(monitored=monitored)

    @activity.defn(name=NOTIFY)
    async def notify(self, request: NotifyInput) -> Notified:
        """One call of the notification service.

        Errors: `ApplicationError` of type `NOTIFICATION_UNAVAILABLE` or `NOTIFICATION_BAD_ANSWER`,
        to be told again, or `NOTIFICATION_REFUSED`, which is final.
        """
        if self._service is None:
            return Notified(asked=False)
        if request.order and request.joined:
            request = request.model_copy(update={"order": await self._current(request.order)})
        async with heartbeats():
            said = await _call(self._service, request)
        _log("breach_notified", request.breach, request.trace_id, work_order_id=said.work_order_id)
        return Notified(work_order_id=said.work_order_id)

    @activity.defn(name=LOOK_AT_STREAK)
    async def look_at_streak(self, request: LookInput) -> Looked:
        """See whether the run is one of several in a row, and have that told, once.

        Errors: `ApplicationError` of type `NOT_SEEN_YET`, for as long as the run is not judged or
        Temporal's lists do not show it; `RPCError`.
        """
        breach = request.breach
        async with heartbeats():
            streak = await find_streak(
                self._client, breach.tenant_id, breach.task_id, breach.run_id
            )
            if streak is None:
                return Looked()
            count, known = len(streak.runs), dict[str, frozenset[str] | None]()
            while isinstance(step := decide(streak, known), Ask):
                known[step.name] = await self._announced(breach, step.name)
            if step is None:
                return Looked(runs=count)
            notice = _streak_notice(request, streak, step.name)
            runs = [run.run_id for run in streak.runs[-RUNS_TOLD:]]
            await self._start(notice, memo={RUNS_MEMO: runs})
        return Looked(runs=count, announced=notice.breach.breach_id)

    async def _start(self, notice: NoticeInput, memo: dict[str, Any] | None = None) -> None:
        """Have it told; whether it is new is known, and only then is it counted."""
        breach = notice.breach
        try:
            await self._client.start_workflow(
                NOTICE,
                notice,
                id=notice_id(breach.breach_id),
                task_queue=self._queue,
                # With the default for one that is open, which is an error as well.
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                memo=memo,
                static_summary=f"{breach.kind} of {breach.tenant_id}/{breach.task_id}",
            )
        except WorkflowAlreadyStartedError:
            return
        self._metrics.raised(breach.kind, breach.tenant_id)
        _log("breach_raised", breach, notice.trace_id)  # its message may be a plugin's own

    async def _current(self, order: OrderBrief) -> OrderBrief:
        """What a work order that was there before says by now, if it is there still."""
        found = await self._describe(order.work_order_id)
        memo = await found.memo() if found else {}
        if ORDER_MEMO not in memo:
            return order
        row = WorkOrderRow.model_validate(memo[ORDER_MEMO])
        return order.model_copy(
            update={"cause": row.cause, "error_code": row.error_code, "due_at": row.due_at}
        )

    async def _announced(self, breach: Breach, name: str) -> frozenset[str] | None:
        """The runs of a streak that was announced under a name."""
        told = streak_breach_id(breach.tenant_id, breach.task_id, name)
        found = await self._describe(notice_id(told))
        return frozenset((await found.memo()).get(RUNS_MEMO, ())) if found else None

    async def _describe(self, workflow_id: str) -> WorkflowExecutionDescription | None:
        try:
            return await self._client.get_workflow_handle(workflow_id).describe()
        except RPCError as error:
            if not is_missing(error):
                raise
            return None


async def _call(service: Service, request: NotifyInput) -> _Said:
    """The request and its whole answer."""
    info = activity.info()
    trace = request.trace_id or trace_id(info.workflow_id or "", info.workflow_run_id or "")
    span = call_span(trace, info.workflow_id or "", info.activity_id, info.attempt)
    headers = {
        "Idempotency-Key": request.breach.breach_id,
        "traceparent": parent_header(trace, span),
    }
    async with service.post(_body(request), headers) as response:
        if not response.is_success:
            raise service.refusal(response, only="2xx")
        return await service.answer(response, _Said)


def _with_links(notice: NoticeInput) -> NoticeInput:
    """What only the run itself knows, when it is the run that raises it."""
    info = activity.info()
    temporal_run_id = info.workflow_run_id
    if info.workflow_id != notice.breach.run_id or not temporal_run_id:
        return notice
    trace = notice.trace_id or trace_id(notice.breach.run_id, temporal_run_id)
    seed = notice.work_order
    if seed:
        seed = seed.model_copy(
            update={
                "temporal_run_id": seed.temporal_run_id or temporal_run_id,
                "trace_id": seed.trace_id or trace,
            }
        )
    return notice.model_copy(update={"trace_id": trace, "work_order": seed})


def _streak_notice(request: LookInput, streak: Streak, name: str) -> NoticeInput:
    breach = request.breach
    named = ", ".join(run.run_id for run in streak.runs[-MOST_NAMED:])
    told = {
        "breach_id": streak_breach_id(breach.tenant_id, breach.task_id, name),
        "kind": BreachKind.CONSECUTIVE,
        "expected_by": None,
        "message": f"{len(streak.runs)} runs in a row broke their SLA, the last of them {named}",
    }
    return NoticeInput(breach=breach.model_copy(update=told), trace_id=request.trace_id)


def _body(request: NotifyInput) -> dict[str, JsonValue]:
    order = request.order
    return {
        **request.breach.model_dump(mode="json"),
        "work_order": order.model_dump(mode="json") if order else None,
    }


def _log(action: str, breach: Breach, trace: str | None, **fields: Any) -> None:
    log.info(
        action.replace("_", " "),
        action=action,
        tenant_id=breach.tenant_id,
        task_id=breach.task_id,
        run_id=breach.run_id,
        trace_id=trace,
        breach_id=breach.breach_id,
        kind=breach.kind,
        severity=breach.severity,
        **fields,
    )
