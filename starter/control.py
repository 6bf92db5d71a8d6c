"""Acting on one task or run: pause, resume, trigger, cancel, delete."""

import asyncio
import secrets
from datetime import UTC, datetime

from pydantic import JsonValue
from temporalio.client import (
    Client,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleDescription,
    ScheduleHandle,
    WorkflowExecutionStatus,
)
from temporalio.service import RPCError

from domain.ids import manual_run_id, parse_run_id, schedule_id
from domain.recovery import is_short
from domain.run import ManualFire, TaskRunInput
from domain.task import Task
from shared import registry
from shared.calls import is_missing
from shared.errors import NotFound, Refused
from shared.schedules import read_request
from starter.rpc import temporal_errors
from starter.starting import start_run

SETTLE_SECONDS = 1.0
"""How long after a resume Temporal may still take to delete a schedule that was idle for long."""


def no_task(tenant_id: str, task_id: str) -> str:
    """The sentence for a task that is not registered."""
    return f"tenant {tenant_id!r} has no task {task_id!r}: `taskflow list` shows what is registered"


async def describe_task(
    client: Client, tenant_id: str, task_id: str
) -> tuple[ScheduleDescription, Task]:
    """A registered task and its schedule. Errors: `NotFound`."""
    description, request = await describe_request(client, tenant_id, task_id)
    return description, request.task


async def describe_request(
    client: Client, tenant_id: str, task_id: str
) -> tuple[ScheduleDescription, TaskRunInput]:
    """A task's schedule, and what it starts runs with. Errors: `NotFound`, `Refused`."""
    with temporal_errors(missing=no_task(tenant_id, task_id)):
        description = await _handle(client, tenant_id, task_id).describe()
        request = await read_request(client, description.schedule)
    if request is None:
        raise Refused(
            f"the schedule {description.id} was not made by this version of taskflow: "
            "apply the task's file again"
        )
    return description, request


async def pause(client: Client, tenant_id: str, task_id: str, *, who: str, reason: str) -> None:
    """No more fires until `resume`; runs under way go on. Pausing twice renews the note."""
    at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    note = f"paused by {who} at {at}" + (f": {reason}" if reason else "")
    handle = _handle(client, tenant_id, task_id)
    with temporal_errors(missing=no_task(tenant_id, task_id)):
        await handle.describe()  # only what exists is remembered as paused
        # The registry first: no fire is then expected that the pause keeps from happening.
        await registry.set_paused(client, (tenant_id, task_id), paused=True, note=note[:1000])
        await handle.pause(note=note[:1000])


async def resume(
    client: Client, tenant_id: str, task_id: str, *, who: str, reason: str = ""
) -> bool:
    """Fire again from now on; fires of the pause are not caught up.

    Resuming a schedule that was idle for more than a week can make Temporal delete it, so this
    looks again and recreates it as it was. Returns whether that was needed.
    """
    description, _ = await describe_task(client, tenant_id, task_id)
    handle = _handle(client, tenant_id, task_id)
    at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    note = (f"resumed by {who} at {at}" + (f": {reason}" if reason else ""))[:1000]
    with temporal_errors(missing=no_task(tenant_id, task_id)):
        await handle.unpause(note=note)
        await registry.set_paused(client, (tenant_id, task_id), paused=False, note="")
        if not description.schedule.state.paused:
            return False
        await asyncio.sleep(SETTLE_SECONDS)
        try:
            await handle.describe()
        except RPCError as error:
            if not is_missing(error):
                raise
        else:
            return False
        return await recreate(client, description, note)


async def recreate(client: Client, lost: ScheduleDescription, note: str) -> bool:
    """Create a schedule again from its last description, running. Returns whether it was gone."""
    schedule = lost.schedule
    schedule.state.paused = False
    schedule.state.note = note
    try:
        await client.create_schedule(
            lost.id, schedule, search_attributes=lost.typed_search_attributes
        )
    except ScheduleAlreadyRunningError:  # somebody else was quicker
        return False
    return True


async def trigger(
    client: Client,
    tenant_id: str,
    task_id: str,
    *,
    payload: JsonValue = None,
    key: str | None = None,
) -> str:
    """Start a run now, beside its schedule, and give back the run's id.

    Every call is a run of its own, unless it carries a `key`: the same key is the same run, for as
    long as Temporal retains it. Works for a paused task too.
    """
    description, request = await describe_request(client, tenant_id, task_id)
    task, action = request.task, description.schedule.action
    if not isinstance(action, ScheduleActionStartWorkflow):
        raise Refused(f"the schedule {description.id} starts no run: apply the task's file again")
    now = datetime.now(UTC)
    run_id = manual_run_id(
        tenant_id, task_id, key or f"{now:%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(3)}"
    )
    with temporal_errors():
        await start_run(
            client,
            TaskRunInput(
                task=task,
                manual=ManualFire(at=now, payload=payload),
                limited=request.limited,
                short=is_short(task),
            ),
            run_id,
            task_queue=action.task_queue,
            priority=action.priority,
        )
    return run_id


async def cancel(client: Client, tenant_id: str | None, run_id: str) -> None:
    """Ask a run to stop; it closes its call and ends CANCELLED.

    Errors: `NotFound` for a run that is not this tenant's, `Refused` for one that has ended.
    """
    missing = f"there is no run {run_id!r}: `taskflow runs` shows their ids"
    parsed = parse_run_id(run_id)
    if parsed is None or (tenant_id and parsed.tenant_id != tenant_id):
        raise NotFound(missing)
    handle = client.get_workflow_handle(run_id)
    with temporal_errors(missing=missing):
        description = await handle.describe()
        if description.status is not WorkflowExecutionStatus.RUNNING:
            state = description.status.name.lower() if description.status else "closed"
            raise Refused(f"the run {run_id} has ended already ({state})")
        await handle.cancel()


async def delete(client: Client, tenant_id: str, task_id: str) -> None:
    """Unregister a task; its runs stay as they are. Errors: `NotFound`."""
    with temporal_errors(missing=no_task(tenant_id, task_id)):
        await registry.forget(client, [(tenant_id, task_id)])
        await _handle(client, tenant_id, task_id).delete()


def _handle(client: Client, tenant_id: str, task_id: str) -> ScheduleHandle:
    return client.get_schedule_handle(schedule_id(tenant_id, task_id))
