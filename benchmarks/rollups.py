"""`python -m benchmarks.rollups [--tenants N] [--tasks N] [--days N] [--json]`: what roll-ups cost.

On a server of its own, first a day is counted: every task of every tenant has one run, which the
look finds in Temporal's list and lays down. Then so many days before it are laid down as looks
would have, each task with 24 fires a day whose latencies scatter over two decades. At last the
report of all tenants and that of one are made of them. Prints seconds, the peak of this process's
memory (the workers that keep the shelves run in it too) and the sizes of shelves.
"""

import argparse
import asyncio
import json
import random
import resource
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError

from activities.rollup import RollupActivities
from benchmarks.server import fresh_server
from domain.attributes import REGISTRY, TASK_RUN
from domain.document import Document
from domain.ids import registry_id, scheduled_run_id
from domain.levels import Fate, Level
from domain.registration import read_registration
from domain.registry import Put, PutTask, Snapshot, batches
from domain.rollup import DAY, LookInput, Mark, day_of, pieces_of, start_of
from domain.run import ManualFire, TaskRunInput, TriggerKind
from domain.states import RunState
from domain.task import Task
from shared.calls import at_once
from shared.policy import load_policy
from shared.registry import put_of, watch_queue
from shared.rollup import RollupStore
from shared.schedules import run_attributes
from shared.settings import Settings, get_settings
from starter.dev.server import remember_for
from starter.sla_report import make_report
from worker.watch import build_watch_worker
from workflows import attributes as sa

TENANTS, TASKS, DAYS = 100, 100, 30
QUEUE = "rollup-bench"
FIRES = 24


async def measure(tenants: int, tasks: int, days: int) -> dict[str, Any]:
    """Count a day, lay down the ones before it, and report."""
    async with fresh_server() as client, build_watch_worker(client, Settings(task_queue=QUEUE)):
        await remember_for(client.service_client.config.target_host)
        now = datetime.now(UTC)
        yesterday = day_of(now) - DAY
        names = [f"tenant{number:03}" for number in range(tenants)]
        found: dict[str, Any] = {"tenants": tenants, "tasks": tenants * tasks, "days": days}
        async with _timed(found, "runs_started_s"):
            await _ran(client, [_tasks(name, tasks) for name in names], yesterday)
        activities = RollupActivities(client, task_queue=QUEUE, months=13)
        async with _timed(found, "first_look_s"):
            await _look(activities, now)
        async with _timed(found, "next_look_s"):
            await _look(activities, now)
        store = RollupStore(client, QUEUE)
        async with _timed(found, "laid_down_s"):
            await _lay_down(store, names, tasks, last=yesterday, days=days, now=now)
        since, until = start_of(yesterday - DAY * days), start_of(yesterday + DAY)
        for what, tenant_id in (("all", None), ("one", names[0]), ("all_again", None)):
            async with _timed(found, f"report_of_{what}_s"):
                report = await make_report(client, tenant_id, since, until, now, task_queue=QUEUE)
            found[f"due_of_{what}"] = report.totals().due
            found[f"rows_of_{what}"] = len(report.levels)
        found["shelves"] = await _sizes(store, names, yesterday, days)
        return found


@asynccontextmanager
async def _timed(found: dict[str, Any], name: str) -> AsyncIterator[None]:
    began, cpu = time.perf_counter(), time.process_time()
    yield
    found[name] = round(time.perf_counter() - began, 2)
    found[f"{name.removesuffix('_s')}_cpu_s"] = round(time.process_time() - cpu, 2)
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _tasks(tenant_id: str, count: int) -> list[Task]:
    said = [
        {
            "tenant_id": tenant_id,
            "task_id": f"task-{number:04}",
            "plugin_id": "p",
            "triggers": [{"every": "24h", "offset": f"{number * 800}s"}],
        }
        for number in range(count)
    ]
    policy = load_policy(get_settings().policy_file)
    return list(read_registration(Document({"tasks": said}), policy).tasks)


async def _look(activities: RollupActivities, now: datetime) -> None:
    """As Temporal has it done: again, where registries are slow to answer at first."""
    while True:
        try:
            await activities.look(LookInput(now=now))
        except RPCError:
            continue
        return


async def _ran(client: Client, tenants: list[list[Task]], day: date) -> None:
    """Register the tasks, and have each a run of that day; nothing takes it up."""
    tasks = [task for own in tenants for task in own]
    puts = [put_of(task, weight=1.0, digest="d", task_queue=QUEUE) for task in tasks]
    since = start_of(day) - timedelta(seconds=1)

    async def register(batch: tuple[str, int, list[PutTask]]) -> None:
        tenant_id, shard, own = batch
        await client.start_workflow(
            REGISTRY,
            Snapshot(),
            id=registry_id(tenant_id, shard),
            task_queue=watch_queue(QUEUE),
            start_signal="put",
            start_signal_args=[Put(at=since, tasks=own)],
        )

    await at_once(batches(puts), register)

    async def run(task: Task) -> None:
        offset = int(task.task_id.removeprefix("task-")) * 800
        at = start_of(day) + timedelta(seconds=offset)
        pairs: list[SearchAttributePair[Any]] = [
            SearchAttributePair(sa.TASK_STATUS, RunState.SUCCESS),
            SearchAttributePair(sa.TRIGGER_TIME, at),
            SearchAttributePair(sa.ACTUAL_START, at),
        ]
        known = run_attributes(task, TriggerKind.INTERVAL)
        await client.start_workflow(
            TASK_RUN,
            TaskRunInput(task=task, manual=ManualFire(at=at)),
            id=scheduled_run_id(task.tenant_id, task.task_id, at),
            task_queue=f"{QUEUE}-nobody",
            search_attributes=TypedSearchAttributes(
                [*(pair for pair in known if pair.key != sa.TASK_STATUS), *pairs]
            ),
        )

    await at_once(tasks, run)
    while True:
        listed = await client.count_workflows(f"WorkflowType = '{TASK_RUN}'")
        if listed.count == len(tasks):
            return
        await asyncio.sleep(0.5)


def _level(chance: random.Random) -> Level:
    level = Level(runs=FIRES, succeeded=FIRES - 1, failed=1, retries=chance.randrange(3))
    for _ in range(FIRES):
        level.fire(Fate.ON_TIME, timedelta(milliseconds=chance.lognormvariate(5, 1)))
    return level


async def _lay_down(
    store: RollupStore, names: list[str], tasks: int, *, last: date, days: int, now: datetime
) -> None:
    chance = random.Random(1)  # noqa: S311 - the same on every machine
    for number in range(1, days + 1):
        day = last - DAY * number

        async def keep(name: str, day: date = day) -> None:
            levels = {f"task-{task:04}": _level(chance) for task in range(tasks)}
            await store.keep(name, pieces_of(day, levels, counted_at=now))

        await at_once(names, keep)
        await store.mark(day, Mark(tenants=names), counted_at=now + timedelta(seconds=1))


async def _sizes(
    store: RollupStore, names: list[str], last: date, days: int
) -> dict[str, float | int]:
    wanted = [last - DAY * number for number in range(days + 1)]
    found = await store.days(names, wanted)
    by_shelf: dict[tuple[str, date], int] = {}
    for (name, day), counted in found.items():
        place = (name, day.replace(day=1))
        by_shelf[place] = by_shelf.get(place, 0) + sum(len(text) for text in counted.packed)
    marks = await store.marks(wanted)
    return {
        "count": len(by_shelf),
        "largest_kb": round(max(by_shelf.values()) / 1000, 1),
        "all_mb": round(sum(by_shelf.values()) / 1e6, 2),
        "bytes_of_a_task_and_day": round(
            sum(len(text) for c in found.values() for text in c.packed)
            / sum(len(c.levels()) for c in found.values()),
            1,
        ),
        "marked_days": len(marks),
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollups")
    parser.add_argument("--tenants", type=int, default=TENANTS)
    parser.add_argument("--tasks", type=int, default=TASKS, help="of each tenant")
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    document = asyncio.run(measure(given.tenants, given.tasks, given.days))
    if given.json:
        sys.stdout.write(f"{json.dumps(document, indent=2)}\n")
    else:
        for name, value in document.items():
            sys.stdout.write(f"{name:>20} {value}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
