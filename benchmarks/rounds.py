"""Taking turns: every scenario runs in every round, and the sandbox says what it really did."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from temporalio.client import WorkflowHandle

from benchmarks.cpu import cpu_ms
from benchmarks.history import HistoryCost, history_cost
from benchmarks.scenarios import Scenario
from benchmarks.stack import Bench
from shared.calls import at_once
from shared.errors import TaskflowError

SAMPLES = 5
"""Histories read after each turn; runs of a scenario differ by a workflow task at most."""

SETTLE_SECONDS = 0.3
"""What the server still writes when all results are known is not left to the next turn."""


@dataclass(frozen=True)
class Turn:
    """One scenario in one round.

    Runs per second, calls of the worker by operation and processor time by process, both for all
    runs together, and some histories.
    """

    throughput: float
    requests: Counter[str]
    cpu_ms: Counter[str]
    histories: list[HistoryCost]


async def take_turns(
    bench: Bench,
    scenarios: Sequence[Scenario],
    *,
    runs: int,
    rounds: int,
    advance: Callable[[], None],
) -> dict[str, list[Turn]]:
    """The turns of each scenario, by its name.

    The first round only warms up caches and connections and is left out. The order is turned
    round by round, so that what one scenario leaves the next to carry falls on all alike.
    Errors: `TaskflowError` when a run was not executed exactly once.
    """
    turns: dict[str, list[Turn]] = {scenario.name: [] for scenario in scenarios}
    for scenario in scenarios:
        if scenario.prepare:
            await scenario.prepare(bench.client)
    for number in range(rounds + 1):
        for scenario in scenarios[:: 1 if number % 2 else -1]:
            turn = await _turn(bench, scenario, [f"{number}-{n}" for n in range(runs)], advance)
            if number:
                turns[scenario.name].append(turn)
    return turns


async def _turn(
    bench: Bench, scenario: Scenario, keys: list[str], advance: Callable[[], None]
) -> Turn:
    await bench.sandbox.reset()
    handles: list[WorkflowHandle[Any, Any]] = []

    async def run(key: str) -> None:
        handle = await scenario.start(bench.client, key)
        handles.append(handle)
        await handle.result()

    requests, cpu = await bench.metrics.requests(), cpu_ms(bench.processes)
    began = time.perf_counter()
    await at_once(keys, run, advance)
    seconds = time.perf_counter() - began
    await asyncio.sleep(SETTLE_SECONDS)
    cpu = cpu_ms(bench.processes) - cpu
    requests = await bench.metrics.requests() - requests
    await _check(bench, scenario, {handle.id for handle in handles}, len(keys))
    return Turn(
        throughput=len(keys) / seconds,
        requests=requests,
        cpu_ms=cpu,
        histories=[await history_cost(handle) for handle in handles[:SAMPLES]],
    )


async def _check(bench: Bench, scenario: Scenario, ids: set[str], runs: int) -> None:
    """The sandbox has had one delivery for each run, and each ended well."""
    deliveries = await bench.sandbox.deliveries()
    executed = Counter(delivery.key for delivery in deliveries if delivery.outcome == "ok")
    twice = sum(count > 1 for count in executed.values())
    missing = len(ids - executed.keys())
    if len(ids) != runs or twice or missing or len(deliveries) != runs:
        raise TaskflowError(
            f"{scenario.title}: of {runs} runs {missing} were not executed and {twice} more than "
            f"once, in {len(deliveries)} deliveries"
        )
