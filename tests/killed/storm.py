"""A plugin that fails for everybody, and while it recovers many others that fail at first."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from sandbox.client import Delivery
from shared.breaker_calls import view_breaker
from starter.runs import RunView, list_runs
from tests.killed.mixture import Mixture
from tests.killed.stack import Stack
from tests.starter.harness import eventually_async

PLUGIN = "ill"
TENANTS = [f"circuit-{n}" for n in range(5)]
RUNS_OF_EACH = 10
RETRY = {
    "max_attempts": 12,
    "initial_interval": "1s",
    "backoff": 1.5,
    "max_interval": "2s",
    "non_retryable": [],
}


@dataclass(frozen=True, slots=True)
class Storm:
    """What was seen: all runs as they waited, the calls that failed, the end."""

    waiting: list[RunView]
    calls: list[Delivery]
    opened_at: datetime
    found: dict[str, list[str]]
    mixture: Mixture
    mixed: dict[str, list[str]]


async def play(stack: Stack, runs: int) -> Storm:
    """The plugin is well again as soon as every run waits; `runs` of the mixture come then."""
    await stack.staffed(2)
    await stack.sandbox.configure(PLUGIN, script=["503"])
    tasks = [
        stack.task(tenant, f"t{n}", PLUGIN, retry=RETRY, mutex=[f"m{n}"])
        for tenant in TENANTS
        for n in range(RUNS_OF_EACH)
    ]
    await asyncio.gather(*(stack.go(task) for task in tasks))
    waiting: list[RunView] = []

    async def all_wait() -> bool:
        found = [await list_runs(stack.client, tenant_id=tenant) for tenant in TENANTS]
        waiting[:] = [run for runs in found for run in runs]
        return all(run.waits_for == f"circuit:{PLUGIN}" for run in waiting)

    await eventually_async(all_wait, within=60)
    view = await view_breaker(stack.client, PLUGIN)
    assert view
    assert view.opened_at
    await stack.sandbox.configure(PLUGIN)
    mixture = Mixture(stack, "mixture")
    # So many plugins that none fails often enough to open its circuit.
    await mixture.start(runs, plugins_of_each=5)
    found = await stack.over(*TENANTS, within=90)
    mixed = await stack.over(*mixture.tenants, within=90)
    calls = await stack.sandbox.deliveries(plugin_id=PLUGIN)
    ill = [call for call in calls if call.outcome == "503"]
    opened_at = datetime.fromtimestamp(view.opened_at, UTC)
    return Storm(waiting, ill, opened_at, found, mixture, mixed)
