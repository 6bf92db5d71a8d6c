"""`python -m benchmarks.apply [--tasks N] [--rounds N] [--json]`: registering, against a bare loop.

Each round applies a file of so many tasks by the product's own path (read, plan, carry out) and
creates as many bare schedules by a loop, as many at once, on one server, taking turns at who is
first. Prints both rates and their ratio: what our checks cost. `--json` prints one document:
`{"tasks", "rounds": [{"ours", "bare"}], "ours", "bare", "ratio"}`, rates in schedules a second.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from statistics import median

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleSpec,
)

from benchmarks.server import fresh_server
from domain.document import parse_yaml
from domain.registration import read_registration
from shared.calls import at_once
from shared.leave import leave
from shared.policy import load_policy
from shared.settings import get_settings
from starter.registry import carry_out, make_plan

TASKS, ROUNDS = 1000, 5
QUEUE = "nobody-works-here"


async def ours(client: Client, tenant: str, count: int) -> None:
    """What `taskflow apply` does with a file of new tasks, from its text on."""
    tasks = "".join(
        f"  - {{task_id: t{number}, plugin_id: p, triggers: [{{every: 1d, offset: {number}s}}]}}\n"
        for number in range(count)
    )
    policy = load_policy(get_settings().policy_file)
    registration = read_registration(parse_yaml(f"tasks:\n{tasks}"), policy, tenant=tenant)
    plan = await make_plan(client, registration, task_queue=QUEUE)
    done = await carry_out(client, plan)
    assert len(done.created) == count  # noqa: S101 - a rate of anything else is no rate


async def bare(client: Client, tenant: str, count: int) -> None:
    """The least that creates as many schedules: no check, no attributes, no arguments."""

    async def create(number: int) -> None:
        spec = ScheduleSpec(
            intervals=[ScheduleIntervalSpec(timedelta(days=1), timedelta(seconds=number))]
        )
        action = ScheduleActionStartWorkflow("Bare", id=f"bare/{tenant}/{number}", task_queue=QUEUE)
        await client.create_schedule(f"bare/{tenant}/{number}", Schedule(action=action, spec=spec))

    await at_once(range(count), create)


async def measure(count: int, rounds: int) -> list[dict[str, float]]:
    """The rates of each round, after one that only warms up."""
    found: list[dict[str, float]] = []
    async with fresh_server() as client:
        for number in range(rounds + 1):
            turns = [("ours", ours), ("bare", bare)]
            rates = {
                name: await _rate(work, client, f"{name}-{number}", count)
                for name, work in (turns if number % 2 else reversed(turns))
            }
            found.append(rates)
    return found[1:]


async def _rate(
    work: Callable[[Client, str, int], Awaitable[None]], client: Client, tenant: str, count: int
) -> float:
    began = time.perf_counter()
    await work(client, tenant, count)
    return count / (time.perf_counter() - began)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.apply")
    parser.add_argument("--tasks", type=int, default=TASKS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rounds = asyncio.run(measure(given.tasks, given.rounds))
    result = {name: median(rates[name] for rates in rounds) for name in ("ours", "bare")}
    ratio = median(rates["ours"] / rates["bare"] for rates in rounds)
    if given.json:
        document = {"tasks": given.tasks, "rounds": rounds, **result, "ratio": ratio}
        sys.stdout.write(f"{json.dumps(document, indent=2)}\n")
        return 0
    for rates in [*rounds, result]:
        sys.stdout.write(f"apply {rates['ours']:6.0f}/s   bare loop {rates['bare']:6.0f}/s\n")
    sys.stdout.write(
        f"The last line is the median of {given.rounds} rounds of {given.tasks} schedules; "
        f"the median ratio is {ratio:.2f}.\n"
    )
    return 0


if __name__ == "__main__":
    leave(main())
