"""Runs of every kind that begin all the while, and services that are not at their best."""

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass, field
from typing import Any

from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from domain.ids import manual_run_id
from domain.task import Task
from tests.faults.door import RETRY
from tests.killed.scene import SLA
from tests.killed.stack import Stack

TENANTS = [f"chaos-{n}" for n in range(3)]
SCRIPTS: dict[str, Any] = {
    "works": {"latency": 0.7},
    "flaky": {"script": ["503", "ok"]},
    "loses": {"script": ["drop", "ok"], "latency": 0.2},
    "rejects": {"script": ["reject:BROKEN"]},
    "resets": {"script": ["reset", "truncate", "ok"]},
    "hangs": {"script": ["hang", "ok"]},
}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "held": {"mutex": ["held"], "resources": {"gpu": 1}},
    "undone": {
        "mutex": ["undone"],
        "compensation": {"plugin_id": "undoes", "params": {}},
        "work_order": "on_failure",
    },
    "timely": {"mutex": ["timely"], "sla": SLA, "work_order": "both"},
}
EVERY = 4.0
"""Seconds between turns, each of which has a run of every kind and tenant."""
CANCELLED = 0.1
"""How many of all are cancelled."""


@dataclass(slots=True)
class Work:
    """What begins, drawn from `chance`."""

    stack: Stack
    chance: random.Random
    begun: list[asyncio.Task[None]] = field(default_factory=list)

    async def prepare(self) -> None:
        """The services as they are between faults."""
        sandbox = self.stack.sandbox
        await sandbox.configure("undoes", latency=0.2, script=["drop", "ok"])
        await sandbox.configure_capacity(script=["drop", "ok"], latency=0.1)
        await sandbox.configure_notifications(script=["drop", "503", "ok"], latency=0.2)

    async def go_on(self, seconds: float) -> None:
        """Start runs for so long; each that was to begin has begun when this returns."""
        end = time.monotonic() + seconds
        turn = 0
        while time.monotonic() < end:
            # Of each turn its own plugins: none fails often enough to open its circuit.
            for name, knobs in SCRIPTS.items():
                await self.stack.sandbox.configure(f"{name}-{turn}", **knobs)
            for tenant in TENANTS:
                for kind, fields in KINDS.items():
                    plugin = f"{self.chance.choice(sorted(SCRIPTS))}-{turn}"
                    said = fields | {"retry": RETRY, "timeout": "5s"}
                    # A group is that of a few turns: what waits for it is done in a minute.
                    groups = [f"{group}{turn // 3}" for group in fields.get("mutex", ())]
                    said |= {"mutex": groups}
                    task = self.stack.task(tenant, f"{kind}-{turn}", plugin, **said)
                    cancelled = self.chance.random() < CANCELLED
                    after = self.chance.uniform(0, 4) if cancelled else None
                    self.begun.append(asyncio.create_task(self._begin(task, after)))
            turn += 1
            await asyncio.sleep(EVERY)
        await asyncio.gather(*self.begun)

    async def _begin(self, task: Task, cancelled_after: float | None) -> None:
        await begin(self.stack, task)
        if cancelled_after is not None:
            await asyncio.sleep(cancelled_after)
            run_id = manual_run_id(task.tenant_id, task.task_id, "1")
            with contextlib.suppress(RPCError):  # it has ended, or nobody is there to be told
                await self.stack.client.get_workflow_handle(run_id).cancel()


async def begin(stack: Stack, task: Task) -> None:
    """Start a run, whether Temporal is there or not: asked again it starts no second one."""
    while True:
        try:
            await stack.go(task)
        except WorkflowAlreadyStartedError:
            return
        except RPCError:
            await asyncio.sleep(0.5)
        else:
            return
