"""`python -m benchmarks.growth [--tasks N] [--runs N] [--json]`: what each more of them costs.

Registers a fifth of the tasks, and then all, on a server of its own, and after each waits for the
watch to have seen them: the difference is what one task more costs, free of what the processes
take anyway. Then runs a task so often, plain and governed, and reads what that left in the
database. `--json` prints one document: `{"tasks", "register_per_s", "tick_s", "per_task", "runs",
"per_run"}`. Bytes are those of the embedded server's database, by what they are for.
"""

import argparse
import asyncio
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from temporalio.client import Client

from benchmarks.cpu import cpu_ms
from domain.attributes import WATCH
from domain.document import Document
from domain.registration import read_registration
from shared.calls import at_once
from shared.errors import TaskflowError
from shared.leave import leave
from shared.log import configure
from shared.policy import load_policy
from shared.settings import get_settings
from starter.control import trigger
from starter.dev.options import DevOptions
from starter.dev.stack import dev_stack
from starter.registry import carry_out, make_plan

TASKS, RUNS, TENANTS = 2000, 300, 10
FIRST = 5
"""The part of the tasks that is registered first."""
TICKS = 2
"""Looks of the watch after a registration: the first reads the new tasks, the next only looks."""
LOOK_SECONDS, TICKS_WITHIN = 1.0, 300.0
TENANT = "runs"
PLAIN, GOVERNED = "plain", "governed"
PROCESSES = ("temporal", "worker")
_TABLES = (
    ("visibility", ("visibility", "custom_search_attributes", "chasm_search_attributes")),
    ("history", ("history_",)),
    (
        "state",
        ("executions", "current_executions", "activity", "timer", "request_cancel", "signal"),
    ),
)
"""Tables and their indexes, by what they begin with or hold in their names; the rest are queues."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What the processes and the database take at a moment: bytes by name."""

    memory: dict[str, int]
    database: dict[str, int]

    def since(self, before: "Taken", count: int) -> dict[str, dict[str, float]]:
        """What each of so many took since then, in kB."""
        return {
            "memory_kb": _each(self.memory, before.memory, count),
            "database_kb": _each(self.database, before.database, count),
        }


async def measure(count: int, runs: int) -> dict[str, Any]:
    """Everything of the document."""
    with tempfile.TemporaryDirectory(prefix="taskflow-bench-") as name:
        database = Path(name) / "temporal.db"
        options = DevOptions(
            port=0,
            sandbox_port=0,
            headless=True,
            db=database,
            state_dir=Path(name) / "state",
            parts=("temporal", "sandbox", "worker"),
        )
        async with dev_stack(options) as stack:
            client = await stack.connect()
            pids = {part: stack.tree.pid(part) for part in PROCESSES}
            rates, ticks, taken = [], [], []
            for first, last in ((0, count // FIRST), (count // FIRST, count)):
                rates.append(await _register(client, first, last))
                ticks.append(await _ticked(client))
                taken.append(_taken(pids, database))
            per_run = {}
            for kind in (PLAIN, GOVERNED):
                worker = {"worker": pids["worker"]}
                used = cpu_ms(worker)["worker"]
                per_run[kind] = await _run(client, kind, runs, database)
                used = cpu_ms(worker)["worker"] - used
                per_run[kind]["worker_cpu_ms"] = round(used / runs, 1)
            return {
                "tasks": count,
                "register_per_s": rates,
                "tick_s": ticks,
                "per_task": taken[1].since(taken[0], count - count // FIRST),
                "runs": runs,
                "per_run": per_run,
            }


async def _register(client: Client, first: int, last: int) -> float:
    """Daily tasks, none of which fires while this takes place; how many a second."""
    hour = (datetime.now(UTC).hour + 12) % 24
    said = [
        {
            "tenant_id": f"tenant-{number % TENANTS}",
            "task_id": f"task-{number}",
            "plugin_id": "plugin",
            "triggers": [{"cron": f"{number % 60} {hour} * * *"}],
        }
        for number in range(first, last)
    ]
    began = time.perf_counter()
    await _apply(client, {"tasks": said})
    return round((last - first) / (time.perf_counter() - began), 1)


async def _apply(client: Client, said: dict[str, Any]) -> None:
    """As `taskflow apply` does it."""
    settings = get_settings()
    registration = read_registration(Document(said), load_policy(settings.policy_file))
    plan = await make_plan(client, registration, task_queue=settings.task_queue)
    await carry_out(client, plan)


async def _ticked(client: Client) -> float:
    """Seconds of the last of so many looks that began after this."""
    now, end = datetime.now(UTC), time.monotonic() + TICKS_WITHIN
    query = (
        f"WorkflowType = '{WATCH}' AND ExecutionStatus = 'Completed' "
        f"AND StartTime > '{now.isoformat()}'"
    )
    while time.monotonic() < end:
        looks = [look async for look in client.list_workflows(query)]
        if len(looks) >= TICKS and looks[0].close_time:
            return round((looks[0].close_time - looks[0].start_time).total_seconds(), 2)
        await asyncio.sleep(LOOK_SECONDS)
    raise TaskflowError(f"the watch looked fewer than {TICKS} times within {TICKS_WITHIN:g} s")


async def _run(client: Client, kind: str, runs: int, database: Path) -> dict[str, Any]:
    """Runs of one task: events and bytes of the middle one's history, and what each left behind."""
    task: dict[str, Any] = {"tenant_id": TENANT, "task_id": kind, "plugin_id": "plugin"}
    task |= {"overlap": "allow", "triggers": [{"at": "2100-01-01T00:00:00Z"}]}
    needs = {"resources": {"slots": 1}} if kind == GOVERNED else {}
    await _apply(client, {"tasks": [task | needs]})
    before = Taken({}, _database(database))

    done: list[str] = []

    async def one(_: int) -> None:
        run_id = await trigger(client, TENANT, kind)
        await client.get_workflow_handle(run_id).result()
        done.append(run_id)

    await at_once(range(runs), one)
    sizes: list[tuple[int, int]] = []

    async def look(run_id: str) -> None:
        description = await client.get_workflow_handle(run_id).describe()
        info = description.raw_description.workflow_execution_info
        sizes.append((info.history_length, info.history_size_bytes))

    await at_once(done, look)
    events, size = sorted(sizes)[len(sizes) // 2]
    left = Taken({}, _database(database)).since(before, runs)["database_kb"]
    return {
        "events": events,
        "history_kb": round(size / 1000, 1),
        "database_kb": left,
    }


def _taken(pids: Mapping[str, int], database: Path) -> Taken:
    memory = {name: _resident(pid) for name, pid in pids.items()}
    return Taken(memory, _database(database))


def _resident(pid: int) -> int:
    """Bytes of memory that a process has; 0 where the system has no `/proc`."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def _database(path: Path) -> dict[str, int]:
    """Bytes by what they are for. Pages that are full count, and those that are half empty."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT name, SUM(pgsize) FROM dbstat GROUP BY name").fetchall()
        tables = dict(database.execute("SELECT name, tbl_name FROM sqlite_master").fetchall())
    found = dict.fromkeys((*(kind for kind, _ in _TABLES), "other"), 0)
    for name, size in rows:
        found[_kind(tables.get(name, name))] += size
    return found


def _kind(table: str) -> str:
    return next((kind for kind, parts in _TABLES if any(part in table for part in parts)), "other")


def _each(after: Mapping[str, int], before: Mapping[str, int], count: int) -> dict[str, float]:
    return {name: round((after[name] - before[name]) / count / 1000, 2) for name in after}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth")
    parser.add_argument("--tasks", type=int, default=TASKS)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    configure(get_settings(), quiet=True)
    found = asyncio.run(measure(given.tasks, given.runs))
    if given.json:
        sys.stdout.write(f"{json.dumps(found, indent=2)}\n")
        return 0
    few, many = found["register_per_s"]
    sys.stdout.write(
        f"registered {few:.0f}/s, and {many:.0f}/s of {found['tasks']} tasks; "
        f"a look of the watch then took {found['tick_s'][0]} s and {found['tick_s'][1]} s\n"
        f"a task more: {_kilobytes(found['per_task']['memory_kb'])} of memory; "
        f"{_kilobytes(found['per_task']['database_kb'])} of database\n"
    )
    for kind, run in found["per_run"].items():
        sys.stdout.write(
            f"a {kind} run: {run['events']} events, history {run['history_kb']} kB, "
            f"{run['worker_cpu_ms']} ms of the worker's processor; "
            f"{_kilobytes(run['database_kb'])} of database\n"
        )
    return 0


def _kilobytes(sizes: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {size} kB" for name, size in sizes.items())


if __name__ == "__main__":
    leave(main())
