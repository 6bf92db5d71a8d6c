"""No worker governs: what runs do while nobody can decide whether they may go."""

from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import Client

from shared.governor import Governors
from tests.admission.harness import (
    Governed,
    Place,
    new_tenant,
    skipped,
    succeeded,
    waiting,
    waits_because,
)

pytestmark = pytest.mark.usefixtures("impatient")
IMPATIENT = 0.5
"""Seconds for which a run waits for its governor's answer in these tests."""


async def test_fail_closed_waits_says_why_and_runs_when_a_governor_comes(
    temporal: Client,
) -> None:
    """The default: nothing runs unasked, and nobody needs to be told that it can go on."""
    governed, place, tenant = Governed(temporal, patience=IMPATIENT), Place(), new_tenant()
    task = governed.at(place, tenant, resources={"slots": 1})
    place.let_go()
    async with governed.running():
        run = await governed.go(task)
        await waiting(run)
        await waits_because(run, f"the governor of {tenant} did not answer within 0.5 s")
        assert not place.order()
        assert governed.counted("degraded", mode="fail_closed") >= 1
        async with governed.governing():
            [result] = await succeeded(run)
            assert result.reason is None
            await governed.nothing_is_left(tenant)
    assert not governed.counted("degraded", mode="fail_open")


async def test_fail_closed_is_skipped_at_its_queue_deadline(temporal: Client) -> None:
    """Nobody keeps the deadline for the run, so it does; the reason says what was wrong."""
    governed, place, tenant = Governed(temporal, patience=IMPATIENT), Place(), new_tenant()
    task = governed.at(place, tenant, resources={"slots": 1}, queue_timeout="2s")
    async with governed.running():
        reason = await skipped(await governed.go(task))
    assert reason.startswith("queue_timeout: waited 2s; the governor of ")
    assert not place.order()


async def test_fail_open_runs_with_a_warning_but_never_into_a_mutex_group(
    temporal: Client,
) -> None:
    """What only limits load goes on without it; what excludes others waits for a governor."""
    governed = Governed(temporal, patience=IMPATIENT, degraded="fail_open")
    place, tenant = Place(), new_tenant()
    place.let_go()
    async with governed.running():
        run = await governed.go(governed.at(place, tenant, resources={"slots": 1}))
        [result] = await succeeded(run)
        assert (result.reason or "").startswith("warning: admitted unasked: the governor of ")
        exclusive = [
            await governed.go(governed.at(place, tenant, mutex=["m"])),
            await governed.go(governed.at(place, tenant, overlap="queue")),
            await governed.go(governed.at(place, tenant, overlap="cancel_running")),
        ]
        await waiting(*exclusive)
        assert place.order() == [run.id]
        assert governed.counted("degraded", mode="fail_open") >= 4
        async with governed.governing():
            await succeeded(*exclusive)
            await governed.nothing_is_left(tenant)
    assert not governed.counted("degraded", mode="fail_closed")


async def test_a_governor_that_stops_and_comes_back_has_forgotten_nothing(
    temporal: Client,
) -> None:
    """Holders hold and who waits waits; what ended meanwhile is given back to it later."""
    governed, place, tenant = Governed(temporal, patience=IMPATIENT), Place(), new_tenant()
    async with governed.running():
        async with governed.governing():
            holder = await governed.go(governed.at(place, tenant, mutex=["m"]))
            await place.entered(holder)
            second = await governed.go(governed.at(place, tenant, mutex=["m"]))
            await waiting(second)
        place.let_go()
        await succeeded(holder)
        third = await governed.go(governed.at(place, tenant, mutex=["m"]))
        await waiting(third)
        assert place.order() == [holder.id]
        async with governed.governing():
            await succeeded(second, third, within=timedelta(seconds=30))
            await governed.nothing_is_left(tenant)
    assert place.order() == [holder.id, second.id, third.id]
    assert place.most_at_once() == 1


async def test_contention_is_counted(governed: Governed) -> None:
    """Each run's question once, whether it was granted at once, and refusals by their code."""
    place, tenant = Place(), new_tenant()
    before = {name: governed.counted(name) for name in ("attempts", "contended")}
    refused = governed.counted("refused", code="conflict")
    holder = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await place.entered(holder)
    second = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await waiting(second)
    await skipped(await governed.go(governed.at(place, tenant, mutex=["m"], on_conflict="skip")))
    place.let_go()
    await succeeded(holder, second)
    assert governed.counted("attempts") - before["attempts"] == 3
    assert governed.counted("contended") - before["contended"] >= 2
    assert governed.counted("refused", code="conflict") - refused == 1
    counters = (await governed.books(tenant)).state.counters
    assert (counters["attempts"], counters["granted"], counters["contended"]) == (3, 2, 2)
    await governed.nothing_is_left(tenant)


async def test_a_governor_survives_that_nobody_can_be_told(
    temporal: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hint that cannot be sent is no more than a hint: the run asks again, and gets its turn."""

    async def fails(*_: object) -> None:
        raise RuntimeError("nobody can be told")

    monkeypatch.setattr("activities.governor.tell", fails)
    monkeypatch.setattr("workflows.admission.FIRST_WAIT", timedelta(seconds=1))
    governed = Governed(temporal)
    async with governed.working():
        place, tenant = Place(), new_tenant()
        first = await governed.go(governed.at(place, tenant, mutex=["m"]))
        await place.entered(first)
        second = await governed.go(governed.at(place, tenant, mutex=["m"]))
        await waiting(second)
        place.let_go()
        await succeeded(first, second)
        await governed.nothing_is_left(tenant)
    (history,) = await governed.histories(tenant)
    assert history.run_id, "it is the same governor from beginning to end"


async def test_a_run_whose_question_or_release_breaks_still_ends_as_it_should(
    temporal: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Activities that fail in ways that nobody planned neither end a run nor leak what it held."""
    governed = Governed(temporal)
    asks = 0
    ask = Governors.ask

    async def fails_once(self: Governors, *args: Any) -> Any:
        nonlocal asks
        asks += 1
        if asks == 1:
            raise RuntimeError("broken")
        return await ask(self, *args)

    async def fails(*_: object) -> None:
        raise RuntimeError("broken too")

    monkeypatch.setattr(Governors, "ask", fails_once)
    monkeypatch.setattr(Governors, "release", fails)
    monkeypatch.setattr("workflows.admission.UNAVAILABLE_WAIT", timedelta(seconds=1))
    monkeypatch.setattr("workflows.admission.RELEASES", 2)
    monkeypatch.setattr("workflows.governor.SWEEP_EVERY", timedelta(seconds=2))
    async with governed.working():
        place, tenant = Place(), new_tenant()
        place.let_go()
        await succeeded(await governed.go(governed.at(place, tenant, mutex=["m"])))
        await governed.nothing_is_left(tenant, within=30)
