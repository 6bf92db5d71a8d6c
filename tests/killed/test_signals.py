"""A worker that is told to stop, and one that stands still for a while and then goes on."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest

from domain.states import RunState
from sandbox.client import Delivery
from tests.killed.scene import Scene
from tests.killed.stack import Stack
from tests.starter.harness import eventually_async
from worker.build import GRACE

pytestmark = pytest.mark.soak

STOPPED, FROZEN = "terminated", "frozen"
MARGIN = 8.0
"""Seconds beyond the grace: to write the last answers, and to end a Python process."""
STILL_FOR = 9.0
"""Seconds; more than twice the heartbeat timeout."""
OUTLASTS = 11.0
"""Seconds that the first calls take beyond that. Temporal hands work to a worker that stands still
as before, so a run may lose a workflow task (10 s) until its next attempt comes.
"""
RUNS = 8


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What became of the worker that was told to stop, and what the oracle finds."""

    code: int
    took: float
    found: dict[str, list[str]]


@pytest.fixture(scope="module")
async def aftermath(scene: Scene) -> Aftermath:
    """One worker gets SIGTERM, and while it takes its time another stands still and goes on."""
    stack, sandbox = scene.stack, scene.stack.sandbox
    for worker in stack.alive():
        worker.kill()
    [told] = await stack.staffed(1)
    await sandbox.configure("finishes", latency=3)
    await sandbox.configure("never-finishes", script=["hang", "ok"])
    for plugin in ("never-finishes", "finishes"):
        task = stack.task(STOPPED, plugin, plugin, mutex=[plugin], resources={"gpu": 1})
        await stack.go(task)
    await _open(stack, STOPPED, 2)
    told.terminate()
    began = time.monotonic()
    still = stack.start_worker()
    await still.ready()
    await _stand_still(stack, FROZEN, STILL_FOR)
    code = await told.gone(GRACE.total_seconds() + MARGIN - (time.monotonic() - began))
    took = time.monotonic() - began
    found = await stack.over(STOPPED, FROZEN, within=60)
    return Aftermath(code, took, found)


async def _open(stack: Stack, tenant: str, count: int) -> None:
    async def so() -> bool:
        found = await stack.sandbox.deliveries()
        return sum(one.tenant_id == tenant and one.ended_at is None for one in found) == count

    await eventually_async(so, within=20)


async def _stand_still(stack: Stack, tenant: str, seconds: float) -> None:
    """The last worker, for at least so long, with calls open that outlast it; another goes on."""
    still = stack.workers[-1]
    await stack.sandbox.configure(tenant, latency=seconds + OUTLASTS)
    tasks = [stack.task(tenant, f"t{n}", tenant, mutex=[f"m{n}"]) for n in range(RUNS)]
    await asyncio.gather(*(stack.go(task) for task in tasks))
    await _open(stack, tenant, RUNS)
    still.freeze()
    frozen_at = time.monotonic()
    await stack.sandbox.configure(tenant, latency=0.5)
    await stack.start_worker().ready()

    async def others_went_on() -> bool:
        calls = [await _calls(stack, tenant, task.task_id) for task in tasks]
        return any(len(found) > 1 for found in calls)

    await eventually_async(others_went_on, within=seconds + OUTLASTS - 1)
    await asyncio.sleep(max(0.0, seconds - (time.monotonic() - frozen_at)))
    still.thaw()


async def _refused(stack: Stack, tenant: str) -> int:
    """How many first calls were refused as old, when every run had its one effect."""
    evidence = await stack.evidence(tenant)
    assert {run.status for run in evidence.runs} == {RunState.SUCCESS}
    refused = 0
    for run in evidence.runs:
        calls = await _calls(stack, tenant, run.task_id)
        assert len({one.effect for one in calls if one.effect}) == 1
        assert all(one.fence != other.fence for one, other in pairwise(calls))
        refused += calls[0].outcome == "stale"
    return refused


async def _calls(stack: Stack, tenant: str, task_id: str) -> list[Delivery]:
    found = await stack.sandbox.deliveries(task_id=task_id)
    return [one for one in found if one.tenant_id == tenant]


@pytest.mark.fault(6)
def test_a_worker_that_is_told_to_stop_ends_within_its_grace(
    aftermath: Aftermath, measured: Callable[[str], None]
) -> None:
    """Also when a call of it would never end."""
    measured(f"SIGTERM: the worker ended after {aftermath.took:.1f} s")
    assert aftermath.code == 0
    assert aftermath.took <= GRACE.total_seconds() + MARGIN


@pytest.mark.fault(6)
async def test_calls_of_a_worker_that_stops_finish_or_are_made_again(
    aftermath: Aftermath, stack: Stack
) -> None:
    """Who finishes within the grace is not called again; who does not, by another worker."""
    assert aftermath.found[STOPPED] == []
    assert [one.outcome for one in await _calls(stack, STOPPED, "finishes")] == ["ok"]
    again = await _calls(stack, STOPPED, "never-finishes")
    assert again[0].outcome == "hang"
    assert again[0].effect is None
    assert again[-1].attempt > 1


@pytest.mark.fault(7)
async def test_old_attempts_of_a_worker_that_stood_still_are_refused(
    aftermath: Aftermath, stack: Stack, measured: Callable[[str], None]
) -> None:
    """By their fence, at the plugin; the next attempts have the effect, one for each run."""
    assert aftermath.found[FROZEN] == []
    refused = await _refused(stack, FROZEN)
    measured(f"SIGSTOP: {refused} of {RUNS} old attempts were refused")
    assert refused


@pytest.mark.fault(7)
@pytest.mark.soak
async def test_all_old_attempts_of_a_worker_that_stood_still_for_a_minute_are_refused(
    scene: Scene,
) -> None:
    """By then every run has its next attempt, and its effect."""
    stack, tenant = scene.stack, "frozen-long"
    await stack.staffed(1)
    await stack.start_worker().ready()
    stack.alive()[0].kill()
    await _stand_still(stack, tenant, 60)
    found = await stack.over(tenant, within=60)
    assert found[tenant] == []
    assert await _refused(stack, tenant) == RUNS
