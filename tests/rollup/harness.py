"""Days of which everything is known, looks at them, and reports by roll-ups and without."""

from datetime import date, datetime, timedelta
from typing import Any
from uuid import uuid4

from structlog.testing import capture_logs
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client, WorkflowHandle

from activities.rollup import RollupActivities
from domain.attributes import ROLLUP, TASK_RUN
from domain.levels import Level
from domain.rollup import DAY, LookInput, LookResult, day_of, start_of
from domain.rollup_sketch import ERROR
from domain.task import Task
from shared.rollup import RollupStore
from shared.watch import last_rollup
from starter.sla_report import SlaReport, make_report
from tests.starter.harness import eventually_async
from tests.starter.past import SECOND, Past

RETENTION = timedelta(days=5)
FIRES = 18
"""Of a task, in three days."""
LATENCIES = ("p50_latency_s", "p99_latency_s")


class Days:
    """The last three whole days; `first` is the earliest."""

    def __init__(self, client: Client, queue: str) -> None:
        self.client = client
        self.queue = queue
        self.store = RollupStore(client, queue)
        self.pasts: list[Past] = []
        self.activities = RollupActivities(client, task_queue=queue, months=13)
        now = Past(client, queue, "x").now
        self.today = day_of(now)
        self.first = self.today - 3 * DAY
        # Well after midnight, whenever the tests run, so that yesterday is over and settled.
        self.now = start_of(self.today) + timedelta(hours=9)

    def tenant(self) -> Past:
        """One more tenant, whose tasks fire every ten minutes from the first day on."""
        past = Past(self.client, self.queue, f"t{uuid4().hex[:10]}", start_of(self.first))
        past.now = self.now
        self.pasts.append(past)
        return past

    async def look(self, *, now: datetime | None = None, **before: Any) -> LookResult:
        """Have the workers look, once all runs are listed. `before`: what the last look left."""
        for past in self.pasts:
            await past.listed()
        with capture_logs():
            return await self.activities.look(LookInput(now=now or self.now, **before))

    async def report(
        self,
        past: Past | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        now: datetime | None = None,
        rollups: bool = True,
    ) -> SlaReport:
        """Of a tenant or all; of the three days if nothing else is said."""
        return await make_report(
            self.client,
            past.tenant_id if past else None,
            since or start_of(self.first),
            until or start_of(self.today),
            now or self.now,
            task_queue=self.queue,
            rollups=rollups,
        )

    async def delete_runs(self, past: Past, day: date) -> None:
        """Have Temporal forget a tenant's runs of a day."""
        await past.listed()
        query = f"WorkflowType = '{TASK_RUN}' AND TenantId = '{past.tenant_id}'"
        found = [run async for run in self.client.list_workflows(query)]
        mine = [run for run in found if f"-{day}T" in run.id]
        for run in mine:
            await self._delete(run.id, run.run_id)
        past.forgot(len(mine))
        await past.listed()

    async def _delete(self, workflow_id: str, run_id: str) -> None:
        await self.client.workflow_service.delete_workflow_execution(
            DeleteWorkflowExecutionRequest(
                namespace=self.client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
            )
        )

    async def shelves(self) -> list[str]:
        """The ids of what keeps roll-ups."""
        query = f"WorkflowType = '{ROLLUP}' AND ExecutionStatus = 'Running'"
        return sorted([shelf.id async for shelf in self.client.list_workflows(query)])

    async def lies(self, past: Past, *wanted: date) -> None:
        """Return once Temporal lists that a tenant's days lie there, and no others."""

        async def same() -> bool:
            return (await self.store.listed()).get(past.tenant_id, set()) == set(wanted)

        await eventually_async(same, within=20)

    async def first_run(self, workflow_id: str) -> str:
        """The id of the run that a chain began with."""
        found = await self.client.get_workflow_handle(workflow_id).describe()
        return found.raw_description.workflow_execution_info.first_run_id

    async def looked(self, *, after: datetime | None = None, within: float = 20) -> LookResult:
        """What the first look after an instant came to, of those that a schedule makes."""
        found: list[LookResult] = []

        async def newer() -> bool:
            last = await last_rollup(self.client)
            if last and (after is None or last.looked_at > after):
                found.append(last)
            return bool(found)

        await eventually_async(newer, within=within)
        return found[0]

    async def ended(self, run: WorkflowHandle[Any, Any]) -> None:
        """Return once Temporal lists that it has."""
        query = f"WorkflowId = '{run.id}' AND ExecutionStatus != 'Running'"

        async def listed() -> bool:
            return (await self.client.count_workflows(query)).count == 1

        await eventually_async(listed, within=20)

    async def gone(self, shelf: str) -> None:
        """Return once Temporal lists the shelf no more among those that are open."""

        async def unlisted() -> bool:
            return shelf not in await self.shelves()

        await eventually_async(unlisted, within=20)


def same_but_for_latencies(one: SlaReport, other: SlaReport) -> None:
    """Every count and rate is equal, and every latency within the error that roll-ups state."""
    found, wanted = one.as_json(), other.as_json()
    rows = zip([*found["rows"], found["totals"]], [*wanted["rows"], wanted["totals"]], strict=True)
    for mine, yours in rows:
        for name in LATENCIES:
            got, exact = mine.pop(name), yours.pop(name)
            # Those that are not rolled up are rounded themselves, to three digits.
            assert got == exact or abs(got - exact) <= exact * (ERROR + 0.005), (name, got, exact)
        assert mine == yours


def level(report: SlaReport, past: Past, task_id: str) -> Level:
    """Of one task."""
    return report.levels[past.tenant_id, task_id]


async def busy(past: Past, task_id: str, *, absent: int = 5) -> Task:
    """A task of every four hours; some fires have no run, and each run is later than the last."""
    task = await past.task(task_id, triggers=[{"every": "4h"}])
    for number in range(FIRES):
        if number % absent:
            await past.ran(task, number * 24, (1 + number) ** 4 * SECOND / 300)
    return task
