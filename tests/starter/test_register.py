"""Registering for a caller, and on a condition: what holds when somebody else is at it too."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from temporalio.client import Client, Interceptor, OutboundInterceptor

from domain.document import Document
from domain.ids import registry_id
from domain.policy import Policy
from domain.problems import InvalidInput
from domain.registry import Snapshot, shard_of, unpack_task
from domain.task import Task
from shared.errors import NotFound
from shared.registry import read_shard
from starter import control
from starter.callers import TENANT_SCOPES, Caller, Forbidden, Scope
from starter.conditions import (
    Condition,
    PreconditionFailed,
    condition_of,
    tag_now,
    tag_of,
)
from starter.register import Change, Registered, read_body, register
from starter.registry import make_plan
from starter.taskdoc import TaskDocument
from tests.conftest import task_of
from tests.starter.harness import eventually_async
from tests.starter.limits import Limits, said


class Registering:
    """One tenant's caller."""

    def __init__(self, limits: Limits, tenant: str) -> None:
        self.client, self.queue, self.policy = limits.client, limits.queue, limits.policy
        self.tenant = tenant
        self.caller = Caller("ann", tenant, TENANT_SCOPES)

    def body(self, data: Any) -> TaskDocument:
        """What the caller sends."""
        return read_body(Document(data), self.policy, self.caller, self.tenant)

    async def register(
        self, condition: Condition | None = None, client: Client | None = None, **fields: Any
    ) -> Registered:
        """One task."""
        document = self.body(said(self.tenant, **fields))
        chosen = condition or Condition()
        return await register(
            client or self.client, document, task_queue=self.queue, condition=chosen
        )

    async def remembered(self) -> Task | None:
        """The task as the registry would restore it."""
        shard = registry_id(self.tenant, shard_of("t"))
        snapshot: Snapshot = await read_shard(self.client, shard)
        entry = snapshot.entries.get("t")
        return unpack_task(entry.task) if entry else None


@pytest.fixture
def ann(limits: Limits, tenant: str) -> Registering:
    """The test's own tenant."""
    return Registering(limits, tenant)


class Meanwhile(Interceptor):
    """Lets something happen just before a schedule is created or updated."""

    def __init__(self, happen: Callable[[], Any]) -> None:
        self._happen = happen

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002
        """The chain with us in it."""
        happen = self._happen

        class Outbound(OutboundInterceptor):
            async def create_schedule(self, input: Any) -> Any:  # noqa: A002
                await happen()
                return await super().create_schedule(input)

            async def update_schedule(self, input: Any) -> Any:  # noqa: A002
                await happen()
                return await super().update_schedule(input)

        return Outbound(next)


def client_with(client: Client, interceptor: Interceptor) -> Client:
    """The same connection, as another process has it."""
    changed: Any = {"interceptors": [interceptor]}
    return Client(**{**client.config(), **changed})


async def test_what_another_process_changed_meanwhile_is_not_overwritten(
    ann: Registering,
) -> None:
    """The condition is asked again at the change; the registry was told nothing before it."""
    first = await ann.register()
    tag = first.after((ann.tenant, "t"))

    async def change() -> None:
        await ann.register(description="theirs")

    mine = client_with(ann.client, Meanwhile(change))
    with pytest.raises(PreconditionFailed):
        await ann.register(condition_of(f'"{tag}"'), client=mine, description="mine")

    _, task = await control.describe_task(ann.client, ann.tenant, "t")
    assert task.description == "theirs"
    remembered = await ann.remembered()
    assert remembered is not None
    assert remembered.description == "theirs"


async def test_only_one_of_two_processes_creates(ann: Registering) -> None:
    """Temporal itself refuses the second schedule, and what is there is looked at first."""

    async def create() -> None:
        await ann.register(description="theirs")

    mine = client_with(ann.client, Meanwhile(create))
    with pytest.raises(PreconditionFailed, match="exists"):
        await ann.register(condition_of(None, "*"), client=mine, description="mine")

    _, task = await control.describe_task(ann.client, ann.tenant, "t")
    assert task.description == "theirs"


async def test_a_change_on_a_condition_is_remembered_too(ann: Registering) -> None:
    """After it is made: the watch then restores what the condition allowed."""
    await ann.register()
    tag = await tag_now(ann.client, (ann.tenant, "t"))

    done = await ann.register(condition_of(f'"{tag}"'), description="new")

    async def known() -> bool:
        remembered = await ann.remembered()
        return remembered is not None and remembered.description == "new"

    await eventually_async(known)
    key = (ann.tenant, "t")
    assert done.changes() == {key: Change.UPDATED}
    assert (done.before(key), done.after(key)) == (tag, await tag_now(ann.client, key))


async def test_what_was_registered_a_moment_ago_is_compared_as_it_is(ann: Registering) -> None:
    """No list is asked for few tasks: each lags behind what has just been done."""
    results = [
        (await ann.register(description=text)).changes()[ann.tenant, "t"]
        for text in ("a", "a", "b", "b", "a")
    ]

    assert results == ["created", "unchanged", "updated", "unchanged", "updated"]


@pytest.mark.parametrize("weight", [1.0, 0.1, 2 / 3, 999.123456789])
def test_a_tag_survives_what_temporal_makes_of_weights(weight: float) -> None:
    """It keeps half of their digits; a task that says anything else has another tag."""
    task = task_of()
    kept = float(f"{weight:.9g}")

    assert tag_of(task, weight, "q") == tag_of(task, kept, "q")
    assert len({tag_of(task, weight, "q"), tag_of(task, weight + 1, "q")}) == 2
    other = task.model_copy(update={"priority": 1})
    assert len({tag_of(t, weight, q) for t in (task, other) for q in ("q", "r")}) == 4


async def test_a_fair_share_of_the_workers_is_part_of_the_tag(
    ann: Registering, policy: Policy
) -> None:
    """What Temporal gives back of it makes the same tag as what was registered."""
    admin = replace(ann.caller, tenant_id=None, scopes=frozenset({Scope.ADMIN}))
    tenants = [{"tenant_id": ann.tenant, "fairness_weight": 0.1}]
    data = {"tasks": [said(ann.tenant)], "tenants": tenants}
    document = read_body(Document(data), policy, admin, ann.tenant)

    done = await register(ann.client, document, task_queue=ann.queue)

    key = (ann.tenant, "t")
    assert done.after(key) == await tag_now(ann.client, key)
    plan = await make_plan(ann.client, document.registration, task_queue=ann.queue)
    assert plan.unchanged == 1


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"task_id": "t", "tenant_id": "other"}, NotFound),
        ({"tasks": [{"task_id": "t"}, {"tenant_id": "other"}], "tenants": 1}, NotFound),
        ({"tasks": [], "tenants": []}, Forbidden),
        ({"tasks": {"tenant_id": "other"}}, InvalidInput),
        ({"tasks": ["other", None, 1]}, InvalidInput),
        ({"tenant_id": ["other"], "task_id": "t"}, InvalidInput),
        ([{"tenant_id": "other"}], InvalidInput),
        (None, InvalidInput),
    ],
)
def test_a_body_tells_nothing_of_other_tenants(
    ann: Registering, data: Any, error: type[Exception]
) -> None:
    """Another's name comes before every other complaint; what is no body is one complaint."""
    with pytest.raises(error):
        ann.body(data)
