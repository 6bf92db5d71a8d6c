"""`python -m benchmarks.rules [--rules N] [--events N] [--json]`: events that come in, on a server.

So many tasks of ten tenants are put into the registries, each with a rule and a filter. Measured is
what one API process does: the first look at the rules, a look that finds nothing new, one after a
single task has changed, and how long its event loop stood still at most meanwhile. Then events that
start a run each, all at once, and the same ones again. No worker takes the runs up. `--json` prints
one document: `{"rules", "first_s", "first_cpu_s", "again_s", "changed_s", "longest_pause_s",
"events", "events_per_s", "repeats_per_s"}`.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from pydantic import JsonValue
from temporalio.client import Client

from benchmarks.events import sources
from benchmarks.server import fresh_server
from domain.events_in import CloudEvent
from domain.rules import RuleSource
from shared.registry import put_of, remember
from shared.settings import Settings
from starter.events import receive
from starter.rules import Rules
from worker.watch import build_watch_worker

RULES, EVENTS, TENANTS = 10_000, 500, 10
QUEUE = "rules-bench"
AT_ONCE = 20
"""Requests under way, each with one event."""


class Pauses:
    """How long the event loop stood still at most, in seconds."""

    def __init__(self) -> None:
        self.longest = 0.0

    @asynccontextmanager
    async def measured(self) -> AsyncIterator[None]:
        """Inside."""
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()

    async def _watch(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            self.longest = max(self.longest, time.perf_counter() - before - 0.005)


async def measure(count: int, events: int) -> dict[str, float]:
    """Every number of the document."""
    tasks = _of_tenants(sources(count))
    async with fresh_server() as client, build_watch_worker(client, Settings(task_queue=QUEUE)):
        await _put(client, tasks)
        await asyncio.sleep(5)
        return await _looks(client, tasks) | await _events(client, events)


def _of_tenants(tasks: list[RuleSource]) -> list[RuleSource]:
    return [
        RuleSource(
            source.task.model_copy(update={"tenant_id": f"tenant{number * TENANTS // len(tasks)}"}),
            *(source.weight, source.task_queue, source.paused, source.limited),
        )
        for number, source in enumerate(tasks)
    ]


async def _put(client: Client, sources: list[RuleSource]) -> None:
    at = datetime.now(UTC).isoformat()
    await remember(
        client, [put_of(s.task, weight=1.0, digest=at, task_queue=QUEUE) for s in sources]
    )


async def _looks(client: Client, tasks: list[RuleSource]) -> dict[str, float]:
    rules, pauses = _rules(client), Pauses()
    async with pauses.measured():
        cpu = time.process_time()
        first = await _seconds(rules)
        cpu = time.process_time() - cpu
        again = await _seconds(rules)
        changed = tasks[0].task.model_copy(update={"description": "changed"})
        await _put(client, [RuleSource(changed, 1.0, QUEUE, False, False)])
        await asyncio.sleep(2)
        once = await _seconds(rules)
    return {
        "rules": len(rules.index),
        "first_s": first,
        "first_cpu_s": cpu,
        "again_s": again,
        "changed_s": once,
        "longest_pause_s": pauses.longest,
    }


async def _events(client: Client, count: int) -> dict[str, float]:
    rules = _rules(client)
    await rules.refresh_now()
    data: JsonValue = {"amount": 0.5, "region": "eu"}  # one rule of the tenant lets it through
    events = [CloudEvent(f"e-{n}", "/benchmark", "type-0", data=data) for n in range(count)]
    once = await _rate(client, rules, events)
    # A process that has not seen them: Temporal itself refuses each.
    other = _rules(client)
    await other.refresh_now()
    return {
        "events": count,
        "events_per_s": once,
        "repeats_per_s": await _rate(client, other, events),
    }


async def _rate(client: Client, rules: Rules, events: list[CloudEvent]) -> float:
    waiting = iter(events)

    async def send() -> None:
        for event in waiting:
            (received,) = await receive(client, rules, "tenant0", [event])
            assert len(received.runs) == 1, received  # noqa: S101 - else nothing is measured

    began = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(AT_ONCE)))
    return len(events) / (time.perf_counter() - began)


async def _seconds(rules: Rules) -> float:
    began = time.perf_counter()
    await rules.refresh_now()
    return time.perf_counter() - began


def _rules(client: Client) -> Rules:
    @asynccontextmanager
    async def clients() -> AsyncIterator[Client]:
        yield client

    return Rules(clients, QUEUE)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rules")
    parser.add_argument("--rules", type=int, default=RULES)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = asyncio.run(measure(given.rules, given.events))
    if given.json:
        sys.stdout.write(f"{json.dumps(found, indent=2)}\n")
        return 0
    sys.stdout.write(
        f"{found['rules']:,.0f} rules: first look {found['first_s']:.2f} s "
        f"({found['first_cpu_s']:.2f} s of processor), nothing new {found['again_s']:.3f} s, "
        f"one task changed {found['changed_s']:.3f} s; "
        f"longest pause {found['longest_pause_s'] * 1e3:.0f} ms\n"
        f"{found['events']:,.0f} events: {found['events_per_s']:.0f} a second, "
        f"sent again {found['repeats_per_s']:.0f} a second\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
