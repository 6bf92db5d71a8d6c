"""Makes tasks collide, and forecasts look, when the test says so."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry
from temporalio.client import Client

from activities.forecast import ForecastActivities
from domain.document import Document
from domain.ids import FORECAST_SCHEDULE_ID, governor_id, manual_run_id, scheduled_run_id
from domain.ledger_state import RequestState
from domain.limits import Demand, demand_of
from domain.policy import Policy
from domain.registration import read_registration
from domain.run import ExecuteResult
from domain.scoring import ForecastResult, ForecastTick, ForecastTicked
from domain.states import RunState
from domain.task import Task
from shared.governor import Governors
from shared.metrics import ForecastMetrics
from shared.watch import last_forecast
from starter.registry import carry_out, make_plan
from tests.admission.harness import Governed, governed_task
from tests.starter.harness import eventually_async
from tests.workflows.harness import Step


def takes(seconds: float) -> Step:
    """The plugin succeeds after so long."""

    async def step(attempt: int) -> ExecuteResult:
        await asyncio.sleep(seconds)
        return ExecuteResult(status=RunState.SUCCESS, attempt=attempt)

    return step


class Ahead(Governed):
    """Tasks with schedules, runs that only ask, and forecasts of them all."""

    def __init__(self, client: Client, policy: Policy) -> None:
        super().__init__(client)
        self.policy = policy
        self.governors = Governors(client, self.queue)

    async def register(self, tenant: str, *task_ids: str, seconds: float) -> None:
        """Tasks that fire together every ten seconds, share a mutex group, and take so long."""
        said: list[dict[str, Any]] = [
            {
                "tenant_id": tenant,
                "task_id": task_id,
                "plugin_id": "p",
                "triggers": [{"every": "10s"}],
                "mutex": ["warehouse"],
                "expected_duration": f"{seconds:g}s",
            }
            for task_id in task_ids
        ]
        tenants = [{"tenant_id": tenant, "mutex_groups": {"warehouse": 1}}]
        document = Document({"tenants": tenants, "tasks": said})
        registration = read_registration(document, self.policy)
        for task in registration.tasks:
            self.plugin.scripts[task.task_id] = [takes(seconds)]
        await carry_out(
            self.client, await make_plan(self.client, registration, task_queue=self.queue)
        )

    async def collide(self, tenant: str, *, by_hand: bool = False) -> tuple[Task, Task]:
        """Have two runs ask for one mutex group: the second, by its schedule or not, waits."""
        first, second = (governed_task(tenant, mutex=["warehouse"]) for _ in range(2))
        at = datetime.now(UTC)
        holder = _request(scheduled_run_id(tenant, first.task_id, at), demand_of(first))

        async def granted() -> bool:  # a new governor first looks for runs of the one before
            return (await self.governors.ask(tenant, holder)).kind == "granted"

        await eventually_async(granted)
        run_id = scheduled_run_id(tenant, second.task_id, at)
        if by_hand:
            run_id = manual_run_id(tenant, second.task_id, "1")
        waiting = await self.governors.ask(tenant, _request(run_id, demand_of(second)))
        assert waiting.kind == "queued"
        await self.listed_governor(tenant)  # or a look knows of none
        return first, second

    def forecast(self, registry: CollectorRegistry | None = None) -> ForecastActivities:
        """As a worker that has just started has it; `registry` is where it counts."""
        return ForecastActivities(
            self.client,
            ForecastMetrics(registry or CollectorRegistry()),
            task_queue=self.queue,
            hours=0.1,
        )

    async def look(self) -> ForecastResult:
        """Have the schedule of the forecast fire, and give back what that look came to."""
        before = await last_forecast(self.client)
        await self.client.get_schedule_handle(FORECAST_SCHEDULE_ID).trigger()
        return await self.looked(since=before)

    async def looked(self, *, since: ForecastResult | None) -> ForecastResult:
        """The first look that ends after another one, None: the first of all."""
        found: list[ForecastResult] = []

        async def newer() -> bool:
            last = await last_forecast(self.client)
            if last and (since is None or last.made_at > since.made_at):
                found.append(last)
            return bool(found)

        await eventually_async(newer, within=20)
        return found[0]

    async def listed_governor(self, tenant: str) -> None:
        """Return once Temporal's list shows the tenant's governor."""
        query = f"WorkflowId = '{governor_id(tenant)}'"

        async def there() -> bool:
            return (await self.client.count_workflows(query)).count > 0

        await eventually_async(there)

    async def conflicts_since(self, tenant: str, at: datetime) -> None:
        """Return once the tenant's governor has noted a conflict after an instant."""

        async def noted() -> bool:
            state = (await self.books(tenant)).state
            return any(conflict.at > at.timestamp() for conflict in state.conflicts)

        await eventually_async(noted, within=20)


async def scored(forecast: ForecastActivities, since: datetime) -> ForecastTicked:
    """Score what came since an instant at which nothing was foreseen."""
    return await forecast.tick(ForecastTick(now=datetime.now(UTC), since=since))


def _request(run_id: str, demand: Demand) -> RequestState:
    return RequestState(
        run_id=run_id,
        task_id=demand.task_id,
        units=list(demand.units),
        overlap=demand.overlap,
        priority=demand.priority,
        on_conflict=demand.on_conflict,
        asked_at=time.time(),
        deadline=time.time() + timedelta(minutes=10).total_seconds(),
    )
