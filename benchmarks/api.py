"""`python -m benchmarks.api [--registrations N] [--events N] [--seconds S] [--json]`: the API.

Server, worker, sandbox and API are processes of their own. While tasks of five tenants run every
ten seconds and every event starts a run of its own, so many registrations (of new tasks, one in
each request) and so many events come in, evenly over the time and each at its time. Afterwards
every registration must be there, and every event have had one run, of one call.

`--json` prints one document: `{"seconds", "rate", "registrations", "events", "runs_of_events",
"runs_of_clocks", "registered", "events_with_one_run", "errors", "cpu_s"}`. The four in the middle
are `{"count", "errors", "p50_ms", "p99_ms", "max_ms"}`: answers from when the request was due, and
calls of the plugin from when the event was sent, or the fire due. Exit code 1 when anything lacks.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx

from benchmarks.cpu import cpu_ms
from benchmarks.door import Door, door_stack
from benchmarks.latencies import HEADING, Latencies, Summary, spread
from domain.due import due_times
from domain.ids import scheduled_run_id
from domain.task import Task
from sandbox.client import Delivery
from shared.errors import TaskflowError
from shared.leave import leave
from starter.control import describe_task

REGISTRATIONS, EVENTS, SECONDS = 1000, 1000, 60.0
TENANTS = [f"tenant{number}" for number in range(5)]
CLOCKS = 4
"""Tasks of each tenant that run every ten seconds."""
RULES_WITHIN, DRAINED_WITHIN, LOOK = 30.0, 180.0, 0.5

Work = Callable[[], Awaitable[str | None]]


async def measure(registrations: int, events: int, seconds: float) -> dict[str, Any]:
    """Everything of the document."""
    async with door_stack(TENANTS) as door:
        clock_tasks = await _prepared(door)
        answers, taken, sent = Latencies(), Latencies(), dict[str, datetime]()
        runs: list[str] = []
        before, began = cpu_ms(door.processes), datetime.now(UTC)
        clock = time.perf_counter()
        await asyncio.gather(
            spread([partial(_register, door, n) for n in range(registrations)], seconds, answers),
            spread([partial(_tell, door, n, sent, runs) for n in range(events)], seconds, taken),
        )
        took, until = time.perf_counter() - clock, datetime.now(UTC)
        used = cpu_ms(door.processes) - before
        clocks = _fires(clock_tasks, began, until)
        calls = await _drained(door, {*sent, *clocks})
        delays = {"runs_of_events": sent, "runs_of_clocks": clocks}
        return {
            "seconds": round(took, 1),
            "rate": round((len(answers.seconds) + len(taken.seconds)) / took, 1),
            "registrations": answers.summary().as_json(),
            "events": taken.summary().as_json(),
            **{name: _delays(calls, due).summary().as_json() for name, due in delays.items()},
            "registered": await _registered(door),
            "events_with_one_run": sum(
                count == 1 and len(calls[run_id]) == 1 for run_id, count in Counter(runs).items()
            ),
            "errors": answers.errors | taken.errors,
            "cpu_s": {name: round(value / 1000, 1) for name, value in used.most_common()},
        }


async def _prepared(door: Door) -> list[Task]:
    """Register the tasks of clocks and of events, and wait until the API knows the rules.

    Gives back those of clocks.
    """
    for tenant in TENANTS:
        tasks = [
            {"task_id": f"clock-{n}", "plugin_id": "bench", "triggers": [{"every": "10s"}]}
            | {"stagger": "10s", "overlap": "allow"}
            for n in range(CLOCKS)
        ]
        heard = {"event": "order.created", "filter": "data.amount > 100"}
        listener = {"task_id": "listener", "plugin_id": "bench", "triggers": [heard]}
        tasks.append({**listener, "overlap": "allow"})
        answer = await door.post("/internal/tasks/register", tenant, {"tasks": tasks})
        if answer.status_code != httpx.codes.CREATED:
            raise TaskflowError(f"the tasks were not registered: {answer.text}")
    end = time.monotonic() + RULES_WITHIN
    while await door.metric("task_events_in_rules") < len(TENANTS):
        if time.monotonic() > end:
            raise TaskflowError(f"the API does not know the rules after {RULES_WITHIN:g} s")
        await asyncio.sleep(LOOK)
    keys = [(tenant, f"clock-{number}") for tenant in TENANTS for number in range(CLOCKS)]
    return [(await describe_task(door.client, *key))[1] for key in keys]


async def _register(door: Door, number: int) -> str | None:
    """One new task, which does not fire meanwhile."""
    task = {
        "task_id": f"new-{number}",
        "plugin_id": "bench",
        "triggers": [{"cron": f"{number % 60} 2 1 1 *", "timezone": "Asia/Shanghai"}],
    }
    try:
        answer = await door.post("/internal/tasks/register", _tenant(number), task)
    except httpx.TransportError as error:
        return type(error).__name__
    return None if answer.status_code == httpx.codes.CREATED else _said(answer)


async def _tell(door: Door, number: int, sent: dict[str, datetime], runs: list[str]) -> str | None:
    """One event, which its tenant's listener takes."""
    event = {
        "specversion": "1.0",
        "id": f"e-{number}",
        "source": "/benchmark",
        "type": "order.created",
        "data": {"amount": 101 + number},
    }
    at = datetime.now(UTC)
    try:
        answer = await door.post("/internal/events", _tenant(number), event)
    except httpx.TransportError as error:
        return type(error).__name__
    if answer.status_code != httpx.codes.ACCEPTED:
        return _said(answer)
    [received] = answer.json()["events"]
    found = [run["run_id"] for run in received["runs"]]
    runs += found
    sent |= dict.fromkeys(found, at)
    return None if len(found) == 1 else f"{len(found)} runs"


def _fires(tasks: list[Task], after: datetime, until: datetime) -> dict[str, datetime]:
    """The runs that clocks owe between two moments, and when."""
    return {
        scheduled_run_id(task.tenant_id, task.task_id, due.scheduled_time): due.trigger_time
        for task in tasks
        for due in due_times(task, after=after, until=until)
    }


async def _drained(door: Door, wanted: set[str]) -> dict[str, list[Delivery]]:
    """The calls of each run, once all have been called, or have had time enough to."""
    end = time.monotonic() + DRAINED_WITHIN
    while True:
        calls: dict[str, list[Delivery]] = {run_id: [] for run_id in wanted}
        for delivery in await door.sandbox.deliveries():
            calls.setdefault(delivery.key, []).append(delivery)
        if all(calls[run_id] for run_id in wanted) or time.monotonic() > end:
            return calls
        await asyncio.sleep(LOOK)


def _delays(calls: dict[str, list[Delivery]], due: dict[str, datetime]) -> Latencies:
    found = Latencies()
    for run_id, at in due.items():
        if calls[run_id]:
            delay = calls[run_id][0].started_at - at
            found.seconds.append(max(delay, timedelta(0)).total_seconds())
        else:
            found.failed("not called")
    return found


async def _registered(door: Door) -> int:
    """How many of the new tasks the API lists."""
    count = 0
    for tenant in TENANTS:
        cursor: str | None = None
        while True:
            params = {"limit": "1000"} | ({"cursor": cursor} if cursor else {})
            answer = await door.http.get(
                "/internal/tasks", params=params, headers=door.tokens[tenant]
            )
            document = answer.raise_for_status().json()
            count += sum(task["task_id"].startswith("new-") for task in document["tasks"])
            cursor = document["next_cursor"]
            if cursor is None:
                break
    return count


def _said(answer: httpx.Response) -> str:
    return f"{answer.status_code} {answer.json().get('code', '')}"


def _tenant(number: int) -> str:
    return TENANTS[number % len(TENANTS)]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api")
    parser.add_argument("--registrations", type=int, default=REGISTRATIONS)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = asyncio.run(measure(given.registrations, given.events, given.seconds))
    whole = (found["registered"], found["events_with_one_run"]) == (
        given.registrations,
        given.events,
    ) and not found["errors"]
    if given.json:
        sys.stdout.write(f"{json.dumps(found, indent=2)}\n")
        return 0 if whole else 1
    sys.stdout.write(HEADING)
    for name in ("registrations", "events", "runs_of_events", "runs_of_clocks"):
        sys.stdout.write(Summary(**found[name]).row(name.replace("_", " ")))
    cpu = ", ".join(f"{name} {seconds:.1f}" for name, seconds in found["cpu_s"].items())
    sys.stdout.write(
        f"{found['rate']} requests a second for {found['seconds']} s; processor seconds: {cpu}\n"
        f"{found['registered']} registrations are there; {found['events_with_one_run']} events had "
        f"one run, of one call; errors: {found['errors'] or 'none'}\n"
    )
    return 0 if whole else 1


if __name__ == "__main__":
    leave(main())
