"""Deploying: a release that open runs could not follow takes over, under load, and goes back."""

import asyncio
from collections import Counter

import pytest
from temporalio.client import WorkflowExecutionStatus

from domain.attributes import RESUME
from domain.ids import governor_id
from sandbox.client import SandboxClient
from shared.versions import Status
from tests.starter.harness import eventually_async
from tests.versions.harness import Deployed
from tests.workflows.harness import Handle

NEXT = "tests.versions.next_release"
SLOW = 3.0
"""Seconds that a call takes which is open when another version takes over."""


async def _three_kinds(deployed: Deployed) -> tuple[list[Handle], Handle]:
    """Runs that outlast a change of version: called, waiting for a lock, and one that is held."""
    door = [f"door-{deployed.started}"]
    holder = await deployed.go("slow", mutex=door, on_conflict="queue")
    queued = await deployed.go("slow", mutex=door, on_conflict="queue")
    return [await deployed.go("slow"), holder, queued], await deployed.go(paused=True)


async def _versions(deployed: Deployed, runs: list[Handle]) -> set[str]:
    told = [await deployed.told(run.id) for run in runs]
    return set().union(*(one.versions for one in told))


@pytest.mark.fault(31)
async def test_a_release_that_open_runs_could_not_follow_breaks_none(
    deployed: Deployed, plugin: SandboxClient
) -> None:
    """Each run ends on the version that it began with, called once; new ones go to the current.

    Over to the next release and back, while runs are started and a schedule fires.
    """
    await plugin.configure("slow", latency=SLOW)
    await asyncio.gather(deployed.process("one"), deployed.process("two", module=NEXT))
    await deployed.use("one")
    async with deployed.load() as load:
        of_one, held_by_one = await _three_kinds(deployed)
        await eventually_async(lambda: _called(plugin, 2), within=60)
        await deployed.use("two")
        first_on_two = len(load) + 1  # one may be on its way
        of_two, held_by_two = await _three_kinds(deployed)
        assert (await deployed.version("two")).status is Status.CURRENT
        await eventually_async(lambda: _drains(deployed, "one"))
        await eventually_async(lambda: _called(plugin, 4), within=60)
        await eventually_async(lambda: _has_grown(load, first_on_two + 2), within=60)

        on_two = load[first_on_two:]
        await deployed.use("one")
        back_on_one = len(load) + 1
        await eventually_async(lambda: _has_grown(load, back_on_one + 2), within=60)
        on_one_again = load[back_on_one:]
    for run in (held_by_one, held_by_two):
        await run.signal(RESUME)
    for run in (*of_one, *of_two, held_by_one, held_by_two, *load):
        await asyncio.wait_for(run.result(), 60)

    assert await _versions(deployed, [*of_one, held_by_one]) == {"one"}
    assert await _versions(deployed, [*of_two, held_by_two, *on_two]) == {"two"}
    assert await _versions(deployed, on_one_again) == {"one"}
    await _all_well(deployed, plugin)
    governor = await deployed.told(governor_id(deployed.name))
    assert governor.versions == {"one", "two"}  # it goes on with whichever is current
    assert not governor.failed
    await eventually_async(lambda: _is_safe(deployed, "two"))


async def _has_grown(load: list[Handle], count: int) -> bool:
    return len(load) >= count


async def _called(plugin: SandboxClient, count: int) -> bool:
    return len(await plugin.deliveries(plugin_id="slow")) >= count


async def _is_safe(deployed: Deployed, build_id: str) -> bool:
    return (await deployed.version(build_id)).safe_to_stop


async def _drains(deployed: Deployed, build_id: str) -> bool:
    found = await deployed.version(build_id)
    return found.status is Status.DRAINING and found.runs > 0 and not found.safe_to_stop


async def _all_well(deployed: Deployed, plugin: SandboxClient) -> None:
    """Every run of the queue, also those of the schedule: ended well, one version, one call."""
    query = f"TaskQueue = '{deployed.queue}' AND WorkflowType = 'TaskRun'"

    async def all_ended() -> bool:
        listed = [run async for run in deployed.client.list_workflows(query)]
        return all(run.status is WorkflowExecutionStatus.COMPLETED for run in listed)

    await eventually_async(all_ended, within=60)
    runs = [run.id async for run in deployed.client.list_workflows(query)]
    assert len(runs) > deployed.started, "the schedule fired, too"
    calls = Counter(call.run_id for call in await plugin.deliveries())
    assert calls == dict.fromkeys(runs, 1)
    for run in runs:
        told = await deployed.told(run)
        assert told.failed == 0
        assert len(told.versions) == 1
        assert told.marked is ("two" in told.versions)
