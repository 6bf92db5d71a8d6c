"""A deployment: versions as worker processes, load on them, and what its histories tell."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

import worker.main
from domain.attributes import PAUSE, TASK_RUN
from domain.ids import manual_run_id, schedule_id
from domain.run import PauseInput, TaskRunInput, TaskRunResult
from domain.task import Task
from shared.errors import Refused
from shared.schedules import Circumstances, schedule_of
from shared.settings import Settings
from shared.versions import Version
from starter.versions import deployment_of, use_version
from tests.conftest import task_of
from tests.killed.workers import Worker
from tests.starter.harness import Cli, Ended
from tests.versions.next_release import MARK
from tests.workflows.harness import Handle
from worker.main import build_worker, shared_parts
from worker.plugins import build_plugin_worker
from workflows.task_run import TaskRun

EVERY_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Told:
    """What a run's history says: the versions that took its steps, how many failed, its mark."""

    versions: set[str]
    failed: int
    events: int
    marked: bool


@dataclass
class Deployed:
    """One deployment on a task queue of its own."""

    client: Client
    name: str
    folder: Path
    environment: dict[str, str]
    workers: list[Worker] = field(default_factory=list)
    started: int = 0

    @property
    def queue(self) -> str:
        """The task queue of runs."""
        return self.environment["TASKFLOW_TASK_QUEUE"]

    async def process(self, build_id: str, *, module: str = "worker") -> Worker:
        """One more worker process, ready; of this release, or of the module's."""
        said = {"TASKFLOW_DEPLOYMENT": self.name, "TASKFLOW_BUILD_ID": build_id}
        name = f"worker-{len(self.workers)}"
        self.workers.append(Worker(self.folder, name, {**self.environment, **said}, module=module))
        await self.workers[-1].ready()
        return self.workers[-1]

    @asynccontextmanager
    async def inside(self, build_id: str, *, runs: type = TaskRun) -> AsyncIterator[None]:
        """Workers of a version within this process, for runs of that type, until left."""
        settings = Settings(
            task_queue=self.queue,
            plugin_url=self.environment["TASKFLOW_PLUGIN_URL"],
            deployment=self.name,
            build_id=build_id,
        )
        async with shared_parts(self.client, settings) as parts:
            with patch.object(worker.main, TaskRun.__name__, runs):
                deciding = build_worker(parts)
            async with deciding, build_plugin_worker(parts):
                yield

    async def taskflow(self, *arguments: str, **environment: str) -> Ended:
        """A command, as an operator types it."""
        cli = Cli(self.folder, {**self.environment, "TASKFLOW_DEPLOYMENT": self.name})
        return await asyncio.to_thread(cli.run, *arguments, **environment)

    async def use(self, build_id: str) -> None:
        """Give new runs to a version, as soon as its workers have been heard of."""
        end = time.monotonic() + 30
        while True:
            try:
                return await use_version(self.client, self.name, build_id)
            except Refused:
                assert time.monotonic() < end, f"{build_id} cannot be used"
                await asyncio.sleep(0.4)

    async def version(self, build_id: str) -> Version:
        """A version as `taskflow versions` shows it."""
        found = await deployment_of(self.client, self.name, self.queue)
        return next(row for row in found.versions if row.build_id == build_id)

    async def go(self, plugin_id: str = "quick", *, paused: bool = False, **fields: Any) -> Handle:
        """Start a run, held before it begins if `paused`."""
        self.started += 1
        task = _task(f"run-{self.started}", plugin_id, self.name, **fields)
        said: dict[str, Any] = {}
        if paused:
            at = PauseInput(by="ann", at=datetime.now(UTC))
            said = {"start_signal": PAUSE, "start_signal_args": [at]}
        return await self.client.start_workflow(
            TASK_RUN,
            TaskRunInput(task=task),
            id=manual_run_id(task.tenant_id, task.task_id, "1"),
            task_queue=self.queue,
            result_type=TaskRunResult,
            **said,
        )

    @asynccontextmanager
    async def load(self) -> AsyncIterator[list[Handle]]:
        """A schedule that fires each second, and runs started beside it, until left."""
        task = _task("scheduled", "quick", self.name)
        every = task.triggers[0].model_copy(update={"every": EVERY_SECOND})
        task = task.model_copy(update={"triggers": [every]})
        schedule = schedule_of(task, 1.0, Circumstances(self.queue, datetime.now(UTC)))
        handle = await self.client.create_schedule(
            schedule_id(task.tenant_id, task.task_id), schedule
        )
        started: list[Handle] = []

        async def start() -> None:
            while True:
                started.append(await self.go())
                await asyncio.sleep(1.0)

        starting = asyncio.create_task(start())
        try:
            yield started
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await handle.delete()

    async def told(self, run_id: str) -> Told:
        """By a run's history."""
        versions, failed, marked = set[str](), 0, False
        history = await self.client.get_workflow_handle(run_id).fetch_history()
        for event in history.events:
            step = event.workflow_task_completed_event_attributes
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                versions.add(step.deployment_version.build_id)
            failed += event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
            marked |= MARK.encode() in event.user_metadata.summary.data
        return Told(versions, failed, len(history.events), marked)


def _task(name: str, plugin_id: str, tenant_id: str, **fields: Any) -> Task:
    task = task_of("overlap: allow", task_id=name, plugin_id=plugin_id, **fields)
    return task.model_copy(update={"tenant_id": tenant_id})
