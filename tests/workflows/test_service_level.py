"""`TaskRun` on a real server: its SLA is watched beside it, and each breach is raised once."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError

from domain.attributes import REASON_MEMO, RESUME
from domain.notices import BreachKind
from domain.run import FlagsNow, ManualFire, TaskRunResult
from domain.states import RunState
from domain.task import Task
from tests.admission.harness import Governed, Place, new_tenant, succeeded
from tests.workflows.harness import (
    Handle,
    Runs,
    attributes_of,
    details_of,
    ended,
    event_types,
    fail,
    shows,
    stay_open,
    succeed,
    take,
)

DAY = {"start_within": "1h", "finish_within": "1d"}
SOON = {"start_within": "1s", "finish_within": "1s"}
SHORT = {"start_within": "1s", "finish_within": "2s", "warn_at": 0.5}
OFF = FlagsNow(task_sla_monitor=False)


def _task(runs: Runs, *steps: Any, sla: dict[str, Any], **fields: Any) -> Task:
    return runs.script(*steps, sla=sla, heartbeat_timeout="5s", **fields)


async def _status(handle: Handle) -> str | None:
    found: str | None = (await attributes_of(handle)).get("SlaStatus")
    return found


async def _start_late(runs: Runs, task: Task) -> Handle:
    return await runs.start(task, ManualFire(at=datetime.now(UTC) - timedelta(hours=2)))


@pytest.mark.fault(13)
async def test_a_plugin_that_works_for_too_long_is_told_of_twice(runs: Runs) -> None:
    """A warning when most of the time is over, a breach when all of it is, while it works."""
    place = Place()
    task = _task(runs, place.stay, sla=SHORT, work_order="on_breach")
    handle = await runs.start(task)
    await shows(handle, SlaStatus="FINISH_BREACHED", TaskStatus="RUNNING")
    place.let_go()
    result = await ended(handle)
    assert isinstance(result, TaskRunResult)
    assert result.status is RunState.SUCCESS
    assert await _status(handle) == "FINISH_BREACHED"
    warning, finish = runs.outside.notices[task.task_id]
    assert (warning.breach.kind, finish.breach.kind) == (BreachKind.WARNING, BreachKind.FINISH)
    assert finish.breach.breach_id == f"{handle.id}/finish"
    due = warning.breach.expected_by
    assert due == finish.breach.expected_by
    assert due
    assert timedelta(0) <= finish.breach.observed_at - due < timedelta(seconds=1.5)
    assert warning.breach.observed_at < due
    assert (warning.work_order, warning.streak) == (None, False)
    assert finish.work_order
    assert finish.work_order.cause == "SLA breach: it has not finished in time"
    assert finish.streak


async def test_a_run_that_was_warned_of_can_still_meet_its_sla(runs: Runs) -> None:
    """WARNED, while it works and at its end."""
    place = Place()
    task = _task(runs, place.stay, sla=DAY | {"warn_at": 0.00001}, work_order="both")
    handle = await runs.start(task)
    await shows(handle, SlaStatus="WARNED", TaskStatus="RUNNING")
    place.let_go()
    await handle.result()
    assert await _status(handle) == "WARNED"
    assert runs.outside.kinds(task.task_id) == ["WARNING"]


async def test_a_run_that_is_on_time_costs_one_timer(runs: Runs) -> None:
    """MET, nobody is told anything, and the history has one event more than without an SLA."""
    plain, watched = runs.script(succeed()), _task(runs, succeed(), sla=DAY)
    without, handle = await runs.start(plain), await runs.start(watched)
    await asyncio.gather(without.result(), handle.result())
    assert await _status(handle) == "MET"
    assert await _status(without) is None
    before, after = await event_types(without), await event_types(handle)
    assert [kind for kind in after if kind != "TIMER_STARTED"] == before
    assert after.count("TIMER_STARTED") == 1
    assert not runs.outside.notices[watched.task_id]


async def test_a_run_that_waits_in_its_queue_breaks_its_start(governed: Governed) -> None:
    """It is raised while the run waits, and shown beside what it waits for."""
    tenant, place = new_tenant(), Place()
    first = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await place.entered(first)
    sla = {"start_within": "1s", "finish_within": "1d"}
    task = governed.at(place, tenant, mutex=["m"], sla=SLA_REST | sla)
    handle = await governed.go(task)
    await shows(handle, TaskStatus="QUEUED", SlaStatus="START_BREACHED")
    assert "- SLA: starts by " in await details_of(handle)
    place.let_go()
    await succeeded(handle)
    assert governed.outside.kinds(task.task_id) == ["START"]
    assert await _status(handle) == "START_BREACHED"


SLA_REST = {"warn_at": 0.8, "on_breach": "notify", "severity": "medium"}
"""What a task in a file leaves to its policy."""


@pytest.mark.parametrize(("p95_s", "warned"), [(86_399.0, True), (60.0, False), (None, False)])
async def test_a_queued_run_that_cannot_finish_is_warned_of_early(
    governed: Governed, monkeypatch: pytest.MonkeyPatch, p95_s: float | None, *, warned: bool
) -> None:
    """As its last runs took: what will break in a day is known within seconds."""
    monkeypatch.setattr(governed.outside, "p95_s", p95_s)
    tenant, place = new_tenant(), Place()
    first = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await place.entered(first)
    task = governed.at(place, tenant, mutex=["m"], sla=SLA_REST | DAY)
    handle = await governed.go(task)
    await shows(handle, TaskStatus="QUEUED", SlaStatus="WARNED" if warned else None)
    if not warned:
        await asyncio.sleep(0.3)
    place.let_go()
    await succeeded(handle)
    assert governed.outside.kinds(task.task_id) == (["WARNING"] if warned else [])
    assert await _status(handle) == ("WARNED" if warned else "MET")


async def test_an_sla_of_a_day_is_kept_through_days_of_back_off(skipping: Runs) -> None:
    """Warned of, broken, and raised once each at its very time, between attempts hours apart."""
    task = _task(
        skipping,
        *(fail("BUSY"), fail("BUSY"), succeed()),
        sla=DAY,
        retry={"max_attempts": 3, "initial_interval": "15h", "max_interval": "15h"},
    )
    handle = await skipping.start(task)
    result = await ended(handle)
    assert isinstance(result, TaskRunResult)
    assert (result.status, result.retry_count) == (RunState.SUCCESS, 2)
    assert timedelta(hours=30) <= timedelta(milliseconds=result.duration_ms) < timedelta(hours=31)
    warning, finish = skipping.outside.notices[task.task_id]
    due = finish.breach.expected_by
    assert due
    assert abs(finish.breach.observed_at - due) < timedelta(minutes=1)
    before = due - warning.breach.observed_at
    assert abs(before - timedelta(days=1) * 0.2) < timedelta(minutes=1)
    assert await _status(handle) == "FINISH_BREACHED"


async def test_a_late_start_is_a_breach_at_once(runs: Runs) -> None:
    """And the plugin is called nevertheless, if the task does not say otherwise."""
    task = _task(runs, succeed(), sla=DAY)
    handle = await _start_late(runs, task)
    result = await ended(handle)
    assert isinstance(result, TaskRunResult)
    assert result.status is RunState.SUCCESS
    assert runs.outside.kinds(task.task_id) == ["START"]
    assert await _status(handle) == "START_BREACHED"


async def test_both_deadlines_can_be_broken(runs: Runs) -> None:
    """BREACHED is the worst there is; no warning follows what is too late for one."""
    task = _task(runs, succeed(), sla=SHORT)
    handle = await _start_late(runs, task)
    await ended(handle)
    assert runs.outside.kinds(task.task_id) == ["START", "FINISH"]
    assert await _status(handle) == "BREACHED"


async def test_a_task_may_rather_have_no_run_than_a_late_one(runs: Runs) -> None:
    """`on_breach: cancel` ends the run CANCELLED, with the breach as reason, and tells the plugin.

    It is no cancellation by a person, so that for Temporal the run is complete.
    """
    task = _task(runs, stay_open(heartbeats=True), sla=SOON | {"on_breach": "cancel"})
    handle = await runs.start(task)
    result = await ended(handle)
    assert isinstance(result, TaskRunResult)
    assert result.status is RunState.CANCELLED
    assert result.reason == "SLA breach: it has not finished in time"
    description = await handle.describe()
    assert description.status is WorkflowExecutionStatus.COMPLETED
    assert await description.memo_value(REASON_MEMO) == result.reason
    assert len(runs.outside.cancels[task.task_id]) == 1
    assert runs.outside.kinds(task.task_id)[-1] == "FINISH"
    assert await _status(handle) == "FINISH_BREACHED"


async def test_a_breach_in_a_back_off_ends_the_wait(runs: Runs) -> None:
    """No attempt follows that would be late anyway, and what failed before is undone."""
    task = _task(
        runs,
        fail("BUSY"),
        succeed("undone"),
        sla=SOON | {"on_breach": "cancel"},
        retry={"max_attempts": 3, "initial_interval": "1m"},
        compensation={"plugin_id": "undo"},
    )
    handle = await runs.start(task)
    await shows(handle, TaskStatus="RETRYING")
    assert "after its finish deadline" in await details_of(handle)
    result = await ended(handle)
    assert isinstance(result, TaskRunResult)
    assert (result.status, result.compensation) == (RunState.CANCELLED, "undone")
    assert result.reason == "SLA breach: it has not finished in time; compensated by undo"


async def test_a_breach_during_an_undoing_does_not_stop_it(runs: Runs) -> None:
    """The run had failed before: that is its end, and both breaches are one."""
    task = _task(
        runs,
        fail("BUSY"),
        take(1.5),
        sla=SOON | {"on_breach": "cancel"},
        retry={"max_attempts": 1},
        compensation={"plugin_id": "undo"},
    )
    handle = await runs.start(task)
    result = await ended(handle)
    assert isinstance(result, TaskRunResult)
    assert result.status is RunState.COMPENSATED
    assert runs.outside.kinds(task.task_id)[-1] == "FINISH"
    assert not runs.outside.cancels[task.task_id]


@pytest.mark.parametrize("late", [True, False])
async def test_with_the_flag_off_nothing_is_raised_and_nothing_cancelled(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, *, late: bool
) -> None:
    """`task-sla-monitor` off: the run ends as its plugin does, and shows no breach."""
    monkeypatch.setattr(runs.outside, "flags", OFF)
    task = _task(runs, take(0 if late else 1.5), sla=SOON | {"on_breach": "cancel"})
    handle = await (_start_late(runs, task) if late else runs.start(task))
    result = await ended(handle)
    assert isinstance(result, TaskRunResult)
    assert result.status is RunState.SUCCESS
    assert not runs.outside.notices[task.task_id]
    assert await _status(handle) is None


async def test_with_the_flag_off_an_end_shows_no_breach_either(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed run counts for no streak that nobody watches."""
    monkeypatch.setattr(runs.outside, "flags", OFF)
    task = _task(runs, fail("BUSY", retryable=False), sla=DAY)
    handle = await runs.start(task)
    assert isinstance(await ended(handle), ApplicationError)
    assert not runs.outside.notices[task.task_id]
    assert await _status(handle) is None


async def test_a_fire_that_was_missed_breaks_its_start(runs: Runs) -> None:
    """An SLA is broken too by a run that never was."""
    task = _task(runs, succeed(), sla=DAY)
    handle = await runs.start_found(task, RunState.MISSED)
    await handle.result()
    assert runs.outside.kinds(task.task_id) == ["START"]
    assert await _status(handle) == "START_BREACHED"
    assert not runs.plugin.calls[task.task_id]


async def test_a_run_that_failed_will_not_finish_in_time(runs: Runs) -> None:
    """FINISH is raised at once, and FAILED for the work order, with every attempt as evidence."""
    task = _task(
        runs,
        fail("BUSY"),
        fail("OUT_OF_PAPER"),
        sla=DAY,
        work_order="on_failure",
        retry={"max_attempts": 2, "initial_interval": "100ms", "max_interval": "100ms"},
    )
    handle = await runs.start(task)
    assert isinstance(await ended(handle), ApplicationError)
    finish, failed = runs.outside.notices[task.task_id]
    assert (finish.breach.kind, failed.breach.kind) == (BreachKind.FINISH, BreachKind.FAILED)
    assert finish.work_order is None
    order = failed.work_order
    assert order
    assert [(seen.attempt, seen.error_code) for seen in order.attempts] == [
        (1, "BUSY"),
        (2, "OUT_OF_PAPER"),
    ]
    assert (order.error_code, order.cause) == ("OUT_OF_PAPER", "it said OUT_OF_PAPER")
    assert await _status(handle) == "FINISH_BREACHED"


async def test_a_work_order_names_what_the_run_failed_of(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what its undoing failed of, which is evidence too; and the flag of SLAs is not asked."""
    monkeypatch.setattr(runs.outside, "flags", OFF)
    task = runs.script(
        fail("BUSY"),
        fail("NO_UNDO"),
        work_order="both",
        retry={"max_attempts": 1},
        compensation={"plugin_id": "undo"},
    )
    assert isinstance(await ended(await runs.start(task)), ApplicationError)
    (failed,) = runs.outside.notices[task.task_id]
    assert failed.breach.kind is BreachKind.FAILED
    assert failed.work_order
    assert failed.work_order.error_code == "BUSY"
    attempts = failed.work_order.attempts
    assert [(seen.error_code, seen.compensation) for seen in attempts] == [
        ("BUSY", False),
        ("NO_UNDO", True),
    ]


@pytest.mark.parametrize(
    ("rule", "kinds", "status"), [("stops", [], "MET"), ("runs", ["START"], "START_BREACHED")]
)
async def test_a_held_run_is_late_or_not_as_its_task_says(
    runs: Runs, rule: str, kinds: list[str], status: str
) -> None:
    """`while_paused`: what a person holds may be nobody's fault, or somebody's."""
    sla = {"start_within": "1s", "finish_within": "1d", "while_paused": rule}
    task = _task(runs, succeed(), sla=sla)
    handle = await runs.start_held(task)
    if kinds:
        await shows(handle, SlaStatus=status, WaitsFor="paused")
    else:
        await asyncio.sleep(1.5)
    await handle.signal(RESUME)
    result = await ended(handle)
    assert isinstance(result, TaskRunResult)
    assert result.status is RunState.SUCCESS
    assert runs.outside.kinds(task.task_id) == kinds
    assert await _status(handle) == status
