"""A plugin falls ill under many calls of several processes, and gets well again."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from domain.attributes import TASK_STATUS
from domain.ids import breaker_id, notice_id
from domain.incidents import incident_id
from shared.breakers import Wait
from tests.breaker.harness import Scene
from tests.starter.harness import eventually_async
from tests.workflows.harness import attributes_of, details_of

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.mark.fault(15)
async def test_fifty_failing_at_once_lead_to_one_opening_one_notice_and_one_probe_at_a_time(
    scene: Scene,
) -> None:
    """And when the plugin is well, all fifty go, and the breaker closes by itself."""
    plugin = scene.plugin
    async with scene.process() as first, scene.process() as second:
        runs = [
            asyncio.create_task(
                (first, second)[n % 2].until_done(f"t{n % 5}", f"run/{n}/{plugin.plugin_id}")
            )
            for n in range(50)
        ]
        await eventually_async(lambda: scene.is_("OPEN"))
        await asyncio.sleep(1.5)  # by then both processes know
        calls, plugin.most_inside = plugin.calls, 0
        await asyncio.sleep(6)
        assert plugin.most_inside <= 1
        assert 1 <= plugin.calls - calls <= 3  # after 1, 2 and 4 seconds
        view = await scene.view()
        assert view
        assert view.failed_probes >= 1
        plugin.ill = False
        await eventually_async(lambda: scene.is_("CLOSED"), within=30)
        await asyncio.wait_for(asyncio.gather(*runs), 30)

    async def told() -> bool:
        return any(n.breach.task_id == plugin.plugin_id for n in scene.told)

    await eventually_async(told)
    [notice] = await scene.notices()
    view = await scene.view()
    assert view
    assert view.opened_at
    assert notice == notice_id(incident_id(plugin.plugin_id, view.opened_at))
    [said] = [n for n in scene.told if n.breach.task_id == plugin.plugin_id]
    assert said.order
    assert said.order.work_order_id == view.work_order_id
    assert said.order.attempts[0].error_code == "PLUGIN_UNAVAILABLE"


async def test_what_an_open_breaker_shows(scene: Scene) -> None:
    """In the list, on its page in the Web UI, and to who waits."""
    async with scene.process() as caller:
        await scene.opens(caller)
        handle = scene.client.get_workflow_handle(breaker_id(scene.plugin.plugin_id))

        async def shown() -> bool:
            return (await attributes_of(handle)).get(TASK_STATUS) == "OPEN"

        await eventually_async(shown)
        assert "12 of 12 calls" in await details_of(handle)

        async def waits() -> bool:
            return isinstance(await caller.attempt("t0", "r99"), Wait)

        await eventually_async(waits)
        wait = caller.waits[-1]
        assert "12 of 12 calls" in wait.reason
        assert wait.since <= datetime.now(UTC)
        assert wait.retry_at < datetime.now(UTC) + timedelta(seconds=10)


async def test_a_process_without_failures_of_its_own_learns_of_it(scene: Scene) -> None:
    """By one look at the list, within seconds."""
    async with scene.process() as unlucky, scene.process() as lucky:
        assert await lucky.breakers.admit(scene.plugin.plugin_id, "r0", 1) is None
        await scene.opens(unlucky)
        await asyncio.wait_for(lucky.learns(), 6)


async def test_a_probe_whose_process_died_does_not_block_for_ever(scene: Scene) -> None:
    """Nobody renews its lease, and another process's attempt is the next probe."""
    async with scene.process() as other:
        async with scene.process() as dies:
            await scene.opens(dies)
            await other.learns()
            scene.plugin.takes = 600
            probe = asyncio.create_task(dies.until_done("t0", "r-dies"))
            await eventually_async(lambda: scene.is_("HALF_OPEN"))
            # As SIGKILL would: it says nothing any more, to nobody.
            for plugin in dies.breakers._plugins.values():
                plugin.probes.clear()
        scene.plugin.ill, scene.plugin.takes = False, 0.05
        started = asyncio.get_running_loop().time()
        await asyncio.wait_for(other.until_done("t1", "r-other"), 20)
        await eventually_async(lambda: scene.is_("CLOSED"))
        assert asyncio.get_running_loop().time() - started < 15
        probe.cancel()


async def test_a_probe_that_lasts_is_the_only_one(scene: Scene) -> None:
    """Its process renews the lease as long as the call lasts."""
    async with scene.process() as first, scene.process() as second:
        await scene.opens(first)
        await second.learns()
        scene.plugin.takes, scene.plugin.most_inside = 8, 0
        scene.plugin.ill = False
        runs = [
            asyncio.create_task(caller.until_done("t0", f"r-{n}"))
            for n, caller in enumerate((first, second, first, second))
        ]
        await eventually_async(lambda: scene.is_("HALF_OPEN"))
        await asyncio.sleep(6)  # twice the lease
        assert scene.plugin.most_inside <= 1
        await eventually_async(lambda: scene.is_("CLOSED"))
        scene.plugin.takes = 0.05
        await asyncio.wait_for(asyncio.gather(*runs), 30)


async def test_a_probe_that_is_cancelled_is_given_back(scene: Scene) -> None:
    """Its run was cancelled: the next to ask goes at once."""
    async with scene.process() as caller:
        await scene.opens(caller)
        scene.plugin.takes = 600
        probe = asyncio.create_task(caller.until_done("t0", "r-cancelled"))
        await eventually_async(lambda: scene.is_("HALF_OPEN"))
        await asyncio.sleep(0.3)
        probe.cancel()
        scene.plugin.ill, scene.plugin.takes = False, 0.05
        await asyncio.wait_for(caller.until_done("t1", "r-next"), 2.9)
        await eventually_async(lambda: scene.is_("CLOSED"))


async def test_a_breaker_goes_on_as_a_new_run_with_all_that_it_knew(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It opens once, tells once, and closes, however often it began anew meanwhile."""
    monkeypatch.setattr("workflows.breaker.EXCHANGES_PER_RUN", 2)
    async with scene.process() as caller:
        await scene.opens(caller)
        notices = await scene.notices()
        handle = scene.client.get_workflow_handle(breaker_id(scene.plugin.plugin_id))
        first = (await handle.describe()).run_id
        run = asyncio.create_task(caller.until_done("t0", "r-last"))
        await asyncio.sleep(5)
        scene.plugin.ill = False
        await asyncio.wait_for(run, 20)
        await eventually_async(lambda: scene.is_("CLOSED"))
        assert (await handle.describe()).run_id != first
        view = await scene.view()
        assert view
        assert view.opened_at
        incident = notice_id(incident_id(scene.plugin.plugin_id, view.opened_at))
        assert notices == [incident]
        assert await scene.notices() == []  # of the newest run
