"""A governor that is terminated: it begins anew from what live runs hold, and guesses nothing."""

import asyncio
from datetime import timedelta

import pytest
from temporalio.client import Client

from domain.ids import governor_id
from domain.limits import TenantLimits
from tests.admission.harness import (
    Governed,
    Place,
    new_tenant,
    succeeded,
    waiting,
    waits_because,
)
from tests.starter.harness import eventually_async
from tests.workflows.harness import Handle

pytestmark = pytest.mark.usefixtures("impatient")


async def _terminate_governor(client: Client, tenant: str) -> None:
    await client.get_workflow_handle(governor_id(tenant)).terminate()


async def _groups(
    governed: Governed, tenant: str, places: list[Place]
) -> tuple[list[Handle], list[Handle]]:
    """For each place a mutex group with one run inside and one that waits."""
    holders, others = [], []
    for number, place in enumerate(places):
        holders.append(await governed.go(governed.at(place, tenant, mutex=[f"m{number}"])))
        await place.entered(holders[-1])
        others.append(await governed.go(governed.at(place, tenant, mutex=[f"m{number}"])))
    await waiting(*others)
    return holders, others


@pytest.mark.fault(21)
async def test_a_terminated_governor_begins_anew_from_the_live_runs(governed: Governed) -> None:
    """Nobody is admitted twice while holders hold, and everybody who waits is served."""
    tenant, places = new_tenant(), [Place() for _ in range(5)]
    holders, others = await _groups(governed, tenant, places)
    fence = (await governed.books(tenant)).state.fence
    await _terminate_governor(governed.client, tenant)
    newcomers = [
        await governed.go(governed.at(place, tenant, mutex=[f"m{number}"]))
        for number, place in enumerate(places)
    ]
    await waits_because(newcomers[0], f"is held by {holders[0].id}")
    await governed.holds(*holders, tenant=tenant)
    for place in places:
        place.let_go()
    await succeeded(*holders, *others, *newcomers)
    for place, *runs in zip(places, holders, others, newcomers, strict=True):
        assert place.most_at_once() == 1
        assert place.order() == [run.id for run in runs]
    for run in (*others, *newcomers):
        [call] = [c for c in governed.plugin.calls[_task_of(run)] if c.workflow_id == run.id]
        assert call.request.fence > fence, "no fence is given twice"
    await governed.nothing_is_left(tenant)


@pytest.mark.fault(21)
@pytest.mark.soak
async def test_a_governor_terminated_over_and_over_never_admits_two(governed: Governed) -> None:
    """Whenever it happens: while runs ask, are granted, hold and end."""
    tenant, places = new_tenant(), [Place() for _ in range(4)]
    for place in places:
        place.let_go()
    runs = []
    for round_ in range(3):
        runs += [
            await governed.go(governed.at(place, tenant, mutex=[f"m{number}"]))
            for number, place in enumerate(places)
            for _ in range(3)
        ]
        await asyncio.sleep(0.3 * round_)
        await _terminate_governor(governed.client, tenant)
    await succeeded(*runs)
    assert [place.most_at_once() for place in places] == [1] * 4
    await governed.nothing_is_left(tenant)


@pytest.mark.fault(21)
async def test_a_governor_terminated_while_no_worker_runs_begins_anew(temporal: Client) -> None:
    """The worker is started again: it asks live runs, whose workflows it must first take up."""
    governed = Governed(temporal)
    tenant, places = new_tenant(), [Place() for _ in range(3)]
    async with governed.working():
        holders, others = await _groups(governed, tenant, places)
    await _terminate_governor(temporal, tenant)
    # A worker that stops cancels its calls; they come again when their heartbeats stay out.
    for place in places:
        place.visits.clear()
    async with governed.working():
        for place, holder, other in zip(places, holders, others, strict=True):
            await place.entered(holder)
            place.let_go(holder, other)
        await succeeded(*holders, *others)
        for place, *runs in zip(places, holders, others, strict=True):
            assert place.order() == [run.id for run in runs]
            assert place.most_at_once() == 1
        await governed.nothing_is_left(tenant)


@pytest.mark.fault(21)
async def test_a_run_that_does_not_answer_is_presumed_to_hold(
    temporal: Client, governed: Governed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker is gone, so nobody can know: whoever wants the same waits until it has ended."""
    monkeypatch.setattr("activities.governor.ASK_TIMES", 2)
    monkeypatch.setattr("activities.governor.ASK_SECONDS", 1.0)
    elsewhere, place, tenant = Governed(temporal), Place(), new_tenant()
    task = elsewhere.at(place, tenant, mutex=["m"])
    async with elsewhere.working():
        holder = await elsewhere.go(task)
        await place.entered(holder)
    await _terminate_governor(temporal, tenant)
    second = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await waits_because(second, f"is held by {holder.id}")
    async with elsewhere.running():
        await place.entered(holder)
        assert place.inside == [holder.id]
        place.let_go()
        await succeeded(holder, second)
    assert place.order()[-1] == second.id
    assert place.most_at_once() == 1
    await governed.nothing_is_left(tenant)


async def test_limits_that_change_while_a_governor_begins_are_kept(governed: Governed) -> None:
    """The limits told to a governor that is not there yet are those that it begins with."""
    place, tenant = Place(), new_tenant()
    await governed.limit(tenant, TenantLimits(max_concurrent=1))
    task = governed.at(place, tenant)
    first = await governed.go(task, limited=True)
    await place.entered(first)
    await _terminate_governor(governed.client, tenant)
    await governed.limit(tenant, TenantLimits(max_concurrent=2))
    others = [await governed.go(task, limited=True) for _ in range(2)]

    async def one_more() -> bool:
        return len(place.inside) == 2

    await eventually_async(one_more)
    await asyncio.sleep(1)
    assert len(place.inside) == 2
    place.let_go()
    await succeeded(first, *others, within=timedelta(seconds=30))
    assert place.most_at_once() == 2
    await governed.nothing_is_left(tenant)


def _task_of(run: Handle) -> str:
    return run.id.split("/")[2]
