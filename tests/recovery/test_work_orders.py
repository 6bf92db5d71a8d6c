"""The life of a work order: what opens it, who may do what, and what comes of it."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from domain.notices import BreachKind, NoticeInput
from domain.run import TaskRunInput, TaskRunResult
from domain.work_orders import (
    ANNOUNCED,
    BREACHES_KEPT,
    CONCERN,
    NOTES_KEPT,
    Act,
    OrderInput,
    OrderState,
    WorkOrderView,
)
from tests.recovery.harness import INCIDENT, Order, Recovery
from tests.starter.harness import eventually_async
from tests.workflows.harness import attributes_of, details_of

_WORDS: dict[Act, dict[str, str]] = {
    Act.ACKNOWLEDGE: {},
    Act.RETRY: {},
    Act.WAIVE: {"reason": "the customer left"},
    Act.RESOLVE: {"note": "done by hand"},
}


async def opened(recovery: Recovery, **fields: Any) -> tuple[NoticeInput, Order]:
    """A notice that was told, and its work order."""
    notice = recovery.notice(recovery.task(), **fields)
    await recovery.told(notice)
    return notice, recovery.order(notice.breach.run_id)


async def brought_to(recovery: Recovery, state: OrderState) -> Order:
    """A work order in a state; the run that it retries does not end."""
    task = recovery.task()
    await recovery.start_run(task)
    await recovery.told(notice := recovery.notice(task))
    order = recovery.order(notice.breach.run_id)
    match state:
        case OrderState.ACKNOWLEDGED:
            await order.act(Act.ACKNOWLEDGE)
        case OrderState.RETRYING:
            await order.act(Act.RETRY)
        case OrderState.RESOLVED:
            await order.act(Act.RESOLVE)
        case OrderState.WAIVED:
            await order.act(Act.WAIVE, reason="why not")
    return order


async def ended(order: Order) -> WorkOrderView:
    """Its result, once it is closed."""
    return WorkOrderView.model_validate(await order.handle.result())


async def test_a_failure_opens_one_that_can_be_found_and_read(recovery: Recovery) -> None:
    """Search attributes, the Web UI's details and the view say what happened, and to whom."""
    notice, order = await opened(recovery)
    breach, view = notice.breach, await order.view()
    assert (view.status, view.severity, view.owner) == (OrderState.OPEN, "medium", None)
    assert (view.run_id, view.plugin_id) == (breach.run_id, "report-builder")
    assert (view.error_code, view.cause) == ("BROKEN", "FAILED: it broke")
    assert [attempt.message for attempt in view.attempts] == ["it broke"]
    assert [known.breach_id for known in view.breaches] == [breach.breach_id]
    assert (view.temporal_run_id, view.trace_id) == ("0193-temporal", "0" * 31 + "7")
    assert view.opened_at == breach.observed_at < view.due_at
    assert view.external_id == INCIDENT
    found = await attributes_of(order.handle)
    found.pop("BuildIds")
    assert found == {
        "TenantId": recovery.tenant,
        "TaskId": breach.task_id,
        "PluginId": "report-builder",
        "TaskStatus": "OPEN",
        "ErrorCode": "BROKEN",
    }
    details = await details_of(order.handle)
    assert details.startswith("**OPEN** - ")
    assert "`BROKEN`: FAILED: it broke" in details
    assert INCIDENT in details


async def test_breaches_of_one_run_share_a_work_order(recovery: Recovery) -> None:
    """The second joins, with its evidence; a failure says more of the cause than a breach."""
    task = recovery.task()
    late = recovery.notice(task, BreachKind.FINISH)
    await recovery.told(late)
    failed = recovery.notice(task, BreachKind.FAILED, severity="high")
    await recovery.told(failed)
    view = await recovery.order(late.breach.run_id).view()
    assert [breach.kind for breach in view.breaches] == [BreachKind.FINISH, BreachKind.FAILED]
    assert (view.cause, view.severity) == ("FAILED: it broke", "high")
    assert len(view.attempts) == 2
    [first], [second] = (recovery.sent(one.breach.breach_id) for one in (late, failed))
    assert first.body["work_order"]["work_order_id"] == view.work_order_id
    assert second.body["work_order"]["work_order_id"] == view.work_order_id


async def test_a_breach_after_the_work_order_was_closed_opens_another(recovery: Recovery) -> None:
    """What was decided about a late start does not decide about the failure that follows."""
    task = recovery.task()
    late = recovery.notice(task, BreachKind.START)
    await recovery.told(late)
    order = recovery.order(late.breach.run_id)
    await order.act(Act.WAIVE, reason="late is fine")
    await ended(order)
    await recovery.told(recovery.notice(task))
    view = await order.view()
    assert view.status is OrderState.OPEN
    assert [breach.kind for breach in view.breaches] == [BreachKind.FAILED]


@pytest.mark.parametrize("act", Act)
@pytest.mark.parametrize("state", OrderState)
async def test_what_may_be_done_depends_on_the_state(
    recovery: Recovery, state: OrderState, act: Act
) -> None:
    """Each act in each state works or is refused in words, and a refusal changes nothing."""
    order = await brought_to(recovery, state)
    before = await order.view()
    allowed = {
        OrderState.OPEN: set(Act),
        OrderState.ACKNOWLEDGED: {Act.RETRY, Act.WAIVE, Act.RESOLVE},
    }.get(state, set())
    if act in allowed:
        after = await order.act(act, **_WORDS[act])
        assert (
            after.status
            is {
                Act.ACKNOWLEDGE: OrderState.ACKNOWLEDGED,
                Act.RETRY: OrderState.RETRYING,
                Act.WAIVE: OrderState.WAIVED,
                Act.RESOLVE: OrderState.RESOLVED,
            }[act]
        )
        assert after.notes[-1].who == "ann"
        return
    if before.closed_at:
        await ended(order)  # Temporal itself takes no updates of what is closed
        assert (await order.view()) == before
        return
    words = await order.refused(act, **_WORDS[act])
    assert before.work_order_id in words
    assert await order.view() == before


async def test_nobody_acts_without_a_name_and_nothing_is_waived_without_a_reason(
    recovery: Recovery,
) -> None:
    """A blank is neither."""
    _, order = await opened(recovery)
    for act in Act:
        assert "who" in await order.refused(act, by=" ", **_WORDS[act])
    assert "why" in await order.refused(Act.WAIVE, reason=" ")
    assert (await order.view()).status is OrderState.OPEN


async def retried(
    recovery: Recovery, order: Order
) -> tuple[str, WorkflowHandle[Any, TaskRunResult]]:
    """Ask for a retry; the run that comes of it, once it is there."""
    run_id = (await order.act(Act.RETRY)).retry_run_id
    assert run_id
    handle = recovery.client.get_workflow_handle(run_id, result_type=TaskRunResult)

    async def started() -> bool:
        try:
            await handle.describe()
        except Exception:  # noqa: BLE001 - not yet
            return False
        return True

    await eventually_async(started)
    return run_id, handle


async def test_a_retry_that_succeeds_resolves_it(recovery: Recovery) -> None:
    """It is a run of the same task, with what the failed one was triggered with, and found so."""
    task = recovery.task()
    at = datetime(2026, 11, 23, 2, tzinfo=UTC)
    failed = await recovery.start_run(task, at=at, payload={"day": 3})
    await recovery.told(notice := recovery.notice(task))
    order = recovery.order(notice.breach.run_id)
    run_id, handle = await retried(recovery, order)
    assert run_id == f"run/{recovery.tenant}/{task.task_id}/manual/failed-retry-1/manual/1"
    attributes = await attributes_of(handle)
    assert (attributes["TaskId"], attributes["TriggerKind"]) == (task.task_id, "manual")
    history = await handle.fetch_history()
    started = history.events[0].workflow_execution_started_event_attributes
    given = TaskRunInput.model_validate_json(started.input.payloads[0].data)
    assert given.manual
    assert (given.manual.payload, given.manual.nominal_time) == ({"day": 3}, at)
    assert given.manual.at > at, "it is due now"
    await handle.signal("end", "SUCCESS")
    view = await ended(order)
    assert (view.status, view.owner) == (OrderState.RESOLVED, "ann")
    assert [(one.run_id, one.status) for one in view.retries] == [(run_id, "SUCCESS")]
    assert (await attributes_of(order.handle))["TaskStatus"] == "RESOLVED"
    await failed.terminate()


@pytest.mark.parametrize(
    ("how", "status"),
    [("STILL_BROKEN", "FAILED"), ("SKIPPED", "SKIPPED"), ("cancel", "CANCELLED")],
)
async def test_a_retry_that_does_not_succeed_leaves_it_open(
    recovery: Recovery, how: str, status: str
) -> None:
    """With what came of it as evidence, and the next retry is another run."""
    task = recovery.task()
    await recovery.start_run(task)
    await recovery.told(notice := recovery.notice(task))
    order = recovery.order(notice.breach.run_id)
    first, handle = await retried(recovery, order)
    await (handle.cancel() if how == "cancel" else handle.signal("end", how))

    async def is_open() -> bool:
        return (await order.view()).status is OrderState.OPEN

    await eventually_async(is_open)
    view = await order.view()
    assert view.retries[-1].status == status
    assert view.error_code == (how if status == "FAILED" else "BROKEN")
    assert first in view.notes[-1].what
    second, handle = await retried(recovery, order)
    assert second != first
    await handle.signal("end", "SUCCESS")
    assert (await ended(order)).status is OrderState.RESOLVED


async def test_two_who_retry_at_once_start_one_run(recovery: Recovery) -> None:
    """One of them is told so."""
    order = await brought_to(recovery, OrderState.OPEN)
    answers = await asyncio.gather(
        *(order.act(Act.RETRY, by=by) for by in ("ann", "bob")), return_exceptions=True
    )
    [view] = [answer for answer in answers if isinstance(answer, WorkOrderView)]
    assert len((await order.view()).retries) == 1
    assert view.retry_run_id


async def test_a_failure_of_the_retried_run_belongs_to_the_same_work_order(
    recovery: Recovery,
) -> None:
    """It raises its own notice, which opens no other work order."""
    task = recovery.task()
    await recovery.start_run(task)
    await recovery.told(notice := recovery.notice(task))
    order = recovery.order(notice.breach.run_id)
    run_id, handle = await retried(recovery, order)
    again = recovery.notice(task, run_id=run_id)
    await recovery.told(again)
    await handle.signal("end", "BROKEN")
    view = await order.view()
    assert [breach.run_id for breach in view.breaches] == [notice.breach.run_id, run_id]
    [sent] = recovery.sent(again.breach.breach_id)
    assert sent.body["work_order"]["work_order_id"] == view.work_order_id


async def test_a_run_that_is_gone_with_its_task_cannot_be_retried(recovery: Recovery) -> None:
    """The work order is open again and says why."""
    _, order = await opened(recovery)
    await order.act(Act.RETRY)

    async def is_open() -> bool:
        return (await order.view()).status is OrderState.OPEN

    await eventually_async(is_open)
    assert "is there any more" in (await order.view()).notes[-1].what


async def test_a_retried_run_that_fails_after_its_work_order_was_closed_opens_its_own(
    recovery: Recovery,
) -> None:
    """There is nobody else to look after it."""
    notice, order = await opened(recovery)
    await order.act(Act.WAIVE, reason="why not")
    await ended(order)
    task = recovery.task(task_id=notice.breach.task_id)
    run_id = f"run/{recovery.tenant}/{task.task_id}/manual/failed-retry-1/manual/1"
    await recovery.told(again := recovery.notice(task, run_id=run_id))
    assert (await recovery.order(run_id).view()).status is OrderState.OPEN
    [sent] = recovery.sent(again.breach.breach_id)
    assert sent.body["work_order"]["work_order_id"] == f"work-order/{run_id}"


async def test_the_same_breach_seen_again_changes_nothing(recovery: Recovery) -> None:
    """Nor does another name for what was announced."""
    notice, order = await opened(recovery)
    before = await order.view()
    assert notice.work_order
    await order.handle.signal(CONCERN, OrderInput(breach=notice.breach, seed=notice.work_order))
    await order.handle.signal(ANNOUNCED, "INC-8")
    assert await order.view() == before


async def test_what_it_remembers_is_bounded(recovery: Recovery) -> None:
    """However much happens to it, the beginning and the latest are there."""
    notice, order = await opened(recovery)
    assert notice.work_order
    for number in range(NOTES_KEPT + 10):
        breach = notice.breach.model_copy(update={"breach_id": f"b{number}"})
        await order.handle.signal(CONCERN, OrderInput(breach=breach, seed=notice.work_order))
    view = await order.act(Act.ACKNOWLEDGE)
    assert len(view.notes) == NOTES_KEPT
    assert len(view.breaches) == BREACHES_KEPT
    assert view.notes[0].what.startswith("opened: ")
    assert view.notes[-1].what == "acknowledged it"
    assert view.breaches[0] == notice.breach


async def test_what_is_about_no_run_is_not_retried(recovery: Recovery) -> None:
    """A plugin that fails for everybody has a work order too; it can be resolved."""
    notice = recovery.notice(recovery.task(), run_id=f"incident/p/{recovery.tenant}")
    await recovery.told(notice)
    order = recovery.order(notice.breach.run_id)
    assert "about no run" in await order.refused(Act.RETRY)
    assert (await order.act(Act.RESOLVE)).status is OrderState.RESOLVED
