"""Taking turns: every scenario runs in every round, and the sandbox says what it really did."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from temporalio.client import WorkflowHandle

from benchmarks.cpu import cpu_ms, python_ms
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
    """One scenario in one round: a burst of runs, and then some alone.

    Of the burst: runs per second, seconds from the start of each to its result, and for all runs
    together calls of the worker by operation, processor time by process and that of the worker's
    Python threads. `alone` are the seconds of those that had the machine to themselves.
    """

    throughput: float
    burst: list[float]
    alone: list[float]
    requests: Counter[str]
    cpu_ms: Counter[str]
    python_ms: int
    histories: list[HistoryCost]


async def take_turns(
    bench: Bench,
    scenarios: Sequence[Scenario],
    *,
    runs: int,
    rounds: int,
    alone: int,
    advance: Callable[[], None],
) -> dict[str, list[Turn]]:
    """The turns of each scenario, by its name.

    In each are `runs` at once, and then `alone` one after another.
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
            keys = (
                [f"{number}-{n}" for n in range(runs)],
                [f"{number}-alone-{n}" for n in range(alone)],
            )
            turn = await _turn(bench, scenario, *keys, advance)
            if number:
                turns[scenario.name].append(turn)
    return turns


async def _turn(
    bench: Bench,
    scenario: Scenario,
    keys: list[str],
    lone_keys: list[str],
    advance: Callable[[], None],
) -> Turn:
    await bench.sandbox.reset()
    await bench.sandbox.configure(scenario.plugin, script=scenario.script)
    handles: list[WorkflowHandle[Any, Any]] = []
    burst: list[float] = []
    alone: list[float] = []

    async def run(key: str, took: list[float]) -> None:
        began = time.perf_counter()
        handle = await scenario.start(bench.client, key)
        handles.append(handle)
        await handle.result()
        took.append(time.perf_counter() - began)

    worker = bench.processes["worker"]
    requests, cpu = await bench.metrics.requests(), cpu_ms(bench.processes)
    python = python_ms(worker)
    began = time.perf_counter()
    await at_once(keys, lambda key: run(key, burst), advance)
    seconds = time.perf_counter() - began
    await asyncio.sleep(SETTLE_SECONDS)
    cpu = cpu_ms(bench.processes) - cpu
    python = python_ms(worker) - python
    requests = await bench.metrics.requests() - requests
    for key in lone_keys:
        await run(key, alone)
    await _check(bench, scenario, {handle.id for handle in handles}, len(keys) + len(lone_keys))
    return Turn(
        throughput=len(keys) / seconds,
        burst=burst,
        alone=alone,
        requests=requests,
        cpu_ms=cpu,
        python_ms=python,
        histories=[await history_cost(handle) for handle in handles[:SAMPLES]],
    )


async def _check(bench: Bench, scenario: Scenario, ids: set[str], runs: int) -> None:
    """The sandbox has had the calls of each run that the scenario names, and no others."""
    outcomes: defaultdict[str, list[str | None]] = defaultdict(list)
    for delivery in await bench.sandbox.deliveries():
        outcomes[delivery.key].append(delivery.outcome)
    wrong = {key: found for key, found in outcomes.items() if found != list(scenario.script)}
    missing = len(ids - outcomes.keys())
    if len(ids) != runs or wrong or missing or len(outcomes) != runs:
        first = next(iter(wrong.items()), "none")
        raise TaskflowError(
            f"{scenario.title}: of {runs} runs {missing} were not executed, and {len(wrong)} had "
            f"other calls than {', '.join(scenario.script)}; the first of these: {first}"
        )
