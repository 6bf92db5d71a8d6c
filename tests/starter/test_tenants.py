"""The tenants of a file: what it changes of their limits, and what it leaves as it is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import Client, ScheduleActionStartWorkflow

from domain.governor import SetLimits
from domain.ids import governor_id, registry_id, schedule_id
from domain.limits import TenantLimits
from domain.problems import InvalidInput
from domain.registry import LIMITS_SHARD, Configure
from shared.governor import configure, view_governor
from shared.schedules import read_request
from shared.tenants import read_limits, write_limits
from starter.registry import listed
from tests.starter.harness import eventually_async
from tests.starter.limits import Limits, said, without_time

DECLARED = TenantLimits(
    max_concurrent=2, resources={"gpu": 1}, mutex_groups={"warehouse": 1}, fairness_weight=2.0
)


def declared(tenant: str, **fields: Any) -> dict[str, Any]:
    """The tenant as a file declares `DECLARED`."""
    return {
        "tenant_id": tenant,
        "quota": {"max_concurrent": 2, "resources": {"gpu": 1}},
        "mutex_groups": {"warehouse": 1},
        "fairness_weight": 2.0,
        **fields,
    }


async def governed_by(client: Client, tenant: str) -> TenantLimits | None:
    """The limits that the tenant's governor admits by, once it knows who holds what."""

    async def settled() -> bool:
        view = await view_governor(client, tenant)
        return view is None or not view.restoring

    await eventually_async(settled)
    view = await view_governor(client, tenant)
    return without_time(view.state.limits) if view else None


async def test_a_plan_tells_what_changes_and_changes_nothing(limits: Limits, tenant: str) -> None:
    """In words and in JSON; afterwards the tenant has no limits, no registry and no governor."""
    plan = await limits.plan(said(tenant), tenants=[declared(tenant)])

    changes = [
        "max_concurrent: none -> 2",
        "resource gpu: none -> 1",
        "mutex group warehouse: undeclared -> 1",
        "fairness_weight: 1.0 -> 2.0",
    ]
    assert plan.as_json()["tenants"] == [{"tenant_id": tenant, "changes": changes}]
    assert await read_limits(limits.client, tenant) is None
    assert (await limits.shard(tenant)).limits is None
    assert await governed_by(limits.client, tenant) is None
    assert not await listed(limits.client, [tenant])


async def test_what_is_applied_holds_and_is_applied_once(limits: Limits, tenant: str) -> None:
    """The registry, the governor and every schedule know; a second apply has nothing to do."""
    done = await limits.apply(said(tenant), tenants=[declared(tenant)])
    assert [change.tenant_id for change in done.tenants] == [tenant]
    assert without_time(await read_limits(limits.client, tenant)) == DECLARED
    assert without_time((await limits.shard(tenant)).limits) == DECLARED
    assert await governed_by(limits.client, tenant) == DECLARED
    description = await limits.client.get_schedule_handle(schedule_id(tenant, "t")).describe()
    request = await read_request(limits.client, description.schedule)
    assert request
    assert request.limited
    assert isinstance(description.schedule.action, ScheduleActionStartWorkflow)
    assert description.schedule.action.priority.fairness_weight == 2.0

    before = await limits.shard(tenant)
    again = await limits.apply(said(tenant), tenants=[declared(tenant)])
    assert (again.tenants, again.created, again.updated, again.unchanged) == ([], [], [], 1)
    assert (await limits.shard(tenant)).version == before.version


async def test_a_tenant_that_is_not_declared_keeps_what_it_has(limits: Limits, tenant: str) -> None:
    """Its new tasks get its weight and its limits, and are admitted by them."""
    await limits.apply(tenants=[declared(tenant)])
    task = said(tenant, mutex=["warehouse"], resources={"gpu": 1, "unlimited": 99})
    done = await limits.apply(task)

    assert done.tenants == []
    [wanted] = done.created
    assert wanted.weight == 2.0
    assert wanted.digest.endswith("/limited")
    assert without_time(await read_limits(limits.client, tenant)) == DECLARED
    assert await governed_by(limits.client, tenant) == DECLARED


async def test_a_declaration_says_all_of_a_tenant(limits: Limits, tenant: str) -> None:
    """What it leaves out is no limit any more, and its tasks go back to what they were."""
    await limits.apply(said(tenant, overlap="skip"), tenants=[declared(tenant)])
    done = await limits.apply(said(tenant, overlap="skip"), tenants=[{"tenant_id": tenant}])

    assert [change.changes for change in done.tenants] == [
        [
            "max_concurrent: 2 -> none",
            "resource gpu: 1 -> none",
            "mutex group warehouse: 1 -> undeclared",
            "fairness_weight: 2.0 -> 1.0",
        ]
    ]
    assert len(done.updated) == 1
    assert without_time(await read_limits(limits.client, tenant)) == TenantLimits()
    assert await governed_by(limits.client, tenant) == TenantLimits()
    description = await limits.client.get_schedule_handle(schedule_id(tenant, "t")).describe()
    request = await read_request(limits.client, description.schedule)
    assert request
    assert not request.limited


@pytest.mark.parametrize(
    ("fields", "path", "message"),
    [
        (
            {"mutex": ["warehouse", "warehuose"]},
            ("tasks", 1, "mutex", 1),
            "'warehuose' is not a mutex group of the tenant (warehouse): declare it there",
        ),
        (
            {"resources": {"gpu": 2}},
            ("tasks", 1, "resources", "gpu"),
            "2 can never be met: the tenant's quota is 1",
        ),
    ],
)
async def test_a_file_that_does_not_fit_a_tenant_is_refused_whole(
    limits: Limits, tenant: str, fields: dict[str, Any], path: tuple[str | int, ...], message: str
) -> None:
    """The path is that of the task in the file, and its good tasks are not registered either."""
    await limits.apply(tenants=[declared(tenant)])
    with pytest.raises(InvalidInput) as refused:
        await limits.apply(said(tenant, "good"), said(tenant, "bad", **fields))

    assert [(p.path, p.message) for p in refused.value.problems] == [(path, message)]
    assert not await listed(limits.client, [tenant])
    assert (await limits.shard(tenant)).entries == {}


async def test_a_group_of_another_tenant_is_none_of_ones_own(limits: Limits, tenant: str) -> None:
    """Groups are the tenant's: a neighbour without any has none to name."""
    await limits.apply(tenants=[declared(tenant)])
    with pytest.raises(InvalidInput, match="it has none"):
        await limits.plan(said(f"{tenant}-b", mutex=["warehouse"]))


async def test_limits_survive_continue_as_new(
    limits: Limits, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often registry and governor go on as new, what was said last holds in both."""
    monkeypatch.setattr("workflows.registry.SIGNALS_PER_RUN", 3)
    monkeypatch.setattr("workflows.governor.MESSAGES_PER_RUN", 3)
    for most in range(1, 12):
        wanted = TenantLimits(max_concurrent=most, mutex_groups={"m": most})
        told = await write_limits(limits.client, tenant, wanted, task_queue=limits.queue)
        await configure(limits.client, tenant, told, task_queue=limits.queue)

    assert without_time(await read_limits(limits.client, tenant)) == wanted
    assert without_time((await limits.shard(tenant)).limits) == wanted
    assert await governed_by(limits.client, tenant) == wanted
    for workflow_id in (registry_id(tenant, LIMITS_SHARD), governor_id(tenant)):
        query = f"WorkflowId = '{workflow_id}' AND ExecutionStatus = 'ContinuedAsNew'"

        async def went_on(query: str = query) -> bool:
            return bool([run.id async for run in limits.client.list_workflows(query)])

        await eventually_async(went_on)


async def test_what_was_said_earlier_and_comes_late_changes_nothing(
    limits: Limits, tenant: str
) -> None:
    """Two commands at once, and the slower one's signals come last: the later word still holds."""
    await limits.apply(tenants=[declared(tenant)])
    early = datetime.now(UTC) - timedelta(minutes=1)
    late = TenantLimits(max_concurrent=99, changed_at=early)
    registry = limits.client.get_workflow_handle(registry_id(tenant, LIMITS_SHARD))
    before = await limits.shard(tenant)
    await registry.signal("configure", Configure(at=early, limits=late))
    await limits.client.get_workflow_handle(governor_id(tenant)).signal(
        "configure", SetLimits(limits=late)
    )

    assert await limits.shard(tenant) == before
    assert without_time(await read_limits(limits.client, tenant)) == DECLARED
    assert await governed_by(limits.client, tenant) == DECLARED
