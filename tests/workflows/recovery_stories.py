"""Stories of runs that recover, or do not: recorded for replays, and played for their moves."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from domain.attributes import RESUME
from domain.states import RunState
from tests.admission.harness import Governed
from tests.workflows.harness import (
    Handle,
    asked_to_hold,
    circuit_open,
    ended,
    fail,
    shows,
    stay_open,
    succeed,
    take,
)

QUICK = "retry: {max_attempts: 2, initial_interval: 100ms, max_interval: 100ms}\n"
ONCE = "retry: {max_attempts: 1}\nheartbeat_timeout: 1s\n"
UNDO = f"{ONCE}compensation: {{plugin_id: undo, params: {{action: rollback}}}}\n"
SLA = f"{ONCE}sla: {{start_within: 1s, finish_within: 2s, warn_at: 0.5}}\n"


async def _cancel_when_called(governed: Governed, handle: Handle, task_id: str) -> Handle:
    await governed.plugin.called(task_id)
    await handle.cancel()
    return handle


async def _retried_by_itself(governed: Governed) -> Handle:
    """Counts its attempts itself, and waits between them by a timer of its own."""
    steps = fail("BUSY"), stay_open(heartbeats=False), succeed({"rows": 7})
    lines = "retry: {max_attempts: 3, initial_interval: 100ms}\nheartbeat_timeout: 1s"
    return await governed.start(
        governed.script(*steps, lines=lines, task_id="retried-by-itself", tenant_id="recovers")
    )


async def _long_back_off(governed: Governed) -> Handle:
    """Gives its mutex back for half a minute, and asks for it again."""
    task = governed.script(
        fail("BUSY", retry_after=timedelta(seconds=30)),
        succeed(),
        task_id="long-back-off",
        tenant_id="long-back-off",
        mutex=["m"],
    )
    handle = await governed.start(task)
    await shows(handle, TaskStatus="RETRYING")
    await asyncio.sleep(31)
    return handle


async def _circuit_open(governed: Governed) -> Handle:
    """Waits for a circuit, once as a first attempt and once as a second, and goes."""
    steps = circuit_open(), fail("BUSY"), circuit_open(), succeed()
    return await governed.start(
        governed.script(*steps, lines=QUICK, task_id="circuit-open", tenant_id="recovers")
    )


async def _compensated(governed: Governed) -> Handle:
    """Fails, and is undone at the second try."""
    steps = fail("BROKEN", retryable=False), fail("BUSY"), succeed("undone")
    lines = f"{QUICK}compensation: {{plugin_id: undo}}"
    return await governed.start(
        governed.script(*steps, lines=lines, task_id="compensated", tenant_id="recovers")
    )


async def _compensation_failed(governed: Governed) -> Handle:
    """Fails, and so does its compensation; a work order is opened for it."""
    steps = fail("BUSY"), fail("NO_UNDO")
    task = governed.script(
        *steps,
        lines=UNDO,
        task_id="compensation-failed",
        tenant_id="recovers",
        work_order="on_failure",
    )
    return await governed.start(task)


async def _cancelled_and_told(governed: Governed) -> Handle:
    """Is cancelled while its plugin works, which is told."""
    task = governed.script(
        stay_open(heartbeats=True), lines=ONCE, task_id="cancelled-and-told", tenant_id="recovers"
    )
    return await _cancel_when_called(governed, await governed.start(task), task.task_id)


async def _cancelled_and_compensated(governed: Governed) -> Handle:
    """Is cancelled while its plugin works, and what it did is undone."""
    steps = stay_open(heartbeats=True), succeed("undone")
    task = governed.script(
        *steps, lines=UNDO, task_id="cancelled-and-compensated", tenant_id="recovers"
    )
    return await _cancel_when_called(governed, await governed.start(task), task.task_id)


async def _sla_warned_and_breached(governed: Governed) -> Handle:
    """Works for longer than its SLA allows."""
    return await governed.start(
        governed.script(
            take(2.5), lines=SLA, task_id="sla-warned-and-breached", tenant_id="recovers"
        )
    )


async def _sla_cancelled(governed: Governed) -> Handle:
    """Is cancelled by its own SLA, and undone."""
    task = governed.script(
        *(stay_open(heartbeats=True), succeed("undone")),
        lines=UNDO,
        task_id="sla-cancelled",
        tenant_id="recovers",
        sla={"start_within": "1s", "finish_within": "2s", "on_breach": "cancel"},
    )
    return await governed.start(task)


async def _paused(governed: Governed) -> Handle:
    """Is held before its admission, and once more between its attempts."""
    task = governed.script(
        *(fail("BUSY"), succeed()),
        task_id="paused",
        tenant_id="paused",
        mutex=["m"],
        retry={"max_attempts": 2, "initial_interval": "3s"},
        sla={"start_within": "1m", "finish_within": "1h", "while_paused": "stops"},
    )
    handle = await governed.start_held(task)
    await shows(handle, WaitsFor="paused")
    await handle.signal(RESUME)
    await shows(handle, TaskStatus="RETRYING")
    await handle.signal("pause", asked_to_hold())
    await shows(handle, WaitsFor="paused")
    await handle.signal(RESUME)
    return handle


async def _short(governed: Governed) -> Handle:
    """One call within its first workflow task."""
    task = governed.script(succeed(), task_id="short", tenant_id="recovers", timeout="5s")
    return await governed.start(task, short=True)


async def _short_then_retried(governed: Governed) -> Handle:
    """Its short call fails, the next one is an ordinary one."""
    steps = fail("BUSY"), succeed()
    task = governed.script(
        *steps, lines=QUICK, task_id="short-then-retried", tenant_id="recovers", timeout="5s"
    )
    return await governed.start(task, short=True)


async def _listened_to(governed: Governed) -> Handle:
    """Somebody hears each of its moves, the long back-off before it begins."""
    governed.outside.listening = True
    task = governed.script(
        *(fail("BUSY", retry_after=timedelta(seconds=6)), succeed()),
        task_id="listened-to",
        tenant_id="recovers",
    )
    handle = await governed.start(task)
    await ended(handle)
    governed.outside.listening = False
    return handle


async def _missed_with_sla(governed: Governed) -> Handle:
    """Never was, and so broke its SLA."""
    task = governed.script(succeed(), lines=SLA, task_id="missed-with-sla", tenant_id="recovers")
    return await governed.start_found(task, RunState.MISSED)


RECOVERY_STORIES: dict[str, Callable[[Governed], Awaitable[Handle]]] = {
    "retried_by_itself": _retried_by_itself,
    "long_back_off": _long_back_off,
    "circuit_open": _circuit_open,
    "compensated": _compensated,
    "compensation_failed": _compensation_failed,
    "cancelled_and_told": _cancelled_and_told,
    "cancelled_and_compensated": _cancelled_and_compensated,
    "sla_warned_and_breached": _sla_warned_and_breached,
    "sla_cancelled": _sla_cancelled,
    "paused": _paused,
    "short": _short,
    "short_then_retried": _short_then_retried,
    "listened_to": _listened_to,
    "missed_with_sla": _missed_with_sla,
}
