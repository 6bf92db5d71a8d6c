"""What `plan` says of conflicts: how many before a change, how many after it, and which are new."""

import time
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import Client

from domain.policy import Policy
from starter import control
from starter.conflicts import add_conflicts
from starter.plan import Plan
from starter.registry import make_plan
from tests.starter.asking import Asking, daily, hour_ahead
from tests.starter.conftest import QUEUE
from tests.starter.harness import Cli, eventually_async

DB: dict[str, Any] = {"mutex_groups": {"db": 1}}


@pytest.fixture
def asking(temporal: Client, policy: Policy, tenant: str) -> Asking:
    """The test's own tenant."""
    return Asking(temporal, policy, tenant, QUEUE)


@pytest.fixture
def first() -> dict[str, Any]:
    """A task that holds `db` for four minutes, once in the next 24 hours."""
    triggers = daily(hour_ahead())
    return {"task_id": "first", "mutex": ["db"], "expected_duration": "4m", "triggers": triggers}


@pytest.fixture
def second(first: dict[str, Any]) -> dict[str, Any]:
    """Another at the same time: it comes later in the order."""
    return {**first, "task_id": "second"}


async def planned(
    asking: Asking, *tasks: dict[str, Any], prune: bool = False, **tenant: Any
) -> Plan:
    """The plan of a file, with its conflicts."""
    file = asking.file(*tasks, **tenant)
    plan = await make_plan(asking.client, file, task_queue=asking.queue, prune=prune)
    await add_conflicts(asking.client, plan, datetime.now(UTC))
    return plan


def counts(plan: Plan) -> tuple[int | None, int | None]:
    """Before and after."""
    return plan.conflicts_before, plan.conflicts_after


async def until_known(asking: Asking, count: int, *tasks: dict[str, Any], **tenant: Any) -> None:
    """Return once as many conflicts are seen in what is registered: lists lag behind."""

    async def known() -> bool:
        return (await planned(asking, *tasks, **tenant)).conflicts_before == count

    await eventually_async(known)


@pytest.mark.usefixtures("worker")
async def test_a_colliding_task_is_a_new_conflict_with_a_proposal(
    asking: Asking, first: dict[str, Any], second: dict[str, Any]
) -> None:
    """None before, one after: who, when, how long, and the shift that clears it."""
    await asking.apply(first, **DB)

    plan = await planned(asking, first, second, **DB)

    assert counts(plan) == (0, 1)
    [new] = plan.new_conflicts
    assert (new.tasks, new.wait_s, new.at) == (("second", "first"), 240.0, hour_ahead())
    assert new.proposal is not None
    assert new.proposal.shift_s == 240
    document = plan.as_json()
    assert (document["conflicts_before"], document["conflicts_after"]) == (0, 1)
    assert [c["proposal"]["task_id"] for c in document["new_conflicts"]] == ["second"]


@pytest.mark.usefixtures("worker")
async def test_removing_widening_or_moving_takes_the_conflict_away(
    asking: Asking, first: dict[str, Any], second: dict[str, Any]
) -> None:
    """One before and none after, whichever way; a conflict that stays is not new."""
    await asking.apply(first, second, **DB)
    await until_known(asking, 1, first, second, **DB)

    same = await planned(asking, first, second, **DB)
    pruned = await planned(asking, first, prune=True, **DB)
    wider = await planned(asking, first, second, mutex_groups={"db": 2})
    moved = await planned(asking, first, {**second, "triggers": daily(hour_ahead(3))}, **DB)
    free = await planned(asking, first, {**second, "mutex": []}, **DB)

    assert (counts(same), same.new_conflicts) == ((1, 1), [])
    for plan in (pruned, wider, moved, free):
        assert (counts(plan), plan.new_conflicts) == ((1, 0), [])


@pytest.mark.usefixtures("worker")
async def test_a_lower_quota_makes_conflicts(asking: Asking, first: dict[str, Any]) -> None:
    """Nothing of the tasks changes, only what their tenant may use at once."""
    tasks = [{**first, "task_id": name, "mutex": []} for name in ("a", "b", "c")]
    await asking.apply(*tasks)

    plan = await planned(asking, *tasks, quota={"max_concurrent": 1})

    assert counts(plan) == (0, 2)
    assert {c.resource for c in plan.new_conflicts} == {"max_concurrent"}
    assert [c.wait_s for c in plan.new_conflicts] == [240.0, 480.0]


@pytest.mark.usefixtures("worker")
async def test_a_paused_task_meets_nobody(
    asking: Asking, first: dict[str, Any], second: dict[str, Any]
) -> None:
    """It stays paused when the file is applied, so it counts neither before nor after."""
    await asking.apply(first, second, **DB)
    await until_known(asking, 1, first, second, **DB)
    await control.pause(asking.client, asking.tenant_id, "first", who="ann", reason="")

    await until_known(asking, 0, first, second, **DB)

    assert counts(await planned(asking, first, second, **DB)) == (0, 0)


@pytest.mark.usefixtures("worker")
async def test_a_task_that_was_governed_and_is_no_longer_counts_before(asking: Asking) -> None:
    """No limit is left in the file, and still its change is told."""
    slow = {"task_id": "slow", "overlap": "queue", "triggers": [{"every": "8h"}]}
    await asking.apply({**slow, "expected_duration": "9h", "queue_timeout": "2h"})

    async def told() -> bool:
        plan = await planned(asking, {**slow, "overlap": "allow"})
        return bool(plan.conflicts_before) and plan.conflicts_after == 0

    await eventually_async(told)


async def test_without_a_worker_the_numbers_are_null_and_a_warning_says_why(
    temporal: Client, policy: Policy, tenant: str, first: dict[str, Any]
) -> None:
    """A plan is made all the same, within seconds."""
    asking = Asking(temporal, policy, tenant, f"nobody-{uuid4().hex}")
    await asking.apply(first, **DB)

    async def unknown() -> bool:
        began = time.monotonic()
        plan = await planned(asking, first, **DB)
        assert time.monotonic() - began < 12
        told = [text for text in plan.warnings if text.startswith("conflicts are not foreseen: ")]
        return counts(plan) == (None, None) and "no worker answers" in told[0]

    await eventually_async(unknown, within=25)


async def test_plain_tasks_cost_no_look_ahead(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no limit governs anything nobody is asked, and there are no conflicts."""

    def refuse(*_: Any) -> None:
        raise AssertionError("it looked ahead")

    monkeypatch.setattr("starter.conflicts.read_present", refuse)
    plain = {"task_id": "plain"}

    created = await planned(asking, plain)
    await asking.apply(plain)
    changed = await planned(asking, {**plain, "triggers": [{"every": "2h"}]})

    assert counts(created) == counts(changed) == (0, 0)


@pytest.mark.usefixtures("worker")
def test_what_is_alike_is_one_line_on_the_screen(cli: Cli, tenant: str) -> None:
    """What, how often and when first; below, what would clear it."""
    file = cli.file("tasks.yaml", OFTEN.format(tenant=tenant))

    out = cli.ok("plan", file)

    assert "! conflicts in the next 24 hours: 0 before, 24 after" in out
    [line] = [line for line in out.splitlines() if "held by" in line]
    name = f"    {tenant}/second waits 4m for mutex group db, held by first: 24 times, first 20"
    assert line.startswith(name)
    assert "      to avoid it: fire second 4 min later: " in out


OFTEN = """\
tenants: [{{tenant_id: {tenant}, mutex_groups: {{db: 1}}}}]
tasks:
  - {{tenant_id: {tenant}, task_id: first, plugin_id: p, triggers: [{{every: 1h}}],
     mutex: [db], expected_duration: 4m}}
  - {{tenant_id: {tenant}, task_id: second, plugin_id: p, triggers: [{{every: 1h}}],
     mutex: [db], expected_duration: 4m}}
"""
