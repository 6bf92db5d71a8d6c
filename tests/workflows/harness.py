"""A worker whose plugin activity records what it was asked and answers by script."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from pydantic import JsonValue
from temporalio import activity
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleSpec,
    WorkflowFailureError,
    WorkflowHandle,
)
from temporalio.worker import Worker

from activities.errors import attempt_failed
from domain.attributes import EXECUTE_PLUGIN, TASK_RUN
from domain.events_out import Published
from domain.ids import (
    manual_run_id,
    plugin_queue,
    run_id_prefix,
    schedule_id,
    scheduled_run_id,
)
from domain.run import ExecuteInput, ExecuteResult, Finding, ManualFire, TaskRunInput, TaskRunResult
from domain.states import RunState
from domain.task import IntervalTrigger, Task
from tests.conftest import task_of
from tests.workflows.outside import Outside
from worker.build import workflow_runner
from workflows.task_run import TaskRun

Step = Callable[[int], Awaitable[ExecuteResult]]
"""What one attempt does, given its number."""
_PATIENCE = 20
"""Seconds after which a run that should have ended hangs."""
Handle = WorkflowHandle[Any, TaskRunResult]


def succeed(result: JsonValue = None) -> Step:
    """The plugin did its work."""

    async def step(attempt: int) -> ExecuteResult:
        return ExecuteResult(status=RunState.SUCCESS, attempt=attempt, result=result)

    return step


def fail(code: str, *, retryable: bool = True) -> Step:
    """The attempt failed."""

    async def step(attempt: int) -> ExecuteResult:
        raise attempt_failed(code, f"it said {code}", attempt=attempt, retryable=retryable)

    return step


def crash(error: Exception) -> Step:
    """The activity itself broke, in a way that nobody planned."""

    async def step(attempt: int) -> ExecuteResult:
        raise error

    return step


def skip(reason: str) -> Step:
    """A feature flag was off."""

    async def step(attempt: int) -> ExecuteResult:
        return ExecuteResult(status=RunState.SKIPPED, attempt=attempt, reason=reason)

    return step


def stay_open(*, heartbeats: bool) -> Step:
    """The call stays open until it is cancelled, or with no heartbeats until it is given up."""

    async def step(attempt: int) -> ExecuteResult:
        while True:
            await asyncio.sleep(0.1)
            if heartbeats:
                activity.heartbeat()

    return step


def fail_when_cancelled(code: str) -> Step:
    """The call stays open, and its answer to a cancellation is a failure."""

    async def step(attempt: int) -> ExecuteResult:
        try:
            return await stay_open(heartbeats=True)(attempt)
        except asyncio.CancelledError:
            return await fail(code)(attempt)

    return step


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt as the activity saw it."""

    request: ExecuteInput
    attempt: int
    workflow_id: str


@dataclass(slots=True)
class RecordingPlugin:
    """Implements `execute_plugin`: a script per task id, its last step repeated."""

    scripts: dict[str, list[Step]] = field(default_factory=dict)
    calls: defaultdict[str, list[Call]] = field(default_factory=lambda: defaultdict(list))
    closed: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    outside: Outside = field(default_factory=Outside)

    @activity.defn(name=EXECUTE_PLUGIN)
    async def execute_plugin(self, request: ExecuteInput) -> ExecuteResult:
        """Record the call, then do what the script says."""
        info = activity.info()
        calls = self.calls[request.task_id]
        attempt = request.attempt or info.attempt
        self.outside.hear(request.changes)
        calls.append(Call(request, attempt, info.workflow_id or ""))
        script = self.scripts[request.task_id]
        async with self.news:
            self.news.notify_all()
        try:
            found = await script[min(len(calls), len(script)) - 1](attempt)
            told = Published(sinks=self.outside.listening)
            return found.model_copy(update={"published": told})
        finally:
            self.closed[request.task_id] += 1

    async def called(self, task_id: str, times: int = 1) -> None:
        """Return when the task's plugin was called so often."""
        async with asyncio.timeout(10), self.news:
            await self.news.wait_for(lambda: len(self.calls[task_id]) >= times)


class Runs:
    """Starts runs of scripted tasks on one task queue."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.queue = f"test-{uuid4()}"
        self.plugin = RecordingPlugin()

    @property
    def outside(self) -> Outside:
        """What the runs told beyond their plugins."""
        return self.plugin.outside

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        """Workers as the product builds them, but for the activities."""
        async with self.calling(), self.workflows():
            yield

    def workflows(self) -> Worker:
        """A worker for runs only."""
        return Worker(
            self.client,
            task_queue=self.queue,
            workflows=[TaskRun],
            activities=[self.plugin.execute_plugin, *self.outside.activities()],
            workflow_runner=workflow_runner(),
        )

    def calling(self) -> Worker:
        """A worker for calls of plugins only."""
        return Worker(
            self.client,
            task_queue=plugin_queue(self.queue),
            activities=[self.plugin.execute_plugin, self.outside.cancel_execution],
            max_concurrent_activities=500,
        )

    def script(self, *steps: Step, lines: str = "", **fields: Any) -> Task:
        """A task of its own id whose plugin does these steps."""
        task = task_of(lines, **{"task_id": f"t-{uuid4()}"} | fields)
        self.plugin.scripts[task.task_id] = list(steps)
        return task

    async def start(self, task: Task, manual: ManualFire | None = None) -> Handle:
        """Start a run by hand, for now or as `manual` says."""
        fire = manual or ManualFire(at=datetime.now(UTC))
        return await self.client.start_workflow(
            TASK_RUN,
            TaskRunInput(task=task, manual=fire),
            id=manual_run_id(task.tenant_id, task.task_id, "1"),
            task_queue=self.queue,
            result_type=TaskRunResult,
        )

    async def fire(self, task: Task) -> Handle:
        """Start a run as a schedule would: it is due when it starts."""
        return await self.client.start_workflow(
            TASK_RUN,
            TaskRunInput(task=task),
            id=scheduled_run_id(task.tenant_id, task.task_id, datetime.now(UTC)),
            task_queue=self.queue,
            result_type=TaskRunResult,
        )

    async def start_found(self, task: Task, status: RunState | None = None) -> Handle:
        """Start a run as the watch does: late, or with a status only to say what became of it."""
        at = datetime(2026, 11, 23, 2, tzinfo=UTC)
        finding = Finding(scheduled_time=at, reason="why it was not", status=status)
        return await self.client.start_workflow(
            TASK_RUN,
            TaskRunInput(task=task, finding=finding),
            id=scheduled_run_id(task.tenant_id, task.task_id, at),
            task_queue=self.queue,
            result_type=TaskRunResult,
        )

    async def first_scheduled(self, task: Task) -> Handle:
        """The first run that a real schedule starts; it fires every second until then."""
        interval = next(t for t in task.triggers if isinstance(t, IntervalTrigger))
        schedule = await self.client.create_schedule(
            schedule_id(task.tenant_id, task.task_id),
            Schedule(
                ScheduleActionStartWorkflow(
                    TASK_RUN,
                    TaskRunInput(task=task),
                    id=run_id_prefix(task.tenant_id, task.task_id),
                    task_queue=self.queue,
                ),
                spec=ScheduleSpec(
                    intervals=[ScheduleIntervalSpec(interval.every, offset=interval.offset)]
                ),
            ),
        )
        try:
            await self.plugin.called(task.task_id)
        finally:
            await schedule.delete()
        workflow_id = self.plugin.calls[task.task_id][0].workflow_id
        return self.client.get_workflow_handle(workflow_id, result_type=TaskRunResult)


async def ended(handle: Handle) -> TaskRunResult | BaseException:
    """The result of a run, or the error that closed it."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return await handle.result()
    except WorkflowFailureError as error:
        return error.cause


async def attributes_of(handle: Handle) -> dict[str, Any]:
    """The run's search attributes by name."""
    description = await handle.describe()
    return {pair.key.name: pair.value for pair in description.typed_search_attributes}


async def details_of(handle: Handle) -> str:
    """What Temporal's Web UI shows as the run's current details."""
    metadata: WorkflowMetadata = await handle.query(
        "__temporal_workflow_metadata", result_type=WorkflowMetadata
    )
    return metadata.current_details


def nominal_of(handle: Handle, task: Task) -> datetime:
    """The nominal time that a scheduled run's id ends in."""
    at = datetime.fromisoformat(handle.id[-20:])
    assert handle.id == scheduled_run_id(task.tenant_id, task.task_id, at)
    return at
