"""Holding runs that are under way, and whole tenants: pause and resume beyond one task's fires."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from temporalio.client import (
    Client,
    ScheduleDescription,
    WorkflowExecutionStatus,
    WorkflowHandle,
)
from temporalio.service import RPCError

from domain.attributes import PAUSE, RESUME, TASK_RUN
from domain.ids import parse_run_id, registry_id, schedule_id
from domain.registry import SetPaused, shard_of
from domain.run import PauseInput
from shared.calls import at_once, is_missing
from shared.errors import NotFound, Refused
from shared.registry import Key
from starter import control
from starter.registry import listed
from starter.rpc import temporal_errors

LAG_SECONDS = 1.0
"""After so long Temporal's list of runs has those that had just started."""
MOST_REASON = 1000

Run = WorkflowHandle[object, object]
Signal = Callable[[Run], Awaitable[None]]
Confirm = Callable[[list[str]], bool]
"""Whether to go on, with these tasks."""


@dataclass(frozen=True, slots=True)
class Held:
    """What was paused or resumed: tasks by name, runs by id, both in order.

    `recreated`: tasks whose schedules Temporal had dropped.
    """

    tasks: list[str]
    runs: list[str]
    recreated: list[str]


async def pause_runs(
    client: Client, tenant_id: str, task_id: str | None, *, who: str, reason: str
) -> list[str]:
    """Hold the open runs of a task, None: of all tasks of the tenant. Gives back their ids.

    Each holds at its next safe point. Pause the task first: what it starts later is not held.
    """
    return await _signal_open(client, tenant_id, task_id, _pausing(who, reason))


async def resume_runs(client: Client, tenant_id: str, task_id: str | None) -> list[str]:
    """Let them go on; those that nobody held do so anyway."""
    return await _signal_open(client, tenant_id, task_id, _resume)


async def pause_run(
    client: Client, tenant_id: str | None, run_id: str, *, who: str, reason: str
) -> None:
    """Hold one run at its next safe point; asked again, it renews who, when and why.

    Errors: `NotFound` for a run that is not this tenant's, `Refused` for one that has ended.
    """
    await _signal_one(client, tenant_id, run_id, _pausing(who, reason))


async def resume_run(client: Client, tenant_id: str | None, run_id: str) -> None:
    """Let one run go on. Errors: as of `pause_run`."""
    await _signal_one(client, tenant_id, run_id, _resume)


async def pause_all(
    client: Client,
    tenant_id: str,
    *,
    who: str,
    reason: str,
    running: bool = False,
    confirm: Confirm | None = None,
) -> Held:
    """No more fires of any task of the tenant; `running` also holds its open runs.

    A task that was paused before keeps its note. Errors: `NotFound` when there is nothing to pause,
    `Refused` when `confirm` says no.
    """
    tasks = await _tasks(client, tenant_id, confirm)
    at = datetime.now(UTC)
    note = _note("paused", who, at, reason)
    found = await _described(client, [(tenant_id, name) for name in tasks])
    fresh = [key for key, description in found.items() if not _is_paused_by_us(description)]

    async def pause(key: Key) -> None:
        with _gone_is_fine():
            await client.get_schedule_handle(schedule_id(*key)).pause(note=note)

    with temporal_errors():
        # The registries first: no fire is then expected that the pause keeps from happening.
        await _tell_registries(client, tenant_id, fresh, paused=True, at=at, note=note)
        await at_once(fresh, pause)
    runs = await pause_runs(client, tenant_id, None, who=who, reason=reason) if running else []
    return _held(tenant_id, found, runs, [])


async def resume_all(
    client: Client,
    tenant_id: str,
    *,
    who: str,
    running: bool = False,
    confirm: Confirm | None = None,
) -> Held:
    """All tasks of the tenant fire again, whoever paused them; `running`: its runs go on too.

    Errors: as of `pause_all`.
    """
    tasks = await _tasks(client, tenant_id, confirm)
    at = datetime.now(UTC)
    note = _note("resumed", who, at, "")
    found = await _described(client, [(tenant_id, name) for name in tasks])
    # All are told: a command that was killed may have woken a schedule and told no registry.
    waking = [key for key, description in found.items() if description.schedule.state.paused]
    recreated: list[str] = []

    async def unpause(key: Key) -> None:
        with _gone_is_fine():
            await client.get_schedule_handle(schedule_id(*key)).unpause(note=note)

    async def look_again(key: Key) -> None:
        try:
            await client.get_schedule_handle(schedule_id(*key)).describe()
        except RPCError as error:
            if not is_missing(error):
                raise
            if await control.recreate(client, found[key], note):
                recreated.append(key[1])

    with temporal_errors():
        await at_once(waking, unpause)
        await _tell_registries(client, tenant_id, list(found), paused=False, at=at, note="")
        if waking:
            await asyncio.sleep(control.SETTLE_SECONDS)
        await at_once(waking, look_again)
    runs = await resume_runs(client, tenant_id, None) if running else []
    return _held(tenant_id, found, runs, recreated)


def _held(
    tenant_id: str, tasks: dict[Key, ScheduleDescription], runs: list[str], recreated: list[str]
) -> Held:
    if not tasks and not runs:
        raise NotFound(
            f"tenant {tenant_id!r} has no tasks: `taskflow list` shows what is registered"
        )
    return Held(sorted(key[1] for key in tasks), runs, sorted(recreated))


async def _tasks(client: Client, tenant_id: str, confirm: Confirm | None) -> list[str]:
    tasks = sorted(task_id for _, task_id in await listed(client, [tenant_id]))
    if confirm and tasks and not confirm(tasks):
        raise Refused("nothing was changed")
    return tasks


async def _described(client: Client, keys: list[Key]) -> dict[Key, ScheduleDescription]:
    """Those that there are: a list may lag behind a deletion, and behind a pause."""
    found: dict[Key, ScheduleDescription] = {}

    async def describe(key: Key) -> None:
        with _gone_is_fine():
            found[key] = await client.get_schedule_handle(schedule_id(*key)).describe()

    with temporal_errors():
        await at_once(keys, describe)
    return found


def _is_paused_by_us(description: ScheduleDescription) -> bool:
    """Paused in Temporal by somebody else it is not: the registry does not know of that."""
    state = description.schedule.state
    return state.paused and (state.note or "").startswith("paused by ")


async def _tell_registries(
    client: Client, tenant_id: str, keys: list[Key], *, paused: bool, at: datetime, note: str
) -> None:
    """One signal for each registry that has some of the tasks. Errors: `RPCError`."""
    parts: defaultdict[str, list[str]] = defaultdict(list)
    for _, task_id in keys:
        parts[registry_id(tenant_id, shard_of(task_id))].append(task_id)

    async def signal(part: tuple[str, list[str]]) -> None:
        batch = SetPaused(at=at, task_ids=part[1], paused=paused, note=note)
        with _gone_is_fine():
            await client.get_workflow_handle(part[0]).signal("set_paused", batch)

    await at_once(list(parts.items()), signal)


@contextlib.contextmanager
def _gone_is_fine() -> Iterator[None]:
    """What ended or was deleted meanwhile needs nothing done to it."""
    try:
        yield
    except RPCError as error:
        if not is_missing(error):
            raise


def _note(done: str, who: str, at: datetime, reason: str) -> str:
    text = f"{done} by {who} at {at:%Y-%m-%d %H:%M:%S} UTC" + (f": {reason}" if reason else "")
    return text[:MOST_REASON]


def _pausing(who: str, reason: str) -> Signal:
    asked = PauseInput(by=who, at=datetime.now(UTC), reason=reason[:MOST_REASON])

    async def pause(run: Run) -> None:
        await run.signal(PAUSE, asked)

    return pause


async def _resume(run: Run) -> None:
    await run.signal(RESUME)


async def _signal_open(
    client: Client, tenant_id: str, task_id: str | None, signal: Signal
) -> list[str]:
    """Signal what Temporal lists as open, twice: its list lags behind what starts."""
    query = f"WorkflowType = '{TASK_RUN}' AND TenantId = '{tenant_id}'"
    query += f" AND TaskId = '{task_id}'" if task_id else ""
    query += " AND ExecutionStatus = 'Running'"
    seen: set[str] = set()
    reached: list[str] = []

    async def tell(run_id: str) -> None:
        with _gone_is_fine():
            await signal(client.get_workflow_handle(run_id))
            reached.append(run_id)

    with temporal_errors():
        for delay in (0.0, LAG_SECONDS):
            await asyncio.sleep(delay)
            new = {
                execution.id
                async for execution in client.list_workflows(query, page_size=1000)
                if execution.id not in seen and parse_run_id(execution.id)
            }
            seen |= new
            await at_once(sorted(new), tell)
    return sorted(reached)


async def _signal_one(client: Client, tenant_id: str | None, run_id: str, signal: Signal) -> None:
    missing = f"there is no run {run_id!r}: `taskflow runs` shows their ids"
    parsed = parse_run_id(run_id)
    if parsed is None or (tenant_id and parsed.tenant_id != tenant_id):
        raise NotFound(missing)
    run: Run = client.get_workflow_handle(run_id)
    with temporal_errors(missing=missing):
        description = await run.describe()
        if description.status is WorkflowExecutionStatus.RUNNING:
            try:
                await signal(run)
            except RPCError as error:
                if not is_missing(error):
                    raise
                description = await run.describe()  # it has just ended
            else:
                return
    state = description.status.name.lower() if description.status else "closed"
    raise Refused(f"the run {run_id} has ended already ({state})")
