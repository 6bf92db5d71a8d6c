"""Tasks of one tenant, registered, run and asked about on the session's server."""

from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.client import Client

from domain.attributes import TASK_RUN
from domain.document import Document
from domain.ids import scheduled_run_id
from domain.policy import Policy
from domain.registration import Registration, read_registration
from domain.run import Finding, TaskRunInput, TriggerKind
from domain.states import RunState
from shared.schedules import run_attributes
from starter import control
from starter.answer import Why
from starter.plan import Plan
from starter.registry import carry_out, make_plan
from starter.why import explain
from tests.starter.harness import eventually_async

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


def hour_ahead(hours: int = 2) -> datetime:
    """A whole hour, one to two hours ahead of now unless more are asked for."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + hours * HOUR


def daily(at: datetime) -> list[dict[str, Any]]:
    """A trigger that fires each day at this hour, UTC."""
    return [{"cron": f"{at.minute} {at.hour} * * *", "timezone": "UTC"}]


class Asking:
    """One tenant: `queue` is where its runs go."""

    def __init__(self, client: Client, policy: Policy, tenant_id: str, queue: str) -> None:
        self.client = client
        self.tenant_id = tenant_id
        self.queue = queue
        self._policy = policy

    def file(self, *tasks: dict[str, Any], **tenant: Any) -> Registration:
        """A file of these tasks; `tenant`: what it declares of the tenant, if anything."""
        named = [
            {"tenant_id": self.tenant_id, "plugin_id": "p", "triggers": [{"every": "1h"}]} | task
            for task in tasks
        ]
        tenants = [{"tenant_id": self.tenant_id} | tenant] if tenant else []
        return read_registration(Document({"tasks": named, "tenants": tenants}), self._policy)

    async def apply(self, *tasks: dict[str, Any], **tenant: Any) -> Plan:
        """Register a file."""
        registration = self.file(*tasks, **tenant)
        return await carry_out(
            self.client, await make_plan(self.client, registration, task_queue=self.queue)
        )

    async def trigger(self, task_id: str) -> str:
        """Start a run by hand."""
        return await control.trigger(self.client, self.tenant_id, task_id)

    async def why(
        self, task_id: str, at: datetime | None = None, *, now: datetime | None = None
    ) -> Why:
        """The answer, as of `now`."""
        return await explain(
            self.client,
            self.tenant_id,
            task_id,
            at=at,
            now=now or datetime.now(UTC),
            task_queue=self.queue,
        )

    async def until(
        self, task_id: str, verdict: str, at: datetime | None = None, *, says: str = ""
    ) -> Why:
        """The answer once it has this verdict, and `says` in its sentences."""
        found: list[Why] = []

        async def is_there() -> bool:
            found[:] = [await self.why(task_id, at)]
            return found[0].verdict == verdict and says in text(found[0])

        await eventually_async(is_there, within=20)
        return found[0]

    async def record(self, task_id: str, scheduled: datetime, reason: str) -> str:
        """A run that only says MISSED, as the watch makes them."""
        task = (await control.describe_task(self.client, self.tenant_id, task_id))[1]
        finding = Finding(scheduled_time=scheduled, reason=reason, status=RunState.MISSED)
        handle = await self.client.start_workflow(
            TASK_RUN,
            TaskRunInput(task=task, finding=finding),
            id=scheduled_run_id(self.tenant_id, task_id, scheduled),
            task_queue=self.queue,
            search_attributes=run_attributes(task, TriggerKind.ONE_OFF),
        )
        await handle.result()
        return handle.id


def text(answer: Why) -> str:
    """Its sentences."""
    return "\n".join(answer.because)
