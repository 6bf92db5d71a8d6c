"""Many runs at once, with the product's own workers and a real plugin runtime."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from domain.limits import TenantLimits
from domain.task import Task
from sandbox.client import SandboxClient
from shared.settings import Settings
from tests.admission.harness import (
    Governed,
    Place,
    governed_task,
    never_two,
    new_tenant,
    succeeded,
    waiting,
)
from tests.starter.harness import eventually_async
from worker.governor import build_governor_worker
from worker.main import build_worker, shared_parts
from worker.plugins import build_plugin_worker

_LONG = timedelta(minutes=5)
_SLOW = {"heartbeat_timeout": "30s"}
"""Everything runs in one busy process here: a second without a heartbeat is no lost worker."""


@dataclass(frozen=True, slots=True)
class Real:
    """Starts runs for the product's own workers; their plugins are those of the sandbox."""

    governed: Governed
    sandbox: SandboxClient

    async def never_two_and_all_served(self, groups: dict[str, list[Task]]) -> None:
        """Start a run of every task at once and judge them by the sandbox's log."""
        tasks = [task for group in groups.values() for task in group]
        runs = await asyncio.gather(*(self.governed.go(task) for task in tasks))
        await succeeded(*runs, within=_LONG)
        deliveries = await self.sandbox.deliveries()
        assert {found.key for found in deliveries} == {run.id for run in runs}
        assert len({found.effect for found in deliveries}) == len(runs)
        group_of = {task.task_id: name for name, group in groups.items() for task in group}
        never_two(deliveries, group_of)
        for tenant in {task.tenant_id for task in tasks}:
            await self.governed.nothing_is_left(tenant)


@pytest.fixture
async def real(temporal: Client, plugin: SandboxClient, plugin_url: str) -> AsyncIterator[Real]:
    """Workers as `python -m worker` has them, in this process."""
    governed = Governed(temporal)
    settings = Settings(task_queue=governed.queue, plugin_url=plugin_url)
    async with (
        shared_parts(temporal, settings) as parts,
        build_governor_worker(temporal, settings, parts.capacity),
        build_worker(parts),
        build_plugin_worker(parts),
    ):
        yield Real(governed, plugin)


@pytest.mark.fault(19)
@pytest.mark.parametrize("pairs", [20, pytest.param(500, marks=pytest.mark.soak)])
async def test_pairs_of_one_mutex_group_due_at_one_instant_never_meet(
    real: Real, pairs: int
) -> None:
    """Each pair has a group of its own: one goes, the other goes after it."""
    tenant = new_tenant()
    await real.sandbox.configure("report-builder", latency=0.2)
    await real.never_two_and_all_served(
        {
            f"m{n}": [governed_task(tenant, mutex=[f"m{n}"], **_SLOW) for _ in range(2)]
            for n in range(pairs)
        }
    )


@pytest.mark.parametrize("count", [8, pytest.param(20, marks=pytest.mark.soak)])
async def test_many_tenants_at_once(real: Real, count: int) -> None:
    """Each has its own governor: groups of one name do not meet, and none waits for another's."""
    await real.sandbox.configure("report-builder", latency=0.1)
    tenants = [new_tenant() for _ in range(count)]
    await real.never_two_and_all_served(
        {
            tenant: [governed_task(tenant, mutex=["m"], **_SLOW) for _ in range(2)]
            for tenant in tenants
        }
    )


async def test_a_group_that_two_may_hold_is_held_by_two(governed: Governed) -> None:
    """A mutex group is a limit of its tenant's choice, and never one more."""
    place, tenant = Place(), new_tenant()
    await governed.limit(tenant, TenantLimits(mutex_groups={"m": 2}))
    runs = [await governed.go(governed.at(place, tenant, mutex=["m"])) for _ in range(6)]

    async def two_inside() -> bool:
        return len(place.inside) == 2

    await eventually_async(two_inside)
    await asyncio.sleep(0.5)
    assert await two_inside()
    place.let_go()
    await succeeded(*runs)
    assert place.most_at_once() == 2
    await governed.nothing_is_left(tenant)


@pytest.mark.parametrize("count", [30, pytest.param(200, marks=pytest.mark.soak)])
async def test_queued_runs_drain_by_priority_without_a_storm(
    governed: Governed, count: int
) -> None:
    """The first priority goes first; nobody asks over and over."""
    place, tenant = Place(), new_tenant()
    await governed.limit(tenant, TenantLimits(max_concurrent=5))
    blockers = [
        await governed.go(governed.at(place, tenant, priority=1), limited=True) for _ in range(5)
    ]
    await place.entered(*blockers)
    tasks = [governed.at(place, tenant, priority=1 + n % 5) for n in range(count)]
    runs = await asyncio.gather(*(governed.go(task, limited=True) for task in tasks))
    await waiting(*runs)
    place.let_go()
    await succeeded(*blockers, *runs, within=_LONG)
    assert place.most_at_once() <= 5
    level = {run.id: 1 + n % 5 for n, run in enumerate(runs)}
    order = [level[run_id] for run_id in place.order() if run_id in level]
    # A priority is worth a minute of waiting, and all asked within less; five may swap places.
    assert all(order[n] <= order[n + 10] for n in range(count - 10)), order
    accepted = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED
    exchanges = sum(
        event.event_type == accepted
        for history in await governed.histories(tenant)
        for event in history.events
    )
    assert exchanges < 3 * count
    await governed.nothing_is_left(tenant)


async def test_a_governor_that_goes_on_as_a_new_run_loses_nobody(
    governed: Governed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a steady stream it does so every few messages, with holders and with a queue."""
    monkeypatch.setattr("workflows.governor.MESSAGES_PER_RUN", 5)
    tenant, places = new_tenant(), [Place() for _ in range(5)]
    for place in places:
        place.let_go()

    async def stream(number: int) -> None:
        tasks = [governed.at(places[number], tenant, mutex=[f"m{number}"]) for _ in range(3)]
        for _ in range(3):
            await succeeded(*await asyncio.gather(*(governed.go(task) for task in tasks)))

    await asyncio.gather(*(stream(number) for number in range(5)))
    assert [place.most_at_once() for place in places] == [1] * 5
    histories = await governed.histories(tenant)
    assert len(histories) > 3
    counters = (await governed.books(tenant)).state.counters
    assert (counters["granted"], counters["swept"]) == (45, 0)
    await governed.nothing_is_left(tenant)
