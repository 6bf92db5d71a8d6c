"""`python -m benchmarks.memory [--tasks N] [--runs N] [--json]`: what a task and a run keep.

Server, worker and sandbox are processes of their own. So many tasks are registered as `taskflow
apply` does it, and the watch looks at them; then so many runs are open at once, whose plugin has
accepted the work and does not say more. What the processes hold more after each is told for one
task and one run. A tenth of each is there before: what a process takes for its first few is not
what it takes for one more.

`--json` prints one document: `{"tasks", "runs", "idle_mb", "per_task_kb", "per_run_kb"}`; the last
three by process. The server is written in Go, which collects garbage when it sees fit: its figures
differ by a third from one time to the next.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from temporalio.client import Client

from benchmarks.cpu import resident_kb
from benchmarks.tables import Table
from domain.attributes import WATCH
from domain.document import Document
from domain.ids import WATCH_SCHEDULE_ID
from domain.registration import read_registration
from sandbox.client import SandboxClient
from shared.calls import at_once
from shared.errors import TaskflowError
from shared.leave import leave
from shared.log import configure
from shared.policy import load_policy
from shared.settings import get_settings
from starter.control import trigger
from starter.dev.options import DevOptions
from starter.dev.stack import DevStack, dev_stack
from starter.registry import carry_out, make_plan

TASKS, RUNS = 500, 800
"""Fewer runs than the thousand that a worker keeps in memory: more would cost it nothing."""
FIRST = 10
"""The part of each that is there before it is measured."""
TENANTS = 10
TENANT, PLUGIN = "tenant-0", "accepts"
PROCESSES = ("temporal", "worker")
WITHIN, LOOK, REST = 180.0, 1.0, 3.0


async def measure(tasks: int, runs: int) -> dict[str, Any]:
    """Everything of the document."""
    with tempfile.TemporaryDirectory(prefix="taskflow-bench-") as folder:
        options = DevOptions(
            port=0,
            sandbox_port=0,
            headless=True,
            db=Path(folder) / "temporal.db",
            state_dir=Path(folder) / "state",
            parts=("temporal", "sandbox", "worker"),
        )
        async with dev_stack(options) as stack:
            return await _measure(stack, tasks, runs)


async def _measure(stack: DevStack, tasks: int, runs: int) -> dict[str, Any]:
    client = await stack.connect()
    if stack.sandbox_url is None:
        raise TaskflowError("the sandbox was not started")
    pids = {name: stack.tree.pid(name) for name in PROCESSES}
    idle = resident_kb(pids)
    await _register(client, 0, tasks // FIRST)
    before = resident_kb(pids)
    await _register(client, tasks // FIRST, tasks)
    registered = resident_kb(pids)
    async with SandboxClient(stack.sandbox_url) as sandbox:
        await sandbox.configure(PLUGIN, script=["accept"])
        await _open(client, sandbox, runs // FIRST, runs // FIRST)
        few = resident_kb(pids)
        await _open(client, sandbox, runs - runs // FIRST, runs)
        many = resident_kb(pids)
    return {
        "tasks": tasks,
        "runs": runs,
        "idle_mb": {name: round(value / 1024) for name, value in idle.items()},
        "per_task_kb": _each(registered, before, tasks - tasks // FIRST),
        "per_run_kb": _each(many, few, runs - runs // FIRST),
    }


async def _register(client: Client, first: int, last: int) -> None:
    """Tasks that do not fire meanwhile; the watch has looked at them when this returns."""
    said = [
        {
            "tenant_id": f"tenant-{number % TENANTS}",
            "task_id": f"task-{number}",
            "plugin_id": PLUGIN,
            "triggers": [{"at": "2099-01-01T00:00:00Z"}],
            "timeout": "1h",
            "heartbeat_timeout": "1h",
            "overlap": "allow",
        }
        for number in range(first, last)
    ]
    settings = get_settings()
    registration = read_registration(Document({"tasks": said}), load_policy(settings.policy_file))
    plan = await make_plan(client, registration, task_queue=settings.task_queue)
    await carry_out(client, plan)
    await _looked(client)


async def _looked(client: Client) -> None:
    """Return when a look of the watch that began after this has ended."""
    query = (
        f"WorkflowType = '{WATCH}' AND ExecutionStatus = 'Completed' "
        f"AND StartTime > '{datetime.now(UTC).isoformat()}'"
    )
    await client.get_schedule_handle(WATCH_SCHEDULE_ID).trigger()

    async def done() -> bool:
        return (await client.count_workflows(query)).count > 0

    await _until(done, "the watch has not looked")


async def _open(client: Client, sandbox: SandboxClient, more: int, all_runs: int) -> None:
    """So many runs more, after which all of them have been accepted by their plugin."""

    async def start(_: int) -> None:
        await trigger(client, TENANT, "task-0")

    await at_once(range(more), start)

    async def accepted() -> bool:
        outcomes = Counter(delivery.outcome for delivery in await sandbox.deliveries())
        return outcomes["accept"] >= all_runs

    await _until(accepted, f"the plugin was not called for all of {all_runs} runs")


async def _until(done: Callable[[], Awaitable[bool]], lacking: str) -> None:
    end = time.monotonic() + WITHIN
    while not await done():
        if time.monotonic() > end:
            raise TaskflowError(f"{lacking} within {WITHIN:g} s")
        await asyncio.sleep(LOOK)
    await asyncio.sleep(REST)


def _each(after: Mapping[str, int], before: Mapping[str, int], count: int) -> dict[str, float]:
    return {name: round((after[name] - before[name]) / count, 1) for name in after}


def table(found: Mapping[str, Any]) -> Table:
    """The document for people."""
    rows = [
        ("with nothing to do, MB", found["idle_mb"]),
        ("each registered task, kB", found["per_task_kb"]),
        ("each running run, kB", found["per_run_kb"]),
    ]
    return Table(
        "memory",
        f"Memory, of {found['tasks']} tasks and {found['runs']} runs at once",
        ("what holds it", *PROCESSES),
        [(title, *(f"{values[name]:,}" for name in PROCESSES)) for title, values in rows],
        (
            "Resident memory. A worker keeps the thousand runs that moved last in its memory; any",
            "other is read from its history when it goes on.",
        ),
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory")
    parser.add_argument("--tasks", type=int, default=TASKS)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    configure(get_settings(), quiet=True)
    try:
        found = asyncio.run(measure(given.tasks, given.runs))
    except TaskflowError as error:
        sys.stderr.write(f"benchmarks.memory: {error}\n")
        return 1
    if given.json:
        sys.stdout.write(f"{json.dumps(found, indent=2)}\n")
    else:
        table(found).show(Console())
    return 0


if __name__ == "__main__":
    leave(main())
