"""Capacity outside: reserved once for a run, and given back however the run ends."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError, CancelledError

from domain.attributes import NUDGE
from sandbox.client import SandboxClient
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
from tests.workflows.harness import attributes_of, ended, fail, stay_open

pytestmark = pytest.mark.usefixtures("impatient")

_ONE_GPU = {"resources": {"gpu": 1}}
_ONCE = {
    "max_attempts": 1,
    "initial_interval": "1s",
    "backoff": 1,
    "max_interval": "1s",
    "non_retryable": [],
}


@pytest.fixture(scope="module")
async def reserving(temporal: Client, plugin_url: str) -> AsyncIterator[Governed]:
    """Runs whose workers know a capacity service."""
    governed = Governed(temporal, capacity_url=plugin_url)
    async with governed.working():
        yield governed


async def _reserved(service: SandboxClient, tenant: str) -> set[str]:
    held = (await service.capacity()).reserved
    return {run_id for run_id, found in held.items() if found.tenant_id == tenant}


async def _given_back(service: SandboxClient, governed: Governed, tenant: str) -> None:
    """Nothing is held for the tenant, neither inside nor outside."""

    async def nothing() -> bool:
        return not await _reserved(service, tenant)

    await eventually_async(nothing)
    await governed.nothing_is_left(tenant)


async def test_capacity_is_given_back_however_a_run_ends(
    reserving: Governed, plugin: SandboxClient
) -> None:
    """Success, failure, a cancellation, a termination: reserved while it runs, then no more."""
    place, tenant = Place(), new_tenant()
    good, stopped, killed = [reserving.at(place, tenant, **_ONE_GPU) for _ in range(3)]
    bad = reserving.at(place, tenant, **_ONE_GPU, retry=_ONCE)
    reserving.plugin.scripts[bad.task_id] = [fail("BROKEN")]
    reserving.plugin.scripts[stopped.task_id] = [stay_open(heartbeats=True)]
    runs = [await reserving.go(task) for task in (good, stopped, killed, bad)]
    await place.entered(runs[0], runs[2])
    await reserving.plugin.called(stopped.task_id)
    error = await ended(runs[3])
    assert isinstance(error, ApplicationError)
    assert error.type == "BROKEN"

    async def three() -> bool:
        return await _reserved(plugin, tenant) == {run.id for run in runs[:3]}

    await eventually_async(three)
    place.let_go(runs[0])
    await succeeded(runs[0])
    await runs[1].cancel()
    assert isinstance(await ended(runs[1]), CancelledError)
    assert await _reserved(plugin, tenant) == {runs[2].id}
    await runs[2].terminate()
    # Somebody who waits has the governor look sooner; otherwise it looks once a minute.
    await _given_back_when_somebody_waits(reserving, plugin, tenant)


async def _given_back_when_somebody_waits(
    governed: Governed, service: SandboxClient, tenant: str
) -> None:
    place = Place()
    holder = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await place.entered(holder)
    other = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await waiting(other)

    async def nothing() -> bool:
        return not await _reserved(service, tenant)

    await eventually_async(nothing, within=20)
    place.let_go()
    await succeeded(holder, other)
    await governed.nothing_is_left(tenant)


async def test_a_run_without_capacity_waits_and_holds_nothing_meanwhile(
    reserving: Governed, plugin: SandboxClient
) -> None:
    """It shows what it waits for, others may use its mutex group, and it goes when it can."""
    place, tenant = Place(), new_tenant()
    await plugin.configure_capacity(limits={"gpu": 1})
    holder = await reserving.go(reserving.at(place, tenant, **_ONE_GPU))
    await place.entered(holder)
    second = await reserving.go(reserving.at(place, tenant, mutex=["m"], **_ONE_GPU))
    await waits_because(second, "capacity: ")
    found = await attributes_of(second)
    assert found["WaitsFor"] == "capacity"
    assert "QueuePosition" not in found
    third = await reserving.go(reserving.at(place, tenant, mutex=["m"]))
    await place.entered(holder, third)
    place.let_go()
    await succeeded(holder, second, third)
    assert "WaitsFor" not in await attributes_of(second)
    await _given_back(plugin, reserving, tenant)


async def test_a_run_asks_for_capacity_again_when_it_was_told_to(
    reserving: Governed, plugin: SandboxClient
) -> None:
    """The service's retry_after is waited out, not shortened."""
    place, tenant = Place(), new_tenant()
    place.let_go()
    await plugin.configure_capacity(script=["deny:4", "ok"])
    run = await reserving.go(reserving.at(place, tenant, **_ONE_GPU))
    await waits_because(run, "capacity: ")
    for _ in range(3):  # hints are about the governor's answer: that one knows nothing of this
        await run.signal(NUDGE)
        await asyncio.sleep(0.9)
        assert not place.order()
        assert (await plugin.capacity()).requests == 1
    await succeeded(run, within=timedelta(seconds=10))
    await _given_back(plugin, reserving, tenant)


@pytest.mark.parametrize("rule", ["skip", "fail", "warn"])
async def test_on_conflict_holds_for_capacity_too(
    reserving: Governed, plugin: SandboxClient, rule: str
) -> None:
    """Not enough outside is a conflict like one inside."""
    place, tenant = Place(), new_tenant()
    place.let_go()
    await plugin.configure_capacity(limits={"gpu": 0})
    run = await reserving.go(reserving.at(place, tenant, on_conflict=rule, **_ONE_GPU))
    if rule == "skip":
        assert (await skipped(run)).startswith("conflict: capacity: ")
    elif rule == "fail":
        error = await ended(run)
        assert isinstance(error, ApplicationError)
        assert error.type == "CONFLICT"
        assert error.message.startswith("capacity: ")
    else:
        [result] = await succeeded(run)
        assert (result.reason or "").startswith("warning: capacity: ")
    assert bool(place.order()) is (rule == "warn")
    await _given_back(plugin, reserving, tenant)


@pytest.mark.fault(23)
@pytest.mark.parametrize(
    "nonsense",
    [
        ["nan", "negative", "error"],
        pytest.param(["garbage", "truncate", "503", "hang", "drop"], marks=pytest.mark.soak),
    ],
)
async def test_nothing_is_executed_on_an_answer_that_makes_no_sense(
    reserving: Governed,
    plugin: SandboxClient,
    monkeypatch: pytest.MonkeyPatch,
    nonsense: list[str],
) -> None:
    """Each counts as none: the run waits, asks again, and goes when the answer is a grant."""
    monkeypatch.setattr("workflows.admission.CAPACITY_ATTEMPTS", 1)
    monkeypatch.setattr("workflows.admission.CAPACITY_WAIT", timedelta(seconds=0.2))
    monkeypatch.setattr("workflows.admission.LEAST_WAIT", timedelta(seconds=0.2))
    place, tenant = Place(), new_tenant()
    await plugin.configure_capacity(script=[*nonsense, "ok"])
    run = await reserving.go(reserving.at(place, tenant, **_ONE_GPU))
    await waits_because(run, "capacity: the capacity service did not decide")
    await place.entered(run)
    assert (await plugin.capacity()).requests == len(nonsense) + 1
    await plugin.configure_capacity()
    place.let_go()
    await succeeded(run)
    await _given_back(plugin, reserving, tenant)


async def test_a_service_that_refuses_for_good_is_asked_again_later(
    reserving: Governed, plugin: SandboxClient
) -> None:
    """A 4xx decides nothing about the run either: it waits until its queue deadline."""
    place, tenant = Place(), new_tenant()
    await plugin.configure_capacity(script=["400"])
    task = reserving.at(place, tenant, queue_timeout="2s", **_ONE_GPU)
    reason = await skipped(await reserving.go(task))
    assert reason.startswith("queue_timeout: waited 2s; capacity: ")
    assert not place.order()
    await plugin.configure_capacity()
    await _given_back(plugin, reserving, tenant)


@pytest.mark.fault(14)
async def test_an_answer_that_was_lost_reserved_once(
    reserving: Governed, plugin: SandboxClient
) -> None:
    """The service did it and its answer never came: asked again it is the same reservation."""
    place, tenant = Place(), new_tenant()
    await plugin.configure_capacity(limits={"gpu": 1}, script=["drop", "ok"])
    run = await reserving.go(reserving.at(place, tenant, **_ONE_GPU))
    await place.entered(run)
    assert (await plugin.capacity()).in_use == {"gpu": 1}
    place.let_go()
    await succeeded(run)
    await _given_back(plugin, reserving, tenant)


@pytest.mark.fault(14)
async def test_a_reservation_whose_answers_were_all_lost_is_given_back(
    reserving: Governed, plugin: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run never learned that it had one; it ends only when that is released for sure."""
    monkeypatch.setattr("workflows.admission.CAPACITY_ATTEMPTS", 1)
    place, tenant = Place(), new_tenant()
    await plugin.configure_capacity(limits={"gpu": 1}, script=["drop"])
    task = reserving.at(place, tenant, queue_timeout="2s", **_ONE_GPU)
    run = await reserving.go(task)

    async def taken() -> bool:
        return await _reserved(plugin, tenant) == {run.id}

    await eventually_async(taken)
    await asyncio.sleep(3)
    await reserving.nothing_is_left(tenant)
    assert (await run.describe()).status is WorkflowExecutionStatus.RUNNING
    await plugin.configure_capacity()
    assert (await skipped(run)).startswith("queue_timeout: waited 2s; capacity: ")
    assert not place.order()
    await _given_back(plugin, reserving, tenant)


async def test_fail_open_goes_without_the_service_and_says_so(
    temporal: Client, plugin: SandboxClient, plugin_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that is down keeps nobody waiting then; in the other mode it does, above."""
    monkeypatch.setattr("workflows.admission.CAPACITY_ATTEMPTS", 1)
    governed = Governed(temporal, capacity_url=plugin_url, degraded="fail_open")
    place, tenant = Place(), new_tenant()
    place.let_go()
    await plugin.configure_capacity(script=["503", "ok"])
    async with governed.working():
        run = await governed.go(governed.at(place, tenant, **_ONE_GPU))
        [result] = await succeeded(run)
        assert "warning: the capacity service did not decide" in (result.reason or "")
        assert governed.counted("degraded", mode="fail_open") == 1
        await _given_back(plugin, governed, tenant)


@pytest.mark.parametrize("meanwhile", [0.6, 0.0])
async def test_a_run_cancelled_while_it_reserves_gives_back(
    reserving: Governed, plugin: SandboxClient, meanwhile: float
) -> None:
    """Even when the service takes longer to reserve than to release: it hears of one first."""
    place, tenant = Place(), new_tenant()
    await plugin.configure_capacity(latency=0.6)
    run = await reserving.go(reserving.at(place, tenant, **_ONE_GPU))
    await reserving.holds(run, tenant=tenant)
    await asyncio.sleep(0.2)
    await plugin.configure_capacity(latency=meanwhile)
    await run.cancel()
    assert isinstance(await ended(run), CancelledError)
    assert not place.order()
    await asyncio.sleep(1)  # what the service was asked first, it may do last
    assert not await _reserved(plugin, tenant)
    await _given_back(plugin, reserving, tenant)
