"""Schedules that somebody deletes, pauses or changes behind our back."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import ScheduleIntervalSpec, ScheduleUpdate, ScheduleUpdateInput

from domain.states import RunState
from shared.registry import forget
from shared.schedules import SPEC_DIGEST, Circumstances, digest_of, schedule_of
from starter import control
from starter.registry import listed
from tests.starter.harness import eventually_async
from tests.watch.harness import Watched, look, own


def just_now() -> datetime:
    """An instant without fractions, so that it may be a nominal time."""
    return datetime.now(UTC).replace(microsecond=0)


@pytest.mark.fault(24)
async def test_a_deleted_schedule_is_made_again_and_its_fires_run_once(watched: Watched) -> None:
    """Every fire between the registration and the tick has one run, also when it is repeated."""
    began = just_now()
    task = await watched.register(triggers=[{"every": "10s"}], overlap="allow")
    before = await watched.schedule(task).describe()
    await watched.deleted(task)
    await asyncio.sleep(21 - (datetime.now(UTC) - began).total_seconds())
    end = just_now()
    watch = watched.watch()
    tick = await look(watch, began, end, now=end + timedelta(seconds=61))
    again = await look(watched.watch(), began, end, now=end + timedelta(seconds=61))

    after = await watched.schedule(task).describe()
    assert (after.schedule.spec, after.schedule.policy) == (
        before.schedule.spec,
        before.schedule.policy,
    )
    assert after.typed_search_attributes == before.typed_search_attributes
    assert own(tick, task) == ["its schedule was deleted in Temporal, and is made again"]
    assert own(again, task) == []
    due = [
        began + timedelta(seconds=s)
        for s in range(1, 1 + int((end - began).total_seconds()))
        if (began + timedelta(seconds=s)).timestamp() % 10 == 0
    ]
    registered = (await watched.schedule(task).describe()).info.created_at
    runs = [run for run in await watched.runs_of(task) if run.nominal_time in due]
    assert [run.nominal_time for run in runs] in (due, due[1:]), f"registered {registered}"
    assert all(run.status is RunState.SUCCESS for run in runs)
    late = [run for run in runs if run.reason and "started by the watch" in run.reason]
    assert late
    assert tick.counts.started == again.counts.started == len(late)
    calls = [call.workflow_id for call in watched.runs.plugin.calls[task.task_id]]
    assert len(calls) == len(set(calls))
    await control.delete(watched.client, task.tenant_id, task.task_id)


async def test_a_paused_schedule_comes_back_paused(watched: Watched) -> None:
    """What taskflow paused stays paused when somebody deletes its schedule, note and all."""
    task = await watched.register()
    await control.pause(watched.client, task.tenant_id, task.task_id, who="ann", reason="moving")
    await watched.deleted(task)
    now = just_now()
    await look(watched.watch(), now, now)
    state = (await watched.schedule(task).describe()).schedule.state
    assert state.paused
    assert "paused by ann" in (state.note or "")


async def test_the_schedule_of_a_task_of_events_is_made_again(watched: Watched) -> None:
    """Nothing of it is ever due, and it is what people see and pause; nothing else is found."""
    task = await watched.register(triggers=[{"event": "order.created"}])
    now = just_now()
    assert own(await look(watched.watch(), now, now + timedelta(minutes=1)), task) == []
    await watched.deleted(task)
    tick = await look(watched.watch(), now, now)
    assert own(tick, task) == ["its schedule was deleted in Temporal, and is made again"]
    assert (await watched.schedule(task).describe()).id
    assert await watched.runs_of(task) == []


async def test_a_deleted_task_does_not_come_back(watched: Watched) -> None:
    """The registry forgets first: the watch makes nothing again that was deleted on purpose."""
    task = await watched.register()
    await control.delete(watched.client, task.tenant_id, task.task_id)

    async def gone() -> bool:
        return not await listed(watched.client, [task.tenant_id])

    await eventually_async(gone)
    tick = await look(watched.watch(), just_now(), just_now())
    assert own(tick, task) == []
    assert await gone()


@pytest.mark.fault(24)
async def test_a_foreign_pause_is_reported_and_its_fires_are_shown_as_skipped(
    watched: Watched,
) -> None:
    """An operator may have meant it: nothing runs, and each fire says why."""
    task = await watched.register(triggers=[{"every": "10s"}])
    await watched.schedule(task).pause(note="by hand")

    async def listed_as_paused() -> bool:
        found = await look(watched.watch(), just_now(), just_now())
        return bool(own(found, task))

    await eventually_async(listed_as_paused)
    end = datetime.fromtimestamp((datetime.now(UTC).timestamp() // 10 + 3) * 10, UTC)
    start = end - timedelta(seconds=20)
    tick = await look(watched.watch(), start, end)
    [finding] = own(tick, task)
    assert "paused in Temporal, and not by taskflow" in finding
    assert tick.counts.reported == 1
    runs = [r for r in await watched.runs_of(task, 2) if r.nominal_time and r.nominal_time > start]
    assert {run.status for run in runs} == {RunState.SKIPPED}
    assert all("paused in Temporal" in (run.reason or "") for run in runs)
    assert tick.counts.skipped == len(runs) == 2
    assert (await watched.schedule(task).describe()).schedule.state.paused

    ended = await look(watched.watch(unpause=True), just_now(), just_now())
    assert own(ended, task) == ["was paused in Temporal, and is resumed"]
    assert not (await watched.schedule(task).describe()).schedule.state.paused
    await control.delete(watched.client, task.tenant_id, task.task_id)


async def test_a_task_paused_by_us_expects_nothing(watched: Watched) -> None:
    """Between pause and resume no fire is due; after the resume they are again."""
    task = await watched.register(triggers=[{"every": "10s"}])
    await control.pause(watched.client, task.tenant_id, task.task_id, who="ann", reason="")
    paused = just_now() + timedelta(seconds=1)
    watch = watched.watch()
    tick = await look(watch, paused, paused + timedelta(minutes=5))
    assert (tick.counts.due, own(tick, task)) == (0, [])
    await control.resume(watched.client, task.tenant_id, task.task_id, who="ann")

    async def expects_again() -> bool:
        end = just_now() + timedelta(minutes=5)
        found = await look(watched.watch(), end - timedelta(seconds=30), end, now=end)
        return found.counts.due == 3

    await eventually_async(expects_again)
    await control.delete(watched.client, task.tenant_id, task.task_id)


async def test_a_changed_schedule_is_set_right(watched: Watched) -> None:
    """Another interval, put in by hand, is the registered one again, once."""
    task = await watched.register()
    before = (await watched.schedule(task).describe()).schedule

    async def change(current: ScheduleUpdateInput) -> ScheduleUpdate:
        schedule = current.description.schedule
        schedule.spec.intervals = [ScheduleIntervalSpec(timedelta(hours=5))]
        return ScheduleUpdate(schedule)

    await watched.schedule(task).update(change)

    async def restored() -> bool:
        tick = await look(watched.watch(), just_now(), just_now())
        return own(tick, task) == ["its schedule was not as it should be by now, and is again"]

    await eventually_async(restored)
    after = (await watched.schedule(task).describe()).schedule
    assert (after.spec, after.policy) == (before.spec, before.policy)


async def test_clock_changes_that_come_near_are_mended(watched: Watched) -> None:
    """A year on, the watch has the schedule be exact for the two years after that."""
    cron = {"cron": "30 1,2 * * *", "timezone": "Europe/Berlin"}
    task = await watched.register(triggers=[cron])
    later = just_now() + timedelta(days=400)
    tick = await look(watched.watch(), just_now(), just_now(), now=later)
    assert own(tick, task) == ["its schedule was not as it should be by now, and is again"]

    wanted = Circumstances(watched.settings.task_queue, later)

    async def mended() -> bool:
        found = await watched.schedule(task).describe()
        right = found.typed_search_attributes.get(SPEC_DIGEST) == digest_of(task, 1.0, wanted)
        return right and found.schedule.spec == schedule_of(task, 1.0, wanted).spec

    await eventually_async(mended)


async def test_a_registry_that_was_lost_is_filled_from_the_schedules(watched: Watched) -> None:
    """Terminated, it knows nothing; the watch has it learn again what is scheduled."""
    task = await watched.register()
    before = watched.watch()
    assert own(await look(before, just_now(), just_now()), task) == []
    async for registry in watched.client.list_workflows("WorkflowType = 'Registry'"):
        if registry.id.startswith(f"registry/{task.tenant_id}/"):
            await watched.client.get_workflow_handle(registry.id).terminate()

    async def adopted() -> bool:
        tick = await look(before, just_now(), just_now())
        return own(tick, task) == ["was not in the registry, and is now"]

    await eventually_async(adopted)
    await watched.deleted(task)
    await look(watched.watch(), just_now(), just_now())
    await watched.schedule(task).describe()


async def test_a_task_that_its_registry_has_no_room_for_is_told(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each look: nothing would be done were its schedule lost. With room it is watched again."""
    with monkeypatch.context() as full:
        full.setattr("domain.registry.MOST_BYTES", 100)
        task = await watched.register()
        for _ in range(2):
            [told] = own(await look(watched.watch(), just_now(), just_now()), task)
            assert told.startswith("its runs come, but nobody watches over them: the tenant has")
    await watched.register(tenant_id=task.tenant_id, task_id=task.task_id, description="again")
    assert own(await look(watched.watch(), just_now(), just_now()), task) == []


async def test_a_deletion_that_was_cut_off_is_finished(watched: Watched) -> None:
    """Killed between the registry and the schedule, a delete leaves work that the watch does."""
    task = await watched.register()
    await forget(watched.client, [(task.tenant_id, task.task_id)])
    tick = await look(watched.watch(), just_now(), just_now())
    assert own(tick, task) == ["was deleted, but for its schedule: that is deleted now"]
