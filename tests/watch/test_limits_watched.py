"""Schedules whose tenant gets a `max_concurrent` while they are there, or loses it."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import ScheduleOverlapPolicy

from domain.ids import scheduled_run_id
from domain.limits import CONCURRENT
from domain.run import TaskRunInput
from domain.states import RunState
from domain.task import Task
from shared.schedules import SPEC_DIGEST, read_request
from starter import control
from starter.quota import set_quota
from tests.starter.harness import eventually_async
from tests.watch.harness import Watched, look, own
from tests.watch.test_fires_watched import HOUR, hour
from tests.watch.test_schedules_watched import just_now
from worker.watch import build_watch_worker

SET_RIGHT = "its schedule was not as it should be by now, and is again"


async def limit(watched: Watched, tenant: str, most: int | None) -> None:
    """What `taskflow quota TENANT --max-concurrent` does."""
    queue = watched.settings.task_queue
    await set_quota(watched.client, tenant, {CONCURRENT: most}, task_queue=queue)


async def is_limited(watched: Watched, task: Task) -> bool:
    """Whether runs of the schedule ask for admission; its parts agree, once all have been read."""

    async def agree() -> bool:
        found = await watched.schedule(task).describe()
        request = await read_request(watched.client, found.schedule)
        digest = found.typed_search_attributes[SPEC_DIGEST]
        return request is not None and digest.endswith("/limited") is request.limited

    await eventually_async(agree)
    found = await watched.schedule(task).describe()
    request = await read_request(watched.client, found.schedule)
    assert request
    assert request.task == task
    assert found.typed_search_attributes[SPEC_DIGEST].endswith("/limited") is request.limited
    assert (found.schedule.policy.overlap is ScheduleOverlapPolicy.SKIP) is not request.limited
    return request.limited


async def until_set_right(watched: Watched, *tasks: Task) -> None:
    """Ticks until each of these schedules was set right, once; nothing else is found of them."""
    found: dict[str, list[str]] = {task.task_id: [] for task in tasks}

    async def all_right() -> bool:
        tick = await look(watched.watch(), just_now(), just_now())
        for task in tasks:
            found[task.task_id] += own(tick, task)
        return all(found.values())

    await eventually_async(all_right)
    assert set(map(tuple, found.values())) == {(SET_RIGHT,)}


async def test_a_limit_that_comes_and_goes_reaches_every_schedule_of_its_tenant(
    watched: Watched,
) -> None:
    """All that the tenant has, paused ones as well, and nobody else's; a paused one stays so."""
    tenant = f"t{uuid4().hex[:8]}"
    tasks = [await watched.register(tenant_id=tenant, overlap="skip") for _ in range(2)]
    neighbour = await watched.register(overlap="skip")
    await control.pause(watched.client, tenant, tasks[1].task_id, who="ann", reason="moving")
    assert not any([await is_limited(watched, task) for task in tasks])

    for most, limited in ((5, True), (None, False)):
        await limit(watched, tenant, most)
        await until_set_right(watched, *tasks)
        assert [await is_limited(watched, task) for task in tasks] == [limited] * 2
        assert not await is_limited(watched, neighbour)
        state = (await watched.schedule(tasks[1]).describe()).schedule.state
        assert state.paused
        assert "paused by ann" in (state.note or "")
    for task in (*tasks, neighbour):
        await control.delete(watched.client, task.tenant_id, task.task_id)


async def test_another_number_changes_no_schedule(watched: Watched) -> None:
    """From one limit to another nothing is to be set right: the governor knows the number."""
    task = await watched.register(overlap="skip")
    await limit(watched, task.tenant_id, 5)
    await until_set_right(watched, task)
    await limit(watched, task.tenant_id, 6)
    tick = await look(watched.watch(), just_now(), just_now())
    assert own(tick, task) == []
    assert await is_limited(watched, task)
    await control.delete(watched.client, task.tenant_id, task.task_id)


@pytest.mark.parametrize("governed", ["limited", "resources"])
async def test_a_governed_fire_is_started_while_an_earlier_run_is_under_way(
    watched: Watched, governed: str
) -> None:
    """Its governor decides about `overlap: skip`; the run that the watch starts asks as others."""
    other = Watched(watched.client, watched.policy)  # nobody takes up its runs: they stay open
    async with build_watch_worker(other.client, other.settings):
        tenant = f"t{uuid4().hex[:8]}"
        said: dict[str, Any] = {"tenant_id": tenant, "overlap": "skip"}
        if governed == "limited":
            await limit(other, tenant, 5)
        else:
            said["resources"] = {"gpu": 1}
        task = await other.register(triggers=[{"every": "10m"}], **said)
        first = hour() + HOUR + timedelta(minutes=10)
        second = first + timedelta(minutes=10)
        tick = await look(other.watch(), first - timedelta(seconds=1), second, now=second)
        assert (tick.counts.started, tick.counts.skipped) == (2, 0)
        for at in (first, second):
            run = other.client.get_workflow_handle(scheduled_run_id(tenant, task.task_id, at))
            event = (await run.fetch_history()).events[0]
            payloads = list(event.workflow_execution_started_event_attributes.input.payloads)
            [request] = await other.client.data_converter.decode(payloads, [TaskRunInput])
            assert request.limited is (governed == "limited")
            assert request.finding
            assert request.finding.status is not RunState.SKIPPED
            await run.terminate()
        await control.delete(other.client, tenant, task.task_id)
