"""Comparing a file with what is registered, and making it so, whoever else is at it."""

from dataclasses import replace
from datetime import datetime

import pytest
from temporalio.client import Client, ScheduleSpec

from domain.document import Document
from domain.policy import Policy
from domain.registration import Registration, read_registration
from domain.task import Task
from shared.calls import Advance
from shared.compiled import compiled_spec
from starter import registry
from starter.plan import Plan
from starter.registry import carry_out, listed, make_plan
from tests.starter.harness import eventually_async

QUEUE = "nobody-works-here"


@pytest.fixture
def tasks(policy: Policy, tenant: str) -> "Registrations":
    """Makes files of this tenant."""
    return Registrations(policy, tenant)


class Registrations:
    """Files of so many tasks, that differ in their interval."""

    def __init__(self, policy: Policy, tenant: str) -> None:
        self._policy = policy
        self._tenant = tenant

    def __call__(self, count: int, every: str = "1h") -> Registration:
        """A file of `count` tasks."""
        tasks = [
            {
                "tenant_id": self._tenant,
                "task_id": f"t{number}",
                "plugin_id": "p",
                "triggers": [{"every": every}],
            }
            for number in range(count)
        ]
        return read_registration(Document({"tasks": tasks}), self._policy)


async def apply(client: Client, registration: Registration, *, prune: bool = False) -> Plan:
    """Plan and carry out."""
    plan = await make_plan(client, registration, task_queue=QUEUE, prune=prune)
    return await carry_out(client, plan)


async def until_listed(client: Client, tenant: str, count: int) -> None:
    """Wait for Temporal's list to catch up."""

    async def there() -> bool:
        return len(await listed(client, [tenant])) == count

    await eventually_async(there)


async def test_what_somebody_else_did_meanwhile_is_not_done_again(
    temporal: Client, tasks: Registrations
) -> None:
    """Two plans of one file, carried out one after the other, create every task once."""
    first = await make_plan(temporal, tasks(3), task_queue=QUEUE)
    second = await make_plan(temporal, tasks(3), task_queue=QUEUE)

    done = [await carry_out(temporal, first), await carry_out(temporal, second)]

    assert [len(plan.created) for plan in done] == [3, 0]
    assert (done[1].unchanged, done[1].updated) == (3, [])


async def test_a_task_deleted_after_the_plan_is_created_by_its_update(
    temporal: Client, tasks: Registrations, tenant: str
) -> None:
    """An update that finds nothing creates; a delete that finds nothing is done."""
    await apply(temporal, tasks(2))
    await until_listed(temporal, tenant, 2)
    plan = await make_plan(temporal, tasks(1, every="2h"), task_queue=QUEUE, prune=True)
    for number in (0, 1):
        await temporal.get_schedule_handle(f"task/{tenant}/t{number}").delete()

    done = await carry_out(temporal, plan)

    assert [wanted.key for wanted in done.created] == [(tenant, "t0")]
    assert done.deleted == [(tenant, "t1")]


async def test_beyond_a_hundred_tasks_digests_tell_what_is_unchanged(
    temporal: Client,
    tasks: Registrations,
    tenant: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A big file is compared by the list alone, and a change in it is still found."""
    monkeypatch.setattr(registry, "VERIFIED_BELOW", 3)
    await apply(temporal, tasks(5))
    await until_listed(temporal, tenant, 5)
    compared: list[int] = []

    def total(_what: str, count: int) -> Advance:
        compared.append(count)
        return lambda: None

    same = await make_plan(temporal, tasks(5), task_queue=QUEUE, total=total)
    changed = await make_plan(temporal, tasks(5, every="2h"), task_queue=QUEUE, total=total)

    assert compared == [0, 5]
    assert (same.unchanged, same.created, same.updated) == (5, [], [])
    assert len(changed.updated) == 5
    assert all("triggers" in change.changes[0] for change in changed.updated)
    assert all(change.times_before for change in changed.updated)


async def test_a_task_that_never_fires_again_is_a_warning(
    temporal: Client, policy: Policy, tenant: str
) -> None:
    """A one-off in the past is registered, and the plan says that nothing will come of it."""
    task = {"tenant_id": tenant, "task_id": "past", "plugin_id": "p"}
    task |= {"triggers": [{"at": "2001-01-01T00:00:00Z"}]}  # type: ignore[dict-item]
    registration = read_registration(Document({"tasks": [task]}), policy)

    plan = await make_plan(temporal, registration, task_queue=QUEUE)

    assert plan.warnings == [f"{tenant}/past never fires again"]


async def test_a_schedule_that_does_not_fire_as_wanted_is_warned_of(
    temporal: Client, policy: Policy, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's own list decides: a schedule left as Temporal reads it is found out at apply."""
    cron = {"cron": "30 1,2 * * *", "timezone": "Europe/Berlin"}
    task = {"tenant_id": tenant, "task_id": "t", "plugin_id": "p", "triggers": [cron]}
    right = read_registration(Document({"tasks": [task]}), policy)
    assert not (await apply(temporal, right)).warnings

    monkeypatch.setattr("shared.schedules.compiled_spec", _unmended)
    wrong = read_registration(Document({"tasks": [task | {"task_id": "u"}]}), policy)
    warnings = (await apply(temporal, wrong)).warnings
    assert warnings
    assert all(f"{tenant}/u does not fire as its triggers say" in text for text in warnings)


def _unmended(task: Task, now: datetime) -> ScheduleSpec:
    """The spec without what mends the clock changes."""
    whole = compiled_spec(task, now)
    return replace(whole, skip=[], intervals=[])
