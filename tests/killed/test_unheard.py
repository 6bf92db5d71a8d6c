"""Everybody does the work and nobody's answer arrives: it is done once all the same."""

from collections.abc import AsyncIterator

import pytest

from domain.states import RunState
from tests.killed.scene import SLA, Scene
from tests.killed.stack import EVERYBODY, SECRET, Stack
from tests.starter.harness import eventually_async

TENANT = "unheard"
ONCE = ["drop", "ok"]


@pytest.fixture(scope="module")
async def found(scene: Scene) -> AsyncIterator[dict[str, list[str]]]:
    """What the oracle finds when plugin, capacity, notifications and sink are each unheard once."""
    stack, sandbox = scene.stack, scene.stack.sandbox
    await stack.staffed(1)
    await sandbox.configure("unheard", script=ONCE, latency=1.2)
    await sandbox.configure("refuses", script=["400"])
    await sandbox.configure_capacity(script=ONCE)
    await sandbox.configure_notifications(script=ONCE)
    await sandbox.configure_sink(EVERYBODY, secret=SECRET, script=ONCE)
    shared = {"mutex": ["m"], "resources": {"gpu": 1}, "work_order": "both"}
    await stack.go(stack.task(TENANT, "heard-late", "unheard", sla=SLA, **shared))
    await stack.go(stack.task(TENANT, "refused", "refuses", **shared))
    yield await stack.over(TENANT, within=60)
    await sandbox.configure_capacity()
    await sandbox.configure_notifications()
    await sandbox.configure_sink(EVERYBODY, secret=SECRET)


@pytest.mark.fault(14)
async def test_what_is_unheard_is_done_once(found: dict[str, list[str]], stack: Stack) -> None:
    """One effect, one reservation, one notification of each breach, each change once."""
    assert found[TENANT] == []
    evidence = await stack.evidence(TENANT)
    [late] = [run for run in evidence.runs if run.task_id == "heard-late"]
    assert (late.status, late.retry_count) == (RunState.SUCCESS, 1)
    calls = await stack.sandbox.deliveries(key=late.run_id)
    assert [call.outcome for call in calls] == ONCE
    asked = [line for line in stack.lines() if line.get("reservation_id") == late.run_id]
    assert [(line["action"], line["outcome"]) for line in asked] == [
        ("reserve", "drop"),
        ("reserve", "ok"),
        ("release", "drop"),
        ("release", "ok"),
    ]

    async def all_heard() -> bool:
        told = (await stack.evidence(TENANT)).notifications
        return {one.received for one in told} == {2}

    await eventually_async(all_heard, within=60)


@pytest.mark.fault(15)
async def test_what_a_plugin_refuses_is_not_tried_again(
    found: dict[str, list[str]], stack: Stack
) -> None:
    """A 4xx ends the run at once, as somebody's work."""
    assert found[TENANT] == []
    evidence = await stack.evidence(TENANT)
    [refused] = [run for run in evidence.runs if run.task_id == "refused"]
    assert (refused.status, refused.error_code) == (RunState.FAILED, "PLUGIN_REFUSED")
    calls = await stack.sandbox.deliveries(key=refused.run_id)
    assert [call.outcome for call in calls] == ["400"]
    assert f"{refused.run_id}/failed" in {told.breach_id for told in evidence.notifications}
