"""Governed runs on a real server: whom they exclude, who waits for whom, and what is left over."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from prometheus_client import CollectorRegistry
from temporalio import activity
from temporalio.client import Client, WorkflowHistory

from activities.admission import AdmissionActivities
from activities.capacity import CapacityActivities
from domain.attributes import TASK_RUN
from domain.governor import Degraded, GovernorView
from domain.ids import governor_id, manual_run_id
from domain.limits import TenantLimits
from domain.run import ExecuteResult, ManualFire, TaskRunInput, TaskRunResult, TriggerKind
from domain.states import RunState
from domain.task import Task
from sandbox.client import Delivery
from shared.governor import Governors, configure, view_governor
from shared.metrics import AdmissionMetrics
from shared.schedules import run_attributes
from shared.settings import Settings
from tests.conftest import task_of
from tests.starter.harness import eventually_async
from tests.workflows.harness import Handle, Runs, attributes_of, details_of, ended
from worker.governor import build_governor_worker
from worker.main import http_client

ON_TIME = timedelta(minutes=1)
"""Within which a waiting run goes on, whatever became of whom it waits for."""


@dataclass(slots=True)
class Place:
    """What the runs of a test must not crowd: who was in it, from when to when (monotonic s).

    A run stays until it is let go, or everybody is.
    """

    visits: list[tuple[str, float, float]] = field(default_factory=list)
    inside: list[str] = field(default_factory=list)
    everybody_may_go: bool = False
    _may_go: set[str] = field(default_factory=set)

    async def stay(self, attempt: int) -> ExecuteResult:
        """The step of a task whose plugin call stays open."""
        run_id = activity.info().workflow_id or ""
        since = time.monotonic()
        self.inside.append(run_id)
        try:
            while not self.everybody_may_go and run_id not in self._may_go:
                activity.heartbeat()
                await asyncio.sleep(0.05)
        finally:
            self.inside.remove(run_id)
            self.visits.append((run_id, since, time.monotonic()))
        return ExecuteResult(status=RunState.SUCCESS, attempt=attempt)

    def let_go(self, *handles: Handle) -> None:
        """These runs succeed; none given: all, from now on."""
        self._may_go.update(handle.id for handle in handles)
        self.everybody_may_go = self.everybody_may_go or not handles

    async def entered(self, *handles: Handle, within: float = 20.0) -> None:
        """Return when all of these runs are inside at once."""
        wanted = {handle.id for handle in handles}

        async def there() -> bool:
            return wanted <= set(self.inside)

        await eventually_async(there, within=within)

    def order(self) -> list[str]:
        """The runs that have been here, by when they came."""
        return [run_id for run_id, _, _ in sorted(self.visits, key=lambda visit: visit[1])]

    def most_at_once(self) -> int:
        """How many different runs were inside at the same time, at most."""
        return most_at_once(self.visits)


def most_at_once(intervals: Iterable[tuple[str, float, float]]) -> int:
    """How many of the (name, start, end) of different names overlap, at most.

    Intervals of one name count once: a repeated delivery is the same run's.
    """
    whole: dict[str, tuple[float, float]] = {}
    for name, start, end in intervals:
        known = whole.get(name, (start, end))
        whole[name] = min(known[0], start), max(known[1], end)
    edges = sorted(
        [(start, 1) for start, _ in whole.values()] + [(end, -1) for _, end in whole.values()]
    )
    now = most = 0
    for _, change in edges:
        now += change
        most = max(most, now)
    return most


def never_two(deliveries: Iterable[Delivery], group_of: Mapping[str, str]) -> None:
    """No two runs of one mutex group were with their plugins at once; `group_of` by task id."""
    groups: dict[str, list[tuple[str, float, float]]] = {}
    for found in deliveries:
        assert found.ended_at, f"{found.key} has not ended"
        times = found.started_at.timestamp(), found.ended_at.timestamp()
        groups.setdefault(group_of[found.task_id], []).append((found.key, *times))
    crowded = {name: most for name, visits in groups.items() if (most := most_at_once(visits)) > 1}
    assert not crowded


class Governed(Runs):
    """Starts governed runs of scripted tasks, on a task queue and with metrics of its own.

    `degraded`: what becomes of runs whose admission nobody can decide. `patience` in seconds.
    """

    def __init__(
        self,
        client: Client,
        *,
        capacity_url: str | None = None,
        degraded: Degraded = "fail_closed",
        patience: float = 3.0,
    ) -> None:
        super().__init__(client)
        self.settings = Settings(task_queue=self.queue, capacity_url=capacity_url)
        self.reserves = capacity_url is not None
        self.degraded = degraded
        self.patience = patience
        self._registry = CollectorRegistry()
        self._metrics = AdmissionMetrics(self._registry)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Workers for runs and for governors."""
        async with self.governing(), self.running():
            yield

    @asynccontextmanager
    async def governing(self) -> AsyncIterator[None]:
        """A worker for governors, as the product builds it."""
        async with (
            self._capacity() as capacity,
            build_governor_worker(self.client, self.settings, capacity),
        ):
            yield

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """A worker for runs, as the product builds it but for the plugin, and quick to stop."""
        governors = Governors(self.client, self.queue, patience=self.patience)
        async with self._capacity() as capacity:
            admission = AdmissionActivities(
                governors,
                lambda _: self.degraded,
                self._metrics,
                capacity=self.reserves,
                listens=lambda _: self.outside.listening,
            )
            try:
                async with (
                    self.calling(capacity.reserve_capacity, capacity.release_capacity),
                    self.workflows(
                        admission.ask_governor,
                        admission.release_grant,
                        capacity.reserve_capacity,
                        capacity.release_capacity,
                    ),
                ):
                    yield
            finally:
                await governors.close()

    @asynccontextmanager
    async def _capacity(self) -> AsyncIterator[CapacityActivities]:
        async with http_client() as http:
            yield CapacityActivities(http, self.settings.capacity_url, timeout=1.0)

    def counted(self, name: str, **labels: str) -> float:
        """A counter of `AdmissionMetrics`, by the end of its name."""
        return self._registry.get_sample_value(f"task_admission_{name}_total", labels) or 0.0

    def at(self, place: Place, tenant: str, **fields: Any) -> Task:
        """A task of a tenant whose runs stay at a place; `fields` as in a task file."""
        task = governed_task(tenant, **fields)
        self.plugin.scripts[task.task_id] = [place.stay]
        return task

    async def go(
        self, task: Task, *, limited: bool = False, key: str | None = None, manual: bool = False
    ) -> Handle:
        """Start a run; with nothing else said, one that a schedule could have started."""
        fire = ManualFire(at=datetime.now(UTC)) if manual else None
        handle = await self.client.start_workflow(
            TASK_RUN,
            TaskRunInput(task=task, manual=fire, limited=limited),
            id=manual_run_id(task.tenant_id, task.task_id, key or uuid4().hex[:8]),
            task_queue=self.queue,
            search_attributes=run_attributes(task, TriggerKind.MANUAL),
            result_type=TaskRunResult,
        )
        return handle  # noqa: RET504 - the SDK does not type a workflow that is named by string

    async def limit(self, tenant: str, limits: TenantLimits) -> None:
        """Change a tenant's limits, as a registration does."""
        await configure(self.client, tenant, limits, task_queue=self.queue)

    async def books(self, tenant: str) -> GovernorView:
        """What the tenant's governor has on its books."""
        found = await view_governor(self.client, tenant)
        assert found, f"{tenant} has no governor"
        return found

    async def nothing_is_left(self, tenant: str, *, within: float = 15.0) -> None:
        """The tenant's ledger becomes empty."""

        async def empty() -> bool:
            view = await self.books(tenant)
            state = view.state
            return not (view.restoring or state.holders or state.waiting or state.refused)

        await eventually_async(empty, within=within)

    async def holds(self, *handles: Handle, tenant: str) -> None:
        """Return when the tenant's governor counts exactly these runs."""
        wanted = {handle.id for handle in handles}

        async def so() -> bool:
            view = await view_governor(self.client, tenant)
            holders = view.state.holders if view else []
            return {holder.request.run_id for holder in holders} == wanted

        await eventually_async(so)

    async def histories(self, tenant: str) -> list[WorkflowHistory]:
        """Those of all runs of the tenant's governor, the last first."""
        query = f"WorkflowId = '{governor_id(tenant)}'"
        return [
            await self.client.get_workflow_handle(run.id, run_id=run.run_id).fetch_history()
            async for run in self.client.list_workflows(query)
        ]


def new_tenant() -> str:
    """A tenant that no other test has."""
    return f"t{uuid4().hex[:8]}"


def governed_task(tenant: str, **fields: Any) -> Task:
    """A task of its own id, quick to notice that it is cancelled; `fields` as in a task file."""
    said = {
        "tenant_id": tenant,
        "task_id": f"t-{uuid4().hex[:8]}",
        "heartbeat_timeout": "5s",
        "overlap": "allow",
    }
    return Task.model_validate(task_of().model_dump(mode="json") | said | fields)


async def waiting(*handles: Handle, within: float = 20.0) -> None:
    """Return when all of these runs are QUEUED."""

    async def queued() -> bool:
        states = [(await attributes_of(handle)).get("TaskStatus") for handle in handles]
        return all(state == "QUEUED" for state in states)

    await eventually_async(queued, within=within)


async def waits_because(handle: Handle, *words: str) -> None:
    """Return when the run's current details say so."""

    async def said() -> bool:
        details = await details_of(handle)
        return "**QUEUED**" in details and all(word in details for word in words)

    await eventually_async(said)


async def succeeded(*handles: Handle, within: timedelta = ON_TIME) -> list[TaskRunResult]:
    """The results of runs that all end SUCCESS in time."""
    async with asyncio.timeout(within.total_seconds()):
        results = await asyncio.gather(*(handle.result() for handle in handles))
    assert {result.status for result in results} <= {RunState.SUCCESS}
    return list(results)


async def skipped(handle: Handle) -> str:
    """The reason of a run that ends SKIPPED."""
    result = await ended(handle)
    assert isinstance(result, TaskRunResult)
    assert result.status is RunState.SKIPPED
    return result.reason or ""
