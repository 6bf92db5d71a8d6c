"""Tenants with limits: files that declare them, and workers that keep them but run nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from temporalio.client import Client

from activities.capacity import CapacityActivities
from domain.document import Document
from domain.ids import registry_id
from domain.ledger_state import RequestState
from domain.limits import TenantLimits, demand_of
from domain.policy import Policy
from domain.registration import Registration, read_registration
from domain.registry import LIMITS_SHARD, Snapshot, shard_of
from domain.task import Task
from shared.governor import Governors
from shared.registry import read_shard
from shared.settings import Settings
from starter.plan import Plan
from starter.registry import carry_out, make_plan
from worker.governor import build_governor_worker
from worker.main import http_client
from worker.watch import build_watch_worker


class Limits:
    """Applies files and changes quotas on a task queue of its own, where nothing runs."""

    def __init__(self, client: Client, policy: Policy) -> None:
        self.client = client
        self.policy = policy
        self.queue = f"limits-{uuid4().hex[:8]}"

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Registries and governors answer inside."""
        settings = Settings(task_queue=self.queue)
        async with http_client() as http:
            capacity = CapacityActivities(http, None, timeout=2.0)
            async with (
                build_watch_worker(self.client, settings),
                build_governor_worker(self.client, settings, capacity),
            ):
                yield

    def file(
        self, *tasks: dict[str, Any], tenants: list[dict[str, Any]] | None = None
    ) -> Registration:
        """A file of these tasks and tenants."""
        data = {"tasks": list(tasks), "tenants": tenants or []}
        return read_registration(Document(data), self.policy)

    async def plan(
        self, *tasks: dict[str, Any], tenants: list[dict[str, Any]] | None = None
    ) -> Plan:
        """The plan of such a file."""
        file = self.file(*tasks, tenants=tenants)
        return await make_plan(self.client, file, task_queue=self.queue)

    async def apply(
        self, *tasks: dict[str, Any], tenants: list[dict[str, Any]] | None = None
    ) -> Plan:
        """The same, carried out."""
        return await carry_out(self.client, await self.plan(*tasks, tenants=tenants))

    async def shard(self, tenant: str) -> Snapshot:
        """The tenant's registry that has its limits."""
        return await read_shard(self.client, registry_id(tenant, LIMITS_SHARD))

    async def shard_of(self, task: Task) -> Snapshot:
        """The registry that has the task."""
        return await read_shard(self.client, registry_id(task.tenant_id, shard_of(task.task_id)))

    async def ask(self, task: Task, run_id: str) -> str:
        """Ask the task's governor for a run: `granted`, `queued` or `refused`."""
        governors = Governors(self.client, self.queue)
        now = datetime.now(UTC)
        until = now + timedelta(minutes=10)
        request = RequestState(
            run_id=run_id,
            task_id=task.task_id,
            units=list(demand_of(task).units),
            overlap=task.overlap,
            priority=task.priority,
            on_conflict=task.on_conflict,
            asked_at=now.timestamp(),
            deadline=until.timestamp(),
        )
        try:
            return (await governors.ask(task.tenant_id, request)).kind
        finally:
            await governors.close()


def said(tenant: str, task_id: str = "t", **fields: Any) -> dict[str, Any]:
    """A task as a file has it."""
    least = {"tenant_id": tenant, "task_id": task_id, "plugin_id": "p"}
    return {**least, "triggers": [{"every": "1h"}], **fields}


def without_time(limits: TenantLimits | None) -> TenantLimits | None:
    """The same limits, whenever they were said."""
    return limits and limits.model_copy(update={"changed_at": None})
