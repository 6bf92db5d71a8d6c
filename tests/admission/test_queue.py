"""Waiting for admission: what people see of it, how long it lasts, and limits that change."""

import asyncio
from datetime import timedelta

import pytest
from temporalio.exceptions import ApplicationError, CancelledError

from domain.limits import TenantLimits
from tests.admission.harness import (
    Governed,
    Place,
    new_tenant,
    skipped,
    succeeded,
    waiting,
    waits_because,
)
from tests.starter.harness import eventually_async
from tests.workflows.harness import attributes_of, details_of, ended

pytestmark = pytest.mark.usefixtures("impatient")


async def test_a_run_that_waits_shows_what_for_at_which_place_and_behind_whom(
    governed: Governed,
) -> None:
    """The attributes are for lists, the current details for people; they go when the run does."""
    place, tenant = Place(), new_tenant()
    holder = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await place.entered(holder)
    second = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await waiting(second)
    third = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await waiting(third)
    for run, position in (second, 1), (third, 2):
        found = await attributes_of(run)
        assert (found["WaitsFor"], found["QueuePosition"]) == ("mutex:m", position)
    await waits_because(second, "position 1", "mutex group m", f"is held by {holder.id}")
    place.let_go(holder)
    await place.entered(second)

    async def moved_up() -> bool:
        return bool((await attributes_of(third))["QueuePosition"] == 1)

    await eventually_async(moved_up)
    await waits_because(third, f"is held by {second.id}")
    place.let_go()
    await succeeded(holder, second, third)
    for run in (second, third):
        found = await attributes_of(run)
        assert found["TaskStatus"] == "SUCCESS"
        assert not found.keys() & {"WaitsFor", "QueuePosition"}
        assert "waits" not in await details_of(run)
    await governed.nothing_is_left(tenant)


async def test_a_run_that_waited_too_long_is_skipped(governed: Governed) -> None:
    """Its queue deadline ends it with the reason queue_timeout, and it leaves the queue."""
    place, tenant = Place(), new_tenant()
    holder = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await place.entered(holder)
    late = await governed.go(governed.at(place, tenant, mutex=["m"], queue_timeout="3s"))
    await waiting(late)
    assert (await skipped(late)).startswith("queue_timeout: ")
    assert not (await attributes_of(late)).keys() & {"WaitsFor", "QueuePosition"}
    await governed.holds(holder, tenant=tenant)
    place.let_go()
    await succeeded(holder)
    await governed.nothing_is_left(tenant)
    assert late.id not in place.order()


async def test_a_run_cancelled_while_it_waits_leaves_the_queue(governed: Governed) -> None:
    """It ends CANCELLED, its plugin never hears of it, and who waited behind it is next."""
    place, tenant = Place(), new_tenant()
    holder = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await place.entered(holder)
    second = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await waiting(second)
    third = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await waiting(third)
    await second.cancel()
    assert isinstance(await ended(second), CancelledError)
    found = await attributes_of(second)
    assert found["TaskStatus"] == "CANCELLED"
    assert not found.keys() & {"WaitsFor", "QueuePosition"}
    view = await governed.books(tenant)
    assert [run.run_id for run in view.state.waiting] == [third.id]
    place.let_go()
    await succeeded(holder, third)
    assert place.order() == [holder.id, third.id]
    await governed.nothing_is_left(tenant)


@pytest.mark.fault(20)
async def test_a_run_cancelled_while_it_runs_is_released_when_its_call_is_closed(
    governed: Governed,
) -> None:
    """The next one enters only after it has left."""
    place, tenant = Place(), new_tenant()
    holder = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await place.entered(holder)
    second = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await waiting(second)
    await holder.cancel()
    assert isinstance(await ended(holder), CancelledError)
    await place.entered(second)
    place.let_go()
    await succeeded(second)
    assert place.most_at_once() == 1
    await governed.nothing_is_left(tenant)


async def test_a_run_cancelled_as_soon_as_it_starts_leaves_nothing(governed: Governed) -> None:
    """Wherever the cancellation meets it: before, while or after it asks."""
    place, tenant = Place(), new_tenant()
    task = governed.at(place, tenant, mutex=["m"])

    async def cancelled(number: int) -> None:
        run = await governed.go(task)
        await asyncio.sleep(number * 0.01)
        await run.cancel()
        assert isinstance(await ended(run), CancelledError)

    await asyncio.gather(*(cancelled(number) for number in range(30)))
    place.let_go()
    await succeeded(await governed.go(task))
    assert place.most_at_once() == 1
    await governed.nothing_is_left(tenant)


@pytest.mark.fault(22)
async def test_a_lower_quota_lets_who_runs_go_on_and_new_runs_wait(governed: Governed) -> None:
    """Lowered under load nobody is stopped; raised again, who waits goes."""
    place, tenant = Place(), new_tenant()
    await governed.limit(tenant, TenantLimits(max_concurrent=4))
    task = governed.at(place, tenant)
    running = [await governed.go(task, limited=True) for _ in range(4)]
    await place.entered(*running)
    await governed.limit(tenant, TenantLimits(max_concurrent=2))
    queued = []
    for _ in range(3):  # one after the other: they wait in the order in which they ask
        queued.append(await governed.go(task, limited=True))
        await waiting(queued[-1])
    place.let_go(*running[:2])
    await succeeded(*running[:2])
    await waits_because(queued[0], "the tenant's max_concurrent (limit 2, 2 in use)")
    assert set(place.inside) == {run.id for run in running[2:]}
    await governed.limit(tenant, TenantLimits(max_concurrent=4))
    await place.entered(*running[2:], *queued[:2])
    place.let_go()
    await succeeded(*running, *queued)
    assert place.most_at_once() <= 4
    await governed.nothing_is_left(tenant)


async def test_what_became_impossible_fails_instead_of_waiting(governed: Governed) -> None:
    """A queued run that needs more than there will ever be ends FAILED, and a new one too."""
    place, tenant = Place(), new_tenant()
    await governed.limit(tenant, TenantLimits(resources={"gpu": 4}))
    holder = await governed.go(governed.at(place, tenant, resources={"gpu": 2}))
    await place.entered(holder)
    large = governed.at(place, tenant, resources={"gpu": 3})
    queued = await governed.go(large)
    await waiting(queued)
    await governed.limit(tenant, TenantLimits(resources={"gpu": 2}))
    for run in (queued, await governed.go(large)):
        error = await ended(run)
        assert isinstance(error, ApplicationError)
        assert error.type == "IMPOSSIBLE_DEMAND"
        assert error.message == "resource gpu: 3 can never be met, the tenant has 2"
        assert (await attributes_of(run))["TaskStatus"] == "FAILED"
    place.let_go()
    await succeeded(holder)
    await governed.nothing_is_left(tenant)


async def test_a_large_request_is_not_passed_for_ever_by_small_ones(governed: Governed) -> None:
    """What it needs is kept for it, and small ones that came later wait behind it."""
    place, tenant = Place(), new_tenant()
    await governed.limit(tenant, TenantLimits(resources={"gpu": 3}))
    small = governed.at(place, tenant, resources={"gpu": 1})
    first = await governed.go(small)
    await place.entered(first)
    large = await governed.go(governed.at(place, tenant, resources={"gpu": 3}))
    await waiting(large)
    later = [await governed.go(small) for _ in range(3)]
    await waiting(*later)
    await waits_because(later[0], f"is kept for {large.id}, which asked before")
    place.let_go(first)
    await place.entered(large)
    assert place.inside == [large.id]
    place.let_go()
    await succeeded(first, large, *later)
    await governed.nothing_is_left(tenant)


@pytest.mark.soak
async def test_a_hint_that_is_lost_costs_a_pause_and_no_more(
    governed: Governed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that nobody wakes asks again by itself."""

    async def tell_nobody(*_: object) -> None:
        """Every message is lost."""

    monkeypatch.setattr("shared.governor.tell", tell_nobody)
    monkeypatch.setattr("activities.governor.tell", tell_nobody)
    place, tenant = Place(), new_tenant()
    holder = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await place.entered(holder)
    second = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await waiting(second)
    place.let_go()
    await succeeded(holder, second, within=timedelta(seconds=20))
    await governed.nothing_is_left(tenant)
