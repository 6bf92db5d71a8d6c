"""A tenant's quota, shown and changed while its runs hold some of it."""

import time

import pytest

from domain.limits import CONCURRENT, TenantLimits
from domain.policy import Policy
from shared.errors import NotFound
from shared.tenants import read_limits
from starter.quota import set_quota, show_quotas
from tests.conftest import task_of
from tests.starter.harness import eventually_async
from tests.starter.limits import Limits, said, without_time


async def test_only_what_is_named_changes(limits: Limits, tenant: str) -> None:
    """Each change adds to those before it; `None` takes a limit away, and the rest stays."""
    steps: list[tuple[dict[str, int | None], TenantLimits]] = [
        ({CONCURRENT: 3}, TenantLimits(max_concurrent=3)),
        ({"resource:gpu": 2}, TenantLimits(max_concurrent=3, resources={"gpu": 2})),
        (
            {"mutex:m": 4, CONCURRENT: None},
            TenantLimits(resources={"gpu": 2}, mutex_groups={"m": 4}),
        ),
        ({"resource:gpu": None, "mutex:m": None}, TenantLimits()),
    ]
    for wanted, expected in steps:
        view = await set_quota(limits.client, tenant, wanted, task_queue=limits.queue)
        assert view.changes
        assert without_time(await read_limits(limits.client, tenant)) == expected
        assert view.books
        assert without_time(view.books.state.limits) == expected


async def test_what_is_so_already_is_not_changed_again(limits: Limits, tenant: str) -> None:
    """The registry has no new version of it, and the command has no changes to tell."""
    await set_quota(limits.client, tenant, {CONCURRENT: 3}, task_queue=limits.queue)
    before = await limits.shard(tenant)
    view = await set_quota(limits.client, tenant, {CONCURRENT: 3}, task_queue=limits.queue)
    assert view.changes == []
    assert await limits.shard(tenant) == before


async def test_a_quota_outlives_the_next_file_that_does_not_declare_the_tenant(
    limits: Limits, tenant: str
) -> None:
    """And a file that does says everything: the plan tells what it takes back."""
    await set_quota(limits.client, tenant, {CONCURRENT: 3}, task_queue=limits.queue)
    assert (await limits.apply(said(tenant))).tenants == []
    [change] = (await limits.plan(said(tenant), tenants=[{"tenant_id": tenant}])).tenants
    assert change.changes == ["max_concurrent: 3 -> none"]


@pytest.mark.fault(22)
async def test_a_change_counts_for_who_asks_next(limits: Limits, tenant: str) -> None:
    """Lowered below what is held it stops nobody and admits nobody; raised, it admits at once."""
    task = task_of(tenant_id=tenant, overlap="allow")

    async def most(count: int | None) -> None:
        await set_quota(limits.client, tenant, {CONCURRENT: count}, task_queue=limits.queue)

    await most(2)
    assert [await limits.ask(task, f"run-{n}") for n in (1, 2, 3)] == [
        "granted",
        "granted",
        "queued",
    ]
    await most(1)
    assert await limits.ask(task, "run-1") == "granted"
    assert await limits.ask(task, "run-3") == "queued"
    await most(4)
    assert [await limits.ask(task, f"run-{n}") for n in (2, 3, 4, 5)] == [
        "granted",
        "granted",
        "granted",
        "queued",
    ]
    await most(None)
    assert await limits.ask(task, "run-5") == "granted"


async def test_a_view_counts_what_is_held_and_who_waits_for_it(limits: Limits, tenant: str) -> None:
    """Also of what nobody limited, and a task's own rule is named by the task."""
    wanted = {CONCURRENT: 5, "resource:gpu": 3, "mutex:m": 1}
    await set_quota(limits.client, tenant, wanted, task_queue=limits.queue)
    task = task_of(
        "{overlap: queue, mutex: [m], resources: {gpu: 2, disk: 7}}", tenant_id=tenant, task_id="t"
    )
    await limits.ask(task, "run-1")
    await limits.ask(task, "run-2")

    [view] = await show_quotas(limits.client, tenant)
    assert {row.name: (row.limit, row.used, row.waiting) for row in view.rows} == {
        "the tenant's max_concurrent": (5, 1, 0),
        "resource gpu": (3, 2, 1),
        "mutex group m": (1, 1, 1),
        "runs of t": (1, 1, 1),
        "resource disk": (None, 7, 0),
    }
    document = view.as_json()
    assert (document["holders"], document["queue"]) == (["run-1"], ["run-2"])


async def test_an_unknown_tenant_has_no_quota(limits: Limits, tenant: str) -> None:
    """It is not found, by name; of all tenants it is none."""
    with pytest.raises(NotFound, match=tenant):
        await show_quotas(limits.client, tenant)
    assert tenant not in {view.tenant_id for view in await show_quotas(limits.client, None)}


async def test_all_tenants_that_have_limits_are_shown(limits: Limits, tenant: str) -> None:
    """Each once and in order of their names."""
    names = [f"{tenant}-{letter}" for letter in "cab"]
    for name in names:
        await set_quota(limits.client, name, {CONCURRENT: 1}, task_queue=limits.queue)

    async def all_there() -> bool:
        views = await show_quotas(limits.client, None)
        return [v.tenant_id for v in views if v.tenant_id in names] == sorted(names)

    await eventually_async(all_there)


async def test_changes_without_a_worker_add_up_and_wait_for_one(
    limits: Limits, policy: Policy, tenant: str
) -> None:
    """What is said while nobody works is shown within seconds, and is so when somebody does."""
    idle = Limits(limits.client, policy)
    steps: list[dict[str, int | None]] = [
        {CONCURRENT: 3},
        {"resource:gpu": 2},
        {"mutex:m": 4, CONCURRENT: 5},
    ]
    for step in steps:
        await set_quota(idle.client, tenant, step, task_queue=idle.queue)
    began = time.monotonic()
    [view] = await show_quotas(idle.client, tenant)
    assert time.monotonic() - began < 8
    wanted = TenantLimits(max_concurrent=5, resources={"gpu": 2}, mutex_groups={"m": 4})
    assert without_time(view.limits) == wanted
    assert view.books is None
    assert view.as_json()["known"] is False
    [change] = (await idle.plan(said(tenant), tenants=[{"tenant_id": tenant}])).tenants
    assert "max_concurrent: 5 -> none" in change.changes

    async with idle.working():
        assert without_time((await idle.shard(tenant)).limits) == wanted
        [view] = await show_quotas(idle.client, tenant)
        assert view.books
        assert without_time(view.books.state.limits) == wanted
