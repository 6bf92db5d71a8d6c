"""First calls that fail in every way there is: nearly every run recovers, with one effect."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from tests.killed.mixture import Mixture
from tests.killed.scene import Scene
from tests.killed.storm import Storm

pytestmark = pytest.mark.soak

RUNS = 200
LEAST_SHARE = 0.97


@pytest.mark.fault(12, 13, 15)
async def test_nearly_every_run_succeeds_whose_first_call_fails(
    storm: Storm, measured: Callable[[str], None]
) -> None:
    """Unavailable, reset, cut short, not JSON, throttled, silent, a byte at a time: one effect."""
    mixture, found = storm.mixture, storm.mixed
    assert {tenant: wrong for tenant, wrong in found.items() if wrong} == {}
    ended = await mixture.ended()
    measured(f"recovery: {ended}")
    assert ended.runs == RUNS
    assert ended.share >= LEAST_SHARE


@pytest.mark.fault(15)
async def test_a_plugin_that_throttles_is_called_again_when_it_says(storm: Storm) -> None:
    """Not a moment before its `Retry-After` is over."""
    calls: dict[str, list[datetime]] = {}
    for call in await storm.mixture.stack.sandbox.deliveries():
        if call.plugin_id.startswith("mixture-429"):
            calls.setdefault(call.key, []).append(call.started_at)
    assert calls
    assert all(second - first >= timedelta(seconds=1) for first, second in calls.values())


@pytest.mark.fault(1, 12, 15)
@pytest.mark.soak
async def test_nearly_every_run_succeeds_although_circuits_open_and_workers_die(
    scene: Scene, measured: Callable[[str], None]
) -> None:
    """Seven plugins that fail every first call, and a worker killed every few seconds."""
    stack = scene.stack
    await stack.staffed(2)
    mixture = Mixture(stack, "circuits")
    await mixture.start(RUNS, plugins_of_each=1)
    for _ in range(5):
        await asyncio.sleep(7)
        stack.alive()[0].kill()
        await stack.staffed(2)
    found = await stack.over(*mixture.tenants, within=900)
    assert {tenant: wrong for tenant, wrong in found.items() if wrong} == {}
    ended = await mixture.ended()
    measured(f"recovery with kills and circuits: {ended}")
    assert ended.share >= LEAST_SHARE
