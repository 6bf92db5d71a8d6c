"""One kill -9 of a worker that meets runs at every step of their way.

Most runs are made to stay at their step: their plugin hangs, a service is slow or down. Two steps
are moments. So there are rounds: each brings new runs to those steps, the worker is frozen at the
rarest moment, and is killed only if what is then seen is all that was wanted; else it goes on and
the runs of that round simply end.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowExecutionStatus

from domain.executions import ExecutionReport, compensation_key
from domain.ids import delivery_id, notice_id
from domain.task import Task
from sandbox.client import Delivery
from starter.executions import report
from tests.killed.clock import register
from tests.killed.stack import DOWN, DOWN_TENANT, SECRET, Stack
from tests.starter.harness import eventually_async
from tests.workflows.harness import Handle, attributes_of

SLA = {
    "start_within": "1m",
    "finish_within": "1s",
    "warn_at": 0.9,
    "on_breach": "notify",
    "severity": "high",
    "while_paused": "runs",
}
ROUNDS = 8
_CALLED_WITHIN = 10.0
"""Seconds after which a worker that stands still has not called its plugin, and will not."""
CAPACITY_TAKES = 2.0
"""Seconds that a reservation takes, and giving it back, in the first round."""
SLOWER = 1.3
"""How much longer all takes in each further round: this machine may be busy."""
BACK_OFF = {
    "max_attempts": 12,
    "initial_interval": "12s",
    "backoff": 1,
    "max_interval": "12s",
    "non_retryable": [],
}


@dataclass(slots=True)
class Scene:
    """What was started for each step, and what the kill met there, in words."""

    stack: Stack
    met: dict[str, str] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    """The run that was met at a step."""
    rounds: int = 0
    healed_at: datetime | None = None
    """When the other worker was there."""

    async def play(self) -> None:
        """From nothing to a killed worker, and another one that works."""
        stack, sandbox = self.stack, self.stack.sandbox
        await sandbox.configure_notifications(script=["hang", "ok"])
        await sandbox.configure_sink(DOWN, secret=SECRET, script=["503"])
        [worker] = await stack.staffed(1)
        await register(stack)
        await self._hold()
        while not await self._round():
            assert self.rounds < ROUNDS, f"met only {self.met}"
        await self._meet_new_runs()
        worker.kill()
        await sandbox.configure_capacity()
        await sandbox.configure_notifications()
        await sandbox.configure_sink(DOWN, secret=SECRET)
        await self._report()
        await stack.staffed(1)
        self.healed_at = datetime.now(UTC)

    async def _hold(self) -> None:
        """Runs that stay where they are for as long as need be."""
        sandbox = self.stack.sandbox
        for name in ("queued", "call"):
            await sandbox.configure(name, script=["hang", "ok"])
        await sandbox.configure("accepted", script=["accept-later"])
        await sandbox.configure("compensated", script=["reject:BROKEN"])
        await sandbox.configure("undo", script=["hang", "ok"])
        await sandbox.configure("notified", latency=1.5)
        await self._pair("queued")
        await self._pair("call", sla=SLA, work_order="both")
        await self._pair("accepted", heartbeat_timeout="60s")
        undo = {"plugin_id": "undo", "params": {"action": "rollback"}}
        await self._pair("compensated", compensation=undo, work_order="on_failure")
        await self._pair("notified", sla=SLA, work_order="both")
        await self._pair(DOWN_TENANT)
        for name, there in {
            "queued": self._second_is_queued,
            "call": self._call_is_open,
            "accepted": self._was_accepted,
            "compensated": self._is_compensating,
            "notified": self._is_notifying,
            DOWN_TENANT: self._is_delivering,
        }.items():
            await eventually_async(there, within=60)
            self.met[name] = (there.__doc__ or "").removesuffix(".")

    async def _pair(self, name: str, key: str = "1", **fields: Any) -> list[Handle]:
        """A run of each of two tasks of one mutex group; the second waits for the first."""
        fields = {"mutex": ["m"], "resources": {"gpu": 1}} | fields
        first, second = self._tasks(name, fields)
        handle = await self.stack.go(first, key)
        self.runs[name] = handle.id
        return [handle, await self.stack.go(second, key)]

    def _tasks(self, name: str, fields: dict[str, Any]) -> tuple[Task, Task]:
        plain = {key: value for key, value in fields.items() if key in ("mutex", "resources")}
        return (
            self.stack.task(name, "first", name, **fields),
            self.stack.task(name, "second", "well", **plain),
        )

    async def _round(self) -> bool:
        """Bring runs to the steps that pass; whether the worker is frozen with all of them."""
        sandbox, key = self.stack.sandbox, str(self.rounds)
        takes = CAPACITY_TAKES * SLOWER**self.rounds
        self.rounds += 1
        await sandbox.configure_capacity(latency=takes)
        await sandbox.configure("backing-off", script=["fail:BROKEN", "ok"])
        await sandbox.configure("effect", latency=takes * 0.6)
        group = {"mutex": [f"m{key}"]}
        settling, _ = await self._pair("settled", key, **group)
        backing_off, _ = await self._pair("backing-off", key, retry=BACK_OFF, resources={}, **group)
        await asyncio.sleep(takes * 0.6)
        admitted = [
            (await self._pair("reserved", f"{key}-{n}", mutex=[f"m{key}-{n}"]))[0] for n in range(3)
        ]
        await asyncio.sleep(takes * 0.6)
        reserving, _ = await self._pair("granted", key, **group)
        effected, _ = await self._pair("effect", key, resources={}, **group)
        [worker] = self.stack.alive()

        async def between() -> bool:
            return await any_of(self._is_reserved(handle) for handle in admitted)

        if not await worker.caught(between):
            return False
        self.met["reserved"] = "capacity is reserved, and the plugin was not called"
        [self.runs["reserved"], *_] = [
            handle.id for handle in admitted if await self._is_reserved(handle)
        ]
        wanted: dict[str, tuple[str, Callable[[], Awaitable[bool]]]] = {
            "settled": ("the plugin is done, capacity is not", lambda: self._settles(settling)),
            "backing-off": ("the next attempt has its time", lambda: self._backs_off(backing_off)),
            "granted": ("capacity was asked for, no answer", lambda: self._reserves(reserving)),
            "effect": ("it is done, and nobody knows", lambda: self._has_effect(effected)),
        }
        for name, (words, there) in wanted.items():
            if not await there():
                worker.thaw()
                return False
            self.met[name] = words
        return True

    async def _meet_new_runs(self) -> None:
        """Runs that are created while the worker can do nothing for them."""
        await self._pair("created")
        self.met["created"] = "the run exists"

    async def _report(self) -> None:
        """What was accepted is done, and told while no worker lives."""
        [found] = await self._deliveries("accepted")
        await self.stack.sandbox.effect(found.key)
        said = ExecutionReport(
            run_id=found.key,
            attempt=found.attempt,
            nonce=found.nonce or "",
            sequence=1,
            status="SUCCESS",
        )
        await report(self.stack.client, found.tenant_id, said)

    async def _second_is_queued(self) -> bool:
        """The second of a group waits for the first."""
        handle = self.stack.client.get_workflow_handle("run/queued/second/manual/1")
        return (await attributes_of(handle)).get("TaskStatus") == "QUEUED"

    async def _call_is_open(self) -> bool:
        """The plugin works."""
        return any(found.ended_at is None for found in await self._deliveries("call"))

    async def _was_accepted(self) -> bool:
        """The plugin has said that it will report."""
        return any(found.ended_at for found in await self._deliveries("accepted"))

    async def _is_compensating(self) -> bool:
        """What undoes the run is being called."""
        found = await self.stack.sandbox.deliveries(plugin_id="undo")
        return any(one.ended_at is None for one in found)

    async def _is_notifying(self) -> bool:
        """The notification service has the breach and does not answer."""
        if not await self._is_executed("notified"):
            return False
        asked = {line["breach_id"] for line in self.stack.lines() if "breach_id" in line}
        breach = "run/notified/first/manual/1/finish"
        return breach in asked and await self._is_open(notice_id(breach))

    async def _is_delivering(self) -> bool:
        """The sink is down, and its events are owed to it."""
        if not await self._is_executed(DOWN_TENANT):
            return False
        return await self._is_open(delivery_id(f"run/{DOWN_TENANT}/first/manual/1"))

    async def _is_executed(self, name: str) -> bool:
        """Its plugin has answered and Temporal knows: a kill does not call it again."""
        handle = self.stack.client.get_workflow_handle(self.runs[name])
        return "execute_plugin" in (await steps_of(handle)).done

    async def _is_open(self, workflow_id: str) -> bool:
        query = f"WorkflowId = '{workflow_id}'"
        found = [one async for one in self.stack.client.list_workflows(query)]
        return any(one.status is WorkflowExecutionStatus.RUNNING for one in found)

    async def _is_reserved(self, handle: Handle) -> bool:
        steps = await steps_of(handle)
        return "reserve_capacity" in steps.done and not await self._was_called(handle)

    async def _reserves(self, handle: Handle) -> bool:
        steps = await steps_of(handle)
        return "reserve_capacity" in steps.begun - steps.done

    async def _settles(self, handle: Handle) -> bool:
        steps = await steps_of(handle)
        return "release_capacity" in steps.begun - steps.done

    async def _backs_off(self, handle: Handle) -> bool:
        steps = await steps_of(handle)
        state = (await attributes_of(handle)).get("TaskStatus")
        return state == "RETRYING" and "execute_plugin" in steps.failed

    async def _has_effect(self, handle: Handle) -> bool:
        """The worker is frozen: it cannot hear of it, but it may not have called at all yet."""
        end = time.monotonic() + _CALLED_WITHIN
        while not any(one.effect for one in await self.stack.sandbox.deliveries(key=handle.id)):
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0.1)
        return "execute_plugin" not in (await steps_of(handle)).done

    async def _was_called(self, handle: Handle) -> bool:
        return bool(await self.stack.sandbox.deliveries(key=handle.id))

    async def _deliveries(self, name: str) -> list[Delivery]:
        return await self.stack.sandbox.deliveries(plugin_id=name)

    async def deliveries_of(self, name: str) -> list[Delivery]:
        """All calls about the run that was met at a step."""
        keys = {self.runs[name], compensation_key(self.runs[name])}
        return [one for one in await self.stack.sandbox.deliveries() if one.key in keys]


@dataclass(frozen=True, slots=True)
class Steps:
    """Activities of a run by name: which were begun, which are over, which failed."""

    begun: set[str]
    done: set[str]
    failed: set[str]


async def steps_of(handle: Handle) -> Steps:
    """What the run's history says of its activities."""
    names: dict[int, str] = {}
    steps = Steps(set(), set(), set())
    for event in (await handle.fetch_history()).events:
        _note(steps, names, event)
    return steps


def _note(steps: Steps, names: dict[int, str], event: HistoryEvent) -> None:
    match event.event_type:
        case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            scheduled = event.activity_task_scheduled_event_attributes
            names[event.event_id] = scheduled.activity_type.name
            steps.begun.add(scheduled.activity_type.name)
        case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            completed = event.activity_task_completed_event_attributes
            steps.done.add(names[completed.scheduled_event_id])
        case EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED:
            failed = event.activity_task_failed_event_attributes
            steps.failed.add(names[failed.scheduled_event_id])
        case _:
            pass


async def any_of(answers: Iterable[Awaitable[bool]]) -> bool:
    """Whether one of them is true; all are awaited together."""
    return any(await asyncio.gather(*answers))
