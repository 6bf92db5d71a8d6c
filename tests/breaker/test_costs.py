"""What breakers cost when all is well, and when Temporal is not there."""

import asyncio
import time

import pytest
from temporalio.client import Client

from domain.ids import breaker_id
from shared.breakers import Breakers, Wait
from tests.breaker.harness import Caller, Calls, Plugin, Scene
from tests.conftest import start_temporal
from tests.starter.harness import eventually_async


def counted(client: Client) -> tuple[Client, Calls]:
    """The same client, its calls counted."""
    calls = Calls()
    config = client.config()
    config["interceptors"] = [calls]
    return Client(**config), calls


async def test_nothing_is_sent_for_a_plugin_that_is_well(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand calls cost one look at the list, whatever their number."""
    monkeypatch.setattr("shared.breakers.LOOK_SECONDS", 60.0)
    scene.client, calls = counted(scene.client)
    scene.plugin.ill, scene.plugin.takes = False, 0.001
    async with scene.process() as caller:
        await asyncio.gather(*(caller.attempt(f"t{n % 3}", f"r{n}") for n in range(1000)))
        caller.breakers.record(scene.plugin.plugin_id, "t", "PLUGIN_REFUSED")
        caller.breakers.record(scene.plugin.plugin_id, "t", "NO_STOCK")
        await asyncio.sleep(1.5)
    assert dict(calls.made) == {"list": 1}


async def test_failures_go_in_batches(scene: Scene) -> None:
    """A thousand failures are a few exchanges."""
    scene.client, calls = counted(scene.client)
    async with scene.process() as caller:
        for _ in range(10):
            await asyncio.gather(*(caller.attempt(f"t{n % 3}", f"r{n}") for n in range(100)))
        await eventually_async(lambda: scene.is_("OPEN"))
    assert calls.made["update"] + calls.made["start"] <= 4


async def test_a_few_failures_among_many_successes_open_nothing(scene: Scene) -> None:
    """Successes of before are told with the failures, and those of other processes too."""
    plugin = scene.plugin
    plugin.takes = 0.001
    async with scene.process() as one, scene.process() as two:
        plugin.ill = False
        await asyncio.gather(
            *(c.attempt(f"t{n % 2}", f"r{n}") for n in range(100) for c in (one, two))
        )
        plugin.ill = True
        await asyncio.gather(*(one.attempt(f"t{n % 2}", f"s{n}") for n in range(20)))
        plugin.ill = False

        async def all_told() -> bool:
            await two.attempt("t0", "again")
            view = await scene.view()
            return view is not None and (view.failures, view.successes >= 200) == (20, True)

        await eventually_async(all_told, within=20)
        assert await scene.is_("CLOSED")


async def many_fail(caller: Caller) -> None:
    """Every attempt goes, at once, and comes to what the plugin says."""
    started = time.monotonic()
    found = await asyncio.gather(*(caller.attempt(f"t{n % 2}", f"r{n}") for n in range(20)))
    assert set(found) == {"PLUGIN_UNAVAILABLE"}
    assert time.monotonic() - started < 1


async def test_without_temporal_calls_go_on_and_it_is_said_once(
    logged: list[dict[str, object]],
) -> None:
    """An unknown state is no reason to stop working."""
    environment = await start_temporal()
    breakers = Breakers(environment.client, "any", patience=0.5)
    await environment.shutdown()
    caller = Caller(breakers, Plugin("p"))
    for _ in range(4):
        await many_fail(caller)
        await asyncio.sleep(2)
    assert [line["action"] for line in logged].count("breakers_unavailable") == 1
    await breakers.close()


async def test_without_a_worker_for_breakers_calls_go_on(scene: Scene) -> None:
    """A breaker that nobody runs opens nothing, and keeps nobody waiting."""
    breakers = Breakers(scene.client, "nobody-polls-this", patience=0.5)
    caller = Caller(breakers, scene.plugin)
    await many_fail(caller)
    await asyncio.sleep(2)
    await many_fail(caller)
    await breakers.close()
    await scene.client.get_workflow_handle(breaker_id(scene.plugin.plugin_id)).terminate()


async def test_an_open_breaker_that_stops_answering_lets_calls_go(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until its time it is believed; then nobody can say, and attempts go."""
    monkeypatch.setattr("domain.breaker.FIRST_OPEN_S", 2.0)
    async with scene.process(patience=0.5) as caller:
        await asyncio.gather(*(caller.attempt(f"t{n % 2}", f"r{n}") for n in range(12)))

        async def waits() -> bool:
            return isinstance(await caller.attempt("t0", "r99"), Wait)

        await eventually_async(waits)
        monkeypatch.setattr("shared.breaker_calls.breaker_id", lambda _: "x" * 2000)
        await asyncio.sleep(3)
        assert await caller.attempt("t0", "r100") == "PLUGIN_UNAVAILABLE"
