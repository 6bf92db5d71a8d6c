"""A worker killed with SIGKILL at each step of a run: another one goes on where it stood."""

from datetime import timedelta

import pytest

from domain.states import RunState
from starter.work_orders import Wanted, list_work_orders
from tests.killed.clock import CLOCK, fires_are_due
from tests.killed.scene import Scene

STEPS = {
    "created": ["ok"],
    "queued": ["hang", "ok"],
    "granted": ["ok"],
    "reserved": ["ok"],
    "call": ["hang", "ok"],
    "effect": ["ok", "ok"],
    "backing-off": ["fail:BROKEN", "ok"],
    "accepted": ["accept-later"],
    "compensated": ["reject:BROKEN", "hang", "ok"],
    "settled": ["ok"],
    "notified": ["ok"],
    "sink": ["ok"],
}
"""What the plugins of the run that was met did, in order."""

SOON = timedelta(seconds=4 + 1 + 15)
"""The heartbeat timeout, the back-off; the work of the killed worker is kept for it for 10 s."""


@pytest.fixture(scope="module")
async def found(scene: Scene) -> dict[str, list[str]]:
    """What the oracle finds wrong, by step, when all had time to heal."""
    return await scene.stack.over(*STEPS, within=90)


@pytest.mark.fault(1, 2, 3, 4)
@pytest.mark.parametrize("step", STEPS)
async def test_a_run_whose_worker_is_killed_ends_as_if_nothing_had_been(
    step: str, scene: Scene, found: dict[str, list[str]]
) -> None:
    """It was met at that step, it ended as it should, and the oracle has nothing to say."""
    assert scene.met[step]
    assert found[step] == []
    evidence = await scene.stack.evidence(step)
    first = RunState.COMPENSATED if step == "compensated" else RunState.SUCCESS
    states = {run.task_id: run.status for run in evidence.runs}
    assert states == {"first": first, "second": RunState.SUCCESS}
    assert [one.outcome for one in await scene.deliveries_of(step)] == STEPS[step]


@pytest.mark.fault(1)
async def test_the_call_of_a_killed_worker_is_made_again_soon(
    scene: Scene, found: dict[str, list[str]]
) -> None:
    """At the latest a heartbeat timeout and a back-off after another worker has begun."""
    assert found["call"] == []
    calls = await scene.deliveries_of("call")
    assert scene.healed_at
    assert calls[-1].started_at - scene.healed_at <= SOON
    assert {call.key for call in calls} == {scene.runs["call"]}


async def test_every_fire_of_a_schedule_has_its_run(scene: Scene) -> None:
    """Those too that came while no worker lived; each ran once."""
    assert await fires_are_due(scene.stack) >= 3
    found = await scene.stack.over(CLOCK, within=30)
    assert found[CLOCK] == []
    runs = (await scene.stack.evidence(CLOCK)).runs
    assert {run.status for run in runs} == {RunState.SUCCESS}


async def test_a_breach_that_was_being_told_opens_one_work_order(
    scene: Scene, found: dict[str, list[str]]
) -> None:
    """Its notification got no answer from the first try, and names the same work order."""
    assert found["notified"] == found["call"] == []
    for tenant in ("notified", "call"):
        evidence = await scene.stack.evidence(tenant)
        [told] = [found for found in evidence.notifications if found.kind == "FINISH"]
        assert told.received == 2
        assert told.work_order_id
        orders = await list_work_orders(scene.stack.client, Wanted(tenant_id=tenant))
        assert [order.run_id for order in orders] == [told.run_id]
