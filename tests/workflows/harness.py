"""A worker whose plugin activity records what it was asked and answers by script."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from pydantic import JsonValue
from temporalio import activity
from temporalio.api.enums.v1 import EventType
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
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from activities.debounce import DebounceActivities
from activities.errors import attempt_failed
from domain.attributes import EXECUTE_PLUGIN, PAUSE, TASK_RUN
from domain.events_out import Published
from domain.ids import (
    event_run_id,
    manual_run_id,
    plugin_queue,
    recovery_queue,
    run_id_prefix,
    schedule_id,
    scheduled_run_id,
)
from domain.recovery import read_details
from domain.run import (
    EventFire,
    ExecuteInput,
    ExecuteResult,
    Finding,
    ManualFire,
    PauseInput,
    TaskRunInput,
    TaskRunResult,
)
from domain.states import RunState
from domain.task import EventTrigger, IntervalTrigger, Task
from tests.conftest import task_of
from tests.starter.harness import eventually_async
from tests.workflows.outside import Outside
from worker.build import new_worker, workflow_runner
from workflows.debounce import Debounce
from workflows.task_run import TaskRun

Step = Callable[[int], Awaitable[ExecuteResult]]
"""What one attempt does, given its number."""
_PATIENCE = 60
"""Seconds after which a run that should have ended hangs."""
Handle = WorkflowHandle[Any, TaskRunResult]


def succeed(result: JsonValue = None) -> Step:
    """The plugin did its work."""

    async def step(attempt: int) -> ExecuteResult:
        return ExecuteResult(status=RunState.SUCCESS, attempt=attempt, result=result)

    return step


def fail(
    code: str,
    *,
    retryable: bool = True,
    retry_after: timedelta | None = None,
    waits: bool = False,
    retries: bool = True,
) -> Step:
    """The attempt failed; the other fields are those of `attempt_failed`."""

    async def step(attempt: int) -> ExecuteResult:
        raise attempt_failed(
            code,
            f"it said {code}",
            attempt=attempt,
            retryable=retryable,
            retry_after=retry_after,
            waits=waits,
            retries=retries,
            counted=True,
        )

    return step


def fail_after(gate: asyncio.Event, code: str) -> Step:
    """The call stays open until the gate opens, and then the attempt has failed."""

    async def step(attempt: int) -> ExecuteResult:
        await gate.wait()
        return await fail(code)(attempt)

    return step


def circuit_open(seconds: float = 1) -> Step:
    """The plugin was not called: its circuit is open for so long."""
    return fail("PLUGIN_CIRCUIT_OPEN", retry_after=timedelta(seconds=seconds), waits=True)


def accept() -> Step:
    """The plugin took the work, and a call that is short cannot wait for its report."""

    async def step(attempt: int) -> ExecuteResult:
        return ExecuteResult(status=RunState.RUNNING, attempt=attempt, accepted=True)

    return step


def take(seconds: float) -> Step:
    """The plugin works for a while, and succeeds."""

    async def step(attempt: int) -> ExecuteResult:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await asyncio.sleep(0.1)
            activity.heartbeat()
        return ExecuteResult(status=RunState.SUCCESS, attempt=attempt)

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


def succeed_when_cancelled(result: JsonValue = None) -> Step:
    """The call stays open, and its answer to a cancellation is that the work is done."""

    async def step(attempt: int) -> ExecuteResult:
        try:
            return await stay_open(heartbeats=True)(attempt)
        except asyncio.CancelledError:
            return await succeed(result)(attempt)

    return step


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt as the activity saw it."""

    request: ExecuteInput
    attempt: int
    workflow_id: str
    local: bool


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
        told = self.outside.hear(request.changes) if request.changes else None
        calls.append(Call(request, attempt, info.workflow_id or "", info.is_local))
        script = self.scripts[request.task_id]
        async with self.news:
            self.news.notify_all()
        try:
            found = await script[min(len(calls), len(script)) - 1](attempt)
            return found.model_copy(update={"published": told})
        except ApplicationError as error:
            raise _with(error, told) from error.cause
        finally:
            self.closed[request.task_id] += 1

    async def called(self, task_id: str, times: int = 1) -> None:
        """Return when the task's plugin was called so often."""
        async with asyncio.timeout(10), self.news:
            await self.news.wait_for(lambda: len(self.calls[task_id]) >= times)


def _with(error: ApplicationError, told: Published | None) -> ApplicationError:
    """The error of a failed attempt, which says what became of the changes that came with it."""
    details = read_details(list(error.details))
    if details is None or told is None:
        return error
    said = details.model_copy(update={"published": told})
    return ApplicationError(
        error.message,
        said.model_dump(mode="json", exclude_defaults=True),
        type=error.type,
        non_retryable=error.non_retryable,
    )


class Runs:
    """Starts runs of scripted tasks on one task queue."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.queue = f"test-{uuid4()}"
        self.plugin = RecordingPlugin()
        self.debounce = DebounceActivities(client, self.queue)

    @property
    def outside(self) -> Outside:
        """What the runs told beyond their plugins."""
        return self.plugin.outside

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        """Workers as the product builds them, but for the activities."""
        async with self.calling(), self.workflows():
            yield

    def workflows(self, *others: Callable[..., Any]) -> Worker:
        """A worker for runs and their calls of plugins; `others`: activities beside these."""
        return Worker(
            self.client,
            task_queue=self.queue,
            workflows=[TaskRun],
            activities=[
                self.plugin.execute_plugin,
                self.debounce.debounce_event,
                *self.outside.activities(),
                *others,
            ],
            workflow_runner=workflow_runner(),
            max_concurrent_activities=500,
            max_heartbeat_throttle_interval=timedelta(seconds=0.3),  # a cancellation comes soon
        )

    def debouncing(self) -> Worker:
        """A worker for `Debounce` workflows only, as the product builds it."""
        return new_worker(
            self.client,
            task_queue=recovery_queue(self.queue),
            workflows=[Debounce],
            activities=[self.debounce.tell_superseded],
        )

    def calling(self, *others: Callable[..., Any]) -> Worker:
        """A worker for what runs have done beside calls of plugins."""
        return Worker(
            self.client,
            task_queue=plugin_queue(self.queue),
            activities=[self.debounce.debounce_event, *self.outside.activities(), *others],
            max_concurrent_activities=500,
        )

    def script(self, *steps: Step, lines: str = "", **fields: Any) -> Task:
        """A task of its own id whose plugin does these steps."""
        task = task_of(lines, **{"task_id": f"t-{uuid4()}"} | fields)
        self.plugin.scripts[task.task_id] = list(steps)
        return task

    async def start(
        self, task: Task, manual: ManualFire | None = None, *, short: bool = False, **options: Any
    ) -> Handle:
        """Start a run by hand, for now or as `manual` says; `options` are `start_workflow`'s."""
        fire = manual or ManualFire(at=datetime.now(UTC))
        handle = await self.client.start_workflow(
            TASK_RUN,
            TaskRunInput(task=task, manual=fire, short=short),
            id=manual_run_id(task.tenant_id, task.task_id, "1"),
            task_queue=self.queue,
            result_type=TaskRunResult,
            **options,
        )
        return handle  # noqa: RET504 - the SDK does not type a workflow that is named by string

    async def receive(
        self,
        task: Task,
        event_id: str = "1",
        *,
        at: datetime | None = None,
        debounce: timedelta | None = None,
    ) -> Handle:
        """Start the run of an event of the task's first rule, received now or at `at`."""
        event: dict[str, JsonValue] = {
            "specversion": "1.0",
            "id": event_id,
            "source": "/shop",
            "type": "order.created",
            "data": {"amount": 101},
        }
        fire = EventFire(at=at or datetime.now(UTC), event=event, debounce=debounce)
        return await self.client.start_workflow(
            TASK_RUN,
            TaskRunInput(task=task, event=fire),
            id=event_run_id(task.tenant_id, task.task_id, "/shop", event_id),
            task_queue=self.queue,
            result_type=TaskRunResult,
        )

    async def start_held(self, task: Task) -> Handle:
        """Start a run that a person holds from the first moment."""
        return await self.start(task, start_signal=PAUSE, start_signal_args=[asked_to_hold()])

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


def on_event(task: Task) -> Task:
    """The same task, run by events of one type."""
    return task.model_copy(update={"triggers": [EventTrigger(event="order.created")]})


def asked_to_hold() -> PauseInput:
    """The argument of the signal `pause`."""
    return PauseInput(by="ann", at=datetime.now(UTC), reason="the shop is closed")


async def shows(handle: Handle, **wanted: Any) -> None:
    """Return when the run's search attributes are these; None: has none."""

    async def so() -> bool:
        found = await attributes_of(handle)
        return {name: found.get(name) for name in wanted} == wanted

    await eventually_async(so)


async def event_types(handle: Handle) -> list[str]:
    """What happened in the run's history, in Temporal's words without their prefix."""
    history = await handle.fetch_history()
    return [
        EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in history.events
    ]


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
