"""`python -m benchmarks.bomb [--tasks N] [--json]`: so many tasks of one tenant on one minute.

Server, worker and sandbox are processes of their own. Beside them another tenant's tasks run every
ten seconds, each at its own second. Measured is how late the plugins of these are called: in the
minute before the bomb, and from the bomb's minute until the last of its runs was called. Every run
of both must have been called once. `--per-minute` is the policy's `max_fires_per_minute`: tasks
beyond it are moved by minutes, and late from then only; as many as there are tasks: none is moved.

`--json` prints one document: `{"tasks", "per_minute", "register_s", "drained_s", "before",
"during", "fired", "bomb", "called_once", "cpu_s"}`; the four after `drained_s` are delays, as
`{"count", "errors", "p50_ms", "p99_ms", "max_ms"}`: of calls, and in `fired` of Temporal's
schedules of the others beside the bomb. An error is a run without a call, or that was not found.
Exit code 1 when anything lacks.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.cpu import cpu_ms
from benchmarks.door import Door, door_stack
from benchmarks.latencies import HEADING, Latencies, Summary
from domain.crowd import FARTHEST
from domain.document import Document
from domain.due import due_times
from domain.ids import scheduled_run_id
from domain.policy import Policy
from domain.registration import read_registration
from domain.task import Task
from sandbox.client import Delivery
from shared.errors import TaskflowError
from shared.leave import leave
from shared.policy import load_policy
from shared.settings import get_settings
from starter.registry import carry_out, make_plan

TASKS = 10_000
BOMB, CALM = "bomb", "calm"
CALM_TASKS = 10
MARGIN, MINUTE = timedelta(seconds=75), timedelta(minutes=1)
SLOWER = 1.5
"""Than few tasks at once are many registered, at most."""
DRAINED_WITHIN, LOOK = 600.0, 2.0

Called = Mapping[str, list[Delivery]]


async def measure(count: int, per_minute: int | None) -> dict[str, Any]:
    """Everything of the document."""
    policy = load_policy(get_settings().policy_file)
    limits = policy.limits
    if per_minute is not None:
        limits = limits.model_copy(update={"max_fires_per_minute": per_minute})
        policy = policy.model_copy(update={"limits": limits})
    async with door_stack([BOMB, CALM]) as door:
        calm, seconds = await _register(door, policy, CALM, [_every(n) for n in range(CALM_TASKS)])
        calm_since = datetime.now(UTC)
        lead = timedelta(seconds=SLOWER * count * seconds / CALM_TASKS) + MARGIN
        at = (calm_since + lead).replace(second=0, microsecond=0) + MINUTE
        cron = [{"cron": f"{at.minute} {at.hour} * * *"}]
        bomb, seconds = await _register(door, policy, BOMB, [cron] * count)
        if datetime.now(UTC) > at:
            raise TaskflowError(
                f"{count} tasks took {seconds:.0f} s to register, which is too long"
            )
        await asyncio.sleep((at - datetime.now(UTC)).total_seconds())
        before = cpu_ms(door.processes)
        due = _fires(bomb, at - MINUTE, at + FARTHEST)
        patience = (max(due.values()) - at).total_seconds() + DRAINED_WITHIN
        called = await _drained(door, due, patience)
        drained = max((calls[0].started_at for calls in called.values()), default=at)
        used = cpu_ms(door.processes) - before
        quiet = _fires(calm, max(calm_since, at - MINUTE), at - timedelta(seconds=1))
        beside = _fires(calm, at - timedelta(seconds=1), drained)
        called = await _drained(door, due | quiet | beside, DRAINED_WITHIN)
        once = sum(len(called[run_id]) == 1 for run_id in due | quiet | beside)
        return {
            "tasks": count,
            "per_minute": limits.max_fires_per_minute,
            "register_s": round(seconds, 1),
            "drained_s": round((drained - at).total_seconds(), 1),
            "before": _delays(_first(called), quiet).as_json(),
            "during": _delays(_first(called), beside).as_json(),
            "fired": _delays(await _fired(door, at - MINUTE), beside).as_json(),
            "bomb": _delays(_first(called), due).as_json(),
            "called_once": once == len(due | quiet | beside) and len(due) == count,
            "cpu_s": {name: round(value / 1000, 1) for name, value in used.most_common()},
        }


def _every(number: int) -> list[dict[str, str]]:
    return [{"every": "10s", "offset": f"{number}s"}]


async def _register(
    door: Door, policy: Policy, tenant: str, triggers: list[list[dict[str, str]]]
) -> tuple[list[Task], float]:
    """Tasks with these triggers as `taskflow apply` registers them, and the seconds it took."""
    said = [
        {"tenant_id": tenant, "task_id": f"{tenant}-{n}", "plugin_id": tenant, "triggers": each}
        | {"overlap": "allow"}  # else a fire beside a late run is none
        for n, each in enumerate(triggers)
    ]
    queue = get_settings().task_queue
    began = time.perf_counter()
    registration = read_registration(Document({"tasks": said}), policy)
    plan = await make_plan(door.client, registration, task_queue=queue)
    await carry_out(door.client, plan)
    return list(plan.registration.tasks), time.perf_counter() - began


def _fires(tasks: Iterable[Task], after: datetime, until: datetime) -> dict[str, datetime]:
    """The runs that tasks owe between two moments, and when."""
    return {
        scheduled_run_id(task.tenant_id, task.task_id, due.scheduled_time): due.trigger_time
        for task in tasks
        for due in due_times(task, after=after, until=until)
    }


async def _drained(door: Door, due: Mapping[str, datetime], patience: float) -> Called:
    """The calls of runs, by run, once all have been called, or have had time enough to."""
    end = time.monotonic() + patience
    while True:
        called: defaultdict[str, list[Delivery]] = defaultdict(list)
        for delivery in await door.sandbox.deliveries():
            called[delivery.key].append(delivery)
        if due.keys() <= called.keys() or time.monotonic() > end:
            return called
        await asyncio.sleep(LOOK)


def _first(called: Called) -> dict[str, datetime]:
    return {run_id: calls[0].started_at for run_id, calls in called.items() if calls}


async def _fired(door: Door, since: datetime) -> dict[str, datetime]:
    """When the runs of the others were started, by Temporal's list."""
    query = f"TenantId = '{CALM}' AND StartTime >= '{since.isoformat()}'"
    return {run.id: run.start_time async for run in door.client.list_workflows(query)}


def _delays(began: Mapping[str, datetime], due: Mapping[str, datetime]) -> Summary:
    found = Latencies()
    for run_id, at in due.items():
        if run_id in began:
            found.seconds.append(max(0.0, (began[run_id] - at).total_seconds()))
        else:
            found.failed("lacking")
    return found.summary()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bomb")
    parser.add_argument("--tasks", type=int, default=TASKS)
    parser.add_argument("--per-minute", type=int)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = asyncio.run(measure(given.tasks, given.per_minute))
    if given.json:
        sys.stdout.write(f"{json.dumps(found, indent=2)}\n")
        return 0 if found["called_once"] else 1
    sys.stdout.write(HEADING)
    for name, title in (
        ("before", "others, the minute before"),
        ("during", "others, beside the bomb"),
        ("fired", "of these, by their schedule"),
        ("bomb", "the bomb"),
    ):
        sys.stdout.write(Summary(**found[name]).row(title))
    cpu = ", ".join(f"{name} {seconds:.1f}" for name, seconds in found["cpu_s"].items())
    sys.stdout.write(
        f"{found['tasks']} tasks, {found['per_minute']} a minute at most, registered in "
        f"{found['register_s']} s, called within "
        f"{found['drained_s']} s; processor seconds: {cpu}\n"
        f"{'every run was called once' if found['called_once'] else 'NOT every run, or not once'}\n"
    )
    return 0 if found["called_once"] else 1


if __name__ == "__main__":
    leave(main())
