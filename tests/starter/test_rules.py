"""The rules that a process knows: as the registries have them, soon after every change."""

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import Client, WorkflowQueryFailedError

from domain.events_in import CloudEvent
from domain.ids import registry_id
from domain.registry import Snapshot, shard_of
from domain.rules import Rule
from shared.errors import TemporalUnreachable
from shared.registry import read_shard
from starter import rules as looking
from starter.rule_shards import built
from starter.rules import Rules
from tests.starter.events import EventTenant
from tests.starter.harness import eventually_async
from tests.starter.limits import Limits

EVENT = CloudEvent("o-1", "/shop", "order.created", data={"amount": 150})


@pytest.fixture
def events(limits: Limits, tenant: str) -> EventTenant:
    """The test's own tenant, with workers for registries and none for runs."""
    return EventTenant(limits.client, limits.queue, tenant)


def _matched(rules: Rules, tenant: str, event: CloudEvent = EVENT) -> list[str]:
    return [rule.task.task_id for rule in rules.index.match(tenant, event).rules]


async def test_a_process_learns_of_every_change_by_itself(
    events: EventTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Registered, changed, paused, resumed, limited, removed: every replica knows it in seconds."""
    monkeypatch.setattr(looking, "EVERY", 0.1)
    rules, tenant = events.rules(), events.tenant_id
    async with rules.live():
        await events.register("a", filter="data.amount > 100")
        await eventually_async(lambda: _so(_matched(rules, tenant) == ["a"]), within=20)
        assert rules.ready
        await events.register("a", filter="data.amount > 200")
        await eventually_async(lambda: _so(not _matched(rules, tenant)), within=20)
        await events.register("a")
        await eventually_async(lambda: _so(_matched(rules, tenant) == ["a"]), within=20)
        await events.pause("a", paused=True)
        await eventually_async(
            lambda: _so(len(rules.index.match(tenant, EVENT).paused) == 1), within=20
        )
        await events.pause("a", paused=False)
        await eventually_async(lambda: _so(_matched(rules, tenant) == ["a"]), within=20)
        await events.limit(5)
        await eventually_async(
            lambda: _so(rules.index.match(tenant, EVENT).rules[0].source.limited), within=20
        )
        await events.remove("a")
        await eventually_async(lambda: _so(not _matched(rules, tenant)), within=20)
    assert (rules.age or 0) < 5
    assert rules.stale() is None


async def _listed(events: EventTenant) -> Rules:
    """Rules that know the tenant's task: Temporal's list, which lags, shows it by then."""
    rules = events.rules()

    async def known() -> bool:
        await rules.refresh_now()
        return bool(_matched(rules, events.tenant_id))

    await eventually_async(known)
    return rules


async def _so(value: bool) -> bool:
    return value


async def test_what_this_process_registered_is_known_at_once(events: EventTenant) -> None:
    """No list is asked, which may lag: the task's registry itself."""
    rules = events.rules()
    await rules.refresh_now()
    for number in range(3):
        task_id = f"t{number}"
        await events.register(task_id)
        await rules.refresh_now([(events.tenant_id, task_id)])
        assert task_id in _matched(rules, events.tenant_id)


async def test_a_first_event_waits_for_the_rules_once_with_all_others(events: EventTenant) -> None:
    """Whatever comes before the first look is answered by it, and by no look of its own."""
    await events.register("a")
    await _listed(events)
    rules, asked = events.rules(), events.asked
    assert not rules.ready
    assert await rules.problem()
    await asyncio.gather(*(rules.confirm(events.tenant_id) for _ in range(20)))
    assert _matched(rules, events.tenant_id) == ["a"]
    assert events.asked - asked <= 2
    assert await rules.problem() is None


async def test_known_rules_outlive_an_outage(events: EventTenant) -> None:
    """Temporal is down: the rules are as before, their age says how old they are."""
    await events.register("a")
    rules = await _listed(events)
    events.down = True
    with pytest.raises(TemporalUnreachable):
        await rules.refresh_now()
    await rules.confirm(events.tenant_id)
    assert _matched(rules, events.tenant_id) == ["a"]
    rules._looked_at = time.monotonic() - 100
    assert "the rules are those of 100 s ago: Temporal is down" in (rules.stale() or "")


async def test_without_a_first_look_no_event_is_taken(events: EventTenant) -> None:
    """Nobody is told that an event matches nothing when that is not known."""
    events.down = True
    with pytest.raises(TemporalUnreachable, match="is not known: Temporal is down"):
        await events.rules().confirm(events.tenant_id)


async def test_tenants_whose_registry_is_silent_wait_and_others_do_not(
    events: EventTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One registry that nobody answers for keeps its own tenant's events back, and no others."""
    await events.register("a")
    silent = f"{events.tenant_id}-silent"
    rules = events.rules()

    async def both_listed() -> bool:
        nonlocal rules
        rules = events.rules()  # a process that begins: what comes later is a change
        await rules.refresh_now()
        return bool(_matched(rules, events.tenant_id)) and bool(rules._unread)

    async def answering(client: Client, workflow_id: str, *, patience: timedelta) -> Snapshot:
        if silent in workflow_id:
            raise WorkflowQueryFailedError("it does not answer")
        return await read_shard(client, workflow_id, patience=patience)

    other = EventTenant(events.client, events.queue, silent)
    await other.register("b")
    monkeypatch.setattr("starter.rules.read_shard", answering)
    await eventually_async(both_listed)
    await rules.confirm(events.tenant_id)
    with pytest.raises(TemporalUnreachable, match="it does not answer"):
        await rules.confirm(silent)
    monkeypatch.setattr("starter.rules.read_shard", read_shard)
    await rules.confirm(silent)
    assert _matched(rules, silent) == ["b"]


async def test_a_new_registry_that_is_silent_holds_no_events_back(
    events: EventTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While many tasks are registered, events go on by the rules that are known."""
    await events.register("a")
    rules = await _listed(events)
    new = next(str(n) for n in range(100) if shard_of(str(n)) != shard_of("a"))
    silent: list[str] = []

    async def answering(client: Client, workflow_id: str, *, patience: timedelta) -> Snapshot:
        if workflow_id == registry_id(events.tenant_id, shard_of(new)):
            silent.append(workflow_id)
            raise WorkflowQueryFailedError("it does not answer")
        return await read_shard(client, workflow_id, patience=patience)

    async def asked() -> bool:
        await rules.refresh_now()
        return bool(silent)

    monkeypatch.setattr("starter.rules.read_shard", answering)
    await events.register(new)
    await eventually_async(asked)
    await rules.confirm(events.tenant_id)
    assert _matched(rules, events.tenant_id) == ["a"]
    monkeypatch.setattr("starter.rules.read_shard", read_shard)
    await rules.refresh_now()
    assert _matched(rules, events.tenant_id) == [new, "a"]


async def test_requests_are_answered_while_rules_are_read(
    events: EventTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of tasks take seconds to read and to compile: a thread does it."""
    await events.register("a", filter="data.amount > 100")
    ticks: list[int] = []

    def slowly(*given: Any) -> Any:
        before = len(ticks)
        time.sleep(0.5)
        assert len(ticks) > before
        return built(*given)

    async def tick() -> None:
        while True:
            ticks.append(1)
            await asyncio.sleep(0.01)

    monkeypatch.setattr("starter.rules.built", slowly)
    ticking = asyncio.create_task(tick())
    rules = await _listed(events)
    ticking.cancel()
    assert _matched(rules, events.tenant_id) == ["a"]


async def test_what_has_not_changed_is_not_read(
    events: EventTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look lists the registries; of those that changed, the tasks that did are made anew."""
    await events.register_all([events.task(f"t{number}") for number in range(100)])
    rules, read = events.rules(), list[str]()

    async def counting(client: Client, workflow_id: str, *, patience: timedelta) -> Snapshot:
        read.append(workflow_id)
        return await read_shard(client, workflow_id, patience=patience)

    monkeypatch.setattr("starter.rules.read_shard", counting)

    async def settled() -> bool:
        read.clear()
        await rules.refresh_now()
        return not read and len(_matched(rules, events.tenant_id)) == 100

    await eventually_async(settled)
    before = {rule.task.task_id: rule for rule in _rules(rules, events.tenant_id)}
    await events.register("t7", debounce="1m")
    await rules.refresh_now([(events.tenant_id, "t7")])
    assert len(read) == 2  # the task's registry, and that of its tenant's limits
    changed = {
        rule.task.task_id
        for rule in _rules(rules, events.tenant_id)
        if rule.task is not before[rule.task.task_id].task
    }
    assert changed == {"t7"}


def _rules(rules: Rules, tenant: str) -> list[Rule]:
    return rules.index.match(tenant, EVENT).rules
