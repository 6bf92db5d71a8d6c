"""A tenant's tasks that share a minute: moved when they are registered, by either door."""

from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import Client, ScheduleListDescription

from domain.policy import Policy
from domain.problems import InvalidInput
from domain.registry import unpack_task
from starter import crowds
from starter.plan import Plan
from starter.registry import listed, make_plan
from tests.starter.harness import eventually_async
from tests.starter.limits import Limits, said

MINUTE = timedelta(minutes=1)


@pytest.fixture
def crowded(temporal: Client, policy: Policy, monkeypatch: pytest.MonkeyPatch) -> Limits:
    """Registers under a policy of two fires a minute, and looks at what is there every time."""
    monkeypatch.setattr(crowds, "FRESH_SECONDS", 0.0)
    few = policy.limits.model_copy(update={"max_fires_per_minute": 2})
    return Limits(temporal, policy.model_copy(update={"limits": few}))


def daily(tenant: str, *numbers: int, **fields: Any) -> list[dict[str, Any]]:
    """Tasks that share 02:00."""
    cron = {"triggers": [{"cron": "0 2 * * *"}]}
    return [said(tenant, f"t{number}", **{**cron, **fields}) for number in numbers]


def minutes(plan: Plan) -> dict[str, int]:
    """By how many minutes the tasks of a plan are moved."""
    return {task.task_id: task.spread // MINUTE for task in plan.registration.tasks}


async def counted(crowded: Limits, tenant: str, load: int) -> None:
    """Wait until Temporal's list tells of so many fires of the tenant."""

    async def told() -> bool:
        return await crowds._load(crowded.client, tenant) == load

    await eventually_async(told)


async def test_tasks_of_one_file_share_a_minute_as_far_as_they_may(
    crowded: Limits, tenant: str
) -> None:
    """The others come later by whole minutes and a mark; the plan says so, and their schedules."""
    async with crowded.working():
        plan = await crowded.apply(*daily(tenant, 1, 2, 3, 4, 5))

        assert minutes(plan) == {"t1": 0, "t2": 0, "t3": 1, "t4": 1, "t5": 2}
        [warning] = plan.warnings
        assert warning.startswith(f"{tenant}: 3 tasks are moved, by up to 2m")
        assert "more than 2 fires would share a minute" in warning
        entries: dict[tuple[str, str], ScheduleListDescription] = {}

        async def all_listed() -> bool:
            entries.update(await listed(crowded.client, [tenant]))
            return len(entries) == 5

        await eventually_async(all_listed)
        for task in plan.registration.tasks:
            entry = entries[(tenant, task.task_id)]
            assert entry.info is not None
            at = entry.info.next_action_times[0]
            assert (at.hour, at.minute, at.second) == (
                2,
                task.spread // MINUTE,
                (task.spread % MINUTE).seconds,
            )


async def test_what_a_tenant_has_counts_and_stays_when_more_is_registered(
    crowded: Limits, tenant: str
) -> None:
    """A second file finds the minutes that are left; the first, applied again, changes nothing."""
    async with crowded.working():
        first = await crowded.apply(*daily(tenant, 1, 2, 3))
        await counted(crowded, tenant, 3)
        second = await crowded.apply(*daily(tenant, 4, 5))
        await counted(crowded, tenant, 5)
        again = await crowded.apply(*daily(tenant, 5, 3, 2, 1))

    assert minutes(first) == {"t1": 0, "t2": 0, "t3": 1}
    assert minutes(second) == {"t4": 1, "t5": 2}
    assert minutes(again) == {"t5": 2, "t3": 1, "t2": 0, "t1": 0}
    assert (again.unchanged, again.created, again.updated) == (4, [], [])


async def test_tasks_that_are_pruned_take_no_room(crowded: Limits, tenant: str) -> None:
    """A file that replaces all tasks of a tenant by others of the same times moves as few."""
    async with crowded.working():
        await crowded.apply(*daily(tenant, 1, 2, 3))
        await counted(crowded, tenant, 3)
        file = crowded.file(*daily(tenant, 4, 3, 5))
        plan = await make_plan(crowded.client, file, task_queue=crowded.queue, prune=True)
    assert minutes(plan) == {"t4": 0, "t3": 1, "t5": 0}


async def test_other_tenants_and_tasks_of_events_take_no_room(crowded: Limits, tenant: str) -> None:
    """Three tenants of two tasks each, beside any number that only events start."""
    tasks = [task for n in range(3) for task in daily(f"{tenant}-{n}", 1, 2)] + daily(
        tenant, 1, 2, 3, triggers=[{"event": "order.paid"}]
    )
    plan = await crowded.plan(*tasks)
    assert set(minutes(plan).values()) == {0}
    assert plan.warnings == []


async def test_a_task_that_would_be_one_too_many_everywhere_is_refused(
    crowded: Limits, tenant: str
) -> None:
    """With its place in the file, and what to do; nothing is registered."""
    tasks = daily(tenant, 1, 2, 3, triggers=[{"every": "1m"}])
    async with crowded.working():
        with pytest.raises(InvalidInput) as refusal:
            await crowded.apply(*tasks)
    [problem] = refusal.value.problems
    assert problem.path == ("tasks", 2, "triggers")
    assert "2 fires already in every minute" in problem.message
    assert "max_fires_per_minute" in problem.message
    assert await listed(crowded.client, [tenant]) == {}


async def test_what_is_moved_is_remembered_with_its_spread(crowded: Limits, tenant: str) -> None:
    """The watch, `why` and forecasts read the registry: they know the same times."""
    async with crowded.working():
        plan = await crowded.apply(*daily(tenant, 1, 2, 3))
        moved = plan.registration.tasks[2]
        shard = await crowded.shard_of(moved)
    entry = shard.entries["t3"]
    assert unpack_task(entry.task) == moved
    assert moved.spread > timedelta(0)
    assert entry.load == 1


async def test_a_dry_run_without_temporal_moves_tasks_too(crowded: Limits, tenant: str) -> None:
    """By the file alone."""
    registration = crowded.file(*daily(tenant, 1, 2, 3))
    room = await crowds.make_room(None, registration, crowded.queue)
    assert [task.spread // MINUTE for task in room.registration.tasks] == [0, 0, 1]
    assert len(room.warnings) == 1


async def test_without_a_worker_the_tasks_of_the_file_are_counted(
    crowded: Limits, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can say what else is there: that is said, and the file is applied all the same."""
    async with crowded.working():
        await crowded.apply(*daily(tenant, 1, 2))
        await counted(crowded, tenant, 2)
    monkeypatch.setattr("starter.present.PATIENCE_SECONDS", 0.3)
    plan = await crowded.apply(*daily(tenant, 3, 4, 5))
    assert minutes(plan) == {"t3": 0, "t4": 0, "t5": 1}
    assert any("no worker answers" in warning for warning in plan.warnings)
