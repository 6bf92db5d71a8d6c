"""Notices and work orders on a real server, with a notification service made of bytes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
from prometheus_client import CollectorRegistry
from temporalio import workflow
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import Worker

from activities.notices import NoticeActivities
from activities.work_orders import WorkOrderActivities
from domain.attributes import SLA_STATUS, TASK_RUN
from domain.ids import manual_run_id, notice_id, recovery_queue, work_order_id
from domain.notices import (
    Breach,
    BreachKind,
    FailedAttempt,
    NoticeInput,
    Notified,
    Raised,
    RaiseInput,
    Severity,
    WorkOrderSeed,
    breach_id_of,
)
from domain.run import ManualFire, TaskRunInput, TaskRunResult
from domain.sla import SlaStatus
from domain.states import RunState
from domain.task import Flags, Task
from domain.work_orders import VIEW, Act, WorkOrderView
from shared.metrics import NoticeMetrics
from tests.activities.server import Answer, RawServer, Request, ok
from tests.conftest import task_of
from worker.build import workflow_runner
from workflows import attributes as sa
from workflows.notice import Notice
from workflows.work_order import WorkOrder

INCIDENT = "INC-7"
"""What the notification service calls every work order."""
TAKEN = ok({"work_order_id": INCIDENT})
_SLA = SearchAttributeKey.for_keyword(SLA_STATUS)


@workflow.defn(name=TASK_RUN)
class ScriptedRun:
    """A run that ends when it is told how: a state, or the code of its failure."""

    def __init__(self) -> None:
        self._end: str | None = None

    @workflow.signal
    def end(self, how: str) -> None:
        """End so."""
        self._end = how

    @workflow.run
    async def run(self, request: TaskRunInput) -> TaskRunResult:
        """Wait for the word; a run with an SLA says at its end what became of that."""
        assert request.manual
        workflow.upsert_search_attributes([sa.TRIGGER_TIME.value_set(request.manual.at)])
        await workflow.wait_condition(lambda: self._end is not None)
        how = self._end or ""
        if how in set(SlaStatus):
            workflow.upsert_search_attributes([_SLA.value_set(how)])
            how = RunState.SUCCESS
        if how in set(RunState):
            return TaskRunResult(status=RunState(how), reason=f"it was told {how}")
        raise ApplicationError(f"it said {how}", type=how, non_retryable=True)


@dataclass(slots=True)
class Recovery:
    """Workers for notices, work orders and scripted runs of one tenant, and what they tell."""

    client: Client
    server: RawServer
    http: httpx.AsyncClient
    flags: Flags = field(default_factory=Flags)
    queue: str = field(default_factory=lambda: f"test-{uuid4()}")
    tenant: str = field(default_factory=lambda: f"t{uuid4().hex[:10]}")
    timeout: float = 5.0
    told_url: bool = True
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    metrics: NoticeMetrics = field(init=False)

    def __post_init__(self) -> None:
        self.metrics = NoticeMetrics(self.registry)
        self.server.answer = TAKEN

    def activities(self) -> NoticeActivities:
        """As a worker makes them."""
        return NoticeActivities(
            self.client,
            self.http,
            f"{self.server.url}/" if self.told_url else None,
            self.timeout,
            task_queue=self.queue,
            flags_of=lambda _tenant: self.flags,
            metrics=self.metrics,
        )

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """The worker of the recovery queue, and one for runs."""
        notices, orders = self.activities(), WorkOrderActivities(self.client)
        async with (
            Worker(
                self.client,
                task_queue=recovery_queue(self.queue),
                workflows=[Notice, WorkOrder],
                activities=[notices.notify, notices.look_at_streak, orders.prepare_retry],
                workflow_runner=workflow_runner(),
            ),
            Worker(
                self.client,
                task_queue=self.queue,
                workflows=[ScriptedRun],
                workflow_runner=workflow_runner(),
            ),
        ):
            yield

    def task(self, **fields: Any) -> Task:
        """A task of the tenant's."""
        return task_of(tenant_id=self.tenant, **{"task_id": f"t-{uuid4().hex[:8]}"} | fields)

    async def start_run(
        self, task: Task, key: str = "1", at: datetime | None = None, payload: Any = None
    ) -> WorkflowHandle[Any, TaskRunResult]:
        """A scripted run with the search attributes of a real one."""
        return await self.client.start_workflow(
            TASK_RUN,
            TaskRunInput(task=task, manual=ManualFire(at=at or datetime.now(UTC), payload=payload)),
            id=manual_run_id(task.tenant_id, task.task_id, key),
            task_queue=self.queue,
            result_type=TaskRunResult,
            search_attributes=TypedSearchAttributes(
                [
                    SearchAttributePair(sa.TENANT_ID, task.tenant_id),
                    SearchAttributePair(sa.TASK_ID, task.task_id),
                ]
            ),
        )

    def notice(
        self,
        task: Task,
        kind: BreachKind = BreachKind.FAILED,
        *,
        key: str = "1",
        severity: Severity = "medium",
        order: bool = True,
        streak: bool = False,
        run_id: str | None = None,
    ) -> NoticeInput:
        """What a run raises."""
        run_id = run_id or manual_run_id(task.tenant_id, task.task_id, key)
        at = datetime.now(UTC)
        attempt = FailedAttempt(attempt=1, at=at, error_code="BROKEN", message="it broke")
        seed = WorkOrderSeed(
            plugin_id=task.plugin_id,
            error_code="BROKEN",
            cause=f"{kind}: it broke",
            attempts=[attempt],
            trace_id="0" * 31 + "7",
        )
        return NoticeInput(
            breach=Breach(
                breach_id=breach_id_of(run_id, kind),
                kind=kind,
                tenant_id=task.tenant_id,
                task_id=task.task_id,
                run_id=run_id,
                expected_by=at - timedelta(seconds=1),
                observed_at=at,
                severity=severity,
                message="it broke",
            ),
            work_order=seed if order else None,
            streak=streak,
        )

    async def raise_all(self, *notices: NoticeInput) -> Raised:
        """As the run that the first of them is about."""
        environment = ActivityEnvironment()
        environment.info = replace(
            environment.info,
            workflow_id=notices[0].breach.run_id,
            workflow_run_id="0193-temporal",
        )
        request = RaiseInput(tenant_id=self.tenant, notices=list(notices))
        return await environment.run(self.activities().raise_notices, request)

    async def told(self, notice: NoticeInput) -> Notified:
        """Raise one, and wait until it is told."""
        await self.raise_all(notice)
        return await self.ended(notice.breach.breach_id)

    async def ended(self, breach_id: str) -> Notified:
        """The end of a notice."""
        handle = self.client.get_workflow_handle(notice_id(breach_id), result_type=Notified)
        notified: Notified = await handle.result(rpc_timeout=timedelta(seconds=30))
        return notified

    def order(self, run_id: str) -> "Order":
        """The work order of a run."""
        return Order(self.client.get_workflow_handle(work_order_id(run_id)))

    def sent(self, breach_id: str | None = None) -> list[Request]:
        """Notifications that reached the service, of all or of one breach."""
        return [
            request
            for request in self.server.requests
            if breach_id in (None, request.headers["idempotency-key"])
        ]

    def counted(self, kind: BreachKind) -> float:
        """Breaches of a kind that this process was the first to raise."""
        labels = {"kind": kind.value, "tenant_id": self.tenant}
        value = self.registry.get_sample_value("task_sla_breach_total", labels)
        return value or 0.0


@dataclass(frozen=True, slots=True)
class Order:
    """One work order as whoever works on it meets it."""

    handle: WorkflowHandle[Any, Any]

    async def view(self) -> WorkOrderView:
        """All that it says."""
        view: WorkOrderView = await self.handle.query(VIEW, result_type=WorkOrderView)
        return view

    async def act(self, act: Act, **fields: str) -> WorkOrderView:
        """Do something to it, as ann."""
        view: WorkOrderView = await self.handle.execute_update(
            act.value, {"by": "ann"} | fields, result_type=WorkOrderView
        )
        return view

    async def refused(self, act: Act, **fields: str) -> str:
        """Try something that must be refused, and the words for that."""
        try:
            await self.act(act, **fields)
        except WorkflowUpdateFailedError as error:
            return str(error.cause)
        raise AssertionError(f"{act} was not refused")


def script(server: RawServer, *answers: Answer) -> None:
    """Give these in turn, the last of them for ever."""
    left = list(answers)

    async def answer(writer: Any) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(writer)

    server.answer = answer
